//! `export`: a file that came back on a stick, as the office reads it.

use aegis_cose::{Domain, device_id};
use aegis_export::read::{Item, ItemReader, open_item, peek_item, split_item};
use aegis_export::{
    Ending, FORMAT, Gaps, Hash, Id, Manifest, Policies, Policy, Sealed, Segment, first_head, limits,
    next_head,
};
use embedded_io::ErrorType;
use minicbor::Encoder;

use crate::Seed;
use crate::input::{Input, changed, changes, put_changes};
use crate::keys::{self, pair, public};
use crate::seal::{self, certificate_payload, checkpoint_payload};

/// The device that exports are signed by.
const DEVICE: usize = 3;
/// First byte of an input whose rest is a file.
const FILE: u8 = 0;
/// First byte of an input that has changes, and the payload of one item to sign.
const PAYLOAD: u8 = 1;

/// A file is cut into the same items however it comes; every item accepted adds up and has one encoding.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    if input.u8() & 1 == FILE {
        let step = input.u8();
        return file(input.rest(), step);
    }
    // Changed before it is signed: what a device of ours does not write.
    let changes = changes(&mut input);
    let payload = &*changed(input.rest(), &changes);
    if payload.len() > limits::PAYLOAD_BYTES {
        return false;
    }
    let item = keys::single(payload, Domain::Export, DEVICE);
    let (split, rest) = split_item(&item).expect("it is one item");
    assert_eq!((split.len(), rest.len()), (item.len(), 0));
    let Ok(opened) = open_item(&item, &pair(DEVICE).pk) else { return false };
    assert_eq!(peek_item(&item).as_ref(), Ok(&opened));
    check(&opened, payload);
    true
}

/// True when a whole export was read.
fn file(bytes: &[u8], step: u8) -> bool {
    let buffer = vec![0; limits::ITEM_BYTES].into_boxed_slice();
    let mut buffer: Box<[u8; limits::ITEM_BYTES]> = buffer.try_into().expect("it is as long");
    let mut reader = ItemReader::new(Slow { bytes, step: usize::from(step) + 1 }, &mut buffer);
    let (mut left, mut whole, mut offset) = (bytes, false, 0);
    loop {
        let read = reader.next_item().map(|item| item.map(<[u8]>::to_vec));
        assert_eq!(reader.offset(), (offset + read.iter().flatten().map(Vec::len).sum::<usize>()) as u64);
        if left.is_empty() {
            assert!(matches!(read, Ok(None)));
            return whole;
        }
        let item = match (read, split_item(left)) {
            (Ok(Some(item)), Ok((split, rest))) => {
                assert_eq!(item, split);
                left = rest;
                item
            }
            (Err(_), Err(_)) => return false,
            (read, split) => panic!("read alone {read:?}, in a sequence {split:?}"),
        };
        offset += item.len();
        assert!(!item.is_empty() && item.len() <= limits::ITEM_BYTES);
        match open_item(&item, &pair(DEVICE).pk) {
            Ok(opened) => {
                assert_eq!(peek_item(&item).as_ref(), Ok(&opened), "the key changes what it says");
                whole = matches!(opened, Item::Manifest(_));
            }
            Err(_) => whole = false,
        }
    }
}

/// Gives a few bytes at a time.
struct Slow<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl ErrorType for Slow<'_> {
    type Error = core::convert::Infallible;
}

impl embedded_io::Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        let (front, rest) = self.bytes.split_at(self.step.min(out.len()).min(self.bytes.len()));
        out[..front.len()].copy_from_slice(front);
        self.bytes = rest;
        Ok(front.len())
    }
}

