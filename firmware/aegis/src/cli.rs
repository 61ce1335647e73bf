//! The command line: words to a [`Command`], and the help.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::commands;
use crate::commands::stick::What;
use crate::outcome::Failure;
use crate::run;

/// What was asked.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Version,
    ConfigCheck { file: Option<PathBuf>, json: bool },
    ConfigShow { json: bool },
    ConfigTemplate,
    Explain(commands::explain::Options),
    Health { json: bool },
    ImageSettle { wait: Duration },
    ImageStatus { json: bool },
    ImageTake { file: PathBuf },
    Load,
    Metrics { out: Option<PathBuf> },
    Run(run::Options),
    Status { json: bool, wait: Duration },
    StickTake(commands::stick::Options),
    StickWatch,
    StoragePrepare,
    StorageSettle,
    StorageStatus { json: bool },
    BreakGlassApply { file: PathBuf },
    BreakGlassChallenge { json: bool },
    BreakGlassConsole,
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
    WorkloadStart { name: String },
    WorkloadTake { file: PathBuf },
    WorkloadTell,
    Export(commands::export::Options),
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
  health [--json]             does it keep its promises now? a line for each thing that is not as it should be
  metrics [--out FILE]        all that is measured, for Prometheus: the contract is docs/metrics.md
                              FILE: made anew in one step, for a collector of text files
  explain EVENT [--json]      why was it decided so? EVENT: its sequence in the ring; from what the kernel recorded then
          --last-deny         instead of EVENT: the last one that was denied
          [--ring DEVICE]     instead of the partition labelled aegis-ring
  config check [FILE]         would it be taken? without FILE: the one in own storage
         [--json]
  config show [--json]        what is configured, or stands in for it
  config template             the file to begin with: every key, explained, with its default
  stick watch                 take each stick on USB that is labelled AEGIS, once a plug, until killed
  stick take [DEVICE]         take one: roots, bundles, token from it; receipts and evidence to it
        [--wait SECONDS]      when no device is named: wait until there is one
        [--no-export]         receipts, no evidence
        [--evidence]          take nothing: evidence to it, if there is any (what `watch` does every so often)
        [--final]             take nothing: the rest of the evidence and the last status to it
  storage prepare             find, mend or make the ring's and the data partition, before anything is mounted
  storage settle              once /data is mounted, or can't be: let it grow, tell what is not as it should be
  storage status [--json]     where they are, and what was done to the disk in this boot
  policy status [--json]      what is in force, where it comes from, what is remembered
  policy history [--json]     the last decisions on bundles, root metadata and tokens
  policy verify FILE [--json] would it be taken from a stick? changes nothing
  policy apply FILE           take one bundle, also one that is held back; of the one in force look all paths up anew
         [--sha256 HEX]       only if the file has this SHA-256
  policy settle               what was decided is in the kernel again, and proven, if a decision was cut short
  policy rollback             back to the policy before the one in force
  image status [--json]       which slot runs, what waits in the other, what is remembered
  image take FILE             write an image to the idle slot, also one that is held back
  image settle                is this boot healthy? then the image that runs is committed
        [--wait SECONDS]      wait until the agent is ready
  break-glass status [--json] is the glass broken, and what would break it
  break-glass challenge       what a token for this boot is made from
              [--json]
  break-glass apply FILE      nothing is denied for a time: a token, as it was signed or as text
  break-glass mend            end it now
  break-glass console         take tokens over the serial line, until it ends
  workload list [--json]      what is accepted, mounted or why not, and how each is doing
  workload take FILE          keep one; it runs from the next start on
  workload remove NAME        take one away; nothing older of its name comes back
           [--with-data]      and what its programs kept
  workload mount              look at each that is kept, and mount it, before the policy is loaded
  workload tell               events of those that were not mounted
  workload start NAME         keep one that is mounted running, as its manifest says
  workload run NAME -- CMD    run CMD confined as the workload NAME
  export --to DIR             write signed evidence that was not exported yet
         [--from SEQUENCE]    or again from this event on
         [--to-sequence LAST] and up to that one
         [--json]
         [--ring DEVICE]      instead of the partition labelled aegis-ring
  version

