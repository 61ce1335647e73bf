//! Tokens against a device: what is accepted, what is remembered, and when the glass breaks.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;

use aegis_bundle::limits::TOKEN_SECONDS;
use aegis_bundle::{Role, armor};
use aegis_cose::{Domain, KeyPair, Seed, sign_embedded, signature};

use super::*;
use crate::storage::simulated::Simulated;

const DEVICE: [u8; 16] = [0xd0; 16];
const BOOT: [u8; 16] = [0xb0; 16];
const SHOWN: [u8; 16] = [0xc0; 16];
const NOW: u64 = 5 * NANOS;

/// A kernel that remembers when the glass was to be broken until.
#[derive(Default)]
struct Tried {
    until: RefCell<Vec<u64>>,
    absent: bool,
    failing: bool,
}

impl Glass for Tried {
    fn check(&self) -> Result<(), KernelError> {
        if self.absent { Err(KernelError::NotLoaded(io::ErrorKind::NotFound.into())) } else { Ok(()) }
    }

    fn break_until(&self, until: u64) -> Result<(), KernelError> {
        self.until.borrow_mut().push(until);
        if self.failing { Err(KernelError::GlassReadBack) } else { Ok(()) }
    }
}

fn key(number: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([number; 32]))
}

fn signed(payload: &[u8], domain: Domain, numbers: &[u8]) -> Vec<u8> {
    let mut scratch = vec![0; 16 * 1024];
    let mut signatures: Vec<_> = numbers
        .iter()
        .map(|number| signature(payload, domain, &key(*number).sk, &mut scratch).unwrap())
        .collect();
    signatures.sort_unstable_by_key(|(kid, _)| *kid);
    let length = sign_embedded(payload, &signatures, &mut scratch).unwrap();
    scratch[..length].to_vec()
}

fn role(numbers: &[u8], threshold: u8) -> Role {
    let mut keys: Vec<[u8; 32]> = numbers.iter().map(|number| *key(*number).pk).collect();
    keys.sort_unstable();
    Role { threshold, keys: keys.into_iter().collect() }
}

/// An image whose root lets two of the keys 3, 4, 5 break the glass; or nobody.
fn image(break_glass: bool) -> tempfile::TempDir {
    let root = Root {
        version: 1,
        epoch: 1,
        root: role(&[1], 1),
        policy: role(&[2], 1),
        break_glass: break_glass.then(|| role(&[3, 4, 5], 2)),
        image: None,
        workload: None,
        revoked: aegis_bundle_vec(),
        revoked_keys: aegis_bundle_vec(),
    };
    let mut payload = vec![0; 8192];
    let length = root.encode(&mut payload).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root.cbor"), signed(&payload[..length], Domain::Root, &[1])).unwrap();
    folder
}

fn aegis_bundle_vec<const N: usize>() -> heapless::Vec<[u8; 32], N> {
    heapless::Vec::new()
}

fn token(sequence: u64, bound: [u8; 16], seconds: u32) -> Vec<u8> {
    token_by(
        &[3, 5],
        Token { device: DEVICE, sequence, bound, seconds, reason: "the pump stands still", created: 7 },
    )
}

fn token_by(numbers: &[u8], token: Token<'_>) -> Vec<u8> {
    let mut payload = vec![0; 2048];
    let length = token.encode(&mut payload).unwrap();
    signed(&payload[..length], Domain::BreakGlass, numbers)
}

struct Bench {
    image: tempfile::TempDir,
    disk: Simulated,
    glass: Tried,
    here: Here,
}

impl Bench {
    fn new() -> Self {
        Self {
            image: image(true),
            disk: Simulated::default(),
            glass: Tried::default(),
            here: Here { device: DEVICE, bound: vec![BOOT, SHOWN], taken: None, now: NOW },
        }
    }

