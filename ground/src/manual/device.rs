//! The device's program as clap knows programs, from its one table.

use aegis_cli::{ABOUT, COMMANDS, Command as Row, EXAMPLES, EXIT, Flag, Operand, Takes, of_group};
use clap::{Arg, ArgAction, Command, ValueHint};

/// `aegis`, with all its commands.
pub(super) fn command() -> Command {
    let mut all = Command::new("aegis")
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(after(EXIT, EXAMPLES));
    all = all.disable_help_subcommand(true).subcommand_required(true);
    let mut met = Vec::new();
    for row in COMMANDS {
        match row.words().0 {
            None => all = all.subcommand(one(row)),
            Some(group) if met.contains(&group) => {}
            Some(group) => {
                met.push(group);
                let about = aegis_cli::group(group).map_or("", |known| known.about);
                let below =
                    Command::new(group).about(about).subcommand_required(true).disable_help_subcommand(true);
                all = all.subcommand(below.subcommands(of_group(group).map(one)));
            }
        }
    }
    all
}

fn one(row: &Row) -> Command {
    let notes = match row.notes {
        "" => EXIT.to_owned(),
        notes if notes.contains("Exit:") => notes.to_owned(),
        notes => format!("{notes}\n{EXIT}"),
    };
    Command::new(row.words().1)
        .about(row.about)
        .after_help(after(&notes, row.examples))
        .args(row.operands.iter().map(operand))
        .args(row.flags.iter().map(flag))
}

fn after(notes: &str, examples: &[&str]) -> String {
    format!("{notes}\n\nExamples:\n  {}", examples.join("\n  "))
}

fn operand(operand: &Operand) -> Arg {
    let arg =
        Arg::new(operand.name).value_name(operand.name).help(operand.about).value_hint(hint(operand.name));
    match operand.takes {
        Takes::One => arg.required(true),
        Takes::Optional => arg,
        Takes::Rest => arg.required(true).num_args(1..).last(true),
    }
}

fn flag(flag: &Flag) -> Arg {
    let arg = Arg::new(flag.name).long(flag.name).help(flag.about);
    let Some(value) = flag.value else { return arg.action(ArgAction::SetTrue) };
    let action = if flag.repeats { ArgAction::Append } else { ArgAction::Set };
    arg.value_name(value).action(action).value_hint(hint(value))
}

/// By what a value is called, what a shell completes it with.
fn hint(name: &str) -> ValueHint {
    match name {
        "FILE" | "DEVICE" => ValueHint::FilePath,
        _ if name.starts_with("DIR") => ValueHint::DirPath,
        "CMD" => ValueHint::CommandWithArguments,
        _ => ValueHint::Other,
    }
}

#[cfg(test)]
mod tests {
    use aegis_cli::GROUPS;

    use super::*;

    #[test]
    fn every_command_is_there_and_its_examples_are_taken() {
        command().debug_assert();
        for row in COMMANDS {
            for example in row.examples {
                let taken = command().try_get_matches_from(example.split(' '));
                assert!(taken.is_ok(), "{example}: {taken:?}");
            }
        }
        let names: Vec<String> =
            command().get_subcommands().map(|below| below.get_name().to_owned()).collect();
        let groups = GROUPS.iter().filter(|group| names.contains(&group.name.to_owned())).count();
        assert_eq!(groups, GROUPS.len());
        assert_eq!(names.len(), GROUPS.len() + COMMANDS.iter().filter(|row| row.words().0.is_none()).count());
    }
}
