//! What is written is read; nothing else is.

use aegis_cose::limits::{SIGN_DETACHED_BYTES, SIGN1_OVERHEAD, SIGNERS};
use aegis_cose::{
    CoseError, Domain, KeyPair, PublicKey, Seed, Sign, Sign1, key_id, open_sign1, sign_detached,
    sign_embedded, sign1, signature, verify_threshold,
};
use proptest::prelude::*;

fn pair(n: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([n; 32]))
}

fn signed(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len() + SIGN1_OVERHEAD];
    let length = sign1(payload, Domain::Export, &pair(1).sk, &mut out).expect("room");
    out.truncate(length);
    out
}

fn signatures(payload: &[u8], keys: &[u8]) -> Vec<([u8; 8], [u8; 64])> {
    let mut scratch = vec![0; payload.len() + SIGN1_OVERHEAD];
    keys.iter()
        .map(|n| signature(payload, Domain::Bundle, &pair(*n).sk, &mut scratch).expect("room"))
        .collect()
}

fn check(payload: &[u8], signers: &[u8], known: &[u8], threshold: usize) -> Result<(), CoseError> {
    let mut out = [0; SIGN_DETACHED_BYTES];
    let length = sign_detached(&signatures(payload, signers), &mut out).expect("room");
    let keys: Vec<[u8; 32]> = known.iter().map(|n| *pair(*n).pk).collect();
    verify_threshold(&Sign::parse(&out[..length])?, Domain::Bundle, payload, &keys, threshold)
}

#[test]
fn lengths_at_every_head_width_fit_the_overhead() {
    for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 70_000] {
        let payload = vec![7; length];
        let message = signed(&payload);
        assert_eq!(open_sign1(&message, Domain::Export, &pair(1).pk), Ok(&payload[..]), "{length}");
    }
}

#[test]
fn another_domain_or_key_is_refused() {
    let message = signed(b"events");
    assert_eq!(open_sign1(&message, Domain::Receipt, &pair(1).pk), Err(CoseError::BadSignature));
    assert_eq!(open_sign1(&message, Domain::Export, &pair(2).pk), Err(CoseError::UnknownKey));
}

#[test]
fn a_sequence_is_read_item_by_item() {
    let both = [signed(b"one"), signed(b"two")].concat();
    let (first, rest) = Sign1::take(&both).expect("good");
    assert_eq!(first.unverified_payload(), b"one");
    assert_eq!(open_sign1(rest, Domain::Export, &pair(1).pk), Ok(&b"two"[..]));
    assert_eq!(open_sign1(&both, Domain::Export, &pair(1).pk), Err(CoseError::TrailingBytes));
}

#[test]
fn every_byte_flip_and_every_truncation_is_refused() {
    let payload = [9u8; 40];
    let message = signed(&payload);
    let mut out = [0; 512];
    let length = sign_embedded(&payload, &signatures(&payload, &[1, 2]), &mut out).expect("room");
    let many = &out[..length];
    let keys = [*pair(1).pk, *pair(2).pk];
    let opens = |bytes: &[u8]| {
        let message = Sign::parse(bytes)?;
        let payload = message.unverified_payload().ok_or(CoseError::NotCanonical)?;
        verify_threshold(&message, Domain::Bundle, payload, &keys, 2)
    };
    assert_eq!(opens(many), Ok(()));
    for index in 0..message.len().max(many.len()) {
        for bit in 0..8 {
            if index < message.len() {
                let mut bad = message.clone();
                bad[index] ^= 1 << bit;
                assert!(
                    open_sign1(&bad, Domain::Export, &pair(1).pk).is_err(),
                    "sign1 byte {index} bit {bit}"
                );
            }
            if index < many.len() {
                let mut bad = many.to_vec();
                bad[index] ^= 1 << bit;
                assert!(opens(&bad).is_err(), "sign byte {index} bit {bit}");
            }
        }
        assert!(open_sign1(&message[..index.min(message.len() - 1)], Domain::Export, &pair(1).pk).is_err());
        assert!(opens(&many[..index.min(many.len() - 1)]).is_err());
    }
}

