//! A storm of events: how many a second come to the disk, what becomes of more, and how long each takes (`make storm`,
//! docs/benchmarks.md). As `run` it has processes open a file at a rate, step by step, and prints a line of JSON for each step, with the
//! books before and after; the host judges them: `tests/src/storm/`.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts of a boot are no less than 0 and far below 2^53"
)]

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::operator::{Asked, aegis, cpu, leave_running, pid, serve};
use crate::scenario::{Done, Step as _, Stop};

/// Processes that make events at once.
pub const PROCESSES: u64 = 4;
/// Of what the kernel saw so much may be lost at the highest rate, in ten-thousandths.
pub const LOST: u64 = 10;
/// How often the highest rate is looked for between one that is borne and one that is not.
const HALVINGS: u32 = 6;
/// So long a rate is to be borne until it counts, s; each step but those of the search takes so long.
pub const HELD: u64 = 10;
/// How often a rate that was found and not held gives way to one that is an eighth lower: at last to two fifths of it.
const DESCENTS: u32 = 8;
/// The opened file: a rule audits it.
pub const FILE: &str = "/scratch/storm/file";
const FOLDER: &str = "/scratch/storm";
const SOCKET: &str = "/scratch/storm/operator";
/// How often a process looks at the clock, ms.
const BEAT: u64 = 10;
/// How long it may take until what was seen is on the disk or counted as lost.
const BALANCE: Duration = Duration::from_mins(2);

/// Makes the file, and leaves the operator running.
pub fn prepare() -> Done {
    make_file()?;
    leave_running("storm")
}

/// Makes [`FILE`].
pub(crate) fn make_file() -> Done {
    fs::create_dir_all(FOLDER).step(FOLDER)?;
    fs::write(FILE, "x").step(FILE)
}

/// Serves the one who measures, to the end.
pub fn operate() -> Done {
    serve(SOCKET, || Ok(()), |(), _| books())
}

/// The books, once nothing is under way any more: `aegis status --json`, the agent's processor time, and how long events took.
pub(crate) fn books() -> Result<String, Stop> {
    let end = Instant::now() + BALANCE;
    let mut before = String::new();
    loop {
        let status = aegis(&["status", "--json"])?;
        let accounts = accounts(&status)?;
        if accounts.contains("\"in_flight\":0") && accounts == before {
            let agent = pid("agent").ok_or_else(|| Stop::Broken("the agent is gone".to_owned()))?;
            let text = aegis(&["metrics"])?;
            let kept = text.lines().filter(|line| line.starts_with("aegis_event_latency_seconds_"));
            let kept: Vec<String> = kept.map(|line| format!("{line:?}")).collect();
            let cpu = cpu(agent)?;
            return Ok(format!(
                "{{\"accounts\":{accounts},\"agent_cpu\":{cpu},\"metrics\":[{}]}}",
                kept.join(",")
            ));
        }
        if Instant::now() > end {
            return Err(Stop::Broken(format!("the books do not balance: {accounts}")));
        }
        before = accounts;
        sleep(Duration::from_millis(300));
    }
}

