//! Alerts: what is one, what is refused and how, what is warned of, and that those that ship are those of Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use aegis_policy::{Condition, Outputs, Policy, Relation, Severity, Way, limits};

use super::{compile, format, mend, parse, warnings};
use crate::policy::render::render;
use crate::policy::settings;

const ALERTS: &str = r#"schema = 1
name = "demo"
mode = "audit"

[[workload]]
name = "demo"

[[alert]]
name = "storm"
severity = "warning"
metric = "aegis_workload_denials_total"
except = { workload = ["aegis-selftest"] }
increase = 5
within = 60
clear = 1.5
for = 30
clear-for = 10
outputs = ["console", "led"]
meaning = "denied again and again"
mend = "look"

[[alert]]
name = "cold"
severity = "info"
metric = "aegis_system_temperature_celsius"
less = "aegis_system_temperature_critical_celsius"
below = -40.25
clear = -40
outputs = ["syslog"]
meaning = "it is ${cold}"
mend = "warm it"
"#;

#[test]
fn an_alert_is_compiled_as_it_is_written() {
    let compiled = compile(ALERTS);
    let policy = Policy::decode(&compiled.bytes).expect("good");
    let alerts: Vec<_> = policy.alerts().iter().collect();
    let storm = &alerts[0];
    assert_eq!(
        (storm.name, storm.severity, storm.hold, storm.clear_hold),
        ("storm", Severity::Warning, 30, 10)
    );
    let way = Way::Increase { kept: false };
    assert_eq!(storm.condition, Condition::Moved { way, threshold: 5_000, clear: 1_500, seconds: 60 });
    assert_eq!(storm.outputs.bits(), Outputs::CONSOLE.bits() | Outputs::LED.bits());
    let of = storm.matches().next().expect("a label");
    assert_eq!(
        (of.label, of.except, of.values.collect::<Vec<_>>()),
        ("workload", true, vec!["aegis-selftest"])
    );
    let cold = &alerts[1];
    assert_eq!(cold.condition, Condition::Below { threshold: -40_250, clear: -40_000 });
    assert_eq!(cold.relation, Some((Relation::Less, "aegis_system_temperature_critical_celsius")));
    assert_eq!(cold.meaning, "it is ${cold}", "its texts have no gaps");
    // A counter that the ring keeps is told from one that begins with the boot.
    let kept = ALERTS.replace("aegis_workload_denials_total", "aegis_ring_damaged_events_total");
    let kept = compile(&kept.replace("except = { workload = [\"aegis-selftest\"] }\n", ""));
    let first = Policy::decode(&kept.bytes).expect("good").alerts().iter().next().expect("one").condition;
    assert!(matches!(first, Condition::Moved { way: Way::Increase { kept: true }, .. }));
}

/// What a bundle carries as source says the same, and is formatted.
#[test]
fn what_is_written_again_is_the_same() {
    let compiled = compile(ALERTS);
    let rendered = render(&compiled.source, &compiled.sources);
    assert_eq!(compile(&rendered).bytes, compiled.bytes, "{rendered}");
    assert_eq!(format(ALERTS).expect("good"), ALERTS);
    let moved = ALERTS
        .replace("severity = \"info\"\n", "")
        .replace("mend = \"warm it\"", "mend = \"warm it\"\nseverity = \"info\"");
    assert_eq!(format(&moved).expect("good"), ALERTS, "keys have an order");
}

