//! Why bytes are not a compiled policy.

/// Why bytes are not a compiled policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// Longer than [`crate::limits::POLICY_BYTES`].
    TooLarge,
    /// A format that this version does not know.
    UnsupportedFormat,
    /// Ends early, or holds something that is not text where text must be.
    Malformed,
    /// Not in its one encoding.
    NotCanonical,
    /// There are bytes after the policy.
    TrailingBytes,
    /// A mode, effect, operation, kind, rate or set of workloads that does not exist, or is empty.
    BadValue,
    /// A policy, rule or tag name that breaks the rules for names.
    BadName,
    /// A workload name or pattern that breaks the rules for them.
    BadWorkload,
    /// A workload pattern twice.
    DuplicateWorkload,
    /// A path that is not absolute and normalised, or too long.
    BadPath,
    /// An address prefix that has bits behind its length, or is an IPv4 address in IPv6 clothes.
    BadAddress,
    /// No workload, or a rule that is on nothing.
    Empty,
    /// More workloads, rules, tags, entries, or rules on one address than [`crate::limits`] allow.
    TooMany,
}

impl PolicyError {
    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::UnsupportedFormat => "unsupported-format",
            Self::Malformed => "malformed",
            Self::NotCanonical => "not-canonical",
            Self::TrailingBytes => "trailing-bytes",
            Self::BadValue => "bad-value",
            Self::BadName => "bad-name",
            Self::BadWorkload => "bad-workload",
            Self::DuplicateWorkload => "duplicate-workload",
            Self::BadPath => "bad-path",
            Self::BadAddress => "bad-address",
            Self::Empty => "empty",
            Self::TooMany => "too-many",
        }
    }
}

impl core::fmt::Display for PolicyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the compiled policy is too large",
            Self::UnsupportedFormat => "the compiled policy has a format this version does not know",
            Self::Malformed => "the compiled policy is malformed",
            Self::NotCanonical => "the compiled policy is not in its one encoding",
            Self::TrailingBytes => "there are bytes after the compiled policy",
            Self::BadValue => "the compiled policy holds a value that does not exist",
            Self::BadName => "the compiled policy holds a bad name",
            Self::BadWorkload => "the compiled policy holds a bad workload pattern",
            Self::DuplicateWorkload => "the compiled policy holds a workload pattern twice",
            Self::BadPath => "the compiled policy holds a path that is not absolute and normalised",
            Self::BadAddress => "the compiled policy holds an address prefix that is not in its one form",
            Self::Empty => "the compiled policy has no workload, or a rule that is on nothing",
            Self::TooMany => "the compiled policy holds more than the limits allow",
        })
    }
}

impl core::error::Error for PolicyError {}
