//! Filters, lines, and a ring that is followed.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aegis_event::{Body, Cause, Decision, File, Process, Subject, Verdict};
use aegis_ring::{FormatOptions, Full, Options as RingOptions, Ring};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn filter(terms: &[&str]) -> Filter {
    let mut filter = Filter::default();
    for term in terms {
        filter.add(OsStr::new(term)).unwrap();
    }
    filter
}

fn file(path: &[u8]) -> File<'_> {
    File { device: 1, inode: 2, path, truncated: false }
}

fn by<'a>(workload: &'a [u8], body: Body<'a>) -> Event<'a> {
    let process = Process { pid: 7, tgid: 7, ppid: 1, uid: 0, comm: b"sh" };
    Event { time: 1, subject: Some(Subject { workload, cgroup: 9, process }), body }
}

fn open(path: &[u8], verdict: Verdict) -> Body<'_> {
    let decision = Decision { verdict, rule: b"r", ..Decision::allowed(4) };
    Body::Open { file: file(path), flags: 0, decision }
}

#[test]
fn of_one_key_either_counts_and_of_different_keys_all() {
    let denied = by(b"demo", open(b"/etc/shadow", Verdict::Denied));
    let renamed = Body::Rename {
        file: file(b"/tmp/a"),
        to: b"/etc/b",
        to_truncated: false,
        decision: Decision::allowed(4),
    };
    let renamed = by(b"other", renamed);
    let loss = Event {
        time: 1,
        subject: None,
        body: Body::Loss { workload: b"demo", cause: Cause::RateLimited, count: 3 },
    };
    for (terms, expected) in [
        (&[][..], [true, true, true]),
        (&["kind=open"], [true, false, false]),
        (&["kind=open", "kind=rename"], [true, true, false]),
        (&["verdict=denied"], [true, false, false]),
        (&["verdict=deny", "verdict=allow"], [true, true, false]),
        (&["verdict=audit"], [false; 3]),
        (&["workload=demo"], [true, false, true]),
        (&["workload=dem"], [false; 3]),
        (&["path=/etc/"], [true, true, false]),
        (&["path=/etc/s", "path=/tmp"], [true, true, false]),
        (&["path=/etc/", "workload=other", "kind=rename", "verdict=allowed"], [false, true, false]),
    ] {
        let filter = filter(terms);
        let matched = [&denied, &renamed, &loss].map(|event| filter.matches(event));
        assert_eq!(matched, expected, "{terms:?}");
    }
    let any = OsStr::from_bytes(b"path=/\xff=\n");
    let mut odd = Filter::default();
    odd.add(any).unwrap();
    assert!(odd.matches(&by(b"demo", open(b"/\xff=\n/x", Verdict::Allowed))));
}

#[test]
fn what_is_no_term_is_refused() {
    for bad in [
        "",
        "=",
        "kind",
        "kind=",
        "kind=Open",
        "verdict=no",
        "since=",
        "since=x",
        "since=-1",
        "Kind=open",
        "user=0",
    ] {
        assert!(Filter::default().add(OsStr::new(bad)).is_err(), "{bad}");
    }
    let mut twice = filter(&["since=3"]);
    assert!(twice.add(OsStr::new("since=4")).is_err());
    let mut many = Filter::default();
    let added = (0..1000).take_while(|_| many.add(OsStr::new("workload=a")).is_ok()).count();
    assert_eq!(added, limits::FILTER_TERMS);
    assert!(
        Filter::default().add(OsStr::new(&format!("path={}", "/".repeat(limits::FILTER_BYTES + 1)))).is_err()
    );
}

/// Lines in memory; each wait is a step of the test's.
struct Lines<'t> {
    lines: Vec<String>,
    steps: Vec<Box<dyn FnMut() + 't>>,
}

