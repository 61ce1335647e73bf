//! `aegisctl policy`: write, check, compile, explain, compare, test, simulate and learn policy.

mod cases;
mod check;
mod decisions;
mod diff;
mod explain;
mod format;
mod learn;
mod limits;
mod lint;
mod new;
mod place;
mod render;
mod resolve;
mod room;
mod settings;
mod simulate;
mod source;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod things;

use std::io::Write;
use std::path::{Path, PathBuf};

use aegis_policy::{Policy, limits as bounds};
use clap::Subcommand;

pub(crate) use resolve::PolicySource;

use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};
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
    #[command(after_help = "\
Examples:
  aegisctl policy compile policy-bundles/demo.toml --out demo.policy
  aegisctl policy compile site.toml --out site.policy --source site.resolved.toml")]
    Compile {
        /// Policy source (TOML)
        file: PathBuf,
        /// Where to write the compiled policy; replaced if it exists
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Where to write its one source, includes and templates resolved, as a bundle carries it; replaced if it exists
        #[arg(long, value_name = "FILE")]
        source: Option<PathBuf>,
    },
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
        Command::Compile { file, out, source } => run_compile(&file, &out, source.as_deref()),
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
    sources: Sources,
}

impl Compiled {
    /// The files that it was read from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> + Clone {
        self.sources.0.iter().filter_map(|file| file.path.as_deref())
    }
}

/// Why a source does not compile.
enum Trouble {
    /// Nothing to point at.
    Failure(Failure),
    /// A place in a source.
    Source(Sources, SourceError),
}

impl Trouble {
    /// Shows the place to the person at stderr, and makes the failure.
    fn tell(self) -> Failure {
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
        Ok((text, source, bytes)) => Ok(Compiled { text, source, bytes, sources }),
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

fn run_compile(file: &Path, out: &Path, source: Option<&Path>) -> Outcome {
    let compiled = compile_file(file)?;
    files::keep_inputs(out, compiled.files().chain([file]))?;
    if let Some(source) = source {
        files::keep_inputs(source, compiled.files().chain([file]))?;
        files::write(source, compiled.text.as_bytes(), 0o644, true)?;
    }
    files::write(out, &compiled.bytes, 0o644, true)?;
    output::text(&format!("{}: {} bytes\n", out.display(), compiled.bytes.len()))?;
    Ok(Status::Good)
}

fn decoded<'a>(file: &Path, bytes: &'a [u8]) -> Result<Policy<'a>, Failure> {
    Policy::decode(bytes).map_err(|error| Failure::refused(format!("{}: {error}", file.display())))
}

/// `1 rule`, `2 rules`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
