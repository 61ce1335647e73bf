//! How long each system call of the workload takes, seen in the kernel: two small programs on the raw tracepoints around system
//! calls, the same in every state. Calls that wait for somebody else by their nature are left out: [`WAITS`].
#![expect(unsafe_code, reason = "the kernel's map of times is read where it is mapped")]

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::ptr::NonNull;

use super::Sample;
use crate::bpf::{self, pair};
use crate::scenario::{Step as _, Stop};
use crate::sys::{c, call, n};

/// Times that a block has room for: 8 bytes each.
const ROOM: usize = 1 << 19;
/// System calls at once.
const AT_ONCE: u32 = 16_384;
/// A time's lowest bits are the call's number.
const NUMBER_BITS: u32 = 9;
/// What waits for another process, a signal or a time.
const WAITS: [libc::c_long; 8] = [
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_futex,
    libc::SYS_rt_sigsuspend,
];
/// Where a number of the old ones waits, too: poll, select, pause.
#[cfg(target_arch = "x86_64")]
const OLD_WAITS: [libc::c_long; 3] = [libc::SYS_poll, libc::SYS_select, libc::SYS_pause];
#[cfg(not(target_arch = "x86_64"))]
const OLD_WAITS: [libc::c_long; 0] = [];

/// The tap, as long as it lives.
pub(super) struct Tap {
    _links: [OwnedFd; 2],
    cursor: Mapped,
    times: Mapped,
    /// Where the times of this load begin.
    from: usize,
}

impl Tap {
    /// On the tasks of the cgroup with this id.
    pub(super) fn open(cgroup: u64) -> Result<Self, Stop> {
        const HASH: u32 = 1;
        const ARRAY: u32 = 2;
        const MMAPABLE: u32 = 1 << 10;
        let map = |kind, key, value, entries, flags| {
            let attributes = [pair(kind, key), pair(value, entries), pair(flags, 0)];
            bpf::open(bpf::MAP_CREATE, &attributes).step("a map of the tap")
        };
        let begun = map(HASH, 8, 16, AT_ONCE, 0)?;
        let cursor = map(ARRAY, 4, 8, 1, MMAPABLE)?;
        let times = map(ARRAY, 4, 8, ROOM as u32, MMAPABLE)?;
        let enter = load(&code::enter(cgroup, bpf::number(&begun)))?;
        let leave = load(&code::leave(cgroup, [&begun, &cursor, &times].map(bpf::number)))?;
        let hang = |program, name| bpf::attach(program, Some(name)).step(name);
        let links = [hang(&leave, "sys_exit")?, hang(&enter, "sys_enter")?];
        Ok(Self {
            _links: links,
            cursor: Mapped::new(&cursor, 1)?,
            times: Mapped::new(&times, ROOM)?,
            from: 0,
        })
    }

    /// From now on.
    pub(super) fn mark(&mut self) {
        self.from = self.cursor.at(0) as usize;
    }

    /// The times since the mark, ns.
    pub(super) fn taken(&self) -> Result<Sample, Stop> {
        let to = self.cursor.at(0) as usize;
        if to > ROOM {
            return Err(Stop::Broken(format!("{to} system calls in a block, room for {ROOM}")));
        }
        let waits = |number: libc::c_long| WAITS.contains(&number) || OLD_WAITS.contains(&number);
        let all = (self.from..to).map(|at| self.times.at(at));
        let own = all.filter(|time| !waits((time & ((1 << NUMBER_BITS) - 1)).cast_signed()));
        Ok(Sample::of(own.map(|time| time >> NUMBER_BITS).collect()))
    }
}