#[test]
fn what_is_no_alert_is_refused_with_the_mend() {
    let mut parts = ALERTS.split("[[alert]]");
    let (head, one) = (parts.next().expect("a head"), parts.next().expect("an alert"));
    let mut many = head.to_owned();
    for number in 0..=limits::ALERTS {
        many.push_str("[[alert]]");
        many.push_str(&one.replace("storm", &number.to_string()));
    }
    for (from, to, expected) in [
        (
            "aegis_workload_denials_total",
            "aegis_workload_denial_total",
            "(did you mean \"aegis_workload_denials_total\"?)",
        ),
        ("aegis_workload_denials_total", "x", "docs/metrics.md has all of them"),
        ("aegis_workload_denials_total", "aegis_ring_flush_seconds", "is a histogram"),
        ("{ workload =", "{ worklod =", "has no label \"worklod\" (did you mean \"workload\"?)"),
        ("{ workload = [", "{ workload = [3, ", "a string is needed here"),
        ("severity = \"info\"", "severity = \"fatal\"", "unknown severity \"fatal\""),
        ("[\"syslog\"]", "[\"mail\"]", "unknown output \"mail\""),
        ("increase = 5\n", "", "the alert fires on nothing"),
        ("increase = 5", "increase = 5\nabove = 3", "one at most"),
        ("within = 60\n", "", "say within how many seconds"),
        ("increase = 5", "change = 5", "is a counter: write \"increase\""),
        ("below = -40.25", "increase = 3", "is a gauge: write \"change\" or \"decrease\""),
        ("increase = 5", "increase = -5", "is above what it fires on"),
        ("clear = 1.5", "clear = 6", "\"clear\" is above what it fires on"),
        ("clear = -40\n", "clear = -41\n", "\"clear\" is below what it fires on"),
        ("-40.25", "-40.2525", "at most three decimal places"),
        ("within = 60", "within = 604801", "a number from 1 to 604800"),
        ("for = 30", "for = 604801", "a number from 0 to 604800"),
        (
            "less = \"aegis_system_temperature_critical_celsius\"",
            "less = \"aegis_ring_used_bytes\"",
            "has not the labels of",
        ),
        ("below = -40.25\nclear = -40", "absent = true", "\"less\" goes with above and below alone"),
        ("mend = \"look\"", "mend = \"\"", "\"mend\" is 1 to 200 bytes"),
        ("mend = \"look\"\n", "", "\"mend\" is missing from alert"),
        ("for = 30", "four = 30", "unknown key \"four\" (did you mean \"for\"?)"),
        ("name = \"cold\"", "name = \"storm\"", "alert \"storm\" stands twice (first on line 9)"),
        ("name = \"cold\"", "name = \"Cold\"", "bad alert name"),
    ] {
        assert!(ALERTS.contains(from), "{from}");
        let (_, read) = parse(&ALERTS.replacen(from, to, 1));
        let error = read.map(drop).expect_err(to);
        assert!(error.message.contains(expected), "{to}: {}", error.message);
    }
    let verdict = ALERTS
        .replace("aegis_workload_denials_total", "aegis_events_total")
        .replace("{ workload = [\"aegis-selftest\"] }", "{ verdict = [\"refused\"] }");
    let error = parse(&verdict).1.map(drop).expect_err("no such verdict");
    assert!(
        error.message.contains("label verdict is never \"refused\" (known: allowed, audited, denied, none)"),
        "{}",
        error.message
    );
    let error = parse(&many).1.map(drop).expect_err("too many");
    assert_eq!(error.message, "more than 64 alerts");
}

#[test]
fn alerts_are_warned_of_and_mended() {
    let text = ALERTS
        .replace("\"led\"]", "\"led\", \"console\"]")
        .replace("clear = -40\noutputs = [\"syslog\"]\n", "");
    let codes: Vec<(usize, &str)> = warnings(&text).iter().map(|(line, code, _)| (*line, *code)).collect();
    let expected = [(18, "duplicate-output"), (23, "flapping-alert"), (23, "silent-alert")];
    assert_eq!(codes.iter().filter(|found| expected.contains(found)).count(), 3, "{codes:?}");
    let (mended, count) = mend(&text);
    assert_eq!((count, mended), (1, text.replace("\"led\", \"console\"]", "\"led\"]")));
}

#[test]
fn an_alert_that_changes_is_a_setting_that_does() {
    let (old, new) =
        (compile(ALERTS), compile(&ALERTS.replace("for = 30", "for = 31").replace("cold", "chill")));
    let (old, new) = (Policy::decode(&old.bytes).expect("good"), Policy::decode(&new.bytes).expect("good"));
    let changed = settings::changed(&old, &new, &[]);
    let lines: Vec<String> = changed.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].starts_with("alert of chill: none -> info aegis_system_temperature_celsius less "),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("alert of cold: ") && lines[1].ends_with(" -> none"), "{lines:?}");
    assert!(lines[2].contains(" for 30 clear-for 10 to console+led: "), "{lines:?}");
}

/// Of an alarm of Prometheus: severity, seconds of its `for`, its expression.
type Alarm = (String, u64, String);

