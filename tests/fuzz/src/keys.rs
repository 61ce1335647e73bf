//! Keys that are nobody's: seeds of one repeated byte. They sign what the fuzzer makes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::OnceLock;

use aegis_bundle::Role;
use aegis_cose::{Domain, KeyId, KeyPair, Seed, limits, sign_detached, sign_embedded, sign1, signature};

/// How many there are.
pub const KEYS: usize = 6;

/// The key with this number, below [`KEYS`].
///
/// # Panics
/// For another number.
pub fn pair(number: usize) -> &'static KeyPair {
    static PAIRS: OnceLock<Vec<KeyPair>> = OnceLock::new();
    let make = || (1..=KEYS as u8).map(|n| KeyPair::from_seed(Seed::new([n; 32]))).collect();
    &PAIRS.get_or_init(make)[number]
}

/// The public key with this number.
pub fn public(number: usize) -> [u8; 32] {
    *pair(number).pk
}

/// A role of these keys.
pub fn role(numbers: &[usize], threshold: u8) -> Role {
    let mut keys: Vec<_> = numbers.iter().map(|number| public(*number)).collect();
    keys.sort_unstable();
    Role { threshold, keys: keys.into_iter().collect() }
}

type Signature = (KeyId, [u8; 64]);

/// Signatures that are remembered: making them is most of the work, and most inputs differ elsewhere.
const REMEMBERED: usize = 32;

/// A signature of `payload` by the key with this number.
pub fn signed(payload: &[u8], domain: Domain, number: usize) -> Signature {
    type Made = (Vec<u8>, Domain, usize, Signature);
    thread_local! {
        static MADE: RefCell<VecDeque<Made>> = const { RefCell::new(VecDeque::new()) };
    }
    MADE.with_borrow_mut(|made| {
        let same = |of: &&Made| (of.1, of.2) == (domain, number) && of.0 == payload;
        if let Some((_, _, _, signature)) = made.iter().find(same) {
            return *signature;
        }
        let mut scratch = vec![0; payload.len() + limits::SIGN1_OVERHEAD];
        let signature = signature(payload, domain, &pair(number).sk, &mut scratch).expect("there is room");
        made.truncate(REMEMBERED - 1);
        made.push_front((payload.to_vec(), domain, number, signature));
        signature
    })
}

/// A `COSE_Sign` without its payload.
pub fn detached(payload: &[u8], domain: Domain, numbers: &[usize]) -> Vec<u8> {
    let signatures: Vec<_> = numbers.iter().map(|number| signed(payload, domain, *number)).collect();
    let mut out = vec![0; limits::SIGN_DETACHED_BYTES];
    let length = sign_detached(&signatures, &mut out).expect("1 to 16 signers");
    out.truncate(length);
    out
}

/// A `COSE_Sign` with its payload.
pub fn embedded(payload: &[u8], domain: Domain, numbers: &[usize]) -> Vec<u8> {
    let signatures: Vec<_> = numbers.iter().map(|number| signed(payload, domain, *number)).collect();
    let mut out = vec![0; payload.len() + limits::SIGN_DETACHED_BYTES + 8];
    let length = sign_embedded(payload, &signatures, &mut out).expect("1 to 16 signers");
    out.truncate(length);
    out
}

/// A `COSE_Sign1`.
pub fn single(payload: &[u8], domain: Domain, number: usize) -> Vec<u8> {
    let mut out = vec![0; payload.len() + limits::SIGN1_OVERHEAD];
    let length = sign1(payload, domain, &pair(number).sk, &mut out).expect("there is room");
    out.truncate(length);
    out
}
