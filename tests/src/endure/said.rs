//! What a run said, line by line, and what must hold in each of its rounds.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::FIRST_POLICY;
use crate::storm::Books;

/// A process may have so many descriptors more than after the first round, and more than that for no two rounds: who looks once in a
/// while may be seen at work, and is not at work a minute later.
const MORE_DESCRIPTORS: u64 = 4;
/// What the agent may have resident, KiB (SPECIFICATION.md).
pub const RESIDENT_KIB: u64 = 4096;

/// A process that init keeps.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its number.
    pub pid: u64,
    /// Resident, KiB.
    pub rss: u64,
    /// Open descriptors.
    pub fds: u64,
}

/// Which of the processes that init keeps.
pub type Of = fn(&After) -> Process;

/// The processes that init keeps.
pub const PROCESSES: [(&str, Of); 3] = [
    ("agent", |after| after.agent),
    ("sticks' watcher", |after| after.stick),
    ("alerts' watcher", |after| after.alerts),
];

/// How it stood after a round, when nothing was under way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    books: Books,
    mode: String,
    policy: u64,
    /// The agent.
    pub agent: Process,
    /// The sticks' watcher.
    pub stick: Process,
    /// The one who looks for alerts.
    pub alerts: Process,
}

/// One round of the guest's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// From 0.
    #[serde(rename = "round")]
    pub number: u64,
    /// What was done in it.
    pub acts: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// Opens that were made.
    pub made: u64,
    /// Tries of what is denied: denied.
    pub denied: u64,
    /// And not.
    pub leaked: u64,
    /// The longest of these took so long, µs.
    pub longest: u64,
    /// How it stood then.
    pub after: After,
}

impl Round {
    /// Events that the kernel saw since the boot.
    pub fn seen(&self) -> u64 {
        self.after.books.number("seen")
    }

    /// Losses since the boot, by cause.
    pub fn lost(&self) -> BTreeMap<String, u64> {
        self.after.books.lost().into_iter().collect()
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost: u64 = self.lost().values().sum();
        write!(
            f,
            "round {}: {:.0} s, {}; {} seen, {lost} lost, {} denied, agent {} KiB",
            self.number,
            self.seconds,
            if self.acts.is_empty() { "nothing".to_owned() } else { self.acts.join(", ") },
            self.seen(),
            self.denied,
            self.after.agent.rss
        )
    }
}

/// What one boot said.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// When, of what and on what it was made.
    pub made: String,
    /// What made the order of its rounds, if anything did.
    pub seed: Option<u64>,
    /// Its rounds.
    pub rounds: Vec<Round>,
    /// After each round, the sequence of the policy that the last stick brought.
    policies: Vec<u64>,
    /// Sticks that came and went in these rounds.
    pub sticks: u64,
    /// Exports that were verified in these rounds, and at the end.
    pub exports: u64,
    /// It came to its end, and all exports verified together.
    pub whole: bool,
    /// Why it did not, if it was not cut short.
    failed: Option<String>,
}

/// Reads the lines, the guest's and the host's. The last may be cut off.
///
/// # Errors
/// A line is none.
pub fn read(text: &str) -> Result<Piece, String> {
    let mut piece = Piece::default();
    let mut policy = FIRST_POLICY;
    // Of a round that is not over.
    let (mut sticks, mut exports) = (0, 0);
    let whole = text.rfind('\n').map_or("", |at| &text[..at]);
    for line in whole.lines() {
        let none = |error: serde_json::Error| format!("{error}: {line}");
        let value: Value = serde_json::from_str(line).map_err(none)?;
        match value["did"].as_str() {
            Some("begin") => {
                value["made"].as_str().unwrap_or("?").clone_into(&mut piece.made);
                piece.seed = value["seed"].as_u64();
            }
            Some("plug") => {
                policy = value["policy"].as_u64().unwrap_or(0);
                sticks += 1;
            }
            Some("verify") => exports += 1,
            Some("end") => {
                piece.whole = true;
                piece.exports += exports;
                if value["mode"] != "enforcing" {
                    piece.failed = Some(format!("at the end it was {}", value["mode"]));
                }
            }
            Some("failed") => piece.failed = Some(value["why"].as_str().unwrap_or("?").to_owned()),
            _ if value["want"].is_string() => {}
            _ => {
                piece.rounds.push(serde_json::from_value(value).map_err(none)?);
                piece.policies.push(policy);
                piece.sticks += std::mem::take(&mut sticks);
                piece.exports += std::mem::take(&mut exports);
            }
        }
    }
    Ok(piece)
}

