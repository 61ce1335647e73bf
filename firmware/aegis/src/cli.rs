//! The command line: words to a [`Command`], and the help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::outcome::Failure;
use crate::run;

/// What was asked.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Version,
    Load,
    Run(run::Options),
    Status { json: bool, wait: Duration },
    Stick { mount: PathBuf },
    PolicyApply { file: PathBuf },
    PolicyVerify { file: PathBuf, json: bool },
    Workload { name: OsString, command: Vec<OsString> },
    Export { to: PathBuf, from: Option<u64>, ring: Option<PathBuf> },
}

/// The help, with examples.
pub(crate) const HELP: &str = "\
Aegis: decides in the kernel what this host's workloads may open, execute and connect to, and keeps the evidence.

Usage: aegis COMMAND

  load                        load the probes, apply the last good policy, prove a denial
  run [--trace]               the agent: events from the kernel to the ring on disk, until SIGTERM
      [--ring DEVICE]         instead of the partition labelled aegis-ring
  status [--json]             what the agent says of itself
         [--wait SECONDS]     wait until it is ready
  stick DIR                   take the best bundle from a mounted stick, leave receipts on it
  policy apply FILE           take one bundle
  policy verify FILE [--json] would it be taken? changes nothing
  workload run NAME -- CMD    run CMD confined as the workload NAME
  export --to DIR             write signed evidence that was not exported yet
         [--from SEQUENCE]    or again from this event on
         [--ring DEVICE]      instead of the partition labelled aegis-ring
  version

Exit: 0 ok, 1 refused or unhealthy, 2 usage or error.

Examples:
  aegis load && aegis run &
  aegis status --wait 20
  aegis workload run agent-7 -- /data/workloads/agent-7/run
  aegis export --to /media/stick/aegis/out
";

fn usage(error: impl core::fmt::Display) -> Failure {
    Failure::error(format!("{error} (see `aegis --help`)"))
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        usage(error)
    }
}

/// Reads the command line.
pub(crate) fn parse() -> Result<Command, Failure> {
    parse_from(lexopt::Parser::from_env())
}

fn parse_from(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let command = match words.next()? {
        None => return Err(usage("a command is missing")),
        Some(Short('h') | Long("help")) => return Ok(Command::Help),
        Some(Short('V') | Long("version")) => return Ok(Command::Version),
        Some(Value(word)) => word.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "help" => Ok(Command::Help),
        "version" => Ok(Command::Version),
        "load" => nothing_more(words, Command::Load),
        "run" => parse_run(words),
        "status" => parse_status(words),
        "stick" => {
            let mount = operand(&mut words, "the directory where the stick is mounted")?.into();
            nothing_more(words, Command::Stick { mount })
        }
        "policy" => parse_policy(words),
        "workload" => parse_workload(words),
        "export" => parse_export(words),
        other => Err(usage(format!("unknown command {other:?}"))),
    }
}

fn operand(words: &mut lexopt::Parser, what: &str) -> Result<OsString, Failure> {
    match words.next()? {
        Some(Value(word)) => Ok(word),
        Some(Long("help")) => Err(usage(format!("{what} is wanted"))),
        Some(other) => Err(other.unexpected().into()),
        None => Err(usage(format!("{what} is missing"))),
    }
}

fn nothing_more(mut words: lexopt::Parser, command: Command) -> Result<Command, Failure> {
    match words.next()? {
        None => Ok(command),
        Some(Long("help") | Short('h')) => Ok(Command::Help),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn parse_run(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let mut options = run::Options::default();
    while let Some(word) = words.next()? {
        match word {
            Long("trace") => options.trace = true,
            Long("ring") => options.ring = Some(words.value()?.into()),
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Run(options))
}

fn parse_status(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let (mut json, mut wait) = (false, Duration::ZERO);
    while let Some(word) = words.next()? {
        match word {
            Long("json") => json = true,
            Long("wait") => wait = Duration::from_secs(u64::from(words.value()?.parse::<u16>()?)),
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Status { json, wait })
}

fn parse_policy(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let action = operand(&mut words, "`apply` or `verify`")?;
    let file = |words: &mut lexopt::Parser| operand(words, "the bundle file").map(PathBuf::from);
    match action.to_str() {
        Some("apply") => {
            let file = file(&mut words)?;
            nothing_more(words, Command::PolicyApply { file })
        }
        Some("verify") => {
            let file = file(&mut words)?;
            let json = match words.next()? {
                None => false,
                Some(Long("json")) => true,
                Some(other) => return Err(other.unexpected().into()),
            };
            nothing_more(words, Command::PolicyVerify { file, json })
        }
        _ => Err(usage(format!("unknown command \"policy {}\"", action.display()))),
    }
}

fn parse_workload(mut words: lexopt::Parser) -> Result<Command, Failure> {
    if operand(&mut words, "`run`")? != "run" {
        return Err(usage("`aegis workload` knows `run` only"));
    }
    let name = operand(&mut words, "the workload's name")?;
    let command: Vec<OsString> = words.raw_args()?.skip_while(|word| word == "--").collect();
    if command.is_empty() {
        return Err(usage("the workload's command is missing"));
    }
    Ok(Command::Workload { name, command })
}

fn parse_export(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let (mut to, mut from, mut ring) = (None, None, None);
    while let Some(word) = words.next()? {
        match word {
            Long("to") => to = Some(words.value()?.into()),
            Long("from") => from = Some(words.value()?.parse()?),
            Long("ring") => ring = Some(words.value()?.into()),
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    let to = to.ok_or_else(|| usage("--to DIR is missing"))?;
    Ok(Command::Export { to, from, ring })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Command, Failure> {
        parse_from(lexopt::Parser::from_args(words))
    }

    #[test]
    fn good_lines() {
        assert!(matches!(parse(&["load"]), Ok(Command::Load)));
        assert!(matches!(parse(&["run", "--trace"]), Ok(Command::Run(run::Options { trace: true, .. }))));
        assert!(matches!(
            parse(&["export", "--to", "/x", "--from=7"]),
            Ok(Command::Export { from: Some(7), .. })
        ));
        assert!(matches!(
            parse(&["workload", "run", "a", "--", "sh", "-c", "--", "x"]),
            Ok(Command::Workload { command, .. }) if command == ["sh", "-c", "--", "x"]
        ));
        assert!(matches!(
            parse(&["policy", "verify", "f", "--json"]),
            Ok(Command::PolicyVerify { json: true, .. })
        ));
    }

    #[test]
    fn bad_lines_are_usage_errors_in_one_line() {
        for words in [
            &[][..],
            &["nope"],
            &["load", "x"],
            &["run", "--no"],
            &["status", "--wait"],
            &["status", "--wait", "-1"],
            &["export"],
            &["export", "--to", "/x", "--from", "y"],
            &["workload", "run"],
            &["workload", "run", "a"],
            &["policy"],
            &["policy", "apply"],
        ] {
            let failure = parse(words).expect_err("a bad line");
            assert_eq!(
                format!("{:?}", failure.exit_code()),
                format!("{:?}", std::process::ExitCode::from(2))
            );
            assert_eq!(failure.to_string().lines().count(), 1, "{failure}");
        }
    }
}
