//! `aegisctl export show`: the events of one export, after it was verified.

use std::io::{BufWriter, ErrorKind, Write};

use aegis_event::{Event, Printable};
use aegis_export::Segment;
use aegis_export::read::{Item, ReadError, open_item, peek_item};

use super::check::{Report, verify};
use super::line::Line;
use super::source::{buffer, open, unreadable};
use super::{Format, ShowArgs, pinned_keys};
use crate::files::plain;
use crate::hex;
use crate::outcome::{Failure, Outcome, Status};

pub(super) fn run(args: &ShowArgs) -> Outcome {
    let report = verify(std::slice::from_ref(&args.file), &pinned_keys(&args.keys)?)?;
    let tampered = report.findings.tampering();
    if tampered && args.unverified {
        // Every line is labelled too, so that this one may be lost.
        let name = Printable(args.file.as_os_str().as_encoded_bytes());
        let _ = writeln!(
            std::io::stderr(),
            "aegisctl: {name}: shown although it does not verify: this is no evidence"
        );
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    match show(&report, args.format, args.unverified, &mut out) {
        Ok(()) => Ok(if tampered { Status::Refused } else { Status::Good }),
        Err(Stop::Failure(failure)) => Err(failure),
        // Who reads has enough.
        Err(Stop::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            Ok(if tampered { Status::Refused } else { Status::Good })
        }
        Err(Stop::Output(error)) => Err(Failure::usage(format!("stdout: {}", plain(&error)))),
    }
}

/// Shows the events of the first file of a report; of one that does not verify only if `unverified`, and labelled.
pub(super) fn show(
    report: &Report,
    format: Format,
    unverified: bool,
    out: &mut impl Write,
) -> Result<(), Stop> {
    let tampered = report.findings.tampering();
    if tampered && !unverified {
        return Err(Stop::Failure(refusal(report)));
    }
    print(format, report, tampered, out)?;
    Ok(out.flush()?)
}

/// Why showing stopped.
#[derive(Debug)]
pub(super) enum Stop {
    Failure(Failure),
    Output(std::io::Error),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

fn refusal(report: &Report) -> Failure {
    let first = report.findings.problems.first().map_or_else(String::new, |problem| {
        format!("{}: {}: {} ({})", problem.file, problem.place, problem.detail, problem.code)
    });
    Failure::refused(format!("{first}; it is not shown without --unverified"))
}

fn print(format: Format, report: &Report, unverified: bool, out: &mut impl Write) -> Result<(), Stop> {
    let Some(file) = report.files.first() else { return Ok(()) };
    let mut buffer = buffer();
    let mut reader = open(&file.path, &mut buffer).map_err(Stop::Failure)?;
    loop {
        let bytes = match reader.next_item() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(ReadError::Io(error)) => return Err(Stop::Failure(unreadable(&file.path, &error.0))),
            Err(ReadError::Item(_)) if unverified => return Ok(()),
            Err(ReadError::Item(_)) => return Err(changed(&file.name)),
        };
        // Verified again: the file may have changed since it was.
        let item = match &file.key {
            Some(key) if !unverified => open_item(bytes, key),
            _ => peek_item(bytes),
        };
        match item {
            Ok(Item::Segment(segment)) => print_segment(format, &segment, unverified, out)?,
            Ok(Item::Manifest(_)) => {}
            Err(_) if unverified => {}
            Err(_) => return Err(changed(&file.name)),
        }
    }
}

fn changed(name: &str) -> Stop {
    Stop::Failure(Failure::refused(format!("{name}: it changed while it was read")))
}

fn print_segment(
    format: Format,
    segment: &Segment<'_>,
    unverified: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    for (sequence, bytes) in segment.events.clone() {
        let event = Event::decode(bytes);
        match format {
            Format::Text => {
                let label = if unverified { "UNVERIFIED " } else { "" };
                match event {
                    Ok(event) => writeln!(out, "{label}{sequence:>8} {event}")?,
                    Err(error) => writeln!(out, "{label}{sequence:>8} {error}: {}", hex::encode(bytes))?,
                }
            }
            Format::Json => {
                let mut line = Line::default();
                line.put("sequence", sequence);
                line.put("boot_id", hex::encode(&segment.boot));
                match event {
                    Ok(event) => line.event(&event),
                    Err(error) => {
                        line.put("error", error.to_string());
                        line.put("event_hex", hex::encode(bytes));
                    }
                }
                if unverified {
                    line.put("unverified", true);
                }
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}