#[test]
fn thresholds_count_distinct_known_keys() {
    let payload = b"manifest";
    for (signers, known, threshold, expected) in [
        (&[1][..], &[1][..], 1, Ok(())),
        (&[1, 2], &[1, 2, 3], 2, Ok(())),
        (&[1, 9], &[1, 2], 1, Ok(())),
        (&[1, 1], &[1, 2], 2, Err(CoseError::Threshold)),
        (&[1, 2], &[1, 1], 2, Err(CoseError::Threshold)),
        (&[1, 9], &[1, 2], 2, Err(CoseError::Threshold)),
        (&[9], &[1, 2], 1, Err(CoseError::UnknownKey)),
        (&[1], &[1], 0, Err(CoseError::Threshold)),
        (&[1], &[], 0, Err(CoseError::UnknownKey)),
    ] {
        assert_eq!(check(payload, signers, known, threshold), expected, "{signers:?} {known:?} {threshold}");
    }
}

#[test]
fn a_forged_signature_beside_a_good_one_refuses_the_whole() {
    let payload = b"manifest";
    let mut pairs = signatures(payload, &[1, 2]);
    pairs[1].1[40] ^= 1;
    let mut out = [0; SIGN_DETACHED_BYTES];
    let length = sign_detached(&pairs, &mut out).expect("room");
    let message = Sign::parse(&out[..length]).expect("well formed");
    let keys = [*pair(1).pk, *pair(2).pk];
    assert_eq!(verify_threshold(&message, Domain::Bundle, payload, &keys, 1), Err(CoseError::BadSignature));
}

#[test]
fn no_signer_and_too_many_are_refused() {
    let many = vec![([0; 8], [0; 64]); SIGNERS + 1];
    let mut out = [0; 4096];
    assert_eq!(sign_detached(&many, &mut out), Err(CoseError::Signers));
    assert_eq!(sign_detached(&[], &mut out), Err(CoseError::Signers));
    assert_eq!(Sign::parse(&[0xd8, 0x62, 0x84, 0x40, 0xa0, 0xf6, 0x80]).err(), Some(CoseError::Signers));
}

#[test]
fn long_payload_lengths_are_refused() {
    // The same message with its payload's length written in two bytes where one does.
    let message = signed(&[1; 30]);
    let at = 2 + 14 + 1;
    assert_eq!(message[at..at + 2], [0x58, 30]);
    let long = [&message[..at], &[0x59, 0, 30], &message[at + 2..]].concat();
    assert_eq!(open_sign1(&long, Domain::Export, &pair(1).pk), Err(CoseError::NotCanonical));
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let mut out = [0; N];
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).expect("hex");
    }
    out
}

/// RFC 8032 section 7.1, tests 1 to 3.
#[test]
fn rfc_8032_vectors() {
    for (seed, public, message, expected) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &b""[..],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            &[0xaf, 0x82],
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let pair = KeyPair::from_seed(Seed::new(hex(seed)));
        assert_eq!(*pair.pk, hex::<32>(public));
        let signature = pair.sk.sign(message, None);
        assert_eq!(*signature, hex::<64>(expected));
        assert!(PublicKey::new(hex(public)).verify(message, &signature).is_ok());
    }
}

/// The forgery that older ed25519-compact accepted: a small-order key and R verify any message.
#[test]
fn small_order_and_non_canonical_keys_are_refused() {
    let mut identity = [0u8; 32];
    identity[0] = 1;
    let mut above_p = [0xff; 32];
    above_p[31] = 0x7f;
    let zero = [0u8; 32];
    let order_eight: [u8; 32] = hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
    for key in [identity, above_p, zero, order_eight] {
        assert_eq!(aegis_cose::public_key(&key).err(), Some(CoseError::BadKey));
        let mut forged = [0u8; 64];
        forged[..32].copy_from_slice(&key);
        let bytes = sign_with(key_id(&key), forged);
        assert!(open_sign1(&bytes, Domain::Export, &PublicKey::new(key)).is_err());
    }
    assert_eq!(aegis_cose::public_key(&[0; 31]).err(), Some(CoseError::BadKey));
}

/// A well-formed `COSE_Sign1` with this kid and signature.
fn sign_with(kid: [u8; 8], signature: [u8; 64]) -> Vec<u8> {
    let mut message = signed(b"x");
    message[8..16].copy_from_slice(&kid);
    let end = message.len();
    message[end - 64..].copy_from_slice(&signature);
    message
}

proptest! {
    #[test]
    fn any_payload_comes_back(payload in proptest::collection::vec(any::<u8>(), 0..600)) {
        let message = signed(&payload);
        prop_assert_eq!(open_sign1(&message, Domain::Export, &pair(1).pk), Ok(&payload[..]));
    }

    #[test]
    fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open_sign1(&bytes, Domain::Export, &pair(1).pk).is_err());
        prop_assert!(Sign::parse(&bytes).is_err());
    }
}
