//! The small closed sets a policy is made of.

use aegis_event::Verdict;

/// What a policy asks for as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mode {
    /// Nothing is denied: a deny rule reports what it would have denied.
    Audit = 0,
    /// Deny rules deny.
    Enforce = 1,
}

/// What may be recorded of a program's arguments, whatever the device's configuration says: it can strike out more, never less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Argv {
    /// As the configuration says.
    #[default]
    Whole = 0,
    /// What may be a secret is struck out.
    Secrets = 1,
    /// All but the first is struck out.
    Program = 2,
}

impl Argv {
    /// The value with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Whole),
            1 => Some(Self::Secrets),
            2 => Some(Self::Program),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word in policy sources and JSON, and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Secrets => "secrets",
            Self::Program => "program",
        }
    }
}

impl Mode {
    /// The value with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Audit),
            1 => Some(Self::Enforce),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word in policy sources and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Enforce => "enforce",
        }
    }
}

/// What a rule is written to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Action {
    /// Report the access.
    Audit = 1,
    /// Deny the access.
    Deny = 2,
    /// Let the access pass.
    Allow = 3,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Audit, Self::Deny, Self::Allow];

    /// The word in policy sources and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }

    /// The action with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// What a rule weighs. Greater beats lesser; among equals the rule that stands first in the policy.
///
/// The number is the one on the wire and in the kernel's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Effect {
    /// Report.
    Audit = 1,
    /// Let pass.
    Allow = 2,
    /// A deny rule on trial: report what it would deny.
    Trial = 3,
    /// Deny.
    Deny = 4,
    /// Let pass, whatever is denied.
    Override = 5,
}

impl Effect {
    /// Every effect, ascending.
    pub const ALL: [Self; 5] = [Self::Audit, Self::Allow, Self::Trial, Self::Deny, Self::Override];

    /// The value with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Audit),
            2 => Some(Self::Allow),
            3 => Some(Self::Trial),
            4 => Some(Self::Deny),
            5 => Some(Self::Override),
            _ => None,
        }
    }

    /// The number on the wire and in the kernel's maps.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word in JSON and explanations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Allow => "allow",
            Self::Trial => "trial",
            Self::Deny => "deny",
            Self::Override => "override",
        }
    }

    /// What happens to an access that a rule of this effect decides.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Audit | Self::Trial => Verdict::Audited,
            Self::Allow | Self::Override => Verdict::Allowed,
            Self::Deny => Verdict::Denied,
        }
    }

    /// What a rule is written to do that has this effect.
    pub const fn action(self) -> Action {
        match self {
            Self::Audit => Action::Audit,
            Self::Allow | Self::Override => Action::Allow,
            Self::Trial | Self::Deny => Action::Deny,
        }
    }

    /// The same under a policy's mode: in mode audit every deny rule is on trial.
    #[must_use]
    pub const fn under(self, mode: Mode) -> Self {
        match (self, mode) {
            (Self::Deny, Mode::Audit) => Self::Trial,
            _ => self,
        }
    }
}

/// What a rule can speak of. The number is the one in the kernel's maps and in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Operation {
    /// Opening a file for reading (`FMODE_READ`).
    OpenRead = 0,
    /// Opening a file for writing (`FMODE_WRITE`), or truncating it.
    OpenWrite = 1,
    /// Executing a file: as program, script interpreter or ELF loader, or mapped as code.
    Exec = 2,
    /// Making, removing, renaming, linking a file, or setting its attributes.
    Change = 3,
    /// Connecting or sending to the unix socket with that path.
    UnixConnect = 4,
    /// Connecting or sending to an address.
    Connect = 8,
    /// Binding to an address of this machine, or listening there.
    Bind = 9,
    /// Tracing another process, or reaching into its memory.
    Ptrace = 16,
    /// Loading code into the kernel: a module, or another image to start.
    ModuleLoad = 17,
    /// Calling bpf(2).
    Bpf = 18,
    /// Changing what is mounted where.
    Mount = 19,
}

