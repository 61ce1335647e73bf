//! Events as OCSF 1.8 (<https://schema.ocsf.io/1.8.0>), one or two of theirs for one of ours.
//!
//! | ours | class | activity |
//! |---|---|---|
//! | `fork`, `exec`, `exec-check` | Process Activity 1007 | Launch (Fork, Exec) |
//! | `exit` | Process Activity 1007 | Terminate |
//! | `ptrace` | Process Activity 1007 | Open |
//! | `privilege` | Process Activity 1007 | Set User ID; Other where only capabilities changed |
//! | `open` | File System Activity 1001 | Open |
//! | `create`, `unlink`, `rename` | File System Activity 1001 | Create, Delete, Rename |
//! | `setattr` | File System Activity 1001 | Set Attributes; Update where it set the length |
//! | `volume` | File System Activity 1001 | Read; Update where it wrote |
//! | `link`, `unix-connect` | File System Activity 1001 | Other, named after the kind |
//! | `connect`, `accept` | Network Activity 4001 | Open |
//! | `listen`, `flow` | Network Activity 4001 | Listen, Traffic |
//! | `bind` | Network Activity 4001 | Other, named after the kind |
//! | `module` | Kernel Extension Activity 1002 | Load |
//! | `bpf`, `mount`, `signal`, `escape` | Kernel Activity 1003 | Invoke |
//! | a decision that audited or denied one of these | besides it, Detection Finding 2004 | Create |
//! | everything else; network activity without an address | Base Event 0 | Other, named after the kind |
//!
//! What OCSF has no attribute for stands in `unmapped`, so that nothing is left out.

use aegis_event::{Body, Decision, Endpoint, Event, File, Level, Subject, Verdict, arguments};
use serde_json::{Map, Value, json};

use crate::export::clock::Basis;
use crate::export::evidence::Record;
use crate::export::line::{Line, ip, shown};
use crate::hex;

/// The schema's version.
pub(super) const VERSION: &str = "1.8.0";

/// `class_uid`, `category_uid` and their names.
struct Class(u64, u64, &'static str, &'static str);

