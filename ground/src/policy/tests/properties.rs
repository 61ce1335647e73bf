//! Properties, over policies in any writing: mending, formatting, folding.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use aegis_policy::{Operation, Policy};
use proptest::prelude::*;

use super::{TEMPLATE, compile};
use crate::policy::decisions::{Decisions, classes};
use crate::policy::format::format;
use crate::policy::{Trouble, diff, lint};

/// A policy as text, in any spacing and with comments, from a few names so that rules meet.
fn any_text() -> impl Strategy<Value = String> {
    let some = |names: &'static [&'static str], most: usize| {
        proptest::collection::vec(proptest::sample::select(names), 1..=most)
    };
    let rule = (
        proptest::option::of(some(&["a", "a*", "*"], 3)),
        proptest::sample::select(&["deny", "audit"][..]),
        some(&["open", "open-read", "open-write", "exec"], 3),
        some(&["/x", "/y", "/etc/z", "/", "/tmp/t"], 5),
        some(&["T1003", "t1003.008", "odd"], 2),
        0u8..64,
    );
    let mode = proptest::sample::select(&["enforce", "audit"][..]);
    (mode, proptest::collection::vec(rule, 0..8), 0u8..4).prop_map(|(mode, rules, style)| {
        let mut text = format!("# head\nschema = 1\nname=\"p\"\nmode = \"{mode}\" # mode\n");
        for name in ["a", "a*", "*", "b"] {
            let above = if style & 1 == 1 { "\n# w\n\n" } else { "" };
            let _ = writeln!(text, "{above}[[workload]]\nname = \"{name}\"");
        }
        for (number, (workloads, action, operations, paths, tags, style)) in rules.into_iter().enumerate() {
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
            let mut keys = vec![
                format!("name = \"r{number}\""),
                format!("action = \"{action}\" # act"),
                format!("operations = {}", list(&operations, 0)),
                format!("paths = {}", list(&paths, style & 3)),
                format!("# tags of {number}\ntags = {}", list(&tags, style >> 2 & 1)),
            ];
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

/// Every answer that a policy gives on what the texts above are about: verdict and rule.
fn answers(bytes: &[u8]) -> Vec<(String, Option<String>)> {
    let policy = Policy::decode(bytes).expect("compiled");
    let mut answers = Vec::new();
    for workload in ["a", "aa", "b", "c"] {
        let index = policy.match_workload(workload.as_bytes());
        for path in ["/x", "/y", "/etc/z", "/", "/tmp/t", "/other"] {
            for operation in Operation::ALL {
                // Not by what the code under test asks, but by what `explain` does.
                let decision = index.map(|index| policy.decide(index, path.as_bytes(), operation));
                let verdict = decision.as_ref().map_or("allowed", |decision| decision.verdict.name());
                let rule = decision.and_then(|decision| decision.rule).map(|rule| rule.name.to_owned());
                answers.push((verdict.to_owned(), rule));
            }
        }
    }
    answers
}

fn comments(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.find('#').map(|at| line[at..].trim())).collect()
}

proptest! {
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
        let Ok((mended, count)) = lint::mend(Path::new("p.toml"), text.clone().into_bytes()) else { panic!("{text}") };
        let after = compile(&mended);
        prop_assert_eq!(answers(&before.bytes), answers(&after.bytes), "{}\n=>\n{}", text, mended);
        prop_assert_eq!(before.source.mode, after.source.mode);
        // What could be mended is.
        let again = lint::mend(Path::new("p.toml"), mended.clone().into_bytes()).map_or(1, |again| again.1);
        prop_assert_eq!(again, 0, "{}", mended);
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
            for path in ["/x", "/y", "/etc/z", "/", "/tmp/t", "/other"] {
                for operation in Operation::ALL {
                    let answer = a.one(a.policy.match_workload(workload.as_bytes()), path.as_bytes(), operation);
                    folded.push((answer.verdict.name().to_owned(), answer.rule.map(str::to_owned)));
                }
            }
        }
        prop_assert_eq!(folded, answers(&old));
        // And the difference of two is empty exactly when they answer alike.
        let changes = diff::changes(&a, &b);
        let same = answers(&old) == answers(&new);
        prop_assert_eq!(changes.is_empty(), same, "{:?} of {:?}", changes, classes(&a.policy, &b.policy));
    }
}
