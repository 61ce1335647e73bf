//! `aegis stick take`: what a stick brings, in the order of trust, and what it carries home.
//!
//! 1. Read-only: the chain of root metadata, which revokes; the best acceptable bundle; the break-glass token; the best
//!    acceptable image of the system, and of each name the best workload. Every answer
//!    is signed as it is given, and kept in memory.
//! 2. Read-write: receipts, then evidence.
//!
//! Whatever becomes of the stick on the way, own storage has the old state or the new one, and the host goes on.

mod answers;
pub(crate) mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aegis_event::Body;
use aegis_ring::Reader;
use aegis_stick::FileSystem;
use rustix::process::{Signal, set_parent_process_death_signal};

use self::answers::Answers;
use super::{break_glass, export, in_force, site, status};
use crate::alerts::{Report, STICK_FILE};
use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::run::control;
use crate::stick::device::{self, Device};
use crate::stick::directory::Directory;
use crate::stick::mount::{self, Mounted};
use crate::stick::receipts::Receipts;
use crate::stick::{DIRECTORY, OUT, privileges, seen};
use crate::storage::cursor::Cursor;
use crate::storage::device::Identity;
use crate::storage::partition::RingDevice;
use crate::storage::{RUN, atomic, lock, tally};

const STATUS: &str = "status.json";

/// What `aegis stick take` was asked.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The stick; the first that is there when none is named.
    pub(crate) device: Option<PathBuf>,
    /// How long to wait for one to be there.
    pub(crate) wait: Duration,
    /// What to do with it.
    pub(crate) what: What,
}

/// What is done with a stick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum What {
    /// Take what it brings; receipts and evidence to it.
    #[default]
    All,
    /// The same without evidence: the boot is not kept waiting.
    NoEvidence,
    /// Take nothing, nor does it count as taken: evidence to it, if there is any.
    Evidence,
    /// Take nothing: the rest of the evidence and the last status, at the end.
    Last,
}

/// A stick that is there.
struct Stick {
    device: Device,
    kind: FileSystem,
}

/// Takes a stick. Exit 0 when there is none, when it brought nothing, or when what is in force is the best that it brought;
/// 1 when something it brought is refused, or it can't be read or written to.
pub(crate) fn take(options: &Options) -> Outcome {
    // Who started this does not leave it behind.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let _one = one_take()?;
    // A person who asks for evidence on whatever stick is there: nothing is taken from it, and it does not count as looked at.
    let by_hand = options.what == What::Evidence && options.device.is_none();
    let chosen = if by_hand { Some(Stick::there(None)?) } else { choose(options)? };
    let Some(stick) = chosen else { return Ok(()) };
    let Stick { device, kind } = &stick;
    if options.what != What::Evidence {
        log::info!("stick {}: {kind}", device.name);
    } else if !has_evidence() {
        if by_hand {
            log::info!("stick {}: all evidence is out already; it can be pulled", device.name);
        }
        return Ok(());
    }
    privileges::keep_few().map_err(|error| Failure::error(format!("capabilities: {error}")))?;
    mount::private_namespace().map_err(|error| Failure::error(format!("mount namespace: {error}")))?;
    let answered = match options.what {
        What::All => stick.take(true),
        What::NoEvidence => stick.take(false),
        What::Evidence => stick.carry_out(),
        What::Last => stick.carry_out_last(),
    }?;
    // Also when what it brought is refused: the receipts say why.
    log::info!("stick {}: done; it can be pulled", device.name);
    answered
}

/// Leaves a file of this name on the stick that is there, beside what else devices write; where. What the stick brings is not looked at,
/// and still to be taken.
pub(crate) fn leave(name: &str, bytes: &[u8]) -> Result<String, Failure> {
    let _one = one_take()?;
    let stick = Stick::there(None)?;
    privileges::keep_few().map_err(|error| Failure::error(format!("capabilities: {error}")))?;
    mount::private_namespace().map_err(|error| Failure::error(format!("mount namespace: {error}")))?;
    let mut left = false;
    stick.write(|out| {
        let written = atomic::replace(out, name, bytes, 0o644);
        written.map_err(|error| stick.fault("unwritable", &format!("{name}: {error}")))?;
        left = true;
        Ok(())
    })?;
    if left {
        Ok(format!("stick {}: {DIRECTORY}/{OUT}/{name}", stick.device.name))
    } else {
        Err(Failure::refused(format!("stick {}: it can't be written to (take another)", stick.device.name)))
    }
}

