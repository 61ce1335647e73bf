//! Where an export stands against the ring's history and against its own manifest.

use aegis_export::{Hash, Manifest, first_head};
use sha2::Digest;

use super::{Checker, Known, Pass, Sealed, missing};
use crate::export::problem::Code;
use crate::hex;

impl Checker {
    /// Sequences that no segment has. There are only so many that a manifest can explain.
    pub(super) fn hole(&mut self, pass: &mut Pass<'_>, first: u64, last: u64) {
        if pass.holes.len() <= aegis_export::limits::GAPS {
            pass.holes.push((first, last));
        } else {
            self.segment_missing(pass, first, last);
        }
    }

    pub(super) fn segment_missing(&mut self, pass: &Pass<'_>, first: u64, last: u64) {
        let detail = missing(first, last, "a segment was cut out, or can't be trusted");
        self.findings.problem(Code::SegmentMissing, pass.name, pass.place.clone(), detail);
    }

    /// Where a file's first event stands against what is known of the ring.
    pub(super) fn begins(&mut self, pass: &mut Pass<'_>, first: u64, previous: Hash) {
        if first == 1 && previous != first_head(&pass.survey.ring) {
            let detail = "the head before sequence 1 is not the ring's";
            self.findings.problem(Code::ChainBroken, pass.name, pass.place.clone(), detail);
        }
        // Where the export begins is said by the manifest, which was not verified yet: if it lies, its own counts don't fit.
        let begin = pass.survey.manifest.map_or(first, |_| pass.survey.first.min(first));
        self.joins(pass, begin);
        if begin < first {
            self.hole(pass, begin, first - 1);
        } else if let Some(known) = pass.known
            && known.last.checked_add(1) == Some(first)
            && known.head.is_some_and(|head| head != previous)
        {
            self.differs(pass, first);
        }
    }

    /// What is missing between what is known of the ring and where an export begins.
    fn joins(&mut self, pass: &Pass<'_>, begin: u64) {
        let claims = pass.survey.manifest;
        let requested = claims.map_or(0, |claims| claims.requested_first);
        let expected = match pass.known {
            Some(known) => known.last.saturating_add(1),
            None if requested > 0 => requested,
            None => 1,
        };
        if begin <= expected {
            if pass.known.is_none() && begin > 1 {
                self.begins_later(pass, begin);
            }
        } else if claims.is_some_and(|claims| claims.retained == begin)
            && (pass.known.is_some() || requested > 0)
        {
            let detail = missing(expected, begin - 1, "the ring had overwritten them before this export");
            self.findings.problem(Code::Overwritten, pass.name, pass.place.clone(), detail);
        } else if pass.known.is_some() {
            let detail = missing(expected, begin - 1, &whereabouts(pass, expected));
            self.findings.problem(Code::Gap, pass.name, pass.place.clone(), detail);
        } else {
            self.begins_later(pass, begin);
        }
    }

    fn begins_later(&mut self, pass: &Pass<'_>, begin: u64) {
        let detail = format!("begins with sequence {begin}: what came before is not in the files given");
        self.findings.note("begins-later", pass.name, pass.place.clone(), detail);
    }

    fn differs(&mut self, pass: &Pass<'_>, first: u64) {
        let detail =
            format!("the head before sequence {first} is not the one that the last export ended with");
        self.findings.problem(Code::HistoryDiffers, pass.name, pass.place.clone(), detail);
    }

