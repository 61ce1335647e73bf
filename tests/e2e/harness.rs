//! What the harness promises of a guest: outputs whole, exit codes true, folders as documented.

use aegis_qemu::Error;
use aegis_tests::{Bench, Rule, console};

#[test]
fn outputs_are_whole_and_the_exit_code_is_the_workloads() {
    let bench = Bench::new();
    let script = "seq 1 100000; seq 1 100000 >&2; echo \"$AEGIS_WORKLOAD $PWD\"; exit 7";
    let run = Bench::run(bench.demo(script));
    let lines: Vec<String> = (1..=100_000).map(|n| n.to_string()).collect();
    let numbers = lines.join("\n") + "\n";
    assert!(run.err_text() == numbers, "stderr has {} bytes", run.err_text().len());
    assert_eq!(run.out_text().strip_prefix(numbers.as_str()), Some("demo /scratch\n"));
    assert_eq!(run.exit, Some(7));
    assert!(run.ready_seconds.is_some_and(|seconds| seconds > 0.0));
}

#[test]
fn a_workload_ended_by_a_signal_is_128_and_the_signal() {
    let bench = Bench::new();
    assert_eq!(Bench::run(bench.demo("kill -KILL $$")).exit, Some(137));
}

#[test]
fn the_workloads_folder_is_read_only_and_the_scratch_is_not() {
    let bench = Bench::new();
    let run = Bench::run(bench.demo(
        "cat /workload/data; echo x >/workload/y && echo WROTE; echo kept >here && cat /scratch/here; (sleep 600 &)",
    )
    .stick_file("notes.txt", {
        std::fs::write(bench.at("demo/data"), "read\n").expect("written");
        bench.at("demo/data")
    }));
    assert_eq!(run.out_text(), "read\nkept\n");
    assert!(run.err_text().contains("Read-only file system"), "{}", run.err_text());
}

#[test]
fn what_prepare_makes_the_workload_finds_and_rules_of_its_name_are_for_it_alone() {
    let bench = Bench::new();
    let rule = Rule { name: "no-note", action: "deny", operations: &["open"], paths: &["/scratch/note"] };
    let policy = bench.policy("later", "enforce", &[rule]);
    let folder = bench.workload("demo", "cat /scratch/mine; cat /scratch/note");
    bench.script(
        "demo/prepare",
        "echo mine >/scratch/mine; echo note >/scratch/note; cat /scratch/note; (sleep 600 &)",
    );
    let run = Bench::run(bench.machine().workload(folder).policy(policy));
    assert_eq!(run.out_text(), "mine\n");
    assert!(run.err_text().contains("Operation not permitted"), "{}", run.err_text());
    let console = console(&run);
    assert!(console.lines().any(|line| line.trim() == "note"), "what prepare prints: {console}");
    assert_eq!(run.with(&[("verdict", "denied".into()), ("rule", "no-note".into())]).len(), 1);
}

#[test]
fn a_workload_whose_prepare_fails_is_not_started() {
    let bench = Bench::new();
    let folder = bench.workload("demo", "echo STARTED");
    bench.script("demo/prepare", "exit 3");
    let run = Bench::run(bench.machine().workload(folder));
    assert_eq!((run.exit, run.out_text().as_str()), (Some(127), ""));
}

#[test]
fn without_a_workload_the_guest_boots_and_powers_off() {
    let bench = Bench::new();
    let run = Bench::run(bench.machine());
    assert_eq!((run.exit, run.workload.as_deref()), (None, None));
    assert_eq!(run.kind("start").len(), 1);
    assert_eq!(run.kind("stop").len(), 1);
    assert_eq!(run.lost(), 0);
}

#[test]
fn a_refused_policy_is_passed_on_in_one_line_and_nothing_is_written() {
    let bench = Bench::new();
    let policy = bench.at("bad.toml");
    std::fs::write(&policy, "schema = 1\nnmae = \"demo\"\n").expect("written");
    let error = bench.demo("true").policy(&policy).run().expect_err("the policy is bad");
    let line = error.to_string();
    assert!(matches!(error, Error::Refused(_)) && error.exit_code() == 2, "{error:?}");
    assert!(line.starts_with("aegisctl: ") && line.contains("bad.toml:2: "), "{line}");
    assert!(!bench.at("out0").exists());
}
