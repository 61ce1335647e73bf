//! The two sides of every act: what the policy protects, and its unprotected twin.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where the twin files of a scenario are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// ext4: `/data/suite`. Still there at the next boot, when rules are on the objects too. No programs (noexec).
    Disk,
    /// tmpfs: `/scratch`.
    Memory,
}

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// The one that rules speak of.
    pub protected: bool,
    /// Where its files are.
    pub place: Place,
    /// No rule is in force: what would destroy something that is needed later is done in a milder way.
    pub absent: bool,
}

/// A port that no rule speaks of.
pub(crate) const OPEN_PORT: u16 = 6500;
/// Rule `suite-port`: connecting to it by TCP, at any address.
pub(crate) const TCP_PORT: u16 = 6600;
/// Rule `suite-udp`: sending to it by UDP, at any address.
pub(crate) const UDP_PORT: u16 = 6610;
/// Rule `suite-local`: connecting to it at 127.0.0.1, and at the address that means the same.
pub(crate) const LOCAL_PORT: u16 = 6620;
/// Rule `suite-bind`: binding and listening.
pub(crate) const BIND_PORT: u16 = 6700;
/// The same, for nobody's rule.
pub(crate) const FREE_PORT: u16 = 6800;

impl Side {
    /// The folder of this side.
    pub fn root(self) -> &'static str {
        match (self.place, self.protected) {
            (Place::Disk, true) => "/data/suite/p",
            (Place::Disk, false) => "/data/suite/o",
            (Place::Memory, true) => "/scratch/p",
            (Place::Memory, false) => "/scratch/o",
        }
    }

    /// A file of this side.
    pub fn at(self, name: &str) -> String {
        format!("{}/{name}", self.root())
    }

    /// The folder of the twin: where anything may be made.
    pub fn free(self, name: &str) -> String {
        Self { protected: false, ..self }.at(name)
    }

    /// `p` or `o`.
    pub fn letter(self) -> char {
        if self.protected { 'p' } else { 'o' }
    }

    /// An address that rule `suite-net` speaks of, or not.
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(127, if self.protected { 66 } else { 67 }, 0, 1)
    }

    /// The same for IPv6; on the loopback device.
    pub fn v6(self) -> Ipv6Addr {
        Ipv6Addr::new(if self.protected { 0xfd66 } else { 0xfd67 }, 0, 0, 0, 0, 0, 0, 1)
    }

    /// The IPv4 address at the open port.
    pub fn net4(self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.v4()), OPEN_PORT)
    }

    /// The IPv6 address at the open port.
    pub fn net6(self) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.v6()), OPEN_PORT)
    }

    /// The IPv4 address in IPv6 clothes.
    pub fn mapped(self) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.v4().to_ipv6_mapped()), OPEN_PORT)
    }

    /// This port on the protected side, the open one on the other.
    pub fn port(self, port: u16) -> u16 {
        if self.protected { port } else { OPEN_PORT }
    }
}
