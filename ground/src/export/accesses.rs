//! What workloads were recorded to do, in verified exports: what `aegisctl policy` simulates and learns from.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;

use aegis_event::{Body, Decision, Endpoint, Event, File, Verdict};
use aegis_export::Id;
use aegis_policy::{Family, Operation, Operations};
use clap::Args;

use super::check::{Checked, Report, verify};
use super::evidence::{Evidence, Record, Sink};
use super::report::SELF_TEST;
use super::{KeyArgs, bounded};
use crate::outcome::Failure;

/// Most tasks between the check of a program and its start that are remembered.
const CHECKED: usize = 4_096;

/// Which exports.
#[derive(Args)]
pub(crate) struct EventArgs {
    /// The exports, of any devices
    #[arg(long = "events", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
}

/// One access as it was recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    pub(crate) device: &'a Id,
    pub(crate) ring: &'a Id,
    pub(crate) sequence: u64,
    pub(crate) workload: &'a [u8],
    pub(crate) what: What<'a>,
    /// Arguments of a program that started, each ended by NUL; a script is one of its interpreter's.
    pub(crate) argv: &'a [u8],
    /// What was decided then.
    pub(crate) verdict: Verdict,
    /// By which rule; empty for none.
    pub(crate) rule: &'a [u8],
    /// It passed only because the glass was broken, or the deadman had fallen; it would have been denied.
    pub(crate) excused: bool,
}

/// What was accessed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    /// A file; one of two names for a while, when it was renamed or linked.
    File { file: File<'a>, to: Option<File<'a>>, operations: Operations },
    /// An address.
    Address { family: Family, address: &'a [u8], port: u16, protocol: u8, operation: Operation },
    /// The kernel's own surface.
    Surface(Operation),
}

impl<'a> What<'a> {
    const fn file(file: File<'a>, operation: Operation) -> Self {
        Self::File { file, to: None, operations: Operations::only(operation) }
    }

    /// What is no address of the internet is none here.
    fn address(
        family: u16,
        address: &'a [u8],
        port: u16,
        protocol: u8,
        operation: Operation,
    ) -> Option<Self> {
        let family = u8::try_from(family).ok().and_then(Family::from_number)?;
        let known = address.len() == usize::from(family.bits() / 8);
        known.then_some(Self::Address { family, address, port, protocol, operation })
    }

    fn endpoint(endpoint: &Endpoint<'a>, operation: Operation) -> Option<Self> {
        let Endpoint { family, address, port, protocol, .. } = *endpoint;
        Self::address(family, address, port, protocol, operation)
    }

    /// What a body says was done, if it is of a kind that rules decide.
    fn of(body: &Body<'a>) -> Option<Self> {
        let renamed = |file: File<'a>, to, truncated| {
            let to = File { path: to, truncated, inode: 0, ..file };
            Some(Self::File { file, to: Some(to), operations: Operations::only(Operation::Change) })
        };
        match *body {
            Body::Open { file, flags, .. } => {
                opened(flags).map(|operations| Self::File { file, to: None, operations })
            }
            Body::Exec { file, .. } | Body::ExecCheck { file, .. } => Some(Self::file(file, Operation::Exec)),
            Body::Create { file, .. } | Body::Unlink { file, .. } => {
                Some(Self::file(file, Operation::Change))
            }
            Body::Rename { file, to, to_truncated, .. } | Body::Link { file, to, to_truncated, .. } => {
                renamed(file, to, to_truncated)
            }
            Body::SetAttr { file, valid, .. } if valid & ATTR_SIZE != 0 => {
                Some(Self::file(file, Operation::OpenWrite))
            }
            Body::SetAttr { file, .. } => Some(Self::file(file, Operation::Change)),
            Body::UnixConnect { file, .. } => Some(Self::file(file, Operation::UnixConnect)),
            Body::Connect { family, protocol, port, address, .. } => {
                Self::address(family, address, port, protocol, Operation::Connect)
            }
            Body::Bind { endpoint, .. } | Body::Listen { endpoint, .. } => {
                Self::endpoint(&endpoint, Operation::Bind)
            }
            Body::Ptrace { .. } => Some(Self::Surface(Operation::Ptrace)),
            Body::Module { .. } => Some(Self::Surface(Operation::ModuleLoad)),
            Body::BpfCall { .. } => Some(Self::Surface(Operation::Bpf)),
            Body::Mount { .. } => Some(Self::Surface(Operation::Mount)),
            _ => None,
        }
    }
}

/// `ATTR_SIZE`, include/linux/fs.h: the file is truncated, which is to write it.
const ATTR_SIZE: u32 = 1 << 3;

/// What an open with these `O_*` flags does; none for one that neither reads nor writes.
fn opened(flags: u32) -> Option<Operations> {
    // OPEN_FMODE, include/linux/fs.h: 0 reads, 1 writes, 2 does both, 3 neither.
    Operations::from_bits(((flags & 3) + 1) & 3)
}

/// It would have been denied, and was not.
const fn excused(decision: &Decision<'_>) -> bool {
    decision.glass_broken || decision.deadman
}

/// What there was to read.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    pub(crate) events: u64,
    pub(crate) devices: usize,
    /// Events that were lost on the devices: what they were is not known.
    pub(crate) lost: u64,
    /// Exports have gaps, or their ends are open: `export verify` says where.
    pub(crate) incomplete: bool,
}

/// Verified exports, to be read as often as is needed.
pub(crate) struct Exports(Report);

