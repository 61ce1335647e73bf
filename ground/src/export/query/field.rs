//! What can be asked about an event: the fields, their types, their values.

use std::borrow::Cow;
use std::net::IpAddr;

use aegis_event::{Body, Endpoint, Event, Kind, Verdict};

use crate::export::evidence::Record;
use crate::export::line::ip;

/// A field of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Address,
    Argv,
    Attributes,
    Boot,
    Cause,
    Cgroup,
    Code,
    Comm,
    Count,
    Deadman,
    Detail,
    Device,
    Epoch,
    Family,
    FileMode,
    First,
    Flags,
    GlassBroken,
    Hook,
    Inode,
    Kind,
    Last,
    Level,
    LocalAddress,
    LocalPort,
    Match,
    Mode,
    NewUid,
    Number,
    OldUid,
    Operation,
    Path,
    Percent,
    Pid,
    Policy,
    Port,
    Ppid,
    Protocol,
    Read,
    Reason,
    Received,
    Ring,
    Rule,
    Sent,
    Sequence,
    Signal,
    SocketType,
    Status,
    Target,
    Text,
    Tgid,
    Time,
    TimeNs,
    To,
    Total,
    Uid,
    Verdict,
    Workload,
    Written,
}

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Id,
    Address,
    Time,
    Flag,
    Kind,
    Verdict,
}

/// Every field by its name, in the alphabet's order.
pub(super) const FIELDS: &[(&str, Field, Type)] = &[
    ("address", Field::Address, Type::Address),
    ("argv", Field::Argv, Type::Text),
    ("attributes", Field::Attributes, Type::Number),
    ("boot", Field::Boot, Type::Id),
    ("cause", Field::Cause, Type::Text),
    ("cgroup", Field::Cgroup, Type::Number),
    ("code", Field::Code, Type::Text),
    ("comm", Field::Comm, Type::Text),
    ("count", Field::Count, Type::Number),
    ("deadman", Field::Deadman, Type::Flag),
    ("detail", Field::Detail, Type::Text),
    ("device", Field::Device, Type::Id),
    ("epoch", Field::Epoch, Type::Number),
    ("family", Field::Family, Type::Number),
    ("file_mode", Field::FileMode, Type::Number),
    ("first", Field::First, Type::Number),
    ("flags", Field::Flags, Type::Number),
    ("glass_broken", Field::GlassBroken, Type::Flag),
    ("hook", Field::Hook, Type::Text),
    ("inode", Field::Inode, Type::Number),
    ("kind", Field::Kind, Type::Kind),
    ("last", Field::Last, Type::Number),
    ("level", Field::Level, Type::Text),
    ("local_address", Field::LocalAddress, Type::Address),
    ("local_port", Field::LocalPort, Type::Number),
    ("match", Field::Match, Type::Text),
    ("mode", Field::Mode, Type::Text),
    ("new_uid", Field::NewUid, Type::Number),
    ("number", Field::Number, Type::Number),
    ("old_uid", Field::OldUid, Type::Number),
    ("operation", Field::Operation, Type::Text),
    ("path", Field::Path, Type::Text),
    ("percent", Field::Percent, Type::Number),
    ("pid", Field::Pid, Type::Number),
    ("policy", Field::Policy, Type::Number),
    ("port", Field::Port, Type::Number),
    ("ppid", Field::Ppid, Type::Number),
    ("protocol", Field::Protocol, Type::Number),
    ("read", Field::Read, Type::Number),
    ("reason", Field::Reason, Type::Text),
    ("received", Field::Received, Type::Number),
    ("ring", Field::Ring, Type::Id),
    ("rule", Field::Rule, Type::Text),
    ("sent", Field::Sent, Type::Number),
    ("sequence", Field::Sequence, Type::Number),
    ("signal", Field::Signal, Type::Number),
    ("socket_type", Field::SocketType, Type::Number),
    ("status", Field::Status, Type::Number),
    ("target", Field::Target, Type::Number),
    ("text", Field::Text, Type::Text),
    ("tgid", Field::Tgid, Type::Number),
    ("time", Field::Time, Type::Time),
    ("time_ns", Field::TimeNs, Type::Number),
    ("to", Field::To, Type::Text),
    ("total", Field::Total, Type::Number),
    ("uid", Field::Uid, Type::Number),
    ("verdict", Field::Verdict, Type::Verdict),
    ("workload", Field::Workload, Type::Text),
    ("written", Field::Written, Type::Number),
];

