//! Raw system calls: what the standard library has no words for, or would say in another way than the scenario means.
//!
//! Unsafe because that is the point: calls are made by number with pointers to buffers of this module's own, alive over the
//! call; fds are taken into `OwnedFd` as soon as the kernel gives them. The program is single threaded wherever it forks.
#![expect(unsafe_code, reason = "system calls by number")]
#![expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a call takes and gives words, as C casts them"
)]

use std::ffi::CString;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::scenario::{Done, Step as _, Stop};

/// A call's value, or its error number.
pub(crate) type Called = Result<usize, i32>;

impl From<i32> for Stop {
    fn from(number: i32) -> Self {
        Self::Errno(number)
    }
}

/// Text for the kernel.
pub(crate) fn c(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// A system call by number.
pub(crate) fn call(number: libc::c_long, arguments: &[usize]) -> Called {
    let mut a = [0; 6];
    a[..arguments.len()].copy_from_slice(arguments);
    // SAFETY: the callers of this private door pass pointers to live buffers, as the call documents them.
    let value = unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) };
    usize::try_from(value).map_err(|_| errno())
}

/// A number of C's as the kernel takes it: sign extended.
pub(crate) fn n(value: i32) -> usize {
    value as isize as usize
}

/// The address of something that lives on.
pub(crate) fn at<T: ?Sized>(value: &T) -> usize {
    std::ptr::from_ref(value).cast::<u8>() as usize
}

fn owned(fd: usize) -> OwnedFd {
    // SAFETY: a number that the kernel just returned as a new descriptor, owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// This call's new descriptor.
pub(crate) fn fd_of(called: Called) -> Result<OwnedFd, i32> {
    called.map(owned)
}

/// The current directory, for the calls that take one.
pub(crate) const HERE: i32 = libc::AT_FDCWD;

/// `openat(2)`.
pub(crate) fn openat(folder: i32, path: &str, flags: i32, mode: u32) -> Result<OwnedFd, i32> {
    let path = c(path);
    let flags = flags | libc::O_CLOEXEC;
    fd_of(call(libc::SYS_openat, &[n(folder), path.as_ptr() as usize, n(flags), mode as usize]))
}

/// `openat(2)` from here.
pub(crate) fn open(path: &str, flags: i32) -> Result<OwnedFd, i32> {
    openat(HERE, path, flags, 0o644)
}

/// `openat2(2)`.
pub(crate) fn openat2(folder: i32, path: &str, flags: i32, resolve: u64) -> Result<OwnedFd, i32> {
    let path = c(path);
    let how = [(flags | libc::O_CLOEXEC) as u64, 0, resolve];
    fd_of(call(libc::SYS_openat2, &[n(folder), path.as_ptr() as usize, at(&how), size_of_val(&how)]))
}

/// Up to 64 bytes from a descriptor.
pub(crate) fn read(fd: impl AsFd) -> Result<Vec<u8>, i32> {
    let mut buffer = [0_u8; 64];
    let length =
        call(libc::SYS_read, &[n(fd.as_fd().as_raw_fd()), buffer.as_mut_ptr() as usize, buffer.len()])?;
    Ok(buffer[..length].to_vec())
}

/// Writes once.
pub(crate) fn write(fd: RawFd, bytes: &[u8]) -> Called {
    call(libc::SYS_write, &[n(fd), at(bytes), bytes.len()])
}

/// A call whose only pointer is a path, the first argument.
pub(crate) fn path_call(number: libc::c_long, path: &str, rest: &[usize]) -> Done {
    let path = c(path);
    let mut arguments = vec![path.as_ptr() as usize];
    arguments.extend_from_slice(rest);
    call(number, &arguments)?;
    Ok(())
}

/// `creat(2)`; where the kernel never had it, what C's function does.
pub(crate) fn creat(path: &str) -> Done {
    #[cfg(target_arch = "x86_64")]
    path_call(libc::SYS_creat, path, &[0o644])?;
    #[cfg(not(target_arch = "x86_64"))]
    openat(HERE, path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, 0o644)?;
    Ok(())
}

/// A call on a path below a directory.
pub(crate) fn path_at_call(number: libc::c_long, folder: i32, path: &str, rest: &[usize]) -> Done {
    let path = c(path);
    let mut arguments = vec![n(folder), path.as_ptr() as usize];
    arguments.extend_from_slice(rest);
    call(number, &arguments)?;
    Ok(())
}

/// `renameat2(2)` from here to here.
pub(crate) fn rename2(from: &str, to: &str, flags: u32) -> Done {
    let (from, to) = (c(from), c(to));
    let here = n(HERE);
    call(libc::SYS_renameat2, &[here, from.as_ptr() as usize, here, to.as_ptr() as usize, flags as usize])?;
    Ok(())
}

/// `linkat(2)`.
pub(crate) fn linkat(folder: i32, from: &str, to: &str, flags: i32) -> Done {
    let (from, to) = (c(from), c(to));
    call(libc::SYS_linkat, &[n(folder), from.as_ptr() as usize, n(HERE), to.as_ptr() as usize, n(flags)])?;
    Ok(())
}

/// `mknodat(2)`.
pub(crate) fn mknod(path: &str, mode: u32, device: u64) -> Done {
    path_at_call(libc::SYS_mknodat, HERE, path, &[mode as usize, device as usize])
}

/// A directory, when there is none yet.
pub(crate) fn mkdir(path: &str) -> Done {
    path_at_call(libc::SYS_mkdirat, HERE, path, &[0o755])
}

/// `mount(2)`.
pub(crate) fn mount(source: &str, target: &str, kind: &str, flags: u64, data: &str) -> Done {
    let (source, target, kind, data) = (c(source), c(target), c(kind), c(data));
    let pointer = |text: &CString| text.as_ptr() as usize;
    call(
        libc::SYS_mount,
        &[pointer(&source), pointer(&target), pointer(&kind), flags as usize, pointer(&data)],
    )?;
    Ok(())
}

/// `unshare(2)`.
pub(crate) fn unshare(flags: i32) -> Done {
    call(libc::SYS_unshare, &[n(flags)])?;
    Ok(())
}

/// Names the calling task: at most 15 bytes.
pub(crate) fn set_name(name: &str) {
    let name = c(name);
    let _ = call(libc::SYS_prctl, &[n(libc::PR_SET_NAME), name.as_ptr() as usize]);
}

/// A fork; 0 in the child.
pub(crate) fn fork() -> Result<i32, Stop> {
    // SAFETY: the program has one thread here, so the child may go on as it likes.
    match unsafe { libc::fork() } {
        -1 => Err(Stop::Broken(format!("fork: errno {}", errno()))),
        pid => Ok(pid),
    }
}

/// Ends the process at once.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: ends the process; nothing of it is used afterwards.
    unsafe { libc::_exit(code) }
}

