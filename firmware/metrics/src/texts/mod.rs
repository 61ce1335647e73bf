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
        if words.next()? == key { next_number(&mut words) } else { None }
    })
}

/// Lines that are there whole: with a line feed behind them.
fn lines(text: &[u8]) -> Lines<'_> {
    Lines(text)
}

struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(line)
    }
}

/// Words with blanks between them.
fn words(line: &[u8]) -> Words<'_> {
    Words(line)
}

struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let begin = self.0.iter().position(|byte| !blank(byte))?;
        let rest = self.0.get(begin..).unwrap_or_default();
        let (word, rest) = rest.split_at(rest.iter().position(blank).unwrap_or(rest.len()));
        self.0 = rest;
        Some(word)
    }
}

/// The words as numbers; what is none is not known.
fn numbers<const N: usize>(words: &mut Words<'_>) -> [Option<u64>; N] {
    core::array::from_fn(|_| next_number(words))
}

#[inline(never)]
fn next_number(words: &mut Words<'_>) -> Option<u64> {
    words.next().and_then(number)
}
