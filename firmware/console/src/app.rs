//! What the screen shows and what keys do: no file, no child, no clock of its own.

use crate::keys::Key;
use crate::known::Tone;
use crate::limits;
use crate::load::{By, HEAD, Measured, Row, line, rows};
use crate::model::Verdict;
use crate::text::{clip, plain, wrap};

/// What is asked of `aegis`, and how it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Status,
    Health,
    Policy,
    Image,
    Metrics,
    Doctor,
    Workloads,
    Verify,
    Export,
    Explain,
    Alerts,
    Log,
    Probe,
    Site,
    Support,
}

impl Ask {
    /// What a person asks by a key, and by which.
    pub(crate) const BY_KEY: [(char, Self); 10] = [
        ('e', Self::Export),
        ('v', Self::Verify),
        ('d', Self::Doctor),
        ('w', Self::Workloads),
        ('x', Self::Explain),
        ('a', Self::Alerts),
        ('l', Self::Log),
        ('p', Self::Probe),
        ('n', Self::Site),
        ('u', Self::Support),
    ];

    /// By its key.
    pub(crate) fn of_key(letter: char) -> Option<Self> {
        Self::BY_KEY.into_iter().find_map(|(key, ask)| (key == letter).then_some(ask))
    }

    /// Of what is longer than is kept the end is kept: it is a log.
    pub(crate) const fn is_log(self) -> bool {
        matches!(self, Self::Log)
    }

    /// The words behind `aegis`.
    pub(crate) const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Status => &["status", "--json"],
            Self::Health => &["health", "--json"],
            Self::Policy => &["policy", "status", "--json"],
            Self::Image => &["image", "status", "--json"],
            Self::Metrics => &["metrics"],
            Self::Doctor => &["doctor", "--json"],
            Self::Workloads => &["workload", "list"],
            Self::Verify => &["stick", "verify"],
            Self::Export => &["stick", "take", "--evidence"],
            Self::Explain => &["explain", "--last-deny"],
            Self::Alerts => &["alerts"],
            Self::Log => &["logs"],
            Self::Probe => &["probe"],
            Self::Site => &["site"],
            Self::Support => &["support"],
        }
    }

    /// How long it may take.
    pub(crate) const fn limit(self) -> core::time::Duration {
        match self {
            Self::Export | Self::Verify | Self::Support => limits::ACT,
            _ => limits::LOOK,
        }
    }

    /// What a person calls it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Health => "health",
            Self::Policy => "policy",
            Self::Image => "image",
            Self::Metrics => "top",
            Self::Doctor => "doctor",
            Self::Workloads => "workloads",
            Self::Verify => "verify stick",
            Self::Export => "export now",
            Self::Explain => "the last denial",
            Self::Alerts => "alerts",
            Self::Log => "log",
            Self::Probe => "probe",
            Self::Site => "site network",
            Self::Support => "support bundle",
        }
    }
}

/// How the system ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Reboot,
    PowerOff,
}

impl End {
    /// What a person is asked before.
    pub(crate) const fn question(self) -> &'static str {
        match self {
            Self::Reboot => "REBOOT? Workloads end, evidence goes to the stick.  y: yes   n: no",
            Self::PowerOff => "POWER OFF? Workloads end, evidence goes to the stick.  y: yes   n: no",
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Ask(Ask),
    /// `aegis break-glass console --once`, with the whole terminal.
    Glass,
    End(End),
    /// All of the screen anew.
    Redraw,
    /// The screen is so large: columns, rows.
    Size(u16, u16),
    Leave,
}

/// Lines that can be moved through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) lines: Vec<(Tone, String)>,
    pub(crate) top: usize,
}

/// What the screen shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Page {
    #[default]
    Main,
    /// The same, and a question that only `y` answers.
    Question(End),
    Report(Report),
    Top,
    Help,
}