/// Waits for a child; its status as `waitpid(2)` has it.
pub(crate) fn wait(pid: i32) -> Result<i32, Stop> {
    let mut status = 0;
    loop {
        // SAFETY: `status` lives over the call.
        match unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } {
            -1 if errno() == libc::EINTR => {}
            -1 => return Err(Stop::Broken(format!("waitpid: errno {}", errno()))),
            _ => return Ok(status),
        }
    }
}

/// A signal.
pub(crate) fn kill(pid: i32, signal: i32) -> Done {
    call(libc::SYS_kill, &[n(pid), n(signal)])?;
    Ok(())
}

/// A signal that is sent by a socket to which something comes (`fcntl(2)`: `F_SETOWN`, `F_SETSIG`).
pub(crate) fn signal_by_descriptor(pid: i32, signal: i32) -> Done {
    let (own, other) = std::os::unix::net::UnixStream::pair().step("a pair of sockets")?;
    let set = |what: i32, value: i32| {
        call(libc::SYS_fcntl, &[n(own.as_raw_fd()), n(what), n(value)]).step("fcntl").map(drop)
    };
    set(libc::F_SETOWN, pid)?;
    set(F_SETSIG, signal)?;
    set(libc::F_SETFL, libc::O_ASYNC)?;
    write(other.as_raw_fd(), b"x").step("a byte")?;
    Ok(())
}

/// `include/uapi/asm-generic/fcntl.h`.
const F_SETSIG: i32 = 10;

/// This child ended by this signal.
pub(crate) fn died_of(pid: i32, signal: i32) -> Done {
    match wait(pid)? {
        status if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal => Ok(()),
        status => Err(Stop::Broken(format!("it ended with status {status:#x}"))),
    }
}

/// A pipe: to read, to write.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), Stop> {
    let mut ends = [0_i32; 2];
    call(libc::SYS_pipe2, &[ends.as_mut_ptr() as usize, n(libc::O_CLOEXEC)]).step("pipe")?;
    Ok((owned(ends[0] as usize), owned(ends[1] as usize)))
}

