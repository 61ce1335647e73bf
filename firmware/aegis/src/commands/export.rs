//! `aegis export`: ring -> signed items -> a file that appears whole or not at all, encrypted if the configuration says to whom.

mod left;
mod outgoing;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aegis_age::Recipient;
use aegis_export::{Created, Ending, Exporter, Manifest, Policy, Request, limits as bounds};
use aegis_ring::Reader;
use serde_json::json;

use self::left::Left;
use self::outgoing::Outgoing;
use super::in_force;
use crate::config;
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::run::control;
use crate::storage::device::{self, Identity};
use crate::storage::partition::RingDevice;
use crate::storage::{DATA, atomic, cursor::Cursor, seal};

/// What `aegis export` was asked.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The directory to write to.
    pub(crate) to: PathBuf,
    /// Again, from this sequence on: the cursor stays where it is.
    pub(crate) from: Option<u64>,
    /// And up to this one.
    pub(crate) last: Option<u64>,
    /// Another ring than the partition's.
    pub(crate) ring: Option<PathBuf>,
    /// One JSON object on stdout.
    pub(crate) json: bool,
    /// What is not written by then is left for the next one.
    pub(crate) until: Option<Instant>,
}

/// Writes what was not exported yet, or a range again. Exit 1 when not all of it is in the file.
pub(crate) fn run(options: &Options) -> Outcome {
    let exported = export(options)?;
    if options.json {
        say(&exported.to_json().to_string())?;
    }
    match (exported.damage, exported.left) {
        (Some(damage), _) => Err(unreadable(&damage)),
        (None, Some(left)) => Err(Failure::refused(format!("export: {left}"))),
        (None, None) => Ok(()),
    }
}

/// Writes what was not exported yet to a stick. What did not fit is no failure of the stick: it comes back in words.
pub(crate) fn to_stick(to: &Path) -> Result<Option<String>, Failure> {
    let until = Instant::now() + Duration::from_secs(limits::EXPORT_SECONDS);
    let options = Options { to: to.into(), until: Some(until), ..Options::default() };
    let mut tries = limits::EXPORT_TRIES;
    let exported = loop {
        let exported = export(&options)?;
        tries -= 1;
        // The ring came round over what was next. What it has now is for another file, which says what is missing.
        if exported.ending != Ending::Overtaken || exported.late || tries == 0 {
            break exported;
        }
    };
    match (exported.damage, exported.left) {
        (Some(damage), _) if exported.ending == Ending::Overtaken => {
            log::warn!("export: {damage}; the next one goes on where the ring is by then");
            Ok(None)
        }
        (Some(damage), _) => Err(unreadable(&damage)),
        (None, Some(left)) => {
            log::warn!("export: {left}");
            Ok((!left.late).then(|| left.to_string()))
        }
        (None, None) => Ok(None),
    }
}

/// An export that was written.
struct Exported {
    path: PathBuf,
    ring: [u8; 16],
    first: u64,
    last: u64,
    events: u64,
    segments: u64,
    checkpoints: u64,
    /// The first epoch that the next export needs.
    next_epoch: u64,
    ending: Ending,
    /// Where the next export begins.
    resume: u64,
    gaps: Vec<(u64, u64)>,
    recipients: usize,
    damage: Option<String>,
    left: Option<Left>,
    /// It ended for want of time.
    late: bool,
}

