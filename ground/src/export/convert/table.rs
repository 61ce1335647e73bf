//! Events as rows: the columns that Parquet, SQLite and PostgreSQL share (`docs/formats/tables.md`).

use std::borrow::Cow;

use aegis_event::{Body, Decision, Endpoint, File, Kind, arguments};
use serde_json::{Map, Value};

use crate::export::books::BootKey;
use crate::export::evidence::Record;
use crate::export::line::{Line, ip, shown};
use crate::hex;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Text with few values: ids, names.
    Name,
    /// Any text.
    Text,
    /// An unsigned number of 63 bits: more is refused by databases.
    Long,
    /// An unsigned number of 64 bits.
    Wide,
    /// An unsigned number of 32 bits.
    Int,
    /// Microseconds since 1970.
    Time,
    Flag,
    Json,
    Bytes,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    /// Every row has a value.
    pub(super) always: bool,
}

macro_rules! columns {
    ($($column:ident = $name:literal $kind:ident $always:literal,)+) => {
        /// A column of an event's row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Column { $($column,)+ }

        /// The columns in order.
        pub(super) const COLUMNS: &[Spec] =
            &[$(Spec { name: $name, kind: Type::$kind, always: $always },)+];

        const NAMES: &[&str] = &[$($name,)+];
    };
}

columns! {
    Device = "device" Name true,
    Ring = "ring" Name true,
    BootId = "boot_id" Name true,
    Sequence = "sequence" Long true,
    Time = "time" Time true,
    TimeBasis = "time_basis" Name true,
    ClockTrusted = "clock_trusted" Flag true,
    TimeNs = "time_ns" Long false,
    Kind = "kind" Name false,
    Workload = "workload" Name false,
    Cgroup = "cgroup" Wide false,
    Pid = "pid" Int false,
    Tgid = "tgid" Int false,
    Ppid = "ppid" Int false,
    Uid = "uid" Int false,
    Comm = "comm" Name false,
    Verdict = "verdict" Name false,
    Policy = "policy" Wide false,
    Rule = "rule" Name false,
    GlassBroken = "glass_broken" Flag false,
    Path = "path" Text false,
    PathTruncated = "path_truncated" Flag false,
    FileDevice = "file_device" Int false,
    Inode = "inode" Wide false,
    Flags = "flags" Int false,
    Argv = "argv" Json false,
    ArgvTruncated = "argv_truncated" Flag false,
    ChildPid = "child_pid" Int false,
    ChildTgid = "child_tgid" Int false,
    Status = "status" Int false,
    Signal = "signal" Int false,
    Family = "family" Int false,
    Protocol = "protocol" Int false,
    Address = "address" Text false,
    Port = "port" Int false,
    More = "more" Json false,
    Event = "event" Bytes true,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    None,
    Number(u64),
    /// Microseconds since 1970.
    Time(i64),
    Flag(bool),
    /// Without NUL, which PostgreSQL's text can't hold.
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
}

/// An event's row; as many cells as [`COLUMNS`].
pub(super) struct Row<'a> {
    pub(super) cells: [Cell<'a>; COLUMNS.len()],
}

impl<'a> Row<'a> {
    fn put(&mut self, column: Column, cell: Cell<'a>) {
        self.cells[column as usize] = cell;
    }

    fn number(&mut self, column: Column, number: impl Into<u64>) {
        self.put(column, Cell::Number(number.into()));
    }

    fn flag(&mut self, column: Column, flag: bool) {
        self.put(column, Cell::Flag(flag));
    }

    /// Bytes as text; the exact ones are in the event.
    fn text(&mut self, column: Column, bytes: &'a [u8]) {
        self.put(column, Cell::Text(text(shown(bytes))));
    }

    fn name(&mut self, column: Column, name: &'static str) {
        self.put(column, Cell::Text(Cow::Borrowed(name)));
    }

    pub(super) fn cell(&self, column: Column) -> &Cell<'a> {
        &self.cells[column as usize]
    }

    fn decision(&mut self, decision: Decision<'a>) {
        self.name(Column::Verdict, decision.verdict.name());
        self.number(Column::Policy, decision.policy);
        if !decision.rule.is_empty() {
            self.text(Column::Rule, decision.rule);
        }
        self.flag(Column::GlassBroken, decision.glass_broken);
    }

    fn file(&mut self, file: File<'a>) {
        self.text(Column::Path, file.path);
        self.flag(Column::PathTruncated, file.truncated);
        self.number(Column::FileDevice, file.device);
        self.number(Column::Inode, file.inode);
    }

    fn body(&mut self, body: Body<'a>) {
        match body {
            Body::Fork { child_pid, child_tgid } => {
                self.number(Column::ChildPid, child_pid);
                self.number(Column::ChildTgid, child_tgid);
            }
            Body::Exec { file, argv, argv_truncated } => {
                self.file(file);
                let list: Vec<Value> =
                    arguments(argv).map(|argument| text(shown(argument)).into_owned().into()).collect();
                self.put(Column::Argv, Cell::Text(Value::Array(list).to_string().into()));
                self.flag(Column::ArgvTruncated, argv_truncated);
            }
            Body::Exit { status, signal } => {
                self.number(Column::Status, status);
                self.number(Column::Signal, signal);
            }
            Body::Open { file, flags, decision } => {
                self.file(file);
                self.number(Column::Flags, flags);
                self.decision(decision);
            }
            Body::ExecCheck { file, decision }
            | Body::Create { file, decision, .. }
            | Body::Unlink { file, decision }
            | Body::Rename { file, decision, .. }
            | Body::Link { file, decision, .. }
            | Body::SetAttr { file, decision, .. }
            | Body::UnixConnect { file, decision } => {
                self.file(file);
                self.decision(decision);
            }
            Body::Connect { family, protocol, port, address, decision }
            | Body::Bind { endpoint: Endpoint { family, protocol, port, address, .. }, decision }
            | Body::Listen { endpoint: Endpoint { family, protocol, port, address, .. }, decision }
            | Body::Accept { endpoint: Endpoint { family, protocol, port, address, .. }, decision }
            | Body::Socket { endpoint: Endpoint { family, protocol, port, address, .. }, decision } => {
                self.place(family, protocol, port, address);
                self.decision(decision);
            }
            Body::Ptrace { decision, .. }
            | Body::Module { decision, .. }
            | Body::BpfCall { decision, .. }
            | Body::Mount { decision, .. }
            | Body::Signal { decision, .. }
            | Body::Escape { decision, .. } => self.decision(decision),
            Body::Volume { file, .. } => self.file(file),
            Body::Flow { family, protocol, remote, .. } => {
                self.place(family, protocol, remote.port, remote.address);
            }
            Body::Stop { signal } => self.number(Column::Signal, signal),
            Body::Loss { workload, .. }
            | Body::Deadman { workload, .. }
            | Body::Workload { workload, .. } => {
                self.text(Column::Workload, workload);
            }
            _ => {}
        }
    }

    fn place(&mut self, family: u16, protocol: u8, port: u16, address: &[u8]) {
        self.number(Column::Family, family);
        self.number(Column::Protocol, protocol);
        if !address.is_empty() {
            self.number(Column::Port, port);
            let address = ip(address).map_or_else(|| hex::encode(address), |ip| ip.to_string());
            self.put(Column::Address, Cell::Text(address.into()));
        }
    }
}

