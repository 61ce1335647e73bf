//! `aegis workload stop NAME`, `start NAME`, `restart NAME`: a person turns one that is mounted off and on. Init does it: it alone
//! starts what runs on. Nothing of this outlives the boot.

use std::time::Duration;

use aegis_bundle::{WorkloadManifest, hash};
use aegis_init::asked::{self, Answer, Wish};

use super::{Which, note, storage};
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::disk::Data;
use crate::storage::lock;
use crate::workloads::books::Books;
use crate::workloads::told::{self, Doing};

/// One change at a time: of two that are asked for, the second finds what the first left.
const LOCK: &str = "workloads.turn.lock";

/// What a person wants of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Stop,
    Start,
    Restart,
}

/// Exit 0 when it is so, 1 when it is not, or must not be.
pub(crate) fn run(turn: Turn, name: &str) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| Failure::error(format!("workload {name}: {error}"));
    let refused = |why: &str| Err(Failure::refused(format!("workload {name}: {why}")));
    if !aegis_bundle::is_workload_name(name) {
        return Err(failed(&"not a workload's name"));
    }
    let _one = lock::wait_for(LOCK).map_err(|error| failed(&error))?;
    let manifest = told::manifest(name).map_err(|error| failed(&error))?;
    let Some(manifest) = manifest else { return refused("it is not mounted (`aegis workload list`)") };
    let which = hash(&manifest);
    let manifest = WorkloadManifest::decode(&manifest).map_err(|reason| failed(&reason.code()))?;
    let which = Which { name, rank: manifest.rank(), manifest: which };
    if turn != Turn::Stop {
        let books = Books::read(&Data::own()).map_err(storage)?;
        if books.state.of(name).is_some_and(|one| one.gone) {
            return refused("it was taken away: what was stopped of it stays down");
        }
    }
    let ask = |wish| {
        asked::ask(wish, name).map_err(|error| {
            failed(&format_args!("init does not answer: {error} (`reboot` starts all anew)"))
        })
    };
    let before = match ask(Wish::Look)? {
        Answer::Unknown => {
            return refused("init keeps none of this name yet (`aegis status --wait 60`, then again)");
        }
        Answer::Ending => return refused("the system ends"),
        answer => answer,
    };
    if turn != Turn::Start {
        ask(Wish::Stop)?;
        let time = Duration::from_millis(limits::STOP_MILLIS);
        if !asked::wait_until_down(name, time).map_err(|error| failed(&error))? {
            return refused("it was killed, and does not end (`aegis doctor`; `reboot` starts all anew)");
        }
        let code = if before == Answer::Down { "it was down" } else { "by a person" };
        tell(which, told::STOPPED, code).map_err(|error| failed(&error))?;
        if before == Answer::Up || turn == Turn::Stop {
            note(which, told::STOPPED, code);
        }
    }
    if turn == Turn::Stop {
        return say(&format!(
            "workload {name}: stopped; it stays down until `aegis workload start {name}`, or the next boot"
        ));
    }
    if before == Answer::Up && turn == Turn::Start {
        return say(&format!("workload {name}: it is up already"));
    }
    // Before it is: who keeps it goes by this, and counts its quick ends anew.
    tell(which, told::STARTING, "by a person").map_err(|error| failed(&error))?;
    match ask(Wish::Start)? {
        Answer::Up => say(&format!("workload {name}: started (`aegis workload list` says how it is doing)")),
        _ => refused("init does not start it: the system ends"),
    }
}

/// How it is doing from now on; what is known of its starts stays.
fn tell(which: Which<'_>, code: &str, last: &str) -> std::io::Result<()> {
    let before = told::doing(which.name)?.unwrap_or_default();
    let last = if before.last.is_empty() { last.to_owned() } else { before.last };
    log::info!(workload = which.name; "workload {}: {code}: by a person", which.name);
    told::tell(which.name, &Doing { code: code.to_owned(), starts: before.starts, last })
}
