//! What enforcement costs: the same calls and the same loads, block by block, with Aegis in different states (`make bench`,
//! docs/benchmarks.md). As `prepare` it makes the files and leaves the operator running, outside of every workload, who brings
//! the states about. As `run` it measures, and prints a line of JSON for each block; the host judges them: `tests/src/cost/`.

mod calls;
mod loads;
mod operator;
mod sample;
mod tap;

use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::operator::{Asked, leave_running};
use crate::scenario::{Done, Step as _, Stop};

pub use calls::{CALLS, EXECUTED, connects, ends_at_once, watched};
pub use loads::LOADS;
pub use operator::operate;
pub(crate) use sample::Sample;

/// No agent: no process of it, no hook of it.
pub const NONE: &str = "none";
/// Mode audit: everything is seen and told, nothing is denied.
pub const AUDIT: &str = "audit";
/// The states, in the order of a round's first half. What is behind the hyphen is how many rules there are.
pub const STATES: [&str; 5] = [NONE, AUDIT, "enforce-10", "enforce-1000", LARGEST];
/// The state with the most rules: its maps take a minute to fill, so they are kept and gone back to.
const LARGEST: &str = "enforce-65536";

/// The workload's name, and so its cgroup's.
pub const WORKLOAD: &str = "demo";
/// Where the policies' files are.
pub const FOLDER: &str = "/scratch/cost";
/// No rule speaks of it.
pub const PLAIN: &str = "/scratch/cost/plain";
/// A rule audits it.
pub const WATCHED: &str = "/scratch/cost/watched";
/// A rule denies it.
pub const SECRET: &str = "/scratch/cost/secret";
/// The files of all other rules, by number; [`RULED`] of them are there.
pub const RULED_FOLDER: &str = "/scratch/cost/r";
/// How many of the ruled files are there; of the others only the names are known.
pub const RULED: usize = 1_000;
/// So often is the secret asked for in a block.
pub const ASKED: u64 = 20;
/// What is to be measured: see [`Plan`].
const PLAN: &str = "/workload/plan";
const SOCKET: &str = "/scratch/cost/operator";

/// A file's name among the ruled ones.
pub fn ruled(number: usize) -> String {
    format!("{RULED_FOLDER}/{number:05}")
}

/// Makes the files, and leaves the operator running.
pub fn prepare() -> Done {
    fs::create_dir_all(RULED_FOLDER).step(RULED_FOLDER)?;
    // A whole block of each: it is read, too.
    for path in [PLAIN, WATCHED, SECRET] {
        fs::write(path, [b'x'; calls::BLOCK]).step(path)?;
    }
    for number in 0..RULED {
        fs::write(ruled(number), "").step("a ruled file")?;
    }
    leave_running("cost")
}

/// What is to be measured: how many calls a block has at most of a kind, and the blocks.
struct Plan {
    calls: usize,
    /// `measure` or `hooks` (the kernel counts the probes' runs and their time), and the state.
    blocks: Vec<(String, String)>,
}

impl Plan {
    fn read() -> Result<Self, Stop> {
        let text = fs::read_to_string(PLAN).step(PLAN)?;
        let mut words = text.lines().filter_map(|line| line.split_once(' '));
        let calls = words.next().and_then(|(_, count)| count.parse().ok());
        let blocks = words.map(|(what, state)| (what.to_owned(), state.to_owned())).collect();
        let calls = calls.ok_or_else(|| Stop::Broken(format!("{PLAN}: begins with no number of calls")))?;
        Ok(Self { calls, blocks })
    }
}

/// Measures what the plan says.
pub fn run() -> Done {
    let plan = Plan::read()?;
    let mut operator = Asked::find(SOCKET)?;
    // What is read from the disk is in memory before anything is measured.
    calls::measure(plan.calls / 10)?;
    for name in LOADS {
        loads::run(name)?;
    }
    for (number, (what, state)) in plan.blocks.iter().enumerate() {
        operator.ask(&format!("state {state}"))?;
        let line = block(&mut operator, what == "hooks", plan.calls)?;
        println!("{{\"block\":{number},\"kind\":\"{what}\",\"state\":\"{state}\",{line}}}");
    }
    operator.ask("end").map(drop)
}

/// One block: its fields, but for its head.
fn block(operator: &mut Asked, hooks: bool, calls: usize) -> Result<String, Stop> {
    let [on, off] = ["statistics 1", "statistics 0"];
    // What the kernel counted of hooks is in the books while it counts only.
    if hooks {
        operator.ask(on)?;
    }
    let before = operator.ask("books")?;
    // While the kernel counts how often each program of the probes is run, at no cost to what is timed later.
    operator.ask(on)?;
    let [denied, read, other] = ask_for_the_secret();
    if !hooks {
        operator.ask(off)?;
    }
    let mut line = format!("\"before\":{before},\"secret\":[{denied},{read},{other}],\"cases\":{{");
    let samples = calls::measure(calls)?;
    for (at, (name, sample)) in samples.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(line, "{comma}\"{name}\":{}", sample.json());
    }
    line.push_str("},\"loads\":{");
    // The tap is a cost of its own, the same in every state: it hangs on nothing while calls are timed one by one.
    operator.ask("tap 1")?;
    for (at, name) in LOADS.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        operator.ask("mark")?;
        let [wall, cpu] = loads::run(name)?;
        let syscalls = operator.ask("taken")?;
        let _ = write!(line, "{comma}\"{name}\":{{\"wall\":{wall},\"cpu\":{cpu},\"syscalls\":{syscalls}}}");
    }
    operator.ask("tap 0")?;
    // What is under way comes to the books before they are read.
    sleep(Duration::from_millis(500));
    let after = operator.ask("books")?;
    if hooks {
        operator.ask(off)?;
    }
    let _ = write!(line, "}},\"after\":{after}");
    Ok(line)
}

/// How often the secret was denied, read, or something else came of it.
fn ask_for_the_secret() -> [u64; 3] {
    let mut found = [0; 3];
    for _ in 0..ASKED {
        let which = match fs::read(SECRET) {
            Ok(bytes) if bytes.len() == calls::BLOCK => 1,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => 0,
            _ => 2,
        };
        found[which] += 1;
    }
    found
}
