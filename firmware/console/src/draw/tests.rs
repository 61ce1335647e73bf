//! Screens of 80 by 24, as text, held against `screens/`: `AEGIS_GOLDEN=write` writes them anew. `docs/console.md` has some of them.

use std::path::Path;

use ratatui_core::backend::TestBackend;
use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::layout::Rect;
use ratatui_core::terminal::Terminal;

use super::*;
use crate::app::{Answer, Ask, End};
use crate::keys::Key;
use crate::known::Asked;
use crate::load::Measured;
use crate::model::{Image, Line, Policy, Status, Verdict, object};

const STATUS: &str = r#"{"version":"0.1.0","phase":"ready","mode":"enforcing","reason":"self-test-passed",
"glass":{"broken":false,"seconds_left":0},"policy":{"epoch":1,"sequence":42,"rules":118,"unresolved":0,"uncovered":0},
"denied":17,"accounts":{"seen":81230,"written":81225,"lost":{"kernel-ring-full":0,"ring-write":0}},
"ring":{"first_sequence":1,"acked_sequence":81225,"used_bytes":8126464,"capacity_bytes":65011712,"level":"normal","unexported_percent":3},
"seal":{"code":"sealed"}}"#;
const POLICY: &str = r#"{"device":"61ab39a946c87121973250c06a95a6fb","now":1796025013,"in_force":{"from":"bundle","name":"site-7",
"epoch":1,"sequence":42,"expires":1798034400,"stale":false},"troubles":[]}"#;
const IMAGE: &str = r#"{"slot":"a","image":"1.1796015588","on_trial":false}"#;
const HEALTHY: &str = r#"{"verdict":"healthy","findings":[]}"#;
const EVENTS: &str = r#"{"sequence":1,"boot_id":"b0","time_ns":4100000000,"kind":"policy","code":"accepted","detail":"site.aegis"}
{"sequence":2,"boot_id":"b0","time_ns":4900000000,"kind":"stick","code":"seen","detail":"sda1: vfat"}
{"sequence":71002,"boot_id":"a9","time_ns":99000000000,"kind":"exec","workload":"agent-7","comm":"sh","verdict":"denied","rule":"no-tools","path":"/usr/bin/wget"}
{"sequence":81001,"boot_id":"b0","time_ns":3723000000000,"kind":"open","workload":"agent-7","comm":"python3","verdict":"denied","rule":"no-shadow","path":"/etc/shadow"}
{"sequence":81177,"boot_id":"b0","time_ns":3791000000000,"kind":"connect","workload":"pump-control","comm":"modbus","verdict":"denied","rule":"only-plc","address":"10.0.4.17","port":502}
{"sequence":81180,"boot_id":"b0","time_ns":3792000000000,"kind":"policy","code":"rollback","rule":"","detail":"old.aegis"}"#;

fn known() -> Known {
    let read = |text: &str| object(text.as_bytes()).map_err(str::to_owned);
    let mut known = Known {
        variant: "production".to_owned(),
        boot: "b0".to_owned(),
        uptime: 3811,
        status: Asked::of(read(STATUS), Status::of),
        health: Asked::of(read(HEALTHY), Verdict::of),
        policy: Asked::of(read(POLICY), Policy::of),
        image: Asked::of(read(IMAGE), Image::of),
        ..Known::default()
    };
    for line in EVENTS.lines() {
        known.hear(&Line::of(line.as_bytes()).expect("a line"));
    }
    known
}

fn with_status(known: &mut Known, change: impl FnOnce(&mut Status)) {
    let Asked::Known(status) = &mut known.status else { panic!("no status") };
    change(status);
}