impl Sink for Lines<'_> {
    fn put(&mut self, line: &[u8]) -> Result<Flow, Failure> {
        let line = str::from_utf8(line).unwrap();
        self.lines.push(line.strip_suffix('\n').unwrap().to_owned());
        Ok(Flow::GoOn)
    }

    fn wait(&mut self) -> Result<Flow, Failure> {
        if self.steps.is_empty() {
            return Ok(Flow::End);
        }
        self.steps.remove(0)();
        Ok(Flow::GoOn)
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

fn format(path: &Path) {
    std::fs::File::create(path).unwrap().set_len(1 << 20).unwrap();
    let device = RingDevice::open(Some(path), true).unwrap();
    let shape = FormatOptions { ring_id: [7; 16], bytes: device.bytes(), segment_bytes: 64 << 10 };
    aegis_ring::format(device, &shape).unwrap();
}

/// Appends so many opens.
fn append(path: &Path, count: u64) {
    let device = RingDevice::open(Some(path), true).unwrap();
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let options = RingOptions { full: Full::Overwrite, ..RingOptions::default() };
    let mut ring = Ring::open_with(device, [1; 16], &mut scratch, options).unwrap();
    for _ in 0..count {
        let mut bytes = [0; aegis_event::limits::EVENT_BYTES];
        let length = by(b"demo", open(&[b'x'; 200], Verdict::Allowed)).encode(&mut bytes).unwrap();
        ring.append(&bytes[..length]).unwrap();
    }
    ring.flush().unwrap();
}

/// What is shown of a ring, and how many were missed.
fn shown(path: &Path, terms: &[&str], follow: bool, steps: Vec<Box<dyn FnMut() + '_>>) -> (Vec<String>, u64) {
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let device = RingDevice::open(Some(path), false).unwrap();
    let ring = Reader::open(device, &mut scratch).unwrap();
    let out = Lines { lines: Vec::new(), steps };
    let mut shown = Shown { out, form: Form::Json, expected: 0, missed: 0 };
    shown.all(ring, &filter(terms), follow, &|_| true).unwrap();
    (shown.out.lines, shown.missed)
}

fn sequences(lines: &[String]) -> Vec<u64> {
    let of = |line: &String| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64();
    lines.iter().filter_map(of).collect()
}

#[test]
fn a_ring_is_shown_from_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring");
    format(&path);
    assert_eq!(shown(&path, &[], false, vec![]), (vec![], 0));
    append(&path, 10);
    assert_eq!(sequences(&shown(&path, &[], false, vec![]).0), (1..=10).collect::<Vec<_>>());
    assert_eq!(sequences(&shown(&path, &["since=8"], false, vec![]).0), [8, 9, 10]);
    assert_eq!(shown(&path, &["since=11"], false, vec![]), (vec![], 0));
    assert_eq!(shown(&path, &["since=99"], false, vec![]), (vec![], 0));
    assert_eq!(shown(&path, &["kind=exec"], false, vec![]), (vec![], 0));
}

#[test]
fn what_comes_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring");
    format(&path);
    let at = &path;
    let more = |count| -> Box<dyn FnMut() + '_> { Box::new(move || append(at, count)) };
    // From an empty ring on; nothing new in between; what is there already is not shown.
    let (lines, missed) = shown(&path, &[], true, vec![more(2), more(0), more(3)]);
    assert_eq!((sequences(&lines), missed), (vec![1, 2, 3, 4, 5], 0));
    let (lines, missed) = shown(&path, &[], true, vec![more(1), more(1)]);
    assert_eq!((sequences(&lines), missed), (vec![6, 7], 0));
    let (lines, missed) = shown(&path, &["since=7"], true, vec![more(1)]);
    assert_eq!((sequences(&lines), missed), (vec![7, 8], 0));
    // One that is to come.
    let (lines, missed) = shown(&path, &["since=11"], true, vec![more(1), more(3)]);
    assert_eq!((sequences(&lines), missed), (vec![11, 12], 0));
}

#[test]
fn when_the_ring_comes_round_what_was_missed_is_said_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring");
    format(&path);
    append(&path, 3);
    let at = &path;
    let more = |count| -> Box<dyn FnMut() + '_> { Box::new(move || append(at, count)) };
    // Some two thousand fit.
    let (lines, missed) = shown(&path, &["since=2"], true, vec![more(9_000), more(1), more(20_000)]);
    let all = sequences(&lines);
    let notes: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| !line["missed"].is_null())
        .collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    // Shown and missed together are all of them, once each, in order.
    let mut told: Vec<u64> = all.clone();
    for note in &notes {
        assert_eq!(note["missed"]["cause"], "overwritten");
        let at = |name: &str| note["missed"][name].as_u64().unwrap();
        told.extend(at("first")..=at("last"));
    }
    told.sort_unstable();
    assert_eq!(told, (2..=29_004).collect::<Vec<_>>());
    assert_eq!(missed as usize, 29_003 - all.len());
    assert!(all.is_sorted());
    // Who asks for what is gone is told, too.
    let (lines, missed) = shown(&path, &["since=1", "kind=exec"], false, vec![]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(missed > 20_000);
    // Who asks for nothing in particular gets what there is.
    assert_eq!(shown(&path, &["kind=exec"], false, vec![]), (vec![], 0));
}

