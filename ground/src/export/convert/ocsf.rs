//! Events as OCSF 1.8 (<https://schema.ocsf.io/1.8.0>), one or two of theirs for one of ours.
//!
//! | ours | class | activity |
//! |---|---|---|
//! | `fork`, `exec`, `exec-check` | Process Activity 1007 | Launch (Fork, Exec) |
//! | `exit` | Process Activity 1007 | Terminate |
//! | `open` | File System Activity 1001 | Open |
//! | `connect` | Network Activity 4001 | Open |
//! | a decision that audited or denied one of these | besides it, Detection Finding 2004 | Create |
//! | everything else | Base Event 0 | Other, named after the kind |
//!
//! What OCSF has no attribute for stands in `unmapped`, so that nothing is left out.

use aegis_event::{Body, Decision, Event, File, Level, Subject, Verdict};
use serde_json::{Map, Value, json};

use crate::export::clock::Basis;
use crate::export::evidence::Record;
use crate::export::line::{Line, arguments, ip, shown};
use crate::hex;

/// The schema's version.
pub(super) const VERSION: &str = "1.8.0";

/// `class_uid`, `category_uid` and their names.
struct Class(u64, u64, &'static str, &'static str);

const BASE: Class = Class(0, 0, "Base Event", "Uncategorized");
const FILE: Class = Class(1001, 1, "File System Activity", "System Activity");
const PROCESS: Class = Class(1007, 1, "Process Activity", "System Activity");
const NETWORK: Class = Class(4001, 4, "Network Activity", "Network Activity");
const FINDING: Class = Class(2004, 2, "Detection Finding", "Findings");

/// A `severity_id` and its name.
struct Severity(u64, &'static str);

const INFORMATIONAL: Severity = Severity(1, "Informational");
const LOW: Severity = Severity(2, "Low");
const MEDIUM: Severity = Severity(3, "Medium");

/// The event, and the finding that its decision makes.
pub(super) fn events(record: &Record<'_>) -> (Value, Option<Value>) {
    let event = match &record.event {
        Ok(event) => event,
        Err(error) => return (undecoded(record, &error.to_string()), None),
    };
    let activity = activity(record, event);
    let finding = event
        .body
        .decision()
        .filter(|decision| decision.verdict != Verdict::Allowed)
        .map(|decision| finding(record, event, decision, &activity));
    (activity, finding)
}

/// What every record has.
fn base(
    record: &Record<'_>,
    class: &Class,
    (activity, name): (u64, &str),
    severity: &Severity,
    suffix: &str,
) -> Value {
    let key = record.key;
    let (device, ring) = (hex::encode(&key.device), hex::encode(&key.ring));
    let mut value = json!({
        "class_uid": class.0,
        "class_name": class.2,
        "category_uid": class.1,
        "category_name": class.3,
        "activity_id": activity,
        "activity_name": name,
        "type_uid": class.0 * 100 + activity,
        "type_name": format!("{}: {name}", class.2),
        "severity_id": severity.0,
        "severity": severity.1,
        "time": record.at() / 1_000,
        "metadata": {
            "version": VERSION,
            "product": { "name": "Aegis", "vendor_name": "Aegis", "feature": { "name": "ring" } },
            "profiles": ["host", "security_control"],
            "log_name": ring,
            "uid": format!("{device}/{ring}/{}{suffix}", record.sequence),
            "sequence": record.sequence,
        },
        "device": {
            "uid": device,
            "type_id": 99,
            "type": "Appliance",
            "boot_uid": hex::encode(&key.boot),
        },
    });
    if record.began.basis == Basis::Clock {
        value["device"]["boot_time"] = (record.began.at / 1_000).into();
    }
    value
}

/// What there is no attribute for: by which clock the time is, and the fields of the event that are left.
fn unmapped(record: &Record<'_>, left: impl Iterator<Item = (&'static str, Value)>) -> Value {
    let mut map: Map<String, Value> = left.map(|(name, value)| (name.to_owned(), value)).collect();
    map.insert("time_basis".into(), record.began.basis.name().into());
    map.insert("clock_trusted".into(), record.began.trusted.into());
    if let Some(boottime) = record.boottime() {
        map.insert("time_ns".into(), boottime.into());
    }
    Value::Object(map)
}

fn undecoded(record: &Record<'_>, error: &str) -> Value {
    let mut value = base(record, &BASE, (99, "unknown"), &INFORMATIONAL, "");
    value["message"] = error.into();
    value["unmapped"] = unmapped(record, [("event_hex", hex::encode(record.bytes).into())].into_iter());
    value
}

