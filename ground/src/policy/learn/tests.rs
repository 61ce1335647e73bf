//! Drafts of generated events.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use aegis_event::File;
use proptest::prelude::*;

use super::super::things::Thing;
use super::place::Place;
use super::*;

#[test]
fn workloads_name_policies() {
    for (workload, expected) in [("Agent_7", "agent-7"), ("agent-*", "agent"), ("*", "learned"), ("..x", "x")]
    {
        assert_eq!(policy_name(workload), expected);
    }
}

/// One access to one file, or to two.
#[derive(Clone, Debug)]
struct Did {
    path: Vec<u8>,
    to: Option<Vec<u8>>,
    truncated: bool,
    inode: u64,
    operations: Operations,
    verdict: Verdict,
}

fn paths() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec!["a", "b", "c", "x.so", "etc", "very-long-".repeat(20).leak()]);
    let plain =
        prop::collection::vec(part, 1..6).prop_map(|parts| format!("/{}", parts.join("/")).into_bytes());
    let odd = prop::sample::select(vec![
        &b"/proc/7/status"[..],
        b"/proc/8/mem",
        b"/proc/stat",
        b"/a/b/gone (deleted)",
        b"/memfd:x (deleted)",
        b"/a/\xff",
        b"/\xff",
        b"pipe:[7]",
        b"/",
        b"/a/b\n/c",
    ]);
    prop_oneof![4 => plain, 1 => odd.prop_map(<[u8]>::to_vec)]
}

fn dids() -> impl Strategy<Value = Vec<Did>> {
    let operations = prop::sample::select(vec![
        Operations::only(Operation::OpenRead),
        Operations::only(Operation::OpenWrite),
        Operations::OPEN,
        Operations::only(Operation::Exec),
        Operations::only(Operation::Change),
        Operations::only(Operation::UnixConnect),
    ]);
    let verdict =
        prop::sample::select(vec![Verdict::Allowed, Verdict::Allowed, Verdict::Audited, Verdict::Denied]);
    let truncated = prop::bool::weighted(0.05);
    let did = (paths(), prop::option::weighted(0.2, paths()), truncated, 0_u64..12, operations, verdict);
    let did = did.prop_map(|(path, to, truncated, inode, operations, verdict)| {
        let operations = if to.is_some() { Operations::only(Operation::Change) } else { operations };
        Did { path, to, truncated, inode, operations, verdict }
    });
    prop::collection::vec(did, 1..40)
}

