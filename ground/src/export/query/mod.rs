//! `aegisctl export query`: the events of verified exports that an expression asks for.

mod field;
mod parse;
mod value;

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;

use super::check::verify;
use super::evidence::{Evidence, Record, Sink};
use super::show::Printer;
use super::{Format, KeyArgs, bounded};
use crate::hex;
use crate::outcome::{Failure, Outcome, Status};
use parse::{Expression, Mistake, parse};

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl export query 'kind=open and verdict=deny and workload=agent-7' export.cbor
  aegisctl export query 'path ~ /etc/* and not (uid=0 or comm=sshd)' --json monday.cbor tuesday.cbor
  aegisctl export query 'kind=connect and address=10.0.0.0/8 and port!=443' --count *.cbor
  aegisctl export query 'time >= 2027-01-15T08:00:00Z and verdict != allow' --limit 20 export.cbor

Fields:
  kind       fork exec exit open exec-check connect policy mode break-glass root stick policy-stale image
             start stop loss accounts glass-mended ring-level gap seal config
  verdict    allow audit deny            workload rule comm path argv    text
  pid tgid ppid uid cgroup inode flags   address    an address or a network: 10.0.0.7, fe80::/10
  port protocol status signal policy     device ring boot    32 hex digits
  time       2027-01-15, 2027-01-15T08:00:00Z or Unix seconds, by the device's clock
  time_ns    ns since boot               sequence   place in the ring
  code detail   of policy, break-glass, root, stick, image, seal, config     epoch   of policy, mode, root, image, seal
  cause         of loss and gap          count   of loss          first last total   of gap
  level percent of ring-level            mode reason   of mode, glass-mended
  glass_broken  true or false

Comparisons: = != ~ for text, names, ids, addresses (~ is a pattern: * any, ? one), = != < <= > >= for numbers,
< <= > >= for times. and, or, not, parentheses. Quote values that hold spaces or symbols: 'comm = \"a b\"'.
What an event does not have is equal to nothing: uid=0 is false, uid!=0 is true.

Exit codes: 0 found, 1 none found, 2 wrong use, or a file that does not verify or can't be read.";

#[derive(Args)]
pub(super) struct QueryArgs {
    /// What to look for
    #[arg(value_name = "EXPRESSION")]
    expression: String,
    /// The exports, of any devices
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    /// One JSON object a line instead of text
    #[arg(long)]
    json: bool,
    /// Only how many there are
    #[arg(long)]
    count: bool,
    /// Stop after this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

pub(super) fn run(args: &QueryArgs) -> Outcome {
    let expression = parse(&args.expression).map_err(|mistake| point(&args.expression, &mistake))?;
    // 1 is kept for "none found", as grep has it.
    search(args, &expression).map_err(Failure::into_usage)
}

fn search(args: &QueryArgs, expression: &Expression) -> Outcome {
    bounded(&args.files)?;
    let report = verify(&args.files, &args.keys.read()?)?;
    let evidence = Evidence::of(&report)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let format = if args.json { Format::Json } else { Format::Text };
    let first = report.files.first().map(|file| file.device);
    let mut search = Search {
        expression,
        printer: Printer::new(&mut out, format),
        // Which device it was is part of an answer only when there are several.
        devices: !args.json && report.files.iter().any(|file| Some(file.device) != first),
        quiet: args.count,
        limit: args.limit.unwrap_or(u64::MAX),
        found: 0,
    };
    evidence.read("searching", &mut search)?;
    let found = search.found;
    if args.count {
        let _ = if args.json {
            search.printer.print(format_args!("{{\"count\":{found}}}"))?
        } else {
            search.printer.print(format_args!("{found}"))?
        };
    }
    search.printer.flush()?;
    Ok(if found > 0 { Status::Good } else { Status::Refused })
}

struct Search<'a, 'w, W: Write> {
    expression: &'a Expression,
    printer: Printer<'w, W>,
    devices: bool,
    quiet: bool,
    limit: u64,
    found: u64,
}

impl<W: Write> Sink for Search<'_, '_, W> {
    fn take(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        if !self.expression.holds(record) {
            return Ok(ControlFlow::Continue(()));
        }
        self.found += 1;
        if !self.quiet {
            if self.devices {
                self.printer.part(format_args!("{} ", hex::encode(&record.key.device[..4])))?;
            }
            if self.printer.event(record)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(if self.found < self.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }
}

impl Expression {
    fn holds(&self, record: &Record<'_>) -> bool {
        match self {
            Self::All(list) => list.iter().all(|one| one.holds(record)),
            Self::Any(list) => list.iter().any(|one| one.holds(record)),
            Self::Not(one) => !one.holds(record),
            Self::Test(field, operator, operand) => operand.holds(*operator, field.of(record).as_ref()),
        }
    }
}

/// Shows the expression with a caret under the mistake, and makes the failure.
fn point(expression: &str, mistake: &Mistake) -> Failure {
    // Character by character, so that the caret stands right and nothing drives the terminal.
    let shown = |text: &str| text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>();
    let before = expression.get(..mistake.at).unwrap_or_default();
    let meant = expression.get(mistake.at..mistake.at + mistake.length).unwrap_or_default();
    let (column, width) = (before.chars().count(), meant.chars().count().max(1));
    let _ =
        writeln!(std::io::stderr(), "  {}\n  {}{}", shown(expression), " ".repeat(column), "^".repeat(width));
    Failure::usage(format!("expression, column {}: {}", column + 1, mistake.why))
}