fn activity(record: &Record<'_>, event: &Event<'_>) -> Value {
    let decision = event.body.decision();
    let severity = severity(event);
    let name = event.kind().name();
    let (class, what) = match event.body {
        Body::Fork { .. } | Body::Exec { .. } | Body::ExecCheck { .. } => (PROCESS, (1, "Launch")),
        Body::Exit { .. } => (PROCESS, (2, "Terminate")),
        Body::Open { .. } => (FILE, (14, "Open")),
        Body::Connect { .. } => (NETWORK, (1, "Open")),
        _ => (BASE, (99, name)),
    };
    let mut value = base(record, &class, what, &severity, "");
    value["message"] = message(event).into();
    if let Some(subject) = &event.subject {
        value["actor"] = actor(subject);
    } else if class.0 == PROCESS.0 || class.0 == FILE.0 {
        // Required by these classes. An event without a subject has none to tell.
        value["actor"] = json!({ "app_name": "unknown" });
    }
    // Put into attributes above or below; the rest of the event is not.
    let mut mapped = vec![
        "time_ns",
        "kind",
        "workload",
        "pid",
        "tgid",
        "ppid",
        "uid",
        "comm",
        "verdict",
        "policy",
        "path",
        "inode",
        "argv",
        "address",
        "port",
        "protocol",
        "child_pid",
        "child_tgid",
        "status",
    ];
    match event.body {
        Body::Fork { child_pid, child_tgid } => {
            value["process"] = json!({ "pid": child_tgid, "ptid": child_pid });
            value["launch_type_id"] = 2.into();
            value["launch_type"] = "Fork".into();
        }
        Body::Exec { file, argv, .. } => {
            value["process"] = process(event.subject.as_ref());
            value["process"]["file"] = self::file(&file);
            value["process"]["cmd_line"] = arguments(argv).map(shown).collect::<Vec<_>>().join(" ").into();
            value["launch_type_id"] = 3.into();
            value["launch_type"] = "Exec".into();
            // Joined by spaces, where one argument ends can't be seen any more.
            mapped.retain(|name| *name != "argv");
        }
        Body::ExecCheck { file, .. } => {
            value["process"] = process(event.subject.as_ref());
            value["process"]["file"] = self::file(&file);
            value["launch_type_id"] = 3.into();
            value["launch_type"] = "Exec".into();
        }
        Body::Exit { status, signal } => {
            value["process"] = process(event.subject.as_ref());
            // As a shell has it.
            let code = if signal == 0 { u64::from(status) } else { 128 + u64::from(signal) };
            value["exit_code"] = code.into();
        }
        Body::Open { file, .. } => value["file"] = self::file(&file),
        Body::Connect { family, protocol, port, address, .. } => {
            let version = if family == 2 { 4 } else { 6 };
            value["dst_endpoint"] = endpoint(port, address);
            value["connection_info"] = json!({
                "direction_id": 2,
                "direction": "Outbound",
                "protocol_num": protocol,
                "protocol_ver_id": version,
            });
        }
        _ => {}
    }
    if let Some(decision) = decision {
        control(&mut value, decision);
    }
    let mut line = Line::default();
    line.event(event);
    if class.0 == BASE.0 {
        mapped = vec!["time_ns"];
    }
    value["unmapped"] = unmapped(record, line.without(&mapped));
    value
}

/// How bad it is: what was denied or is lost before what was only noticed.
fn severity(event: &Event<'_>) -> Severity {
    let verdict = event.body.decision().map(|decision| decision.verdict);
    match (verdict, event.body) {
        (_, Body::Config { code, .. }) if !matches!(code, "file" | "defaults") => LOW,
        (Some(Verdict::Audited), _)
        | (
            _,
            Body::PolicyStale { .. }
            | Body::RingLevel { level: Level::High, .. }
            | Body::Seal { code: "unwiped", .. },
        ) => LOW,
        (_, Body::Seal { code: "began" | "resumed", .. } | Body::RingLevel { level: Level::Normal, .. }) => {
            INFORMATIONAL
        }
        // What is denied or lost, and a chain of seals that is begun anew or can't be gone on with.
        (Some(Verdict::Denied), _)
        | (
            _,
            Body::Loss { .. }
            | Body::BreakGlass { .. }
            | Body::Gap(_)
            | Body::RingLevel { .. }
            | Body::Seal { .. },
        ) => MEDIUM,
        _ => INFORMATIONAL,
    }
}

/// The event as a person reads it, without its time and subject, which stand elsewhere.
fn message(event: &Event<'_>) -> String {
    let bare = Event { time: 0, subject: None, body: event.body }.to_string();
    bare.trim_start().trim_start_matches("0.000000 aegis ").to_owned()
}

