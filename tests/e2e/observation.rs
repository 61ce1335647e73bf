//! Every kind of event that a workload can cause: what one is told by, how often, and with which numbers. One boot for all; the
//! guest's part is `tests/suite/src/observe/`. For kernels that tell whole paths (since 5.17, docs/degraded-modes.md).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::LazyLock;

use aegis_suite::observe::{OPENS, RULED, STORM, VOLUMES};
use aegis_tests::{Bench, Evidence, kernel, suite};
use serde_json::Value;

/// Events a second of the workload that prepares.
const RATE: u64 = 100;

/// `O_LARGEFILE`, which the kernel puts to every open of a 64-bit program.
const LARGE_FILE: u32 = 0o100_000;

/// What is compared of an event, in this order, where it has it. The last are octal numbers, as C and people write them.
const FIELDS: [&str; 29] = [
    "verdict",
    "rule",
    "path",
    "to",
    "argv",
    "status",
    "signal",
    "attributes",
    "read",
    "written",
    "family",
    "socket_type",
    "protocol",
    "local_address",
    "local_port",
    "address",
    "port",
    "received",
    "sent",
    "number",
    "text",
    "old_uid",
    "new_uid",
    "old_capabilities",
    "new_capabilities",
    "glass_broken",
    "deadman",
    "flags",
    "file_mode",
];

/// One event in one line: its kind, and those of [`FIELDS`] that it has.
fn line(event: &Value) -> String {
    let mut line = event["kind"].as_str().expect("an event has a kind").to_owned();
    for name in FIELDS {
        let value = match &event[name] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Number(number) if ["flags", "file_mode"].contains(&name) => {
                format!("{:#o}", number.as_u64().unwrap_or(0))
            }
            other => other.to_string(),
        };
        let _ = write!(line, " {name}={value}");
    }
    line
}

/// The run, and what its program said: names and numbers.
struct Observed {
    run: Evidence,
    said: BTreeMap<String, u64>,
}

impl Observed {
    fn boot() -> Self {
        let bench = Bench::new();
        let folder = bench.at("demo");
        fs::create_dir(&folder).expect("a folder for the workload");
        for name in ["run", "prepare"] {
            fs::copy(suite::program().with_file_name("aegis-observe"), folder.join(name))
                .expect("it was built");
        }
        let policy = bench.config(
            "observe.toml",
            &format!(
                "schema = 1\nname = \"observe\"\nmode = \"audit\"\nself-protection = false\n\
                 [[workload]]\nname = \"demo\"\n[[workload]]\nname = \"demo-prepare\"\nrate = {RATE}\n\
                 [[rule]]\nname = \"ruled\"\nworkloads = [\"demo\"]\naction = \"deny\"\noperations = [\"open-write\"]\n\
                 paths = [{RULED:?}]\n"
            ),
        );
        let run = Bench::run(bench.machine().workload(folder).policy(policy));
        let (out, err) = (run.out_text(), run.err_text());
        assert_eq!(
            run.exit,
            Some(0),
            "{out}{err}\n{}",
            fs::read_to_string(run.console()).unwrap_or_default()
        );
        let pair = |line: &str| {
            let (name, number) = line.split_once(' ')?;
            Some((name.to_owned(), number.parse().ok()?))
        };
        let said = out.lines().filter_map(pair).collect();
        Self { run, said }
    }

    /// A number that the program said.
    fn said(&self, name: &str) -> u64 {
        *self.said.get(name).unwrap_or_else(|| panic!("it did not say its {name}: {:?}", self.said))
    }

    /// All events of the process that did this part, in order.
    fn part(&self, name: &str) -> Vec<&Value> {
        self.run.with(&[("tgid", self.said(name).into())])
    }

    /// Of these kinds only.
    fn lines(&self, name: &str, kinds: &[&str]) -> Vec<String> {
        let events = self.part(name).into_iter();
        events.filter(|event| kinds.iter().any(|kind| event["kind"] == *kind)).map(line).collect()
    }

    /// The part is told by these lines, no more and no less, in this order.
    fn is_told(&self, name: &str, expected: &str) {
        let told: Vec<String> = self.part(name).into_iter().map(line).collect();
        same(&told, expected);
    }
}

fn is_debian() -> bool {
    kernel().to_string().starts_with("debian")
}