    fn offer(&mut self, bytes: &[u8]) -> Decided {
        let mut trust = Trust::open_on(&self.disk, self.image.path()).unwrap();
        let decided = decide(&mut trust, &self.glass, &self.here, bytes);
        if decided.taken.answer == Answer::Accepted {
            self.here.taken = decided.taken.hash;
        }
        decided
    }

    fn code(&mut self, bytes: &[u8]) -> &'static str {
        self.offer(bytes).taken.code
    }

    fn remembered(&self) -> u64 {
        Trust::open_on(&self.disk, self.image.path()).unwrap().state().token_sequence
    }
}

#[test]
fn a_good_token_breaks_the_glass_for_its_time() {
    for bound in [BOOT, SHOWN] {
        let mut bench = Bench::new();
        let decided = bench.offer(&token(7, bound, 600));
        assert_eq!((decided.taken.code, decided.taken.answer), ("accepted", Answer::Accepted));
        assert_eq!((decided.taken.what, decided.taken.sequence), (What::BreakGlass, 7));
        assert_eq!((decided.until, decided.reason.as_str()), (NOW + 600 * NANOS, "the pump stands still"));
        assert_eq!(*bench.glass.until.borrow(), [NOW + 600 * NANOS]);
        assert_eq!(bench.remembered(), 7);
    }
    let mut bench = Bench::new();
    assert_eq!(bench.offer(&token(1, BOOT, TOKEN_SECONDS)).until, NOW + u64::from(TOKEN_SECONDS) * NANOS);
}

#[test]
fn no_token_is_taken_twice_and_only_a_later_one_takes_its_place() {
    let mut bench = Bench::new();
    assert_eq!(bench.code(&token(7, BOOT, 600)), "accepted");
    // The same again is no news; another one of the same sequence, or an older one, is a replay.
    let again = bench.offer(&token(7, BOOT, 600));
    assert_eq!((again.taken.code, again.taken.answer, again.until), ("unchanged", Answer::Unchanged, 0));
    for (sequence, seconds) in [(7, 601), (6, 600), (1, 1)] {
        assert_eq!(bench.code(&token(sequence, BOOT, seconds)), "replay", "sequence {sequence}");
    }
    // In another boot it is for another boot, whatever was remembered of this one.
    let here = Here { bound: vec![[0xb1; 16]], taken: None, ..bench.here };
    bench.here = Here { device: DEVICE, bound: vec![BOOT], taken: bench.here.taken, now: NOW };
    let mut trust = Trust::open_on(&bench.disk, bench.image.path()).unwrap();
    assert_eq!(decide(&mut trust, &bench.glass, &here, &token(8, BOOT, 600)).taken.code, "wrong-boot");
    assert_eq!(bench.code(&token(8, SHOWN, 5)), "wrong-boot", "a challenge that is not shown any more");
    assert_eq!(bench.glass.until.borrow().len(), 1);
    assert_eq!(bench.code(&token(9, BOOT, 5)), "accepted");
    assert_eq!(bench.glass.until.borrow().last(), Some(&(NOW + 5 * NANOS)));
}

#[test]
fn what_is_refused_breaks_nothing_and_spends_nothing() {
    let good = Token { device: DEVICE, sequence: 7, bound: BOOT, seconds: 600, reason: "x", created: 7 };
    let mut changed = token_by(&[3, 4], good);
    *changed.last_mut().unwrap() ^= 1;
    let cases: [(Vec<u8>, &str); 7] = [
        (token_by(&[3], good), "threshold"),
        (token_by(&[1, 2], good), "unknown-key"),
        (changed, "bad-signature"),
        (token_by(&[3, 4], Token { device: [1; 16], ..good }), "wrong-device"),
        (token_by(&[3, 4], Token { bound: [1; 16], ..good }), "wrong-boot"),
        (vec![0xd8; 3000], "too-large"),
        (Vec::new(), "truncated"),
    ];
    let mut bench = Bench::new();
    for (bytes, code) in cases {
        let decided = bench.offer(&bytes);
        assert_eq!((decided.taken.code, decided.taken.answer, decided.until), (code, Answer::Refused, 0));
    }
    bench.image = image(false);
    assert_eq!(bench.code(&token_by(&[3, 4], good)), "no-break-glass-role");
    bench.image = image(true);
    bench.glass.absent = true;
    assert_eq!(bench.code(&token_by(&[3, 4], good)), "probes-not-loaded");
    assert!(bench.glass.until.borrow().is_empty());
    assert_eq!(bench.remembered(), 0);
    bench.glass.absent = false;
    assert_eq!(bench.code(&token_by(&[3, 4], good)), "accepted", "nothing was spent");
}

