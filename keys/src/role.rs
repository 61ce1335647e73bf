//! What a key is for.

use aegis_bundle::{Role, Root};

/// What a key is for. Device keys are not among them: they never leave their device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyRole {
    /// Signs root metadata.
    Root,
    /// Signs bundles.
    Policy,
    /// Signs break-glass tokens.
    BreakGlass,
    /// Signs images of the system.
    Image,
    /// Signs workloads.
    Workload,
}

impl KeyRole {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Root, Self::Policy, Self::BreakGlass, Self::Image, Self::Workload];

    /// The word in key files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Policy => "policy",
            Self::BreakGlass => "break-glass",
            Self::Image => "image",
            Self::Workload => "workload",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What it signs, for people.
    pub const fn signs(self) -> &'static str {
        match self {
            Self::Root => "root metadata",
            Self::Policy => "bundles",
            Self::BreakGlass => "break-glass tokens",
            Self::Image => "images",
            Self::Workload => "workloads",
        }
    }

    /// Keys and threshold of the role in root metadata; `None` when nobody has it.
    pub const fn of(self, root: &Root) -> Option<&Role> {
        match self {
            Self::Root => Some(&root.root),
            Self::Policy => Some(&root.policy),
            Self::BreakGlass => root.break_glass.as_ref(),
            Self::Image => root.image.as_ref(),
            Self::Workload => root.workload.as_ref(),
        }
    }

    /// True for a role that nobody needs to have.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::BreakGlass | Self::Image | Self::Workload)
    }
}

impl std::fmt::Display for KeyRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
