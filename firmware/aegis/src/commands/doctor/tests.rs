//! Facts and what is found in them; the page against the codes.
#![allow(clippy::unnecessary_wraps, reason = "what is made here goes where it may be unknown")]

use std::collections::BTreeSet;
use std::path::Path;

use aegis_probes::HOOKS;

use super::facts::{Clock, Confinement, Data, Image, Mounted, Ring, Shape, confinement};
use super::*;
use crate::commands::finding::Severity;
use crate::kernel::{HookOffer, MapFill, Offers, Standing};
use crate::storage::verity::Root;

fn whole_offers() -> Offers {
    let attached = |hook: &'static aegis_probes::Hook| HookOffer {
        hook,
        standing: Standing::Attached,
        program: hook.programs.first(),
        reason: String::new(),
    };
    Offers { loaded: true, hooks: HOOKS.iter().map(attached).collect(), walks: Some(true), no_types: None }
}

/// A device that is as it should be, in the field.
fn well() -> Facts {
    Facts {
        release: "6.12.48-aegis".into(),
        lsm: Ok(vec!["lockdown".into(), "bpf".into()]),
        btf: Ok(2 << 20),
        bpffs: Ok(()),
        cgroup: Ok(()),
        options: Ok(vec![]),
        offers: whole_offers(),
        unserved: Ok(vec![]),
        others: 0,
        maps: Some(Ok(vec![MapFill { name: "rules_0".into(), used: 10, most: 100 }])),
        agent: Some(Ok(Confinement { process: 70, tasks: 5, ..Confinement::default() })),
        clock: Clock { says: 2_000, least: 1_000 },
        ring: Ok(Some(Ring { node: "/dev/vda4".into(), bytes: 16 << 20, shape: ring_shape() })),
        data: Ok(Some(Data { node: "/dev/vda5".into(), mounted: Some(mounted()) })),
        root: Ok(Root::Verified),
        image: Ok(Image { slot: Some("a"), ..Image::default() }),
        debug: false,
        key: Ok(Some("ab".repeat(16))),
        health: vec![],
    }
}

fn ring_shape() -> Shape {
    Shape::Ring { bytes: 16 << 20, segment_bytes: 64 << 10, segments: 255, first: 1, next: 100 }
}

const fn mounted() -> Mounted {
    Mounted { read_only: false, bytes: 64 << 20, free: 60 << 20, files: 500 }
}

fn why<T>() -> Result<T, String> {
    Err("why".into())
}

fn hook_is_watched(facts: &mut Facts, name: &str) {
    let offer = facts.offers.hooks.iter_mut().find(|offer| offer.hook.name == name);
    let offer = offer.expect("a hook of this name");
    offer.program = offer.hook.programs.iter().find(|program| !program.attach.denies());
    if offer.program.is_none() {
        offer.standing = Standing::Missing;
    }
}

fn map(used: u32) -> Option<Result<Vec<MapFill>, String>> {
    Some(Ok(vec![MapFill { name: "rules_1".into(), used, most: 100 }]))
}

fn may(capabilities: u64, may_gain: usize, unfiltered: usize) -> Option<Result<Confinement, String>> {
    Some(Ok(Confinement { process: 7, tasks: 3, capabilities, may_gain, unfiltered }))
}

fn ring(shape: Shape) -> Result<Option<Ring>, String> {
    Ok(Some(Ring { node: "/dev/vda4".into(), bytes: 20 << 20, shape }))
}

fn data(mounted: Option<Mounted>) -> Result<Option<Data>, String> {
    Ok(Some(Data { node: "/dev/vda5".into(), mounted }))
}

/// What is changed of a device that is well, the codes that are found, words of the first.
type Case = (fn(&mut Facts), &'static [&'static str], &'static str);

