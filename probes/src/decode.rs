//! Bytes of one ring-buffer record to a typed, borrowed view. Strict: what the probes never write is refused.

use aegis_event::{
    Basis, Body, Call, Decision, Endpoint, File, Hook, Kind, Match, Operation, Place, Privileges, Verdict,
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::abi;

/// Why bytes are not a record of this ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecord {
    /// Shorter than a head, not the length of its kind, or not aligned to 8 bytes.
    Length,
    /// A kind that this version does not know.
    Kind,
    /// A verdict, flag, rule set, slot, operation, hook or match out of range, a rule without its name or match, or one of
    /// them without a rule, a mark of broken glass or the deadman on what no rule audited.
    Field,
    /// A path, argument list, text or note longer than its room.
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

/// What a record says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw<'a> {
    /// What a probe saw.
    Seen(Body<'a>),
    /// An event encoded by one of Aegis's own commands.
    Note(&'a [u8]),
}

/// One record of the kernel ring buffer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Who, when, and under which policy.
    pub head: &'a abi::Head,
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
        let known = abi::PATH_TRUNCATED | abi::ARGV_TRUNCATED | abi::GLASS_BROKEN | abi::DEADMAN;
        if head.flags & !known != 0
            || head.set > 1
            || head.slot as usize >= abi::WORKLOADS_MAX
            || head.verdict > abi::DENIED
        {
            return Err(BadRecord::Field);
        }
        let raw = match head.kind {
            abi::NOTE => {
                let note: &abi::NoteRecord = exactly(bytes)?;
                Raw::Note(part(&note.note, note.note_length)?)
            }
            kind => {
                let kind = u8::try_from(kind).ok().and_then(Kind::from_number).ok_or(BadRecord::Kind)?;
                Raw::Seen(if kind.is_decided() {
                    decided(kind, head, bytes)?
                } else {
                    seen(kind, head, bytes)?
                })
            }
        };
        Ok(Self { head, raw })
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

/// The part of `room` that is in use.
fn part(room: &[u8], length: impl Into<u32>) -> Result<&[u8], BadRecord> {
    usize::try_from(length.into()).ok().and_then(|length| room.get(..length)).ok_or(BadRecord::Bounds)
}

fn file<'a>(head: &abi::Head, file: &'a abi::FileRecord) -> Result<File<'a>, BadRecord> {
    Ok(File {
        inode: file.inode,
        device: file.device,
        path: part(&file.path, file.path_length)?,
        truncated: head.flags & abi::PATH_TRUNCATED != 0,
    })
}

/// The bytes of an address that its family uses.
fn address(family: u16, room: &[u8; 16]) -> &[u8] {
    match family {
        2 => &room[..4],
        10 => room,
        _ => &[],
    }
}

/// What a record without a decision says: no rule, no verdict, no mark.
fn seen<'a>(kind: Kind, head: &abi::Head, bytes: &'a [u8]) -> Result<Body<'a>, BadRecord> {
    if head.rule != 0 || head.verdict != abi::ALLOWED || head.flags & (abi::GLASS_BROKEN | abi::DEADMAN) != 0
    {
        return Err(BadRecord::Field);
    }
    Ok(match kind {
        Kind::Fork => {
            let fork: &abi::Fork = exactly(bytes)?;
            Body::Fork { child_pid: fork.child_pid, child_tgid: fork.child_tgid }
        }
        Kind::Exec => {
            let exec: &abi::Exec = exactly(bytes)?;
            Body::Exec {
                file: file(head, &exec.file)?,
                argv: part(&exec.argv, exec.file.argv_length)?,
                argv_truncated: head.flags & abi::ARGV_TRUNCATED != 0,
            }
        }
        Kind::Exit => {
            let exit: &abi::Exit = exactly(bytes)?;
            Body::Exit { status: (exit.code >> 8) as u8, signal: exit.code as u8 & 0x7f }
        }
        Kind::Privilege => {
            let change: &abi::Privilege = exactly(bytes)?;
            Body::Privilege {
                old: Privileges { uid: change.old_uid, capabilities: change.old_caps },
                new: Privileges { uid: change.new_uid, capabilities: change.new_caps },
            }
        }
        Kind::Volume => {
            let volume: &abi::Volume = exactly(bytes)?;
            Body::Volume { file: file(head, &volume.file)?, read: volume.read, written: volume.written }
        }
        Kind::Flow => {
            let flow: &abi::Flow = exactly(bytes)?;
            let place = |port, room| Place { port, address: address(flow.family, room) };
            Body::Flow {
                family: flow.family,
                protocol: flow.protocol,
                local: place(flow.local_port, &flow.local),
                remote: place(flow.remote_port, &flow.remote),
                received: flow.received,
                sent: flow.sent,
            }
        }
        _ => return Err(BadRecord::Kind),
    })
}

