//! `aegisctl export convert`: verified exports as other formats, for the tools that people already have.
//!
//! One stream, constant memory: nothing is loaded unless all files verified, a file's events are kept together or not at
//! all, and the same events twice load once (`docs/formats/tables.md`).

mod columnar;
mod lines;
mod ocsf;
mod postgres;
mod sqlite;
mod table;
mod tables;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::check::{Report, verify};
use super::evidence::Evidence;
use super::{KeyArgs, bounded};
use crate::files::{self, Draft};
use crate::outcome::{Failure, Outcome, Status};
use crate::output;

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl export convert --to jsonl export.cbor | jq 'select(.verdict == \"denied\")'
  aegisctl export convert --to ocsf --out events.ocsf.jsonl *.cbor
  aegisctl export convert --to parquet --out events.parquet *.cbor
  aegisctl export convert --to sqlite --out evidence.sqlite *.cbor
  aegisctl export convert --to postgres \\
      --database postgresql:///evidence?host=/run/postgresql *.cbor

jsonl and ocsf go to stdout without --out. A file that --out names is replaced; an SQLite database is added to.
Nothing is converted unless every file verifies. What was loaded before, whole or in part, is not loaded again.
A password for --database is taken from PGPASSWORD. Columns: docs/formats/tables.md.

Exit codes: 0 converted, 1 refused, 2 wrong use, or something that can't be read or written.";

#[derive(Args)]
pub(super) struct ConvertArgs {
    /// The exports, of any devices
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    /// What to make of them
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Target,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// PostgreSQL database to load
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Say what was done as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// JSON Lines, as `export show --format json` has them
    Jsonl,
    /// OCSF 1.8 events, one JSON object a line
    Ocsf,
    /// One Parquet file
    Parquet,
    /// An SQLite database
    Sqlite,
    /// A PostgreSQL database; a Timescale hypertable where that extension is
    Postgres,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    /// Files that a database already had, and that were not read again.
    known_files: u64,
    /// Events written or loaded.
    events: u64,
    /// Of those, events whose bytes this version does not know.
    undecoded: u64,
    /// Events that a database already had.
    known_events: u64,
    /// Lines, rows or records written.
    records: u64,
}

impl Totals {
    fn count(&mut self, record: &super::evidence::Record<'_>) {
        self.events += 1;
        self.undecoded += u64::from(record.event.is_err());
    }
}

pub(super) fn run(args: &ConvertArgs) -> Outcome {
    bounded(&args.files)?;
    let place = place(args)?;
    let report = verify(&args.files, &args.keys.read()?)?;
    let evidence = Evidence::of(&report)?;
    let totals = match (args.to, &place) {
        (Target::Jsonl, Place::Stdout) => lines::to_stdout(&evidence, lines::Form::Own)?,
        (Target::Ocsf, Place::Stdout) => lines::to_stdout(&evidence, lines::Form::Ocsf)?,
        (Target::Jsonl, Place::File(path)) => lines::to_file(&evidence, lines::Form::Own, path)?,
        (Target::Ocsf, Place::File(path)) => lines::to_file(&evidence, lines::Form::Ocsf, path)?,
        (Target::Parquet, Place::File(path)) => columnar::write(&report, &evidence, path)?,
        (Target::Sqlite, Place::File(path)) => sqlite::load(&evidence, path)?,
        (Target::Postgres, Place::Database(url)) => postgres::load(&evidence, url)?,
        _ => unreachable!("place() gives every format a place that it can be in"),
    };
    tell(args, &place, &report, totals)?;
    Ok(Status::Good)
}

/// Where the result goes.
enum Place {
    Stdout,
    File(PathBuf),
    Database(String),
}

fn place(args: &ConvertArgs) -> Result<Place, Failure> {
    let wrong = |why: &str| Err(Failure::usage(why));
    match (args.to, &args.out, &args.database) {
        (Target::Postgres, None, Some(url)) => Ok(Place::Database(url.clone())),
        (Target::Postgres, Some(_), _) => wrong("--to postgres loads a database: give --database, not --out"),
        (Target::Postgres, None, None) => {
            wrong("--to postgres needs --database, as postgresql:///evidence?host=/run/postgresql")
        }
        (_, _, Some(_)) => wrong("--database is for --to postgres; give --out"),
        (Target::Jsonl | Target::Ocsf, None, _) => Ok(Place::Stdout),
        (Target::Parquet | Target::Sqlite, None, _) => wrong("--out is missing: this format needs a file"),
        (_, Some(out), None) => {
            files::keep_inputs(out, args.files.iter().chain(&args.keys.receipt).map(PathBuf::as_path))?;
            Ok(Place::File(out.clone()))
        }
    }
}

/// Says what was done: on stdout, or on stderr when stdout has the result.
fn tell(args: &ConvertArgs, place: &Place, report: &Report, totals: Totals) -> Result<(), Failure> {
    let (files, problems) = (report.files.len(), report.findings.problems.len());
    let undecoded = totals.undecoded;
    let text = if args.json {
        let codes: std::collections::BTreeSet<_> =
            report.findings.problems.iter().map(|problem| problem.code).collect();
        json!({
            "files": files,
            "known_files": totals.known_files,
            "events": totals.events,
            "known_events": totals.known_events,
            "undecoded": undecoded,
            "records": totals.records,
            "whole": report.whole(),
            "problems": codes,
            "key_pinned": report.key_pinned(),
        })
        .to_string()
    } else {
        let mut parts = vec![format!(
            "{} of {}{}",
            some(totals.events, "event"),
            some(files as u64, "export"),
            match place {
                Place::File(path) => format!(" to {}", path.display()),
                Place::Database(_) => " loaded".to_owned(),
                Place::Stdout => String::new(),
            }
        )];
        if totals.known_files > 0 {
            parts.push(format!("{} already there", some(totals.known_files, "export")));
        }
        if totals.known_events > 0 {
            parts.push(format!("{} already there", some(totals.known_events, "event")));
        }
        if undecoded > 0 {
            parts.push(format!("{undecoded} of them unknown to this version, kept as bytes"));
        }
        let mut lines = vec![parts.join("; ")];
        if !report.whole() {
            let problems = some(problems as u64, "problem");
            lines.push(format!("NOT WHOLE: {problems}; see `aegisctl export verify`"));
        }
        if !report.key_pinned() {
            let mend = "give --device-key or --receipt to be sure whose exports these are";
            lines.push(format!("key NOT PINNED: {mend}"));
        }
        lines.join("\n")
    };
    if matches!(place, Place::Stdout) {
        // When it can't be shown, the result is no worse.
        let _ = writeln!(std::io::stderr(), "{text}");
        return Ok(());
    }
    output::text(&format!("{text}\n"))
}

fn some(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A draft as something to write to. Errors keep their words, place included.
struct Output(Draft);

impl Output {
    fn begin(path: &Path) -> Result<Self, Failure> {
        Draft::begin(path, 0o644).map(Self)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes).map_err(|failure| std::io::Error::other(failure.message().to_owned()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a failed write to an [`Output`] says.
fn unwritten(error: impl std::fmt::Display) -> Failure {
    Failure::usage(error)
}
