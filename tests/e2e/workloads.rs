//! Workloads that come signed, by stick: kept, mounted, run in a cage, bounded, decided about; and refused where they must be
//! (`docs/workloads.md`).

use std::fs;
use std::path::{Path, PathBuf};

use aegis_qemu::{Stick, StickFs, Vm};
use aegis_tests::{Bench, Evidence, arch, console, receipts, root, suite};
use serde_json::Value;

use super::firmware::Device;

/// What a workload is made from.
pub(crate) struct Made<'b> {
    bench: &'b Bench,
    name: &'static str,
    command: &'static str,
    restart: &'static str,
    /// Seconds; 0: none.
    watchdog: u32,
    memory: u32,
    processes: u32,
}

impl<'b> Made<'b> {
    pub(crate) fn new(bench: &'b Bench, name: &'static str, command: &'static str) -> Self {
        Self { bench, name, command, restart: "never", watchdog: 0, memory: 32, processes: 16 }
    }

    /// Its folder: the program, a secret, a file that is none.
    fn folder(&self) -> PathBuf {
        let folder = self.bench.at("contents");
        for place in ["bin", "etc"] {
            fs::create_dir_all(folder.join(place)).expect("made");
        }
        fs::copy(suite::program().with_file_name("aegis-packed"), folder.join("bin/agent"))
            .expect("it was built");
        fs::write(folder.join("secret"), "secret\n").expect("written");
        fs::write(folder.join("plain"), "plain\n").expect("written");
        folder
    }

    pub(crate) fn sequence(&self, sequence: u64) -> PathBuf {
        self.signed(sequence, &root().join("target/keys/workload.key"))
    }

    /// Built and signed by this key.
    fn signed(&self, sequence: u64, key: &Path) -> PathBuf {
        let Self { name, command, restart, watchdog, memory, processes, .. } = self;
        let watchdog = if *watchdog > 0 { format!("watchdog = {watchdog}\n") } else { String::new() };
        let words: Vec<String> = command.split(' ').map(|word| format!("{word:?}")).collect();
        let source = self.bench.at(&format!("{name}.toml"));
        let text = format!(
            "schema = 1\nname = {name:?}\ncommand = [\"/bin/agent\", {}]\nuser = 1000\ngroup = 1001\nwritable = [\"/var/lib/agent\"]\n\
             [environment]\nHOME = \"/var/lib/agent\"\n\
             [limits]\nmemory-mib = {memory}\nprocesses = {processes}\ncpu-permille = 800\n\
             [restart]\nwhen = {restart:?}\ndelay = 1\n{watchdog}",
            words.join(", ")
        );
        fs::write(&source, text).expect("written");
        let out = self.bench.at(&format!("{name}-{sequence}.aegis-workload"));
        let mut build = Bench::aegisctl();
        build.args([
            "workload",
            "build",
            "--arch",
            arch().name(),
            "--sequence",
            &sequence.to_string(),
            "--manifest",
        ]);
        build.arg(source).arg("--contents").arg(self.folder()).arg("--key").arg(key).arg("--out").arg(&out);
        Bench::good(build);
        out
    }
}

/// Boots a device with these files on a stick, and runs this script as an operator.
fn boot(bench: &Bench, device: &Path, files: &[&Path], policy: Option<&Path>, script: &str) -> Evidence {
    let mut machine = bench.demo(script).state(device);
    for file in files {
        machine = machine.stick_file(file.file_name().and_then(|name| name.to_str()).expect("UTF-8"), file);
    }
    if let Some(policy) = policy {
        machine = machine.policy(policy);
    }
    Bench::run(machine)
}

/// Code and file of each receipt for a workload.
fn answers(run: &Evidence) -> Vec<(String, String)> {
    said_of_workloads(run.receipts())
}

fn said_of_workloads(receipts: Vec<Value>) -> Vec<(String, String)> {
    let answers = receipts.into_iter().filter(|receipt| receipt["what"] == "workload");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    answers.map(|receipt| (text(&receipt["answer"]), text(&receipt["code"]))).collect()
}

/// Until `aegis workload list` says this of it; a script.
fn until(name: &str, what: &str) -> String {
    format!(
        "i=0; until aegis workload list | grep '^{name} ' | grep -q '{what}'; do i=$((i+1)); [ $i -gt 200 ] && break; sleep 0.3; done; aegis workload list\n"
    )
}

