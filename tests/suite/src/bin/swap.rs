//! `aegis-swap`: in the guest, tight readers while the policy is swapped; and rollbacks, one by one. What it prints, a line of
//! `NAME=VALUE …` each, the host judges: `tests/src/swaps/`.
//!
//! - `flip`: the one outside, left running by `prepare`, bound by no rule. New files are moved over a protected name, and a link
//!   leads to a protected file and to a free one by turns.
//! - `race N`: N rounds of three swaps (a policy that was never in force, back, and to it again) under readers.
//! - `rollback N`: N times back to the policy before and to the newer one again, each held against what is denied then.
//! - `readers PROGRAM ARGUMENTS …`: readers while a program runs.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::symlink;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Denied by every policy.
const SECRET: &str = "/scratch/secret";
/// Denied by every policy, and another file again and again.
const HELD: &str = "/scratch/held";
/// Leads to [`SECRET`] and to [`FREE`] by turns.
const LINK: &str = "/scratch/link";
/// Denied by none.
const FREE: &str = "/scratch/free";
/// How often these changed.
const FLIPS: &str = "/scratch/flips";
/// Denied by the older policy only, and by the newer one only.
const ONLY: [&str; 2] = ["/scratch/only-a", "/scratch/only-b"];

/// What is in files that are denied.
const CONTENT: &[u8] = b"secret\n";

/// What reading a file again and again came to.
#[derive(Default)]
struct Reads {
    leaked: AtomicU64,
    read: AtomicU64,
    denied: AtomicU64,
    other: AtomicU64,
}

