//! What of the ring goes to the policy's collector, and when: a thread of the keeper's beside the server. It makes the connection, and
//! reads nothing that comes over it: that is the pusher's, a process of its own without rights (`crate::push`).
//!
//! The ring is the buffer: nothing is kept but how far the collector has it ([`Position`]). An export is made when the collector is there,
//! and gone when it was sent; one that was not taken is made anew.

mod pace;
mod piece;
mod position;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use self::pace::Pace;
use self::piece::Piece;
use self::position::Position;
use super::{Options, line_pair, received};
use crate::figures::{Figures, Reason};
use crate::limits;
use crate::offer::Offer;
use crate::wire::{self, Failure, Setup};

/// The thread, until it is dropped.
pub(super) struct Pushing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    whom: String,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    seen: Mutex<Seen>,
    /// Rung when it is to stop.
    bell: Condvar,
}

/// What others may know of it.
#[derive(Clone, Debug, Default)]
struct Seen {
    figures: Figures,
    /// Why the last try came to nothing.
    trouble: Option<String>,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// For so long, or until it is to stop.
    fn rest(&self, rest: Duration) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.bell.wait_timeout_while(seen, rest, |_| !self.stopped());
    }

    fn see<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        // Nothing in there can be half done.
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pushing {
    /// Begins, if the policy has a collector.
    pub(super) fn begin(options: &Options, offer: &Offer, key: &[u8]) -> io::Result<Option<Self>> {
        let site = offer.site();
        let Some(collector) = &site.collector else { return Ok(None) };
        let address = SocketAddr::new(collector.address, collector.port);
        let whom = format!("{} ({address})", collector.name);
        // By whom it is known whether it has it: another path is another collector.
        let named = format!("https://{}@{address}{}", collector.name, collector.path);
        let shared = Arc::new(Shared::default());
        let push = Push {
            shared: Arc::clone(&shared),
            agent: options.agent.clone(),
            state: options.state.clone(),
            directory: options.run.join("push"),
            address,
            position: Position::load(&options.state, &named),
            named,
            offer: offer.clone(),
            key: Zeroizing::new(key.to_vec()),
            pace: Pace::new(options.hurry),
        };
        let thread = thread::Builder::new().name("push".to_owned()).spawn(move || push.run())?;
        Ok(Some(Self { shared, thread: Some(thread), whom }))
    }

    pub(super) fn figures(&self) -> Figures {
        self.shared.see(|seen| seen.figures.clone())
    }

    /// How it stands, in words that change when that does; `Err`: what the policy asks for is not so.
    pub(super) fn words(&self) -> Result<String, String> {
        let Seen { figures, trouble } = self.shared.see(|seen| seen.clone());
        let missed = match figures.missed {
            0 => String::new(),
            missed => format!("; {missed} events were gone from the ring before"),
        };
        match trouble {
            None => Ok(format!("exports go to {}{missed}", self.whom)),
            Some(why) if figures.open => Err(format!("exports do not go to {}: {why}{missed}", self.whom)),
            Some(why) => Ok(format!("exports do not go to {}: {why}; tried again{missed}", self.whom)),
        }
    }
}

