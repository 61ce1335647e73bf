//! `io_uring`: the same operations, asked for in memory, done by the task itself or by a worker thread of the kernel's.

use std::fs;
use std::os::fd::AsRawFd as _;

use super::{READ, WRITE};
use crate::scenario::{Done, Scenario, Step as _, Stop, denied};
use crate::sys::{self, HERE};
use crate::uring::{Op, Request, Ring, place};

pub(super) const ALL: &[Scenario] = &[
    denied("io_uring", "ur-openat", READ, |side| {
        open_at(&Ring::new(false)?, &side.at("secret"), libc::O_RDONLY)
    }),
    denied("io_uring", "ur-write", WRITE, |side| {
        open_at(&Ring::new(false)?, &side.at("config"), libc::O_WRONLY)
    }),
    denied("io_uring", "ur-polled", READ, |side| {
        open_at(&Ring::new(true)?, &side.at("secret"), libc::O_RDONLY)
    }),
    denied("io_uring", "ur-tmpfs", READ, |side| {
        open_at(&Ring::new(false)?, &side.at("secret"), libc::O_RDONLY)
    })
    .in_memory(),
    denied("io_uring", "ur-tree", super::TREE, |side| {
        open_at(&Ring::new(false)?, &side.at("tree/deep/er/file"), libc::O_RDONLY)
    }),
    denied("io_uring", "ur-openat2", READ, |side| {
        let (path, how) = (sys::c(&side.at("secret")), [0_u64; 3]);
        let request =
            Request { fd: HERE, address: path.as_ptr() as usize, offset: place(&how), length: 24, flags: 0 };
        Ring::new(false)?.ask(Op::OpenAt2, &request).map(drop)
    }),
    denied("io_uring", "ur-renameat", ("suite-read", "rename", "inode_rename"), |side| {
        let to = side.at("moved");
        two_names(Op::RenameAt, &side.at("secret"), &to)?;
        fs::rename(to, side.at("secret")).step("back")
    }),
    denied("io_uring", "ur-unlinkat", ("suite-read", "unlink", "inode_unlink"), |side| {
        let path = sys::c(&side.at("secret"));
        let request = Request { fd: HERE, address: path.as_ptr() as usize, ..Request::default() };
        Ring::new(false)?.ask(Op::UnlinkAt, &request).map(drop)
    }),
    denied("io_uring", "ur-linkat", ("suite-read", "link", "inode_link"), |side| {
        let to = side.at("linked");
        two_names(Op::LinkAt, &side.at("secret"), &to)?;
        fs::remove_file(to).step("remove")
    }),
    denied("io_uring", "ur-mkdirat", ("suite-tree", "create", "inode_create"), |side| {
        let path = sys::c(&side.at("tree/new"));
        let request =
            Request { fd: HERE, address: path.as_ptr() as usize, length: 0o755, ..Request::default() };
        Ring::new(false)?.ask(Op::MkdirAt, &request)?;
        fs::remove_dir(side.at("tree/new")).step("remove")
    }),
    denied("io_uring", "ur-symlinkat", ("suite-tree", "create", "inode_create"), |side| {
        let (target, path) = (sys::c("plain"), sys::c(&side.at("tree/new")));
        let request = Request {
            fd: HERE,
            address: target.as_ptr() as usize,
            offset: path.as_ptr() as usize,
            ..Request::default()
        };
        Ring::new(false)?.ask(Op::SymlinkAt, &request)?;
        fs::remove_file(side.at("tree/new")).step("remove")
    }),
    denied("io_uring", "ur-connect", ("suite-net", "connect", "socket_connect"), |side| {
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM).step("a socket")?;
        let address = sys::address(side.net4());
        let request = Request {
            fd: socket.as_raw_fd(),
            address: place(&address[..]),
            offset: address.len(),
            ..Request::default()
        };
        Ring::new(false)?.ask(Op::Connect, &request).map(drop)
    }),
    denied("io_uring", "ur-sendmsg", ("suite-net", "connect", "socket_sendmsg"), |side| {
        let socket = sys::socket(libc::AF_INET, libc::SOCK_DGRAM).step("a socket")?;
        let message = sys::Message::to(&sys::address(side.net4()));
        let request =
            Request { fd: socket.as_raw_fd(), address: message.header(), length: 1, ..Request::default() };
        Ring::new(false)?.ask(Op::SendMessage, &request).map(drop)
    }),
    denied("io_uring", "ur-unix", ("suite-socket", "unix-connect", "unix_stream_connect"), |side| {
        let socket = sys::socket(libc::AF_UNIX, libc::SOCK_STREAM).step("a socket")?;
        let address = sys::unix_address(&side.at("socket"));
        let request = Request {
            fd: socket.as_raw_fd(),
            address: place(&address[..]),
            offset: address.len(),
            ..Request::default()
        };
        Ring::new(false)?.ask(Op::Connect, &request).map(drop)
    }),
];

fn open_at(ring: &Ring, path: &str, flags: i32) -> Done {
    let path = sys::c(path);
    let request = Request {
        fd: HERE,
        address: path.as_ptr() as usize,
        flags: flags.cast_unsigned(),
        ..Request::default()
    };
    match ring.ask(Op::OpenAt, &request) {
        // A polling thread of before 5.11 has no files of its own.
        Err(Stop::Errno(libc::EBADF)) => Err(Stop::Skip("openat by a polled ring".to_owned())),
        other => other.map(drop),
    }
}

fn two_names(op: Op, from: &str, to: &str) -> Done {
    let (from, to) = (sys::c(from), sys::c(to));
    let request = Request {
        fd: HERE,
        address: from.as_ptr() as usize,
        offset: to.as_ptr() as usize,
        length: HERE.cast_unsigned(),
        flags: 0,
    };
    Ring::new(false)?.ask(op, &request).map(drop)
}
