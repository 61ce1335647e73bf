//! Names hash in the kernel as they do here, whatever their length, and no byte behind their end is read.
#![allow(clippy::expect_used, reason = "a test ends at its first surprise")]
#![cfg(target_endian = "little")]

mod host;

use std::hash::{DefaultHasher, Hasher as _};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// SipHash-1-3 over whole words; the standard library's hasher is that, under the key 0.
fn sip(words: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for word in words {
        hasher.write_u64(*word);
    }
    hasher.finish()
}

/// As `struct aegis_name_key` in abi.h says it.
fn component(name: &[u8]) -> u64 {
    let words = name.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    sip(&[name.len() as u64].into_iter().chain(words).collect::<Vec<_>>())
}

#[test]
fn a_name_of_every_length_hashes_as_it_is_said() {
    let names: Vec<Vec<u8>> =
        (0..=255).map(|length| (0..length).map(|at: usize| (at * 7 + length) as u8).collect()).collect();
    let mut child = Command::new(host::compiled("sip"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    for name in &names {
        stdin.write_all(&[name.len() as u8]).expect("it reads");
        stdin.write_all(name).expect("it reads");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert_eq!(output.stdout.len(), names.len() * 16);
    for (name, said) in names.iter().zip(output.stdout.chunks(16)) {
        let expected = component(name);
        let pair = sip(&[name.len() as u64, expected]);
        assert_eq!(said, [expected.to_le_bytes(), pair.to_le_bytes()].concat(), "{} bytes", name.len());
    }
}