/// A person turns some off and on again; a script.
fn turn() -> String {
    let stop = "aegis workload stop forks; echo exit $?; echo processes $(cat /sys/fs/cgroup/workloads/forks/cgroup.procs | wc -l); sleep 3; aegis workload list | grep '^forks '\n\
                aegis workload start forks; echo exit $?\n";
    let others = "aegis workload start forks; aegis workload restart eats; echo exit $?\n";
    let end = "aegis workload stop eats; sleep 3; aegis workload list | grep '^eats '; aegis workload stop nobody; echo nobody $?; aegis workload stop ../x; echo bad $?\n\
               aegis logs --json | grep -c '\"workload\":\"forks\"'; aegis logs | grep 'workload eats: crash-loop'\n";
    format!("{stop}{}{others}{}{end}", until("forks", "running, starts 2"), until("eats", "starts 6"))
}

#[test]
fn a_signed_workload_comes_by_stick_and_runs_confined_from_the_next_start_on() {
    let bench = Bench::new();
    let device = bench.at("device");
    let made = Made::new(&bench, "agent-7", "look stay");
    let first = made.sequence(5);
    let said = boot(&bench, &device, &[&first], None, "aegis workload list --json");
    assert_eq!(answers(&said), [("accepted".into(), "accepted".into())]);
    // It runs from the next start on.
    let list: Value = serde_json::from_str(said.out_text().trim()).expect("JSON");
    let row = &list["workloads"][0];
    assert_eq!(
        (&row["name"], &row["accepted"], &row["mounted"], &row["state"]),
        (&"agent-7".into(), &"1.5".into(), &Value::Null, &Value::Null)
    );

    // A rule about a path in its root: known, since that is mounted before the policy is taken.
    let policy = bench.at("paths.toml");
    fs::write(
        &policy,
        "schema = 1\nname = \"paths\"\nmode = \"enforce\"\n[[workload]]\nname = \"agent-7\"\n[[workload]]\nname = \"demo\"\n\
         [[rule]]\nname = \"no-secret\"\nworkloads = [\"agent-7\"]\naction = \"deny\"\noperations = [\"open\"]\npaths = [\"/run/workloads/agent-7/secret\"]\n",
    )
    .expect("written");
    // Aegis guards itself from here on: not even root looks at its own storage, so what runs is seen in its cgroup.
    let runs = "i=0; until grep -q . /sys/fs/cgroup/workloads/agent-7/cgroup.procs; do i=$((i+1)); [ $i -gt 200 ] && break; sleep 0.3; done; sleep 3\n";
    let take_away = "cat /run/workloads/agent-7/plain; umount /run/workloads/agent-7; echo umount $?; mount -t tmpfs tmpfs /run/workloads/agent-7; echo mount $?; cat /data/workloads/agent-7/workload; echo read $?; cat /dev/loop0; echo device $?";
    let script = format!("{runs}{take_away}");
    let run = boot(&bench, &device, &[], Some(&policy), &script);
    let shown = console(&run);
    let line = |text: &str| shown.lines().any(|line| line.trim_end().ends_with(&format!("agent-7: {text}")));
    for text in [
        "as 1000 1001 groups 0 pid 1",
        "CapInh 0000000000000000",
        "CapPrm 0000000000000000",
        "CapEff 0000000000000000",
        "CapBnd 0000000000000000",
        "CapAmb 0000000000000000",
        "NoNewPrivs 1",
        "root bin dev etc plain proc secret tmp var",
        "dev full null random urandom zero",
        "processes 1",
        "descriptors 3",
        "stdin /dev/null",
        "host agent-7",
        "environment HOME=/var/lib/agent",
        "cgroup 0::/workloads/agent-7",
        "write /new EROFS",
        "write /bin/new EROFS",
        "write /etc/new EROFS",
        "write /tmp/new ok",
        "write /var/lib/agent/new ok",
        "write /dev/new EROFS",
        "read /data ENOENT",
        "read /run ENOENT",
        "read /sys ENOENT",
        "read /etc/shadow ENOENT",
        "read /secret EPERM",
        "read /plain ok",
        "device EPERM",
        "run in /tmp EACCES",
        "run in /var/lib/agent EACCES",
        "root again EPERM",
        "count 1",
    ] {
        assert!(line(text), "{text}: {shown}");
    }
    // Whoever is root beside it takes nothing of it away.
    let out = run.out_text();
    assert!(out.starts_with("plain\n"), "{out}");
    for what in ["umount", "mount", "read", "device"] {
        assert!(
            out.contains(&format!("{what} 1\n")) || out.contains(&format!("{what} 255\n")),
            "{what}: {out}"
        );
    }
    // What it does is told in its name.
    let denied = run.with(&[
        ("workload", "agent-7".into()),
        ("rule", "no-secret".into()),
        ("verdict", "denied".into()),
    ]);
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert!(!run.with(&[("kind", "exec".into()), ("workload", "agent-7".into())]).is_empty());
    let told =
        run.with(&[("kind", "workload".into()), ("workload", "agent-7".into()), ("code", "started".into())]);
    assert_eq!(told.len(), 1, "{:?}", run.kind("workload"));
    assert_eq!(told[0]["workload_sequence"], 5);

    // What it wrote is there after the next start; what is newer runs in its place; what is older does not come back.
    let second = Made::new(&bench, "agent-7", "look stay").sequence(6);
    let run = boot(&bench, &device, &[&second, &first], None, runs);
    assert!(console(&run).contains("agent-7: count 2"), "{}", console(&run));
    let mut codes = answers(&run);
    codes.sort();
    assert_eq!(codes, [("accepted".into(), "accepted".into()), ("refused".into(), "superseded".into())]);
    let run = boot(&bench, &device, &[&first], None, runs);
    let shown = console(&run);
    assert!(shown.contains("workload agent-7: mounted: epoch 1 sequence 6"), "{shown}");
    assert!(shown.contains("agent-7: count 3"), "{shown}");
    assert_eq!(answers(&run), [("refused".into(), "rollback".into())]);
}

