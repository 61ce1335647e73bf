//! One event as JSON: every field, nothing lost. Byte strings that are not UTF-8 are shown escaped, with their
//! exact bytes beside them in `…_hex`.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aegis_event::{Cause, DecodeError, Event, Field, Printable, arguments};
use aegis_export::Id;
use serde_json::{Map, Value, json};

use super::clock::stamp;
use super::evidence::Record;
use crate::hex;

/// Exact to a thousandth, where a reader's numbers are.
#[expect(clippy::cast_precision_loss, reason = "as JSON has numbers")]
fn thousandths(number: i64) -> Value {
    if number % 1000 == 0 { (number / 1000).into() } else { (number as f64 / 1000.0).into() }
}

/// An ordered list of fields that prints as one JSON object.
#[derive(Default)]
pub(super) struct Line(Vec<(&'static str, Value)>);

impl Line {
    pub(super) fn put(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((name, value.into()));
    }

    /// A verified event whole: where it stands, when it was, what it is. What every command gives as JSON.
    pub(super) fn of(record: &Record<'_>) -> Self {
        let mut line = Self::default();
        let key = record.key;
        line.place(&key.device, &key.ring, &key.boot, record.sequence);
        line.put("time", stamp(record.at()));
        line.put("time_basis", record.began.basis.name());
        line.put("clock_trusted", record.began.trusted);
        line.decoded(record.event, record.bytes);
        line
    }

    pub(super) fn place(&mut self, device: &Id, ring: &Id, boot: &Id, sequence: u64) {
        self.put("device", hex::encode(device));
        self.put("ring", hex::encode(ring));
        self.put("boot_id", hex::encode(boot));
        self.put("sequence", sequence);
    }

    /// An event, or that it can't be read and its bytes.
    pub(super) fn decoded(&mut self, event: Result<Event<'_>, DecodeError>, bytes: &[u8]) {
        match event {
            Ok(event) => self.event(&event),
            Err(error) => {
                self.put("error", error.to_string());
                self.put("event_hex", hex::encode(bytes));
            }
        }
    }

    /// The fields that are not among these.
    pub(super) fn without(self, names: &[&str]) -> impl Iterator<Item = (&'static str, Value)> {
        self.0.into_iter().filter(move |(name, _)| !names.contains(name))
    }

    /// All of an event but where it stands.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        event.fields(&mut |name, field| self.field(name, field));
    }

    fn field(&mut self, name: &'static str, field: Field<'_>) {
        match field {
            Field::Number(number) => self.put(name, number),
            Field::Flag(flag) => self.put(name, flag),
            Field::Text(text) => self.put(name, text),
            Field::Bytes(bytes, hex_name) => self.bytes(name, hex_name, bytes),
            Field::Digest(bytes) => self.put(name, hex::encode(bytes)),
            Field::Address(address) => self.put(name, address_text(address)),
            Field::Arguments(argv) => self.argv(name, argv),
            Field::Losses(lost) => self.put(name, losses(lost)),
            Field::Thousandths(number) => self.put(name, thousandths(number)),
            Field::Measured(pcrs, digests) => {
                let values = pcrs.iter().zip(digests.chunks(32));
                let all: Map<String, Value> =
                    values.map(|(number, digest)| (number.to_string(), hex::encode(digest).into())).collect();
                self.put(name, all);
            }
        }
    }

    /// A byte string under its name; its exact bytes too when text can't hold them.
    fn bytes(&mut self, name: &'static str, hex_name: &'static str, bytes: &[u8]) {
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.put(name, text);
        } else {
            self.put(name, Printable(bytes).to_string());
            self.put(hex_name, hex::encode(bytes));
        }
    }

    /// Arguments as a list, without the NUL that ends each.
    fn argv(&mut self, name: &'static str, argv: &[u8]) {
        self.put(name, arguments(argv).map(|argument| shown(argument).into_owned()).collect::<Vec<_>>());
        if arguments(argv).any(|argument| std::str::from_utf8(argument).is_err()) {
            self.put("argv_hex", hex::encode(argv));
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Field by field, because a `Map` would sort them.
        f.write_str("{")?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}\"{name}\":{value}")?;
        }
        f.write_str("}")
    }
}

