//! Everything that is known of the device now, and the words for it: screen and plain lines say the same.
//!
//! Nothing is shown as if it were so that was not just said: an answer that did not come takes the place of the one before.

use std::collections::VecDeque;

use serde_json::Value;

use crate::limits;
use crate::model::{Event, Image, Line, Policy, Severity, Status, Verdict};
use crate::text::{date, plain, span};

/// The workload of the self-test.
const SELF_TEST: &str = "aegis-selftest";

/// An answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asked<T> {
    /// It was not asked yet.
    #[default]
    NotYet,
    Known(T),
    /// None came, and why.
    Failed(String),
}

impl<T> Asked<T> {
    /// The answer, if there is one.
    pub(crate) const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(it) => Some(it),
            Self::NotYet | Self::Failed(_) => None,
        }
    }

    /// From a child's answer.
    pub(crate) fn of(answer: Result<Value, String>, read: fn(&Value) -> T) -> Self {
        match answer {
            Ok(value) => Self::Known(read(&value)),
            Err(why) => Self::Failed(plain(&why, limits::SENTENCE)),
        }
    }
}

/// How something is to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
}

impl From<Severity> for Tone {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Bad => Self::Bad,
            Severity::Unknown => Self::Warn,
            Severity::Note => Self::Plain,
        }
    }
}

/// A name and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

/// What is kept of what was said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// `production`, or what else the image calls itself; empty: it does not say.
    pub(crate) variant: String,
    /// This boot's id, 32 digits.
    pub(crate) boot: String,
    /// Seconds since the start, when it was looked at last.
    pub(crate) uptime: u64,
    pub(crate) status: Asked<Status>,
    pub(crate) health: Asked<Verdict>,
    pub(crate) policy: Asked<Policy>,
    pub(crate) image: Asked<Image>,
    /// The newest last.
    pub(crate) denials: VecDeque<Event>,
    pub(crate) decisions: VecDeque<Event>,
    /// Sequences that can't be read any more, so that a denial may be among them.
    pub(crate) missed: u64,
    /// Why events are not followed.
    pub(crate) unfollowed: Option<String>,
}

impl Known {
    /// The image has a shell and tools, or does not say that it has none.
    pub(crate) fn is_debug(&self) -> bool {
        self.variant != "production"
    }

    /// A line of the children that follow events.
    pub(crate) fn hear(&mut self, line: &Line) {
        match line {
            Line::Missed { first, last } => {
                let count = last.map_or(1, |last| last.saturating_sub(*first).saturating_add(1));
                self.missed = self.missed.saturating_add(count);
            }
            // What the self-test was denied proves that denials are real, and is nothing to look into.
            Line::Event(event) if event.workload == SELF_TEST && !event.rule.is_empty() => {}
            Line::Event(event) => {
                let is_decision = event.rule.is_empty() && !event.code.is_empty();
                let (list, most) = if is_decision {
                    (&mut self.decisions, limits::DECISIONS)
                } else {
                    (&mut self.denials, limits::DENIALS)
                };
                if list.len() >= most {
                    list.pop_front();
                }
                list.push_back(event.clone());
            }
        }
    }

    /// The one word for how the device stands, and why. Never more than the agent's own status says.
    pub(crate) fn standing(&self) -> (String, Tone, String) {
        let of = |word: &str, tone, why: &str| (word.to_owned(), tone, why.to_owned());
        let status = match &self.status {
            Asked::NotYet => return of("LOOKING", Tone::Plain, "the agent is being asked"),
            Asked::Failed(why) => return of("NO AGENT", Tone::Bad, why),
            Asked::Known(status) => status,
        };
        if status.phase != "ready" {
            let word = format!("AGENT {}", status.phase.to_ascii_uppercase());
            return (word, Tone::Bad, "nothing more is recorded; what is in force stays so".to_owned());
        }
        if let Some(seconds) = status.broken {
            let why = format!("nothing is denied for another {}", span(seconds));
            return ("GLASS BROKEN".to_owned(), Tone::Bad, why);
        }
        match (status.mode.as_str(), status.reason.as_str()) {
            ("enforcing", _) if status.uncovered > 0 => (
                "ENFORCING, NOT ALL".to_owned(),
                Tone::Bad,
                format!("{} paths of the policy are not covered", status.uncovered),
            ),
            ("enforcing", "self-test-passed") => {
                of("ENFORCING", Tone::Good, "the self-test saw a real denial")
            }
            ("enforcing", reason) => of("ENFORCING", Tone::Good, reason),
            ("audit-only", "policy-audit") => {
                of("AUDIT ONLY", Tone::Warn, "nothing is denied: the policy asks for audit")
            }
            ("audit-only", reason) => {
                ("DEGRADED".to_owned(), Tone::Bad, format!("nothing is denied: {reason}"))
            }
            (mode, reason) => ("UNKNOWN MODE".to_owned(), Tone::Bad, format!("{mode} ({reason})")),
        }
    }

