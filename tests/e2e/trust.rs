//! Who may sign, and what becomes of it on a device: rotation, revocation, downgrade, selectors, rollback, expiry.

use std::path::{Path, PathBuf};

use aegis_qemu::{Arch, StickFs};
use aegis_tests::{Bench, Evidence, Rule, arch, root};

const SHADOW: Rule<'static> =
    Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
const HOSTS: Rule<'static> =
    Rule { name: "no-hosts", action: "deny", operations: &["open"], paths: &["/etc/hosts"] };

/// Says which of the two files it may read.
const WHAT_IS_DENIED: &str =
    "cat /etc/hosts >/dev/null; echo hosts $?; cat /etc/shadow >/dev/null; echo shadow $?";

/// The office's key folder of a scenario: the development root and what follows it.
struct Office<'b> {
    bench: &'b Bench,
}

impl Office<'_> {
    fn development(name: &str) -> PathBuf {
        root().join("target/keys").join(name)
    }

    /// A new plain key `NAME.key`, and `NAME.key.pub`.
    fn key(&self, role: &str, name: &str) -> PathBuf {
        let path = self.bench.at(&format!("{name}.key"));
        let mut command = Bench::aegisctl();
        command.args(["keys", "new", "--plain", "--role", role, "--out"]).arg(&path);
        Bench::good(command);
        path
    }

    /// The next root metadata: `what` is `rotate` or `revoke`, `before` the chain so far.
    fn next(&self, what: &str, before: &[&Path], to: &str, keys: &[&Path], arguments: &[&str]) -> PathBuf {
        let path = self.bench.at(to);
        let mut command = Bench::aegisctl();
        command.args(["keys", what]);
        for file in before {
            command.arg("--root").arg(file);
        }
        for key in keys {
            command.arg("--key").arg(key);
        }
        command.args(arguments).arg("--out").arg(&path);
        Bench::good(command);
        path
    }

    /// The id of a key, as `keys show` has it.
    fn id(key: &Path) -> String {
        let mut command = Bench::aegisctl();
        command.args(["keys", "show", "--json"]).arg(key);
        let shown: serde_json::Value = serde_json::from_slice(&Bench::good(command)).expect("JSON");
        shown["id"].as_str().expect("an id").to_owned()
    }

    /// The fingerprint of a key.
    fn fingerprint(key: &Path) -> String {
        let mut command = Bench::aegisctl();
        command.args(["keys", "show", "--json"]).arg(key);
        let shown: serde_json::Value = serde_json::from_slice(&Bench::good(command)).expect("JSON");
        shown["fingerprint"].as_str().expect("a fingerprint").to_owned()
    }

    fn bundle(
        &self,
        name: &str,
        policy: &Path,
        epoch: u64,
        sequence: u64,
        key: &Path,
        more: &[&str],
    ) -> PathBuf {
        let path = self.bench.at(name);
        let mut command = Bench::aegisctl();
        command.args(["bundle", "build", "--policy"]).arg(policy).arg("--key").arg(key);
        command.args(["--epoch", &epoch.to_string(), "--sequence", &sequence.to_string()]).args(more);
        Bench::good({
            command.arg("--out").arg(&path);
            command
        });
        path
    }
}

/// Codes of the events of this kind, in their order.
fn codes(run: &Evidence, kind: &str) -> Vec<String> {
    run.kind(kind).iter().map(|event| event["code"].as_str().expect("a code").to_owned()).collect()
}

