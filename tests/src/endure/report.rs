//! What chaos and soak came to, as pages for `docs/evidence/`.

use std::fmt::Write as _;

use super::ACTS;
use super::said::{Life, PROCESSES, Piece, Tally};

/// What holds in each round, as both pages say it.
const HELD: &str = "After each round, when nothing was under way: what the kernel saw was what is on the disk and what is counted as lost, to the last\n\
    event; the mode was `enforcing`, by the policy of the last stick that was to be taken; each export was whole, by itself and with the one\n\
    before it, and, of a piece that came to its end, all together.";

/// The page of chaos, of one piece or several.
pub fn chaos(pieces: &[Piece]) -> String {
    page("Chaos", pieces, ", in an order that a seed made", "and then sticks, with a load")
}

/// The page of the soak, of one piece or several.
pub fn soak(pieces: &[Piece]) -> String {
    page("Soak", pieces, "", "under load")
}

fn page(name: &str, pieces: &[Piece], order: &str, beside: &str) -> String {
    let sum = |of: fn(&Piece) -> u64| pieces.iter().map(of).sum::<u64>();
    let seconds: f64 = pieces.iter().map(Piece::seconds).sum();
    let last = pieces.last().map_or("?", |piece| piece.made.as_str());
    let all = pieces.iter().map(Piece::all).fold(Tally::default(), Tally::and);
    let mut text = format!(
        "# {name}\n\nWritten by `make {}`, on {last}. {:.0} minutes: {} rounds{order}, {} sticks; ",
        name.to_lowercase(),
        seconds / 60.0,
        all.rounds,
        sum(|piece| piece.sticks)
    );
    if pieces.len() == 1 {
        text.push_str("in one piece: one boot.");
    } else {
        let cut = pieces.iter().filter(|piece| !piece.whole).count();
        let _ = write!(text, "**made in {} pieces**, each one boot of a new device", pieces.len());
        let _ = write!(
            text,
            "{}; the table at the end has them.",
            if cut > 0 { format!(", {cut} of them cut short") } else { String::new() }
        );
    }
    let _ = write!(
        text,
        " How, and\nwhat must hold: [endurance.md](../endurance.md).\n\n{HELD}\n\n\
        | what was done, {beside} | rounds | events seen | lost, by cause | longest denial, ms |\n|---|---|---|---|---|\n"
    );
    let of = |act: &str| pieces.iter().map(|piece| piece.of(act)).fold(Tally::default(), Tally::and);
    for (act, words) in ACTS {
        let tally = of(act);
        if tally.rounds > 0 {
            row(&mut text, words, &tally);
        }
    }
    row(&mut text, "all", &all);
    denials(&mut text, &all, sum(|piece| piece.exports));
    lives(&mut text, pieces);
    text.push_str(
        "\n| piece, made | seed | minutes | sticks | opens a second | events seen | exports verified | agent at most, KiB | came to its end |\n\
        |---|---|---|---|---|---|---|---|---|\n",
    );
    for (number, piece) in pieces.iter().enumerate() {
        let most = piece.rounds.iter().map(|round| round.after.agent.rss).max().unwrap_or(0);
        let _ = writeln!(
            text,
            "| {}, {} | {} | {:.0} | {} | {:.0} | {} | {} | {most} | {} |",
            number + 1,
            // The day and the commit; the machine is named above.
            piece.made.split(", ").next().unwrap_or("?"),
            piece.seed.map_or("-".to_owned(), |seed| seed.to_string()),
            piece.seconds() / 60.0,
            piece.sticks,
            piece.rate(),
            piece.all().seen,
            piece.exports,
            if piece.whole { "yes" } else { "no" }
        );
    }
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
