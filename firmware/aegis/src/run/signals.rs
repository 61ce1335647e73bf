//! SIGTERM and SIGINT: the first asks for an orderly stop, a second one cuts the draining short.
#![allow(unsafe_code)] // sigprocmask(2) of this thread, while the handlers are put in place: see `Blocked`

use std::io::{self, Read};
use std::mem::MaybeUninit;
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
        let _blocked = Blocked::begin()?;
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
        // The number is stored before the byte is written. Not remembered here: the byte may still come.
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

/// SIGTERM and SIGINT wait while this lives: the signal handler of `signal_hook` drops one that comes while its first action
/// is being put in place, and does not end the process for it either.
struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    fn begin() -> io::Result<Self> {
        let mut these = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initialises the set that it is given, before anything else reads it.
        let mut these = unsafe {
            libc::sigemptyset(these.as_mut_ptr());
            these.assume_init()
        };
        for signal in [SIGTERM, SIGINT] {
            // SAFETY: the set is initialised, and the signal exists.
            unsafe { libc::sigaddset(&raw mut these, signal) };
        }
        // SAFETY: both point to a set, and the one for the mask before is written when the call succeeds.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const these, before.as_mut_ptr()) } {
            // SAFETY: the call succeeded.
            0 => Ok(Self { before: unsafe { before.assume_init() } }),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the mask is one that the kernel gave; the old one is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that comes before the handlers are in place ends the process, or is forgotten, if it does not wait for them.
    #[test]
    fn a_signal_waits_until_all_handlers_are_in_place() {
        let blocked = Blocked::begin().expect("blocked");
        // SAFETY: a signal to this thread, which has it blocked.
        assert_eq!(unsafe { libc::raise(SIGTERM) }, 0);
        let mut signals = Signals::register().expect("registered");
        assert_eq!((signals.count(), signals.last()), (0, 0));
        drop(blocked);
        assert_eq!((signals.count(), i32::from(signals.last())), (1, SIGTERM));
    }
}
