//! Lines and items to stdout: until nobody reads them any more, or a signal says that it is enough. A reader that stands still keeps no
//! signal from being heard.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::stdout;

use super::Sink;
use crate::limits;
use crate::outcome::Failure;

/// Whether there is to be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Flow {
    GoOn,
    /// In order: interrupted, or the reader has seen enough.
    End,
}

pub(in crate::commands) struct Out {
    stop: Arc<AtomicBool>,
}

impl Out {
    pub(in crate::commands) fn new() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            signal_hook::flag::register(signal, stop.clone())?;
        }
        Ok(Self { stop })
    }
}

/// Waits until stdout takes some, for so long. A signal ends the wait.
fn wait_for(wanted: PollFlags, wait: Option<Duration>) -> Result<PollFlags, Failure> {
    let wait = wait
        .map(|wait| Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() });
    let out = stdout();
    let mut polled = [PollFd::new(&out, wanted)];
    match poll(&mut polled, wait.as_ref()) {
        Ok(_) => Ok(polled[0].revents()),
        Err(Errno::INTR) => Ok(PollFlags::empty()),
        Err(error) => Err(Failure::error(format!("stdout: {error}"))),
    }
}

impl Sink for Out {
    fn put(&mut self, bytes: &[u8]) -> Result<Flow, Failure> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.is_stopped() {
                return Ok(Flow::End);
            }
            // A pipe that says that it takes some takes so much without a wait.
            if wait_for(PollFlags::OUT, None)?.is_empty() {
                continue;
            }
            match rustix::io::write(stdout(), &rest[..rest.len().min(limits::PIPE_BYTES)]) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::PIPE) => return Ok(Flow::End),
                Err(error) => return Err(Failure::error(format!("stdout: {error}"))),
            }
        }
        Ok(Flow::GoOn)
    }

    fn wait(&mut self) -> Result<Flow, Failure> {
        let gone = wait_for(PollFlags::empty(), Some(Duration::from_millis(limits::FOLLOW_MILLIS)))?;
        let end = self.is_stopped() || gone.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        Ok(if end { Flow::End } else { Flow::GoOn })
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
