//! The command line: `aegis console` and `aegis top`, as the table of `aegis` has them.

use aegis_cli::Help;
use lexopt::{Arg, Parser};

use crate::limits;
use crate::load::By;

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Words {
    /// The workloads alone: `aegis top`.
    pub(crate) top: bool,
    pub(crate) plain: bool,
    pub(crate) serial: bool,
    pub(crate) once: bool,
    pub(crate) json: bool,
    pub(crate) seconds: Option<u16>,
    pub(crate) by: By,
}

/// What is printed instead.
#[derive(Debug)]
pub(crate) enum Instead {
    Help(String),
    /// Usage: in one line, with the mend.
    Wrong(String),
}

impl Words {
    /// Reads the command line, behind the program's name.
    ///
    /// # Errors
    /// What is printed instead.
    pub(crate) fn read(mut parser: Parser) -> Result<Self, Instead> {
        let mut words = Self::default();
        let wrong = |error: String| {
            let error = crate::text::plain(&error, 200);
            Instead::Wrong(format!("{error} (see `aegis console --help`, `aegis top --help`)"))
        };
        let mut first = true;
        while let Some(arg) = parser.next().map_err(|error| wrong(error.to_string()))? {
            match arg {
                Arg::Value(word) if first && word == "top" => words.top = true,
                Arg::Long("help") => return Err(Instead::Help(help(words.top))),
                Arg::Long("plain") => words.plain = true,
                Arg::Long("serial") if !words.top => words.serial = true,
                Arg::Long("once") if words.top => words.once = true,
                Arg::Long("json") if words.top => words.json = true,
                Arg::Long("every") if words.top => {
                    let value = parser.value().map_err(|error| wrong(error.to_string()))?;
                    let (least, most, _) = limits::TOP_SECONDS;
                    let seconds = value.to_str().and_then(|text| text.parse().ok());
                    words.seconds = seconds.filter(|seconds| (least..=most).contains(seconds));
                    if words.seconds.is_none() {
                        return Err(wrong(format!("--every takes {least} to {most} seconds")));
                    }
                }
                Arg::Long("sort") if words.top => {
                    let value = parser.value().map_err(|error| wrong(error.to_string()))?;
                    let names = By::ALL.map(By::name).join(", ");
                    words.by = value
                        .to_str()
                        .and_then(By::from_name)
                        .ok_or_else(|| wrong(format!("--sort takes one of {names}")))?;
                }
                other => return Err(wrong(other.unexpected().to_string())),
            }
            first = false;
        }
        Ok(words)
    }

    /// Seconds between two looks of `top`.
    pub(crate) fn every(&self) -> u16 {
        self.seconds.unwrap_or(limits::TOP_SECONDS.2)
    }
}

fn help(top: bool) -> String {
    let command = aegis_cli::find(None, if top { "top" } else { "console" });
    command.map(|command| Help::One(command).to_string()).unwrap_or_default()
}

/// A screen is fit for this terminal: it is one, and is called by a name that says that it has one.
pub(crate) fn has_screen(is_terminal: bool, term: Option<&str>) -> bool {
    is_terminal && !matches!(term, None | Some("" | "dumb" | "unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Words, Instead> {
        Words::read(Parser::from_args(words))
    }

    #[test]
    fn every_flag_of_the_table_is_read_and_no_other() {
        for (name, first) in [("console", None), ("top", Some("top"))] {
            let command = aegis_cli::find(None, name).expect("in the table");
            for flag in command.flags {
                let value = match flag.name {
                    "every" => Some("7"),
                    "sort" => Some("cpu"),
                    _ => None,
                };
                assert_eq!(value.is_some(), flag.value.is_some(), "{}", flag.name);
                let dashed = format!("--{}", flag.name);
                let words: Vec<&str> = first.into_iter().chain([dashed.as_str()]).chain(value).collect();
                assert!(read(&words).is_ok(), "{words:?}");
            }
            let words: Vec<&str> = first.into_iter().chain(["--help"]).collect();
            assert!(matches!(read(&words), Err(Instead::Help(text)) if text.contains(command.about)));
        }
        for wrong in [
            &["x"][..],
            &["--once"],
            &["top", "--serial"],
            &["--nope"],
            &["top", "--every", "1"],
            &["top", "--every"],
            &["top", "--sort", "x\x1b"],
            &["--plain", "top"],
        ] {
            let Err(Instead::Wrong(text)) = read(wrong) else { panic!("{wrong:?} is taken") };
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
        }
    }

    #[test]
    fn a_screen_is_for_terminals_that_have_one() {
        for (terminal, term, expected) in [
            (true, Some("vt102"), true),
            (true, Some("xterm-256color"), true),
            (true, Some("dumb"), false),
            (true, Some(""), false),
            (true, None, false),
            (false, Some("vt102"), false),
        ] {
            assert_eq!(has_screen(terminal, term), expected, "{term:?}");
        }
    }
}
