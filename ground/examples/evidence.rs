//! Exports to try readers on.
//!
//! `cargo run -p aegisctl --example evidence -- week DIR` writes a week of three devices into DIR;
//! `… -- large MIB FILE` writes one export of that many MiB, made while it is written.

use std::io::{BufWriter, Write};
use std::path::Path;

use aegis_event::{
    Accounts, Body, Cause, Decision, Event, File, Mode, ModeReason, Process, Subject, Verdict,
};
use aegis_export::{Created, Request};

#[path = "../tests/evidence/sample.rs"]
#[allow(dead_code)] // the tests use the rest
mod sample;

use sample::{Device, Endless, HOSTILE_PATH, Ring, created};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["week", directory] => week(Path::new(directory)),
        ["large", size, file] => large(size.parse().expect("a number of MiB"), Path::new(file)),
        _ => {
            eprintln!("evidence: week DIR, or large MIB FILE");
            std::process::exit(2);
        }
    }
}

fn large(size: u64, file: &Path) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    // An event takes a little more than 160 bytes.
    Device(1).export(Endless::new(Device(1), size * (1 << 20) / 160), Request::from(1), created(1), &mut out);
    out.flush()
}

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    /// One of `0..sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        // Steele and Vigna, SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
/// 2027-01-11, a Monday.
const MONDAY: u64 = 1_799_625_600;

fn week(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for number in 1..=3 {
        let mut life = Life::new(number);
        life.boot(50 * HOUR);
        let half = life.ring.clone();
        let first =
            Created { boot: [1; 16], boottime: 50 * HOUR, clock: MONDAY + 50 * 3_600, clock_trusted: true };
        Device(number).export_to(
            &directory.join(format!("device-{number}-wednesday.cbor")),
            &half,
            Request::from(1),
            first,
        );
        life.boot(20 * HOUR);
        life.boot(70 * HOUR);
        if number == 2 {
            life.ring.damaged = vec![life.events / 2 + 400, life.events / 2 + 401];
        }
        let clock = if number == 3 { 12_345 } else { MONDAY + 150 * 3_600 };
        let last = Created { boot: [3; 16], boottime: 70 * HOUR, clock, clock_trusted: false };
        let from = Request::from(half.next() + u64::from(number == 1));
        Device(number).export_to(
            &directory.join(format!("device-{number}-sunday.cbor")),
            &life.ring,
            from,
            last,
        );
    }
    Ok(())
}

/// What happens on a device.
struct Life {
    ring: Ring,
    dice: Dice,
    boots: u8,
    events: usize,
}

impl Life {
    fn new(number: u8) -> Self {
        Self { ring: Ring::new(Device(number)), dice: Dice(number.into()), boots: 0, events: 0 }
    }

    fn push(&mut self, time: u64, subject: Option<Subject<'_>>, body: Body<'_>) {
        self.ring.push(self.boots, &Event { time, subject, body });
        self.events += 1;
    }

