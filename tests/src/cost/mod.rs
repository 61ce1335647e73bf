//! What enforcement costs (`make bench`, docs/benchmarks.md): what the guest is given, and its two boots.
//!
//! The guest's part is `tests/suite/src/cost/`. Its lines are judged by [`said`], reckoned with by [`statistics`], and made a page of by
//! [`report`].

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts and nanoseconds of a boot are no less than 0 and far below 2^53"
)]

mod loads;
pub mod report;
pub mod said;
pub mod statistics;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aegis_suite::cost::{AUDIT, FOLDER, NONE, SECRET, STATES, WATCHED, WORKLOAD, ruled};

use crate::bench::Bench;
use crate::boots::{Boot, blocks_of};
use crate::suite;
use said::Block;

/// A boot may take so long: the long one takes a third of it on an idle machine.
const PATIENCE: Duration = Duration::from_hours(1);
/// The programs of the loads, and what they write, are in memory.
const MEMORY_MIB: u32 = 1024;
/// Calls of the commonest cases in a block, where they are timed and where they are counted.
pub const TIMED_CALLS: usize = 1_000;
/// See [`TIMED_CALLS`]: what is counted is the same each time, but for what the agent does beside it.
pub const COUNTED_CALLS: usize = 400;
/// Most paths of one rule, where there are many: a policy's source has 2 MiB at most.
const PATHS: usize = 16;
/// Prefixes of one rule.
const PREFIXES: usize = 64;

/// Kind and state of each block: what is counted ends with the most rules once more, while the kernel counts the probes' runs.
pub fn plan(boot: Boot) -> Vec<(&'static str, &'static str)> {
    boot.plan(&STATES.map(|state| ("measure", state)), ("hooks", STATES[STATES.len() - 1]))
}

const fn calls(boot: Boot) -> usize {
    match boot {
        Boot::Timed { .. } => TIMED_CALLS,
        Boot::Counted => COUNTED_CALLS,
    }
}

/// How many rules a state has.
pub fn rules(state: &str) -> usize {
    state.rsplit_once('-').and_then(|(_, count)| count.parse().ok()).unwrap_or(10)
}

/// The policy of a state. Of its rules, which are what fills the kernel's maps, one in sixteen is on addresses, and all others on
/// files. Of each kind one matches what is measured, another is a denial that is asked for, and the rest match nothing of it.
fn policy(state: &str) -> String {
    let rules = rules(state);
    let prefixes = (rules / 16).max(2);
    let files = rules - prefixes;
    let mode = if state == AUDIT { "audit" } else { "enforce" };
    let mut text =
        format!("schema = 1\nname = \"{state}\"\nmode = \"{mode}\"\n\n[[workload]]\nname = \"{WORKLOAD}\"\n");
    let mut rule = |name: &str, action: &str, operations: &str, on: &str| {
        let _ = write!(
            text,
            "\n[[rule]]\nname = \"{name}\"\nworkloads = [\"{WORKLOAD}\"]\naction = \"{action}\"\noperations = [{operations}]\n{on}\n"
        );
    };
    rule("no-secret", "deny", "\"open\"", &format!("paths = [\"{SECRET}\"]"));
    rule("watch", "audit", "\"open\"", &format!("paths = [\"{WATCHED}\"]"));
    // A tree, so that every open on this file system is looked up to its root.
    rule("no-tree", "deny", "\"open\", \"exec\"", &format!("trees = [\"{FOLDER}/tree\"]"));
    rule("watch-net", "audit", "\"connect\"", "addresses = [\"127.0.0.1\"]");
    rule("no-net", "deny", "\"connect\"", "addresses = [\"192.0.2.0/24\"]");
    let many = if rules > 1_000 { PATHS } else { 1 };
    let quoted = |texts: Vec<String>| format!("[{}]", texts.join(","));
    let paths: Vec<String> = (0..files - 3).map(|number| format!("\"{}\"", ruled(number))).collect();
    for (number, some) in paths.chunks(many).enumerate() {
        rule(&format!("f{number}"), "deny", "\"open\"", &format!("paths = {}", quoted(some.to_vec())));
    }
    let nets: Vec<String> =
        (0..prefixes - 2).map(|number| format!("\"10.{}.{}.0/24\"", number / 256, number % 256)).collect();
    for (number, some) in nets.chunks(PREFIXES).enumerate() {
        rule(&format!("n{number}"), "deny", "\"connect\"", &format!("addresses = {}", quoted(some.to_vec())));
    }
    text
}

