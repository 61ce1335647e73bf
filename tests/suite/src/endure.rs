//! Endurance (`make soak`, `make chaos`, docs/endurance.md): rounds of steady load, in each of them what a device may have to bear. As
//! `run` it goes through the plan beside it, a round a line, and prints a line of JSON for each, with the books when nothing is under
//! way any more. What only the host can do is asked for with a line that begins `{"want"`. The host judges: `tests/src/endure/`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::operator::{AEGIS, Asked, aegis, leave_running, pid, serve, until, until_within};
use crate::scenario::{Done, Step as _, Stop};
use crate::storm::{self, books};
use crate::sys;

/// Rounds, a line each: how long at least, s, opens a second of all processes together, and what is done in it.
const PLAN: &str = "/workload/plan";
/// Every policy denies it.
pub const SECRET: &str = "/scratch/endure-secret";
const SOCKET: &str = "/scratch/endure-operator";
/// What fills own storage.
const FILL: &str = "/data/fill";
/// Between two acts of a round, and how long what is stopped, slow or wrong stays so.
const WHILE: Duration = Duration::from_secs(3);
/// How long a stick may take to come, and to be done with.
const STICK: Duration = Duration::from_mins(5);
/// The load is made in pieces of so many seconds.
const PIECE: u64 = 5;
/// Ten years, s.
const DECADE: i64 = 10 * 365 * 86_400;
/// More memory than there is.
const HOG_BYTES: usize = 2 << 30;
/// What is let to the workload beside what it has, when its memory is to run out.
const ROOM_BYTES: u64 = 32 << 20;
const GROUP: &str = "/sys/fs/cgroup/workloads/demo";
/// What init keeps running, and says the number of.
const SERVICES: [&str; 3] = ["agent", "stick", "alerts"];

/// Makes the files, and leaves the operator running.
pub fn prepare() -> Done {
    storm::make_file()?;
    fs::write(SECRET, "secret\n").step(SECRET)?;
    leave_running("endure")
}

/// Serves the one who acts, to the end.
pub fn operate() -> Done {
    serve(SOCKET, || Ok(()), |(), wish| answer(wish))
}

fn answer(wish: &str) -> Result<String, Stop> {
    let words: Vec<&str> = wish.split(' ').collect();
    match words[..] {
        ["books"] => return Ok(format!("{{\"books\":{},{}}}", books()?, state()?)),
        ["kill", service] => {
            let old = running(service)?;
            sys::kill(old, libc::SIGKILL)?;
            until(service, || Ok(pid(service).is_some_and(|new| new != old)))?;
            ready()?;
        }
        ["stop", service] => {
            let stopped = running(service)?;
            sys::kill(stopped, libc::SIGSTOP)?;
            sleep(WHILE);
            sys::kill(stopped, libc::SIGCONT)?;
        }
        ["clock", years] => {
            let begun = Instant::now();
            let right = clock(None)?;
            let far = if years == "back" { -DECADE } else { DECADE };
            clock(Some(right + far))?;
            sleep(WHILE);
            // It is asked what it says meanwhile.
            aegis(&["status", "--json"])?;
            clock(Some(right + begun.elapsed().as_secs().cast_signed()))?;
        }
        ["starve"] => starve()?,
        ["room", "small"] => {
            spare()?;
            let has = fs::read_to_string(format!("{GROUP}/memory.current")).step("its memory")?;
            let has: u64 =
                has.trim().parse().map_err(|_| Stop::Broken("its memory is no number".to_owned()))?;
            fs::write(format!("{GROUP}/memory.max"), (has + ROOM_BYTES).to_string()).step("its bound")?;
        }
        ["room", _] => fs::write(format!("{GROUP}/memory.max"), "max").step("its bound")?,
        ["fill"] => fill()?,
        ["empty"] => fs::remove_file(FILL).step(FILL)?,
        // The writer has met an error, or has got over it.
        ["fails"] => until_errors(true)?,
        ["works"] => until_errors(false)?,
        _ => return Err(Stop::Broken(format!("not understood: {wish}"))),
    }
    Ok("{}".to_owned())
}

fn running(service: &str) -> Result<i32, Stop> {
    pid(service).ok_or_else(|| Stop::Broken(format!("{service} does not run")))
}

/// The agent writes events.
fn ready() -> Done {
    aegis(&["status", "--wait", "60"]).map(drop)
}

