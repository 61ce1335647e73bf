//! The first page: state, what is not well, what was denied last, what came by stick, the menu.

use ratatui_core::style::{Modifier, Style};

use super::{BOLD, Paper};
use crate::app::{App, Page};
use crate::known::{Asked, Known, Tone, decision, decision_tone, denial};
use crate::text::{clip, clock};

/// Where names and texts of the state begin, left and right.
const LEFT: (u16, u16) = (1, 10);
const RIGHT: (u16, u16) = (51, 59);

/// Single keys, and what they do.
/// What there is room for; `?` has the rest.
const MENU: [(&str, &str); 8] = [
    ("e", "export"),
    ("v", "stick"),
    ("b", "glass"),
    ("d", "doctor"),
    ("w", "workloads"),
    ("r", "reboot"),
    ("o", "off"),
    ("?", "more"),
];

/// Lines that each part has.
struct Room {
    findings: u16,
    denials: u16,
    decisions: u16,
}

impl Room {
    /// Of so many lines below the state: what is more than a screen of 24 has goes to findings and denials.
    fn of(height: u16) -> Self {
        let more = height.saturating_sub(24);
        let findings = 4 + more / 3;
        Self { findings, denials: 4 + more - more / 3, decisions: 3 }
    }
}

pub(super) fn draw(paper: &mut Paper<'_>, app: &App, known: &Known) {
    let (width, height) = (paper.area.width, paper.area.height);
    let (word, tone) = super::word(app, known);
    let up = format!("up {}", clock(known.uptime));
    let variant = if known.is_debug() { known.variant.to_ascii_uppercase() } else { known.variant.clone() };
    paper.title(&format!("AEGIS  {variant}"), &up);
    // The one word that counts, in the middle of the bar; the tone's colour shows on it, too.
    let x = (width.saturating_sub(u16::try_from(word.len()).unwrap_or(0))) / 2;
    paper.put(x.saturating_sub(1), 0, &format!(" {word} "), tone.style().patch(super::TITLE));
    if known.is_debug() {
        let text = if known.variant.is_empty() {
            "** THE IMAGE DOES NOT SAY THAT IT IS ONE FOR THE FIELD **"
        } else {
            "** DEBUG IMAGE: it has a shell and tools, and is none for the field **"
        };
        paper.put(1, 1, text, Tone::Warn.style().add_modifier(Modifier::BOLD));
    }
    for (y, [left, right]) in (2u16..).zip(known.facts()) {
        let left_end = if right.name.is_empty() { width.saturating_sub(1) } else { RIGHT.0 - 1 };
        for (fact, (at, text_at), end) in [(left, LEFT, left_end), (right, RIGHT, width)] {
            paper.put(at, y, fact.name, Style::new());
            let room = usize::from(end.saturating_sub(text_at));
            let style = fact.tone.style().add_modifier(Modifier::BOLD);
            paper.put(text_at, y, &clip(&fact.text, room), style);
        }
    }
    let room = Room::of(height);
    let y = findings(paper, 8, room.findings, known);
    let y = denials(paper, y, room.denials, known);
    decisions(paper, y, room.decisions, known);
    said(paper, height.saturating_sub(2), app);
    menu(paper, height.saturating_sub(1));
}

/// A rule across the screen with a name on the left and a word on the right.
fn heading(paper: &mut Paper<'_>, y: u16, name: &str, words: &str, tone: Tone) {
    let width = paper.area.width;
    paper.put(1, y, &"-".repeat(usize::from(width.saturating_sub(2))), Style::new());
    paper.put(1, y, &format!("{name} "), BOLD);
    paper.put_before(
        width.saturating_sub(1),
        y,
        &format!(" {words}"),
        tone.style().add_modifier(Modifier::BOLD),
    );
}

