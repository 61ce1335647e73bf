//! Bytes received and sent by sockets, by every way there is. The client's end is closed before the server's.

use std::io::{Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use crate::scenario::{Done, Step as _, Stop};
use crate::sys::{self, call, n};

/// More than anything here takes, and an error instead of a guest that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is done, and its name.
type Part = (&'static str, fn() -> Done);

pub(super) fn all() -> Done {
    let parts: [Part; 15] = [
        ("TCP", streams),
        ("TCP closed before it was sent", || unsent("127.0.0.1:7204", "127.0.0.1:7304", false)),
        ("TCP shut down before it was sent", || unsent("127.0.0.1:7218", "127.0.0.1:7318", true)),
        ("connected datagrams", connected),
        ("sendto", sendto),
        ("sendmsg", sendmsg),
        ("sendmmsg", sendmmsg),
        ("IPv6", six),
        ("IPv4 in IPv6 clothes", mapped),
        ("both families", both),
        ("looked at", peeked),
        ("come back", come_back),
        ("two descriptors", dup),
        ("nothing", nothing),
        ("MPTCP", mptcp),
    ];
    parts.iter().try_for_each(|(name, act)| act().map_err(|stop| Stop::Broken(format!("{name}: {stop:?}"))))
}

fn parse(address: &str) -> SocketAddr {
    address.parse().expect("an address written here")
}

/// A connection: a server listening at an address, a client at another, and what the client takes the server's for.
pub(super) fn stream(listens: &str, client: &str, server: &str) -> Result<(TcpStream, TcpStream), Stop> {
    stream_with(listens, client, server, 0)
}

/// The same with so much room for what the server receives; 0: as the kernel likes.
fn stream_with(listens: &str, client: &str, server: &str, room: i32) -> Result<(TcpStream, TcpStream), Stop> {
    let (client, server) = (parse(client), parse(server));
    let listener = TcpListener::bind(listens).step("listen")?;
    let listener = OwnedFd::from(listener);
    if room != 0 {
        sys::set_option(&listener, libc::SOL_SOCKET, libc::SO_RCVBUF, room).step("SO_RCVBUF")?;
    }
    let listener = TcpListener::from(listener);
    let family = if client.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = sys::socket(family, libc::SOCK_STREAM).step("a socket")?;
    sys::bind(&socket, &sys::address(client)).step("bind")?;
    sys::connect(&socket, &sys::address(server)).step("connect")?;
    let (accepted, _) = listener.accept().step("accept")?;
    let connected = TcpStream::from(socket);
    for end in [&connected, &accepted] {
        end.set_read_timeout(Some(PATIENCE)).step("a timeout")?;
        end.set_write_timeout(Some(PATIENCE)).step("a timeout")?;
    }
    Ok((connected, accepted))
}

/// Two datagram sockets: a client and a server.
fn datagrams(client: &str, server: &str) -> Result<(UdpSocket, UdpSocket), Stop> {
    let bound = |address: &str| -> Result<UdpSocket, Stop> {
        let socket = UdpSocket::bind(address).step(address)?;
        socket.set_read_timeout(Some(PATIENCE)).step("a timeout")?;
        Ok(socket)
    };
    Ok((bound(client)?, bound(server)?))
}

fn receive(from: &mut impl Read, bytes: usize) -> Done {
    from.read_exact(&mut vec![0; bytes]).step("receive")
}

/// Takes datagrams of these lengths.
fn take(socket: &UdpSocket, lengths: &[usize]) -> Done {
    for length in lengths {
        let got = socket.recv_from(&mut [0; 2048]).step("recvfrom")?.0;
        if got != *length {
            return Err(Stop::Broken(format!("{got} bytes of {length}")));
        }
    }
    Ok(())
}

/// There and back, over IPv4, IPv6, and from one to the other.
fn streams() -> Done {
    let all = [
        ("127.0.0.1:7201", "127.0.0.1:7301", "127.0.0.1:7201", 4000, 617),
        ("[::1]:7202", "[::1]:7302", "[::1]:7202", 1, 50),
        ("127.0.0.1:7203", "[::ffff:127.0.0.1]:7303", "[::ffff:127.0.0.1]:7203", 40, 0),
    ];
    for (listens, client, server, there, back) in all {
        let (mut client, mut server) = stream(listens, client, server)?;
        for _ in 0..5 {
            client.write_all(&vec![0; there]).step("send")?;
            server.peek(&mut [0; 1]).step("peek")?;
            receive(&mut server, there)?;
        }
        server.write_all(&vec![0; back]).step("send")?;
        receive(&mut client, back)?;
        drop(client);
        if server.read(&mut [0; 1]).step("the end")? != 0 {
            return Err(Stop::Broken("more than was sent".to_owned()));
        }
    }
    Ok(())
}

/// Most of it is still here when the socket is closed: the kernel sends it afterwards.
fn unsent(server: &str, client: &str, shut_down: bool) -> Done {
    const ALL: usize = 100_000;
    let (mut client, mut server) = stream_with(server, client, server, 4096)?;
    let other = OwnedFd::from(client.try_clone().step("dup")?);
    sys::set_option(&other, libc::SOL_SOCKET, libc::SO_SNDBUF, 1 << 20).step("SO_SNDBUF")?;
    drop(other);
    client.write_all(&vec![0; ALL]).step("send")?;
    if shut_down {
        client.shutdown(Shutdown::Write).step("shutdown")?;
    }
    drop(client);
    receive(&mut server, ALL)
}

/// By send(2), write(2), recv(2) and read(2), between two that know each other.
fn connected() -> Done {
    let (client, server) = datagrams("127.0.0.1:7305", "127.0.0.1:7205")?;
    client.connect("127.0.0.1:7205").step("connect")?;
    server.connect("127.0.0.1:7305").step("connect")?;
    client.send(&[0; 10]).step("send")?;
    let client = sys::file(client.into());
    (&client).write_all(&[0; 21]).step("write")?;
    take(&server, &[10])?;
    let mut server = sys::file(server.into());
    receive(&mut server, 21)?;
    server.write_all(&[0; 7]).step("write")?;
    receive(&mut &client, 7)?;
    drop(client);
    Ok(())
}

fn sendto() -> Done {
    let (client, server) = datagrams("127.0.0.1:7306", "127.0.0.1:7206")?;
    for length in [10, 20, 30] {
        client.send_to(&vec![0; length], "127.0.0.1:7206").step("sendto")?;
    }
    drop(client);
    take(&server, &[10, 20, 30])
}

/// A message as `struct msghdr`: to an address or (none) from any, in pieces, all of which live on.
fn message(address: &[u8], pieces: &[[usize; 2]]) -> [usize; 7] {
    let name = if address.is_empty() { 0 } else { sys::at(address) };
    [name, address.len(), sys::at(pieces), pieces.len(), 0, 0, 0]
}

fn sendmsg() -> Done {
    let (client, server) = datagrams("127.0.0.1:7307", "127.0.0.1:7207")?;
    let address = sys::address(parse("127.0.0.1:7207"));
    let mut bytes = [0_u8; 64];
    let pieces = [[bytes.as_mut_ptr() as usize, 11], [bytes.as_mut_ptr() as usize, 22]];
    let sent = message(&address, &pieces);
    for _ in 0..2 {
        call(libc::SYS_sendmsg, &[n(client.as_raw_fd()), sys::at(&sent), 0]).step("sendmsg")?;
    }
    drop(client);
    let taken = message(&[], &pieces);
    for _ in 0..2 {
        let got = call(libc::SYS_recvmsg, &[n(server.as_raw_fd()), sys::at(&taken), 0]).step("recvmsg")?;
        if got != 33 {
            return Err(Stop::Broken(format!("{got} of 33")));
        }
    }
    Ok(())
}

/// Several messages a call, sent and received.
fn sendmmsg() -> Done {
    const LENGTHS: [usize; 4] = [100, 200, 300, 400];
    let (client, server) = datagrams("127.0.0.1:7308", "127.0.0.1:7208")?;
    let address = sys::address(parse("127.0.0.1:7208"));
    let mut bytes = vec![0_u8; 512];
    let outgoing = LENGTHS.map(|length| [[bytes.as_mut_ptr() as usize, length]]);
    let incoming = LENGTHS.map(|_| [[bytes.as_mut_ptr() as usize, 512]]);
    // `struct mmsghdr`: a message, and how much of it there was.
    let with = |address: &[u8], pieces: &[[usize; 2]; 1]| {
        let mut message = message(address, pieces).to_vec();
        message.push(0);
        message
    };
    let sent: Vec<usize> = outgoing.iter().flat_map(|pieces| with(&address, pieces)).collect();
    let taken: Vec<usize> = incoming.iter().flat_map(|pieces| with(&[], pieces)).collect();
    let list = |socket: &UdpSocket, all: &[usize]| [n(socket.as_raw_fd()), sys::at(all), 4, 0, 0];
    let out = call(libc::SYS_sendmmsg, &list(&client, &sent)).step("sendmmsg")?;
    drop(client);
    let come = call(libc::SYS_recvmmsg, &list(&server, &taken)).step("recvmmsg")?;
    if (out, come) == (4, 4) { Ok(()) } else { Err(Stop::Broken(format!("{out} and {come} of 4"))) }
}

fn six() -> Done {
    let (client, server) = datagrams("[::1]:7309", "[::1]:7209")?;
    client.send_to(&[0; 60], "[::1]:7209").step("sendto")?;
    take(&server, &[60])?;
    server.send_to(&[0; 61], "[::1]:7309").step("sendto")?;
    take(&client, &[61])?;
    drop(client);
    Ok(())
}

/// An IPv6 socket that has an IPv4 address.
fn mapped() -> Done {
    let (client, server) = datagrams("[::ffff:127.0.0.1]:7310", "127.0.0.1:7210")?;
    client.send_to(&[0; 70], "[::ffff:127.0.0.1]:7210").step("sendto")?;
    client.connect("[::ffff:127.0.0.1]:7210").step("connect")?;
    client.send(&[0; 3]).step("send")?;
    take(&server, &[70, 3])?;
    server.send_to(&[0; 80], "127.0.0.1:7310").step("sendto")?;
    take(&client, &[80])?;
    drop(client);
    Ok(())
}

/// An IPv6 socket that has no address of its own, and is sent to by IPv4 and IPv6.
fn both() -> Done {
    let (client, server) = datagrams("127.0.0.1:7311", "[::]:7211")?;
    client.send_to(&[0; 90], "127.0.0.1:7211").step("sendto")?;
    drop(client);
    take(&server, &[90])?;
    let (client, _) = datagrams("[::1]:7311", "127.0.0.1:7411")?;
    client.send_to(&[0; 5], "[::1]:7211").step("sendto")?;
    drop(client);
    take(&server, &[5])
}

/// What is looked at first is received once.
fn peeked() -> Done {
    let (client, server) = datagrams("127.0.0.1:7312", "127.0.0.1:7212")?;
    client.send_to(&[0; 44], "127.0.0.1:7212").step("sendto")?;
    drop(client);
    for _ in 0..3 {
        server.peek_from(&mut [0; 64]).step("peek")?;
    }
    take(&server, &[44])
}

/// Nobody is there: what was sent comes back as an error, with its bytes. Nothing was received.
fn come_back() -> Done {
    const IP_RECVERR: i32 = 11;
    let client = UdpSocket::bind("127.0.0.1:7313").step("bind")?;
    client.connect("127.0.0.1:7213").step("connect")?;
    let client = OwnedFd::from(client);
    sys::set_option(&client, libc::SOL_IP, IP_RECVERR, 1).step("IP_RECVERR")?;
    sys::write(client.as_raw_fd(), &[0; 33]).step("send")?;
    let mut bytes = [0_u8; 64];
    let pieces = [[bytes.as_mut_ptr() as usize, bytes.len()]];
    let taken = message(&[], &pieces);
    for _ in 0..500 {
        match call(libc::SYS_recvmsg, &[n(client.as_raw_fd()), sys::at(&taken), n(libc::MSG_ERRQUEUE)]) {
            Ok(33) => return Ok(()),
            Err(libc::EAGAIN) => std::thread::sleep(Duration::from_millis(10)),
            other => return Err(Stop::Broken(format!("the error's message: {other:?}"))),
        }
    }
    Err(Stop::Broken("no error came back".to_owned()))
}

/// One socket with two descriptors is one flow.
fn dup() -> Done {
    let (client, server) = datagrams("127.0.0.1:7314", "127.0.0.1:7214")?;
    let other = client.try_clone().step("dup")?;
    client.send_to(&[0; 8], "127.0.0.1:7214").step("sendto")?;
    drop(client);
    other.send_to(&[0; 9], "127.0.0.1:7214").step("sendto")?;
    drop(other);
    take(&server, &[8, 9])
}

/// Sockets that nothing went through are no flows.
fn nothing() -> Done {
    stream("127.0.0.1:7215", "127.0.0.1:7315", "127.0.0.1:7215")?;
    datagrams("127.0.0.1:7316", "127.0.0.1:7216")?;
    Ok(())
}

/// TCP in several connections of the kernel's, where it has that.
fn mptcp() -> Done {
    let socket = || {
        let list = [n(libc::AF_INET), n(libc::SOCK_STREAM | libc::SOCK_CLOEXEC), n(libc::IPPROTO_MPTCP)];
        sys::fd_of(call(libc::SYS_socket, &list))
    };
    let listener = match socket() {
        Err(libc::EPROTONOSUPPORT | libc::ENOPROTOOPT | libc::EINVAL) => {
            println!("mptcp 0");
            return Ok(());
        }
        other => other.step("a socket")?,
    };
    println!("mptcp 1");
    let [own, other] = ["127.0.0.1:7217", "127.0.0.1:7317"].map(|text| sys::address(parse(text)));
    sys::bind(&listener, &own).step("bind")?;
    sys::listen(&listener).step("listen")?;
    let client = socket().step("a socket")?;
    sys::bind(&client, &other).step("bind")?;
    sys::connect(&client, &own).step("connect")?;
    let (mut server, _) = TcpListener::from(listener).accept().step("accept")?;
    let mut client = TcpStream::from(client);
    client.write_all(&[0; 150]).step("send")?;
    receive(&mut server, 150)?;
    server.write_all(&[0; 51]).step("send")?;
    receive(&mut client, 51)?;
    drop(client);
    Ok(())
}