impl Operation {
    /// Every operation, ascending.
    pub const ALL: [Self; 11] = [
        Self::OpenRead,
        Self::OpenWrite,
        Self::Exec,
        Self::Change,
        Self::UnixConnect,
        Self::Connect,
        Self::Bind,
        Self::Ptrace,
        Self::ModuleLoad,
        Self::Bpf,
        Self::Mount,
    ];
    /// Those on files, ascending.
    pub const FILE: [Self; 5] =
        [Self::OpenRead, Self::OpenWrite, Self::Exec, Self::Change, Self::UnixConnect];

    /// The number in the kernel's maps and in events.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The operation with this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.number() == number)
    }

    /// Its place in [`Operation::ALL`].
    pub const fn place(self) -> usize {
        match self {
            Self::OpenRead => 0,
            Self::OpenWrite => 1,
            Self::Exec => 2,
            Self::Change => 3,
            Self::UnixConnect => 4,
            Self::Connect => 5,
            Self::Bind => 6,
            Self::Ptrace => 7,
            Self::ModuleLoad => 8,
            Self::Bpf => 9,
            Self::Mount => 10,
        }
    }

    /// The word in policy sources and JSON. To connect is one word for a socket with a path and one with an address.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenRead => "open-read",
            Self::OpenWrite => "open-write",
            Self::Exec => "exec",
            Self::Change => "change",
            Self::UnixConnect | Self::Connect => "connect",
            Self::Bind => "bind",
            Self::Ptrace => "ptrace",
            Self::ModuleLoad => "module-load",
            Self::Bpf => "bpf",
            Self::Mount => "mount",
        }
    }

    /// The operation with this name on this kind of target, if there is one.
    pub fn from_name(name: &str, kind: Kind) -> Option<Self> {
        kind.operations().iter().find(|operation| operation.name() == name)
    }
}

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operations(u32);

impl Operations {
    /// None.
    pub const NONE: Self = Self(0);
    /// Both kinds of open.
    pub const OPEN: Self = Self::NONE.with(Operation::OpenRead).with(Operation::OpenWrite);
    /// Those on files.
    pub const FILE: Self =
        Self::OPEN.with(Operation::Exec).with(Operation::Change).with(Operation::UnixConnect);
    /// Those on addresses.
    pub const ADDRESS: Self = Self::NONE.with(Operation::Connect).with(Operation::Bind);
    /// Those on the kernel's own surface.
    pub const SURFACE: Self = Self::NONE
        .with(Operation::Ptrace)
        .with(Operation::ModuleLoad)
        .with(Operation::Bpf)
        .with(Operation::Mount);
    /// Everything a rule can speak of.
    pub const ALL: Self = Self::FILE.and(Self::ADDRESS).and(Self::SURFACE);

    /// The set with these bits (`1 << number`); `None` for the empty set and for bits that mean nothing.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits == 0 || bits & !Self::ALL.0 != 0 { None } else { Some(Self(bits)) }
    }

    /// The bits on the wire.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of one.
    pub const fn only(operation: Operation) -> Self {
        Self::NONE.with(operation)
    }

    /// This set with one more.
    #[must_use]
    pub const fn with(self, operation: Operation) -> Self {
        Self(self.0 | 1 << operation as u8)
    }

    /// This set and another.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without another.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True when nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True when the operation is in the set.
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & 1 << operation as u8 != 0
    }

    /// The operations in the set, ascending.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(move |operation| self.contains(*operation))
    }
}

/// What kind of thing a rule is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Files and directories, by path.
    Files = 1,
    /// Addresses, ports and protocols.
    Addresses = 2,
    /// Programs, by the SHA-256 of what is in them.
    Hashes = 3,
    /// The kernel's own surface.
    Surface = 4,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Files, Self::Addresses, Self::Hashes, Self::Surface];

    /// The value with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Files),
            2 => Some(Self::Addresses),
            3 => Some(Self::Hashes),
            4 => Some(Self::Surface),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What a rule on such a thing can speak of.
    pub const fn operations(self) -> Operations {
        match self {
            Self::Files => Operations::FILE,
            Self::Addresses => Operations::ADDRESS,
            Self::Hashes => Operations::only(Operation::Exec),
            Self::Surface => Operations::SURFACE,
        }
    }
}
