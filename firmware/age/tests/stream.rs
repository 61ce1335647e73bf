//! What is encrypted comes back, to its recipients and unchanged only.

mod common;

use aegis_age::limits::{CHUNK_BYTES, NONCE_BYTES, RECIPIENTS, SEALED_BYTES, TAG_BYTES};
use aegis_age::{AgeError, Identity, Recipient, begin, room, sealed_length};
use common::{counted, decrypt, decrypt_some, encrypt, identity};
use proptest::prelude::*;

/// Plain bytes that tell their place.
fn plain(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// Where the chunks of a file begin.
fn front(recipients: usize) -> usize {
    sealed_length(0, recipients) as usize - TAG_BYTES
}

/// Every length around the bounds of chunks, in pieces of every kind.
#[test]
fn what_is_encrypted_comes_back() {
    let one = [identity(1)];
    for length in
        [0, 1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 1]
    {
        let plain = plain(length);
        let whole = encrypt(&[one[0].recipient()], &plain, 1 << 20);
        assert_eq!(whole.len() as u64, sealed_length(length as u64, 1), "{length}");
        for piece in [1000, CHUNK_BYTES, CHUNK_BYTES + 1] {
            assert_eq!(encrypt(&[one[0].recipient()], &plain, piece), whole, "{length} in pieces of {piece}");
        }
        for piece in [999, CHUNK_BYTES, SEALED_BYTES + 1, 1 << 20] {
            let (read, end) = decrypt_some(&whole, &one, piece);
            assert!(end.is_ok() && read == plain, "{length} in pieces of {piece}: {end:?}");
        }
    }
}

#[test]
fn a_byte_at_a_time_is_enough() {
    let file = encrypt(&[identity(1).recipient()], b"evidence", 1);
    assert_eq!(decrypt_some(&file, &[identity(1)], 1), (b"evidence".to_vec(), Ok(())));
}

#[test]
fn each_recipient_can_read_and_nobody_else() {
    let recipients: Vec<Recipient> = (1..=8).map(|number| identity(number).recipient()).collect();
    let file = encrypt(&recipients, b"evidence", 100);
    for number in 1..=8 {
        assert_eq!(decrypt(&file, &[identity(number)]).expect("a recipient"), b"evidence");
    }
    assert_eq!(decrypt(&file, &[identity(9), identity(10)]), Err(AgeError::NoMatch));
    assert_eq!(decrypt(&file, &[identity(9), identity(5)]).expect("one of them"), b"evidence");
    assert_eq!(decrypt(&file, &[]), Err(AgeError::NoMatch));
}

/// No key, nonce or share is ever there twice, whatever is encrypted.
#[test]
fn two_files_have_nothing_in_common() {
    let recipient = [identity(1).recipient()];
    let random = |bytes: &mut [u8]| {
        getrandom::fill(bytes).expect("random");
        Ok::<(), AgeError>(())
    };
    let (one, mut first) = begin(&recipient, random).expect("begun");
    let (two, mut second) = begin(&recipient, random).expect("begun");
    let line =
        |front: &[u8], number: usize| front.split(|byte| *byte == b'\n').nth(number).map(<[u8]>::to_vec);
    for number in [1, 2, 3] {
        assert_ne!(line(&one, number), line(&two, number), "line {number}");
    }
    assert_ne!(one[one.len() - NONCE_BYTES..], two[two.len() - NONCE_BYTES..]);
    let (mut this, mut that) = (*b"the same", *b"the same");
    assert_ne!(first.seal(&mut this, true), second.seal(&mut that, true));
    assert_ne!(this, that);
}

#[test]
fn only_so_many_recipients_and_only_random_bytes() {
    let recipient = identity(1).recipient();
    for bad in [0, RECIPIENTS + 1] {
        assert!(begin(&vec![recipient; bad], counted(1)).is_err(), "{bad} recipients");
    }
    let zeros = |bytes: &mut [u8]| {
        bytes.fill(0);
        Ok::<(), AgeError>(())
    };
    assert!(begin(&[recipient], zeros).is_err());
    assert!(begin(&[recipient], |_: &mut [u8]| Err(AgeError::CutOff)).is_err());
    assert!(Identity::from_random(&[0; 32]).is_none());
}

/// Cut anywhere near the bounds of chunks, and everywhere in the header: what was given out before is a beginning of the
/// plain bytes, and the end is never taken for one.
#[test]
fn every_cut_is_refused() {
    let plain = plain(3 * CHUNK_BYTES);
    let file = encrypt(&[identity(1).recipient()], &plain, 1 << 20);
    let chunks = front(1);
    let bounds = (0..=3).map(|chunk| chunks + chunk * SEALED_BYTES);
    let near =
        bounds.flat_map(|bound| (bound.saturating_sub(40)..=bound + 40).chain([bound + CHUNK_BYTES / 2]));
    for length in (0..chunks).chain(near).filter(|length| *length < file.len()) {
        let (read, end) = decrypt_some(&file[..length], &[identity(1)], 1 << 20);
        let expected = match length.checked_sub(chunks) {
            None => AgeError::CutOff,
            // At a bound, the chunk before it is the one that should have been the last.
            Some(at) => AgeError::Chunk((at.saturating_sub(1) / SEALED_BYTES) as u64),
        };
        assert_eq!(end, Err(expected), "cut at {length}");
        assert!(read.len() % CHUNK_BYTES == 0 && plain.starts_with(&read), "cut at {length}");
    }
}

#[test]
fn chunks_stay_in_their_places() {
    let file = encrypt(&[identity(1).recipient()], &plain(2 * CHUNK_BYTES + 10), 1 << 20);
    let (head, chunks) = file.split_at(front(1));
    let chunks: Vec<&[u8]> = chunks.chunks(SEALED_BYTES).collect();
    let other = encrypt(&[identity(1).recipient(), identity(2).recipient()], &plain(10), 100);
    let other = &other[front(2)..];
    for (what, places, at) in [
        ("as it was", vec![chunks[0], chunks[1], chunks[2]], None),
        ("in another order", vec![chunks[1], chunks[0], chunks[2]], Some(0)),
        ("twice", vec![chunks[0], chunks[0], chunks[1], chunks[2]], Some(1)),
        ("left out", vec![chunks[0], chunks[2]], Some(1)),
        ("the last one first", vec![chunks[2]], Some(0)),
        ("the last one twice", vec![chunks[0], chunks[1], chunks[2], chunks[2]], Some(2)),
        ("without the last", vec![chunks[0], chunks[1]], Some(1)),
        ("a byte more", vec![chunks[0], chunks[1], chunks[2], b"x"], Some(2)),
        ("an empty chunk more", vec![chunks[0], chunks[1], &chunks[2][..16]], Some(2)),
        ("of another file", vec![chunks[0], chunks[1], other], Some(2)),
        ("none", vec![], Some(0)),
    ] {
        let whole = [head, &places.concat()].concat();
        let (_, end) = decrypt_some(&whole, &[identity(1)], 1 << 20);
        assert_eq!(end, at.map_or(Ok(()), |at| Err(AgeError::Chunk(at))), "{what}");
    }
}

/// An empty last chunk is one that nobody writes, unless the file is empty: even by whoever has the file key.
#[test]
fn an_empty_last_chunk_is_no_chunk() {
    let (front, mut stream) = begin(&[identity(1).recipient()], counted(7)).expect("begun");
    let mut chunk = plain(CHUNK_BYTES);
    let tag = stream.seal(&mut chunk, false);
    let empty = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stream.seal(&mut [], true)));
    assert!(empty.is_err(), "not made by accident");
    // The tag of an empty chunk number 1 that is the last, as another writer would make it, is not even looked at.
    let file = [&front[..], &chunk, &tag, &[0; TAG_BYTES]].concat();
    assert_eq!(decrypt_some(&file, &[identity(1)], 1 << 20).1, Err(AgeError::Chunk(1)));
}

