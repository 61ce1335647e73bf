//! Break-glass: by stick and by serial line; loud, bounded, once.

use std::path::{Path, PathBuf};
use std::process::Command;

use aegis_qemu::{Stick, StickFs, Vm};
use aegis_tests::{Bench, Rule, root};

const SHADOW: Rule<'static> =
    Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };

/// Shows what a token is bound to; then says whenever the answer to reading the protected file changes, until it was
/// denied, let through and denied again.
const WATCH: &str = "
aegis break-glass challenge --json
last=
changes=0
tries=0
while [ $changes -lt 3 ] && [ $tries -lt 3000 ]; do
    if cat /etc/shadow >/dev/null 2>&1; then now=open; else now=denied; fi
    [ $now = \"$last\" ] || { echo \"shadow $now\"; changes=$((changes + 1)); }
    last=$now
    tries=$((tries + 1))
    sleep 0.1
done
aegis status --json
";

/// What the device shows, as JSON.
pub(crate) fn shown(out: &[u8]) -> serde_json::Value {
    let text = String::from_utf8_lossy(out);
    let line = text.lines().find(|line| line.starts_with('{')).expect("the device shows a challenge");
    serde_json::from_str(line).expect("JSON")
}

pub(crate) fn token(
    bench: &Bench,
    shown: &serde_json::Value,
    bound: [&str; 2],
    sequence: u64,
    seconds: u32,
) -> PathBuf {
    let path = bench.at(&format!("token-{sequence}-{seconds}.cbor"));
    let mut command = make(shown, bound, sequence, seconds);
    command.arg("--out").arg(&path);
    Bench::good(command);
    path
}

pub(crate) fn make(shown: &serde_json::Value, bound: [&str; 2], sequence: u64, seconds: u32) -> Command {
    let keys = root().join("target/keys");
    let mut command = Bench::aegisctl();
    command.args(["break-glass", "make", "--root"]).arg(keys.join("root.cbor"));
    command.args(["--device", shown["device"].as_str().expect("a device id")]);
    command.args(bound).args(["--sequence", &sequence.to_string(), "--seconds", &seconds.to_string()]);
    command.args(["--reason", "pump 4 is stuck", "--key"]).arg(keys.join("break-glass.key"));
    command
}

/// The lines of a token's text, out of what `aegisctl` said of it.
pub(crate) fn armor(said: &[u8]) -> Vec<String> {
    let said = String::from_utf8_lossy(said);
    let is_armor = |line: &&str| line.len() > 7 && line.as_bytes()[..2].iter().all(u8::is_ascii_digit);
    let lines: Vec<String> = said.lines().map(str::trim).filter(is_armor).map(str::to_owned).collect();
    assert!(lines.len() > 5, "{said}");
    lines
}

/// Has a stick taken, whole, and pulls it; the device says `what` of it.
fn taken(vm: &mut Vm, stick: &Stick, what: &str) {
    let before = vm.now().expect("watched");
    let id = vm.plug(stick).expect("plugged");
    for text in [what, "can be pulled"] {
        let line = vm.wait_line_after(before, text).expect("watched");
        assert!(line.is_some(), "the device never says {text:?}; the console's end:\n{}", vm.console_end());
    }
    vm.unplug(id).expect("pulled");
}

fn stick_with(device: &str, token: &Path) -> Stick {
    Stick::new(StickFs::Vfat).file(format!("break-glass/{device}.cbor"), token)
}

#[test]
fn a_token_by_stick_opens_for_its_time_and_once() {
    let bench = Bench::new();
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    let bundle = bench.bundle("policy.aegis", &policy, 5);
    let (_slot, mut vm) = Bench::start(bench.demo(WATCH).bundle(&bundle));
    assert!(vm.wait_stdout("shadow denied").expect("watched"), "enforcing");
    let shown = shown(&std::fs::read(vm.out().join("stdout")).expect("there"));
    let device = shown["device"].as_str().expect("an id").to_owned();
    let boot = shown["boot"].as_str().expect("a boot id").to_owned();
    let first = vm.stick().expect("it began with one");
    vm.unplug(first).expect("pulled");

    // For another boot: refused.
    let wrong = token(&bench, &shown, ["--boot-id", "00112233445566778899aabbccddeeff"], 1, 20);
    taken(&mut vm, &stick_with(&device, &wrong), "wrong-boot");

    // As long as what follows may take, were the machine many times slower.
    let good = token(&bench, &shown, ["--boot-id", &boot], 1, 40);
    taken(&mut vm, &stick_with(&device, &good), "accepted");
    assert!(vm.wait_stdout("shadow open").expect("watched"), "the glass is broken");
    // The same stick again, while the glass is broken: nothing changes. Another token of that sequence: a replay. This
    // last stick stays and takes the evidence out.
    taken(&mut vm, &stick_with(&device, &good), "unchanged");
    let longer = token(&bench, &shown, ["--boot-id", &boot], 1, 600);
    vm.plug(&stick_with(&device, &longer)).expect("plugged");
    assert!(vm.wait_line("replay").expect("watched").is_some());
    let run = Bench::evidence(vm.finish().expect("watched"));

    let out = run.out_text();
    let states: Vec<&str> = out.lines().filter(|line| line.starts_with("shadow ")).collect();
    assert_eq!(states, ["shadow denied", "shadow open", "shadow denied"], "{out}");
    let codes: Vec<_> = run.kind("break-glass").iter().map(|event| event["code"].clone()).collect();
    assert_eq!(codes, ["wrong-boot", "accepted", "unchanged", "replay"], "{codes:?}");
    assert!(
        run.kind("break-glass")[1]["detail"].as_str().is_some_and(|text| text.contains("pump 4 is stuck"))
    );
    assert_eq!(run.kind("glass-mended").len(), 1);
    let let_through =
        run.with(&[("kind", "open".into()), ("rule", "no-shadow".into()), ("glass_broken", true.into())]);
    assert!(!let_through.is_empty() && let_through.iter().all(|event| event["verdict"] == "audited"));
    assert_eq!(run.mode(), Some("enforcing"), "again, by itself");
    assert_eq!(run.lost(), 0);
}

#[test]
fn a_token_at_the_serial_line_opens() {
    let bench = Bench::new();
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    let (_slot, mut vm) = Bench::start(bench.demo(WATCH).policy(policy));
    assert!(vm.wait_stdout("shadow denied").expect("watched"), "enforcing");
    let shown = shown(&std::fs::read(vm.out().join("stdout")).expect("there"));
    let challenge = shown["challenge"].as_str().expect("a challenge").to_owned();
    let mut command = make(&shown, ["--challenge", &challenge], 1, 15);
    command.arg("--out").arg(bench.at("token.cbor")).arg("--armor");
    let lines = armor(&Bench::good(command));

    vm.type_line("").expect("typed");
    assert!(vm.wait_line("b: break glass").expect("watched").is_some(), "{}", vm.console_end());
    vm.type_line("b").expect("typed");
    assert!(vm.wait_line("challenge").expect("watched").is_some(), "the console shows it");
    for (number, line) in lines.iter().enumerate() {
        if number == 1 {
            // A slip of the finger: said, and asked for again.
            let mut slip = line.clone();
            let last = if slip.ends_with('A') { 'B' } else { 'A' };
            slip.pop();
            slip.push(last);
            vm.type_line(&slip).expect("typed");
            assert!(vm.wait_line("mistyped").expect("watched").is_some());
        }
        vm.type_line(line).expect("typed");
    }
    vm.type_line("").expect("typed");
    assert!(vm.wait_stdout("shadow open").expect("watched"), "the glass is broken");
    let run = Bench::evidence(vm.finish().expect("watched"));
    assert_eq!(run.kind("break-glass").len(), 1, "{:?}", run.kind("break-glass"));
    assert_eq!(run.kind("glass-mended").len(), 1);
    let out = run.out_text();
    let states: Vec<&str> = out.lines().filter(|line| line.starts_with("shadow ")).collect();
    assert_eq!(states, ["shadow denied", "shadow open", "shadow denied"], "{out}");
}

/// The marker file counts only under a policy whose signed manifest says so.
#[test]
fn the_marker_file_breaks_the_glass_only_where_it_may() {
    let bench = Bench::new();
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    let key = root().join("target/keys/policy.key");
    for (sequence, allowed) in [(5, false), (6, true)] {
        let device = bench.at(&format!("device-{sequence}"));
        let bundle = bench.at(&format!("{sequence}.aegis"));
        let mut command = Bench::aegisctl();
        command.args(["bundle", "build", "--policy"]).arg(&policy).arg("--key").arg(&key);
        command.args(["--sequence", &sequence.to_string(), "--out"]).arg(&bundle);
        if allowed {
            command.arg("--allow-marker");
        }
        Bench::good(command);
        // The workload is root: it stands in for who has the data disk.
        Bench::run(bench.demo("touch /data/aegis/break_glass").bundle(&bundle).state(&device));
        let run = Bench::run(bench.demo("cat /etc/shadow >/dev/null; echo shadow $?").state(&device));
        let expected = if allowed { ("shadow 0\n", "marker") } else { ("shadow 1\n", "marker-not-allowed") };
        let codes: Vec<_> = run.kind("break-glass").iter().map(|event| event["code"].clone()).collect();
        assert_eq!((run.out_text().as_str(), codes), (expected.0, vec![expected.1.into()]));
    }
}
