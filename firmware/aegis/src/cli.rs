//! The command line: words to a [`Command`].

mod words;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use aegis_cli::Help;

use self::words::{Asked, Given};
use crate::commands;
use crate::commands::events::Form;
use crate::commands::health::View;
use crate::commands::stick::What;
use crate::commands::workload::Turn;
use crate::outcome::Failure;
use crate::run;

/// What was asked.
#[derive(Debug)]
pub(crate) enum Command {
    Help(Help),
    Version,
    Alerts { json: bool },
    AlertsWatch,
    ConfigCheck { file: Option<PathBuf>, json: bool },
    ConfigShow { json: bool },
    ConfigTemplate,
    Console { top: bool },
    Doctor { json: bool },
    Events(commands::events::Options),
    Explain(commands::explain::Options),
    Health { view: View, json: bool },
    ImageSettle { wait: Duration },
    ImageStatus { json: bool },
    ImageTake { file: PathBuf },
    Load,
    Logs { follow: bool, json: bool },
    Metrics { out: Option<PathBuf> },
    Probe { json: bool },
    Site { section: bool, json: bool },
    Run(run::Options),
    Status { json: bool, wait: Duration },
    StickTake(commands::stick::Options),
    StickVerify { device: Option<PathBuf>, json: bool },
    StickWatch,
    StoragePrepare,
    StorageSettle,
    StorageStatus { json: bool },
    Support(commands::support::Options),
    BreakGlassApply { file: PathBuf },
    BreakGlassChallenge { json: bool },
    BreakGlassConsole { once: bool },
    BreakGlassMend,
    BreakGlassStatus { json: bool },
    PolicyApply { file: PathBuf, sha256: Option<[u8; 32]> },
    PolicyHistory { json: bool },
    PolicyRollback,
    PolicySettle,
    PolicyStatus { json: bool },
    PolicyVerify { file: PathBuf, json: bool },
    WorkloadList { json: bool },
    WorkloadMount,
    WorkloadRemove { name: String, data: bool },
    WorkloadRun { name: OsString, command: Vec<OsString> },
    WorkloadKeep { name: String },
    WorkloadTurn { turn: Turn, name: String },
    WorkloadTake { file: PathBuf },
    WorkloadTell,
    Export(commands::export::Options),
}

fn usage(error: impl core::fmt::Display) -> Failure {
    Failure::error(format!("{error} (see `aegis --help`)"))
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        // It has words in it as they were given.
        usage(aegis_event::Printable(error.to_string().as_bytes()))
    }
}

/// Reads the command line.
pub(crate) fn parse() -> Result<Command, Failure> {
    parse_from(lexopt::Parser::from_env())
}

fn parse_from(words: lexopt::Parser) -> Result<Command, Failure> {
    match Given::read(words)? {
        Asked::Help(help) => Ok(Command::Help(help)),
        Asked::Command(given) => command(given),
    }
}

