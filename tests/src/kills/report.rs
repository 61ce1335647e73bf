//! What a long run found, as a page for `docs/evidence/`.

use std::fmt::Write as _;

use super::oracle::{Kill, Oracle};
use super::{Moment, Settings};
use crate::bench::said;

/// What a column has, and of which kills.
type Column = (&'static str, fn(&Kill) -> bool);

/// The page.
pub fn page(settings: &Settings, oracle: &Oracle) -> String {
    let kills = &oracle.kills;
    let sum = |of: fn(&Kill) -> u64| kills.iter().map(of).sum::<u64>();
    let mut text = format!(
        "# Kills\n\nWritten by `make kills`. {} power cuts of one device under load, seed {}, on {}.\n\n\
        What is cut, how, and what must hold: `tests/src/kills/`; what the disks lose: `qemu/src/platter.rs`.\n\n",
        kills.len(),
        settings.seed,
        made()
    );
    let which: [Column; 5] = [
        ("all", |_| true),
        ("under load", |kill| kill.plan.moment == Moment::Load && !kill.plan.each),
        ("the same, `sync = \"each\"`", |kill| kill.plan.moment == Moment::Load && kill.plan.each),
        ("while exporting", |kill| kill.plan.moment == Moment::Export),
        ("while booting", |kill| kill.plan.moment == Moment::Boot),
    ];
    let names = which.map(|(name, _)| name).join(" | ");
    let _ = write!(text, "| | {names} |\n|---|---|---|---|---|---|\n");
    let mut row = |name: &str, of: &dyn Fn(&[&Kill]) -> u64| {
        let _ = write!(text, "| {name} |");
        for (_, fits) in which {
            let some: Vec<&Kill> = kills.iter().filter(|kill| fits(kill)).collect();
            let _ = write!(text, " {} |", of(&some));
        }
        text.push('\n');
    };
    let total = |of: fn(&Kill) -> u64| move |kills: &[&Kill]| kills.iter().map(|kill| of(kill)).sum();
    row("kills", &|kills| kills.len() as u64);
    row("of these in the middle of a write", &|kills| {
        kills.iter().filter(|kill| kill.plan.write.is_some()).count() as u64
    });
    row("numbered opens that the workload said", &total(|kill| kill.submitted));
    row("of these in the evidence", &total(|kill| kill.recovered));
    row("unflushed writes dropped", &total(|kill| kill.unflushed.iter().map(|disk| disk[2]).sum()));
    row("torn", &total(|kill| kill.unflushed.iter().map(|disk| disk[1]).sum()));
    row("kept", &total(|kill| kill.unflushed.iter().map(|disk| disk[0]).sum()));
    row("loss window, median, ms", &|kills| quantile(kills, 50));
    row("loss window, 95 of 100, ms", &|kills| quantile(kills, 95));
    row("loss window, longest, ms", &|kills| quantile(kills, 100));
    let _ = write!(
        text,
        "\nEvents in the evidence: {}, in {} exports, which `aegisctl export verify` found whole, each with the one before it and all\n\
        together. Last acknowledged sequence of a cut boot that was missing afterwards: 0 of {} kills with an acknowledgement.\n\n\
        The loss window is from the first numbered open that was lost to the last that was said, by the guest's clock under software\n\
        emulation on a host that had other work to do: it has the agent's 100 ms, the flush, and the time until the agent had its turn.\n",
        oracle.events,
        oracle.exports.len(),
        kills.iter().filter(|kill| kill.acked > 0).count(),
    );
    debug_assert!(sum(|kill| kill.recovered) <= sum(|kill| kill.submitted));
    text
}

/// The window that so many of a hundred kills do not exceed.
fn quantile(kills: &[&Kill], percent: usize) -> u64 {
    let mut windows: Vec<u64> = kills.iter().map(|kill| kill.window_ms).collect();
    windows.sort_unstable();
    let last = windows.len().saturating_sub(1);
    windows.get((last * percent).div_ceil(100)).copied().unwrap_or(0)
}

/// Date, commit and machine.
pub fn made() -> String {
    let known = |text: String| if text.is_empty() { "?".to_owned() } else { text };
    let changed = if said("git", &["status", "--porcelain"]).is_empty() { "" } else { " with changes" };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!(
        "{} at commit {}{changed}, {} cores of {}, {}",
        known(said("date", &["-u", "+%Y-%m-%d"])),
        known(said("git", &["rev-parse", "--short", "HEAD"])),
        std::thread::available_parallelism().map_or(0, usize::from),
        cpu.map_or("?", |(_, name)| name),
        said("qemu-system-x86_64", &["--version"]).lines().next().unwrap_or("?"),
    )
}