/// Losses by cause, as an object.
pub(super) fn losses(lost: &[u64; Cause::ALL.len()]) -> Value {
    Value::Object(
        Cause::ALL.iter().zip(lost).map(|(cause, n)| (cause.name().into(), json!(n))).collect::<Map<_, _>>(),
    )
}

/// Bytes as text: as they are when they are UTF-8, else escaped.
pub(super) fn shown(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| Cow::Owned(Printable(bytes).to_string()), Cow::Borrowed)
}

/// An address of 4 or 16 bytes, network order.
pub(super) fn ip(address: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(address).map(|v4| IpAddr::from(Ipv4Addr::from(v4)));
    v4.or_else(|_| <[u8; 16]>::try_from(address).map(|v6| IpAddr::from(Ipv6Addr::from(v6)))).ok()
}

fn address_text(address: &[u8]) -> String {
    ip(address).map_or_else(|| hex::encode(address), |ip| ip.to_string())
}

#[cfg(test)]
mod tests {
    use aegis_event::{
        Basis, Body, Call, Decision, Endpoint, File, Gap, GapCause, Hook, Level, Match, Mode, ModeReason,
        Operation, Place, Privileges, Verdict,
    };

    use super::*;

    fn shown(body: Body<'_>) -> Value {
        let mut line = Line::default();
        line.event(&Event { time: 7, subject: None, body });
        serde_json::from_str(&line.to_string()).expect("a line is JSON")
    }

    #[test]
    fn what_the_agent_says_of_itself_is_shown_whole() {
        let hash = &[0xab; 32];
        let shown_hash = "ab".repeat(32);
        let (mode, reason) = (Mode::Enforcing, ModeReason::SelfTestPassed);
        for (body, expected) in [
            (
                Body::BreakGlass { code: "c", sequence: 3, until: 9, reason: "why \"now\"", hash },
                json!({ "kind": "break-glass", "code": "c", "token_sequence": 3, "until_ns": 9,
                        "detail": "why \"now\"", "hash": shown_hash }),
            ),
            (
                Body::Root { code: "c", version: 2, epoch: 1, hash, detail: "d" },
                json!({ "kind": "root", "code": "c", "root_version": 2, "epoch": 1, "hash": shown_hash,
                        "detail": "d" }),
            ),
            (
                Body::Image { code: "c", epoch: 1, sequence: 2, hash, detail: "d" },
                json!({ "kind": "image", "code": "c", "epoch": 1, "image_sequence": 2, "hash": shown_hash,
                        "detail": "d" }),
            ),
            (Body::Stick { code: "c", detail: "d" }, json!({ "kind": "stick", "code": "c", "detail": "d" })),
            (
                Body::PolicyStale { epoch: 1, sequence: 2, expires: 3, now: 4 },
                json!({ "kind": "policy-stale", "epoch": 1, "policy_sequence": 2, "expires": 3, "now": 4 }),
            ),
            (
                Body::GlassMended { until: 9, passed: 2, mode, reason },
                json!({ "kind": "glass-mended", "until_ns": 9, "passed": 2, "mode": "enforcing",
                        "reason": "self-test-passed" }),
            ),
            (
                Body::RingLevel { level: Level::Critical, percent: 91 },
                json!({ "kind": "ring-level", "level": "critical", "percent": 91 }),
            ),
            (
                Body::Gap(Gap { cause: GapCause::Overwritten, first: 3, last: 9, total: 12, boot: [0; 16] }),
                json!({ "kind": "gap", "cause": "overwritten", "first": 3, "last": 9, "total": 12 }),
            ),
            (
                Body::Gap(Gap { cause: GapCause::Cut, first: 3, last: 2, total: 1, boot: [0xab; 16] }),
                json!({ "kind": "gap", "cause": "cut", "first": 3, "last": 2, "total": 1,
                        "ended_boot_id": "ab".repeat(16) }),
            ),
            (Body::Seal { code: "began", epoch: 7 }, json!({ "kind": "seal", "code": "began", "epoch": 7 })),
            (
                Body::Deadman { workload: b"demo", sequence: 7, since: 9 },
                json!({ "kind": "deadman", "workload": "demo", "policy_sequence": 7, "since_ns": 9 }),
            ),
            (
                Body::Config { code: "last-good", detail: "line 3" },
                json!({ "kind": "config", "code": "last-good", "detail": "line 3" }),
            ),
            (
                Body::Storage { code: "data-made", detail: "vda5" },
                json!({ "kind": "storage", "code": "data-made", "detail": "vda5" }),
            ),
            (
                Body::Workload { workload: b"w", code: "c", epoch: 1, sequence: 2, hash, detail: "d" },
                json!({ "kind": "workload", "workload": "w", "code": "c", "epoch": 1, "workload_sequence": 2,
                        "hash": shown_hash, "detail": "d" }),
            ),
            (
                Body::Alert {
                    alert: "hot",
                    severity: aegis_event::Severity::Critical,
                    code: "firing",
                    sequence: 3,
                    value: Some(90_500),
                    detail: "sensor=a",
                },
                json!({ "kind": "alert", "alert": "hot", "severity": "critical", "code": "firing",
                        "policy_sequence": 3, "value": 90.5, "detail": "sensor=a" }),
            ),
            (
                Body::Measured { pcrs: &[7, 11], digests: &[[1; 32], [0xab; 32]].concat() },
                json!({ "kind": "measured", "pcrs": { "7": "01".repeat(32), "11": "ab".repeat(32) } }),
            ),
        ] {
            let mut expected = expected;
            expected["time_ns"] = 7.into();
            assert_eq!(shown(body), expected);
        }
    }