Exit: 0 ok, 1 refused or unhealthy, 2 usage or error.

Examples:
  aegis load && aegis run &
  aegis status --wait 20
  aegis policy apply /media/stick/aegis/site.aegis
  aegis workload run agent-7 -- /data/workloads/agent-7/run
  aegis explain --last-deny
  aegis metrics --out /run/collector/aegis.prom
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
        "config" => parse_config(words),
        "explain" => parse_explain(words),
        "health" => parse_health(words),
        "metrics" => parse_metrics(words),
        "image" => parse_image(words),
        "stick" => parse_stick(words),
        "storage" => parse_storage(words),
        "break-glass" => parse_break_glass(words),
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

fn parse_health(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let mut json = false;
    while let Some(word) = words.next()? {
        match word {
            Long("json") => json = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Health { json })
}

fn parse_metrics(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let mut out = None;
    while let Some(word) = words.next()? {
        match word {
            Long("out") if out.is_none() => out = Some(PathBuf::from(words.value()?)),
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Metrics { out })
}

fn parse_image(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let action = operand(&mut words, "`status`, `take` or `settle`")?;
    let (mut file, mut json, mut wait) = (None, false, Duration::ZERO);
    let is = |name: &str| action.to_str() == Some(name);
    while let Some(word) = words.next()? {
        match word {
            Value(path) if is("take") && file.is_none() => file = Some(PathBuf::from(path)),
            Long("json") if is("status") => json = true,
            Long("wait") if is("settle") => {
                wait = Duration::from_secs(u64::from(words.value()?.parse::<u16>()?));
            }
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    match action.to_str() {
        Some("settle") => Ok(Command::ImageSettle { wait }),
        Some("status") => Ok(Command::ImageStatus { json }),
        Some("take") => {
            let file = file.ok_or_else(|| usage("the image's file is missing"))?;
            Ok(Command::ImageTake { file })
        }
        _ => Err(usage(format!("unknown command \"image {}\"", action.display()))),
    }
}

fn parse_explain(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let (mut options, mut last) = (commands::explain::Options::default(), false);
    while let Some(word) = words.next()? {
        match word {
            Value(event) if options.event.is_none() => options.event = Some(event.parse()?),
            Long("last-deny") => last = true,
            Long("ring") => options.ring = Some(words.value()?.into()),
            Long("json") => options.json = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    if options.event.is_some() == last {
        return Err(usage("EVENT, a sequence in the ring, or --last-deny is wanted"));
    }
    Ok(Command::Explain(options))
}

fn parse_config(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let action = operand(&mut words, "`check`, `show` or `template`")?;
    let (mut file, mut json) = (None, false);
    let is = |names: &[&str]| action.to_str().is_some_and(|action| names.contains(&action));
    while let Some(word) = words.next()? {
        match word {
            Value(path) if is(&["check"]) && file.is_none() => file = Some(PathBuf::from(path)),
            Long("json") if is(&["check", "show"]) => json = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    match action.to_str() {
        Some("check") => Ok(Command::ConfigCheck { file, json }),
        Some("show") => Ok(Command::ConfigShow { json }),
        Some("template") => Ok(Command::ConfigTemplate),
        _ => Err(usage(format!("unknown command \"config {}\"", action.display()))),
    }
}

fn parse_stick(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let action = operand(&mut words, "`take` or `watch`")?;
    match action.to_str() {
        Some("watch") => nothing_more(words, Command::StickWatch),
        Some("take") => {
            let mut options = commands::stick::Options::default();
            let is_all = |options: &commands::stick::Options| options.what == What::All;
            while let Some(word) = words.next()? {
                match word {
                    Value(device) if options.device.is_none() => options.device = Some(device.into()),
                    Long("wait") => {
                        options.wait = Duration::from_secs(u64::from(words.value()?.parse::<u16>()?));
                    }
                    Long("no-export") if is_all(&options) => options.what = What::NoEvidence,
                    Long("evidence") if is_all(&options) => options.what = What::Evidence,
                    Long("final") if is_all(&options) => options.what = What::Last,
                    Long("no-export" | "evidence" | "final") => {
                        return Err(usage("of --no-export, --evidence and --final one at most"));
                    }
                    Long("help") | Short('h') => return Ok(Command::Help),
                    other => return Err(other.unexpected().into()),
                }
            }
            Ok(Command::StickTake(options))
        }
        _ => Err(usage(format!("unknown command \"stick {}\"", action.display()))),
    }
}

fn parse_storage(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let action = operand(&mut words, "`prepare`, `settle` or `status`")?;
    match action.to_str() {
        Some("prepare") => nothing_more(words, Command::StoragePrepare),
        Some("settle") => nothing_more(words, Command::StorageSettle),
        Some("status") => {
            let mut json = false;
            while let Some(word) = words.next()? {
                match word {
                    Long("json") => json = true,
                    Long("help") | Short('h') => return Ok(Command::Help),
                    other => return Err(other.unexpected().into()),
                }
            }
            Ok(Command::StorageStatus { json })
        }
        _ => Err(usage(format!("unknown command \"storage {}\"", action.display()))),
    }
}

fn parse_break_glass(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let action = operand(&mut words, "`status`, `challenge`, `apply`, `mend` or `console`")?;
    let (mut file, mut json) = (None, false);
    let is = |names: &[&str]| action.to_str().is_some_and(|action| names.contains(&action));
    while let Some(word) = words.next()? {
        match word {
            Value(path) if is(&["apply"]) && file.is_none() => file = Some(PathBuf::from(path)),
            Long("json") if is(&["status", "challenge"]) => json = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    match action.to_str() {
        Some("apply") => {
            let file = file.ok_or_else(|| usage("the token's file is missing"))?;
            Ok(Command::BreakGlassApply { file })
        }
        Some("challenge") => Ok(Command::BreakGlassChallenge { json }),
        Some("console") => Ok(Command::BreakGlassConsole),
        Some("mend") => Ok(Command::BreakGlassMend),
        Some("status") => Ok(Command::BreakGlassStatus { json }),
        _ => Err(usage(format!("unknown command \"break-glass {}\"", action.display()))),
    }
}

fn parse_policy(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let action = operand(&mut words, "`status`, `history`, `verify`, `apply`, `rollback` or `settle`")?;
    let (mut file, mut sha256, mut json) = (None, None, false);
    let is = |name: &[&str]| action.to_str().is_some_and(|action| name.contains(&action));
    while let Some(word) = words.next()? {
        match word {
            Value(path) if is(&["apply", "verify"]) && file.is_none() => file = Some(PathBuf::from(path)),
            Long("sha256") if is(&["apply"]) => sha256 = Some(parse_sha256(&words.value()?)?),
            Long("json") if is(&["history", "status", "verify"]) => json = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    let file = file.ok_or_else(|| usage("the bundle file is missing"));
    match action.to_str() {
        Some("apply") => Ok(Command::PolicyApply { file: file?, sha256 }),
        Some("history") => Ok(Command::PolicyHistory { json }),
        Some("rollback") => Ok(Command::PolicyRollback),
        Some("settle") => Ok(Command::PolicySettle),
        Some("status") => Ok(Command::PolicyStatus { json }),
        Some("verify") => Ok(Command::PolicyVerify { file: file?, json }),
        _ => Err(usage(format!("unknown command \"policy {}\"", action.display()))),
    }
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

fn parse_workload(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let action = operand(&mut words, "`list`, `take`, `remove`, `mount`, `tell`, `start` or `run`")?;
    let text = |name: OsString| name.into_string().map_err(|_| usage("not a workload's name"));
    match action.to_str() {
        Some("mount") => return nothing_more(words, Command::WorkloadMount),
        Some("tell") => return nothing_more(words, Command::WorkloadTell),
        Some("take") => {
            let file = operand(&mut words, "the workload's file")?.into();
            return nothing_more(words, Command::WorkloadTake { file });
        }
        Some("start") => {
            let name = text(operand(&mut words, "the workload's name")?)?;
            return nothing_more(words, Command::WorkloadStart { name });
        }
        Some("list" | "remove") => {
            let (mut name, mut json, mut data) = (None, false, false);
            while let Some(word) = words.next()? {
                match word {
                    Value(word) if action == "remove" && name.is_none() => name = Some(text(word)?),
                    Long("json") if action == "list" => json = true,
                    Long("with-data") if action == "remove" => data = true,
                    Long("help") | Short('h') => return Ok(Command::Help),
                    other => return Err(other.unexpected().into()),
                }
            }
            return match name {
                Some(name) => Ok(Command::WorkloadRemove { name, data }),
                None if action == "remove" => Err(usage("the workload's name is missing")),
                None => Ok(Command::WorkloadList { json }),
            };
        }
        Some("run") => {}
        _ => return Err(usage(format!("unknown command \"workload {}\"", action.display()))),
    }
    let name = operand(&mut words, "the workload's name")?;
    let command: Vec<OsString> = words.raw_args()?.skip_while(|word| word == "--").collect();
    if command.is_empty() {
        return Err(usage("the workload's command is missing"));
    }
    Ok(Command::WorkloadRun { name, command })
}

fn parse_export(mut words: lexopt::Parser) -> Result<Command, Failure> {
    let mut options = commands::export::Options::default();
    while let Some(word) = words.next()? {
        match word {
            Long("to") => options.to = words.value()?.into(),
            Long("from") => options.from = Some(words.value()?.parse()?),
            Long("to-sequence") => options.last = Some(words.value()?.parse()?),
            Long("ring") => options.ring = Some(words.value()?.into()),
            Long("json") => options.json = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    if options.to.as_os_str().is_empty() {
        return Err(usage("--to DIR is missing"));
    }
    match (options.from, options.last) {
        (None, Some(_)) => Err(usage("--to-sequence is about a range that begins with --from")),
        (Some(from), Some(last)) if last < from.max(1) => Err(usage("--to-sequence is before --from")),
        _ => Ok(Command::Export(options)),
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
        assert!(matches!(parse(&["health", "--json"]), Ok(Command::Health { json: true })));
        assert!(matches!(parse(&["config", "template"]), Ok(Command::ConfigTemplate)));
        assert!(matches!(
            parse(&["stick", "take", "--evidence", "/dev/sda1"]),
            Ok(Command::StickTake(commands::stick::Options { what: What::Evidence, .. }))
        ));
        assert!(matches!(parse(&["stick", "watch"]), Ok(Command::StickWatch)));
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
        assert!(matches!(parse(&["metrics"]), Ok(Command::Metrics { out: None })));
        assert!(matches!(parse(&["metrics", "--out", "f"]), Ok(Command::Metrics { out: Some(_) })));
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
        assert!(matches!(parse(&["workload", "list", "--json"]), Ok(Command::WorkloadList { json: true })));
        assert!(matches!(parse(&["workload", "mount"]), Ok(Command::WorkloadMount)));
        assert!(matches!(parse(&["workload", "tell"]), Ok(Command::WorkloadTell)));
        assert!(matches!(parse(&["workload", "take", "f"]), Ok(Command::WorkloadTake { .. })));
        assert!(matches!(parse(&["workload", "start", "a"]), Ok(Command::WorkloadStart { .. })));
        assert!(matches!(
            parse(&["workload", "remove", "a", "--with-data"]),
            Ok(Command::WorkloadRemove { data: true, .. })
        ));
        for wrong in [&["workload", "remove"][..], &["workload", "list", "a"], &["workload", "x", "a"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
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
            &["metrics", "x"],
            &["metrics", "--json"],
            &["metrics", "--out"],
            &["metrics", "--out", "a", "--out", "b"],
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
}