fn alarms() -> BTreeMap<String, Alarm> {
    const RULES: &str = include_str!("../../../../docs/monitoring/aegis.rules.yml");
    let mut lines = RULES.lines().map(str::trim);
    let mut found = BTreeMap::new();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("- alert: ") else { continue };
        let mut expression = String::new();
        let (mut seconds, mut severity) = (None, None);
        for line in lines.by_ref() {
            if let Some(time) = line.strip_prefix("for: ") {
                seconds = time.strip_suffix('m').and_then(|minutes| minutes.parse::<u64>().ok());
            } else if let Some(word) = line.strip_prefix("severity: ") {
                severity = Some(word.to_owned());
                break;
            } else if !line.ends_with(':') && !line.ends_with(">-") {
                expression.push_str(line);
            }
        }
        found.insert(
            name.to_owned(),
            (severity.expect("a severity"), seconds.expect("minutes") * 60, expression),
        );
    }
    found
}

/// `deny-storm` is `AegisDenyStorm`.
fn alarm_name(alert: &str) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    format!("Aegis{}", alert.split('-').map(word).collect::<String>())
}

/// The device's alerts that ship and the alarms for Prometheus are one set: names, severities, times, metrics and numbers.
#[test]
fn those_that_ship_are_those_of_prometheus() {
    // What nobody can tell of himself, what needs a quantile, what the site's endpoint counts.
    const PROMETHEUS_ALONE: [&str; 5] =
        ["AegisMetricsAbsent", "AegisAlertsStill", "AegisRingSlow", "AegisNotPushed", "AegisPushMissed"];
    // By workload and resource there, all together here: rates of 5 and 0.3 a second, for 300 and 600 s.
    const OTHER_FORM: [&str; 2] = ["deny-storm", "pressure"];
    let shipped = compile(&format!(
        "name = \"p\"\nmode = \"audit\"\n{}\n[[workload]]\nname = \"*\"\n",
        include_str!("../../../../policy-bundles/lib/alerts.toml")
    ));
    let policy = Policy::decode(&shipped.bytes).expect("good");
    let mut alarms = alarms();
    for alert in &policy.alerts() {
        let name = alarm_name(alert.name);
        let (severity, seconds, expression) =
            alarms.remove(&name).unwrap_or_else(|| panic!("no alarm {name}"));
        assert_eq!((severity.as_str(), seconds), (alert.severity.name(), alert.hold.into()), "{name}");
        let metrics = [Some(alert.metric), alert.relation.map(|(_, other)| other)];
        let words: BTreeSet<&str> = expression
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("aegis_"))
            .collect();
        for metric in metrics.into_iter().flatten() {
            assert!(words.contains(metric), "{name}: {metric}: {expression}");
        }
        for mut of in alert.matches() {
            assert!(
                expression.contains(of.label) && of.values.all(|value| expression.contains(value)),
                "{name}"
            );
        }
        let threshold = match alert.condition {
            Condition::Above { threshold, .. }
            | Condition::Below { threshold, .. }
            | Condition::Moved { threshold, .. } => threshold,
            Condition::Absent | Condition::Unmoved { .. } => {
                panic!("{name}: of a form that Prometheus has otherwise")
            }
        };
        // `== 1` and `== 0` of a flag are `> 0` and `< 1`.
        let number = aegis_event::Thousandths(threshold).to_string();
        let flag =
            expression.contains("== 1") && number == "0" || expression.contains("== 0") && number == "1";
        let same = expression.contains(&format!("> {number}")) || expression.contains(&format!("< {number}"));
        let moved_from_most = alert.name == "hook-lost";
        assert!(
            flag || same || moved_from_most || OTHER_FORM.contains(&alert.name),
            "{name}: {number}: {expression}"
        );
        assert!(!alert.outputs.contains(Outputs::LED) || alert.severity >= Severity::Warning, "{name}");
    }
    let left: Vec<&String> = alarms.keys().collect();
    let mut expected = PROMETHEUS_ALONE.to_vec();
    expected.sort_unstable();
    assert_eq!(left, expected);
    assert!(policy.alerts().count() >= 15);
    let guide = include_str!("../../../../docs/alerts.md");
    for alert in &policy.alerts() {
        let (meaning, mend) = (alert.meaning, alert.mend);
        assert!(guide.contains(&format!("| {meaning} | {mend} |")), "docs/alerts.md: {}", alert.name);
    }
    assert_eq!(warnings(&shipped.text).iter().filter(|warning| warning.1.contains("alert")).count(), 0);
}
