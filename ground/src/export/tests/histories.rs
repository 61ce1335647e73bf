//! Several exports of a ring: those that agree are whole in whatever parts and order they come; those that do not are found.

use aegis_event::{Gap, GapCause};

use super::again::Seen;
#[allow(clippy::wildcard_imports)] // the shared half of these tests
use super::*;
use crate::export::evidence::Evidence;

fn range(first: u64, last: u64) -> Request {
    Request { first, last, bytes: u64::MAX }
}

/// What a device with its own key wrote instead from this event on: as many events, and some more.
fn forged(honest: &Ring, from: usize, more: usize) -> Ring {
    let mut ring = honest.clone();
    ring.frames.truncate(from - 1);
    for frame in &honest.frames[from - 1..] {
        let mut event = frame.3.clone();
        // The time: any value is an event.
        let at =
            event.windows(5).position(|bytes| bytes == [0x01, 0x1a, 0x59, 0x68, 0x2f]).expect("the time");
        event[at + 4] ^= 1;
        ring.push_bytes(frame.0[0], &event);
    }
    ring.work(3, more);
    ring
}

/// Events that are handed on, which must be as many as are counted.
fn handed(report: &Report) -> u64 {
    let mut seen = Seen::default();
    Evidence::of(report).expect("not tampered with").read("reading", &mut seen).expect("it did not change");
    seen.kept as u64
}

/// Numbers that look random and are always the same (Steele and Vigna, `SplitMix64`).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, from: u64, to: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        from + (z ^ (z >> 31)) % (to - from + 1)
    }
}

#[test]
fn parts_of_one_history_are_whole_and_of_two_are_not() {
    let ring = three_boots();
    let end = ring.frames.len() as u64;
    for seed in 0..150 {
        let stick = Stick::new();
        let mut dice = Dice(seed);
        let mut paths = Vec::new();
        // As sticks bring it: one goes on where the last one ended, some are full, some are lost and their part asked for again.
        let mut next = 1;
        while next <= end {
            let bytes = if dice.roll(0, 2) == 0 { dice.roll(3_500, 5_000) } else { u64::MAX };
            let last = if dice.roll(0, 1) == 0 { dice.roll(next, end) } else { 0 };
            let name = format!("{:03}", dice.roll(0, 999));
            let path = stick.export(&name, &ring, Request { first: next, last, bytes });
            next = check(std::slice::from_ref(&path)).files[0].last.max(next - 1) + 1;
            paths.push(path);
        }
        for n in 0..dice.roll(0, 3) {
            let first = dice.roll(1, end);
            let path = stick.export(&format!("again-{n}"), &ring, range(first, dice.roll(first, end)));
            paths.push(path);
        }
        if dice.roll(0, 1) == 0 {
            paths.push(paths[0].clone());
        }
        for at in (1..paths.len()).rev() {
            let other = usize::try_from(dice.roll(0, at as u64)).expect("small");
            paths.swap(at, other);
        }
        let report = check(&paths);
        assert_eq!(codes(&report), [""; 0], "{seed}: {:?}", report.findings.problems);
        assert_eq!(notes(&report), [""; 0], "{seed}");
        assert_eq!((report.books.total, handed(&report)), (end, end), "{seed}");
        // One that tells it otherwise, anywhere, of any length.
        let from = dice.roll(1, end);
        let more = usize::try_from(dice.roll(0, 5)).expect("small");
        let other = forged(&ring, usize::try_from(from).expect("small"), more);
        let first = dice.roll(1, from);
        let last = if more > 0 && dice.roll(0, 1) == 0 { 0 } else { dice.roll(from, end) };
        paths.push(stick.export("forged", &other, range(first, last)));
        assert!(codes(&check(&paths)).contains(&"history-differs"), "{seed}: {from} in {first} to {last}");
    }
}

#[test]
fn an_export_of_nothing_is_held_against_what_is_known_too() {
    let stick = Stick::new();
    let ring = three_boots();
    let whole = stick.export("whole", &ring, Request::from(1));
    let mut early = ring.clone();
    early.frames.truncate(10);
    let nothing = stick.export("nothing", &early, Request::from(11));
    assert_eq!(codes(&check(&[whole.clone(), nothing])), [""; 0]);
    let mut early = forged(&ring, 3, 0);
    early.frames.truncate(10);
    let nothing = stick.export("nothing", &early, Request::from(11));
    assert_eq!(codes(&check(&[whole, nothing])), ["history-differs"]);
}

#[test]
fn what_one_export_could_not_give_and_another_has_is_not_missing() {
    let stick = Stick::new();
    let ring = three_boots();
    let whole = stick.export("whole", &ring, Request::from(1));
    let mut rotten = ring.clone();
    rotten.damaged = vec![9, 10, 13];
    let damaged = stick.export("damaged", &rotten, Request::from(1));
    let middle = stick.export("middle", &ring, range(5, 16));
    // The disk failed, and was read again another day.
    rotten = ring.clone();
    rotten.fault = Some((12, Fault::Unreadable));
    let unreadable = stick.export("unreadable", &rotten, Request::from(1));
    let rest = stick.export("rest", &ring, Request::from(13));
    for (paths, problems, total) in [
        (vec![damaged.clone()], &["ring-damaged"; 2][..], 18),
        (vec![whole.clone(), damaged.clone()], &[], 21),
        (vec![middle.clone(), damaged.clone()], &[], 21),
        (vec![damaged.clone(), stick.export("some", &ring, range(10, 11))], &["ring-damaged"], 20),
        (vec![unreadable.clone()], &["ring-damaged"], 12),
        (vec![rest, unreadable], &[], 21),
    ] {
        let report = check(&paths);
        assert_eq!(codes(&report), problems, "{paths:?}: {:?}", report.findings.problems);
        assert_eq!((report.books.total, handed(&report)), (total, total), "{paths:?}");
        let by_kind: u64 = report.books.by_kind.values().sum();
        assert_eq!(by_kind, total);
    }
    let text = report::person(&check(&[damaged.clone(), middle]));
    assert!(text.contains("another file has them") && text.contains("WHOLE"), "{text}");
    // What fills the hole is not the same history.
    let other = stick.export("other", &forged(&ring, 10, 0), range(5, 16));
    assert!(codes(&check(&[damaged, other])).contains(&"history-differs"));
}

