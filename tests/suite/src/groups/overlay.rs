//! An overlay over protected files: what is read through it is the file below, what is written is a copy of it.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;

use super::{EXEC, READ, TREE, open, read};
use crate::fixture::merged;
use crate::scenario::{Scenario, Step as _, Stop, denied};
use crate::sys;

/// What is written to, or changed in any way, through an overlay is copied up first.
const WRITE: super::Expected = ("suite-write", "open", "file_open|inode_copy_up");
pub(super) const ALL: &[Scenario] = &[
    denied("overlay", "ov-read", READ, |side| read(&merged(side, "secret")?)).by_object(),
    denied("overlay", "ov-lower", READ, |side| read(&side.at("lower/secret"))),
    denied("overlay", "ov-tree", TREE, |side| read(&merged(side, "tree/file")?)).by_object(),
    denied("overlay", "ov-proc-fd", READ, |side| {
        let fd = sys::open(&merged(side, "secret")?, libc::O_PATH).step("O_PATH is no open")?;
        read(&format!("/proc/self/fd/{}", fd.as_raw_fd()))
    })
    .by_object(),
    denied("overlay", "ov-write", WRITE, |side| open(&merged(side, "config")?, libc::O_WRONLY)).by_object(),
    denied("overlay", "ov-trunc", WRITE, |side| {
        open(&merged(side, "config")?, libc::O_WRONLY | libc::O_TRUNC)
    })
    .by_object(),
    denied("overlay", "ov-chmod", WRITE, |side| {
        let path = merged(side, "config")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(Stop::from)
    })
    .by_object(),
    denied("overlay", "ov-rename", WRITE, |side| {
        let path = merged(side, "config")?;
        let to = format!("{path}.moved");
        fs::rename(&path, &to)?;
        fs::rename(to, path).step("back")
    })
    .by_object(),
    denied("overlay", "ov-link", WRITE, |side| {
        let path = merged(side, "config")?;
        let to = format!("{path}.linked");
        fs::hard_link(path, &to)?;
        fs::remove_file(to).step("remove")
    })
    .by_object(),
    denied("overlay", "ov-exec", EXEC, |side| {
        let path = merged(side, "tool")?;
        sys::run_program(sys::TOOL_EXIT, || sys::execve(&path, &["tool"]))
    })
    .by_object(),
    denied("overlay", "ov-map", ("suite-exec", "exec-check", "mmap_file"), |side| {
        let fd = sys::open(&merged(side, "tool")?, libc::O_RDONLY).step("it may be read")?;
        sys::map(&fd, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE).map(drop).map_err(Stop::Errno)
    }),
    denied("overlay", "ov-nested", ("suite-exec", "exec-check", "mmap_file"), |side| {
        // An overlay upon an overlay.
        let path = format!("/scratch/nested-{}/tool", side.letter());
        let fd = sys::open(&path, libc::O_RDONLY).offered("an overlay upon an overlay")?;
        sys::map(&fd, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE).map(drop).map_err(Stop::Errno)
    }),
    denied("overlay", "ov-nested-write", WRITE, |side| {
        let path = format!("/scratch/nested-{}/config", side.letter());
        fs::metadata(&path).offered("an overlay upon an overlay")?;
        open(&path, libc::O_WRONLY)
    })
    .by_object(),
    denied("overlay", "ov-whiteout", READ, |side| {
        // It disappears in the overlay only: what is below stays, and stays protected.
        let path = merged(side, "plain")?;
        let _ = fs::remove_file(&path);
        fs::metadata(side.at("lower/plain")).step("the file below")?;
        read(&side.at("lower/secret"))
    })
    .allows("removing a name from an overlay's upper layer"),
];
