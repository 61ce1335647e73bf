//! Policies on recorded events: simulated, learned.

use aegis_event::{Body, Call, Decision, Endpoint, Event, File, Process, Subject, Verdict};
use aegis_export::Request;

use crate::desk::Desk;
use crate::sample::{Device, Ring, created};

/// What a workload does, one event after the other.
struct Recorder {
    ring: Ring,
    time: u64,
}

impl Recorder {
    fn new() -> Self {
        let mut ring = Ring::new(Device(1));
        ring.push(1, &Event { time: 1, subject: None, body: Body::Start { version: "0.1.0", clean: true } });
        Self { ring, time: 1 }
    }

    fn did(&mut self, workload: &[u8], body: Body<'_>) {
        self.time += 1_000_000;
        let process = Process { pid: 7, tgid: 7, ppid: 1, uid: 1000, comm: b"x" };
        let subject = Subject { workload, cgroup: 5, process };
        self.ring.push(1, &Event { time: self.time, subject: Some(subject), body });
    }

    fn open(&mut self, workload: &[u8], path: &[u8], inode: u64, flags: u32) {
        self.did(workload, Body::Open { file: file(path, inode), flags, decision: Decision::allowed(4) });
    }

    fn exec(&mut self, workload: &[u8], path: &[u8], inode: u64) {
        let argv = b"sh\0./own/script\0";
        self.did(workload, Body::Exec { file: file(path, inode), argv, argv_truncated: false });
    }

    fn export(&self, desk: &Desk, name: &str) {
        Device(1).export_to(&desk.path(name), &self.ring, Request::from(1), created(1));
    }
}

fn file(path: &[u8], inode: u64) -> File<'_> {
    File { device: 8 << 20, inode, path, truncated: false }
}

fn decided(verdict: Verdict, rule: &[u8]) -> Decision<'_> {
    Decision { verdict, rule, ..Decision::allowed(4) }
}

/// A day, and another with a path that was recorded in part.
fn day(desk: &Desk) {
    let mut day = whole_day();
    day.export(desk, "whole.cbor");
    let cut = File { truncated: true, ..file(b"end-of-a-long-name", 12) };
    day.did(b"agent-7", Body::Open { file: cut, flags: 0, decision: Decision::allowed(4) });
    day.export(desk, "day.cbor");
}

/// agent-7 reads a key, reads and writes data, runs a tool and is denied a file; web does what no policy covers.
fn whole_day() -> Recorder {
    let mut day = Recorder::new();
    day.open(b"agent-7", b"/root/.ssh/id_rsa", 1, 0); // sequence 2
    day.open(b"agent-7", b"/root/.ssh/id_rsa", 1, 0);
    day.open(b"agent-7", b"/srv/data/a", 2, 0o2);
    day.open(b"agent-7", b"/srv/data/b", 3, 0o1);
    day.open(b"agent-7", b"/etc/passwd", 4, 0);
    // One file under two names: read under one, written under the other.
    day.open(b"agent-7", b"/srv/log", 5, 0);
    day.open(b"agent-7", b"/srv/log-link", 5, 0o1);
    // A rule reported the program, then it started: one access. Then one that only started.
    let tool = file(b"/usr/bin/tool", 6);
    day.did(b"agent-7", Body::ExecCheck { file: tool, decision: decided(Verdict::Audited, b"watch") });
    day.exec(b"agent-7", b"/usr/bin/tool", 6);
    day.exec(b"agent-7", b"/usr/bin/other", 7);
    day.did(
        b"agent-7",
        Body::ExecCheck { file: file(b"/usr/bin/nc", 8), decision: decided(Verdict::Denied, b"no-nc") },
    );
    let denied = Body::Open {
        file: file(b"/etc/shadow", 9),
        flags: 0,
        decision: decided(Verdict::Denied, b"no-shadow"),
    };
    day.did(b"agent-7", denied);
    // A script: its interpreter is what is recorded as executed.
    day.open(b"agent-7", b"/srv/own/script", 15, 0);
    // The agent's own rules decide on its self-test.
    day.open(b"aegis-selftest", b"/run/aegis/selftest/denied", 16, 0);
    let broken = Decision { glass_broken: true, ..decided(Verdict::Audited, b"no-shadow") };
    day.did(b"agent-7", Body::Open { file: file(b"/etc/gshadow", 14), flags: 0, decision: broken });
    // Nothing that a rule could name.
    day.open(b"agent-7", b"/proc/77/status", 10, 0);
    day.open(b"agent-7", b"/srv/\xff", 11, 0);
    day.open(b"agent-7", b"/dev/sda", 13, 3); // for ioctl: neither reads nor writes
    day.exec(b"web", b"/usr/bin/tool", 6);
    day
}

