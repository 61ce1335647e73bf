//! Decisions explained, from a ring that is a file.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use aegis_event::{Hook, Operation, Process};
use aegis_ring::{FormatOptions, Options as RingOptions, Ring};

use super::*;

const FILE: File<'_> = File { device: 8 << 20 | 1, inode: 42, path: b"/srv/keep/a", truncated: false };

/// A ring of these events, sequences from 1 on.
fn ring(directory: &Path, events: &[Event<'_>]) -> PathBuf {
    let path = directory.join("ring");
    std::fs::File::create(&path).unwrap().set_len(4 << 20).unwrap();
    let device = || RingDevice::open(Some(&path), true).unwrap();
    let shape = FormatOptions { ring_id: [7; 16], bytes: device().bytes(), segment_bytes: 0 };
    aegis_ring::format(device(), &shape).unwrap();
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let mut ring = Ring::open_with(device(), [1; 16], &mut scratch, RingOptions::default()).unwrap();
    for event in events {
        let mut bytes = [0; aegis_event::limits::EVENT_BYTES];
        let length = event.encode(&mut bytes).unwrap();
        ring.append(&bytes[..length]).unwrap();
    }
    ring.flush().unwrap();
    path
}

fn seen<'a>(workload: &'a [u8], body: Body<'a>) -> Event<'a> {
    let process = Process { pid: 101, tgid: 100, ppid: 1, uid: 1000, comm: b"sh" };
    Event { time: 90_000_001_000, subject: Some(Subject { workload, cgroup: 77, process }), body }
}

fn policy(sequence: u64, hash: &[u8; 32]) -> Event<'_> {
    let body = Body::Policy { code: "accepted", epoch: 1, sequence, hash, detail: "site.aegis" };
    Event { time: 1, subject: None, body }
}

fn denied(matched: Match, inode: u64) -> Decision<'static> {
    let basis = Basis {
        operation: Operation::Change,
        hook: Hook::InodeUnlink,
        matched,
        device: 8 << 20 | 1,
        inode,
        policy_hash: [0xab; 8],
    };
    Decision { verdict: Verdict::Denied, rule: b"keep", basis: Some(basis), ..Decision::allowed(4) }
}

fn explained(ring: &Path, event: Option<u64>) -> Result<(String, Value), String> {
    let options = Options { event, json: false, ring: Some(ring.into()) };
    let explained = Explained::find(&options).map_err(|failure| failure.to_string())?;
    let explanation = explained.explain().map_err(|failure| failure.to_string())?;
    Ok((explanation.to_text(), explanation.to_json()))
}

#[test]
fn a_decision_is_explained_from_what_was_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, other) = (&[0xab; 32], &[0xcd; 32]);
    let unlink = |decision| Body::Unlink { file: FILE, decision };
    let events = [
        policy(4, ours),
        // Another bundle of the same sequence was refused.
        policy(4, other),
        seen(b"agent-7", unlink(denied(Match::Tree, 41))),
        seen(b"agent-7", unlink(Decision::allowed(4))),
        seen(b"aegis-selftest", unlink(denied(Match::Object, 42))),
        policy(5, other),
    ];
    let ring = ring(directory.path(), &events);
    let (text, json) = explained(&ring, None).unwrap();
    assert_eq!(
        text,
        format!(
            "event    3: 90.000001 agent-7 sh[100] unlink /srv/keep/a denied by rule keep of policy 4 (tree at inode_unlink)\n\
             who      workload agent-7, process 100 (sh), parent 1, user 1000, cgroup 77\n\
             what     /srv/keep/a, device 8:1 inode 42\n\
             decided  denied by rule keep: change at hook inode_unlink\n\
             matched  a directory above it: device 8:1 inode 41\n\
             policy   sequence 4, bundle SHA-256 {}, accepted in event 1 (site.aegis)",
            "ab".repeat(32)
        )
    );
    assert_eq!(
        (&json["sequence"], &json["match"], &json["hook"]),
        (&3.into(), &"tree".into(), &"inode_unlink".into())
    );
    assert_eq!((&json["bundle"]["event"], &json["bundle"]["sha256"]), (&1.into(), &"ab".repeat(32).into()));
    assert_eq!((&json["rule"], &json["passed_because"]), (&"keep".into(), &Value::Null));
    assert_eq!(explained(&ring, Some(3)).unwrap(), (text, json));

    let (text, json) = explained(&ring, Some(4)).unwrap();
    assert!(text.ends_with("\ndecided  allowed: no rule of policy 4 speaks of it"), "{text}");
    assert_eq!((&json["rule"], &json["bundle"]), (&Value::Null, &Value::Null));
}

#[test]
fn every_match_has_its_words() {
    let directory = tempfile::tempdir().unwrap();
    let words = [
        (Match::Object, 42, "the file itself: device 8:1 inode 42"),
        (Match::Tree, 41, "a directory above it: device 8:1 inode 41"),
        (Match::Name, 0, "its path in its file system, whatever file is there"),
        (Match::Node, 1 << 20 | 3, "the number of the device node: 1:3"),
        (Match::Hash, 0, "the SHA-256 of its content, which is not recorded: the rule has it"),
        (Match::Net, 0, "its address, port and protocol"),
        (Match::Surface, 0, "the kernel's surface: such a rule names no target"),
        (Match::Cgroup, 9, "cgroup 9, which is not the workload's own"),
        (Match::Limit, 0, "it lies deeper than is looked at, and a rule of this workload denies a subtree"),
    ];
    assert_eq!(words.map(|(matched, ..)| matched), Match::ALL);
    let events = words.map(|(matched, inode, _)| {
        seen(b"agent-7", Body::ExecCheck { file: FILE, decision: denied(matched, inode) })
    });
    let ring = ring(directory.path(), &events);
    for (sequence, (_, _, words)) in (1..).zip(words) {
        let (text, json) = explained(&ring, Some(sequence)).unwrap();
        assert!(text.contains(&format!("\nmatched  {words}\n")), "{text}");
        assert_eq!(json["matched"], words);
        // No event of this ring tells of the bundle.
        let policy =
            "policy   sequence 4, bundle SHA-256 abababababababab…; no event of this ring has all of it";
        assert!(text.ends_with(policy), "{text}");
        assert_eq!((&json["policy_hash"], &json["bundle"]), (&"ab".repeat(8).into(), &Value::Null));
    }
}

