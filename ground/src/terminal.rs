//! The person at the terminal: passphrases without echo, and a yes that is typed. Always `/dev/tty`, so that stdin and
//! stdout stay free for data.

use std::fs::File;
use std::io::{Read, Write};

use aegis_keys::limits::PASSPHRASE_BYTES;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::{Zeroize, Zeroizing};

use crate::outcome::Failure;

/// Keys on a terminal.
const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];
const KILL: u8 = 0x15;

/// The terminal that the command was started from.
pub(crate) struct Terminal(File);

impl Terminal {
    /// `None` when there is none: a service, a pipeline, a test.
    pub(crate) fn open() -> Option<Self> {
        File::options().read(true).write(true).open("/dev/tty").ok().map(Self)
    }

    /// Shows text, safe for a terminal as the caller made it.
    pub(crate) fn say(&self, text: &str) -> Result<(), Failure> {
        (&self.0).write_all(text.as_bytes()).map_err(|error| broken(&error))
    }

    /// Asks for a line that is not echoed.
    pub(crate) fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, Failure> {
        // Before the question: whoever answers at once is not shown either.
        let quiet = Quiet::begin(&self.0)?;
        self.say(prompt)?;
        // Room for all of it from the start: growing would leave copies behind.
        let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES));
        let ended = self.line(&mut line);
        drop(quiet);
        self.say("\n")?;
        ended?;
        let text = String::from_utf8(std::mem::take(&mut *line)).map_err(|error| {
            error.into_bytes().zeroize();
            Failure::usage("the passphrase is not UTF-8 text; check the terminal's encoding")
        })?;
        Ok(Zeroizing::new(text))
    }

    fn line(&self, line: &mut Vec<u8>) -> Result<(), Failure> {
        loop {
            match self.byte()? {
                b'\n' | b'\r' => return Ok(()),
                INTERRUPT => return Err(stopped()),
                END if line.is_empty() => return Err(stopped()),
                KILL => line.zeroize(),
                key if BACKSPACE.contains(&key) => {
                    // A character of several bytes goes as one.
                    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                }
                byte if line.len() < PASSPHRASE_BYTES => line.push(byte),
                _ => {
                    return Err(Failure::usage(format!("a passphrase has at most {PASSPHRASE_BYTES} bytes")));
                }
            }
        }
    }

    /// Asks a question; true when the answer is the whole word `yes`.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool, Failure> {
        self.say(question)?;
        let mut answer = Vec::new();
        loop {
            match self.byte()? {
                b'\n' | b'\r' => return Ok(answer.trim_ascii() == b"yes"),
                END => return Ok(false),
                byte if answer.len() < 80 => answer.push(byte),
                _ => {}
            }
        }
    }

    /// The next byte; at the end of input what a person types to say so.
    fn byte(&self) -> Result<u8, Failure> {
        let mut byte = [END];
        loop {
            match (&self.0).read(&mut byte) {
                Ok(_) => return Ok(byte[0]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

/// A terminal without echo, line editing and signals, until this is dropped: Ctrl-C arrives as a byte, so that it can't
/// leave a mute terminal behind.
struct Quiet<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Quiet<'t> {
    fn begin(terminal: &'t File) -> Result<Self, Failure> {
        let before = tcgetattr(terminal).map_err(|error| broken(&error.into()))?;
        let mut quiet = before.clone();
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(terminal, OptionalActions::Now, &quiet).map_err(|error| broken(&error.into()))?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // Nothing more can be done about it.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

fn stopped() -> Failure {
    Failure::usage("stopped; nothing was written")
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::usage(format!("/dev/tty: {}", crate::files::plain(error)))
}
