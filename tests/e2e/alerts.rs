//! Alerts of a signed policy, from a storm of denials to its end: fired, told everywhere, over.

use std::process::Command;

use aegis_qemu::{Stick, StickFs};
use aegis_tests::{Bench, console};
use serde_json::Value;

/// A rule to be denied by, an alert on being denied often, one that is told to nobody, one on a figure that there is none of.
const POLICY: &str = r#"
schema = 1
name = "storm"
mode = "enforce"
self-protection = false

[[workload]]
name = "demo"

[[rule]]
name = "no-shadow"
action = "deny"
operations = ["open"]
paths = ["/etc/shadow"]

[[alert]]
name = "storm"
severity = "critical"
metric = "aegis_workload_denials_total"
labels = { workload = ["demo"] }
increase = 20
clear = 5
within = 48
for = 3
outputs = ["console", "syslog", "stick", "led"]
meaning = "demo is denied again and again"
mend = "look at the last denial"

[[alert]]
name = "quiet"
severity = "info"
metric = "aegis_agent_up"
above = 0
meaning = "the agent answers"
mend = "nothing"

[[alert]]
name = "cold"
severity = "warning"
metric = "aegis_system_temperature_celsius"
below = -20
meaning = "it is cold"
mend = "close the window"
"#;

/// What an operator does meanwhile; each answer of `aegis alerts --json` is a line of its own on stdout.
const SCRIPT: &str = "
firing() { aegis alerts --json 2>/dev/null | grep -q '\"name\":\"storm\"[^}]*\"state\":\"firing\"'; }
until aegis alerts --json 2>/dev/null | grep -q '\"name\":\"quiet\"[^}]*\"state\":\"firing\"'; do sleep 1; done
aegis alerts --json; echo \"before $?\"
i=0; while [ $i -lt 60 ]; do true </etc/shadow; i=$((i + 1)); done 2>/dev/null
until firing; do sleep 1; done
aegis alerts --json; echo \"firing $?\"
aegis alerts
aegis health >/scratch/health; echo \"health $?\"; grep alert-firing /scratch/health
sleep 6; grep '^aegis_alert' /run/aegis/metrics.prom
names() { grep -v '^#' | sed 's/[{ ].*//' | sort -u; }
names </run/aegis/metrics.prom >/scratch/left; aegis metrics | names >/scratch/asked
diff /scratch/asked /scratch/left; echo \"figures $?\"
grep '^aegis_scrape_error' /run/aegis/metrics.prom | grep -v ' 0$'; echo \"unread $?\"
grep -h 'Cap\\(Prm\\|Eff\\)\\|Seccomp:\\|NoNewPrivs\\|VmHWM\\|VmRSS' /proc/$(cat /run/aegis/alerts.pid)/status
dmesg | grep 'aegis: ALERT storm' | tail -1
echo FIRED
while firing; do sleep 1; done
aegis alerts --json; echo \"after $?\"
kill -9 $(cat /run/aegis/alerts.pid); sleep 8
aegis alerts >/dev/null; echo \"again $?\"
aegis events --filter kind=alert --json
echo OVER";

