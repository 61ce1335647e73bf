//! Whether the root is held against its hash: what the kernel's device mapper says of the device that it is on.
#![allow(unsafe_code)] // ioctl(2) takes a pointer: of a request that the answer comes in

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;

use crate::limits;

const CONTROL: &str = "/dev/mapper/control";
/// `include/uapi/linux/dm-ioctl.h`: `_IOWR(0xfd, 12, struct dm_ioctl)`.
const DM_TABLE_STATUS: libc::Ioctl = 0xc138_fd0c_u32 as libc::Ioctl;
/// `sizeof(struct dm_ioctl)`, and where in it these are.
const HEAD_BYTES: usize = 312;
const DATA_BYTES_AT: usize = 12;
const DATA_START_AT: usize = 16;
const TARGETS_AT: usize = 20;
const FLAGS_AT: usize = 28;
const DEVICE_AT: usize = 40;
/// `sizeof(struct dm_target_spec)`, and where in it the type's name is.
const TARGET_BYTES: usize = 40;
const TYPE_AT: usize = 24;
/// `DM_BUFFER_FULL_FLAG`.
const FULL: u32 = 1 << 8;

/// What holds the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// dm-verity, and every block that was read held.
    Verified,
    /// dm-verity, and a block did not.
    Corrupted,
    /// Nothing: it is on no mapped device, or on one of another kind.
    Unverified,
}

/// What holds the root that is mounted.
pub(crate) fn root() -> io::Result<Root> {
    let device = fs::metadata("/")?.dev();
    let at = format!("/sys/dev/block/{}:{}/dm", rustix::fs::major(device), rustix::fs::minor(device));
    if !fs::exists(&at)? {
        return Ok(Root::Unverified);
    }
    let mut bytes = request(device);
    let control = File::options().read(true).write(true).open(CONTROL)?;
    // SAFETY: the kernel reads and writes at most the length that the request says, which is the buffer's.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), DM_TABLE_STATUS, bytes.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    read(bytes.as_slice())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no answer of the device mapper's"))
}

/// As the kernel wants it: aligned, with room for the answer.
fn request(device: u64) -> Box<[u8; limits::MAPPER_BYTES]> {
    let mut bytes = Box::new([0; limits::MAPPER_BYTES]);
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &4u32.to_ne_bytes());
    put(DATA_BYTES_AT, &(limits::MAPPER_BYTES as u32).to_ne_bytes());
    put(DATA_START_AT, &(HEAD_BYTES as u32).to_ne_bytes());
    put(DEVICE_AT, &device.to_ne_bytes());
    bytes
}

/// Reads the answer: of one target, verity's status is a letter (`drivers/md/dm-verity-target.c:verity_status`). `None`: it is none.
fn read(answer: &[u8]) -> Option<Root> {
    let number = |at: usize| answer.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let start = number(DATA_START_AT)? as usize;
    if number(FLAGS_AT)? & FULL != 0 || start < HEAD_BYTES {
        return None;
    }
    let target = answer.get(start..start.checked_add(TARGET_BYTES)?)?;
    let kind = target.get(TYPE_AT..)?.split(|byte| *byte == 0).next()?;
    // One target is all of the device; of more, the others are not known.
    if number(TARGETS_AT)? != 1 || kind != b"verity" {
        return Some(Root::Unverified);
    }
    match answer.get(start + TARGET_BYTES)? {
        b'V' => Some(Root::Verified),
        b'C' => Some(Root::Corrupted),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(kind: &[u8], status: &[u8], targets: u32) -> Box<[u8; limits::MAPPER_BYTES]> {
        let mut bytes = request(7);
        bytes[TARGETS_AT..TARGETS_AT + 4].copy_from_slice(&targets.to_ne_bytes());
        bytes[HEAD_BYTES + TYPE_AT..][..kind.len()].copy_from_slice(kind);
        bytes[HEAD_BYTES + TARGET_BYTES..][..status.len()].copy_from_slice(status);
        bytes
    }

    #[test]
    fn only_one_whole_target_of_verity_holds_a_root() {
        for (kind, status, targets, expected) in [
            (&b"verity"[..], &b"V"[..], 1, Some(Root::Verified)),
            (b"verity", b"C", 1, Some(Root::Corrupted)),
            (b"verity", b"?", 1, None),
            (b"verity", b"", 1, None),
            (b"verity", b"V", 2, Some(Root::Unverified)),
            (b"linear", b"V", 1, Some(Root::Unverified)),
            (b"verity-not", b"V", 1, Some(Root::Unverified)),
        ] {
            assert_eq!(read(&answer(kind, status, targets)[..]), expected, "{kind:?} {status:?} {targets}");
        }
        let mut full = answer(b"verity", b"V", 1);
        full[FLAGS_AT + 1] = 1;
        assert_eq!(read(&full[..]), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }
    }
}
