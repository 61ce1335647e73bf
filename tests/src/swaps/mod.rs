//! Swaps of the policy under tight readers, and rollbacks one by one: what the guest does, and what of it must hold.
//!
//! The guest's part is `tests/suite/src/bin/swap.rs`. Short in `make test` (`tests/e2e/swap.rs`), long by `make swaps`.

pub mod report;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aegis_qemu::Machine;

use crate::bench::{Bench, said};
use crate::evidence::Evidence;
use crate::suite;

/// Rules of each policy that is rolled back and forth.
pub const RULES: usize = 10_000;
/// So many of their files are there.
pub const FILES: usize = 1_000;
/// Every command of a rollback is over by then, ms: the roadmap's gate. The target is [`TARGET_MS`].
pub const GATE_MS: f64 = 5_000.0;
/// What a rollback shall take, 99 of 100, ms.
pub const TARGET_MS: f64 = 100.0;
/// Longer than any long run under emulation.
const PATIENCE: Duration = Duration::from_hours(6);

/// Makes what is read; then changes some of it again and again, beside the workload.
pub const PREPARE: &str = "
cd /scratch
for name in secret held; do echo secret >$name; done
echo free >free
ln -s free link
: >only-a
: >only-b
/workload/swap flip &
";

/// A policy source called `swap-LETTER`: it denies what [`PREPARE`] makes, and as many files more. The rule of the first comes
/// first in one and last in the other, so that an entry of one set names no rule of the other's.
///
/// # Panics
/// When it can't be written.
pub fn policy(bench: &Bench, letter: char, files: usize) -> PathBuf {
    // Of the tight readers' events, and of what flips files beside them, few: the agent keeps up, and the ring holds all.
    let mut text = format!(
        "schema = 1\nname = \"swap-{letter}\"\nmode = \"enforce\"\nself-protection = false\n\n\
         [[workload]]\nname = \"demo\"\nrate = 20\n\n\
         [[workload]]\nname = \"*\"\nrate = 20\n"
    );
    let rule = |name: &str, paths: &str| {
        format!(
            "\n[[rule]]\nname = \"{name}\"\nworkloads = [\"demo\"]\naction = \"deny\"\noperations = [\"open\"]\npaths = [{paths}]\n"
        )
    };
    let first = rule(&format!("{letter}-secret"), "\"/scratch/secret\", \"/scratch/held\"")
        + &rule(&format!("{letter}-only"), &format!("\"/scratch/only-{letter}\""));
    let mut rest = String::new();
    for number in 0..files {
        rest += &rule(&format!("{letter}{number:05}"), &format!("\"/scratch/r/{number:05}\""));
    }
    let [one, other] = if letter == 'a' { [&first, &rest] } else { [&rest, &first] };
    let _ = write!(text, "{one}{other}");
    let path = bench.at(&format!("swap-{letter}.toml"));
    fs::write(&path, text).expect("the policy is written");
    path
}

/// The workload `demo`: `aegis-swap` as `swap`, [`PREPARE`] and what comes before it, and this script.
///
/// # Panics
/// When it can't be written.
pub fn workload(bench: &Bench, before: &str, script: &str) -> PathBuf {
    let folder = bench.workload("demo", script);
    bench.script("demo/prepare", &format!("{before}\n{PREPARE}"));
    fs::copy(suite::program().with_file_name("aegis-swap"), folder.join("swap")).expect("it was built");
    folder
}

/// What a reader came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// It read what it may not.
    pub leaked: u64,
    /// It read something else.
    pub read: u64,
    /// `EPERM`.
    pub denied: u64,
    /// Another error.
    pub other: u64,
}

/// One swap: times in the guest, ms.
#[derive(Clone, Copy, Debug)]
pub struct Swap {
    /// The command, from its start to its end.
    pub command: f64,
    /// From the decision to the flip.
    pub flip: f64,
    /// From the decision to the end of the self-test.
    pub proof: f64,
}

/// What `aegis-swap` said.
#[derive(Debug, Default)]
pub struct Said {
    /// By reader.
    pub reads: BTreeMap<String, Reads>,
    /// How often the files changed under the readers.
    pub flips: u64,
    /// By kind (`fill`, `rollback`, `apply`), in order.
    pub swaps: BTreeMap<String, Vec<Swap>>,
    /// The words themselves.
    pub text: String,
}

