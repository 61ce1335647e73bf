//! `aegisctl policy new`: a policy to begin with, and its tests.

use std::path::{Path, PathBuf};

use aegis_policy::names;
use clap::ValueEnum;
use serde_json::json;

use super::check::bad_rule_name;
use super::render::quoted;
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy new site
  aegisctl policy new --template ai-agent --dir policies planner
  aegisctl policy test site.toml

Writes NAME.toml, NAME.test.toml and what they include; nothing that exists is overwritten.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the policy
    #[arg(value_name = "NAME")]
    name: String,
    /// What to begin with
    #[arg(long, value_enum, default_value_t = Start::Minimal)]
    template: Start,
    /// Where to write it
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Start {
    /// One workload, one rule in audit, to be changed
    Minimal,
    /// Every workload, audit only: names for what an analyst asks about first
    Baseline,
    /// Every workload, denied credentials, keys, kernel paths, container sockets
    Hardened,
    /// AI agents: what hardened denies, the usual shells and compilers, all writes but to a list, exec where they write
    AiAgent,
}

/// A source that ships: its name there, its text.
type Shipped = (&'static str, &'static str);

macro_rules! shipped {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../policy-bundles/", $name)))
    };
}

const LIBRARY: &[Shipped] = &[
    shipped!("lib/secrets.toml"),
    shipped!("lib/kernel.toml"),
    shipped!("lib/tools.toml"),
    shipped!("lib/alerts.toml"),
];
const ALERTS: &[Shipped] = &[shipped!("lib/alerts.toml")];

impl Start {
    /// The name it has where it ships, its source, its tests, what it includes.
    pub(super) const fn files(self) -> (&'static str, &'static str, &'static str, &'static [Shipped]) {
        match self {
            Self::Minimal => {
                ("minimal", include_str!("new/minimal.toml"), include_str!("new/minimal.test.toml"), &[])
            }
            Self::Baseline => {
                ("baseline", shipped!("baseline.toml").1, shipped!("baseline.test.toml").1, ALERTS)
            }
            Self::Hardened => {
                ("hardened", shipped!("hardened.toml").1, shipped!("hardened.test.toml").1, LIBRARY)
            }
            Self::AiAgent => {
                ("ai-agent", shipped!("ai-agent.toml").1, shipped!("ai-agent.test.toml").1, LIBRARY)
            }
        }
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    let name = &args.name;
    if !names::is_policy_name(name) {
        return Err(Failure::usage(bad_rule_name("policy", name).replace("31", "63")));
    }
    let (shipped, source, tests, includes) = args.template.files();
    let named = |key: &str, text: &str, old: &str, new: &str| {
        text.replacen(&format!("{key} = {}", quoted(old)), &format!("{key} = {}", quoted(new)), 1)
    };
    let source = named("name", source, shipped, name);
    let tests = named("policy", tests, &format!("{shipped}.toml"), &format!("{name}.toml"));
    // Shown as a person would type it.
    let dir = if args.dir.as_os_str() == "." { Path::new("") } else { &args.dir };
    let mut all = vec![(format!("{name}.toml"), source), (format!("{name}.test.toml"), tests)];
    // A library that is there already stays, when it is the same.
    for (file, text) in includes {
        if std::fs::read(dir.join(file)).ok().as_deref() != Some(text.as_bytes()) {
            all.push(((*file).to_owned(), (*text).to_owned()));
        }
    }
    // All or nothing, as far as that can be seen before.
    if let Some((file, _)) = all.iter().find(|(file, _)| dir.join(file).symlink_metadata().is_ok()) {
        let path = dir.join(file);
        return Err(Failure::usage(format!("{}: exists; it is not overwritten", path.display())));
    }
    for (file, text) in &all {
        let path = dir.join(file);
        let parent = path.parent().unwrap_or(Path::new("."));
        files::make_directory(parent, 0o755)?;
        files::write(&path, text.as_bytes(), 0o644, false)?;
    }
    let written: Vec<String> = all.iter().map(|(file, _)| dir.join(file).display().to_string()).collect();
    if args.json {
        output::json(&json!({ "written": written }))?;
    } else {
        output::text(&(written.join("\n") + "\n"))?;
    }
    Ok(Status::Good)
}
