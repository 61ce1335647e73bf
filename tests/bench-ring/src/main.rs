//! `make bench-ring`: appends to the ring and to its peers, in one run on one file system, and recovery.
//!
//! Each contender takes the same events in the same batches and makes each batch durable before the next one (`fdatasync`
//! or what it has for that). They take turns, round by round, so that whatever else the machine does hits all of them;
//! ratios are taken within a round, and given as median and quartiles. The times of a shared machine say little, those of
//! the processor more.

#[cfg(feature = "peers")]
mod compare;
mod device;
#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
mod recovery;
mod report;
#[cfg(feature = "peers")]
mod table;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use report::Report;

/// Sizes of an event.
const SIZES: [usize; 3] = [100, 256, 1024];

const HELP: &str = "\
aegis-bench-ring [--dir DIR] [--rounds N] [--batches N] [--ring-mib N] [--only-verify] [--json]

  --dir DIR       where the stores are made: the file system that is measured (target/bench-ring)
  --rounds N      rounds that the contenders take turns in (15)
  --batches N     batches of each one in a round (8)
  --ring-mib N    MiB of the ring whose recovery is measured (1024)
  --only-verify   recovery and verification rates only
  --json          one JSON object on the output at the end; the tables go to the error output

  aegis-bench-ring --dir /mnt/disk --json > ring.json";

/// Any error, to a person.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[cfg_attr(not(feature = "peers"), allow(dead_code))] // only verification is measured then
pub(crate) struct Options {
    pub(crate) directory: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) batches: usize,
    pub(crate) ring_bytes: u64,
    pub(crate) only_verify: bool,
    pub(crate) json: bool,
}

fn options() -> Outcome<Options> {
    let mut options = Options {
        directory: PathBuf::from("target/bench-ring"),
        rounds: 15,
        batches: 8,
        ring_bytes: 1 << 30,
        only_verify: false,
        json: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg}: a value is missing"));
        match arg.as_str() {
            "--dir" => options.directory = value()?.into(),
            "--rounds" => options.rounds = value()?.parse()?,
            "--batches" => options.batches = value()?.parse()?,
            "--ring-mib" => options.ring_bytes = value()?.parse::<u64>()? << 20,
            "--only-verify" => options.only_verify = true,
            "--json" => options.json = true,
            "--help" => {
                println!("{HELP}");
                std::process::exit(0);
            }
            _ => {
                return Err(format!("{arg}: not an option (see --help)").into());
            }
        }
    }
    Ok(options)
}

fn main() -> Outcome<()> {
    let options = options()?;
    std::fs::create_dir_all(&options.directory)?;
    let mut report = Report::new(options.json);
    report.say(format_args!("in {}; SHA-256 {}", options.directory.display(), verify::sha_backend()));
    report.set("sha256", verify::sha_backend().into());
    #[cfg(feature = "peers")]
    if !options.only_verify {
        report.set("rounds", options.rounds.into());
        report.set("batches_a_round", options.batches.into());
        // Small batches too: the fewer events share a flush, the less the rest counts.
        for batch in [1, 16] {
            compare::run(&options, &mut report, 100, batch)?;
        }
        for size in SIZES {
            compare::run(&options, &mut report, size, compare::full_batch(size))?;
        }
        recovery::run(&mut report, &options.directory, options.ring_bytes)?;
        recovery::run_sparse(&mut report, &options.directory)?;
    }
    verify::run(&mut report, &options.directory)?;
    report.end()
}

/// CPU time of this process, all threads.
pub(crate) fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned() as u32)
}

/// Events of a size: noise, so that nobody wins by compressing.
pub(crate) fn events(size: usize, count: usize) -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let event = |next: &mut dyn FnMut() -> u64| (0..size).map(|_| next() as u8).collect();
    (0..count).map(|_| event(&mut next)).collect()
}