/// Makes rows; keeps what is the same in most of them.
#[derive(Default)]
pub(super) struct Rows {
    of: Option<BootKey>,
    device: String,
    ring: String,
    boot: String,
}

impl Rows {
    pub(super) fn row<'a>(&'a mut self, record: &Record<'a>) -> Row<'a> {
        if self.of != Some(*record.key) {
            self.of = Some(*record.key);
            self.device = hex::encode(&record.key.device);
            self.ring = hex::encode(&record.key.ring);
            self.boot = hex::encode(&record.key.boot);
        }
        let mut row = Row { cells: [const { Cell::None }; COLUMNS.len()] };
        row.put(Column::Device, Cell::Text(Cow::Borrowed(&self.device)));
        row.put(Column::Ring, Cell::Text(Cow::Borrowed(&self.ring)));
        row.put(Column::BootId, Cell::Text(Cow::Borrowed(&self.boot)));
        row.number(Column::Sequence, record.sequence);
        row.put(Column::Time, Cell::Time(record.at()));
        row.name(Column::TimeBasis, record.began.basis.name());
        row.flag(Column::ClockTrusted, record.began.trusted);
        row.put(Column::Event, Cell::Bytes(record.bytes));
        let Ok(event) = record.event else { return row };
        row.number(Column::TimeNs, event.time);
        row.name(Column::Kind, event.kind().name());
        if let Some(subject) = event.subject {
            let task = subject.process;
            row.text(Column::Workload, subject.workload);
            row.number(Column::Cgroup, subject.cgroup);
            row.number(Column::Pid, task.pid);
            row.number(Column::Tgid, task.tgid);
            row.number(Column::Ppid, task.ppid);
            row.number(Column::Uid, task.uid);
            row.text(Column::Comm, task.comm);
        }
        row.body(event.body);
        if let Some(more) = more(record) {
            row.put(Column::More, Cell::Text(more.into()));
        }
        row
    }
}

/// The fields of an event that have no column, as one JSON object: of the frequent kinds there are none, unless a rule
/// matched.
fn more(record: &Record<'_>) -> Option<String> {
    let event = record.event.as_ref().ok()?;
    let matched = event.body.decision().is_some_and(|decision| decision.deadman || decision.basis.is_some());
    if !matched
        && matches!(
            event.kind(),
            Kind::Fork | Kind::Exec | Kind::Exit | Kind::Open | Kind::ExecCheck | Kind::Connect
        )
    {
        return None;
    }
    let mut line = Line::default();
    line.event(event);
    let fields: Map<String, Value> =
        line.without(NAMES).map(|(name, value)| (name.to_owned(), without_nul(value))).collect();
    (!fields.is_empty()).then(|| Value::Object(fields).to_string())
}

fn without_nul(value: Value) -> Value {
    match value {
        Value::String(string) => text(string.into()).into_owned().into(),
        other => other,
    }
}

/// Text that PostgreSQL can hold: the one thing that it can't is NUL, which comes from nobody honest.
fn text(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\\x00").into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_documented_in_order() {
        let document = include_str!("../../../../docs/formats/tables.md");
        let section = document.split("\n## Columns").nth(1).and_then(|rest| rest.split("\n## ").next());
        let rows = section.expect("a section").lines().filter(|line| line.starts_with("| `"));
        let documented: Vec<(&str, &str)> = rows
            .map(|row| {
                let mut cells = row.split('|').map(str::trim).skip(1);
                (cells.next().unwrap_or_default().trim_matches('`'), cells.next().unwrap_or_default())
            })
            .collect();
        let kind = |kind| match kind {
            Type::Name | Type::Text => "text",
            Type::Long => "63 bits",
            Type::Wide => "64 bits",
            Type::Int => "32 bits",
            Type::Time => "time",
            Type::Flag => "flag",
            Type::Json => "JSON",
            Type::Bytes => "bytes",
        };
        let here: Vec<(&str, &str)> = COLUMNS.iter().map(|column| (column.name, kind(column.kind))).collect();
        assert_eq!(documented, here);
    }
}
