//! One event as JSON: every field, nothing lost. Byte strings that are not UTF-8 are shown escaped, with their
//! exact bytes beside them in `…_hex`.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aegis_event::{Body, Call, Cause, Decision, DecodeError, Endpoint, Event, File, Gap, Printable};
use aegis_export::Id;
use serde_json::{Map, Value, json};

use super::clock::stamp;
use super::evidence::Record;
use crate::hex;

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

    /// A byte string under its name; its exact bytes too when text can't hold them.
    fn bytes(&mut self, name: &'static str, hex_name: &'static str, bytes: &[u8]) {
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.put(name, text);
        } else {
            self.put(name, Printable(bytes).to_string());
            self.put(hex_name, hex::encode(bytes));
        }
    }

    fn decision(&mut self, decision: &Decision<'_>) {
        self.put("verdict", decision.verdict.name());
        self.put("policy", decision.policy);
        if !decision.rule.is_empty() {
            self.bytes("rule", "rule_hex", decision.rule);
        }
        if decision.glass_broken {
            self.put("glass_broken", true);
        }
        if decision.deadman {
            self.put("deadman", true);
        }
        if let Some(basis) = &decision.basis {
            self.put("operation", basis.operation.name());
            self.put("hook", basis.hook.name());
            self.put("match", basis.matched.name());
            self.put("match_device", basis.device);
            self.put("match_inode", basis.inode);
            self.put("policy_hash", hex::encode(&basis.policy_hash));
        }
    }

    /// Where one end of a connection is; nothing for a family whose addresses are not told.
    fn end(&mut self, names: [&'static str; 2], port: u16, address: &[u8]) {
        if !address.is_empty() {
            self.put(names[0], address_text(address));
            self.put(names[1], port);
        }
    }

    fn endpoint(&mut self, endpoint: &Endpoint<'_>) {
        self.put("family", endpoint.family);
        self.put("socket_type", endpoint.socket_type);
        self.put("protocol", endpoint.protocol);
        self.end(["address", "port"], endpoint.port, endpoint.address);
    }

    fn call(&mut self, call: &Call<'_>) {
        self.put("number", call.number);
        self.put("target", call.target);
        self.bytes("text", "text_hex", call.text);
    }

    fn file(&mut self, file: &File<'_>) {
        self.bytes("path", "path_hex", file.path);
        self.put("path_truncated", file.truncated);
        self.put("file_device", file.device);
        self.put("inode", file.inode);
    }

    /// All of an event but where it stands.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        self.put("time_ns", event.time);
        self.put("kind", event.kind().name());
        if let Some(subject) = &event.subject {
            let task = &subject.process;
            self.bytes("workload", "workload_hex", subject.workload);
            self.put("cgroup", subject.cgroup);
            self.put("pid", task.pid);
            self.put("tgid", task.tgid);
            self.put("ppid", task.ppid);
            self.put("uid", task.uid);
            self.bytes("comm", "comm_hex", task.comm);
        }
        self.seen(&event.body);
    }

    /// What a probe saw.
    fn seen(&mut self, body: &Body<'_>) {
        match body {
            Body::Fork { child_pid, child_tgid } => {
                self.put("child_pid", *child_pid);
                self.put("child_tgid", *child_tgid);
            }
            Body::Exec { file, argv, argv_truncated } => {
                self.file(file);
                self.argv(argv);
                self.put("argv_truncated", *argv_truncated);
            }
            Body::Exit { status, signal } => {
                self.put("status", *status);
                self.put("signal", *signal);
            }
            Body::Open { file, flags, decision } => {
                self.decision(decision);
                self.file(file);
                self.put("flags", *flags);
            }
            Body::ExecCheck { file, decision }
            | Body::Unlink { file, decision }
            | Body::UnixConnect { file, decision } => {
                self.decision(decision);
                self.file(file);
            }
            Body::Create { file, mode, decision } => {
                self.decision(decision);
                self.file(file);
                self.put("file_mode", *mode);
            }
            Body::SetAttr { file, valid, decision } => {
                self.decision(decision);
                self.file(file);
                self.put("attributes", *valid);
            }
            Body::Rename { file, to, to_truncated, decision }
            | Body::Link { file, to, to_truncated, decision } => {
                self.decision(decision);
                self.file(file);
                self.bytes("to", "to_hex", to);
                self.put("to_truncated", *to_truncated);
            }
            Body::Connect { family, protocol, port, address, decision } => {
                self.decision(decision);
                self.put("family", *family);
                self.put("protocol", *protocol);
                self.end(["address", "port"], *port, address);
            }
            Body::Socket { endpoint, decision }
            | Body::Bind { endpoint, decision }
            | Body::Listen { endpoint, decision }
            | Body::Accept { endpoint, decision } => {
                self.decision(decision);
                self.endpoint(endpoint);
            }
            Body::Ptrace { call, decision }
            | Body::Module { call, decision }
            | Body::BpfCall { call, decision }
            | Body::Mount { call, decision }
            | Body::Signal { call, decision }
            | Body::Escape { call, decision } => {
                self.decision(decision);
                self.call(call);
            }
            Body::Privilege { old, new } => {
                self.put("old_uid", old.uid);
                self.put("new_uid", new.uid);
                self.put("old_capabilities", old.capabilities);
                self.put("new_capabilities", new.capabilities);
            }
            Body::Volume { file, read, written } => {
                self.file(file);
                self.put("read", *read);
                self.put("written", *written);
            }
            Body::Flow { family, protocol, local, remote, received, sent } => {
                self.put("family", *family);
                self.put("protocol", *protocol);
                self.end(["local_address", "local_port"], local.port, local.address);
                self.end(["address", "port"], remote.port, remote.address);
                self.put("received", *received);
                self.put("sent", *sent);
            }
            said => self.said(said),
        }
    }

    /// What Aegis says of itself.
    fn said(&mut self, body: &Body<'_>) {
        match body {
            Body::Start { version, clean } => {
                self.put("version", *version);
                self.put("clean", *clean);
            }
            Body::Stop { signal } => self.put("signal", *signal),
            Body::Policy { code, epoch, sequence, hash, detail } => {
                self.put("code", *code);
                self.put("epoch", *epoch);
                self.put("policy_sequence", *sequence);
                self.put("hash", hex::encode(&hash[..]));
                self.put("detail", *detail);
            }
            Body::Loss { workload, cause, count } => self.loss(workload, *cause, *count),
            Body::ModeChange { mode, reason, epoch, sequence } => {
                self.put("mode", mode.name());
                self.put("reason", reason.name());
                self.put("epoch", *epoch);
                self.put("policy_sequence", *sequence);
            }
            Body::Accounts(books) => {
                self.put("seen", books.seen);
                self.put("written", books.written);
                self.put("lost", losses(&books.lost));
            }
            Body::BreakGlass { code, sequence, until, reason, hash } => {
                self.put("code", *code);
                self.put("token_sequence", *sequence);
                self.put("hash", hex::encode(&hash[..]));
                self.put("detail", *reason);
                self.put("until_ns", *until);
            }
            Body::Root { code, version, epoch, hash, detail } => {
                self.put("code", *code);
                self.put("root_version", *version);
                self.put("epoch", *epoch);
                self.put("hash", hex::encode(&hash[..]));
                self.put("detail", *detail);
            }
            Body::Image { code, epoch, sequence, hash, detail } => {
                self.put("code", *code);
                self.put("epoch", *epoch);
                self.put("image_sequence", *sequence);
                self.put("hash", hex::encode(&hash[..]));
                self.put("detail", *detail);
            }
            Body::Workload { workload, code, epoch, sequence, hash, detail } => {
                self.bytes("workload", "workload_hex", workload);
                self.put("code", *code);
                self.put("epoch", *epoch);
                self.put("workload_sequence", *sequence);
                self.put("hash", hex::encode(&hash[..]));
                self.put("detail", *detail);
            }
            Body::Stick { code, detail } | Body::Config { code, detail } | Body::Storage { code, detail } => {
                self.put("code", *code);
                self.put("detail", *detail);
            }
            Body::Measured { pcrs, digests } => {
                let values = pcrs.iter().zip(digests.chunks(32));
                let all: Map<String, Value> =
                    values.map(|(number, digest)| (number.to_string(), hex::encode(digest).into())).collect();
                self.put("pcrs", all);
            }
            Body::PolicyStale { epoch, sequence, expires, now } => {
                self.put("epoch", *epoch);
                self.put("policy_sequence", *sequence);
                self.put("expires", *expires);
                self.put("now", *now);
            }
            Body::GlassMended { until, passed, mode, reason } => {
                self.put("until_ns", *until);
                self.put("passed", *passed);
                self.put("mode", mode.name());
                self.put("reason", reason.name());
            }
            Body::RingLevel { level, percent } => {
                self.put("level", level.name());
                self.put("percent", *percent);
            }
            Body::Gap(gap) => self.gap(gap),
            Body::Seal { code, epoch } => {
                self.put("code", *code);
                self.put("epoch", *epoch);
            }
            Body::Deadman { workload, sequence, since } => {
                self.bytes("workload", "workload_hex", workload);
                self.put("policy_sequence", *sequence);
                self.put("since_ns", *since);
            }
            _ => {}
        }
    }

    fn loss(&mut self, workload: &[u8], cause: Cause, count: u64) {
        self.bytes("workload", "workload_hex", workload);
        self.put("cause", cause.name());
        self.put("count", count);
    }

    fn gap(&mut self, gap: &Gap) {
        self.put("cause", gap.cause.name());
        self.put("first", gap.first);
        self.put("last", gap.last);
        self.put("total", gap.total);
        if gap.boot != [0; 16] {
            self.put("ended_boot_id", hex::encode(&gap.boot));
        }
    }

    /// Arguments as a list, without the NUL that ends each.
    fn argv(&mut self, argv: &[u8]) {
        self.put("argv", arguments(argv).map(|argument| shown(argument).into_owned()).collect::<Vec<_>>());
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

/// The arguments of an exec, without the NUL that ends each.
pub(super) fn arguments(argv: &[u8]) -> impl Iterator<Item = &[u8]> {
    let some = (!argv.is_empty()).then(|| argv.strip_suffix(b"\0").unwrap_or(argv));
    some.into_iter().flat_map(|argv| argv.split(|byte| *byte == 0))
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
        Basis, GapCause, Hook, Level, Match, Mode, ModeReason, Operation, Place, Privileges, Verdict,
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
            (
                Body::Workload { workload: b"w", code: "c", epoch: 1, sequence: 2, hash, detail: "d" },
                json!({ "kind": "workload", "workload": "w", "code": "c", "epoch": 1, "workload_sequence": 2,
                        "hash": shown_hash, "detail": "d" }),
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
