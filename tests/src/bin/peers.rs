//! `make peers`: the same work beside Aegis, beside auditd, bpftrace and every program in the folder `PEERS`, and beside nothing; writes
//! `docs/evidence/peers.md` (docs/benchmarks.md).
//!
//! Environment: `PEERS`: a folder of static programs (`tests/peers/README.md`); `ROUNDS` (3); `PEERS_ONLY=timed` or `counted`: that boot anew,
//! the other as the last run left it; `PEERS_ONLY=page`: the page anew, of what the last run left in `target/peers`.

use std::fs;
use std::process::ExitCode;

use aegis_tests::kills::report::made;
use aegis_tests::peers::report::{self, Runs};
use aegis_tests::peers::said::{self, Block};
use aegis_tests::peers::{Boot, Peer, kept, measure, peers};
use aegis_tests::root;

/// A boot's blocks: measured, or as they were kept.
fn blocks(boot: Boot, anew: bool, peers: &[Peer]) -> Result<Vec<Block>, String> {
    if anew {
        eprintln!("peers: the boot that is {}", boot.name());
        return measure(boot, peers);
    }
    let path = kept(boot);
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; mend: leave PEERS_ONLY out once", path.display()))?;
    said::read(&text)
}

fn run() -> Result<(), String> {
    let rounds = std::env::var("ROUNDS").map_or(Ok(3), |text| {
        text.parse().map_err(|_| format!("ROUNDS={text}: is no number; mend: a number, or leave it out"))
    })?;
    let only = std::env::var("PEERS_ONLY").unwrap_or_default();
    if !["", "timed", "counted", "page"].contains(&only.as_str()) {
        return Err(format!("PEERS_ONLY={only}: timed, counted or page; mend: one of them, or leave it out"));
    }
    let peers = peers()?;
    let anew = |boot: Boot| only.is_empty() || only == boot.name();
    let timed = Boot::Timed { rounds };
    let (timed, counted) =
        (blocks(timed, anew(timed), &peers)?, blocks(Boot::Counted, anew(Boot::Counted), &peers)?);
    let runs = Runs { timed: &timed, counted: &counted, peers: &peers };
    let voids = report::voids(runs);
    if !voids.is_empty() {
        for why in &voids {
            eprintln!("VOID: {why}");
        }
        return Err(format!("{} void: no figure is claimed, and no page written", voids.len()));
    }
    let page = root().join("docs/evidence/peers.md");
    fs::write(&page, report::page(runs, &report::kernel(), &made()))
        .map_err(|error| format!("{}: {error}", page.display()))?;
    println!("{}", page.display());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