    /// Healthy or not, in a word.
    pub(crate) fn health_word(&self) -> (String, Tone) {
        match &self.health {
            Asked::NotYet => ("being asked".to_owned(), Tone::Plain),
            Asked::Failed(_) => ("not known".to_owned(), Tone::Bad),
            Asked::Known(verdict) if verdict.word == "healthy" => ("healthy".to_owned(), Tone::Good),
            Asked::Known(verdict) => (verdict.word.to_ascii_uppercase(), Tone::Bad),
        }
    }

    /// Which slot runs, and what is in it.
    fn image_words(&self) -> (String, Tone) {
        match &self.image {
            Asked::Known(Image { slot: Some(slot), on_trial: true, .. }) => {
                (format!("slot {slot}, ON TRIAL"), Tone::Warn)
            }
            Asked::Known(Image { slot: Some(slot), version, .. }) => {
                (format!("slot {slot}, {version}"), Tone::Plain)
            }
            Asked::Known(_) => ("no slots".to_owned(), Tone::Plain),
            Asked::NotYet => (String::new(), Tone::Plain),
            Asked::Failed(_) => ("slot not known".to_owned(), Tone::Warn),
        }
    }

    /// The state, a fact each: on the left and on the right of the screen, one below the other in plain lines. One without a name
    /// leaves its room to the other.
    pub(crate) fn facts(&self) -> Vec<[Fact; 2]> {
        let fact = |name, text, tone| Fact { name, text, tone };
        let unknown = || ("not known".to_owned(), Tone::Warn);
        let status = self.status.known();
        let (word, tone, why) = self.standing();
        let (health, health_tone) = self.health_word();
        let (policy, policy_tone) = status.map_or_else(unknown, |status| {
            let policy = self.policy.known().filter(|policy| policy.code.is_empty());
            let name = policy.map_or("", |policy| &policy.name);
            let space = if name.is_empty() { "" } else { ", " };
            let Status { epoch, sequence, rules, .. } = status;
            let missing = match status.unresolved {
                0 => String::new(),
                paths => format!(", {paths} paths not there"),
            };
            let plural = if *rules == 1 { "" } else { "s" };
            let text =
                format!("{name}{space}epoch {epoch} sequence {sequence}, {rules} rule{plural}{missing}");
            (text, Tone::Plain)
        });
        let (expires, expires_tone) = match &self.policy {
            Asked::NotYet => (String::new(), Tone::Plain),
            Asked::Failed(why) => (format!("not known: {why}"), Tone::Warn),
            Asked::Known(policy) if !policy.code.is_empty() => (policy.code.clone(), Tone::Bad),
            Asked::Known(policy) => match policy.expires {
                None => ("never".to_owned(), Tone::Plain),
                Some(at) if policy.stale => (format!("{} UTC: STALE, it stays", date(at)), Tone::Bad),
                Some(at) => {
                    let left = span(at.saturating_sub(policy.now));
                    (format!("{} UTC, in {left} at most", date(at)), Tone::Plain)
                }
            },
        };
        let (ring, ring_tone) = status.map_or_else(unknown, |status| {
            let ring = &status.ring;
            let tone = match ring.level.as_str() {
                "normal" => Tone::Plain,
                "high" => Tone::Warn,
                _ => Tone::Bad,
            };
            let level = if tone == Tone::Plain {
                String::new()
            } else {
                format!(": {}", ring.level.to_ascii_uppercase())
            };
            let used = used_percent(ring.used, ring.capacity);
            (format!("{used} % in use, {} % not exported{level}", ring.percent), tone)
        });
        let (events, events_tone) = status.map_or_else(unknown, |status| {
            let tone = if status.lost > 0 { Tone::Warn } else { Tone::Plain };
            (format!("{} denied, {} lost", status.denied, status.lost), tone)
        });
        let device = match &self.policy {
            Asked::Known(policy) if policy.device.is_empty() => "has no key".to_owned(),
            Asked::Known(policy) => policy.device.clone(),
            _ => String::new(),
        };
        let (image, image_tone) = self.image_words();
        vec![
            [fact("state", format!("{word}: {why}"), tone), fact("", String::new(), Tone::Plain)],
            [fact("policy", policy, policy_tone), fact("health", health, health_tone)],
            // Of no device is it trusted (docs/decisions/0005).
            [fact("expires", expires, expires_tone), fact("clock", "not trusted".to_owned(), Tone::Plain)],
            [fact("ring", ring, ring_tone), fact("events", events, events_tone)],
            [fact("device", device, Tone::Plain), fact("image", image, image_tone)],
        ]
    }

