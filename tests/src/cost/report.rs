//! What a run found, as a page for `docs/evidence/`.

use std::fmt::Write as _;

use aegis_suite::cost::{CALLS, LOADS, NONE, STATES};

use super::said::{Block, Counted, Times};
use super::statistics::{LEAST_ROUNDS, Ratio, Verdict};

/// What is read of times.
type Quantile = (&'static str, fn(&Times) -> u64);

const QUANTILES: [Quantile; 3] =
    [("p50", |times| times.p50), ("p95", |times| times.p95), ("p99", |times| times.p99)];
/// Most that a system call of a load may take more, 99 of 100 (the roadmap's goal).
const GOAL_LOADS: f64 = 1.03;
/// Most that open and close may take more with the most rules.
const GOAL_OPEN: f64 = 1.05;
/// Costs are flat in the number of rules when the most cost less than so much of what the fewest do.
const GOAL_FLAT: f64 = 1.05;
/// The states with the fewest and the most rules that deny.
const FEW: &str = STATES[2];
const MOST: &str = STATES[4];

/// The two boots, as they were said.
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    /// By time.
    pub timed: &'a [Block],
    /// By instructions.
    pub counted: &'a [Block],
}

/// A goal, and what came of it.
#[derive(Clone, Debug)]
pub struct Goal {
    what: String,
    found: String,
    verdict: Verdict,
}

/// What is void, a line each: then there are no figures.
pub fn voids(runs: Runs<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for (name, blocks) in [("timed", runs.timed), ("counted", runs.counted)] {
        for block in blocks {
            if let Some(why) = block.void() {
                all.push(format!("{name} block {} ({}): {why}", block.block, block.state));
            }
        }
        for state in STATES {
            if measured(blocks, state).next().is_none() {
                all.push(format!("{name}: {state} was not measured"));
            }
        }
    }
    all
}

/// The blocks of a state that are measured without the kernel's statistics.
fn measured<'a>(blocks: &'a [Block], state: &str) -> impl Iterator<Item = &'a Block> {
    blocks.iter().filter(move |block| block.kind == "measure" && block.state == state)
}

/// The ratio of one state to another, round by round: in each round the one block of each half by that of the other state in the
/// same half, and of both halves the geometric mean, in which what drifts evenly goes out.
fn ratio(blocks: &[Block], state: &str, to: &str, of: impl Fn(&Block) -> u64) -> Option<Ratio> {
    let halves: Vec<f64> = measured(blocks, state)
        .zip(measured(blocks, to))
        .map(|(one, other)| of(one) as f64 / of(other) as f64)
        .collect();
    let rounds: Vec<f64> =
        halves.chunks(2).map(|two| two.iter().product::<f64>().powf(1.0 / two.len() as f64)).collect();
    Ratio::of(&rounds)
}

/// The median of a figure over the blocks of a state.
fn median(blocks: &[Block], state: &str, of: impl Fn(&Block) -> u64) -> u64 {
    let mut all: Vec<u64> = measured(blocks, state).map(of).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}

/// A figure of a block.
type Figure<'a> = (String, Box<dyn Fn(&Block) -> u64 + 'a>);

fn calls() -> Vec<Figure<'static>> {
    let of = |(name, _): (&'static str, usize)| {
        QUANTILES.into_iter().map(move |(quantile, read)| -> Figure<'static> {
            (format!("{name} {quantile}"), Box::new(move |block| block.cases.get(name).map_or(0, read)))
        })
    };
    CALLS.into_iter().flat_map(of).collect()
}

fn loads() -> Vec<Figure<'static>> {
    let of = |name: &'static str| {
        let load = move |block: &Block| block.loads.get(name).copied().unwrap_or_default();
        let mut all: Vec<Figure<'static>> = vec![
            (format!("{name}: start to end"), Box::new(move |block| load(block).wall)),
            (format!("{name}: processor time"), Box::new(move |block| load(block).cpu)),
        ];
        for (quantile, read) in QUANTILES {
            all.push((
                format!("{name}: system calls {quantile}"),
                Box::new(move |block| read(&load(block).syscalls)),
            ));
        }
        all
    };
    LOADS.into_iter().flat_map(of).collect()
}