    pub(super) fn manifest(&mut self, pass: &mut Pass<'_>, manifest: &Manifest<'_>) {
        let place = pass.place.clone();
        if manifest.ring != pass.survey.ring {
            let detail = format!("manifest of ring {}", hex::encode(&manifest.ring));
            self.findings.problem(Code::WrongRing, pass.name, place.clone(), detail);
        }
        let items: Hash = pass.items.clone().finalize().into();
        if items != manifest.items {
            let detail = "the items before the manifest are not the ones it was made for";
            self.findings.problem(Code::ItemsChanged, pass.name, place.clone(), detail);
        }
        let (last, after) = pass.at.map_or((0, None), |(last, head)| (last, Some(head)));
        let claims = (manifest.first, manifest.last, manifest.events, manifest.segments);
        if claims != (pass.first, last, pass.events, pass.segments) {
            let detail = format!(
                "promises {} events ({} to {}) in {} segments, found {} ({} to {last}) in {}",
                manifest.events,
                manifest.first,
                manifest.last,
                manifest.segments,
                pass.events,
                pass.first,
                pass.segments
            );
            self.findings.problem(Code::ManifestMismatch, pass.name, place.clone(), detail);
        } else if manifest.events > 0 && (manifest.before, manifest.after) != (pass.before, after) {
            let detail = "its chain heads are not those of the segments";
            self.findings.problem(Code::ManifestMismatch, pass.name, place.clone(), detail);
        }
        if manifest.events == 0 {
            self.empty(pass, manifest);
        }
        self.gaps(pass, manifest);
        self.seal_manifest(pass, manifest);
        let (said, found) = (&manifest.policies, &pass.policies);
        // Format 1 says nothing about policies.
        let silent = said.in_force.is_none() && said.accepted == 0;
        if !silent && (said.accepted, said.as_slice()) != (found.accepted, found.as_slice()) {
            let detail = format!(
                "says that {} policies were accepted; its events say {}, or others",
                said.accepted, found.accepted
            );
            self.findings.problem(Code::ManifestMismatch, pass.name, place, detail);
        }
        pass.sealed = Some(Sealed {
            ending: manifest.ending,
            retained: manifest.retained,
            next: manifest.next,
            created: manifest.created,
            version: manifest.version.to_owned(),
            gaps: manifest.gaps.as_slice().to_vec(),
            requested: manifest.requested_first,
            begin: manifest.begin(),
            resume: manifest.resume(),
            end: manifest.end(),
            policies: manifest.policies,
        });
    }

    /// An export without events still says where the ring stands.
    fn empty(&mut self, pass: &mut Pass<'_>, manifest: &Manifest<'_>) {
        let begin = manifest.begin();
        if begin == 1 && manifest.before != Some(first_head(&manifest.ring)) {
            let detail = "the head before sequence 1 is not the ring's";
            self.findings.problem(Code::ChainBroken, pass.name, pass.place.clone(), detail);
        }
        self.joins(pass, begin);
        if let Some(head) = &manifest.before
            && pass.history.compare(begin - 1, head) == Some(false)
        {
            self.differs(pass, begin);
            return;
        }
        match pass.known {
            Some(known) if known.last.checked_add(1) == Some(begin) => {
                if let (Some(known), Some(head)) = (known.head, manifest.before)
                    && known != head
                {
                    self.differs(pass, begin);
                }
            }
            None if begin > 1 => {
                pass.known = Some(Known { last: begin - 1, head: manifest.before, boot: None });
            }
            _ => {}
        }
    }

    /// Holes that the manifest lists were in the ring; others were made later.
    fn gaps(&mut self, pass: &mut Pass<'_>, manifest: &Manifest<'_>) {
        for gap in manifest.gaps.as_slice() {
            self.lacks(&mut pass.history, *gap, pass.name, &pass.place);
        }
        for (first, last) in std::mem::take(&mut pass.holes) {
            if !manifest.gaps.as_slice().contains(&(first, last)) {
                self.segment_missing(pass, first, last);
            }
        }
        // A gap at the end is accounted for too: the next export goes on behind it.
        let last = manifest.resume() - 1;
        if pass.known.map_or(0, |known| known.last) < last {
            let boot = pass.known.and_then(|known| known.boot);
            pass.known = Some(Known { last, head: None, boot });
        }
    }
}

/// Where sequences may be that no file has, as far as the export tells that begins behind them.
fn whereabouts(pass: &Pass<'_>, from: u64) -> String {
    let none = "not in any file given".to_owned();
    let Some(claims) = pass.survey.manifest.filter(|claims| claims.requested_first > from) else {
        return none;
    };
    let kept = claims.retained.max(from);
    let what = if kept == from { "them".to_owned() } else { format!("those from {kept} on") };
    format!(
        "{none}: on an earlier stick, or left out when this export was asked for. The device still had {what} when it was made: \
         `aegis export --from {kept}`"
    )
}