#[test]
fn bounds_are_met_and_what_ends_is_started_again_until_it_ends_too_often() {
    let bench = Bench::new();
    let device = bench.at("device");
    let forks = Made::new(&bench, "forks", "forks stay");
    let eats = Made { restart: "on-failure", ..Made::new(&bench, "eats", "eat") };
    let once = Made { restart: "on-failure", ..Made::new(&bench, "once", "exit 0") };
    let shouts = Made::new(&bench, "shouts", "shout 3");
    let lives = Made { watchdog: 5, ..Made::new(&bench, "lives", "live 10000") };
    let hangs = Made { watchdog: 5, ..Made::new(&bench, "hangs", "live 3") };
    let all = [forks, eats, once, shouts, lives, hangs];
    let files = all.map(|made| made.sequence(1));
    let run = boot(&bench, &device, &files.each_ref().map(PathBuf::as_path), None, "true");
    assert_eq!(answers(&run).iter().filter(|(answer, _)| answer == "accepted").count(), 6);
    let script = until("eats", "crash-loop")
        + &until("hangs", "failed")
        + "aegis metrics | grep '^aegis_workload_\\(starts_total\\|down\\)'\n"
        + "aegis health --json | grep -o '\"bad\":true,\"code\":\"workload-down\"'; cat /sys/fs/cgroup/workloads/forks/pids.current /sys/fs/cgroup/workloads/forks/memory.max /sys/fs/cgroup/workloads/forks/cpu.max; cat /sys/fs/cgroup/workloads/eats/cgroup.procs\n";
    let run = boot(&bench, &device, &[], None, &(script + &turn()));
    let (shown, out) = (console(&run), run.out_text());
    // Itself included.
    assert!(shown.contains("forks: forks 16 EAGAIN"), "{shown}");
    assert!(out.contains("\"bad\":true,\"code\":\"workload-down\"\n16\n33554432\n80000 100000\n"), "{out}");
    assert!(
        out.contains("eats ")
            && out.contains("crash-loop, starts 5, last: signal: 9 (SIGKILL), out of its memory"),
        "{out}"
    );
    assert!(!shown.contains("eats: ate"), "{shown}");
    assert!(
        out.contains("over, starts 1, last: exit status: 0")
            && out.contains("failed, starts 1, last: exit status: 3"),
        "{out}"
    );
    let crash =
        run.with(&[("kind", "workload".into()), ("workload", "eats".into()), ("code", "crash-loop".into())]);
    assert_eq!(crash.len(), 1, "{:?}", run.kind("workload"));
    // What it says is text, and not without end.
    assert!(shown.contains("shouts: \\x1b[2Jcleared\\x0dAEGIS-DONE"), "{shown}");
    assert!(shown.contains("lines were left out: it says too much"), "{shown}");
    assert!(shown.matches("shouts: line ").count() < 400, "{shown}");

    for series in [
        "aegis_workload_starts_total{workload=\"eats\"} 5",
        "aegis_workload_down{workload=\"eats\"} 1",
        "aegis_workload_down{workload=\"hangs\"} 1",
        "aegis_workload_down{workload=\"lives\"} 0",
        "aegis_workload_down{workload=\"once\"} 0",
    ] {
        assert!(out.lines().any(|line| line == series), "{series}: {out}");
    }
    // Who gives signs of life lives; who gives none any more is ended, and that is a failure.
    assert!(
        shown.contains("lives: watchdog of 5000000 us at /dev/notify") && shown.contains("lives: sign ok"),
        "{shown}"
    );
    let row = |name: &str, text: &str| out.lines().any(|line| line.starts_with(name) && line.contains(text));
    assert!(row("hangs ", "failed, starts 1, last: signal: 9 (SIGKILL), no sign of life for 5 s"), "{out}");
    assert!(row("lives ", "running, starts 1"), "{out}");

    // One that is stopped is gone, all of it, and stays so, whatever its restart says; started, it counts on.
    let stopped = "workload forks: stopped; it stays down until `aegis workload start forks`, or the next boot\nexit 0\nprocesses 0\n";
    assert!(out.contains(stopped), "{out}");
    let row = |text: &str| out.lines().any(|line| line.contains(text));
    assert!(row("; stopped, starts 1") && row("; running, starts 2"), "{out}");
    assert!(out.contains("workload forks: it is up already\n"), "{out}");
    // The breaker of its crash loop is closed again, and one that rests stays down, too.
    assert!(row("starts 6, last: signal: 9") && row("; stopped, starts 6"), "{out}");
    assert!(out.contains("nobody 1\nbad 2\n"), "{out}");
    let codes = |name: &str| -> Vec<String> {
        let told = run.with(&[("kind", "workload".into()), ("workload", name.into())]);
        told.iter().map(|event| event["code"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(codes("forks"), ["started", "stopped", "started"]);
    let eats = codes("eats");
    assert!(eats.iter().filter(|code| *code == "crash-loop").count() == 1, "{eats:?}");
    assert_eq!(eats.last().map(String::as_str), Some("stopped"), "{eats:?}");
    // What was said of each is found by its name.
    let said: u32 = out.lines().rev().find_map(|line| line.parse().ok()).unwrap_or_default();
    assert!(said >= 3 && row("workload eats: crash-loop: 5 quick ends in a row"), "{out}");
}

#[test]
fn what_nobody_vouches_for_is_refused_and_what_was_tampered_with_is_not_mounted() {
    let bench = Bench::new();
    let device = bench.at("device");
    let made = Made::new(&bench, "agent-7", "look stay");
    let good = made.sequence(5);
    let mut keys = Bench::aegisctl();
    keys.args(["keys", "init", "--plain", "--out"]).arg(bench.at("strangers"));
    Bench::good(keys);
    let stranger = Made::new(&bench, "stranger", "look stay").signed(7, &bench.at("strangers/workload.key"));
    let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(&good).expect("built");
        change(&mut bytes);
        fs::write(bench.at(name), bytes).expect("written");
        bench.at(name)
    };
    let forged = changed("forged.aegis-workload", &|bytes| bytes[64 + 20] ^= 1);
    let flipped = changed("flipped.aegis-workload", &|bytes| *bytes.last_mut().expect("long") ^= 1);
    let short = changed("short.aegis-workload", &|bytes| bytes.truncate(bytes.len() - 1));
    let files = [&stranger, &forged, &flipped, &short].map(PathBuf::as_path);
    let run = boot(&bench, &device, &files, None, "aegis workload list");
    let mut codes: Vec<String> = answers(&run).into_iter().map(|(_, code)| code).collect();
    codes.sort();
    assert_eq!(codes, ["bad-signature", "content-hash", "truncated", "unknown-key"]);
    assert_eq!(run.out_text(), "no workload was accepted\n");

    let run = boot(&bench, &device, &[&good], None, "true");
    assert_eq!(answers(&run), [("accepted".into(), "accepted".into())]);
    // Somebody writes to the disk: the operator's script, under a policy that does not guard Aegis.
    let plain = bench.policy("plain", "enforce", &[]);
    let flip = "f=/data/workloads/agent-7/workload; n=$(stat -c %s $f); printf X | dd of=$f bs=1 seek=$((n - 9000)) conv=notrunc; sync; echo flipped $?; aegis workload list";
    let run = boot(&bench, &device, &[], Some(&plain), flip);
    assert!(
        run.out_text().contains("flipped 0") && run.out_text().contains("mounted 1.5"),
        "{}",
        run.out_text()
    );
    let list = "aegis workload list; ls /run/workloads; aegis health --json | grep -o '\"code\":\"workload-not-mounted\"'; cat /sys/fs/cgroup/workloads/agent-7/cgroup.procs";
    let run = boot(&bench, &device, &[], None, list);
    let shown = console(&run);
    assert!(shown.contains("WORKLOADS NOT MOUNTED") && !shown.contains("agent-7: as 1000"), "{shown}");
    assert!(run.out_text().contains("NOT mounted: content-hash"), "{}", run.out_text());
    assert!(run.out_text().ends_with("\"code\":\"workload-not-mounted\"\n"), "{}", run.out_text());
    let told = run.with(&[("kind", "workload".into()), ("code", "not-mounted".into())]);
    assert_eq!(told.len(), 1, "{:?}", run.kind("workload"));
    assert!(told[0]["detail"].as_str().is_some_and(|text| text.starts_with("content-hash")), "{told:?}");
    // Brought again it is whole, and runs; a person takes it away, and nothing of it comes back.
    let run = boot(&bench, &device, &[&good], None, "true");
    assert_eq!(answers(&run), [("accepted".into(), "accepted".into())]);
    let remove = until("agent-7", "running")
        + "aegis workload remove agent-7; aegis workload list; aegis workload remove other; echo $?";
    let run = boot(&bench, &device, &[], None, &remove);
    assert!(run.out_text().contains("accepted 1.5, taken away; mounted 1.5; running"), "{}", run.out_text());
    let run = boot(&bench, &device, &[&good], None, "aegis workload list");
    // The same one may be brought again: it is not older.
    assert!(
        run.out_text().contains("taken away") || run.out_text().contains("accepted 1.5"),
        "{}",
        run.out_text()
    );
    assert_eq!(answers(&run), [("accepted".into(), "accepted".into())]);
}

/// The image for the field, by its firmware: no shell in it, and a workload that is one static program.
#[test]
fn the_production_image_runs_what_comes_signed() {
    let bench = Bench::new();
    let device = Device::new(&bench);
    let file = Made::new(&bench, "agent-7", "look stay").sequence(5);
    let filler = Made::new(&bench, "fills", "fill").sequence(1);
    let (slot, mut vm) = Bench::start(device.machine(&bench));
    assert!(vm.wait_ready().expect("watched"), "{}", vm.console_end());
    plug(&mut vm, &[&file, &filler]);
    let run = vm.cut_power().expect("cut");
    let taken = ("accepted".into(), "accepted".into());
    assert_eq!(said_of_workloads(receipts(&run)), [taken.clone(), taken]);
    drop(slot);
    let (_slot, mut vm) = Bench::start(device.machine(&bench));
    assert!(vm.wait_line("agent-7: count 1").expect("watched").is_some(), "{}", vm.console_end());
    // One takes all of own storage, and goes on to. There is no shell here: what ends it is signed, and comes by stick.
    assert!(vm.wait_line("fills: fill files ENOSPC").expect("watched").is_some(), "{}", vm.console_end());
    plug(&mut vm, &[&removal(&bench, "fills", 2)]);
    let run = vm.cut_power().expect("cut");
    let said = console(&run);
    assert!(said.contains("fills: fill blocks ENOSPC"), "{said}");
    assert_eq!(
        said_of_workloads(receipts(&run)).last(),
        Some(&("accepted".into(), "removed".into())),
        "{said}"
    );
    for text in
        ["agent-7: as 1000 1001 groups 0 pid 1", "agent-7: NoNewPrivs 1", "agent-7: read /data ENOENT"]
    {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!said.contains("DEBUG IMAGE"), "{said}");
}

/// A signed removal of it, with all that it kept.
fn removal(bench: &Bench, name: &str, sequence: u64) -> PathBuf {
    let out = bench.at(&format!("{name}-{sequence}.aegis-workload"));
    let mut build = Bench::aegisctl();
    build.args(["workload", "build", "--arch", arch().name(), "--remove", name, "--with-data", "--sequence"]);
    build
        .arg(sequence.to_string())
        .arg("--key")
        .arg(root().join("target/keys/workload.key"))
        .arg("--out")
        .arg(&out);
    Bench::good(build);
    out
}

/// Plugs a stick in and waits until the device has done with it.
fn plug(vm: &mut Vm, files: &[&Path]) {
    let place = vm.now().expect("watched");
    let mut stick = Stick::new(StickFs::Vfat);
    for file in files {
        stick = stick.file(file.file_name().and_then(|name| name.to_str()).expect("UTF-8"), file);
    }
    vm.plug(&stick).expect("plugged");
    let line = vm.wait_line_after(place, "it can be pulled").expect("watched");
    assert!(line.is_some(), "{}", vm.console_end());
}