/// One take at a time, whoever began it.
fn one_take() -> Result<std::fs::File, Failure> {
    const NAME: &str = "stick.lock";
    let end = Instant::now() + Duration::from_secs(limits::TAKE_WAIT_SECONDS);
    loop {
        match lock::take_now(NAME) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(Failure::error("another stick is being taken (wait for it, or pull it)"));
            }
            other => return other.map_err(|error| Failure::error(format!("{RUN}/{NAME}: {error}"))),
        }
    }
}

/// The stick that is named, or the first that is there.
fn choose(options: &Options) -> Result<Option<Stick>, Failure> {
    if let Some(node) = &options.device {
        let failed = |error: io::Error| Failure::error(format!("{}: {error}", node.display()));
        let device = device::at(node).map_err(failed)?;
        if options.what == What::Evidence {
            // Another one in its place, or one that was found to take no more: what it brings comes first.
            if !seen::load().contains(&device.plug) || seen::load_spent().contains(&device.plug) {
                return Ok(None);
            }
        } else {
            // Also when it is none, or can't be read: it is looked at once.
            remember(&device);
        }
        let kind = device.recognise().map_err(|error| fault(&device, "unreadable", &error))?;
        if !device.is_there() {
            return Err(fault(&device, "pulled", &"gone before it was looked at"));
        }
        if kind.is_none() {
            log::info!("{}: not a stick of ours (no file system labelled AEGIS)", device.name);
            spend(&device);
        }
        return Ok(kind.map(|kind| Stick { device, kind }));
    }
    let end = Instant::now() + options.wait;
    loop {
        let there = device::scan().map_err(|error| Failure::error(format!("block devices: {error}")))?;
        for device in there {
            if let Ok(Some(kind)) = device.recognise() {
                remember(&device);
                return Ok(Some(Stick { device, kind }));
            }
        }
        if Instant::now() >= end {
            log::info!("no stick");
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The watcher does not take this plug again.
fn remember(device: &Device) {
    let there = device::scan().unwrap_or_default();
    if let Err(error) = seen::remember(device.plug, &there) {
        log::warn!("{RUN}: {error} (the stick may be taken twice)");
    }
}

/// The watcher writes no more evidence to this plug.
fn spend(device: &Device) {
    let there = device::scan().unwrap_or_default();
    if let Err(error) = seen::remember_spent(device.plug, &there) {
        log::warn!("{RUN}: {error} (what is wrong with stick {} may be said again)", device.name);
    }
}

/// Reports an event of a stick.
fn say(code: &str, detail: &str) {
    let detail = &detail[..detail.floor_char_boundary(aegis_event::limits::DETAIL_BYTES)];
    tally::stick(code);
    in_force::note(Body::Stick { code, detail });
}

/// What ends a take, as an event and an exit code. Whatever fails of a stick that is gone failed because it was pulled.
fn fault(device: &Device, code: &str, error: &dyn core::fmt::Display) -> Failure {
    let code = if device.is_there() { code } else { "pulled" };
    spend(device);
    let detail = format!("{}: {error}", device.name);
    say(code, &detail);
    Failure::refused(format!("stick {detail} ({code})"))
}

impl Stick {
    /// The one that is named, or the first that is there. It does not count as looked at.
    fn there(node: Option<&Path>) -> Result<Self, Failure> {
        let found = match node {
            Some(node) => device::at(node).map(|device| vec![device]),
            None => device::scan(),
        };
        let found = found.map_err(|error| Failure::error(format!("block devices: {error}")))?;
        let known = |device: Device| device.recognise().ok().flatten().map(|kind| Self { device, kind });
        let stick = found.into_iter().find_map(known);
        stick.ok_or_else(|| Failure::refused("no stick labelled AEGIS is there (plug one)"))
    }

    /// Takes what it brings, then writes receipts, and evidence if that is wanted. What was answered, when all is written.
    fn take(&self, with_export: bool) -> Result<Outcome, Failure> {
        say("seen", &format!("{}: {}", self.device.name, self.kind));
        let identity =
            Identity::open_or_create().map_err(|error| Failure::error(format!("device key: {error}")))?;
        let receipts = Receipts::new(&identity, ring().and_then(|ring| ring.head))
            .map_err(|error| Failure::error(format!("boot id: {error}")))?;
        let mut answers = Answers::new(self, &identity, receipts);
        let intake = self.read_all(&mut answers);
        // By the policy that is in force now.
        break_glass::heed_marker();
        // What was decided is answered, also when the rest could not be. A stick of which nothing can be read is left alone.
        if answers.is_empty() {
            return intake.map(Ok);
        }
        if !self.device.is_there() {
            return Err(intake.err().unwrap_or_else(|| fault(&self.device, "pulled", &"it is gone")));
        }
        let written = self.write(|out| {
            let count =
                answers.write(out).map_err(|error| self.fault("unwritable", &format!("receipt: {error}")))?;
            log::info!("stick {}: {count} receipts", self.device.name);
            site::carry_out(out, &identity)
                .map_err(|error| self.fault("unwritable", &format!("site: {error}")))?;
            self.alerts(out)?;
            if with_export { self.export(out) } else { Ok(()) }
        });
        intake?;
        written?;
        Ok(answers.outcome())
    }

    /// Evidence, while the stick stays plugged.
    fn carry_out(&self) -> Result<Outcome, Failure> {
        self.write(|out| self.alerts(out).and_then(|()| self.export(out))).map(Ok)
    }

    /// The end of a session: the rest of the evidence, and the agent's last status.
    fn carry_out_last(&self) -> Result<Outcome, Failure> {
        let written = self.write(|out| {
            let exported = self.alerts(out).and_then(|()| self.evidence(out));
            let status = status::json().and_then(|(status, healthy)| {
                let path = atomic::replace(out, STATUS, format!("{status}\n").as_bytes(), 0o644);
                path.map_err(|error| self.fault("unwritable", &format!("{STATUS}: {error}")))?;
                if healthy { Ok(()) } else { Err(Failure::refused("the agent could not seal its ring")) }
            });
            exported.and(status)
        });
        written.map(Ok)
    }

    fn fault(&self, code: &str, error: &dyn core::fmt::Display) -> Failure {
        fault(&self.device, code, error)
    }

    /// Phase 1. Nothing of the stick is open any more when it returns.
    fn read_all(&self, answers: &mut Answers<'_, '_>) -> Outcome {
        let mounted = Mounted::to_read(&self.device, self.kind).map_err(|error| self.unmountable(&error))?;
        let directory = match Directory::open(mounted.path(), DIRECTORY) {
            Ok(Some(directory)) => directory,
            Ok(None) => return Err(self.fault("no-directory", &format!("there is no {DIRECTORY:?} on it"))),
            // A file, or a link to wherever.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP)) => {
                return Err(self.fault("no-directory", &format!("{DIRECTORY:?} on it is no directory")));
            }
            Err(error) => return Err(self.fault("unreadable", &format!("{DIRECTORY}: {error}"))),
        };
        let result = self.read_directory(&directory, answers);
        drop(directory);
        // A file system that does not let go is no reason to forget what was decided.
        if let Err(error) = mounted.end() {
            log::warn!("stick {}: cannot unmount: {error}", self.device.name);
        }
        result
    }

    fn read_directory(&self, directory: &Directory, answers: &mut Answers<'_, '_>) -> Outcome {
        let found =
            directory.names().map_err(|error| self.fault("unreadable", &format!("{DIRECTORY}: {error}")))?;
        if found.more {
            let most = limits::STICK_ENTRIES;
            let detail =
                format!("{}: only the first {most} entries of {DIRECTORY} are looked at", self.device.name);
            log::warn!("stick {detail} (remove old files)");
            say("too-many-entries", &detail);
        }
        answers.roots(directory)?;
        answers.bundles(directory, &found.names)?;
        answers.token(directory)?;
        // Last: they take longest, and nothing of them counts before the next start.
        answers.images(directory, &found.names)?;
        answers.workloads(directory, &found.names)?;
        if answers.is_empty() {
            log::info!("stick {}: it brings nothing", self.device.name);
            answers.sign(None)?;
        }
        Ok(())
    }

    fn unmountable(&self, error: &io::Error) -> Failure {
        if error.raw_os_error() == Some(libc::ENODEV) && self.device.is_there() {
            return self.fault("unsupported", &format!("this kernel has no {}", self.kind));
        }
        self.fault("unreadable", &format!("cannot mount: {error}"))
    }

    /// Phase 2: `then` gets the directory that devices write to. No link of the stick's is followed on the way to it.
    fn write(&self, then: impl FnOnce(&Path) -> Outcome) -> Outcome {
        let mounted = match Mounted::to_write(&self.device, self.kind) {
            Ok(mounted) => mounted,
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                let detail =
                    format!("{}: it can't be written to: no receipts, no evidence", self.device.name);
                log::warn!("stick {detail}");
                say("read-only", &detail);
                spend(&self.device);
                return Ok(());
            }
            Err(error) => return Err(self.unmountable(&error)),
        };
        let unwritable = |error: io::Error| self.fault("unwritable", &format!("{DIRECTORY}/{OUT}: {error}"));
        let made = Directory::open(mounted.path(), DIRECTORY).and_then(|directory| match directory {
            Some(directory) => directory.make(OUT).map(drop),
            None => Err(io::ErrorKind::NotFound.into()),
        });
        made.map_err(unwritable)?;
        let out = mounted.path().join(DIRECTORY).join(OUT);
        atomic::sweep(&out);
        let result = then(&out);
        // Whatever came of it, it is written back. Of several faults the first is said.
        let synced = mounted.sync();
        let ended = mounted.end();
        result?;
        synced.and(ended).map_err(unwritable)
    }

    /// What the watcher of alerts last found, if it did.
    fn alerts(&self, out: &Path) -> Outcome {
        let Ok(bytes) = Report::read() else { return Ok(()) };
        let Ok(report) = Report::of(&bytes) else { return Ok(()) };
        let text = format!("{}\n", report.for_stick());
        let written = atomic::replace(out, STICK_FILE, text.as_bytes(), 0o644);
        written.map(drop).map_err(|error| self.fault("unwritable", &format!("{STICK_FILE}: {error}")))
    }

    /// Evidence to it. What does not fit stays on the device, and is said.
    fn evidence(&self, out: &Path) -> Outcome {
        match export::to_stick(out) {
            Ok(None) => Ok(()),
            Ok(Some(left)) => {
                say("full", &format!("{}: {left}", self.device.name));
                spend(&self.device);
                Ok(())
            }
            // No room at all, a stick or storage that fails, a damaged ring, nobody to encrypt to: not better in a minute, and
            // another stick may have its turn. Said once a plug.
            Err(failure) if self.device.is_there() => {
                say("no-evidence", &format!("{}: {failure}", self.device.name));
                spend(&self.device);
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    /// What was not exported yet, if there is anything.
    fn export(&self, out: &Path) -> Outcome {
        wait_for_flush();
        match ring() {
            Some(ring) if ring.has_more() => self.evidence(out).map_err(|failure| {
                if self.device.is_there() { failure } else { self.fault("pulled", &failure) }
            }),
            Some(_) => Ok(()),
            None => {
                log::info!("stick {}: no evidence: there is no ring to read yet", self.device.name);
                Ok(())
            }
        }
    }
}

/// There are events that were not exported, or may be.
fn has_evidence() -> bool {
    wait_for_flush();
    ring().is_some_and(|ring| ring.has_more())
}

/// The ring, as far as it is on disk.
struct Ring {
    id: [u8; 16],
    /// None in an empty one.
    head: Option<[u8; 32]>,
    next_sequence: u64,
}

impl Ring {
    /// There are events that were not exported.
    fn has_more(&self) -> bool {
        // A cursor that can't be read is for the export to say.
        Cursor::load(&self.id)
            .map_or(true, |cursor| cursor.within(self.next_sequence).next.max(1) < self.next_sequence)
    }
}

/// `None` when there is none that can be read: a new device's is not formatted before its agent runs.
fn ring() -> Option<Ring> {
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let device = RingDevice::open(None, false).ok()?;
    let reader = Reader::open(device, &mut scratch).ok()?;
    let next_sequence = reader.next_sequence();
    Some(Ring { id: reader.ring_id(), head: (next_sequence > 1).then(|| reader.head()), next_sequence })
}

/// Waits, for a moment, until what was just reported is on disk, so that it goes out with this stick already.
fn wait_for_flush() {
    let end = Instant::now() + Duration::from_millis(limits::FLUSH_MILLIS);
    while let Ok(status) = control::ask_status() {
        if status.in_flight() == 0 || Instant::now() >= end {
            std::thread::sleep(Duration::from_millis(2 * limits::COMMIT_AT_MILLIS));
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_begins_after_what_was() {
        let ring = |next_sequence| Ring { id: [7; 16], head: None, next_sequence };
        // No cursor of this ring: the beginning.
        assert!(!ring(1).has_more());
        assert!(ring(2).has_more());
    }
}
