//! The way of hostile bytes through the console, in one piece, for who tries it.

use ratatui_core::terminal::Terminal;

use crate::app::{Answer, App, Ask, Page, Top};
use crate::backend::Ansi;
use crate::draw;
use crate::keys::Keys;
use crate::known::{Asked, Known};
use crate::load::Measured;
use crate::model::{Image, Line, Policy, Status, Verdict, object};
use crate::plain::{Told, Wanted, state};

/// What became of hostile bytes.
#[derive(Debug)]
pub struct Trial {
    /// Everything that a terminal would be sent, for the screen's pages and for plain lines.
    pub sent: Vec<u8>,
    /// They were an answer, an event or figures.
    pub understood: bool,
}

/// Takes `answer` for what each command said, `typed` for what somebody typed. Nothing is done.
pub fn trial(answer: &[u8], typed: &[u8]) -> Trial {
    let mut known = Known::default();
    let read = || object(answer).map_err(str::to_owned);
    known.status = Asked::of(read(), Status::of);
    known.health = Asked::of(read(), Verdict::of);
    known.policy = Asked::of(read(), Policy::of);
    known.image = Asked::of(read(), Image::of);
    for line in answer.split(|byte| *byte == b'\n') {
        if let Some(line) = Line::of(line) {
            known.hear(&line);
        }
    }
    let mut sent = Vec::new();
    let Ok(mut terminal) = Terminal::new(Ansi::new(crate::limits::SCREEN));
    let mut app = App::default();
    let mut show = |app: &mut App, known: &Known| {
        let mut height = 0;
        let Ok(_) = terminal.draw(|frame| height = draw::page(frame.buffer_mut(), app, known));
        app.height = height;
        sent.extend(terminal.backend_mut().take());
    };
    show(&mut app, &known);
    let (mut keys, mut plain) = (Keys::default(), crate::plain::Typed::default());
    let said = Answer { out: answer.to_vec(), err: typed.to_vec(), code: Some(1), ..Answer::default() };
    let mut understood = read().is_ok() || known.denials.len() + known.decisions.len() > 0;
    let mut lines = Vec::new();
    for byte in typed {
        if let Some(key) = keys.push(*byte) {
            let _ = app.key(key);
        }
        if let Some(line) = plain.push(*byte) {
            let _ = Wanted::of(&line);
            lines.push(line);
        }
    }
    show(&mut app, &known);
    let mut top = Top::default();
    top.hear(0.0, Measured::of(answer));
    top.hear(1.0, Measured::of(answer));
    lines.extend(top.lines());
    understood |= !top.rows.is_empty();
    for ask in [Ask::Doctor, Ask::Export, Ask::Log] {
        app = App { top: top.clone(), ..App::default() };
        app.answered(ask, &said, 78);
        show(&mut app, &known);
    }
    app.page = Page::Top;
    show(&mut app, &known);
    lines.extend(state(&known));
    lines.extend(Told::default().news(&known));
    for line in lines {
        sent.extend(line.into_bytes());
        sent.push(b'\n');
    }
    Trial { sent, understood }
}

/// Nothing of it drives a terminal but what is meant to: printable ASCII, line ends, and the sequences that move the cursor, show or
/// hide it, clear the screen, and set how characters look.
pub fn is_harmless(sent: &[u8]) -> bool {
    let mut rest = sent;
    while let [first, behind @ ..] = rest {
        rest = match first {
            b' '..=b'~' | b'\n' => behind,
            0x1b => {
                let Some(end) = behind.iter().position(u8::is_ascii_alphabetic) else { return false };
                let inner = behind.get(1..end).unwrap_or_default();
                let fine = behind.first() == Some(&b'[')
                    && inner.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b'?'))
                    && matches!(behind[end], b'H' | b'm' | b'J' | b'h' | b'l');
                if !fine {
                    return false;
                }
                &behind[end + 1..]
            }
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_bytes_drive_no_terminal() {
        let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\n\t\u{0}";
        let text = serde_json::Value::from(hostile.repeat(40)).to_string();
        let answer = format!(
            "{{\"phase\":\"ready\",\"mode\":{text},\"reason\":{text},\"verdict\":{text},\"device\":{text},\"slot\":{text},\"image\":{text},\
             \"in_force\":{{\"name\":{text}}},\"findings\":[{{\"code\":{text},\"meaning\":{text},\"mend\":{text}}}],\"facts\":{{{text}:{text}}}}}"
        );
        let event = format!(
            "{{\"sequence\":1,\"kind\":{text},\"workload\":{text},\"comm\":{text},\"rule\":{text},\"path\":{text}}}\n{{\"sequence\":2,\"kind\":{text},\"code\":{text},\"detail\":{text}}}"
        );
        let metrics = format!("aegis_workload_pids{{workload={text}}} 1\n");
        for answer in [answer, event, metrics] {
            let Trial { sent, understood } =
                trial(answer.as_bytes(), b"\x1b[Ajk \x1b]0;x\x07?dq\r\xff\x00r\ny");
            assert!(understood && is_harmless(&sent), "{}", String::from_utf8_lossy(&sent));
        }
        assert!(!is_harmless(b"\x1b]0;x\x07") && !is_harmless(b"\x07") && !is_harmless("\u{e4}".as_bytes()));
    }
}
