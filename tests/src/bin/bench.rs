//! `make bench`: what enforcement costs, by time and by instructions; writes `docs/evidence/bench.md` (docs/benchmarks.md).
//!
//! Environment: `ROUNDS` (5); `BENCH_ONLY=timed` or `counted`: that boot anew, the other as the last run left it;
//! `BENCH_ONLY=page`: the page anew, of what the last run left in `target/bench`.

use std::fs;
use std::process::ExitCode;

use aegis_tests::cost::report::{self, Runs};
use aegis_tests::cost::said::{self, Block};
use aegis_tests::cost::{Boot, kept, measure};
use aegis_tests::kills::report::made;
use aegis_tests::root;

/// A boot's blocks: measured, or as they were kept.
fn blocks(boot: Boot, anew: bool) -> Result<Vec<Block>, String> {
    if anew {
        eprintln!("bench: the boot that is {}: {} blocks", boot.name(), boot.plan().len());
        return measure(boot);
    }
    let path = kept(boot);
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; mend: leave BENCH_ONLY out once", path.display()))?;
    said::read(&text)
}

fn run() -> Result<(), String> {
    let rounds = std::env::var("ROUNDS").map_or(Ok(5), |text| {
        text.parse().map_err(|_| format!("ROUNDS={text}: is no number; mend: a number, or leave it out"))
    })?;
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    if !["", "timed", "counted", "page"].contains(&only.as_str()) {
        return Err(format!("BENCH_ONLY={only}: timed, counted or page; mend: one of them, or leave it out"));
    }
    let anew = |boot: Boot| only.is_empty() || only == boot.name();
    let [timed, counted] = [Boot::Timed { rounds }, Boot::Counted].map(|boot| blocks(boot, anew(boot)));
    let (timed, counted) = (timed?, counted?);
    let runs = Runs { timed: &timed, counted: &counted };
    let voids = report::voids(runs);
    if !voids.is_empty() {
        for why in &voids {
            eprintln!("VOID: {why}");
        }
        return Err(format!("{} void: no figure is claimed, and no page written", voids.len()));
    }
    let page = root().join("docs/evidence/bench.md");
    fs::write(&page, report::page(runs, &made())).map_err(|error| format!("{}: {error}", page.display()))?;
    for goal in report::goals(runs) {
        println!("{goal}");
    }
    println!("{}", page.display());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
