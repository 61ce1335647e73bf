//! Events as named fields: what JSON lines, on the device and at the office, are made of. No allocation.

use crate::body::Body;
use crate::decision::Decision;
use crate::kind::Cause;
use crate::model::{Call, Endpoint, Event, File, Gap};

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A number.
    Number(u64),
    /// True or false.
    Flag(bool),
    /// Text; of an agent that was not ours, any characters.
    Text(&'a str),
    /// Any bytes; and the name of the field that has them in hexadecimal, where they are no UTF-8.
    Bytes(&'a [u8], &'static str),
    /// Bytes that are shown in hexadecimal: a hash, an id.
    Digest(&'a [u8]),
    /// An address, network order.
    Address(&'a [u8]),
    /// Arguments, each followed by NUL; those that are no UTF-8 are in `argv_hex`, all together.
    Arguments(&'a [u8]),
    /// Losses, by [`Cause`] number.
    Losses(&'a [u64; Cause::ALL.len()]),
    /// A number in thousandths.
    Thousandths(i64),
    /// PCRs, a byte each, and their values, 32 bytes each in the same order: shown by number, in hexadecimal.
    Measured(&'a [u8], &'a [u8]),
}

/// The arguments of an exec, without the NUL that ends each.
pub fn arguments(argv: &[u8]) -> impl Iterator<Item = &[u8]> {
    let some = (!argv.is_empty()).then(|| argv.strip_suffix(b"\0").unwrap_or(argv));
    some.into_iter().flat_map(|argv| argv.split(|byte| *byte == 0))
}

impl Event<'_> {
    /// Hands over each of its fields, in order: all of it, but where it stands.
    pub fn fields<'a>(&'a self, each: &mut dyn FnMut(&'static str, Field<'a>)) {
        Fields { each }.event(self);
    }
}

struct Fields<'a, 'f> {
    each: &'f mut dyn FnMut(&'static str, Field<'a>),
}

impl<'a> Fields<'a, '_> {
    fn put(&mut self, name: &'static str, value: Field<'a>) {
        (self.each)(name, value);
    }

    fn number(&mut self, name: &'static str, value: impl Into<u64>) {
        self.put(name, Field::Number(value.into()));
    }

    fn flag(&mut self, name: &'static str, value: bool) {
        self.put(name, Field::Flag(value));
    }

    fn text(&mut self, name: &'static str, value: &'a str) {
        self.put(name, Field::Text(value));
    }

    fn bytes(&mut self, name: &'static str, hex: &'static str, value: &'a [u8]) {
        self.put(name, Field::Bytes(value, hex));
    }

    fn decision(&mut self, decision: &'a Decision<'a>) {
        self.text("verdict", decision.verdict.name());
        self.number("policy", decision.policy);
        if !decision.rule.is_empty() {
            self.bytes("rule", "rule_hex", decision.rule);
        }
        if decision.glass_broken {
            self.flag("glass_broken", true);
        }
        if decision.deadman {
            self.flag("deadman", true);
        }
        if let Some(basis) = &decision.basis {
            self.text("operation", basis.operation.name());
            self.text("hook", basis.hook.name());
            self.text("match", basis.matched.name());
            self.number("match_device", basis.device);
            self.number("match_inode", basis.inode);
            self.put("policy_hash", Field::Digest(&basis.policy_hash));
        }
    }

    /// Where one end of a connection is; nothing for a family whose addresses are not told.
    fn end(&mut self, names: [&'static str; 2], port: u16, address: &'a [u8]) {
        if !address.is_empty() {
            self.put(names[0], Field::Address(address));
            self.number(names[1], port);
        }
    }

    fn endpoint(&mut self, endpoint: &Endpoint<'a>) {
        self.number("family", endpoint.family);
        self.number("socket_type", endpoint.socket_type);
        self.number("protocol", endpoint.protocol);
        self.end(["address", "port"], endpoint.port, endpoint.address);
    }

    fn call(&mut self, call: &Call<'a>) {
        self.number("number", call.number);
        self.number("target", call.target);
        self.bytes("text", "text_hex", call.text);
    }

    fn file(&mut self, file: &File<'a>) {
        self.bytes("path", "path_hex", file.path);
        self.flag("path_truncated", file.truncated);
        self.number("file_device", file.device);
        self.number("inode", file.inode);
    }

    /// All of an event but where it stands.
    fn event(&mut self, event: &'a Event<'a>) {
        self.number("time_ns", event.time);
        self.text("kind", event.kind().name());
        if let Some(subject) = &event.subject {
            let task = &subject.process;
            self.bytes("workload", "workload_hex", subject.workload);
            self.number("cgroup", subject.cgroup);
            self.number("pid", task.pid);
            self.number("tgid", task.tgid);
            self.number("ppid", task.ppid);
            self.number("uid", task.uid);
            self.bytes("comm", "comm_hex", task.comm);
        }
        self.seen(&event.body);
    }

    /// What a probe saw.
    fn seen(&mut self, body: &'a Body<'a>) {
        match body {
            Body::Fork { child_pid, child_tgid } => {
                self.number("child_pid", *child_pid);
                self.number("child_tgid", *child_tgid);
            }
            Body::Exec { file, argv, argv_truncated } => {
                self.file(file);
                self.put("argv", Field::Arguments(argv));
                self.flag("argv_truncated", *argv_truncated);
            }
            Body::Exit { status, signal } => {
                self.number("status", *status);
                self.number("signal", *signal);
            }
            Body::Open { file, flags, decision } => {
                self.decision(decision);
                self.file(file);
                self.number("flags", *flags);
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
                self.number("file_mode", *mode);
            }
            Body::SetAttr { file, valid, decision } => {
                self.decision(decision);
                self.file(file);
                self.number("attributes", *valid);
            }
            Body::Rename { file, to, to_truncated, decision }
            | Body::Link { file, to, to_truncated, decision } => {
                self.decision(decision);
                self.file(file);
                self.bytes("to", "to_hex", to);
                self.flag("to_truncated", *to_truncated);
            }
            Body::Connect { family, protocol, port, address, decision } => {
                self.decision(decision);
                self.number("family", *family);
                self.number("protocol", *protocol);
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
                self.number("old_uid", old.uid);
                self.number("new_uid", new.uid);
                self.number("old_capabilities", old.capabilities);
                self.number("new_capabilities", new.capabilities);
            }
            Body::Volume { file, read, written } => {
                self.file(file);
                self.number("read", *read);
                self.number("written", *written);
            }
            Body::Flow { family, protocol, local, remote, received, sent } => {
                self.number("family", *family);
                self.number("protocol", *protocol);
                self.end(["local_address", "local_port"], local.port, local.address);
                self.end(["address", "port"], remote.port, remote.address);
                self.number("received", *received);
                self.number("sent", *sent);
            }
            said => self.said(said),
        }
    }

    /// What Aegis says of itself.
    fn said(&mut self, body: &'a Body<'a>) {
        match body {
            Body::Start { version, clean } => {
                self.text("version", version);
                self.flag("clean", *clean);
            }
            Body::Stop { signal } => self.number("signal", *signal),
            Body::Policy { code, epoch, sequence, hash, detail } => {
                self.text("code", code);
                self.number("epoch", *epoch);
                self.number("policy_sequence", *sequence);
                self.put("hash", Field::Digest(&hash[..]));
                self.text("detail", detail);
            }
            Body::Loss { workload, cause, count } => self.loss(workload, *cause, *count),
            Body::ModeChange { mode, reason, epoch, sequence } => {
                self.text("mode", mode.name());
                self.text("reason", reason.name());
                self.number("epoch", *epoch);
                self.number("policy_sequence", *sequence);
            }
            Body::Accounts(books) => {
                self.number("seen", books.seen);
                self.number("written", books.written);
                self.put("lost", Field::Losses(&books.lost));
            }
            Body::BreakGlass { code, sequence, until, reason, hash } => {
                self.text("code", code);
                self.number("token_sequence", *sequence);
                self.put("hash", Field::Digest(&hash[..]));
                self.text("detail", reason);
                self.number("until_ns", *until);
            }
            Body::Root { code, version, epoch, hash, detail } => {
                self.text("code", code);
                self.number("root_version", *version);
                self.number("epoch", *epoch);
                self.put("hash", Field::Digest(&hash[..]));
                self.text("detail", detail);
            }
            Body::Image { code, epoch, sequence, hash, detail } => {
                self.text("code", code);
                self.number("epoch", *epoch);
                self.number("image_sequence", *sequence);
                self.put("hash", Field::Digest(&hash[..]));
                self.text("detail", detail);
            }
            Body::Stick { code, detail } | Body::Config { code, detail } | Body::Storage { code, detail } => {
                self.text("code", code);
                self.text("detail", detail);
            }
            Body::Workload { workload, code, epoch, sequence, hash, detail } => {
                self.bytes("workload", "workload_hex", workload);
                self.text("code", code);
                self.number("epoch", *epoch);
                self.number("workload_sequence", *sequence);
                self.put("hash", Field::Digest(&hash[..]));
                self.text("detail", detail);
            }
            Body::Alert { alert, severity, code, sequence, value, detail } => {
                self.text("alert", alert);
                self.text("severity", severity.name());
                self.text("code", code);
                self.number("policy_sequence", *sequence);
                if let Some(value) = value {
                    self.put("value", Field::Thousandths(*value));
                }
                self.text("detail", detail);
            }
            Body::Measured { pcrs, digests } => self.put("pcrs", Field::Measured(pcrs, digests)),
            Body::PolicyStale { epoch, sequence, expires, now } => {
                self.number("epoch", *epoch);
                self.number("policy_sequence", *sequence);
                self.number("expires", *expires);
                self.number("now", *now);
            }
            Body::GlassMended { until, passed, mode, reason } => {
                self.number("until_ns", *until);
                self.number("passed", *passed);
                self.text("mode", mode.name());
                self.text("reason", reason.name());
            }
            Body::RingLevel { level, percent } => {
                self.text("level", level.name());
                self.number("percent", *percent);
            }
            Body::Gap(gap) => self.gap(gap),
            Body::Seal { code, epoch } => {
                self.text("code", code);
                self.number("epoch", *epoch);
            }
            Body::Deadman { workload, sequence, since } => {
                self.bytes("workload", "workload_hex", workload);
                self.number("policy_sequence", *sequence);
                self.number("since_ns", *since);
            }
            _ => {}
        }
    }

    fn loss(&mut self, workload: &'a [u8], cause: Cause, count: u64) {
        self.bytes("workload", "workload_hex", workload);
        self.text("cause", cause.name());
        self.number("count", count);
    }

    fn gap(&mut self, gap: &'a Gap) {
        self.text("cause", gap.cause.name());
        self.number("first", gap.first);
        self.number("last", gap.last);
        self.number("total", gap.total);
        if gap.boot != [0; 16] {
            self.put("ended_boot_id", Field::Digest(&gap.boot));
        }
    }
}
