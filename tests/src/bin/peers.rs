//! `make peers`: the same work beside Aegis, beside auditd, bpftrace and every program in the folder `PEERS`, and beside nothing; writes
//! `docs/evidence/peers.md` (docs/benchmarks.md).
//!
//! Environment: `PEERS`: a folder of static programs (`tests/peers/README.md`); `ROUNDS` (3); `PEERS_ONLY=timed` or `counted`: that boot anew,
//! the other as the last run left it; `PEERS_ONLY=page`: the page anew, of what the last run left in `target/peers`.

use std::process::ExitCode;

use aegis_tests::boots::{Chosen, publish};
use aegis_tests::kills::report::made;
use aegis_tests::peers::report::{self, Runs};
use aegis_tests::peers::{kept, measure, peers};

fn run() -> Result<(), String> {
    let chosen = Chosen::read("peers", 3)?;
    let peers = peers()?;
    let [timed, counted] = chosen.boots().map(|boot| {
        chosen.blocks(boot, &kept(boot), |boot| {
            eprintln!("peers: the boot that is {}", boot.name());
            measure(boot, &peers)
        })
    });
    let (timed, counted) = (timed?, counted?);
    let runs = Runs { timed: &timed, counted: &counted, peers: &peers };
    let page = publish("peers.md", &report::voids(runs), || report::page(runs, &report::kernel(), &made()))?;
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
