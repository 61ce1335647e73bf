//! The same without a screen: the state once, then what changes as it comes, and a menu by lines. For terminals that know nothing, for
//! pipes, for who reads with his ears.

use std::io;
use std::path::Path;
use std::time::Instant;

use crate::app::{Ask, End, doctor, said};
use crate::desk::{Desk, News, Watch};
use crate::draw::NO_AGENT;
use crate::known::{Asked, Fact, Known, decision, denial};
use crate::model::Finding;
use crate::screen::{Left, glass};
use crate::text::{clock, plain};
use crate::tty::{Bell, Tty};
use crate::{limits, power};

const MENU: &str = "e export now, v verify stick, b break glass, d doctor, w workloads, x the last denial, a alerts, l log, \
                    p probe, n site network, u support bundle, s state, r reboot, o power off, q leave, ? this; then Enter";
/// The word that is asked for before the system ends.
const YES: &str = "yes";
/// Of these every change would be a line a minute; they are said with the state.
const QUIET: [&str; 4] = ["ring", "events", "expires", "clock"];

/// What a typed line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Ask(Ask),
    Glass,
    State,
    End(End),
    Menu,
    Leave,
    Nothing,
    Unknown,
}

impl Wanted {
    /// By its letter.
    pub(crate) fn of(line: &str) -> Self {
        match line.trim() {
            "" => Self::Nothing,
            "b" => Self::Glass,
            "s" => Self::State,
            "r" => Self::End(End::Reboot),
            "o" => Self::End(End::PowerOff),
            "q" => Self::Leave,
            "?" | "h" => Self::Menu,
            word => {
                let mut letters = word.chars();
                let letter = letters.next().filter(|_| letters.next().is_none());
                letter.and_then(Ask::of_key).map_or(Self::Unknown, Self::Ask)
            }
        }
    }
}

/// What was said, so that only what is new is said again.
#[derive(Debug, Default)]
pub(crate) struct Told {
    facts: Vec<Fact>,
    findings: Option<Vec<Finding>>,
    /// The last sequences of a denial and of a decision.
    denial: u64,
    decision: u64,
}

/// All of the state.
pub(crate) fn state(known: &Known) -> Vec<String> {
    let mut lines = vec![format!("-- Aegis {}, {} after its start", known.variant, clock(known.uptime))];
    if known.is_debug() && !known.variant.is_empty() {
        lines.push("** DEBUG IMAGE: it has a shell and tools, and is none for the field **".to_owned());
    }
    lines.extend(facts(known).iter().map(fact_line));
    let (words, _) = known.findings_words();
    lines.push(format!("findings  {words}"));
    match &known.health {
        Asked::Known(verdict) => lines.extend(verdict.findings.iter().map(finding_line)),
        Asked::Failed(why) => lines.push(format!("?? {why}")),
        Asked::NotYet => {}
    }
    lines
}

fn facts(known: &Known) -> Vec<Fact> {
    known.facts().into_iter().flatten().filter(|fact| !fact.text.is_empty()).collect()
}

fn fact_line(fact: &Fact) -> String {
    format!("{:<9} {}", fact.name, fact.text)
}

fn finding_line(finding: &Finding) -> String {
    format!("{} {}: {}; {}", finding.severity.mark(), finding.code, finding.meaning, finding.mend)
}

impl Told {
    /// Takes what is known for said.
    pub(crate) fn all(&mut self, known: &Known) {
        self.facts = facts(known);
        self.findings = known.health.known().map(|verdict| verdict.findings.clone());
    }