/// A table: what it is without an agent, and each state's ratio to that.
fn table(text: &mut String, unit: &str, blocks: &[Block], figures: &[Figure<'_>]) {
    let states = STATES[1..].join(" | ");
    let _ = write!(text, "| | {NONE}, {unit} | {states} |\n|---|---|---|---|---|---|\n");
    for (name, of) in figures {
        let _ = write!(text, "| {name} | {} |", grouped(median(blocks, NONE, of)));
        for state in &STATES[1..] {
            let cell = ratio(blocks, state, NONE, of).map_or("–".to_owned(), |ratio| ratio.to_string());
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text.push('\n');
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What the goals came to. By instructions there is one round, whose figure is what it is: it is judged as it stands.
pub fn goals(runs: Runs<'_>) -> Vec<Goal> {
    let mut all = Vec::new();
    let mut judge = |what: String, goal: f64, found: [Option<Ratio>; 2]| {
        let [time, count] = found;
        let by_time = time.map_or(Verdict::Missed, |ratio| ratio.is_below(goal));
        let by_count = count.is_some_and(|ratio| ratio.mean < goal);
        let said = |ratio: Option<Ratio>| ratio.map_or("–".to_owned(), |ratio| ratio.to_string());
        let verdict = if by_count { by_time } else { Verdict::Missed };
        all.push(Goal { what, found: format!("{}; instructions {}", said(time), said(count)), verdict });
    };
    let both = |state: &str, to: &str, of: &dyn Fn(&Block) -> u64| {
        [ratio(runs.timed, state, to, of), ratio(runs.counted, state, to, of)]
    };
    for load in LOADS {
        for state in &STATES[2..] {
            let p99 = |block: &Block| block.loads.get(load).map_or(0, |load| load.syscalls.p99);
            judge(
                format!("p99 of system calls, {load}, {state}: below {GOAL_LOADS}"),
                GOAL_LOADS,
                both(state, NONE, &p99),
            );
        }
    }
    for (name, read) in [QUANTILES[0], QUANTILES[2]] {
        let open = |block: &Block| block.cases.get("open").map_or(0, read);
        judge(
            format!("{name} of open and close, {MOST}: below {GOAL_OPEN}"),
            GOAL_OPEN,
            both(MOST, NONE, &open),
        );
    }
    for case in ["open", "open-watched", "connect", "exec"] {
        let p50 = |block: &Block| block.cases.get(case).map_or(0, |times| times.p50);
        judge(format!("p50 of {case}, {MOST} to {FEW}: below {GOAL_FLAT}"), GOAL_FLAT, both(MOST, FEW, &p50));
    }
    all
}

/// One line for each goal.
impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.what, self.found, self.verdict)
    }
}

/// How often each thing was counted in the blocks of a state.
fn proof(text: &mut String, name: &str, blocks: &[Block]) {
    for state in &STATES[1..] {
        let of: Vec<Counted> = measured(blocks, state).map(Block::counted).collect();
        let sum = |figure: fn(&Counted) -> f64| of.iter().map(figure).sum::<f64>();
        let [events, matched, unmatched, denied, lost, written] = [
            sum(|one| one.events),
            sum(|one| one.matched),
            sum(|one| one.unmatched),
            sum(|one| one.denied),
            sum(|one| one.lost),
            sum(|one| one.written),
        ]
        .map(|figure| grouped(figure as u64));
        let cpu = sum(|one| one.agent_cpu) / sum(|one| one.written).max(1.0) / 1000.0;
        let _ = writeln!(
            text,
            "| {name}, {state} | {} | {events} | {matched} | {unmatched} | {denied} | {lost} | {written} | {cpu:.1} |",
            of.len()
        );
    }
}

/// What a run of each hook's program takes, where the kernel counts.
fn hooks(text: &mut String, blocks: &[Block]) {
    let block = blocks.iter().find(|block| block.kind == "hooks" && block.state == MOST);
    let mut all: Vec<(String, [f64; 2])> = block.map(Block::hooks).unwrap_or_default().into_iter().collect();
    all.sort_by(|(_, one), (_, other)| (other[0] * other[1]).total_cmp(&(one[0] * one[1])));
    let _ = write!(text, "| hook, {MOST} | runs | instructions each |\n|---|---|---|\n");
    for (name, [runs, each]) in all {
        let _ = writeln!(text, "| {name} | {} | {} |", grouped(runs as u64), grouped(each.round() as u64));
    }
    text.push('\n');
}

/// The page. `made`: date, commit and machine.
pub fn page(runs: Runs<'_>, made: &str) -> String {
    let rounds = measured(runs.timed, NONE).count() / 2;
    let mut text = format!(
        "# What enforcement costs\n\nWritten by `make bench`, on {made}. How it is measured, and what makes a figure void: \
         [benchmarks.md](../benchmarks.md). Absolute times are those of software emulation on a shared machine: noise. What counts are \
         ratios, and instructions.\n\n"
    );
    let interval = if rounds < LEAST_ROUNDS {
        "too few for intervals, so no goal is met by time"
    } else {
        "intervals are 95 of 100, by drawing the rounds again"
    };
    let _ = write!(
        text,
        "{rounds} rounds; {interval}. No block was void.\n\n## Goals\n\n| goal | found | |\n|---|---|---|\n"
    );
    for goal in goals(runs) {
        let _ = writeln!(text, "| {} | {} | {} |", goal.what, goal.found, goal.verdict);
    }
    text.push_str("\n## Single calls, by time: ratio to no agent\n\n");
    table(&mut text, "ns", runs.timed, &calls());
    text.push_str("## Single calls, by instructions\n\n");
    table(&mut text, "instructions", runs.counted, &calls());
    text.push_str("## Loads, by time\n\n");
    table(&mut text, "ns", runs.timed, &loads());
    text.push_str("## Loads, by instructions\n\n");
    table(&mut text, "instructions", runs.counted, &loads());
    text.push_str(
        "## Proof that it was at work\n\nEvents of the workload as the kernel counted them; decisions by a rule and by none, of all that came to \
         the ring; the agent's processor time for an event that it wrote, microseconds (where instructions are counted, thousands of them).\n\n\
         | | blocks | events | by a rule | by none | denied | lost | written | agent, each |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    proof(&mut text, "timed", runs.timed);
    proof(&mut text, "counted", runs.counted);
    text.push_str(
        "\n## The probes\n\nInstructions of one run of each hook's program (`kernel.bpf_stats_enabled`, the kernel's own counting included), what costs most in \
         all first. What the verifier goes through for each, and its budget: `tests/e2e/verified.txt`.\n\n",
    );
    hooks(&mut text, runs.counted);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::said::block_of;

    /// Blocks of a round each, of which every time of a state is this.
    fn rounds(times: [u64; 5], rounds: usize) -> Vec<Block> {
        let forth = STATES.into_iter().zip(times);
        let all = (0..rounds).flat_map(|_| forth.clone().chain(forth.clone().rev()));
        all.enumerate()
            .map(|(number, (state, time))| {
                let mut block = block_of(state, time);
                block.block = number;
                block
            })
            .collect()
    }

    #[test]
    fn ratios_are_to_the_block_of_the_same_half() {
        let mut blocks = rounds([1000, 1100, 1200, 1200, 1300], 3);
        // All of it is twice as slow in the second half of each round.
        for block in blocks.iter_mut().filter(|block| block.block / 5 % 2 == 1) {
            block.cases.values_mut().for_each(|times| times.p50 *= 2);
        }
        let open = |block: &Block| block.cases["open"].p50;
        let found = ratio(&blocks, STATES[1], NONE, open).expect("three rounds");
        assert!((found.mean - 1.1).abs() < 1e-9, "{found}");
        assert_eq!(median(&blocks, NONE, open), 2000);
    }

    #[test]
    fn goals_are_met_by_time_and_by_instructions_or_missed() {
        let good = rounds([1000, 1010, 1010, 1010, 1010], 3);
        let bad = rounds([1000, 1010, 1010, 1010, 1100], 3);
        let missed = |timed: &[Block], counted: &[Block]| {
            goals(Runs { timed, counted }).iter().filter(|goal| goal.verdict == Verdict::Missed).count()
        };
        assert_eq!(missed(&good, &good[..5]), 0);
        // Four loads, two quantiles of open, and four cases that are not flat.
        assert_eq!([missed(&bad, &good[..5]), missed(&good, &bad[..5])], [10, 10]);
        let two = rounds([1000; 5], 2);
        assert_eq!(missed(&two, &good[..5]), goals(Runs { timed: &two, counted: &good[..5] }).len());
    }

    #[test]
    fn a_page_has_every_figure_and_a_void_block_none() {
        let (timed, counted) = (rounds([1000, 1010, 1010, 1010, 1010], 3), rounds([1000; 5], 1));
        let runs = Runs { timed: &timed, counted: &counted };
        assert_eq!(voids(runs), Vec::<String>::new());
        let page = page(runs, "a day");
        for wanted in
            ["| open p99 | 1,000 | 1.01 (1.01 to 1.01) |", "| tar: system calls p99 |", "3 rounds; intervals"]
        {
            assert!(page.contains(wanted), "{wanted}:\n{page}");
        }
        let runs = Runs { timed: &timed[..4], counted: &counted };
        assert_eq!(voids(runs), ["timed: enforce-65536 was not measured"]);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
