//! The edge-case suite, seen from the host: boots it, and joins what the acts came to with what the export says of them.

mod expected;
mod judge;
mod matrix;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use aegis_qemu::Kernel;
use aegis_suite::{Scenario, groups};

use crate::bench::{Bench, arch, root};
use crate::evidence::Evidence;

pub use expected::skips;
use judge::judge;
pub use judge::{Line, Outcome};
pub use matrix::{Table, write_table};

/// What the program runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// A new device: no file of the policy's is there, rules know names.
    Fresh,
    /// The same device again: rules are on the objects too.
    Again,
    /// Without self-protection: the agent can be stopped.
    Plain,
    /// A policy without rules: nothing may look as if there were any.
    Absent,
}

impl Boot {
    /// Its name in tables and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Again => "again",
            Self::Plain => "plain",
            Self::Absent => "absent",
        }
    }

    /// True when the program runs this scenario in it.
    pub fn runs(self, scenario: &Scenario) -> bool {
        match self {
            Self::Fresh | Self::Again => scenario.boot == aegis_suite::Boot::Main,
            Self::Plain => scenario.boot == aegis_suite::Boot::Plain,
            Self::Absent => true,
        }
    }

    /// What the file `boot` beside the program says.
    const fn word(self) -> &'static str {
        match self {
            Self::Fresh | Self::Again => "main",
            Self::Plain => "plain",
            Self::Absent => "absent",
        }
    }
}

/// The static program, built for the guest once per test program.
///
/// # Panics
/// When it does not build.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = &arch().target();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--release", "--package", "aegis-suite", "--target", target]);
        command.current_dir(root()).env_remove("CARGO_TARGET_DIR");
        Bench::good(command);
        root().join("target").join(target).join("release/aegis-suite")
    })
}

/// The policy of this boot.
fn policy(kernel: &str, boot: Boot) -> String {
    let mut whole = include_str!("../../suite/policy.toml").to_owned();
    if !expected::measures(kernel) {
        let rules: Vec<&str> = whole.split("[[rule]]").filter(|rule| !rule.contains("hashes = ")).collect();
        whole = rules.join("[[rule]]");
    }
    let unguarded =
        |text: &str| text.replacen("mode = \"enforce\"", "mode = \"enforce\"\nself-protection = false", 1);
    match boot {
        Boot::Fresh | Boot::Again => whole,
        Boot::Plain => unguarded(&whole),
        Boot::Absent => {
            let head = whole.split("[[rule]]").next().unwrap_or_default();
            unguarded(head)
        }
    }
}

/// One boot of the suite: a line for each scenario, and the evidence.
pub struct Suite {
    /// What it ran under.
    pub boot: Boot,
    /// The kernel's name.
    kernel: String,
    /// Scenario and line, in the table's order.
    pub lines: Vec<(Scenario, Line)>,
    /// What the device says of it.
    pub evidence: Evidence,
}

impl Suite {
    /// Boots `kernel` with the suite. `state` keeps the device; a boot `again` needs the one that a fresh one left.
    ///
    /// # Panics
    /// When the guest did not come to its end, or a scenario said nothing.
    pub fn run(bench: &Bench, kernel: &Kernel, boot: Boot, state: &Path) -> Self {
        let folder = bench.at(boot.name()).join("suite");
        fs::create_dir_all(&folder).expect("a folder for the workload");
        for name in ["run", "prepare"] {
            fs::copy(program(), folder.join(name)).expect("the program is there");
        }
        // AEGIS_SUITE="race-symlink handle": these scenarios and groups only, to look at one.
        let only = std::env::var("AEGIS_SUITE").unwrap_or_default();
        fs::write(folder.join("boot"), format!("{} {only}\n", boot.word())).expect("written");
        let source = bench.config(&format!("{}.toml", boot.name()), &policy(&kernel.to_string(), boot));
        let machine = bench.machine().kernel(kernel.clone()).workload(folder).policy(source).state(state);
        let evidence = Bench::run(machine);
        let console = || fs::read_to_string(evidence.console()).unwrap_or_default();
        assert_eq!(evidence.exit, Some(0), "{}\n{}", evidence.err_text(), console());
        let lines: Vec<Line> = evidence
            .out_text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        let of = |scenario: &Scenario| lines.iter().find(|line| line.scenario == scenario.id).cloned();
        let wanted = groups::all().into_iter().filter(|scenario| boot.runs(scenario));
        let lines = wanted
            .filter_map(|scenario| match of(&scenario) {
                Some(line) => Some((scenario, line)),
                None if !only.trim().is_empty() => None,
                None => panic!("{} was not run:\n{}", scenario.id, console()),
            })
            .collect();
        Self { boot, kernel: kernel.to_string(), lines, evidence }
    }

    /// What each scenario came to.
    pub fn outcomes(&self) -> Vec<(Scenario, Outcome)> {
        self.lines.iter().map(|(scenario, line)| (*scenario, self.judge(scenario, line))).collect()
    }

    /// Judges one.
    pub fn judge(&self, scenario: &Scenario, line: &Line) -> Outcome {
        if let Some(why) = expected::undecided(&self.kernel, self.boot, scenario) {
            return Outcome::Skipped(why.to_owned());
        }
        judge(scenario, line, self.boot, &self.evidence.events)
    }

    /// Of a boot without rules: what holds there all the same, and so proves nothing, and what does not pass there.
    pub fn needless(&self) -> Vec<String> {
        let skipped = skips(&self.kernel, Boot::Again);
        let mut found = Vec::new();
        for (scenario, line) in &self.lines {
            match self.judge(scenario, line) {
                Outcome::Failed(_) => {}
                Outcome::Skipped(_) if skipped.contains(&scenario.id) => continue,
                outcome => found.push(format!("{}: needs no rule: {outcome:?}", scenario.id)),
            }
            if line.result != "pass" {
                found.push(format!("{}: does not pass without one: {}", scenario.id, line.result));
            }
        }
        found
    }

    /// The scenarios that failed, a line each.
    pub fn failures(&self) -> Vec<String> {
        let failed = self.outcomes().into_iter().filter_map(|(scenario, outcome)| match outcome {
            Outcome::Failed(why) => Some(format!("{} ({}): {why}", scenario.id, scenario.group)),
            Outcome::Passed | Outcome::Skipped(_) => None,
        });
        failed.collect()
    }
}
