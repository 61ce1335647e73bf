//! What the files of one ring have in common, and what none of them has.

use std::collections::BTreeMap;

use aegis_export::{Hash, Id};

use super::Checker;
use crate::export::limits;
use crate::export::problem::Code;
use crate::export::ranges::Ranges;
use crate::export::source::Survey;

/// Places where the events of a file stop, and the chain's head there. A head stands for all events before it: files that have
/// such a place in common agree about all of them, or do not. As many as the files have ends, however many events are in them.
#[derive(Debug, Default)]
struct Joints {
    at: Vec<(u64, Option<Hash>)>,
    next: usize,
}

impl Joints {
    /// The head after a sequence; asked for in ascending order. Whether it is what an earlier file has there; none when
    /// there is nothing to compare.
    fn take(&mut self, sequence: u64, head: &Hash) -> Option<bool> {
        while self.at.get(self.next).is_some_and(|joint| joint.0 < sequence) {
            self.next += 1;
        }
        let (_, known) = self.at.get_mut(self.next).filter(|joint| joint.0 == sequence)?;
        let same = known.as_ref().map(|known| known == head);
        known.get_or_insert(*head);
        same
    }
}

/// Sequences that a file could not give.
#[derive(Debug)]
struct Lack {
    range: (u64, u64),
    file: String,
    place: String,
}

/// The history of one ring over its files.
#[derive(Debug, Default)]
pub(super) struct History {
    joints: Joints,
    /// Events that earlier files have, and where in them the file at hand is.
    have: Ranges,
    at: usize,
    /// Those of the file at hand.
    new: Ranges,
    lacks: Vec<Lack>,
}

pub(super) type Histories = BTreeMap<(Id, Id), History>;

/// The histories of these files' rings: places only.
pub(super) fn histories<'s>(surveys: impl Iterator<Item = &'s Survey>) -> Histories {
    let mut histories = Histories::new();
    for survey in surveys {
        let history = histories.entry((survey.device, survey.ring)).or_default();
        history.joints.at.extend(survey.ends.iter().map(|end| (*end, None)));
    }
    for history in histories.values_mut() {
        history.joints.at.sort_unstable();
        history.joints.at.dedup();
    }
    histories
}

impl History {
    /// A file begins.
    pub(super) fn begin(&mut self) {
        (self.joints.next, self.at) = (0, 0);
    }

    /// See [`Joints::take`].
    pub(super) fn compare(&mut self, sequence: u64, head: &Hash) -> Option<bool> {
        self.joints.take(sequence, head)
    }

    /// An earlier file has this event.
    pub(super) fn has(&mut self, sequence: u64) -> bool {
        self.have.has(&mut self.at, sequence)
    }

    /// Events of the file at hand. One with more holes than a manifest can list is not what its device signed: what it
    /// has is then of no interest, and takes no memory.
    pub(super) fn add(&mut self, first: u64, last: u64) {
        if self.new.count() <= aegis_export::limits::GAPS + 1 {
            self.new.add(first, last);
        }
    }

    /// The file's end.
    pub(super) fn end(&mut self) {
        self.have.join(std::mem::take(&mut self.new));
    }
}

impl Checker {
    /// A device could not give these. Whether another file has them is known when all files of the ring were read.
    pub(super) fn lacks(&mut self, history: &mut History, range: (u64, u64), file: &str, place: &str) {
        let lack = Lack { range, file: file.to_owned(), place: place.to_owned() };
        if history.lacks.len() < limits::PROBLEMS {
            history.lacks.push(lack);
        } else {
            self.lacking(&lack, &[range]);
        }
    }

    /// All files of a ring were read.
    pub(super) fn leave(&mut self, ring: &(Id, Id)) {
        if let Some(seals) = self.seals.get_mut(ring) {
            seals.leave();
        }
        let Some(history) = self.histories.remove(ring) else { return };
        for lack in &history.lacks {
            let left = history.have.without(lack.range.0, lack.range.1);
            if left.is_empty() {
                let (first, last) = lack.range;
                let detail =
                    format!("sequences {first} to {last} were damaged in the ring; another file has them");
                self.findings.note("damage-made-good", &lack.file, lack.place.clone(), detail);
            }
            self.lacking(lack, &left);
        }
    }

    fn lacking(&mut self, lack: &Lack, left: &[(u64, u64)]) {
        for (first, last) in left {
            let detail = super::missing(*first, *last, "damaged in the ring on the device");
            self.findings.problem(Code::RingDamaged, &lack.file, lack.place.clone(), detail);
        }
    }
}
