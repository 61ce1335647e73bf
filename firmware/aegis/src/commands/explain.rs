//! `aegis explain`: why an access was decided as it was. From what the kernel recorded with the decision, never from a guess
//! made afterwards: the policy of then may be gone.

#[cfg(test)]
mod tests;

use core::fmt::Write;
use std::path::PathBuf;

use aegis_event::{Basis, Body, Decision, Endpoint, Event, File, Match, Place, Printable, Subject, Verdict};
use aegis_ring::{Error, Reader};
use serde_json::{Value, json};

use crate::json::object;
use crate::kernel::selftest;
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::device::hex;
use crate::storage::partition::{DeviceError, RingDevice};

/// What `aegis explain` was asked.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The event with this sequence; none: the last denial, the self-test's own excepted.
    pub(crate) event: Option<u64>,
    pub(crate) json: bool,
    /// Another ring than the partition's.
    pub(crate) ring: Option<PathBuf>,
}

/// Exit 1 when there is no such event, or it is no decision.
pub(crate) fn run(options: &Options) -> Outcome {
    let explained = Explained::find(options)?;
    let explanation = explained.explain()?;
    say(&if options.json { explanation.to_json().to_string() } else { explanation.to_text() })
}

/// A decision in the ring, and the bundle that its policy came in.
struct Explained {
    sequence: u64,
    bytes: Vec<u8>,
    bundle: Option<Bundle>,
    /// Damaged places of the ring that were passed over: what is behind each, to the end of its segment, was not looked at.
    passed_over: u32,
}

/// What the ring says of a bundle.
struct Bundle {
    /// Sequence of the event.
    sequence: u64,
    hash: [u8; 32],
    code: String,
    detail: String,
}

impl Explained {
    fn find(options: &Options) -> Result<Self, Failure> {
        let mut scratch = vec![0; limits::COMMIT_BYTES];
        let device = RingDevice::open(options.ring.as_deref(), false)
            .map_err(|error| Failure::error(format!("ring: {error}")))?;
        let mut ring = Reader::open(device, &mut scratch).map_err(|error| unreadable(&error))?;
        let (found, mut passed_over) = match options.event {
            Some(sequence) => one(&mut ring, sequence)?,
            None => last_denial(&mut ring)?,
        };
        let (sequence, bytes) = found.ok_or_else(|| {
            let place = if passed_over == 0 { "" } else { ", as far as it can be read: it is damaged" };
            Failure::refused(match options.event {
                Some(sequence) if passed_over > 0 => format!(
                    "explain: event {sequence} can't be read: the ring is damaged there (look in the exports)"
                ),
                Some(sequence) => format!("explain: there is no event {sequence} in the ring yet"),
                None => format!(
                    "explain: nothing in the ring was denied, the self-test's own tries excepted{place}"
                ),
            })
        })?;
        let mut bundle = None;
        let decision = Event::decode(&bytes).ok().and_then(|event| event.body.decision().copied());
        if let Some(Decision { policy, basis: Some(basis), .. }) = decision {
            (bundle, passed_over) = bundle_of(&mut ring, policy, &basis)?;
        }
        Ok(Self { sequence, bytes, bundle, passed_over })
    }

    fn explain(&self) -> Result<Explanation<'_>, Failure> {
        let sequence = self.sequence;
        let event = Event::decode(&self.bytes)
            .map_err(|error| Failure::refused(format!("explain: event {sequence}: {error}")))?;
        let Some(decision) = event.body.decision().copied() else {
            return Err(Failure::refused(format!(
                "explain: event {sequence} is no decision: {}",
                event.kind()
            )));
        };
        Ok(Explanation {
            sequence,
            event,
            decision,
            bundle: self.bundle.as_ref(),
            passed_over: self.passed_over,
        })
    }
}

/// An event that was found, and its sequence.
type Found = Option<(u64, Vec<u8>)>;

/// The event with this sequence, and how many damaged places were passed over to find it.
fn one(ring: &mut Reader<'_, RingDevice>, sequence: u64) -> Result<(Found, u32), Failure> {
    let sought = match ring.seek(sequence) {
        Ok(()) => ring.next().map(|frame| frame.map(|frame| (frame.sequence, frame.payload.to_vec()))),
        Err(error) => Err(error),
    };
    match sought {
        Ok(found) => return Ok((found, 0)),
        Err(Error::Beyond { .. }) => return Ok((None, 0)),
        Err(Error::Overwritten { first_sequence }) if sequence < first_sequence => {
            return Err(Failure::refused(format!(
                "explain: event {sequence} is not in the ring any more, which begins at {first_sequence} (look in the \
                 exports)"
            )));
        }
        // There is damage before it: it may stand behind.
        Err(Error::Overwritten { .. } | Error::Corrupted { .. }) => {}
        Err(error) => return Err(unreadable(&error)),
    }
    let mut found = None;
    let passed_over = scan(ring, &mut |at, _, bytes| {
        if at == sequence {
            found = Some((at, bytes.to_vec()));
        }
    })?;
    Ok((found, passed_over))
}