const BASE: Class = Class(0, 0, "Base Event", "Uncategorized");
const FILE: Class = Class(1001, 1, "File System Activity", "System Activity");
const PROCESS: Class = Class(1007, 1, "Process Activity", "System Activity");
const DRIVER: Class = Class(1002, 1, "Kernel Extension Activity", "System Activity");
const KERNEL: Class = Class(1003, 1, "Kernel Activity", "System Activity");
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
    let (class, what) = class_of(&event.body);
    let mut value = base(record, &class, what, &severity, "");
    value["message"] = message(event).into();
    if let Some(subject) = &event.subject {
        value["actor"] = actor(subject);
    } else if class.1 == PROCESS.1 {
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
    mapped.extend(attributes(&mut value, &class, event));
    if let Body::Exec { .. } = event.body {
        // Joined by spaces, where one argument ends can't be seen any more.
        mapped.retain(|name| *name != "argv");
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

/// The class of an event, and its activity there.
fn class_of(body: &Body<'_>) -> (Class, (u64, &'static str)) {
    let other = (99, body.kind().name());
    let addressed = |address: &[u8], activity| {
        if address.is_empty() { (BASE, other) } else { (NETWORK, activity) }
    };
    match body {
        Body::Fork { .. } | Body::Exec { .. } | Body::ExecCheck { .. } => (PROCESS, (1, "Launch")),
        Body::Exit { .. } => (PROCESS, (2, "Terminate")),
        Body::Ptrace { .. } => (PROCESS, (3, "Open")),
        Body::Privilege { old, new } if old.uid != new.uid => (PROCESS, (5, "Set User ID")),
        Body::Privilege { .. } => (PROCESS, other),
        Body::Open { .. } => (FILE, (14, "Open")),
        Body::Create { .. } => (FILE, (1, "Create")),
        Body::Unlink { .. } => (FILE, (4, "Delete")),
        Body::Rename { .. } => (FILE, (5, "Rename")),
        Body::SetAttr { valid, .. } if valid & ATTR_SIZE != 0 => (FILE, (3, "Update")),
        Body::SetAttr { .. } => (FILE, (6, "Set Attributes")),
        Body::Volume { written: 0, .. } => (FILE, (2, "Read")),
        Body::Volume { .. } => (FILE, (3, "Update")),
        Body::Link { .. } | Body::UnixConnect { .. } => (FILE, other),
        Body::Connect { address, .. } => addressed(address, (1, "Open")),
        Body::Accept { endpoint, .. } => addressed(endpoint.address, (1, "Open")),
        Body::Listen { endpoint, .. } => addressed(endpoint.address, (7, "Listen")),
        Body::Bind { endpoint, .. } => addressed(endpoint.address, other),
        Body::Flow { remote, .. } => addressed(remote.address, (6, "Traffic")),
        Body::Module { .. } => (DRIVER, (1, "Load")),
        Body::BpfCall { .. } | Body::Mount { .. } | Body::Signal { .. } | Body::Escape { .. } => {
            (KERNEL, (4, "Invoke"))
        }
        _ => (BASE, other),
    }
}

/// `include/linux/fs.h`: the length was set.
const ATTR_SIZE: u32 = 8;

/// The attributes of the event's class. Returns the fields of ours that are in them, besides those that always are.
fn attributes(value: &mut Value, class: &Class, event: &Event<'_>) -> &'static [&'static str] {
    let launch = |value: &mut Value, id: u64, name: &str| {
        value["launch_type_id"] = id.into();
        value["launch_type"] = name.into();
    };
    if class.0 == PROCESS.0 {
        value["process"] = process(event.subject.as_ref());
    }
    match event.body {
        Body::Fork { child_pid, child_tgid } => {
            value["process"] = json!({ "pid": child_tgid, "ptid": child_pid });
            launch(value, 2, "Fork");
        }
        Body::Exec { file, argv, .. } => {
            value["process"]["file"] = self::file(&file);
            value["process"]["cmd_line"] = arguments(argv).map(shown).collect::<Vec<_>>().join(" ").into();
            launch(value, 3, "Exec");
        }
        Body::ExecCheck { file, .. } => {
            value["process"]["file"] = self::file(&file);
            launch(value, 3, "Exec");
        }
        Body::Exit { status, signal } => {
            // As a shell has it.
            let code = if signal == 0 { u64::from(status) } else { 128 + u64::from(signal) };
            value["exit_code"] = code.into();
        }
        Body::Ptrace { call, .. } => {
            value["process"] = if call.target == 0 { process(None) } else { json!({ "pid": call.target }) };
            return &["target"];
        }
        Body::Privilege { new, .. } => {
            value["process"]["user"] = json!({ "uid": new.uid.to_string() });
            return &["new_uid"];
        }
        Body::Rename { file, to, .. } => {
            value["file"] = self::file(&file);
            value["file_result"] = self::file(&File { path: to, ..file });
            return &["to"];
        }
        Body::UnixConnect { file, .. } => {
            value["file"] = self::file(&file);
            value["file"]["type_id"] = 5.into();
            value["file"]["type"] = "Local Socket".into();
        }
        Body::Module { call, .. } => {
            let name = if call.text.is_empty() { "unknown".into() } else { shown(call.text) };
            value["driver"] = json!({ "file": { "name": name, "type_id": 0 } });
            return &["text"];
        }
        Body::Flow { family, protocol, local, remote, received, sent } if class.0 == NETWORK.0 => {
            // Who began it is not recorded.
            value["src_endpoint"] = endpoint(local.port, local.address);
            value["dst_endpoint"] = endpoint(remote.port, remote.address);
            value["connection_info"] = connection((0, "Unknown"), family, protocol);
            value["traffic"] = json!({ "bytes_in": received, "bytes_out": sent });
            return &["local_address", "local_port", "received", "sent"];
        }
        body if class.0 == NETWORK.0 => {
            let (at, direction) = match body {
                Body::Connect { .. } => ("dst_endpoint", (2, "Outbound")),
                Body::Accept { .. } => ("src_endpoint", (1, "Inbound")),
                _ => ("dst_endpoint", (0, "Unknown")),
            };
            if let Some(Endpoint { family, protocol, port, address, .. }) = body.endpoint() {
                value[at] = endpoint(port, address);
                value["connection_info"] = connection(direction, family, protocol);
            }
        }
        body if class.0 == KERNEL.0 => {
            let call = match body {
                Body::Signal { .. } => "kill",
                Body::Escape { .. } => "clone3",
                _ => body.kind().name(),
            };
            value["kernel"] =
                json!({ "name": call, "type_id": 2, "type": "System Call", "system_call": call });
        }
        body => {
            if let Some(file) = body.file() {
                value["file"] = self::file(file);
            }
        }
    }
    &[]
}

/// The other end, and how it is reached.
fn connection((direction_id, direction): (u64, &str), family: u16, protocol: u8) -> Value {
    json!({
        "direction_id": direction_id,
        "direction": direction,
        "protocol_num": protocol,
        "protocol_ver_id": if family == 2 { 4 } else { 6 },
    })
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
            | Body::Seal { code: "unwiped", .. }
            | Body::Storage { code: "table-repaired", .. },
        ) => LOW,
        (
            _,
            Body::Seal { code: "began" | "resumed", .. }
            | Body::RingLevel { level: Level::Normal, .. }
            | Body::Storage {
                code: "table-moved" | "ring-made" | "data-made" | "data-grown" | "key-sealed",
                ..
            },
        ) => INFORMATIONAL,
        // What is denied or lost, and a chain of seals that is begun anew or can't be gone on with.
        (Some(Verdict::Denied), _)
        | (
            _,
            Body::Loss { .. }
            | Body::BreakGlass { .. }
            | Body::Image { code: "fell-back" | "starts-failed", .. }
            | Body::Workload { code: "not-mounted" | "not-started" | "crash-loop", .. }
            | Body::Alert { code: "firing", severity: aegis_event::Severity::Critical, .. }
            | Body::Gap(_)
            | Body::Deadman { .. }
            | Body::RingLevel { .. }
            | Body::Seal { .. }
            | Body::Storage { .. },
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
    for name in ["actor", "process", "file", "src_endpoint", "dst_endpoint", "connection_info"] {
        if let Some(part) = activity.get(name) {
            evidence.insert(name.to_owned(), part.clone());
        }
    }
    value["evidences"] = json!([evidence]);
    let marks = [("glass_broken", decision.glass_broken), ("deadman", decision.deadman)];
    let marks = marks.into_iter().filter(|(_, there)| *there).map(|(name, there)| (name, there.into()));
    let basis = decision.basis.iter().flat_map(|basis| {
        [("operation", basis.operation.name()), ("hook", basis.hook.name()), ("match", basis.matched.name())]
    });
    value["unmapped"] = unmapped(record, marks.chain(basis.map(|(name, text)| (name, text.into()))));
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
        let workload = |code| Body::Workload {
            workload: b"demo",
            code,
            epoch: 1,
            sequence: 1,
            hash: &[0; 32],
            detail: "",
        };
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
            (Body::Deadman { workload: b"demo", sequence: 1, since: 1 }, 3),
            (workload("started"), 1),
            (workload("crash-loop"), 3),
            (workload("not-mounted"), 3),
            (Body::Storage { code: "ring-made", detail: "" }, 1),
            (Body::Storage { code: "table-repaired", detail: "" }, 2),
            (Body::Storage { code: "data-remade", detail: "" }, 3),
            (Body::Storage { code: "ring-lost", detail: "" }, 3),
            (Body::Stop { signal: 15 }, 1),
        ] {
            assert_eq!(severity(&Event { time: 0, subject: None, body }).0, expected, "{body:?}");
        }
    }
}
