//! The kernel's texts, read without allocation. Whatever the bytes are, nothing panics and no loop is longer than the text; a number
//! that is none, or too large, is not known, and never 0. Of a text that was cut short its last line is not believed.

mod cgroup;
mod disks;
mod network;
mod pressure;
mod sensors;
mod stat;

pub use cgroup::{Io, Limit, io};
pub use disks::{Disk, disks};
pub use network::{Interface, interfaces};
pub use pressure::{Pressure, pressure};
pub use sensors::{millidegrees, wear};
pub use stat::{CPU_MODES, MEMORY_KINDS, Stat, memory, stat};

/// A decimal number and nothing else; one that does not fit is none.
pub fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// A text that is one number and a line feed.
pub fn single(text: &[u8]) -> Option<u64> {
    number(text.trim_ascii())
}

/// The number behind a word at the beginning of a line (`oom_kill 3`): of `/proc/vmstat`, `cpu.stat`, `memory.events`, `pids.events`.
pub fn keyed(text: &[u8], key: &[u8]) -> Option<u64> {
    lines(text).find_map(|line| {
        let mut words = words(line);
        (words.next()? == key).then(|| words.next().and_then(number))?
    })
}

/// Lines that are there whole: with a line feed behind them.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

/// Words with blanks between them.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// The words as numbers; what is none is not known.
fn numbers<const N: usize>(words: &mut dyn Iterator<Item = &[u8]>) -> [Option<u64>; N] {
    core::array::from_fn(|_| words.next().and_then(number))
}