/// Reads to the end, for at most so long; none: time is over.
pub(crate) fn read_until(fd: &OwnedFd, patience: Duration) -> Option<Vec<u8>> {
    let end = Instant::now() + patience;
    let mut all = Vec::new();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut wait = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let milliseconds = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one pollfd, alive over the call.
        if left.is_zero() || unsafe { libc::poll(&raw mut wait, 1, milliseconds) } == 0 {
            return None;
        }
        match read(fd) {
            Ok(bytes) if bytes.is_empty() => return Some(all),
            Ok(bytes) => all.extend(bytes),
            Err(libc::EINTR | libc::EAGAIN) => {}
            Err(_) => return Some(all),
        }
    }
}

/// Does `act` in a child of this task, under the same name; what it comes to. A descriptor or mapping it makes is gone.
pub(crate) fn in_child(act: impl FnOnce() -> Done) -> Done {
    let (reader, writer) = pipe()?;
    let pid = fork()?;
    if pid == 0 {
        drop(reader);
        let word = match act() {
            Ok(()) => "+".to_owned(),
            Err(Stop::Errno(number)) => format!("={number}"),
            Err(Stop::Skip(why)) => format!("?{why}"),
            Err(Stop::Broken(why)) => format!("!{why}"),
        };
        let _ = write(writer.as_raw_fd(), word.as_bytes());
        leave(0);
    }
    drop(writer);
    let word = read_until(&reader, Duration::from_secs(20)).unwrap_or_else(|| b"!late".to_vec());
    let _ = kill(pid, libc::SIGKILL);
    wait(pid)?;
    told(&String::from_utf8_lossy(&word))
}

/// The word of [`in_child`].
pub(crate) fn told(word: &str) -> Done {
    let rest = word.get(1..).unwrap_or("").to_owned();
    match word.bytes().next() {
        Some(b'+') => Ok(()),
        Some(b'=') => Err(Stop::Errno(rest.parse().unwrap_or(libc::EIO))),
        Some(b'?') => Err(Stop::Skip(rest)),
        _ => Err(Stop::Broken(if rest.is_empty() { "it died".to_owned() } else { rest })),
    }
}

/// What our own small program exits with.
pub(crate) const TOOL_EXIT: i32 = 42;

/// Executes something that ends with `expected`: `start` must not return but with the error number.
pub(crate) fn run_program(expected: i32, start: impl FnOnce() -> i32) -> Done {
    let (reader, writer) = pipe()?;
    let pid = fork()?;
    if pid == 0 {
        let number = start();
        let _ = write(writer.as_raw_fd(), number.to_string().as_bytes());
        leave(0);
    }
    drop(writer);
    let word = read_until(&reader, Duration::from_secs(20));
    if word.is_none() {
        let _ = kill(pid, libc::SIGKILL);
    }
    let status = wait(pid)?;
    match word.as_deref().map(String::from_utf8_lossy) {
        None => Err(Stop::Broken("the program did not end".to_owned())),
        // It was executed: the pipe closed by itself.
        Some(text) if text.is_empty() => match status {
            status if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == expected => Ok(()),
            status if libc::WIFSIGNALED(status) => {
                Err(Stop::Broken(format!("the program was killed by signal {}", libc::WTERMSIG(status))))
            }
            status => Err(Stop::Broken(format!("the program ended with status {status:#x}"))),
        },
        Some(text) => Err(Stop::Errno(text.parse().unwrap_or(libc::EIO))),
    }
}

/// `execveat(2)`; returns the error number only.
pub(crate) fn execveat(folder: i32, path: &str, flags: i32, arguments: &[&str]) -> i32 {
    let path = c(path);
    let texts: Vec<CString> = arguments.iter().map(|text| c(text)).collect();
    let mut pointers: Vec<usize> = texts.iter().map(|text| text.as_ptr() as usize).collect();
    pointers.push(0);
    let none = [0_usize];
    let list = [n(folder), path.as_ptr() as usize, at(&pointers[..]), at(&none), n(flags)];
    call(libc::SYS_execveat, &list).err().unwrap_or(0)
}

/// `execve(2)`; returns the error number only.
pub(crate) fn execve(path: &str, arguments: &[&str]) -> i32 {
    let path = c(path);
    let texts: Vec<CString> = arguments.iter().map(|text| c(text)).collect();
    let mut pointers: Vec<usize> = texts.iter().map(|text| text.as_ptr() as usize).collect();
    pointers.push(0);
    let none = [0_usize];
    call(libc::SYS_execve, &[path.as_ptr() as usize, at(&pointers[..]), at(&none)]).err().unwrap_or(0)
}

