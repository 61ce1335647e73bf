//! Deny by inode from a signed policy: the program is told, others pass, the evidence says which rule.

use aegis_tests::{Bench, Evidence, Rule};

/// What the denied and the allowed accesses print.
const SCRIPT: &str = "
cat /etc/shadow >/dev/null 2>shadow.err; echo \"shadow: $? $(cat shadow.err)\"
cat /etc/hosts >/dev/null; echo \"hosts: $?\"
nc --help >/dev/null 2>nc.err; echo \"nc: $? $(cat nc.err | head -n 1)\"
true; echo \"true: $?\"
";

const RULES: [Rule<'static>; 2] = [
    Rule {
        name: "no-shadow",
        action: "deny",
        operations: &["open-read", "open-write"],
        paths: &["/etc/shadow"],
    },
    Rule { name: "no-nc", action: "deny", operations: &["exec"], paths: &["/usr/bin/nc"] },
];

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("{name} in {text}"))
}

/// The accesses pass.
fn passed(run: &Evidence) {
    let text = run.out_text();
    assert!(line(&text, "shadow").starts_with("0 "), "{text}");
    assert!(!line(&text, "nc").contains("not permitted"), "{text}");
    assert_eq!(line(&text, "hosts"), "0");
    // The self-test of this boot has denials of its own, in its own name.
    assert!(run.with(&[("verdict", "denied".into()), ("workload", "demo".into())]).is_empty());
}

#[test]
fn open_and_exec_are_denied_to_the_workload_and_nothing_else_is() {
    let bench = Bench::new();
    let policy = bench.policy("deny", "enforce", &RULES);
    let run = Bench::run(bench.demo(SCRIPT).policy(policy).sequence(500));
    let text = run.out_text();
    assert!(
        line(&text, "shadow").starts_with("1 ") && text.contains("/etc/shadow': Operation not permitted"),
        "{text}"
    );
    assert!(line(&text, "nc").starts_with("126 "), "{text}");
    assert!(line(&text, "nc").to_lowercase().contains("not permitted"), "{text}");
    assert_eq!((line(&text, "hosts"), line(&text, "true")), ("0", "0"));

    let denied = |rule: &str| {
        run.with(&[("verdict", "denied".into()), ("rule", rule.into()), ("workload", "demo".into())])
    };
    let opens = denied("no-shadow");
    assert!(!opens.is_empty());
    for event in &opens {
        assert_eq!(
            (&event["kind"], &event["path"], &event["policy"]),
            (&"open".into(), &"/etc/shadow".into(), &500.into())
        );
    }
    let execs = denied("no-nc");
    assert!(!execs.is_empty());
    assert!(execs.iter().all(|event| event["kind"] == "exec-check"), "{execs:?}");
    let all = run.with(&[("verdict", "denied".into()), ("workload", "demo".into())]);
    assert_eq!(all.len(), opens.len() + execs.len(), "nothing else was denied");
    assert!(
        !run.with(&[("kind", "open".into()), ("path", "/etc/hosts".into()), ("verdict", "allowed".into())])
            .is_empty()
    );

    assert_eq!(run.mode(), Some("enforcing"));
    assert_eq!(run.status["reason"], "self-test-passed");
    assert_eq!(
        (run.number("/policy/sequence"), run.number("/policy/rules"), run.number("/policy/unresolved")),
        (500, 2, 0)
    );
    assert!(run.number("/denied") >= all.len() as u64);
    assert_eq!(run.lost(), 0);
}

#[test]
fn the_same_access_of_another_workload_passes() {
    let bench = Bench::new();
    let policy = bench.policy("deny", "enforce", &RULES);
    let folder = bench.workload("other", SCRIPT);
    let run = Bench::run(bench.machine().workload(folder).policy(policy));
    assert_eq!(run.mode(), Some("enforcing"));
    let text = run.out_text();
    assert!(line(&text, "shadow").starts_with("0 "), "{text}");
    assert!(!line(&text, "nc").contains("not permitted"), "{text}");
    assert!(run.with(&[("verdict", "denied".into()), ("workload", "other".into())]).is_empty());
}

#[test]
fn an_audit_policy_reports_and_denies_nothing() {
    let bench = Bench::new();
    let policy = bench.policy("look", "audit", &RULES);
    let run = Bench::run(bench.demo(SCRIPT).policy(policy));
    passed(&run);
    assert_eq!((run.mode(), &run.status["reason"]), (Some("audit-only"), &"policy-audit".into()));
    assert!(!run.with(&[("verdict", "audited".into()), ("rule", "no-shadow".into())]).is_empty());
    assert!(!run.with(&[("verdict", "audited".into()), ("rule", "no-nc".into())]).is_empty());
}

#[test]
fn an_audit_rule_reports_while_its_neighbour_denies() {
    let bench = Bench::new();
    let policy = bench.policy("mixed", "enforce", &[Rule { action: "audit", ..RULES[0] }, RULES[1]]);
    let run = Bench::run(bench.demo(SCRIPT).policy(policy));
    let text = run.out_text();
    assert!(line(&text, "shadow").starts_with("0 ") && line(&text, "nc").starts_with("126 "), "{text}");
    assert!(!run.with(&[("verdict", "audited".into()), ("rule", "no-shadow".into())]).is_empty());
    assert_eq!(run.mode(), Some("enforcing"));
}

#[test]
fn a_kernel_without_the_bpf_module_is_never_called_enforcing() {
    let bench = Bench::new();
    let policy = bench.policy("deny", "enforce", &RULES);
    let run = Bench::run(bench.demo(SCRIPT).policy(policy).append("lsm=lockdown,yama"));
    passed(&run);
    assert_eq!((run.mode(), &run.status["reason"]), (Some("audit-only"), &"lsm-bpf-missing".into()));
    assert!(run.with(&[("kind", "mode".into()), ("mode", "enforcing".into())]).is_empty());
    assert!(!run.with(&[("kind", "mode".into()), ("reason", "lsm-bpf-missing".into())]).is_empty());
}

#[test]
fn what_a_workload_does_is_recorded() {
    let bench = Bench::new();
    let run = Bench::run(
        bench.demo("cat /etc/hosts >/dev/null\nnc -w 1 127.0.0.1 9 </dev/null\nsh -c 'exit 3'\ntrue"),
    );
    let execs = run.with(&[("kind", "exec".into()), ("workload", "demo".into()), ("comm", "cat".into())]);
    assert_eq!(execs.len(), 1, "{execs:?}");
    assert_eq!(execs[0]["argv"], serde_json::json!(["cat", "/etc/hosts"]));
    let forks = run.with(&[("kind", "fork".into()), ("workload", "demo".into())]);
    assert!(forks.len() >= 3, "{forks:?}");
    assert!(
        !run.with(&[("kind", "exit".into()), ("workload", "demo".into()), ("status", 3.into())]).is_empty()
    );
    let connects = run.with(&[("kind", "connect".into()), ("workload", "demo".into()), ("port", 9.into())]);
    assert_eq!(connects.len(), 1, "{connects:?}");
    assert_eq!(connects[0]["address"], "127.0.0.1");
}