#[test]
fn an_overtaken_export_and_the_next_one_miss_what_was_overwritten() {
    let stick = Stick::new();
    let mut ring = three_boots();
    ring.fault = Some((7, Fault::Overtaken));
    let overtaken = stick.export("overtaken", &ring, Request::from(1));
    assert_eq!(codes(&check(std::slice::from_ref(&overtaken))), ["incomplete"]);
    ring.fault = None;
    ring.overwritten = 11;
    let sequence = ring.frames.len() as u64 + 1;
    ring.push(
        3,
        Body::Gap(Gap { cause: GapCause::Overwritten, first: 8, last: 11, total: 4, boot: [0; 16] }),
    );
    let next = stick.export("next", &ring, Request::from(8));
    let report = check(&[next, overtaken]);
    assert_eq!(codes(&report), ["overwritten"]);
    assert_eq!(
        report.findings.problems[0].detail,
        "sequences 8 to 11 are missing (4 events): the ring had overwritten them before this export"
    );
    let json = report::json(&report);
    let told = &json["gaps"][0];
    assert_eq!(
        (&told["cause"], &told["first"], &told["last"]),
        (&"overwritten".into(), &8.into(), &11.into())
    );
    assert_eq!(told["sequence"], sequence);
    assert!(report::person(&report).contains("overwritten        8 to 11 (4 so far), said at sequence 22"));
}

#[test]
fn a_run_that_was_cut_is_told_by_the_next_one() {
    let stick = Stick::new();
    let mut ring = Ring::new();
    ring.start(1);
    ring.work(1, 3);
    ring.push(2, Body::Gap(Gap { cause: GapCause::Cut, first: 5, last: 4, total: 1, boot: [1; 16] }));
    ring.push(2, Body::Seal { code: "failed", epoch: 3 });
    ring.boot(2, 2);
    let report = check(&[stick.export("a", &ring, Request::from(1))]);
    assert_eq!(codes(&report), [""; 0]);
    assert_eq!(notes(&report), ["sealing-failed", "not-closed"]);
    let text = report::person(&report);
    assert!(text.contains("power cut or kill, as the run after it says"), "{text}");
    assert!(
        text.contains(
            "cut                a run ended without a seal: 4 is the last sequence that is certain"
        ),
        "{text}"
    );
    assert_eq!(report::json(&report)["gaps"][0]["ended_boot_id"], "01".repeat(16));
}

#[test]
fn a_ring_in_the_place_of_another_is_a_problem() {
    let stick = Stick::new();
    let first = stick.export("first", &three_boots(), Request::from(1));
    let mut ring = Ring::new();
    ring.id = [8; 16];
    ring.boot(4, 2);
    let second = stick.export("second", &ring, Request::from(1));
    for path in [&first, &second] {
        assert_eq!(codes(&check(std::slice::from_ref(path))), [""; 0]);
    }
    let report = check(&[second, first]);
    assert_eq!(codes(&report), ["ring-replaced"]);
    assert!(!report.findings.tampering(), "what they hold may be shown");
    let detail = &report.findings.problems[0].detail;
    assert!(detail.contains("up to sequence 21") && detail.contains(&"08".repeat(16)), "{detail}");
}

#[test]
fn a_lost_stick_is_missed_with_how_to_get_its_events() {
    let stick = Stick::new();
    let ring = three_boots();
    let first = stick.export("first", &ring, range(1, 5));
    let third = stick.export("third", &ring, Request::from(12));
    let report = check(&[first.clone(), third.clone()]);
    assert_eq!(codes(&report), ["gap"]);
    let detail = &report.findings.problems[0].detail;
    assert!(
        detail.contains("sequences 6 to 11 are missing") && detail.contains("`aegis export --from 6`"),
        "{detail}"
    );
    let mut later = ring.clone();
    later.overwritten = 7;
    let again = stick.export("again", &later, range(6, 11));
    assert_eq!(codes(&check(&[first.clone(), third.clone(), again])), ["overwritten"]);
    let again = stick.export("again", &ring, range(6, 11));
    assert_eq!(codes(&check(&[again, third, first])), [""; 0]);
}

#[test]
fn a_manifest_that_lies_about_policies_is_found() {
    let stick = Stick::new();
    let mut ring = Ring::new();
    ring.start(1);
    for sequence in [3, 4] {
        ring.push(1, Body::Policy { code: "accepted", epoch: 1, sequence, hash: &[0x5e; 32], detail: "" });
    }
    let good = items(&ring, Request::from(1));
    assert_eq!(codes(&check(&[stick.put("good", &good.concat())])), [""; 0]);
    let (message, _) = aegis_cose::Sign1::take(&good[1]).expect("own item");
    let mut payload = message.unverified_payload().to_vec();
    let at = payload.windows(32).rposition(|bytes| bytes == [0x5e; 32]).expect("a policy");
    payload[at] ^= 1;
    let mut out = vec![0; limits::ITEM_BYTES];
    let length = sign1(&payload, Domain::Export, &device().sk, &mut out).expect("fits");
    let lie = stick.put("lie", &[&good[0], &out[..length]].concat());
    assert_eq!(codes(&check(&[lie])), ["manifest-mismatch"]);
}
