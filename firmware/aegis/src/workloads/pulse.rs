//! Whether a workload gives signs of life: `WATCHDOG=1` at the socket in its `/dev`, as `sd_notify(3)` sends it. All else that it may say
//! there is heard and means nothing.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::limits;

/// Where it finds the socket, by its own root: `/dev` and this.
pub(crate) const SOCKET: &str = "notify";

/// One that is listened for.
#[derive(Debug)]
pub(crate) struct Pulse {
    socket: UnixDatagram,
    every: Duration,
    last: Instant,
    listens: Instant,
}

impl Pulse {
    /// Without a name yet: that is given in its cage.
    pub(crate) fn new(every: Duration, now: Instant) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, every, last: now, listens: now })
    }

    pub(crate) const fn socket(&self) -> &UnixDatagram {
        &self.socket
    }

    /// Hears what there is; `true`: it was silent for too long.
    pub(crate) fn is_lost(&mut self, now: Instant) -> bool {
        // What was said in time is heard before it is judged.
        if now >= self.listens.min(self.last + self.every) {
            let mut word = [0; limits::PULSE_WORD_BYTES];
            for _ in 0..limits::PULSE_WORDS {
                let Ok(length) = self.socket.recv(&mut word) else { break };
                if word[..length].split(|byte| *byte == b'\n').any(|line| line == b"WATCHDOG=1") {
                    self.last = now;
                }
            }
            self.listens = now + limits::PULSE_DEAF;
        }
        now >= self.last + self.every
    }

    /// When it is to be looked at again, and whether a word is waited for until then.
    pub(crate) fn next(&self, now: Instant) -> (Instant, bool) {
        let listens = now >= self.listens;
        let lost = self.last + self.every;
        (if listens { lost } else { lost.min(self.listens) }, listens)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_lives_as_long_as_it_says_so_and_no_other_word_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET);
        let begun = Instant::now();
        let at = |millis: u64| begun + Duration::from_millis(millis);
        let mut pulse = Pulse::new(Duration::from_secs(3), begun).unwrap();
        let name = rustix::net::SocketAddrUnix::new(&path).unwrap();
        rustix::net::bind(pulse.socket(), &name).unwrap();
        let says = UnixDatagram::unbound().unwrap();
        let say = |word: &[u8]| says.send_to(word, &path).unwrap();

        assert!(!pulse.is_lost(at(2_999)));
        say(b"READY=1\nSTATUS=up\nWATCHDOG=1\n");
        // Nobody listens for a moment.
        assert_eq!(pulse.next(at(2_999)), (at(3_000), false));
        assert!(!pulse.is_lost(at(3_000)), "it was said in time");
        assert_eq!(pulse.next(at(3_300)), (at(6_000), true));
        for word in [&b""[..], b"WATCHDOG=0", b"XWATCHDOG=1", b"WATCHDOG=1 ", &[b'x'; 3000]] {
            say(word);
        }
        assert!(!pulse.is_lost(at(5_999)));
        assert!(pulse.is_lost(at(6_000)));
        // One that says more than is heard is heard all the same.
        let full = std::thread::spawn({
            let path = path.clone();
            move || (0..100).for_each(|_| drop(says.send_to(b"WATCHDOG=1", &path)))
        });
        let mut now = 6_100;
        let mut heard = 0;
        while !full.is_finished() {
            now += 100;
            heard += u32::from(!pulse.is_lost(at(now)));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(heard > 0);
    }
}