/// The last denial, the self-test's own excepted; and the same.
fn last_denial(ring: &mut Reader<'_, RingDevice>) -> Result<(Found, u32), Failure> {
    let mut found = None;
    let passed_over = scan(ring, &mut |sequence, event, bytes| {
        let own = event.subject.is_some_and(|subject| subject.workload == selftest::NAME);
        if event.verdict() == Some(Verdict::Denied) && !own {
            found = Some((sequence, bytes.to_vec()));
        }
    })?;
    Ok((found, passed_over))
}

/// The event of the ring that tells of the bundle a policy came in; the last one, when it was offered more than once.
fn bundle_of(
    ring: &mut Reader<'_, RingDevice>,
    policy: u64,
    basis: &Basis,
) -> Result<(Option<Bundle>, u32), Failure> {
    let mut found = None;
    let passed_over = scan(ring, &mut |at, event, _| {
        if let Body::Policy { code, sequence, hash, detail, .. } = event.body
            && sequence == policy
            && hash[..8] == basis.policy_hash
        {
            found = Some(Bundle { sequence: at, hash: *hash, code: code.into(), detail: detail.into() });
        }
    })?;
    Ok((found, passed_over))
}

type Each<'f> = dyn FnMut(u64, &Event<'_>, &[u8]) + 'f;

/// Every event of the ring that can be read, from the first on. Damaged places are passed over; how many.
fn scan(ring: &mut Reader<'_, RingDevice>, each: &mut Each<'_>) -> Result<u32, Failure> {
    ring.rewind().map_err(|error| unreadable(&error))?;
    let mut passed_over = 0;
    loop {
        match ring.next() {
            Ok(Some(frame)) => {
                if let Ok(event) = Event::decode(frame.payload) {
                    each(frame.sequence, &event, frame.payload);
                }
                continue;
            }
            Ok(None) => return Ok(passed_over),
            // The ring came round over where the reader stood: it goes on where the ring begins by now.
            Err(Error::Overwritten { .. }) => {}
            Err(Error::Corrupted { .. }) => passed_over += 1,
            Err(error) => return Err(unreadable(&error)),
        }
        if ring.skip().map_err(|error| unreadable(&error))?.is_none() {
            return Ok(passed_over);
        }
    }
}

fn unreadable(error: &Error<DeviceError>) -> Failure {
    Failure::error(format!("ring: {error}"))
}

/// A decision, with what there is to say of it.
struct Explanation<'a> {
    sequence: u64,
    event: Event<'a>,
    decision: Decision<'a>,
    bundle: Option<&'a Bundle>,
    passed_over: u32,
}