impl EventArgs {
    /// Verifies them.
    pub(crate) fn verify(&self) -> Result<Exports, Failure> {
        bounded(&self.files)?;
        Ok(Exports(verify(&self.files, &self.keys.read()?)?))
    }
}

impl Exports {
    /// Hands every access to `take`, ring by ring in order.
    pub(crate) fn read(&self, what: &'static str, take: impl FnMut(&Access<'_>)) -> Result<Extent, Failure> {
        let report = &self.0;
        let evidence = Evidence::of(report)?;
        let mut accesses = Accesses { take, checked: BTreeMap::new(), events: 0 };
        evidence.read(what, &mut accesses)?;
        accesses.flush();
        Ok(Extent {
            events: accesses.events,
            devices: report.files.iter().map(|file| file.device).collect::<BTreeSet<_>>().len(),
            lost: report.books.losses().iter().fold(0, |sum, lost| sum.saturating_add(*lost)),
            incomplete: !report.whole(),
        })
    }
}

/// Hands every access of verified exports to `take`, ring by ring in order.
pub(crate) fn read(
    args: &EventArgs,
    what: &'static str,
    take: impl FnMut(&Access<'_>),
) -> Result<Extent, Failure> {
    args.verify()?.read(what, take)
}

/// A program that a rule reported on, and that has not started yet.
struct Pending {
    device: Id,
    ring: Id,
    sequence: u64,
    workload: Vec<u8>,
    path: Vec<u8>,
    truncated: bool,
    file: (u32, u64),
    verdict: Verdict,
    rule: Vec<u8>,
    excused: bool,
}

struct Accesses<F> {
    take: F,
    /// By task. Its start is the same access: it is counted once, with what was decided.
    checked: BTreeMap<u32, Pending>,
    events: u64,
}

impl<F: FnMut(&Access<'_>)> Accesses<F> {
    fn event(&mut self, record: &Record<'_>, event: &Event<'_>) {
        // What the self-test does is decided by rules of its own.
        let Some(subject) = event.subject.as_ref().filter(|subject| subject.workload != SELF_TEST) else {
            return;
        };
        let (verdict, rule, excused) = match event.body {
            Body::ExecCheck { file, decision } if decision.verdict != Verdict::Denied => {
                let pending = Pending {
                    device: record.key.device,
                    ring: record.key.ring,
                    sequence: record.sequence,
                    workload: subject.workload.to_vec(),
                    path: file.path.to_vec(),
                    truncated: file.truncated,
                    file: (file.device, file.inode),
                    verdict: decision.verdict,
                    rule: decision.rule.to_vec(),
                    excused: excused(&decision),
                };
                if self.checked.len() >= CHECKED {
                    self.flush();
                }
                // A script is checked, and then its interpreter: two accesses.
                if let Some(before) = self.checked.insert(subject.process.pid, pending) {
                    self.say(&before);
                }
                return;
            }
            Body::Exec { file, .. } => {
                let checked = self.checked.remove(&subject.process.pid);
                let same = checked.as_ref().is_some_and(|checked| checked.file == (file.device, file.inode));
                match checked {
                    // The start's path is the better one: a check that only watches has none.
                    Some(checked) if same => (checked.verdict, checked.rule, checked.excused),
                    other => {
                        if let Some(checked) = other {
                            self.say(&checked);
                        }
                        (Verdict::Allowed, Vec::new(), false)
                    }
                }
            }
            ref body => match body.decision() {
                Some(decision) => (decision.verdict, decision.rule.to_vec(), excused(decision)),
                None => return,
            },
        };
        let Some(what) = What::of(&event.body) else { return };
        (self.take)(&Access {
            device: &record.key.device,
            ring: &record.key.ring,
            sequence: record.sequence,
            workload: subject.workload,
            what,
            verdict,
            argv: if let Body::Exec { argv, .. } = event.body { argv } else { &[] },
            rule: &rule,
            excused,
        });
    }

    fn say(&mut self, pending: &Pending) {
        let (device, inode) = pending.file;
        (self.take)(&Access {
            device: &pending.device,
            ring: &pending.ring,
            sequence: pending.sequence,
            workload: &pending.workload,
            what: What::file(
                File { device, inode, path: &pending.path, truncated: pending.truncated },
                Operation::Exec,
            ),
            verdict: pending.verdict,
            argv: &[],
            rule: &pending.rule,
            excused: pending.excused,
        });
    }

    fn flush(&mut self) {
        for pending in std::mem::take(&mut self.checked).into_values() {
            self.say(&pending);
        }
    }
}

impl<F: FnMut(&Access<'_>)> Sink for Accesses<F> {
    fn begin(&mut self, _file: &Checked) -> Result<bool, Failure> {
        self.flush();
        Ok(true)
    }

    fn take(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        self.events += 1;
        if let Ok(event) = record.event {
            self.event(record, &event);
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_an_open_are_what_it_does() {
        for (flags, expected) in [
            (0, &["open-read"][..]),
            (0o1, &["open-write"]),
            (0o102, &["open-read", "open-write"]),
            (0o3, &[]),
        ] {
            let found: Vec<_> = opened(flags).unwrap_or_default().iter().map(Operation::name).collect();
            assert_eq!(found, expected, "{flags:o}");
        }
    }

    #[test]
    fn only_addresses_of_the_internet_are_ones() {
        for (family, address, known) in [
            (2, &[1, 2, 3, 4][..], true),
            (10, &[0; 16], true),
            (2, &[0; 16], false),
            (1, &[], false),
            (16, &[], false),
        ] {
            let found = What::address(family, address, 1, 6, Operation::Connect).is_some();
            assert_eq!(found, known, "{family}");
        }
    }
}