/// The lines are these.
fn same(told: &[String], expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(told, expected, "told:\n{}\nexpected:\n{}\n", told.join("\n"), expected.join("\n"));
}

static OBSERVED: LazyLock<Observed> = LazyLock::new(Observed::boot);

#[test]
fn what_happens_to_files_and_their_names_is_told_once_each() {
    OBSERVED.is_told(
        "files",
        "create verdict=allowed path=/scratch/each/made file_mode=0o100644
         open verdict=allowed path=/scratch/each/made flags=0o100301
         volume path=made read=0 written=5
         open verdict=audited rule=ruled path=/scratch/ruled flags=0o102002
         setattr verdict=allowed path=/scratch/each/made attributes=65
         setattr verdict=allowed path=/scratch/each attributes=70
         setattr verdict=allowed path=/scratch/each/made attributes=8
         link verdict=allowed path=/scratch/each/made to=/scratch/each/linked
         rename verdict=allowed path=/scratch/each/linked to=/scratch/each/renamed
         unlink verdict=allowed path=/scratch/each/renamed
         create verdict=allowed path=/scratch/each/symbolic file_mode=0o120777
         create verdict=allowed path=/scratch/each/folder file_mode=0o40777
         unlink verdict=allowed path=/scratch/each/folder
         create verdict=allowed path=/scratch/each/pipe file_mode=0o10600
         exit status=0 signal=0",
    );
}

#[test]
fn each_step_of_a_connection_is_told_once() {
    OBSERVED.is_told(
        "network",
        "socket verdict=allowed family=2 socket_type=1 protocol=0
         bind verdict=allowed family=2 socket_type=1 protocol=6 address=127.0.0.1 port=7001
         listen verdict=allowed family=2 socket_type=1 protocol=6 address=127.0.0.1 port=7001
         socket verdict=allowed family=2 socket_type=1 protocol=0
         bind verdict=allowed family=2 socket_type=1 protocol=6 address=127.0.0.1 port=7101
         connect verdict=allowed family=2 protocol=6 address=127.0.0.1 port=7001
         accept verdict=allowed family=2 socket_type=1 protocol=6 address=127.0.0.1 port=7101
         flow family=2 protocol=6 local_address=127.0.0.1 local_port=7101 address=127.0.0.1 port=7001 received=0 sent=5
         flow family=2 protocol=6 local_address=127.0.0.1 local_port=7001 address=127.0.0.1 port=7101 received=5 sent=0
         socket verdict=allowed family=10 socket_type=2 protocol=0
         bind verdict=allowed family=10 socket_type=2 protocol=17 address=::1 port=7002
         connect verdict=allowed family=10 protocol=17 address=::1 port=7102
         exit status=0 signal=0",
    );
}

#[test]
fn the_kernels_own_surface_is_told_call_by_call() {
    // Our own kernel has no modules.
    let modules = if is_debian() {
        "module verdict=allowed number=2 text=memory
         open verdict=allowed path=/etc/hosts flags=0o100000
         module verdict=allowed number=2 text=hosts"
    } else {
        "open verdict=allowed path=/etc/hosts flags=0o100000"
    };
    OBSERVED.is_told(
        "surface",
        &format!(
            "fork
             ptrace verdict=allowed number=18 text=
             mount verdict=allowed number=6 text=tmpfs
             mount verdict=allowed number=0 text=umount
             bpf verdict=allowed number=12 text=
             {modules}
             exit status=0 signal=0"
        ),
    );
    let traced = OBSERVED.run.with(&[("kind", "ptrace".into()), ("workload", "demo".into())]);
    let targets: Vec<u64> = traced.iter().filter_map(|event| event["target"].as_u64()).collect();
    assert_eq!(targets, [OBSERVED.said("victim")], "{traced:?}");
}