    #[test]
    fn what_broken_glass_let_pass_is_marked_and_nothing_else_is() {
        let file = File { device: 1, inode: 2, path: b"/x", truncated: false };
        for glass_broken in [true, false] {
            let decision =
                Decision { verdict: Verdict::Audited, rule: b"r", glass_broken, ..Decision::allowed(4) };
            let line = shown(Body::ExecCheck { file, decision });
            assert_eq!(line.get("glass_broken"), glass_broken.then_some(&Value::Bool(true)));
            assert_eq!(line["verdict"], "audited");
        }
    }

    /// What every kind is shown by: a field for all that its body has.
    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn what_a_probe_saw_is_shown_whole() {
        let file = File { device: 1, inode: 2, path: b"/x", truncated: false };
        let basis = Basis {
            operation: Operation::Change,
            hook: Hook::InodeRename,
            matched: Match::Tree,
            device: 3,
            inode: u64::MAX,
            policy_hash: [0xab; 8],
        };
        let denied =
            Decision { verdict: Verdict::Denied, rule: b"r", basis: Some(basis), ..Decision::allowed(4) };
        let decided = json!({ "verdict": "denied", "policy": 4, "rule": "r", "operation": "change",
            "hook": "inode_rename", "match": "tree", "match_device": 3, "match_inode": u64::MAX,
            "policy_hash": "abababababababab" });
        let passed = Decision { verdict: Verdict::Audited, deadman: true, ..denied };
        let filed = json!({ "path": "/x", "path_truncated": false, "file_device": 1, "inode": 2 });
        let endpoint = Endpoint { family: 2, socket_type: 1, protocol: 6, port: 80, address: &[10, 0, 0, 1] };
        let nowhere = Endpoint { family: 16, socket_type: 3, protocol: 0, port: 0, address: &[] };
        let ended =
            json!({ "family": 2, "socket_type": 1, "protocol": 6, "address": "10.0.0.1", "port": 80 });
        let call = Call { number: 5, target: 7, text: b"\xff" };
        let called = json!({ "number": 5, "target": 7, "text": "\\xff", "text_hex": "ff" });
        let place = |port| Place { port, address: &[10, 0, 0, 1] };
        let allowed = Decision::allowed(4);
        let none = json!({});
        for (body, kind, parts) in [
            (
                Body::Create { file, mode: 0o100_644, decision: denied },
                "create",
                [&decided, &filed, &json!({ "file_mode": 0o100_644 })],
            ),
            (Body::Unlink { file, decision: denied }, "unlink", [&decided, &filed, &none]),
            (
                Body::Rename { file, to: b"/y", to_truncated: true, decision: denied },
                "rename",
                [&decided, &filed, &json!({ "to": "/y", "to_truncated": true })],
            ),
            (
                Body::Link { file, to: b"\xff", to_truncated: false, decision: denied },
                "link",
                [&decided, &filed, &json!({ "to": "\\xff", "to_hex": "ff", "to_truncated": false })],
            ),
            (
                Body::SetAttr { file, valid: 9, decision: passed },
                "setattr",
                [&decided, &filed, &json!({ "attributes": 9, "verdict": "audited", "deadman": true })],
            ),
            (Body::UnixConnect { file, decision: denied }, "unix-connect", [&decided, &filed, &none]),
            (Body::Bind { endpoint, decision: denied }, "bind", [&decided, &ended, &none]),
            (Body::Listen { endpoint, decision: denied }, "listen", [&decided, &ended, &none]),
            (Body::Accept { endpoint, decision: denied }, "accept", [&decided, &ended, &none]),
            (
                Body::Socket { endpoint: nowhere, decision: allowed },
                "socket",
                [
                    &json!({ "verdict": "allowed", "policy": 4 }),
                    &json!({ "family": 16, "socket_type": 3 }),
                    &json!({ "protocol": 0 }),
                ],
            ),
            (Body::Ptrace { call, decision: denied }, "ptrace", [&decided, &called, &none]),
            (Body::Module { call, decision: denied }, "module", [&decided, &called, &none]),
            (Body::BpfCall { call, decision: denied }, "bpf", [&decided, &called, &none]),
            (Body::Mount { call, decision: denied }, "mount", [&decided, &called, &none]),
            (Body::Signal { call, decision: denied }, "signal", [&decided, &called, &none]),
            (Body::Escape { call, decision: denied }, "escape", [&decided, &called, &none]),
            (
                Body::Privilege {
                    old: Privileges { uid: 1000, capabilities: 0 },
                    new: Privileges { uid: 0, capabilities: u64::MAX },
                },
                "privilege",
                [
                    &json!({ "old_uid": 1000, "new_uid": 0 }),
                    &json!({ "old_capabilities": 0 }),
                    &json!({ "new_capabilities": u64::MAX }),
                ],
            ),
            (
                Body::Volume { file, read: 1, written: u64::MAX },
                "volume",
                [&filed, &json!({ "read": 1, "written": u64::MAX }), &none],
            ),
            (
                Body::Flow {
                    family: 2,
                    protocol: 17,
                    local: place(1),
                    remote: place(2),
                    received: 3,
                    sent: 4,
                },
                "flow",
                [
                    &json!({ "family": 2, "protocol": 17, "received": 3, "sent": 4 }),
                    &json!({ "local_address": "10.0.0.1", "local_port": 1 }),
                    &json!({ "address": "10.0.0.1", "port": 2 }),
                ],
            ),
        ] {
            let mut expected = json!({ "time_ns": 7, "kind": kind });
            for part in parts {
                for (name, value) in part.as_object().expect("an object") {
                    expected[name] = value.clone();
                }
            }
            assert_eq!(shown(body), expected);
        }
    }
}
