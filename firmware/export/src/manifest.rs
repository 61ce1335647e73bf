//! The manifest: the last item of every export; says what the export is, so that nothing can be cut from it.

use aegis_cose::device_id;
use minicbor::Encoder;
use minicbor::encode::write::{Cursor, EndOfSlice};

use crate::cbor::{CborError, Reader};
use crate::chain::{Hash, Id};
use crate::gaps::Gaps;
use crate::limits;
use crate::policies::{Policies, Policy};
use crate::segment::FORMAT;

/// `type` of a manifest (key 0).
pub(crate) const TYPE: &str = "manifest";
/// Entries of a manifest's map, by format.
pub(crate) const fn entries(format: u64) -> u64 {
    if format == 1 { 20 } else { 22 }
}

/// Why an export ends where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ending {
    /// Everything that was asked for and still whole in the ring is here; what was damaged there is in the gaps.
    Complete = 0,
    /// The stick was full, or the caller stopped; the rest is still on the device.
    Full = 1,
    /// The ring could not be read further: its device failed, or it has more gaps than one export can list.
    Unreadable = 2,
    /// The writer came round and overwrote what was to be exported next.
    Overtaken = 3,
}

impl Ending {
    /// The ending with this number, if there is one.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Complete),
            1 => Some(Self::Full),
            2 => Some(Self::Unreadable),
            3 => Some(Self::Overtaken),
            _ => None,
        }
    }

    /// The name that people, JSON and documents use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Full => "full",
            Self::Unreadable => "unreadable",
            Self::Overtaken => "overtaken",
        }
    }
}

impl core::fmt::Display for Ending {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// When an export was made, by clocks that may be wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// The boot it was made in.
    pub boot: Id,
    /// `CLOCK_BOOTTIME`, ns.
    pub boottime: u64,
    /// `CLOCK_REALTIME`, seconds since 1970.
    pub clock: u64,
    /// The device had a reason to trust that clock.
    pub clock_trusted: bool,
}

/// How far the checkpoints of an export reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Checkpoints in the export, 1 or more.
    pub checkpoints: u64,
    /// Epoch of the last one.
    pub epoch: u64,
    /// SHA-256 of the last one, byte for byte.
    pub hash: Hash,
    /// Public key of the epoch after it.
    pub next_key: [u8; 32],
}

/// What an export holds (`docs/formats/export.cddl`, `manifest`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest<'a> {
    /// Device id; always [`aegis_cose::device_id`] of the public key.
    pub device: Id,
    /// The device's Ed25519 public key.
    pub public_key: [u8; 32],
    /// Ring id.
    pub ring: Id,
    /// First sequence asked for; 0: whatever the ring still has.
    pub requested_first: u64,
    /// Last sequence asked for; 0: up to the end.
    pub requested_last: u64,
    /// Sequence of the first event here; 0 when there is none.
    pub first: u64,
    /// Sequence of the last event here; 0 when there is none.
    pub last: u64,
    /// Events here.
    pub events: u64,
    /// Segments here.
    pub segments: u64,
    /// Head of the chain before the first event; for an export without events, the head at the place it would
    /// begin, none when that frame is no longer in the ring.
    pub before: Option<Hash>,
    /// Head of the chain after the last event; equal to `before` for an export without events.
    pub after: Option<Hash>,
    /// First sequence that the ring still had: what was asked for before it had been overwritten.
    pub retained: u64,
    /// The sequence that the ring would give to its next event.
    pub next: u64,
    /// Why the export ends here.
    pub ending: Ending,
    /// When it was made.
    pub created: Created,
    /// Version of the agent that made it.
    pub version: &'a str,
    /// Sequences inside the range covered that were damaged in the ring: no event has them.
    pub gaps: Gaps,
    /// SHA-256 over all items before this one, byte for byte.
    pub items: Hash,
    /// The policies that decided about these events; empty in format 1.
    pub policies: Policies,
    /// How far the checkpoints reach; none when there are none.
    pub sealed: Option<Sealed>,
}

