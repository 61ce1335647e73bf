//! A file as a file system: a loop device that can only be read, and ends with its mount (`drivers/block/loop.c`).
#![allow(unsafe_code)] // ioctl(2) takes a pointer: of what the device is to show

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

const CONTROL: &str = "/dev/loop-control";
/// From Linux's `include/uapi/linux/loop.h`.
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// How often another one is asked for, when somebody else took the free one first.
const TRIES: u32 = 8;

/// `struct loop_config`, with `struct loop_info64` in it.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<Config>() == 304);

/// Mounts what is in the file from `offset` on, so many bytes, at `place`: a squashfs, read-only, without devices and without
/// programs that run with more rights than who starts them.
///
/// # Errors
/// `NotFound`: this kernel has no loop devices.
pub(crate) fn mount_squashfs(file: &File, offset: u64, length: u64, place: &Path) -> io::Result<()> {
    let (node, device) = attach(file, offset, length)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    mount(&node, place, "squashfs", flags, None)?;
    // The mount holds it from here on.
    drop(device);
    Ok(())
}

fn attach(file: &File, offset: u64, length: u64) -> io::Result<(PathBuf, File)> {
    let control =
        File::options().read(true).write(true).open(CONTROL).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => io::ErrorKind::NotFound.into(),
            _ => error,
        })?;
    // A descriptor is never negative.
    let fd = file.as_raw_fd().unsigned_abs();
    for _ in 0..TRIES {
        // SAFETY: it takes no argument.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        let node = PathBuf::from(format!("/dev/loop{number}"));
        let device = File::open(&node)?;
        let config = Config {
            fd,
            block_size: 0,
            device: 0,
            inode: 0,
            rdevice: 0,
            offset,
            size_limit: length,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
            reserved: [0; 8],
        };
        // SAFETY: the kernel reads a `struct loop_config`, which is as long as this one.
        if unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) } == 0 {
            return Ok((node, device));
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EBUSY) => {}
            error => return Err(error),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}