fn each(dids: &[Did], mut take: impl FnMut(&Access<'_>)) {
    for (sequence, did) in (1..).zip(dids) {
        let Did { path, to, truncated, inode, operations, verdict } = did;
        let file = File { device: 1, inode: *inode, path, truncated: *truncated };
        let to = to.as_ref().map(|path| File { path, inode: 0, ..file });
        take(&Access {
            device: &[1; 16],
            ring: &[1; 16],
            sequence,
            workload: b"agent-7",
            what: What::File { file, to, operations: *operations },
            argv: b"sh\0/a/b\0",
            verdict: *verdict,
            rule: b"",
            excused: false,
        });
    }
}

fn drafted(dids: &[Did], depth: Option<u16>) -> (String, Held) {
    let mut learned = Learned::default();
    each(dids, |access| learned.take(access, depth));
    let draft = learned.draft("agent-7", &Extent::default(), depth).unwrap();
    let bytes = enforced(&draft.text).unwrap();
    let decisions = Decisions::of(Policy::decode(&bytes).unwrap());
    let mut held = Held::default();
    each(dids, |access| held.take(&decisions, access));
    (draft.text, held)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Permitted then and named: permitted still. Only ever denied: denied still. Never seen: denied.
    #[test]
    fn a_draft_is_what_was_seen(dids in dids(), depth in prop::option::of(1_u16..4)) {
        let (text, held) = drafted(&dids, depth);
        prop_assert_eq!(held.named, 0, "{:?}\n{}", held, text);

        let bytes = enforced(&text).unwrap();
        let decisions = Decisions::of(Policy::decode(&bytes).unwrap());
        let denies = |path: &[u8], operation| {
            decisions.one(Some(1), &Thing::Path(path), operation).verdict == Verdict::Denied
        };
        let mut permitted: BTreeMap<&[u8], Operations> = BTreeMap::new();
        let mut unknown = false;
        let of = |did: &Did, path: &[u8]| {
            let file = File { device: 1, inode: 0, path, truncated: did.truncated };
            match Place::of(&file) { Place::Path(_) => Some(true), Place::Unknown(_) => Some(false), _ => None }
        };
        for did in dids.iter().filter(|did| did.verdict != Verdict::Denied) {
            for path in [Some(&did.path), did.to.as_ref()].into_iter().flatten() {
                unknown |= of(did, path) == Some(false);
                let all = permitted.entry(path).or_default();
                *all = all.and(did.operations);
            }
        }
        for did in dids.iter().filter(|did| did.verdict == Verdict::Denied && of(did, &did.path) == Some(true)) {
            let done = permitted.get(&did.path[..]).copied().unwrap_or_default();
            // Where it can't be denied in general, what is denied by name can be changed.
            let open = if unknown { Operations::only(Operation::Change) } else { Operations::NONE };
            for operation in did.operations.without(done).without(open).iter() {
                prop_assert!(denies(&did.path, operation), "{}\n{}", did.path.escape_ascii(), text);
            }
        }
        for operation in Operation::FILE.into_iter().filter(|_| !unknown) {
            prop_assert!(denies(b"/never/seen", operation), "{}", text);
        }
        // It is as lint wants it.
        let compiled = compiled(&text).unwrap();
        prop_assert!(lint::lint(&compiled).is_empty(), "{:?}\n{}", lint::lint(&compiled), text);
    }
}

/// Where everything is open, what is denied by name is denied for what it was, and may be changed, as it was.
#[test]
fn what_is_denied_by_name_can_be_changed_where_all_is_open() {
    let did = |path: &str, to: Option<&str>, truncated, operation, verdict| Did {
        path: path.into(),
        to: to.map(Into::into),
        truncated,
        inode: 0,
        operations: Operations::only(operation),
        verdict,
    };
    let mut dids: Vec<Did> =
        Operation::FILE.into_iter().map(|one| did("/a", None, true, one, Verdict::Allowed)).collect();
    dids.push(did("/a", Some("/b"), false, Operation::Change, Verdict::Allowed));
    dids.push(did("/b", None, false, Operation::OpenRead, Verdict::Denied));
    let (text, held) = drafted(&dids, None);
    assert_eq!(held.named, 0, "{held:?}\n{text}");
    let bytes = enforced(&text).unwrap();
    let decisions = Decisions::of(Policy::decode(&bytes).unwrap());
    let verdict = |operation| decisions.one(Some(1), &Thing::Path(b"/b"), operation).verdict;
    assert_eq!(verdict(Operation::OpenRead), Verdict::Denied);
    assert_ne!(verdict(Operation::Change), Verdict::Denied);
}

/// A folded directory does not take back a denial in it.
#[test]
fn a_directory_with_a_denial_is_not_opened_for_it() {
    let did = |path: &str, verdict| Did {
        path: path.into(),
        to: None,
        truncated: false,
        inode: 0,
        operations: Operations::only(Operation::OpenRead),
        verdict,
    };
    let dids = [
        did("/srv/data/a", Verdict::Allowed),
        did("/srv/data/secret", Verdict::Denied),
        did("/srv/more/a", Verdict::Allowed),
        did("/proc/7/status", Verdict::Allowed),
        did("/proc/7/mem", Verdict::Denied),
    ];
    let (text, held) = drafted(&dids, Some(2));
    assert!(text.contains("paths = [\n    \"/srv/data/a\", # read 1; seen once: sequence 1\n]"), "{text}");
    assert!(
        text.contains("trees = [\n    \"/srv/more\", # folded: 1 file: read 1; seen once: sequence 3\n]"),
        "{text}"
    );
    assert!(text.contains("#   /srv/data/secret  read 1; seen once: sequence 2\n"), "{text}");
    // Which of them was denied can't be said by a rule: said, and denied.
    assert!(
        text.contains("# WARNING: denied though it was done: /proc: read, of files that can't be named"),
        "{text}"
    );
    assert_eq!(held, Held { named: 0, first: None, unnamed: 1 });
}