impl Drop for Pushing {
    fn drop(&mut self) {
        // Under the lock: who looks whether to stop and then waits is not between the two.
        self.shared.see(|_| self.shared.stop.store(true, Ordering::Relaxed));
        self.shared.bell.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Push {
    shared: Arc<Shared>,
    agent: PathBuf,
    state: PathBuf,
    /// Where exports are made.
    directory: PathBuf,
    address: SocketAddr,
    /// The collector, for [`Position`].
    named: String,
    offer: Offer,
    key: Zeroizing<Vec<u8>>,
    position: Position,
    pace: Pace,
}

impl Push {
    fn run(mut self) {
        let next = self.position.next;
        self.shared.see(|seen| seen.figures.sequence = next - 1);
        while !self.shared.stopped() {
            let held = self.round();
            if self.shared.stopped() {
                break;
            }
            let rest = match &held {
                Ok(()) => self.pace.held(),
                Err(failure) => self.pace.failed(failure.after, chance()),
            };
            let open = self.pace.is_open();
            self.shared.see(|seen| {
                (seen.figures.up, seen.figures.open) = (Some(held.is_ok()), open);
                if let Err(Failure { reason, text, .. }) = &held {
                    seen.figures.failures[*reason as usize] += 1;
                    seen.trouble = Some(format!("{}: {text}", reason.name()));
                } else {
                    seen.trouble = None;
                }
            });
            self.shared.rest(rest);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }

    /// All that there is to push, or nothing.
    fn round(&mut self) -> Result<(), Failure> {
        let export = |error: io::Error| Failure::new(Reason::Export, error);
        let last = piece::last(&self.agent, &self.shared.stop).map_err(export)?;
        if last.saturating_add(1) < self.position.next {
            eprintln!("site: push: the ring ends at {last}, before what was pushed: all of it again");
            self.position = Position::begin();
        }
        if last < self.position.next {
            return Ok(());
        }
        // Whether it is there, before an export is made for it.
        let mut line = Line { pusher: Some(self.connect()?), worn: false };
        // Left by one that did not end in order.
        let _ = fs::remove_dir_all(&self.directory);
        fs::DirBuilder::new().mode(0o700).create(&self.directory).map_err(export)?;
        while self.position.next <= last && !self.shared.stopped() {
            let next = self.position.next;
            let begun = Instant::now();
            // To the ring's end, where that comes before: there is the checkpoint which is made for the export.
            let upto = next.saturating_add(self.pace.events() - 1);
            let make = |upto| piece::make(&self.agent, &self.directory, (next, upto), &self.shared.stop);
            let mut piece = make(upto).map_err(export)?;
            if piece.said.resume > last + 1 {
                let durable = self.durable(piece.said.resume - 1)?;
                if durable + 1 < piece.said.resume {
                    // What came behind that checkpoint is for the next time.
                    piece = make(durable.max(next)).map_err(export)?;
                }
            }
            if self.position.ring.is_empty() {
                self.position.ring.clone_from(&piece.said.ring);
            } else if self.position.ring != piece.said.ring {
                eprintln!("site: push: the ring is another one: all of it");
                self.position = Position { ring: piece.said.ring, next: 1 };
                continue;
            }
            if piece.said.resume <= next {
                return Err(Failure::new(
                    Reason::Export,
                    format!("the ring can't be read at sequence {next}"),
                ));
            }
            // A connection over which nothing comes for long is given up, here and there.
            if begun.elapsed() > limits::STILL / 2 {
                line.pusher = None;
            }
            let mut pusher = if let Some(pusher) = line.pusher.take() {
                pusher
            } else {
                line.worn = false;
                self.connect()?
            };
            match pusher.push(&self.shared, &piece) {
                Ok(()) => {
                    line = Line { pusher: Some(pusher), worn: true };
                    self.taken(&piece);
                }
                Err(failure) => {
                    if failure.reason == Reason::Late {
                        self.pace.late();
                    }
                    // One that took an export may have closed it after that: another one, and the export anew.
                    if !(line.worn && matches!(failure.reason, Reason::Cut | Reason::Late)) {
                        return Err(failure);
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits, for a time, until what goes out is on the device's disk: a power cut must not take back what the collector has. The last that is.
    fn durable(&self, sequence: u64) -> Result<u64, Failure> {
        let mut looks = limits::PUSH_DURABLE_LOOKS;
        loop {
            let last = piece::last(&self.agent, &self.shared.stop)
                .map_err(|error| Failure::new(Reason::Export, error))?;
            looks -= 1;
            if last >= sequence || looks == 0 || self.shared.stopped() {
                return Ok(last.min(sequence));
            }
            self.shared.rest(limits::PUSH_LOOK);
        }
    }

    fn connect(&self) -> Result<Pusher, Failure> {
        Pusher::start(&self.shared, self.address, &self.offer, &self.key)
    }

    fn taken(&mut self, piece: &Piece) {
        self.pace.took();
        let missed = piece.said.missed(self.position.next);
        if missed > 0 {
            eprintln!(
                "site: push: {missed} of the events {} to {} were gone from the ring before they were pushed; the export says so",
                self.position.next,
                piece.said.resume - 1
            );
        }
        self.position.next = piece.said.resume;
        if let Err(error) = self.position.save(&self.state, &self.named) {
            eprintln!(
                "site: push: {}: {error} (after a restart they are pushed again)",
                self.state.display()
            );
        }
        self.shared.see(|seen| {
            let figures = &mut seen.figures;
            (figures.sequence, figures.taken) = (piece.said.resume - 1, Some(Instant::now()));
            figures.up = Some(true);
            figures.events += piece.said.events;
            figures.exports += 1;
            figures.bytes += piece.bytes;
            figures.missed += missed;
        });
    }
}

/// Where in its rest a collector is tried again. Not a secret: when there is none, all rest the whole.
fn chance() -> u32 {
    let mut bytes = [0xff; 4];
    let _ = SystemRandom::new().fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}

/// A connection, if there is one, and whether it took an export.
struct Line {
    pusher: Option<Pusher>,
    worn: bool,
}

/// The process that has the connection.
struct Pusher {
    line: OwnedFd,
    child: Child,
}

impl Drop for Pusher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pusher {
    /// Connects, and waits until both sides know each other.
    fn start(shared: &Shared, address: SocketAddr, offer: &Offer, key: &[u8]) -> Result<Self, Failure> {
        let stream = TcpStream::connect_timeout(&address, limits::PUSH_CONNECT)
            .map_err(|error| Failure::new(Reason::Connect, error))?;
        let mut pusher = Self::spawn(stream).map_err(|error| Failure::new(Reason::Pusher, error))?;
        wire::send(&pusher.line, &Setup::encode(offer, key), None)
            .map_err(|error| Failure::new(Reason::Pusher, error))?;
        pusher.answer(shared, limits::BEGIN + limits::PUSH_CONNECT)?;
        Ok(pusher)
    }

    fn spawn(stream: TcpStream) -> io::Result<Self> {
        rustix::net::sockopt::set_socket_send_buffer_size(&stream, limits::SEND_BYTES)?;
        let (line, its) = line_pair()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("push").env_clear().stdin(OwnedFd::from(stream)).stdout(its);
        Ok(Self { line, child: command.spawn()? })
    }

    /// Until the collector has it, or does not.
    fn push(&mut self, shared: &Shared, piece: &Piece) -> Result<(), Failure> {
        let message = [&piece.bytes.to_le_bytes()[..], piece.name.as_bytes()].concat();
        wire::send(&self.line, &message, Some(piece.file.as_fd()))
            .map_err(|error| Failure::new(Reason::Pusher, error))?;
        self.answer(shared, limits::PUSH_WHOLE + limits::BEGIN)
    }

    fn answer(&mut self, shared: &Shared, within: Duration) -> Result<(), Failure> {
        let ended = |text: &str| Failure::new(Reason::Pusher, text);
        let until = Instant::now() + within;
        let mut message = [0; 6 + limits::WHY_BYTES];
        while !shared.stopped() && Instant::now() < until {
            match received(&self.line, &mut message, limits::PUSH_STOP) {
                Ok(None) => {}
                Ok(Some([])) => return Err(ended("its process ended")),
                Ok(Some(said)) => {
                    return Failure::decode(said).unwrap_or_else(|| Err(ended("what it says is not known")));
                }
                Err(error) => return Err(Failure::new(Reason::Pusher, error)),
            }
        }
        Err(ended("its process says nothing"))
    }
}
