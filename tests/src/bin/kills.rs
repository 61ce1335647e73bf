//! `make kills`: the long run of the kill loop.
//!
//! Environment: `KILLS` (100), `AEGIS_KILLS_SEED` (1), `AEGIS_KILLS_LIE=1` (the ring's disk lies about flushes: must fail).
//! Goes on where an interrupted run of the same seed was: `target/kills/SEED`. Writes `docs/evidence/kills.md`; what it was made
//! of stays in `target/kills/SEED.done`.

use std::process::ExitCode;

use aegis_tests::kills::{self, Settings, report};
use aegis_tests::root;

fn number(name: &str, otherwise: u64) -> Result<u64, String> {
    std::env::var(name).map_or(Ok(otherwise), |text| {
        text.parse().map_err(|_| format!("{name}={text}: is no number; mend: a number, or leave it out"))
    })
}

fn run() -> Result<(), String> {
    let seed = number("AEGIS_KILLS_SEED", 1)?;
    let lying = number("AEGIS_KILLS_LIE", 0)? != 0;
    let name = if lying { format!("{seed}-lying") } else { seed.to_string() };
    let folder = root().join("target/kills").join(name);
    let settings = Settings { folder, kills: number("KILLS", 100)?, seed, lying };
    let oracle = kills::run(&settings)?;
    let failed = |error: std::io::Error| error.to_string();
    let done = settings.folder.with_extension("done");
    if done.exists() {
        std::fs::remove_dir_all(&done).map_err(failed)?;
    }
    std::fs::rename(&settings.folder, &done).map_err(failed)?;
    let page = root().join("docs/evidence/kills.md");
    std::fs::write(&page, report::page(&settings, &oracle)).map_err(failed)?;
    println!(
        "{} kills, {} ms lost at most: {}",
        oracle.kills.len(),
        oracle.longest_window_ms(),
        page.display()
    );
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kills: {error}");
            ExitCode::FAILURE
        }
    }
}
