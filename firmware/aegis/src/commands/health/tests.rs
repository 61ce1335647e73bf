//! Vitals and what is found in them.

use aegis_event::{Accounts, Cause, Level, Mode, ModeReason};

use super::vitals::{Ring, Seal as Chain};
use super::*;
use crate::run::seal::Seal;
use crate::storage::report::Code;
use crate::tpm::found::Key;

/// A device that is as it should be.
fn well() -> Vitals {
    Vitals {
        ready: true,
        accounts: Accounts { seen: 100, written: 90, lost: [10, 0, 0, 0, 0] },
        ring: ring(Level::Normal, 12),
        seal: Chain { state: Seal::Sealed, epoch: 7, since: Some(20), promise: 60 },
        mode: Some(Mode::Enforcing),
        reason: Some(ModeReason::SelfTestPassed),
        config: "defaults: sync window of 100 ms".into(),
        tpm: Found { key: Key::Sealed, ..Found::default() },
        ..Vitals::default()
    }
}

fn ring(level: Level, percent: u8) -> Ring {
    Ring { used: 10 << 10, capacity: 64 << 10, level, percent, full: "overwrite", cuts: 3, ..Ring::default() }
}

/// Name, what is changed of a device without losses, codes of bad findings, of others, and words of the first.
type Case = (&'static str, fn(&mut Vitals), &'static [&'static str], &'static [&'static str], &'static str);

const CASES: &[Case] = &[
    ("nothing", |_| {}, &[], &[], ""),
    (
        "audit by policy",
        |v| (v.mode, v.reason) = (Some(Mode::AuditOnly), Some(ModeReason::PolicyAudit)),
        &[],
        &[],
        "",
    ),
    ("a debug image", |v| v.debug_image = true, &[], &["debug-image"], "a shell and tools"),
    (
        "a firmware without keys",
        |v| v.secure_boot_off = true,
        &[],
        &["secure-boot-off"],
        "nobody vouches for the kernel",
    ),
    ("no TPM", |v| v.tpm.key = Key::NoTpm, &[], &["key-not-sealed"], "there is no TPM"),
    ("a TPM that gives no key", |v| v.tpm.key = Key::NotSealed, &[], &["key-not-sealed"], "gave no key"),
    (
        "a workload that was tampered with",
        |v| v.workloads = vec![("workload-not-mounted", "a: content-hash".into())],
        &["workload-not-mounted"],
        &[],
        "content-hash",
    ),
    (
        "a workload that fills own storage",
        |v| v.workloads = vec![("data-full", "0 bytes".into())],
        &[],
        &["data-full"],
        "0 bytes",
    ),
    (
        "a workload that crashes",
        |v| v.workloads = vec![("workload-down", "a: crash-loop".into())],
        &["workload-down"],
        &[],
        "crash-loop",
    ),
    ("in flight", |v| v.accounts.seen += 9, &[], &[], ""),
    ("starting", |v| v.ready = false, &["not-ready"], &[], ""),
    ("missing", |v| v.missing = 3, &["unaccounted"], &[], "3 events were seen"),
    ("too many", |v| v.missing = -2, &["over-counted"], &[], "2 more events"),
    (
        "lost",
        |v| v.accounts.lost[0] = 5,
        &[],
        &["events-lost"],
        "5 events of this boot are lost: kernel-ring-full",
    ),
    (
        "two causes",
        |v| (v.accounts.lost[2], v.accounts.lost[3]) = (1, 2),
        &["events-lost"],
        &["events-lost"],
        "ring-write",
    ),
    ("an old error", |v| v.ring.errors = 1, &[], &["ring-write-errors"], "1 writes"),
    ("errors now", |v| (v.ring.errors, v.errors_now) = (4, 1), &["ring-write-errors"], &[], "4 writes"),
    ("high", |v| v.ring = ring(Level::High, 70), &[], &["ring-high"], "take 70 %"),
    ("critical", |v| v.ring = ring(Level::Critical, 93), &["ring-critical"], &[], "take 93 %"),
    ("full", |v| v.ring = ring(Level::Full, 100), &["ring-full"], &[], "no event is taken"),
    (
        "overwritten",
        |v| (v.ring.overwritten, v.ring.overwritten_range) = (8, (3, 10)),
        &[],
        &["overwritten"],
        "8 events were overwritten before they were exported, 3 to 10 last",
    ),
    ("damaged", |v| v.ring.damaged = 2, &[], &["ring-damaged"], "2 events"),
    ("a little late", |v| v.seal.since = Some(70), &[], &[], ""),
    ("full: no epoch is promised", |v| (v.seal.since, v.seal.promise) = (Some(7100), 0), &[], &[], ""),
    ("late", |v| v.seal.since = Some(71), &["checkpoint-late"], &[], "71 s old, one every 60 is promised"),
    ("a ring that was made", |v| v.storage.tell(Code::RingMade, "vda4"), &[], &[], ""),
    (
        "data that was made again",
        |v| v.storage.tell(Code::DataRemade, "vda5: it was blank"),
        &[],
        &["data-remade"],
        "vda5: it was blank",
    ),
    ("no room", |v| v.storage.tell(Code::NotMade, "no room on vda"), &["not-made"], &[], "no room on vda"),
    ("none yet", |v| (v.seal.state, v.seal.since) = (Seal::Starting, None), &[], &[], ""),
    ("not sealed", |v| (v.seal.state, v.seal.since) = (Seal::Failed, Some(999)), &["not-sealed"], &[], ""),
    ("not wiped", |v| v.seal.state = Seal::Unwiped, &["key-not-wiped"], &[], "the key of an epoch"),
    (
        "full, and no room for a checkpoint",
        |v| (v.seal.state, v.seal.since, v.ring) = (Seal::Full, Some(999), ring(Level::Full, 100)),
        &["ring-full"],
        &[],
        "take 100 %",
    ),
    ("pending", |v| v.config_pending = true, &[], &["config-pending"], "runs with defaults"),
    (
        "denies nothing",
        |v| (v.mode, v.reason) = (Some(Mode::AuditOnly), Some(ModeReason::LsmBpfMissing)),
        &["not-enforcing"],
        &[],
        "lsm-bpf-missing",
    ),
    ("a mode of tomorrow", |v| (v.mode, v.reason) = (None, None), &["not-enforcing"], &[], "unknown"),
    (
        "glass",
        |v| (v.mode, v.reason, v.broken_seconds) = (Some(Mode::AuditOnly), Some(ModeReason::BrokenGlass), 55),
        &["glass-broken"],
        &[],
        "another 55 s",
    ),
    (
        "policy",
        |v| v.policy = vec!["policy-stale", "not-in-force"],
        &["policy-stale", "not-in-force"],
        &[],
        "it stays",
    ),
    ("no trust", |v| v.policy_unknown = Some("no root".into()), &["policy-unknown"], &[], "no root"),
    ("config", |v| v.config_fault = Some("line 3".into()), &["config-fault"], &[], "line 3"),
];

#[test]
fn each_trouble_is_found_and_nothing_else() {
    for (case, change, bad, others, words) in CASES {
        let (bad, others) = (*bad, *others);
        let mut vitals = well();
        vitals.accounts = Accounts { seen: 100, written: 100, lost: [0; Cause::ALL.len()] };
        change(&mut vitals);
        let found = findings(&vitals);
        let codes = |is_bad| -> Vec<&str> {
            found.iter().filter(|finding| finding.is_bad() == is_bad).map(|finding| finding.code).collect()
        };
        assert_eq!((codes(true).as_slice(), codes(false).as_slice()), (bad, others), "{case}: {found:?}");
        assert!(found.first().is_none_or(|finding| finding.meaning.contains(words)), "{case}: {found:?}");
        // Whoever reads it has a verdict first, then the figures, then a line for each finding with what to do.
        let text = text("unhealthy", &vitals, &found, false);
        assert!(text.starts_with("UNHEALTHY\n"), "{case}: {text}");
        assert_eq!(text.lines().count(), 6 + found.len(), "{case}: {text}");
        let json = to_json("unhealthy", &vitals, &found);
        assert_eq!(json["findings"].as_array().map(Vec::len), Some(found.len()), "{case}");
        assert_eq!(json["vitals"]["accounts"]["holds"], vitals.missing == 0, "{case}");
    }
}

#[test]
fn without_an_agent_what_others_know_is_said_all_the_same() {
    let mut vitals = Vitals { no_agent: Some("refused".into()), debug_image: true, ..Vitals::default() };
    vitals.policy = vec!["probes-not-loaded"];
    vitals.config_pending = true;
    let found = findings(&vitals);
    let codes: Vec<&str> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["no-agent", "probes-not-loaded", "key-not-sealed", "debug-image"]);
    let json = to_json("unhealthy", &vitals, &found);
    assert_eq!((&json["verdict"], &json["findings"][0]["code"]), (&json!("unhealthy"), &json!("no-agent")));
    assert_eq!(json["vitals"], Value::Null);
    assert!(text("unhealthy", &vitals, &found, false).starts_with("UNHEALTHY\n!! no-agent: "));
}

#[test]
fn ready_is_a_policy_in_force_and_a_ring_that_takes_events_and_nothing_more() {
    type Case = (fn(&mut Vitals), &'static [&'static str]);
    let cases: [Case; 11] = [
        (|_| {}, &[]),
        (|v| v.no_agent = Some(String::new()), &["no-agent"]),
        (|v| v.ready = false, &["not-ready"]),
        (|v| v.ring.level = Level::Full, &["ring-full"]),
        (|v| (v.ring.errors, v.errors_now) = (3, 1), &["ring-write-errors"]),
        (|v| v.ring.errors = 3, &[]),
        (|v| v.policy = vec!["not-in-force"], &["not-in-force"]),
        (|v| v.policy_unknown = Some(String::new()), &["policy-unknown"]),
        // Not as it should be, and no reason to take nothing over.
        (|v| v.policy = vec!["policy-stale"], &[]),
        (|v| v.ring.level = Level::Critical, &[]),
        (|v| v.missing = 3, &[]),
    ];
    for (change, codes) in cases {
        let mut vitals = well();
        change(&mut vitals);
        let found: Vec<&str> = unready(&vitals).iter().map(|finding| finding.code).collect();
        assert_eq!(found, codes);
    }
}

