//! What can be asked about an event: the fields, their types, their values.

use std::borrow::Cow;
use std::net::IpAddr;

use aegis_event::{Body, Event, Kind, Verdict};

use crate::export::evidence::Record;
use crate::export::line::ip;

/// A field of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Address,
    Argv,
    Boot,
    Cause,
    Cgroup,
    Code,
    Comm,
    Count,
    Detail,
    Device,
    Epoch,
    First,
    Flags,
    GlassBroken,
    Inode,
    Kind,
    Last,
    Level,
    Mode,
    Path,
    Percent,
    Pid,
    Policy,
    Port,
    Ppid,
    Protocol,
    Reason,
    Ring,
    Rule,
    Sequence,
    Signal,
    Status,
    Tgid,
    Time,
    TimeNs,
    Total,
    Uid,
    Verdict,
    Workload,
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
    ("boot", Field::Boot, Type::Id),
    ("cause", Field::Cause, Type::Text),
    ("cgroup", Field::Cgroup, Type::Number),
    ("code", Field::Code, Type::Text),
    ("comm", Field::Comm, Type::Text),
    ("count", Field::Count, Type::Number),
    ("detail", Field::Detail, Type::Text),
    ("device", Field::Device, Type::Id),
    ("epoch", Field::Epoch, Type::Number),
    ("first", Field::First, Type::Number),
    ("flags", Field::Flags, Type::Number),
    ("glass_broken", Field::GlassBroken, Type::Flag),
    ("inode", Field::Inode, Type::Number),
    ("kind", Field::Kind, Type::Kind),
    ("last", Field::Last, Type::Number),
    ("level", Field::Level, Type::Text),
    ("mode", Field::Mode, Type::Text),
    ("path", Field::Path, Type::Text),
    ("percent", Field::Percent, Type::Number),
    ("pid", Field::Pid, Type::Number),
    ("policy", Field::Policy, Type::Number),
    ("port", Field::Port, Type::Number),
    ("ppid", Field::Ppid, Type::Number),
    ("protocol", Field::Protocol, Type::Number),
    ("reason", Field::Reason, Type::Text),
    ("ring", Field::Ring, Type::Id),
    ("rule", Field::Rule, Type::Text),
    ("sequence", Field::Sequence, Type::Number),
    ("signal", Field::Signal, Type::Number),
    ("status", Field::Status, Type::Number),
    ("tgid", Field::Tgid, Type::Number),
    ("time", Field::Time, Type::Time),
    ("time_ns", Field::TimeNs, Type::Number),
    ("total", Field::Total, Type::Number),
    ("uid", Field::Uid, Type::Number),
    ("verdict", Field::Verdict, Type::Verdict),
    ("workload", Field::Workload, Type::Text),
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
                Body::Loss { workload, .. } => text(workload),
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

    fn of_body(self, body: Body<'_>) -> Option<Got<'_>> {
        let text = |bytes| Some(Got::Text(Cow::Borrowed(bytes)));
        let number = |number: u64| Some(Got::Number(number));
        match (self, body) {
            (
                Self::Path,
                Body::Exec { file, .. } | Body::Open { file, .. } | Body::ExecCheck { file, .. },
            ) => text(file.path),
            (
                Self::Inode,
                Body::Exec { file, .. } | Body::Open { file, .. } | Body::ExecCheck { file, .. },
            ) => number(file.inode),
            (
                Self::Verdict | Self::Rule | Self::Policy | Self::GlassBroken,
                Body::Open { decision, .. }
                | Body::ExecCheck { decision, .. }
                | Body::Connect { decision, .. },
            ) => match self {
                Self::Verdict => Some(Got::Verdict(decision.verdict)),
                Self::Rule if decision.rule.is_empty() => None,
                Self::Rule => text(decision.rule),
                Self::Policy => number(decision.policy),
                _ => Some(Got::Flag(decision.glass_broken)),
            },
            // As one line, the way it was typed.
            (Self::Argv, Body::Exec { argv, .. }) => {
                let argv = argv.strip_suffix(b"\0").unwrap_or(argv);
                let spaced = argv.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
                Some(Got::Text(Cow::Owned(spaced)))
            }
            (Self::Flags, Body::Open { flags, .. }) => number(flags.into()),
            (Self::Address, Body::Connect { address, .. }) => ip(address).map(Got::Address),
            (Self::Port, Body::Connect { port, .. }) => number(port.into()),
            (Self::Protocol, Body::Connect { protocol, .. }) => number(protocol.into()),
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
                | Body::ModeChange { epoch, .. }
                | Body::Root { epoch, .. }
                | Body::PolicyStale { epoch, .. }
                | Body::Seal { epoch, .. },
            ) => number(epoch),
            (Self::Count, Body::Loss { count, .. }) => number(count),
            (
                Self::Code,
                Body::Policy { code, .. }
                | Body::BreakGlass { code, .. }
                | Body::Root { code, .. }
                | Body::Stick { code, .. }
                | Body::Seal { code, .. }
                | Body::Config { code, .. },
            ) => text(code.as_bytes()),
            (
                Self::Detail,
                Body::Policy { detail, .. }
                | Body::BreakGlass { reason: detail, .. }
                | Body::Root { detail, .. }
                | Body::Stick { detail, .. }
                | Body::Config { detail, .. },
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
