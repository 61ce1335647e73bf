//! A device that explains itself: doctor, probe, the views of health, events, support. On a device that is well, and on devices that
//! are not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use aegis_qemu::{Kernel, Stick, StickFs, stick_outputs};
use aegis_tests::{Bench, Rule, console, root};
use serde_json::Value;

/// Runs a command, with a line of what it was and how it ended behind what it said.
const DID: &str = "
did() { \"$@\"; echo \"$* -> $?\"; }
";

fn shadow(bench: &Bench) -> std::path::PathBuf {
    let rule = Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
    bench.policy("deny", "enforce", &[rule])
}

/// The lines that are JSON objects.
fn objects(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
}

/// Codes of findings, bad ones and others.
fn codes(report: &Value) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let findings = report["findings"].as_array().expect("findings");
    let of = |bad: bool| {
        let found = findings.iter().filter(move |finding| finding["bad"] == bad);
        found.map(|finding| finding["code"].as_str().expect("a code")).collect()
    };
    (of(true), of(false))
}

#[test]
fn a_device_that_is_well_says_so() {
    let bench = Bench::new();
    let script = format!(
        "{DID}
did aegis doctor --json
did aegis doctor
did aegis health --live
did aegis health --ready --json
did aegis health --ready
did aegis health --stats
did aegis health --stats --json
did aegis probe
did aegis probe --json
did aegis top --once --json --sort cpu
did aegis top --once --every 2
did aegis stick verify --json
did aegis console --plain </dev/null
did aegis console --help
did aegis doctor --help
did cat /etc/shadow
sleep 1
did aegis explain --last-deny
did aegis nothing"
    );
    let run = Bench::run(bench.demo(&script).policy(shadow(&bench)));
    let (out, err) = (run.out_text(), run.err_text());
    for line in [
        "aegis doctor --json -> 0",
        "aegis doctor -> 0",
        "aegis health --live -> 0",
        "aegis health --ready -> 0",
        "aegis health --ready --json -> 0",
        "aegis health --stats -> 0",
        "aegis health --stats --json -> 0",
        "aegis probe -> 0",
        "aegis probe --json -> 0",
        "aegis doctor --help -> 0",
        "aegis top --once --json --sort cpu -> 0",
        "aegis top --once --every 2 -> 0",
        "aegis stick verify --json -> 0",
        "aegis console --plain -> 0",
        "aegis console --help -> 0",
        "cat /etc/shadow -> 1",
        "aegis explain --last-deny -> 0",
        "aegis nothing -> 2",
    ] {
        assert!(out.lines().any(|told| told == line), "{line}\n{out}{err}");
    }
    let reports = objects(&out);
    let [doctor, ready, stats, probe, top, stick] = reports.as_slice() else { panic!("{out}") };
    assert_eq!(doctor["verdict"], "well", "{doctor}");
    let notes = BTreeSet::from(["data-new", "debug-image", "key-not-sealed", "no-slots"]);
    assert_eq!(codes(doctor), (BTreeSet::new(), notes), "{doctor}");
    let facts = &doctor["facts"];
    assert_eq!((&facts["image"]["root"], &facts["agent"]["confined"]), (&"verified".into(), &true.into()));
    assert_eq!(facts["kernel"]["options_missing"], Value::Array(vec![]), "{facts}");
    assert_eq!(facts["hooks"]["all"], facts["hooks"]["taken"], "{facts}");
    assert_eq!(facts["hooks"]["deciding"], facts["hooks"]["denying"], "{facts}");
    assert!(facts["ring"]["segments"].as_u64().is_some_and(|segments| segments > 1), "{facts}");
    assert!(facts["data"]["free"].as_u64().is_some_and(|free| free > 0), "{facts}");
    assert!(facts["maps"]["rules_0"].is_string(), "{facts}");
    assert_eq!(facts["device"].as_str().map(str::len), Some(32));
    assert_eq!((&ready["verdict"], codes(ready)), (&"ready".into(), Default::default()));
    assert_eq!((&stats["accounts"]["holds"], &stats["mode"]), (&true.into(), &"enforcing".into()), "{stats}");
    assert_eq!(probe["loaded"], true);
    let hooks = probe["hooks"].as_array().expect("hooks");
    assert!(hooks.len() > 50 && hooks.iter().all(|hook| hook["standing"] == "attached"), "{probe}");
    let demo = top["workloads"].as_array().and_then(|rows| rows.iter().find(|row| row["workload"] == "demo"));
    let demo = demo.unwrap_or_else(|| panic!("no demo: {top}"));
    assert!(
        demo["pids"].as_f64().is_some_and(|pids| pids >= 2.0) && demo["cpu_percent"].is_number(),
        "{top}"
    );
    assert!(out.contains("workload                   cpu %"), "{out}");
    let offers = stick["offers"].as_array().expect("offers");
    assert!(offers.iter().any(|offer| offer["what"] == "bundle" && offer["code"] == "unchanged"), "{stick}");
    for line in ["state     ENFORCING: the self-test saw a real denial", "** DEBUG IMAGE", "-- data-new: "] {
        assert!(out.lines().any(|told| told.starts_with(line)), "{line}: {out}");
    }
    assert!(out.contains("LIVE: the agent answers (ready)") && out.contains("\nWELL\n"), "{out}");
    assert!(!out.contains('\x1b'), "colours are for terminals");
}