/// A mapping of 4 KiB of a file; gone with the process.
pub(crate) fn map(fd: &OwnedFd, protection: i32, flags: i32) -> Result<usize, i32> {
    call(libc::SYS_mmap, &[0, 4096, n(protection), n(flags), n(fd.as_raw_fd()), 0])
}

/// An address for the kernel: its bytes.
pub(crate) fn address(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::new();
    match address {
        SocketAddr::V4(v4) => {
            bytes.extend((libc::AF_INET as u16).to_ne_bytes());
            bytes.extend(v4.port().to_be_bytes());
            bytes.extend(v4.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            bytes.extend((libc::AF_INET6 as u16).to_ne_bytes());
            bytes.extend(v6.port().to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(v6.ip().octets());
            bytes.extend([0; 4]);
        }
    }
    bytes
}

/// The same with another family in its first two bytes.
pub(crate) fn address_as(family: i32, of: SocketAddr) -> Vec<u8> {
    let mut bytes = address(of);
    bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    bytes
}

/// The address of a unix socket: a path, or (beginning with NUL) an abstract name.
pub(crate) fn unix_address(path: &str) -> Vec<u8> {
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend(path.as_bytes());
    if !path.starts_with('\0') {
        bytes.push(0);
    }
    bytes
}

/// `socket(2)`.
pub(crate) fn socket(family: i32, kind: i32) -> Result<OwnedFd, i32> {
    fd_of(call(libc::SYS_socket, &[n(family), n(kind | libc::SOCK_CLOEXEC), 0]))
}

/// `connect(2)`.
pub(crate) fn connect(socket: &OwnedFd, address: &[u8]) -> Done {
    call(libc::SYS_connect, &[n(socket.as_raw_fd()), at(address), address.len()])?;
    Ok(())
}

/// `bind(2)`.
pub(crate) fn bind(socket: &OwnedFd, address: &[u8]) -> Done {
    call(libc::SYS_bind, &[n(socket.as_raw_fd()), at(address), address.len()])?;
    Ok(())
}

/// `listen(2)`.
pub(crate) fn listen(socket: &OwnedFd) -> Done {
    call(libc::SYS_listen, &[n(socket.as_raw_fd()), 1])?;
    Ok(())
}

/// A socket's option, a number.
pub(crate) fn set_option(socket: &OwnedFd, level: i32, option: i32, value: i32) -> Done {
    let list = [n(socket.as_raw_fd()), n(level), n(option), at(&value), size_of_val(&value)];
    call(libc::SYS_setsockopt, &list)?;
    Ok(())
}

/// `sendto(2)` of one byte.
pub(crate) fn send_to(socket: &OwnedFd, address: &[u8], flags: i32) -> Done {
    let byte = [b'x'];
    let list = [n(socket.as_raw_fd()), at(&byte), 1, n(flags), at(address), address.len()];
    call(libc::SYS_sendto, &list)?;
    Ok(())
}

/// A message of one byte to an address, as `sendmsg(2)` has it, with what it points to.
pub(crate) struct Message {
    header: Box<libc::msghdr>,
    _vector: Box<libc::iovec>,
    _byte: Box<[u8; 1]>,
    _address: Vec<u8>,
}

impl Message {
    pub(crate) fn to(address: &[u8]) -> Self {
        let mut byte = Box::new([b'x']);
        let mut vector = Box::new(libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 });
        let mut address = address.to_vec();
        // SAFETY: a C structure of numbers and pointers, for which zeros are a value.
        let mut header: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        header.msg_name = address.as_mut_ptr().cast();
        header.msg_namelen = address.len() as u32;
        header.msg_iov = &raw mut *vector;
        header.msg_iovlen = 1;
        Self { header, _vector: vector, _byte: byte, _address: address }
    }

    /// Where its header is; as long as the message lives.
    pub(crate) fn header(&self) -> usize {
        at(&*self.header)
    }

    /// `sendmsg(2)`.
    pub(crate) fn send(&self, socket: &OwnedFd) -> Done {
        call(libc::SYS_sendmsg, &[n(socket.as_raw_fd()), self.header(), 0])?;
        Ok(())
    }

    /// `sendmmsg(2)` of these; how many went out.
    pub(crate) fn send_all(messages: &[Self], socket: &OwnedFd) -> Called {
        let list: Vec<libc::mmsghdr> =
            messages.iter().map(|message| libc::mmsghdr { msg_hdr: *message.header, msg_len: 0 }).collect();
        call(libc::SYS_sendmmsg, &[n(socket.as_raw_fd()), at(&list[..]), list.len(), 0])
    }
}

/// Sends a descriptor over a unix socket, with one byte.
pub(crate) fn send_fd(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Done {
    let mut byte = [b'x'];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0_u64; 4];
    // SAFETY: the header points to buffers of this function; the control buffer has room for one descriptor and is
    // aligned as a cmsghdr must be.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(4) as _;
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(first).cast::<i32>().write_unaligned(fd.as_raw_fd());
        call(libc::SYS_sendmsg, &[n(socket.as_raw_fd()), at(&header), n(libc::MSG_NOSIGNAL)])?;
    }
    Ok(())
}

