//! The command line of `aegis`: one table, [`COMMANDS`]. The device's parser and its `--help` are made from it, and at the office
//! its man pages and completions, so that none of them says what another does not.
//!
//! Nothing is parsed here: a table, and the text of it.
#![no_std]
#![forbid(unsafe_code)]

mod commands;
mod help;

pub use commands::{COMMANDS, EXAMPLES, GROUPS};
pub use help::Help;

/// What the program is, in a line.
pub const ABOUT: &str = "Aegis: decides in the kernel what this host's workloads may open, execute and connect to, and keeps the \
                         evidence.";

/// What exit codes mean where a command says nothing else.
pub const EXIT: &str = "Exit: 0 ok, 1 refused or unhealthy, 2 usage or error.";

/// Commands that begin with one word.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The word.
    pub name: &'static str,
    /// What they are about.
    pub about: &'static str,
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// One word, or a group's and one more.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What it takes besides flags, in order.
    pub operands: &'static [Operand],
    /// What it takes in any order.
    pub flags: &'static [Flag],
    /// More lines for its own help; empty: none.
    pub notes: &'static str,
    /// At least one whole line.
    pub examples: &'static [&'static str],
}

/// What stands for itself on a command line.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// In capitals.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// How often.
    pub takes: Takes,
}

/// How often an operand stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Once.
    One,
    /// Once, or not.
    Optional,
    /// All that is left, whatever it looks like, behind `--`.
    Rest,
}

/// `--name`, or `--name VALUE`.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// What its value is called, if it takes one.
    pub value: Option<&'static str>,
    /// What it does.
    pub about: &'static str,
    /// It may stand there more than once.
    pub repeats: bool,
}

impl Command {
    /// Its group, if it has one, and its own word.
    pub fn words(&self) -> (Option<&'static str>, &'static str) {
        self.name.split_once(' ').map_or((None, self.name), |(group, word)| (Some(group), word))
    }

    /// Its flag of this name.
    pub fn flag(&self, name: &str) -> Option<&'static Flag> {
        self.flags.iter().find(|flag| flag.name == name)
    }
}

/// The commands of this group, in order.
pub fn of_group(group: &str) -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(move |command| command.words().0 == Some(group))
}

/// The group of this name.
pub fn group(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}

/// The command of this name in this group, or in none.
pub fn find(group: Option<&str>, word: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.words() == (group, word))
}
