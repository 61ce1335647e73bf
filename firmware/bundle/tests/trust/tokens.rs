//! Break-glass tokens, as bytes and as text.

use super::common::{pair, root};
use aegis_bundle::limits::{ARMOR_LINE_BYTES, TOKEN_BYTES, TOKEN_SECONDS};
use aegis_bundle::{ArmorError, Root, Token, TokenError, armor, open_token, unarmor};
use aegis_cose::{CoseError, Domain, sign_embedded, signature};
use proptest::prelude::*;

const DEVICE: [u8; 16] = [7; 16];
const BOOT: [u8; 16] = [8; 16];
const CHALLENGE: [u8; 16] = [9; 16];

fn token() -> Token<'static> {
    Token { device: DEVICE, sequence: 3, bound: BOOT, seconds: 600, reason: "pump 4 is stuck", created: 1 }
}

fn signed_payload(payload: &[u8], domain: Domain, keys: &[u8]) -> Vec<u8> {
    let mut scratch = vec![0; payload.len() + 128];
    let made: Vec<_> =
        keys.iter().map(|n| signature(payload, domain, &pair(*n).sk, &mut scratch).expect("room")).collect();
    let mut out = vec![0; TOKEN_BYTES];
    let length = sign_embedded(payload, &made, &mut out).expect("room");
    out.truncate(length);
    out
}

fn payload(token: &Token<'_>) -> Vec<u8> {
    let mut out = vec![0; TOKEN_BYTES];
    let length = token.encode(&mut out).expect("possible");
    out.truncate(length);
    out
}

fn signed(token: &Token<'_>, keys: &[u8]) -> Vec<u8> {
    signed_payload(&payload(token), Domain::BreakGlass, keys)
}

fn open(bytes: &[u8], taken: u64) -> Result<Token<'_>, TokenError> {
    open_token(bytes, &root(&[1], 1), &DEVICE, &[BOOT, CHALLENGE], taken)
}

#[test]
fn one_device_one_boot_one_time() {
    let good = signed(&token(), &[50]);
    assert_eq!(open(&good, 2), Ok(token()));
    assert_eq!(open(&good, 3), Err(TokenError::Replay));
    assert_eq!(open(&good, u64::MAX), Err(TokenError::Replay));
    assert!(open(&signed(&Token { bound: CHALLENGE, ..token() }, &[51]), 0).is_ok());
    assert_eq!(open(&signed(&Token { bound: [1; 16], ..token() }, &[50]), 0), Err(TokenError::WrongBoot));
    assert_eq!(open(&signed(&Token { device: [1; 16], ..token() }, &[50]), 0), Err(TokenError::WrongDevice));
}

#[test]
fn signed_by_the_break_glass_role_and_for_that() {
    for keys in [&[1][..], &[100], &[99]] {
        assert_eq!(
            open(&signed(&token(), keys), 0),
            Err(TokenError::Cose(CoseError::UnknownKey)),
            "{keys:?}"
        );
    }
    let other = signed_payload(&payload(&token()), Domain::Root, &[50]);
    assert_eq!(open(&other, 0), Err(TokenError::Cose(CoseError::BadSignature)));
    let two = Root { break_glass: Some(super::common::role(&[50, 51], 2)), ..root(&[1], 1) };
    let decide = |keys: &[u8]| open_token(&signed(&token(), keys), &two, &DEVICE, &[BOOT], 0).err();
    assert_eq!(decide(&[50]), Some(TokenError::Cose(CoseError::Threshold)));
    assert_eq!(decide(&[50, 51]), None);
    let nobody = Root { break_glass: None, ..root(&[1], 1) };
    assert_eq!(open_token(&signed(&token(), &[50]), &nobody, &DEVICE, &[BOOT], 0), Err(TokenError::NoRole));
}

