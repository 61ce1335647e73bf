//! An overlay over protected files: what is read through it is the file below, what is written is a copy of it.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;

use super::{READ, TREE, open, read};
use crate::fixture::merged;
use crate::scenario::{Scenario, Step as _, Stop, denied};
use crate::sys;

/// What opens a file for writing through an overlay may be refused at the overlay's file, at the file below, or at the copy.
const WRITE: super::Expected =
    ("suite-write", "open|create|setattr", "file_open|inode_copy_up|inode_create|inode_setattr");
/// As above, of what may not be changed.
const KEEP: super::Expected = (
    "suite-keep",
    "open|create|setattr|rename|unlink|link",
    "inode_copy_up|inode_setattr|inode_rename|inode_link|inode_unlink|file_open",
);

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
    denied("overlay", "ov-chmod", KEEP, |side| {
        let path = merged(side, "kept")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(Stop::from)
    })
    .by_object(),
    denied("overlay", "ov-rename", KEEP, |side| {
        let path = merged(side, "kept")?;
        let to = format!("{path}.moved");
        fs::rename(&path, &to)?;
        fs::rename(to, path).step("back")
    })
    .by_object(),
    denied("overlay", "ov-link", KEEP, |side| {
        let path = merged(side, "kept")?;
        let to = format!("{path}.linked");
        fs::hard_link(path, &to)?;
        fs::remove_file(to).step("remove")
    })
    .by_object(),
    denied("overlay", "ov-exec", ("suite-exec", "exec-check", "file_open|bprm_check_security"), |side| {
        let path = merged(side, "tool")?;
        sys::run_program(sys::TOOL_EXIT, || sys::execve(&path, &["tool"]))
    })
    .by_object(),
    denied("overlay", "ov-map", ("suite-exec", "exec-check", "mmap_file|file_open"), |side| {
        let fd = sys::open(&merged(side, "tool")?, libc::O_RDONLY).step("to read")?;
        sys::map(&fd, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE)?;
        Ok(())
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