fn load(program: &[u64]) -> Result<OwnedFd, Stop> {
    const RAW_TRACEPOINT: u32 = 17;
    let (license, mut log) = (c("GPL"), vec![0_u8; 1 << 16]);
    let attributes = [
        pair(RAW_TRACEPOINT, program.len() as u32),
        program.as_ptr() as u64,
        license.as_ptr() as u64,
        pair(1, log.len() as u32),
        log.as_mut_ptr() as u64,
        0,
    ];
    bpf::open(bpf::PROG_LOAD, &attributes).map_err(|errno| {
        let said = String::from_utf8_lossy(&log);
        Stop::Broken(format!("the tap: errno {errno}: {}", said.trim_end_matches('\0')))
    })
}

/// An array of the kernel's, mapped for reading.
struct Mapped {
    words: NonNull<u64>,
    length: usize,
}

impl Mapped {
    fn new(map: &OwnedFd, length: usize) -> Result<Self, Stop> {
        let list = [0, length * 8, n(libc::PROT_READ), n(libc::MAP_SHARED), n(map.as_raw_fd()), 0];
        let address = call(libc::SYS_mmap, &list).step("mmap of the tap")?;
        let words =
            NonNull::new(address as *mut u64).ok_or_else(|| Stop::Broken("mapped at 0".to_owned()))?;
        Ok(Self { words, length })
    }

    fn at(&self, place: usize) -> u64 {
        assert!(place < self.length, "{place} of {}", self.length);
        // SAFETY: within the mapping, which lives as long as this does; the kernel writes it, so it is read as volatile.
        unsafe { self.words.add(place).read_volatile() }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let _ = call(libc::SYS_munmap, &[self.words.as_ptr() as usize, self.length * 8]);
    }
}

/// The two programs (`Documentation/bpf/standardization/instruction-set.rst`).
mod code {
    use super::{NUMBER_BITS, ROOM};

    const fn word(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
        code as u64
            | (to as u64) << 8
            | (from as u64) << 12
            | (offset.cast_unsigned() as u64) << 16
            | (value.cast_unsigned() as u64) << 32
    }

    const fn helper(number: i32) -> u64 {
        word(0x85, 0, 0, 0, number)
    }
    const LOOKUP: u64 = helper(1);
    const UPDATE: u64 = helper(2);
    const DELETE: u64 = helper(3);
    const NOW: u64 = helper(5);
    const TASK: u64 = helper(14);
    const CGROUP: u64 = helper(80);
    const EXIT: [u64; 2] = [word(0xb7, 0, 0, 0, 0), word(0x95, 0, 0, 0, 0)];

    /// Register to register.
    const fn copy(to: u8, from: u8) -> u64 {
        word(0xbf, to, from, 0, 0)
    }
    /// 8 bytes to the stack; from an address.
    const fn store(at: i16, from: u8) -> u64 {
        word(0x7b, 10, from, at, 0)
    }
    const fn fetch(to: u8, from: u8, at: i16) -> u64 {
        word(0x79, to, from, at, 0)
    }
    /// A constant of 64 bits; a map.
    const fn wide(to: u8, value: u64) -> [u64; 2] {
        [word(0x18, to, 0, 0, value as i32), word(0, 0, 0, 0, (value >> 32) as i32)]
    }
    const fn map(to: u8, descriptor: u32) -> [u64; 2] {
        [word(0x18, to, 1, 0, descriptor.cast_signed()), 0]
    }
    /// The address of a place on the stack.
    const fn place(to: u8, at: i32) -> [u64; 2] {
        [copy(to, 10), word(0x07, to, 0, 0, at)]
    }

    /// Ends here, unless the jump that this becomes is not taken: `code` compares, to the last two instructions.
    const JUMP: i16 = i16::MAX;
    const fn end_if(code: u8, one: u8, other: u8, value: i32) -> u64 {
        word(code, one, other, JUMP, value)
    }
    /// Is another than; is 0; is as great as or greater than.
    const OTHER: u8 = 0x5d;
    const ZERO: u8 = 0x15;
    const GREAT: u8 = 0x35;