fn alert<'v>(report: &'v Value, name: &str) -> &'v Value {
    let alerts = report["alerts"].as_array().expect("alerts");
    alerts.iter().find(|alert| alert["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

#[test]
fn a_storm_of_denials_is_told_and_is_over() {
    let bench = Bench::new();
    let policy = bench.config("storm.toml", POLICY);
    let (_slot, mut vm) = Bench::start(bench.demo(SCRIPT).policy(policy).sequence(7));
    let line = vm.wait_line("ALERT storm (critical): ").expect("watched").expect("a line on the console");
    assert!(
        line.contains("of workload=demo: demo is denied again and again; look at the last denial"),
        "{line}"
    );
    assert!(vm.wait_stdout("FIRED").expect("watched"), "{}", vm.console_end());
    let id = vm.plug(&Stick::new(StickFs::Vfat)).expect("plugged");
    assert!(vm.wait_line("can be pulled").expect("watched").is_some());
    vm.unplug(id).expect("pulled");
    let carried = carried(&bench, vm.stick_path(id));
    assert!(vm.wait_stdout("OVER").expect("watched"), "{}", vm.console_end());
    let run = Bench::evidence(vm.finish().expect("watched"));
    let (out, said) = (run.out_text(), console(&run));

    let reports: Vec<Value> = out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let states: Vec<&Value> =
        reports.iter().filter(|report| report["alerts"].is_array()).map(|one| alert(one, "storm")).collect();
    let words: Vec<&Value> = states.iter().map(|state| &state["state"]).collect();
    assert_eq!(words, ["inactive", "firing", "inactive"], "{out}");
    for (what, code) in [
        ("before", 0),
        ("firing", 1),
        ("health", 0),
        ("figures", 0),
        ("unread", 1),
        ("after", 0),
        ("again", 0),
    ] {
        assert!(out.lines().any(|line| line == format!("{what} {code}")), "{what} {code}: {out}");
    }
    assert!(states[1]["value"].as_f64().is_some_and(|value| value >= 60.0), "{}", states[1]);
    assert_eq!((&states[1]["series"], &states[1]["known"]), (&"workload=demo".into(), &true.into()));
    // A host without sensors has no figure; nobody is told that the agent answers but by its event.
    let first = &reports[0];
    assert_eq!(
        (&alert(first, "cold")["state"], &alert(first, "quiet")["state"]),
        (&"inactive".into(), &"firing".into())
    );
    assert!(!said.contains("ALERT quiet"), "nobody is told of it");
    assert!(
        out.lines().any(|line| line.contains("aegis: ALERT storm (critical): ")),
        "the kernel's log: {out}"
    );
    assert!(said.contains("alert storm is over: "), "{said}");
    assert!(out.contains("alert-firing: storm fires, "), "{out}");
    for series in [
        "aegis_alert_firing{alert=\"storm\",severity=\"critical\"} 1",
        "aegis_alert_firing{alert=\"cold\",severity=\"warning\"} 0",
    ] {
        assert!(out.lines().any(|line| line == series), "{series}: {out}");
    }
    // BPF (39) and PERFMON (38), and no way to more; of system calls what it takes, which every figure is read by.
    for privileges in
        ["CapEff:\t000000c000000000", "CapPrm:\t000000c000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
    {
        assert!(out.lines().any(|line| line == privileges), "{privileges}: {out}");
    }

    let events: Vec<_> =
        run.kind("alert").iter().map(|event| (event["alert"].clone(), event["code"].clone())).collect();
    for code in ["firing", "over"] {
        assert_eq!(
            events.iter().filter(|event| **event == ("storm".into(), code.into())).count(),
            1,
            "{events:?}"
        );
    }
    let fired = run.with(&[("kind", "alert".into()), ("alert", "storm".into()), ("code", "firing".into())]);
    assert_eq!((&fired[0]["severity"], &fired[0]["policy_sequence"]), (&"critical".into(), &7.into()));
    assert_eq!(fired[0]["detail"], "workload=demo");

    // What the stick took away: those that are for it.
    assert_eq!(alert(&carried, "storm")["state"], "firing");
    assert_eq!(carried["alerts"].as_array().map(Vec::len), Some(1), "{carried}");
}

/// The alerts that the stick carries, and that the office takes them for what they are.
fn carried(bench: &Bench, stick: &std::path::Path) -> Value {
    let into = bench.at("collected");
    let mut collect = Bench::aegisctl();
    collect.args(["stick", "collect", "--json"]).arg(stick).arg("--into").arg(&into);
    let report: Value = serde_json::from_slice(&Bench::good(collect)).expect("JSON");
    let files = report["files"].as_array().expect("files");
    assert!(files.iter().any(|file| file["file"] == "alerts.json" && file["good"] == true), "{report}");
    let mut type_out = Command::new("mtype");
    type_out.arg("-i").arg(stick).arg("::aegis/out/alerts.json");
    serde_json::from_slice(&Bench::good(type_out)).expect("JSON")
}
