//! One event as JSON: every field, nothing lost. Byte strings that are not UTF-8 are shown escaped, with their
//! exact bytes beside them in `…_hex`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aegis_event::{Body, Cause, Decision, Event, File, Printable};
use serde_json::{Map, Value, json};

use crate::hex;

/// An ordered list of fields that prints as one JSON object.
#[derive(Default)]
pub(super) struct Line(Vec<(&'static str, Value)>);

impl Line {
    pub(super) fn put(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((name, value.into()));
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
    }

    fn file(&mut self, file: &File<'_>) {
        self.bytes("path", "path_hex", file.path);
        self.put("path_truncated", file.truncated);
        self.put("device", file.device);
        self.put("inode", file.inode);
    }

    /// All of an event; sequence and boot are put by the caller.
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
            Body::Loss { workload, cause, count } => {
                self.bytes("workload", "workload_hex", workload);
                self.put("cause", cause.name());
                self.put("count", *count);
            }
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
        }
    }

    /// Arguments as a list, without the NUL that ends each.
    fn argv(&mut self, argv: &[u8]) {
        let arguments: Vec<&[u8]> = if argv.is_empty() {
            Vec::new()
        } else {
            argv.strip_suffix(b"\0").unwrap_or(argv).split(|byte| *byte == 0).collect()
        };
        let text = |argument: &[u8]| {
            std::str::from_utf8(argument).map_or_else(|_| Printable(argument).to_string(), str::to_owned)
        };
        self.put("argv", arguments.iter().map(|argument| text(argument)).collect::<Vec<_>>());
        if arguments.iter().any(|argument| std::str::from_utf8(argument).is_err()) {
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

fn address_text(address: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(address) {
        IpAddr::from(Ipv4Addr::from(v4)).to_string()
    } else if let Ok(v6) = <[u8; 16]>::try_from(address) {
        IpAddr::from(Ipv6Addr::from(v6)).to_string()
    } else {
        hex::encode(address)
    }
}
