//! `make swaps`: the long run. Environment: `SWAPS` (1,000). Writes `docs/evidence/swaps.md`.

use std::process::ExitCode;

use aegis_tests::swaps::{self, report};
use aegis_tests::{Bench, root};

fn run() -> Result<(), String> {
    let count: usize = std::env::var("SWAPS").map_or(Ok(1_000), |text| {
        text.parse().map_err(|_| format!("SWAPS={text}: is no number; mend: a number, or leave it out"))
    })?;
    let bench = Bench::new();
    let race = swaps::race(&bench, count.div_ceil(3));
    println!("{}", report::lines(&race).join("\n"));
    let bench = Bench::new();
    let rollbacks = swaps::rollbacks(&bench, count);
    println!("{}", report::lines(&rollbacks).join("\n"));
    let page = root().join("docs/evidence/swaps.md");
    std::fs::write(&page, report::page(&race, &rollbacks)).map_err(|error| error.to_string())?;
    let p99 = swaps::quantile(rollbacks.of("rollback").iter().map(|swap| swap.command), 99);
    if p99 > swaps::GATE_MS {
        return Err(format!(
            "a rollback takes {p99:.1} ms, 99 of 100: more than the gate of {} ms",
            swaps::GATE_MS
        ));
    }
    println!("{} swaps, {count} rollbacks: {}", race.count(), page.display());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swaps: {error}");
            ExitCode::FAILURE
        }
    }
}