#[test]
fn what_passed_and_what_is_old_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let audited = Decision { verdict: Verdict::Audited, ..denied(Match::Tree, 41) };
    let of = |decision| seen(b"agent-7", Body::Unlink { file: FILE, decision });
    let events = [
        of(Decision { glass_broken: true, ..audited }),
        of(Decision { deadman: true, ..audited }),
        of(Decision { basis: None, ..denied(Match::Tree, 41) }),
    ];
    let ring = ring(directory.path(), &events);
    for (sequence, words) in [
        (1, "\npassed   only because the glass was broken: it would have been denied\n"),
        (2, "\npassed   only because the deadman of the workload had fallen: it would have been denied\n"),
        (3, "\npolicy   sequence 4; the agent of then did not record how a rule matched"),
    ] {
        let (text, _) = explained(&ring, Some(sequence)).unwrap();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn what_can_not_be_explained_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ring = ring(directory.path(), &[policy(4, &[0; 32])]);
    for (event, words) in [
        (None, "nothing in the ring was denied"),
        (Some(1), "event 1 is no decision: policy"),
        (Some(2), "no event 2 in the ring yet"),
        (Some(u64::MAX), "in the ring yet"),
        (Some(0), "event 0 is not in the ring any more, which begins at 1"),
    ] {
        let failure = explained(&ring, event).unwrap_err();
        assert!(failure.contains(words), "{event:?}: {failure}");
        assert_eq!(failure.lines().count(), 1);
    }
}

#[test]
fn an_address_and_a_second_name_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let net = denied(Match::Net, 0);
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let endpoint = Endpoint { family: 10, socket_type: 2, protocol: 17, port: 53, address: &v6 };
    let events = [
        seen(
            b"agent-7",
            Body::Connect { family: 2, protocol: 6, port: 443, address: &[192, 0, 2, 7], decision: net },
        ),
        seen(b"agent-7", Body::Bind { endpoint, decision: net }),
        // A new socket has no address.
        seen(
            b"agent-7",
            Body::Socket { endpoint: Endpoint { port: 0, address: &[], ..endpoint }, decision: net },
        ),
        seen(
            b"agent-7",
            Body::Rename {
                file: FILE,
                to: b"/srv/new",
                to_truncated: true,
                decision: denied(Match::Tree, 41),
            },
        ),
    ];
    let ring = ring(directory.path(), &events);
    let (text, json) = explained(&ring, Some(1)).unwrap();
    assert!(text.contains("\nwhat     192.0.2.7 port 443 protocol 6\n"), "{text}");
    let matched = "its address, port and protocol: 192.0.2.7 port 443 protocol 6";
    assert!(text.contains(&format!("\nmatched  {matched}\n")), "{text}");
    assert_eq!(
        (&json["address"], &json["port"], &json["protocol"], &json["matched"]),
        (&"192.0.2.7".into(), &443.into(), &6.into(), &matched.into())
    );
    let (text, json) = explained(&ring, Some(2)).unwrap();
    assert!(text.contains("\nwhat     2001:db8::7 port 53 protocol 17\n"), "{text}");
    assert_eq!((&json["address"], &json["port"]), (&"2001:db8::7".into(), &53.into()));
    let (text, json) = explained(&ring, Some(3)).unwrap();
    assert!(!text.contains("\nwhat ") && json.get("address").is_none(), "{text}");
    let (text, json) = explained(&ring, Some(4)).unwrap();
    assert!(text.contains("\nwhat     /srv/keep/a, device 8:1 inode 42\nto       /srv/new…\n"), "{text}");
    assert_eq!((&json["to"], &json["to_truncated"]), (&"/srv/new".into(), &true.into()));
}

#[test]
fn damage_is_passed_over_and_said() {
    use std::os::unix::fs::FileExt;

    let directory = tempfile::tempdir().unwrap();
    let event = seen(b"agent-7", Body::Unlink { file: FILE, decision: denied(Match::Tree, 41) });
    // More than two segments of the ring.
    let ring = ring(directory.path(), &vec![event; 4_000]);
    let whole = explained(&ring, Some(3_999)).unwrap();
    assert!(!whole.0.contains("\nring ") && whole.1["damaged_places_passed_over"] == 0, "{}", whole.0);
    // Somewhere in the first segment, behind its header and first events.
    let file = std::fs::OpenOptions::new().write(true).open(&ring).unwrap();
    file.write_all_at(&[0xff; 64], 20 << 10).unwrap();
    let said = "\nring     damaged places passed over: 1; there may be more to find in the exports\n";
    for event in [None, Some(3_999), Some(1)] {
        let (text, json) = explained(&ring, event).unwrap();
        assert!(text.contains(said) && json["damaged_places_passed_over"] == 1, "{event:?}: {text}");
    }
    // Behind the damage in its own segment.
    let lost = (2..4_000).step_by(100).find_map(|event| explained(&ring, Some(event)).err()).unwrap();
    assert!(lost.contains("can't be read: the ring is damaged there (look in the exports)"), "{lost}");
}
