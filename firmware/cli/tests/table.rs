//! The table is one that a parser and a reader can rely on.
#![allow(clippy::expect_used, reason = "a test ends at its first surprise")]

use std::collections::BTreeSet;

use aegis_cli::{COMMANDS, EXAMPLES, GROUPS, Help, Takes, find, group, of_group};

#[test]
fn every_name_stands_once_and_leads_to_its_command() {
    let mut names = BTreeSet::new();
    for command in COMMANDS {
        assert!(names.insert(command.name), "{} stands twice", command.name);
        let (group_word, word) = command.words();
        assert_eq!(find(group_word, word).map(|found| found.name), Some(command.name));
        assert!(group_word.is_none_or(|name| group(name).is_some()), "{}: no such group", command.name);
        let flags: BTreeSet<_> = command.flags.iter().map(|flag| flag.name).collect();
        assert_eq!(flags.len(), command.flags.len(), "{}: a flag twice", command.name);
        assert!(!flags.contains("help"), "{}", command.name);
        for flag in command.flags {
            assert_eq!(
                command.flag(flag.name).map(|found| found.about),
                Some(flag.about),
                "{}",
                command.name
            );
        }
        assert!(command.flag("help").is_none(), "{}", command.name);
        // Who reads from left to right knows what a word is: what may be missing stands last.
        let required = command.operands.iter().map(|operand| operand.takes == Takes::Optional);
        assert!(required.is_sorted(), "{}", command.name);
    }
    for group in GROUPS {
        assert!(of_group(group.name).count() > 0, "{} is empty", group.name);
        assert!(find(None, group.name).is_none(), "{} is a command, too", group.name);
    }
}

#[test]
fn every_command_has_an_example_of_its_own() {
    for command in COMMANDS {
        assert!(!command.examples.is_empty(), "{}", command.name);
        for example in command.examples {
            assert!(example.starts_with(&format!("aegis {}", command.name)), "{example}");
        }
    }
    assert!(EXAMPLES.iter().all(|example| example.starts_with("aegis ")));
}

#[test]
fn help_says_all_of_it() {
    let all = Help::All.to_string();
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {} ", command.name)), "{}", command.name);
        let own = Help::One(command).to_string();
        for flag in command.flags {
            assert!(own.contains(&format!("--{}", flag.name)) && own.contains(flag.about), "{own}");
        }
        for text in
            command.operands.iter().map(|operand| operand.name).chain(command.examples.iter().copied())
        {
            assert!(own.contains(text), "{own}");
        }
        assert_eq!(own.matches("Exit:").count(), 1, "{own}");
    }
    for group in GROUPS {
        let own = Help::Group(group).to_string();
        assert!(of_group(group.name).all(|command| own.contains(command.about)), "{own}");
    }
    for text in [all, Help::One(find(None, "events").expect("it is there")).to_string()] {
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    }
}
