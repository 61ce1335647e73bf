//! What the sides came to, as a page for `docs/evidence/`.

use std::fmt::Write as _;
use std::fs;

use aegis_qemu::Kernel;
use aegis_suite::cost::NONE;
use aegis_suite::peers::{AEGIS, KINDS, PARTS};

use super::said::Block;
use super::{Peer, sides};
use crate::bench;
use crate::cost::statistics::{LEAST_ROUNDS, Ratio};

/// The two boots, as they were said, and who was in them.
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    /// By time.
    pub timed: &'a [Block],
    /// By instructions.
    pub counted: &'a [Block],
    /// The peers.
    pub peers: &'a [Peer],
}

/// Most that a call may cost in the end, in hundredths of what it cost at first, where nothing is at work.
const LEFT_PERCENT: u64 = 105;

/// A figure of a block, where it has one.
type Figure = Box<dyn Fn(&Block) -> Option<f64>>;

/// What is void, a line each: then there are no figures.
pub fn voids(runs: Runs<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for (name, blocks) in [("timed", runs.timed), ("counted", runs.counted)] {
        for block in blocks {
            if let Some(why) = block.void() {
                all.push(format!("{name} block {} ({}): {why}", block.block, block.side));
            }
        }
        for side in sides(runs.peers) {
            if !blocks.iter().any(|block| block.side == side) {
                all.push(format!("{name}: {side} was not measured"));
            }
        }
        all.extend(left(name, blocks));
        // Every side did the same.
        let work = |block: &Block| block.parts.iter().map(|part| part.made.clone()).collect::<Vec<_>>();
        if let Some(other) = blocks.iter().find(|block| work(block) != work(&blocks[0])) {
            all.push(format!("{name} block {} ({}): did other work than the first", other.block, other.side));
        }
    }
    all
}

/// By instructions nothing at all costs the same in the end as at first, or a peer left something behind in the kernel.
fn left(name: &str, blocks: &[Block]) -> Vec<String> {
    if name != "counted" {
        return Vec::new();
    }
    let nothing: Vec<&Block> = of(blocks, NONE).collect();
    let ([first, .., last], Some(end)) = (&nothing[..], blocks.last()) else {
        return vec![format!("{name}: {NONE} was not measured twice")];
    };
    let p50 = |block: &Block, kind: &str| {
        block.parts.get(1).and_then(|part| part.times.get(kind)).map_or(0, |times| times.p50)
    };
    let kept = |kind: &&str| {
        let (before, after) = (p50(first, kind), p50(last, kind));
        after * 100 > before * LEFT_PERCENT
    };
    let more = KINDS.iter().filter(|kind| end.side != NONE || kept(kind));
    more.map(|kind| {
        let (before, after) = (p50(first, kind), p50(last, kind));
        format!(
            "{name}: {kind} costs {after} instructions with nothing at work after the peers, {before} before"
        )
    })
    .collect()
}

/// Which kernel the guest had: package and version, or ours.
pub fn kernel() -> String {
    let folder = bench::root().join("target/image").join(bench::arch().name());
    let source = |name: &str| fs::read_to_string(folder.join(name).join("source")).unwrap_or_default();
    match bench::kernel() {
        Kernel::Debian => source("debian").trim().to_owned(),
        Kernel::DebianRelease(release) => source(&format!("debian-{release}")).trim().to_owned(),
        other => format!("{other:?}"),
    }
}

/// Halves of rounds: as many blocks as there are sides, `none` among them.
fn halves(blocks: &[Block], sides: usize) -> impl Iterator<Item = &[Block]> {
    blocks.chunks_exact(sides)
}

/// What a side's figure is to that of nothing at all, in the same half of a round: the geometric mean over both halves is the round's.
fn ratio(blocks: &[Block], sides: usize, side: &str, figure: &Figure) -> Option<Ratio> {
    let mut logs = Vec::new();
    for half in halves(blocks, sides) {
        let of = |side: &str| half.iter().find(|block| block.side == side).and_then(figure);
        logs.push((of(side)? / of(NONE)?).ln());
    }
    let rounds: Vec<f64> =
        logs.chunks(2).map(|round| (round.iter().sum::<f64>() / round.len() as f64).exp()).collect();
    Ratio::of(&rounds)
}

fn of<'a>(blocks: &'a [Block], side: &'a str) -> impl Iterator<Item = &'a Block> {
    blocks.iter().filter(move |block| block.side == side)
}