/// What is shown, and what was said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct App {
    pub(crate) page: Page,
    /// The line above the menu.
    pub(crate) said: Option<(Tone, String)>,
    /// Asked by a person, and not answered yet.
    pub(crate) busy: Option<Ask>,
    /// Nobody touched a key for a time: nothing is asked.
    pub(crate) asleep: bool,
    /// `aegis top`: there is no other page.
    pub(crate) top_only: bool,
    pub(crate) top: Top,
    /// Lines of the body of a page, as it was drawn last.
    pub(crate) height: usize,
    /// Since the start of the boot, s: when the system was told to end.
    pub(crate) ending: Option<End>,
}

/// The page of what workloads take.
#[derive(Clone, Debug, Default)]
pub(crate) struct Top {
    pub(crate) by: By,
    pub(crate) rows: Vec<Row>,
    pub(crate) more: bool,
    /// No agent answers.
    pub(crate) alone: bool,
    /// The first row that is shown.
    pub(crate) first: usize,
    before: Option<(f64, Measured)>,
    last: Option<(f64, Measured)>,
}

impl Top {
    /// One more answer, and when it came, s.
    pub(crate) fn hear(&mut self, at: f64, measured: Measured) {
        self.before = self.last.take();
        (self.more, self.alone) = (measured.more, measured.alone);
        self.last = Some((at, measured));
        self.sort();
    }

    fn sort(&mut self) {
        let Some((at, now)) = &self.last else { return };
        let (seconds, before) = match &self.before {
            Some((then, before)) => (at - then, Some(before)),
            None => (0.0, None),
        };
        self.rows = rows(before, now, seconds, self.by);
        self.first = self.first.min(self.rows.len().saturating_sub(1));
    }

    /// Sorted by that from now on.
    pub(crate) fn sort_by(&mut self, by: By) {
        self.by = by;
        self.sort();
    }

    /// There are rates: two answers.
    pub(crate) const fn has_rates(&self) -> bool {
        self.before.is_some()
    }

    /// As plain lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        std::iter::once(HEAD.to_owned()).chain(self.rows.iter().map(line)).collect()
    }
}

impl App {
    /// What a key does. Of a device that is about to end none does anything.
    pub(crate) fn key(&mut self, key: Key) -> Option<Act> {
        if let Key::Place { row, column } = key {
            return Some(Act::Size(column, row));
        }
        if matches!(key, Key::Control('l')) {
            return Some(Act::Redraw);
        }
        // Of one who was away the first key only wakes.
        if core::mem::take(&mut self.asleep) || self.ending.is_some() {
            return None;
        }
        if matches!(key, Key::Control('c' | 'd')) {
            return Some(Act::Leave);
        }
        match core::mem::take(&mut self.page) {
            Page::Question(end) => {
                if key == Key::Char('y') {
                    self.ending = Some(end);
                    return Some(Act::End(end));
                }
                self.said = Some((Tone::Plain, "Cancelled. Nothing was changed.".to_owned()));
                None
            }
            Page::Report(report) => self.report_key(report, key),
            Page::Help => None,
            Page::Top => self.top_key(key),
            Page::Main => self.main_key(key),
        }
    }

    fn main_key(&mut self, key: Key) -> Option<Act> {
        self.said = None;
        let Key::Char(letter) = key else { return None };
        if let Some(ask) = Ask::of_key(letter) {
            return self.ask(ask);
        }
        match letter {
            'b' if self.busy.is_none() => return Some(Act::Glass),
            'b' => self.still_busy(),
            't' => {
                self.page = Page::Top;
                return Some(Act::Ask(Ask::Metrics));
            }
            'r' => self.page = Page::Question(End::Reboot),
            'o' => self.page = Page::Question(End::PowerOff),
            'q' => return Some(Act::Leave),
            '?' | 'h' => self.page = Page::Help,
            _ => self.said = Some((Tone::Plain, format!("No key of the menu: {letter}   ?: what they do"))),
        }
        None
    }

    fn ask(&mut self, ask: Ask) -> Option<Act> {
        if self.busy.is_some() {
            self.still_busy();
            return None;
        }
        self.busy = Some(ask);
        Some(Act::Ask(ask))
    }

    fn still_busy(&mut self) {
        if let Some(busy) = self.busy {
            self.said = Some((Tone::Warn, format!("Not now: {} is not over.", busy.title())));
        }
    }

