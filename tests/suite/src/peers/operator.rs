//! The operator: outside of every workload. Starts and ends the sides, and reads their books.

use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::books::Lines;
use super::side::{Peer, lines, processor, resident};
use super::{AEGIS, KINDS, SOCKET};
use crate::absence::{Absence, SERVICES, STATISTICS, runs};
use crate::bpf;
use crate::cost::NONE;
use crate::operator::{aegis, pid, serve};
use crate::scenario::{Done, Step as _, Stop};
use crate::sys;

/// Debian's auditd and bpftrace, with what they load.
pub(super) const ROOT: &str = "/workload/root";
/// Nothing more comes: so long nothing came.
const QUIET: Duration = Duration::from_secs(4);
/// How long it may go on coming.
const SETTLE: Duration = Duration::from_mins(4);

/// What a Debian program expects around it, seen from [`ROOT`].
pub(super) fn mount_all() -> Done {
    fs::create_dir_all("/data/peers").step("/data/peers")?;
    // Debian's kernel has it; what a kernel has not is nothing to look into.
    let _ = sys::mount("debugfs", "/sys/kernel/debug", "debugfs", 0, "");
    let bind = libc::MS_BIND | libc::MS_REC;
    for (from, to) in [
        ("/proc", "proc"),
        ("/sys", "sys"),
        ("/dev", "dev"),
        ("/workload/settings", "settings"),
        ("/data/peers", "out"),
    ] {
        sys::mount(from, &format!("{ROOT}/{to}"), "", bind, "").step(to)?;
    }
    for to in ["run", "tmp"] {
        sys::mount("tmpfs", &format!("{ROOT}/{to}"), "tmpfs", 0, "").step(to)?;
    }
    Ok(())
}

/// What is so now.
struct Operator {
    absence: Absence,
    peer: Option<Peer>,
    /// The last event of Aegis's before the block.
    since: u64,
    lines: Lines,
}

/// Serves the one who measures, to the end.
pub fn operate() -> Done {
    let begin = || Ok(Operator { absence: Absence::default(), peer: None, since: 0, lines: lines(AEGIS)? });
    serve(SOCKET, begin, Operator::answer)
}

impl Operator {
    fn answer(&mut self, wish: &str) -> Result<String, Stop> {
        let done = || "{}".to_owned();
        match wish.split_once(' ').unwrap_or((wish, "")) {
            ("put", side) => self.put(side).map(|()| done()),
            ("captured", _) => {
                self.runs()?;
                Ok(counts(&self.captured()?.0))
            }
            ("settle", _) => self.settle().map(|()| done()),
            ("said", _) => Ok(self.peer.as_ref().map_or_else(String::new, Peer::said)),
            ("books", _) => self.books(),
            ("end", _) => self.put(AEGIS).map(|()| done()),
            _ => Err(Stop::Broken(format!("{wish}: no wish"))),
        }
    }

    /// This side is at work, and no other.
    fn put(&mut self, side: &str) -> Done {
        if let Some(peer) = self.peer.take() {
            peer.end()?;
        }
        match side {
            AEGIS => {
                self.absence.bring_back()?;
                self.since = of_the_ring("acked_sequence")?;
            }
            NONE => self.absence.remove()?,
            peer => {
                self.absence.remove()?;
                self.peer = Some(Peer::start(peer)?);
            }
        }
        Ok(())
    }

