//! Addresses, and the prefixes that rules are on.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A family of addresses. The number is the kernel's (`AF_INET`, `AF_INET6`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    Inet = 2,
    /// IPv6.
    Inet6 = 10,
}

impl Family {
    /// The value with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::Inet),
            10 => Some(Self::Inet6),
            _ => None,
        }
    }

    /// The kernel's number, which is also the one on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Bits of an address.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Inet => 32,
            Self::Inet6 => 128,
        }
    }
}

/// All addresses that begin with the same bits. Ordered so that one which contains others stands right before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The family.
    pub family: Family,
    /// Network order; the first four bytes of IPv4. Bits behind the prefix are 0.
    pub address: [u8; 16],
    /// How many bits count.
    pub bits: u8,
}

/// `::ffff:0:0/96`: where IPv6 has the IPv4 addresses.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Prefix {
    /// Every IPv4 address.
    pub const INET: Self = Self { family: Family::Inet, address: [0; 16], bits: 0 };
    /// Every IPv6 address.
    pub const INET6: Self = Self { family: Family::Inet6, address: [0; 16], bits: 0 };

    /// The prefix of an address with so many bits, at most as many as it has; bits behind them are cleared. An IPv4
    /// prefix in IPv6 clothes is taken out of them.
    pub fn new(address: IpAddr, bits: u8) -> Self {
        let mut prefix = match address {
            IpAddr::V4(address) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&address.octets());
                Self { family: Family::Inet, address: bytes, bits: bits.min(32) }
            }
            IpAddr::V6(address) => {
                Self { family: Family::Inet6, address: address.octets(), bits: bits.min(128) }.plain()
            }
        };
        prefix.address = masked(prefix.address, prefix.bits);
        prefix
    }

    /// The prefix of one address, as the kernel has it; `None` for another family or too few bytes.
    pub fn of(family: Family, address: &[u8]) -> Option<Self> {
        let bytes = usize::from(family.bits() / 8);
        let mut whole = [0; 16];
        whole[..bytes].copy_from_slice(address.get(..bytes)?);
        Some(Self { family, address: whole, bits: family.bits() }.plain())
    }

    /// True when every address of the other is one of this.
    pub fn contains(&self, other: &Self) -> bool {
        self.family == other.family
            && self.bits <= other.bits
            && masked(other.address, self.bits) == self.address
    }

    /// True when this is the one writing of a prefix: no more bits than there are, none set behind them, and an IPv4
    /// address is IPv4.
    pub(crate) fn is_canonical(&self) -> bool {
        self.bits <= self.family.bits()
            && masked(self.address, self.bits) == self.address
            && self.plain() == *self
    }

    /// Out of its IPv6 clothes, if it is in them.
    fn plain(self) -> Self {
        let is_mapped = self.family == Family::Inet6 && self.bits >= 96 && self.address[..12] == MAPPED;
        if !is_mapped {
            return self;
        }
        let mut address = [0; 16];
        address[..4].copy_from_slice(&self.address[12..]);
        Self { family: Family::Inet, address, bits: self.bits - 96 }
    }

    /// Its first address.
    pub fn first(&self) -> IpAddr {
        match self.family {
            Family::Inet => {
                let [a, b, c, d, ..] = self.address;
                Ipv4Addr::new(a, b, c, d).into()
            }
            Family::Inet6 => Ipv6Addr::from(self.address).into(),
        }
    }
}

impl fmt::Display for Prefix {
    /// As a policy source has it: an address alone when all bits count.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == self.family.bits() {
            write!(f, "{}", self.first())
        } else {
            write!(f, "{}/{}", self.first(), self.bits)
        }
    }
}

fn masked(address: [u8; 16], bits: u8) -> [u8; 16] {
    let mask = match bits {
        0 => 0,
        bits => u128::MAX << (128 - u32::from(bits.min(128))),
    };
    (u128::from_be_bytes(address) & mask).to_be_bytes()
}