#[test]
fn processes_are_told_from_fork_to_exit() {
    let main = OBSERVED.run.with(&[("kind", "exec".into()), ("workload", "demo".into())]);
    let main = main.first().expect("the workload was executed");
    assert_eq!(main["path"], "/workload/run");
    let forks = OBSERVED.run.with(&[("kind", "fork".into()), ("tgid", main["tgid"].clone())]);
    let children: Vec<u64> = forks.iter().filter_map(|event| event["child_tgid"].as_u64()).collect();
    let parts = [
        "files",
        "network",
        "surface",
        "privilege",
        "threads",
        "exec",
        "killed",
        "inner",
        "volumes",
        "flows",
    ];
    assert_eq!(children, parts.map(|part| OBSERVED.said(part)));

    OBSERVED.is_told(
        "exec",
        "exec path=/workload/run argv=[\"observed\",\"exit\",\"7\"]
         exit status=7 signal=0",
    );
    OBSERVED.is_told("killed", "exit status=0 signal=9");
    // A thread is a task that was made, and no process that ends.
    OBSERVED.is_told("threads", "fork\nexit status=0 signal=0");
    let thread = &OBSERVED.part("threads")[0];
    assert_eq!(thread["child_tgid"], OBSERVED.said("threads"));
    assert_ne!(thread["child_pid"], OBSERVED.said("threads"));
}

#[test]
fn privileges_are_told_as_they_were_and_as_they_are() {
    let (all, time) = (OBSERVED.said("capabilities"), 1 << 25);
    assert_ne!(all & time, 0, "{all:#x}");
    let less = all & !time;
    OBSERVED.is_told(
        "privilege",
        &format!(
            "privilege old_uid=0 new_uid=0 old_capabilities={all} new_capabilities={less}
             privilege old_uid=0 new_uid=1000 old_capabilities={less} new_capabilities=0
             exit status=0 signal=0"
        ),
    );
}

#[test]
fn bytes_of_files_are_summed_and_told_once_an_open_file() {
    let told = OBSERVED.lines("volumes", &["volume"]);
    let of = |name: &str, (read, written): &(u64, u64)| {
        format!("volume path={name} read={read} written={written}")
    };
    let expected: Vec<String> =
        VOLUMES.iter().flat_map(|volume| volume.told.iter().map(|told| of(volume.name, told))).collect();
    same(&told, &expected.join("\n"));
}

#[test]
fn bytes_of_sockets_are_summed_and_told_once_a_socket() {
    let end = |protocol: u8, own: &str, other: &str, [received, sent]: [u64; 2]| {
        let place = |text: &str, names: [&str; 2]| {
            let (address, port) = text.rsplit_once(':').expect("an address and a port");
            format!("{}={address} {}={port}", names[0], names[1])
        };
        let family = if own.contains("::") { 10 } else { 2 };
        format!(
            "flow family={family} protocol={protocol} {} {} received={received} sent={sent}",
            place(own, ["local_address", "local_port"]),
            place(other, ["address", "port"]),
        )
    };
    let (tcp, udp) = (6, 17);
    let mut expected = vec![
        end(tcp, "127.0.0.1:7301", "127.0.0.1:7201", [617, 20_000]),
        end(tcp, "127.0.0.1:7201", "127.0.0.1:7301", [20_000, 617]),
        end(tcp, "::1:7302", "::1:7202", [50, 5]),
        end(tcp, "::1:7202", "::1:7302", [5, 50]),
        end(tcp, "127.0.0.1:7303", "127.0.0.1:7203", [0, 200]),
        end(tcp, "127.0.0.1:7203", "127.0.0.1:7303", [200, 0]),
        // What the kernel has still to send when the socket is closed is sent.
        end(tcp, "127.0.0.1:7304", "127.0.0.1:7204", [0, 100_000]),
        end(tcp, "127.0.0.1:7204", "127.0.0.1:7304", [100_000, 0]),
        end(tcp, "127.0.0.1:7318", "127.0.0.1:7218", [0, 100_000]),
        end(tcp, "127.0.0.1:7218", "127.0.0.1:7318", [100_000, 0]),
        end(udp, "127.0.0.1:7305", "127.0.0.1:7205", [7, 31]),
        end(udp, "127.0.0.1:7205", "127.0.0.1:7305", [31, 7]),
        end(udp, "127.0.0.1:7306", "0.0.0.0:0", [0, 60]),
        end(udp, "127.0.0.1:7206", "0.0.0.0:0", [60, 0]),
        end(udp, "127.0.0.1:7307", "0.0.0.0:0", [0, 66]),
        end(udp, "127.0.0.1:7207", "0.0.0.0:0", [66, 0]),
        end(udp, "127.0.0.1:7308", "0.0.0.0:0", [0, 1000]),
        end(udp, "127.0.0.1:7208", "0.0.0.0:0", [1000, 0]),
        end(udp, "::1:7309", ":::0", [61, 60]),
        end(udp, "::1:7209", ":::0", [60, 61]),
        end(udp, "127.0.0.1:7310", "127.0.0.1:7210", [80, 73]),
        end(udp, "127.0.0.1:7210", "0.0.0.0:0", [73, 80]),
        end(udp, "127.0.0.1:7311", "0.0.0.0:0", [0, 90]),
        end(udp, "::1:7311", ":::0", [0, 5]),
        end(udp, ":::7211", ":::0", [95, 0]),
        end(udp, "127.0.0.1:7312", "0.0.0.0:0", [0, 44]),
        end(udp, "127.0.0.1:7212", "0.0.0.0:0", [44, 0]),
        end(udp, "127.0.0.1:7313", "127.0.0.1:7213", [0, 33]),
        end(udp, "127.0.0.1:7314", "0.0.0.0:0", [0, 17]),
        end(udp, "127.0.0.1:7214", "0.0.0.0:0", [17, 0]),
    ];
    // Our own kernel has no MPTCP.
    assert_eq!(OBSERVED.said("mptcp") == 1, is_debian());
    if is_debian() {
        expected.push(end(tcp, "127.0.0.1:7317", "127.0.0.1:7217", [51, 150]));
        expected.push(end(tcp, "127.0.0.1:7217", "127.0.0.1:7317", [150, 51]));
    }
    same(&OBSERVED.lines("flows", &["flow"]), &expected.join("\n"));
    // What sendfile(2) moved from a file to a socket is the socket's.
    let sent = [
        end(tcp, "127.0.0.1:7103", "127.0.0.1:7003", [0, 3000]),
        end(tcp, "127.0.0.1:7003", "127.0.0.1:7103", [3000, 0]),
    ];
    same(&OBSERVED.lines("volumes", &["flow"]), &sent.join("\n"));
}

