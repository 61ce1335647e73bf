//! The full screen: keys in, children heard, what changed drawn.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use ratatui_core::terminal::Terminal;

use crate::app::{Act, App, Ask, Page};
use crate::backend::Ansi;
use crate::child::foreground;
use crate::desk::{Desk, News, Watch};
use crate::keys::{Key, Keys};
use crate::known::Tone;
use crate::tty::{Bell, Tty};
use crate::{draw, limits, power};

/// Why it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Somebody wanted to.
    Quit,
    /// There is no terminal any more, or nobody at it.
    Gone,
    /// A signal said so.
    Stopped,
    /// The system ends.
    Ending,
}

/// Asks a terminal how large it is: where the cursor is when it was sent to a corner that no screen has.
const HOW_LARGE: &str = "\x1b7\x1b[999;999H\x1b[6n\x1b8";

/// So large is drawn.
fn fit((columns, rows): (u16, u16)) -> (u16, u16) {
    let (least, most) = (limits::SCREEN_LEAST, limits::SCREEN_MOST);
    (columns.clamp(least.0, most.0), rows.clamp(least.1, most.1))
}

/// Where it is left that a workload said something at the serial line (`firmware/aegis/src/commands/workload/keep.rs`), and where programs
/// leave what they said (`docs/logs.md`).
const SAID: [&str; 3] = ["/run/aegis/said", "/data/aegis/log.a", "/data/aegis/log.b"];

/// Whether somebody else said something. The files are opened once: a disk that hangs is asked for no path again and again.
#[derive(Default)]
struct Others {
    files: [Option<File>; SAID.len()],
    seen: [Option<(u64, i64, i64)>; SAID.len()],
}

impl Others {
    /// What there is now; `true`: it is not what it was.
    fn spoke(&mut self) -> bool {
        let now = self.files.each_ref().map(|file| {
            let found = file.as_ref()?.metadata().ok()?;
            Some((found.len(), found.mtime(), found.mtime_nsec()))
        });
        core::mem::replace(&mut self.seen, now) != now
    }

    /// Files that were not there when it was looked last.
    fn find(&mut self) {
        for (file, path) in self.files.iter_mut().zip(SAID) {
            *file = file.take().or_else(|| File::open(path).ok());
        }
    }
}

struct Screen<'t> {
    tty: &'t Tty,
    terminal: Terminal<Ansi>,
    size: (u16, u16),
    /// When all of it was sent last; and what others said.
    whole: Instant,
    others: Others,
    /// They said something since.
    written_over: bool,
}

impl<'t> Screen<'t> {
    fn new(tty: &'t Tty) -> io::Result<Self> {
        let size = fit(tty.size().unwrap_or(limits::SCREEN));
        let terminal = Terminal::new(Ansi::new(size)).map_err(io::Error::other)?;
        let mut screen = Self {
            tty,
            terminal,
            size,
            whole: Instant::now(),
            others: Others::default(),
            written_over: false,
        };
        screen.enter()?;
        Ok(screen)
    }

    fn enter(&mut self) -> io::Result<()> {
        self.tty.raw();
        // What a serial line's terminal does not tell the kernel it may tell us.
        let ask = if self.tty.size().is_none() { HOW_LARGE } else { "" };
        self.tty.send(format!("\x1b[0m\x1b[?25l\x1b[2J{ask}").as_bytes())?;
        self.anew();
        Ok(())
    }

    /// All of it is sent again.
    fn anew(&mut self) {
        let _ = self.terminal.clear();
        self.whole = Instant::now();
        self.written_over = false;
        self.others.find();
    }

    /// The line is not ours alone: what others say there is gone over.
    fn heal(&mut self, now: Instant) {
        self.written_over |= self.others.spoke();
        if now >= self.healed() {
            self.anew();
        }
    }

    /// When all of it is to be sent again.
    fn healed(&self) -> Instant {
        self.whole + if self.written_over { limits::SCREEN_REST } else { limits::SCREEN_AGE }
    }

    fn resize(&mut self, size: (u16, u16)) {
        let size = fit(size);
        if size != self.size {
            self.size = size;
            self.terminal.backend_mut().resize(size);
            self.anew();
        }
    }

    fn draw(&mut self, app: &mut App, desk: &Desk) -> io::Result<()> {
        let mut height = 0;
        let _ = self.terminal.draw(|frame| height = draw::page(frame.buffer_mut(), app, &desk.known));
        app.height = height;
        let bytes = self.terminal.backend_mut().take();
        self.tty.send(&bytes)
    }

    /// The terminal as a program that speaks in lines expects it.
    fn leave(&mut self, clear: bool) {
        let end = if clear { "\x1b[2J\x1b[H".to_owned() } else { format!("\x1b[{};1H\r\n", self.size.1) };
        // One that is gone needs nothing.
        let _ = self.tty.send(format!("\x1b[0m{end}\x1b[?25h").as_bytes());
        self.tty.lines();
    }
}

