//! The program: words, what is given up, and the way to sit at it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set, set_no_new_privs};

use crate::app::{App, Page};
use crate::desk::{Desk, Watch};
use crate::screen::Left;
use crate::tty::{Bell, Tty};
use crate::words::{Instead, Words, has_screen};
use crate::{plain, screen, serial};

/// Runs it, by the words of the command line. The exit code.
pub fn run() -> ExitCode {
    let words = match Words::read(lexopt::Parser::from_env()) {
        Ok(words) => words,
        Err(Instead::Help(text)) => {
            let _ = writeln!(io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(Instead::Wrong(text)) => return failed(&text),
    };
    let program = match agent() {
        Ok(program) => program,
        Err(error) => return failed(&format!("this program's own place: {error}")),
    };
    give_up();
    let bell = match Bell::new() {
        Ok(bell) => bell,
        Err(error) => return failed(&format!("signals: {error}")),
    };
    match sit(&words, &bell, &program) {
        Left::Quit | Left::Stopped => ExitCode::SUCCESS,
        Left::Ending => {
            // Init says so when it is this one's turn.
            while !bell.is_stopped() {
                bell.wait(false, &[], None);
            }
            ExitCode::SUCCESS
        }
        // A reader that has seen enough, a terminal that is gone.
        Left::Gone => ExitCode::from(1),
    }
}

fn sit(words: &Words, bell: &Bell, program: &Path) -> Left {
    let tty = Tty::find();
    if words.serial {
        return serial::run(&tty, bell, program);
    }
    let term = std::env::var("TERM").ok();
    let on_screen =
        has_screen(tty.is_terminal(), term.as_deref()) && !words.plain && !words.once && !words.json;
    let mut desk = Desk::new(program);
    let mut app = App { top_only: words.top, ..App::default() };
    app.top.by = words.by;
    match (words.top, on_screen) {
        (true, true) => {
            app.page = Page::Top;
            screen::run(&tty, bell, &mut desk, &mut app, program, Watch::Load(words.every()))
        }
        (true, false) => {
            let shown = plain::top(&tty, bell, &mut desk, &mut app, words.every(), (words.once, words.json));
            shown.unwrap_or(Left::Gone)
        }
        (false, true) => screen::run(&tty, bell, &mut desk, &mut app, program, Watch::State),
        (false, false) => plain::run(&tty, bell, &mut desk, program),
    }
}

/// The agent's program: beside this one.
fn agent() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("aegis"))
}

/// What no command that is started here needs. Where it can't be given up (who runs this is not root), there is nothing to give.
fn give_up() {
    let _ = set_no_new_privs(true);
    for capability in [
        CapabilitySet::SYS_BOOT,
        CapabilitySet::SYS_MODULE,
        CapabilitySet::SYS_TIME,
        CapabilitySet::SYS_RAWIO,
        CapabilitySet::NET_ADMIN,
        CapabilitySet::NET_RAW,
        CapabilitySet::MKNOD,
    ] {
        let _ = remove_capability_from_bounding_set(capability);
    }
}

fn failed(text: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "aegis-console: {text}");
    ExitCode::from(2)
}