/// What a record with a decision says.
fn decided<'a>(kind: Kind, head: &abi::Head, bytes: &'a [u8]) -> Result<Body<'a>, BadRecord> {
    Ok(match kind {
        Kind::Rename | Kind::Link => {
            let record: &abi::Rename = exactly(bytes)?;
            let (file, decision) = (file(head, &record.file)?, decision(head, &record.decision)?);
            let (to, to_truncated) = (part(&record.to, record.to_length)?, record.to_truncated != 0);
            match kind {
                Kind::Rename => Body::Rename { file, to, to_truncated, decision },
                _ => Body::Link { file, to, to_truncated, decision },
            }
        }
        Kind::Connect | Kind::Socket | Kind::Bind | Kind::Listen | Kind::Accept => {
            let record: &abi::Network = exactly(bytes)?;
            let decision = decision(head, &record.decision)?;
            let abi::Network { family, port, protocol, .. } = *record;
            let address = address(family, &record.address);
            let endpoint = Endpoint { family, socket_type: record.kind, protocol, port, address };
            match kind {
                Kind::Connect => Body::Connect { family, protocol, port, address, decision },
                Kind::Bind => Body::Bind { endpoint, decision },
                Kind::Listen => Body::Listen { endpoint, decision },
                Kind::Accept => Body::Accept { endpoint, decision },
                _ if port == 0 => Body::Socket { endpoint: Endpoint { address: &[], ..endpoint }, decision },
                _ => return Err(BadRecord::Field),
            }
        }
        Kind::Ptrace | Kind::Module | Kind::BpfCall | Kind::Mount | Kind::Signal | Kind::Escape => {
            let record: &abi::Surface = exactly(bytes)?;
            let decision = decision(head, &record.decision)?;
            let text = part(&record.text, record.text_length)?;
            let call = Call { number: record.number, target: record.target, text };
            match kind {
                Kind::Ptrace => Body::Ptrace { call, decision },
                Kind::Module => Body::Module { call, decision },
                Kind::BpfCall => Body::BpfCall { call, decision },
                Kind::Mount => Body::Mount { call, decision },
                Kind::Signal => Body::Signal { call, decision },
                _ => Body::Escape { call, decision },
            }
        }
        _ => {
            let record: &abi::Access = exactly(bytes)?;
            let (file, decision) = (file(head, &record.file)?, decision(head, &record.decision)?);
            let flags = record.file.flags;
            match kind {
                Kind::Open => Body::Open { file, flags: open_flags(flags), decision },
                Kind::ExecCheck => Body::ExecCheck { file, decision },
                Kind::Create => Body::Create { file, mode: flags, decision },
                Kind::Unlink => Body::Unlink { file, decision },
                Kind::SetAttr => Body::SetAttr { file, valid: flags, decision },
                Kind::UnixConnect => Body::UnixConnect { file, decision },
                _ => return Err(BadRecord::Kind),
            }
        }
    })
}

/// What was decided. A record names a rule, and how it matched, or says nothing of either; what would have been a denial
/// was audited by a rule.
fn decision<'a>(head: &abi::Head, record: &'a abi::Decision) -> Result<Decision<'a>, BadRecord> {
    let operation = Operation::from_number(record.operation).ok_or(BadRecord::Field)?;
    let hook = Hook::from_number(record.hook).ok_or(BadRecord::Field)?;
    let rule = until_nul(&record.rule.name);
    let abi::Decision { matched, device, inode, policy_hash, .. } = *record;
    let basis = if rule.is_empty() {
        if (matched, device, inode, policy_hash) != (abi::MATCH_NONE, 0, 0, [0; 8]) {
            return Err(BadRecord::Field);
        }
        None
    } else {
        let matched = Match::from_number(matched).ok_or(BadRecord::Field)?;
        Some(Basis { operation, hook, matched, device, inode, policy_hash })
    };
    let decision = Decision {
        verdict: Verdict::from_number(head.verdict).ok_or(BadRecord::Field)?,
        policy: head.policy,
        rule,
        glass_broken: head.flags & abi::GLASS_BROKEN != 0,
        deadman: head.flags & abi::DEADMAN != 0,
        basis,
    };
    let would_deny = decision.passed() && (rule.is_empty() || decision.verdict != Verdict::Audited);
    if rule.is_empty() != (head.rule == 0) || would_deny {
        return Err(BadRecord::Field);
    }
    Ok(decision)
}
/// Of an open file, as most architectures number them (`include/uapi/asm-generic/fcntl.h`): evidence says the same wherever it was made.
#[cfg(not(target_arch = "aarch64"))]
const fn open_flags(flags: u32) -> u32 {
    flags
}

#[cfg(any(target_arch = "aarch64", test))]
const fn from_arm64(flags: u32) -> u32 {
    // O_DIRECTORY, O_NOFOLLOW, O_DIRECT, O_LARGEFILE: `arch/arm64/include/uapi/asm/fcntl.h` beside the general ones.
    const MOVED: [(u32, u32); 4] =
        [(0o40_000, 0o200_000), (0o100_000, 0o400_000), (0o200_000, 0o40_000), (0o400_000, 0o100_000)];
    let (mut out, mut at) = (flags & !0o740_000, 0);
    while at < MOVED.len() {
        if flags & MOVED[at].0 != 0 {
            out |= MOVED[at].1;
        }
        at += 1;
    }
    out
}

#[cfg(target_arch = "aarch64")]
const fn open_flags(flags: u32) -> u32 {
    from_arm64(flags)
}

#[cfg(test)]
mod tests {
    use super::from_arm64;

    #[test]
    fn flags_of_an_open_file_are_numbered_as_elsewhere() {
        for (arm64, general) in [
            (0, 0),
            (0o400_301, 0o100_301),
            (0o402_002, 0o102_002),
            (0o40_000, 0o200_000),
            (0o100_000, 0o400_000),
            (0o200_000, 0o40_000),
            (u32::MAX, u32::MAX),
        ] {
            assert_eq!(from_arm64(arm64), general, "{arm64:o}");
        }
    }
}