impl Reads {
    /// Reads `path` until `over`, with this pause between two reads.
    fn read(&self, path: &str, pause: Duration, over: &AtomicBool) {
        while !over.load(Relaxed) {
            let count = match fs::read(path) {
                Ok(bytes) if bytes == CONTENT => &self.leaked,
                Ok(_) => &self.read,
                Err(error) if is_denial(&error) => &self.denied,
                Err(_) => &self.other,
            };
            count.fetch_add(1, Relaxed);
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
    }

    fn say(&self, what: &str) {
        let [leaked, read, denied, other] =
            [&self.leaked, &self.read, &self.denied, &self.other].map(|count| count.load(Relaxed));
        println!("{what} leaked={leaked} read={read} denied={denied} other={other}");
    }
}

/// `EPERM`, and no other number.
fn is_denial(error: &io::Error) -> bool {
    error.raw_os_error() == Some(1)
}

fn denied(path: &str) -> bool {
    File::open(path).is_err_and(|error| is_denial(&error))
}

/// Four readers, as long as `work` goes on: one without a pause, the others leave the guest's two processors to `work`.
fn under_readers(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let over = &AtomicBool::new(false);
    let reads = [("secret", SECRET), ("held", HELD), ("link", LINK), ("free", FREE)]
        .map(|(what, path)| (what, path, Reads::default()));
    let done = thread::scope(|scope| {
        for (_, path, reads) in &reads {
            let pause = if *path == SECRET { Duration::ZERO } else { Duration::from_micros(500) };
            scope.spawn(move || reads.read(path, pause, over));
        }
        let done = work();
        over.store(true, Relaxed);
        done
    });
    for (what, _, reads) in &reads {
        reads.say(what);
    }
    let flips = fs::read_to_string(FLIPS).unwrap_or_default();
    println!("flips count={}", flips.trim());
    done
}

/// Runs a command of the operator's, which must succeed; how long it took, and what it said.
fn command(arguments: &[&str]) -> Result<(Duration, String), String> {
    let begun = Instant::now();
    let output = Command::new("aegis").args(arguments).output();
    let took = begun.elapsed();
    let output = output.map_err(|error| format!("aegis {arguments:?}: {error}"))?;
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if output.status.success() {
        Ok((took, out + &err))
    } else {
        Err(format!("aegis {arguments:?}: {}: {out}{err}", output.status))
    }
}

/// The milliseconds behind `what` in the command's words.
fn millis(said: &str, what: &str) -> Result<f64, String> {
    let number = said.split_once(what).and_then(|(_, rest)| rest.split_once(" ms")).map(|(number, _)| number);
    number.and_then(|number| number.trim().parse().ok()).ok_or_else(|| format!("no `{what}` in: {said}"))
}

/// A swap, timed; the policy that is left and the one that is in force then are held against what they deny.
fn swap(name: &str, arguments: &[&str]) -> Result<(), String> {
    let (took, said) = command(arguments)?;
    let (flip, proof) = (millis(&said, "in force after")?, millis(&said, "proven after")?);
    println!("{name} command={:.2} flip={flip:.2} proof={proof:.2}", took.as_secs_f64() * 1000.0);
    Ok(())
}

/// That the policy of this sequence is in force, and that it is the older (0) or newer (1) one by what it denies.
fn check(sequence: u64, which: usize) -> Result<(), String> {
    let (_, status) = command(&["status", "--json"])?;
    let in_force = status.split_once("\"policy\":{").map_or("", |(_, rest)| rest);
    let in_force = in_force.split_once('}').map_or("", |(object, _)| object);
    let wanted = format!("\"sequence\":{sequence}");
    if !in_force.split(',').any(|field| field == wanted) {
        return Err(format!("{wanted} is not in force: {status}"));
    }
    let (own, other) = (ONLY[which], ONLY[1 - which]);
    if !denied(own) {
        return Err(format!("{own}: not denied by sequence {sequence}"));
    }
    File::open(other).map_err(|error| format!("{other}: {error}, by sequence {sequence}"))?;
    Ok(())
}

fn rollbacks(count: u64) -> Result<(), String> {
    let [older, newer] = ["/workload/a.aegis", "/workload/b.aegis"];
    // Both are filled when their files are there.
    swap("fill", &["policy", "apply", older])?;
    check(2, 0)?;
    swap("fill", &["policy", "apply", newer])?;
    check(3, 1)?;
    for _ in 0..count {
        swap("rollback", &["policy", "rollback"])?;
        check(2, 0)?;
        swap("apply", &["policy", "apply", newer])?;
        check(3, 1)?;
    }
    Ok(())
}

fn race(rounds: u64) -> Result<(), String> {
    under_readers(|| {
        for round in 0..rounds {
            let newer = format!("/workload/b{round}.aegis");
            swap("fill", &["policy", "apply", &newer])?;
            swap("rollback", &["policy", "rollback"])?;
            swap("apply", &["policy", "apply", &newer])?;
        }
        Ok(())
    })
}

fn readers(arguments: &[String]) -> Result<(), String> {
    let (program, arguments) = arguments.split_first().ok_or("readers: no program")?;
    under_readers(|| {
        let status = Command::new(program).args(arguments).status();
        let status = status.map_err(|error| format!("{program}: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
    })
}

fn flip() -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let (spare, spare_link) = ("/scratch/spare", "/scratch/spare-link");
    let mut flips = File::create(FLIPS).map_err(fail)?;
    for count in 1_u64.. {
        fs::write(spare, CONTENT).and_then(|()| fs::rename(spare, HELD)).map_err(fail)?;
        let target = if count % 2 == 0 { SECRET } else { FREE };
        symlink(target, spare_link).and_then(|()| fs::rename(spare_link, LINK)).map_err(fail)?;
        // In place: each line is as long as the one before, or longer.
        flips.rewind().and_then(|()| writeln!(flips, "{count}")).map_err(fail)?;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn run(arguments: &[String]) -> Result<(), String> {
    let number = |text: &String| text.parse().map_err(|_| format!("{text}: no number"));
    match arguments {
        [what] if what == "flip" => flip(),
        [what, count] if what == "race" => race(number(count)?),
        [what, count] if what == "rollback" => rollbacks(number(count)?),
        [what, program @ ..] if what == "readers" => readers(program),
        _ => Err("flip, race N, rollback N, readers PROGRAM ARGUMENTS".to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aegis-swap: {error}");
            ExitCode::FAILURE
        }
    }
}