impl Manifest<'_> {
    /// The first sequence that the export could have had.
    pub fn begin(&self) -> u64 {
        self.requested_first.max(self.retained).max(1)
    }

    /// The sequence after the last one that it could have had.
    pub fn end(&self) -> u64 {
        if self.requested_last == 0 {
            self.next
        } else {
            self.next.min(self.requested_last.saturating_add(1))
        }
    }

    /// The sequence after the last one that it accounts for, by an event or a gap: where the next export has to begin.
    pub fn resume(&self) -> u64 {
        match self.ending {
            Ending::Complete => self.begin().max(self.end()),
            _ if self.events > 0 => self.last.saturating_add(1),
            _ => self.begin(),
        }
    }

    /// Counts, ranges, gaps and heads agree with each other: every sequence from [`Manifest::begin`] to
    /// [`Manifest::resume`] is an event's or in a gap.
    fn consistent(&self) -> bool {
        let (begin, resume, gaps) = (self.begin(), self.resume(), self.gaps.as_slice());
        let none = self.events == 0;
        let heads =
            if none { self.before == self.after } else { self.before.is_some() && self.after.is_some() };
        let counts = if none {
            (self.first, self.last, self.segments) == (0, 0, 0)
        } else {
            begin <= self.first
                && self.first <= self.last
                && self.last < resume
                && (1..=self.events).contains(&self.segments)
                // Before the first event and behind the last one there are gaps or nothing.
                && (self.first == begin || gaps.first() == Some(&(begin, self.first - 1)))
                && (self.last + 1 == resume || gaps.last() == Some(&(self.last + 1, resume - 1)))
        };
        let inside = gaps.iter().all(|gap| begin <= gap.0 && gap.1 < resume);
        heads
            && counts
            && inside
            && resume <= self.end().max(begin)
            && self.events.checked_add(self.gaps.total()) == Some(resume - begin)
            && self.next >= 1
            && self.sealed.is_none_or(|sealed| sealed.checkpoints >= 1)
            && self.device == device_id(&self.public_key)
    }

    /// Writes the payload to the front of `out`; returns its length.
    pub(crate) fn write(&self, out: &mut [u8]) -> Result<usize, minicbor::encode::Error<EndOfSlice>> {
        fn hash(
            encoder: &mut Encoder<Cursor<&mut [u8]>>,
            hash: Option<&Hash>,
        ) -> Result<(), minicbor::encode::Error<EndOfSlice>> {
            match hash {
                Some(hash) => encoder.bytes(hash)?,
                None => encoder.null()?,
            };
            Ok(())
        }
        let mut encoder = Encoder::new(Cursor::new(out));
        encoder.map(entries(FORMAT))?;
        encoder.u8(0)?.str(TYPE)?.u8(1)?.u64(FORMAT)?;
        encoder.u8(2)?.bytes(&self.device)?.u8(3)?.bytes(&self.ring)?.u8(4)?.bytes(&self.public_key)?;
        encoder.u8(5)?.u64(self.requested_first)?.u8(6)?.u64(self.requested_last)?;
        encoder.u8(7)?.u64(self.first)?.u8(8)?.u64(self.last)?;
        encoder.u8(9)?.u64(self.events)?.u8(10)?.u64(self.segments)?;
        encoder.u8(11)?;
        hash(&mut encoder, self.before.as_ref())?;
        encoder.u8(12)?;
        hash(&mut encoder, self.after.as_ref())?;
        encoder.u8(13)?.u64(self.retained)?.u8(14)?.u64(self.next)?.u8(15)?.u8(self.ending as u8)?;
        let created = &self.created;
        encoder.u8(16)?.array(4)?.bytes(&created.boot)?.u64(created.boottime)?.u64(created.clock)?;
        encoder.bool(created.clock_trusted)?.u8(17)?.str(self.version)?;
        encoder.u8(18)?.array(self.gaps.as_slice().len() as u64)?;
        for (first, last) in self.gaps.as_slice() {
            encoder.array(2)?.u64(*first)?.u64(*last)?;
        }
        encoder.u8(19)?.bytes(&self.items)?;
        encoder.u8(20)?.array(3)?;
        match &self.policies.in_force {
            Some(in_force) => policy(&mut encoder, in_force)?,
            None => drop(encoder.null()?),
        }
        encoder.u64(self.policies.accepted)?.array(self.policies.as_slice().len() as u64)?;
        for accepted in self.policies.as_slice() {
            policy(&mut encoder, accepted)?;
        }
        encoder.u8(21)?;
        match &self.sealed {
            Some(sealed) => {
                encoder.array(4)?.u64(sealed.checkpoints)?.u64(sealed.epoch)?;
                encoder.bytes(&sealed.hash)?.bytes(&sealed.next_key)?;
            }
            None => drop(encoder.null()?),
        }
        Ok(encoder.writer().position())
    }
}

