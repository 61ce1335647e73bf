//! `aegis events`: what is in the ring, a line or a CBOR item an event, or with `--follow` what comes.
//!
//! Memory is bounded: one window of the ring, one line. What the ring no longer has is said where it is missing: a reader that is
//! slower than the ring comes round, or a damaged place.

mod filter;
mod line;
mod out;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use aegis_event::Event;
use aegis_ring::{Device, Error, Reader};

pub(crate) use self::filter::Filter;
pub(crate) use self::line::Form;
pub(super) use self::out::{Flow, Out};
use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::run::control;
use crate::storage::partition::RingDevice;

/// What `aegis events` was asked.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Go on with what comes.
    pub(crate) follow: bool,
    pub(crate) filter: Filter,
    pub(crate) form: Form,
    /// Another ring than the partition's.
    pub(crate) ring: Option<PathBuf>,
}

/// Exit 1 when something was missing that was asked for.
pub(crate) fn run(options: &Options) -> Outcome {
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let device = RingDevice::open(options.ring.as_deref(), false)
        .map_err(|error| Failure::error(format!("ring: {error}")))?;
    let ring = Reader::open(device, &mut scratch).map_err(|error| unreadable(&error))?;
    let out = Out::new().map_err(|error| Failure::error(format!("signals: {error}")))?;
    // Of the agent's own ring the agent says whether there is more.
    let agents = options.ring.is_none();
    let more =
        |expected| !agents || control::ask_status().map_or(true, |status| status.ring.acked >= expected);
    let mut shown = Shown { out, form: options.form, expected: 0, missed: 0 };
    shown.all(ring, &options.filter, options.follow, &more)?;
    match shown.missed {
        0 => Ok(()),
        missed => Err(Failure::refused(format!("events: {missed} that were asked for are not in the ring"))),
    }
}

fn unreadable(error: &impl core::fmt::Display) -> Failure {
    Failure::error(format!("ring: {error}"))
}

/// Where lines and items go: stdout, or a test's.
pub(super) trait Sink {
    /// One, whole.
    fn put(&mut self, bytes: &[u8]) -> Result<Flow, Failure>;

    fn line(&mut self, line: &str) -> Result<Flow, Failure> {
        self.put(&[line.as_bytes(), b"\n"].concat())
    }

    /// Waits a moment for more.
    fn wait(&mut self) -> Result<Flow, Failure>;

    /// Nobody wants more.
    fn is_stopped(&self) -> bool;
}

/// What was shown so far.
struct Shown<S> {
    out: S,
    form: Form,
    /// The sequence that comes next.
    expected: u64,
    missed: u64,
}

impl<S: Sink> Shown<S> {
    /// Shows all that is asked for. `more`: may the ring have this sequence by now?
    fn all<D: Device>(
        &mut self,
        mut ring: Reader<'_, D>,
        filter: &Filter,
        follow: bool,
        more: &dyn Fn(u64) -> bool,
    ) -> Outcome
    where
        D::Error: core::fmt::Display,
    {
        self.expected = match filter.since() {
            Some(since) => since.max(1),
            None if follow => ring.next_sequence(),
            None => ring.first_sequence(),
        };
        let begin = self.expected.clamp(ring.first_sequence(), ring.next_sequence());
        match ring.seek(begin) {
            Ok(()) => {}
            // What is damaged is met, and said, on the way there.
            Err(Error::Corrupted { .. } | Error::Overwritten { .. }) => {
                ring.rewind().map_err(|error| unreadable(&error))?;
            }
            Err(error) => return Err(unreadable(&error)),
        }
        // Where the reader stands still because of damage that it can't pass: said once.
        let mut stuck = false;
        loop {
            let cause = match ring.next() {
                Ok(Some(frame)) => {
                    stuck = false;
                    if frame.sequence < self.expected {
                        continue;
                    }
                    if self.missing(frame.sequence, "missing")? == Flow::End {
                        return Ok(());
                    }
                    self.expected = frame.sequence + 1;
                    let event = Event::decode(frame.payload);
                    // What can't be read is shown to everybody: nobody knows what it is.
                    if event.as_ref().is_ok_and(|event| !filter.matches(event)) {
                        if self.out.is_stopped() {
                            return Ok(());
                        }
                        continue;
                    }
                    let line = self.form.event(frame.sequence, &frame.boot_id, &event, frame.payload);
                    if self.out.put(&line)? == Flow::End {
                        return Ok(());
                    }
                    continue;
                }
                Ok(None) if !follow => return Ok(()),
                Ok(None) => {
                    if self.out.wait()? == Flow::End {
                        return Ok(());
                    }
                    if more(self.expected) {
                        ring.refresh().map_err(|error| unreadable(&error))?;
                    }
                    continue;
                }
                // The ring came round over where the reader stood: it goes on where the ring begins by now.
                Err(Error::Overwritten { .. }) => "overwritten",
                Err(Error::Corrupted { .. }) => "damaged",
                Err(error) => return Err(unreadable(&error)),
            };
            if let Some(first) = ring.skip().map_err(|error| unreadable(&error))? {
                if self.missing(first, cause)? == Flow::End {
                    return Ok(());
                }
            } else if !stuck {
                stuck = true;
                self.missed += 1;
                let line = self.form.missed(self.expected, None, "damaged");
                if self.out.put(&line)? == Flow::End {
                    return Ok(());
                }
            }
        }
    }

    /// Says that what comes next is `sequence`, and which were to come before it.
    fn missing(&mut self, sequence: u64, cause: &'static str) -> Result<Flow, Failure> {
        let Some(count) = sequence.checked_sub(self.expected).filter(|count| *count > 0) else {
            return Ok(Flow::GoOn);
        };
        let line = self.form.missed(self.expected, Some(sequence - 1), cause);
        self.missed = self.missed.saturating_add(count);
        self.expected = sequence;
        self.out.put(&line)
    }
}
