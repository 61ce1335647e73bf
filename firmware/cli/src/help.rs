//! The table as text: of all, of a group, of one command.

use core::fmt::{Display, Formatter, Result};

use crate::{ABOUT, COMMANDS, Command, EXAMPLES, EXIT, Group, Takes, of_group};

/// What `--help` says. Ends without a line break.
#[derive(Clone, Copy, Debug)]
pub enum Help {
    /// Of the program.
    All,
    /// Of the commands that begin with one word.
    Group(&'static Group),
    /// Of one command.
    One(&'static Command),
}

/// Where the text of a command begins.
const COLUMN: usize = 24;

impl Display for Help {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::All => {
                write!(f, "{ABOUT}\n\nUsage: aegis COMMAND\n")?;
                for command in COMMANDS {
                    line(f, command.name, command.about)?;
                }
                write!(f, "\n\n{EXIT}\n`aegis COMMAND --help` says more of one.\n\nExamples:")?;
                examples(f, EXAMPLES)
            }
            Self::Group(group) => {
                write!(f, "aegis {}: {}\n\nUsage: aegis {} COMMAND\n", group.name, group.about, group.name)?;
                for command in of_group(group.name) {
                    line(f, command.words().1, command.about)?;
                }
                write!(f, "\n\n{EXIT}\n\nExamples:")?;
                of_group(group.name).try_for_each(|command| examples(f, command.examples))
            }
            Self::One(command) => one(f, command),
        }
    }
}

fn line(f: &mut Formatter<'_>, name: &str, about: &str) -> Result {
    write!(f, "\n  {name:COLUMN$}{about}")
}

fn examples(f: &mut Formatter<'_>, lines: &[&str]) -> Result {
    lines.iter().try_for_each(|example| write!(f, "\n  {example}"))
}

fn one(f: &mut Formatter<'_>, command: &Command) -> Result {
    write!(f, "aegis {}: {}\n\nUsage: aegis {}", command.name, command.about, command.name)?;
    if !command.flags.is_empty() {
        f.write_str(" [FLAGS]")?;
    }
    for operand in command.operands {
        match operand.takes {
            Takes::One => write!(f, " {}", operand.name)?,
            Takes::Optional => write!(f, " [{}]", operand.name)?,
            Takes::Rest => write!(f, " -- {}", operand.name)?,
        }
    }
    f.write_str("\n")?;
    for operand in command.operands {
        line(f, operand.name, operand.about)?;
    }
    for flag in command.flags {
        let value = flag.value.unwrap_or_default();
        write!(
            f,
            "\n  --{} {value:1$}{2}",
            flag.name,
            (COLUMN - 3).saturating_sub(flag.name.len()),
            flag.about
        )?;
    }
    if !command.notes.is_empty() {
        write!(f, "\n\n{}", command.notes)?;
    }
    if !command.notes.contains("Exit:") {
        write!(f, "\n\n{EXIT}")?;
    }
    f.write_str("\n\nExamples:")?;
    examples(f, command.examples)
}