impl Explanation<'_> {
    fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut dyn Write) -> core::fmt::Result {
        let Decision { verdict, policy, rule, basis, .. } = self.decision;
        // The time of an event stands at its front, padded.
        write!(out, "event    {}: {}", self.sequence, self.event.to_string().trim_start())?;
        if let Some(Subject { workload, cgroup, process: task }) = &self.event.subject {
            let (workload, comm) = (Printable(workload), Printable(task.comm));
            write!(
                out,
                "\nwho      workload {workload}, process {} ({comm}), parent {}",
                task.tgid, task.ppid
            )?;
            write!(out, ", user {}, cgroup {cgroup}", task.uid)?;
        }
        if let Some(File { device, inode, path, .. }) = self.event.body.file() {
            write!(out, "\nwhat     {}, {}", Printable(path), Object { device: *device, inode: *inode })?;
        }
        if let Some((to, truncated)) = self.new_name() {
            write!(out, "\nto       {}{}", Printable(to), if truncated { "…" } else { "" })?;
        }
        if let Some(endpoint) = self.endpoint() {
            write!(out, "\nwhat     {endpoint}")?;
        }
        if self.passed_over > 0 {
            write!(
                out,
                "\nring     damaged places passed over: {}; there may be more to find in the exports",
                self.passed_over
            )?;
        }
        write!(out, "\ndecided  {verdict}")?;
        if rule.is_empty() {
            return write!(out, ": no rule of policy {policy} speaks of it");
        }
        write!(out, " by rule {}", Printable(rule))?;
        if let Some(basis) = &basis {
            write!(out, ": {} at hook {}", basis.operation, basis.hook)?;
        }
        if let Some(passed) = self.passed() {
            write!(out, "\npassed   only because {passed}: it would have been denied")?;
        }
        let Some(basis) = basis else {
            return write!(
                out,
                "\npolicy   sequence {policy}; the agent of then did not record how a rule matched"
            );
        };
        write!(out, "\nmatched  {}\npolicy   sequence {policy}, bundle SHA-256 ", self.matched(&basis))?;
        match self.bundle {
            Some(Bundle { sequence, hash, code, detail }) => {
                let detail = Printable(detail.as_bytes());
                write!(out, "{}, {code} in event {sequence} ({detail})", hex(hash))
            }
            None => write!(out, "{}…; no event of this ring has all of it", hex(&basis.policy_hash)),
        }
    }

    /// The second name of what was renamed or linked, and whether it was cut.
    const fn new_name(&self) -> Option<(&[u8], bool)> {
        match self.event.body {
            Body::Rename { to, to_truncated, .. } | Body::Link { to, to_truncated, .. } => {
                Some((to, to_truncated))
            }
            _ => None,
        }
    }

    /// Which address was asked for, if one was.
    fn endpoint(&self) -> Option<Asked<'_>> {
        self.event.body.endpoint().filter(|endpoint| !endpoint.address.is_empty()).map(Asked)
    }

    /// By what the rule matched, in words. The kernel records what was asked, not which prefix or digest of the rule that met.
    fn matched(&self, basis: &Basis) -> String {
        match self.endpoint() {
            Some(endpoint) if basis.matched == Match::Net => format!("{}: {endpoint}", matched(basis)),
            _ => matched(basis),
        }
    }

    fn passed(&self) -> Option<&'static str> {
        match self.decision {
            Decision { glass_broken: true, .. } => Some("the glass was broken"),
            Decision { deadman: true, .. } => Some("the deadman of the workload had fallen"),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        let Decision { verdict, policy, rule, basis, .. } = self.decision;
        let text = |bytes: &[u8]| Value::from(Printable(bytes).to_string());
        let mut fields: Vec<(&str, Value)> = vec![
            ("sequence", self.sequence.into()),
            ("event", self.event.to_string().trim_start().into()),
            ("kind", self.event.kind().name().into()),
            ("time_ns", self.event.time.into()),
            ("verdict", verdict.name().into()),
            ("rule", if rule.is_empty() { Value::Null } else { text(rule) }),
            ("passed_because", self.passed().into()),
            ("policy", policy.into()),
        ];
        if let Some(Subject { workload, cgroup, process }) = &self.event.subject {
            fields.extend([
                ("workload", text(workload)),
                ("cgroup", (*cgroup).into()),
                ("pid", process.tgid.into()),
                ("comm", text(process.comm)),
            ]);
        }
        if let Some(File { device, inode, path, .. }) = self.event.body.file() {
            fields.extend([("path", text(path)), ("device", (*device).into()), ("inode", (*inode).into())]);
        }
        if let Some((to, truncated)) = self.new_name() {
            fields.extend([("to", text(to)), ("to_truncated", truncated.into())]);
        }
        if let Some(Asked(endpoint)) = self.endpoint() {
            fields.extend([
                ("address", Asked(endpoint).address().into()),
                ("port", endpoint.port.into()),
                ("protocol", endpoint.protocol.into()),
            ]);
        }
        if let Some(basis) = &basis {
            fields.extend([
                ("operation", basis.operation.name().into()),
                ("hook", basis.hook.name().into()),
                ("match", basis.matched.name().into()),
                ("match_device", basis.device.into()),
                ("match_inode", basis.inode.into()),
                ("matched", self.matched(basis).into()),
                ("policy_hash", hex(&basis.policy_hash).into()),
            ]);
        }
        let bundle = self.bundle.map(|Bundle { sequence, hash, code, detail }| {
            json!({ "event": sequence, "sha256": hex(hash), "code": code, "detail": detail })
        });
        fields.extend([("bundle", bundle.into()), ("damaged_places_passed_over", self.passed_over.into())]);
        object(&mut fields.into_iter())
    }
}

/// By what the rule matched, in words.
fn matched(basis: &Basis) -> String {
    let object = Object { device: basis.device, inode: basis.inode };
    match basis.matched {
        Match::Object => format!("the file itself: {object}"),
        Match::Tree => format!("a directory above it: {object}"),
        Match::Name => "its path in its file system, whatever file is there".into(),
        Match::Node => {
            let number = basis.inode as u32;
            format!("the number of the device node: {}:{}", number >> MINOR_BITS, number & MINOR_MASK)
        }
        Match::Hash => "the SHA-256 of its content, which is not recorded: the rule has it".into(),
        Match::Net => "its address, port and protocol".into(),
        Match::Surface => "the kernel's surface: such a rule names no target".into(),
        Match::Cgroup => format!("cgroup {}, which is not the workload's own", basis.inode),
        Match::Limit => {
            "it lies deeper than is looked at, and a rule of this workload denies a subtree".into()
        }
    }
}

/// An address that was asked for: `192.0.2.1 port 443 protocol 6`.
struct Asked<'a>(Endpoint<'a>);

impl Asked<'_> {
    /// Without the port.
    fn address(&self) -> String {
        let place = Place { port: 0, address: self.0.address }.to_string();
        place.split(' ').next().unwrap_or_default().into()
    }
}

impl core::fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Endpoint { port, protocol, address, .. } = self.0;
        write!(f, "{} protocol {protocol}", Place { port, address })
    }
}

/// A device number as the kernel has it (`include/linux/kdev_t.h`).
const MINOR_BITS: u32 = 20;
const MINOR_MASK: u32 = (1 << MINOR_BITS) - 1;

struct Object {
    device: u32,
    inode: u64,
}

impl core::fmt::Display for Object {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { device, inode } = self;
        write!(f, "device {}:{} inode {inode}", device >> MINOR_BITS, device & MINOR_MASK)
    }
}