const CASES: &[Case] = &[
    (|_| {}, &[], ""),
    (|f| f.lsm = Ok(vec!["yama".into()]), &["lsm-bpf-missing"], "(yama"),
    (|f| f.lsm = why(), &["lsm-unknown"], "why"),
    (|f| f.btf = why(), &["btf-missing"], "(why"),
    (|f| f.offers.no_types = Some("why".into()), &["btf-missing"], "(why"),
    (|f| f.bpffs = why(), &["bpffs-missing"], "why"),
    (|f| f.cgroup = why(), &["cgroup-missing"], "why"),
    (|f| f.options = Ok(vec!["CONFIG_IMA"]), &["kernel-option-missing"], "(CONFIG_IMA"),
    (|f| f.options = why(), &["kernel-options-untold"], "why"),
    (|f| f.offers.walks = Some(false), &["no-subtrees"], "not decided"),
    (|f| f.clock = Clock { says: 999, least: 1_000 }, &["clock-behind"], "999"),
    (|f| f.unserved = Ok(vec!["file_open"]), &["hook-missing"], "file_open"),
    (|f| hook_is_watched(f, "mmap_file"), &["hooks-short"], "mmap_file"),
    (|f| f.unserved = why(), &["policy-needs-unknown"], "why"),
    (
        |f| {
            f.unserved = why();
            hook_is_watched(f, "mmap_file");
        },
        &["policy-needs-unknown", "hooks-short"],
        "why",
    ),
    (|f| hook_is_watched(f, "inode_copy_up"), &["events-missing"], "inode_copy_up"),
    (
        |f| {
            let offer = f.offers.hooks.iter_mut().find(|offer| offer.hook.name == "bprm_check_security");
            let offer = offer.expect("there is one");
            offer.program = offer.hook.programs.get(1);
        },
        &["no-hashes"],
        "content",
    ),
    (|f| f.others = 1, &["other-probes"], "(1"),
    (|f| f.maps = map(90), &["map-nearly-full"], "(rules_1, 90 of 100"),
    (|f| f.maps = map(89), &[], ""),
    (|f| f.maps = map(100), &["map-full"], "(rules_1, 100 of 100"),
    (|f| f.maps = Some(why()), &["maps-unknown"], "why"),
    (|f| f.maps = None, &[], ""),
    (|f| f.agent = may(1 << 21, 0, 0), &["agent-not-confined"], "0x200000"),
    (|f| f.agent = may(0, 1, 0), &["agent-not-confined"], "3 tasks 1 may gain"),
    (|f| f.agent = may(0, 0, 3), &["agent-not-confined"], "3 are not filtered"),
    (|f| f.agent = Some(why()), &["agent-confinement-unknown"], "why"),
    (|f| f.agent = None, &[], ""),
    (|f| f.ring = why(), &["ring-unreadable"], "why"),
    (|f| f.ring = Ok(None), &["ring-missing"], "aegis-ring"),
    (|f| f.ring = ring(Shape::Unformatted), &["ring-unformatted"], "/dev/vda4"),
    (|f| f.ring = ring(Shape::Unreadable("why".into())), &["ring-unreadable"], "why"),
    (|f| f.ring = ring(ring_shape()), &["ring-smaller"], "(16777216 of the 20971520"),
    (|f| f.data = why(), &["data-not-mounted"], "why"),
    (|f| f.data = Ok(None), &["data-missing"], "aegis-data"),
    (|f| f.data = data(None), &["data-not-mounted"], "/dev/vda5"),
    (|f| f.data = data(Some(Mounted { read_only: true, ..mounted() })), &["data-read-only"], "/dev/vda5"),
    (|f| f.data = data(Some(Mounted { free: (8 << 20) - 1, ..mounted() })), &["data-full"], "(8388607 of"),
    (|f| f.data = data(Some(Mounted { files: 63, ..mounted() })), &["data-full"], ", 63 files)"),
    (|f| f.root = Ok(Root::Unverified), &["root-unverified"], "anybody"),
    (|f| f.root = Ok(Root::Corrupted), &["root-corrupted"], "not what was built"),
    (|f| f.root = why(), &["root-unknown"], "why"),
    (|f| f.image = why(), &["slots-unknown"], "why"),
    (|f| f.image = Ok(Image::default()), &["no-slots"], "no loader"),
    (
        |f| f.image = Ok(Image { slot: Some("b"), on_trial: true, fell_back: true, empty: vec!["a"] }),
        &["image-on-trial", "image-fell-back", "slot-empty"],
        "healthy yet",
    ),
    (|f| f.key = Ok(None), &["key-missing"], "no key"),
    (|f| f.key = why(), &["key-unreadable"], "why"),
];

