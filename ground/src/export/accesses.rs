//! What workloads were recorded to open and execute, in verified exports: what `aegisctl policy` simulates and learns from.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;

use aegis_event::{Body, Decision, Event, File, Verdict};
use aegis_export::Id;
use clap::Args;

use super::check::{Checked, verify};
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
    pub(crate) file: File<'a>,
    pub(crate) way: Way,
    /// Arguments of a program that started, each ended by NUL; a script is one of its interpreter's.
    pub(crate) argv: &'a [u8],
    /// What was decided then.
    pub(crate) verdict: Verdict,
    /// By which rule; empty for none.
    pub(crate) rule: &'a [u8],
    /// It passed because the glass was broken; it would have been denied.
    pub(crate) glass_broken: bool,
}

/// How a file was accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Opened, with these `O_*` flags.
    Open(u32),
    /// Executed, or kept from it.
    Exec,
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

/// Hands every access of verified exports to `take`, ring by ring in order.
pub(crate) fn read(
    args: &EventArgs,
    what: &'static str,
    take: impl FnMut(&Access<'_>),
) -> Result<Extent, Failure> {
    bounded(&args.files)?;
    let report = verify(&args.files, &args.keys.read()?)?;
    let evidence = Evidence::of(&report)?;
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
    glass_broken: bool,
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
        let access = |file, way, decision: &Decision<'_>| {
            (file, way, decision.verdict, decision.rule.to_vec(), decision.glass_broken)
        };
        let (file, way, verdict, rule, glass_broken) = match event.body {
            Body::Open { file, flags, decision } => access(file, Way::Open(flags), &decision),
            Body::ExecCheck { file, decision } if decision.verdict == Verdict::Denied => {
                access(file, Way::Exec, &decision)
            }
            Body::ExecCheck { file, decision } => {
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
                    glass_broken: decision.glass_broken,
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
                    Some(checked) if same => {
                        // The start's path is the better one: a check that only watches has none.
                        (file, Way::Exec, checked.verdict, checked.rule, checked.glass_broken)
                    }
                    other => {
                        if let Some(checked) = other {
                            self.say(&checked);
                        }
                        (file, Way::Exec, Verdict::Allowed, Vec::new(), false)
                    }
                }
            }
            _ => return,
        };
        (self.take)(&Access {
            device: &record.key.device,
            ring: &record.key.ring,
            sequence: record.sequence,
            workload: subject.workload,
            file,
            way,
            verdict,
            argv: if let Body::Exec { argv, .. } = event.body { argv } else { &[] },
            rule: &rule,
            glass_broken,
        });
    }

    fn say(&mut self, pending: &Pending) {
        let (device, inode) = pending.file;
        (self.take)(&Access {
            device: &pending.device,
            ring: &pending.ring,
            sequence: pending.sequence,
            workload: &pending.workload,
            file: File { device, inode, path: &pending.path, truncated: pending.truncated },
            way: Way::Exec,
            verdict: pending.verdict,
            argv: &[],
            rule: &pending.rule,
            glass_broken: pending.glass_broken,
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