/// What an accepted item promises.
pub fn check(item: &Item<'_>, payload: &[u8]) {
    assert_eq!(item.device(), device_id(&public(DEVICE)));
    match item {
        Item::Segment(segment) => {
            let events: Vec<_> = segment.events.clone().collect();
            assert_eq!(events.len(), segment.events.len());
            assert!((1..=limits::SEGMENT_EVENTS).contains(&events.len()));
            assert!(events.iter().map(|(sequence, _)| *sequence).eq(segment.first..=segment.last()));
            assert!(events.iter().all(|(_, event)| (1..=limits::EVENT_BYTES).contains(&event.len())));
            let head = events
                .iter()
                .fold(segment.previous, |head, (number, event)| next_head(&head, *number, event));
            assert_eq!(head, segment.chain());
            let plain = segment.into();
            let formats: &[u64] = if segment.place.is_none() { &[1, FORMAT] } else { &[FORMAT] };
            let same = formats.iter().any(|format| segment_payload(&plain, *format) == payload);
            assert!(same, "two encodings of {segment:?}");
        }
        Item::Checkpoint(checkpoint) => assert_eq!(checkpoint_payload(checkpoint), payload),
        Item::Certificate(certificate) => assert_eq!(certificate_payload(certificate), payload),
        Item::Manifest(manifest) => {
            let (begin, resume) = (manifest.begin(), manifest.resume());
            assert!(begin >= 1 && begin <= resume && resume <= manifest.end().max(begin), "{manifest:?}");
            assert_eq!(manifest.events + manifest.gaps.total(), resume - begin, "{manifest:?}");
            assert!(manifest.gaps.as_slice().is_sorted_by(|a, b| a.0 <= a.1 && a.1 + 1 < b.0));
            let old = manifest.policies == Policies::new() && manifest.sealed.is_none();
            let formats: &[u64] = if old { &[1, FORMAT] } else { &[FORMAT] };
            let same = formats.iter().any(|format| manifest_payload(manifest, *format) == payload);
            assert!(same, "two encodings of {manifest:?}");
        }
    }
}

type Plain = Encoder<Vec<u8>>;

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

/// A segment as `docs/formats/export.cddl` has it, by another hand than the exporter's.
fn segment_payload(segment: &Plainly<'_>, format: u64) -> Vec<u8> {
    let mut out = Plain::new(Vec::new());
    let write = |out: &mut Plain| -> Written {
        out.map(if format == 1 { 9 } else { 10 })?
            .u8(0)?
            .str("segment")?
            .u8(1)?
            .u64(format)?
            .u8(2)?
            .bytes(&segment.device)?;
        out.u8(3)?.bytes(&segment.ring)?.u8(4)?.bytes(&segment.boot)?.u8(5)?.u64(segment.first)?;
        out.u8(6)?.bytes(&segment.previous)?.u8(7)?.array(segment.events.len() as u64)?;
        segment.events.iter().try_for_each(|event| out.bytes(event).map(drop))?;
        out.u8(8)?.bytes(&segment.head)?;
        match segment.place {
            _ if format == 1 => {}
            Some(number) => drop(out.u8(9)?.u64(number)?),
            None => drop(out.u8(9)?.null()?),
        }
        Ok(())
    };
    write(&mut out).expect("memory takes everything");
    out.into_writer()
}

/// What a segment says; [`Segment`] itself can't be made outside its crate.
struct Plainly<'a> {
    device: Id,
    ring: Id,
    boot: Id,
    first: u64,
    previous: Hash,
    events: Vec<&'a [u8]>,
    head: Hash,
    place: Option<u64>,
}

impl<'a> From<&Segment<'a>> for Plainly<'a> {
    fn from(segment: &Segment<'a>) -> Self {
        let Segment { device, ring, boot, first, previous, head, place, .. } = *segment;
        let events = segment.events.clone().map(|(_, event)| event).collect();
        Self { device, ring, boot, first, previous, events, head, place }
    }
}

