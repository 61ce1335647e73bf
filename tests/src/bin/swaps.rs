//! `make swaps`: the long run. Environment: `SWAPS` (1,000); `SWAPS_ONLY` (`race`, `rollbacks`): that part, and no page.
//! A part is several boots, two at a time. What each of them said is kept in `target/swaps` under the commit's name: the next run of the same
//! commit takes it as it is. Writes `docs/evidence/swaps.md`.

use std::fs;
use std::process::ExitCode;

use aegis_tests::swaps::{self, Said, report};
use aegis_tests::{Bench, few_at_once, root};

/// Rounds of the race, rollbacks: so many in one boot.
const A_BOOT: usize = 125;

/// What the guests of this part said, `count` times in all.
fn part(name: &str, count: usize, run: impl Fn(&Bench, usize) -> Said + Sync) -> Result<Said, String> {
    let boots: Vec<(usize, usize)> =
        (0..count).step_by(A_BOOT).map(|done| A_BOOT.min(count - done)).enumerate().collect();
    let texts: Result<Vec<String>, String> = few_at_once(&boots, |&(number, times)| {
        boot(&format!("{name}-{number}"), times, |bench| run(bench, times)).map(|said| said.text)
    })
    .into_iter()
    .collect();
    Ok(Said::read(&texts?.concat()))
}

/// What the guest of this boot said, from the run before or from one now.
fn boot(name: &str, count: usize, run: impl Fn(&Bench) -> Said) -> Result<Said, String> {
    let folder = root().join("target/swaps");
    let path = folder.join(format!("{name}-{count}-{}", swaps::commit()));
    if let Ok(text) = fs::read_to_string(&path) {
        println!("{name}: as it was in {}", path.display());
        return Ok(Said::read(&text));
    }
    let said = run(&Bench::new());
    println!("{}", report::lines(&said).join("\n"));
    let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, &said.text));
    kept.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(said)
}

fn run() -> Result<(), String> {
    let count: usize = std::env::var("SWAPS").map_or(Ok(1_000), |text| {
        text.parse().map_err(|_| format!("SWAPS={text}: is no number; mend: a number, or leave it out"))
    })?;
    let race = || part("race", count.div_ceil(3), swaps::race);
    let rollbacks = || part("rollbacks", count, swaps::rollbacks);
    match std::env::var("SWAPS_ONLY").as_deref() {
        Ok("race") => return race().map(drop),
        Ok("rollbacks") => return rollbacks().map(drop),
        Ok(other) => {
            return Err(format!("SWAPS_ONLY={other}: race or rollbacks; mend: one of them, or leave it out"));
        }
        Err(_) => {}
    }
    let (race, rollbacks) = (race()?, rollbacks()?);
    let page = root().join("docs/evidence/swaps.md");
    fs::write(&page, report::page(&race, &rollbacks)).map_err(|error| error.to_string())?;
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
