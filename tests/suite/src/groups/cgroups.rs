//! A workload is its cgroup: out of it there is no way, within it everything is covered.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use super::{EXEC, READ, read};
use crate::scenario::{Control, Done, Scenario, Step as _, Stop, denied};
use crate::side::Side;
use crate::sys::{self, in_child};

const OUT: super::Expected = ("aegis-self", "open", "file_open");
const BORN: super::Expected = ("aegis-self", "escape", "task_alloc");
const ROOT: &str = "/sys/fs/cgroup";
const OWN: &str = "/sys/fs/cgroup/workloads/suite";
const OTHER: &str = "/sys/fs/cgroup/workloads/suite-prepare";

pub(super) const ALL: &[Scenario] = &[
    denied("cgroup escape", "out-to-root", OUT, |side| enter(side, ROOT, "cgroup.procs")),
    denied("cgroup escape", "out-to-parent", OUT, |side| {
        // Nobody can be in it, for the kernel's own reasons; nobody may try.
        let folder = folder(side, "/sys/fs/cgroup/workloads")?;
        let opened = super::open(&format!("{folder}/cgroup.procs"), libc::O_WRONLY);
        done(side, &folder, opened)
    }),
    denied("cgroup escape", "out-to-other", OUT, |side| enter(side, OTHER, "cgroup.procs")),
    denied("cgroup escape", "out-by-mount", OUT, |side| {
        // The same hierarchy, mounted once more by the one who prepares.
        if side.protected {
            enter(side, "/scratch/m/cgroup", "cgroup.procs")
        } else {
            enter(side, ROOT, "cgroup.procs")
        }
    }),
    denied("cgroup escape", "out-by-opath", OUT, |side| {
        let folder = folder(side, ROOT)?;
        let fd = sys::open(&format!("{folder}/cgroup.procs"), libc::O_PATH).step("O_PATH is no open")?;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        done(side, &folder, fs::write(path, "0").map_err(Stop::from))
    }),
    denied("cgroup escape", "out-by-symlink", OUT, |side| {
        let folder = folder(side, ROOT)?;
        let link = side.free("folder/to-cgroup");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&folder, &link).step("symlink")?;
        done(side, &folder, fs::write(format!("{link}/cgroup.procs"), "0").map_err(Stop::from))
    }),
    denied("cgroup escape", "out-by-thread", OUT, |side| {
        sys::in_thread(|| enter(side, ROOT, "cgroup.procs"))
    }),
    denied("cgroup escape", "out-thread-file", OUT, |side| {
        // One thread alone; the twin has no threaded cgroup to be in, and asks only for the file.
        let folder = folder(side, ROOT)?;
        let opened = super::open(&format!("{folder}/cgroup.threads"), libc::O_WRONLY);
        done(side, &folder, opened)
    }),
    denied("cgroup escape", "out-other-task", OUT, |side| {
        // Not oneself, but a child.
        let victim = sys::Victim::start()?;
        let folder = folder(side, ROOT)?;
        let moved = fs::write(format!("{folder}/cgroup.procs"), victim.pid().to_string());
        drop(victim);
        done(side, &folder, moved.map_err(Stop::from))
    }),
    // Where the child goes no hook says in time: nobody is born into another cgroup, one of one's own included.
    denied("cgroup escape", "out-clone", BORN, |_| {
        sys::clone_into(&sys::open(ROOT, libc::O_RDONLY | libc::O_DIRECTORY).step("the cgroup")?)
    })
    .control(Control::Absent),
    denied("cgroup escape", "out-clone-opath", BORN, |_| {
        sys::clone_into(&sys::open(OTHER, libc::O_PATH | libc::O_DIRECTORY).step("the cgroup")?)
    })
    .control(Control::Absent),
    denied("cgroup escape", "out-limits", OUT, |side| {
        // Another's limits are not ours to set.
        let folder = folder(side, OTHER)?;
        let opened = super::open(&format!("{folder}/cgroup.freeze"), libc::O_WRONLY);
        done(side, &folder, opened)
    }),
    denied("nested cgroups", "nest-read", READ, |side| nested(side, 1, || read(&side.at("secret"))))
        .allows("moving within the workload's own cgroup"),
    denied("nested cgroups", "nest-deep", READ, |side| nested(side, 12, || read(&side.at("secret")))),
    denied("nested cgroups", "nest-exec", EXEC, |side| {
        nested(side, 3, || sys::run_program(sys::TOOL_EXIT, || sys::execve(&side.at("tool"), &["tool"])))
    })
    .in_memory(),
    denied("nested cgroups", "nest-born", BORN, |_| {
        let folder = format!("{OWN}/born");
        let _ = fs::create_dir(&folder);
        let fd = sys::open(&folder, libc::O_RDONLY | libc::O_DIRECTORY).step("the cgroup")?;
        let born = sys::clone_into(&fd);
        let _ = fs::remove_dir(&folder);
        born
    })
    .control(Control::Absent),
    denied("nested cgroups", "nest-net", ("suite-net", "connect", "socket_connect"), |side| {
        nested(side, 2, || std::net::TcpStream::connect(side.net4()).map(drop).map_err(Stop::from))
    }),
    denied("nested cgroups", "nest-escape", OUT, |side| {
        nested(side, 2, || enter(side, ROOT, "cgroup.procs"))
    }),
    denied("fork storms", "fork-child", READ, |side| in_child(|| read(&side.at("secret")))),
    denied("fork storms", "fork-lineage", READ, |side| generations(24, &|| read(&side.at("secret")))),
    denied("fork storms", "fork-orphan", READ, |side| {
        // Its parent is gone, its session another: init's child by now.
        let (reader, writer) = sys::pipe()?;
        if sys::fork()? == 0 {
            let _ = sys::call(libc::SYS_setsid, &[]);
            if matches!(sys::fork(), Ok(0)) {
                std::thread::sleep(Duration::from_millis(200));
                let word = match read(&side.at("secret")) {
                    Ok(()) => "+".to_owned(),
                    Err(Stop::Errno(number)) => format!("={number}"),
                    Err(_) => "!".to_owned(),
                };
                let _ = sys::write(writer.as_raw_fd(), word.as_bytes());
            }
            sys::leave(0);
        }
        drop(writer);
        let word = sys::read_until(&reader, Duration::from_secs(20)).unwrap_or_default();
        sys::told(&String::from_utf8_lossy(&word))
    }),
    denied("fork storms", "fork-storm", READ, |side| {
        // A hundred at once, each asks: all are told the same.
        let path = side.at("secret");
        let all: Vec<i32> = (0..100)
            .map(|_| {
                let pid = sys::fork()?;
                if pid == 0 {
                    sys::leave(match read(&path) {
                        Ok(()) => 0,
                        Err(Stop::Errno(number)) => number,
                        Err(_) => 255,
                    });
                }
                Ok(pid)
            })
            .collect::<Result<_, Stop>>()?;
        let codes: Vec<i32> =
            all.iter().map(|pid| Ok(libc::WEXITSTATUS(sys::wait(*pid)?))).collect::<Result<_, Stop>>()?;
        match codes.iter().filter(|code| **code != codes[0]).count() {
            0 if codes[0] == 0 => Ok(()),
            0 => Err(Stop::Errno(codes[0])),
            others => Err(Stop::Broken(format!("{others} of 100 were told something else: {codes:?}"))),
        }
    })
    .seconds(60),
    denied("fork storms", "fork-threads", READ, |side| {
        let path = side.at("secret");
        let codes: Vec<i32> = std::thread::scope(|scope| {
            let ask = || match read(&path) {
                Ok(()) => 0,
                Err(Stop::Errno(number)) => number,
                Err(_) => 255,
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(255)).collect()
        });
        match codes.iter().filter(|code| **code != codes[0]).count() {
            0 if codes[0] == 0 => Ok(()),
            0 => Err(Stop::Errno(codes[0])),
            others => Err(Stop::Broken(format!("{others} of 16 threads were told something else"))),
        }
    }),
];