    fn report_key(&mut self, mut report: Report, key: Key) -> Option<Act> {
        let page = self.height.max(2) - 1;
        let most = report.lines.len().saturating_sub(self.height.max(1));
        report.top = match key {
            Key::Down | Key::Char('j') | Key::Enter => report.top + 1,
            Key::Up | Key::Char('k') => report.top.saturating_sub(1),
            Key::PageDown | Key::Char(' ' | 'f') => report.top + page,
            Key::PageUp | Key::Char('b') | Key::Backspace => report.top.saturating_sub(page),
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => most,
            Key::Escape | Key::Char('q') => return None,
            _ => report.top,
        }
        .min(most);
        self.page = Page::Report(report);
        None
    }

    fn top_key(&mut self, key: Key) -> Option<Act> {
        match key {
            Key::Escape | Key::Char('q') if self.top_only => return Some(Act::Leave),
            Key::Escape | Key::Char('q') => return None,
            Key::Char('s') => self.top.sort_by(self.top.by.next()),
            Key::Down | Key::Char('j') => self.top.first += 1,
            Key::Up | Key::Char('k') => self.top.first = self.top.first.saturating_sub(1),
            Key::PageDown | Key::Char(' ') => self.top.first += self.height,
            Key::PageUp | Key::Char('b') => self.top.first = self.top.first.saturating_sub(self.height),
            _ => {}
        }
        self.top.first = self.top.first.min(self.top.rows.len().saturating_sub(self.height.max(1)));
        self.page = Page::Top;
        None
    }

    /// The answer to what a person asked; `width`: of the screen's lines.
    pub(crate) fn answered(&mut self, ask: Ask, answer: &Answer, width: usize) {
        if self.busy == Some(ask) {
            self.busy = None;
        }
        let lines = match ask {
            Ask::Doctor => doctor(answer, width),
            _ => said(ask, answer, width),
        };
        // Who is asked something else meanwhile is not interrupted.
        if matches!(self.page, Page::Main) {
            // Of a log it is the end that is looked for.
            let top = if ask.is_log() { lines.len().saturating_sub(self.height.max(1)) } else { 0 };
            self.page = Page::Report(Report { title: ask.title().to_owned(), lines, top });
        } else {
            let last = lines.first().map(|(_, line)| line.clone()).unwrap_or_default();
            self.said = Some((answer.tone(), format!("{}: {}", ask.title(), clip(&last, 60))));
        }
    }
}

/// What a command said and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    /// None: it did not end by itself.
    pub(crate) code: Option<i32>,
    /// It was ended: it took too long.
    pub(crate) cut: bool,
    /// It said more than is kept.
    pub(crate) more: bool,
}

impl Answer {
    /// How it is to be looked at.
    pub(crate) const fn tone(&self) -> Tone {
        match self.code {
            Some(0) => Tone::Good,
            Some(1) => Tone::Warn,
            _ => Tone::Bad,
        }
    }

    /// How it ended, in words.
    pub(crate) fn end(&self) -> String {
        match (self.code, self.cut) {
            (_, true) => "it took too long, and was ended".to_owned(),
            (Some(0), _) => "done".to_owned(),
            (Some(1), _) => "refused, or not well (exit 1)".to_owned(),
            (Some(code), _) => format!("an error (exit {code})"),
            (None, _) => "it was killed".to_owned(),
        }
    }

    /// The object that it printed; else why there is none, in its own words.
    pub(crate) fn object(&self) -> Result<serde_json::Value, String> {
        let why = match crate::model::object(&self.out) {
            Ok(object) if !self.cut && !self.more => return Ok(object),
            Ok(_) => "the answer is not whole",
            Err(why) => why,
        };
        let said = String::from_utf8_lossy(&self.err);
        let own = said.lines().rev().map(message).find(|line| !line.is_empty());
        Err(own.unwrap_or_else(|| if self.cut { self.end() } else { why.to_owned() }))
    }
}

