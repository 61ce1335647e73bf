//! The command line's contract (`docs/harness.md`): exit codes, one-line refusals, outputs. The guests here are stubs,
//! so that the harness is tested without an image; `tests/` boots real ones.

mod stub;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use aegis_qemu::{Stick, StickFs};
use serde_json::Value;
use stub::{Then, stub_kernel};

/// A folder with an image of a stub guest and a workload called demo.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(words: &str, then: Then) -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::create_dir_all(bench.at("image/debug")).expect("made");
        fs::create_dir_all(bench.at("tmp")).expect("made");
        fs::write(bench.at("image/vmlinuz"), stub_kernel(words, then)).expect("written");
        fs::write(bench.at("image/debug/system.img"), vec![0; 4096]).expect("written");
        fs::write(bench.at("image/debug/system.cmdline"), "ro\n").expect("written");
        bench.workload("demo");
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn workload(&self, name: &str) -> PathBuf {
        let folder = self.at(name);
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("run"), "#!/bin/sh\n").expect("written");
        fs::set_permissions(folder.join("run"), fs::Permissions::from_mode(0o755)).expect("made executable");
        folder
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aegis-qemu"));
        command.current_dir(self.folder.path()).args(arguments).stdin(Stdio::null());
        command.env_remove("ACCEL").env("TMPDIR", self.at("tmp"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the harness starts")
    }

    /// `run` with what every good call has, then `more`.
    fn guest(&self, more: &[&str]) -> Output {
        let good = ["run", "--workload", "demo", "--out", "out", "--image", "image", "--no-build"];
        self.run(&[&good, more].concat())
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.at("tmp")).expect("there").count()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Exit 2, one line on stderr that contains `part`, nothing on stdout.
fn refused(output: &Output, part: &str) {
    let line = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert_eq!(line.lines().count(), 1, "one line: {line}");
    assert!(line.starts_with("aegis-qemu: ") && line.contains(part), "{part:?} is not in {line:?}");
    assert!(output.stdout.is_empty(), "nothing on stdout");
}

#[test]
fn bad_arguments_are_refused_in_one_line() {
    let bench = Bench::new("", Then::Off);
    let long = "x".repeat(64);
    for name in ["bad name", "-x", &long, "empty"] {
        bench.workload(name);
    }
    fs::remove_file(bench.at("empty/run")).expect("removed");
    fs::create_dir(bench.at("folder-run")).expect("made");
    fs::create_dir(bench.at("folder-run/run")).expect("made");
    bench.workload("plain");
    fs::set_permissions(bench.at("plain/run"), fs::Permissions::from_mode(0o644)).expect("set");
    bench.workload("outside");
    fs::remove_file(bench.at("outside/run")).expect("removed");
    symlink("/bin/sh", bench.at("outside/run")).expect("linked");
    fs::create_dir(bench.at("full")).expect("made");
    fs::write(bench.at("full/stdout"), "mine").expect("written");
    fs::write(bench.at("policy.toml"), "schema = 1\n").expect("written");

    // A pipe without a writer: whoever opens it waits for ever, and Ctrl-C is not heard yet.
    assert!(Command::new("mkfifo").arg(bench.at("pipe")).status().expect("mkfifo runs").success());

    let cases: &[(&[&str], &str)] = &[
        (&["run", "--workload", "demo", "--out", "o", "--policy", "pipe"], "pipe: is not a file"),
        (&["run", "--workload", "demo", "--out", "o", "--bundle", "pipe"], "pipe: is not a file"),
        (&["run", "--workload", "demo", "--out", "o", "--kernel", "pipe"], "pipe: is not a file"),
        (&[], "no command"),
        (&["boot"], "boot: unknown command"),
        (&["run"], "no --out DIR"),
        (&["run", "--out", "o"], "no --workload DIR"),
        (&["run", "--workload", "demo"], "no --out DIR"),
        (&["run", "--polcy", "x"], "did you mean --policy?"),
        (&["run", "-x"], "-x: unknown option"),
        (&["run", "demo"], "demo: unexpected argument"),
        (&["run", "--out", "o", "--out", "p"], "--out: given twice"),
        (&["run", "--out"], "--out: has no value"),
        (&["run", "--out", ""], "--out: has an empty value"),
        (&["run", "--json=yes", "--out", "o", "--workload", "demo"], "unexpected argument"),
        (&["run", "--workload", "demo", "--no-workload", "--out", "o"], "give one of them"),
        (&["run", "--workload", "nowhere", "--out", "o"], "nowhere: can't read"),
        (&["run", "--workload", "policy.toml", "--out", "o"], "policy.toml: is not a folder"),
        (&["run", "--workload", "empty", "--out", "o"], "empty/run: "),
        (&["run", "--workload", "folder-run", "--out", "o"], "folder-run/run: is not an executable file"),
        (&["run", "--workload", "plain", "--out", "o"], "mend: chmod +x plain/run"),
        (&["run", "--workload", "outside", "--out", "o"], "points outside"),
        (&["run", "--workload", "bad name", "--out", "o"], "is no workload name"),
        (&["run", "--workload", "./-x", "--out", "o"], "is no workload name"),
        (&["run", "--workload", "/", "--out", "o"], "is no workload name"),
        (&["run", "--workload", &long, "--out", "o"], "has 64 bytes; mend: at most 63"),
        (&["run", "--workload", "demo", "--out", "full"], "full: is not empty"),
        (&["run", "--workload", "demo", "--out", "policy.toml"], "policy.toml: can't be the output folder"),
        (
            &["run", "--workload", "demo", "--out", "policy.toml/o"],
            "policy.toml/o: can't be the output folder",
        ),
        (
            &["run", "--workload", "demo", "--out", "o", "--policy", "no.toml"],
            "no.toml: can't read the policy",
        ),
        (&["run", "--workload", "demo", "--out", "o", "--policy", "demo"], "demo: is not a file"),
        (
            &["run", "--workload", "demo", "--out", "o", "--bundle", "no.aegis"],
            "no.aegis: can't read the bundle",
        ),
        (
            &[
                "run",
                "--workload",
                "demo",
                "--out",
                "o",
                "--policy",
                "policy.toml",
                "--bundle",
                "policy.toml",
            ],
            "--policy and --bundle",
        ),
        (
            &["run", "--workload", "demo", "--out", "o", "--arch", "riscv64"],
            "--arch riscv64: unknown architecture",
        ),
        (&["run", "--workload", "demo", "--out", "o", "--kernel", "mine"], "mine: can't read the kernel"),
        (&["run", "--workload", "demo", "--out", "o", "--timeout", "0"], "--timeout 0: must be"),
        (&["run", "--workload", "demo", "--out", "o", "--timeout", "-1"], "--timeout"),
        (&["run", "--workload", "demo", "--out", "o", "--timeout", "99999999999999999999"], "--timeout"),
        (&["run", "--workload", "demo", "--out", "o", "--memory", "64"], "--memory 64: must be"),
        (&["run", "--workload", "demo", "--out", "o", "--memory", "512M"], "--memory 512M: must be"),
        (&["run", "--workload", "demo", "--out", "o", "--append", "a\nb"], "--append: has characters"),
        (&["run", "--workload", "demo", "--out", "o", "--image", "nowhere"], "nowhere: is no folder"),
    ];
    for (arguments, part) in cases {
        refused(&bench.run(arguments), part);
    }
    refused(
        &bench
            .command(&["run", "--workload", "demo", "--out", "o"])
            .env("ACCEL", "warp")
            .output()
            .expect("starts"),
        "ACCEL=warp: unknown accelerator",
    );
    assert!(!bench.at("o").exists(), "a refused call makes no folder");
    assert_eq!(fs::read(bench.at("full/stdout")).expect("there"), b"mine");
    assert_eq!(bench.leftovers(), 0);
}

#[test]
fn a_stick_or_clock_that_can_not_be_is_refused_in_one_line() {
    let bench = Bench::new("", Then::Off);
    fs::write(bench.at("policy.toml"), "schema = 1\n").expect("written");
    fs::write(bench.at("image.img"), [0; 512]).expect("written");
    assert!(Command::new("mkfifo").arg(bench.at("pipe")).status().expect("mkfifo runs").success());
    let cases: &[(&[&str], &str)] = &[
        (&["--stick-file", "a"], "--stick-file a: is not NAME=FILE"),
        (&["--stick-file", "a="], "is not NAME=FILE"),
        (&["--stick-file"], "--stick-file: has no value"),
        (&["--stick-file", "=policy.toml"], "is no name"),
        (&["--stick-file", "../a=policy.toml"], "is no name"),
        (&["--stick-file", "a=b=c"], "b=c: can't read the file"),
        (&["--stick-file", "a=pipe"], "pipe: is not a file"),
        (&["--stik-file", "a=b"], "did you mean --stick-file?"),
        (&["--stick-file", "a=policy.toml", "--stick-file", "A=policy.toml"], "a: is on the stick twice"),
        (&["--stick-file", "policy.aegis=policy.toml", "--policy", "policy.toml"], "is on the stick twice"),
        (&["--stick-fs", "ntfs"], "--stick-fs ntfs: unknown file system; mend: vfat, exfat, ext4, iso9660"),
        (&["--stick-fs", "ext4", "--stick-fs", "vfat"], "--stick-fs: given twice"),
        (&["--stick-fs", "ext4", "--no-stick"], "give one of them"),
        (&["--stick-fs", "ext4", "--stick-image", "image.img"], "give one of them"),
        (&["--stick-image", "no.img"], "no.img: can't read the stick image"),
        (&["--stick-image", "pipe"], "pipe: is not a file"),
        (&["--stick-image", "policy.toml"], "policy.toml: has 11 bytes"),
        (&["--stick-image", "image.img", "--bundle", "policy.toml"], "an image is the stick as it is"),
        (&["--no-stick", "--policy", "policy.toml"], "--no-stick: a policy"),
        (&["--no-stick", "--stick-file", "a=policy.toml"], "--no-stick: a policy, bundle or file"),
        (&["--clock", "yesterday"], "--clock yesterday: must be a whole number, 0 to 4102444799"),
        (&["--clock", "4102444800"], "--clock 4102444800: must be"),
    ];
    for (arguments, part) in cases {
        let good = ["run", "--workload", "demo", "--out", "o", "--image", "image", "--no-build"];
        refused(&bench.run(&[&good, *arguments].concat()), part);
    }
    assert!(!bench.at("o").exists(), "a refused call makes no folder");
    assert_eq!(bench.leftovers(), 0);
}

#[test]
fn a_hostile_name_can_not_drive_the_terminal() {
    let bench = Bench::new("", Then::Off);
    let output = bench.run(&["run", "--out", "o", "--workload", "a\u{1b}[2J\nb"]);
    refused(&output, "a\\x1b[2J b");
}

#[test]
fn outputs_that_take_nothing_are_no_panic() {
    let bench = Bench::new("", Then::Off);
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full is there");
    let status = bench.command(&["run"]).stderr(full()).status().expect("the harness starts");
    assert_eq!(status.code(), Some(2));
    let output = bench.command(&["run", "--json"]).stdout(full()).output().expect("the harness starts");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = bench.command(&["--help"]).stdout(full()).output().expect("the harness starts");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("aegis-qemu: stdout: "), "{}", stderr(&output));
}

