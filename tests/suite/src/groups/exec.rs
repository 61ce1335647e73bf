//! Ways to run a program, or its bytes.

use std::fs;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;

use super::EXEC;
use crate::fixture;
use crate::scenario::{Done, Scenario, Step as _, Stop, denied};
use crate::side::Side;
use crate::sys::{self, TOOL_EXIT, call, n, run_program};

const MAPPED: super::Expected = ("suite-exec", "exec-check", "mmap_file");
const PROTECTED: super::Expected = ("suite-exec", "exec-check", "file_mprotect");

pub(super) const ALL: &[Scenario] = &[
    denied("exec", "exec-direct", EXEC, |side| start(&side.at("tool"))).in_memory(),
    denied("exec", "exec-relative", EXEC, |side| {
        std::env::set_current_dir(side.root()).step("chdir")?;
        start("./tool")
    })
    .in_memory(),
    denied("exec", "exec-symlink", EXEC, |side| {
        let link = side.free("folder/run");
        let _ = fs::remove_file(&link);
        symlink(side.at("tool"), &link).step("symlink")?;
        start(&link)
    })
    .in_memory(),
    denied("exec", "exec-tree", ("suite-tree", "exec-check", "file_open|bprm_check_security"), |side| {
        start(&side.at("tree/tool"))
    })
    .in_memory(),
    denied("exec", "exec-image", EXEC, |side| {
        let name = if side.protected { "nc" } else { "true" };
        // Without arguments nc says how it is used, and ends with 1.
        run_program(side.protected.into(), || sys::execve(&format!("/usr/bin/{name}"), &[name]))
    }),
    denied("exec", "exec-thread", EXEC, |side| sys::in_thread(|| start(&side.at("tool")))).in_memory(),
    denied("exec", "exec-other-name", EXEC, |side| {
        run_program(TOOL_EXIT, || sys::execve(&side.at("tool"), &["/bin/true"]))
    })
    .in_memory(),
    denied("exec", "exec-by-shell", EXEC, |side| {
        // What the shell was told is in its exit code: 126, it could not be executed.
        let line = format!("exec {}", side.at("tool"));
        let code =
            std::process::Command::new("sh").args(["-c", &line]).stderr(std::process::Stdio::null()).status();
        match code.step("sh")?.code() {
            Some(TOOL_EXIT) => Ok(()),
            Some(126) => Err(Stop::Errno(libc::EPERM)),
            other => Err(Stop::Broken(format!("sh ended with {other:?}"))),
        }
    })
    .in_memory(),
    denied("exec", "exec-by-env", EXEC, |side| {
        let tool = side.at("tool");
        let code = std::process::Command::new("env").arg(&tool).stderr(std::process::Stdio::null()).status();
        match code.step("env")?.code() {
            Some(TOOL_EXIT) => Ok(()),
            Some(126) => Err(Stop::Errno(libc::EPERM)),
            other => Err(Stop::Broken(format!("env ended with {other:?}"))),
        }
    })
    .in_memory(),
    denied("exec", "exec-hash", ("suite-hash", "exec-check", "bprm_check_security"), |side| {
        // The same bytes anywhere; the twin has others.
        let path = side.free("folder/by-content");
        let bytes = if side.protected { fixture::hashed() } else { fixture::tool() };
        write_program(&path, &bytes)?;
        start(&path)
    })
    .in_memory(),
    denied("exec", "exec-hash-memfd", ("suite-hash", "exec-check", "bprm_check_security"), |side| {
        let fd = sys::memfd(&if side.protected { fixture::hashed() } else { fixture::tool() })?;
        run_program(TOOL_EXIT, || sys::execveat(fd.as_raw_fd(), "", libc::AT_EMPTY_PATH, &["tool"]))
    }),
    denied("exec", "exec-copy", EXEC, |side| {
        let path = side.free("folder/copy");
        write_program(&path, &fs::read(side.at("tool")).step("to read")?)?;
        start(&path).step("a copy is another object")?;
        start(&side.at("tool"))
    })
    .in_memory()
    .allows("executing a copy, where no rule knows the content"),
    denied("script interpreters", "script-denied", EXEC, |side| start(&side.at("script"))).in_memory(),
    denied("script interpreters", "script-interp", EXEC, |side| start(&side.at("by-script"))).in_memory(),
    denied("script interpreters", "script-nested", EXEC, |side| {
        // A script whose interpreter is a script whose interpreter is denied.
        let path = side.free("folder/nested");
        write_program(&path, format!("#!{}\n", side.at("by-script")).as_bytes())?;
        start(&path)
    })
    .in_memory(),
    denied(
        "script interpreters",
        "script-loader",
        ("suite-exec", "exec-check", "file_open|mmap_file"),
        |side| {
            // An ELF program of which the kernel runs nothing but its loader: the denied program. Where rules by content are, the
            // loader is decided when it is mapped: too late for an error, the program is killed.
            match start(&side.at("by-loader")) {
                Err(Stop::Broken(text)) if text.contains("killed") => Err(Stop::Errno(libc::EPERM)),
                other => other,
            }
        },
    )
    .in_memory(),
    denied("script interpreters", "script-read", EXEC, |side| {
        // To an interpreter that may run, a script is a file to read.
        let code = std::process::Command::new("sh").arg(side.at("script")).status().step("sh")?;
        if code.code() != Some(TOOL_EXIT) {
            return Err(Stop::Broken(format!("sh ended with {code:?}")));
        }
        start(&side.at("script"))
    })
    .in_memory()
    .allows("an allowed interpreter that reads a script which must not be executed"),
    denied("fexecve", "fexecve-fd", EXEC, |side| {
        let fd = sys::open(&side.at("tool"), libc::O_RDONLY).step("to read")?;
        run_program(TOOL_EXIT, || sys::execveat(fd.as_raw_fd(), "", libc::AT_EMPTY_PATH, &["tool"]))
    })
    .in_memory(),
    denied("fexecve", "fexecve-opath", EXEC, |side| {
        let fd = sys::open(&side.at("tool"), libc::O_PATH).step("O_PATH is no open")?;
        run_program(TOOL_EXIT, || sys::execveat(fd.as_raw_fd(), "", libc::AT_EMPTY_PATH, &["tool"]))
    })
    .in_memory(),
    denied("fexecve", "fexecve-proc", EXEC, |side| {
        let fd = sys::open(&side.at("tool"), libc::O_RDONLY).step("to read")?;
        run_program(TOOL_EXIT, || sys::execve(&format!("/proc/self/fd/{}", fd.as_raw_fd()), &["tool"]))
    })
    .in_memory(),
    denied("fexecve", "execveat-folder", EXEC, |side| {
        let folder = sys::open(side.root(), libc::O_RDONLY | libc::O_DIRECTORY).step("the folder")?;
        run_program(TOOL_EXIT, || sys::execveat(folder.as_raw_fd(), "tool", 0, &["tool"]))
    })
    .in_memory(),
    denied("fexecve", "fexecve-handed", EXEC, |side| {
        let fd = crate::outside::opened(&side.at("tool"), libc::O_RDONLY)?;
        run_program(TOOL_EXIT, || sys::execveat(fd.as_raw_fd(), "", libc::AT_EMPTY_PATH, &["tool"]))
    })
    .in_memory(),
    denied("memfd", "memfd-exec", EXEC, |side| {
        let fd = sys::memfd(&fs::read(side.at("tool")).step("to read")?)?;
        run_program(TOOL_EXIT, || sys::execveat(fd.as_raw_fd(), "", libc::AT_EMPTY_PATH, &["tool"]))
            .step("a file in memory is executed")?;
        start(&side.at("tool"))
    })
    .in_memory()
    .allows("executing a file in memory, where no rule knows its content"),
    denied("memfd", "memfd-sealed", EXEC, |side| {
        let fd = sys::memfd(&fs::read(side.at("tool")).step("to read")?)?;
        // By its name in /proc, as runtimes do.
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        run_program(TOOL_EXIT, || sys::execve(&path, &["tool"])).step("a file in memory is executed")?;
        start(&side.at("tool"))
    })
    .in_memory()
    .allows("the same, by /proc/self/fd"),
    denied("memfd", "memfd-script", EXEC, |side| {
        // A file in memory that is a script of the denied interpreter.
        let fd = sys::memfd(format!("#!{}\n", side.at("tool")).as_bytes())?;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        // Not closed at exec: the interpreter is given its name.
        call(libc::SYS_fcntl, &[n(fd.as_raw_fd()), n(libc::F_SETFD), 0]).step("fcntl")?;
        run_program(TOOL_EXIT, || sys::execve(&path, &["tool"]))
    })
    .in_memory(),
    denied("mmap", "map-private", MAPPED, |side| map_exec(side, libc::PROT_READ, libc::MAP_PRIVATE))
        .in_memory(),
    denied("mmap", "map-shared", MAPPED, |side| map_exec(side, libc::PROT_READ, libc::MAP_SHARED))
        .in_memory(),
    denied("mmap", "map-exec-only", MAPPED, |side| map_exec(side, 0, libc::MAP_PRIVATE)).in_memory(),
    denied("mmap", "map-fixed", MAPPED, |side| {
        let fd = sys::open(&side.at("library.so"), libc::O_RDONLY).step("to read")?;
        let place = sys::map(&fd, libc::PROT_READ, libc::MAP_PRIVATE).step("to read")?;
        let protection = n(libc::PROT_READ | libc::PROT_EXEC);
        let flags = n(libc::MAP_PRIVATE | libc::MAP_FIXED);
        call(libc::SYS_mmap, &[place, 4096, protection, flags, n(fd.as_raw_fd()), 0])?;
        Ok(())
    })
    .in_memory(),
    denied("mmap", "map-personality", MAPPED, |side| {
        // Of old: what can be read can be executed, unasked.
        const READ_IMPLIES_EXEC: usize = 0x040_0000;
        call(libc::SYS_personality, &[READ_IMPLIES_EXEC]).step("personality")?;
        let fd = sys::open(&side.at("library.so"), libc::O_RDONLY).step("to read")?;
        sys::map(&fd, libc::PROT_READ, libc::MAP_PRIVATE)?;
        Ok(())
    })
    .in_memory(),
    denied("mmap", "protect-later", PROTECTED, |side| {
        protect(side, libc::SYS_mprotect, libc::MAP_PRIVATE, &[])
    })
    .in_memory(),
    denied("mmap", "protect-shared", PROTECTED, |side| {
        protect(side, libc::SYS_mprotect, libc::MAP_SHARED, &[])
    })
    .in_memory(),
    denied("mmap", "protect-key", PROTECTED, |side| {
        protect(side, libc::SYS_pkey_mprotect, libc::MAP_PRIVATE, &[n(-1)])
    })
    .in_memory(),
    denied("mmap", "protect-written", PROTECTED, |side| {
        // A private mapping that was written to is still of the file.
        let fd = sys::open(&side.at("library.so"), libc::O_RDONLY).step("to read")?;
        let place = sys::map(&fd, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE).step("to write")?;
        let zero = fs::File::open("/dev/zero").step("/dev/zero")?;
        call(libc::SYS_read, &[n(zero.as_raw_fd()), place, 16]).step("written to")?;
        call(libc::SYS_mprotect, &[place, 4096, n(libc::PROT_READ | libc::PROT_EXEC)])?;
        Ok(())
    })
    .in_memory(),
    denied("mmap", "map-handed", MAPPED, |side| {
        let fd = crate::outside::opened(&side.at("library.so"), libc::O_RDONLY)?;
        sys::map(&fd, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE)?;
        Ok(())
    })
    .in_memory(),
    denied("mmap", "map-anonymous", MAPPED, |side| {
        // Bytes that could be read can be put into memory of one's own, and executed there.
        let mut file = sys::file(sys::open(&side.at("library.so"), libc::O_RDONLY).step("to read")?);
        let protection = n(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
        let flags = n(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let place = call(libc::SYS_mmap, &[0, 4096, protection, flags, n(-1), 0]).step("memory")?;
        file.rewind().step("rewind")?;
        call(libc::SYS_read, &[n(file.as_raw_fd()), place, 4096]).step("its bytes")?;
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).step("to the end")?;
        map_exec(side, libc::PROT_READ, libc::MAP_PRIVATE)
    })
    .in_memory()
    .allows("executable memory with the bytes of what could be read"),
];

fn start(path: &str) -> Done {
    run_program(TOOL_EXIT, || sys::execve(path, &["tool"]))
}

fn write_program(path: &str, bytes: &[u8]) -> Done {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = fs::remove_file(path);
    fs::write(path, bytes).step("a program")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).step("a program")
}

fn map_exec(side: Side, protection: i32, flags: i32) -> Done {
    let fd = sys::open(&side.at("library.so"), libc::O_RDONLY).step("to read")?;
    sys::map(&fd, protection | libc::PROT_EXEC, flags)?;
    Ok(())
}

fn protect(side: Side, number: libc::c_long, flags: i32, rest: &[usize]) -> Done {
    let fd = sys::open(&side.at("library.so"), libc::O_RDONLY).step("to read")?;
    let place = sys::map(&fd, libc::PROT_READ, flags).step("to read")?;
    let mut arguments = vec![place, 4096, n(libc::PROT_READ | libc::PROT_EXEC)];
    arguments.extend_from_slice(rest);
    call(number, &arguments)?;
    Ok(())
}
