//! What a stick brings, answered one by one: root metadata, bundles, the token, images, workloads.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::path::Path;

use aegis_bundle::{Answer, What, limits as bounds};
use aegis_event::Printable;

use super::Stick;
use crate::commands::image::{self, Offer};
use crate::commands::policy::{self, Taken};
use crate::commands::{break_glass, root, workload};
use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::stick::directory::{Directory, Unread};
use crate::stick::receipts::Receipts;
use crate::storage::device::{Identity, hex};
use crate::storage::facts::Facts;
use crate::storage::trust::Trust;

const SUFFIX: &[u8] = b".aegis";
/// Where the stick's root metadata and tokens are, in its one directory.
pub(super) const ROOTS: &str = "roots";
pub(super) const TOKENS: &str = "break-glass";

/// What became of what a stick brought.
pub(super) struct Answers<'s, 'i> {
    stick: &'s Stick,
    identity: &'i Identity,
    receipts: Receipts<'i>,
    /// A bundle was let in, or was in force already.
    good: bool,
    /// What was refused, and why.
    refused: Vec<String>,
}

/// A bundle that would be let in now.
struct Candidate {
    name: CString,
    /// Epoch and sequence.
    rank: (u64, u64),
    hash: [u8; 32],
    /// Kept of the best one only: memory is bounded.
    bytes: Option<Vec<u8>>,
}

impl<'s, 'i> Answers<'s, 'i> {
    pub(super) fn new(stick: &'s Stick, identity: &'i Identity, receipts: Receipts<'i>) -> Self {
        Self { stick, identity, receipts, good: false, refused: Vec::new() }
    }

    /// Writes the answers that were given; returns how many there are.
    pub(super) fn write(&self, out: &Path) -> io::Result<usize> {
        self.receipts.write(out)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.receipts.count() == 0
    }

    /// Signs an answer; `None`: nothing was offered.
    pub(super) fn sign(&mut self, taken: Option<&Taken>) -> Outcome {
        let version = Trust::open()?.root().version;
        self.receipts.add(taken, version).map_err(|error| Failure::error(format!("receipt: {error}")))
    }

    /// Answers something that was offered under this name.
    fn add(&mut self, name: &str, taken: &Taken) -> Outcome {
        log::info!("stick: {name}: {}", taken.code);
        if taken.answer == Answer::Refused {
            self.refused.push(format!("{name}: {}", taken.code));
        }
        self.sign(Some(taken))
    }

    pub(super) fn outcome(self) -> Outcome {
        if self.refused.is_empty() || self.good {
            return Ok(());
        }
        Err(Failure::refused(format!("refused: {}", self.refused.join(", "))))
    }

    /// Answers a file that can't be read. When the stick is gone, that is all there is to say.
    fn unread(&mut self, what: What, name: &str, unread: &Unread) -> Outcome {
        if matches!(unread, Unread::Io(_)) && !self.stick.device.is_there() {
            return Err(self.stick.fault("pulled", &format!("{name}: {unread}")));
        }
        let taken = Taken::refused(what, unread.code(), None, unread.to_string());
        if what == What::BreakGlass {
            break_glass::report_unread(&taken, name);
        } else {
            taken.report(name);
        }
        self.add(name, &taken)
    }

    /// A directory of the stick's; `None` when it is not there, or is none.
    fn below(&mut self, what: What, directory: &Directory, name: &str) -> Result<Option<Directory>, Failure> {
        match directory.below(name) {
            Ok(found) => Ok(found),
            Err(error) => self.unread(what, name, &Unread::Io(error)).map(|()| None),
        }
    }

