//! Addresses: every way in which one is given to the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use crate::outside;
use crate::scenario::{Done, Scenario, Step as _, Stop, denied};
use crate::side::{BIND_PORT, FREE_PORT, LOCAL_PORT, Side, TCP_PORT, UDP_PORT};
use crate::sys::{self, Message};

const CONNECT: super::Expected = ("suite-net", "connect", "socket_connect");
const SEND: super::Expected = ("suite-net", "connect", "socket_sendmsg");
const BIND: super::Expected = ("suite-bind", "bind", "socket_bind");

pub(super) const ALL: &[Scenario] = &[
    denied("connect v4", "v4-stream", CONNECT, |side| {
        TcpStream::connect(side.net4()).map(drop).map_err(Stop::from)
    }),
    denied("connect v4", "v4-nonblock", CONNECT, |side| {
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK).step("a socket")?;
        match sys::connect(&socket, &sys::address(side.net4())) {
            Err(Stop::Errno(libc::EINPROGRESS)) => Ok(()),
            other => other,
        }
    }),
    denied("connect v4", "v4-datagram", CONNECT, |side| udp4()?.connect(side.net4()).map_err(Stop::from)),
    denied("connect v4", "v4-fork", CONNECT, |side| {
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM).step("a socket")?;
        sys::in_child(|| sys::connect(&socket, &sys::address(side.net4())))
    }),
    denied("connect v4", "v4-port", ("suite-port", "connect", "socket_connect"), |side| {
        TcpStream::connect(("127.0.0.1", side.port(TCP_PORT))).map(drop).map_err(Stop::from)
    }),
    denied("connect v4", "v4-any-address", ("suite-local", "connect", "socket_connect"), |side| {
        // To no address at all: it means 127.0.0.1, and a rule that speaks of that speaks of this too.
        TcpStream::connect(("0.0.0.0", side.port(LOCAL_PORT))).map(drop).map_err(Stop::from)
    }),
    denied("connect v4", "v4-exception", CONNECT, |side| {
        let port = side.net4().port();
        TcpStream::connect(("127.66.9.9", port)).map(drop).step("an override within the denied range")?;
        TcpStream::connect(side.net4()).map(drop).map_err(Stop::from)
    })
    .allows("what an `allow` rule with `override` names"),
    denied("connect v4", "v4-fast-open", SEND, |side| {
        // Data with the first packet: no connect(2) at all.
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM).step("a socket")?;
        sys::send_to(&socket, &sys::address(side.net4()), libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL)
    }),
    denied("connect v4", "v4-fast-later", CONNECT, |side| {
        const TCP_FASTOPEN_CONNECT: i32 = 30;
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM).step("a socket")?;
        sys::set_option(&socket, libc::IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1).step("an option")?;
        sys::connect(&socket, &sys::address(side.net4()))
    }),
    denied("connect v6", "v6-stream", CONNECT, |side| {
        TcpStream::connect(side.net6()).map(drop).map_err(Stop::from)
    }),
    denied("connect v6", "v6-datagram", CONNECT, |side| udp6()?.connect(side.net6()).map_err(Stop::from)),
    denied("connect v6", "v6-port", ("suite-port", "connect", "socket_connect"), |side| {
        TcpStream::connect(("::1", side.port(TCP_PORT))).map(drop).map_err(Stop::from)
    }),
    denied("connect v6", "v6-sendto", SEND, |side| {
        udp6()?.send_to(b"x", side.net6()).map(drop).map_err(Stop::from)
    }),
    denied("connect mapped", "mapped-stream", CONNECT, |side| {
        TcpStream::connect(side.mapped()).map(drop).map_err(Stop::from)
    }),
    denied("connect mapped", "mapped-datagram", CONNECT, |side| dual()?.connect_to(side.mapped())),
    denied("connect mapped", "mapped-sendto", SEND, |side| dual()?.send_to(&sys::address(side.mapped()))),
    denied("connect mapped", "mapped-port", ("suite-port", "connect", "socket_connect"), |side| {
        let address = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        TcpStream::connect((address, side.port(TCP_PORT))).map(drop).map_err(Stop::from)
    }),
    denied("connect mapped", "six-as-four", SEND, |side| {
        // An IPv6 socket takes an IPv4 address as it is.
        dual()?.send_to(&sys::address(side.net4()))
    }),
    denied("connect mapped", "six-as-four-c", CONNECT, |side| dual()?.connect_to(side.net4())),
    denied("UDP", "udp-sendto", SEND, |side| {
        udp4()?.send_to(b"x", side.net4()).map(drop).map_err(Stop::from)
    }),
    denied("UDP", "udp-sendmsg", SEND, |side| {
        Message::to(&sys::address(side.net4())).send(&OwnedFd::from(udp4()?))
    }),
    denied("UDP", "udp-sendmmsg", SEND, |side| {
        // The first is for an address that is free: it goes out, and the call says so. The next call begins with the other.
        let free = Side { protected: false, ..side };
        let socket = OwnedFd::from(udp4()?);
        let messages = [Message::to(&sys::address(free.net4())), Message::to(&sys::address(side.net4()))];
        match Message::send_all(&messages, &socket)? {
            2 => Ok(()),
            1 => Message::send_all(&messages[1..], &socket).map(drop).map_err(Stop::from),
            sent => Err(Stop::Broken(format!("{sent} were sent"))),
        }
    }),
    denied("UDP", "udp-connected", SEND, |side| {
        // Connected to a free address, sending to another all the same.
        let free = Side { protected: false, ..side };
        let socket = udp4()?;
        socket.connect(free.net4()).step("connect")?;
        socket.send(b"x").map(drop).step("send")?;
        sys::send_to(&OwnedFd::from(socket), &sys::address(side.net4()), 0)
    }),
    denied("UDP", "udp-port", ("suite-udp", "connect", "socket_sendmsg"), |side| {
        udp4()?.send_to(b"x", ("127.0.0.1", side.port(UDP_PORT))).map(drop).map_err(Stop::from)
    }),
    denied("UDP", "udp-no-family", SEND, |side| {
        // No family is taken for IPv4 (net/ipv4/udp.c:udp_sendmsg).
        sys::send_to(&OwnedFd::from(udp4()?), &sys::address_as(libc::AF_UNSPEC, side.net4()), 0)
    }),
    denied("UDP", "udp-other-proto", ("suite-udp", "connect", "socket_sendmsg"), |side| {
        // The rule on TCP's port does not speak of UDP.
        udp4()?.send_to(b"x", ("127.0.0.1", TCP_PORT)).map(drop).step("UDP to the denied port of TCP")?;
        udp4()?.send_to(b"x", ("127.0.0.1", side.port(UDP_PORT))).map(drop).map_err(Stop::from)
    })
    .allows("another protocol than the rule names"),
    denied("bind", "bind-stream", BIND, |side| bind(libc::AF_INET, libc::SOCK_STREAM, side)),
    denied("bind", "bind-datagram", BIND, |side| bind(libc::AF_INET, libc::SOCK_DGRAM, side)),
    denied("bind", "bind-v6", BIND, |side| bind(libc::AF_INET6, libc::SOCK_STREAM, side)),
    denied("bind", "bind-v6-udp", BIND, |side| bind(libc::AF_INET6, libc::SOCK_DGRAM, side)),
    denied("bind", "bind-mapped", BIND, |side| {
        let socket = sys::socket(libc::AF_INET6, libc::SOCK_STREAM).step("a socket")?;
        let address = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        sys::bind(&socket, &sys::address(SocketAddr::new(address, bind_port(side))))
    }),
    denied("bind", "bind-no-family", BIND, |side| {
        // No family, and no address, is IPv4 for bind(2) (net/ipv4/af_inet.c:__inet_bind).
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM).step("a socket")?;
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), bind_port(side));
        sys::bind(&socket, &sys::address_as(libc::AF_UNSPEC, any))
    }),
    denied("bind", "bind-listen", BIND, |side| {
        TcpListener::bind(("127.0.0.1", bind_port(side))).map(drop).map_err(Stop::from)
    }),
    denied("bind", "bind-zero", BIND, |side| {
        // Which port it is is for the kernel to say.
        let socket = sys::socket(libc::AF_INET, libc::SOCK_DGRAM).step("a socket")?;
        sys::bind(&socket, &sys::address(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))).step("port 0")?;
        bind(libc::AF_INET, libc::SOCK_DGRAM, side)
    })
    .allows("a port that the kernel chooses"),
    denied("connect v4", "sctp-none", CONNECT, |side| {
        // Its own calls come to another hook.
        const IPPROTO_SCTP: usize = 132;
        let (family, kind) = (libc::AF_INET as usize, libc::SOCK_STREAM as usize);
        match sys::fd_of(sys::call(libc::SYS_socket, &[family, kind, IPPROTO_SCTP])) {
            Err(libc::EPROTONOSUPPORT) => TcpStream::connect(side.net4()).map(drop).map_err(Stop::from),
            Err(number) => Err(Stop::Broken(format!("SCTP: errno {number}"))),
            Ok(_) => Err(Stop::Broken("this kernel speaks SCTP".to_owned())),
        }
    })
    .allows("SCTP's own calls, where a kernel has them: these have not"),
    denied("listen", "listen-handed", ("suite-bind", "listen", "socket_listen"), |side| {
        // A socket that somebody else bound.
        sys::listen(&outside::bound(side.protected)?)
    }),
];

fn bind_port(side: Side) -> u16 {
    if side.protected { BIND_PORT + 1 } else { FREE_PORT + 1 }
}

fn udp4() -> Result<UdpSocket, Stop> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).step("a socket")
}

fn udp6() -> Result<UdpSocket, Stop> {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).step("a socket")
}

/// A datagram socket of both families.
struct Dual(OwnedFd);

fn dual() -> Result<Dual, Stop> {
    sys::socket(libc::AF_INET6, libc::SOCK_DGRAM).step("a socket").map(Dual)
}

impl Dual {
    fn connect_to(&self, address: SocketAddr) -> Done {
        sys::connect(&self.0, &sys::address(address))
    }

    fn send_to(&self, address: &[u8]) -> Done {
        sys::send_to(&self.0, address, 0)
    }
}

fn bind(family: i32, kind: i32, side: Side) -> Done {
    let socket = sys::socket(family, kind).step("a socket")?;
    let any: IpAddr =
        if family == libc::AF_INET { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    sys::bind(&socket, &sys::address(SocketAddr::new(any, bind_port(side))))
}
