//! The table: kernel × group of scenarios. `make kernels` writes it to `docs/evidence/kernels.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use aegis_suite::groups;

use super::{Outcome, Suite};

/// Counts of one kernel: by group, passed, skipped, failed; what else was held there, and what failed.
#[derive(Default)]
pub struct Table {
    groups: BTreeMap<&'static str, [usize; 3]>,
    others: BTreeMap<&'static str, String>,
    notes: Vec<String>,
}

impl Table {
    /// Adds a boot.
    pub fn add(&mut self, suite: &Suite) {
        for (scenario, outcome) in suite.outcomes() {
            let counts = self.groups.entry(scenario.group).or_default();
            match outcome {
                Outcome::Passed => counts[0] += 1,
                Outcome::Skipped(_) => counts[1] += 1,
                Outcome::Failed(why) => {
                    counts[2] += 1;
                    self.notes.push(format!("{}, {}: {why}", suite.boot.name(), scenario.id));
                }
            }
        }
    }

    /// Adds something else that was held: how it went, and what failed of it.
    pub fn add_other(&mut self, name: &'static str, went: String, failed: Vec<String>) {
        let went = if failed.is_empty() { went } else { format!("{went} **{} failed**", failed.len()) };
        self.others.insert(name, went);
        self.notes.extend(failed.into_iter().map(|why| format!("{name}: {why}")));
    }

    fn sum(&self) -> [usize; 3] {
        self.groups.values().fold([0; 3], |sum, counts| std::array::from_fn(|at| sum[at] + counts[at]))
    }

    /// True when nothing failed.
    pub fn is_good(&self) -> bool {
        self.notes.is_empty()
    }
}

fn cell([passed, skipped, failed]: [usize; 3]) -> String {
    match (passed, skipped, failed) {
        (0, 0, 0) => "-".to_owned(),
        (passed, 0, 0) => passed.to_string(),
        (passed, skipped, 0) => format!("{passed} ({skipped})"),
        (passed, skipped, failed) => format!("{passed} ({skipped}) **{failed} failed**"),
    }
}

/// The table in Markdown.
///
/// # Errors
/// When it can't be written.
pub fn write_table(path: &Path, about: &str, kernels: &[(String, Table)]) -> std::io::Result<()> {
    let mut text = String::from("# The edge-case suite on every kernel\n\nWritten by `make kernels`. ");
    let _ = writeln!(
        text,
        "{about}\n\nA cell: scenarios passed over the boots `fresh`, `again` and `plain`, in brackets those skipped. What is skipped\nwhere is held by `tests/src/suite/expected.rs`.\n"
    );
    let names: Vec<&str> = kernels.iter().map(|(name, _)| name.as_str()).collect();
    let _ = writeln!(text, "| group | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    let mut seen = Vec::new();
    for scenario in groups::all() {
        if seen.contains(&scenario.group) {
            continue;
        }
        seen.push(scenario.group);
        let cells: Vec<String> = kernels
            .iter()
            .map(|(_, table)| cell(table.groups.get(scenario.group).copied().unwrap_or_default()))
            .collect();
        let _ = writeln!(text, "| {} | {} |", scenario.group, cells.join(" | "));
    }
    let sums: Vec<String> = kernels.iter().map(|(_, table)| cell(table.sum())).collect();
    let _ = writeln!(text, "| **all** | {} |", sums.join(" | "));
    let others: BTreeSet<&str> = kernels.iter().flat_map(|(_, table)| table.others.keys().copied()).collect();
    for name in others {
        let cells: Vec<&str> =
            kernels.iter().map(|(_, table)| table.others.get(name).map_or("-", String::as_str)).collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    for (name, table) in kernels.iter().filter(|(_, table)| !table.notes.is_empty()) {
        let _ = writeln!(text, "\n## Failed on {name}\n");
        for note in &table.notes {
            let _ = writeln!(text, "- {note}");
        }
    }
    std::fs::write(path, text)
}
