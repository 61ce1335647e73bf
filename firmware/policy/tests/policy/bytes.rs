//! Bytes that are no policy, and those of a policy that was made before there were trees.

use aegis_event::Verdict;
use aegis_policy::{
    Access, Alert, Deadman, Mode, Operation, Policy, PolicyError, Rule, Source, SourceAlert, SourceMatch,
    SourceRule, SourceTarget, SourceWorkload, Target, compile,
};
use proptest::prelude::*;

use crate::{alerts, demo, every_alert, every_kind, source};

/// What a policy says, to be compiled again.
fn again<'a>(policy: &Policy<'a>) -> Source<'a> {
    let target = |rule: &Rule<'a>| match rule.target() {
        Target::Files { paths, trees } => {
            SourceTarget::Files { paths: paths.collect(), trees: trees.collect() }
        }
        Target::Addresses { prefixes, ports, protocols } => SourceTarget::Addresses {
            prefixes: prefixes.collect(),
            ports: ports.collect(),
            protocols: protocols.collect(),
        },
        Target::Hashes(hashes) => SourceTarget::Hashes(hashes.collect()),
        Target::Surface => SourceTarget::Surface,
    };
    Source {
        name: policy.name(),
        mode: policy.mode(),
        self_protection: policy.self_protection(),
        argv: policy.argv(),
        deadman: policy.deadman(),
        workloads: policy
            .workloads()
            .map(|of| SourceWorkload { pattern: of.pattern, rate: of.rate })
            .collect(),
        rules: policy
            .rules()
            .map(|rule| SourceRule {
                name: rule.name,
                effect: rule.effect(Mode::Enforce),
                operations: rule.operations,
                workloads: rule.workloads().collect(),
                target: target(&rule),
                tags: rule.tags().collect(),
            })
            .collect(),
        alerts: policy.alerts().iter().map(|alert| source_alert(&alert)).collect(),
    }
}

fn source_alert<'a>(alert: &Alert<'a>) -> SourceAlert<'a> {
    SourceAlert {
        name: alert.name,
        severity: alert.severity,
        metric: alert.metric,
        relation: alert.relation,
        matches: alert
            .matches()
            .map(|of| SourceMatch { label: of.label, except: of.except, values: of.values.collect() })
            .collect(),
        condition: alert.condition,
        hold: alert.hold,
        clear_hold: alert.clear_hold,
        outputs: alert.outputs,
        meaning: alert.meaning,
        mend: alert.mend,
    }
}

