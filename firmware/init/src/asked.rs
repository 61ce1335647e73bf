//! What a person asks of init: one workload stopped, started, or looked after. A socket of packets, root's alone; one packet asks, one
//! answers, and the connection is over.
//!
//! Nothing here waits. Init looks at the socket when it is readable, at one client at a time; who connects and asks nothing is left
//! after a moment. What is asked is bounded, and taken to the letter.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aegis_policy::names::is_kept_workload_name;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recv, send, socket_with,
};

use crate::{STATE, limits};

/// What is asked of one workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// How is it?
    Look,
    /// It ends, and stays down until [`Wish::Start`] or the next boot.
    Stop,
    /// It is started, unless it is up.
    Start,
}

/// What init says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is kept: it runs, or rests before its next start.
    Up,
    /// Nobody keeps it: it was stopped, or came to its end.
    Down,
    /// Init has none of this name: it is not mounted, or the system has not come so far yet.
    Unknown,
    /// The system ends: nothing is started any more.
    Ending,
}

impl Wish {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Look, "look"), (Self::Stop, "stop"), (Self::Start, "start")];

    /// `WISH NAME`, and nothing else.
    fn parse(packet: &[u8]) -> Option<(Self, &str)> {
        let (word, name) = core::str::from_utf8(packet).ok()?.split_once(' ')?;
        let (wish, _) = Self::ALL.into_iter().find(|(_, known)| *known == word)?;
        is_kept_workload_name(name).then_some((wish, name))
    }
}

impl Answer {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Up, "up"), (Self::Down, "down"), (Self::Unknown, "unknown"), (Self::Ending, "ending")];
}

fn path() -> PathBuf {
    Path::new(STATE).join("init.sock")
}

fn packets(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | flags, None)
}

/// Init's end.
pub(crate) struct Desk {
    listener: OwnedFd,
    /// The one who is listened to, and until when.
    client: Option<(OwnedFd, Instant)>,
    /// Nobody can be let in before that: no descriptor is left, or no memory.
    deaf: Option<Instant>,
}

impl Desk {
    /// # Errors
    /// The socket can't be made: nobody can ask anything, and all else goes on.
    pub(crate) fn open() -> io::Result<Self> {
        Self::open_at(&path())
    }

    fn open_at(path: &Path) -> io::Result<Self> {
        let listener = packets(SocketFlags::NONBLOCK)?;
        // What somebody left there is not ours.
        let _ = std::fs::remove_file(path);
        bind(&listener, &SocketAddrUnix::new(path)?)?;
        rustix::fs::chmod(path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
        listen(&listener, limits::ASKERS)?;
        Ok(Self { listener, client: None, deaf: None })
    }

    /// Readable when there is something to look at; `None`: not before it is due.
    pub(crate) fn bell(&self) -> Option<BorrowedFd<'_>> {
        match &self.client {
            Some((client, _)) => Some(client.as_fd()),
            None => self.deaf.is_none().then(|| self.listener.as_fd()),
        }
    }

    /// When it is to be looked at, readable or not.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.client.as_ref().map(|(_, until)| *until).or(self.deaf)
    }

    /// Takes one step: a client, or what it asks. `answer` does what is asked, without a wait.
    pub(crate) fn look(&mut self, answer: impl FnOnce(Wish, &str) -> Answer) {
        let now = Instant::now();
        if self.deaf.is_some_and(|until| now < until) {
            return;
        }
        self.deaf = None;
        if self.client.is_none() {
            match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                // The socket's mode says the same; a descriptor passed on does not get past this.
                Ok(client) if socket_peercred(&client).is_ok_and(|peer| peer.uid.is_root() || cfg!(test)) => {
                    self.client = Some((client, now + limits::ASKING));
                }
                Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
                // Whoever waits there rings all the while.
                Err(_) => self.deaf = Some(now + limits::ASKING),
            }
        }
        let Some((client, until)) = &self.client else { return };
        let mut packet = [0; limits::WISH_BYTES];
        match recv(client, &mut packet[..], RecvFlags::TRUNC) {
            // Nothing yet.
            Err(Errno::AGAIN | Errno::INTR) if now < *until => return,
            Ok((read, _)) => {
                // One that is longer than it may be has no end here.
                if let Some((wish, name)) = packet.get(..read).and_then(Wish::parse) {
                    let said = answer(wish, name);
                    let text = Answer::ALL.iter().find(|(one, _)| *one == said).map_or("", |(_, text)| text);
                    // Who does not take it does not learn it.
                    let _ = send(client, text.as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
                }
            }
            Err(_) => {}
        }
        self.client = None;
    }
}