/// The security control profile: what was done about it, by which policy.
fn control(value: &mut Value, decision: &Decision<'_>) {
    let (action_id, action, disposition_id, disposition) = match decision.verdict {
        Verdict::Allowed => (1, "Allowed", 1, "Allowed"),
        Verdict::Audited => (3, "Observed", 15, "Detected"),
        Verdict::Denied => (2, "Denied", 2, "Blocked"),
    };
    value["action_id"] = action_id.into();
    value["action"] = action.into();
    value["disposition_id"] = disposition_id.into();
    value["disposition"] = disposition.into();
    value["is_alert"] = (decision.verdict != Verdict::Allowed).into();
    value["policy"] = json!({ "uid": decision.policy.to_string(), "is_applied": true });
    value["status_id"] = if decision.verdict == Verdict::Denied { 2 } else { 1 }.into();
    value["status"] = if decision.verdict == Verdict::Denied { "Failure" } else { "Success" }.into();
}

fn finding(record: &Record<'_>, event: &Event<'_>, decision: &Decision<'_>, activity: &Value) -> Value {
    let severity = if decision.verdict == Verdict::Denied { MEDIUM } else { LOW };
    let mut value = base(record, &FINDING, (1, "Create"), &severity, "/finding");
    let uid = value["metadata"]["uid"].clone();
    let rule = if decision.rule.is_empty() { "(no rule)".into() } else { shown(decision.rule) };
    control(&mut value, decision);
    value["status_id"] = 1.into();
    value["status"] = "New".into();
    value["message"] = activity["message"].clone();
    value["finding_info"] = json!({
        "uid": uid,
        "title": format!("{} {}", event.kind().name(), decision.verdict.name()),
        "desc": activity["message"],
        "analytic": { "name": rule, "uid": rule, "type_id": 1, "type": "Rule" },
        "related_events": [{
            "uid": activity["metadata"]["uid"],
            "type_uid": activity["type_uid"],
            "type_name": activity["type_name"],
        }],
        "related_events_count": 1,
    });
    let mut evidence = Map::new();
    for name in ["actor", "process", "file", "dst_endpoint", "connection_info"] {
        if let Some(part) = activity.get(name) {
            evidence.insert(name.to_owned(), part.clone());
        }
    }
    value["evidences"] = json!([evidence]);
    let glass = decision.glass_broken.then_some(("glass_broken", Value::Bool(true)));
    value["unmapped"] = unmapped(record, glass.into_iter());
    value
}

fn actor(subject: &Subject<'_>) -> Value {
    json!({
        "app_name": shown(subject.workload),
        "process": process(Some(subject)),
        "user": user(subject),
    })
}

fn user(subject: &Subject<'_>) -> Value {
    json!({ "uid": subject.process.uid.to_string() })
}

/// The subject as a process; a process of which nothing is known must be called something.
fn process(subject: Option<&Subject<'_>>) -> Value {
    let Some(subject) = subject else { return json!({ "uid": "unknown" }) };
    let task = &subject.process;
    json!({
        "pid": task.tgid,
        "ptid": task.pid,
        "name": shown(task.comm),
        "user": user(subject),
        "parent_process": { "pid": task.ppid },
    })
}

fn file(file: &File<'_>) -> Value {
    let name = file.path.rsplit(|byte| *byte == b'/').next().unwrap_or(file.path);
    json!({
        "name": if name.is_empty() { shown(file.path) } else { shown(name) },
        "path": shown(file.path),
        // What kind of file it was is not recorded.
        "type_id": 0,
        "uid": file.inode.to_string(),
    })
}

fn endpoint(port: u16, address: &[u8]) -> Value {
    let address = ip(address).map_or_else(|| hex::encode(address), |ip| ip.to_string());
    json!({ "ip": address, "port": port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_says_of_itself_is_as_bad_as_it_is() {
        for (body, expected) in [
            (Body::RingLevel { level: Level::Normal, percent: 10 }, 1),
            (Body::RingLevel { level: Level::High, percent: 70 }, 2),
            (Body::RingLevel { level: Level::Critical, percent: 90 }, 3),
            (Body::RingLevel { level: Level::Full, percent: 100 }, 3),
            (Body::Seal { code: "began", epoch: 0 }, 1),
            (Body::Seal { code: "resumed", epoch: 9 }, 1),
            (Body::Seal { code: "unwiped", epoch: 9 }, 2),
            (Body::Seal { code: "failed", epoch: 9 }, 3),
            (Body::Seal { code: "seal-state-lost", epoch: 9 }, 3),
            (Body::Config { code: "file", detail: "" }, 1),
            (Body::Config { code: "defaults", detail: "" }, 1),
            (Body::Config { code: "last-good", detail: "" }, 2),
            (Body::Stop { signal: 15 }, 1),
        ] {
            assert_eq!(severity(&Event { time: 0, subject: None, body }).0, expected, "{body:?}");
        }
    }
}
