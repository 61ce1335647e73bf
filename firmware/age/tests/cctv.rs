//! The test vectors of C2SP's CCTV (<https://github.com/C2SP/CCTV>, `age/testdata`), which are not copied here:
//! `AEGIS_CCTV=…/CCTV/age/testdata cargo test -p aegis-age --test cctv -- --ignored`.

mod common;

use std::collections::BTreeMap;

use aegis_age::{AgeError, Identity};
use common::decrypt_some;
use sha2::{Digest, Sha256};

/// Not read here: armor, compression of the vector, passphrases and post-quantum recipients.
fn ours(name: &str, fields: &BTreeMap<&str, Vec<&str>>) -> bool {
    let other = ["armored", "passphrase", "compressed"].iter().any(|field| fields.contains_key(field));
    !other && !name.starts_with("hybrid") && !name.starts_with("armor")
}

#[test]
#[ignore = "needs the vectors: AEGIS_CCTV"]
fn the_vectors_of_cctv() {
    let folder = std::env::var_os("AEGIS_CCTV").expect("AEGIS_CCTV names the folder age/testdata of CCTV");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a vector");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let end = bytes.windows(2).position(|two| two == b"\n\n").expect("a blank line");
        let (head, file) = (str::from_utf8(&bytes[..end]).expect("text"), &bytes[end + 2..]);
        let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (field, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            fields.entry(field).or_default().push(value);
        }
        if !ours(&name, &fields) {
            continue;
        }
        count += 1;
        let identities: Vec<Identity> = fields.get("identity").map_or_else(Vec::new, |texts| {
            texts.iter().filter_map(|text| Identity::parse(text).ok()).collect()
        });
        let (plain, end) = decrypt_some(file, &identities, 1 << 20);
        let found = match end {
            Ok(()) => "success",
            Err(AgeError::HeaderChanged) => "HMAC failure",
            Err(AgeError::NoMatch | AgeError::Passphrase) => "no match",
            Err(AgeError::Header(_) | AgeError::CutOff) => "header failure",
            Err(AgeError::Chunk(_)) => "payload failure",
        };
        assert_eq!(found, fields["expect"][0], "{name}");
        // How much was given out before a failure is the reader's choice, as long as it was authenticated.
        if let Some(expected) = fields.get("payload").filter(|_| found == "success") {
            let bytes = |at: usize| u8::from_str_radix(&expected[0][2 * at..][..2], 16).expect("hexadecimal");
            assert!(Sha256::digest(&plain).iter().copied().eq((0..32).map(bytes)), "{name}");
        }
    }
    assert!(count > 40, "{count} vectors");
    println!("{count} vectors");
}
