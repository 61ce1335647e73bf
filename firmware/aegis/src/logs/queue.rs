//! Between the agent's threads and the log's files: a few lines in memory. Who says something leaves it there and goes on; a disk that
//! hangs holds up the one thread that writes. What finds no room is counted, and said with the next line.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use aegis_log::limits::LINE_BYTES;

use super::file::Files;
use crate::limits;

/// Lines as they come, in a ring of places that were there from the start.
struct Lines {
    bytes: [[u8; LINE_BYTES]; limits::LOG_LINES],
    lengths: [u16; limits::LOG_LINES],
    first: usize,
    count: usize,
    /// Lines that found no place.
    dropped: u64,
}

static LINES: Mutex<Lines> = Mutex::new(Lines::new());
static NEWS: Condvar = Condvar::new();
/// A line is on its way to the disk.
static BUSY: AtomicBool = AtomicBool::new(false);

impl Lines {
    const fn new() -> Self {
        Self {
            bytes: [[0; LINE_BYTES]; limits::LOG_LINES],
            lengths: [0; limits::LOG_LINES],
            first: 0,
            count: 0,
            dropped: 0,
        }
    }

    fn push(&mut self, line: &[u8]) {
        let at = (self.first + self.count) % limits::LOG_LINES;
        let place = self.bytes.get_mut(at).and_then(|place| place.get_mut(..line.len()));
        match place {
            Some(place) if self.count < limits::LOG_LINES => {
                place.copy_from_slice(line);
                self.lengths[at] = line.len() as u16;
                self.count += 1;
            }
            _ => self.dropped = self.dropped.saturating_add(1),
        }
    }

    fn pop(&mut self, line: &mut [u8; LINE_BYTES]) -> Option<usize> {
        if self.count == 0 {
            return None;
        }
        *line = self.bytes[self.first];
        let length = usize::from(self.lengths[self.first]);
        self.first = (self.first + 1) % limits::LOG_LINES;
        self.count -= 1;
        Some(length)
    }
}

/// Leaves a line there.
pub(super) fn push(line: &[u8]) {
    // Nobody who holds this panics, nor waits for anything.
    LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    NEWS.notify_one();
}

/// Writes what is left there, until the process ends.
pub(super) fn serve(files: &Files) {
    let mut line = [0; LINE_BYTES];
    loop {
        let (length, dropped) = {
            let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if let Some(length) = lines.pop(&mut line) {
                    BUSY.store(true, Release);
                    break (length, core::mem::take(&mut lines.dropped));
                }
                lines = NEWS.wait(lines).unwrap_or_else(PoisonError::into_inner);
            }
        };
        let text = line.get(..length).unwrap_or_default();
        let trouble = files.write(text);
        if is_error(text) {
            files.sync();
        }
        BUSY.store(false, Release);
        if dropped > 0 {
            log::warn!("log: {dropped} lines are not kept: they came faster than the disk took them");
        }
        // Said as any line is: of those that get lost for it only the first says so.
        if let Some(trouble) = trouble {
            log::error!("{trouble}");
        }
    }
}

/// What is wrong survives a power cut.
fn is_error(line: &[u8]) -> bool {
    line.windows(15).any(|window| window == b"\"level\":\"error\"")
}

/// Waits until nothing is left there, for so long.
pub(super) fn wait_until_empty(time: Duration) {
    let until = std::time::Instant::now() + time;
    let is_empty = || LINES.lock().unwrap_or_else(PoisonError::into_inner).count == 0 && !BUSY.load(Acquire);
    while !is_empty() && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_in_order_and_what_finds_no_room_is_counted() {
        let mut lines = Lines::new();
        let mut line = [0; LINE_BYTES];
        for round in 0..3_usize {
            for number in 0..limits::LOG_LINES + 5 {
                lines.push(format!("{round} {number}\n").as_bytes());
            }
            lines.push(&[0; LINE_BYTES + 1]);
            assert_eq!(core::mem::take(&mut lines.dropped), 6);
            for number in 0..limits::LOG_LINES {
                let length = lines.pop(&mut line).expect("it was left there");
                assert_eq!(line[..length], *format!("{round} {number}\n").as_bytes());
            }
            assert_eq!(lines.pop(&mut line), None);
        }
    }

    #[test]
    fn errors_are_told_from_what_names_them() {
        assert!(is_error(br#"{"time":1,"level":"error","text":""}"#));
        assert!(!is_error(br#"{"time":1,"level":"warn","text":"\"level\":\"error\""}"#));
    }
}
