//! A serial line: quiet until somebody presses Enter, so that what the system says there can be read. Then it asks what is wanted:
//! nobody can know which terminal is at the other end, or whether there is one. Whoever types is anybody.

use std::io;
use std::path::Path;
use std::time::Instant;

use crate::app::App;
use crate::desk::{Desk, Watch};
use crate::plain::Typed;
use crate::screen::{Left, glass};
use crate::tty::{Bell, Tty};
use crate::{limits, plain, screen};

const QUESTION: &str =
    "Aegis.  Enter: the console, a screen of 80 x 24 (VT102).  p: plain lines.  b: break glass.  Then Enter.";
const QUIET: &str = "Aegis: quiet. Enter wakes it.";

/// Runs until the line is gone, or a signal comes.
pub(crate) fn run(tty: &Tty, bell: &Bell, program: &Path) -> Left {
    loop {
        match round(tty, bell, program) {
            Ok(Left::Quit) => {}
            Ok(left @ (Left::Stopped | Left::Ending)) => return left,
            Ok(Left::Gone) | Err(_) => {
                // Whoever starts this again would do so at once.
                rest(bell, limits::ASK);
                return Left::Gone;
            }
        }
        if bell.is_stopped() {
            return Left::Stopped;
        }
        rest(bell, limits::QUIET);
        forget(tty, bell);
    }
}

fn round(tty: &Tty, bell: &Bell, program: &Path) -> io::Result<Left> {
    tty.lines();
    if line(tty, bell, None)?.is_none() {
        return Ok(Left::Stopped);
    }
    tty.say(QUESTION)?;
    let wanted = line(tty, bell, Some(Instant::now() + limits::ASK))?;
    let left = match wanted.as_deref().map(str::trim) {
        Some("") => {
            let (mut desk, mut app) = (Desk::new(program), App::default());
            screen::run(tty, bell, &mut desk, &mut app, program, Watch::State)
        }
        Some("p") => plain::run(tty, bell, &mut Desk::new(program), program),
        Some("b") => {
            glass(tty, bell, program)?;
            Left::Quit
        }
        _ => Left::Quit,
    };
    if left == Left::Quit && !bell.is_stopped() {
        tty.say(QUIET)?;
    }
    Ok(left)
}

/// A line that is typed. None: its time is over, or a signal came.
fn line(tty: &Tty, bell: &Bell, until: Option<Instant>) -> io::Result<Option<String>> {
    let mut typed = Typed::default();
    loop {
        if bell.is_stopped() || until.is_some_and(|until| until <= Instant::now()) {
            return Ok(None);
        }
        if !bell.wait(true, &[], until) {
            continue;
        }
        let mut bytes = [0; limits::KEYS];
        let length = tty.read(&mut bytes)?;
        // What is behind the line of who types ahead is forgotten.
        if let Some(line) = bytes[..length].iter().find_map(|byte| typed.push(*byte)) {
            return Ok(Some(line));
        }
    }
}

fn rest(bell: &Bell, time: std::time::Duration) {
    let until = Instant::now() + time;
    while !bell.is_stopped() && Instant::now() < until {
        bell.wait(false, &[], Some(until));
    }
}

/// What was typed meanwhile. Bounded: there may be no end of it.
fn forget(tty: &Tty, bell: &Bell) {
    for _ in 0..64 {
        if !bell.wait(true, &[], Some(Instant::now())) || tty.read(&mut [0; limits::KEYS]).is_err() {
            return;
        }
    }
}
