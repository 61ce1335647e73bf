//! One of each thing that must be recorded, with numbers that are known. Every part is done by a process of its own, whose id
//! is said (`NAME ID`): the host holds all the events of that process against what it did (`tests/e2e/observation.rs`).

mod each;
mod flows;
mod volumes;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use crate::scenario::{Done, Step as _, Stop};
use crate::sys::{self, call};

pub use volumes::{VOLUMES, Volume};

/// How often `prepare` opens [`STORM`] and does nothing with it, at once.
pub const OPENS: u64 = 3_000;
/// What it opens.
pub const STORM: &str = "/scratch/storm";
/// What the policy has a rule about.
pub const RULED: &str = "/scratch/ruled";
/// Where the files of [`VOLUMES`] are.
const FOLDER: &str = "/scratch/volumes";
/// So long is each of them, bytes.
const LENGTH: u64 = 8192;
/// The workload's own cgroup.
const CGROUP: &str = "/sys/fs/cgroup/workloads/demo";
/// No event is older than the second that a rate is counted in.
const OVER: Duration = Duration::from_millis(1_100);

/// Makes the files; then opens one of them again and again, in seconds that have no other events of this workload.
pub fn prepare() -> Done {
    for folder in [FOLDER, each::FOLDER, each::MOUNT] {
        fs::create_dir(folder).step(folder)?;
    }
    for path in [STORM, RULED] {
        File::create(path).step(path)?;
    }
    for volume in VOLUMES {
        let path = volume.path();
        File::create(&path).and_then(|file| file.set_len(LENGTH)).step(&path)?;
    }
    std::thread::sleep(OVER);
    for _ in 0..OPENS {
        sys::open(STORM, libc::O_RDONLY).step(STORM)?;
    }
    std::thread::sleep(OVER);
    Ok(())
}

/// Does everything once.
pub fn run() -> Done {
    // Where a file system has access lists, the mode that a hook sees has the mask in it still.
    call(libc::SYS_umask, &[0]).step("umask")?;
    println!("cgroup {}", fs::metadata(CGROUP).step(CGROUP)?.ino());
    part("files", 0, each::files)?;
    part("network", 0, each::network)?;
    part("surface", 0, each::surface)?;
    part("privilege", 0, each::privilege)?;
    part("threads", 0, each::threads)?;
    part("exec", each::STATUS << 8, each::exec)?;
    part("killed", libc::SIGKILL, each::killed)?;
    part("inner", 0, each::inner)?;
    part("volumes", 0, volumes::all)?;
    part("flows", 0, flows::all)
}

/// Does this in a process of its own, which must end with this status, as wait(2) has it.
fn part(name: &str, expected: i32, act: impl FnOnce() -> Done) -> Done {
    let pid = sys::fork()?;
    if pid == 0 {
        let done = act();
        if let Err(stop) = &done {
            eprintln!("{name}: {stop:?}");
        }
        sys::leave(i32::from(done.is_err()));
    }
    println!("{name} {pid}");
    match sys::wait(pid)? {
        status if status == expected => Ok(()),
        status => Err(Stop::Broken(format!("{name}: status {status:#x}"))),
    }
}