    fn boot(&mut self, length: u64) {
        self.boots += 1;
        let hash = &[0x5e; 32];
        self.push(SECOND, None, Body::Start { version: "0.1.0", clean: self.boots > 1 });
        self.push(
            2 * SECOND,
            None,
            Body::Policy { code: "accepted", epoch: 1, sequence: 4, hash, detail: "slot.a" },
        );
        let (mode, reason) = (Mode::Enforcing, ModeReason::SelfTestPassed);
        self.push(3 * SECOND, None, Body::ModeChange { mode, reason, epoch: 1, sequence: 4 });
        let process = Process { pid: 90, tgid: 90, ppid: 1, uid: 0, comm: b"aegis" };
        let tester = Subject { workload: b"aegis-selftest", cgroup: 9, process };
        let denied =
            Decision { verdict: Verdict::Denied, policy: 4, rule: b"aegis-selftest", glass_broken: false };
        let file = File { device: 1, inode: 3, path: b"/run/aegis/selftest", truncated: false };
        self.push(3 * SECOND, Some(tester), Body::Open { file, flags: 0, decision: denied });
        let mut counted = 3;
        let mut lost = 0;
        let mut time = 10 * SECOND;
        let broken = (self.boots == 2).then_some((5 * HOUR, 6 * HOUR));
        let mut said = false;
        while time < length {
            // Days are busy, nights are not; now and then there is a burst.
            let hour = time / HOUR % 24;
            let busy = if (8..18).contains(&hour) { 60 } else { 600 };
            let burst = self.dice.roll(400) == 0;
            for _ in 0..if burst { 120 } else { 1 } {
                self.act(time, broken.is_some_and(|(from, to)| (from..to).contains(&time)), burst);
                counted += 1;
                time += SECOND / 20;
            }
            if burst && self.dice.roll(3) == 0 {
                let count = 1 + self.dice.roll(900);
                lost += count;
                let workload: &[u8] = if count.is_multiple_of(2) { b"agent-7" } else { b"agent-web" };
                self.push(time, None, Body::Loss { workload, cause: Cause::KernelRingFull, count });
            }
            if let Some((from, to)) = broken
                && time > from
                && !said
            {
                said = true;
                let (code, reason) = ("accepted", "fire alarm, valve must open");
                self.push(time, None, Body::BreakGlass { code, sequence: 1, until: to, reason, hash });
                counted += 1;
            }
            time += busy * SECOND / 2 + self.dice.roll(busy * SECOND);
        }
        if self.boots == 2 {
            // The power fails.
            return;
        }
        let mut books = Accounts { seen: counted + lost, written: counted, ..Accounts::default() };
        books.lost[0] = lost;
        self.push(length, None, Body::Accounts(books));
        self.push(length, None, Body::Stop { signal: 15 });
    }

    /// Something that a workload does.
    fn act(&mut self, time: u64, glass_broken: bool, burst: bool) {
        let workloads: [(&[u8], &[u8]); 4] = [
            (b"agent-7", b"python3"),
            (b"agent-web", b"nginx"),
            (b"batch", b"sh"),
            (b"agent <b>\xff", b"\x1b[31m"),
        ];
        let (workload, comm) = workloads[(self.dice.roll(20) as usize / 6).min(3)];
        let pid = 1_000 + self.dice.roll(60) as u32;
        let subject =
            Subject { workload, cgroup: 77, process: Process { pid, tgid: pid, ppid: 1, uid: 1_000, comm } };
        let paths: [&[u8]; 9] = [
            b"/srv/model/weights.bin",
            b"/etc/ssl/certs/ca-certificates.crt",
            b"/srv/data/a-rather-long-directory-name/with-many-parts/and-a-long-file-name-at-its-end/report-2027-01.parquet",
            b"/tmp/scratch",
            b"/usr/lib/python3/dist-packages/numpy/core/_multiarray_umath.so",
            b"/etc/shadow",
            b"/root/.ssh/id_ed25519",
            b"/srv/secret/customers.db",
            HOSTILE_PATH,
        ];
        let ruled = if burst { 5 + self.dice.roll(4) } else { self.dice.roll(90) } as usize;
        let at = if (5..9).contains(&ruled) { ruled } else { ruled % 5 };
        let file = File { device: 8 << 20 | 1, inode: 10 + at as u64, path: paths[at], truncated: false };
        let rule: &[u8] = match at {
            5 => b"no-shadow",
            6 => b"no-ssh-keys",
            7 => b"no-secrets",
            _ => b"watch-tmp",
        };
        let verdict = if at == 8 || glass_broken { Verdict::Audited } else { Verdict::Denied };
        let decision = if at < 5 {
            Decision::allowed(4)
        } else {
            Decision { verdict, policy: 4, rule, glass_broken: glass_broken && at != 8 }
        };
        let body = match self.dice.roll(12) {
            _ if burst || at >= 5 => Body::Open { file, flags: 0, decision },
            0..7 => Body::Open { file, flags: 0, decision },
            7 => Body::Fork { child_pid: pid + 1, child_tgid: pid + 1 },
            8 => Body::Exec {
                file: File { path: b"/usr/bin/python3.11", ..file },
                argv: b"python3\0-m\0agent\0",
                argv_truncated: false,
            },
            9 => Body::Exit { status: 0, signal: 0 },
            _ => Body::Connect {
                family: 2,
                protocol: 6,
                port: if pid.is_multiple_of(3) { 443 } else { 5432 },
                address: &[10, 0, (pid % 3) as u8, 7],
                decision: Decision::allowed(4),
            },
        };
        self.push(time, Some(subject), body);
    }
}
