//! Workloads: which are let in, in which order, what is remembered of them, and why others are not let in.

use aegis_bundle::limits::{
    COMMAND_WORDS, VARIABLES, WORD_BYTES, WORKLOAD_BYTES, WORKLOAD_CONTENTS_BYTES, WORKLOAD_NAMES,
    WORKLOAD_STATE_BYTES,
};
use aegis_bundle::{
    Bounds, Container, Content, Rank, Reason, Refusal, Remembered, Restart, Root, Run, Selectors, When,
    WorkloadContext, WorkloadManifest, WorkloadState, hash, is_workload_name, is_writable, open_image,
    open_kept_workload, open_workload,
};
use aegis_cose::Domain;
use proptest::prelude::*;

use super::common::{front, pair, role, root};

const KEY: u8 = 70;

fn list<T, const N: usize>(items: impl IntoIterator<Item = T>) -> heapless::Vec<T, N> {
    items.into_iter().collect()
}

fn run() -> Run<'static> {
    Run {
        contents: Content { length: 8192, hash: [1; 32] },
        command: list([&b"/bin/agent"[..], b"--serve", b"\xff"]),
        environment: list([&b"A=1"[..], b"AB=2", b"HOME=/var"]),
        user: 1000,
        group: 1000,
        bounds: Bounds { memory: 64 << 20, pids: 32, cpu: 500 },
        restart: Restart { when: When::OnFailure, delay: 1, watchdog: 0 },
        writable: list(["/var/cache", "/var/lib/agent"]),
    }
}

fn manifest() -> WorkloadManifest<'static> {
    WorkloadManifest {
        epoch: 2,
        sequence: 5,
        created: 1_800_000_000,
        selectors: Selectors { devices: None, architecture: "x86_64", agent: None, groups: None },
        name: "agent-7",
        run: Some(run()),
        forgets: false,
        comment: "a test",
    }
}

fn encode(manifest: &WorkloadManifest<'_>) -> Vec<u8> {
    let mut out = vec![0; 4096];
    let length = manifest.encode(&mut out).expect("a possible manifest");
    out.truncate(length);
    out
}

/// The front of a workload of any manifest bytes, signed by these keys, and the file's length.
fn pack(manifest: &[u8], contents: u64, keys: &[u8], domain: Domain) -> (Vec<u8>, u64) {
    front(Container::Workload, manifest, contents, keys, domain)
}

fn workload(change: impl FnOnce(&mut WorkloadManifest<'_>)) -> (Vec<u8>, u64) {
    let mut manifest = manifest();
    change(&mut manifest);
    pack(&encode(&manifest), manifest.length(), &[KEY], Domain::Workload)
}

fn context(root: &Root) -> WorkloadContext<'_> {
    WorkloadContext {
        root,
        device: Some([7; 16]),
        architecture: Some("x86_64"),
        agent: Some([1, 2, 3]),
        groups: Some(&["north", "pumps"]),
    }
}

/// Whether it is unchanged, or why it is refused, after this was accepted.
fn decided((front, length): &(Vec<u8>, u64), root: &Root, have: Option<Rank>) -> Result<bool, Reason> {
    let opened = open_workload(front, *length, &context(root), |name| {
        assert_eq!(name, "agent-7");
        have
    });
    opened.map(|(_, unchanged)| unchanged).map_err(|refusal| refusal.reason)
}

fn refused(workload: &(Vec<u8>, u64)) -> Option<Reason> {
    decided(workload, &root(&[1], 1), None).err()
}