#[test]
fn without_bpf_among_the_lsms_it_is_said_why_nothing_is_denied() {
    let bench = Bench::new();
    let script =
        format!("{DID}\ndid aegis doctor --json; did aegis health --ready --json; did aegis probe --json");
    let run = Bench::run(bench.demo(&script).policy(shadow(&bench)).append("lsm=lockdown,yama"));
    let out = run.out_text();
    let reports = objects(&out);
    let [doctor, ready, probe] = reports.as_slice() else { panic!("{out}") };
    let (bad, _) = codes(doctor);
    assert_eq!(bad, BTreeSet::from(["lsm-bpf-missing", "hook-missing", "not-enforcing"]), "{doctor}");
    assert!(out.contains("aegis doctor --json -> 1") && out.contains("aegis probe --json -> 1"), "{out}");
    // A policy is in force, if only to audit.
    assert_eq!(ready["verdict"], "ready", "{ready}");
    let hooks = probe["hooks"].as_array().expect("hooks");
    let open = hooks.iter().find(|hook| hook["hook"] == "file_open").expect("it is a hook");
    assert_eq!(
        (&open["standing"], &open["attach"], &open["denies"]),
        (&"attached".into(), &"fentry".into(), &false.into())
    );
    assert!(open["reason"].as_str().is_some_and(|reason| reason.contains("lsm=…,bpf")), "{open}");
    assert!(open["meaning"].as_str().is_some_and(|meaning| meaning.contains("open-read")), "{open}");
}

#[test]
fn without_own_storage_and_without_the_agent_it_is_said_what_is_missing() {
    let bench = Bench::new();
    let (_slot, mut vm) = Bench::start(bench.machine().whole_disk(0).append("aegis.shell"));
    assert!(vm.wait_line("NO OWN STORAGE").expect("watched").is_some(), "{}", vm.console_end());
    vm.type_line("aegis doctor; echo doctor is $?.").expect("typed");
    assert!(vm.wait_line("doctor is 1.").expect("watched").is_some(), "{}", vm.console_end());
    let said = console(&vm.cut_power().expect("cut"));
    for code in ["ring-missing", "data-missing", "not-made"] {
        assert!(
            said.contains(&format!("!! {code}")) || said.contains(&format!("!! {code}\x1b")),
            "{code}\n{said}"
        );
    }
    // A serial line is a terminal.
    assert!(said.contains("\x1b[31m!! ring-missing\x1b[0m: "), "{said}");
}

/// Debian's oldest: no walk up a path, fewer hooks, options that are not told.
#[test]
fn an_old_kernel_is_told_by_what_it_lacks() {
    let kernel = Kernel::DebianRelease("5.10");
    let folder = root().join("target/image/x86_64/debian-5.10");
    if aegis_tests::arch() != aegis_qemu::Arch::default() {
        return;
    }
    if std::env::var_os("AEGIS_NO_BUILD").is_none() {
        aegis_qemu::build_image(root(), aegis_tests::arch(), &kernel).expect("the image builds");
    } else if !folder.exists() {
        println!("there is no image with it (make image KERNEL=debian-5.10): nothing was tried");
        return;
    }
    let bench = Bench::new();
    let script = format!("{DID}\ndid aegis doctor --json; did aegis probe --json; did aegis probe");
    let run = Bench::run(bench.demo(&script).policy(shadow(&bench)).kernel(kernel));
    let out = run.out_text();
    let reports = objects(&out);
    let [doctor, probe] = reports.as_slice() else { panic!("{out}{}", run.err_text()) };
    let (bad, notes) = codes(doctor);
    assert!(bad.contains("no-subtrees") && bad.contains("not-enforcing"), "{doctor}");
    for code in ["kernel-options-untold", "no-hashes", "events-missing", "debug-image"] {
        assert!(notes.contains(code), "{code}: {doctor}");
    }
    assert_eq!((&probe["subtrees"], &probe["hashes"]), (&false.into(), &false.into()));
    let hooks = probe["hooks"].as_array().expect("hooks");
    let missing = |hook: &&Value| hook["standing"] == "missing";
    assert!(hooks.iter().any(|hook| missing(&hook)) && !hooks.iter().all(|hook| missing(&hook)), "{probe}");
    assert!(
        hooks.iter().filter(missing).all(|hook| hook["reason"] != "" && hook["meaning"] != ""),
        "{probe}"
    );
}