    /// The chain of root metadata, from the version after the one in force on, as far as it is good.
    pub(super) fn roots(&mut self, directory: &Directory) -> Outcome {
        let Some(roots) = self.below(What::Root, directory, ROOTS)? else { return Ok(()) };
        for _ in 0..bounds::ROOT_STEPS {
            let name = format!("{}.cbor", Trust::open()?.root().version.saturating_add(1));
            let shown = format!("{ROOTS}/{name}");
            let bytes = match roots.read(&c_string(&name), bounds::ROOT_BYTES as u64) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(unread) => return self.unread(What::Root, &shown, &unread),
            };
            let taken = root::take(&bytes, &shown)?;
            self.add(&shown, &taken)?;
            if taken.answer != Answer::Accepted {
                break;
            }
        }
        Ok(())
    }

    /// The best acceptable bundle, and an answer for each.
    pub(super) fn bundles(&mut self, directory: &Directory, names: &[CString]) -> Outcome {
        for candidate in self.candidates(directory, names)? {
            let name = shown(&candidate.name);
            let taken = if self.good {
                // A better one of this stick is in force: this one was fine, and is not news.
                let (epoch, sequence) = candidate.rank;
                let refused = Taken::refused(What::Bundle, "superseded", Some(candidate.hash), "");
                let taken = Taken { epoch, sequence, ..refused };
                taken.report(&name);
                taken
            } else {
                let bytes = match candidate
                    .bytes
                    .map_or_else(|| read_bundle(directory, &candidate.name), |b| Ok(Some(b)))
                {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => continue,
                    Err(unread) => {
                        self.unread(What::Bundle, &name, &unread)?;
                        continue;
                    }
                };
                policy::take(&bytes, &name, self.identity, false)?
            };
            self.good |= taken.answer != Answer::Refused;
            self.add(&name, &taken)?;
        }
        Ok(())
    }

    /// The bundles that would be let in now, best first. The others are refused on the way.
    fn candidates(&mut self, directory: &Directory, names: &[CString]) -> Result<Vec<Candidate>, Failure> {
        let (trust, facts) = (Trust::open()?, Facts::of(self.identity));
        let mut candidates: Vec<Candidate> = Vec::new();
        for name in names.iter().filter(|name| is_bundle(name)) {
            let bytes = match read_bundle(directory, name) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(unread) => {
                    self.unread(What::Bundle, &shown(name), &unread)?;
                    continue;
                }
            };
            let rank = trust.offered(&bytes, &facts, false).map(|accepted| {
                let manifest = &accepted.bundle.manifest;
                (manifest.epoch, manifest.sequence)
            });
            let Ok(rank) = rank else {
                let taken = policy::take(&bytes, &shown(name), self.identity, false)?;
                self.add(&shown(name), &taken)?;
                continue;
            };
            let best = candidates.iter().all(|other| other.rank < rank);
            if best {
                for other in &mut candidates {
                    other.bytes = None;
                }
            }
            let hash = aegis_bundle::hash(&bytes);
            candidates.push(Candidate { name: name.clone(), rank, hash, bytes: best.then_some(bytes) });
        }
        candidates
            .sort_by(|a, b| b.rank.cmp(&a.rank).then_with(|| b.bytes.is_some().cmp(&a.bytes.is_some())));
        Ok(candidates)
    }

    /// The best acceptable image of the system, to the idle slot, and an answer for each.
    pub(super) fn images(&mut self, directory: &Directory, names: &[CString]) -> Outcome {
        // What is refused by its front is refused at once; of the others the front is read, and no more.
        let mut candidates: Vec<((u64, u64), &CString)> = Vec::new();
        for name in names.iter().filter(|name| image::is_image(name.to_bytes())) {
            let Some(offer) = self.offered(What::Image, image::BYTES, directory, name)? else { continue };
            match image::judge(&offer, self.identity)? {
                Ok(rank) => candidates.push((rank, name)),
                Err(_) => drop(self.image(&offer, name)?),
            }
        }
        candidates.sort_by_key(|(rank, _)| core::cmp::Reverse(*rank));
        let mut good = false;
        for (number, ((epoch, sequence), name)) in candidates.into_iter().enumerate() {
            if good || number >= limits::STICK_IMAGES {
                let code = if good { "superseded" } else { "not-read" };
                let taken = Taken { epoch, sequence, ..Taken::refused(What::Image, code, None, "") };
                taken.report(&shown(name));
                self.add(&shown(name), &taken)?;
                continue;
            }
            let Some(offer) = self.offered(What::Image, image::BYTES, directory, name)? else { continue };
            good |= self.image(&offer, name)? != Answer::Refused;
        }
        self.good |= good;
        Ok(())
    }

    /// Of each name the best acceptable workload, to own storage, and an answer for each.
    pub(super) fn workloads(&mut self, directory: &Directory, names: &[CString]) -> Outcome {
        // As of images: what is refused by its front is refused at once.
        let mut candidates: Vec<(String, (u64, u64), &CString)> = Vec::new();
        for file in names.iter().filter(|name| workload::is_workload(name.to_bytes())) {
            let Some(offer) = self.offered(What::Workload, workload::BYTES, directory, file)? else {
                continue;
            };
            match workload::judge(&offer, self.identity)? {
                Ok((name, rank)) => candidates.push((name, rank, file)),
                Err(_) => drop(self.workload(&offer, file)?),
            }
        }
        candidates.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(&a.1)));
        let mut good: Option<String> = None;
        for (number, (name, (epoch, sequence), file)) in candidates.into_iter().enumerate() {
            let is_superseded = good.as_ref() == Some(&name);
            if is_superseded || number >= limits::STICK_WORKLOADS {
                let code = if is_superseded { "superseded" } else { "not-read" };
                let taken = Taken { epoch, sequence, ..Taken::refused(What::Workload, code, None, "") };
                taken.report(&shown(file));
                self.add(&shown(file), &taken)?;
                continue;
            }
            let Some(offer) = self.offered(What::Workload, workload::BYTES, directory, file)? else {
                continue;
            };
            if self.workload(&offer, file)? != Answer::Refused {
                good = Some(name);
            }
        }
        self.good |= good.is_some();
        Ok(())
    }

    fn offered(
        &mut self,
        what: What,
        most: u64,
        directory: &Directory,
        name: &CStr,
    ) -> Result<Option<Offer<File>>, Failure> {
        let read = directory.file(name, most).and_then(|found| match found {
            Some((file, _)) => Offer::of(file, false).map(Some).map_err(Unread::Io),
            None => Ok(None),
        });
        match read {
            Ok(offer) => Ok(offer),
            Err(unread) => self.unread(what, &shown(name), &unread).map(|()| None),
        }
    }

    fn image(&mut self, offer: &Offer<File>, name: &CStr) -> Result<Answer, Failure> {
        let taken = image::take(offer, &shown(name), self.identity)?;
        self.large(&taken, name)
    }

    fn workload(&mut self, offer: &Offer<File>, name: &CStr) -> Result<Answer, Failure> {
        let taken = workload::take(offer, &shown(name), self.identity)?;
        self.large(&taken, name)
    }

    /// What was read as it was decided about: the stick may be gone by then.
    fn large(&mut self, taken: &Taken, name: &CStr) -> Result<Answer, Failure> {
        let name = shown(name);
        if taken.code == "unreadable" && !self.stick.device.is_there() {
            return Err(self.stick.fault("pulled", &format!("{name}: {}", taken.detail)));
        }
        self.add(&name, taken)?;
        Ok(taken.answer)
    }

    /// The break-glass token for this device.
    pub(super) fn token(&mut self, directory: &Directory) -> Outcome {
        let Some(tokens) = self.below(What::BreakGlass, directory, TOKENS)? else { return Ok(()) };
        let name = format!("{}.cbor", hex(&self.identity.id()));
        let shown = format!("{TOKENS}/{name}");
        match tokens.read(&c_string(&name), bounds::TOKEN_BYTES as u64) {
            Ok(None) => Ok(()),
            Ok(Some(bytes)) => {
                let taken = break_glass::take(&bytes, &shown, self.identity)?;
                self.add(&shown, &taken)
            }
            Err(unread) => self.unread(What::BreakGlass, &shown, &unread),
        }
    }
}

