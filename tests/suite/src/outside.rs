//! The one outside: left running by `prepare`, bound by no rule. Gives the workload what it could not get by itself:
//! descriptors of protected files, a listening port to connect to, a mount namespace, a file replaced by another.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use crate::fixture::{self, SECRET};
use crate::scenario::{Done, Step as _, Stop};
use crate::side::{BIND_PORT, FREE_PORT, LOCAL_PORT, OPEN_PORT, TCP_PORT, UDP_PORT};
use crate::sys;

/// Where it is spoken to: a line each, answered by a descriptor or a line.
const DOOR: &str = "/scratch/outside";

/// Starts it; ready when this returns.
pub fn start() -> Done {
    let _ = fs::remove_file(DOOR);
    let door = UnixListener::bind(DOOR).step("the door")?;
    let view = view()?;
    listen()?;
    if sys::fork()? == 0 {
        sys::set_name("outside");
        for visitor in door.incoming().flatten() {
            // Whoever went away in between is no reason to end.
            let _ = serve(&visitor, &view);
        }
        sys::leave(0);
    }
    Ok(())
}

/// Removes what is there and holds it for good: its number in the file system is not given to another file, which rules on the
/// old one would then deny.
fn vacate(path: &str) {
    if let Ok(old) = sys::open(path, libc::O_PATH | libc::O_NOFOLLOW) {
        std::mem::forget(old);
        let _ = fs::remove_file(path);
    }
}

/// Every socket that acts go to. Those of streams have a task each that takes what comes and drops it.
fn listen() -> Done {
    for port in [OPEN_PORT, TCP_PORT, LOCAL_PORT] {
        let listener = TcpListener::bind(("::", port)).step("a port")?;
        serve_in_background(move || listener.incoming().for_each(drop))?;
    }
    for port in [OPEN_PORT, UDP_PORT] {
        let socket = UdpSocket::bind(("::", port)).step("a UDP port")?;
        serve_in_background(move || while socket.recv(&mut [0; 16]).is_ok() {})?;
    }
    for side in fixture::sides() {
        for name in ["socket", "tree/socket"] {
            let path = side.at(name);
            vacate(&path);
            let listener = UnixListener::bind(&path).step(&path)?;
            serve_in_background(move || listener.incoming().for_each(drop))?;
        }
        let path = side.at("datagrams");
        vacate(&path);
        let socket = UnixDatagram::bind(&path).step(&path)?;
        serve_in_background(move || while socket.recv(&mut [0; 16]).is_ok() {})?;
        let path = side.at("packets");
        vacate(&path);
        let socket = sys::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET).step("a socket")?;
        sys::bind(&socket, &sys::unix_address(&path)).step(&path)?;
        sys::call(libc::SYS_listen, &[sys::n(socket.as_raw_fd()), 64]).step("listen")?;
        serve_in_background(move || {
            let accept = || sys::call(libc::SYS_accept4, &[sys::n(socket.as_raw_fd()), 0, 0, 0]);
            while let Ok(fd) = accept() {
                let _ = sys::call(libc::SYS_close, &[fd]);
            }
        })?;
    }
    // An abstract one, of which no rule can speak.
    let socket = sys::socket(libc::AF_UNIX, libc::SOCK_DGRAM).step("a socket")?;
    sys::bind(&socket, &sys::unix_address("\0suite")).step("an abstract name")?;
    serve_in_background(move || while sys::read(&socket).is_ok() {})
}

fn serve_in_background(work: impl FnOnce()) -> Done {
    if sys::fork()? == 0 {
        sys::set_name("outside");
        work();
        sys::leave(0);
    }
    Ok(())
}

/// A mount namespace of its own, where the twin folders of the disk are mounted in another place.
fn view() -> Result<OwnedFd, Stop> {
    let (reader, writer) = sys::pipe()?;
    let pid = sys::fork()?;
    if pid == 0 {
        sys::set_name("outside");
        let made = (|| -> Done {
            sys::unshare(libc::CLONE_NEWNS).step("unshare")?;
            many_mounts("/scratch/p/tree/many", "/scratch/m/root/tmp")?;
            for letter in ['p', 'o'] {
                let target = format!("/scratch/m/empty-{letter}");
                sys::mount(&format!("/data/suite/{letter}"), &target, "", libc::MS_BIND, "")
                    .step("bind mount")?;
            }
            Ok(())
        })();
        let _ = sys::write(writer.as_raw_fd(), if made.is_ok() { b"+" } else { b"-" });
        loop {
            std::thread::sleep(Duration::from_mins(1));
        }
    }
    let word = sys::read(&reader).step("the view")?;
    if word != b"+" {
        return Err(Stop::Broken("no mount namespace of its own".to_owned()));
    }
    sys::open(&format!("/proc/{pid}/ns/mnt"), libc::O_RDONLY).step("its file")
}