impl Said {
    /// Reads its lines.
    ///
    /// # Panics
    /// When a line is none of its own.
    pub fn read(text: &str) -> Self {
        let mut said = Self { text: text.to_owned(), ..Self::default() };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap_or_default();
            let fields: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
            let number = |field: &str| -> f64 {
                fields
                    .get(field)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or_else(|| panic!("{field}: {line}"))
            };
            let count = |field: &str| -> u64 {
                fields
                    .get(field)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or_else(|| panic!("{field}: {line}"))
            };
            match name {
                "flips" => said.flips += count("count"),
                "secret" | "held" | "link" | "free" => {
                    let reads = said.reads.entry(name.to_owned()).or_default();
                    reads.leaked += count("leaked");
                    reads.read += count("read");
                    reads.denied += count("denied");
                    reads.other += count("other");
                }
                "fill" | "rollback" | "apply" => {
                    let swap =
                        Swap { command: number("command"), flip: number("flip"), proof: number("proof") };
                    said.swaps.entry(name.to_owned()).or_default().push(swap);
                }
                _ => {}
            }
        }
        said
    }

    /// The swaps of this kind.
    pub fn of(&self, kind: &str) -> &[Swap] {
        self.swaps.get(kind).map_or(&[], Vec::as_slice)
    }

    /// All of them.
    pub fn count(&self) -> usize {
        self.swaps.values().map(Vec::len).sum()
    }

    /// Nothing leaked, every reader was at it, and what is free could be read all the time.
    ///
    /// # Panics
    /// When not.
    pub fn holds(&self, least: u64) {
        let of = |name: &str| self.reads.get(name).copied().unwrap_or_default();
        for name in ["secret", "held"] {
            let reads = of(name);
            assert_eq!((reads.leaked, reads.read), (0, 0), "{name}: {self:?}");
            assert!(reads.denied >= least, "{name}: {self:?}");
        }
        let (link, free) = (of("link"), of("free"));
        assert_eq!(link.leaked, 0, "link: {self:?}");
        assert!(link.read > 0 && link.denied > 0, "link: {self:?}");
        assert_eq!((free.leaked, free.denied, free.other), (0, 0, 0), "free: {self:?}");
        assert!(free.read >= least, "free: {self:?}");
        assert!(self.flips >= 200, "flips: {self:?}");
    }
}

/// The commit of this checkout, `-changed` when it is not all of it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| said("git", arguments);
    let changed =
        if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { "-changed" };
    format!("{}{changed}", git(&["rev-parse", "--short=12", "HEAD"]))
}

/// The value that so many of a hundred do not exceed.
pub fn quantile(values: impl Iterator<Item = f64>, percent: usize) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last * percent).div_ceil(100)).copied().unwrap_or(0.0)
}

fn run_to_end(machine: Machine) -> (Said, Evidence) {
    let run = Bench::run(machine.timeout(PATIENCE));
    let said = run.out_text();
    assert_eq!(run.exit, Some(0), "{said}{}", run.err_text());
    (Said::read(&said), run)
}

/// Swaps under readers: rounds of three, each with a policy that was never in force before.
///
/// # Panics
/// When something leaked, or a swap failed.
pub fn race(bench: &Bench, rounds: usize) -> Said {
    let older = policy(bench, 'a', 0);
    let newer = policy(bench, 'b', 50);
    let folder = workload(bench, "", &format!("exec /workload/swap race {rounds}"));
    for round in 0..rounds {
        bench.bundle(&format!("demo/b{round}.aegis"), &newer, 2 + round as u64);
    }
    let stick = bench.bundle("a.aegis", &older, 1);
    let (said, run) = run_to_end(bench.machine().bundle(stick).workload(folder));
    assert_eq!(said.count(), 3 * rounds, "{said:?}");
    said.holds(1_000);
    // Each decision is one policy's: its rule, and its sequence.
    let denied = run.with(&[("kind", "open".into()), ("verdict", "denied".into())]);
    let mut seen = [0, 0];
    for event in denied.iter().filter(|event| event["workload"] == "demo") {
        let newer = event["policy"].as_u64().is_some_and(|sequence| sequence > 1);
        let rule = if newer { "b-secret" } else { "a-secret" };
        assert_eq!(event["rule"], rule, "{event}");
        seen[usize::from(newer)] += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?} denials of the older and the newer");
    run.lost();
    said
}

/// Rollbacks to a policy of [`RULES`] rules and back to another of as many, each held against what is denied then.
///
/// # Panics
/// When one failed.
pub fn rollbacks(bench: &Bench, count: usize) -> Said {
    let [first, older, newer] =
        [('z', 0), ('a', RULES), ('b', RULES)].map(|(letter, rules)| policy(bench, letter, rules));
    let files = format!(
        "mkdir /scratch/r; i=10000; while [ $i -lt {} ]; do : >/scratch/r/0${{i#1}}; i=$((i + 1)); done",
        10_000 + FILES
    );
    let folder = workload(bench, &files, &format!("exec /workload/swap rollback {count}"));
    bench.bundle("demo/a.aegis", &older, 2);
    bench.bundle("demo/b.aegis", &newer, 3);
    let stick = bench.bundle("z.aegis", &first, 1);
    let (said, run) = run_to_end(bench.machine().bundle(stick).workload(folder));
    assert_eq!([said.of("rollback").len(), said.of("apply").len(), said.of("fill").len()], [count, count, 2]);
    let codes = |code: &str| run.with(&[("kind", "policy".into()), ("code", code.into())]).len();
    assert_eq!(codes("rolled-back"), count);
    assert_eq!(run.number("/policy/sequence"), 3);
    assert_eq!(run.number("/policy/rules"), RULES as u64 + 2);
    assert_eq!(run.mode(), Some("enforcing"));
    run.lost();
    said
}
