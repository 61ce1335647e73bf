//! Nothing that was not signed is read; nothing makes the reader panic, over-read or wait for what can't come.

mod common;

use aegis_cose::{Domain, sign1};
use aegis_export::read::{ItemError, ItemReader, ReadError, open_item, peek_item, split_item};
use aegis_export::{Request, limits};
use common::{MemoryRing, device, export};
use proptest::prelude::*;

#[test]
fn every_flipped_bit_is_refused() {
    let key = device().pk;
    for item in export(MemoryRing::with_boots(&[2]), Request::from(1)) {
        for at in 0..item.len() {
            for bit in 0..8 {
                let mut changed = item.clone();
                changed[at] ^= 1 << bit;
                assert!(open_item(&changed, &key).is_err(), "byte {at}, bit {bit}");
                let _ = peek_item(&changed);
                let _ = split_item(&changed);
            }
        }
    }
}

#[test]
fn every_cut_and_every_extra_byte_is_refused() {
    let key = device().pk;
    for item in export(MemoryRing::with_boots(&[2]), Request::from(1)) {
        for length in 0..item.len() {
            assert_eq!(open_item(&item[..length], &key), Err(ItemError::Truncated), "{length}");
            assert_eq!(split_item(&item[..length]), Err(ItemError::Truncated), "{length}");
        }
        let longer = [&item[..], &[0]].concat();
        assert_eq!(open_item(&longer, &key), Err(ItemError::NotAnItem));
    }
}

#[test]
fn another_key_and_another_purpose_are_refused() {
    let item = &export(MemoryRing::new(), Request::from(1))[0];
    let other = aegis_cose::KeyPair::from_seed(aegis_cose::Seed::new([1; 32]));
    assert!(matches!(open_item(item, &other.pk), Err(ItemError::Signature(_))));
    let (message, _) = aegis_cose::Sign1::take(item).expect("own item");
    let payload = message.unverified_payload();
    let mut out = vec![0; limits::ITEM_BYTES];
    let length = sign1(payload, Domain::Receipt, &device().sk, &mut out).expect("fits");
    assert!(matches!(open_item(&out[..length], &device().pk), Err(ItemError::Signature(_))));
    // Signed, for the right purpose, by a device that speaks for another.
    let length = sign1(payload, Domain::Export, &other.sk, &mut out).expect("fits");
    assert_eq!(open_item(&out[..length], &other.pk), Err(ItemError::Device));
}

/// Signs each payload that differs from a good one in one byte: strict decoding takes it only if a device could
/// have written it, which means that its bytes are different claims, not other encodings of the same.
#[test]
fn signed_payloads_have_one_encoding() {
    let (key, mut out) = (device(), vec![0; limits::ITEM_BYTES]);
    for item in export(MemoryRing::with_boots(&[1]), Request::from(1)) {
        let (message, _) = aegis_cose::Sign1::take(&item).expect("own item");
        let payload = message.unverified_payload();
        let refused = |payload: &[u8], out: &mut [u8]| {
            let length = sign1(payload, Domain::Export, &key.sk, out).expect("fits");
            open_item(&out[..length], &key.pk) == Err(ItemError::Payload)
        };
        for length in 0..payload.len() {
            assert!(refused(&payload[..length], &mut out), "cut at {length}");
        }
        assert!(refused(&[payload, &[0]].concat(), &mut out), "a byte more");
        // The map's head, the type and the format: no other value is known.
        for at in 0..13 {
            let mut changed = payload.to_vec();
            changed[at] ^= 1;
            assert!(refused(&changed, &mut out), "byte {at}");
        }
    }
}

#[test]
fn huge_declared_lengths_are_refused_at_once() {
    let start = [0xd2, 0x84];
    let protected = [0x4d, 0xa2, 1, 0x27, 4, 0x48, 0, 0, 0, 0, 0, 0, 0, 0];
    let cases: &[(&str, Vec<u8>)] = &[
        ("protected", [&start[..], &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat()),
        ("protected, 4 GiB", [&start[..], &[0x5a, 0xff, 0xff, 0xff, 0xff]].concat()),
        (
            "payload",
            [&start[..], &protected, &[0xa0, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat(),
        ),
        ("payload, one more than allowed", [&start[..], &protected, &[0xa0, 0x5a, 0, 1, 0, 1]].concat()),
        ("indefinite payload", [&start[..], &protected, &[0xa0, 0x5f]].concat()),
        ("unprotected header", [&start[..], &protected, &[0xa1]].concat()),
        ("array of five", vec![0xd2, 0x85]),
        ("another tag", vec![0xd3, 0x84]),
        ("long tag", vec![0xd8, 0x12, 0x84]),
    ];
    for (name, bytes) in cases {
        assert_eq!(split_item(bytes), Err(ItemError::NotAnItem), "{name}");
        let mut buffer = common::buffer();
        // An endless reader behind it: the refusal does not wait for the bytes declared.
        let endless = std::io::Read::chain(&bytes[..], std::io::repeat(0));
        let mut reader = ItemReader::new(Std(endless), &mut buffer);
        assert_eq!(reader.next_item(), Err(ReadError::Item(ItemError::NotAnItem)), "{name}");
        assert_eq!(reader.offset(), 0);
    }
}

/// A std reader as an embedded-io one.
struct Std<R>(R);

impl<R> embedded_io::ErrorType for Std<R> {
    type Error = core::convert::Infallible;
}

impl<R: std::io::Read> embedded_io::Read for Std<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        Ok(self.0.read(out).expect("memory"))
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = open_item(&bytes, &device().pk);
        let _ = peek_item(&bytes);
        let mut buffer = common::buffer();
        let mut reader = ItemReader::new(&bytes[..], &mut buffer);
        while let Ok(Some(_)) = reader.next_item() {}
    }

    /// Signed garbage, as from a device that was taken over: payloads close to good ones.
    #[test]
    fn signed_garbage_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let (key, mut out) = (device(), vec![0; limits::ITEM_BYTES]);
        for item in export(MemoryRing::with_boots(&[3]), Request::from(1)) {
            let (message, _) = aegis_cose::Sign1::take(&item).expect("own item");
            let mut payload = message.unverified_payload().to_vec();
            for (at, byte) in &changes {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
            payload.truncate(cut.index(payload.len()).max(payload.len() / 2));
            let length = sign1(&payload, Domain::Export, &key.sk, &mut out).expect("fits");
            if let Ok(aegis_export::read::Item::Segment(segment)) = open_item(&out[..length], &key.pk) {
                let _ = segment.chain();
                let _ = segment.events.map(|(_, event)| event.len()).sum::<usize>();
            }
        }
    }
}