    /// The peer, if it is one, has not ended.
    fn runs(&mut self) -> Done {
        match &mut self.peer {
            Some(peer) => match peer.ended()? {
                Some(status) => Err(Stop::Broken(format!("it ended ({status}): {}", peer.said()))),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Records of each kind since it began, and all its bytes on the disk.
    fn captured(&self) -> Result<([u64; KINDS.len()], u64), Stop> {
        if let Some(peer) = &self.peer {
            return peer.captured();
        }
        let mut found = [0; KINDS.len()];
        if !self.absence.is_over() {
            return Ok((found, 0));
        }
        let since = format!("since={}", self.since + 1);
        self.lines.count(&aegis(&["events", "--json", "--filter", &since])?, &mut found);
        Ok((found, of_the_ring("used_bytes")?))
    }

    /// Waits until nothing more comes to the disk.
    fn settle(&self) -> Done {
        let end = Instant::now() + SETTLE;
        let mut last = self.captured()?;
        let mut quiet = Instant::now();
        while quiet.elapsed() < QUIET {
            if Instant::now() > end {
                return Err(Stop::Broken(format!("records come and come: {last:?}")));
            }
            sleep(Duration::from_millis(500));
            let now = self.captured()?;
            // The looking itself is recorded on some sides: what counts is what is counted.
            if now.0 != last.0 {
                (last, quiet) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// What shows which side is at work, and what was counted until now.
    fn books(&mut self) -> Result<String, Stop> {
        self.runs()?;
        let there = self.absence.is_over();
        let (found, bytes) = self.captured()?;
        let mut books =
            format!("{{\"captured\":{},\"bytes\":{bytes},\"links\":{}", counts(&found), bpf::links()?);
        let _ = write!(books, ",\"audit\":{},\"agent\":{there},\"probes\":{}", auditing()?, probes()?);
        let (processes, threads) = match &self.peer {
            Some(peer) => {
                let _ = write!(books, ",\"lost\":{:?}", peer.lost());
                (peer.processes(), peer.threads())
            }
            None if there => (SERVICES.iter().filter_map(|service| pid(service)).collect(), Vec::new()),
            None => (Vec::new(), Vec::new()),
        };
        let memory: Vec<[u64; 2]> = processes.iter().map(|pid| resident(*pid)).collect();
        let [now, most] = [0, 1].map(|which| memory.iter().map(|each| each[which]).sum::<u64>());
        let time: u64 = processes.iter().chain(&threads).map(|pid| processor(*pid)).sum();
        let _ = write!(
            books,
            ",\"processes\":{processes:?},\"resident\":{now},\"most\":{most},\"processor\":{time}"
        );
        if there {
            let _ = write!(books, ",\"status\":{}", aegis(&["status", "--json"])?.trim());
        }
        books.push('}');
        Ok(books)
    }
}

/// Runs of Aegis's probes while 20 files are opened: the kernel counts them only meanwhile.
fn probes() -> Result<u64, Stop> {
    fs::write(STATISTICS, "1").step(STATISTICS)?;
    let before = runs()?;
    for _ in 0..20 {
        fs::read("/etc/hosts").step("/etc/hosts")?;
    }
    let after = runs()?;
    fs::write(STATISTICS, "0").step(STATISTICS)?;
    Ok(after - before)
}

/// Whether the kernel audits, and by how many rules.
fn auditing() -> Result<String, Stop> {
    let ask = |word: &str| {
        let output =
            std::process::Command::new("/usr/bin/chroot").args([ROOT, "/usr/sbin/auditctl", word]).output();
        output.step("auditctl").map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (status, rules) = (ask("-s")?, ask("-l")?);
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
    };
    let [enabled, pid, lost] = ["enabled ", "pid ", "lost "].map(of);
    let rules = rules.lines().filter(|line| line.starts_with("-a always")).count();
    Ok(format!("{{\"enabled\":{enabled},\"pid\":{pid},\"lost\":{lost},\"rules\":{rules}}}"))
}

fn counts(found: &[u64; KINDS.len()]) -> String {
    let each: Vec<String> =
        KINDS.iter().zip(found).map(|(kind, count)| format!("\"{kind}\":{count}")).collect();
    format!("{{{}}}", each.join(","))
}

/// What `aegis status --json` says of the ring by this name.
fn of_the_ring(name: &str) -> Result<u64, Stop> {
    let status = aegis(&["status", "--json"])?;
    let (_, ring) =
        status.split_once("\"ring\":").ok_or_else(|| Stop::Broken(format!("no ring: {status}")))?;
    Ok(number(ring, name))
}

/// The first number of this name in JSON.
fn number(text: &str, name: &str) -> u64 {
    let of = text.split_once(&format!("\"{name}\":")).map_or("", |(_, rest)| rest).trim_start();
    let digits = of.split(|letter: char| !letter.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
