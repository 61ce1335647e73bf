//! The small closed sets a policy is made of.

/// What a policy asks for as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mode {
    /// Nothing is denied: a deny rule reports what it would have denied.
    Audit = 0,
    /// Deny rules deny.
    Enforce = 1,
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

/// What a rule does. Greater beats lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Action {
    /// Report the access.
    Audit = 1,
    /// Deny the access.
    Deny = 2,
}

impl Action {
    /// The value with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Audit),
            2 => Some(Self::Deny),
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
            Self::Deny => "deny",
        }
    }
}

/// What a rule can speak of. The number is the index into the kernel's arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Opening for reading (`FMODE_READ`).
    OpenRead = 0,
    /// Opening for writing (`FMODE_WRITE`).
    OpenWrite = 1,
    /// Executing, as program or as script interpreter.
    Exec = 2,
}

impl Operation {
    /// Every operation, in index order.
    pub const ALL: [Self; 3] = [Self::OpenRead, Self::OpenWrite, Self::Exec];

    /// Index into the kernel's arrays.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word in policy sources and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenRead => "open-read",
            Self::OpenWrite => "open-write",
            Self::Exec => "exec",
        }
    }

    /// The operation with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }
}

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations(u8);

impl Operations {
    /// Both kinds of open.
    pub const OPEN: Self = Self(0b011);
    /// Everything a rule can speak of.
    pub const ALL: Self = Self(0b111);

    /// The set with these bits (`1 << index`); `None` for the empty set and for bits that mean nothing.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits == 0 || bits & !Self::ALL.0 != 0 { None } else { Some(Self(bits)) }
    }

    /// The bits on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// This set with one more.
    #[must_use]
    pub const fn with(self, operation: Operation) -> Self {
        Self(self.0 | 1 << operation as u8)
    }

    /// True when the operation is in the set.
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & 1 << operation as u8 != 0
    }

    /// The operations in the set, in index order.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(move |operation| self.contains(*operation))
    }
}