/// By the table's names: what a command is to be made of what was given.
fn command(given: Given) -> Result<Command, Failure> {
    let json = given.has("json");
    Ok(match given.command.name {
        "help" => Command::Help(Help::All),
        "version" => Command::Version,
        "load" => Command::Load,
        "run" => Command::Run(run::Options { trace: given.has("trace"), ring: given.path("ring") }),
        "status" => Command::Status { json, wait: wait(&given)? },
        "health" => Command::Health { view: view(&given)?, json },
        "alerts" => match given.operand(0) {
            None => Command::Alerts { json },
            Some(word) if word.as_os_str() == "watch" && !json => Command::AlertsWatch,
            Some(_) => return Err(usage("`aegis alerts` takes --json, or the word watch")),
        },
        "doctor" => Command::Doctor { json },
        "logs" => Command::Logs { follow: given.has("follow"), json },
        "metrics" => Command::Metrics { out: given.path("out") },
        "probe" => Command::Probe { json },
        "site" => Command::Site { section: given.has("section"), json },
        "events" => Command::Events(events(&given)?),
        "explain" => Command::Explain(explain(&given)?),
        "console" => Command::Console { top: false },
        "top" => Command::Console { top: true },
        "support" => Command::Support(commands::support::Options { to: given.path("to"), json }),
        "config check" => Command::ConfigCheck { file: given.operand(0), json },
        "config show" => Command::ConfigShow { json },
        "config template" => Command::ConfigTemplate,
        "stick watch" => Command::StickWatch,
        "stick verify" => Command::StickVerify { device: given.operand(0), json },
        "stick take" => Command::StickTake(stick(&given)?),
        "storage prepare" => Command::StoragePrepare,
        "storage settle" => Command::StorageSettle,
        "storage status" => Command::StorageStatus { json },
        "policy apply" => {
            let sha256 = given.all("sha256").next().map(parse_sha256).transpose()?;
            Command::PolicyApply { file: given.wanted(0)?, sha256 }
        }
        "policy history" => Command::PolicyHistory { json },
        "policy rollback" => Command::PolicyRollback,
        "policy settle" => Command::PolicySettle,
        "policy status" => Command::PolicyStatus { json },
        "policy verify" => Command::PolicyVerify { file: given.wanted(0)?, json },
        "image settle" => Command::ImageSettle { wait: wait(&given)? },
        "image status" => Command::ImageStatus { json },
        "image take" => Command::ImageTake { file: given.wanted(0)? },
        "break-glass apply" => Command::BreakGlassApply { file: given.wanted(0)? },
        "break-glass challenge" => Command::BreakGlassChallenge { json },
        "break-glass console" => Command::BreakGlassConsole { once: given.has("once") },
        "break-glass mend" => Command::BreakGlassMend,
        "break-glass status" => Command::BreakGlassStatus { json },
        "workload list" => Command::WorkloadList { json },
        "workload mount" => Command::WorkloadMount,
        "workload remove" => Command::WorkloadRemove { data: given.has("with-data"), name: workload(given)? },
        "workload keep" => Command::WorkloadKeep { name: workload(given)? },
        "workload start" => Command::WorkloadTurn { turn: Turn::Start, name: workload(given)? },
        "workload stop" => Command::WorkloadTurn { turn: Turn::Stop, name: workload(given)? },
        "workload restart" => Command::WorkloadTurn { turn: Turn::Restart, name: workload(given)? },
        "workload take" => Command::WorkloadTake { file: given.wanted(0)? },
        "workload tell" => Command::WorkloadTell,
        "workload run" => {
            let mut words = given.into_operands().into_iter();
            let name = words.next().unwrap_or_default();
            Command::WorkloadRun { name, command: words.collect() }
        }
        "export" => Command::Export(export(&given)?),
        other => return Err(usage(format!("`aegis {other}` is in the table, and nowhere else: report it"))),
    })
}

/// The first operand, a workload's name.
fn workload(given: Given) -> Result<String, Failure> {
    let name = given.into_operands().into_iter().next().unwrap_or_default();
    name.into_string().map_err(|_| usage("not a workload's name"))
}

fn wait(given: &Given) -> Result<Duration, Failure> {
    Ok(Duration::from_secs(given.number::<u16>("wait")?.unwrap_or_default().into()))
}

/// Of these flags the one that was given, if one was.
fn one_of<T: Copy>(given: &Given, flags: &[(&str, T)], otherwise: T) -> Result<T, Failure> {
    let mut found = flags.iter().filter(|(name, _)| given.has(name));
    match (found.next(), found.next()) {
        (None, _) => Ok(otherwise),
        (Some((_, value)), None) => Ok(*value),
        (Some((one, _)), Some((other, _))) => Err(usage(format!("of --{one} and --{other} one at most"))),
    }
}

fn view(given: &Given) -> Result<View, Failure> {
    one_of(given, &[("live", View::Live), ("ready", View::Ready), ("stats", View::Stats)], View::Whole)
}

fn events(given: &Given) -> Result<commands::events::Options, Failure> {
    let mut filter = commands::events::Filter::default();
    for term in given.all("filter") {
        filter.add(term).map_err(|error| usage(format!("--filter {}: {error}", words::shown(term))))?;
    }
    let form = one_of(given, &[("json", Form::Json), ("cbor", Form::Cbor)], Form::Text)?;
    Ok(commands::events::Options { follow: given.has("follow"), filter, form, ring: given.path("ring") })
}