    /// What is new, a line each.
    pub(crate) fn news(&mut self, known: &Known) -> Vec<String> {
        let mut lines = Vec::new();
        let facts = facts(known);
        for fact in &facts {
            let old = self.facts.iter().find(|old| old.name == fact.name);
            let same = |old: &Fact| old == fact || (QUIET.contains(&fact.name) && old.tone == fact.tone);
            if !old.is_some_and(same) {
                lines.push(fact_line(fact));
            }
        }
        self.facts = facts;
        if let Some(verdict) = known.health.known() {
            let old = self.findings.take().unwrap_or_default();
            let has = |list: &[Finding], one: &Finding| list.iter().any(|other| other.code == one.code);
            lines.extend(verdict.findings.iter().filter(|one| !has(&old, one)).map(finding_line));
            let gone = old.iter().filter(|one| !has(&verdict.findings, one));
            lines.extend(gone.map(|one| format!("ok {}: no more", one.code)));
            self.findings = Some(verdict.findings.clone());
        }
        let new: Vec<_> = known.denials.iter().filter(|event| event.sequence > self.denial).collect();
        self.denial = new.last().map_or(self.denial, |event| event.sequence);
        let left = new.len().saturating_sub(limits::PLAIN_DENIALS);
        if left > 0 {
            lines.push(format!("denied    {left} more before these"));
        }
        for event in &new[left..] {
            lines.push(format!(
                "denied    {} #{} {}",
                known.when(event),
                event.sequence,
                denial(event, limits::PATH)
            ));
        }
        for event in known.decisions.iter().filter(|event| event.sequence > self.decision) {
            lines.push(format!(
                "came      {} #{} {}",
                known.when(event),
                event.sequence,
                decision(event, limits::PATH)
            ));
        }
        self.decision =
            known.decisions.back().map_or(self.decision, |event| event.sequence.max(self.decision));
        lines
    }
}

/// Lines that somebody types, byte by byte: bounded, and only what is printable.
#[derive(Debug, Default)]
pub(crate) struct Typed(Vec<u8>);

impl Typed {
    /// One more byte; the line that it ends.
    pub(crate) fn push(&mut self, byte: u8) -> Option<String> {
        match byte {
            b'\r' | b'\n' => {
                let line = core::mem::take(&mut self.0);
                Some(plain(&String::from_utf8_lossy(&line), limits::TYPED_BYTES))
            }
            0x08 | 0x7f => {
                self.0.pop();
                None
            }
            _ => {
                if self.0.len() < limits::TYPED_BYTES {
                    self.0.push(byte);
                }
                None
            }
        }
    }
}

/// Runs until it is left.
pub(crate) fn run(tty: &Tty, bell: &Bell, desk: &mut Desk, program: &Path) -> Left {
    let left = turns(tty, bell, desk, program).unwrap_or(Left::Gone);
    desk.stop_following();
    tty.restore();
    left
}

struct Sitting {
    told: Told,
    /// The state was said.
    begun: bool,
    /// It is to be said, once it is known.
    wanted: bool,
    busy: Option<Ask>,
    /// `yes` is waited for.
    question: Option<End>,
}

fn turns(tty: &Tty, bell: &Bell, desk: &mut Desk, program: &Path) -> io::Result<Left> {
    tty.lines();
    let mut sitting =
        Sitting { told: Told::default(), begun: false, wanted: true, busy: None, question: None };
    let mut typed = Typed::default();
    let (mut touched, mut asleep, mut open) = (Instant::now(), false, true);
    loop {
        let now = Instant::now();
        // Who reads a pipe never touches a key.
        let idle = tty.is_terminal() && now >= touched + limits::IDLE;
        if idle && !asleep {
            tty.say("PAUSED: nobody typed anything for 5 minutes. Enter goes on.")?;
        }
        asleep = idle;
        desk.sleep(asleep);
        for news in desk.turn(Watch::State, now) {
            if let News::Answered(ask, answer) = news {
                sitting.busy = None;
                let lines = if ask == Ask::Doctor {
                    doctor(&answer, limits::SENTENCE)
                } else {
                    said(ask, &answer, limits::SENTENCE)
                };
                tty.say(&format!("-- {}", ask.title()))?;
                // Of a log its end, as much as is read: a slow line takes minutes for all of it.
                let skipped = if ask.is_log() { lines.len().saturating_sub(limits::PLAIN_LOG) } else { 0 };
                for (_, line) in lines.iter().skip(skipped).filter(|(_, line)| !line.is_empty()) {
                    tty.say(line)?;
                }
            }
        }
        sitting.tell(tty, &desk.known)?;
        if bell.is_stopped() {
            return Ok(Left::Stopped);
        }
        if !open && sitting.begun && sitting.busy.is_none() {
            return Ok(Left::Quit);
        }
        let mut until = desk.due(Watch::State, now);
        if tty.is_terminal() && !asleep {
            until = Some(until.unwrap_or(touched + limits::IDLE).min(touched + limits::IDLE));
        }
        if !bell.wait(open, &desk.fds(), until) {
            continue;
        }
        let mut bytes = [0; limits::KEYS];
        let length = match tty.read(&mut bytes) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !tty.is_terminal() => {
                open = false;
                0
            }
            Err(error) => return Err(error),
        };
        touched = Instant::now();
        for line in bytes[..length].iter().filter_map(|byte| typed.push(*byte)) {
            if let Some(left) = sitting.line(&line, tty, bell, desk, program)? {
                return Ok(left);
            }
        }
    }
}

