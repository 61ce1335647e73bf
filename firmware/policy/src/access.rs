//! What a workload does, and what a policy says of it.

use aegis_event::Verdict;

use crate::list::{Hashes, Ports, Prefixes, Protocols, Strings};
use crate::model::{Effect, Kind, Operation};
use crate::names::is_within;
use crate::net::{Family, Prefix};
use crate::view::Rule;

/// What a rule is on.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// Files.
    Files {
        /// Exactly these.
        paths: Strings<'a>,
        /// These directories, and all that lies below them.
        trees: Strings<'a>,
    },
    /// Addresses: all three have to fit.
    Addresses {
        /// Where.
        prefixes: Prefixes<'a>,
        /// At which ports; all is one range, 0 to 65535.
        ports: Ports<'a>,
        /// By which protocols; any is 0.
        protocols: Protocols<'a>,
    },
    /// Programs, by the SHA-256 of what is in them.
    Hashes(Hashes<'a>),
    /// The kernel's own surface.
    Surface,
}

/// One thing that a workload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access<'a> {
    /// To a file.
    File {
        /// Its path, taken as the file of that name.
        path: &'a [u8],
        /// What.
        operation: Operation,
        /// SHA-256 of what is in it, if it is known.
        digest: Option<&'a [u8; 32]>,
    },
    /// To an address.
    Address {
        /// Its family.
        family: Family,
        /// Network order, four or sixteen bytes; an IPv4 address in IPv6 clothes is one of IPv4.
        address: &'a [u8],
        /// 0 where the protocol has none.
        port: u16,
        /// `IPPROTO_*`.
        protocol: u8,
        /// What.
        operation: Operation,
    },
    /// To the kernel's own surface.
    Surface(Operation),
}

/// What a policy says of one access.
#[derive(Clone, Debug)]
pub struct Decision<'a> {
    /// What happens.
    pub verdict: Verdict,
    /// The rule that decided; `None` when no rule speaks of the access.
    pub rule: Option<Rule<'a>>,
    /// The weight by which it did.
    pub effect: Option<Effect>,
}

impl Target<'_> {
    /// Which kind of thing.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Files { .. } => Kind::Files,
            Self::Addresses { .. } => Kind::Addresses,
            Self::Hashes(_) => Kind::Hashes,
            Self::Surface => Kind::Surface,
        }
    }

    /// True when it is on what the access is to, whatever the operation.
    pub fn covers(&self, access: &Access<'_>) -> bool {
        match (self.clone(), access) {
            (Target::Files { mut paths, mut trees }, Access::File { path, .. }) => {
                paths.any(|of| of.as_bytes() == *path) || trees.any(|of| is_within(of.as_bytes(), path))
            }
            (Target::Hashes(mut hashes), Access::File { digest: Some(digest), .. }) => {
                hashes.any(|hash| hash == **digest)
            }
            (
                Target::Addresses { mut prefixes, mut ports, mut protocols },
                Access::Address { family, address, port, protocol, .. },
            ) => {
                Prefix::of(*family, address).is_some_and(|one| prefixes.any(|of| of.contains(&one)))
                    && ports.any(|(first, last)| (first..=last).contains(port))
                    && protocols.any(|of| of == 0 || of == *protocol)
            }
            (Target::Surface, Access::Surface(_)) => true,
            _ => false,
        }
    }
}

impl Access<'_> {
    /// What is done.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::File { operation, .. } | Self::Address { operation, .. } | Self::Surface(operation) => {
                *operation
            }
        }
    }
}