impl Piece {
    /// It was cut short before its first round was over: it says nothing, neither good nor bad.
    pub fn says_nothing(&self) -> bool {
        self.rounds.is_empty() && !self.whole && self.failed.is_none()
    }

    /// How long its rounds took, s.
    pub fn seconds(&self) -> f64 {
        self.rounds.iter().map(|round| round.seconds).sum()
    }

    /// Opens that were made, a second.
    pub fn rate(&self) -> f64 {
        let made: u64 = self.rounds.iter().map(|round| round.made).sum();
        made as f64 / self.seconds().max(1.0)
    }

    /// Rounds, each with the one before it.
    fn pairs(&self) -> impl Iterator<Item = (Option<&Round>, &Round)> {
        self.rounds
            .iter()
            .enumerate()
            .map(|(at, round)| (at.checked_sub(1).map(|before| &self.rounds[before]), round))
    }

    /// What was seen, and lost by cause, in the rounds that have this act.
    pub fn of(&self, act: &str) -> Tally {
        let mut tally = Tally::default();
        for (before, round) in self.pairs().filter(|(_, round)| round.acts.iter().any(|done| done == act)) {
            tally.add(before, round);
        }
        tally
    }

    /// The same of all.
    pub fn all(&self) -> Tally {
        let mut tally = Tally::default();
        self.pairs().for_each(|(before, round)| tally.add(before, round));
        tally
    }

    /// What broke a promise, or proves nothing; nothing when all holds.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for ((before, round), policy) in self.pairs().zip(&self.policies) {
            let mut say = |what: String| {
                wrong.push(format!("round {} ({}): {what}", round.number, round.acts.join(", ")));
            };
            let (seen, written, lost) = (round.seen(), round.after.books.number("written"), round.lost());
            let lost: u64 = lost.values().sum();
            if seen != written + lost {
                say(format!("seen {seen}, written {written}, lost {lost}"));
            }
            let since = seen - before.map_or(0, Round::seen).min(seen);
            if since < round.made {
                say(format!("{} were made, and the kernel saw {since}", round.made));
            }
            if round.leaked > 0 || round.denied == 0 {
                say(format!("{} denied, {} not", round.denied, round.leaked));
            }
            if round.after.mode != "enforcing" || round.after.policy != *policy {
                say(format!("{} by policy {}, not {policy}", round.after.mode, round.after.policy));
            }
            if round.after.agent.rss > RESIDENT_KIB {
                say(format!("the agent has {} KiB", round.after.agent.rss));
            }
            let first = &self.rounds[0].after;
            for (name, of) in PROCESSES {
                let most = of(first).fds + MORE_DESCRIPTORS;
                let (was, now) = (before.map_or(0, |before| of(&before.after).fds), of(&round.after).fds);
                if was > most && now > most {
                    say(format!("{name}: {was} descriptors, and then {now}; {} at first", of(first).fds));
                }
            }
        }
        if self.rounds.is_empty() {
            wrong.push("there are no rounds".to_owned());
        }
        wrong.extend(self.failed.clone());
        wrong
    }

    /// Memory of one process in its longest life of this piece: how many rounds that is, KiB after the first and the last of them, and
    /// by how many KiB an hour it grew (least squares).
    pub fn life(&self, of: impl Fn(&After) -> Process) -> Life {
        let mut at = 0.0;
        let mut lives: Vec<Vec<(f64, Process)>> = Vec::new();
        for round in &self.rounds {
            at += round.seconds;
            let now = of(&round.after);
            match lives.last_mut() {
                Some(life) if life[0].1.pid == now.pid => life.push((at, now)),
                _ => lives.push(vec![(at, now)]),
            }
        }
        lives.into_iter().max_by_key(Vec::len).map(|life| Life::of(&life)).unwrap_or_default()
    }
}

/// What became of events.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Rounds.
    pub rounds: u64,
    /// Events that the kernel saw.
    pub seen: u64,
    /// Of those, lost by cause.
    pub lost: BTreeMap<String, u64>,
    /// Tries of what is denied, each denied.
    pub denied: u64,
    /// The longest of these, µs.
    pub longest: u64,
}