#[test]
fn events_are_shown_on_the_device_as_they_are_at_the_office() {
    let bench = Bench::new();
    let script = format!(
        "{DID}
cat /etc/shadow; cat /etc/hosts >/dev/null; sleep 1
did aegis events --filter verdict=denied --filter workload=demo --json
echo of the path
did aegis events --filter path=/etc/shadow --filter kind=open --filter workload=demo --json
echo hostile
: >\"$(printf '/scratch/\\033[31m\\377')\"; sleep 1
aegis events --filter kind=create --filter workload=demo
echo followed
aegis events --follow --filter verdict=denied --json >/scratch/followed & follower=$!
sleep 2; cat /etc/shadow; sleep 2; kill -INT $follower; wait $follower; echo \"interrupted: $?\"
cat /scratch/followed
aegis events --follow --filter workload=demo | head -n 1 >/scratch/one; echo \"pipe: $?\"
aegis events --filter kind=nope; echo \"refused: $?\""
    );
    let run = Bench::run(bench.demo(&script).policy(shadow(&bench)));
    let (out, err) = (run.out_text(), run.err_text());
    let denied = run.with(&[("verdict", "denied".into()), ("workload", "demo".into())]);
    assert_eq!(denied.len(), 2, "{denied:?}");
    let (first, rest) = out.split_once("of the path\n").expect("two parts");
    let shown = objects(first);
    assert_eq!(shown.len(), 1, "{first}{err}");
    // Field by field what the office's line is, less what only the office knows.
    for (name, value) in shown[0].as_object().expect("an object") {
        assert_eq!(&denied[0][name], value, "{name}");
    }
    for name in ["sequence", "boot_id", "path", "verdict", "rule", "comm", "workload", "hook", "policy_hash"]
    {
        assert!(!shown[0][name].is_null(), "{name}: {}", shown[0]);
    }
    let (path, rest) = rest.split_once("hostile\n").expect("three parts");
    assert_eq!(objects(path), shown, "{path}");
    let (hostile, rest) = rest.split_once("followed\n").expect("four parts");
    assert!(
        hostile.contains("create /scratch/\\x1b[31m\\xff mode") && !hostile.contains('\x1b'),
        "{hostile}"
    );
    assert!(
        rest.contains("interrupted: 0") && rest.contains("pipe: 0") && rest.contains("refused: 2"),
        "{rest}{err}"
    );
    let followed = objects(rest);
    assert_eq!(followed.len(), 1, "{rest}");
    assert_eq!(followed[0]["sequence"], denied[1]["sequence"]);
    assert!(err.lines().any(|line| line.contains("--filter kind=nope: one of fork, exec")), "{err}");
}

/// The parts of a tar file, by GNU tar, and their bytes.
fn parts(tar: &Path, into: &Path) -> Vec<(String, Vec<u8>)> {
    fs::create_dir(into).expect("a folder");
    let mut command = Command::new("tar");
    command.arg("-C").arg(into).arg("-xvf").arg(tar);
    let names = String::from_utf8(Bench::good(command)).expect("names");
    names.lines().map(|name| (name.to_owned(), fs::read(into.join(name)).expect("a part"))).collect()
}

/// What the page says is in it.
fn promised() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/doctor.md")).expect("the page");
    let table = page.split("## The support bundle\n").nth(1).expect("its part");
    let table = table.split("\n## ").next().expect("its end");
    table.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned())).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from_digit(digit.into(), 16).unwrap_or('?'))
        .collect()
}

