//! Holds `docs/degraded-modes.md` against [`HOOKS`]: every hook is there, with its programs in order and what needs it.
#![allow(clippy::expect_used, reason = "a test ends at its first surprise")]

use aegis_probes::{Condition, HOOKS, Hook};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/degraded-modes.md");

/// Names of the operations, by number (`aegis_policy::Operation`).
const OPERATIONS: [(u32, &str); 11] = [
    (0, "open-read"),
    (1, "open-write"),
    (2, "exec"),
    (3, "change"),
    (4, "connect (unix)"),
    (8, "connect"),
    (9, "bind"),
    (16, "ptrace"),
    (17, "module-load"),
    (18, "bpf"),
    (19, "mount"),
];

fn row(hook: &Hook) -> String {
    let programs: Vec<String> = hook
        .programs
        .iter()
        .map(|program| {
            let condition = match program.condition {
                Condition::Always => String::new(),
                Condition::With(name) => format!(" (with `{name}`)"),
                Condition::Without(name) => format!(" (without `{name}`)"),
            };
            format!("`{}` {}{condition}", program.name, program.attach.name())
        })
        .collect();
    let mut needed: Vec<&str> = OPERATIONS
        .iter()
        .filter(|(number, _)| hook.guards.operations & 1 << number != 0)
        .map(|(_, name)| *name)
        .collect();
    if hook.guards.self_protection {
        needed.push("self-protection");
    }
    let (needed, missing) = if hook.enforces() {
        let open = if hook.programs.iter().any(|program| !program.attach.denies()) {
            "watched, or not at all: not enforced, said"
        } else {
            "not enforced, said"
        };
        (needed.join(", "), open)
    } else {
        ("nothing".to_owned(), "its events are missing, said")
    };
    format!("| `{}` | {} | {needed} | {missing} |", hook.name, programs.join(", else "))
}

#[test]
fn the_table_of_hooks_is_the_hooks() {
    let document = std::fs::read_to_string(DOCUMENT).expect("docs/degraded-modes.md is there");
    let table = document.split("## Hook by hook\n").nth(1).expect("it has its table");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = HOOKS.iter().map(row).collect();
    assert_eq!(rows, expected, "the table is to be:\n{}", expected.join("\n"));
}

#[test]
fn every_hook_has_a_name_and_programs_of_its_own() {
    let mut names = std::collections::BTreeSet::new();
    let mut programs = std::collections::BTreeSet::new();
    for hook in HOOKS {
        assert!(names.insert(hook.name), "{} stands twice", hook.name);
        for program in hook.programs {
            assert!(programs.insert(program.name), "{} stands twice", program.name);
        }
        // What can deny is tried before what only watches.
        let denies: Vec<bool> = hook.programs.iter().map(|program| program.attach.denies()).collect();
        assert!(denies.is_sorted_by(|before, after| before >= after), "{}", hook.name);
    }
}