#[test]
fn the_law_as_a_line() {
    let mut vitals = well();
    vitals.accounts.seen = 104;
    let law = |vitals: &Vitals| vitals.lines().remove(0);
    assert_eq!(
        law(&vitals),
        "law     seen 104 = on disk 90 + lost 10 (kernel-ring-full 10) + on their way 4"
    );
    vitals.missing = 4;
    assert!(law(&vitals).ends_with("+ on their way 0 + UNACCOUNTED 4"), "{}", law(&vitals));
}

/// Looks: milliseconds, seen, written, lost; what is certain after each.
type Looks = &'static [(u64, u64, u64, u64, Option<i128>)];

const LOOKS: &[(&str, Looks)] = &[
    ("balanced", &[(0, 10, 9, 1, Some(0))]),
    ("drained", &[(0, 10, 5, 0, None), (100, 12, 8, 0, None), (200, 12, 12, 0, Some(0))]),
    ("late losses", &[(0, 10, 5, 0, None), (900, 10, 5, 0, None), (950, 10, 5, 5, Some(0))]),
    (
        "a flood",
        &[(0, 10, 5, 0, None), (999, 90, 85, 0, None), (1998, 190, 185, 0, None), (2900, 290, 285, 0, None)],
    ),
    ("missing", &[(0, 10, 5, 0, None), (500, 10, 5, 0, None), (1000, 10, 5, 0, Some(5))]),
    ("too many", &[(0, 10, 12, 0, None), (1000, 10, 12, 0, Some(-2))]),
];

