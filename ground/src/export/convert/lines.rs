//! JSON Lines: our own, and OCSF's.

use std::io::{BufWriter, Error, ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::Path;

use super::{Output, Totals, ocsf, unwritten};
use crate::export::evidence::{Evidence, Record, Sink};
use crate::export::line::Line;
use crate::files::plain;
use crate::outcome::Failure;

/// Which JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As `export show --format json` has it.
    Own,
    Ocsf,
}

/// Lines to stdout. What is piped away can't be taken back should a file turn out to have changed meanwhile; every
/// event of it was signed all the same.
pub(super) fn to_stdout(evidence: &Evidence<'_>, form: Form) -> Result<Totals, Failure> {
    let fail = |error: &Error| Failure::usage(format!("stdout: {}", plain(error)));
    Lines::new(std::io::stdout().lock(), form, fail).write(evidence).map(|(totals, _)| totals)
}

/// Lines to a file, which is there when all are in it.
pub(super) fn to_file(evidence: &Evidence<'_>, form: Form, path: &Path) -> Result<Totals, Failure> {
    let lines = Lines::new(Output::begin(path)?, form, |error| unwritten(error));
    let (totals, Output(draft)) = lines.write(evidence)?;
    draft.publish(true)?;
    Ok(totals)
}

struct Lines<W: Write> {
    out: BufWriter<W>,
    form: Form,
    fail: fn(&Error) -> Failure,
    totals: Totals,
}

impl<W: Write> Lines<W> {
    fn new(out: W, form: Form, fail: fn(&Error) -> Failure) -> Self {
        Self { out: BufWriter::with_capacity(1 << 16, out), form, fail, totals: Totals::default() }
    }

    fn write(mut self, evidence: &Evidence<'_>) -> Result<(Totals, W), Failure> {
        evidence.read("converting", &mut self)?;
        let flushed = self.out.flush();
        let _ = self.check(flushed)?;
        // Flushed, or nobody reads it: there is nothing left to lose.
        Ok((self.totals, self.out.into_parts().0))
    }

    fn line(&mut self, line: &impl std::fmt::Display) -> Result<ControlFlow<()>, Failure> {
        self.totals.records += 1;
        let written = writeln!(self.out, "{line}");
        self.check(written)
    }

    /// A reader that went away (`| head`) is no error.
    fn check(&self, written: std::io::Result<()>) -> Result<ControlFlow<()>, Failure> {
        match written {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(error) => Err((self.fail)(&error)),
        }
    }
}

impl<W: Write> Sink for Lines<W> {
    fn take(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        self.totals.count(record);
        if self.form == Form::Own {
            return self.line(&Line::of(record));
        }
        let (activity, finding) = ocsf::events(record);
        let flow = self.line(&activity)?;
        match finding {
            Some(finding) if flow.is_continue() => self.line(&finding),
            _ => Ok(flow),
        }
    }
}