#[test]
fn help_has_every_option_and_an_example() {
    let bench = Bench::new("", Then::Off);
    for arguments in [&["--help"][..], &["run", "--help"], &["run", "-h"]] {
        let output = bench.run(arguments);
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0));
        for part in [
            "--policy",
            "--workload",
            "--out",
            "--bundle",
            "--kernel",
            "--arch",
            "--timeout",
            "--memory",
            "--stick-file",
            "--stick-fs",
            "--stick-image",
            "--no-stick",
            "--clock",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.contains("examples:") && text.lines().all(|line| line.len() <= 120));
    }
}

#[test]
fn a_guest_that_ran_to_its_end_is_0() {
    let bench = Bench::new("AEGIS-READY 1.25\nAEGIS-DONE\n", Then::Off);
    let output = bench.guest(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(report["result"], "ran");
    assert_eq!(report["ready_seconds"], 1.25);
    assert_eq!(report["workload"], "demo");
    assert_eq!(report["exit"], Value::Null, "the stub runs no workload");
    assert_eq!(report["error"], Value::Null);
    assert_eq!(report["out"], bench.at("out").canonicalize().expect("there").to_str().expect("text"));
    let console = fs::read_to_string(bench.at("out/console.log")).expect("there");
    assert!(console.contains("AEGIS-READY 1.25"));
    for name in ["stdout", "stderr"] {
        assert!(bench.at("out").join(name).exists(), "{name}");
    }
    assert!(!bench.at("out/exit").exists(), "no exit code was written");
    assert_eq!(bench.leftovers(), 0);
}

#[test]
fn a_person_gets_a_summary_and_the_console_when_asked() {
    let bench = Bench::new("event \u{1b}[31mred\nAEGIS-READY 2\nAEGIS-DONE\n", Then::Off);
    let output = bench.guest(&["--show"]);
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(text.contains("event \\x1b[31mred"), "{text}");
    assert!(text.contains("ready     after 2.0 s"), "{text}");
}

#[test]
fn a_guest_that_is_not_ready_is_3_with_its_last_words() {
    for words in ["no root device\n", "", "AEGIS-READY soon\nbye\n", "(echo AEGIS-READY 1)\nbye\n"] {
        let bench = Bench::new(words, Then::Off);
        let output = bench.guest(&[]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{text}");
        let last = text.lines().last().expect("a line");
        assert!(last.starts_with("aegis-qemu: the guest ended before the agent was ready"), "{last}");
        if let Some(word) = words.lines().last() {
            assert!(last.contains(word), "{last}");
        }
        assert_eq!(bench.leftovers(), 0);
    }
}

#[test]
fn a_guest_that_died_after_it_was_ready_is_3() {
    for (words, part) in [
        ("AEGIS-READY 1\n", "ended before its work was done"),
        (
            "AEGIS-READY 1\nKernel panic - not syncing: x\nCPU: 0\n",
            "AEGIS-READY 1 | Kernel panic - not syncing: x\n",
        ),
        ("AEGIS-READY 1\nKernel panic - not syncing: x\nAEGIS-DONE\n", "kernel panicked"),
    ] {
        let output = Bench::new(words, Then::Off).guest(&["--json"]);
        assert_eq!(output.status.code(), Some(3));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!((&report["result"], &report["code"]), (&"died".into(), &3.into()));
    }
}

#[test]
fn a_kernel_that_is_none_is_3_with_qemus_words() {
    let bench = Bench::new("", Then::Off);
    fs::write(bench.at("junk"), "no kernel at all").expect("written");
    let output = bench.guest(&["--kernel", "junk"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("did not boot"), "{}", stderr(&output));
    fs::remove_file(bench.at("image/vmlinuz")).expect("removed");
    fs::remove_dir_all(bench.at("out")).expect("removed");
    let output = bench.guest(&[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("mend: make image"), "{}", stderr(&output));
    assert_eq!(bench.leftovers(), 0);
}

#[test]
fn a_guest_that_does_not_end_is_4() {
    // A busy host takes its time to get a guest so far that it can say something.
    for (words, seconds, part) in
        [("AEGIS-READY 1\n", "10", "did not end"), ("working\n", "2", "did not become ready")]
    {
        let bench = Bench::new(words, Then::Hang);
        let started = Instant::now();
        let output = bench.guest(&["--timeout", seconds, "--json"]);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(started.elapsed() < Duration::from_mins(2));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!(report["result"], "timed-out");
        assert_eq!(bench.leftovers(), 0);
    }
}

/// Processes of QEMU whose command line names `folder`.
fn guests_of(folder: &Path) -> usize {
    let of = |pid: &Path| fs::read(pid.join("cmdline")).unwrap_or_default();
    let name = folder.to_str().expect("text").as_bytes();
    let all = fs::read_dir("/proc").expect("there").filter_map(Result::ok).map(|entry| of(&entry.path()));
    all.filter(|line| line.starts_with(b"qemu") && line.windows(name.len()).any(|part| part == name)).count()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within two minutes");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_interrupted_harness_leaves_no_guest_and_no_files() {
    for (signal, code, leftovers) in [("-INT", Some(130), 0), ("-TERM", Some(130), 0), ("-KILL", None, 1)] {
        let bench = Bench::new("AEGIS-READY 1\n", Then::Hang);
        let arguments = ["run", "--workload", "demo", "--out", "out", "--image", "image", "--no-build"];
        let mut child = bench.command(&arguments).stderr(Stdio::null()).spawn().expect("the harness starts");
        let console = bench.at("out/console.log");
        until("ready", || fs::read_to_string(&console).is_ok_and(|text| text.contains("AEGIS-READY")));
        assert_eq!(guests_of(bench.folder.path()), 1);
        let kill =
            Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill starts");
        assert!(kill.success());
        assert_eq!(child.wait().expect("it ends").code(), code, "{signal}");
        until("the guest is gone", || guests_of(bench.folder.path()) == 0);
        assert_eq!(bench.leftovers(), leftovers, "{signal}: only SIGKILL leaves a folder behind");
    }
}

#[test]
fn the_state_folder_is_the_same_device_again() {
    let bench = Bench::new("AEGIS-READY 1\nAEGIS-DONE\n", Then::Off);
    assert_eq!(bench.guest(&["--state", "device"]).status.code(), Some(0));
    let (ring, data) = (bench.at("device/ring.img"), bench.at("device/data.img"));
    let mark = |path: &Path| {
        let mut bytes = fs::read(path).expect("there");
        bytes[1 << 20] = 0xA5;
        fs::write(path, bytes).expect("written");
    };
    mark(&ring);
    mark(&data);
    fs::remove_dir_all(bench.at("out")).expect("removed");
    assert_eq!(bench.guest(&["--state", "device"]).status.code(), Some(0));
    assert_eq!(fs::read(ring).expect("there")[1 << 20], 0xA5);
    assert_eq!(fs::read(data).expect("there")[1 << 20], 0xA5);
}

#[test]
fn what_is_kept_is_named() {
    let bench = Bench::new("AEGIS-READY 1\nAEGIS-DONE\n", Then::Off);
    fs::write(bench.at("mine.aegis"), "whatever").expect("written");
    let output = bench.guest(&["--keep", "--bundle", "mine.aegis"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    let kept = text.lines().find_map(|line| line.strip_prefix("kept      ")).expect("named");
    let listing = Command::new("mdir").args(["-b", "-i", &format!("{kept}/stick.img"), "::/aegis"]).output();
    let listing = String::from_utf8(listing.expect("mdir starts").stdout).expect("text");
    assert!(listing.contains("mine.aegis") && listing.contains("out"), "{listing}");
}

#[test]
fn a_stick_is_of_any_kind_and_the_one_that_can_not_be_read_is_named() {
    for fs in StickFs::ALL {
        let bench = Bench::new("AEGIS-READY 1\nAEGIS-DONE\n", Then::Off);
        fs::write(bench.at("root"), "a=b").expect("written");
        let name = fs.name();
        let output = bench.guest(&[
            "--json",
            "--stick-fs",
            name,
            "--stick-file",
            "roots/2.cbor=root",
            "--stick-file",
            "note=root",
        ]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let unread = report["unread"].as_array().expect("a list");
        assert_eq!(unread.len(), usize::from(fs == StickFs::Iso9660), "{name}: {unread:?}");
        assert_eq!(bench.leftovers(), 0);
    }
}

#[test]
fn an_image_is_the_stick_and_is_what_is_read_back() {
    let bench = Bench::new("AEGIS-READY 1\nAEGIS-DONE\n", Then::Off);
    fs::write(bench.at("receipt"), "R").expect("written");
    let stick = Stick::new(StickFs::Ext4).partitioned().file("out/receipt-1.cbor", bench.at("receipt"));
    stick.make(&bench.at("mine.img")).expect("made");
    let output = bench.guest(&["--json", "--stick-image", "mine.img"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(report["receipts"], serde_json::json!(["receipt-1.cbor"]));
    assert_eq!(fs::read(bench.at("out/receipt-1.cbor")).expect("there"), b"R");

    fs::remove_dir_all(bench.at("out")).expect("removed");
    fs::write(bench.at("mine.img"), [0xA5; 4096]).expect("written");
    let output = bench.guest(&["--json", "--stick-image", "mine.img"]);
    assert_eq!(output.status.code(), Some(0), "what is on it is its owner's: {}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(report["unread"].as_array().map(Vec::len), Some(1));
}
