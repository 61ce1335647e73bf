//! The terminal: its modes, its size, bytes to and from it. Nobody waits for one that takes nothing.

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};

use crate::limits;

/// Standard input and output.
pub(crate) struct Tty {
    /// As they were found; none: it is no terminal.
    found: Option<Termios>,
    /// They are another now.
    changed: Cell<bool>,
    input: BorrowedFd<'static>,
    output: BorrowedFd<'static>,
}

impl Tty {
    /// As it is.
    pub(crate) fn find() -> Self {
        let (input, output) = (stdin(), stdout());
        let both = isatty(input) && isatty(output);
        let found = if both { tcgetattr(input).ok() } else { None };
        Self { found, changed: Cell::new(false), input, output }
    }

    /// Somebody sits at it.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.found.is_some()
    }

    /// Each key as it comes, nothing shown of it. Lines that others say there begin at the left all the same.
    pub(crate) fn raw(&self) {
        self.set(|modes| {
            modes.make_raw();
            modes.output_modes.insert(OutputModes::OPOST | OutputModes::ONLCR);
        });
    }

    /// Lines, as they are typed; nobody stops what is said there.
    pub(crate) fn lines(&self) {
        self.set(|modes| {
            modes.input_modes.remove(InputModes::IXON | InputModes::IXOFF);
            modes.input_modes.insert(InputModes::ICRNL);
            modes.output_modes.insert(OutputModes::OPOST | OutputModes::ONLCR);
            modes
                .local_modes
                .insert(LocalModes::ISIG | LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHOE);
        });
    }

    fn set(&self, change: impl FnOnce(&mut Termios)) {
        if let Some(found) = &self.found {
            let mut modes = found.clone();
            change(&mut modes);
            self.changed.set(tcsetattr(self.input, OptionalActions::Now, &modes).is_ok());
        }
    }

    /// As it was found.
    pub(crate) fn restore(&self) {
        if let Some(found) = self.found.as_ref().filter(|_| self.changed.replace(false)) {
            let _ = tcsetattr(self.input, OptionalActions::Now, found);
        }
    }

    /// Columns and rows, where the kernel knows: of a serial line it does not.
    pub(crate) fn size(&self) -> Option<(u16, u16)> {
        let size = tcgetwinsize(self.output).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0)?;
        Some((size.ws_col, size.ws_row))
    }

    /// Sends it.
    ///
    /// # Errors
    /// The terminal's; also when it takes nothing for [`limits::SEND`].
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut polled = [PollFd::new(&self.output, PollFlags::OUT)];
            match poll(&mut polled, timespec(limits::SEND).as_ref()) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            match rustix::io::write(self.output, &rest[..rest.len().min(limits::SEND_BYTES)]) {
                Ok(sent) => rest = &rest[sent..],
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A line.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) fn say(&self, line: &str) -> io::Result<()> {
        self.send(format!("{line}\n").as_bytes())
    }

    /// What was typed, once something is there.
    ///
    /// # Errors
    /// The terminal's; `UnexpectedEof`: there is nobody any more.
    pub(crate) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match rustix::io::read(self.input, bytes) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => Ok(length),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Signals: rings when one came.
pub(crate) struct Bell {
    ear: UnixStream,
    stop: Arc<AtomicBool>,
    resized: Arc<AtomicBool>,
}

impl Bell {
    /// # Errors
    /// The system's.
    pub(crate) fn new() -> io::Result<Self> {
        let (ear, mouth) = UnixStream::pair()?;
        ear.set_nonblocking(true)?;
        let (stop, resized) = (Arc::default(), Arc::default());
        for (signal, flag) in [(SIGTERM, &stop), (SIGINT, &stop), (SIGHUP, &stop), (SIGWINCH, &resized)] {
            signal_hook::flag::register(signal, Arc::clone(flag))?;
            signal_hook::low_level::pipe::register(signal, mouth.try_clone()?)?;
        }
        Ok(Self { ear, stop, resized })
    }

    /// It is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The screen has another size since this was asked last.
    pub(crate) fn is_resized(&self) -> bool {
        self.resized.swap(false, Ordering::Relaxed)
    }

    /// Waits for keys, for what else is told, for a signal; `until` at the latest. True: there are keys.
    pub(crate) fn wait(&self, keys: bool, others: &[BorrowedFd<'_>], until: Option<Instant>) -> bool {
        let input = stdin();
        let mut polled: Vec<PollFd<'_>> = vec![PollFd::new(&self.ear, PollFlags::IN)];
        polled.extend(others.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        if keys {
            polled.push(PollFd::new(&input, PollFlags::IN));
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        // A moment more, so that what is due is due.
        let left = left.and_then(|left| timespec(left + Duration::from_millis(1)));
        let ready = poll(&mut polled, left.as_ref()).is_ok();
        let typed = ready && keys && polled.last().is_some_and(|input| !input.revents().is_empty());
        while io::Read::read(&mut &self.ear, &mut [0; 64]).is_ok_and(|read| read > 0) {}
        typed
    }
}

fn timespec(time: Duration) -> Option<Timespec> {
    Timespec::try_from(time).ok()
}
