//! The work: calls that every side must tell of, by a process of its own for each part.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{EXECUTED, OPENED, PLAN, PORT};
use crate::cost::Sample;
use crate::scenario::{Done, Step as _, Stop};
use crate::sys::{self, HERE, c, call, n};

/// What is done, and told of.
pub const KINDS: [&str; 3] = ["open", "exec", "connect"];
/// At a rate: how often the clock is looked at.
const BEAT: Duration = Duration::from_millis(10);
/// One by one: calls between two pauses, so that what is timed is a call whose record has room.
const BATCH: usize = 100;
const PAUSE: Duration = Duration::from_millis(60);

/// True of the program's name that is executed.
pub fn ends_at_once(called: &str) -> bool {
    EXECUTED.ends_with(&format!("/{called}"))
}

/// How many of each kind a part has, by the plan's line of its name; of `paced` they are a second, and before them is for how many.
fn numbers(part: &str) -> Result<Vec<usize>, Stop> {
    let plan = fs::read_to_string(PLAN).step(PLAN)?;
    let line = plan.lines().find_map(|line| line.strip_prefix(part)?.strip_prefix(' '));
    let words = line.unwrap_or_default().split(' ').map(|word| word.parse().ok());
    words.collect::<Option<_>>().ok_or_else(|| Stop::Broken(format!("{PLAN}: no numbers of {part}")))
}

/// Does a part; what was made and how long it took, as JSON.
pub fn work(part: &str) -> Done {
    let hand = Hand::new()?;
    let line = match (part, &numbers(part)?[..]) {
        ("once" | "flat-out", counts) if counts.len() == KINDS.len() => hand.flat_out(counts)?,
        ("single", counts) if counts.len() == KINDS.len() => hand.one_by_one(counts)?,
        ("paced", [seconds, rates @ ..]) if rates.len() == KINDS.len() => hand.paced(*seconds, rates)?,
        _ => return Err(Stop::Broken(format!("{part}: no such part in {PLAN}"))),
    };
    println!("{{\"part\":\"{part}\",{line}}}");
    Ok(())
}

/// What each kind is done with.
struct Hand {
    listener: TcpListener,
    to: Vec<u8>,
    opened: std::ffi::CString,
}

impl Hand {
    fn new() -> Result<Self, Stop> {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        Ok(Self {
            listener: TcpListener::bind(to).step("the listener")?,
            to: sys::address(to),
            opened: c(OPENED),
        })
    }

    /// One call, and what belongs to it.
    fn act(&self, kind: &str) -> Done {
        match kind {
            "open" => {
                let list = [n(HERE), self.opened.as_ptr() as usize, n(libc::O_RDONLY), 0];
                let fd = call(libc::SYS_openat, &list)?;
                call(libc::SYS_close, &[fd])?;
                Ok(())
            }
            "exec" => {
                let pid = sys::fork()?;
                if pid == 0 {
                    sys::leave(sys::execve(EXECUTED, &[EXECUTED]));
                }
                match sys::wait(pid)? {
                    0 => Ok(()),
                    status => Err(Stop::Broken(format!("the child ended with status {status:#x}"))),
                }
            }
            _ => {
                let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM)?;
                sys::connect(&socket, &self.to)
            }
        }
    }

    /// The other end of a connection is taken: not timed.
    fn after(&self, kind: &str) -> Done {
        if kind == "connect" { self.listener.accept().step("accept").map(drop) } else { Ok(()) }
    }

    fn paced(&self, seconds: usize, rates: &[usize]) -> Result<String, Stop> {
        let begun = Instant::now();
        let mut made = [0; KINDS.len()];
        let all: Vec<usize> = rates.iter().map(|rate| rate * seconds).collect();
        while made[..] != all[..] {
            let gone = begun.elapsed().as_millis() as usize;
            for (at, kind) in KINDS.iter().enumerate() {
                // A host that was busy is no reason for a burst: so many at once at most.
                let due = (rates[at] * gone / 1_000).min(all[at]).min(made[at] + rates[at].div_ceil(20));
                while made[at] < due {
                    self.act(kind).step(kind)?;
                    self.after(kind)?;
                    made[at] += 1;
                }
            }
            sleep(BEAT);
        }
        Ok(format!("\"seconds\":{:.3},{}", begun.elapsed().as_secs_f64(), of_each("made", &made)))
    }

    fn one_by_one(&self, counts: &[usize]) -> Result<String, Stop> {
        let begun = Instant::now();
        let mut times = String::new();
        for (kind, count) in KINDS.iter().zip(counts) {
            let mut sample = Sample::with_room(*count);
            for at in 0..*count {
                // An exec is several records, and some bytes, on every side.
                if at % (if *kind == "exec" { BATCH / 10 } else { BATCH }) == 0 {
                    sleep(PAUSE);
                }
                sample.time(|| self.act(kind)).step(kind)?;
                self.after(kind)?;
            }
            sleep(PAUSE);
            let _ = write!(times, ",\"{kind}\":{}", sample.json());
        }
        let (seconds, made) = (begun.elapsed().as_secs_f64(), of_each("made", counts));
        Ok(format!("\"seconds\":{seconds:.3},{made},\"times\":{{{}}}", &times[1..]))
    }

    fn flat_out(&self, counts: &[usize]) -> Result<String, Stop> {
        let begun = Instant::now();
        let mut nanoseconds = Vec::new();
        for (kind, count) in KINDS.iter().zip(counts) {
            let begun = Instant::now();
            for _ in 0..*count {
                self.act(kind).step(kind)?;
                self.after(kind)?;
            }
            nanoseconds.push(begun.elapsed().as_nanos() as usize);
        }
        let seconds = begun.elapsed().as_secs_f64();
        Ok(format!("\"seconds\":{seconds:.3},{},{}", of_each("made", counts), of_each("walls", &nanoseconds)))
    }
}

/// A number of each kind, as JSON.
fn of_each(name: &str, numbers: &[usize]) -> String {
    let each: Vec<String> =
        KINDS.iter().zip(numbers).map(|(kind, number)| format!("\"{kind}\":{number}")).collect();
    format!("\"{name}\":{{{}}}", each.join(","))
}
