//! `token`, `armor`: what breaks the glass, from a stick or typed at a console.

use std::collections::BTreeSet;

use aegis_bundle::limits::{ARMOR_LINE_BYTES, ARMOR_LINES, TOKEN_BYTES, TOKEN_REASON_BYTES, TOKEN_SECONDS};
use aegis_bundle::{Root, Token, TokenError, armor, open_token, unarmor};
use aegis_cose::Domain;

use crate::Seed;
use crate::input::{Change, Input, Told, changed, changes, put_block, put_changes};
use crate::keys::{self, KEYS};

/// First byte of an input whose rest is a token, or a line, as it comes.
const RAW: u8 = 0;
/// First byte of an input that says how to make a token, or lines.
const MADE: u8 = 1;

const DEVICE: [u8; 16] = [7; 16];
/// Boot id and challenge.
const BOUND: [[u8; 16]; 2] = [[8; 16], [9; 16]];
/// Who may break the glass: any two of these.
const SIGNERS: [usize; 3] = [0, 1, 2];
const THRESHOLD: usize = 2;

fn root(break_glass: bool) -> Root {
    Root {
        version: 1,
        epoch: 1,
        root: keys::role(&[4], 1),
        policy: keys::role(&[3], 1),
        break_glass: break_glass.then(|| keys::role(&SIGNERS, THRESHOLD as u8)),
        image: None,
        workload: None,
        revoked: [].into_iter().collect(),
        revoked_keys: [].into_iter().collect(),
    }
}

/// What opens was signed by enough keys, is for here and now, and was never taken before.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    let made = input.u8() & 1 == MADE;
    let taken = u64::from(input.u8());
    if !made {
        return open(input.rest(), true, taken).is_ok();
    }
    let has_role = input.u8() & 1 == 0;
    let signers: Vec<usize> = input.block().iter().map(|n| usize::from(*n) % KEYS).take(4).collect();
    let changes = changes(&mut input);
    let payload = input.rest();
    if signers.is_empty() || payload.len() > TOKEN_BYTES {
        return false;
    }
    let whole = keys::embedded(payload, Domain::BreakGlass, &signers);
    let opened = open(&whole, has_role, taken).is_ok();
    if opened {
        let distinct: BTreeSet<_> = signers.iter().filter(|n| SIGNERS.contains(n)).collect();
        assert!(has_role && distinct.len() >= THRESHOLD);
    }
    let changed = changed(&whole, &changes);
    if changed != whole
        && let Ok(accepted) = open(&changed, has_role, taken)
    {
        // Only a signature that is not needed can have been changed.
        assert!(opened && accepted == *payload);
    }
    opened
}

/// The payload of a token that opens.
fn open(bytes: &[u8], has_role: bool, taken: u64) -> Result<Vec<u8>, TokenError> {
    let root = root(has_role);
    let token = open_token(bytes, &root, &DEVICE, &BOUND, taken)?;
    assert!(bytes.len() <= TOKEN_BYTES && token.device == DEVICE && BOUND.contains(&token.bound));
    assert!(token.sequence > taken && (1..=TOKEN_SECONDS).contains(&token.seconds));
    assert!((1..=TOKEN_REASON_BYTES).contains(&token.reason.len()));
    assert!(!token.reason.chars().any(char::is_control));
    let (unverified, message) = Token::unverified(bytes).expect("it was opened");
    let mut again = [0; TOKEN_BYTES];
    let length = token.encode(&mut again).expect("it was opened");
    assert_eq!((unverified, message.unverified_payload()), (token, Some(&again[..length])));
    // The next time it is a replay.
    assert_eq!(open_token(bytes, &root, &DEVICE, &BOUND, token.sequence), Err(TokenError::Replay));
    round_trip(bytes);
    Ok(again[..length].to_vec())
}

/// Bytes to lines and back. Returns the lines.
fn round_trip(bytes: &[u8]) -> Vec<String> {
    let lines: Vec<String> = armor(bytes).map(|line| line.as_str().to_owned()).collect();
    assert_eq!(lines.len(), bytes.len().div_ceil(ARMOR_LINE_BYTES));
    let numbers = 1u8..;
    let back = numbers
        .zip(&lines)
        .flat_map(|(number, line)| unarmor(number, line).expect("it was armored just now"));
    assert!(back.eq(bytes.iter().copied()));
    lines
}