#[test]
fn a_good_workload_is_let_in_by_its_front() {
    let root = root(&[1], 1);
    let (front, length) = workload(|_| {});
    let (found, unchanged) = open_workload(&front, length, &context(&root), |_| None).expect("good");
    assert_eq!((found.manifest.clone(), unchanged), (manifest(), false));
    assert_eq!((found.contents_at, found.manifest_bytes), (front.len() as u64, &encode(&manifest())[..]));
    let rank = Rank { epoch: 2, sequence: 5, manifest: hash(&encode(&manifest())) };
    assert_eq!(found.rank(), rank);
    // One that takes its name out of operation has no contents.
    let (front, length) = workload(|manifest| manifest.run = None);
    let (removal, _) = open_workload(&front, length, &context(&root), |_| None).expect("good");
    assert_eq!((removal.manifest.run, removal.manifest.forgets, length), (None, false, front.len() as u64));
    // And what it kept.
    let forgets = WorkloadManifest { run: None, forgets: true, ..manifest() };
    let bytes = encode(&forgets);
    assert_eq!(WorkloadManifest::decode(&bytes), Ok(forgets));
    // What is said of a workload that runs is never that: `false` is nothing that is written.
    let at = bytes.iter().rposition(|byte| *byte == 0xf5).expect("true");
    let other = [&bytes[..at], &[0xf4], &bytes[at + 1..]].concat();
    assert_eq!(WorkloadManifest::decode(&other), Err(Reason::BadManifest));
}

/// A watchdog is a third number, or there is none: what was signed before there was one reads as it was.
#[test]
fn a_watchdog_is_left_out_or_within_its_bounds() {
    let with = |watchdog| {
        let restart = Restart { when: When::OnFailure, delay: 1, watchdog };
        encode(&WorkloadManifest { run: Some(Run { restart, ..run() }), ..manifest() })
    };
    // Key 6 of what is run: [1, 1], then [1, 1, 30].
    let (bare, watched) = (with(0), with(30));
    let at = bare.windows(4).position(|bytes| bytes == [6, 0x82, 1, 1]).expect("two numbers");
    assert_eq!(watched[at..at + 6], [6, 0x83, 1, 1, 0x18, 30]);
    let read = |numbers: &[u8]| {
        let bytes = [&bare[..at], &[6], numbers, &bare[at + 4..]].concat();
        let manifest = WorkloadManifest::decode(&bytes)?;
        Ok::<_, Reason>(manifest.run.map(|run| run.restart.watchdog))
    };
    assert_eq!(read(&[0x82, 1, 1]), Ok(Some(0)));
    assert_eq!(read(&[0x83, 1, 1, 0x19, 0x0e, 0x10]), Ok(Some(3600)));
    for bad in [&[0x83, 1, 1, 0][..], &[0x83, 1, 1, 0x19, 0x0e, 0x11], &[0x84, 1, 1, 2, 2], &[0x81, 1]] {
        assert_eq!(read(bad), Err(Reason::BadManifest), "{bad:?}");
    }
    assert_eq!(read(&[0x83, 1, 1, 0x18, 2]), Err(Reason::NotCanonical));
}

#[test]
fn order_is_kept() {
    let (root, five) = (root(&[1], 1), workload(|_| {}));
    let rank = |epoch, sequence, manifest| Some(Rank { epoch, sequence, manifest });
    let mine = hash(&encode(&manifest()));
    for (have, expected) in [
        (None, Ok(false)),
        (rank(2, 4, [1; 32]), Ok(false)),
        (rank(2, 5, mine), Ok(true)),
        (rank(2, 5, [1; 32]), Err(Reason::ReplayMismatch)),
        (rank(2, 6, [1; 32]), Err(Reason::Rollback)),
        (rank(1, 9, [1; 32]), Ok(false)),
    ] {
        assert_eq!(decided(&five, &root, have), expected, "{have:?}");
    }
    assert_eq!(refused(&workload(|manifest| manifest.epoch = 3)), Some(Reason::EpochAhead));
    assert_eq!(refused(&workload(|manifest| manifest.epoch = 1)), Some(Reason::Rollback));
}