fn until_errors(wanted: bool) -> Done {
    let health = || Command::new(AEGIS).args(["health", "--json"]).output();
    until("the ring's errors", || {
        let said = health().step("health")?.stdout;
        let said = String::from_utf8_lossy(&said).replace(' ', "");
        Ok(said.contains("\"bad\":true,\"code\":\"ring-write-errors\"") == wanted)
    })
}

/// Sets the clock, if it is to be set; what it says, Unix seconds.
fn clock(to: Option<i64>) -> Result<i64, Stop> {
    if let Some(seconds) = to {
        let time = libc::timespec { tv_sec: seconds, tv_nsec: 0 };
        let arguments = [libc::CLOCK_REALTIME as usize, sys::at(&time)];
        sys::call(libc::SYS_clock_settime, &arguments).step("the clock")?;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Ok(now.map_or(0, |now| now.as_secs().cast_signed()))
}

/// Who is in the workload now is not one to be ended: the kernel may choose again before what the first had is free.
fn spare() -> Done {
    let all = fs::read_to_string(format!("{GROUP}/cgroup.procs")).step("its processes")?;
    for pid in all.lines() {
        match fs::write(format!("/proc/{pid}/oom_score_adj"), "-1000") {
            // Some have gone by now.
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {
                return Err(Stop::Broken(format!("{pid} is not to be spared: {error}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Has a process take memory until the kernel ends it.
fn starve() -> Done {
    let own = std::env::current_exe().step("this program")?;
    let ended = Command::new(own).arg("hog").status().step("one that takes memory")?;
    match ended.signal() {
        Some(libc::SIGKILL) => Ok(()),
        _ => Err(Stop::Broken(format!("memory did not run out: {ended}"))),
    }
}

/// Takes memory, and is the one to be ended for it.
pub fn hog() -> Done {
    fs::write("/proc/self/oom_score_adj", "1000").step("to be chosen")?;
    let taken: Vec<Vec<u8>> = (0..HOG_BYTES >> 20).map(|_| vec![0x5a; 1 << 20]).collect();
    std::hint::black_box(&taken);
    Ok(())
}

/// Takes all room of own storage, also what is root's alone, and what turns out to be left of it.
fn fill() -> Done {
    let mut file = File::create(FILL).step(FILL)?;
    let block = vec![0x5a; 64 << 10];
    for _ in 0..8 {
        for piece in [&block[..], &block[..512]] {
            while file.write_all(piece).is_ok() {}
        }
        file.sync_all().step(FILL)?;
    }
    Ok(())
}

/// What is so now: the mode, the policy's number, and of each process its memory, KiB, and its descriptors.
fn state() -> Result<String, Stop> {
    let status: String = aegis(&["status", "--json"])?.split_whitespace().collect();
    let mode = status
        .split_once("\"mode\":\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(mode, _)| mode);
    let policy = status.split_once("\"policy\":{").map_or("", |(_, rest)| rest);
    let policy = storm::number(policy, "sequence");
    let mut text = format!("\"mode\":\"{mode}\",\"policy\":{policy}");
    for service in SERVICES {
        let pid = running(service)?;
        let rss = fs::read_to_string(format!("/proc/{pid}/status")).step(service)?;
        let rss = rss.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let rss: String = rss.chars().filter(char::is_ascii_digit).collect();
        let open = fs::read_dir(format!("/proc/{pid}/fd")).step(service)?.count();
        let _ = write!(
            text,
            ",\"{service}\":{{\"pid\":{pid},\"rss\":{},\"fds\":{open}}}",
            rss.parse().unwrap_or(0)
        );
    }
    Ok(text)
}

/// What the one who tries what is denied came to.
#[derive(Default)]
struct Tries {
    denied: AtomicU64,
    leaked: AtomicU64,
    /// Longest that one took, µs.
    longest: AtomicU64,
}

impl Tries {
    fn go_on(&self, over: &AtomicBool) {
        while !over.load(Relaxed) {
            let begun = Instant::now();
            let count = match File::open(SECRET) {
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => &self.denied,
                _ => &self.leaked,
            };
            count.fetch_add(1, Relaxed);
            self.longest.fetch_max(begun.elapsed().as_micros() as u64, Relaxed);
            sleep(Duration::from_millis(20));
        }
    }
}

/// A stick is plugged in.
fn there() -> bool {
    let sticks =
        |all: fs::ReadDir| all.flatten().any(|disk| disk.file_name().to_string_lossy().starts_with("sd"));
    fs::read_dir("/sys/block").is_ok_and(sticks)
}

struct Run {
    operator: Asked,
    wants: u64,
}

impl Run {
    fn ask(&mut self, wish: &str) -> Done {
        self.operator.ask(wish).map(drop)
    }

    /// Asks the host for something, which does it in its own time.
    fn want(&mut self, what: &str) {
        println!("{{\"want\":\"{what}\",\"number\":{}}}", self.wants);
        self.wants += 1;
    }

    /// A stick comes, and goes.
    fn plug(&mut self, what: &str) -> Done {
        self.want(what);
        until_within(STICK, "a stick", || Ok(there()))?;
        until_within(STICK, "a stick's end", || Ok(!there()))
    }

    fn act(&mut self, act: &str) -> Done {
        match act {
            "kill-agent" => self.ask("kill agent"),
            "kill-watcher" => self.ask("kill stick"),
            "stop-agent" => self.ask("stop agent"),
            "stop-watcher" => self.ask("stop stick"),
            "clock-forward" => self.ask("clock forward"),
            "clock-back" => self.ask("clock back"),
            "memory-beside" => self.ask("starve"),
            "memory-own" => {
                self.ask("room small")?;
                let done = starve();
                self.ask("room all")?;
                done
            }
            "plug" => self.plug("plug"),
            "full" => {
                self.ask("fill")?;
                let done = self.plug("refused");
                self.ask("empty")?;
                done
            }
            "slow" => {
                self.want("slow");
                sleep(WHILE);
                self.want("quick");
                Ok(())
            }
            "fail" => {
                self.want("fail");
                self.ask("fails")?;
                sleep(WHILE);
                self.want("quick");
                self.ask("works")
            }
            _ => Err(Stop::Broken(format!("{act}: no act"))),
        }
    }

    /// One round: its acts under load, and then the books.
    fn round(&mut self, number: usize, line: &str) -> Done {
        let mut words = line.split(' ');
        let mut number_of = |what: &str| {
            let word = words.next().and_then(|word| word.parse().ok());
            word.ok_or_else(|| Stop::Broken(format!("round {number}: no {what}: {line}")))
        };
        let least = Duration::from_secs(number_of("length")?);
        let rate = number_of("rate")?;
        let acts: Vec<&str> = words.collect();
        let begun = Instant::now();
        let (over, tries) = (AtomicBool::new(false), Tries::default());
        let made = thread::scope(|scope| {
            let load = scope.spawn(|| load(rate, &over));
            scope.spawn(|| tries.go_on(&over));
            let done = acts.iter().try_for_each(|act| {
                sleep(Duration::from_secs(1));
                let done = self.act(act);
                done.map_err(|stop| Stop::Broken(format!("round {number}, {act}: {stop:?}")))
            });
            sleep(least.saturating_sub(begun.elapsed()));
            over.store(true, Relaxed);
            let made = load.join().unwrap_or_else(|_| Err(Stop::Broken("the load".to_owned())));
            done.and(made)
        })?;
        let books = self.operator.ask("books")?;
        let [denied, leaked, longest] =
            [&tries.denied, &tries.leaked, &tries.longest].map(|count| count.load(Relaxed));
        println!(
            "{{\"round\":{number},\"acts\":{acts:?},\"seconds\":{:.1},\"made\":{made},\"denied\":{denied},\"leaked\":{leaked},\"longest\":{longest},\"after\":{books}}}",
            begun.elapsed().as_secs_f64()
        );
        Ok(())
    }
}

/// Makes load in pieces until it is over; how many opens that were.
fn load(rate: u64, over: &AtomicBool) -> Result<u64, Stop> {
    let mut made = 0;
    while !over.load(Relaxed) {
        made += storm::blow_all(rate, PIECE)?;
    }
    Ok(made)
}

/// Goes through the plan.
pub fn run() -> Done {
    let plan = fs::read_to_string(PLAN).step(PLAN)?;
    let mut run = Run { operator: Asked::find(SOCKET)?, wants: 0 };
    // The one with the first policy goes before the first round.
    until_within(STICK, "a stick's end", || Ok(!there()))?;
    for (number, line) in plan.lines().enumerate() {
        run.round(number, line)?;
    }
    run.want("last");
    until_within(STICK, "the last stick", || Ok(there()))
}
