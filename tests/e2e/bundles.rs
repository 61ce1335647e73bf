//! Bad sticks: each bundle is refused by name, with a receipt and an event, and the running policy stays.

use std::fs;
use std::path::Path;

use aegis_tests::{Bench, Rule};

const SHADOW: Rule<'static> =
    Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
const HOSTS: Rule<'static> =
    Rule { name: "no-hosts", action: "deny", operations: &["open"], paths: &["/etc/hosts"] };

/// A copy of `bundle` changed by `change`.
fn changed(bundle: &Path, to: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(bundle).expect("the bundle is there");
    change(&mut bytes);
    fs::write(to, bytes).expect("the changed bundle is written");
}

#[test]
fn a_bad_bundle_is_refused_by_name_and_changes_nothing() {
    let bench = Bench::new();
    let device = bench.at("device");
    let good = bench.policy("good", "enforce", &[SHADOW]);
    let newer = bench.policy("newer", "enforce", &[HOSTS]);
    let run = Bench::run(bench.demo("true").policy(&good).sequence(100).state(&device));
    assert_eq!(run.number("/policy/sequence"), 100);
    assert!(
        !run.with(&[("kind", "policy".into()), ("code", "accepted".into()), ("policy_sequence", 100.into())])
            .is_empty()
    );

    let source = bench.bundle("source.aegis", &newer, 200);
    let older = bench.bundle("older.aegis", &newer, 99);
    // The manifest begins after the 64 bytes of header; what is signed is its bytes.
    changed(&source, &bench.at("forged.aegis"), |bytes| bytes[64 + 20] ^= 1);
    changed(&source, &bench.at("short.aegis"), |bytes| bytes.truncate(bytes.len() - 1));
    changed(&source, &bench.at("long.aegis"), |bytes| bytes.push(0));
    changed(&source, &bench.at("empty.aegis"), Vec::clear);
    let mut keys = Bench::aegisctl();
    keys.args(["keys", "init", "--plain", "--out"]).arg(bench.at("strangers-keys"));
    Bench::good(keys);
    let strange = bench.bundle_by("strange.aegis", &newer, 200, &bench.at("strangers-keys/policy.key"));

    let cases = [
        ("forged.aegis", "bad-signature"),
        ("short.aegis", "truncated"),
        ("long.aegis", "trailing-bytes"),
        ("empty.aegis", "too-short"),
        ("strange.aegis", "unknown-key"),
        ("older.aegis", "rollback"),
    ];
    let mut machine = bench.demo("cat /etc/hosts >/dev/null && echo hosts\ncat /etc/shadow").state(&device);
    for (name, _) in cases {
        machine = machine.stick_file(name, bench.at(name));
    }
    assert!(older.exists() && strange.exists());
    let run = Bench::run(machine);
    for (name, code) in cases {
        let events: Vec<_> = run
            .with(&[("kind", "policy".into()), ("code", code.into())])
            .into_iter()
            .filter(|event| event["detail"].as_str().is_some_and(|detail| detail.contains(name)))
            .collect();
        assert_eq!(events.len(), 1, "{name}: {:?}", run.kind("policy"));
    }
    assert_eq!(run.receipts.len(), cases.len(), "a receipt for each: {:?}", run.receipts);
    assert_eq!((run.mode(), run.number("/policy/sequence")), (Some("enforcing"), 100));
    assert_eq!(run.out_text(), "hosts\n");
    assert!(run.err_text().contains("Operation not permitted"), "{}", run.err_text());
}

#[test]
fn a_newer_bundle_takes_the_place_of_the_older_one() {
    let bench = Bench::new();
    let device = bench.at("device");
    let (first, second) =
        (bench.policy("first", "enforce", &[SHADOW]), bench.policy("second", "enforce", &[HOSTS]));
    let script = "cat /etc/hosts >/dev/null; echo $?; cat /etc/shadow >/dev/null; echo $?";
    let run = Bench::run(bench.demo(script).policy(first).sequence(1000).state(&device));
    assert_eq!(run.out_text(), "0\n1\n");
    let run = Bench::run(bench.demo(script).policy(second).sequence(1001).state(&device));
    assert_eq!(run.out_text(), "1\n0\n");
    assert_eq!(run.number("/policy/sequence"), 1001);
    assert_eq!(run.receipts.len(), 1);
}

#[test]
fn of_a_crowded_stick_the_best_is_taken_and_every_bundle_is_answered() {
    let bench = Bench::new();
    let good = bench.policy("good", "enforce", &[SHADOW]);
    bench.bundle("best.aegis", &good, 300);
    bench.bundle("second.aegis", &good, 200);
    let mut machine = bench
        .demo("true")
        .stick_file("best.aegis", bench.at("best.aegis"))
        .stick_file("second.aegis", bench.at("second.aegis"));
    // As large as a bundle may be: together more than the heap of the command that reads them.
    fs::write(bench.at("large"), vec![0xa5; 4 << 20]).expect("written");
    fs::write(bench.at("larger"), vec![0xa5; (4 << 20) + 1]).expect("written");
    for number in 0..12 {
        machine = machine.stick_file(format!("large{number}.aegis"), bench.at("large"));
    }
    let run = Bench::run(machine.stick_file("larger.aegis", bench.at("larger")));
    let count = |code: &str| run.with(&[("kind", "policy".into()), ("code", code.into())]).len();
    assert_eq!((count("accepted"), count("superseded")), (1, 1), "{:?}", run.kind("policy"));
    assert_eq!((count("bad-magic"), count("too-large")), (12, 1), "{:?}", run.kind("policy"));
    assert_eq!(run.receipts.len(), 15);
    assert_eq!((run.mode(), run.number("/policy/sequence")), (Some("enforcing"), 300));
}

