//! `aegisctl export report --html`: verified exports as one page for people. No script, no network, nothing but the file.

mod charts;
mod html;
mod lists;
mod sections;
mod tally;
mod timeline;
mod top;

use std::path::PathBuf;

use clap::Args;

use super::check::verify;
use super::evidence::Evidence;
use super::{KeyArgs, bounded};
use crate::files;
use crate::outcome::{Failure, Outcome, Status};
use crate::output;
use tally::Tally;

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl export report --html week.html monday.cbor tuesday.cbor
  aegisctl export report --html site.html --receipt receipt.cbor *.cbor

The page is one file: no script, nothing fetched. It prints, and follows the reader's light or dark scheme.
An export that does not verify is refused. One that verifies and has gaps is drawn, and the page says what is missing.

Exit codes: 0 whole, 1 not whole (the page is written) or refused (none is), 2 wrong use.";

#[derive(Args)]
pub(super) struct ReportArgs {
    /// The exports, of any devices
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    /// Page to write; replaced if it exists
    #[arg(long, value_name = "OUT", required = true)]
    html: PathBuf,
}

pub(super) fn run(args: &ReportArgs) -> Outcome {
    bounded(&args.files)?;
    let inputs = args
        .files
        .iter()
        .chain(&args.keys.receipt)
        .chain(&args.keys.identities.identity)
        .map(PathBuf::as_path);
    files::keep_inputs(&args.html, inputs)
        .map_err(|failure| Failure::usage(failure.message().replacen("--out", "--html", 1)))?;
    let report = verify(&args.files, &args.keys.read()?)?;
    let evidence = Evidence::of(&report)?;
    let mut tally = Tally::new(&report, evidence.clocks());
    evidence.read("drawing", &mut tally)?;
    let page = sections::page(&report, evidence.clocks(), &tally);
    files::write(&args.html, page.as_bytes(), 0o644, true)?;
    let whole = if report.whole() { "whole" } else { "NOT WHOLE, as the page says" };
    output::text(&format!("{}: {} events, {whole}\n", args.html.display(), report.books.total))?;
    Ok(if report.whole() { Status::Good } else { Status::Refused })
}