/// A field's value in one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got<'a> {
    Text(Cow<'a, [u8]>),
    Number(u64),
    Id([u8; 16]),
    Address(IpAddr),
    /// Microseconds since 1970.
    Time(i64),
    Flag(bool),
    Kind(Kind),
    Verdict(Verdict),
}

impl Field {
    /// The value in this event; none when events of its kind have no such field.
    pub(super) fn of<'a>(self, record: &Record<'a>) -> Option<Got<'a>> {
        match self {
            Self::Device => Some(Got::Id(record.key.device)),
            Self::Ring => Some(Got::Id(record.key.ring)),
            Self::Boot => Some(Got::Id(record.key.boot)),
            Self::Sequence => Some(Got::Number(record.sequence)),
            _ => self.inside(record.event.as_ref().ok()?, record),
        }
    }

    fn inside<'a>(self, event: &Event<'a>, record: &Record<'a>) -> Option<Got<'a>> {
        let text = |bytes: &'a [u8]| Some(Got::Text(Cow::Borrowed(bytes)));
        let number = |number: u64| Some(Got::Number(number));
        let subject = event.subject.as_ref();
        let task = subject.map(|subject| &subject.process);
        match self {
            Self::Kind => Some(Got::Kind(event.kind())),
            Self::Time => Some(Got::Time(record.at())),
            Self::TimeNs => number(event.time),
            Self::Workload => match event.body {
                Body::Loss { workload, .. }
                | Body::Deadman { workload, .. }
                | Body::Workload { workload, .. } => text(workload),
                _ => text(subject?.workload),
            },
            Self::Cgroup => number(subject?.cgroup),
            Self::Comm => text(task?.comm),
            Self::Pid => number(task?.pid.into()),
            Self::Tgid => number(task?.tgid.into()),
            Self::Ppid => number(task?.ppid.into()),
            Self::Uid => number(task?.uid.into()),
            _ => self.of_body(event.body),
        }
    }

    /// What several kinds have alike, then what is of one kind only.
    fn of_body(self, body: Body<'_>) -> Option<Got<'_>> {
        let text = |bytes| Some(Got::Text(Cow::Borrowed(bytes)));
        let number = |number: u64| Some(Got::Number(number));
        match self {
            Self::Path => text(body.file()?.path),
            Self::Inode => number(body.file()?.inode),
            Self::Verdict | Self::Rule | Self::Policy | Self::GlassBroken | Self::Deadman => {
                let decision = body.decision()?;
                match self {
                    Self::Verdict => Some(Got::Verdict(decision.verdict)),
                    Self::Rule if decision.rule.is_empty() => None,
                    Self::Rule => text(decision.rule),
                    Self::Policy => number(decision.policy),
                    Self::GlassBroken => Some(Got::Flag(decision.glass_broken)),
                    _ => Some(Got::Flag(decision.deadman)),
                }
            }
            Self::Operation => text(body.decision()?.basis?.operation.name().as_bytes()),
            Self::Hook => text(body.decision()?.basis?.hook.name().as_bytes()),
            Self::Match => text(body.decision()?.basis?.matched.name().as_bytes()),
            Self::Number => number(body.call()?.number.into()),
            Self::Target => number(body.call()?.target.into()),
            Self::Text => text(body.call()?.text),
            _ => self.of_network(body).or_else(|| self.of_kind(body)),
        }
    }

    fn of_network(self, body: Body<'_>) -> Option<Got<'_>> {
        let number = |number: u64| Some(Got::Number(number));
        let (family, protocol, port, address) = match body {
            Body::Connect { family, protocol, port, address, .. }
            | Body::Socket { endpoint: Endpoint { family, protocol, port, address, .. }, .. }
            | Body::Bind { endpoint: Endpoint { family, protocol, port, address, .. }, .. }
            | Body::Listen { endpoint: Endpoint { family, protocol, port, address, .. }, .. }
            | Body::Accept { endpoint: Endpoint { family, protocol, port, address, .. }, .. } => {
                (family, protocol, port, address)
            }
            Body::Flow { family, protocol, remote, .. } => (family, protocol, remote.port, remote.address),
            _ => return None,
        };
        match (self, body) {
            (Self::Family, _) => number(family.into()),
            (Self::Protocol, _) => number(protocol.into()),
            (Self::Address, _) => ip(address).map(Got::Address),
            (Self::Port, _) if !address.is_empty() => number(port.into()),
            (
                Self::SocketType,
                Body::Socket { endpoint, .. }
                | Body::Bind { endpoint, .. }
                | Body::Listen { endpoint, .. }
                | Body::Accept { endpoint, .. },
            ) => number(endpoint.socket_type.into()),
            (Self::LocalAddress, Body::Flow { local, .. }) => ip(local.address).map(Got::Address),
            (Self::LocalPort, Body::Flow { local, .. }) if !local.address.is_empty() => {
                number(local.port.into())
            }
            (Self::Received, Body::Flow { received, .. }) => number(received),
            (Self::Sent, Body::Flow { sent, .. }) => number(sent),
            _ => None,
        }
    }

    fn of_kind(self, body: Body<'_>) -> Option<Got<'_>> {
        let text = |bytes| Some(Got::Text(Cow::Borrowed(bytes)));
        let number = |number: u64| Some(Got::Number(number));
        match (self, body) {
            // As one line, the way it was typed.
            (Self::Argv, Body::Exec { argv, .. }) => {
                let argv = argv.strip_suffix(b"\0").unwrap_or(argv);
                let spaced = argv.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
                Some(Got::Text(Cow::Owned(spaced)))
            }
            (Self::Flags, Body::Open { flags, .. }) => number(flags.into()),
            (Self::FileMode, Body::Create { mode, .. }) => number(mode.into()),
            (Self::Attributes, Body::SetAttr { valid, .. }) => number(valid.into()),
            (Self::To, Body::Rename { to, .. } | Body::Link { to, .. }) => text(to),
            (Self::OldUid, Body::Privilege { old, .. }) => number(old.uid.into()),
            (Self::NewUid, Body::Privilege { new, .. }) => number(new.uid.into()),
            (Self::Read, Body::Volume { read, .. }) => number(read),
            (Self::Written, Body::Volume { written, .. }) => number(written),
            (Self::Status, Body::Exit { status, .. }) => number(status.into()),
            (Self::Signal, Body::Exit { signal, .. } | Body::Stop { signal }) => number(signal.into()),
            (Self::Cause, Body::Loss { cause, .. }) => text(cause.name().as_bytes()),
            (Self::Cause, Body::Gap(gap)) => text(gap.cause.name().as_bytes()),
            (Self::First, Body::Gap(gap)) => number(gap.first),
            (Self::Last, Body::Gap(gap)) => number(gap.last),
            (Self::Total, Body::Gap(gap)) => number(gap.total),
            (Self::Level, Body::RingLevel { level, .. }) => text(level.name().as_bytes()),
            (Self::Percent, Body::RingLevel { percent, .. }) => number(percent.into()),
            (Self::Mode, Body::ModeChange { mode, .. } | Body::GlassMended { mode, .. }) => {
                text(mode.name().as_bytes())
            }
            (Self::Reason, Body::ModeChange { reason, .. } | Body::GlassMended { reason, .. }) => {
                text(reason.name().as_bytes())
            }
            (
                Self::Epoch,
                Body::Policy { epoch, .. }
                | Body::Image { epoch, .. }
                | Body::Workload { epoch, .. }
                | Body::ModeChange { epoch, .. }
                | Body::Root { epoch, .. }
                | Body::PolicyStale { epoch, .. }
                | Body::Seal { epoch, .. },
            ) => number(epoch),
            (Self::Count, Body::Loss { count, .. }) => number(count),
            (
                Self::Code,
                Body::Policy { code, .. }
                | Body::Image { code, .. }
                | Body::Workload { code, .. }
                | Body::Alert { code, .. }
                | Body::BreakGlass { code, .. }
                | Body::Root { code, .. }
                | Body::Stick { code, .. }
                | Body::Seal { code, .. }
                | Body::Config { code, .. }
                | Body::Storage { code, .. },
            ) => text(code.as_bytes()),
            (
                Self::Detail,
                Body::Policy { detail, .. }
                | Body::Image { detail, .. }
                | Body::Workload { detail, .. }
                | Body::Alert { detail, .. }
                | Body::BreakGlass { reason: detail, .. }
                | Body::Root { detail, .. }
                | Body::Stick { detail, .. }
                | Body::Config { detail, .. }
                | Body::Storage { detail, .. },
            ) => text(detail.as_bytes()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FIELDS;

    #[test]
    fn fields_are_in_order_and_none_is_twice() {
        assert!(FIELDS.is_sorted_by(|a, b| a.0 < b.0));
        for (index, (name, field, _)) in FIELDS.iter().enumerate() {
            assert!(FIELDS[index + 1..].iter().all(|(_, other, _)| other != field), "{name}");
        }
    }
}
