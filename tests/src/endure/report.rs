//! What chaos and soak came to, as pages for `docs/evidence/`.

use std::fmt::Write as _;

use super::ACTS;
use super::said::{After, Life, Piece, Process, Tally};

/// The processes that init keeps.
type Of = (&'static str, fn(&After) -> Process);
const PROCESSES: [Of; 3] = [
    ("agent", |after| after.agent),
    ("sticks' watcher", |after| after.stick),
    ("alerts' watcher", |after| after.alerts),
];

/// What holds in each round, as both pages say it.
const HELD: &str = "After each round, when nothing was under way: what the kernel saw was what is on the disk and what is counted as lost, to the last\n\
    event; the mode was `enforcing`, by the policy of the last stick that was to be taken; each export was whole, by itself, with the one\n\
    before it, and at the end all together.";

/// The page of chaos.
pub fn chaos(piece: &Piece, seed: u64) -> String {
    let all = piece.all();
    let mut text = format!(
        "# Chaos\n\nWritten by `make chaos`, on {}. {} rounds in one boot of {:.0} minutes, in an order that seed {seed} made. How, and\n\
        what must hold: [endurance.md](../endurance.md).\n\n{HELD}\n\n\
        | what was done, under load, and then a stick | rounds | events seen | lost, by cause | longest denial, ms |\n|---|---|---|---|---|\n",
        piece.made,
        all.rounds,
        piece.seconds() / 60.0,
    );
    for (act, words) in ACTS {
        row(&mut text, words, &piece.of(act));
    }
    row(&mut text, "all", &all);
    denials(&mut text, &all, piece.exports);
    lives(&mut text, std::slice::from_ref(piece));
    text
}

/// The page of the soak, of one piece or several.
pub fn soak(pieces: &[Piece]) -> String {
    let seconds: f64 = pieces.iter().map(Piece::seconds).sum();
    let last = pieces.last().map_or("?", |piece| piece.made.as_str());
    let mut text = format!("# Soak\n\nWritten by `make soak`, on {last}. {:.0} minutes, ", seconds / 60.0);
    if pieces.len() == 1 {
        text.push_str("in one piece: one boot.");
    } else {
        let cut = pieces.iter().filter(|piece| !piece.whole).count();
        let _ = write!(text, "**made in {} pieces**, each one boot of a new device", pieces.len());
        let _ =
            write!(text, "{}.", if cut > 0 { format!(", {cut} of them cut short") } else { String::new() });
    }
    let _ = write!(
        text,
        " How, and\nwhat must hold: [endurance.md](../endurance.md).\n\n{HELD}\n\n\
        | what was done, under load | minutes | events seen | lost, by cause | longest denial, ms |\n|---|---|---|---|---|\n"
    );
    let of = |act: &str| pieces.iter().map(|piece| piece.of(act)).fold(Tally::default(), Tally::and);
    for (act, words) in ACTS {
        let tally = of(act);
        if tally.rounds > 0 {
            row(&mut text, words, &tally);
        }
    }
    let all = pieces.iter().map(Piece::all).fold(Tally::default(), Tally::and);
    row(&mut text, "all", &all);
    denials(&mut text, &all, pieces.iter().map(|piece| piece.exports).sum());
    lives(&mut text, pieces);
    text
}

fn row(text: &mut String, words: &str, tally: &Tally) {
    let _ = writeln!(
        text,
        "| {words} | {} | {} | {} | {:.0} |",
        tally.rounds,
        tally.seen,
        tally.lost_in_words(),
        tally.longest as f64 / 1_000.0
    );
}

fn denials(text: &mut String, all: &Tally, exports: u64) {
    let _ = writeln!(
        text,
        "\n{} tries of what is denied, each denied. {exports} exports verified. How long a denial took is with the time until whoever tried had\n\
        a processor again.\n",
        all.denied
    );
}

/// Memory and descriptors, of each process in its longest life.
fn lives(text: &mut String, pieces: &[Piece]) {
    text.push_str(
        "| process, in its longest life | rounds | resident after the first, KiB | after the last | at most | growth, KiB an hour | descriptors |\n\
        |---|---|---|---|---|---|---|\n",
    );
    for (name, of) in PROCESSES {
        let lives = pieces.iter().map(|piece| piece.life(of));
        let life = lives.max_by_key(|life| life.rounds).unwrap_or_default();
        let Life { rounds, rss: (first, last, most), slope, fds: (least, greatest) } = life;
        let fds = if least == greatest { least.to_string() } else { format!("{least} to {greatest}") };
        let _ = writeln!(text, "| {name} | {rounds} | {first} | {last} | {most} | {slope:.0} | {fds} |");
    }
}