/// The life of one device: policy, rotation, revocation, downgrade, a raised epoch.
#[test]
fn keys_are_rotated_and_revoked_by_stick() {
    let bench = Bench::new();
    let office = Office { bench: &bench };
    let device = bench.at("device");
    let (old_key, root_key) = (Office::development("policy.key"), Office::development("root.key"));
    let first_root = Office::development("root.cbor");
    let new_key = office.key("policy", "policy-2");
    let (shadow, hosts) =
        (bench.policy("shadow", "enforce", &[SHADOW]), bench.policy("hosts", "enforce", &[HOSTS]));
    let demo = || bench.demo(WHAT_IS_DENIED).state(&device);

    // 1. Under the first root.
    let by_old = office.bundle("old.aegis", &shadow, 1, 100, &old_key, &[]);
    let run = Bench::run(demo().stick_file("old.aegis", &by_old));
    assert_eq!(run.out_text(), "hosts 0\nshadow 1\n");

    // 2. A rotation that replaces the policy key, without a word about revoking: what is in force stays, at the next
    //    boot too, and the old key signs nothing new.
    let added = new_key.with_extension("key.pub");
    let replaced = ["--add-policy", added.to_str().expect("text"), "--remove-policy", &Office::id(&old_key)];
    let second_root = office.next("rotate", &[&first_root], "2.cbor", &[&root_key], &replaced);
    let too_late = office.bundle("late.aegis", &hosts, 1, 101, &old_key, &[]);
    let run = Bench::run(demo().stick_file("roots/2.cbor", &second_root).stick_file("late.aegis", &too_late));
    assert_eq!(codes(&run, "root"), ["accepted"]);
    assert_eq!(codes(&run, "policy"), ["unknown-key"]);
    assert_eq!((run.out_text().as_str(), run.number("/policy/sequence")), ("hosts 0\nshadow 1\n", 100));
    assert_eq!(run.receipts.len(), 2, "one for the root, one for the bundle");
    let run = Bench::run(demo());
    assert_eq!(
        (run.out_text().as_str(), run.mode()),
        ("hosts 0\nshadow 1\n", Some("enforcing")),
        "still in force"
    );

    // 3. Root metadata that the root in force does not vouch for, and one that leaves a version out.
    let stranger = bench.at("strangers");
    let mut command = Bench::aegisctl();
    command.args(["keys", "init", "--plain", "--out"]).arg(&stranger);
    Bench::good(command);
    let foreign = office.next(
        "rotate",
        &[&stranger.join("root.cbor")],
        "s2.cbor",
        &[&stranger.join("root.key")],
        &["--raise-epoch"],
    );
    let foreign = office.next(
        "rotate",
        &[&stranger.join("root.cbor"), &foreign],
        "s3.cbor",
        &[&stranger.join("root.key")],
        &["--raise-epoch"],
    );
    let run =
        Bench::run(demo().stick_file("roots/3.cbor", &foreign).stick_file("roots/5.cbor", &second_root));
    assert_eq!(codes(&run, "root"), ["not-vouched"]);
    assert_eq!(run.out_text(), "hosts 0\nshadow 1\n");

    // 4. The old key is revoked: what only it vouches for is unseated at once, and there is nothing before it.
    let chain = [first_root.as_path(), &second_root];
    let revoked = ["--key-id", &Office::fingerprint(&old_key)];
    let third_root = office.next("revoke", &chain, "3.cbor", &[&root_key], &revoked);
    let run = Bench::run(demo().stick_file("roots/3.cbor", &third_root).stick_file("late.aegis", &too_late));
    assert_eq!(codes(&run, "root"), ["accepted"]);
    assert!(codes(&run, "policy").contains(&"revoked-key".to_owned()), "{:?}", run.kind("policy"));
    assert_eq!(
        (run.out_text().as_str(), run.mode()),
        ("hosts 0\nshadow 0\n", Some("audit-only")),
        "the baseline"
    );

    // 5. The new key: accepted, and not below what was accepted before.
    let low = office.bundle("low.aegis", &hosts, 1, 99, &new_key, &[]);
    let by_new = office.bundle("new.aegis", &hosts, 1, 102, &new_key, &[]);
    let run = Bench::run(demo().stick_file("low.aegis", &low).stick_file("new.aegis", &by_new));
    assert_eq!(run.out_text(), "hosts 1\nshadow 0\n");
    let run = Bench::run(demo().stick_file("low.aegis", &low));
    assert_eq!(codes(&run, "policy"), ["rollback"], "a downgrade");
    assert_eq!(run.out_text(), "hosts 1\nshadow 0\n");

    // 6. A rotation that raises the epoch, with three versions on one stick: sequences start again.
    let chain = [first_root.as_path(), &second_root, &third_root];
    let fourth_root = office.next("rotate", &chain, "4.cbor", &[&root_key], &["--raise-epoch"]);
    let restarted = office.bundle("restart.aegis", &shadow, 2, 1, &new_key, &[]);
    let machine = demo()
        .stick_file("roots/2.cbor", &second_root)
        .stick_file("roots/3.cbor", &third_root)
        .stick_file("roots/4.cbor", &fourth_root);
    let run = Bench::run(machine.stick_file("restart.aegis", &restarted).stick_file("new.aegis", &by_new));
    assert_eq!(codes(&run, "root"), ["accepted"], "the others are known");
    assert_eq!((run.out_text().as_str(), run.number("/policy/sequence")), ("hosts 0\nshadow 1\n", 1));
    assert_eq!(run.number("/policy/epoch"), 2);
    let run = Bench::run(demo());
    assert_eq!(
        (run.out_text().as_str(), run.mode()),
        ("hosts 0\nshadow 1\n", Some("enforcing")),
        "and stays"
    );
}

