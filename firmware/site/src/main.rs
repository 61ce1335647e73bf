//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use aegis_site::keep::{self, Options};
use aegis_site::{push, serve};

const HELP: &str = "\
aegis-site: the device's endpoint on an isolated site network (docs/site.md)

Usage:
  aegis-site keep [OPTION]...   what the policy in force says of the site network, until it is ended (init starts it)
  aegis-site --help | --version

Options, for trying it where no device is:
  --section FILE   what `aegis site --section` would say
  --agent PROGRAM  instead of /usr/bin/aegis
  --trust DIR      instead of /data/aegis: when trust.a or trust.b there changes, the policy may have
  --state DIR      instead of /data/aegis/site: key and certificate request
  --run DIR        instead of /run/aegis
  --no-card        the address is there already: no card is touched
  --hurry TIMES    exports are pushed, and a collector that failed is tried again, so many times sooner

Examples:
  aegis-site keep
  aegis-site keep --section site.offer --agent ./aegis --state /tmp/site --run /tmp/site --no-card

Exit codes: 1 it could not go on, 2 wrong use.";

fn main() -> ExitCode {
    match options(lexopt::Parser::from_env()) {
        Ok(Asked::Keep(options)) => keep::run(&options),
        Ok(Asked::Serve) => serve::run(),
        Ok(Asked::Push) => push::run(),
        Ok(Asked::Say(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("aegis-site: {} (see `aegis-site --help`)", error.to_string().escape_debug());
            ExitCode::from(2)
        }
    }
}

enum Asked {
    Keep(Options),
    Serve,
    Push,
    Say(&'static str),
}

fn options(mut words: lexopt::Parser) -> Result<Asked, lexopt::Error> {
    use lexopt::Arg::{Long, Short, Value};
    use lexopt::ValueExt as _;
    let command: OsString = match words.next()? {
        Some(Long("help") | Short('h')) => return Ok(Asked::Say(HELP)),
        Some(Long("version") | Short('V')) => {
            return Ok(Asked::Say(concat!("aegis-site ", env!("CARGO_PKG_VERSION"))));
        }
        Some(Value(word)) => word,
        Some(other) => return Err(other.unexpected()),
        None => return Err("a command is wanted".into()),
    };
    let mut options = Options::default();
    match command.to_str() {
        Some("keep") => {}
        // The keeper's own words.
        Some("push") if words.next()?.is_none() => return Ok(Asked::Push),
        Some("serve") if words.next()?.is_none() => return Ok(Asked::Serve),
        _ => return Err(format!("no command {}", command.display()).into()),
    }
    while let Some(word) = words.next()? {
        let path = match word {
            Long("section") => {
                options.section = Some(PathBuf::from(words.value()?));
                continue;
            }
            Long("no-card") => {
                options.no_card = true;
                continue;
            }
            Long("hurry") => {
                options.hurry = words.value()?.parse()?;
                continue;
            }
            Long("help") => return Ok(Asked::Say(HELP)),
            Long("agent") => &mut options.agent,
            Long("trust") => &mut options.trust,
            Long("state") => &mut options.state,
            Long("run") => &mut options.run,
            other => return Err(other.unexpected()),
        };
        *path = PathBuf::from(words.value()?);
    }
    Ok(Asked::Keep(options))
}
