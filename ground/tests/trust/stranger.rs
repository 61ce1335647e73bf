//! A signer that shares no code with ours, written from `docs/formats/bundle.md` and `bundle.cddl`: what it signs is
//! accepted, and byte for byte what we sign.

use std::process::Command;

use crate::{Desk, repository};

/// Runs the stranger; blanks in an argument are kept.
fn stranger(desk: &Desk, arguments: &[&str]) -> String {
    // Debian's, which `make deps` gives the two libraries; not whatever else is first in PATH.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(repository().join("ground/tests/trust/signer.py")).args(arguments);
    let (exit, out, err) = desk.finish(&mut command);
    assert_eq!(exit, 0, "{arguments:?}: {err}");
    out
}

/// The seed in a plain key file.
fn seed(desk: &Desk, key: &str) -> String {
    let text = String::from_utf8(desk.read(key)).expect("text");
    text.lines().find_map(|line| line.strip_prefix("secret: ")).expect("a secret").to_owned()
}

#[test]
fn a_stranger_can_sign_bundles() {
    let desk = Desk::new();
    let demo = repository().join("policy-bundles/demo.toml");
    desk.good(&format!("policy compile {} --out demo.policy", demo.display()));
    let seed = seed(&desk, "keys/policy.key");
    stranger(&desk, &["bundle", &seed, "demo.policy", &demo.display().to_string(), "9", "stranger.aegis"]);
    assert_eq!(desk.verify("stranger.aegis"), (0, "accepted".to_owned()));
    assert_eq!(desk.build("ours.aegis", "--sequence 9 --created 1800000000").0, 0);
    assert_eq!(desk.read("stranger.aegis"), desk.read("ours.aegis"));
}

#[test]
fn a_stranger_can_sign_root_metadata() {
    let desk = Desk(tempfile::tempdir().expect("a temporary directory"));
    desk.good("keys init --plain --root 2 --root-threshold 2 --out keys");
    desk.good("keys new --plain --role policy --out new.key");
    let policy = desk.id("keys/policy.key.pub");
    desk.good(&format!(
        "keys revoke --root keys/root.cbor --key-id {policy} --add-policy new.key.pub --bundle {} \
         --key keys/root-1.key --key keys/root-2.key --out ours.cbor",
        "ab".repeat(32)
    ));
    desk.write("said.json", desk.good("keys show ours.cbor --json"));
    let mut seeds =
        ["keys/root-1.key", "keys/root-2.key"].map(|key| (desk.id(&format!("{key}.pub")), seed(&desk, key)));
    // We sign in the order of key ids; a stranger need not.
    seeds.sort();
    let [(_, first), (_, second)] = seeds;
    stranger(&desk, &["root", &format!("{first},{second}"), "said.json", "stranger.cbor"]);
    assert_eq!(desk.read("stranger.cbor"), desk.read("ours.cbor"));
    stranger(&desk, &["root", &format!("{second},{first}"), "said.json", "other.cbor"]);
    assert_ne!(desk.read("other.cbor"), desk.read("ours.cbor"));
    assert_eq!(desk.json("keys check keys/root.cbor other.cbor").0, 0);
    stranger(&desk, &["root", &first, "said.json", "few.cbor"]);
    let (exit, found) = desk.json("keys check keys/root.cbor few.cbor");
    assert_eq!((exit, &found["files"][1]["code"]), (1, &"not-vouched".into()));
}

#[test]
fn a_stranger_can_sign_and_write_down_tokens() {
    let desk = Desk::new();
    desk.good(
        "break-glass make --root keys/root.cbor --device 00112233445566778899aabbccddeeff --sequence 7 --minutes 5 \
         --boot-id 0f0e0d0c0b0a09080706050403020100 --reason pump --key keys/break-glass.key --out ours.cbor",
    );
    desk.write("said.json", desk.good("break-glass show ours.cbor --json"));
    stranger(&desk, &["token", &seed(&desk, "keys/break-glass.key"), "said.json", "stranger.cbor"]);
    assert_eq!(desk.read("stranger.cbor"), desk.read("ours.cbor"));
    assert_eq!(stranger(&desk, &["armor", "ours.cbor"]), desk.good("break-glass show ours.cbor --armor"));
}

#[test]
fn a_stranger_can_open_and_make_encrypted_keys() {
    let desk = Desk::new();
    let passphrase = "seven wrong clocks in a row";
    desk.write("pw", passphrase);
    desk.good("keys new --role root --out ours.key --passphrase-file pw --work-factor 15");
    stranger(&desk, &["age", "decrypt", passphrase, "ours.key", "plain.key"]);
    assert_eq!(desk.id("plain.key"), desk.id("ours.key.pub"));
    stranger(&desk, &["age", "encrypt", passphrase, "plain.key", "theirs.key"]);
    let (exit, found) = desk.json("keys check theirs.key --passphrase-file pw");
    assert_eq!((exit, found["files"][0]["id"].as_str()), (0, Some(desk.id("ours.key.pub").as_str())));
}