impl Tally {
    fn add(&mut self, before: Option<&Round>, round: &Round) {
        self.rounds += 1;
        self.seen += round.seen() - before.map_or(0, Round::seen).min(round.seen());
        let was = before.map(Round::lost).unwrap_or_default();
        for (cause, count) in round.lost() {
            let new = count.saturating_sub(was.get(&cause).copied().unwrap_or(0));
            if new > 0 {
                *self.lost.entry(cause).or_default() += new;
            }
        }
        self.denied += round.denied;
        self.longest = self.longest.max(round.longest);
    }

    /// The same of two.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.rounds += other.rounds;
        self.seen += other.seen;
        self.denied += other.denied;
        self.longest = self.longest.max(other.longest);
        for (cause, count) in other.lost {
            *self.lost.entry(cause).or_default() += count;
        }
        self
    }

    /// Losses in words.
    pub fn lost_in_words(&self) -> String {
        let words: Vec<String> = self.lost.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
        if words.is_empty() { "0".to_owned() } else { words.join(", ") }
    }
}

/// Memory and descriptors of one process over its life.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Life {
    /// Rounds that it lived.
    pub rounds: usize,
    /// KiB after the first of these, after the last, and at most.
    pub rss: (u64, u64, u64),
    /// KiB an hour.
    pub slope: f64,
    /// Descriptors at least and at most.
    pub fds: (u64, u64),
}

