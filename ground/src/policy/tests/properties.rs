//! Properties, over policies in any writing: mending, formatting, folding.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use aegis_policy::{Access, Family, Kind, Policy, Prefix};
use proptest::prelude::*;

use super::{TEMPLATE, compile, mend};
use crate::policy::decisions::{Decisions, classes};
use crate::policy::format::format;
use crate::policy::things::Thing;
use crate::policy::{Trouble, diff, lint};

/// The words of a rule: what it does, to what, and on what.
#[derive(Clone, Debug)]
struct Words {
    does: &'static [&'static str],
    operations: Vec<&'static str>,
    /// Keys and their items.
    on: Vec<(&'static str, Vec<&'static str>)>,
}

const DIGESTS: [&str; 2] = [
    "1111111111111111111111111111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222222222222222222222222222",
];

fn some(names: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> + Clone {
    proptest::collection::vec(proptest::sample::select(names), 1..=most)
}

/// Of the same few names, so that rules meet.
fn any_words() -> impl Strategy<Value = Words> {
    let does: &[&[&str]] = &[
        &["action = \"deny\" # act"],
        &["action = \"audit\" # act"],
        &["action = \"allow\" # act"],
        &["action = \"deny\" # act", "mode = \"audit\""],
        &["action = \"allow\" # act", "override = true"],
    ];
    let on =
        |key: &'static str, names, most| some(names, most).prop_map(move |items| vec![(key, items)]).boxed();
    let paths = || on("paths", &["/x", "/y", "/etc/z", "/", "/tmp/t"], 5);
    let trees = || on("trees", &["/x", "/etc", "/", "/tmp"], 3);
    let join = |a: Vec<_>, b: Vec<_>| a.into_iter().chain(b).collect::<Vec<_>>();
    let file = some(&["open", "open-read", "open-write", "exec", "change", "connect"], 4);
    let files = (file, prop_oneof![paths(), trees(), (paths(), trees()).prop_map(move |(a, b)| join(a, b))]);
    let nothing = || Just(Vec::new()).boxed();
    let addresses = on("addresses", &["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::/0", "2001:db8::/32"], 3);
    let ports = on("ports", &["80", "443", "80-90", "8000-9000"], 2);
    let protocols = on("protocols", &["tcp", "17", "132"], 1);
    let nets = (
        some(&["connect", "bind"], 2),
        prop_oneof![nothing(), addresses],
        prop_oneof![nothing(), ports],
        prop_oneof![nothing(), protocols],
    )
        .prop_map(move |(operations, a, b, c)| (operations, join(join(a, b), c)));
    let hashes = (Just(vec!["exec"]), on("hashes", &DIGESTS, 2));
    let surface = (some(&["ptrace", "module-load", "bpf", "mount"], 3), nothing());
    let what = prop_oneof![3 => files, 2 => nets, 1 => hashes, 1 => surface];
    (proptest::sample::select(does), what).prop_map(|(does, (operations, on))| Words { does, operations, on })
}

/// A policy as text, in any spacing and with comments.
fn any_text() -> impl Strategy<Value = String> {
    let rule = (
        proptest::option::of(some(&["a", "a*", "*"], 3)),
        any_words(),
        some(&["T1003", "t1003.008", "odd"], 2),
        0u8..64,
    );
    let mode = proptest::sample::select(&["enforce", "audit"][..]);
    (mode, proptest::collection::vec(rule, 0..8), 0u8..4).prop_map(|(mode, rules, style)| {
        let mut text = format!("# head\nschema = 1\nname=\"p\"\nmode = \"{mode}\" # mode\n");
        if style & 2 == 2 {
            text.push_str("self-protection=false # off\n[deadman]\nseconds=60\n# many\ndenials = 100\n");
        }
        for name in ["a", "a*", "*", "b"] {
            let above = if style & 1 == 1 { "\n# w\n\n" } else { "" };
            let rate = if style & 1 == 1 { "rate=10 # a second\n" } else { "" };
            let _ = write!(text, "{above}[[workload]]\nname = \"{name}\"\n{rate}");
        }
        for (number, (workloads, words, tags, style)) in rules.into_iter().enumerate() {
            let list = |items: &[&str], shape: u8| {
                let quoted: Vec<String> = items
                    .iter()
                    .enumerate()
                    .map(|(n, item)| match shape {
                        0 => format!("\"{item}\""),
                        1 => format!("\n  '{item}'"),
                        2 => format!("\n# above {number}.{n}\n\"{item}\""),
                        _ => format!(" \"{item}\" # beside {number}.{n}\n"),
                    })
                    .collect();
                format!(
                    "[{}{}]",
                    quoted.join(","),
                    if shape == 2 {
                        ", # last\n"
                    } else if shape == 1 {
                        "\n"
                    } else {
                        ""
                    }
                )
            };
            let mut keys = vec![format!("name = \"r{number}\"")];
            keys.extend(words.does.iter().map(|line| (*line).to_owned()));
            keys.push(format!("operations = {}", list(&words.operations, 0)));
            keys.extend(words.on.iter().map(|(key, items)| format!("{key} = {}", list(items, style & 3))));
            keys.push(format!("# tags of {number}\ntags = {}", list(&tags, style >> 2 & 1)));
            keys.extend(
                workloads.map(|workloads| format!("workloads = {}", list(&workloads, style >> 3 & 1))),
            );
            if style >> 4 & 1 == 1 {
                keys.reverse();
            }
            let below = if style >> 5 == 1 { "\n\n" } else { "" };
            let _ = write!(text, "# rule {number}\n[[rule]]\n{}\n{below}", keys.join("\n"));
        }
        text + "# end\n"
    })
}

const ADDRESSES: [(Family, &[u8]); 6] = [
    (Family::Inet, &[192, 0, 2, 1]),
    (Family::Inet, &[10, 9, 9, 9]),
    (Family::Inet, &[10, 1, 9, 9]),
    (Family::Inet, &[10, 1, 2, 3]),
    (Family::Inet6, &[0; 16]),
    (Family::Inet6, &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
];

/// One of everything that the texts above can tell apart, and what is asked of the folded policy for it.
fn questions() -> Vec<(Thing<'static>, Access<'static>)> {
    let mut all = Vec::new();
    let mut file = |thing: Thing<'static>, path: &'static str, digest: Option<&'static [u8; 32]>| {
        let kind = if digest.is_some() { Kind::Hashes } else { Kind::Files };
        for operation in kind.operations().iter() {
            all.push((thing, Access::File { path: path.as_bytes(), operation, digest }));
        }
    };
    for path in ["/x", "/y", "/etc", "/etc/z", "/", "/tmp", "/tmp/t"] {
        file(Thing::Path(path.as_bytes()), path, None);
    }
    for (tree, path) in [("/x", "/x/in/it"), ("/etc", "/etc/ssh"), ("/", "/other"), ("/tmp", "/tmp/u")] {
        file(Thing::Below(tree.as_bytes()), path, None);
    }
    for digest in [&[0x11; 32], &[0x22; 32], &[0x33; 32]] {
        file(Thing::Hash(*digest), "", Some(digest));
    }
    for (family, address) in ADDRESSES {
        // Between those there are only ports that no rule names, as 1 is.
        for port in [1, 80, 85, 443, 8_500] {
            for protocol in [1, 6, 17, 132] {
                let prefix = Prefix::of(family, address).expect("an address");
                let thing = Thing::Net { prefix, ports: (port, port), protocol: Some(protocol) };
                for operation in Kind::Addresses.operations().iter() {
                    all.push((thing, Access::Address { family, address, port, protocol, operation }));
                }
            }
        }
    }
    all.extend(Kind::Surface.operations().iter().map(|of| (Thing::Surface, Access::Surface(of))));
    all
}

/// Every answer that a policy gives on what the texts above are about: verdict and rule.
fn answers(bytes: &[u8]) -> Vec<(String, Option<String>)> {
    let policy = Policy::decode(bytes).expect("compiled");
    let mut answers = Vec::new();
    let questions = questions();
    for workload in ["a", "aa", "b", "c"] {
        let index = policy.match_workload(workload.as_bytes());
        for (_, access) in &questions {
            // Not by what the code under test asks, but by what `explain` does.
            let decision = index.map(|index| policy.decide(index, access));
            let verdict = decision.as_ref().map_or("allowed", |decision| decision.verdict.name());
            let rule = decision.and_then(|decision| decision.rule).map(|rule| rule.name.to_owned());
            answers.push((verdict.to_owned(), rule));
        }
    }
    answers
}

fn comments(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.find('#').map(|at| line[at..].trim())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is in a file: an answer, never a panic.
    #[test]
    fn broken_sources_are_refused_or_read(
        text in prop_oneof![any_text(), Just(TEMPLATE.to_owned())],
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), "\\PC{0,3}|[\\[\\]\"'#\n\r\t={},$]{1,3}"), 1..6),
    ) {
        let mut text = text;
        for (at, piece) in &edits {
            let mut at = at.index(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let end = (at..=text.len()).skip(1).find(|end| text.is_char_boundary(*end)).unwrap_or(at);
            text.replace_range(at..end, piece);
        }
        let formatted = format(&text);
        match crate::policy::compile(Path::new("p.toml"), text.clone().into_bytes(), true) {
            Ok(before) => {
                let formatted = formatted.map_err(|error| error.message).expect("what compiles can be formatted");
                let after = crate::policy::compile(Path::new("p.toml"), formatted.clone().into_bytes(), true);
                prop_assert!(after.is_ok_and(|after| after.bytes == before.bytes), "{}\n=>\n{}", text, formatted);
                for finding in lint::lint(&before) {
                    before.sources.warning(finding.at, finding.code.name(), &finding.message, None);
                }
                prop_assert!(lint::mend(Path::new("p.toml"), text.into_bytes()).is_ok());
            }
            Err(Trouble::Source(sources, error)) => {
                prop_assert!(sources.line(error.at) >= 1 && sources.column(error.at) >= 1);
                let driven = sources.point(&error).contains('\u{1b}');
                prop_assert!(!driven);
            }
            Err(Trouble::Failure(_)) => {}
        }
    }

    #[test]
    fn mending_changes_no_decision(text in any_text()) {
        let before = compile(&text);
        let (mended, count) = mend(&text);
        let after = compile(&mended);
        prop_assert_eq!(answers(&before.bytes), answers(&after.bytes), "{}\n=>\n{}", text, mended);
        prop_assert_eq!(before.source.mode, after.source.mode);
        prop_assert_eq!(before.source.deadman, after.source.deadman);
        // What could be mended is.
        prop_assert_eq!(mend(&mended).1, 0, "{}", mended);
        let left: Vec<_> = lint::lint(&after).into_iter().filter(lint::Finding::mendable).collect();
        prop_assert!(left.is_empty(), "{:?} of\n{}", left, mended);
        prop_assert!(count > 0 || mended == text);
    }

    #[test]
    fn formatting_is_stable_and_keeps_meaning_and_comments(text in any_text()) {
        let Ok(formatted) = format(&text) else { panic!("{text}") };
        prop_assert_eq!(&format(&formatted).expect("good"), &formatted, "twice is once");
        prop_assert_eq!(compile(&text).bytes, compile(&formatted).bytes);
        prop_assert_eq!(comments(&text), comments(&formatted), "{}\n=>\n{}", text, formatted);
    }

    #[test]
    fn folded_decisions_are_the_devices(old in any_text(), new in any_text()) {
        let (old, new) = (compile(&old).bytes, compile(&new).bytes);
        let (a, b) = (Decisions::of(Policy::decode(&old).expect("good")), Decisions::of(Policy::decode(&new).expect("good")));
        let mut folded = Vec::new();
        for workload in ["a", "aa", "b", "c"] {
            for (thing, access) in questions() {
                let answer = a.one(a.policy.match_workload(workload.as_bytes()), &thing, access.operation());
                folded.push((answer.verdict.name().to_owned(), answer.rule.map(str::to_owned)));
            }
        }
        prop_assert_eq!(folded, answers(&old));
        // And the difference of two is empty exactly when they answer alike.
        let changes = diff::changes(&a, &b);
        let same = answers(&old) == answers(&new);
        prop_assert_eq!(changes.is_empty(), same, "{:?} of {:?}", changes, classes(&a.policy, &b.policy));
    }
}
