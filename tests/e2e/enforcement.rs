//! Deny by inode from a signed policy: the program is told, others pass, the evidence says which rule.

use aegis_qemu::{Kernel, Stick, StickFs};
use aegis_suite::elf::program_for;
use aegis_tests::{Bench, Evidence, Rule, arch, console, kernel};

/// What the denied and the allowed accesses print.
const SCRIPT: &str = "
cat /etc/shadow >/dev/null 2>shadow.err; echo \"shadow: $? $(cat shadow.err)\"
cat /etc/hosts >/dev/null; echo \"hosts: $?\"
nc --help >/dev/null 2>nc.err; echo \"nc: $? $(cat nc.err | head -n 1)\"
true; echo \"true: $?\"
";

/// More than 8 directories deep and not there: nothing can hold a rule on it, which is said.
const TOO_DEEP: &str = "/srv/2/3/4/5/6/7/8/deep";

const RULES: [Rule<'static>; 2] = [
    Rule {
        name: "no-shadow",
        action: "deny",
        operations: &["open-read", "open-write"],
        paths: &["/etc/shadow", TOO_DEEP],
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

/// Each hook's program, as the kernel's verifier saw it, is in its budget.
fn within_budget(run: &Evidence) {
    let budgets: Vec<(&str, u64)> = include_str!("verified.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').expect("a hook and a number"))
        .map(|(hook, most)| (hook, most.parse().expect("a number")))
        .collect();
    let hooks = run.status["hooks"].as_array().expect("hooks");
    for hook in hooks {
        let (name, verified) = (&hook["hook"], hook["verified"].as_u64().unwrap_or(0)); // null: not attached
        let budget = budgets.iter().find(|(hook, _)| name == hook);
        let (_, most) = budget.unwrap_or_else(|| panic!("verified.txt: nothing of {name}"));
        assert!(verified <= *most, "{name}: {verified} instructions verified, {most} in verified.txt");
    }
    assert_eq!(budgets.len(), hooks.len(), "verified.txt: hooks that are none");
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

    within_budget(&run);
    assert_eq!(run.mode(), Some("enforcing"));
    assert_eq!(run.status["reason"], "self-test-passed");
    assert_eq!(
        (run.number("/policy/sequence"), run.number("/policy/rules"), run.number("/policy/unresolved")),
        (500, 2, 0)
    );
    assert_eq!(run.number("/policy/uncovered"), 1, "{TOO_DEEP}");
    let console = console(&run);
    assert!(
        console.contains(&format!("rule no-shadow: {TOO_DEEP}: not there, nor known by name")),
        "{console}"
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

/// The least program; `mark` makes other content of it.
fn program(mark: &str) -> Vec<u8> {
    program_for(arch().name(), b"", mark.as_bytes())
}

/// The least program that another loads.
fn program_with_loader(interpreter: &str) -> Vec<u8> {
    program_for(arch().name(), format!("{interpreter}\0").as_bytes(), b"")
}

#[test]
fn a_denied_program_does_not_run_as_the_loader_of_another() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let rule = Rule { name: "no-wc", action: "deny", operations: &["exec"], paths: &["/usr/bin/wc"] };
    let policy = bench.policy("deny", "enforce", &[rule]);
    let folder =
        bench.workload("demo", "/workload/wc /etc/hosts; echo $?; /workload/head -n 1 /etc/hosts; echo $?");
    for name in ["wc", "head"] {
        let path = folder.join(name);
        std::fs::write(&path, program_with_loader(&format!("/usr/bin/{name}"))).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    }
    let run = Bench::run(bench.machine().workload(folder).policy(policy));
    // The other one's loader is started, and faults: it finds no thread storage in this least of programs.
    assert_eq!(run.out_text(), "126\n139\n", "{}", run.err_text());
    assert!(run.err_text().contains("Operation not permitted"), "{}", run.err_text());
    let denied =
        run.with(&[("kind", "exec-check".into()), ("verdict", "denied".into()), ("rule", "no-wc".into())]);
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0]["path"], "/usr/bin/wc");
}

/// With an override by content no opening for exec is denied: what may run is decided when the content is known.
#[test]
fn an_override_by_content_lets_that_content_run_and_no_other() {
    use sha2::Digest as _;
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let good = program("good");
    let digest =
        sha2::Sha256::digest(&good).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let policy = bench.config(
        "override.toml",
        &format!(
            r#"schema = 1
name = "override"
mode = "enforce"
self-protection = false

[[workload]]
name = "demo"

[[rule]]
name = "no-tools"
action = "deny"
operations = ["exec"]
paths = ["/workload/good", "/workload/evil", "/workload/gone", "/usr/bin/wc"]

[[rule]]
name = "but-good"
action = "allow"
override = true
operations = ["exec"]
hashes = ["{digest}"]
"#
        ),
    );
    let script = "
for each in good evil good-script evil-script evil-loaded wc-loaded; do /workload/$each; echo \"$each $?\"; done
cp /workload/evil /scratch/evil; /scratch/evil; echo \"elsewhere $?\"
wc /etc/hosts; echo \"wc $?\"
# Through an overlay: the file that is shown counts. Elsewhere overlayfs is a module, and it is not known.
[ \"$OVERLAYS\" ] || exit 0
cd /scratch; mkdir upper work merged
mount -t overlay -o lowerdir=/workload,upperdir=upper,workdir=work none merged
for each in good evil; do merged/$each; echo \"shown $each $?\"; done
";
    let own = kernel() == Kernel::Own;
    let script = format!("OVERLAYS={}\n{script}", if own { "yes" } else { "" });
    let folder = bench.workload("demo", &script);
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    };
    put("good", &good);
    put("evil", &program("evil"));
    put("good-script", b"#!/workload/good\n");
    put("evil-script", b"#!/workload/evil\n");
    put("evil-loaded", &program_with_loader("/workload/evil"));
    put("wc-loaded", &program_with_loader("/usr/bin/wc"));
    let run = Bench::run(bench.machine().workload(folder).policy(policy));
    // A loader is denied when it is mapped: by then the old program is gone, and the kernel ends the new one.
    let plain = "good 42\nevil 126\ngood-script 42\nevil-script 126\nevil-loaded 139\nwc-loaded 139\nelsewhere 42\nwc 126\n";
    let shown = if own { "shown good 42\nshown evil 126\n" } else { "" };
    assert_eq!(run.out_text(), format!("{plain}{shown}"), "{}", run.err_text());
    assert_eq!(run.mode(), Some("enforcing"));
    let denied = run.with(&[("verdict", "denied".into()), ("workload", "demo".into())]);
    assert!(denied.iter().all(|event| event["rule"] == "no-tools"), "{denied:?}");
    let of = |path: &str| denied.iter().filter(|event| event["path"] == path).count();
    let (evil, all) = if own { (4, 6) } else { (3, 5) };
    let of_evil = of("/workload/evil") + of("/scratch/merged/evil");
    assert_eq!((of_evil, of("/usr/bin/wc"), denied.len()), (evil, 2, all), "{denied:?}");
}

/// In a mount namespace of its own a workload mounts what it likes, but for what would come to Aegis's: there, too, where the
/// system's mounts are shared, as they are under many an init.
#[test]
fn what_would_come_to_aegis_by_a_shared_mount_is_denied_elsewhere_too() {
    let bench = Bench::new();
    let open = bench.bundle("5.aegis", &bench.shadow("open", "self-protection = false\n", ""), 5);
    let guarded = bench.bundle("6.aegis", &bench.shadow("guarded", "", ""), 6);
    // Nobody who is guarded against may make it so: it is done before.
    let script = "
mount --make-rshared / && echo shared
until ! { true >/run/aegis/demo; } 2>/dev/null; do sleep 0.2; done
try() {
    unshare -m --propagation $1 sh -c 'mount -t tmpfs none /sys/fs/cgroup/workloads' && done=mounted || done=no
    ls -d /sys/fs/cgroup/workloads/demo >/dev/null && here=here || here=gone
    echo \"$1: $done, $here\"
}
try private
try shared";
    let (_slot, mut vm) = Bench::start(bench.demo(script).bundle(&open));
    assert!(vm.wait_stdout("shared").expect("watched"), "{}", vm.console_end());
    let first = vm.stick().expect("it began with one");
    vm.unplug(first).expect("pulled");
    vm.plug(&Stick::new(StickFs::Vfat).file("6.aegis", &guarded)).expect("plugged");
    let run = Bench::evidence(vm.finish().expect("watched"));
    assert_eq!(run.out_text(), "shared\nprivate: mounted, here\nshared: no, here\n", "{}", run.err_text());
    let denied =
        run.with(&[("kind", "mount".into()), ("rule", "aegis-self".into()), ("verdict", "denied".into())]);
    assert_eq!(denied.len(), 1, "{denied:?}");
}

/// A workload that is root, under a policy that lets it mount, puts folders where cgroups are looked for.
#[test]
fn what_is_mounted_over_the_cgroups_is_taken_for_none() {
    let bench = Bench::new();
    let rule = Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
    let policy = bench.policy("own", "enforce", &[rule]);
    let script = "
cd /sys/fs/cgroup
look() {
    aegis workload run other -- /usr/bin/true 2>/scratch/err && ran=yes || ran=no
    { true </etc/shadow; } 2>/dev/null && opened=yes || opened=no
    echo \"$1: ran $ran, opened $opened\"
    grep -o 'not the root of cgroup v2\\|not procfs' /scratch/err
}
mkdir -p workloads/other/inner
mount -t tmpfs none /sys/fs/cgroup; mkdir -p /sys/fs/cgroup/workloads/other; : >/sys/fs/cgroup/workloads/other/cgroup.procs
look folders
umount /sys/fs/cgroup
mount --bind workloads/demo /sys/fs/cgroup
look part
umount /sys/fs/cgroup
mount -t tmpfs none /sys/fs/cgroup/workloads
look below
umount /sys/fs/cgroup/workloads
mount -t tmpfs none /proc
look proc
umount /proc
look nothing";
    let run = Bench::run(bench.demo(script).policy(policy));
    let expected = "folders: ran no, opened no\nnot the root of cgroup v2\npart: ran no, opened no\nnot the root of cgroup v2\n\
                    below: ran no, opened no\nproc: ran no, opened no\nnot procfs\nnothing: ran yes, opened no\n";
    assert_eq!(run.out_text(), expected, "{}", run.err_text());
}