/// A line has one meaning; what is mistyped in one place, or swapped, is found.
pub fn armor_run(data: &[u8]) -> bool {
    let mut input = Input(data);
    let made = input.u8() & 1 == MADE;
    // Lines count from 1.
    let number = 1 + usize::from(input.u8()) % ARMOR_LINES;
    if made {
        let (at, by, swap) = (usize::from(input.u8()), input.u8(), input.u8() & 1 == 1);
        return typed(number, at, by, swap, input.rest());
    }
    let Ok(line) = core::str::from_utf8(input.rest()) else { return false };
    let Ok(bytes) = unarmor(number as u8, line) else { return false };
    // The same bytes, as the line with this number of something longer.
    let before = vec![0; (number - 1) * ARMOR_LINE_BYTES];
    let written =
        armor(&[before, bytes.to_vec()].concat()).nth(number - 1).expect("there are that many lines");
    assert_eq!(plain(line), plain(&written), "two lines for the same bytes");
    true
}

/// Lines of anything, and one slip in one of them.
fn typed(number: usize, at: usize, by: u8, swap: bool, bytes: &[u8]) -> bool {
    if bytes.is_empty() || bytes.len() > ARMOR_LINES * ARMOR_LINE_BYTES {
        assert_eq!(armor(bytes).count(), 0);
        return false;
    }
    let lines = round_trip(bytes);
    let number = 1 + (number - 1) % lines.len();
    let line = plain(&lines[number - 1]);
    let mut slipped = line.clone();
    let at = at % slipped.len();
    if swap {
        let next = (at + 1) % slipped.len();
        slipped.swap(at, next);
    } else {
        slipped[at] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(by & 31)];
    }
    if slipped != line {
        let slipped = String::from_utf8(slipped).expect("ASCII");
        let read = unarmor(number as u8, &slipped);
        assert!(read.is_err(), "{slipped} for {}", lines[number - 1]);
    }
    true
}

/// A line without what does not matter: its number, and its characters in the one alphabet.
fn plain(line: &str) -> Vec<u8> {
    let line = line.trim_start();
    let (number, rest) = line.split_at(2);
    let characters = rest.bytes().filter(|byte| !matches!(byte, b' ' | b'-' | b'\t' | b'\r'));
    let meant = characters.map(|byte| match byte.to_ascii_uppercase() {
        b'0' => b'O',
        b'1' => b'I',
        b'8' => b'B',
        other => other,
    });
    number.bytes().chain(meant).collect()
}

/// For this device and boot, by enough keys.
pub fn seeds() -> Vec<Seed> {
    let token = Token {
        device: DEVICE,
        sequence: 5,
        bound: BOUND[1],
        seconds: 3600,
        reason: "Wasser im Keller",
        created: 1_800_000_000,
    };
    let mut payload = vec![0; TOKEN_BYTES];
    let length = token.encode(&mut payload).expect("a seed is possible");
    payload.truncate(length);
    let whole = keys::embedded(&payload, Domain::BreakGlass, &[0, 2]);
    let made = |signers: &[u8], changes: &[Told]| {
        let mut out = vec![MADE, 4, 0];
        put_block(&mut out, signers);
        put_changes(&mut out, changes);
        out.extend(&payload);
        out
    };
    vec![
        ("raw", [vec![RAW, 0], whole].concat()),
        ("made", made(&[0, 1], &[])),
        ("made-with-strangers", made(&[5, 0, 2, 1], &[(110, Change::FLIP, 1)])),
    ]
}

/// Lines, and slips.
pub fn armor_seeds() -> Vec<Seed> {
    let bytes: Vec<u8> = (0..47).collect();
    let lines: Vec<_> = armor(&bytes).collect();
    let raw = |number: u8, line: &str| [&[RAW, number][..], line.as_bytes()].concat();
    vec![
        ("line", raw(0, &lines[0])),
        ("last-line", raw(2, &lines[2].to_lowercase().replace('o', "0").replace(' ', "-"))),
        ("slip", [&[MADE, 1, 9, 7, 0][..], &bytes].concat()),
        ("swap", [&[MADE, 0, 3, 0, 1][..], &bytes[..20]].concat()),
    ]
}
