//! What a device measures of itself: against its evidence, against the contract, and read by a real Prometheus.

#![allow(clippy::float_cmp, reason = "counts below 2^53: exact")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aegis_metrics::{Id, Presence, Type};
use aegis_tests::{Bench, Evidence, Rule, root};
use serde_json::Value;

/// What an operator reads on the device after a workload was denied this often.
const DENIED: usize = 25;

const SHADOW: Rule<'static> =
    Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };

/// Series by name and labels.
struct Metrics {
    text: String,
    series: BTreeMap<String, f64>,
}

impl Metrics {
    fn read(text: String) -> Self {
        let line = |line: &str| {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            (series.to_owned(), value.parse().expect("a number"))
        };
        let series = text.lines().filter(|line| !line.starts_with('#')).map(line).collect();
        Self { text, series }
    }

    fn get(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    fn of(&self, series: &str) -> f64 {
        self.get(series).unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }

    /// The sum of a family's series with this in their labels.
    fn sum(&self, family: &str, with: &str) -> f64 {
        let of = |series: &&String| series.split('{').next() == Some(family) && series.contains(with);
        self.series.keys().filter(of).filter_map(|series| self.get(series)).sum()
    }
}

#[expect(clippy::cast_precision_loss, reason = "as Prometheus has it")]
fn number(count: usize) -> f64 {
    count as f64
}

fn status_number(run: &Evidence, pointer: &str) -> f64 {
    run.status.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}: {}", run.status))
}