/// Takes a descriptor that came over a unix socket.
pub(crate) fn take_fd(socket: BorrowedFd<'_>) -> Result<OwnedFd, Stop> {
    let mut byte = [0_u8];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0_u64; 4];
    // SAFETY: as above; the descriptor in a message of this type and length is a new one of ours.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        let received =
            call(libc::SYS_recvmsg, &[n(socket.as_raw_fd()), std::ptr::from_mut(&mut header) as usize, 0]);
        received.step("recvmsg")?;
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        if first.is_null() || (*first).cmsg_type != libc::SCM_RIGHTS {
            return Err(Stop::Broken("the one outside sent no descriptor".to_owned()));
        }
        Ok(owned(libc::CMSG_DATA(first).cast::<i32>().read_unaligned() as usize))
    }
}

/// The handle of a file, for [`open_by_handle`]: bytes, and the id of its mount.
pub(crate) struct Handle(Vec<u32>);

/// `name_to_handle_at(2)`.
pub(crate) fn handle_of(path: &str) -> Result<Handle, i32> {
    let path = c(path);
    let mut buffer = vec![0_u32; 2 + 32];
    buffer[0] = 128;
    let mut mount = 0_i32;
    call(
        libc::SYS_name_to_handle_at,
        &[
            n(HERE),
            path.as_ptr() as usize,
            buffer.as_mut_ptr() as usize,
            std::ptr::from_mut(&mut mount) as usize,
            0,
        ],
    )?;
    Ok(Handle(buffer))
}

/// `open_by_handle_at(2)`: `mount` is any descriptor on the same file system.
pub(crate) fn open_by_handle(mount: &OwnedFd, handle: &Handle, flags: i32) -> Result<OwnedFd, i32> {
    let list = [n(mount.as_raw_fd()), at(&handle.0[..]), n(flags | libc::O_CLOEXEC)];
    fd_of(call(libc::SYS_open_by_handle_at, &list))
}

/// A file in memory with these bytes.
pub(crate) fn memfd(bytes: &[u8]) -> Result<OwnedFd, Stop> {
    let name = c("suite");
    let fd = fd_of(call(libc::SYS_memfd_create, &[name.as_ptr() as usize, 0])).offered("memfd_create")?;
    write(fd.as_raw_fd(), bytes).step("write")?;
    Ok(fd)
}

/// A child that does nothing until it is killed.
pub(crate) struct Victim(i32);

impl Victim {
    pub(crate) fn start() -> Result<Self, Stop> {
        let pid = fork()?;
        if pid == 0 {
            loop {
                std::thread::sleep(Duration::from_mins(1));
            }
        }
        Ok(Self(pid))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = kill(self.0, libc::SIGKILL);
        let _ = wait(self.0);
    }
}

/// `clone3(2)` of a child that ends at once, born in the cgroup of this directory.
pub(crate) fn clone_into(folder: &OwnedFd) -> Done {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut arguments = [0_u64; 11];
    arguments[0] = CLONE_INTO_CGROUP;
    arguments[4] = libc::SIGCHLD as u64;
    arguments[10] = folder.as_raw_fd() as u64;
    match call(libc::SYS_clone3, &[at(&arguments), size_of_val(&arguments)])? {
        0 => leave(0),
        pid => wait(pid as i32).map(drop),
    }
}

/// Does `act` in a second thread; what it comes to. Threads of a process are one workload, and each asks alone.
pub(crate) fn in_thread(act: impl FnOnce() -> Done + Send) -> Done {
    std::thread::scope(|scope| scope.spawn(act).join())
        .unwrap_or_else(|_| Err(Stop::Broken("the thread died".to_owned())))
}

/// An open file of this descriptor.
pub(crate) fn file(fd: OwnedFd) -> File {
    File::from(fd)
}