impl Sitting {
    /// The state, once it is known; then what is new.
    fn tell(&mut self, tty: &Tty, known: &Known) -> io::Result<()> {
        let is_known = known.status != Asked::NotYet
            && known.health != Asked::NotYet
            && known.policy != Asked::NotYet
            && known.image != Asked::NotYet;
        if self.wanted && is_known {
            self.wanted = false;
            for line in state(known) {
                tty.say(&line)?;
            }
            self.told.all(known);
            if !core::mem::replace(&mut self.begun, true) && tty.is_terminal() {
                tty.say(MENU)?;
            }
        }
        if self.begun && !self.wanted {
            for line in self.told.news(known) {
                tty.say(&line)?;
            }
        }
        Ok(())
    }

    fn line(
        &mut self,
        line: &str,
        tty: &Tty,
        bell: &Bell,
        desk: &mut Desk,
        program: &Path,
    ) -> io::Result<Option<Left>> {
        if let Some(end) = self.question.take() {
            if line.trim() == YES {
                match power::ask(end) {
                    Ok(()) => return Ok(Some(Left::Ending)),
                    Err(why) => tty.say(&why)?,
                }
            } else {
                tty.say("Cancelled. Nothing was changed.")?;
            }
            return Ok(None);
        }
        match Wanted::of(line) {
            Wanted::Nothing => {}
            Wanted::Leave => return Ok(Some(Left::Quit)),
            Wanted::Menu => tty.say(MENU)?,
            Wanted::State => {
                self.wanted = true;
                desk.refresh();
                desk.known.status = Asked::NotYet;
            }
            Wanted::End(end) => {
                self.question = Some(end);
                let what = match end {
                    End::Reboot => "reboot",
                    End::PowerOff => "power off",
                };
                tty.say(&format!("{what}: workloads end, evidence goes to the stick. Type {YES} to do it:"))?;
            }
            _ if self.busy.is_some() => tty.say("Not now: something is under way.")?,
            Wanted::Glass => {
                desk.stop_following();
                glass(tty, bell, program)?;
                desk.refresh();
            }
            Wanted::Ask(ask) => match desk.ask(ask) {
                Ok(()) => {
                    self.busy = Some(ask);
                    tty.say(&format!("{}: under way ..", ask.title()))?;
                }
                Err(why) => tty.say(&why)?,
            },
            Wanted::Unknown => tty.say(&format!("`{}` is not in the menu. {MENU}", line.trim()))?,
        }
        Ok(None)
    }
}

