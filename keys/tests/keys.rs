//! Key files come back as they were; damaged ones do not.

use aegis_cose::{Domain, KeyPair, Seed, sign1};
use aegis_keys::{KeyError, KeyName, KeyRole, PublicKeyFile, SecretFile};

fn key(role: KeyRole) -> SecretFile {
    SecretFile::generate(role).expect("random")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes it");
        text
    })
}

/// The text with one line changed.
fn with(text: &str, line: usize, change: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines[line] = change;
    lines.join("\n") + "\n"
}

#[test]
fn a_secret_key_file_comes_back() {
    for role in KeyRole::ALL {
        let key = key(role);
        let text = key.to_text();
        let again = SecretFile::from_text(&text).expect("just written");
        assert_eq!((again.role(), again.public(), again.id()), (role, key.public(), key.id()));
        assert_eq!(again.to_text(), text);
        let secret = text.lines().nth(3).and_then(|line| line.strip_prefix("secret: ")).expect("secret");
        assert!(!format!("{key:?}").contains(secret), "debug shows the secret");
    }
    assert_ne!(key(KeyRole::Policy).public(), key(KeyRole::Policy).public());
}

#[test]
fn damaged_secret_key_files_are_refused() {
    let text = key(KeyRole::Root).to_text();
    let read = |text: &str| SecretFile::from_text(text).err();
    let secret = text.lines().nth(3).expect("secret").replace(' ', "");
    assert_eq!(read(&with(&text, 0, "-----BEGIN SOMETHING-----")), Some(KeyError::NotSecret));
    assert!(matches!(read(&with(&text, 1, "role: device")), Some(KeyError::BadLine(2, _))));
    assert!(matches!(read(&with(&text, 2, "public: 00")), Some(KeyError::BadLine(3, _))));
    assert!(matches!(read(&with(&text, 3, &secret)), Some(KeyError::BadLine(4, _))));
    let zero = format!("secret: {}", "00".repeat(32));
    assert!(matches!(read(&with(&text, 3, &zero)), Some(KeyError::BadLine(4, _))));
    let other = format!("public: {}", "01".repeat(32));
    assert_eq!(read(&with(&text, 2, &other)), Some(KeyError::Mismatch));
    assert_eq!(read(&(text.to_string() + "more\n")), Some(KeyError::NotSecret));
    assert_eq!(read(""), Some(KeyError::NotSecret));
}

#[test]
fn a_public_key_file_proves_that_its_maker_has_the_secret() {
    let key = key(KeyRole::Policy);
    let public = key.public_file();
    let text = public.to_text();
    assert_eq!(PublicKeyFile::from_text(&text), Ok(public.clone()));
    assert_eq!((public.role(), public.key(), public.id()), (KeyRole::Policy, key.public(), key.id()));
    assert!(PublicKeyFile::claims_to_be(text.as_bytes()));
    // Nothing in it can be changed: not the role, not the key, not the proof.
    for at in 0..text.len() - 1 {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let read = PublicKeyFile::from_text(&changed);
        // Hex digits of the other case mean the same.
        assert!(read.is_err() || read == Ok(public.clone()), "byte {at}");
        assert!(PublicKeyFile::from_text(&text[..at]).is_err(), "cut at {at}");
    }
    let claim = |role: &str| PublicKeyFile::from_text(&with(&text, 1, role)).err();
    assert_eq!(claim("role: root"), Some(KeyError::NoProof));
    let secret = SecretFile::from_text(&key.to_text()).expect("good").to_text();
    assert_eq!(PublicKeyFile::from_text(&secret).err(), Some(KeyError::NotPublic));
}

#[test]
fn keys_that_must_never_be_trusted_are_refused() {
    let text = key(KeyRole::Root).public_file().to_text();
    let identity = format!("01{}", "00".repeat(31));
    for (public, what) in [
        (identity.clone(), "small order: the identity"),
        ("00".repeat(32), "small order: order 4"),
        ("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f".into(), "small order: order 2"),
        ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".into(), "small order: order 8"),
        ("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f".into(), "not canonical"),
        ("0200000000000000000000000000000000000000000000000000000000000000".into(), "not on the curve"),
    ] {
        // With R = identity and S = 0, a careless verifier takes any message under a small-order key.
        let forged = with(&text, 2, &format!("public: {public}"));
        let forged = with(&forged, 3, &format!("proof: {identity}{}", "00".repeat(32)));
        assert_eq!(PublicKeyFile::from_text(&forged).err(), Some(KeyError::BadKey), "{what}");
    }
}

#[test]
fn a_proof_is_no_other_signature() {
    let pair = KeyPair::from_seed(Seed::new([7; 32]));
    let seed = "07".repeat(32);
    let public = hex(&pair.pk[..]);
    let text = format!(
        "-----BEGIN AEGIS PLAIN SECRET KEY-----\nrole: policy\npublic: {public}\nsecret: {seed}\n-----END AEGIS PLAIN SECRET KEY-----\n"
    );
    let file = SecretFile::from_text(&text).expect("good").public_file().to_text();
    // The same words, signed as COSE for each purpose that there is.
    let claim = file.split_inclusive('\n').take(3).collect::<String>();
    for domain in [Domain::Bundle, Domain::Export, Domain::Receipt, Domain::Root, Domain::BreakGlass] {
        let mut out = vec![0; 512];
        let length = sign1(claim.as_bytes(), domain, &pair.sk, &mut out).expect("room");
        let signature = hex(&out[length - 64..length]);
        let forged = with(&file, 3, &format!("proof: {signature}"));
        assert_eq!(PublicKeyFile::from_text(&forged).err(), Some(KeyError::NoProof), "{domain:?}");
    }
}

#[test]
fn key_names_are_read_as_they_stand_on_paper() {
    let id = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    assert_eq!(KeyName::parse("0123456789abcdef"), Some(KeyName::Id(id)));
    assert_eq!(KeyName::parse("0123 4567 89AB CDEF"), Some(KeyName::Id(id)));
    let paper = "0000 ".repeat(16);
    assert_eq!(KeyName::parse(&paper), Some(KeyName::Fingerprint([0; 32])));
    for text in ["", "0123456789abcde", "0123456789abcdeg", "0123456789abcdef0"] {
        assert_eq!(KeyName::parse(text), None, "{text}");
    }
}