/// Where this process is, below the root of the hierarchy.
pub(super) fn own() -> Result<String, Stop> {
    let text = fs::read_to_string("/proc/self/cgroup").step("the own cgroup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    line.map(str::to_owned).ok_or_else(|| Stop::Broken("no cgroup2".to_owned()))
}

/// The cgroup that is not ours; on the twin's side one that is, made for the purpose.
fn folder(side: Side, denied: &str) -> Result<String, Stop> {
    if side.protected {
        return Ok(denied.to_owned());
    }
    let own = format!("{OWN}/twin");
    let _ = fs::create_dir(&own);
    fs::metadata(&own).step("a cgroup of one's own")?;
    Ok(own)
}

/// Back, so that the twin's cgroup can go; what the act came to.
fn done(side: Side, folder: &str, done: Done) -> Done {
    if !side.protected {
        fs::write(format!("{OWN}/cgroup.procs"), "0").step("back")?;
        let _ = fs::remove_dir(folder);
    }
    done
}

fn enter(side: Side, denied: &str, file: &str) -> Done {
    let folder = folder(side, denied)?;
    done(side, &folder, fs::write(format!("{folder}/{file}"), "0").map_err(Stop::from))
}

/// In a cgroup so many levels below the workload's own; in a child, so that it can be removed afterwards.
fn nested(side: Side, levels: usize, act: impl FnOnce() -> Done) -> Done {
    let folders: Vec<String> =
        (1..=levels).map(|level| format!("{OWN}/n-{}{}", side.letter(), "/n".repeat(level - 1))).collect();
    for folder in &folders {
        let _ = fs::create_dir(folder);
        fs::metadata(folder).step("a cgroup below one's own")?;
    }
    let last = format!("{}/cgroup.procs", folders.last().map_or(OWN, String::as_str));
    let came = in_child(|| {
        fs::write(&last, "0").step("within one's own")?;
        act()
    });
    for folder in folders.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
    came
}

/// In a child's child's child.
fn generations(left: usize, act: &dyn Fn() -> Done) -> Done {
    if left == 0 { act() } else { in_child(|| generations(left - 1, act)) }
}