    /// How many findings of which kind, in words. This, and the findings themselves, are where alerts join.
    pub(crate) fn findings_words(&self) -> (String, Tone) {
        let Some(verdict) = self.health.known() else { return self.health_word() };
        let parts: Vec<String> =
            [(Severity::Bad, "bad"), (Severity::Unknown, "unknown"), (Severity::Note, "to be known")]
                .into_iter()
                .map(|(severity, word)| (verdict.count(severity), word))
                .filter(|(count, _)| *count > 0)
                .map(|(count, word)| format!("{count} {word}"))
                .collect();
        let tone = verdict.findings.first().map_or(Tone::Good, |first| first.severity.into());
        (if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }, tone)
    }

    /// When an event was: since the start of this boot, or that it was in another.
    pub(crate) fn when(&self, event: &Event) -> String {
        if self.boot.is_empty() || event.boot == self.boot {
            crate::text::clock(event.seconds)
        } else {
            "earlier".to_owned()
        }
    }
}

/// A denial in words, without its time and number.
pub(crate) fn denial(event: &Event, width: usize) -> String {
    let who = match (event.workload.as_str(), event.comm.as_str()) {
        ("", comm) => comm.to_owned(),
        (workload, "") => workload.to_owned(),
        (workload, comm) => format!("{workload} {comm}"),
    };
    let head = format!("{} {} ", crate::text::clip(&who, 26), event.kind);
    let rule = if event.rule.is_empty() { String::new() } else { format!("  [{}]", event.rule) };
    // What it was comes before the rule's name, which the end of the line may cut.
    let room = width.saturating_sub(head.len() + rule.len()).max(28);
    crate::text::clip(&format!("{head}{}{rule}", crate::text::clip_front(&event.object, room)), width)
}

/// What came by stick, or was decided of it, in words.
pub(crate) fn decision(event: &Event, width: usize) -> String {
    let mark = if decision_tone(event) == Tone::Plain { "ok" } else { "!!" };
    crate::text::clip(&format!("{mark} {} {}: {}", event.kind, event.code, event.object), width)
}

/// Was it a refusal, or a fault?
pub(crate) fn decision_tone(event: &Event) -> Tone {
    const FINE: [&str; 8] =
        ["accepted", "unchanged", "seen", "superseded", "rolled-back", "written", "committed", "removed"];
    // A glass that was broken is news, however good the token.
    if event.kind == "break-glass" {
        return Tone::Warn;
    }
    if FINE.contains(&event.code.as_str()) { Tone::Plain } else { Tone::Warn }
}

fn used_percent(used: u64, capacity: u64) -> u64 {
    used.saturating_mul(100).checked_div(capacity).unwrap_or_default()
}
