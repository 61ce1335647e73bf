//! `make bench-ring`: appends to the ring and to its peers, in one run on one file system, and recovery.
//!
//! Each contender takes the same events in the same batches and makes each batch durable before the next one (`fdatasync`
//! or what it has for that). They take turns, round by round, so that whatever else the machine does hits all of them.

#[cfg(feature = "peers")]
mod compare;
mod device;
#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
mod recovery;
#[cfg(feature = "peers")]
mod table;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

/// Sizes of an event.
const SIZES: [usize; 3] = [100, 256, 1024];

/// Any error, to a person.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[cfg_attr(not(feature = "peers"), allow(dead_code))] // only verification is measured then
pub(crate) struct Options {
    pub(crate) directory: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) batches: usize,
    pub(crate) ring_bytes: u64,
    pub(crate) only_verify: bool,
}

fn options() -> Outcome<Options> {
    let mut options = Options {
        directory: PathBuf::from("target/bench-ring"),
        rounds: 9,
        batches: 40,
        ring_bytes: 1 << 30,
        only_verify: false,
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
            _ => {
                return Err(format!(
                    "{arg}: not an option (--dir, --rounds, --batches, --ring-mib, --only-verify)"
                )
                .into());
            }
        }
    }
    Ok(options)
}

fn main() -> Outcome<()> {
    let options = options()?;
    std::fs::create_dir_all(&options.directory)?;
    println!("in {}; SHA-256 {}", options.directory.display(), verify::sha_backend());
    #[cfg(feature = "peers")]
    if !options.only_verify {
        for size in SIZES {
            compare::run(&options, size)?;
        }
        recovery::run(&options.directory, options.ring_bytes)?;
    }
    verify::run(&options.directory)
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
