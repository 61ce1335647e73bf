//! Encrypted key files: what is sealed comes back, with its passphrase and unchanged only.

use std::time::Instant;

use aegis_keys::limits::{KEY_FILE_BYTES, WORK_FACTOR, WORK_FACTOR_MOST};
use aegis_keys::{KeyRole, SealError, SecretFile, is_sealed, seal, unseal, work_factor};
use proptest::prelude::*;

const PASSPHRASE: &str = "five random words it was";

/// Made by Debian's age 1.1.1: `age --passphrase --armor`.
const BY_AGE: &str = "\
-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBMTWlPaW5TSWhaUVY3T2pk
SDZGQ0VBIDE4Cis4RytuQ3dHZkFSSzZwQ01Ca2tEeEdUTU9TZmxvdHBKSDJDQWN6
NzZsSkUKLS0tIHBwSjhXMUN3Y0xlUVdFLzVsV1U2SlFpcXkrU1BDNm9iQ3RyTHl1
NXlud3cKGv0z/e6FrkRemVoEGpnVETT8GwrFyKXR77ZIJlQo9Wji8gmJGwg1+e9F
2jcbblmtIblbXCXam9lQxG3sSks=
-----END AGE ENCRYPTED FILE-----
";

#[test]
fn what_age_encrypted_is_read() {
    assert_eq!(work_factor(BY_AGE), Ok(WORK_FACTOR), "age's own work factor is ours");
    let began = Instant::now();
    let plain = unseal(BY_AGE, PASSPHRASE).expect("age wrote it");
    assert_eq!(plain.as_slice(), b"sealed by age 1.1.1 of Debian\n");
    eprintln!("one guess at work factor {WORK_FACTOR}: {:?}", began.elapsed());
    // Lines end as they may after a mail or a stick from elsewhere.
    assert_eq!(work_factor(&BY_AGE.replace('\n', "\r\n")), Ok(WORK_FACTOR));
    assert_eq!(work_factor(BY_AGE.trim_end()), Ok(WORK_FACTOR));
}

#[test]
fn a_sealed_key_comes_back() {
    let key = SecretFile::generate(KeyRole::Root).expect("random").to_text();
    let sealed = seal(key.as_bytes(), PASSPHRASE, 2).expect("sealed");
    assert!(is_sealed(sealed.as_bytes()) && !is_sealed(key.as_bytes()));
    assert!(sealed.lines().all(|line| line.len() <= 64));
    assert_eq!(unseal(&sealed, PASSPHRASE).expect("its passphrase").as_slice(), key.as_bytes());
    assert_eq!(work_factor(&sealed), Ok(2));
    for wrong in ["", "five random words it wa", "Five random words it was", "five random words it was "] {
        assert_eq!(unseal(&sealed, wrong).err(), Some(SealError::Passphrase), "{wrong:?}");
    }
    assert_ne!(
        seal(key.as_bytes(), PASSPHRASE, 2).expect("sealed"),
        sealed,
        "salt and nonce are new each time"
    );
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let sealed = seal(b"a secret", PASSPHRASE, 1).expect("sealed");
    for at in 0..sealed.len() {
        for bit in 0..7 {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let text = String::from_utf8(bytes).expect("ASCII stays ASCII");
            // The line feed at the end may be another blank, or missing.
            let blank = at == sealed.len() - 1 && text.ends_with(|c: char| c.is_ascii_whitespace());
            assert!(blank || unseal(&text, PASSPHRASE).is_err(), "byte {at} bit {bit}");
        }
        assert!(at == sealed.len() - 1 || unseal(&sealed[..at], PASSPHRASE).is_err(), "cut at {at}");
    }
}

#[test]
fn only_a_passphrase_and_only_within_bounds() {
    let armor = |file: &[u8]| {
        pem_rfc7468::encode_string("AGE ENCRYPTED FILE", pem_rfc7468::LineEnding::LF, file).expect("short")
    };
    let salt = "AAAAAAAAAAAAAAAAAAAAAA";
    let rest = format!("{}\n--- {}\n", "A".repeat(43), "A".repeat(43));
    let with =
        |line: &str| unseal(&armor(format!("age-encryption.org/v1\n{line}\n{rest}").as_bytes()), "x").err();
    assert_eq!(with("-> X25519 AAAA"), Some(SealError::Recipient));
    assert_eq!(with(&format!("-> scrypt {salt} 0")), Some(SealError::Malformed("its work factor")));
    assert_eq!(with(&format!("-> scrypt {salt} 01")), Some(SealError::Malformed("its work factor")));
    assert_eq!(with(&format!("-> scrypt {salt} +1")), Some(SealError::Malformed("its work factor")));
    assert_eq!(with(&format!("-> scrypt {salt} 1 1")), Some(SealError::Malformed("its work factor")));
    // Memory is bounded before it is taken.
    let too_hard = format!("-> scrypt {salt} {}", WORK_FACTOR_MOST + 1);
    assert_eq!(with(&too_hard), Some(SealError::WorkFactor));
    assert_eq!(with(&format!("-> scrypt {salt} 999")), Some(SealError::WorkFactor));
    assert_eq!(with(&format!("-> scrypt {salt}A 1")), Some(SealError::Malformed("its salt")));
    // A second recipient beside scrypt's would be somebody else who can read it.
    assert_eq!(
        with(&format!("-> scrypt {salt} 1\n{}\n-> X25519 A", "A".repeat(43))),
        Some(SealError::Malformed("a second recipient"))
    );
    assert_eq!(seal(b"x", "y", 0).err(), Some(SealError::WorkFactor));
    assert_eq!(seal(b"x", "y", WORK_FACTOR_MOST + 1).err(), Some(SealError::WorkFactor));
    assert_eq!(seal(&[0; KEY_FILE_BYTES], "y", 1).err(), Some(SealError::TooLarge));
    assert_eq!(unseal(&"A".repeat(KEY_FILE_BYTES + 1), "y").err(), Some(SealError::TooLarge));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_sealed_comes_back(plain in prop::collection::vec(any::<u8>(), 0..600), passphrase in "\\PC{0,40}") {
        let sealed = seal(&plain, &passphrase, 1).expect("short");
        prop_assert_eq!(unseal(&sealed, &passphrase).expect("its passphrase").to_vec(), plain);
    }

    #[test]
    fn whatever_is_read_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = unseal(&String::from_utf8_lossy(&bytes), "x");
        let file = [b"age-encryption.org/v1\n-> scrypt ".as_slice(), &bytes].concat();
        let text = pem_rfc7468::encode_string("AGE ENCRYPTED FILE", pem_rfc7468::LineEnding::LF, &file).expect("short");
        prop_assert!(unseal(&text, "x").is_err());
    }
}
