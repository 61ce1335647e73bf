//! `aegisctl policy`: write, check, compile, explain, compare, test, simulate and learn policy.

mod cases;
mod check;
mod compile;
mod decisions;
mod device;
mod diff;
mod explain;
mod format;
mod image;
mod learn;
mod limits;
mod lint;
mod new;
pub(crate) mod place;
mod render;
mod resolve;
mod room;
mod settings;
mod simulate;
mod site;
pub(crate) mod source;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod things;

use std::io::Write;
use std::path::Path;

use aegis_policy::{Policy, limits as bounds};
use clap::Subcommand;

pub(crate) use resolve::PolicySource;

use crate::files;
use crate::outcome::{Failure, Outcome, Status};
use place::{At, SourceError, Sources};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Begin a policy, with its tests, from a template
    #[command(after_help = new::EXAMPLES)]
    New(new::Args),
    /// Check a policy source: errors are refused, warnings are shown or mended
    #[command(after_help = lint::EXAMPLES)]
    Lint(lint::Args),
    /// Put policy sources into their one form; comments stay
    #[command(after_help = format::EXAMPLES)]
    Fmt(format::Args),
    /// Compile a policy source to the form that a device reads
    #[command(after_help = compile::EXAMPLES)]
    Compile(compile::Args),
    /// Say what a policy decides on one access, and by which rule
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Args),
    /// Show the decisions and settings that change when one policy follows another
    #[command(after_help = diff::EXAMPLES)]
    Diff(diff::Args),
    /// Run the tests of policies
    #[command(after_help = cases::EXAMPLES)]
    Test(cases::Args),
    /// Say what a policy would have decided on recorded events
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(simulate::Args),
    /// Draft the least that a workload needs, from what it was seen to do
    #[command(after_help = learn::EXAMPLES)]
    Learn(learn::Args),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::New(args) => new::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Fmt(args) => format::run(&args),
        Command::Compile(args) => compile::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Test(args) => cases::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Learn(args) => learn::run(&args),
    }
}

/// A policy source and what it compiles to.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// The one source that the bytes come from: the file itself, or includes and templates resolved.
    pub(crate) text: String,
    pub(crate) source: PolicySource,
    pub(crate) bytes: Vec<u8>,
    /// What it says of the site network, as a bundle carries it.
    pub(crate) site: Option<Vec<u8>>,
    sources: Sources,
}

impl Compiled {
    /// The files that it was read from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> + Clone {
        self.sources.0.iter().filter_map(|file| file.path.as_deref())
    }
}

/// Why a source does not compile.
pub(crate) enum Trouble {
    /// Nothing to point at.
    Failure(Failure),
    /// A place in a source.
    Source(Sources, SourceError),
}

impl Trouble {
    /// It is about what is in a file; else the file can't be read, or can't be taken so.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Failure(failure) => failure.is_refusal(),
            Self::Source(..) => true,
        }
    }

    /// In fields of a JSON object.
    fn json(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut fields = serde_json::Map::new();
        match self {
            Self::Failure(failure) => {
                fields.insert("error".to_owned(), failure.message().into());
            }
            Self::Source(sources, error) => {
                let message = format!("{}: {}", sources.name(error.at), error.message);
                fields.insert("error".to_owned(), message.into());
                fields.insert("line".to_owned(), sources.line(error.at).into());
                fields.insert("column".to_owned(), sources.column(error.at).into());
            }
        }
        fields
    }

    /// Tells of it, or leaves that to JSON, and says how bad it is.
    fn status(self, json: bool) -> Status {
        let status = if self.is_refusal() { Status::Refused } else { Status::Unread };
        if !json {
            self.tell().tell();
        }
        status
    }

    /// Shows the place to the person at stderr, and makes the failure.
    pub(crate) fn tell(self) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            Self::Source(sources, error) => {
                // The failure says it all; nothing more can be done about a stderr that is gone.
                let _ = std::io::stderr().write_all(sources.point(&error).as_bytes());
                Failure::refused(format!("{}: {}", sources.name(error.at), error.message))
            }
        }
    }
}

/// Reads, checks and compiles a policy source. What is wrong is shown on stderr where it stands.
pub(crate) fn compile_file(file: &Path) -> Result<Compiled, Failure> {
    compile(file, files::read(file, bounds::SOURCE_BYTES)?, false).map_err(Trouble::tell)
}

fn compile(file: &Path, bytes: Vec<u8>, fragments: bool) -> Result<Compiled, Trouble> {
    let (sources, read) = resolve::load(file, bytes, fragments).map_err(Trouble::Failure)?;
    let compiled = read.and_then(|source| compiled(&sources, source));
    match compiled {
        Ok((text, source, bytes)) => {
            let site = source.site.as_ref().and_then(|site| site.value.section());
            Ok(Compiled { text, source, bytes, site, sources })
        }
        Err(error) => Err(Trouble::Source(sources, error)),
    }
}

fn compiled(sources: &Sources, source: PolicySource) -> Result<(String, PolicySource, Vec<u8>), SourceError> {
    let top = |message: String| SourceError::new(At::default(), message);
    let bytes = source.compile().map_err(|error| {
        let most = bounds::ENTRIES;
        top(format!(
            "{error} (split it; at most {most} paths and trees x workloads and {} rules)",
            bounds::RULES
        ))
    })?;
    let text = if source.composed { render::render(&source, sources) } else { sources.0[0].text.clone() };
    if text.len() > bounds::SOURCE_BYTES {
        return Err(top(format!(
            "resolved it is longer than {} bytes; split the policy",
            bounds::SOURCE_BYTES
        )));
    }
    Ok((text, source, bytes))
}

/// A policy in compiled form: read, or compiled from a source.
fn compiled_form(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = files::read(file, bounds::POLICY_BYTES)?;
    // A compiled policy begins with its format number, which no TOML can begin with.
    if matches!(bytes.first(), Some(1 | 2)) {
        return Ok(bytes);
    }
    if bytes.len() > bounds::SOURCE_BYTES {
        return Err(Failure::refused(format!(
            "{}: longer than {} bytes",
            file.display(),
            bounds::SOURCE_BYTES
        )));
    }
    Ok(compile(file, bytes, false).map_err(Trouble::tell)?.bytes)
}

fn decoded<'a>(file: &Path, bytes: &'a [u8]) -> Result<Policy<'a>, Failure> {
    Policy::decode(bytes).map_err(|error| Failure::refused(format!("{}: {error}", file.display())))
}

/// `1 rule`, `2 rules`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
