//! `aegis workload mount`: each kept workload looked at again, all of it, and mounted, before the policy is taken: so its paths lead
//! somewhere when they are looked up. What is not as it was accepted is mounted nowhere, and told. `aegis workload tell` makes
//! events of that, once there are probes.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use aegis_bundle::{Remembered, Workload};

use super::{Which, locked, note, storage};
use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::storage::disk::{self, Data, Disk};
use crate::storage::trust::{ROLLED_BACK, Trust};
use crate::workloads::books::Books;
use crate::workloads::told::{self, Entry};
use crate::workloads::{FILE, KEPT, MOUNTED, forget, loops, path, store};

/// The codes of one that is not mounted, besides the reasons of [`aegis_bundle`].
const LOST: &str = "workload-lost";
const OTHER: &str = "not-accepted";
const STATE_LOST: &str = "workload-state-lost";
const NO_LOOP: &str = "no-loop-device";
const TOO_SLOW: &str = "too-slow";
/// It was not come to: this is told before, so that whatever ends it is told, too.
const UNFINISHED: &str = "unfinished";

/// Exit 0 when all that is kept is mounted, 1 when one is not.
pub(crate) fn run() -> Outcome {
    let _one = locked()?;
    let begun = |detail: &str| told(&[entry("?", (0, 0), [0; 32], UNFINISHED, detail)]);
    begun("what is kept was not looked at")?;
    let entries = all().inspect_err(|failure| drop(begun(&failure.to_string())))?;
    match entries.iter().filter(|entry| !entry.is_mounted()).count() {
        0 => Ok(()),
        count => Err(Failure::refused(format!("{count} workloads are NOT mounted (`aegis workload list`)"))),
    }
}

fn told(entries: &[Entry]) -> Result<(), Failure> {
    told::report(entries).map_err(|error| Failure::error(format!("report: {error}")))
}

/// All that is kept. After each it is told how far it came.
fn all() -> Result<Vec<Entry>, Failure> {
    let trust = Trust::open()?;
    let (own, files) = (Data::own(), Data::workloads());
    let mut books = Books::read(&own).map_err(storage)?;
    if let Ok(settled) = books.settle(&own, &files).inspect_err(|error| log::error!("{KEPT}: {error}")) {
        for name in settled {
            log::info!(workload = name.as_str(); "workload {name}: what a power cut left is what counts");
        }
    }
    let mut entries = Vec::new();
    if books.rolled_back {
        let detail = "what was accepted is an older copy, gone, or not this device's: nothing is taken until a token is";
        entries.push(entry("?", (0, 0), [0; 32], ROLLED_BACK, detail));
    } else if books.damaged {
        let detail = "what was accepted is not known: bring the workloads again";
        entries.push(entry("?", (0, 0), [0; 32], STATE_LOST, detail));
    }
    fs::create_dir_all(MOUNTED).map_err(|error| Failure::error(format!("{MOUNTED}: {error}")))?;
    let kept = || books.state.names.iter().filter(|one| !one.gone).take(limits::WORKLOADS_KEPT);
    let first = entries.len();
    entries.extend(kept().map(|one| {
        let accepted = one.accepted;
        entry(&one.name, accepted.order(), accepted.manifest, UNFINISHED, "it was not looked at")
    }));
    for (at, one) in kept().enumerate() {
        told(&entries)?;
        let found = look(&files, one, |front, length| trust.open_kept_workload(front, length));
        let put = found.and_then(|found| mount(&found));
        let (code, detail) = match &put {
            Ok(()) => (told::MOUNTED, ""),
            Err((code, detail)) => (*code, detail.as_str()),
        };
        (entries[first + at].code, entries[first + at].detail) = (code.into(), detail.into());
    }
    entries.extend(strangers(&files, &books));
    for entry in &entries {
        let Entry { name, epoch, sequence, code, detail, .. } = entry;
        log::info!(workload = name.as_str(); "workload {name}: {code}: epoch {epoch} sequence {sequence}: {detail}");
    }
    told(&entries)?;
    Ok(entries)
}

fn entry(name: &str, (epoch, sequence): (u64, u64), manifest: [u8; 32], code: &str, detail: &str) -> Entry {
    Entry { name: name.into(), epoch, sequence, manifest, code: code.into(), detail: detail.into() }
}