/// Refused, or the one encoding of what it says.
fn is_refused_or_canonical(bytes: &[u8]) -> Result<(), String> {
    match Policy::decode(bytes) {
        Ok(policy) if bytes[0] >= 2 => match compile(&again(&policy)) {
            Ok(made) if made == bytes => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Ok(policy) => {
            let whole = policy.rules().count() == policy.rule_count() as usize;
            if whole { Ok(()) } else { Err("a rule got lost".to_owned()) }
        }
        Err(_) => Ok(()),
    }
}

#[test]
fn every_truncation_and_every_longer_policy_is_refused() {
    for source in [demo(Mode::Enforce), every_kind(), every_alert()] {
        let bytes = compile(&source).expect("good source");
        for length in 0..bytes.len() {
            assert!(Policy::decode(&bytes[..length]).is_err(), "{length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Policy::decode(&longer).err(), Some(PolicyError::TrailingBytes));
    }
}

#[test]
fn every_flip_and_every_other_byte_is_refused_or_means_what_it_says() {
    for source in [demo(Mode::Enforce), every_kind(), every_alert()] {
        let good = compile(&source).expect("good source");
        let mut bytes = good.clone();
        for at in 0..good.len() {
            for byte in 0..=255 {
                bytes[at] = byte;
                is_refused_or_canonical(&bytes).unwrap_or_else(|why| panic!("byte {at} = {byte}: {why}"));
            }
            bytes[at] = good[at];
        }
    }
}

#[test]
fn long_varints_are_refused() {
    let bytes = compile(&source(Mode::Audit, &["a"], vec![])).expect("good");
    // format, mode, length of the name: the same length in two bytes.
    let long = [&bytes[..2], &[0x84, 0x00], &bytes[3..]].concat();
    assert_eq!(Policy::decode(&long).err(), Some(PolicyError::NotCanonical));
    for format in [0, 4, 255] {
        let other = [&[format], &bytes[1..]].concat();
        assert_eq!(Policy::decode(&other).err(), Some(PolicyError::UnsupportedFormat));
    }
}

/// What is not in its one form is refused by its reason: found in the bytes and put there.
#[test]
fn what_has_another_form_is_refused() {
    use PolicyError::{BadAddress, BadValue, NotCanonical};
    let good = compile(&every_kind()).expect("good");
    let net = [2, 8, 10, 0, 0, 0, 10, 32, 0x20, 1, 0x0d, 0xb8];
    for (from, to, error) in [
        // Bits behind the prefix.
        (&net[..], &[2, 8, 10, 0, 0, 1, 10, 32, 0x20, 1, 0x0d, 0xb8][..], BadAddress),
        // More bits than there are.
        (&net, &[2, 33, 10, 0, 0, 0, 10, 32, 0x20, 1, 0x0d, 0xb8], BadAddress),
        // Another family.
        (&net, &[3, 8, 10, 0, 0, 0, 10, 32, 0x20, 1, 0x0d, 0xb8], BadValue),
        // 80 to 81 (one byte each) and 443: ports that meet, and that stand the other way round.
        (&[80, 81, 0xbb, 3, 0xbb, 3], &[80, 81, 82, 0xbb, 3, 6], NotCanonical),
        (&[80, 81, 0xbb, 3, 0xbb, 3], &[81, 80, 0xbb, 3, 0xbb, 3], BadValue),
        // Protocols: twice, falling, any and one more.
        (&[6, 17], &[6, 6], NotCanonical),
        (&[6, 17], &[17, 6], NotCanonical),
        (&[6, 17], &[0, 17], NotCanonical),
        // Digests: falling.
        (&[2, 3, 3, 3, 3], &[2, 9, 3, 3, 3], NotCanonical),
    ] {
        let at = good.windows(from.len()).position(|window| window == from).expect("there");
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        assert_eq!(Policy::decode(&bytes).err(), Some(error), "{from:?} -> {to:?}");
    }
    // Of two that are beside each other, 10/8 and 11/8: the same twice, one within the other, and both within a third.
    let mut two = every_kind();
    two.rules[1].target = SourceTarget::Addresses {
        prefixes: [10, 11].map(|first| aegis_policy::Prefix::new([first, 0, 0, 0].into(), 8)).to_vec(),
        ports: vec![],
        protocols: vec![],
    };
    let good = compile(&two).expect("good");
    let both = [2, 8, 10, 0, 0, 0, 2, 8, 11, 0, 0, 0];
    let at = good.windows(both.len()).position(|window| window == both).expect("there");
    for other in [
        [2, 8, 10, 0, 0, 0, 2, 8, 10, 0, 0, 0],
        [2, 7, 10, 0, 0, 0, 2, 8, 11, 0, 0, 0],
        [2, 8, 11, 0, 0, 0, 2, 8, 10, 0, 0, 0],
    ] {
        let mut bytes = good.clone();
        bytes[at..at + other.len()].copy_from_slice(&other);
        assert_eq!(Policy::decode(&bytes).err(), Some(NotCanonical), "{other:?}");
    }
}

/// Written by hand: the last version's `compile` is gone.
const FORMAT_1: &[u8] = b"\x01\x01\x03old\x02\x02\
    \x04demo\x01*\
    \x05watch\x01\x03\x01\x03\x01\x00\x02/x\
    \x04no-x\x02\x05\x01\x01\x02\x01\x02/x\x02/y\x05T1003";

#[test]
fn format_1_is_read_as_it_was_meant() {
    let policy = Policy::decode(FORMAT_1).expect("good");
    assert_eq!((policy.name(), policy.mode(), policy.entries()), ("old", Mode::Enforce, 2 + 2));
    assert_eq!((policy.self_protection(), policy.deadman(), policy.nets()), (true, None, 0));
    let rules: Vec<_> = policy.rules().collect();
    let Target::Files { paths, trees } = rules[1].target() else { panic!("files") };
    assert_eq!((paths.collect::<Vec<_>>(), trees.len()), (vec!["/x", "/y"], 0));
    assert_eq!(rules[1].tags().collect::<Vec<_>>(), ["T1003"]);
    assert!(!rules[1].operations.contains(Operation::Change), "nothing is added to it");
    for (workload, path, operation, verdict) in [
        (1, "/x", Operation::OpenRead, Verdict::Denied),
        (1, "/x", Operation::OpenWrite, Verdict::Audited),
        (1, "/x", Operation::Exec, Verdict::Denied),
        (1, "/x", Operation::Change, Verdict::Allowed),
        (2, "/x", Operation::OpenRead, Verdict::Audited),
        (2, "/x/y", Operation::OpenRead, Verdict::Allowed),
    ] {
        let access = Access::File { path: path.as_bytes(), operation, digest: None };
        assert_eq!(policy.decide(workload, &access).verdict, verdict, "{workload} {path} {operation:?}");
    }
    for length in 0..FORMAT_1.len() {
        assert!(Policy::decode(&FORMAT_1[..length]).is_err(), "{length}");
    }
    // Its bits are three, and its actions two.
    let at = |piece: &[u8]| {
        FORMAT_1.windows(piece.len()).position(|window| window == piece).expect("there") + piece.len()
    };
    for (place, byte) in [(at(b"watch"), 3), (at(b"watch\x01"), 8), (at(b"watch\x01"), 0)] {
        let mut bytes = FORMAT_1.to_vec();
        bytes[place] = byte;
        assert_eq!(Policy::decode(&bytes).err(), Some(PolicyError::BadValue), "{place} = {byte}");
    }
}

proptest! {
    #[test]
    fn any_bytes_and_any_flips_do_not_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 1..200),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        deadman in any::<bool>(),
    ) {
        bytes[0] = 1 + bytes[0] % 3;
        prop_assert_eq!(is_refused_or_canonical(&bytes), Ok(()));
        let some = Deadman { denials: 1, seconds: 1 };
        let source = Source { deadman: deadman.then_some(some), ..every_kind() };
        let told = Source { deadman: deadman.then_some(some), ..every_alert() };
        for good in [compile(&source).expect("good"), compile(&told).expect("good"), FORMAT_1.to_vec()] {
            let mut bytes = good;
            for (at, byte) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            prop_assert_eq!(is_refused_or_canonical(&bytes), Ok(()));
        }
    }
}

/// A policy without alerts is of the format that devices without them know, and one with some of the next.
#[test]
fn alerts_make_another_format() {
    let none = Source { alerts: vec![], ..every_alert() };
    let (without, with) = (compile(&none).expect("good"), compile(&every_alert()).expect("good"));
    assert_eq!([without[0], with[0]], [2, 3]);
    assert_eq!(Policy::decode(&without).expect("good").alerts().count(), 0);
    let policy = Policy::decode(&with).expect("good");
    let names: Vec<&str> = policy.alerts().iter().map(|alert| alert.name).collect();
    assert_eq!(names, ["hot", "low", "grew", "kept", "fell", "jump", "gone", "still"]);
    let kept = policy.alerts();
    let again = aegis_policy::Alerts::decode(kept.count(), kept.bytes()).expect("good");
    assert_eq!(again.iter().count(), names.len());
    // Format 3 without any is another encoding of format 2.
    let at = policy.name().len() + 3 + 1 + 1 + 1 + 2;
    assert_eq!(&with[at..=at], [8]);
    let mut none = with.clone();
    none[at] = 0;
    none.truncate(with.len() - kept.bytes().len());
    assert_eq!(Policy::decode(&none).err(), Some(PolicyError::NotCanonical));
}

/// What is no alert is refused by the compiler's own reading, whoever wrote the bytes.
#[test]
fn alerts_keep_their_rules() {
    use PolicyError::{BadName, BadValue, TooMany};
    use aegis_policy::{Condition, Relation, Way, limits};
    let long = "x".repeat(limits::ALERT_TEXT_BYTES + 1);
    let moved = |threshold, clear, seconds| Condition::Moved { way: Way::Change, threshold, clear, seconds };
    let first = &alerts()[0];
    let many: Vec<&str> = vec!["v"; limits::ALERT_VALUES + 1];
    let matched =
        |label, values: &[&'static str]| SourceMatch { label, except: false, values: values.to_vec() };
    let of = |condition| SourceAlert { condition, relation: None, ..first.clone() };
    for (alert, error) in [
        (SourceAlert { name: "A", ..first.clone() }, BadName),
        (SourceAlert { metric: "9a", ..first.clone() }, BadName),
        (SourceAlert { relation: Some((Relation::Of, "")), ..first.clone() }, BadName),
        (SourceAlert { meaning: "", ..first.clone() }, BadName),
        (SourceAlert { mend: "a\n", ..first.clone() }, BadName),
        (SourceAlert { mend: &long, ..first.clone() }, BadName),
        (SourceAlert { hold: limits::ALERT_SECONDS + 1, ..first.clone() }, BadValue),
        (SourceAlert { clear_hold: limits::ALERT_SECONDS + 1, ..first.clone() }, BadValue),
        (SourceAlert { matches: vec![matched("l", &[])], ..first.clone() }, BadName),
        (SourceAlert { matches: vec![matched("L", &["v"])], ..first.clone() }, BadName),
        (SourceAlert { matches: vec![matched("l", &["\u{1b}"])], ..first.clone() }, BadName),
        (SourceAlert { matches: vec![matched("l", &many)], ..first.clone() }, TooMany),
        (
            SourceAlert { matches: vec![matched("l", &["v"]); limits::ALERT_MATCHES + 1], ..first.clone() },
            TooMany,
        ),
        (of(Condition::Above { threshold: 1, clear: 2 }), BadValue),
        (of(Condition::Below { threshold: 2, clear: 1 }), BadValue),
        (of(moved(-1, -1, 9)), BadValue),
        (of(moved(1, 2, 9)), BadValue),
        (of(moved(1, 1, 0)), BadValue),
        (of(moved(1, 1, limits::ALERT_SECONDS + 1)), BadValue),
        (of(Condition::Unmoved { seconds: 0 }), BadValue),
        (SourceAlert { condition: moved(1, 1, 9), ..first.clone() }, BadValue),
    ] {
        let source = Source { alerts: vec![alert.clone()], ..every_alert() };
        assert_eq!(compile(&source).err(), Some(error), "{alert:?}");
    }
    let twice = Source { alerts: vec![first.clone(), first.clone()], ..every_alert() };
    assert_eq!(compile(&twice).err(), Some(BadName));
    let names: Vec<String> = (0..=limits::ALERTS).map(|n| format!("a{n}")).collect();
    let most: Vec<SourceAlert<'_>> = names.iter().map(|name| SourceAlert { name, ..first.clone() }).collect();
    let source = |count: usize| Source { alerts: most[..count].to_vec(), ..every_alert() };
    assert!(compile(&source(limits::ALERTS)).is_ok());
    assert_eq!(compile(&source(limits::ALERTS + 1)).err(), Some(TooMany));
}