const NEXT: &str = "\
schema = 1
name = \"next\"
mode = \"enforce\"

[[workload]]
name = \"agent-*\"

[[rule]]
name = \"no-keys\"
workloads = [\"agent-*\"]
action = \"deny\"
operations = [\"open-read\"]
paths = [\"/root/.ssh/id_rsa\"]

[[rule]]
name = \"no-write\"
workloads = [\"agent-*\"]
action = \"deny\"
operations = [\"open-write\"]
paths = [\"/srv/data/a\"]

[[rule]]
name = \"watch\"
workloads = [\"agent-*\"]
action = \"audit\"
operations = [\"exec\"]
paths = [\"/usr/bin/tool\", \"/never\"]
";

#[test]
fn a_policy_is_tried_on_a_recorded_day() {
    let desk = Desk::new();
    day(&desk);
    desk.write("next.toml", NEXT);
    let (exit, said) = desk.json("policy simulate --policy next.toml --events day.cbor");
    assert_eq!(exit, 1, "{said}");
    for (field, expected) in [
        ("accesses", 16),
        ("partial_paths", 1),
        ("newly_denied", 3),
        ("changed", 6),
        ("devices", 1),
        ("lost", 0),
    ] {
        assert_eq!(said[field].as_u64(), Some(expected), "{field}: {said}");
    }
    let rules: Vec<String> =
        said["rules"].as_array().expect("a list").iter().map(ToString::to_string).collect();
    assert_eq!(
        rules,
        [
            r#"{"audited":0,"denied":2,"rule":"no-keys"}"#,
            r#"{"audited":0,"denied":1,"rule":"no-write"}"#,
            r#"{"audited":1,"denied":0,"rule":"watch"}"#,
        ]
    );
    let of = |name: &str| {
        said["workloads"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|one| one["workload"] == name)
            .expect(name)
            .clone()
    };
    assert_eq!(
        of("agent-7").to_string(),
        r#"{"accesses":15,"allowed":11,"audited":1,"changed":6,"covered":true,"denied":3,"workload":"agent-7"}"#
    );
    assert_eq!(
        of("web").to_string(),
        r#"{"accesses":1,"allowed":1,"audited":0,"changed":0,"covered":false,"denied":0,"workload":"web"}"#
    );
    let changes = said["changes"].as_array().expect("a list");
    let key = changes.iter().find(|one| one["new"]["rule"] == "no-keys").expect("denied");
    assert_eq!(key["count"], 2);
    assert_eq!(key["examples"].to_string(), r#"[{"path":"/root/.ssh/id_rsa","sequence":2}]"#);
    // What was denied then, and would not be now, is a change, too.
    assert!(
        changes.iter().any(|one| one["old"]["rule"] == "no-shadow" && one["new"]["verdict"] == "allowed")
    );
    let (_, out, _) = desk.run("policy simulate --policy next.toml --events day.cbor");
    assert!(out.contains("Paths are compared as they were recorded."), "{out}");
    assert!(out.contains("6 of 16 would end otherwise, 3 newly denied"), "{out}");
    assert!(
        out.contains(
            "agent-7 open-read: allowed -> denied by no-keys: 2 times\n      /root/.ssh/id_rsa (sequence 2)\n"
        ),
        "{out}"
    );

    // Against a policy that denies the same, nothing changes.
    desk.write("old.toml", NEXT.replace("\"next\"", "\"old\"").replace("no-keys", "keys"));
    let partly = "--events day.cbor --allow-partial";
    let (exit, said) = desk.json(&format!("policy simulate --policy next.toml --against old.toml {partly}"));
    assert_eq!((exit, said["changed"].as_u64(), said["against"].as_str()), (0, Some(0), Some("old")));
    desk.write("old.toml", NEXT.replace("/srv/data/a", "/srv/data/c"));
    let (exit, said) = desk.json("policy simulate --policy next.toml --against old.toml --events day.cbor");
    assert_eq!((exit, said["changed"].as_u64()), (1, Some(1)));
    // The other way round nothing is newly denied.
    let (exit, said) = desk.json(&format!("policy simulate --policy old.toml --against next.toml {partly}"));
    assert_eq!((exit, said["changed"].as_u64()), (0, Some(1)));
}

/// One workload that a rule denies something on, and that reads a file whose name was recorded in part.
fn partly(desk: &Desk) {
    let mut day = Recorder::new();
    day.open(b"agent-7", b"/etc/passwd", 4, 0);
    let cut = File { truncated: true, ..file(b"id_rsa", 12) };
    day.did(b"agent-7", Body::Open { file: cut, flags: 0, decision: Decision::allowed(4) });
    day.export(desk, "partly.cbor");
}

#[test]
fn what_could_not_be_decided_is_not_good() {
    let desk = Desk::new();
    partly(&desk);
    desk.write("next.toml", NEXT.replace("/usr/bin/tool", "/x"));
    let line = "policy simulate --policy next.toml --events partly.cbor";
    let (exit, out, _) = desk.run(line);
    assert_eq!(exit, 1, "{out}");
    let headline: Vec<&str> = out.lines().take(3).collect();
    assert_eq!(headline[2], "NOT DECIDED: 1 with a path recorded in part", "{out}");
    assert!(
        out.contains("exit 1: not all could be decided: ") && out.contains("or give --allow-partial\n"),
        "{out}"
    );
    let (exit, said) = desk.json(&format!("{line} --allow-partial"));
    let left = (said["partial_paths"].as_u64(), said["complete"].as_bool());
    assert_eq!((exit, left), (0, (Some(1), Some(false))), "{said}");
    // What the name can't turn is decided: nothing is said of executing, everything of reading.
    let everything = NEXT.replace("paths = [\"/root/.ssh/id_rsa\"]", "trees = [\"/\"]");
    desk.write("next.toml", &everything);
    let (exit, said) = desk.json(line);
    let counts = (said["partial_paths"].as_u64(), said["newly_denied"].as_u64(), said["complete"].as_bool());
    assert_eq!((exit, counts), (1, (Some(0), Some(2), Some(true))), "{said}");
    // Not when an exception may be what it was.
    let but = "\n[[rule]]\nname = \"but\"\naction = \"allow\"\noverride = true\noperations = [\"open-read\"]\npaths = [\"/y\"]\n";
    desk.write("next.toml", format!("{everything}{but}"));
    assert_eq!(desk.json(line).1["partial_paths"], 1);
    // And one that no rule of its workload speaks of is allowed whatever it is.
    desk.write("next.toml", NEXT.replace("\"open-read\"", "\"connect\""));
    let (exit, said) = desk.json(line);
    assert_eq!(
        (exit, said["accesses"].as_u64(), said["complete"].as_bool()),
        (0, Some(2), Some(true)),
        "{said}"
    );
}

#[test]
fn what_the_agents_own_rules_decided_stays_so() {
    let desk = Desk::new();
    let mut day = Recorder::new();
    let mut denied = |rule: &[u8], path: &[u8], truncated| {
        let decision = decided(Verdict::Denied, rule);
        let file = File { truncated, ..file(path, 3) };
        day.did(b"agent-7", Body::Open { file, flags: 1, decision });
    };
    denied(b"aegis-self", b"/data/aegis/device.key", false);
    denied(b"aegis-depth", b"deep", true);
    day.export(&desk, "own.cbor");
    desk.write("next.toml", NEXT);
    let line = "policy simulate --policy next.toml --events own.cbor";
    let (exit, said) = desk.json(line);
    let count = |said: &serde_json::Value, field: &str| said[field].as_u64().expect("a number");
    let counts =
        ["changed", "accesses", "decided_by_agent", "partial_paths"].map(|field| count(&said, field));
    assert_eq!((exit, counts), (0, [0, 0, 2, 0]), "{said}");
    assert!(desk.good(line).contains("as decided then: 2 by the agent's own rules"));
    // Without self-protection its own rule is gone.
    desk.write("next.toml", NEXT.replace("mode =", "self-protection = false\nmode ="));
    let (_, said) = desk.json(line);
    let counts = ["changed", "accesses", "decided_by_agent"].map(|field| count(&said, field));
    assert_eq!(counts, [1, 1, 1], "{said}");
}

#[test]
fn only_what_a_device_signed_is_simulated_and_learned() {
    let desk = Desk::new();
    day(&desk);
    desk.write("next.toml", NEXT);
    let mut bytes = std::fs::read(desk.path("day.cbor")).expect("made");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    desk.write("bent.cbor", bytes);
    for line in ["simulate --policy next.toml", "learn --workload agent-7"] {
        for file in ["bent.cbor", "gone.cbor", "next.toml"] {
            let (exit, out, err) = desk.run(&format!("policy {line} --events {file}"));
            assert_eq!((exit, out.as_str(), err.lines().count()), (2, "", 1), "{line}: {err}");
        }
    }
}

#[test]
fn what_is_learned_permits_what_was_seen_and_denies_the_rest() {
    let desk = Desk::new();
    day(&desk);
    let draft = desk.good("policy learn --events whole.cbor --workload agent-7");
    desk.write("learned.toml", &draft);
    desk.good("policy lint --strict learned.toml");
    for line in [
        "name = \"no-files\"\nworkloads = [\"agent-7\"]\naction = \"deny\"\noperations = [\"open-read\", \"open-write\", \"exec\", \"connect\"]\ntrees = [\"/\"]\n",
        "    \"/root/.ssh/id_rsa\", # read 2; sequence 2 to 3\n",
        "    \"/srv/data/a\", # read 1, written 1; seen once: sequence 4\n",
        "    \"/srv/log\", # read 1, more under another name; seen once: sequence 7\n",
        "    \"/srv/own/script\", # read 1, perhaps run as a script; seen once: sequence 14\n",
        "    \"/proc\", # folded: a process's own file: read 1; seen once: sequence 17\n",
        "    \"/srv\", # folded: a path that is not UTF-8 text: read 1; seen once: sequence 18\n",
        "#   /etc/shadow  read 1; seen once: sequence 13\n",
        "#   1 x an access that only broken glass or a fallen deadman let pass\n",
        "    \"/lib/ld-musl-x86_64.so.1\",\n",
        "mode = \"audit\"\n",
    ] {
        assert!(draft.contains(line), "{line}{draft}");
    }
    assert!(!draft.contains("/dev/sda") && !draft.contains("gshadow") && !draft.contains("web"), "{draft}");
    // Enforced on the same day, it denies nothing that was permitted, and what was denied stays so.
    desk.write("learned.toml", draft.replace("mode = \"audit\"", "mode = \"enforce\""));
    let (exit, said) = desk.json("policy simulate --policy learned.toml --events whole.cbor");
    assert_eq!((exit, said["newly_denied"].as_u64()), (1, Some(1)), "the glass is whole: {said}");
    assert!(
        said["changes"].as_array().expect("a list").iter().all(|one| one["old"]["verdict"] != "denied"),
        "{said}"
    );
    for (path, operation, verdict) in [
        ("/root/.ssh/id_rsa", "open-read", "allowed"),
        ("/root/.ssh/id_rsa", "open-write", "denied"),
        ("/root/.ssh/id_rsa", "exec", "denied"),
        ("/srv/data/b", "open-write", "allowed"),
        ("/srv/data/b", "exec", "denied"),
        ("/srv/log", "open-write", "allowed"),
        ("/srv/log-link", "open-read", "allowed"),
        ("/usr/bin/tool", "exec", "allowed"),
        ("/usr/bin/tool", "open-write", "denied"),
        ("/usr/bin/nc", "exec", "denied"),
        ("/etc/shadow", "open-read", "denied"),
        ("/etc/gshadow", "open-read", "denied"),
        ("/srv/own/script", "exec", "allowed"),
        ("/srv/own/script", "open-write", "denied"),
        ("/never/seen", "open-read", "denied"),
        ("/never/seen", "open-write", "denied"),
        ("/never/seen", "exec", "denied"),
        ("/never/seen", "change", "denied"),
        ("/never/seen", "connect", "denied"),
    ] {
        let line =
            format!("policy explain learned.toml --workload agent-7 --path {path} --operation {operation}");
        let (_, said) = desk.json(&line);
        assert_eq!(said["verdict"], verdict, "{line}");
    }
}

#[test]
fn what_can_not_be_named_is_not_denied_and_said() {
    let desk = Desk::new();
    day(&desk);
    let (exit, said) = desk.json("policy learn --events day.cbor --workload agent-7");
    assert_eq!((exit, said["accesses"].as_u64(), said["out"].as_str()), (0, Some(16), None), "{said}");
    let warning = "open-read of files in general can't be denied: 1 time a file was used";
    let warned = said["warnings"].as_array().expect("a list").iter();
    assert!(warned.filter_map(|one| one.as_str()).any(|one| one.starts_with(warning)), "{said}");
    let draft = said["draft"].as_str().expect("text");
    assert!(draft.contains("# WARNING: open-read of files in general can't be denied"), "{draft}");
    desk.write("learned.toml", draft.replace("mode = \"audit\"", "mode = \"enforce\""));
    for (operation, verdict) in [("open-read", "allowed"), ("open-write", "denied"), ("exec", "denied")] {
        let line = format!(
            "policy explain learned.toml --workload agent-7 --path /never/seen --operation {operation}"
        );
        assert_eq!(desk.json(&line).1["verdict"], verdict, "{line}");
    }
    let (exit, said) = desk.json("policy learn --events day.cbor --workload agent-7 --out named.toml");
    assert_eq!(
        (exit, said["out"].as_str(), said.get("draft")),
        (0, Some("named.toml"), Some(&serde_json::Value::Null))
    );
    desk.good("policy lint named.toml");
}

#[test]
fn directories_are_folded_only_when_asked_for() {
    let desk = Desk::new();
    day(&desk);
    let draft = desk.good("policy learn --events whole.cbor --workload agent-* --depth 2");
    assert!(
        draft.contains(
            "trees = [\n    \"/srv/data\", # folded: 2 files: read 1, written 2; sequence 4 to 5\n"
        ),
        "{draft}"
    );
    assert!(!draft.contains("/srv/data/a") && draft.contains("\"/srv/log\""), "{draft}");
    // One program there was denied: so its directory is not open for programs.
    assert!(
        draft.contains("    \"/usr/bin/tool\", # executed 1;") && !draft.contains("\"/usr/bin\""),
        "{draft}"
    );
    assert!(draft.contains("name = \"agent-*\""), "{draft}");
    desk.good("policy learn --events whole.cbor --workload agent-7 --out draft.toml");
    desk.good("policy lint draft.toml");
    assert_eq!(
        desk.run("policy learn --events whole.cbor --workload agent-7 --out draft.toml").0,
        2,
        "not overwritten"
    );
    let (exit, out, err) = desk.run("policy learn --events day.cbor --workload nobody");
    assert_eq!((exit, out.as_str()), (1, ""), "{err}");
    assert_eq!(desk.run("policy learn --events day.cbor --workload a*b").0, 2);
}

const LOOPBACK: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Another day: files are made and removed, addresses and the kernel's own surface are used.
fn busy_day(desk: &Desk) {
    let mut day = Recorder::new();
    let net = |family, address, port, protocol| Body::Connect {
        family,
        protocol,
        port,
        address,
        decision: Decision::allowed(4),
    };
    day.did(b"agent-7", net(2, &[10, 0, 0, 1], 443, 6)); // sequence 2
    day.did(b"agent-7", net(2, &[10, 0, 0, 2], 443, 6));
    day.did(b"agent-7", net(2, &[10, 0, 0, 9], 53, 17));
    for port in 1..=5 {
        day.did(b"agent-7", net(10, &LOOPBACK, port, 6));
    }
    let endpoint = Endpoint { family: 2, socket_type: 1, protocol: 6, port: 8_080, address: &[0; 4] };
    day.did(b"agent-7", Body::Bind { endpoint, decision: Decision::allowed(4) });
    // Not of the internet.
    let other = Endpoint { family: 16, address: &[], ..endpoint };
    day.did(b"agent-7", Body::Bind { endpoint: other, decision: Decision::allowed(4) });
    day.did(
        b"agent-7",
        Body::Create { file: file(b"/srv/new", 0), mode: 0o644, decision: Decision::allowed(4) },
    );
    day.open(b"agent-7", b"/srv/new", 20, 0o101);
    day.did(
        b"agent-7",
        Body::Rename {
            file: file(b"/srv/new", 20),
            to: b"/srv/old",
            to_truncated: false,
            decision: Decision::allowed(4),
        },
    );
    day.did(b"agent-7", Body::UnixConnect { file: file(b"/run/x.sock", 21), decision: Decision::allowed(4) });
    let call = Call { number: 0, target: 7, text: b"" };
    day.did(b"agent-7", Body::Ptrace { call, decision: Decision::allowed(4) });
    day.did(b"agent-7", Body::Mount { call, decision: decided(Verdict::Denied, b"no-mount") });
    day.export(desk, "busy.cbor");
}

#[test]
fn every_kind_of_access_is_simulated() {
    let desk = Desk::new();
    busy_day(&desk);
    desk.write(
        "p.toml",
        "schema = 1\nname = \"p\"\nmode = \"enforce\"\n[[workload]]\nname = \"*\"\n\
         [[rule]]\nname = \"no-net\"\naction = \"deny\"\noperations = [\"connect\", \"bind\"]\n\
         [[rule]]\nname = \"but-web\"\naction = \"allow\"\noverride = true\noperations = [\"connect\"]\n\
         addresses = [\"10.0.0.0/8\"]\nports = [443]\n\
         [[rule]]\nname = \"keep\"\naction = \"deny\"\noperations = [\"exec\"]\npaths = [\"/srv/old\"]\n\
         [[rule]]\nname = \"no-sockets\"\naction = \"deny\"\noperations = [\"connect\"]\ntrees = [\"/run\"]\n\
         [[rule]]\nname = \"no-trace\"\naction = \"deny\"\noperations = [\"ptrace\"]\n",
    );
    let (exit, said) = desk.json("policy simulate --policy p.toml --events busy.cbor");
    assert_eq!((exit, said["accesses"].as_u64()), (1, Some(15)), "{said}");
    let mut changes: Vec<String> = said["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            let example = &one["examples"][0];
            let what = example["path"].as_str().or(example["what"].as_str()).expect("an example");
            let (operation, verdict, rule) =
                (&one["operations"][0], &one["new"]["verdict"], &one["new"]["rule"]);
            format!("{} x {operation} {what}: {verdict} {rule}", one["count"])
        })
        .collect();
    changes.sort();
    assert_eq!(
        changes,
        [
            r#"1 x "bind" 0.0.0.0 port 8080 tcp: "denied" "no-net""#,
            r#"1 x "change" /srv/new -> /srv/old: "denied" "keep""#,
            r#"1 x "connect" /run/x.sock: "denied" "no-sockets""#,
            r#"1 x "mount" the kernel: "allowed" null"#,
            r#"1 x "ptrace" the kernel: "denied" "no-trace""#,
            r#"6 x "connect" 10.0.0.9 port 53 udp: "denied" "no-net""#,
        ]
    );
}

#[test]
fn what_is_learned_of_every_kind_permits_what_was_seen() {
    let desk = Desk::new();
    busy_day(&desk);
    let draft = desk.good("policy learn --events busy.cbor --workload agent-7");
    for piece in [
        "name = \"no-connect\"",
        "addresses = [\n    \"10.0.0.1\",\n    \"10.0.0.2\",\n]\nports = [443]\nprotocols = [\"tcp\"]\n",
        "addresses = [\n    \"10.0.0.9\",\n]\nports = [53]\nprotocols = [\"udp\"]\n",
        // Of too many ports, all.
        "addresses = [\n    \"::1\",\n]\nprotocols = [\"tcp\"]\n",
        "name = \"may-bind-1\"\nworkloads = [\"agent-7\"]\naction = \"allow\"\noverride = true\noperations = [\"bind\"]\nports = [8080]\n",
        "operations = [\"module-load\", \"bpf\", \"mount\"]",
        "name = \"may-change\"",
        "name = \"may-write-change\"",
        "    \"/srv/new\", # written 1, changed 2; sequence 12 to 14\n",
        "    \"/run/x.sock\", # connected 1; seen once: sequence 15\n",
    ] {
        assert!(draft.contains(piece), "{piece}\n{draft}");
    }
    desk.write("learned.toml", draft.replace("mode = \"audit\"", "mode = \"enforce\""));
    desk.good("policy lint learned.toml");
    let (exit, said) = desk.json("policy simulate --policy learned.toml --events busy.cbor");
    assert_eq!((exit, said["newly_denied"].as_u64()), (0, Some(0)), "{said}");
    for (access, verdict) in [
        ("--address 10.0.0.1 --port 443 --operation connect", "allowed"),
        ("--address 10.0.0.1 --port 53 --protocol udp --operation connect", "denied"),
        ("--address 10.0.0.3 --port 443 --operation connect", "denied"),
        ("--address ::1 --port 9 --operation connect", "allowed"),
        ("--address 0.0.0.0 --port 8080 --operation bind", "allowed"),
        ("--address 0.0.0.0 --port 8081 --operation bind", "denied"),
        ("--operation mount", "denied"),
        ("--operation ptrace", "allowed"),
        ("--path /run/x.sock --operation connect", "allowed"),
        ("--path /run/y.sock --operation connect", "denied"),
        ("--path /srv/new --operation exec", "denied"),
        ("--path /srv/new --operation change", "allowed"),
    ] {
        let (_, said) = desk.json(&format!("policy explain learned.toml --workload agent-7 {access}"));
        assert_eq!(said["verdict"], verdict, "{access}");
    }
}
