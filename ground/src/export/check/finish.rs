//! What can only be said when all files were read.

use std::collections::BTreeMap;

use aegis_event::GapCause;
use aegis_export::{Ending, Id};

use super::{Checked, Checker, RingSeals, missing};
use crate::export::books::{BootKey, Breach};
use crate::export::problem::Code;
use crate::hex;

impl Checker {
    /// Takes the files as they were found to be.
    pub(super) fn finish(&mut self, files: &[Checked]) {
        for file in files {
            let Some(sealed) = &file.manifest else { continue };
            let known = self.rings.get(&(file.device, file.ring)).map_or(0, |known| known.last);
            let (code, why) = match sealed.ending {
                Ending::Full => {
                    (Code::Incomplete, "the stick was full; they are still on the device, export again")
                }
                Ending::Overtaken => (
                    Code::Incomplete,
                    "the ring was overwritten while it was exported; export again for what is left",
                ),
                Ending::Unreadable => {
                    (Code::RingDamaged, "the device could not read its ring from there on; export again")
                }
                Ending::Complete => continue,
            };
            let from = sealed.resume.max(known.saturating_add(1));
            if from < sealed.end {
                let detail = missing(from, sealed.end - 1, why);
                self.findings.problem(code, &file.name, "manifest", detail);
            }
        }
        self.several_rings();
        self.several_devices();
        self.seal_finish();
        let unsettled: Vec<_> = self
            .books
            .boots
            .iter()
            .filter_map(|(key, boot)| boot.unsettled().map(|books| (key.boot, boot.last, books)))
            .collect();
        for (boot, last, books) in unsettled {
            self.breach("", format!("sequence {last}"), boot, Breach::Unbalanced(books));
        }
        let cut = |key: &BootKey| {
            self.books.gaps.iter().any(|told| {
                told.gap.cause == GapCause::Cut
                    && (told.key.device, told.key.ring, told.gap.boot) == (key.device, key.ring, key.boot)
            })
        };
        let mut notes = Vec::new();
        for (key, boot) in &self.books.boots {
            let place =
                format!("boot {} of device {}", hex::encode(&key.boot), hex::encode(&key.device[..4]));
            if !boot.closed {
                let why = if cut(key) {
                    "no books and stop at its end: power cut or kill, as the run after it says"
                } else {
                    "no books and stop at its end: power cut, kill, or still running"
                };
                notes.push(("not-closed", place.clone(), why));
            }
            if !boot.began {
                notes.push((
                    "begins-inside",
                    place,
                    "its beginning is not in the files given: events were not counted against its books",
                ));
            }
        }
        for (code, place, detail) in notes {
            self.findings.note(code, "", place, detail);
        }
    }

    /// A ring's id is drawn by lot: one that two devices wrote is one device with two keys, or a copy. That neither of them
    /// says so is no reason to take both for whole.
    fn several_devices(&mut self) {
        let mut rings: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
        for (device, ring) in self.rings.keys() {
            rings.entry(*ring).or_default().push(*device);
        }
        for (ring, devices) in rings.iter().filter(|(_, devices)| devices.len() > 1) {
            let said = devices
                .iter()
                .any(|device| self.seals.get(&(*device, *ring)).is_some_and(RingSeals::rekeyed));
            if said {
                continue;
            }
            let shown =
                devices.iter().take(4).map(|device| hex::encode(device)).collect::<Vec<_>>().join(", ");
            let more = if devices.len() > 4 { ", …" } else { "" };
            let detail = format!(
                "{} devices wrote it: {shown}{more}; one device that got a new key, or someone who signed a copy of the ring \
                 with a key of his own. Which of them is the device's is for the pinned keys to say",
                devices.len()
            );
            self.findings.problem(Code::DeviceRekeyed, "", format!("ring {}", hex::encode(ring)), detail);
        }
    }

    /// A device that has a key writes one ring. What the one before had when another took its place nobody can say.
    fn several_rings(&mut self) {
        let mut devices: BTreeMap<Id, Vec<String>> = BTreeMap::new();
        for ((device, ring), known) in &self.rings {
            let ring = format!("{} (up to sequence {})", hex::encode(ring), known.last);
            devices.entry(*device).or_default().push(ring);
        }
        for (device, rings) in devices.iter().filter(|(_, rings)| rings.len() > 1) {
            let shown = rings.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if rings.len() > 4 { ", …" } else { "" };
            let detail = format!(
                "the device wrote {} rings: {shown}{more}; what a ring had that another took the place of, behind the \
                 sequence given, was not exported or is not here",
                rings.len()
            );
            let place = format!("device {}", hex::encode(device));
            self.findings.problem(Code::RingReplaced, "", place, detail);
        }
    }
}