fn serve(visitor: &UnixStream, view: &OwnedFd) -> Done {
    let mut line = String::new();
    BufReader::new(visitor).read_line(&mut line).step("a line")?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let send = |fd: &OwnedFd| sys::send_fd(visitor.as_fd(), fd.as_fd());
    match words[..] {
        ["open", flags, path] => send(&sys::open(path, flags.parse().unwrap_or(0)).step(path)?),
        ["view"] => send(view),
        ["bound", port] => {
            let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM).step("a socket")?;
            let port = if port == "denied" { BIND_PORT } else { FREE_PORT };
            sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1).step("an option")?;
            sys::bind(&socket, &sys::address(([127, 0, 0, 1], port).into())).step("bind")?;
            send(&socket)
        }
        ["replace", path] => {
            vacate(path);
            fs::write(path, SECRET).step(path)?;
            agree(visitor)
        }
        ["put", path] => {
            fs::write(path, SECRET).step(path)?;
            agree(visitor)
        }
        ["remove", path] => {
            fs::remove_file(path).step(path)?;
            agree(visitor)
        }
        ["rename", from, to] => {
            fs::rename(from, to).step(from)?;
            agree(visitor)
        }
        ["renumber", old, new] => {
            give_number(old, new)?;
            agree(visitor)
        }
        _ => Err(Stop::Broken(format!("not understood: {line}"))),
    }
}

fn agree(mut visitor: &UnixStream) -> Done {
    visitor.write_all(b"+").step("an answer")
}

/// More mounts of this file system than are looked through for its oldest (`AEGIS_MOUNTS_MAX`), below a mount of their own:
/// whoever is bound below himself has twice as many.
fn many_mounts(of: &str, at: &str) -> Done {
    const DOUBLED: usize = 12;
    sys::mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE, "").step("private")?;
    sys::mount("mounts", at, "tmpfs", 0, "size=64k").step("tmpfs")?;
    for number in 0..=DOUBLED {
        fs::create_dir(format!("{at}/{number}")).step("a mount point")?;
    }
    sys::mount(of, &format!("{at}/{DOUBLED}"), "", libc::MS_BIND, "").step("bind mount")?;
    for number in 0..DOUBLED {
        let below = format!("{at}/{number}");
        sys::mount(at, &below, "", libc::MS_BIND | libc::MS_REC, "").step(&below)?;
    }
    Ok(())
}

/// Removes a file and makes another, which gets its number in the file system: the lowest that is free, as a rule.
fn give_number(old: &str, new: &str) -> Done {
    let number = |path: &str| fs::metadata(path).step(path).map(|found| found.ino());
    let wanted = number(old)?;
    fs::remove_file(old).step(old)?;
    // Those that got another are held until it is found.
    let others: Vec<String> = (0..64).map(|other| format!("{new}-{other}")).collect();
    let mut found = false;
    for other in &others {
        fs::write(other, SECRET).step(other)?;
        if number(other)? == wanted {
            fs::rename(other, new).step(new)?;
            found = true;
            break;
        }
    }
    for other in &others {
        let _ = fs::remove_file(other);
    }
    if found { Ok(()) } else { Err(Stop::Broken(format!("nobody got the number {wanted} of {old}"))) }
}

fn visit(line: &str) -> Result<UnixStream, Stop> {
    let mut door = UnixStream::connect(DOOR).step("the one outside")?;
    door.write_all(format!("{line}\n").as_bytes()).step("the one outside")?;
    Ok(door)
}

/// A descriptor of this file, opened by the one outside: what a workload may be started with.
pub(crate) fn opened(path: &str, flags: i32) -> Result<OwnedFd, Stop> {
    sys::take_fd(visit(&format!("open {flags} {path}"))?.as_fd())
}

/// A mount namespace with `empty-p` and `empty-o` of `/scratch/m` mounted over.
pub(crate) fn mount_namespace() -> Result<OwnedFd, Stop> {
    sys::take_fd(visit("view")?.as_fd())
}

/// A socket that is bound to the denied or the free port, and does not listen yet.
pub(crate) fn bound(denied: bool) -> Result<OwnedFd, Stop> {
    sys::take_fd(visit(if denied { "bound denied" } else { "bound free" })?.as_fd())
}

/// Has this file removed and made anew: another inode under the same name.
pub(crate) fn replace(path: &str) -> Done {
    ask(&format!("replace {path}"))
}

/// Has a file made here, with the secret in it.
pub(crate) fn put(path: &str) -> Done {
    ask(&format!("put {path}"))
}

/// Has this file removed.
pub(crate) fn remove(path: &str) -> Done {
    ask(&format!("remove {path}"))
}

/// Has this file renamed.
pub(crate) fn rename(from: &str, to: &str) -> Done {
    ask(&format!("rename {from} {to}"))
}

/// Has this file removed and another made that has its number in the file system.
pub(crate) fn renumber(old: &str, new: &str) -> Done {
    ask(&format!("renumber {old} {new}"))
}

fn ask(line: &str) -> Done {
    let mut answer = String::new();
    BufReader::new(visit(line)?).read_line(&mut answer).step("an answer")?;
    if answer == "+" { Ok(()) } else { Err(Stop::Broken(format!("not done: {line}"))) }
}