/// A new device catches up with all rotations from one stick, in one go.
#[test]
fn a_new_device_walks_the_whole_chain() {
    let bench = Bench::new();
    let office = Office { bench: &bench };
    let root_key = Office::development("root.key");
    let policy_key = Office::development("policy.key");
    let mut chain = vec![Office::development("root.cbor")];
    for version in 2..=5 {
        let before: Vec<&Path> = chain.iter().map(PathBuf::as_path).collect();
        let next =
            office.next("rotate", &before, &format!("{version}.cbor"), &[&root_key], &["--raise-epoch"]);
        chain.push(next);
    }
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    let bundle = office.bundle("new.aegis", &policy, 5, 1, &policy_key, &[]);
    let mut machine = bench.demo(WHAT_IS_DENIED).stick_file("new.aegis", &bundle);
    for (version, file) in (1..).zip(&chain) {
        machine = machine.stick_file(format!("roots/{version}.cbor"), file);
    }
    let run = Bench::run(machine);
    assert_eq!(codes(&run, "root"), ["accepted"; 4]);
    assert_eq!((run.out_text().as_str(), run.number("/policy/epoch")), ("hosts 0\nshadow 1\n", 5));
}

#[test]
fn a_bundle_for_others_is_refused() {
    let bench = Bench::new();
    let office = Office { bench: &bench };
    let key = Office::development("policy.key");
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    let other_device = ["--device", "00112233445566778899aabbccddeeff"];
    let other_kernel = ["--kernel", "1111111111111111111111111111111111111111111111111111111111111111"];
    let other_arch = if arch() == Arch::X86_64 { "aarch64" } else { "x86_64" };
    let cases: [(&str, &[&str], &str); 5] = [
        ("device.aegis", &other_device, "wrong-device"),
        ("group.aegis", &["--group", "elsewhere"], "wrong-group"),
        ("arch.aegis", &["--arch", other_arch], "wrong-architecture"),
        ("agent.aegis", &["--min-agent", "999.0.0"], "agent-too-old"),
        ("kernel.aegis", &other_kernel, "wrong-kernel"),
    ];
    let mut machine = bench.demo(WHAT_IS_DENIED);
    for (sequence, (name, arguments, _)) in (500..).zip(cases) {
        machine = machine.stick_file(name, office.bundle(name, &policy, 1, sequence, &key, arguments));
    }
    let run = Bench::run(machine);
    for (name, _, code) in cases {
        let events = run.with(&[("kind", "policy".into()), ("code", code.into())]);
        assert_eq!(events.len(), 1, "{name}: {:?}", run.kind("policy"));
    }
    assert_eq!((run.out_text().as_str(), run.mode()), ("hosts 0\nshadow 0\n", Some("audit-only")));
}

