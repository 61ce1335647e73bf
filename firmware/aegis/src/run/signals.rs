//! SIGTERM and SIGINT: the first asks for an orderly stop, a second one cuts the draining short.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Signals received so far. Registered before anything else, so that none is missed during start-up.
pub(crate) struct Signals {
    pipe: UnixStream,
    last: Arc<AtomicUsize>,
    count: usize,
}

impl Signals {
    /// Registers the handlers. SIGPIPE is ignored by Rust's runtime already.
    pub(crate) fn register() -> io::Result<Self> {
        let (pipe, written) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGTERM, SIGINT] {
            let number = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&last), number)?;
            signal_hook::low_level::pipe::register(signal, written.try_clone()?)?;
        }
        Ok(Self { pipe, last, count: 0 })
    }

    /// How many have come so far.
    pub(crate) fn count(&mut self) -> usize {
        let mut bytes = [0; 16];
        while let Ok(read @ 1..) = self.pipe.read(&mut bytes) {
            self.count = self.count.saturating_add(read);
        }
        // A signal that came between the two registrations is known by its number only. Not remembered here: its byte
        // may still come.
        self.count.max(usize::from(self.last() != 0))
    }

    /// The number of the last one, for a thread that only asks whether one came: 0 if none did.
    pub(crate) fn watch(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.last)
    }

    /// Number of the last one, 0 if none came.
    pub(crate) fn last(&self) -> u8 {
        self.last.load(Relaxed) as u8
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
