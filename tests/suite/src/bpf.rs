//! bpf(2), as far as the operator needs it: hooks off and on again, and a tap of its own.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use crate::scenario::{Done, Step as _, Stop};
use crate::sys::{self, Called, at, c, call};

// Commands, `include/uapi/linux/bpf.h`.
pub(crate) const MAP_CREATE: usize = 0;
pub(crate) const PROG_LOAD: usize = 5;
const OBJ_PIN: usize = 6;
const OBJ_GET: usize = 7;
const OBJ_GET_INFO_BY_FD: usize = 15;
const RAW_TRACEPOINT_OPEN: usize = 17;
const LINK_GET_NEXT_ID: usize = 31;

/// A command with `union bpf_attr` as words of 8 bytes.
fn command(which: usize, attributes: &[u64]) -> Called {
    call(libc::SYS_bpf, &[which, at(attributes), size_of_val(attributes)])
}

/// A command that gives a descriptor.
pub(crate) fn open(which: usize, attributes: &[u64]) -> Result<OwnedFd, i32> {
    sys::fd_of(command(which, attributes))
}

/// Two numbers of 32 bits in one word.
pub(crate) const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

pub(crate) fn number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// How many programs hang on something in this kernel.
pub(crate) fn links() -> Result<usize, Stop> {
    let (mut found, mut after) = (0, 0);
    loop {
        // The kernel answers behind what it is asked.
        let mut attributes = [after, 0_u32];
        let list = [LINK_GET_NEXT_ID, attributes.as_mut_ptr() as usize, size_of_val(&attributes)];
        match call(libc::SYS_bpf, &list) {
            Ok(_) => (found, after) = (found + 1, attributes[1]),
            Err(libc::ENOENT) => return Ok(found),
            Err(errno) => return Err(errno).step("BPF_LINK_GET_NEXT_ID"),
        }
    }
}

/// How often the program pinned there was run while the kernel counted that (`struct bpf_prog_info.run_cnt`, byte 200).
pub(crate) fn runs(program: &Path) -> Result<u64, Stop> {
    let (path, mut info) = (c(&program.to_string_lossy()), [0_u64; 26]);
    let opened = open(OBJ_GET, &[path.as_ptr() as u64, 0]).step("BPF_OBJ_GET")?;
    let size = size_of_val(&info) as u32;
    let attributes = [pair(number(&opened), size), info.as_mut_ptr() as u64];
    command(OBJ_GET_INFO_BY_FD, &attributes).step("BPF_OBJ_GET_INFO_BY_FD")?;
    Ok(info[25])
}

/// Hangs a program on what it was loaded for, or on the raw tracepoint of this name; as long as the descriptor is open.
pub(crate) fn attach(program: &OwnedFd, tracepoint: Option<&str>) -> Result<OwnedFd, i32> {
    let name = tracepoint.map(c);
    let pointer = name.as_ref().map_or(0, |name| name.as_ptr() as usize);
    open(RAW_TRACEPOINT_OPEN, &[pointer as u64, pair(number(program), 0)])
}

/// The program pinned at `program` hangs on its hook again, and stays there: its link is pinned at `link`.
pub(crate) fn attach_pinned(program: &Path, link: &Path) -> Done {
    let path = |path: &Path| c(&path.to_string_lossy());
    let (from, to) = (path(program), path(link));
    let opened = open(OBJ_GET, &[from.as_ptr() as u64, 0]).step("BPF_OBJ_GET")?;
    let attached = attach(&opened, None).step("BPF_RAW_TRACEPOINT_OPEN")?;
    command(OBJ_PIN, &[to.as_ptr() as u64, pair(number(&attached), 0)]).step("BPF_OBJ_PIN").map(drop)
}

/// What the kernel says it holds in memory for the map pinned there, bytes (`memlock` in its descriptor's fdinfo, from 6.4 on what it
/// really takes); none of what is no map.
pub(crate) fn memory(pin: &Path) -> Result<Option<u64>, Stop> {
    let path = c(&pin.to_string_lossy());
    let Ok(opened) = open(OBJ_GET, &[path.as_ptr() as u64, 0]) else { return Ok(None) };
    let file = format!("/proc/self/fdinfo/{}", number(&opened));
    let text = std::fs::read_to_string(&file).step(&file)?;
    if !text.contains("map_type:") {
        return Ok(None);
    }
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    Ok(line.and_then(|figure| figure.trim().parse().ok()))
}
