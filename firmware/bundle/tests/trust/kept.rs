//! What trust leaves behind: the two copies of the state, and receipts.

use aegis_bundle::limits::{RECEIPT_BYTES, STATE_BYTES};
use aegis_bundle::{
    Answer, ImageState, Receipt, ReceiptError, StateCopy, Trial, TrustState, What, encode_receipt,
    open_receipt,
};
use aegis_cose::{CoseError, KeyPair, Seed, device_id};
use aegis_event::Mode;

fn pair(n: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([n; 32]))
}

fn state(generation: u64, sequence: u64) -> TrustState {
    TrustState {
        generation,
        epoch: 2,
        sequence,
        time: 9,
        manifest: [3; 32],
        bundle: [4; 32],
        previous: [5; 32],
        tried: [6; 32],
        tries: 2,
        tried_epoch: 7,
        tried_sequence: 8,
        left: [9; 32],
        root_version: 3,
        token_sequence: 4,
        image: ImageState {
            epoch: 2,
            sequence: 3,
            manifest: [10; 32],
            trial: Trial::Written,
            trial_epoch: 2,
            trial_sequence: 4,
            trial_manifest: [11; 32],
        },
        counter: 0,
        workloads: 0,
    }
}

/// What no TPM counted is, to the byte, what agents write and read that know of none.
#[test]
fn a_state_that_was_not_counted_is_of_the_format_before() {
    let (plain, counted) = (state(4, 7), TrustState { counter: 9, ..state(4, 7) });
    // [bytes (two of length, head), map of 16, 1 => 2
    assert_eq!(plain.encode()[4..7], [0xb0, 1, 2]);
    assert_eq!(counted.encode()[4..7], [0xb1, 1, 3]);
    assert_eq!(TrustState::decode(&counted.encode()), Some(counted));
    let with_workloads = TrustState { workloads: 3, ..counted };
    assert_eq!(with_workloads.encode()[4..7], [0xb2, 1, 4]);
    assert_eq!(TrustState::decode(&with_workloads.encode()), Some(with_workloads));
    assert_eq!(
        TrustState { workloads: 3, ..plain }.encode(),
        plain.encode(),
        "nothing is known of what nobody counted"
    );
    let mut zero = plain.encode();
    zero[6] = 3;
    assert_eq!(TrustState::decode(&zero), None);
}

#[test]
fn the_newer_good_copy_counts() {
    let (old, new) = (state(4, 7).encode(), state(5, 8).encode());
    let mut torn = new.clone();
    torn[60..].fill(0xff);
    let longest = TrustState {
        generation: u64::MAX,
        epoch: u64::MAX,
        sequence: u64::MAX,
        time: u64::MAX,
        tries: u8::MAX,
        tried_epoch: u64::MAX,
        tried_sequence: u64::MAX,
        root_version: u64::MAX,
        token_sequence: u64::MAX,
        image: ImageState {
            epoch: u64::MAX,
            sequence: u64::MAX,
            trial_epoch: u64::MAX,
            trial_sequence: u64::MAX,
            ..state(1, 1).image
        },
        counter: u64::MAX,
        workloads: u64::MAX,
        ..state(1, 1)
    };
    let copy: StateCopy = longest.encode();
    assert!(copy.len() <= STATE_BYTES);
    assert_eq!(TrustState::decode(&copy), Some(longest));
    for (a, b, expected) in [
        (&old[..], &new[..], Some(state(5, 8))),
        (&new, &old, Some(state(5, 8))),
        (&old, &torn, Some(state(4, 7))),
        (&torn, &old, Some(state(4, 7))),
        (&[], &old, Some(state(4, 7))),
        (&torn, &torn, None),
        (&[], &[], None),
        (&old[..old.len() - 1], &[], None),
        (&[&old[..], &[0]].concat(), &[], None),
    ] {
        assert_eq!(TrustState::pick(a, b), expected);
    }
    let tie = state(5, 9).encode();
    assert_eq!(TrustState::pick(&tie, &new), Some(state(5, 9)), "of equal generations the newer bundle");
}

#[test]
fn every_flip_of_a_state_is_seen() {
    let good = state(5, 8).encode();
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert_eq!(TrustState::decode(&bad), None, "byte {index} bit {bit}");
        }
    }
}

fn receipt() -> Receipt<'static> {
    Receipt {
        public_key: *pair(20).pk,
        what: What::Bundle,
        seen: Some([1; 32]),
        answer: Answer::Refused,
        code: "rollback",
        epoch: 2,
        sequence: 5,
        mode: Mode::Enforcing,
        ring_head: None,
        boot_id: [8; 16],
        boot_time: u64::MAX,
        clock: u64::MAX,
        clock_trusted: false,
        root_version: u64::MAX,
    }
}

fn encoded(receipt: &Receipt<'_>) -> Vec<u8> {
    let mut out = vec![0; RECEIPT_BYTES];
    let length = encode_receipt(receipt, &pair(20).sk, &mut out).expect("room");
    out.truncate(length);
    out
}

#[test]
fn a_receipt_comes_back() {
    let longest = Receipt { ring_head: Some([5; 32]), code: "a-code-of-thirty-two-characters-", ..receipt() };
    for receipt in [
        receipt(),
        longest,
        Receipt { what: What::Nothing, seen: None, answer: Answer::None, code: "", ..receipt() },
    ] {
        let bytes = encoded(&receipt);
        let again = open_receipt(&bytes).expect("good");
        assert_eq!(again, receipt);
        assert_eq!(again.device(), device_id(&pair(20).pk));
    }
}

#[test]
fn receipts_are_of_their_key() {
    let mut out = [0; RECEIPT_BYTES];
    assert_eq!(encode_receipt(&receipt(), &pair(21).sk, &mut out), Err(ReceiptError::BadReceipt));
    let long = Receipt { code: "a-code-of-more-than-thirty-two-bytes", ..receipt() };
    assert_eq!(encode_receipt(&long, &pair(20).sk, &mut out), Err(ReceiptError::BadReceipt));
    assert_eq!(encode_receipt(&receipt(), &pair(20).sk, &mut out[..100]), Err(ReceiptError::TooLarge));
    // The payload of one device, signed by another.
    let bytes = encoded(&receipt());
    let (message, _) = aegis_cose::Sign1::take(&bytes).expect("good");
    let payload = message.unverified_payload().to_vec();
    let length =
        aegis_cose::sign1(&payload, aegis_cose::Domain::Receipt, &pair(21).sk, &mut out).expect("room");
    assert_eq!(open_receipt(&out[..length]), Err(ReceiptError::Cose(CoseError::UnknownKey)));
}

#[test]
fn every_flip_and_cut_of_a_receipt_is_seen() {
    let good = encoded(&receipt());
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert!(open_receipt(&bad).is_err(), "byte {index} bit {bit}");
        }
        assert!(open_receipt(&good[..index]).is_err(), "cut at {index}");
    }
    assert!(open_receipt(&[&good[..], &[0]].concat()).is_err());
}