/// What is not as it should be. Alerts of the policy's rules have their place here, before the findings.
fn findings(paper: &mut Paper<'_>, y: u16, rows: u16, known: &Known) -> u16 {
    let (words, tone) = known.findings_words();
    heading(paper, y, "Alerts and findings", &words, tone);
    let width = usize::from(paper.area.width.saturating_sub(2));
    match &known.health {
        Asked::NotYet => paper.put(1, y + 1, "health is being asked", Style::new()),
        Asked::Failed(why) => paper.put(1, y + 1, &clip(&format!("?? {why}"), width), Tone::Bad.style()),
        Asked::Known(verdict) if verdict.findings.is_empty() => {
            paper.put(1, y + 1, "nothing: the device keeps what it promises", Style::new());
        }
        Asked::Known(verdict) => {
            let all = verdict.findings.len();
            let fits = usize::from(rows);
            let shown = if all > fits { fits - 1 } else { all };
            for (y, finding) in (y + 1..).zip(verdict.findings.iter().take(shown)) {
                let head = format!("{} {}", finding.severity.mark(), finding.code);
                paper.put(1, y, &clip(&format!("{head}: {}", finding.meaning), width), Style::new());
                paper.put(1, y, &clip(&head, width), Tone::from(finding.severity).style());
            }
            if all > shown {
                let left = all - shown;
                let text = format!("   and {left} more: press d for all, with their mends");
                paper.put(1, y + rows, &text, BOLD);
            }
        }
    }
    y + 1 + rows
}

fn denials(paper: &mut Paper<'_>, y: u16, rows: u16, known: &Known) -> u16 {
    let tone = if known.missed > 0 { Tone::Warn } else { Tone::Plain };
    let words = match (known.missed, known.status.known()) {
        (0, Some(status)) => format!("{} in this boot", status.denied),
        (0, None) => "not known".to_owned(),
        (missed, _) => format!("{missed} events not in the ring any more"),
    };
    heading(paper, y, "Last denials", &words, tone);
    let width = usize::from(paper.area.width.saturating_sub(2));
    if let Some(why) = known.unfollowed.as_ref().filter(|_| known.denials.is_empty()) {
        paper.put(1, y + 1, &clip(&format!("not followed: {why}"), width), Tone::Warn.style());
    } else if known.denials.is_empty() {
        paper.put(1, y + 1, "none among the last events but the self-test's", Style::new());
    }
    for (y, event) in (y + 1..).zip(known.denials.iter().rev().take(usize::from(rows))) {
        let head = format!("{:>9} #{:<6} ", known.when(event), event.sequence);
        paper.put(1, y, &format!("{head}{}", denial(event, width.saturating_sub(head.len()))), Style::new());
    }
    y + 1 + rows
}

fn decisions(paper: &mut Paper<'_>, y: u16, rows: u16, known: &Known) {
    let plug = known.decisions.iter().rev().find(|event| event.kind == "stick");
    let words =
        plug.map_or_else(|| "no stick yet".to_owned(), |plug| format!("last plug {}", known.when(plug)));
    heading(paper, y, "Sticks and decisions", &words, Tone::Plain);
    let width = usize::from(paper.area.width.saturating_sub(2));
    if known.decisions.is_empty() {
        paper.put(1, y + 1, "nothing came among the last events", Style::new());
    }
    for (y, event) in (y + 1..).zip(known.decisions.iter().rev().take(usize::from(rows))) {
        let head = format!("{:>9} #{:<6} ", known.when(event), event.sequence);
        let text = format!("{head}{}", decision(event, width.saturating_sub(head.len())));
        paper.put(1, y, &text, decision_tone(event).style());
    }
}

fn said(paper: &mut Paper<'_>, y: u16, app: &App) {
    let reversed = Style::new().add_modifier(Modifier::REVERSED.union(Modifier::BOLD));
    let width = usize::from(paper.area.width.saturating_sub(2));
    let (text, style) = match (&app.page, app.ending) {
        (_, Some(_)) => ("The system ends. The rest is said below by init.".to_owned(), reversed),
        (Page::Question(end), _) => (end.question().to_owned(), reversed),
        _ if app.asleep => {
            ("PAUSED: nobody pressed a key for 5 minutes, this is old. Any key goes on.".to_owned(), reversed)
        }
        _ => match (&app.said, app.busy) {
            (Some((tone, said)), _) => (said.clone(), tone.style()),
            (None, Some(busy)) => (format!("{}: under way ..", busy.title()), BOLD),
            (None, None) => return,
        },
    };
    paper.put(1, y, &clip(&text, width), style);
}

fn menu(paper: &mut Paper<'_>, y: u16) {
    let (mut x, bar) = (1, Style::new().add_modifier(Modifier::REVERSED));
    paper.bar(y, bar);
    for (key, what) in MENU {
        paper.put(x, y, key, bar.add_modifier(Modifier::BOLD | Modifier::UNDERLINED));
        paper.put(x + 2, y, what, bar);
        x += 4 + u16::try_from(what.len()).unwrap_or(0);
    }
}
