//! `cose_sign`, `cose_sign1`: the two message shapes that every signature comes in.

use std::collections::BTreeSet;

use aegis_cose::limits::{SIGNATURE_BYTES, SIGNERS};
use aegis_cose::{
    CoseError, Domain, Sign, Sign1, key_id, open_sign1, sign_detached, sign_embedded, verify_threshold,
};

use crate::Seed;
use crate::input::{Change, Input, Told, changed, changes, put_block, put_changes};
use crate::keys::{self, KEYS, pair, public};

const DOMAINS: [Domain; 6] =
    [Domain::Bundle, Domain::Export, Domain::Receipt, Domain::Root, Domain::BreakGlass, Domain::Seal];
/// The reader knows keys 0 to 2; the others are strangers.
const KNOWN: usize = 3;
/// First byte of an input whose rest is the message as it comes.
const RAW: u8 = 0;
/// First byte of an input that says how to make a message.
const MADE: u8 = 1;

/// The mode, and what is left for it.
fn mode(data: &[u8]) -> (u8, Input<'_>) {
    let mut input = Input(data);
    (input.u8() & 1, input)
}

fn domain(number: u8) -> Domain {
    DOMAINS[usize::from(number) % DOMAINS.len()]
}

/// `COSE_Sign`: one encoding; enough distinct keys, or nothing; what is accepted was signed, for this purpose.
pub fn sign_run(data: &[u8]) -> bool {
    let (mode, mut input) = mode(data);
    if mode == RAW { sign_raw(input.rest()) } else { sign_made(&mut input) }
}

fn sign_raw(bytes: &[u8]) -> bool {
    let Ok(message) = Sign::parse(bytes) else { return false };
    let signatures: Vec<_> = message.signers().map(|signer| (signer.kid, *signer.signature())).collect();
    assert!((1..=SIGNERS).contains(&signatures.len()));
    let mut again = vec![0; bytes.len()];
    let length = match message.unverified_payload() {
        Some(payload) => sign_embedded(payload, &signatures, &mut again),
        None => sign_detached(&signatures, &mut again),
    };
    assert_eq!(length, Ok(bytes.len()));
    assert_eq!(again, bytes, "two encodings of one message");

    let known: Vec<_> = (0..KNOWN).map(public).collect();
    let payload = message.unverified_payload().unwrap_or(b"detached");
    let claimed: BTreeSet<_> = signatures.iter().map(|(kid, _)| *kid).collect();
    let verified = verify_threshold(&message, Domain::Bundle, payload, &known, 2);
    if known.iter().filter(|key| claimed.contains(&key_id(key))).count() < 2 {
        assert!(verified.is_err(), "fewer keys than it takes");
    }
    true
}

fn sign_made(input: &mut Input<'_>) -> bool {
    let (signed_for, read_for) = (domain(input.u8()), domain(input.u8()));
    let threshold = usize::from(input.u8() % 5);
    let shape = input.u8();
    let (embedded, twice) = (shape & 1 == 1, shape & 2 == 2);
    let signers: Vec<usize> =
        input.block().iter().map(|n| usize::from(*n) % KEYS).take(SIGNERS + 1).collect();
    let changes = changes(input);
    let payload = input.rest();

    // A key that signs twice writes the same signature: made once.
    let mut made = [None; KEYS];
    let signatures: Vec<_> = signers
        .iter()
        .map(|n| *made[*n].get_or_insert_with(|| keys::signed(payload, signed_for, *n)))
        .collect();
    let mut bytes = vec![0; payload.len() + aegis_cose::limits::SIGN_DETACHED_BYTES + 8];
    let written = if embedded {
        sign_embedded(payload, &signatures, &mut bytes)
    } else {
        sign_detached(&signatures, &mut bytes)
    };
    if !(1..=SIGNERS).contains(&signers.len()) {
        assert_eq!(written, Err(CoseError::Signers));
        return false;
    }
    bytes.truncate(written.expect("there is room"));
    let whole = bytes;
    let bytes = changed(&whole, &changes);

    let mut known: Vec<_> = (0..KNOWN).map(public).collect();
    if twice {
        // A key that is listed twice counts once.
        known.extend_from_within(..);
    }
    let result = Sign::parse(&bytes).and_then(|message| {
        let found = message.unverified_payload().unwrap_or(payload);
        verify_threshold(&message, read_for, found, &known, threshold).map(|()| (message, found))
    });
    let distinct: BTreeSet<_> = signers.iter().filter(|n| **n < KNOWN).collect();
    match result {
        Ok((message, found)) => {
            assert_eq!(signed_for, read_for, "signed for another purpose");
            assert_eq!(found, payload, "what was not signed");
            let intact: BTreeSet<_> = message
                .signers()
                .filter(|s| signatures.contains(&(s.kid, *s.signature())))
                .map(|s| s.kid)
                .collect();
            let enough = (0..KNOWN).filter(|n| intact.contains(&key_id(&public(*n)))).count();
            assert!(threshold > 0 && enough >= threshold, "{enough} of {threshold}");
        }
        Err(error) if bytes == whole => {
            let expected = match distinct.len() {
                0 => CoseError::UnknownKey,
                _ if signed_for != read_for => CoseError::BadSignature,
                n => {
                    assert!(threshold == 0 || n < threshold, "{error:?}, though {n} of {threshold} signed");
                    CoseError::Threshold
                }
            };
            assert_eq!(error, expected);
        }
        Err(_) => {}
    }
    result.is_ok()
}

