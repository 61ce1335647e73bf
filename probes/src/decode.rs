//! Bytes of one ring-buffer record to a typed, borrowed view. Strict: what the probes never write is refused.

use aegis_event::Verdict;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::abi;

/// Why bytes are not a record of this ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecord {
    /// Shorter than a head, not the length of its kind, or not aligned to 8 bytes.
    Length,
    /// A kind that this version does not know.
    Kind,
    /// A verdict, flag, rule set, slot or address family out of range, a rule without its name, or a name without rule,
    /// a mark of broken glass on what no rule audited.
    Field,
    /// A path, argument list or note longer than its room.
    Bounds,
}

impl BadRecord {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Length => "record-length",
            Self::Kind => "record-kind",
            Self::Field => "record-field",
            Self::Bounds => "record-bounds",
        }
    }
}

impl core::fmt::Display for BadRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.code())
    }
}

impl core::error::Error for BadRecord {}

/// A file in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// Inode number.
    pub inode: u64,
    /// major << 20 | minor.
    pub device: u32,
    /// Path, at most [`abi::PATH_MAX`] bytes, no NUL.
    pub path: &'a [u8],
    /// Only the last component or the beginning of the path is there.
    pub truncated: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw<'a> {
    /// The task made another.
    Fork {
        /// Its thread id.
        child_pid: u32,
        /// Its process id.
        child_tgid: u32,
    },
    /// The task executed a program.
    Exec {
        /// The program, or the script's interpreter.
        file: File<'a>,
        /// Arguments, each followed by NUL.
        argv: &'a [u8],
        /// They were cut, or could not be read.
        argv_truncated: bool,
    },
    /// The process ended.
    Exit {
        /// Exit status, 0 to 255.
        status: u8,
        /// Signal that killed it, 0 if none.
        signal: u8,
    },
    /// The task opened a file, or was denied it.
    Open {
        /// The file.
        file: File<'a>,
        /// `f_flags`.
        flags: u32,
    },
    /// A rule matched a program the task was about to execute.
    ExecCheck {
        /// The program, or a script interpreter.
        file: File<'a>,
    },
    /// The task connected a socket.
    Connect {
        /// `AF_INET` (2) or `AF_INET6` (10).
        family: u16,
        /// Remote port.
        port: u16,
        /// `IPPROTO_*`.
        protocol: u8,
        /// 4 or 16 bytes, network order.
        address: &'a [u8],
    },
    /// An event encoded by one of Aegis's own commands.
    Note(&'a [u8]),
}

/// One record of the kernel ring buffer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Who, when, and under which policy.
    pub head: &'a abi::Head,
    /// What was decided.
    pub verdict: Verdict,
    /// Audited only because the glass is broken: it would have been denied.
    pub glass_broken: bool,
    /// Name of the rule that matched, as the kernel recorded it; empty when none did.
    pub rule: &'a [u8],
    /// What happened.
    pub raw: Raw<'a>,
}

impl<'a> Record<'a> {
    /// Reads the one record that `bytes` is. The ring buffer hands records out aligned to 8 bytes, and so must the caller.
    ///
    /// # Errors
    /// See [`BadRecord`]: the record comes from other probes than ours.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadRecord> {
        let (head, _) = abi::Head::ref_from_prefix(bytes).map_err(|_| BadRecord::Length)?;
        if usize::from(head.length) != bytes.len() {
            return Err(BadRecord::Length);
        }
        let verdict = Verdict::from_number(head.verdict).ok_or(BadRecord::Field)?;
        let unknown_flags =
            head.flags & !(abi::PATH_TRUNCATED | abi::ARGV_TRUNCATED | abi::GLASS_BROKEN | abi::DEADMAN);
        let glass_broken = head.flags & abi::GLASS_BROKEN != 0;
        if unknown_flags != 0 || head.set > 1 || head.slot as usize >= abi::WORKLOADS_MAX {
            return Err(BadRecord::Field);
        }
        let mut rule: &[u8] = &[];
        let raw = match head.kind {
            abi::FORK => {
                let fork: &abi::Fork = exactly(bytes)?;
                Raw::Fork { child_pid: fork.child_pid, child_tgid: fork.child_tgid }
            }
            abi::EXEC => {
                let exec: &abi::Exec = exactly(bytes)?;
                Raw::Exec {
                    file: file(head, &exec.file)?,
                    argv: exec.argv.get(..exec.file.argv_length.into()).ok_or(BadRecord::Bounds)?,
                    argv_truncated: head.flags & abi::ARGV_TRUNCATED != 0,
                }
            }
            abi::EXIT => {
                let exit: &abi::Exit = exactly(bytes)?;
                Raw::Exit { status: (exit.code >> 8) as u8, signal: exit.code as u8 & 0x7f }
            }
            abi::OPEN => {
                let access: &abi::Access = exactly(bytes)?;
                rule = until_nul(&access.decision.rule.name);
                Raw::Open { file: file(head, &access.file)?, flags: access.file.flags }
            }
            abi::EXEC_CHECK => {
                let access: &abi::Access = exactly(bytes)?;
                rule = until_nul(&access.decision.rule.name);
                Raw::ExecCheck { file: file(head, &access.file)? }
            }
            abi::CONNECT => {
                let connect: &abi::Network = exactly(bytes)?;
                let length = match connect.family {
                    2 => 4,
                    10 => 16,
                    _ => return Err(BadRecord::Field),
                };
                Raw::Connect {
                    family: connect.family,
                    port: connect.port,
                    protocol: connect.protocol,
                    address: &connect.address[..length],
                }
            }
            abi::NOTE => {
                let note: &abi::NoteRecord = exactly(bytes)?;
                let length = usize::try_from(note.note_length).map_err(|_| BadRecord::Bounds)?;
                Raw::Note(note.note.get(..length).ok_or(BadRecord::Bounds)?)
            }
            _ => return Err(BadRecord::Kind),
        };
        if rule.is_empty() != (head.rule == 0)
            || glass_broken && (rule.is_empty() || verdict != Verdict::Audited)
        {
            return Err(BadRecord::Field);
        }
        Ok(Self { head, verdict, glass_broken, rule, raw })
    }

    /// The task's `comm`, NUL padding removed.
    pub fn comm(&self) -> &'a [u8] {
        until_nul(&self.head.comm)
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn exactly<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Result<&T, BadRecord> {
    T::ref_from_bytes(bytes).map_err(|_| BadRecord::Length)
}

fn file<'a>(head: &abi::Head, file: &'a abi::FileRecord) -> Result<File<'a>, BadRecord> {
    Ok(File {
        inode: file.inode,
        device: file.device,
        path: file.path.get(..file.path_length.into()).ok_or(BadRecord::Bounds)?,
        truncated: head.flags & abi::PATH_TRUNCATED != 0,
    })
}