/// Rolled back by a person: the one before is in force, and the one that was left does not come back by itself.
#[test]
fn a_rollback_is_to_the_policy_before_and_holds() {
    let bench = Bench::new();
    let device = bench.at("device");
    let (shadow, hosts) =
        (bench.policy("shadow", "enforce", &[SHADOW]), bench.policy("hosts", "enforce", &[HOSTS]));
    bench.bundle("one.aegis", &shadow, 10);
    bench.bundle("two.aegis", &hosts, 11);
    Bench::run(bench.demo("true").stick_file("one.aegis", bench.at("one.aegis")).state(&device));
    let script = format!(
        "{WHAT_IS_DENIED}\naegis policy rollback; echo rollback $?\n{WHAT_IS_DENIED}\naegis policy rollback; echo again $?\naegis policy history --json"
    );
    let run = Bench::run(bench.demo(&script).stick_file("two.aegis", bench.at("two.aegis")).state(&device));
    let out = run.out_text();
    assert!(out.starts_with("hosts 1\nshadow 0\n"), "{out}");
    assert!(out.contains("rollback 0\nhosts 0\nshadow 1\n"), "{out}\n{}", run.err_text());
    assert!(out.contains("again 1\n"), "{out}");
    assert!(codes(&run, "policy").contains(&"rolled-back".to_owned()), "{:?}", run.kind("policy"));
    // The same stick again, at the next boot: held back. A person may insist.
    let script = format!("{WHAT_IS_DENIED}\nmkdir /tmp/x; aegis policy status --json");
    let run = Bench::run(bench.demo(&script).stick_file("two.aegis", bench.at("two.aegis")).state(&device));
    assert_eq!(codes(&run, "policy"), ["held-back"]);
    assert!(run.out_text().starts_with("hosts 0\nshadow 1\n"), "{}", run.out_text());
    // Something newer is taken.
    bench.bundle("three.aegis", &hosts, 12);
    let run = Bench::run(
        bench.demo(WHAT_IS_DENIED).stick_file("three.aegis", bench.at("three.aegis")).state(&device),
    );
    assert_eq!(run.out_text(), "hosts 1\nshadow 0\n");
}

/// A stale policy is an alarm and stays in force, whatever the clock says.
#[test]
fn a_stale_policy_is_loud_and_stays_in_force() {
    let bench = Bench::new();
    let office = Office { bench: &bench };
    let device = bench.at("device");
    let key = Office::development("policy.key");
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    let dated = ["--created", "2026-01-01T00:00:00Z", "--expires", "2031-01-01T00:00:00Z"];
    let bundle = office.bundle("dated.aegis", &policy, 1, 5, &key, &dated);
    let fresh = Bench::run(bench.demo("true").stick_file("dated.aegis", &bundle).state(&device));
    assert!(fresh.kind("policy-stale").is_empty());
    // 2032 by the device's clock.
    let run = Bench::run(bench.demo(WHAT_IS_DENIED).clock(1_956_528_000).state(&device));
    assert_eq!(run.kind("policy-stale").len(), 1, "{:?}", run.events.len());
    assert_eq!((run.out_text().as_str(), run.mode()), ("hosts 0\nshadow 1\n", Some("enforcing")));
}

/// Each file system that a stick may have, and a stick with a partition table, brings the same policy.
#[test]
fn sticks_of_every_kind_bring_policy() {
    let bench = Bench::new();
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    let bundle = bench.bundle("policy.aegis", &policy, 5);
    let stick = |fs| aegis_qemu::Stick::new(fs).file("policy.aegis", &bundle);
    let mut kinds: Vec<_> = StickFs::ALL.into_iter().map(|fs| (fs.name(), stick(fs))).collect();
    kinds.push(("vfat in a partition", stick(StickFs::Vfat).partitioned()));
    for (name, stick) in kinds {
        let (_slot, vm) = Bench::start(bench.demo(WHAT_IS_DENIED).stick(stick));
        let run = vm.finish().expect("watched");
        let console = std::fs::read_to_string(run.console()).unwrap_or_default();
        assert_eq!(run.stdout().expect("there"), b"hosts 0\nshadow 1\n", "{name}: {console}");
    }
}
