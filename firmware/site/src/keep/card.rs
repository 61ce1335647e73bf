//! The network card: raised with one address, and put down again. rtnetlink(7), `linux/rtnetlink.h`, `linux/if_addr.h`.

use std::fs;
use std::io;
use std::net::IpAddr;

use aegis_bundle::Site;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, sendto, socket_with,
};

const NEWLINK: u16 = 16;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const NEWROUTE: u16 = 24;
/// `NLMSG_ERROR`: also an answer that all is well.
const ERROR: u16 = 2;
/// `NLM_F_REQUEST | NLM_F_ACK`, and with them `NLM_F_CREATE | NLM_F_REPLACE`.
const ASK: u16 = 0x5;
const MAKE: u16 = ASK | 0x400 | 0x100;
const UP: u32 = 1;
/// `IFA_F_NODAD`: nobody is waited for who may have that address, too.
const NO_WAIT: u8 = 2;

/// A card that is up.
pub(super) struct Card {
    index: u32,
    address: IpAddr,
    prefix: u8,
}

impl Card {
    /// Raises it: this address, nothing that it could be told from outside.
    pub(super) fn up(site: &Site<'_>) -> io::Result<Self> {
        // Its name is that of no path: `aegis_bundle::is_interface`.
        let index =
            fs::read_to_string(format!("/sys/class/net/{}/ifindex", site.interface)).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::NotFound => {
                        io::Error::new(error.kind(), "no such card (which there are: `aegis doctor`)")
                    }
                    _ => error,
                }
            })?;
        let index = index.trim().parse().map_err(io::Error::other)?;
        settings(site);
        let card = Self { index, address: site.address, prefix: site.prefix };
        let line = Line::open()?;
        line.ask(NEWLINK, ASK, &card.link(UP))?;
        line.ask(NEWADDR, MAKE, &card.own())?;
        if let Some(gateway) = site.gateway {
            line.ask(NEWROUTE, MAKE, &card.route(gateway))?;
        }
        Ok(card)
    }

    /// Puts it down again.
    pub(super) fn down(self) -> io::Result<()> {
        let line = Line::open()?;
        let gone = line.ask(DELADDR, ASK, &self.own());
        line.ask(NEWLINK, ASK, &self.link(0))?;
        gone
    }

    /// `struct ifinfomsg`.
    fn link(&self, flags: u32) -> Vec<u8> {
        [[0; 4], self.index.to_ne_bytes(), flags.to_ne_bytes(), UP.to_ne_bytes()].concat()
    }

    /// `struct ifaddrmsg`, `IFA_LOCAL` and `IFA_ADDRESS`.
    fn own(&self) -> Vec<u8> {
        let (family, octets) = octets(self.address);
        let flags = if self.address.is_ipv6() { NO_WAIT } else { 0 };
        let mut message = vec![family, self.prefix, flags, 0];
        message.extend(self.index.to_ne_bytes());
        attribute(&mut message, 2, &octets);
        attribute(&mut message, 1, &octets);
        message
    }

    /// `struct rtmsg` of the main table, set by hand, to anywhere; `RTA_GATEWAY` and `RTA_OIF`.
    fn route(&self, gateway: IpAddr) -> Vec<u8> {
        let (family, octets) = octets(gateway);
        let mut message = vec![family, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        attribute(&mut message, 5, &octets);
        attribute(&mut message, 4, &self.index.to_ne_bytes());
        message
    }
}

/// What a card could be told by whoever is on its network is not listened to. A kernel without one of them has nothing to set.
fn settings(site: &Site<'_>) {
    let v6_off = if site.address.is_ipv4() { "1" } else { "0" };
    for (family, setting, value) in [
        ("ipv6", "disable_ipv6", v6_off),
        ("ipv6", "accept_ra", "0"),
        ("ipv6", "autoconf", "0"),
        ("ipv6", "accept_redirects", "0"),
        ("ipv4", "accept_redirects", "0"),
        ("ipv4", "secure_redirects", "0"),
        ("ipv4", "send_redirects", "0"),
        ("ipv4", "accept_source_route", "0"),
        ("ipv4", "rp_filter", "1"),
        ("ipv4", "arp_ignore", "1"),
    ] {
        let _ = fs::write(format!("/proc/sys/net/{family}/conf/{}/{setting}", site.interface), value);
    }
}

/// `AF_INET` or `AF_INET6`, and the address.
fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (2, v4.octets().to_vec()),
        IpAddr::V6(v6) => (10, v6.octets().to_vec()),
    }
}

/// `struct rtattr`: each is a multiple of four bytes long here.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend((4 + value.len() as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
}

struct Line(rustix::fd::OwnedFd);

impl Line {
    fn open() -> io::Result<Self> {
        // The protocol that is none: NETLINK_ROUTE.
        Ok(Self(socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?))
    }

    /// `struct nlmsghdr` and a message; the kernel's answer.
    fn ask(&self, kind: u16, flags: u16, message: &[u8]) -> io::Result<()> {
        let mut whole = Vec::with_capacity(16 + message.len());
        whole.extend((16 + message.len() as u32).to_ne_bytes());
        whole.extend(kind.to_ne_bytes());
        whole.extend(flags.to_ne_bytes());
        whole.extend([0; 8]);
        whole.extend(message);
        sendto(&self.0, &whole, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0))?;
        let mut answer = [0; 1024];
        let (_, length) = recv(&self.0, &mut answer, RecvFlags::empty())?;
        let field = |at: usize| answer[..length].get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        match (answer[4..6] == ERROR.to_ne_bytes(), field(16).map(i32::from_ne_bytes)) {
            (true, Some(0)) => Ok(()),
            (true, Some(error)) => Err(io::Error::from_raw_os_error(-error)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
