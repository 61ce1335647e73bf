//! Words to what they are by the table ([`aegis_cli::COMMANDS`]): which command, with which operands and flags.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use aegis_cli::{Command, Help, Takes, find, group};
use lexopt::prelude::*;

use super::usage;
use crate::limits;
use crate::outcome::Failure;

/// What was asked.
pub(super) enum Asked {
    Help(Help),
    Command(Given),
}

/// A command, as it was given. No flag that its command does not have, none twice that is to be there once, no operand too many or
/// missing.
pub(super) struct Given {
    pub(super) command: &'static Command,
    operands: Vec<OsString>,
    flags: Vec<(&'static str, OsString)>,
}

impl Given {
    /// Reads the command line.
    pub(super) fn read(mut words: lexopt::Parser) -> Result<Asked, Failure> {
        let first = match words.next()? {
            None => return Err(usage("a command is missing")),
            Some(Short('h') | Long("help")) => return Ok(Asked::Help(Help::All)),
            Some(Short('V') | Long("version")) => OsString::from("version"),
            Some(Value(word)) => word,
            Some(other) => return Err(other.unexpected().into()),
        };
        let known = first.to_str().unwrap_or_default();
        let command = match group(known) {
            None => find(None, known).ok_or_else(|| usage(format!("unknown command {:?}", shown(&first))))?,
            Some(group) => match words.next()? {
                Some(Short('h') | Long("help")) => return Ok(Asked::Help(Help::Group(group))),
                Some(Value(word)) => find(Some(group.name), word.to_str().unwrap_or_default())
                    .ok_or_else(|| usage(format!("unknown command \"{} {}\"", group.name, shown(&word))))?,
                Some(other) => return Err(other.unexpected().into()),
                None => return Err(usage(format!("`aegis {}` wants one of its commands", group.name))),
            },
        };
        let mut given = Self { command, operands: Vec::new(), flags: Vec::new() };
        if given.take(&mut words)? { Ok(Asked::Command(given)) } else { Ok(Asked::Help(Help::One(command))) }
    }

    /// What is behind the command's name. `false`: its help is asked for.
    fn take(&mut self, words: &mut lexopt::Parser) -> Result<bool, Failure> {
        let wanted = self.command.operands;
        loop {
            if wanted.get(self.operands.len()).is_some_and(|operand| operand.takes == Takes::Rest) {
                if words
                    .raw_args()
                    .is_ok_and(|rest| rest.as_slice().first().is_some_and(|word| word == "--help"))
                {
                    return Ok(false);
                }
                let rest = words.raw_args()?.skip_while(|word| word == "--");
                self.operands.extend(rest.take(limits::COMMAND_WORDS));
                break;
            }
            match words.next()? {
                None => break,
                Some(Short('h') | Long("help")) => return Ok(false),
                Some(Value(word)) if self.operands.len() < wanted.len() => self.operands.push(word),
                Some(Long(name)) => {
                    let Some(flag) = self.command.flag(name) else {
                        return Err(usage(format!("`aegis {}` has no --{name}", self.command.name)));
                    };
                    if !flag.repeats && self.has(flag.name) {
                        return Err(usage(format!("--{name} stands twice")));
                    }
                    let value = if flag.value.is_some() { words.value()? } else { OsString::new() };
                    self.flags.push((flag.name, value));
                    if self.flags.len() > limits::COMMAND_FLAGS {
                        return Err(usage(format!("more than {} flags", limits::COMMAND_FLAGS)));
                    }
                }
                Some(other) => return Err(other.unexpected().into()),
            }
        }
        match wanted.get(self.operands.len()) {
            Some(operand) if operand.takes != Takes::Optional => {
                Err(usage(format!("{} is missing: {}", operand.name, operand.about)))
            }
            _ => Ok(true),
        }
    }

    /// This flag was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|(flag, _)| *flag == name)
    }

    /// The values of this flag.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a OsStr> {
        self.flags.iter().filter(move |(flag, _)| *flag == name).map(|(_, value)| value.as_os_str())
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.all(name).next().map(PathBuf::from)
    }

    /// The value of this flag, as a number.
    pub(super) fn number<N>(&self, name: &str) -> Result<Option<N>, Failure>
    where
        N: core::str::FromStr<Err = core::num::ParseIntError>,
    {
        let parse = |value: &OsStr| parsed(value, &format!("--{name}"));
        self.all(name).next().map(parse).transpose()
    }

    /// The operand at this place.
    pub(super) fn operand(&self, at: usize) -> Option<PathBuf> {
        self.operands.get(at).map(PathBuf::from)
    }

    /// The operand at this place, which the table says is there.
    pub(super) fn wanted(&self, at: usize) -> Result<PathBuf, Failure> {
        self.operand(at).ok_or_else(|| usage(format!("`aegis {}`: an operand is missing", self.command.name)))
    }

    /// All operands.
    pub(super) fn into_operands(self) -> Vec<OsString> {
        self.operands
    }
}

/// A word as a number.
pub(super) fn parsed<N>(word: &OsStr, what: &str) -> Result<N, Failure>
where
    N: core::str::FromStr<Err = core::num::ParseIntError>,
{
    let number = word.to_str().unwrap_or_default().parse::<N>();
    number.map_err(|error| usage(format!("{what} {}: {error}", shown(word))))
}

/// A word as it is safe to show.
pub(super) fn shown(word: &OsStr) -> String {
    use std::os::unix::ffi::OsStrExt;
    let bytes = word.as_bytes();
    aegis_event::Printable(&bytes[..bytes.len().min(limits::WORD_SHOWN_BYTES)]).to_string()
}
