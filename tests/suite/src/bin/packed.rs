//! `aegis-packed`: the program of a workload that comes signed. Says what it finds itself in, a line each; then does what its first
//! argument says.
#![allow(unsafe_code)] // system calls that the standard library has no door to

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{Error, Write as _};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let number = |at: usize| word(at).parse::<u64>().unwrap_or_default();
    match word(0) {
        "look" => look(),
        "forks" => forks(),
        "eat" => eat(),
        "shout" => shout(),
        "fill" => fill(),
        "live" => live(number(1)),
        "exit" => {}
        other => println!("unknown word {other:?}"),
    }
    if word(1) == "stay" {
        loop {
            sleep(Duration::from_mins(1));
        }
    }
    ExitCode::from(number(1) as u8)
}

/// What an attempt came to: `ok`, or the name of its error.
fn came_to<T>(attempt: std::io::Result<T>) -> String {
    let name = |number| match number {
        libc::EACCES => "EACCES",
        libc::EPERM => "EPERM",
        libc::EROFS => "EROFS",
        libc::ENOENT => "ENOENT",
        libc::EAGAIN => "EAGAIN",
        libc::ENXIO => "ENXIO",
        libc::ENOSPC => "ENOSPC",
        _ => "another error",
    };
    match attempt {
        Ok(_) => "ok".to_owned(),
        Err(error) => {
            error.raw_os_error().map_or_else(|| error.to_string(), |number| name(number).to_owned())
        }
    }
}

fn listed(folder: &str) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.join(" ")
}

/// Gives a sign of life so often, twice a second; then none any more.
fn live(signs: u64) {
    let to = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
    let say = || std::os::unix::net::UnixDatagram::unbound()?.send_to(b"WATCHDOG=1\n", &to);
    println!("watchdog of {} us at {to}", std::env::var("WATCHDOG_USEC").unwrap_or_default());
    for sign in 0..signs {
        if sign == 0 {
            println!("sign {}", came_to(say()));
        } else {
            let _ = say();
        }
        sleep(Duration::from_millis(500));
    }
    loop {
        sleep(Duration::from_mins(1));
    }
}

fn look() {
    // SAFETY: none of these takes a pointer, but for the groups, of which there is room for one.
    let (user, group, groups) =
        unsafe { (libc::getuid(), libc::getgid(), libc::getgroups(0, std::ptr::null_mut())) };
    println!("as {user} {group} groups {groups} pid {}", std::process::id());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for field in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"] {
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        println!("{field} {}", line.unwrap_or("?").trim());
    }
    println!("root {}", listed("/"));
    println!("dev {}", listed("/dev"));
    let numbers = listed("/proc");
    let processes = numbers.split(' ').filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    println!("processes {}", processes.count());
    // What is open, but for the folder that is looked at.
    println!("descriptors {}", listed("/proc/self/fd").split(' ').count() - 1);
    println!("stdin {}", fs::read_link("/proc/self/fd/0").unwrap_or_default().display());
    println!("host {}", fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim());
    println!(
        "environment {}",
        std::env::vars().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    );
    println!("cgroup {}", fs::read_to_string("/proc/self/cgroup").unwrap_or_default().trim());
    for path in ["/new", "/bin/new", "/etc/new", "/tmp/new", "/var/lib/agent/new", "/dev/new"] {
        println!("write {path} {}", came_to(File::create(path).and_then(|mut file| file.write_all(b"x"))));
    }
    for path in ["/data", "/run", "/sys", "/etc/shadow", "/proc/1/root/data", "/secret", "/plain"] {
        println!("read {path} {}", came_to(File::open(path)));
    }
    println!("kill {}", came_to(kill_others()));
    println!("device {}", came_to(node("/var/lib/agent/node")));
    for place in ["/tmp", "/var/lib/agent"] {
        println!("run in {place} {}", came_to(run_copy(place)));
    }
    println!("root again {}", came_to(become_root()));
    println!("count {}", count());
}

fn kill_others() -> std::io::Result<()> {
    // SAFETY: a signal that is none, to whoever has this number here: nobody.
    done(unsafe { libc::kill(2, 0) })
}

fn become_root() -> std::io::Result<()> {
    // SAFETY: it takes numbers.
    done(unsafe { libc::setuid(0) })
}

fn node(path: &str) -> std::io::Result<()> {
    let path = CString::new(path)?;
    // SAFETY: a string that ends.
    done(unsafe { libc::mknod(CStr::as_ptr(&path), libc::S_IFBLK | 0o600, libc::makedev(7, 0)) })
}

fn done(result: libc::c_int) -> std::io::Result<()> {
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// A program that it could bring along.
fn run_copy(place: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let copy = format!("{place}/copy");
    fs::copy("/proc/self/exe", &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    std::process::Command::new(&copy).arg("exit").status().map(drop)
}

/// How often this was counted, in what is kept.
fn count() -> u64 {
    const FILE: &str = "/var/lib/agent/count";
    let before = fs::read_to_string(FILE).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let now = before.unwrap_or_default() + 1;
    if let Err(error) = fs::write(FILE, now.to_string()).and_then(|()| File::open(FILE)?.sync_all()) {
        println!("count: {error}");
    }
    now
}

/// As many as there may be, itself included.
fn forks() {
    let mut children = 0;
    let why = loop {
        // SAFETY: one thread; the child waits until it is ended with all others.
        match unsafe { libc::fork() } {
            0 => loop {
                sleep(Duration::from_mins(1));
            },
            -1 => break Error::last_os_error(),
            _ => children += 1,
        }
        if children > 1000 {
            break Error::other("no bound");
        }
    };
    println!("forks {} {}", children + 1, came_to::<()>(Err(why)));
}

/// Memory until there is none.
fn eat() {
    println!("eats");
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    for _ in 0..4096 {
        eaten.push(vec![eaten.len() as u8 | 1; 1 << 20]);
    }
    println!("ate {} MiB", eaten.len());
}

/// All room that there is, blocks and then files; and whatever is let go, as soon as it is.
fn fill() {
    const FOLDER: &str = "/var/lib/agent";
    let taken = |bytes: &[u8]| {
        let mut file = File::create(format!("{FOLDER}/filled")).expect("the first file");
        loop {
            if let Err(error) = file.write_all(bytes) {
                return error;
            }
        }
    };
    println!("fill blocks {}", came_to::<()>(Err(taken(&vec![b'x'; 1 << 16]))));
    let mut files = 0_u64;
    let mut more = || loop {
        match File::create(format!("{FOLDER}/f{files}")) {
            Ok(_) => files += 1,
            Err(error) => return error,
        }
    };
    println!("fill files {}", came_to::<()>(Err(more())));
    loop {
        let _ = more();
        sleep(Duration::from_millis(5));
    }
}

/// What a terminal would take for more than text, and more of it than is let through.
fn shout() {
    println!("\x1b[2Jcleared\rAEGIS-DONE");
    for line in 0..1000 {
        println!("line {line}");
    }
}