#[test]
fn what_can_not_be_is_refused() {
    let good = payload(&token());
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).expect("is there");
        let bad = [&good[..at], to, &good[at + from.len()..]].concat();
        open(&signed_payload(&bad, Domain::BreakGlass, &[50]), 0).err()
    };
    assert_eq!(replaced(b"\xa7\x01\x01", b"\xa7\x01\x02"), Some(TokenError::UnsupportedFormat));
    assert_eq!(replaced(b"\xa7\x01\x01", b"\xa8\x01\x01"), Some(TokenError::BadToken));
    assert_eq!(replaced(b"\x03\x03\x04", b"\x03\x00\x04"), Some(TokenError::BadToken));
    assert_eq!(replaced(b"\x03\x03\x04", b"\x03\x18\x03\x04"), Some(TokenError::NotCanonical));
    assert_eq!(replaced(b"\x05\x19\x02\x58", b"\x05\x00"), Some(TokenError::BadToken));
    assert_eq!(replaced(b"\x05\x19\x02\x58", b"\x05\x1a\x00\x01\x51\x81"), Some(TokenError::BadToken));
    assert_eq!(replaced(b"pump 4", b"pump\n4"), Some(TokenError::BadToken));
    assert_eq!(replaced(b"\x06\x6f", b"\x06\x4f"), Some(TokenError::BadCbor));
    let longest = Token { seconds: TOKEN_SECONDS, ..token() };
    assert_eq!(open(&signed(&longest, &[50]), 0), Ok(longest));
    assert_eq!(open(&vec![0; TOKEN_BYTES + 1], 0), Err(TokenError::TooLarge));
}

#[test]
fn every_flip_and_cut_is_refused() {
    let good = signed(&token(), &[50]);
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert!(open(&bad, 0).is_err(), "byte {index} bit {bit}");
        }
        assert!(open(&good[..index], 0).is_err(), "cut at {index}");
    }
    assert!(open(&[&good[..], &[0]].concat(), 0).is_err());
}

#[test]
fn codes_are_documented() {
    let documented = include_str!("../../../../docs/formats/reason-codes.md");
    let tokens = TokenError::ALL.iter().map(|error| error.code());
    let armors = [ArmorError::Number, ArmorError::Character, ArmorError::Checksum];
    for code in tokens.chain(armors.iter().map(|error| error.code())) {
        assert!(documented.contains(&format!("`{code}`")), "{code}");
    }
}

/// RFC 4648 section 10, and what people make of it.
#[test]
fn a_line_is_base32_with_a_checksum() {
    let lines: Vec<_> = armor(b"foobar").collect();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("01 MZXW 6YTB OI "), "{}", lines[0]);
    let line = lines[0].as_str();
    for typed in [line.to_lowercase(), line.replace(' ', ""), line.replace(' ', "-"), line.replace('O', "0")]
    {
        assert_eq!(unarmor(1, &typed).as_deref(), Ok(&b"foobar"[..]), "{typed}");
    }
    assert_eq!(unarmor(2, line), Err(ArmorError::Number));
    assert_eq!(unarmor(1, &line.replace("MZ", "ZM")), Err(ArmorError::Checksum));
    assert_eq!(unarmor(1, &line.replace("OI", "OJ")), Err(ArmorError::Character), "spare bits");
    for bad in ["", "01", "1", "01 ", "01 AAAA", "01 ***", "xx MZXW", &"01 ".repeat(400)] {
        assert!(unarmor(1, bad).is_err(), "{bad}");
    }
    assert_eq!(armor(&[0; 9999]).count(), 0, "longer than a token may be");
}

proptest! {
    #[test]
    fn armor_comes_back(bytes in proptest::collection::vec(any::<u8>(), 1..TOKEN_BYTES)) {
        let mut again = Vec::new();
        for (line, number) in armor(&bytes).zip(1..) {
            prop_assert!(line.len() <= 54, "fits a line of 80");
            again.extend_from_slice(&unarmor(number, &line).expect("as written"));
        }
        prop_assert_eq!(again, bytes);
    }

    /// A slip of one character, or two swapped, is noticed in its line.
    #[test]
    fn a_slip_is_noticed(bytes in proptest::collection::vec(any::<u8>(), 1..=ARMOR_LINE_BYTES), at in any::<usize>(), to in b'A'..=b'Z') {
        let line: Vec<u8> = armor(&bytes).next().expect("one line").bytes().filter(|byte| *byte != b' ').collect();
        let at = 2 + at % (line.len() - 2);
        let mut typed = line.clone();
        typed[at] = to;
        if typed != line {
            let typed = String::from_utf8(typed).expect("ascii");
            prop_assert!(unarmor(1, &typed).is_err());
        }
        if at + 1 < line.len() && line[at] != line[at + 1] {
            let mut typed = line;
            typed.swap(at, at + 1);
            prop_assert!(unarmor(1, &String::from_utf8(typed).expect("ascii")).is_err());
        }
    }

    #[test]
    fn any_text_is_no_panic(number in any::<u8>(), line in ".{0,100}") {
        let _ = unarmor(number, &line);
    }
}