/// The states whose policies the operator applies, in order: the largest is applied first, and gone back to between any two others
/// (`tests/suite/src/cost/operator.rs`).
fn applied(plan: &[(&str, &'static str)]) -> Vec<&'static str> {
    let largest = STATES[STATES.len() - 1];
    let (mut all, mut now) = (vec![largest], largest);
    for (_, state) in plan.iter().filter(|(_, state)| *state != NONE) {
        if *state != now && *state != largest {
            all.push(state);
        }
        now = state;
    }
    all
}

/// The workload's folder.
fn workload(bench: &Bench, boot: Boot) -> PathBuf {
    let folder = bench.at(WORKLOAD);
    let policies = folder.join("policies");
    fs::create_dir_all(&policies).expect("a folder for the policies");
    for name in ["run", "prepare", "cost", "noop"] {
        fs::copy(suite::program().with_file_name("aegis-cost"), folder.join(name)).expect("it was built");
    }
    fs::copy(suite::program().with_file_name("aegis-bare"), folder.join("stand-in")).expect("it was built");
    loads::make(&folder);
    let plan = plan(boot);
    let mut text = format!("calls {}\n", calls(boot));
    for (kind, state) in &plan {
        let _ = writeln!(text, "{kind} {state}");
    }
    fs::write(folder.join("plan"), text).expect("the plan is written");
    for state in &STATES[1..] {
        fs::write(bench.at(&format!("{state}.toml")), policy(state)).expect("the policy is written");
    }
    for (number, state) in (1u64..).zip(applied(&plan)) {
        let name = format!("{WORKLOAD}/policies/{number}-{state}.aegis");
        bench.bundle(&name, &bench.at(&format!("{state}.toml")), 1 + number);
    }
    folder
}

/// Where a boot's lines are kept, so that the page can be made again of them.
pub fn kept(boot: Boot) -> PathBuf {
    boot.kept("bench")
}

/// Boots, measures, keeps the lines.
///
/// # Errors
/// The guest did not come to its end: why, in one line.
pub fn measure(boot: Boot) -> Result<Vec<Block>, String> {
    let bench = Bench::new();
    let folder = workload(&bench, boot);
    let counted = boot == Boot::Counted;
    let machine =
        bench.machine().workload(folder).no_stick().memory_mib(MEMORY_MIB).timeout(PATIENCE).counted(counted);
    let (_slot, vm) = Bench::start(machine);
    let run = vm.finish().map_err(|error| error.to_string())?;
    let out = Bench::lines(&run, &kept(boot))
        .map_err(|error| format!("the boot that is {}: {error}", boot.name()))?;
    blocks_of(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_forth_and_back() {
        let plan = plan(Boot::Timed { rounds: 2 });
        assert_eq!(plan.len(), 20);
        let states: Vec<&str> = plan.iter().map(|(_, state)| *state).collect();
        assert_eq!(states[..5], STATES);
        let back: Vec<&str> = states[5..10].iter().rev().copied().collect();
        assert_eq!(back, STATES);
        assert_eq!(states[..10], states[10..]);
    }

    #[test]
    fn the_operator_applies_each_but_the_largest_anew() {
        let plan = plan(Boot::Timed { rounds: 2 });
        let expected = [
            "enforce-65536",
            "audit",
            "enforce-10",
            "enforce-1000",
            "enforce-1000",
            "enforce-10",
            "audit",
            // Between two rounds audit stays in force while there is no agent.
            "enforce-10",
            "enforce-1000",
            "enforce-1000",
            "enforce-10",
            "audit",
        ];
        assert_eq!(applied(&plan), expected);
    }

    #[test]
    fn each_policy_compiles_and_has_as_many_rules_as_it_says() {
        for state in &STATES[1..] {
            let text = policy(state);
            let lists = text.lines().filter_map(|line| {
                line.split_once("s = [").filter(|(key, _)| ["path", "tree", "addresse"].contains(key))
            });
            let on: usize = lists.map(|(_, list)| list.split(',').count()).sum();
            assert_eq!(on, rules(state), "{state}");
            assert!(text.len() < aegis_policy_source_bytes(), "{state}: {}", text.len());
        }
    }

    /// `firmware/policy/src/limits.rs`.
    const fn aegis_policy_source_bytes() -> usize {
        2 * 1024 * 1024
    }
}