/// `COSE_Sign1`: one encoding; what is accepted was signed, by this key, for this purpose; what follows is left alone.
pub fn sign1_run(data: &[u8]) -> bool {
    let (mode, mut input) = mode(data);
    if mode == RAW { sign1_raw(input.rest()) } else { sign1_made(&mut input) }
}

fn sign1_raw(bytes: &[u8]) -> bool {
    let Ok((message, rest)) = Sign1::take(bytes) else { return false };
    let (front, behind) = bytes.split_at(bytes.len() - rest.len());
    assert_eq!(behind, rest);
    // Another key's message differs in kid and signature only.
    let mut other = keys::single(message.unverified_payload(), Domain::Export, 0);
    let kid_at = other.windows(8).position(|window| window == key_id(&public(0))).expect("it is in there");
    assert_eq!(other.len(), front.len(), "another encoding");
    other[kid_at..kid_at + 8].copy_from_slice(&message.kid());
    let signature_at = front.len() - SIGNATURE_BYTES;
    other[signature_at..].copy_from_slice(&front[signature_at..]);
    assert_eq!(other, front, "two encodings of one message");
    true
}

fn sign1_made(input: &mut Input<'_>) -> bool {
    let (signed_for, read_for) = (domain(input.u8()), domain(input.u8()));
    let (signer, reader) = (usize::from(input.u8()) % KEYS, usize::from(input.u8()) % KEYS);
    let changes = changes(input);
    let behind = input.block();
    let payload = input.rest();

    let whole = keys::single(payload, signed_for, signer);
    let mut bytes = changed(&whole, &changes);
    let opened = open_sign1(&bytes, read_for, &pair(reader).pk);
    let expected = if signer != reader {
        Err(CoseError::UnknownKey)
    } else if signed_for != read_for {
        Err(CoseError::BadSignature)
    } else {
        Ok(payload)
    };
    if bytes == whole {
        assert_eq!(opened, expected);
        bytes.extend(behind);
        let (message, rest) = Sign1::take(&bytes).expect("it was read just now");
        assert_eq!((message.unverified_payload(), rest), (payload, behind));
    } else {
        // There is no second signature for what was signed, and every byte of the message counts.
        assert!(opened.is_err(), "{changes:?}");
        return false;
    }
    expected.is_ok()
}

/// Messages, and ways to make them.
pub fn sign_seeds() -> Vec<Seed> {
    let raw = |message: Vec<u8>| [vec![RAW], message].concat();
    let made = |threshold, shape, signers: &[u8], changes: &[Told]| {
        let mut out = vec![MADE, 0, 0, threshold, shape];
        put_block(&mut out, signers);
        put_changes(&mut out, changes);
        out.extend(b"payload");
        out
    };
    vec![
        ("raw-detached", raw(keys::detached(b"detached", Domain::Bundle, &[0, 1]))),
        ("raw-embedded", raw(keys::embedded(&[7; 300], Domain::Bundle, &[0, 4]))),
        ("made-two-of-two", made(2, 1, &[0, 1], &[])),
        ("made-with-strangers", made(3, 2, &[5, 0, 4, 1, 1, 2], &[])),
        // The stranger's signature, last in the message, is passed over whatever it is.
        ("made-stranger-changed", made(1, 0, &[0, 5], &[(170, Change::FLIP, 1)])),
    ]
}

/// Messages, and ways to make them.
pub fn sign1_seeds() -> Vec<Seed> {
    let raw = |message: Vec<u8>| [vec![RAW], message].concat();
    let mut sequence = keys::single(b"one", Domain::Receipt, 1);
    sequence.extend(keys::single(&[2; 40], Domain::Receipt, 1));
    let mut made = vec![MADE, 1, 1, 2, 2, 0];
    put_block(&mut made, &[0xd2, 0x84]);
    made.extend(b"payload");
    vec![
        ("raw-sequence", raw(sequence)),
        ("raw-empty", raw(keys::single(b"", Domain::Root, 0))),
        ("made", made),
    ]
}
