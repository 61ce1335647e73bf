//! `aegis workload remove NAME`: a person takes one away. What was accepted under its name stays known: nothing older comes back. The
//! data of a name goes also when nothing is known of it any more.

use std::path::Path;

use aegis_bundle::{Remembered, What, is_workload_name};

use super::{Which, locked, note, storage};
use crate::commands::in_force::OWN;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::disk::Data;
use crate::storage::history::{self, Entry};
use crate::storage::trust::Trust;
use crate::workloads::books::Books;
use crate::workloads::{KEPT, forget, path, store};

/// `data`: what its programs kept goes, too.
pub(crate) fn run(name: &str, data: bool) -> Outcome {
    let _one = locked()?;
    let (own, files) = (Data::own(), Data::workloads());
    let mut books = Books::read(&own).map_err(storage)?;
    books.settle(&own, &files).map_err(storage)?;
    let one = books.state.of(name).cloned();
    // Of what nobody knows only data is taken away.
    if one.is_none() && !(data && is_workload_name(name) && Path::new(KEPT).join(name).is_dir()) {
        return Err(Failure::refused(format!("workload {name}: never accepted (`aegis workload list`)")));
    }
    let accepted = one.as_ref().map(|one| one.accepted).unwrap_or_default();
    if let Some(one) = one {
        let epoch = Trust::open()?.root().epoch;
        // Remembered first: from here on it is not mounted, whatever a cut leaves of its file.
        books.remember(&own, Remembered { gone: true, ..one }, epoch).map_err(storage)?;
        store::remove(&files, &path(name)).map_err(storage)?;
    }
    let left = data && !forget::now(&files, name).map_err(storage)?;
    let which = Which { name, rank: accepted.order(), manifest: accepted.manifest };
    let detail = if data { "by a person, with its data" } else { "by a person; its data stays" };
    note(which, "removed", detail);
    history::note(Entry::now(What::Workload, "removed", accepted.order(), None, OWN));
    let rest = if left { "; the rest of its data goes at the next start" } else { "" };
    say(&format!("workload {name}: removed; what runs of it ends with this boot{rest}"))
}