fn policy(
    encoder: &mut Encoder<Cursor<&mut [u8]>>,
    policy: &Policy,
) -> Result<(), minicbor::encode::Error<EndOfSlice>> {
    encoder.array(3)?.u64(policy.epoch)?.u64(policy.sequence)?.bytes(&policy.hash)?;
    Ok(())
}

/// Reads keys 20 and 21.
fn read_sealed(reader: &mut Reader<'_>) -> Result<(Policies, Option<Sealed>), CborError> {
    fn policy(reader: &mut Reader<'_>) -> Result<Policy, CborError> {
        reader.array(3)?;
        Ok(Policy { epoch: reader.uint()?, sequence: reader.uint()?, hash: reader.fixed()? })
    }
    reader.key(20)?;
    reader.array(3)?;
    let in_force = if reader.null()? { None } else { Some(policy(reader)?) };
    let accepted = reader.uint()?;
    let mut list = [Policy::default(); limits::POLICIES];
    let count = reader.array_up_to(limits::POLICIES)?;
    for place in &mut list[..count] {
        *place = policy(reader)?;
    }
    let policies = Policies::read(in_force, accepted, &list[..count]).ok_or(CborError::Unexpected)?;
    reader.key(21)?;
    if reader.null()? {
        return Ok((policies, None));
    }
    reader.array(4)?;
    let (checkpoints, epoch) = (reader.uint()?, reader.uint()?);
    let sealed = Sealed { checkpoints, epoch, hash: reader.fixed()?, next_key: reader.fixed()? };
    Ok((policies, Some(sealed)))
}