#[test]
fn every_event_says_whose_it_is() {
    let (own, inner) = (OBSERVED.said("cgroup"), OBSERVED.said("below"));
    assert_ne!(own, inner);
    let events: Vec<&Value> = OBSERVED.run.with(&[("workload", "demo".into())]);
    let mut below = Vec::new();
    for event in events.iter().filter(|event| event["cgroup"] != own) {
        assert_eq!(event["cgroup"], inner, "{event}");
        assert_eq!(event["tgid"], OBSERVED.said("inner"), "{event}");
        below.push(line(event));
    }
    same(
        &below,
        "volume path=cgroup.procs read=0 written=1
         create verdict=allowed path=/scratch/each/inside file_mode=0o100666
         open verdict=allowed path=/scratch/each/inside flags=0o101101
         exit status=0 signal=0",
    );
    for part in ["files", "network", "surface", "privilege", "volumes", "flows"] {
        assert!(OBSERVED.part(part).iter().all(|event| event["workload"] == "demo"), "{part}");
    }
    let main = OBSERVED.run.with(&[("kind", "exec".into()), ("workload", "demo".into())])[0]["tgid"].clone();
    for event in OBSERVED.part("files") {
        assert_eq!((&event["ppid"], &event["comm"]), (&main, &"run".into()), "{event}");
        assert_eq!(event["pid"], event["tgid"], "{event}");
    }
}

#[test]
fn what_is_over_a_rate_is_lost_by_that_cause_to_the_last_event() {
    let run = &OBSERVED.run;
    let storm = [("kind", "open".into()), ("workload", "demo-prepare".into()), ("path", STORM.into())];
    // Without the one that made it, which had other flags.
    let written = run.with(&storm).iter().filter(|event| event["flags"] == LARGE_FILE).count() as u64;
    let losses = run.with(&[("kind", "loss".into())]);
    let limited = |event: &&Value| event["workload"] == "demo-prepare" && event["cause"] == "rate-limited";
    assert!(losses.iter().all(limited), "{losses:?}");
    let lost: u64 = losses.iter().filter_map(|event| event["count"].as_u64()).sum();
    assert_eq!(written + lost, OPENS);
    assert!((RATE..OPENS).contains(&written), "{written}");
    assert_eq!(run.number("/accounts/lost/rate-limited"), lost);
    assert_eq!(run.lost(), lost, "by no other cause");
}
