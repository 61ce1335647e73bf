//! Key files come back as they were; damaged ones do not.

use aegis_bundle::{Role, Root, RootError};
use aegis_cose::CoseError;
use aegis_keys::{KeyError, KeyRole, SecretFile, sign_root};

fn root_of(keys: &[&SecretFile], threshold: u8) -> Root {
    let mut publics: Vec<[u8; 32]> = keys.iter().map(|key| *key.public()).collect();
    publics.sort_unstable();
    let role = Role { threshold, keys: publics.iter().copied().collect() };
    Root { version: 1, epoch: 1, root: role.clone(), policy: role, revoked: [].into_iter().collect() }
}

#[test]
fn a_key_file_comes_back() {
    let key = SecretFile::generate(KeyRole::Policy).expect("random");
    let text = key.to_text();
    let again = SecretFile::from_text(&text).expect("just written");
    assert_eq!((again.role(), again.public(), again.id()), (KeyRole::Policy, key.public(), key.id()));
    assert_eq!(again.to_text(), text);
    assert!(!format!("{key:?}").contains(text.lines().nth(3).expect("secret")), "debug shows the secret");
    assert_ne!(SecretFile::generate(KeyRole::Policy).expect("random").public(), key.public());
}

#[test]
fn damaged_key_files_are_refused() {
    let text = SecretFile::generate(KeyRole::Root).expect("random").to_text();
    let lines: Vec<&str> = text.lines().collect();
    let with = |line: usize, change: &str| {
        let mut lines = lines.clone();
        lines[line] = change;
        SecretFile::from_text(&lines.join("\n")).err()
    };
    assert_eq!(with(0, "-----BEGIN SOMETHING-----"), Some(KeyError::NotAKeyFile));
    assert!(matches!(with(1, "role: device"), Some(KeyError::BadLine(2, _))));
    assert!(matches!(with(2, "public: 00"), Some(KeyError::BadLine(3, _))));
    assert!(matches!(with(3, &lines[3].replace(' ', "")), Some(KeyError::BadLine(4, _))));
    assert_eq!(with(2, &format!("public: {}", "01".repeat(32))), Some(KeyError::Mismatch));
    assert_eq!(SecretFile::from_text("").err(), Some(KeyError::NotAKeyFile));
}

#[test]
fn root_metadata_needs_its_threshold() {
    let (a, b) =
        (SecretFile::generate(KeyRole::Root).expect("a"), SecretFile::generate(KeyRole::Root).expect("b"));
    let root = root_of(&[&a, &b], 2);
    let bytes = sign_root(&root, &[&a, &b]).expect("both signed");
    assert_eq!(Root::open(&bytes), Ok(root.clone()));
    assert_eq!(sign_root(&root, &[&a]).err(), Some(RootError::Cose(CoseError::Threshold)));
    assert_eq!(sign_root(&root, &[&a, &a]).err(), Some(RootError::Cose(CoseError::Threshold)));
    let stranger = SecretFile::generate(KeyRole::Root).expect("c");
    assert_eq!(sign_root(&root, &[&stranger]).err(), Some(RootError::Cose(CoseError::UnknownKey)));
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[index] ^= 1 << bit;
            assert!(Root::open(&bad).is_err(), "byte {index} bit {bit}");
        }
        assert!(Root::open(&bytes[..index]).is_err(), "cut at {index}");
    }
}