fn explain(given: &Given) -> Result<commands::explain::Options, Failure> {
    let event = given.operand(0).map(|word| words::parsed(word.as_os_str(), "EVENT")).transpose()?;
    if event.is_some() == given.has("last-deny") {
        return Err(usage("EVENT, a sequence in the ring, or --last-deny is wanted"));
    }
    Ok(commands::explain::Options { event, json: given.has("json"), ring: given.path("ring") })
}

fn stick(given: &Given) -> Result<commands::stick::Options, Failure> {
    let flags = [("no-export", What::NoEvidence), ("evidence", What::Evidence), ("final", What::Last)];
    let what = one_of(given, &flags, What::All)?;
    Ok(commands::stick::Options { device: given.operand(0), wait: wait(given)?, what })
}

fn parse_sha256(word: &OsStr) -> Result<[u8; 32], Failure> {
    let digits = |text: &str| {
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(hash)
    };
    word.to_str()
        .filter(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(digits)
        .ok_or_else(|| usage("--sha256 takes 64 hexadecimal digits"))
}

fn export(given: &Given) -> Result<commands::export::Options, Failure> {
    let to = given.path("to").filter(|to| !to.as_os_str().is_empty());
    let options = commands::export::Options {
        to: to.ok_or_else(|| usage("--to DIR is missing"))?,
        from: given.number("from")?,
        last: given.number("to-sequence")?,
        ring: given.path("ring"),
        json: given.has("json"),
        until: None,
    };
    match (options.from, options.last) {
        (None, Some(_)) => Err(usage("--to-sequence is about a range that begins with --from")),
        (Some(from), Some(last)) if last < from.max(1) => Err(usage("--to-sequence is before --from")),
        _ => Ok(options),
    }
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
            Ok(Command::Export(commands::export::Options { from: Some(7), last: None, .. }))
        ));
        assert!(matches!(
            parse(&["export", "--to", "/x", "--from", "7", "--to-sequence", "9", "--json"]),
            Ok(Command::Export(commands::export::Options { from: Some(7), last: Some(9), json: true, .. }))
        ));
        assert!(matches!(
            parse(&["stick", "take", "--wait", "5", "--no-export"]),
            Ok(Command::StickTake(commands::stick::Options { device: None, what: What::NoEvidence, .. }))
        ));
        assert!(matches!(
            parse(&["stick", "take", "/dev/sda1", "--final"]),
            Ok(Command::StickTake(commands::stick::Options { device: Some(_), what: What::Last, .. }))
        ));
        assert!(matches!(
            parse(&["config", "check", "f", "--json"]),
            Ok(Command::ConfigCheck { file: Some(_), json: true })
        ));
        assert!(matches!(parse(&["config", "check"]), Ok(Command::ConfigCheck { file: None, json: false })));
        assert!(matches!(parse(&["config", "show", "--json"]), Ok(Command::ConfigShow { json: true })));
        assert!(matches!(
            parse(&["explain", "7", "--json"]),
            Ok(Command::Explain(commands::explain::Options { event: Some(7), json: true, .. }))
        ));
        assert!(matches!(
            parse(&["explain", "--last-deny", "--ring", "/x"]),
            Ok(Command::Explain(commands::explain::Options { event: None, ring: Some(_), .. }))
        ));
        assert!(matches!(
            parse(&["health", "--json"]),
            Ok(Command::Health { view: View::Whole, json: true })
        ));
        assert!(matches!(
            parse(&["health", "--ready"]),
            Ok(Command::Health { view: View::Ready, json: false })
        ));
        assert!(matches!(parse(&["alerts", "--json"]), Ok(Command::Alerts { json: true })));
        assert!(matches!(parse(&["alerts", "watch"]), Ok(Command::AlertsWatch)));
        assert!(matches!(parse(&["doctor", "--json"]), Ok(Command::Doctor { json: true })));
        assert!(matches!(parse(&["probe"]), Ok(Command::Probe { json: false })));
        assert!(matches!(
            parse(&["events", "--follow", "--filter", "kind=open", "--filter=path=/a b"]),
            Ok(Command::Events(commands::events::Options { follow: true, form: Form::Text, .. }))
        ));
        assert!(matches!(
            parse(&["support", "--to", "stick"]),
            Ok(Command::Support(commands::support::Options { to: Some(_), json: false }))
        ));
        assert!(matches!(parse(&["config", "template"]), Ok(Command::ConfigTemplate)));
        assert!(matches!(
            parse(&["stick", "take", "--evidence", "/dev/sda1"]),
            Ok(Command::StickTake(commands::stick::Options { what: What::Evidence, .. }))
        ));
        assert!(matches!(parse(&["stick", "watch"]), Ok(Command::StickWatch)));
        assert!(matches!(parse(&["console", "--plain"]), Ok(Command::Console { top: false })));
        assert!(matches!(parse(&["top", "--every", "7", "--once"]), Ok(Command::Console { top: true })));
        assert!(matches!(
            parse(&["stick", "verify", "--json"]),
            Ok(Command::StickVerify { device: None, json: true })
        ));
        assert!(matches!(
            parse(&["break-glass", "console", "--once"]),
            Ok(Command::BreakGlassConsole { once: true })
        ));
        assert!(matches!(parse(&["policy", "settle"]), Ok(Command::PolicySettle)));
        assert!(matches!(parse(&["image", "status", "--json"]), Ok(Command::ImageStatus { json: true })));
        assert!(matches!(parse(&["image", "take", "f"]), Ok(Command::ImageTake { .. })));
        assert!(matches!(
            parse(&["image", "settle", "--wait", "60"]),
            Ok(Command::ImageSettle { wait }) if wait.as_secs() == 60
        ));
        assert!(matches!(parse(&["storage", "prepare"]), Ok(Command::StoragePrepare)));
        assert!(matches!(parse(&["storage", "settle"]), Ok(Command::StorageSettle)));
        assert!(matches!(parse(&["storage", "status", "--json"]), Ok(Command::StorageStatus { json: true })));
        assert!(matches!(parse(&["break-glass", "apply", "f"]), Ok(Command::BreakGlassApply { .. })));
        assert!(matches!(
            parse(&["break-glass", "status", "--json"]),
            Ok(Command::BreakGlassStatus { json: true })
        ));
        assert!(matches!(parse(&["break-glass", "mend"]), Ok(Command::BreakGlassMend)));
        assert!(matches!(
            parse(&["workload", "run", "a", "--", "sh", "-c", "--", "x"]),
            Ok(Command::WorkloadRun { command, .. }) if command == ["sh", "-c", "--", "x"]
        ));
        assert!(matches!(
            parse(&["policy", "verify", "f", "--json"]),
            Ok(Command::PolicyVerify { json: true, .. })
        ));
        assert!(matches!(parse(&["policy", "status", "--json"]), Ok(Command::PolicyStatus { json: true })));
        assert!(matches!(parse(&["policy", "history"]), Ok(Command::PolicyHistory { json: false })));
        assert!(matches!(parse(&["policy", "rollback"]), Ok(Command::PolicyRollback)));
        assert!(matches!(parse(&["policy", "apply", "f"]), Ok(Command::PolicyApply { sha256: None, .. })));
        assert!(matches!(
            parse(&["policy", "apply", "--sha256", &"0aF".repeat(22)[..64], "f"]),
            Ok(Command::PolicyApply { sha256: Some([0x0a, 0xf0, 0xaf, ..]), .. })
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
            &["export", "--to", "/x", "--to-sequence", "9"],
            &["export", "--to", "/x", "--from", "9", "--to-sequence", "8"],
            &["export", "--to", "/x", "--from", "0", "--to-sequence", "0"],
            &["workload", "run"],
            &["workload", "run", "a"],
            &["policy"],
            &["policy", "apply"],
            &["policy", "apply", "f", "g"],
            &["policy", "apply", "f", "--json"],
            &["policy", "apply", "f", "--sha256", "0a"],
            &["policy", "apply", "f", "--sha256", &"+f".repeat(32)],
            &["policy", "verify", "f", "--sha256", &"00".repeat(32)],
            &["policy", "rollback", "f"],
            &["policy", "nope"],
            &["explain"],
            &["explain", "x"],
            &["explain", "-1"],
            &["explain", "7", "8"],
            &["explain", "7", "--last-deny"],
            &["health", "x"],
            &["health", "--live", "--stats"],
            &["health", "--json", "--json"],
            &["doctor", "--wait", "5"],
            &["events", "--filter"],
            &["events", "--filter", "kind"],
            &["events", "--filter", "kind=nope"],
            &["events", "--filter", "since=-1"],
            &["events", "7"],
            &["support", "/data"],
            &["-x"],
            &["--", "load", "x"],
            &["config"],
            &["config", "nope"],
            &["config", "check", "f", "g"],
            &["config", "show", "f"],
            &["config", "template", "--json"],
            &["stick"],
            &["stick", "/media/stick"],
            &["stick", "watch", "x"],
            &["stick", "take", "/dev/sda", "/dev/sdb"],
            &["stick", "take", "--wait"],
            &["stick", "take", "--final", "--no-export"],
            &["stick", "take", "--evidence", "--final"],
            &["policy", "settle", "f"],
            &["image"],
            &["image", "nope"],
            &["image", "take"],
            &["image", "take", "f", "--json"],
            &["image", "status", "f"],
            &["image", "settle", "--wait"],
            &["storage"],
            &["storage", "nope"],
            &["storage", "prepare", "--json"],
            &["storage", "status", "x"],
            &["break-glass"],
            &["break-glass", "apply"],
            &["break-glass", "apply", "f", "--json"],
            &["break-glass", "console", "--json"],
            &["break-glass", "nope"],
        ] {
            let failure = parse(words).expect_err("a bad line");
            assert_eq!(
                format!("{:?}", failure.exit_code()),
                format!("{:?}", std::process::ExitCode::from(2))
            );
            assert_eq!(failure.to_string().lines().count(), 1, "{failure}");
        }
    }

    #[test]
    fn whatever_is_in_the_table_is_known_and_has_its_help() {
        for command in aegis_cli::COMMANDS {
            for example in command.examples {
                let words: Vec<&str> = example.split(' ').skip(1).collect();
                assert!(parse(&words).is_ok(), "{example}");
            }
            let mut words: Vec<&str> = command.name.split(' ').collect();
            words.extend(
                command.operands.iter().filter(|it| it.takes != aegis_cli::Takes::Rest).map(|it| it.name),
            );
            words.push("--help");
            let help = parse(&words);
            assert!(
                matches!(help, Ok(Command::Help(Help::One(found))) if found.name == command.name),
                "{words:?}: {help:?}"
            );
        }
        for example in aegis_cli::EXAMPLES {
            let words: Vec<&str> = example.split(' ').skip(1).collect();
            assert!(parse(&words).is_ok(), "{example}");
        }
        assert!(
            matches!(parse(&["policy", "-h"]), Ok(Command::Help(Help::Group(group))) if group.name == "policy")
        );
        assert!(matches!(parse(&["--help"]), Ok(Command::Help(Help::All))));
    }

    proptest::proptest! {
        /// Any words are a command, its help, or refused in one line; none of them reaches a terminal as it is.
        #[test]
        fn any_words(
            first in proptest::sample::select(aegis_cli::COMMANDS),
            words in proptest::collection::vec(proptest::collection::vec(1u8..=255, 0..12), 0..6),
            flags in proptest::collection::vec((0usize..6, 0usize..7), 0..6),
        ) {
            use std::os::unix::ffi::OsStringExt;
            let mut line: Vec<OsString> = first.name.split(' ').map(OsString::from).collect();
            line.extend(words.into_iter().map(OsString::from_vec));
            for (flag, at) in flags {
                let Some(flag) = first.flags.get(flag) else { continue };
                line.insert(at.min(line.len()), format!("--{}", flag.name).into());
            }
            if let Err(failure) = parse_from(lexopt::Parser::from_args(line)) {
                let text = failure.to_string();
                proptest::prop_assert!(!text.bytes().any(|byte| byte < b' ' || byte == 0x7f), "{text:?}");
            }
        }
    }
}