/// The median of a figure over a side's blocks.
fn median(blocks: &[Block], side: &str, figure: impl Fn(&Block) -> f64) -> f64 {
    let mut all: Vec<f64> = of(blocks, side).map(figure).collect();
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

/// With commas between thousands.
fn number(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The costs that are compared: name and figure.
fn costs() -> Vec<(String, Figure)> {
    let mut all: Vec<(String, Figure)> = Vec::new();
    for kind in KINDS {
        all.push((
            format!("{kind}, one by one, p50"),
            Box::new(move |block| block.parts[1].times.get(kind).map(|times| times.p50 as f64)),
        ));
        all.push((
            format!("{kind}, one by one, mean"),
            Box::new(move |block| {
                block.parts[1].times.get(kind).map(|times| times.sum as f64 / times.n.max(1) as f64)
            }),
        ));
        all.push((
            format!("{kind}, as fast as can be, all of them"),
            Box::new(move |block| block.parts[2].walls.get(kind).map(|wall| *wall as f64)),
        ));
    }
    all
}

fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    for cell in cells {
        let _ = write!(text, "| {cell} ");
    }
    text.push_str("|\n");
}

fn head(text: &mut String, cells: &[&str]) {
    row(text, cells.iter().map(|cell| (*cell).to_owned()));
    let _ = writeln!(text, "|{}", "---|".repeat(cells.len()));
}

/// The page. `kernel`: what the guest ran; `made`: when, of what and on what.
pub fn page(runs: Runs<'_>, kernel: &str, made: &str) -> String {
    let sides = sides(runs.peers);
    let at_work: Vec<&str> = sides.iter().map(String::as_str).filter(|side| *side != NONE).collect();
    let rounds = runs.timed.len() / (2 * sides.len());
    let rounds_are = if rounds == 1 { "1 round".to_owned() } else { format!("{rounds} rounds") };
    let few = if rounds < LEAST_ROUNDS { ", too few for intervals" } else { "" };
    let mut text = format!(
        "# Peers on the same work\n\nWritten by `make peers`, on {made}. How it is measured, and what makes a figure void: \
        [benchmarks.md](../benchmarks.md). Absolute times are those of software emulation on a shared machine: noise. What counts are \
        what was told of what was made, ratios, and instructions.\n\nKernel: {kernel}. {rounds_are} by time{few}; one of each side by \
        instructions. No block was void.\n\n"
    );
    captured(&mut text, runs, &at_work);
    for (name, unit, blocks) in [("time", "ns", runs.timed), ("instructions", "instructions", runs.counted)] {
        let _ = writeln!(text, "\n## What a call costs, by {name}: ratio to nothing at all\n");
        let nothing = format!("{NONE}, {unit}");
        let names: Vec<&str> = ["", nothing.as_str()].into_iter().chain(at_work.iter().copied()).collect();
        head(&mut text, &names);
        for (what, figure) in costs() {
            let plain = median(blocks, NONE, |block| figure(block).unwrap_or(0.0));
            let found = at_work.iter().map(|side| ratio(blocks, sides.len(), side, &figure));
            let found = found.map(|ratio| ratio.map_or("?".to_owned(), |ratio| ratio.to_string()));
            row(&mut text, [what.clone(), number(plain)].into_iter().chain(found));
        }
    }
    weighs(&mut text, runs, &at_work);
    standing(&mut text, runs, &sides, &at_work);
    settings(&mut text, runs.peers);
    text
}

/// What was told of what was made.
fn captured(text: &mut String, runs: Runs<'_>, at_work: &[&str]) {
    text.push_str("## Told of what was made\n\nRecords on the disk that name the call, of calls that were made, all blocks together.\n\n");
    let names: Vec<&str> =
        ["boot", "part", "kind", "made"].into_iter().chain(at_work.iter().copied()).collect();
    head(text, &names);
    for (boot, blocks) in [("time", runs.timed), ("instructions", runs.counted)] {
        for (at, part) in PARTS.iter().enumerate() {
            for kind in KINDS {
                let sum = |side: &str| {
                    of(blocks, side)
                        .map(|block| block.told(at, kind))
                        .fold([0, 0], |all, one| [all[0] + one[0], all[1] + one[1]])
                };
                let told = at_work.iter().map(|side| {
                    let [made, told] = sum(side);
                    if told == made {
                        number(told as f64)
                    } else {
                        format!("{} ({:.1} %)", number(told as f64), 100.0 * told as f64 / made.max(1) as f64)
                    }
                });
                let made = number(sum(AEGIS)[0] as f64);
                row(
                    text,
                    [boot.to_owned(), (*part).to_owned(), kind.to_owned(), made].into_iter().chain(told),
                );
            }
        }
    }
    for (boot, blocks) in [("time", runs.timed), ("instructions", runs.counted)] {
        for side in at_work {
            let last = of(blocks, side).last().and_then(|block| block.books.last());
            if let Some(books) = last.filter(|books| !books.lost.is_empty()) {
                let _ = writeln!(
                    text,
                    "\nIn its last block by {boot} {side} said last: `{}`.",
                    books.lost.trim()
                );
            }
        }
    }
}

/// What a row says, of which boot's blocks, and the figure of a block.
type Row<'a> = (&'static str, &'a [Block], fn(&Block) -> f64);

/// Memory, disk, processor.
fn weighs(text: &mut String, runs: Runs<'_>, at_work: &[&str]) {
    text.push_str("\n## What a side weighs\n\nMedians over its blocks. Memory is of all its processes; its processor time has that of its own threads in the kernel.\n\n");
    let names: Vec<&str> = [""].into_iter().chain(at_work.iter().copied()).collect();
    head(text, &names);
    let rows: [Row<'_>; 8] = [
        ("processes", runs.timed, |block| block.last().processes.len() as f64),
        ("resident after the work, KiB", runs.timed, |block| block.last().resident as f64),
        ("resident at most, KiB", runs.timed, |block| block.last().most as f64),
        ("bytes on the disk for each call that was told of", runs.timed, Block::bytes_each),
        ("processor time for each, at a rate, ns", runs.timed, |block| block.processor_each(0)),
        ("processor time for each, as fast as can be, ns", runs.timed, |block| block.processor_each(2)),
        ("instructions for each, at a rate", runs.counted, |block| block.processor_each(0)),
        ("seconds until it told of what was done", runs.timed, |block| block.started),
    ];
    for (what, blocks, figure) in rows {
        let found = at_work.iter().map(|side| number(median(blocks, side, figure)));
        row(text, [what.to_owned()].into_iter().chain(found));
    }
}

/// Where Aegis is the dearest, and where the cheapest: by instructions where there are such, said whatever it comes to.
fn standing(text: &mut String, runs: Runs<'_>, sides: &[String], at_work: &[&str]) {
    let mut places: [Vec<String>; 3] = Default::default();
    let mut rank = |what: String, figure: &dyn Fn(&str) -> Option<f64>| {
        let Some(own) = figure(AEGIS) else { return };
        let others: Vec<f64> =
            at_work.iter().filter(|side| **side != AEGIS).filter_map(|side| figure(side)).collect();
        let place = match () {
            () if others.iter().all(|other| own > *other) => 0,
            () if others.iter().all(|other| own < *other) => 2,
            () => 1,
        };
        places[place].push(what);
    };
    for (what, figure) in costs() {
        rank(format!("{what} (instructions)"), &|side| {
            Some(ratio(runs.counted, sides.len(), side, &figure)?.mean)
        });
    }
    rank("memory".to_owned(), &|side| Some(median(runs.timed, side, |block| block.last().resident as f64)));
    rank("bytes on the disk".to_owned(), &|side| Some(median(runs.timed, side, Block::bytes_each)));
    rank("work for each call (instructions)".to_owned(), &|side| {
        Some(median(runs.counted, side, |block| block.processor_each(0)))
    });
    rank("losses as fast as can be".to_owned(), &|side| {
        let all = |which: usize| {
            of(runs.timed, side)
                .map(|block| KINDS.iter().map(|kind| block.told(2, kind)[which]).sum::<u64>())
                .sum::<u64>()
        };
        Some((all(0) - all(1)) as f64 / all(0).max(1) as f64)
    });
    text.push_str("\n## Where Aegis stands\n\n");
    for (name, what) in
        ["dearest of all", "another is cheaper, or as cheap", "cheapest of all"].iter().zip(&places)
    {
        let list = if what.is_empty() { "nothing".to_owned() } else { what.join("; ") };
        let _ = writeln!(text, "- {name}: {list}");
    }
}

/// How each was run.
fn settings(text: &mut String, peers: &[Peer]) {
    text.push_str("\n## How each was run\n\nAegis: the image's agent, mode `enforcing`, a rule that audits the opened file and one that denies another. ");
    text.push_str("`tests/peers/README.md` says what the files are.\n");
    for peer in peers {
        let _ = writeln!(text, "\n### {}\n\n{}.", peer.name, peer.version);
        for (name, content) in &peer.settings {
            let _ = writeln!(text, "\n`{name}`:\n\n```\n{}\n```", content.trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::said::block_of;

    fn peers() -> Vec<Peer> {
        ["auditd", "bpftrace"]
            .map(|name| Peer {
                name: name.to_owned(),
                version: format!("{name} 1.0"),
                settings: vec![("arguments".to_owned(), format!("/usr/bin/{name}\n"))],
            })
            .to_vec()
    }

    /// Every side once, and nothing once more.
    fn once(times: [u64; 4]) -> Vec<Block> {
        let mut all = round(times);
        all.truncate(4);
        all.push(block_of("none", times[0]));
        all
    }

    fn round(times: [u64; 4]) -> Vec<Block> {
        let forth = ["none", "aegis", "auditd", "bpftrace"].iter().zip(times);
        forth.clone().chain(forth.rev()).map(|(side, time)| block_of(side, time)).collect()
    }

    #[test]
    fn the_page_has_every_side_and_says_where_aegis_is_dearest() {
        let (timed, counted, peers) = (round([10, 30, 20, 15]), once([10, 12, 40, 15]), peers());
        let runs = Runs { timed: &timed, counted: &counted, peers: &peers };
        assert_eq!(voids(runs), Vec::<String>::new());
        let page = page(runs, "linux-image-x 6.1", "a day");
        assert!(page.contains("| open, one by one, p50 | 10 | 3.00 | 2.00 | 1.50 |"), "{page}");
        assert!(page.contains("| open, one by one, p50 | 10 | 1.20 | 4.00 | 1.50 |"), "{page}");
        assert!(page.contains("| time | flat-out | exec | 2,000 | 1,000 (50.0 %) |"), "{page}");
        assert!(page.contains("- cheapest of all: open, one by one, p50 (instructions)"), "{page}");
        assert!(page.contains("or as cheap: memory"), "{page}");
        assert!(page.contains("`arguments`:\n\n```\n/usr/bin/bpftrace\n```"), "{page}");
        let dearest = once([10, 50, 40, 15]);
        let page = super::page(Runs { counted: &dearest, ..runs }, "k", "a day");
        assert!(page.contains("- dearest of all: open, one by one, p50 (instructions)"), "{page}");
    }

    #[test]
    fn a_side_that_is_not_there_or_did_other_work_is_void() {
        let (timed, counted, peers) = (round([10, 30, 20, 15]), once([10, 30, 20, 15]), peers());
        let without: Vec<Block> = counted.iter().filter(|block| block.side != "auditd").cloned().collect();
        let runs = Runs { timed: &timed, counted: &without, peers: &peers };
        assert_eq!(voids(runs), ["counted: auditd was not measured"]);
        let runs = Runs { timed: &timed, counted: &counted, peers: &peers };
        assert_eq!(voids(runs), Vec::<String>::new());
        let mut other = timed.clone();
        other[2].parts[2].made.insert("open".to_owned(), 1_001);
        let found = voids(Runs { timed: &other, ..runs });
        assert_eq!(found, ["timed block 0 (auditd): did other work than the first"]);
        let mut void = counted.clone();
        void[1].secret = "read".to_owned();
        let found = voids(Runs { counted: &void, ..runs });
        assert!(
            found.len() == 1 && found[0].starts_with("counted block 0 (aegis): what a policy denies"),
            "{found:?}"
        );
    }

    #[test]
    fn what_a_peer_leaves_behind_is_void() {
        let (timed, mut counted, peers) = (round([100, 300, 200, 150]), once([100, 300, 200, 150]), peers());
        let found = |counted: &[Block]| voids(Runs { timed: &timed, counted, peers: &peers });
        counted[4] = block_of("none", 105);
        assert_eq!(found(&counted), Vec::<String>::new());
        counted[4] = block_of("none", 106);
        let three = found(&counted);
        assert_eq!(three.len(), 3, "{three:?}");
        assert_eq!(
            three[0],
            "counted: open costs 106 instructions with nothing at work after the peers, 100 before"
        );
        assert_eq!(found(&counted[..4]), ["counted: none was not measured twice"]);
        counted.push(block_of("aegis", 100));
        assert_eq!(found(&counted).len(), 3, "it is not the last");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0.0, 999.0, 1000.0, 1_234_567.4].map(number), ["0", "999", "1,000", "1,234,567"]);
    }
}
