//! Unix sockets: those with a path are files.

use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixDatagram, UnixStream};

use crate::scenario::{Scenario, Step as _, Stop, denied};
use crate::sys::{self, Message};

const STREAM: super::Expected = ("suite-socket", "unix-connect", "unix_stream_connect");
const DATAGRAM: super::Expected = ("suite-socket", "unix-connect", "unix_may_send");

pub(super) const ALL: &[Scenario] = &[
    denied("unix", "unix-stream", STREAM, |side| {
        UnixStream::connect(side.at("socket")).map(drop).map_err(Stop::from)
    }),
    denied("unix", "unix-tmpfs", STREAM, |side| {
        UnixStream::connect(side.at("socket")).map(drop).map_err(Stop::from)
    })
    .in_memory(),
    denied("unix", "unix-relative", STREAM, |side| {
        std::env::set_current_dir(side.root()).step("chdir")?;
        UnixStream::connect("socket").map(drop).map_err(Stop::from)
    }),
    denied("unix", "unix-symlink", STREAM, |side| {
        let link = side.free("folder/to-socket");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(side.at("socket"), &link).step("symlink")?;
        UnixStream::connect(link).map(drop).map_err(Stop::from)
    }),
    denied("unix", "unix-proc-fd", STREAM, |side| {
        let fd = sys::open(&side.at("socket"), libc::O_PATH).step("O_PATH is no open")?;
        UnixStream::connect(format!("/proc/self/fd/{}", fd.as_raw_fd())).map(drop).map_err(Stop::from)
    }),
    denied("unix", "unix-bound", STREAM, |side| {
        UnixStream::connect(format!("/scratch/m/folder-{}/socket", side.letter()))
            .map(drop)
            .map_err(Stop::from)
    }),
    denied("unix", "unix-packets", STREAM, |side| {
        let socket = sys::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET).step("a socket")?;
        sys::connect(&socket, &sys::unix_address(&side.at("packets")))
    }),
    denied("unix", "unix-in-tree", ("suite-tree", "unix-connect", "unix_stream_connect"), |side| {
        UnixStream::connect(side.at("tree/socket")).map(drop).map_err(Stop::from)
    }),
    denied("unix", "unix-datagram", DATAGRAM, |side| {
        UnixDatagram::unbound().step("a socket")?.connect(side.at("datagrams")).map_err(Stop::from)
    }),
    denied("unix", "unix-sendto", DATAGRAM, |side| {
        UnixDatagram::unbound()
            .step("a socket")?
            .send_to(b"x", side.at("datagrams"))
            .map(drop)
            .map_err(Stop::from)
    }),
    denied("unix", "unix-sendmsg", DATAGRAM, |side| {
        let socket = sys::socket(libc::AF_UNIX, libc::SOCK_DGRAM).step("a socket")?;
        Message::to(&sys::unix_address(&side.at("datagrams"))).send(&socket)
    }),
    denied("unix", "unix-abstract", DATAGRAM, |side| {
        // A name in no file system: no rule can speak of it.
        let socket = sys::socket(libc::AF_UNIX, libc::SOCK_DGRAM).step("a socket")?;
        sys::send_to(&socket, &sys::unix_address("\0suite"), 0).step("to an abstract name")?;
        UnixDatagram::unbound()
            .step("a socket")?
            .send_to(b"x", side.at("datagrams"))
            .map(drop)
            .map_err(Stop::from)
    })
    .allows("unix sockets with an abstract name"),
    denied("unix", "unix-unlink", ("suite-socket", "unlink", "inode_unlink"), |side| {
        // By a stand-in where nothing forbids it: the one outside listens on.
        if !side.protected || side.absent {
            return Ok(());
        }
        std::fs::remove_file(side.at("socket")).map_err(Stop::from)
    }),
];