#[test]
fn a_kernel_that_does_not_break_has_spent_the_token() {
    let mut bench = Bench::new();
    bench.glass.failing = true;
    let decided = bench.offer(&token(7, BOOT, 600));
    assert_eq!((decided.taken.code, decided.until, decided.taken.sequence), ("read-back-differs", 0, 7));
    assert!(decided.taken.detail.contains("spent"), "{}", decided.taken.detail);
    assert_eq!((bench.remembered(), bench.code(&token(7, BOOT, 600))), (7, "replay"));
}

/// The power may fail at any step, and own storage too: where the glass was broken, the sequence is on disk.
#[test]
fn the_sequence_is_durable_before_the_glass_breaks() {
    let image = image(true);
    let here = || Here { device: DEVICE, bound: vec![BOOT], taken: None, now: NOW };
    let bytes = token(7, BOOT, 600);
    let mut disk = Simulated::default();
    let first = decide(
        &mut Trust::open_on(&disk, image.path()).unwrap(),
        &Tried::default(),
        &here(),
        &token(3, BOOT, 60),
    );
    assert_eq!(first.taken.code, "accepted");
    disk.flush();

    let broken = RefCell::new(false);
    let operation = |disk: &Simulated| {
        let glass = Tried::default();
        let mut trust =
            Trust::open_on(disk, image.path()).map_err(|error| io::Error::other(error.to_string()))?;
        let code = decide(&mut trust, &glass, &here(), &bytes).taken.code;
        *broken.borrow_mut() = !glass.until.borrow().is_empty();
        if code == "accepted" { Ok(()) } else { Err(io::Error::other(code)) }
    };
    let seen = RefCell::new((0, 0));
    let cuts = disk.cut_everywhere(operation, |left, done| {
        let sequence = Trust::open_on(&left, image.path()).unwrap().state().token_sequence;
        assert!(sequence == 3 || sequence == 7, "neither old nor new: {sequence}");
        assert_eq!(done, *broken.borrow());
        if *broken.borrow() {
            assert_eq!(sequence, 7, "broken, and not remembered");
            seen.borrow_mut().0 += 1;
        } else {
            seen.borrow_mut().1 += 1;
        }
    });
    let (after, before) = *seen.borrow();
    assert!(after > 0 && before > 0, "{cuts}: {after} disks after, {before} before");
}

#[test]
fn a_token_is_read_from_its_text() {
    let bytes = token(7, BOOT, 600);
    let lines: Vec<String> = armor(&bytes).map(|line| line.to_string()).collect();
    let text = lines.join("\n");
    assert_eq!(from_text(&text), Ok(bytes.clone()));
    let spaced = text.to_lowercase().replace('\n', "  \r\n \r\n  ");
    assert_eq!(from_text(&spaced), Ok(bytes));
    assert_eq!(from_text(&lines[1..].join("\n")), Err("line 1 is missing".to_owned()));
    assert_eq!(from_text(""), Err("line 1 is missing".to_owned()));
    let wrong = from_text(&text.replacen("02 ", "04 ", 1)).unwrap_err();
    assert_eq!(wrong, "line 04: something in this line is mistyped (armor-checksum)");
}

#[test]
fn a_challenge_is_shown_in_groups() {
    assert_eq!(grouped(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab]), "0123-4567-89ab");
}
