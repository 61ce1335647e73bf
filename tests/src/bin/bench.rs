//! `make bench`: what enforcement costs, by time and by instructions; writes `docs/evidence/bench.md` (docs/benchmarks.md).
//!
//! Environment: `ROUNDS` (5); `BENCH_ONLY=timed` or `counted`: that boot anew, the other as the last run left it;
//! `BENCH_ONLY=page`: the page anew, of what the last run left in `target/bench`.

use std::process::ExitCode;

use aegis_tests::boots::{Chosen, publish};
use aegis_tests::cost::report::{self, Runs};
use aegis_tests::cost::{kept, measure, plan};
use aegis_tests::kills::report::made;

fn run() -> Result<(), String> {
    let chosen = Chosen::read("bench", 5)?;
    let [timed, counted] = chosen.boots().map(|boot| {
        chosen.blocks(boot, &kept(boot), |boot| {
            eprintln!("bench: the boot that is {}: {} blocks", boot.name(), plan(boot).len());
            measure(boot)
        })
    });
    let (timed, counted) = (timed?, counted?);
    let runs = Runs { timed: &timed, counted: &counted };
    let page = publish("bench.md", &report::voids(runs), || report::page(runs, &made()))?;
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