#[test]
fn a_damaged_place_is_said_and_passed() {
    use std::os::unix::fs::FileExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring");
    format(&path);
    append(&path, 1_000);
    let ring = std::fs::File::options().write(true).open(&path).unwrap();
    ring.write_all_at(&[0xff; 1024], 4096 + (64 << 10) + 8192).unwrap();
    let (lines, missed) = shown(&path, &[], false, vec![]);
    let shown_ones = sequences(&lines);
    assert!(missed > 0 && lines.iter().any(|line| line.contains("\"cause\":\"damaged\"")), "{missed}");
    assert_eq!(shown_ones.len() as u64 + missed, 1_000);
    assert_eq!(shown_ones.last(), Some(&1_000));
    // The last segment: nobody knows how much is behind it, and a follower says it once.
    append(&path, 1);
    let end = 4096 + u64::from(shown_ones.len() as u32) / 250 * (64 << 10);
    ring.write_all_at(&[0xff; 2048], end + 4096).unwrap();
    let quiet = || -> Box<dyn FnMut()> { Box::new(|| ()) };
    let (lines, missed) = shown(&path, &["kind=exec", "since=1"], true, vec![quiet(), quiet(), quiet()]);
    assert!(lines.len() <= 3 && missed > 0, "{lines:?}");
}

/// An event of any bytes, where an event may have them.
fn hostile<'a>(path: &'a [u8], comm: &'a [u8], argv: &'a [u8]) -> [Event<'a>; 2] {
    let process = Process { pid: 7, tgid: 7, ppid: 1, uid: 0, comm };
    let subject = Some(Subject { workload: b"demo", cgroup: 9, process });
    let exec = Body::Exec { file: file(path), argv, argv_truncated: false };
    [Event { time: 1, subject, body: exec }, Event { time: 1, subject, body: open(path, Verdict::Denied) }]
}

/// Read again by a decoder of others: the bytes that the ring has, whatever they are.
#[test]
fn items_are_read_by_any_decoder() {
    let event = by(b"demo", open(b"/etc/shadow", Verdict::Denied));
    let mut bytes = [0; aegis_event::limits::EVENT_BYTES];
    let length = event.encode(&mut bytes).unwrap();
    for sequence in [1, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        for bytes in [&bytes[..length], b"\xff", &[7; 300]] {
            let item = Form::Cbor.event(sequence, &[9; 16], &Event::decode(bytes), bytes);
            let mut read = minicbor::Decoder::new(&item);
            assert_eq!(read.array().unwrap(), Some(3));
            assert_eq!(read.u64().unwrap(), sequence);
            assert_eq!((read.bytes().unwrap(), read.bytes().unwrap()), (&[9; 16][..], bytes));
            assert_eq!(read.position(), item.len());
            // In its shortest form.
            let mut again = minicbor::Encoder::new(Vec::new());
            again.array(3).unwrap().u64(sequence).unwrap().bytes(&[9; 16]).unwrap().bytes(bytes).unwrap();
            assert_eq!(*again.writer(), item);
        }
    }
    for last in [Some(300), None] {
        let item = Form::Cbor.missed(7, last, "overwritten");
        let mut read = minicbor::Decoder::new(&item);
        assert_eq!((read.map().unwrap(), read.u8().unwrap(), read.u64().unwrap()), (Some(3), 0, 7));
        assert_eq!(read.u8().unwrap(), 1);
        assert_eq!(
            last.is_none().then(|| read.null().unwrap()).map_or_else(|| read.u64().ok(), |()| None),
            last
        );
        assert_eq!(
            (read.u8().unwrap(), read.str().unwrap(), read.position()),
            (2, "overwritten", item.len())
        );
    }
}

proptest! {
    #[test]
    fn any_term_is_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40), key in 0usize..6) {
        let key = ["kind=", "verdict=", "workload=", "path=", "since=", ""][key];
        let term = [key.as_bytes(), &bytes].concat();
        let _ = Filter::default().add(OsStr::from_bytes(&term));
    }

    /// No byte of an event reaches a terminal; and JSON says exactly the bytes.
    #[test]
    fn lines_are_printable_and_lose_nothing(
        path in proptest::collection::vec(1u8..=255, 0..60),
        comm in proptest::collection::vec(1u8..=255, 0..15),
        argv in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        for event in hostile(&path, &comm, &argv) {
            let line = |form: Form| {
                let line = String::from_utf8(form.event(3, &[9; 16], &Ok(event), &[])).unwrap();
                line.strip_suffix('\n').unwrap().to_owned()
            };
            let text = line(Form::Text);
            prop_assert!(text.chars().all(|c| c == ' ' || c.is_alphanumeric() || c.is_ascii_graphic() || c == '…'), "{text:?}");
            let json = line(Form::Json);
            prop_assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json:?}");
            let value: Value = serde_json::from_str(&json).unwrap();
            let bytes = |name: &str, in_hex: &str| match &value[in_hex] {
                Value::String(hex) => (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect(),
                _ => value[name].as_str().unwrap().as_bytes().to_vec(),
            };
            prop_assert_eq!(bytes("path", "path_hex"), path.clone());
            prop_assert_eq!(bytes("comm", "comm_hex"), comm.clone());
        }
    }
}