/// Reads a manifest's entries after `type` and `format`.
pub(crate) fn read<'a>(reader: &mut Reader<'a>, format: u64) -> Result<Manifest<'a>, CborError> {
    fn hash(reader: &mut Reader<'_>) -> Result<Option<Hash>, CborError> {
        if reader.null()? { Ok(None) } else { reader.fixed().map(Some) }
    }
    fn uint(reader: &mut Reader<'_>, key: u8) -> Result<u64, CborError> {
        reader.key(key)?;
        reader.uint()
    }
    reader.key(2)?;
    let device = reader.fixed()?;
    reader.key(3)?;
    let ring = reader.fixed()?;
    reader.key(4)?;
    let public_key = reader.fixed()?;
    let (requested_first, requested_last) = (uint(reader, 5)?, uint(reader, 6)?);
    let (first, last) = (uint(reader, 7)?, uint(reader, 8)?);
    let (events, segments) = (uint(reader, 9)?, uint(reader, 10)?);
    reader.key(11)?;
    let before = hash(reader)?;
    reader.key(12)?;
    let after = hash(reader)?;
    let (retained, next) = (uint(reader, 13)?, uint(reader, 14)?);
    let ending = Ending::from_number(uint(reader, 15)?).ok_or(CborError::Unexpected)?;
    reader.key(16)?;
    reader.array(4)?;
    let created = Created {
        boot: reader.fixed()?,
        boottime: reader.uint()?,
        clock: reader.uint()?,
        clock_trusted: reader.bool()?,
    };
    reader.key(17)?;
    let version = reader.text(limits::VERSION_BYTES)?;
    reader.key(18)?;
    let mut gaps = Gaps::new();
    let count = reader.array_up_to(limits::GAPS)?;
    for _ in 0..count {
        reader.array(2)?;
        if !gaps.push(reader.uint()?, reader.uint()?) {
            return Err(CborError::Unexpected);
        }
    }
    // Gaps that touch would have been written as one.
    if gaps.as_slice().len() != count {
        return Err(CborError::Unexpected);
    }
    reader.key(19)?;
    let items = reader.fixed()?;
    let (policies, sealed) = if format == 1 { (Policies::new(), None) } else { read_sealed(reader)? };
    let manifest = Manifest {
        device,
        public_key,
        ring,
        requested_first,
        requested_last,
        first,
        last,
        events,
        segments,
        before,
        after,
        retained,
        next,
        ending,
        created,
        version,
        gaps,
        items,
        policies,
        sealed,
    };
    if manifest.consistent() { Ok(manifest) } else { Err(CborError::Unexpected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 events and a gap of 2 out of 3 to 14, of a ring that goes on at 20.
    fn manifest() -> Manifest<'static> {
        let mut gaps = Gaps::new();
        assert!(gaps.push(5, 6));
        let public_key = [1; 32];
        Manifest {
            device: device_id(&public_key),
            public_key,
            ring: [2; 16],
            requested_first: 3,
            requested_last: 14,
            first: 3,
            last: 14,
            events: 10,
            segments: 2,
            before: Some([3; 32]),
            after: Some([4; 32]),
            retained: 2,
            next: 20,
            ending: Ending::Complete,
            created: Created::default(),
            version: "1",
            gaps,
            items: [5; 32],
            policies: Policies::new(),
            sealed: None,
        }
    }

    fn reads(manifest: &Manifest<'_>) -> bool {
        let mut bytes = [0; limits::MANIFEST_BYTES];
        let length = manifest.write(&mut bytes).expect("fits");
        let mut reader = Reader::new(&bytes[..length]);
        reader.map(entries(FORMAT)).expect("map");
        reader.key(0).expect("key");
        assert_eq!(reader.text(8), Ok(TYPE));
        reader.key(1).expect("key");
        assert_eq!(reader.uint(), Ok(FORMAT));
        read(&mut reader, FORMAT).is_ok_and(|read| read == *manifest)
    }

    fn sealed(checkpoints: u64, epoch: u64) -> Sealed {
        Sealed { checkpoints, epoch, hash: [6; 32], next_key: [7; 32] }
    }

    fn policies() -> Policies {
        let mut policies = Policies::new();
        for sequence in 0..2 * limits::POLICIES as u64 {
            let policy = Policy { epoch: u64::MAX, sequence: u64::MAX - sequence, hash: [8; 32] };
            policies.in_force = Some(policy);
            policies.accept(policy);
        }
        policies
    }

    #[test]
    fn the_longest_manifest_fits() {
        const HIGH: u64 = u64::MAX - 100;
        let version = core::str::from_utf8(&[b'v'; limits::VERSION_BYTES]).expect("ASCII");
        let mut accepted = policies();
        accepted.accepted = u64::MAX;
        let list: [(u64, u64); limits::GAPS] =
            core::array::from_fn(|n| (HIGH + 3 * n as u64, HIGH + 3 * n as u64 + 1));
        let largest = Manifest {
            requested_first: HIGH,
            requested_last: u64::MAX,
            first: u64::MAX,
            last: u64::MAX,
            events: u64::MAX,
            segments: u64::MAX,
            retained: u64::MAX,
            next: u64::MAX,
            created: Created { boot: [9; 16], boottime: u64::MAX, clock: u64::MAX, clock_trusted: true },
            version,
            gaps: gaps(&list),
            policies: accepted,
            sealed: Some(sealed(u64::MAX, u64::MAX)),
            ..manifest()
        };
        let length = largest.write(&mut [0; limits::MANIFEST_BYTES]).expect("fits");
        assert!(length + limits::COSE_BYTES <= limits::MANIFEST_BYTES, "{length} bytes");
    }

    fn gaps(list: &[(u64, u64)]) -> Gaps {
        let mut gaps = Gaps::new();
        assert!(list.iter().all(|gap| gaps.push(gap.0, gap.1)));
        gaps
    }

    #[test]
    fn a_manifest_adds_up_or_is_not_read() {
        type Change = fn(&mut Manifest<'_>);
        let cases: &[(&str, Change, bool)] = &[
            ("as it is", |_| (), true),
            ("an event too many", |m| m.events = 11, false),
            ("an event too few", |m| m.events = 9, false),
            ("no gap", |m| m.gaps = Gaps::new(), false),
            ("no gap, and events for it", |m| (m.gaps, m.events) = (Gaps::new(), 12), true),
            ("gap at the beginning", |m| (m.gaps, m.first) = (gaps(&[(3, 4)]), 5), true),
            ("gap at the beginning, not said", |m| m.first = 5, false),
            ("gap at the end", |m| (m.gaps, m.last) = (gaps(&[(13, 14)]), 12), true),
            ("gap behind the end", |m| (m.gaps, m.last) = (gaps(&[(14, 15)]), 13), false),
            ("gap before the beginning", |m| m.gaps = gaps(&[(1, 2)]), false),
            ("stops early and says so", |m| (m.ending, m.last, m.events) = (Ending::Full, 12, 8), true),
            ("stops early and calls it complete", |m| (m.last, m.events) = (12, 8), false),
            ("no segment", |m| m.segments = 0, false),
            ("more segments than events", |m| m.segments = 11, false),
            ("first after last", |m| (m.first, m.last) = (14, 3), false),
            ("before what was asked for", |m| m.requested_first = 4, false),
            ("beyond the ring", |m| m.next = 14, false),
            ("from before what the ring had", |m| m.retained = 4, false),
            ("of another device", |m| m.device[0] ^= 1, false),
            ("heads not known", |m| m.before = None, false),
            ("a checkpoint", |m| m.sealed = Some(sealed(1, 0)), true),
            ("seals without checkpoints", |m| m.sealed = Some(sealed(0, 9)), false),
            ("policies", |m| m.policies = policies(), true),
            ("the largest numbers", |m| (m.requested_last, m.next, m.last) = (0, u64::MAX, u64::MAX), false),
        ];
        for (name, change, good) in cases {
            let mut manifest = manifest();
            change(&mut manifest);
            assert_eq!(reads(&manifest), *good, "{name}");
        }
    }

    #[test]
    fn a_manifest_of_nothing_adds_up_or_is_not_read() {
        type Change = fn(&mut Manifest<'_>);
        let cases: &[(&str, Change, bool)] = &[
            ("nothing new", |_| (), true),
            ("heads differ", |m| m.after = None, false),
            ("heads not known", |m| (m.before, m.after) = (None, None), true),
            ("has a range", |m| (m.first, m.last) = (20, 20), false),
            ("has segments", |m| m.segments = 1, false),
            ("there is something, and it calls itself complete", |m| m.next = 21, false),
            ("there is something, and no room for it", |m| (m.next, m.ending) = (21, Ending::Full), true),
            ("all of it is a gap", |m| (m.next, m.gaps) = (22, gaps(&[(20, 21)])), true),
            ("some of it is a gap", |m| (m.next, m.gaps) = (22, gaps(&[(20, 20)])), false),
        ];
        for (name, change, good) in cases {
            let mut manifest = Manifest {
                requested_first: 20,
                requested_last: 0,
                first: 0,
                last: 0,
                events: 0,
                segments: 0,
                after: Some([3; 32]),
                gaps: Gaps::new(),
                ..manifest()
            };
            change(&mut manifest);
            assert_eq!(reads(&manifest), *good, "{name}");
        }
    }
}
