//! `make storm`: how many events a second come to the disk, what becomes of more, and how long each takes; writes
//! `docs/evidence/storm.md` (docs/benchmarks.md).

use std::fs;
use std::process::ExitCode;

use aegis_tests::kills::report::made;
use aegis_tests::root;
use aegis_tests::storm::{blow, report, wrong};

fn run() -> Result<(), String> {
    let steps = blow()?;
    let wrong = wrong(&steps);
    if !wrong.is_empty() {
        return Err(format!("void, no page is written: {}", wrong.join("; ")));
    }
    let page = root().join("docs/evidence/storm.md");
    fs::write(&page, report::page(&steps, &made()))
        .map_err(|error| format!("{}: {error}", page.display()))?;
    println!("highest rate: {}", report::highest(&steps));
    println!("{}", page.display());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storm: {error}");
            ExitCode::FAILURE
        }
    }
}
