//! `io_uring` with bare hands: one request at a time, by the system calls alone.
#![expect(unsafe_code, reason = "the rings are memory that is shared with the kernel")]

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::scenario::{Step as _, Stop};
use crate::sys::{self, at, call, n};

/// Numbers of `enum io_uring_op` (`include/uapi/linux/io_uring.h`).
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Op {
    SendMessage = 9,
    Connect = 16,
    OpenAt = 18,
    OpenAt2 = 28,
    RenameAt = 35,
    UnlinkAt = 36,
    MkdirAt = 37,
    SymlinkAt = 38,
    LinkAt = 39,
}

/// The fields of a submission that we use.
#[derive(Default)]
pub(crate) struct Request {
    pub(crate) fd: i32,
    pub(crate) address: usize,
    pub(crate) offset: usize,
    pub(crate) length: u32,
    pub(crate) flags: u32,
}

/// A ring of one entry.
pub(crate) struct Ring {
    fd: OwnedFd,
    polled: bool,
    /// Both rings, one mapping (`IORING_FEAT_SINGLE_MMAP`).
    rings: usize,
    entries: usize,
    parameters: [u32; 30],
}

const SETUP_SQPOLL: u32 = 2;
const ENTER_GETEVENTS: usize = 1;
const ENTER_SQ_WAKEUP: usize = 2;
const REGISTER_PROBE: usize = 8;

impl Ring {
    /// `polled`: the kernel's own thread takes what is submitted.
    pub(crate) fn new(polled: bool) -> Result<Self, Stop> {
        let mut parameters = [0_u32; 30];
        parameters[2] = if polled { SETUP_SQPOLL } else { 0 };
        let fd = sys::fd_of(call(libc::SYS_io_uring_setup, &[1, parameters.as_mut_ptr() as usize]))
            .offered("io_uring_setup")?;
        if parameters[5] & 1 == 0 {
            return Err(Stop::Skip("io_uring of a time before Linux 5.4".to_owned()));
        }
        let map = |length: usize, offset: usize| {
            let protection = n(libc::PROT_READ | libc::PROT_WRITE);
            let list = [0, length, protection, n(libc::MAP_SHARED), n(fd.as_raw_fd()), offset];
            call(libc::SYS_mmap, &list).step("mmap of the ring")
        };
        let rings = map(4096, 0)?;
        let entries = map(4096, 0x1000_0000)?;
        Ok(Self { fd, polled, rings, entries, parameters })
    }

    /// Skips where this kernel does not know the operation.
    fn probe(&self, op: Op) -> Result<(), Stop> {
        let mut answer = [0_u64; 2 + 64];
        let list = [n(self.fd.as_raw_fd()), REGISTER_PROBE, answer.as_mut_ptr() as usize, 64];
        call(libc::SYS_io_uring_register, &list).offered("io_uring_register")?;
        // struct io_uring_probe: 16 bytes of head; each operation: op u8, reserved u8, flags u16, reserved u32.
        let supported = answer[2 + op as usize] >> 16 & 1 == 1 && answer[0] & 0xff >= op as u64;
        supported.then_some(()).ok_or_else(|| Stop::Skip(format!("io_uring operation {}", op as u8)))
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel gave this offset of a 32-bit word within the mapping, which lives as long as the process.
        unsafe { &*((self.rings + offset as usize) as *const AtomicU32) }
    }

    /// Submits one request and waits for its result.
    pub(crate) fn ask(&self, op: Op, request: &Request) -> Result<usize, Stop> {
        self.probe(op)?;
        let p = &self.parameters;
        // struct io_sqring_offsets is at word 10 (head, tail, mask, entries, flags, dropped, array), io_cqring_offsets at
        // 20 (head, tail, mask, entries, overflow, cqes).
        let (tail, flags, array) = (self.word(p[11]), self.word(p[14]), self.word(p[16]));
        let mut entry = [0_u8; 64];
        entry[0] = op as u8;
        entry[4..8].copy_from_slice(&request.fd.to_le_bytes());
        entry[8..16].copy_from_slice(&(request.offset as u64).to_le_bytes());
        entry[16..24].copy_from_slice(&(request.address as u64).to_le_bytes());
        entry[24..28].copy_from_slice(&request.length.to_le_bytes());
        entry[28..32].copy_from_slice(&request.flags.to_le_bytes());
        // SAFETY: the one entry of the mapping, which the kernel reads only after the tail moves.
        unsafe { std::ptr::copy_nonoverlapping(entry.as_ptr(), self.entries as *mut u8, 64) };
        array.store(0, Ordering::Relaxed);
        tail.store(tail.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        let enter = |submit: usize, wait: usize, how: usize| {
            call(libc::SYS_io_uring_enter, &[n(self.fd.as_raw_fd()), submit, wait, how, 0, 0])
        };
        if self.polled {
            let wake = if flags.load(Ordering::Acquire) & 1 == 1 { ENTER_SQ_WAKEUP } else { 0 };
            enter(0, 0, wake).step("io_uring_enter")?;
        } else {
            enter(1, 1, ENTER_GETEVENTS).step("io_uring_enter")?;
        }
        let (head, tail) = (self.word(p[20]), self.word(p[21]));
        let end = Instant::now() + Duration::from_secs(15);
        while head.load(Ordering::Relaxed) == tail.load(Ordering::Acquire) {
            if Instant::now() > end {
                return Err(Stop::Broken("io_uring: no completion".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let index = head.load(Ordering::Relaxed) & self.word(p[22]).load(Ordering::Relaxed);
        let place = self.rings + p[25] as usize + index as usize * 16;
        // SAFETY: a completion within the mapping: user_data u64, result i32, flags u32.
        let result = unsafe { ((place + 8) as *const i32).read_volatile() };
        head.store(head.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        usize::try_from(result).map_err(|_| Stop::Errno(-result))
    }
}

/// The address of what a request points to.
pub(crate) fn place<T: ?Sized>(value: &T) -> usize {
    at(value)
}