#[test]
fn each_trouble_is_found_and_nothing_else() {
    let mut met = BTreeSet::new();
    for (change, codes, words) in CASES {
        let mut facts = well();
        change(&mut facts);
        let found = findings::findings(&facts);
        let told: Vec<&str> = found.iter().map(|finding| finding.code).collect();
        assert_eq!(told, *codes, "{found:?}");
        assert!(found.first().is_none_or(|first| first.meaning.contains(words)), "{found:?}");
        met.extend(told);
        let json = to_json(&facts, &found);
        assert_eq!(json["verdict"] == "well", bad_codes(&found).is_empty(), "{json}");
        // Whatever is not known, there is a line for each part of the device.
        assert_eq!(show::lines(&facts).len(), 9);
    }
    let all: BTreeSet<&str> = codes::ALL.iter().map(|code| code.name).collect();
    assert_eq!(met, all, "each code is found by a case");
}

#[test]
fn what_is_bad_comes_first_and_what_health_finds_is_among_it() {
    let mut facts = well();
    facts.image = Ok(Image::default());
    facts.root = why();
    facts.health =
        vec![Finding { code: "no-agent", severity: Severity::Bad, meaning: "m".into(), mend: "n" }];
    let codes: Vec<&str> = findings::findings(&facts).iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["no-agent", "root-unknown", "no-slots"]);
    facts.health.clear();
    facts.root = Ok(Root::Verified);
    // What is only to be known makes nobody unwell.
    assert!(bad_codes(&findings::findings(&facts)).is_empty());
}

#[test]
fn what_the_kernel_says_of_a_task_is_read_whole_or_not_at_all() {
    let status = |effective: &str, gains: &str, filter: &str| {
        format!(
            "Name:\taegis\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t{effective}\n\
             CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t{gains}\nSeccomp:\t{filter}\n\
             Seccomp_filters:\t1\n"
        )
    };
    let none = status("0000000000000000", "1", "2");
    let free = status("000001ffffffffff", "0", "0");
    let found = confinement(7, &[none.clone(), free.clone()]);
    let expected =
        Confinement { process: 7, tasks: 2, capabilities: 0x1ff_ffff_ffff, may_gain: 1, unfiltered: 1 };
    assert_eq!(found, Some(expected));
    for bad in [
        vec![],
        vec![none.replace("CapBnd", "Cap")],
        vec![none.clone(), String::new()],
        vec![none.replace("0000", "x")],
    ] {
        assert_eq!(confinement(7, &bad), None, "{bad:?}");
    }
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(&path).expect("the page is there")
}

/// `| code | severity | … | mend |`, as the code has it.
#[test]
fn every_code_is_on_the_page_as_it_is_here() {
    let page = page("doctor.md");
    let table = page.split("## Codes\n").nth(1).expect("it has its table");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let here = codes::ALL.iter().map(|code| {
        vec![format!("`{}`", code.name), code.severity.name().into(), code.meaning.into(), code.mend.into()]
    });
    assert_eq!(rows, here.collect::<Vec<Vec<String>>>());
}

/// The codes of health stand in its source as words; each is in its table.
#[test]
fn every_code_of_health_is_on_its_page() {
    let page = page("formats/reason-codes.md");
    let table =
        page.split("## Health\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("its table");
    let source = include_str!("../health/findings.rs");
    let is_code = |word: &&str| {
        word.contains('-') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    let codes: BTreeSet<&str> = source.split('"').skip(1).step_by(2).filter(is_code).collect();
    assert!(codes.len() > 15, "{codes:?}");
    for code in codes {
        // Of policy and storage there are tables of their own.
        assert!(table.contains(&format!("`{code}`")) || page.contains(&format!("| `{code}`")), "{code}");
    }
}