/// Runs until it is left.
pub(crate) fn run(
    tty: &Tty,
    bell: &Bell,
    desk: &mut Desk,
    app: &mut App,
    program: &Path,
    watch: Watch,
) -> Left {
    let left = turns(tty, bell, desk, app, program, watch);
    desk.stop_following();
    let left = left.unwrap_or(Left::Gone);
    if left == Left::Ending {
        let _ = tty.say("aegis-console: the system ends");
    }
    tty.restore();
    left
}

fn turns(
    tty: &Tty,
    bell: &Bell,
    desk: &mut Desk,
    app: &mut App,
    program: &Path,
    watch: Watch,
) -> io::Result<Left> {
    let mut screen = Screen::new(tty)?;
    let mut keys = Keys::default();
    let mut touched = Instant::now();
    let left = loop {
        let now = Instant::now();
        app.asleep = now >= touched + limits::IDLE;
        desk.sleep(app.asleep);
        // The page of what workloads take looks at that; all others at the state.
        let on = if app.page == Page::Top && watch == Watch::State {
            Watch::Load(limits::TOP_SECONDS.2)
        } else {
            watch
        };
        for news in desk.turn(on, now) {
            match news {
                News::Answered(ask, answer) => app.answered(ask, &answer, usize::from(screen.size.0) - 2),
                News::Measured(at, measured) => app.top.hear(at, measured),
                News::Changed => {}
            }
        }
        if !app.asleep {
            screen.heal(now);
        }
        screen.draw(app, desk)?;
        if bell.is_stopped() {
            break Left::Stopped;
        }
        if bell.is_resized()
            && let Some(size) = tty.size()
        {
            screen.resize(size);
            continue;
        }
        let mut until = desk.due(on, now);
        if !app.asleep {
            let due = (touched + limits::IDLE).min(screen.healed());
            until = Some(until.unwrap_or(due).min(due));
        }
        if keys.is_waiting() {
            until = Some(until.unwrap_or(now + limits::ESCAPE).min(now + limits::ESCAPE));
        }
        let typed = bell.wait(true, &desk.fds(), until);
        let mut pressed = Vec::new();
        if typed {
            let mut bytes = [0; limits::KEYS];
            let length = tty.read(&mut bytes)?;
            pressed.extend(bytes[..length].iter().filter_map(|byte| keys.push(*byte)));
        } else if keys.is_waiting() && now.elapsed() >= limits::ESCAPE {
            pressed.extend(keys.silence());
        }
        let mut done = None;
        for key in pressed {
            if !matches!(key, Key::Place { .. }) {
                touched = Instant::now();
            }
            if let Some(act) = app.key(key) {
                done = act_on(&mut screen, bell, desk, app, program, act)?;
                if act == Act::Glass {
                    // What was typed meanwhile was for somebody else.
                    keys = Keys::default();
                    touched = Instant::now();
                    break;
                }
            }
            if done.is_some() {
                break;
            }
        }
        if let Some(left) = done {
            break left;
        }
    };
    screen.leave(left == Left::Ending);
    Ok(left)
}

fn act_on(
    screen: &mut Screen<'_>,
    bell: &Bell,
    desk: &mut Desk,
    app: &mut App,
    program: &Path,
    act: Act,
) -> io::Result<Option<Left>> {
    match act {
        Act::Leave => return Ok(Some(Left::Quit)),
        Act::Redraw => screen.enter()?,
        Act::Size(columns, rows) => screen.resize((columns, rows)),
        Act::Ask(ask) => {
            if let Err(why) = desk.ask(ask) {
                app.busy = None;
                app.said = Some((Tone::Bad, why));
            } else if ask == Ask::Metrics {
                app.said = None;
            }
        }
        Act::End(end) => match power::ask(end) {
            Ok(()) => return Ok(Some(Left::Ending)),
            Err(why) => {
                app.ending = None;
                app.said = Some((Tone::Bad, why));
            }
        },
        Act::Glass => {
            desk.stop_following();
            screen.leave(true);
            glass(screen.tty, bell, program)?;
            desk.refresh();
            screen.enter()?;
        }
    }
    Ok(None)
}

/// One round of `aegis break-glass console`, with the whole terminal.
pub(crate) fn glass(tty: &Tty, bell: &Bell, program: &Path) -> io::Result<()> {
    tty.lines();
    match foreground(program, &["break-glass", "console", "--once"], || bell.is_stopped()) {
        Ok(_) => {}
        Err(error) => tty.say(&format!("{}: {error}", program.display()))?,
    }
    if bell.is_stopped() {
        return Ok(());
    }
    tty.say("Enter: back.")?;
    let until = Some(Instant::now() + limits::IDLE);
    if bell.wait(true, &[], until) {
        tty.read(&mut [0; limits::KEYS])?;
    }
    Ok(())
}
