//! `aegisctl export show`: the events of one export, after it was verified.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use aegis_event::{Event, Printable};
use aegis_export::Segment;
use aegis_export::read::{Item, ReadError, peek_item};

use super::check::{Checked, Report, verify};
use super::evidence::{Evidence, Record, Sink, refusal};
use super::line::Line;
use super::source::{buffer, open, unreadable};
use super::{Format, Keys, ShowArgs};
use crate::files::plain;
use crate::hex;
use crate::outcome::{Failure, Outcome, Status};

pub(super) fn run(args: &ShowArgs) -> Outcome {
    let report = verify(std::slice::from_ref(&args.file), &args.keys.read()?)?;
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
    show(&report, args.format, args.unverified, &mut out)?;
    Ok(if tampered { Status::Refused } else { Status::Good })
}

/// Shows the events of the first file of a report; of one that does not verify only if `unverified`, and labelled.
pub(super) fn show(
    report: &Report,
    format: Format,
    unverified: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut printer = Printer::new(out, format);
    if !report.findings.tampering() {
        Evidence::of(report)?.read("showing", &mut printer)?;
    } else if unverified {
        for file in report.files.iter().take(1) {
            if print_unverified(file, &report.keys, &mut printer)?.is_break() {
                return Ok(());
            }
        }
    } else {
        let refused = refusal(report);
        return Err(Failure::refused(format!("{}; it is not shown without --unverified", refused.message())));
    }
    printer.flush()
}

/// Events as lines, for people or for programs: one event is one line, and the same line whichever command prints it.
pub(super) struct Printer<'w, W: Write> {
    out: &'w mut W,
    format: Format,
}

impl<'w, W: Write> Printer<'w, W> {
    pub(super) fn new(out: &'w mut W, format: Format) -> Self {
        Self { out, format }
    }

    /// Prints a line. `Break` when nobody reads any more (`| head`), which is no error.
    pub(super) fn print(&mut self, line: std::fmt::Arguments<'_>) -> Result<ControlFlow<()>, Failure> {
        match self.out.write_fmt(line).and_then(|()| self.out.write_all(b"\n")) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(error) => broken(&error),
        }
    }

    /// Prints the beginning of a line. That nobody reads it is said by what prints the rest.
    pub(super) fn part(&mut self, text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
        self.out.write_fmt(text).or_else(|error| broken(&error).map(|_| ()))
    }

    /// Prints an event.
    pub(super) fn event(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        match (self.format, &record.event) {
            (Format::Json, _) => self.print(format_args!("{}", Line::of(record))),
            (Format::Text, Ok(event)) => self.print(format_args!("{:>8} {event}", record.sequence)),
            (Format::Text, Err(error)) => {
                self.print(format_args!("{:>8} {error}: {}", record.sequence, hex::encode(record.bytes)))
            }
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().or_else(|error| broken(&error).map(|_| ()))
    }
}

impl<W: Write> Sink for Printer<'_, W> {
    fn take(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        self.event(record)
    }
}

/// What a failed write to stdout means.
fn broken(error: &std::io::Error) -> Result<ControlFlow<()>, Failure> {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        _ => Err(Failure::usage(format!("stdout: {}", plain(error)))),
    }
}

fn print_unverified<W: Write>(
    file: &Checked,
    keys: &Keys,
    printer: &mut Printer<'_, W>,
) -> Result<ControlFlow<()>, Failure> {
    let mut buffer = buffer();
    let mut reader = open(&file.path, &keys.identities, &mut buffer)
        .map_err(|unopened| unopened.into_failure(&file.path))?;
    loop {
        let bytes = match reader.next_item() {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(ReadError::Item(_)) => return Ok(ControlFlow::Continue(())),
            Err(ReadError::Io(error)) if error.encryption().is_some() => {
                return Ok(ControlFlow::Continue(()));
            }
            Err(ReadError::Io(error)) => return Err(unreadable(&file.path, &error.0)),
        };
        if let Ok(Item::Segment(segment)) = peek_item(bytes)
            && print_segment(&segment, printer)?.is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
    }
}

fn print_segment<W: Write>(
    segment: &Segment<'_>,
    printer: &mut Printer<'_, W>,
) -> Result<ControlFlow<()>, Failure> {
    for (sequence, bytes) in segment.events.clone() {
        let event = Event::decode(bytes);
        let printed = match (printer.format, event) {
            (Format::Text, Ok(event)) => printer.print(format_args!("UNVERIFIED {sequence:>8} {event}"))?,
            (Format::Text, Err(error)) => {
                printer.print(format_args!("UNVERIFIED {sequence:>8} {error}: {}", hex::encode(bytes)))?
            }
            (Format::Json, event) => {
                let mut line = Line::default();
                line.place(&segment.device, &segment.ring, &segment.boot, sequence);
                line.decoded(event, bytes);
                line.put("unverified", true);
                printer.print(format_args!("{line}"))?
            }
        };
        if printed.is_break() {
            return Ok(printed);
        }
    }
    Ok(ControlFlow::Continue(()))
}
