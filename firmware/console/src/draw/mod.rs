//! Pages, drawn into a buffer of cells. Printable ASCII alone, so that it is the same in every character set; what a colour says a
//! word says, too.

mod main_page;
#[cfg(test)]
mod tests;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};

use crate::app::{App, Page, Report, Top};
use crate::known::{Known, Tone};
use crate::load::{HEAD, line};
use crate::text::clip;

const TITLE: Style = Style::new().add_modifier(Modifier::REVERSED.union(Modifier::BOLD));
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

impl Tone {
    /// Its colour. None of plain.
    pub(crate) const fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => Style::new().fg(Color::Green),
            Self::Warn => Style::new().fg(Color::Yellow),
            Self::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}

/// A place to draw on. What does not fit is cut; nothing is drawn outside.
struct Paper<'b> {
    buffer: &'b mut Buffer,
    area: Rect,
}

impl Paper<'_> {
    fn put(&mut self, x: u16, y: u16, text: &str, style: Style) {
        if y < self.area.height && x < self.area.width {
            self.buffer.set_stringn(x, y, text, usize::from(self.area.width - x), style);
        }
    }

    /// So that it ends before the column `end`.
    fn put_before(&mut self, end: u16, y: u16, text: &str, style: Style) {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.put(end.saturating_sub(length), y, text, style);
    }

    fn bar(&mut self, y: u16, style: Style) {
        let blank = " ".repeat(usize::from(self.area.width));
        self.put(0, y, &blank, style);
    }

    fn title(&mut self, left: &str, right: &str) {
        self.bar(0, TITLE);
        let width = self.area.width;
        self.put(1, 0, &clip(left, usize::from(width).saturating_sub(right.len() + 4)), TITLE);
        self.put_before(width.saturating_sub(1), 0, right, TITLE);
    }

    fn foot(&mut self, text: &str) {
        let y = self.area.height.saturating_sub(1);
        self.bar(y, Style::new().add_modifier(Modifier::REVERSED));
        self.put(1, y, text, Style::new().add_modifier(Modifier::REVERSED));
    }
}

/// The page that is to be seen. Says how many lines a page has for what is moved through.
pub(crate) fn page(buffer: &mut Buffer, app: &App, known: &Known) -> usize {
    let area = buffer.area;
    let mut paper = Paper { buffer, area };
    match &app.page {
        Page::Main | Page::Question(_) => main_page::draw(&mut paper, app, known),
        Page::Report(report) => report_page(&mut paper, report, app, known),
        Page::Top => top_page(&mut paper, app, &app.top, known),
        Page::Help => help_page(&mut paper, app, known),
    }
    usize::from(area.height.saturating_sub(4))
}

/// The one word that counts. Of what is old it is said that it is.
fn word(app: &App, known: &Known) -> (String, Tone) {
    let (word, tone, _) = known.standing();
    if app.asleep { (format!("PAUSED, WAS {word}"), Tone::Warn) } else { (word, tone) }
}

/// What every page begins with.
fn head(paper: &mut Paper<'_>, what: &str, app: &App, known: &Known) {
    let debug = if known.is_debug() { "  ** DEBUG IMAGE **" } else { "" };
    paper.title(&format!("AEGIS  {what}{debug}"), &word(app, known).0);
}

fn report_page(paper: &mut Paper<'_>, report: &Report, app: &App, known: &Known) {
    head(paper, &report.title, app, known);
    let height = usize::from(paper.area.height.saturating_sub(4));
    for (y, (tone, line)) in (2u16..).zip(report.lines.iter().skip(report.top).take(height)) {
        paper.put(1, y, line, tone.style());
    }
    let last = (report.top + height).min(report.lines.len());
    let more = if last < report.lines.len() { "   MORE BELOW" } else { "" };
    let whole = report.lines.len();
    paper.foot(&format!(
        "up, down, space: move   q: back   lines {} to {last} of {whole}{more}",
        (report.top + 1).min(last)
    ));
}

fn top_page(paper: &mut Paper<'_>, app: &App, top: &Top, known: &Known) {
    head(paper, "top", app, known);
    let height = usize::from(paper.area.height.saturating_sub(4));
    paper.put(1, 1, HEAD, BOLD);
    for (y, row) in (2u16..).zip(top.rows.iter().skip(top.first).take(height)) {
        let busy = row.denials.is_some_and(|rate| rate > 0.0);
        paper.put(1, y, &line(row), if busy { Tone::Warn.style() } else { Style::new() });
    }
    let note = match (&app.said, app.asleep) {
        (_, true) => (Tone::Warn, "PAUSED: nobody pressed a key for 5 minutes. Any key goes on.".to_owned()),
        (Some(said), _) => said.clone(),
        _ if top.alone => (Tone::Bad, NO_AGENT.to_owned()),
        _ if top.rows.is_empty() => (Tone::Plain, "waiting for the first figures".to_owned()),
        _ if !top.has_rates() => (Tone::Plain, "rates come with the next look".to_owned()),
        _ if top.more => (Tone::Warn, "there are more workloads; they are not shown".to_owned()),
        _ => (Tone::Plain, String::new()),
    };
    paper.put(1, paper.area.height.saturating_sub(2), &note.1, note.0.style());
    let last = (top.first + height).min(top.rows.len());
    paper.foot(&format!(
        "s: sort (by {})  up, down: move  q: {}  rows {} to {last} of {}  up {}",
        top.by.name(),
        if app.top_only { "quit" } else { "back" },
        (top.first + 1).min(last),
        top.rows.len(),
        crate::text::clock(known.uptime)
    ));
}

/// What `top` says of a device that records nothing.
pub(crate) const NO_AGENT: &str = "no agent answers: nothing is recorded (`aegis health` says more)";

const HELP: [&str; 20] = [
    "e   export now: evidence to the stick that is there. Takes nothing from it",
    "v   verify stick: what is on it, and would it be taken? Changes nothing",
    "b   break glass: shows the challenge, takes a token, typed or pasted",
    "d   doctor: what is not as it should be, with meaning and mend",
    "x   the last denial, explained          a   alerts of the policy",
    "w   workloads: how each is doing        t   top: what each takes",
    "l   log of Aegis's programs             p   probe: what this kernel offers",
    "n   site network: does it listen?       u   support bundle to the stick",
    "r   reboot, o power off: workloads end, the rest of the evidence goes out",
    "q   leave. At a serial line: quiet again, until somebody presses Enter",
    "Control and l: all of the screen anew, when something was written over it",
    "",
    "Times are since the start of this boot: no clock is trusted.",
    "Marks: !! bad   ?? not known   -- to be known",
    "",
    "All that is shown is what commands of `aegis` say (`aegis --help`). After five",
    "minutes without a key nothing is asked any more, and the screen says so.",
    "",
    "A screen that is wrong for this terminal: q, then Enter, then p: plain lines.",
    "",
];

fn help_page(paper: &mut Paper<'_>, app: &App, known: &Known) {
    head(paper, "help", app, known);
    for (y, line) in (2u16..).zip(HELP) {
        paper.put(1, y, line, Style::new());
    }
    paper.foot("any key: back");
}