fn findings(count: usize) -> Asked<Verdict> {
    const SOME: [(&str, &str, &str, &str); 5] = [
        (
            "ring-write-errors",
            "bad",
            "3 writes to the ring failed just now",
            "look at the disk, and at how full the ring is",
        ),
        (
            "policy-stale",
            "bad",
            "the policy in force is older than it was signed to be; it stays",
            "bring a newer bundle by stick",
        ),
        ("policy-unknown", "unknown", "/data/aegis: Input/output error", "look at the disk"),
        ("power-cut", "note", "1 run ended without a seal", "none is needed"),
        (
            "image-on-trial",
            "note",
            "the image that runs was not seen healthy yet",
            "`aegis image settle` once it is healthy; the boot does",
        ),
    ];
    let all: Vec<_> = SOME.iter().cycle().take(count).collect();
    let all: Vec<_> = all
        .iter()
        .map(|(code, severity, meaning, mend)| {
            serde_json::json!({"code": code, "severity": severity, "meaning": meaning, "mend": mend})
        })
        .collect();
    Asked::Known(Verdict::of(&serde_json::json!({ "verdict": "unhealthy", "findings": all })))
}

/// What the screen shows, a line each, without the space at their ends.
fn shown(app: &mut App, known: &Known) -> String {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a test's");
    let mut height = 0;
    terminal.draw(|frame| height = page(frame.buffer_mut(), app, known)).expect("a test's");
    app.height = height;
    let buffer = terminal.backend().buffer();
    let lines = buffer.content.chunks(80).map(|line| line.iter().map(Cell::symbol).collect::<String>());
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

fn held(name: &str, app: &mut App, known: &Known) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("screens").join(format!("{name}.txt"));
    let now = shown(app, known);
    assert!(now.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{now}");
    if std::env::var_os("AEGIS_GOLDEN").is_some() {
        std::fs::write(&path, &now).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(now == kept, "{name} is another (AEGIS_GOLDEN=write, if that is right):\n{now}");
}

#[test]
fn the_first_page_in_its_states() {
    held("well", &mut App::default(), &known());

    let mut degraded = known();
    with_status(&mut degraded, |status| {
        (status.mode, status.reason) = ("audit-only".to_owned(), "lsm-bpf-missing".to_owned());
        (status.lost, status.unresolved, status.ring.level, status.ring.percent) =
            (12, 3, "critical".to_owned(), 91);
    });
    degraded.health = findings(3);
    held("degraded", &mut App::default(), &degraded);

    let mut debug = known();
    debug.variant = "debug".to_owned();
    debug.image = Asked::Known(Image::default());
    with_status(&mut debug, |status| status.broken = Some(512));
    held("debug-broken-glass", &mut App::default(), &debug);

    let mut many = known();
    many.health = findings(40);
    many.missed = 1234;
    let mut app = App { page: Page::Question(End::PowerOff), ..App::default() };
    held("many-findings", &mut app, &many);

    let mut gone = known();
    gone.status =
        Asked::Failed("no status from the agent: Connection refused (is `aegis run` running?)".to_owned());
    gone.health = Asked::Failed("no-agent: no figures".to_owned());
    gone.policy = Asked::Failed("/data/aegis: No such file or directory".to_owned());
    gone.denials.clear();
    gone.unfollowed = Some("ring: no partition is labelled aegis-ring".to_owned());
    held("no-agent", &mut App { asleep: true, ..App::default() }, &gone);

    held("first", &mut App::default(), &Known::default());
}

/// Whatever somebody calls his things, every cell holds one printable character, and what counts stays where it is.
#[test]
fn hostile_names_stay_in_their_place() {
    let mut hostile = known();
    let name = "\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}\u{4e2d}\u{e4}\\".repeat(30);
    let line = serde_json::json!({"sequence": u64::MAX, "time_ns": u64::MAX, "boot_id": name, "kind": name, "workload": name, "comm": name,
        "rule": name, "path": name});
    hostile.boot.clear();
    hostile.hear(&Line::of(line.to_string().as_bytes()).expect("a line"));
    let line = serde_json::json!({"sequence": u64::MAX, "kind": name, "code": name, "detail": name});
    hostile.hear(&Line::of(line.to_string().as_bytes()).expect("a line"));
    let verdict = serde_json::json!({"verdict": name, "findings": [{"code": name, "meaning": name, "mend": name, "severity": name}]});
    hostile.health = Asked::Known(Verdict::of(&verdict));
    with_status(&mut hostile, |status| {
        status.reason = crate::text::plain(&name, crate::limits::WORD);
        (status.epoch, status.sequence, status.rules) = (u64::MAX, u64::MAX, u64::MAX);
    });
    held("hostile", &mut App::default(), &hostile);
}

#[test]
fn other_pages() {
    let doctor = serde_json::json!({"verdict": "unwell", "findings": [
        {"code": "hook-missing", "severity": "bad", "meaning": "the policy that is to be in force needs a hook to deny, and it can't (file_open, inode_create, inode_mkdir and 7 more)", "mend": "`aegis probe` says why; start another kernel"},
        {"code": "no-slots", "severity": "note", "meaning": "no loader started this kernel: no image is taken by stick", "mend": "start it by its loader, if images are to be taken by stick"}],
        "facts": {"agent": {"confined": true, "process": 95, "tasks": 4}, "kernel": {"bpffs": true, "lsm": "lockdown,capability,yama,ima,bpf", "options_missing": [], "release": "6.12.117-aegis"}, "maps": null}});
    let answer = Answer { out: doctor.to_string().into_bytes(), code: Some(1), ..Answer::default() };
    let mut app = App::default();
    app.answered(Ask::Doctor, &answer, 78);
    held("doctor", &mut app, &known());

    let verify = b"stick sda1: vfat, 3 offered\nok bundle site.aegis: accepted\n!! bundle old.aegis: rollback: (epoch, sequence) is not above what was accepted last\nok token break-glass/61ab39a946c87121973250c06a95a6fb.cbor: accepted: sequence 4, 3600 s\n";
    let err = b"aegis: stick sda1: 1 of it would be refused\n";
    let answer = Answer { out: verify.to_vec(), err: err.to_vec(), code: Some(1), ..Answer::default() };
    let mut app = App::default();
    app.answered(Ask::Verify, &answer, 78);
    held("verify", &mut app, &known());

    let mut app = App::default();
    app.key(Key::Char('?'));
    held("help", &mut app, &known());

    let mut app = App { page: Page::Top, ..App::default() };
    for (at, factor) in [(0.0, 1), (5.0, 2)] {
        let mut lines = Vec::new();
        for (name, events, denials, cpu, memory, pids) in [
            ("agent-7", 500, 12, 2, 31_457_280, 7),
            ("pump-control", 90, 1, 1, 4_194_304, 2),
            ("*", 40, 0, 0, 0, 0),
        ] {
            let mut put = |metric: &str, labels: &str, value: u64| {
                lines.push(format!("aegis_workload_{metric}{{workload=\"{name}\"{labels}}} {value}"));
            };
            put("events_total", "", events * factor);
            put("denials_total", "", denials * factor);
            if pids > 0 {
                put("cpu_seconds_total", ",mode=\"user\"", cpu * factor);
                put("memory_bytes", "", memory);
                put("pids", "", pids);
            }
        }
        let text = lines.join("\n");
        app.top.hear(at, Measured::of(text.as_bytes()));
    }
    held("top", &mut app, &known());
}

/// On a screen of any size nothing is drawn outside, and nothing panics.
#[test]
fn other_sizes() {
    for (width, height) in [(80, 24), (132, 50), (100, 30), (40, 10), (1, 1), (80, 3)] {
        let mut many = known();
        many.health = findings(40);
        for page_of in
            [Page::Main, Page::Help, Page::Top, Page::Report(Report::default()), Page::Question(End::Reboot)]
        {
            let app = App { page: page_of, ..App::default() };
            page(&mut Buffer::empty(Rect::new(0, 0, width, height)), &app, &many);
        }
    }
}

/// The screens in the document are these.
#[test]
fn the_document_shows_real_screens() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(place.join("../../docs/console.md")).unwrap_or_default();
    for name in ["well", "degraded", "doctor", "verify", "top"] {
        let screen = std::fs::read_to_string(place.join(format!("screens/{name}.txt"))).expect("kept");
        assert!(
            text.contains(&format!("```\n{screen}```")),
            "docs/console.md has another `{name}` than screens/{name}.txt"
        );
    }
}