/// All that a command said, as lines. Of a log the last.
pub(crate) fn said(ask: Ask, answer: &Answer, width: usize) -> Vec<(Tone, String)> {
    let mut words = Vec::new();
    for bytes in [&answer.out, &answer.err] {
        let text = String::from_utf8_lossy(bytes);
        let left_out =
            if ask.is_log() { text.lines().count().saturating_sub(limits::REPORT_LINES) } else { 0 };
        for line in text.lines().skip(left_out).take(limits::REPORT_LINES).map(message) {
            words.extend(wrap(&line, width, 2).into_iter().map(|line| (Tone::Plain, line)));
        }
    }
    let more = (Tone::Warn, "There was more; it is not shown.".to_owned());
    let mut lines = vec![(answer.tone(), answer.end()), (Tone::Plain, String::new())];
    if ask.is_log() {
        lines.extend(answer.more.then_some(more));
        let room = limits::REPORT_LINES.saturating_sub(lines.len());
        words.drain(..words.len().saturating_sub(room));
        lines.extend(words);
    } else {
        lines.extend(words);
        lines.extend(answer.more.then_some(more));
        lines.truncate(limits::REPORT_LINES);
    }
    lines
}

/// A line of a command's log, as text or JSON, or its last word, made printable, without where in the program it comes from.
fn message(line: &str) -> String {
    const LEVELS: [(&str, &str, &str); 3] =
        [("INFO ", "info", ""), ("WARN ", "warn", "!! "), ("ERROR", "error", "!! ")];
    let line = line.trim_end();
    let shown = |mark: &str, text: &str| plain(&format!("{mark}{text}"), limits::SENTENCE);
    for (level, _, mark) in LEVELS {
        let rest = line.strip_prefix(level).and_then(|rest| rest.trim_start().strip_prefix("[aegis"));
        if let Some((_, text)) = rest.and_then(|rest| rest.split_once("] ")) {
            return shown(mark, text);
        }
    }
    if line.starts_with('{')
        && let Ok(object) = crate::model::object(line.as_bytes())
        && let (Some(level), Some(text)) = (object["level"].as_str(), object["text"].as_str())
    {
        let mark = LEVELS.iter().find(|(_, name, _)| *name == level).map_or("!! ", |(.., mark)| mark);
        return shown(mark, text);
    }
    shown("", line.strip_prefix("aegis: ").unwrap_or(line))
}