/// `aegis top` in lines: a table each time, or an object of JSON.
///
/// # Errors
/// Nobody reads it any more.
pub(crate) fn top(
    tty: &Tty,
    bell: &Bell,
    desk: &mut Desk,
    app: &mut crate::app::App,
    seconds: u16,
    (once, json): (bool, bool),
) -> io::Result<Left> {
    loop {
        let now = Instant::now();
        for news in desk.turn(Watch::Load(seconds), now) {
            let News::Measured(at, measured) = news else { continue };
            app.top.hear(at, measured);
            // The first look has no rates.
            if !app.top.has_rates() {
                continue;
            }
            if json {
                let rows: Vec<_> = app.top.rows.iter().map(crate::load::Row::to_json).collect();
                let all = serde_json::json!({ "seconds": seconds, "more": app.top.more, "workloads": rows });
                tty.say(&all.to_string())?;
            } else {
                for line in app.top.lines() {
                    tty.say(&line)?;
                }
                if !once {
                    tty.say("")?;
                }
            }
            if app.top.alone {
                eprintln!("aegis-console: {NO_AGENT}");
            }
            if once {
                return Ok(if app.top.alone { Left::Gone } else { Left::Quit });
            }
        }
        if bell.is_stopped() {
            return Ok(Left::Stopped);
        }
        bell.wait(false, &desk.fds(), desk.due(Watch::Load(seconds), now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Line, Status, Verdict};

    fn event(sequence: u64) -> Line {
        let line = format!(
            "{{\"sequence\":{sequence},\"kind\":\"open\",\"workload\":\"w\",\"rule\":\"r\",\"path\":\"/x\"}}"
        );
        Line::of(line.as_bytes()).expect("a line")
    }

    fn status(mode: &str, percent: u64) -> Asked<Status> {
        let it = serde_json::json!({"phase": "ready", "mode": mode, "reason": "self-test-passed", "ring": {"level": "normal", "unexported_percent": percent}});
        Asked::Known(Status::of(&it))
    }

    fn health(codes: &[&str]) -> Asked<Verdict> {
        let all: Vec<_> =
            codes.iter().map(|code| serde_json::json!({"code": code, "severity": "bad"})).collect();
        Asked::Known(Verdict::of(&serde_json::json!({"verdict": "unhealthy", "findings": all})))
    }

    #[test]
    fn only_what_is_new_is_said_and_a_storm_is_counted() {
        let mut known = Known { status: status("enforcing", 3), health: health(&["a"]), ..Known::default() };
        let mut told = Told::default();
        told.all(&known);
        assert!(told.news(&known).is_empty());
        // What moves all the time is not news.
        known.status = status("enforcing", 4);
        assert!(told.news(&known).is_empty());
        known.status = status("audit-only", 4);
        known.health = health(&["b"]);
        let news = told.news(&known);
        assert!(news[0].starts_with("state     DEGRADED: nothing is denied"), "{news:?}");
        assert!(
            news.contains(&"!! b: ; ".to_owned()) && news.contains(&"ok a: no more".to_owned()),
            "{news:?}"
        );
        (1..=30).for_each(|sequence| known.hear(&event(sequence)));
        let news = told.news(&known);
        assert_eq!(news.len(), limits::PLAIN_DENIALS + 1, "{news:?}");
        assert_eq!(news[0], "denied    20 more before these");
        assert_eq!(news[10], "denied    00:00:00 #30 w open /x  [r]");
        assert!(told.news(&known).is_empty());
    }

    #[test]
    fn typed_lines_are_bounded_and_every_letter_of_the_menu_is_one() {
        let mut typed = Typed::default();
        let mut lines = [b"a\x08d\r".as_slice(), &[b'x'; 1000], b"\x1b\n"]
            .concat()
            .into_iter()
            .filter_map(|byte| typed.push(byte));
        assert_eq!(lines.next().as_deref(), Some("d"));
        assert!(lines.next().is_some_and(|line| line.len() <= limits::TYPED_BYTES));
        for part in MENU.split(", ").filter(|part| !part.starts_with('?')) {
            let letter = part.split(' ').next().unwrap_or_default();
            assert!(!matches!(Wanted::of(letter), Wanted::Unknown | Wanted::Nothing), "{part}");
        }
        assert_eq!((Wanted::of("yes"), Wanted::of("rm -rf /")), (Wanted::Unknown, Wanted::Unknown));
    }
}