    /// Jumps lead to the end.
    fn linked(mut program: Vec<u64>) -> Vec<u64> {
        let end = program.len();
        for (at, instruction) in program.iter_mut().enumerate() {
            let is_jump = *instruction & 0x07 == 0x05 && (*instruction >> 16) as u16 == JUMP.cast_unsigned();
            if is_jump {
                let distance = (end - at - 1) as u64;
                *instruction = *instruction & !(0xffff << 16) | distance << 16;
            }
        }
        program.extend(EXIT);
        program
    }

    /// Only of this cgroup; the task's number at -8.
    fn head(cgroup: u64) -> Vec<u64> {
        let mut all = vec![copy(6, 1), CGROUP];
        all.extend(wide(1, cgroup));
        all.extend([end_if(OTHER, 0, 1, 0), TASK, store(-8, 0)]);
        all
    }

    /// `sys_enter(regs, number)`: `begun[task] = { now, number }`.
    pub(super) fn enter(cgroup: u64, begun: u32) -> Vec<u64> {
        let mut all = head(cgroup);
        all.extend([fetch(1, 6, 8), store(-16, 1), NOW, store(-24, 0)]);
        all.extend(map(1, begun));
        all.extend(place(2, -8));
        all.extend(place(3, -24));
        all.extend([word(0xb7, 4, 0, 0, 0), UPDATE]);
        linked(all)
    }

    /// `sys_exit(regs, value)`: `times[cursor++] = (now - begun) << 9 | number`.
    pub(super) fn leave(cgroup: u64, [begun, cursor, times]: [u32; 3]) -> Vec<u64> {
        const NUMBERS: i32 = (1 << NUMBER_BITS) - 1;
        let mut all = head(cgroup);
        all.extend(map(1, begun));
        all.extend(place(2, -8));
        all.extend([LOOKUP, end_if(ZERO, 0, 0, 0), fetch(7, 0, 0), fetch(8, 0, 8), NOW]);
        // r0 -= r7; r7 = r0 << 9 | r8 & 511
        all.extend([word(0x1f, 0, 7, 0, 0), copy(7, 0), word(0x67, 7, 0, 0, NUMBER_BITS.cast_signed())]);
        all.extend([word(0x57, 8, 0, 0, NUMBERS), word(0x4f, 7, 8, 0, 0)]);
        all.extend(map(1, begun));
        all.extend(place(2, -8));
        all.push(DELETE);
        // The key 0, of 4 bytes.
        all.push(word(0x62, 10, 0, -16, 0));
        all.extend(map(1, cursor));
        all.extend(place(2, -16));
        all.extend([LOOKUP, end_if(ZERO, 0, 0, 0)]);
        // r1 = 1; r1 = atomic fetch and add to [r0]
        all.extend([word(0xb7, 1, 0, 0, 1), word(0xdb, 0, 1, 0, 1)]);
        let room = i32::try_from(ROOM).unwrap_or(i32::MAX);
        all.extend([end_if(GREAT, 1, 0, room), word(0x63, 10, 1, -16, 0)]);
        all.extend(map(1, times));
        all.extend(place(2, -16));
        all.extend([LOOKUP, end_if(ZERO, 0, 0, 0), word(0x7b, 0, 7, 0, 0)]);
        linked(all)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn jumps_lead_to_the_end() {
            for program in [enter(1 << 40 | 7, 3), leave(1 << 40 | 7, [3, 4, 5])] {
                let end = program.len() - 2;
                assert_eq!(program[end..], EXIT);
                let jumps = program
                    .iter()
                    .enumerate()
                    .filter(|(_, word)| matches!(**word as u8, OTHER | ZERO | GREAT));
                let distances: Vec<usize> =
                    jumps.map(|(at, word)| at + 1 + (*word >> 16) as u16 as usize).collect();
                assert!(!distances.is_empty() && distances.iter().all(|to| *to == end), "{distances:?}");
            }
        }
    }
}
