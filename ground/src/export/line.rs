//! One event as JSON: every field, nothing lost. Byte strings that are not UTF-8 are shown escaped, with their
//! exact bytes beside them in `…_hex`.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aegis_event::{Body, Cause, Decision, DecodeError, Event, File, Gap, Printable};
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
        self.body(&event.body);
    }

    fn body(&mut self, body: &Body<'_>) {
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
            Body::ExecCheck { file, decision } => {
                self.decision(decision);
                self.file(file);
            }
            Body::Connect { family, protocol, port, address, decision } => {
                self.decision(decision);
                self.put("family", *family);
                self.put("protocol", *protocol);
                self.put("address", address_text(address));
                self.put("port", *port);
            }
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
            Body::Stick { code, detail } | Body::Config { code, detail } => {
                self.put("code", *code);
                self.put("detail", *detail);
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
    use aegis_event::{GapCause, Level, Mode, ModeReason, Verdict};

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
                Body::Config { code: "last-good", detail: "line 3" },
                json!({ "kind": "config", "code": "last-good", "detail": "line 3" }),
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
            let decision = Decision { verdict: Verdict::Audited, policy: 4, rule: b"r", glass_broken };
            let line = shown(Body::ExecCheck { file, decision });
            assert_eq!(line.get("glass_broken"), glass_broken.then_some(&Value::Bool(true)));
            assert_eq!(line["verdict"], "audited");
        }
    }
}
