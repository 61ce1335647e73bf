//! What became of something that was offered: an event, a line of the history, a receipt.

use aegis_bundle::{Answer, What};
use aegis_event::Body;

use super::in_force;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::history::{self, Entry};
use crate::storage::tally;
use crate::storage::trust::Fault;

/// What became of a bundle, of root metadata or of a token that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) what: What,
    pub(crate) answer: Answer,
    /// Reason code.
    pub(crate) code: &'static str,
    /// SHA-256 of the file; none when it could not be read.
    pub(crate) hash: Option<[u8; 32]>,
    /// Of the bundle or root metadata; 0 when it is not known, and for tokens.
    pub(crate) epoch: u64,
    /// Of the bundle or token; of root metadata the version. 0 when it is not known.
    pub(crate) sequence: u64,
    /// For a person.
    pub(crate) detail: String,
}

impl Taken {
    /// A refusal of something whose epoch and sequence are not known.
    pub(crate) fn refused(
        what: What,
        code: &'static str,
        hash: Option<[u8; 32]>,
        detail: impl Into<String>,
    ) -> Self {
        Self { what, answer: Answer::Refused, code, hash, epoch: 0, sequence: 0, detail: detail.into() }
    }

    /// Tells the person who offered it. A refusal is their command's failure.
    pub(crate) fn tell(&self, origin: &str) -> Outcome {
        let Self { code, epoch, sequence, detail, .. } = self;
        say(&format!("{origin}: {code} epoch {epoch} sequence {sequence}: {detail}"))?;
        if self.answer == Answer::Refused {
            return Err(Failure::refused(format!("{origin}: refused: {code}: {detail}")));
        }
        Ok(())
    }

    /// Tells the agent, by way of the kernel ring buffer, and the history. A token's event is its own command's to send:
    /// it has more to say.
    pub(crate) fn report(&self, origin: &str) {
        let detail =
            if self.detail.is_empty() { origin.to_owned() } else { format!("{origin}: {}", self.detail) };
        let (code, epoch, hash) = (self.code, self.epoch, &self.hash.unwrap_or_default());
        let detail = cut(&detail, aegis_event::limits::DETAIL_BYTES);
        match self.what {
            What::Bundle => {
                in_force::note(Body::Policy { code, epoch, sequence: self.sequence, hash, detail });
            }
            What::Root => in_force::note(Body::Root { code, version: self.sequence, epoch, hash, detail }),
            // Of one that was opened its own command says more than this, too.
            What::Image => {
                in_force::note(Body::Image { code, epoch, sequence: self.sequence, hash: &[0; 32], detail });
            }
            What::Workload => {
                let sequence = self.sequence;
                in_force::note(Body::Workload {
                    workload: b"",
                    code,
                    epoch,
                    sequence,
                    hash: &[0; 32],
                    detail,
                });
            }
            What::BreakGlass | What::Nothing => {}
        }
        tally::offered(self.what, self.answer, code);
        history::note(Entry::now(self.what, code, (epoch, self.sequence), self.hash.as_ref(), origin));
    }
}

impl From<&Fault> for Taken {
    fn from(fault: &Fault) -> Self {
        let Fault { code, source, hash, epoch, sequence, detail } = fault;
        let detail = format!("{}: {detail}", source.name());
        Self { epoch: *epoch, sequence: *sequence, ..Self::refused(What::Bundle, code, Some(*hash), detail) }
    }
}

/// The longest front of `text` that has at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_details_are_cut_between_characters() {
        assert_eq!(cut("abc", 5), "abc");
        assert_eq!(cut("aéé", 4), "aé");
    }
}