#[test]
fn a_support_bundle_has_what_is_promised_and_no_secret() {
    let bench = Bench::new();
    let bundle = bench.bundle("site.aegis", &shadow(&bench), 7);
    let stick = bench.at("stick.img");
    Stick::new(StickFs::Vfat).file("site.aegis", &bundle).make(&stick).expect("a stick");
    // Once to the stick, once beside; the key as only root reads it, for the search.
    let script = format!(
        "{DID}
did aegis support
did aegis support --to /scratch --json
did aegis support --to /nowhere
did aegis logs
set -- /scratch/support-*.tar; head -c 9 \"$1\"; echo
echo key $(od -An -v -tx1 /data/aegis/device.key | tr -d ' \\n')
echo seal $(od -An -v -tx1 /data/aegis/seal.state | tr -d ' \\n')"
    );
    let run = Bench::run(bench.demo(&script).stick_image(&stick));
    let (out, err) = (run.out_text(), run.err_text());
    assert!(out.contains("aegis support -> 0") && out.contains("aegis/out/support-"), "{out}{err}");
    assert!(out.contains("aegis support --to /nowhere -> 2"), "{out}{err}");
    let told = objects(&out);
    assert_eq!(told[0]["parts"].as_array().map(Vec::len), Some(promised().len() - 1), "{out}");

    let left = bench.at("left");
    fs::create_dir(&left).expect("a folder");
    let names = stick_outputs(&stick, &left).expect("the stick is read");
    let support: Vec<&String> = names.iter().filter(|name| name.starts_with("support-")).collect();
    let [support] = support.as_slice() else { panic!("{names:?}") };
    let bytes = fs::read(left.join(support)).expect("there");
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    let parts = parts(&left.join(support), &bench.at("parts"));
    let found: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, promised());
    for (name, bytes) in parts.iter().filter(|(name, _)| Path::new(name).extension() == Some("json".as_ref()))
    {
        let value: Result<Value, _> = serde_json::from_slice(bytes);
        assert!(value.is_ok_and(|value| !value.is_null()), "{name}: {}", String::from_utf8_lossy(bytes));
    }
    let log = &parts.iter().find(|(name, _)| name == "kernel.log").expect("a log").1;
    assert!(String::from_utf8_lossy(log).contains("Linux version "), "{}", String::from_utf8_lossy(log));
    // What Aegis said itself: as it is shown there, too.
    let log = &parts.iter().find(|(name, _)| name == "aegis.log").expect("a log").1;
    let log = String::from_utf8_lossy(log);
    assert!(log.lines().count() > 3 && log.contains("\"module\":\"aegis::commands::load\""), "{log}");
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    assert!(out.contains("aegis logs -> 0") && out.contains("aegis::commands::load: probes "), "{out}");
    // At the office it is known for what it is.
    let mut collect = Bench::aegisctl();
    collect.args(["stick", "collect", "--json"]).arg(&stick).arg("--into").arg(bench.at("evidence"));
    let collected = collect.output().expect("it runs");
    let collected: Value = serde_json::from_slice(&collected.stdout).expect("JSON");
    let file =
        collected["files"].as_array().and_then(|files| files.iter().find(|file| file["kind"] == "support"));
    let file = file.unwrap_or_else(|| panic!("{collected}"));
    assert_eq!((&file["good"], &file["code"]), (&true.into(), &"unsigned".into()), "{file}");
    assert!(
        file["device"].is_string() && file["parts"].as_array().map(Vec::len) == Some(promised().len()),
        "{file}"
    );

    // The device's key, in the forms that it might be in; and every piece of the ring's keys.
    let secret = |word: &str| {
        let line =
            out.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).expect("its bytes");
        let digits = (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16));
        digits.collect::<Result<Vec<u8>, _>>().expect("hexadecimal")
    };
    let key = secret("key");
    assert_eq!(key.len(), 32);
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    for part in key.windows(8) {
        assert!(!holds(part) && !holds(hex(part).as_bytes()) && !holds(hex(part).to_uppercase().as_bytes()));
    }
    // Ids are in it; the search finds what is there.
    let device = serde_json::from_slice::<Value>(&parts[1].1).expect("versions")["device"].clone();
    assert!(holds(device.as_str().expect("an id").as_bytes()));
    let state = secret("seal");
    for part in state.windows(32).filter(|part| part.iter().collect::<BTreeSet<_>>().len() > 16) {
        assert!(!holds(part), "a piece of seal.state");
    }
    // What the stick brought was taken all the same.
    assert_eq!(run.number("/policy/sequence"), 7);
}