/// A kept file that is all as it was accepted.
#[derive(Debug)]
pub(in crate::commands) struct Found<F> {
    file: F,
    name: String,
    contents_at: u64,
    contents_length: u64,
    manifest: Vec<u8>,
}

/// Why one is not mounted: code, and detail for a person.
pub(in crate::commands) type Unmounted = (&'static str, String);

/// Looks at a kept workload as if it were offered again, all of it: trust by the root in force, and that it is the one that was
/// accepted. `open` says what its signatures are worth.
pub(in crate::commands) fn look<D: Disk>(
    files: &D,
    one: &Remembered,
    open: impl for<'f> Fn(&'f [u8], u64) -> Result<Workload<'f>, aegis_bundle::Refusal>,
) -> Result<Found<D::File>, Unmounted> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut => (TOO_SLOW, error.to_string()),
        _ => ("storage", error.to_string()),
    };
    let place = path(&one.name);
    let Some(kept) = store::open(files, &place).map_err(failed)? else {
        return Err((LOST, format!("{KEPT}/{place} is gone: bring it again")));
    };
    let opened =
        open(&kept.front, kept.length).map_err(|refusal| (refusal.code(), refusal.reason.to_string()))?;
    if opened.rank() != one.accepted || opened.manifest.name != one.name {
        return Err((OTHER, "it is not the one that was accepted".to_owned()));
    }
    let reason = aegis_bundle::Reason::ContentHash;
    if !store::is_whole(files, &kept, &opened.manifest, opened.contents_at).map_err(failed)? {
        return Err((reason.code(), reason.to_string()));
    }
    let (contents_at, contents_length) = (opened.contents_at, opened.manifest.length());
    let (name, manifest) = (opened.manifest.name.to_owned(), opened.manifest_bytes.to_vec());
    Ok(Found { file: kept.file, name, contents_at, contents_length, manifest })
}

fn mount(found: &Found<fs::File>) -> Result<(), Unmounted> {
    let place = Path::new(MOUNTED).join(&found.name);
    let mounted = fs::create_dir(&place)
        .and_then(|()| loops::mount_squashfs(&found.file, found.contents_at, found.contents_length, &place));
    let kept = mounted.and_then(|()| told::keep_manifest(&found.name, &found.manifest));
    kept.map_err(|error| {
        // Empty, or else somebody's: it stays.
        let _ = fs::remove_dir(&place);
        match error.kind() {
            io::ErrorKind::NotFound => (NO_LOOP, "this kernel has no loop devices".to_owned()),
            _ => ("not-mountable", error.to_string()),
        }
    })
}

/// Files that nobody decided about, or that were taken away: somebody put them there. They are told, and left alone.
fn strangers(files: &impl Disk, books: &Books) -> Vec<Entry> {
    let known = |name: &str| books.state.of(name).is_some_and(|one| !one.gone);
    let Ok(names) = directories() else { return Vec::new() };
    let mut strangers = Vec::new();
    // Nothing runs yet: what a cut, or the time, left of the data of those that were taken away.
    let until = Instant::now() + limits::FORGET;
    for name in names.iter().filter(|name| aegis_bundle::is_workload_name(name)) {
        disk::sweep(files, name);
        if let Err(error) = forget::remove(name, until) {
            log::warn!("workload {name}: what was to be forgotten is still there: {error}");
        }
        if !known(name) && files.open(&path(name)).is_ok() {
            let detail = format!("{KEPT}/{name}/{FILE}: this device did not accept it");
            strangers.push(entry(name, (0, 0), [0; 32], OTHER, &detail));
        }
    }
    strangers
}

/// The names of directories of workloads.
fn directories() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(KEPT)?.take(limits::WORKLOAD_ENTRIES) {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Events of what was not mounted in this boot.
pub(crate) fn tell() -> Outcome {
    let entries = told::reported().map_err(|error| Failure::error(format!("report: {error}")))?;
    for Entry { name, epoch, sequence, manifest, code, detail } in
        entries.iter().filter(|entry| !entry.is_mounted())
    {
        let which = Which { name, rank: (*epoch, *sequence), manifest: *manifest };
        note(which, "not-mounted", &format!("{code}: {detail}"));
    }
    Ok(())
}
