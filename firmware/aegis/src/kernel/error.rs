//! Why something at the kernel edge failed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why something at the kernel edge failed.
#[derive(Debug)]
pub(crate) enum KernelError {
    /// The probes are not loaded, or those of another version are.
    NotLoaded(io::Error),
    /// A pinned map or program does not do what it must.
    Object { name: String, error: io::Error },
    /// A file, or a file of the kernel's.
    File { path: PathBuf, error: io::Error },
    /// A place the kernel must provide is not what it must be.
    Missing { path: &'static str, what: &'static str },
    /// The probes could not be loaded or pinned.
    Load { step: String, error: String },
    /// A policy does not decode.
    Policy(aegis_policy::PolicyError),
    /// The kernel's maps do not hold what was just written.
    ReadBack { expected: usize, found: usize },
    /// The policy has rules by content, and this kernel decides none.
    NoHashes,
    /// The glass is not broken until a time that is past, or more than a day away.
    GlassTime,
    /// The kernel does not hold the end of the break that was just written.
    GlassReadBack,
    /// Not a workload name.
    WorkloadName,
    /// All workload slots are taken by cgroups that exist.
    NoSlot,
    /// The process is not in the cgroup it was moved to.
    NotConfined { cgroup: String },
    /// The kernel ring buffer was full; the loss is counted.
    NoteLost,
    /// The event does not fit a note, or the note program refused it.
    NoteInvalid,
}

impl KernelError {
    /// Stable reason code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NotLoaded(_) => "probes-not-loaded",
            Self::Object { .. } => "kernel-object",
            Self::File { .. } => "file",
            Self::Missing { .. } => "kernel-feature-missing",
            Self::Load { .. } => "probes-refused",
            Self::Policy(error) => error.code(),
            Self::ReadBack { .. } | Self::GlassReadBack => "read-back-differs",
            Self::NoHashes => "hash-unsupported",
            Self::GlassTime => "break-glass-time",
            Self::WorkloadName => "bad-workload-name",
            Self::NoSlot => "workloads-full",
            Self::NotConfined { .. } => "not-confined",
            Self::NoteLost => "note-lost",
            Self::NoteInvalid => "note-invalid",
        }
    }

    pub(super) fn file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { path: path.as_ref().to_owned(), error }
    }

    pub(super) fn object(name: &str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Object { name: name.to_owned(), error }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoaded(error) => write!(f, "{}: {error} (run `aegis load` first)", super::PINS),
            Self::Object { name, error } => write!(f, "{}/{name}: {error}", super::PINS),
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Missing { path, what } => write!(f, "{path}: {what}"),
            Self::Load { step, error } => write!(f, "{step}: {error}"),
            Self::Policy(error) => write!(f, "{error}"),
            Self::ReadBack { expected, found } => {
                write!(f, "the kernel holds {found} of {expected} rule entries just written")
            }
            Self::NoHashes => f.write_str(
                "the policy has rules by content (hashes), and this kernel can't decide them (IMA, and Linux 6.2 or a 6.1 of \
                 today, are needed; `aegis status` says what bprm_check_security is attached as)",
            ),
            Self::GlassTime => write!(
                f,
                "the glass can be broken for at most {} s from now, and not for a time that is over",
                crate::limits::GLASS_SECONDS
            ),
            Self::GlassReadBack => {
                f.write_str("the kernel does not hold the end of the break that was just written")
            }
            Self::WorkloadName => {
                f.write_str("not a workload name: 1 to 63 letters, digits, `.`, `_`, `-`, not `.` or `..`")
            }
            Self::NoSlot => f.write_str("256 workloads exist already (remove the cgroup of one)"),
            Self::NotConfined { cgroup } => {
                write!(f, "the process is in cgroup {cgroup}, not in its workload's")
            }
            Self::NoteLost => f.write_str("the kernel ring buffer is full (the loss is counted)"),
            Self::NoteInvalid => f.write_str("the event does not fit a note"),
        }
    }
}

impl std::error::Error for KernelError {}