/// What the doctor found, with meaning and mend.
pub(crate) fn doctor(answer: &Answer, width: usize) -> Vec<(Tone, String)> {
    let verdict = match answer.object() {
        Ok(object) => Verdict::of(&object),
        Err(_) => return said(Ask::Doctor, answer, width),
    };
    let tone = if verdict.word == "well" { Tone::Good } else { Tone::Bad };
    let mut lines = vec![(tone, verdict.word.to_ascii_uppercase())];
    for finding in &verdict.findings {
        lines.push((Tone::Plain, String::new()));
        lines.push((finding.severity.into(), format!("{} {}", finding.severity.mark(), finding.code)));
        for (head, words) in [("   ", &finding.meaning), ("   mend: ", &finding.mend)] {
            lines.extend(
                wrap(&format!("{head}{words}"), width, 3).into_iter().map(|line| (Tone::Plain, line)),
            );
        }
    }
    if verdict.more {
        lines.push((Tone::Warn, "There is more; `aegis doctor` says it.".to_owned()));
    }
    lines.push((Tone::Plain, String::new()));
    for (name, words) in &verdict.facts {
        lines
            .extend(wrap(&format!("{name:<8}{words}"), width, 8).into_iter().map(|line| (Tone::Plain, line)));
    }
    lines.truncate(limits::REPORT_LINES);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(app: &mut App, letters: &str) -> Vec<Option<Act>> {
        letters.chars().map(|letter| app.key(Key::Char(letter))).collect()
    }

    #[test]
    fn only_y_ends_the_system_and_then_no_key_does_anything() {
        let mut app = App::default();
        for no in ["rn", "rr", "oo", "o ", "rY"] {
            assert_eq!(press(&mut app, no), [None, None], "{no}");
            assert!(app.ending.is_none() && app.page == Page::Main);
        }
        assert_eq!(press(&mut app, "oy"), [None, Some(Act::End(End::PowerOff))]);
        assert_eq!(press(&mut app, "rydeq"), [None; 5]);
    }

    #[test]
    fn one_thing_at_a_time_is_asked() {
        let mut app = App::default();
        assert_eq!(press(&mut app, "evdb"), [Some(Act::Ask(Ask::Export)), None, None, None]);
        let answer = Answer { out: b"a\x1b[2J\n".to_vec(), code: Some(0), ..Answer::default() };
        app.answered(Ask::Export, &answer, 80);
        let Page::Report(report) = &app.page else { panic!("{:?}", app.page) };
        assert_eq!(report.lines[2].1, "a\\x1b[2J");
        assert_eq!(press(&mut app, "qd"), [None, Some(Act::Ask(Ask::Doctor))]);
    }

    #[test]
    fn of_a_log_the_end_is_shown() {
        let lines: Vec<String> = (0..3000).map(|n| format!("line {n}")).collect();
        let answer = Answer { out: lines.join("\n").into_bytes(), code: Some(0), ..Answer::default() };
        let mut app = App { height: 20, ..App::default() };
        assert_eq!(press(&mut app, "l"), [Some(Act::Ask(Ask::Log))]);
        app.answered(Ask::Log, &answer, 80);
        let Page::Report(report) = &app.page else { panic!("{:?}", app.page) };
        assert_eq!(report.lines.last().map(|(_, line)| line.as_str()), Some("line 2999"));
        assert_eq!((report.lines.len(), report.top), (limits::REPORT_LINES, limits::REPORT_LINES - 20));
        let first = said(Ask::Probe, &answer, 80);
        assert_eq!((first[2].1.as_str(), first.len()), ("line 0", limits::REPORT_LINES));
    }

    #[test]
    fn where_in_the_program_a_line_comes_from_is_left_out() {
        for (line, expected) in [
            ("INFO  [aegis::commands::stick] stick sda: vfat", "stick sda: vfat"),
            ("WARN  [aegis::commands::stick] stick sda: it can't", "!! stick sda: it can't"),
            ("ERROR [aegis::x] a [b] c", "!! a [b] c"),
            ("aegis: no stick", "no stick"),
            ("INFO  [other] x", "INFO  [other] x"),
            (
                r#"{"time":1,"level":"warn","module":"aegis::x","text":"a \"b\" \u001b[2J"}"#,
                "!! a \"b\" \\x1b[2J",
            ),
            (r#"{"level":"info","text":"a"}"#, "a"),
            (r#"{"offers":[]}"#, r#"{"offers":[]}"#),
        ] {
            assert_eq!(message(line), expected);
        }
    }

    #[test]
    fn the_first_key_only_wakes() {
        let mut app = App { asleep: true, ..App::default() };
        assert_eq!(press(&mut app, "bb"), [None, Some(Act::Glass)]);
    }

    #[test]
    fn reports_are_moved_through_within_their_ends() {
        let lines: Vec<_> = (0..50).map(|n| (Tone::Plain, n.to_string())).collect();
        let mut app = App { height: 20, ..App::default() };
        app.page = Page::Report(Report { title: "x".into(), lines, top: 0 });
        let top = |app: &App| if let Page::Report(report) = &app.page { report.top } else { usize::MAX };
        for (key, expected) in [
            (Key::Up, 0),
            (Key::Down, 1),
            (Key::PageDown, 20),
            (Key::PageDown, 30),
            (Key::PageDown, 30),
            (Key::Home, 0),
            (Key::End, 30),
            (Key::Backspace, 11),
        ] {
            app.key(key);
            assert_eq!(top(&app), expected, "{key:?}");
        }
        app.key(Key::Escape);
        assert_eq!(app.page, Page::Main);
    }

    #[test]
    fn an_answer_that_is_none_says_why() {
        let answer = Answer { err: b"aegis: no-agent: x\n".to_vec(), code: Some(1), ..Answer::default() };
        assert_eq!(answer.object(), Err("no-agent: x".to_owned()));
        let cut = Answer { out: b"{}".to_vec(), cut: true, ..Answer::default() };
        assert_eq!(cut.object(), Err("it took too long, and was ended".to_owned()));
    }
}