#[test]
fn space_and_room_agree() {
    for recipients in [1, 3, 8] {
        for sealed in
            (0..2_000).chain(SEALED_BYTES as u64..SEALED_BYTES as u64 + 1_500).chain([10 << 20, 1 << 40])
        {
            let plain = room(sealed, recipients);
            if plain > 0 {
                assert!(sealed_length(plain, recipients) <= sealed, "{plain} in {sealed}");
            }
            assert!(sealed_length(plain + 1, recipients) > sealed, "{sealed} has room for more than {plain}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_in_any_pieces(length in 0usize..200_000, write in 1usize..150_000, read in 1000usize..150_000, who in 1u8..=8) {
        let plain = plain(length);
        let recipients: Vec<Recipient> = (1..=8).map(|number| identity(number).recipient()).collect();
        let file = encrypt(&recipients, &plain, write);
        let (again, end) = decrypt_some(&file, &[identity(who)], read);
        prop_assert!(end.is_ok() && again == plain);
    }

    /// One bit anywhere: refused, and nothing behind the chunk that it is in was given out.
    #[test]
    fn no_bit_can_be_flipped(at in any::<prop::sample::Index>(), bit in 0u8..8, recipients in 1usize..=2) {
        let plain = plain(CHUNK_BYTES + 500);
        let who: Vec<Recipient> = (1..=2).map(|number| identity(number).recipient()).take(recipients).collect();
        let mut file = encrypt(&who, &plain, 1 << 20);
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        let (read, end) = decrypt_some(&file, &[identity(1)], 1 << 20);
        prop_assert!(end.is_err(), "byte {} bit {}", at, bit);
        let before = at.saturating_sub(front(recipients)) / SEALED_BYTES * CHUNK_BYTES;
        prop_assert!(read.len() <= before && plain.starts_with(&read));
    }

    #[test]
    fn whatever_is_read_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1usize..500) {
        prop_assert!(decrypt_some(&bytes, &[identity(1)], piece).1.is_err());
        let file = [aegis_age::VERSION.as_bytes(), &bytes].concat();
        prop_assert!(decrypt_some(&file, &[identity(1)], piece).1.is_err());
    }
}

/// Every bit of a header, whoever of the two reads it.
#[test]
fn no_bit_of_a_header_can_be_flipped() {
    let who = [identity(1).recipient(), identity(2).recipient()];
    let file = encrypt(&who, b"evidence", 100);
    for at in 0..front(2) {
        for bit in 0..8 {
            let mut file = file.clone();
            file[at] ^= 1 << bit;
            for number in [1, 2] {
                assert!(
                    decrypt(&file, &[identity(number)]).is_err(),
                    "byte {at} bit {bit}, identity {number}"
                );
            }
        }
    }
}
