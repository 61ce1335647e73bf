//! Lines to the console without allocation, and never waiting: a console that is stopped or slow must not hold up evidence.

use core::fmt::Arguments;
use std::io::{self, Cursor, Write};
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use aegis_event::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Longest line, its end included, bytes.
const LINE_BYTES: usize = 1024;

/// A line would go out at once: neither a terminal that is stopped nor a full pipe.
pub(super) fn is_writable(out: &impl AsFd) -> bool {
    let mut ready = [PollFd::new(out, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut ready, Some(&now)).is_ok_and(|count| count > 0) && ready[0].revents().contains(PollFlags::OUT)
}

/// One line of the log, for a person who watches the console: cut if it does not fit, and left out where it would wait. Whatever counts
/// is an event too.
pub(crate) fn warn(text: Arguments<'_>) {
    log::warn!(target: "aegis::run", "{text}");
}

/// An event as one line on stdout. One that would wait is left out, and the next one that fits says how many were.
pub(super) fn trace(event: &Event<'_>) {
    static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
    let out = rustix::stdio::stdout();
    if !is_writable(&out) {
        LEFT_OUT.fetch_add(1, Relaxed);
        return;
    }
    let left_out = LEFT_OUT.swap(0, Relaxed);
    put(&out, |line| {
        if left_out > 0 {
            writeln!(line, "  (… {left_out} lines left out: the console was busy; the ring has the events)")?;
        }
        write!(line, "{event}")
    });
}

/// Builds a line on the stack and writes it.
fn put(out: &impl AsFd, text: impl FnOnce(&mut Cursor<&mut [u8]>) -> io::Result<()>) {
    let mut line = [0; LINE_BYTES];
    let mut rest = Cursor::new(&mut line[..LINE_BYTES - 1]);
    // What does not fit is cut.
    let _ = text(&mut rest);
    let mut length = rest.position() as usize;
    if length == 0 || line[length - 1] != b'\n' {
        line[length] = b'\n';
        length += 1;
    }
    let _ = rustix::io::write(out, &line[..length]);
}