pub(super) fn read_bundle(directory: &Directory, name: &CStr) -> Result<Option<Vec<u8>>, Unread> {
    directory.read(name, limits::BUNDLE_BYTES)
}

/// A name of our own making.
pub(super) fn c_string(name: &str) -> CString {
    CString::new(name).expect("digits, letters and a dot")
}

/// A name of the stick's, safe to show.
pub(super) fn shown(name: &CStr) -> String {
    Printable(name.to_bytes()).to_string()
}

/// Desktop systems leave `._NAME` files beside the real ones.
pub(super) fn is_bundle(name: &CStr) -> bool {
    let name = name.to_bytes();
    name.len() > SUFFIX.len() && name.ends_with(SUFFIX) && !name.starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_told_by_their_names() {
        for (name, expected) in [
            (c"a.aegis", true),
            (c"a.b.aegis", true),
            (c"\xff\x1b[2J.aegis", true),
            (c"._a.aegis", false),
            (c".aegis", false),
            (c"aegis", false),
            (c"a.aegis.txt", false),
            (c"a.AEGIS", false),
        ] {
            assert_eq!(is_bundle(name), expected, "{name:?}");
        }
        assert_eq!(shown(c"\xff\x1b[2J.aegis"), "\\xff\\x1b[2J.aegis");
    }
}
