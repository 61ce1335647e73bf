//! `aegis workload remove NAME`: a person takes one away. What was accepted under its name stays known: nothing older comes back.

use aegis_bundle::{Remembered, What};

use super::mount::forget_data;
use super::{Which, locked, note, storage};
use crate::commands::in_force::OWN;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::disk::Data;
use crate::storage::history::{self, Entry};
use crate::storage::trust::Trust;
use crate::workloads::books::Books;
use crate::workloads::{path, store};

/// `data`: what its programs kept goes, too.
pub(crate) fn run(name: &str, data: bool) -> Outcome {
    let _one = locked()?;
    let (own, files) = (Data::own(), Data::workloads());
    let mut books = Books::read(&own).map_err(storage)?;
    books.settle(&own, &files).map_err(storage)?;
    let Some(one) = books.state.of(name).cloned() else {
        return Err(Failure::refused(format!("workload {name}: never accepted (`aegis workload list`)")));
    };
    let accepted = one.accepted;
    // Remembered first: from here on it is not mounted, whatever a cut leaves of its file.
    let epoch = Trust::open()?.root().epoch;
    books.remember(&own, Remembered { gone: true, ..one }, epoch).map_err(storage)?;
    store::remove(&files, &path(name)).map_err(storage)?;
    if data {
        forget_data(name).map_err(storage)?;
    }
    let which = Which { name, rank: accepted.order(), manifest: accepted.manifest };
    let detail = if data { "by a person, with its data" } else { "by a person; its data stays" };
    note(which, "removed", detail);
    history::note(Entry::now(What::Workload, "removed", accepted.order(), None, OWN));
    say(&format!("workload {name}: removed; what runs of it ends with this boot"))
}