/// Why an attempt came to nothing.
enum Stopped {
    /// The stick took so many bytes, and no more.
    Full(u64),
    Failed(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What is the same for each attempt.
struct Plan<'o> {
    options: &'o Options,
    identity: Identity,
    cursor: Cursor,
    created: Created,
    certificate: Option<Vec<u8>>,
    policy: Option<Policy>,
    recipients: Vec<Recipient>,
}

fn unreadable(damage: &str) -> Failure {
    Failure::refused(format!(
        "ring: can't be read further: {damage} (the export holds what is before it, and says so)"
    ))
}

fn failed(what: &str, error: &dyn core::fmt::Display) -> Failure {
    Failure::error(format!("{what}: {error}"))
}

fn export(options: &Options) -> Result<Exported, Failure> {
    let to = options.to.display().to_string();
    let recipients = recipients()?;
    // Another ring is not the agent's.
    let agents = options.ring.is_none();
    if agents {
        ask_checkpoint();
    }
    let plan = Plan::new(options, recipients)?;
    std::fs::create_dir_all(&options.to).map_err(|error| failed(&to, &error))?;
    atomic::sweep(&options.to);
    let free =
        rustix::fs::statvfs(&options.to).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let mut space = free.saturating_sub(limits::KEPT_FREE_BYTES).min(limits::EXPORT_BYTES);
    let mut tries = limits::EXPORT_TRIES;
    let exported = loop {
        tries -= 1;
        match plan.attempt(space) {
            Ok(exported) => break exported,
            Err(Stopped::Full(taken)) if tries > 0 => {
                // Not what it said of itself. What was written is gone; what comes now is another file, with other keys.
                space = outgoing::smaller(taken.min(space));
                log::warn!("export: {to} took {taken} bytes and no more; again, with {space}");
            }
            Err(Stopped::Full(_)) => {
                return Err(Failure::refused(format!("{to}: it is full (free some of it)")));
            }
            Err(Stopped::Failed(failure)) => return Err(failure),
        }
    };
    // The cursor moves only after the file is durable: a power cut in between exports the same events twice.
    if options.from.is_none() && (agents || is_own(&exported.ring)) {
        let cursor = Cursor { ring: exported.ring, next: exported.resume, epoch: exported.next_epoch };
        // It is out all the same, also where own storage is full.
        if let Err(error) = cursor.save() {
            log::warn!(
                "export: {DATA}: {error}; the next one begins where this one did, and may call events missing that this one has"
            );
        }
        if agents
            && exported.resume > 1
            && let Err(error) = control::tell_exported(exported.resume - 1)
        {
            log::warn!("export: the agent could not be told ({error}); it reads it when it starts");
        }
    }
    exported.log();
    Ok(exported)
}

/// It is the device's ring, or the device has none. The cursor is for one ring: that of another one would have all of the
/// device's exported again, and count as not exported before.
fn is_own(ring: &[u8; 16]) -> bool {
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let Ok(device) = RingDevice::open(None, false) else { return true };
    Reader::open(device, &mut scratch).is_ok_and(|own| own.ring_id() == *ring)
}

/// Has the agent end its epoch, so that what is exported is sealed up to its end.
fn ask_checkpoint() {
    match control::ask_checkpoint() {
        Ok(Some(reply)) if !reply.sealed => {
            log::warn!(
                "export: the agent could not seal its ring; the last events are exported without a checkpoint"
            );
        }
        Ok(_) => {}
        Err(error) => {
            log::warn!("export: no checkpoint ({error}); the last events are exported without one");
        }
    }
}

/// Whom to encrypt to. A configuration that is not known must not make plain what was to be secret.
fn recipients() -> Result<Vec<Recipient>, Failure> {
    let loaded = config::look();
    if let Some(fault) = &loaded.fault {
        if loaded.source == config::Source::Defaults {
            return Err(Failure::refused(format!(
                "configuration: {fault}; whom to encrypt to is not known, so nothing is written (mend it, or remove it)"
            )));
        }
        log::warn!("configuration: {fault} (the last good one is taken)");
    }
    let parse = |text: &String| {
        Recipient::parse(text)
            .map_err(|error| Failure::refused(format!("configuration: recipient {text:?}: {error}")))
    };
    loaded.config.export.recipients.iter().map(parse).collect()
}

impl<'o> Plan<'o> {
    fn new(options: &'o Options, recipients: Vec<Recipient>) -> Result<Self, Failure> {
        let identity = Identity::open_or_create().map_err(|error| failed("device key", &error))?;
        let mut scratch = vec![0; limits::COMMIT_BYTES];
        let reader = Reader::open(ring(options)?, &mut scratch).map_err(|error| failed("ring", &error))?;
        let (ring, next) = (reader.ring_id(), reader.next_sequence());
        let stored = Cursor::load(&ring).map_err(|error| failed(DATA, &error))?;
        let cursor = stored.within(next);
        if cursor != stored {
            log::error!(
                "export: the ring ends at sequence {next}, and was exported up to {}: all of it again",
                stored.next
            );
        }
        let certificate = seal::certificate(&ring).unwrap_or_else(|error| {
            log::error!("export: sealing state: {error} (exported without its certificate)");
            None
        });
        Ok(Self {
            identity,
            cursor,
            created: Created {
                boot: device::boot_id().map_err(|error| failed("boot id", &error))?,
                boottime: device::boottime(),
                clock: device::wall_clock(),
                clock_trusted: false,
            },
            certificate,
            policy: in_force::running(),
            recipients,
            options,
        })
    }

    /// What was asked for, in a file of at most so many bytes.
    fn request(&self, space: u64) -> Request {
        let bytes = match self.recipients.len() {
            0 => space,
            recipients => aegis_age::room(space, recipients),
        };
        // Of a ring that was never exported the beginning is asked for: what it does not have any more is missing.
        let first = self.options.from.unwrap_or(self.cursor.next.max(1));
        Request { first, last: self.options.last.unwrap_or(0), bytes }
    }