/// That object of the status, as it is written: it has one object in it, and none in that.
fn accounts(status: &str) -> Result<String, Stop> {
    let found = status.split_once("\"accounts\":").and_then(|(_, rest)| {
        let mut depth = 0;
        let end = rest.find(|letter| {
            depth += match letter {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            letter == '}' && depth == 0
        })?;
        rest.get(..=end)
    });
    let text = found.ok_or_else(|| Stop::Broken("no accounts in `aegis status --json`".to_owned()))?;
    Ok(text.split_whitespace().collect())
}

/// What came of a step.
struct Step {
    seen: u64,
    lost: u64,
    made: u64,
    seconds: f64,
}

impl Step {
    /// Opens a second that were made.
    fn rate(&self) -> u64 {
        (self.made as f64 / self.seconds) as u64
    }

    fn is_borne(&self) -> bool {
        self.lost * 10_000 <= self.seen * LOST
    }
}

/// The highest rate that is borne, below one that is not, by halving. 0: none was found.
fn searched(mut too_many: u64, mut is_borne: impl FnMut(u64) -> Result<bool, Stop>) -> Result<u64, Stop> {
    let mut borne = 0;
    for _ in 0..HALVINGS {
        let rate = u64::midpoint(borne, too_many);
        if is_borne(rate)? {
            borne = rate;
        } else {
            too_many = rate;
        }
    }
    Ok(borne)
}

/// The first of this rate and those below it that is held.
fn held(mut rate: u64, mut is_held: impl FnMut(u64) -> Result<bool, Stop>) -> Result<u64, Stop> {
    for _ in 0..DESCENTS {
        if rate > 0 && is_held(rate)? {
            return Ok(rate);
        }
        rate -= rate.div_ceil(8);
    }
    Err(Stop::Broken(format!("no rate was held for {HELD} s: the host is too busy to say")))
}

/// Looks for the highest rate, goes beyond it, and below.
pub fn run() -> Done {
    let mut operator = Asked::find(SOCKET)?;
    let mut storm = Storm { books: operator.ask("books")?, operator };
    // As fast as they can: what nothing is asked of is not waited for.
    let most = storm.step("flat-out", 0, HELD)?;
    let found = if most.is_borne() {
        most.rate()
    } else {
        // A host that was busy for a second is no reason: once more.
        let once = |storm: &mut Storm, rate| storm.step("search", rate, 5).map(|step| step.is_borne());
        searched(most.rate(), |rate| Ok(once(&mut storm, rate)? || once(&mut storm, rate)?))?
    };
    // What five seconds bear by what has room to wait, ten need not.
    let borne = held(found, |rate| {
        let name = |step: &Step| if step.is_borne() { "highest" } else { "too-high" };
        storm.step_named(name, rate, HELD).map(|step| step.is_borne())
    })?;
    for (name, rate) in [
        ("idle", 1),
        ("tenth", borne / 10),
        ("half", borne / 2),
        ("twice", borne * 2),
        ("five-times", borne * 5),
        ("ten-times", borne * 10),
    ] {
        storm.step(name, rate, HELD)?;
    }
    Ok(())
}

struct Storm {
    /// As they were after the step before.
    books: String,
    operator: Asked,
}

impl Storm {
    /// Has events made for so long. `rate`: opens a second of all processes together; 0: as many as they can.
    fn step(&mut self, name: &'static str, rate: u64, seconds: u64) -> Result<Step, Stop> {
        self.step_named(|_| name, rate, seconds)
    }

    /// The same, of a step that what came of it gives a name.
    fn step_named(
        &mut self,
        name: impl Fn(&Step) -> &'static str,
        rate: u64,
        seconds: u64,
    ) -> Result<Step, Stop> {
        let begun = Instant::now();
        let made = blow_all(rate, seconds)?;
        let seconds = begun.elapsed().as_secs_f64();
        let after = self.operator.ask("books")?;
        let before = std::mem::replace(&mut self.books, after);
        let [seen, written] =
            ["seen", "written"].map(|name| number(&self.books, name) - number(&before, name));
        let step = Step { seen, lost: seen.saturating_sub(written), made, seconds };
        let name = name(&step);
        let mut line =
            format!("{{\"step\":\"{name}\",\"rate\":{rate},\"seconds\":{seconds:.3},\"made\":{made}");
        let _ = write!(line, ",\"before\":{before},\"after\":{}}}", self.books);
        println!("{line}");
        Ok(step)
    }
}

/// Has all processes make events for so long; how many they made. `rate`: of all of them, a second; 0: as many as they can.
pub(crate) fn blow_all(rate: u64, seconds: u64) -> Result<u64, Stop> {
    let own = std::env::current_exe().step("this program")?;
    let each = (rate as f64 / PROCESSES as f64).to_string();
    let start = || {
        let mut command = Command::new(&own);
        command.args(["blow", &each, &seconds.to_string()]).stdout(Stdio::piped()).spawn().step("a process")
    };
    let processes: Vec<Child> = (0..PROCESSES).map(|_| start()).collect::<Result<_, _>>()?;
    let mut made = 0;
    for process in processes {
        let said = process.wait_with_output().step("a process")?;
        let said = String::from_utf8_lossy(&said.stdout).trim().parse::<u64>();
        made += said.map_err(|_| Stop::Broken("a process did not say how many it made".to_owned()))?;
    }
    Ok(made)
}

/// The first number of this name in a line of JSON without spaces.
pub(crate) fn number(line: &str, name: &str) -> u64 {
    let of = line.split_once(&format!("\"{name}\":")).map_or("", |(_, rest)| rest);
    of.split(|letter: char| !letter.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// One process: opens and closes the file, and says how often.
pub fn blow(rate: &str, seconds: &str) -> Done {
    let no_number = || Stop::Broken("blow: RATE and SECONDS are numbers".to_owned());
    let rate: f64 = rate.parse().map_err(|_| no_number())?;
    let seconds: u64 = seconds.parse().map_err(|_| no_number())?;
    let begun = Instant::now();
    let end = Duration::from_secs(seconds);
    let mut made: u64 = 0;
    loop {
        let gone = begun.elapsed();
        if gone >= end {
            break;
        }
        if rate > 0.0 && made as f64 >= rate * gone.as_secs_f64() {
            sleep(Duration::from_millis(BEAT));
            continue;
        }
        // The clock is looked at once in a while: it is a call, too.
        for _ in 0..if rate > 0.0 { 1 } else { 16 } {
            fs::File::open(FILE).step(FILE)?;
            made += 1;
        }
    }
    println!("{made}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_ends_just_below_what_is_not_borne() {
        let mut asked = 0;
        let found = searched(24_000, |rate| {
            asked += 1;
            Ok(rate <= 13_420)
        });
        assert!(matches!(found, Ok(rate) if rate <= 13_420 && 13_420 - rate <= 24_000 / 64), "{found:?}");
        assert_eq!(asked, HALVINGS);
        assert!(matches!(searched(24_000, |_| Ok(false)), Ok(0)));
    }

    #[test]
    fn a_rate_counts_when_it_is_held_and_gives_way_when_it_is_not() {
        let mut tried = Vec::new();
        let mut is_held = |most: u64| {
            tried.clear();
            let found = held(13_566, |rate| {
                tried.push(rate);
                Ok(rate <= most)
            });
            (found.ok(), tried.clone())
        };
        assert_eq!(
            is_held(20_000),
            (Some(13_566), vec![13_566]),
            "the first that is held, and no more are tried"
        );
        assert_eq!(is_held(11_000), (Some(10_386), vec![13_566, 11_870, 10_386]));
        // An end, and no rate that nothing bore.
        let (found, tried) = is_held(0);
        assert_eq!((found, tried.len()), (None, DESCENTS as usize), "{tried:?}");
        assert_eq!(tried.last(), Some(&5_326));
        // Nothing is asked of a search that found nothing.
        assert!(held(0, |_| Ok(true)).is_err());
        let gone = held(5, |_| Err(Stop::Broken("the agent is gone".to_owned())));
        assert!(matches!(&gone, Err(Stop::Broken(why)) if why.contains("gone")), "{gone:?}");
    }
}
