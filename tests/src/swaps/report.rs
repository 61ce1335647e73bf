//! What a long run found, as a page for `docs/evidence/`.

use std::fmt::Write as _;

use super::{FILES, GATE_MS, RULES, Said, Swap, TARGET_MS, quantile};
use crate::kills::report::made;

/// A column: which time of a swap.
type Time = (&'static str, fn(&Swap) -> f64);

const TIMES: [Time; 3] = [
    ("the command", |swap| swap.command),
    ("decision to flip", |swap| swap.flip),
    ("decision to proof", |swap| swap.proof),
];

/// A line for each kind and time: how many, the median, 99 of 100, the longest.
pub fn lines(said: &Said) -> Vec<String> {
    let mut lines = Vec::new();
    for (kind, swaps) in &said.swaps {
        for (name, of) in TIMES {
            let at = |percent| quantile(swaps.iter().map(of), percent);
            lines.push(format!(
                "| {kind}: {name} | {} | {:.1} | {:.1} | {:.1} |",
                swaps.len(),
                at(50),
                at(99),
                at(100)
            ));
        }
    }
    lines
}

/// The page.
pub fn page(race: &Said, rollbacks: &Said) -> String {
    let mut text = format!(
        "# Swaps\n\nWritten by `make swaps`, on {}. Times are milliseconds in the guest, which QEMU emulates in software: a \
         machine of its own is many times faster.\n\nWhat is done: `tests/suite/src/bin/swap.rs`; what must hold: `tests/src/swaps/`.\n\n",
        made()
    );
    let table = "| | swaps | p50 | p99 | longest |\n|---|---|---|---|---|\n";
    let _ = write!(
        text,
        "## Leaks\n\n{} swaps while four readers read, one of them without a pause, and {} changes of two of their names. A third of the swaps was to \
         a policy that was never in force before (`fill`: its maps are written), a third back, a third forth again (a flip).\n\n\
         | reader | leaked | read | denied |\n|---|---|---|---|\n",
        race.count(),
        race.flips
    );
    for (name, reads) in &race.reads {
        let _ = writeln!(text, "| {name} | {} | {} | {} |", reads.leaked, reads.read, reads.denied);
    }
    let _ = write!(text, "\n{table}{}\n", lines(race).join("\n"));
    let good = rollbacks.of("rollback").len();
    let verdict = |p99: f64| {
        if p99 <= TARGET_MS {
            "the target is met"
        } else if p99 <= GATE_MS {
            "the target is missed, the gate is met"
        } else {
            "both are MISSED"
        }
    };
    let against: Vec<String> = TIMES
        .iter()
        .map(|(name, of)| {
            let p99 = quantile(rollbacks.of("rollback").iter().map(of), 99);
            format!("- {name}: {p99:.1} ms; {}", verdict(p99))
        })
        .collect();
    let _ = write!(
        text,
        "\n## Rollback\n\n{good} of {good} rollbacks between two policies of {RULES} rules, {FILES} of whose files were there. After each, and after each \
         way forth, the status named the policy, what only it denies was denied, and what only the other denies was not.\n\n{table}{}\n\n\
         99 of 100 rollbacks, under emulation; target {TARGET_MS} ms, gate {GATE_MS} ms:\n\n{}\n",
        lines(rollbacks).join("\n"),
        against.join("\n")
    );
    text
}