#[test]
fn what_is_on_its_way_is_not_missing() {
    for (case, looks) in LOOKS {
        let mut settling = Settling::default();
        for (millis, seen, written, lost, certain) in *looks {
            let books = Accounts { seen: *seen, written: *written, lost: [*lost, 0, 0, 0, 0] };
            assert_eq!(
                settling.look(Duration::from_millis(*millis), &books, 0),
                *certain,
                "{case} at {millis} ms"
            );
        }
    }
}

/// The books of a device that has nothing to write balance also while its disk is dead.
#[test]
fn whether_writes_still_fail_is_waited_for() {
    let books = Accounts { seen: 10, written: 9, lost: [1, 0, 0, 0, 0] };
    for (errors, millis, certain) in [(0, 0, Some(0)), (1, 0, None), (1, 1_400, None), (1, 1_500, Some(0))] {
        let look = Settling::default().look(Duration::from_millis(millis), &books, errors);
        assert_eq!(look, certain, "{errors} errors, at {millis} ms");
    }
}

/// Events that wait for a ring that takes nothing stand still, and are none that went missing.
#[test]
fn what_waits_for_the_ring_is_not_missing() {
    for (level, errors_now, missing, wanted) in [
        (Level::Normal, 0, 3, 3),
        (Level::Critical, 0, 3, 3),
        (Level::Full, 0, 3, 0),
        (Level::Normal, 2, 3, 0),
        (Level::Full, 2, -1, -1),
    ] {
        let mut vitals = Vitals { ring: ring(level, 99), errors_now, ..well() };
        vitals.accounts.seen += 3;
        vitals.found_missing(missing);
        let case = format!("{level}, {errors_now} errors, {missing} missing");
        assert_eq!(vitals.missing, wanted, "{case}");
        let told = findings(&vitals).iter().any(|found| matches!(found.code, "unaccounted" | "over-counted"));
        assert_eq!(told, wanted != 0, "{case}");
        assert_eq!(
            vitals.lines()[0].contains("on their way 3"),
            wanted <= 0,
            "{case}: {}",
            vitals.lines()[0]
        );
    }
}