#[test]
fn a_policy_that_was_lost_comes_back_with_the_same_stick() {
    let bench = Bench::new();
    let device = bench.at("device");
    let policy = bench.policy("good", "enforce", &[SHADOW]);
    let bundle = bench.bundle("policy.aegis", &policy, 100);
    // The workload is root: it stands in for a file system that lost the file.
    let run = Bench::run(bench.demo("rm -r /data/aegis/slot.a").bundle(&bundle).state(&device));
    assert_eq!((run.exit, run.mode()), (Some(0), Some("enforcing")));
    let run = Bench::run(bench.demo("cat /etc/shadow >/dev/null").state(&device));
    assert_eq!(run.with(&[("kind", "policy".into()), ("code", "policy-lost".into())]).len(), 1);
    assert_eq!((run.exit, run.mode()), (Some(0), Some("audit-only")), "the baseline is in force");
    let run = Bench::run(bench.demo("cat /etc/shadow >/dev/null").bundle(&bundle).state(&device));
    assert_eq!((run.exit, run.mode()), (Some(1), Some("enforcing")));
    let run = Bench::run(bench.demo("cat /etc/shadow >/dev/null").bundle(&bundle).state(&device));
    assert_eq!((run.exit, run.mode()), (Some(1), Some("enforcing")), "and stays");
    assert_eq!(run.with(&[("kind", "policy".into()), ("code", "unchanged".into())]).len(), 1);
}

/// Under a policy that lets the workload act as the operator: what applying it again is for, what is left undone when that is
/// cut short, and a memory that somebody fills.
#[test]
fn a_policy_is_applied_again_and_proven_again() {
    const SECRET: Rule<'static> =
        Rule { name: "no-secret", action: "deny", operations: &["open"], paths: &["/scratch/secret"] };
    let bench = Bench::new();
    let policy = bench.policy("good", "enforce", &[SECRET]);
    let folder = bench.workload(
        "demo",
        "
mode() { aegis status --json | grep -o '\"mode\":\"[a-z-]*\"'; }
try() { { true <$1; } 2>/dev/null && echo \"$2: open\" || echo \"$2: denied\"; }
look() { try /scratch/secret \"$1, by its name\"; try /scratch/other \"$1, by another\"; }
look before
aegis policy apply /workload/good.aegis | grep -o unchanged
look after
n=0
while [ $n -lt 90 ]; do
    aegis policy apply /workload/good.aegis >/dev/null 2>&1 & pid=$!
    sleep 0.$((n % 9))5
    kill -KILL $pid; wait $pid 2>/dev/null
    [ \"$(mode)\" = '\"mode\":\"audit-only\"' ] && break
    n=$((n + 1))
done
echo \"cut short: $(mode)\"
aegis policy settle; echo \"settled $?: $(mode)\"
cat /dev/zero >/run/full 2>/dev/null; cat /dev/zero >/run/rest 2>/dev/null
aegis policy apply /workload/next.aegis | grep -o 'accepted.*sequence 101'
look next",
    );
    // Who is free makes the file after the policy, which knows it by name only, and gives it another.
    bench.script("demo/prepare", "echo secret >/scratch/secret; ln /scratch/secret /scratch/other");
    let [good, next] = [("good.aegis", 100), ("next.aegis", 101)].map(|(name, sequence)| {
        let bundle = bench.bundle(name, &policy, sequence);
        fs::copy(&bundle, folder.join(name)).expect("copied");
        bundle
    });
    assert!(next.exists());
    let run = Bench::run(bench.machine().bundle(&good).workload(folder));
    let expected = "before, by its name: denied\nbefore, by another: open\nunchanged\n\
                    after, by its name: denied\nafter, by another: denied\n\
                    cut short: \"mode\":\"audit-only\"\nsettled 0: \"mode\":\"enforcing\"\n\
                    accepted epoch 1 sequence 101\nnext, by its name: denied\nnext, by another: denied\n";
    assert_eq!(run.out_text(), expected, "{}", run.err_text());
    let unchanged = run.with(&[("kind", "policy".into()), ("code", "unchanged".into())]);
    assert!(
        unchanged[0]["detail"].as_str().is_some_and(|detail| detail.contains("looked up anew")),
        "{unchanged:?}"
    );
    assert_eq!((run.mode(), run.number("/policy/sequence")), (Some("enforcing"), 101));
}