    /// Writes one file. It is there in whole, or not at all.
    fn attempt(&self, space: u64) -> Result<Exported, Stopped> {
        let to = self.options.to.display().to_string();
        let mut scratch = vec![0; limits::COMMIT_BYTES];
        let frames =
            Reader::open(ring(self.options)?, &mut scratch).map_err(|error| failed("ring", &error))?;
        let mut payload = vec![0; bounds::PAYLOAD_BYTES];
        let version = env!("CARGO_PKG_VERSION");
        let secret = self.identity.secret();
        let exporter =
            Exporter::new(secret, frames, self.request(space), self.created, version, &mut payload);
        let mut exporter = match exporter {
            Err(aegis_export::ExportError::NoSpace) => {
                return Err(
                    Failure::refused(format!("{to}: it is full (free some of it, or take another)")).into()
                );
            }
            other => other.map_err(|error| failed("export", &error))?,
        };
        if let Some(certificate) = &self.certificate {
            exporter = exporter.with_certificate(certificate);
        }
        if let Some(policy) = self.policy {
            exporter = exporter.with_policy(policy);
        }
        if self.options.from.is_none() {
            exporter = exporter.with_first_epoch(self.cursor.epoch);
        }
        let mut file = Outgoing::begin(&self.options.to, &self.recipients)?;
        let (mut item, mut late) = (vec![0; bounds::ITEM_BYTES], false);
        loop {
            let next = if late { exporter.finish_early(&mut item) } else { exporter.next_item(&mut item) };
            let Some(length) = next.map_err(|error| failed("export", &error))? else { break };
            file.write(&item[..length]).map_err(|error| stopped(&to, &file, &error))?;
            late = self.options.until.is_some_and(|until| Instant::now() >= until);
        }
        file.finish().map_err(|error| stopped(&to, &file, &error))?;
        let manifest = exporter.manifest();
        let taken = file.taken();
        let path = file.publish(&name(&manifest, !self.recipients.is_empty()));
        let path = path.map_err(|error| stop(&to, taken, &error))?;
        let damage = exporter.damage().map(ToString::to_string);
        let left = match manifest.ending {
            Ending::Full => Left::of(self.options, &manifest, self.recipients.len(), late),
            _ => None,
        };
        Ok(Exported {
            path,
            ring: manifest.ring,
            first: manifest.first,
            last: manifest.last,
            events: manifest.events,
            segments: manifest.segments,
            checkpoints: manifest.sealed.map_or(0, |sealed| sealed.checkpoints),
            next_epoch: manifest.sealed.map_or(self.cursor.epoch, |sealed| sealed.epoch.saturating_add(1)),
            ending: manifest.ending,
            resume: manifest.resume(),
            gaps: manifest.gaps.as_slice().to_vec(),
            recipients: self.recipients.len(),
            damage,
            left,
            late,
        })
    }
}

fn ring(options: &Options) -> Result<RingDevice, Failure> {
    RingDevice::open(options.ring.as_deref(), false).map_err(|error| failed("ring", &error))
}

fn stopped(to: &str, file: &Outgoing, error: &io::Error) -> Stopped {
    stop(to, file.taken(), error)
}

/// What it means that a stick does not take more.
fn stop(to: &str, taken: u64, error: &io::Error) -> Stopped {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Stopped::Full(taken)
        }
        _ => Stopped::Failed(failed(to, error)),
    }
}

/// `export-DEVICE-RING-FIRST-LAST.cbor`; an empty export has the time since boot in place of a range. Behind it `.age` when it
/// is encrypted.
fn name(manifest: &Manifest<'_>, encrypted: bool) -> String {
    let whose = [&manifest.device[..4], &manifest.ring[..4]].map(device::hex).join("-");
    let range = if manifest.events == 0 {
        format!("empty-{}", manifest.created.boottime)
    } else {
        format!("{}-{}", manifest.first, manifest.last)
    };
    format!("export-{whose}-{range}.cbor{}", if encrypted { ".age" } else { "" })
}

impl Exported {
    fn log(&self) {
        let encrypted = match self.recipients {
            0 => String::new(),
            count => format!(", encrypted to {count}"),
        };
        log::info!(
            "export: {} events in {} segments, {} checkpoints to {} ({}{encrypted})",
            self.events,
            self.segments,
            self.checkpoints,
            self.path.display(),
            self.ending.name()
        );
        for (first, last) in &self.gaps {
            log::error!(
                "export: sequences {first} to {last} can't be read from the ring; the manifest says so"
            );
        }
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "file": self.path.to_string_lossy(),
            "ring": device::hex(&self.ring),
            "first": self.first,
            "last": self.last,
            "events": self.events,
            "segments": self.segments,
            "checkpoints": self.checkpoints,
            "ending": self.ending.name(),
            "resume": self.resume,
            "gaps": self.gaps,
            "recipients": self.recipients,
            "left": self.left.as_ref().map(Left::to_json),
        })
    }
}