#[test]
fn only_enough_keys_of_the_role_let_it_in() {
    let bytes = encode(&manifest());
    let by = |keys: &[u8], domain| pack(&bytes, 8192, keys, domain);
    // Policy, break-glass and image keys sign no workload.
    for (keys, expected) in [
        (&[70][..], None),
        (&[71], None),
        (&[1], Some(Reason::UnknownKey)),
        (&[50], Some(Reason::UnknownKey)),
        (&[60], Some(Reason::UnknownKey)),
        (&[1, 70], None),
    ] {
        assert_eq!(refused(&by(keys, Domain::Workload)), expected, "{keys:?}");
    }
    for domain in [Domain::Image, Domain::Bundle, Domain::Root] {
        assert_eq!(refused(&by(&[70], domain)), Some(Reason::BadSignature), "{domain:?}");
    }
    let one = root(&[1], 1);
    let with = |change: fn(&mut Root)| {
        let mut root = one.clone();
        change(&mut root);
        decided(&by(&[70], Domain::Workload), &root, None).err()
    };
    assert_eq!(with(|root| root.workload = Some(role(&[70, 71], 2))), Some(Reason::Threshold));
    assert_eq!(with(|root| root.workload = None), Some(Reason::NoWorkloadRole));
    let revoke = |root: &mut Root| {
        root.workload = Some(role(&[71], 1));
        root.revoked_keys = list([aegis_cose::fingerprint(&pair(70).pk)]);
    };
    assert_eq!(with(revoke), Some(Reason::RevokedKey));
    let revoking = Root { revoked: list([hash(&bytes)]), ..one.clone() };
    let (front, length) = by(&[70], Domain::Workload);
    let refusal = Refusal { reason: Reason::Revoked, epoch: 2, sequence: 5 };
    assert_eq!(open_workload(&front, length, &context(&revoking), |_| None).err(), Some(refusal));

    // What was let in stays so when its keys are replaced, not when they or it are revoked.
    let mut replaced = Root { workload: Some(role(&[71], 1)), epoch: 9, ..one.clone() };
    assert!(open_kept_workload(&front, length, &one, &replaced).is_ok());
    assert_eq!(open_kept_workload(&front, length, &one, &revoking).err(), Some(refusal));
    replaced.revoked_keys = list([aegis_cose::fingerprint(&pair(70).pk)]);
    let reason = |now| open_kept_workload(&front, length, &one, now).err().map(|refusal| refusal.reason);
    assert_eq!(reason(&replaced), Some(Reason::RevokedKey));
    let never = Root { workload: None, ..one.clone() };
    assert!(open_kept_workload(&front, length, &never, &one).is_err(), "nobody could sign it then");

    // Nothing of another kind is a workload, nor a workload anything else.
    let bundle = super::common::bundle(|_| {});
    assert_eq!(refused(&(bundle.clone(), bundle.len() as u64)), Some(Reason::BadMagic));
    let images = aegis_bundle::ImageContext {
        root: &one,
        device: None,
        architecture: None,
        agent: None,
        groups: None,
        state: aegis_bundle::ImageState::default(),
        running: None,
        insist: false,
    };
    assert_eq!(open_image(&front, length, &images).err().map(|no| no.reason), Some(Reason::BadMagic));
}

