//! `aegis explain`: why an access was decided as it was. From what the kernel recorded with the decision, never from a guess
//! made afterwards: the policy of then may be gone.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use aegis_event::{Basis, Body, Decision, Event, Match, Printable, Verdict};
use aegis_ring::{Error, Reader};
use serde_json::{Map, Value, json};

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
        let mut found = None;
        if let Some(sequence) = options.event {
            match ring.seek(sequence) {
                Ok(()) => {
                    if let Some(frame) = ring.next().map_err(|error| unreadable(&error))? {
                        found = Some((frame.sequence, frame.payload.to_vec()));
                    }
                }
                Err(Error::Overwritten { first_sequence }) => {
                    return Err(Failure::refused(format!(
                        "explain: event {sequence} is not in the ring any more, which begins at {first_sequence} (look in \
                         the exports)"
                    )));
                }
                Err(Error::Beyond { .. }) => {}
                Err(error) => return Err(unreadable(&error)),
            }
        } else {
            scan(&mut ring, &mut |sequence, event, bytes| {
                let own = event.subject.is_some_and(|subject| subject.workload == selftest::NAME);
                if event.verdict() == Some(Verdict::Denied) && !own {
                    found = Some((sequence, bytes.to_vec()));
                }
            })?;
        }
        let (sequence, bytes) = found.ok_or_else(|| {
            Failure::refused(match options.event {
                Some(sequence) => format!("explain: there is no event {sequence} in the ring yet"),
                None => "explain: nothing in the ring was denied, the self-test's own tries excepted".into(),
            })
        })?;
        let bundle = match Event::decode(&bytes).ok().and_then(|event| event.body.decision().copied()) {
            Some(Decision { policy, basis: Some(basis), .. }) => bundle(&mut ring, policy, &basis)?,
            _ => None,
        };
        Ok(Self { sequence, bytes, bundle })
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
        Ok(Explanation { sequence, event, decision, bundle: self.bundle.as_ref() })
    }
}

/// The event of the ring that tells of the bundle a policy came in; the last one, when it was offered more than once.
fn bundle(ring: &mut Reader<'_, RingDevice>, policy: u64, basis: &Basis) -> Result<Option<Bundle>, Failure> {
    let mut found = None;
    scan(ring, &mut |at, event, _| {
        if let Body::Policy { code, sequence, hash, detail, .. } = event.body
            && sequence == policy
            && hash[..8] == basis.policy_hash
        {
            found = Some(Bundle { sequence: at, hash: *hash, code: code.into(), detail: detail.into() });
        }
    })?;
    Ok(found)
}

type Each<'f> = dyn FnMut(u64, &Event<'_>, &[u8]) + 'f;

/// Every event of the ring that can be read, from the first on. Damaged places are passed over, and said.
fn scan(ring: &mut Reader<'_, RingDevice>, each: &mut Each<'_>) -> Result<(), Failure> {
    ring.rewind().map_err(|error| unreadable(&error))?;
    loop {
        match ring.next() {
            Ok(Some(frame)) => {
                if let Ok(event) = Event::decode(frame.payload) {
                    each(frame.sequence, &event, frame.payload);
                }
            }
            Ok(None) => return Ok(()),
            // The ring came round over where the reader stood: it goes on where the ring begins by now.
            Err(Error::Overwritten { .. }) => {
                if ring.skip().map_err(|error| unreadable(&error))?.is_none() {
                    return Ok(());
                }
            }
            Err(Error::Corrupted { offset }) => {
                log::error!("ring: damaged at byte {offset}");
                if ring.skip().map_err(|error| unreadable(&error))?.is_none() {
                    return Ok(());
                }
            }
            Err(error) => return Err(unreadable(&error)),
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
}

impl Explanation<'_> {
    fn to_text(&self) -> String {
        let Decision { verdict, policy, rule, basis, .. } = self.decision;
        // The time of an event stands at its front, padded.
        let mut lines = vec![format!("event    {}: {}", self.sequence, self.event.to_string().trim_start())];
        if let Some(subject) = &self.event.subject {
            let task = &subject.process;
            lines.push(format!(
                "who      workload {}, process {} ({}), parent {}, user {}, cgroup {}",
                Printable(subject.workload),
                task.tgid,
                Printable(task.comm),
                task.ppid,
                task.uid,
                subject.cgroup
            ));
        }
        if let Some(file) = self.event.body.file() {
            lines.push(format!(
                "what     {}, {}",
                Printable(file.path),
                Object { device: file.device, inode: file.inode }
            ));
        }
        lines.push(match (rule, basis) {
            ([], _) => format!("decided  {verdict}: no rule of policy {policy} speaks of it"),
            (rule, Some(basis)) => format!(
                "decided  {verdict} by rule {}: {} at hook {}",
                Printable(rule),
                basis.operation,
                basis.hook
            ),
            (rule, None) => format!("decided  {verdict} by rule {}", Printable(rule)),
        });
        if let Some(passed) = self.passed() {
            lines.push(format!("passed   only because {passed}: it would have been denied"));
        }
        if let Some(basis) = basis {
            lines.push(format!("matched  {}", matched(&basis)));
            lines.push(match self.bundle {
                Some(Bundle { sequence, hash, code, detail }) => format!(
                    "policy   sequence {policy}, bundle SHA-256 {}, {code} in event {sequence} ({})",
                    hex(hash),
                    Printable(detail.as_bytes())
                ),
                None => format!(
                    "policy   sequence {policy}, bundle SHA-256 {}…; no event of this ring has all of it",
                    hex(&basis.policy_hash)
                ),
            });
        } else if !rule.is_empty() {
            lines.push(format!(
                "policy   sequence {policy}; the agent of then did not record how a rule matched"
            ));
        }
        lines.join("\n")
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
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| drop(out.insert(name.into(), value));
        put("sequence", self.sequence.into());
        put("event", self.event.to_string().trim_start().into());
        put("kind", self.event.kind().name().into());
        put("time_ns", self.event.time.into());
        if let Some(subject) = &self.event.subject {
            put("workload", Printable(subject.workload).to_string().into());
            put("cgroup", subject.cgroup.into());
            put("pid", subject.process.tgid.into());
            put("comm", Printable(subject.process.comm).to_string().into());
        }
        if let Some(file) = self.event.body.file() {
            put("path", Printable(file.path).to_string().into());
            put("device", file.device.into());
            put("inode", file.inode.into());
        }
        put("verdict", verdict.name().into());
        put("rule", if rule.is_empty() { Value::Null } else { Printable(rule).to_string().into() });
        put("passed_because", self.passed().into());
        put("policy", policy.into());
        if let Some(basis) = basis {
            put("operation", basis.operation.name().into());
            put("hook", basis.hook.name().into());
            put("match", basis.matched.name().into());
            put("match_device", basis.device.into());
            put("match_inode", basis.inode.into());
            put("matched", matched(&basis).into());
            put("policy_hash", hex(&basis.policy_hash).into());
        }
        let bundle = self.bundle.map(|bundle| {
            json!({ "event": bundle.sequence, "sha256": hex(&bundle.hash), "code": bundle.code, "detail": bundle.detail })
        });
        put("bundle", bundle.into());
        Value::Object(out)
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
        Match::Hash => "the SHA-256 of its content".into(),
        Match::Net => "its address, port and protocol".into(),
        Match::Surface => "the kernel's surface: such a rule names no target".into(),
        Match::Cgroup => format!("cgroup {}, which is not the workload's own", basis.inode),
        Match::Limit => {
            "it lies deeper than is looked at, and a rule of this workload denies a subtree".into()
        }
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
