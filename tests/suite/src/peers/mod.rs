//! Peers on the same work: opens, execs and connects in known numbers, block by block, with Aegis, with each peer and with nothing
//! (`make peers`, docs/benchmarks.md). As `prepare` it leaves the operator running, who starts and ends the sides and reads their books. As
//! `run` it has the work done, and prints a line of JSON for each block; the host judges them: `tests/src/peers/`.

mod books;
mod operator;
mod side;
mod work;

use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cost::NONE;
use crate::operator::{Asked, leave_running};
use crate::scenario::{Done, Step as _, Stop};

pub use crate::cost::WORKLOAD;
pub use operator::operate;
pub use work::{KINDS, ends_at_once, work};

/// The side that is neither nothing nor a peer.
pub const AEGIS: &str = "aegis";
/// What is opened.
pub const OPENED: &str = "/scratch/peers/opened";
/// What is executed: this program under a name by which it ends at once.
pub const EXECUTED: &str = "/workload/noop";
/// The port, on 127.0.0.1, that is connected to.
pub const PORT: u16 = 47_319;
/// A rule denies its opening: which no other side could.
pub const SECRET: &str = "/scratch/peers/secret";
/// The parts of a block: at a rate, one by one, as fast as can be.
pub const PARTS: [&str; 3] = ["paced", "single", "flat-out"];
const FOLDER: &str = "/scratch/peers";
const SOCKET: &str = "/scratch/peers/operator";
/// Numbers of the parts, and the blocks: see [`work`].
const PLAN: &str = "/workload/plan";
/// How long a side may take until it tells of what is done: bpftrace compiles.
const START: Duration = Duration::from_mins(8);

/// Makes the files, and leaves the operator running.
pub fn prepare() -> Done {
    fs::create_dir_all(FOLDER).step(FOLDER)?;
    for path in [OPENED, SECRET] {
        fs::write(path, "x").step(path)?;
    }
    operator::mount_all()?;
    leave_running("peers")
}

/// Every block of the plan.
pub fn run() -> Done {
    let plan = fs::read_to_string(PLAN).step(PLAN)?;
    let mut operator = Asked::find(SOCKET)?;
    // What is read from the disk is in memory before anything is measured.
    for part in PARTS {
        begin(part)?;
    }
    let sides = plan.lines().filter_map(|line| line.strip_prefix("block "));
    for (number, side) in sides.enumerate() {
        let line = block(&mut operator, side)?;
        println!("{{\"block\":{number},\"side\":\"{side}\",{line}}}");
    }
    operator.ask("end").map(drop)
}

/// A part of the work, done by a process that was started for it: what a side does to processes as they begin is done to it. What it says.
fn begin(part: &str) -> Result<String, Stop> {
    let own = std::env::current_exe().step("this program")?;
    let output = std::process::Command::new(own.with_file_name("peers")).args(["work", part]).output();
    let output = output.step("the work")?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && said.starts_with('{') {
        Ok(said)
    } else {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Stop::Broken(format!("{part}: {}: {said}{why}", output.status)))
    }
}

/// One of each, until all are told of: then it is at work.
fn wait(operator: &mut Asked, side: &str) -> Done {
    let end = Instant::now() + START;
    loop {
        begin("once")?;
        let told = operator.ask("captured")?;
        if !told.contains(":0") {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Stop::Broken(format!("{side} tells of nothing: {told}: {}", operator.ask("said")?)));
        }
        sleep(Duration::from_millis(500));
    }
}

/// One block: its fields, but for its head.
fn block(operator: &mut Asked, side: &str) -> Result<String, Stop> {
    let begun = Instant::now();
    operator.ask(&format!("put {side}"))?;
    if side != NONE {
        wait(operator, side)?;
    }
    let started = begun.elapsed().as_secs_f64();
    operator.ask("settle")?;
    let secret = match fs::read(SECRET) {
        Ok(_) => "read",
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => "denied",
        Err(_) => "other",
    };
    let mut line = format!("\"started\":{started:.1},\"secret\":\"{secret}\"");
    let _ = write!(line, ",\"books\":[{}", operator.ask("books")?);
    let mut parts = String::new();
    for part in PARTS {
        let said = begin(part)?;
        let _ = write!(parts, "{}{said}", if parts.is_empty() { "" } else { "," });
        // What is under way is told of before the books are read.
        operator.ask("settle")?;
        let _ = write!(line, ",{}", operator.ask("books")?);
    }
    let _ = write!(line, "],\"parts\":[{parts}]");
    Ok(line)
}