#[test]
fn metrics_agree_with_the_evidence_and_keep_their_contract() {
    let bench = Bench::new();
    let policy = bench.policy("deny", "enforce", &[SHADOW]);
    let script = format!(
        "
echo 1 >/proc/sys/kernel/bpf_stats_enabled
i=0; while [ $i -lt {DENIED} ]; do true </etc/shadow; i=$((i + 1)); done 2>/dev/null
cat /proc/stat /proc/meminfo >/scratch/some
aegis metrics --out /scratch/aegis.prom >&2; echo \"out $?\" >&2
aegis metrics --out /nowhere/aegis.prom; echo \"nowhere $?\" >&2
ls -A /scratch >&2
sleep 1
aegis metrics; echo \"exit $?\" >&2"
    );
    let run = Bench::run(bench.demo(&script).policy(policy).sequence(500));
    let said = run.err_text();
    for line in ["out 0", "nowhere 2", "exit 0", "aegis.prom"] {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
    assert!(!said.contains(".aegis-") && !said.contains("metrics: "), "{said}");
    let metrics = Metrics::read(run.out_text());
    agrees_with_evidence(&metrics, &run);
    keeps_its_contract(&metrics);
    let lint = check(&metrics.text);
    assert!(lint.is_empty(), "promtool: {lint}");
    is_read_by_prometheus(&bench, &metrics);
}

fn agrees_with_evidence(metrics: &Metrics, run: &Evidence) {
    let denied = |fields: &[(&str, Value)]| {
        let all = [&[("verdict", Value::from("denied"))], fields].concat();
        number(run.with(&all).len())
    };
    let by_demo = denied(&[("workload", "demo".into())]);
    assert!(by_demo >= number(DENIED), "{by_demo}");
    let workload = |family: &str| metrics.of(&format!("aegis_workload_{family}{{workload=\"demo\"}}"));
    assert_eq!(workload("denials_total"), by_demo, "as the kernel counted them");
    let events = |kind: &str, verdict: &str| {
        metrics.of(&format!("aegis_events_total{{kind=\"{kind}\",verdict=\"{verdict}\"}}"))
    };
    assert_eq!(events("open", "denied"), denied(&[("kind", "open".into())]), "as the agent did");
    assert_eq!(metrics.sum("aegis_events_total", "verdict=\"denied\""), denied(&[]));
    assert!(workload("events_total") >= number(DENIED));

    // Nothing is lost, and what was seen is on disk or on its way.
    assert_eq!((run.lost(), metrics.sum("aegis_lost_events_total", "")), (0, 0.0));
    let [seen, written, in_flight] =
        ["seen_total", "written_total", "in_flight"].map(|name| metrics.of(&format!("aegis_events_{name}")));
    assert_eq!(seen, written + in_flight);
    assert!(seen <= status_number(run, "/accounts/seen") && seen > 100.0, "{seen}");

    let hooks = run.status["hooks"].as_array().expect("hooks");
    let attached = hooks.iter().filter(|hook| hook["attached"] != "missing").count();
    assert_eq!(metrics.sum("aegis_hook_attached", ""), number(attached));
    let all = metrics.series.keys().filter(|series| series.starts_with("aegis_hook_attached{")).count();
    assert_eq!(all, hooks.len(), "one for each hook");
    // The kernel counted calls: of opening a file at least those that were denied.
    assert_eq!(metrics.of("aegis_hook_statistics_enabled"), 1.0);
    let calls = metrics.of("aegis_hook_invocations_total{hook=\"file_open\"}");
    let seconds = metrics.of("aegis_hook_run_seconds_total{hook=\"file_open\"}");
    assert!(calls >= number(DENIED) && seconds > 0.0 && seconds / calls < 0.1, "{calls} calls, {seconds} s");

    for (series, pointer) in [
        ("aegis_policy_epoch", "/policy/epoch"),
        ("aegis_policy_sequence", "/policy/sequence"),
        ("aegis_policy_rules", "/policy/rules"),
        ("aegis_policy_entries", "/policy/entries"),
        ("aegis_agent_heap_limit_bytes", "/heap/limit"),
        ("aegis_ring_size_bytes", "/ring/capacity_bytes"),
    ] {
        assert_eq!(metrics.of(series), status_number(run, pointer), "{series}");
    }
    assert_eq!(metrics.of("aegis_policy_sequence"), 500.0);
    assert_eq!(metrics.of("aegis_mode_info{mode=\"enforcing\",reason=\"self-test-passed\"}"), 1.0);
    let capacity = metrics.of("aegis_map_capacity_entries{map=\"rules_0\"}");
    let entries = metrics.sum("aegis_map_entries", "map=\"rules_");
    assert!(entries > 0.0 && entries < capacity, "{entries} of {capacity}");
    assert!(metrics.of("aegis_agent_resident_bytes") <= f64::from(4 << 20));
    assert_eq!(metrics.of("aegis_agent_event_allocations_total"), 0.0);
    // One start, one stick that brought one policy.
    assert_eq!(metrics.of("aegis_starts_total{program=\"agent\"}"), 1.0);
    assert_eq!(metrics.of("aegis_sticks_seen_total"), 1.0);
    assert_eq!(metrics.of("aegis_offers_accepted_total{what=\"bundle\"}"), 1.0);
    assert_eq!(metrics.sum("aegis_offers_refused_total", ""), 0.0);
    assert!(metrics.of("aegis_ring_flush_seconds_count") > 0.0);
    assert!(metrics.of("aegis_ring_unexported_events") > number(DENIED), "nothing left the device yet");
    let age = metrics.of("aegis_ring_unexported_oldest_age_seconds");
    assert!(age > 0.0 && age <= metrics.of("aegis_system_uptime_seconds"), "{age}");
    assert!(workload("memory_bytes") > 0.0 && workload("pids") >= 2.0);
    assert!(metrics.sum("aegis_workload_cpu_seconds_total", "workload=\"demo\"") > 0.0);
}

fn keeps_its_contract(metrics: &Metrics) {
    let said: BTreeSet<(&str, &str)> =
        metrics.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let contract: BTreeSet<_> =
        Id::ALL.iter().map(|id| (id.family().name(), id.family().kind.name())).collect();
    assert_eq!(said, contract, "the same families");
    for id in Id::ALL {
        let family = id.family();
        let end = if family.kind == Type::Histogram { "_count" } else { "" };
        let name = format!("{}{end}", family.name());
        let series: Vec<_> =
            metrics.series.keys().filter(|series| series.split('{').next() == Some(&name)).collect();
        if family.presence == Presence::Always {
            assert!(!series.is_empty(), "{name} is to be there always:\n{}", metrics.text);
        }
        assert!(series.len() <= family.most() as usize, "{name}");
        for label in family.labels {
            let named = format!("{}=\"", label.name);
            let values: BTreeSet<_> = series
                .iter()
                .map(|series| {
                    let rest = series.split_once(&named).expect("it has this label").1;
                    rest.split('"').next().unwrap_or_default()
                })
                .collect();
            assert!(values.len() <= usize::from(label.most), "{name}: {values:?}");
        }
    }
    assert_eq!(metrics.sum("aegis_scrape_error", ""), 0.0, "{}", metrics.text);
    assert_eq!(metrics.of("aegis_scrape_left_out_series"), 0.0);
}

/// What `promtool check metrics` finds.
fn check(text: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there (make deps)");
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("read");
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { said } else { format!("{}: {said}", output.status) }
}

/// A Prometheus of the host, for as long as it is kept.
struct Prometheus {
    process: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// With our rules; it reads what is served on this port.
    fn start(bench: &Bench, target: u16) -> Self {
        let config = bench.at("prometheus.yml");
        let rules = root().join("docs/monitoring/aegis.rules.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
             scrape_configs: [{{job_name: aegis, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n",
            rules.display()
        );
        std::fs::write(&config, text).expect("written");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let log = std::fs::File::create(bench.at("prometheus.log")).expect("written");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", bench.at("prometheus").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is there (make deps)");
        Self { process, port: free.port() }
    }

    /// An answer of its API; none while it does not listen.
    fn ask(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// The value of an expression with one result.
    fn value(&self, expression: &str) -> Option<f64> {
        let data = self.ask(&format!("query?query={expression}"))?;
        data["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

/// Serves a text to whoever asks, as long as the test runs.
fn serve(text: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let answer = format!(
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { continue };
            let _ = client.read(&mut [0; 4096]).and_then(|_| client.write_all(answer.as_bytes()));
        }
    });
    port
}

fn is_read_by_prometheus(bench: &Bench, metrics: &Metrics) {
    let prometheus = Prometheus::start(bench, serve(&metrics.text));
    let log = || std::fs::read_to_string(bench.at("prometheus.log")).unwrap_or_default();
    let wait = |what: &str, holds: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_mins(2);
        while !holds() {
            assert!(Instant::now() < end, "{what}: {}\n{:?}", log(), prometheus.ask("targets"));
            thread::sleep(Duration::from_millis(200));
        }
    };
    wait("it reads the device", &|| prometheus.value("aegis_agent_up") == Some(1.0));
    // As many series as there are lines: none was dropped on the way.
    let count = prometheus.value("count(%7B__name__=~%22aegis_.%2B%22%7D)");
    assert_eq!(count, Some(number(metrics.series.len())));
    let denials = prometheus.value("aegis_workload_denials_total%7Bworkload=%22demo%22%7D");
    assert_eq!(denials, metrics.get("aegis_workload_denials_total{workload=\"demo\"}"));

    let rules = || -> Vec<Value> {
        let groups = prometheus.ask("rules").map(|data| data["groups"].clone()).unwrap_or_default();
        let rules = |group: &Value| group["rules"].as_array().cloned().unwrap_or_default();
        groups.as_array().into_iter().flatten().flat_map(rules).collect()
    };
    let text = std::fs::read_to_string(root().join("docs/monitoring/aegis.rules.yml")).expect("rules");
    let written = text.matches("- alert: ").count();
    wait("all rules are evaluated", &|| {
        let rules = rules();
        rules.len() == written && rules.iter().all(|rule| rule["health"] == "ok")
    });
    // Ours is a debug image, and says so; it has no other trouble.
    let firing = |rule: &&Value| rule["state"] == "firing";
    let names = || -> Vec<String> {
        rules().iter().filter(firing).filter_map(|rule| rule["name"].as_str().map(str::to_owned)).collect()
    };
    wait("an alarm fires", &|| !names().is_empty());
    assert_eq!(names(), ["AegisDebugImage"]);
}

/// The rules are good ones, and each of them was seen to fire and not to.
#[test]
fn alarms_are_tested() {
    let folder = root().join("docs/monitoring");
    let run = |words: [&str; 3]| {
        let mut command = Command::new("promtool");
        command.args(words).current_dir(&folder);
        Bench::good(command);
    };
    run(["check", "rules", "aegis.rules.yml"]);
    run(["test", "rules", "aegis.test.yml"]);
    let dashboard = std::fs::read(Path::new(&folder).join("dashboard.json")).expect("a dashboard");
    let dashboard: Value = serde_json::from_slice(&dashboard).expect("JSON");
    let mut expressions = Vec::new();
    collect(&dashboard["panels"], &mut expressions);
    assert!(expressions.len() > 20, "{}", expressions.len());
    // As rules, promtool reads them: what is no expression is found.
    let bench = Bench::new();
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(at, expression)| {
            serde_json::json!({ "record": format!("panel:{at}"), "expr": expression.replace("$__rate_interval", "5m") })
        })
        .collect();
    let groups = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] });
    std::fs::write(bench.at("panels.yml"), groups.to_string()).expect("written");
    let mut command = Command::new("promtool");
    command.args(["check", "rules"]).arg(bench.at("panels.yml"));
    Bench::good(command);
}

/// Every `expr` below.
fn collect(value: &Value, expressions: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "expr" => expressions.push(text.clone()),
                    other => collect(other, expressions),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, expressions)),
        _ => {}
    }
}