/// Asks init. For the commands of the agent's program.
///
/// # Errors
/// `NotFound`, `ConnectionRefused`: no init of ours runs here. `TimedOut`: it does not answer. `InvalidInput`: not a workload's name.
pub fn ask(wish: Wish, name: &str) -> io::Result<Answer> {
    ask_at(&path(), wish, name)
}

fn ask_at(path: &Path, wish: Wish, name: &str) -> io::Result<Answer> {
    if !is_kept_workload_name(name) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let word = Wish::ALL.iter().find(|(one, _)| *one == wish).map_or("", |(_, word)| word);
    let socket = packets(SocketFlags::empty())?;
    // Whoever waits before us may be many.
    set_socket_timeout(&socket, Timeout::Send, Some(limits::ASKED))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    send(&socket, format!("{word} {name}").as_bytes(), SendFlags::NOSIGNAL)?;
    let until = Instant::now() + limits::ASKED;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match poll(&mut [PollFd::new(&socket, PollFlags::IN)], Timespec::try_from(left).ok().as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut packet = [0; limits::WISH_BYTES];
    let (read, _) = recv(&socket, &mut packet[..], RecvFlags::TRUNC)?;
    let said = packet.get(..read).unwrap_or_default();
    let found = Answer::ALL.into_iter().find(|(_, text)| text.as_bytes() == said);
    found.map(|(answer, _)| answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Asks until it is down, for a time. `false`: it is not.
///
/// # Errors
/// As [`ask`].
pub fn wait_until_down(name: &str, time: Duration) -> io::Result<bool> {
    let until = Instant::now() + time;
    loop {
        match ask(Wish::Look, name)? {
            Answer::Up if Instant::now() < until => std::thread::sleep(limits::LOOK),
            answer => return Ok(answer != Answer::Up),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_taken_to_the_letter() {
        assert_eq!(Wish::parse(b"stop agent-7"), Some((Wish::Stop, "agent-7")));
        assert_eq!(Wish::parse(b"look a"), Some((Wish::Look, "a")));
        let long = format!("start {}", "a".repeat(64));
        for bad in [
            &b""[..],
            b"stop",
            b"stop ",
            b" a",
            b"stop  a",
            b"stop a\n",
            b"stop a b",
            b"STOP a",
            b"stop ../a",
            b"stop .",
            b"stop -a",
            b"stop \xff",
            b"stop a\0",
            long.as_bytes(),
        ] {
            assert_eq!(Wish::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn who_asks_is_answered_and_who_does_not_keeps_nobody() {
        let path = std::env::temp_dir().join(format!("aegis-init-{}", std::process::id()));
        let mut desk = Desk::open_at(&path).expect("made");
        // Nobody is there: nothing is waited for.
        desk.look(|_, _| unreachable!("nobody asked"));
        let quiet = packets(SocketFlags::empty()).expect("made");
        connect(&quiet, &SocketAddrUnix::new(&path).expect("short")).expect("it listens");
        desk.look(|_, _| unreachable!("nobody asked"));
        assert!(desk.due().is_some(), "it is listened to, for a time");
        let asker = {
            let path = path.clone();
            std::thread::spawn(move || ask_at(&path, Wish::Stop, "agent-7"))
        };
        let begun = Instant::now();
        let mut asked = None;
        while asked.is_none() && begun.elapsed() < Duration::from_secs(20) {
            let wait = Timespec::try_from(limits::LOOK).ok();
            let bell = desk.bell().expect("it is not deaf");
            let _ = poll(&mut [PollFd::from_borrowed_fd(bell, PollFlags::IN)], wait.as_ref());
            desk.look(|wish, name| {
                asked = Some((wish, name.to_owned()));
                Answer::Down
            });
        }
        assert_eq!(asked, Some((Wish::Stop, "agent-7".to_owned())));
        assert_eq!(asker.join().expect("it ends").expect("answered"), Answer::Down);
        // What is too long, or is none, gets no answer, and the next one is listened to.
        for bad in [&[b'a'; 4 * limits::WISH_BYTES][..], b"stop", b""] {
            let client = packets(SocketFlags::empty()).expect("made");
            connect(&client, &SocketAddrUnix::new(&path).expect("short")).expect("it listens");
            send(&client, bad, SendFlags::NOSIGNAL).expect("sent");
            for _ in 0..2 {
                desk.look(|_, _| unreachable!("nothing was asked: {bad:?}"));
            }
            assert!(desk.due().is_none(), "{bad:?}");
            let (read, _) = recv(&client, &mut [0; 8][..], RecvFlags::empty()).expect("the end");
            assert_eq!(read, 0, "{bad:?}");
        }
        assert!(ask_at(&path, Wish::Look, "../x").is_err());
        drop(desk);
        assert!(ask_at(&path, Wish::Look, "x").is_err(), "nobody listens");
        std::fs::remove_file(path).expect("there");
    }
}
