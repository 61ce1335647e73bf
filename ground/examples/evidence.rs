//! Exports to try readers on.
//!
//! `cargo run -p aegisctl --example evidence -- week DIR` writes a week of three devices into DIR;
//! `… -- large MIB FILE` writes one export of that many MiB, made while it is written; `… -- fleet MIB DIR` so many MiB of
//! exports of four devices, one after the other as sticks bring them, some of them with what the one before had;
//! `… -- sealed DIR` three exports of a ring that is sealed, was cut off once and came round once; `… -- crowd DIR` one export of
//! each of 40 devices, each with damage; `… -- kinds FILE` one with an event of every kind, with hostile names.

use std::io::{BufWriter, Write};
use std::path::Path;

use aegis_event::{
    Accounts, Body, Cause, Decision, Event, File, Gap, GapCause, Level, Mode, ModeReason, Process, Subject,
    Verdict,
};
use aegis_export::{Created, Frames, Request, first_head};

#[path = "../tests/evidence/sample.rs"]
#[allow(dead_code)] // the tests use the rest
mod sample;

#[path = "../../firmware/export/tests/common/sealed.rs"]
mod fixture;

use sample::{Device, Endless, HOSTILE_PATH, Ring, created};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["week", directory] => week(Path::new(directory)),
        ["crowd", directory] => crowd(Path::new(directory)),
        ["kinds", file] => {
            let (device, request) = (Device(1), Request::from(1));
            device.export_to(Path::new(file), &sample::every_kind(device), request, created(2));
            Ok(())
        }
        ["sealed", directory] => sealed(Path::new(directory)),
        ["large", size, file] => large(size.parse().expect("a number of MiB"), Path::new(file)),
        ["fleet", size, directory] => fleet(size.parse().expect("a number of MiB"), Path::new(directory)),
        _ => {
            eprintln!(
                "evidence: week DIR, large MIB FILE, fleet MIB DIR, sealed DIR, crowd DIR, or kinds FILE"
            );
            std::process::exit(2);
        }
    }
}

fn crowd(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for number in 1..=40 {
        let mut ring = Ring::new(Device(number));
        for boot in 1..=20 {
            ring.boot(boot, 2 + u64::from(number) % 7);
        }
        ring.damaged = vec![10, 20, 30, 40, 50];
        let path = directory.join(format!("{number:02}.cbor"));
        Device(number).export_to(&path, &ring, Request::from(1), created(20));
    }
    Ok(())
}

fn sealed(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut device = fixture::Sealed::new(1 << 20);
    let (mut resume, mut epoch, mut sequence) = (1, 0, 1);
    for boot in 1..=3u8 {
        let mut running = device.boot(boot);
        let mut event = vec![0; aegis_export::limits::EVENT_BYTES];
        for _ in 0..12 {
            for _ in 0..200 * u64::from(boot) {
                let length = sample::endless(sequence, &mut event);
                running.append(&event[..length]);
                sequence += 1;
            }
            running.checkpoint();
        }
        if boot == 2 {
            // Cut off: it does not stop in order.
            drop(running);
        } else {
            running.stop();
        }
        let created = Created {
            boot: [boot; 16],
            boottime: device.time,
            clock: MONDAY + device.time / SECOND,
            clock_trusted: true,
        };
        let (items, next, after) = device.export_at(Request::from(resume), epoch, created);
        std::fs::write(directory.join(format!("sealed-{boot}.cbor")), items.concat())?;
        (resume, epoch) = (next, after);
    }
    Ok(())
}

/// Bytes of an event of an endless ring, a little less than it has.
const EVENT: u64 = 140;

fn large(size: u64, file: &Path) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    let events = size * (1 << 20) / EVENT;
    Device(1).export(
        Endless::new(Device(1), events),
        Request::from(1),
        created(Endless::boot(events)),
        &mut out,
    );
    out.flush()
}

/// MiB of one export of a fleet, and which of a device's exports have what the one before had, too.
const STICK: u64 = 64;
const AGAIN: u64 = 8;

fn fleet(size: u64, directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let devices = [1, 2, 3, 4].map(Device);
    // Where each device's next export begins, and where its last one began: sequence and head.
    let mut places = devices.map(|device| [(1, first_head(&device.ring())); 2]);
    let events = STICK * (1 << 20) / EVENT;
    let (mut written, mut number) = (0, 0);
    while written < size << 20 {
        let at = (number % 4) as usize;
        let again = number / 4 % AGAIN == AGAIN - 1;
        let (first, before) = places[at][usize::from(again)];
        let ring = Endless::range(devices[at], first, before, if again { 2 * events } else { events });
        let created = created(Endless::boot(ring.next_sequence() - 1));
        let name = format!("{number:04}-device-{}-{first}.cbor", at + 1);
        let mut out = BufWriter::new(std::fs::File::create(directory.join(&name))?);
        let next = devices[at].export(ring, Request::from(first), created, &mut out);
        out.flush()?;
        places[at] = [next, (first, before)];
        written += std::fs::metadata(directory.join(&name))?.len();
        number += 1;
    }
    Ok(())
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
        let last = self.events as u64;
        if self.boots == 3 {
            let cut = Gap { cause: GapCause::Cut, first: last + 1, last, total: 1, boot: [2; 16] };
            self.push(SECOND, None, Body::Gap(cut));
        }
        self.push(SECOND, None, Body::Start { version: "0.1.0", clean: self.boots == 2 });
        self.push(SECOND, None, Body::Config { code: "file", detail: "sync=window full=overwrite" });
        if self.boots == 1 {
            self.push(SECOND, None, Body::Seal { code: "began", epoch: 0 });
        }
        self.push(
            2 * SECOND,
            None,
            Body::Policy { code: "accepted", epoch: 1, sequence: 4, hash, detail: "slot.a" },
        );
        let (mode, reason) = (Mode::Enforcing, ModeReason::SelfTestPassed);
        self.push(3 * SECOND, None, Body::ModeChange { mode, reason, epoch: 1, sequence: 4 });
        let process = Process { pid: 90, tgid: 90, ppid: 1, uid: 0, comm: b"aegis" };
        let tester = Subject { workload: b"aegis-selftest", cgroup: 9, process };
        let denied = Decision { verdict: Verdict::Denied, rule: b"aegis-selftest", ..Decision::allowed(4) };
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
                let percent = 60 + (count % 40) as u8;
                let level = if percent >= 90 {
                    Level::Critical
                } else if percent >= 70 {
                    Level::High
                } else {
                    Level::Normal
                };
                self.push(time, None, Body::RingLevel { level, percent });
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
            Decision { verdict, rule, glass_broken: glass_broken && at != 8, ..Decision::allowed(4) }
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