/// A manifest as `docs/formats/export.cddl` has it, by another hand than the exporter's.
fn manifest_payload(manifest: &Manifest<'_>, format: u64) -> Vec<u8> {
    let mut out = Plain::new(Vec::new());
    let head = |out: &mut Plain, head: &Option<Hash>| match head {
        Some(hash) => out.bytes(hash).map(drop),
        None => out.null().map(drop),
    };
    let policy = |out: &mut Plain, policy: &Policy| -> Written {
        out.array(3)?.u64(policy.epoch)?.u64(policy.sequence)?.bytes(&policy.hash)?;
        Ok(())
    };
    let write = |out: &mut Plain| -> Written {
        out.map(if format == 1 { 20 } else { 22 })?
            .u8(0)?
            .str("manifest")?
            .u8(1)?
            .u64(format)?
            .u8(2)?
            .bytes(&manifest.device)?;
        out.u8(3)?.bytes(&manifest.ring)?.u8(4)?.bytes(&manifest.public_key)?;
        let numbers = [
            manifest.requested_first,
            manifest.requested_last,
            manifest.first,
            manifest.last,
            manifest.events,
            manifest.segments,
        ];
        (5u8..).zip(numbers).try_for_each(|(key, number)| out.u8(key)?.u64(number).map(drop))?;
        out.u8(11)?;
        head(out, &manifest.before)?;
        out.u8(12)?;
        head(out, &manifest.after)?;
        out.u8(13)?.u64(manifest.retained)?.u8(14)?.u64(manifest.next)?.u8(15)?.u8(manifest.ending as u8)?;
        let created = &manifest.created;
        out.u8(16)?.array(4)?.bytes(&created.boot)?.u64(created.boottime)?.u64(created.clock)?;
        out.bool(created.clock_trusted)?.u8(17)?.str(manifest.version)?;
        let gaps = manifest.gaps.as_slice();
        out.u8(18)?.array(gaps.len() as u64)?;
        gaps.iter().try_for_each(|gap| out.array(2)?.u64(gap.0)?.u64(gap.1).map(drop))?;
        out.u8(19)?.bytes(&manifest.items)?;
        if format == 1 {
            return Ok(());
        }
        out.u8(20)?.array(3)?;
        match &manifest.policies.in_force {
            Some(in_force) => policy(out, in_force)?,
            None => drop(out.null()?),
        }
        let accepted = manifest.policies.as_slice();
        out.u64(manifest.policies.accepted)?.array(accepted.len() as u64)?;
        accepted.iter().try_for_each(|one| policy(out, one))?;
        out.u8(21)?;
        match &manifest.sealed {
            Some(Sealed { checkpoints, epoch, hash, next_key }) => {
                out.array(4)?.u64(*checkpoints)?.u64(*epoch)?.bytes(hash)?.bytes(next_key)?;
            }
            None => drop(out.null()?),
        }
        Ok(())
    };
    write(&mut out).expect("memory takes everything");
    out.into_writer()
}

const RING: [u8; 16] = [7; 16];

/// A file, and payloads of either kind.
pub fn seeds() -> Vec<Seed> {
    let events: [&[u8]; 3] = [b"one", &[2; 30], b"three"];
    let head = events
        .iter()
        .zip(1..)
        .fold(first_head(&RING), |head, (event, number)| next_head(&head, number, event));
    let device = device_id(&public(DEVICE));
    let plain = Plainly {
        device,
        ring: RING,
        boot: [1; 16],
        first: 1,
        previous: first_head(&RING),
        events: events.into(),
        head,
        place: Some(4),
    };
    let (segment, old_segment) = (segment_payload(&plain, FORMAT), segment_payload(&plain, 1));
    let manifest = Manifest {
        device,
        public_key: public(DEVICE),
        ring: RING,
        requested_first: 0,
        requested_last: 0,
        first: 1,
        last: 3,
        events: 3,
        segments: 1,
        before: Some(first_head(&RING)),
        after: Some(head),
        retained: 1,
        next: 4,
        ending: Ending::Complete,
        created: aegis_export::Created { boot: [9; 16], boottime: 1, clock: 1 << 31, clock_trusted: false },
        version: "0.1.0",
        gaps: Gaps::new(),
        items: [5; 32],
        policies: Policies::new(),
        sealed: None,
    };
    let mut policies = Policies::new();
    let policy = Policy { epoch: 1, sequence: 300, hash: [6; 32] };
    policies.in_force = Some(policy);
    policies.accept(policy);
    let sealed = Some(Sealed { checkpoints: 2, epoch: 7, hash: [8; 32], next_key: [9; 32] });
    let sealed = Manifest { policies, sealed, ..manifest };
    let mut gaps = Gaps::new();
    assert!(gaps.push(2, 3) && gaps.push(9, 9));
    let gappy = Manifest { gaps, next: 10, last: 8, events: 6, ..manifest };
    let nothing = Manifest {
        requested_first: 4,
        first: 0,
        last: 0,
        events: 0,
        segments: 0,
        before: None,
        after: None,
        ..manifest
    };
    let payload = |bytes: Vec<u8>| {
        let mut out = vec![PAYLOAD];
        put_changes(&mut out, &[]);
        [out, bytes].concat()
    };
    let items = [segment.clone(), manifest_payload(&sealed, FORMAT)];
    let items = items.map(|payload| keys::single(&payload, Domain::Export, DEVICE));
    let (begun, checkpoint) = seal::records();
    vec![
        ("file", [vec![FILE, 40], begun, checkpoint, items.concat()].concat()),
        ("segment", payload(segment)),
        ("old-segment", payload(old_segment)),
        ("manifest", payload(manifest_payload(&sealed, FORMAT))),
        ("manifest-gaps", payload(manifest_payload(&gappy, FORMAT))),
        ("manifest-nothing", payload(manifest_payload(&nothing, 1))),
    ]
}