#[test]
fn selectors_select() {
    let with =
        |change: fn(&mut Selectors<'_>)| refused(&workload(|manifest| change(&mut manifest.selectors)));
    assert_eq!(with(|selectors| selectors.devices = Some(list([[7; 16]]))), None);
    assert_eq!(with(|selectors| selectors.devices = Some(list([[8; 16]]))), Some(Reason::WrongDevice));
    assert_eq!(with(|selectors| selectors.groups = Some(list(["south"]))), Some(Reason::WrongGroup));
    assert_eq!(with(|selectors| selectors.architecture = "aarch64"), Some(Reason::WrongArchitecture));
    assert_eq!(with(|selectors| selectors.agent = Some([1, 2, 4])), Some(Reason::AgentTooOld));
}

#[test]
fn what_can_not_be_is_not_written_and_not_read() {
    type Change = fn(&mut Run<'_>);
    type Other = fn(&mut WorkloadManifest<'_>);
    let changes: [(&str, Change); 28] = [
        ("root's", |run| run.user = 0),
        ("root's group", |run| run.group = 0),
        ("no user", |run| run.user = u32::MAX),
        ("no command", |run| run.command = list([])),
        ("a program by no path", |run| run.command = list([&b"agent"[..]])),
        ("a program that is a directory", |run| run.command = list([&b"/"[..]])),
        ("a NUL in an argument", |run| run.command = list([&b"/a"[..], b"x\0y"])),
        ("a word that is too long", |run| run.command = list([&b"/a"[..], &[b'x'; WORD_BYTES + 1]])),
        ("no variable", |run| run.environment = list([&b"HOME"[..]])),
        ("a variable without a name", |run| run.environment = list([&b"=x"[..]])),
        ("a variable that begins with a digit", |run| run.environment = list([&b"1=x"[..]])),
        ("a variable twice", |run| run.environment = list([&b"A=1"[..], b"A=2"])),
        ("variables out of order", |run| run.environment = list([&b"B=1"[..], b"A=2"])),
        ("a NUL in a variable", |run| run.environment = list([&b"A=\0"[..]])),
        ("no memory", |run| run.bounds.memory = 4096),
        ("no processes", |run| run.bounds.pids = 0),
        ("all the processes there are", |run| run.bounds.pids = 1025),
        ("no time", |run| run.bounds.cpu = 9),
        ("all the time there is", |run| run.bounds.cpu = u32::MAX),
        ("no rest", |run| run.restart.delay = 0),
        ("a rest without end", |run| run.restart.delay = 3601),
        ("all writable", |run| run.writable = list(["/"])),
        ("one within another", |run| run.writable = list(["/var", "/var/lib"])),
        ("one within another, others between", |run| run.writable = list(["/var", "/var-x", "/var/lib"])),
        ("devices", |run| run.writable = list(["/dev/shm"])),
        ("a way out", |run| run.writable = list(["/var/../etc"])),
        ("contents that are none", |run| run.contents.length = 0),
        ("contents of no whole blocks", |run| run.contents.length = 8193),
    ];
    for (name, change) in changes {
        let mut bad = manifest();
        change(bad.run.as_mut().expect("there"));
        assert_eq!(bad.encode(&mut [0; 4096]), None, "{name}");
    }
    let others: [(&str, Other); 7] = [
        ("it runs, and its data goes", |manifest| manifest.forgets = true),
        ("epoch", |manifest| manifest.epoch = 0),
        ("created", |manifest| manifest.created = u64::MAX),
        ("any architecture", |manifest| manifest.selectors.architecture = "any"),
        ("no name", |manifest| manifest.name = ""),
        ("a name that is a way", |manifest| manifest.name = "a/b"),
        ("a comment that rings", |manifest| manifest.comment = "\x07"),
    ];
    for (name, change) in others {
        let mut bad = manifest();
        change(&mut bad);
        assert_eq!(bad.encode(&mut [0; 4096]), None, "{name}");
    }
    let most = Run {
        contents: Content { length: WORKLOAD_CONTENTS_BYTES, hash: [1; 32] },
        command: list([&b"/a"[..]; COMMAND_WORDS]),
        ..run()
    };
    let longest = WorkloadManifest { run: Some(most), ..manifest() };
    let (front, length) = pack(&encode(&longest), longest.length(), &[KEY], Domain::Workload);
    assert!(
        length <= WORKLOAD_BYTES && open_workload(&front, length, &context(&root(&[1], 1)), |_| None).is_ok()
    );
    assert_eq!(VARIABLES, 32, "as docs/workloads.md has it");
}

#[test]
fn names_and_places_are_safe_ones() {
    for name in ["a", "agent-7", "A.b_c"] {
        assert!(is_workload_name(name), "{name}");
    }
    for name in ["", ".", "..", ".x", "-x", "a/b", "a b", "\u{e4}", "a\n"] {
        assert!(!is_workload_name(name), "{name:?}");
    }
    for path in ["/var", "/var/lib/x", "/data", "/tmpx", "/devices"] {
        assert!(is_writable(path), "{path}");
    }
    for path in ["", "/", "var", "/tmp", "/tmp/x", "/dev", "/proc/1", "//", "/a//b", "/a/.", "/a\n"] {
        assert!(!is_writable(path), "{path:?}");
    }
}

#[test]
fn every_flip_and_cut_of_a_front_is_refused() {
    let (good, length) = workload(|_| {});
    for index in 0..good.len() {
        assert!(refused(&(good[..index].to_vec(), length)).is_some(), "cut at {index}");
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert!(refused(&(bad, length)).is_some(), "byte {index} bit {bit}");
        }
    }
    assert_eq!(refused(&(good.clone(), length + 1)), Some(Reason::TrailingBytes));
    assert_eq!(refused(&(good, WORKLOAD_BYTES + 1)), Some(Reason::TooLarge));
    let more = pack(&encode(&manifest()), 8192 + 4096, &[KEY], Domain::Workload);
    assert_eq!(refused(&more), Some(Reason::ContentLength));
}

fn remembered(name: &str, epoch: u64, gone: bool) -> Remembered {
    let accepted = Rank { epoch, sequence: u64::MAX, manifest: [0xff; 32] };
    Remembered { name: name.try_into().expect("short"), accepted, next: Some(accepted), gone }
}

#[test]
fn the_longest_state_fits_and_a_name_more_does_not() {
    let mut state = WorkloadState { generation: u64::MAX, ..WorkloadState::default() };
    for number in (0..WORKLOAD_NAMES).rev() {
        assert!(state.remember(remembered(&format!("{number:x>63}"), u64::MAX, true), 1));
    }
    let mut out = [0; WORKLOAD_STATE_BYTES];
    let length = state.encode(&mut out).expect("it fits");
    assert_eq!(WorkloadState::decode(&out[..length]), Some(state.clone()));
    for index in 0..length {
        assert_eq!(WorkloadState::decode(&out[..index]), None);
        out[index] ^= 1;
        assert_eq!(WorkloadState::decode(&out[..length]), None, "byte {index}");
        out[index] ^= 1;
    }
    assert!(!state.remember(remembered("one-more", 2, false), 2), "what is gone might come back");
    assert!(state.remember(remembered(&format!("{:x>63}", 3), 2, false), 2), "one that is known");
    // One that is gone, of an epoch of which nothing is let in any more.
    state.names[7] = Remembered { next: None, ..remembered(&state.names[7].name, 1, true) };
    assert!(state.remember(remembered("one-more", 2, false), 2));
    assert!(state.names.is_sorted_by(|a, b| a.name < b.name));
    assert!(state.of("one-more").is_some() && state.of("never").is_none());
}

proptest! {
    #[test]
    fn any_bytes_behind_a_good_header_are_refused(
        manifest in proptest::collection::vec(any::<u8>(), 0..200),
        contents in 0u64..100_000,
    ) {
        prop_assert!(refused(&pack(&manifest, contents, &[KEY], Domain::Workload)).is_some());
    }

    #[test]
    fn what_is_written_is_read(
        words in proptest::collection::vec(proptest::collection::vec(1u8.., 0..40), 0..COMMAND_WORDS),
        user in 1..u32::MAX,
        memory in (1u64 << 20)..(1 << 40),
        when in 0usize..3,
        delay in 1u32..=3600,
        watchdog in 0u32..=3600,
    ) {
        let command = [&b"/p"[..]].into_iter().chain(words.iter().map(Vec::as_slice)).take(COMMAND_WORDS);
        let restart = Restart { when: When::ALL[when], delay, watchdog };
        let bounds = Bounds { memory, ..run().bounds };
        let made = WorkloadManifest {
            run: Some(Run { command: list(command), user, bounds, restart, ..run() }),
            ..manifest()
        };
        let bytes = encode(&made);
        prop_assert_eq!(WorkloadManifest::decode(&bytes), Ok(made));
    }
}