impl Life {
    fn of(life: &[(f64, Process)]) -> Self {
        let number = life.len() as f64;
        let mean = |of: &dyn Fn(&(f64, Process)) -> f64| life.iter().map(of).sum::<f64>() / number;
        let (time, rss) = (mean(&|(at, _)| *at), mean(&|(_, now)| now.rss as f64));
        let spread = mean(&|(at, _)| (at - time).powi(2));
        let with = mean(&|(at, now)| (at - time) * (now.rss as f64 - rss));
        let all = |of: fn(&Process) -> u64| life.iter().map(move |(_, now)| of(now));
        Self {
            rounds: life.len(),
            rss: (
                life.first().map_or(0, |(_, now)| now.rss),
                life.last().map_or(0, |(_, now)| now.rss),
                all(|now| now.rss).max().unwrap_or(0),
            ),
            slope: if spread > 0.0 { with / spread * 3_600.0 } else { 0.0 },
            fds: (all(|now| now.fds).min().unwrap_or(0), all(|now| now.fds).max().unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of 60 s with these books, and this of the agent.
    fn round(
        number: u64,
        (seen, written, lost): (u64, u64, u64),
        (pid, rss, fds): (u64, u64, u64),
    ) -> String {
        let process = |pid, rss, fds| format!("{{\"pid\":{pid},\"rss\":{rss},\"fds\":{fds}}}");
        format!(
            "{{\"round\":{number},\"acts\":[\"plug\"],\"seconds\":60.0,\"made\":90,\"denied\":5,\"leaked\":0,\"longest\":7,\"after\":{{\"books\":{{\
            \"accounts\":{{\"seen\":{seen},\"written\":{written},\"lost\":{{\"agent-killed\":{lost}}},\"in_flight\":0}},\"agent_cpu\":0,\"metrics\":[]}},\
            \"mode\":\"enforcing\",\"policy\":11,\"agent\":{},\"stick\":{},\"alerts\":{}}}}}\n",
            process(pid, rss, fds),
            process(2, 900, 5),
            process(3, 900, 5)
        )
    }

    fn piece(rounds: &[String]) -> Piece {
        let mut text = "{\"want\":\"plug\",\"number\":0}\n{\"did\":\"plug\",\"policy\":11}\n".to_owned();
        text.extend(rounds.iter().map(String::as_str));
        text += "{\"did\":\"verify\",\"export\":0}\n{\"did\":\"end\",\"exports\":1,\"lost\":0,\"mode\":\"enforcing\"}\n{\"cut";
        read(&text).expect("lines")
    }

    const AGENT: (u64, u64, u64) = (1, 3_000, 20);

    #[test]
    fn all_that_holds_is_good_and_is_added_up() {
        let good = piece(&[round(0, (100, 99, 1), AGENT), round(1, (200, 196, 4), AGENT)]);
        assert_eq!(good.wrong(), Vec::<String>::new());
        assert!(good.whole && good.exports == 1 && good.sticks == 1);
        assert!((good.rate() - 1.5).abs() < 1e-9, "180 opens in two minutes");
        let all = good.all();
        assert_eq!((all.rounds, all.seen, all.lost_in_words()), (2, 200, "4 agent-killed".to_owned()));
        assert_eq!((good.of("plug").denied, good.of("fail").rounds), (10, 0));
    }

    #[test]
    fn each_promise_that_is_broken_is_seen() {
        let good = round(0, (100, 99, 1), AGENT);
        for (name, second) in [
            ("one is nowhere", round(1, (200, 195, 4), AGENT)),
            ("some were not seen", round(1, (180, 176, 4), AGENT)),
            ("it was not denied", round(1, (200, 196, 4), AGENT).replace("\"leaked\":0", "\"leaked\":1")),
            ("nothing was denied", round(1, (200, 196, 4), AGENT).replace("\"denied\":5", "\"denied\":0")),
            ("another policy", round(1, (200, 196, 4), AGENT).replace("\"policy\":11", "\"policy\":10")),
            ("not enforcing", round(1, (200, 196, 4), AGENT).replace("enforcing", "audit-only")),
            ("memory", round(1, (200, 196, 4), (1, 4_097, 20))),
        ] {
            assert_eq!(piece(&[good.clone(), second]).wrong().len(), 1, "{name}");
        }
        assert_eq!(piece(&[]).wrong().len(), 1, "no rounds");
        assert!(!piece(&[]).says_nothing(), "it came to its end");
        for line in
            ["{\"did\":\"failed\",\"why\":\"export 7\"}\n", "{\"did\":\"end\",\"mode\":\"audit-only\"}\n"]
        {
            let piece = read(&format!("{{\"did\":\"plug\",\"policy\":11}}\n{good}{line}")).expect("lines");
            assert_eq!((piece.rounds.len(), piece.wrong().len()), (1, 1), "{line}");
        }
    }

    #[test]
    fn descriptors_that_stay_are_seen() {
        let with = |number: u64, fds| {
            let seen = 100 * (number + 1);
            round(number, (seen, seen, 0), (1, 3_000, fds))
        };
        let wrong = |all: [u64; 4]| {
            let rounds: Vec<String> = (0..).zip(all).map(|(number, fds)| with(number, fds)).collect();
            piece(&rounds).wrong().len()
        };
        assert_eq!(wrong([20, 24, 24, 24]), 0, "it may have some more");
        assert_eq!(wrong([20, 25, 20, 25]), 0, "it was at work");
        assert_eq!(wrong([20, 25, 25, 20]), 1);
        assert_eq!(wrong([20, 24, 26, 28]), 1);
    }

    #[test]
    fn what_came_in_a_round_that_was_cut_is_not_counted() {
        let stick = "{\"did\":\"plug\",\"policy\":11}\n{\"did\":\"verify\",\"export\":0}\n";
        let begin = "{\"did\":\"begin\",\"made\":\"today\",\"seed\":7}\n";
        let text = format!("{begin}{stick}{}{stick}{stick}", round(0, (100, 99, 1), AGENT));
        let piece = read(&text).expect("lines");
        assert_eq!((piece.sticks, piece.exports, piece.whole, piece.seed), (1, 1, false, Some(7)));
        assert_eq!(piece.wrong(), Vec::<String>::new());
        let says_nothing = |more: &str| read(&format!("{begin}{stick}{more}")).expect("lines").says_nothing();
        assert!(!piece.says_nothing() && says_nothing(""));
        assert!(!says_nothing("{\"did\":\"failed\",\"why\":\"export 0\"}\n"), "it says that");
    }

    #[test]
    fn the_longest_life_is_looked_at() {
        let books = |number: u64| (100 * (number + 1), 100 * (number + 1), 0);
        let rounds: Vec<String> = (0..4)
            .map(|number| round(number, books(number), (1 + u64::from(number > 0), 3_000 + number, 20)))
            .collect();
        let life = piece(&rounds).life(|after| after.agent);
        assert_eq!((life.rounds, life.rss, life.fds), (3, (3_001, 3_003, 3_003), (20, 20)));
        assert!((life.slope - 60.0).abs() < 1e-6, "a KiB a minute: {}", life.slope);
    }
}
