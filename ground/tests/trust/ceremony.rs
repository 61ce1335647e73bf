//! The ceremony: keys that are encrypted, on their own sticks, and a record on paper.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::{Desk, repository};

/// The least that the command line allows: fast enough for tests.
const EASY: &str = "--work-factor 15";
const PASSPHRASE: &str = "seven wrong clocks in a row";

/// A desk with a passphrase on it and nothing else.
fn desk() -> Desk {
    let desk = Desk(tempfile::tempdir().expect("a temporary directory"));
    desk.write("pw", format!("{PASSPHRASE}\n"));
    desk
}

#[test]
fn a_ceremony_puts_each_key_on_its_own_stick() {
    let desk = desk();
    for stick in ["a", "b", "c"] {
        fs::create_dir(desk.path(stick)).expect("made");
    }
    let to = "--root-to a --root-to b --root-to c --policy 2 --policy-threshold 1 --break-glass 1";
    let out = desk.good(&format!("keys init --out office {to} --passphrase-file pw {EASY}"));
    assert_eq!(out, String::from_utf8(desk.read("office/ceremony.txt")).expect("text"));

    let (exit, root) = desk.json("keys show office/root.cbor");
    assert_eq!((exit, &root["complete"]), (0, &true.into()));
    for (role, threshold, files) in [
        ("root", 2, &["a/root-1.key", "b/root-2.key", "c/root-3.key"][..]),
        ("policy", 1, &["office/policy-1.key", "office/policy-2.key"]),
        ("break-glass", 1, &["office/break-glass.key"]),
    ] {
        let seats = &root["roles"][role];
        assert_eq!(
            (&seats["threshold"], seats["keys"].as_array().map(Vec::len)),
            (&threshold.into(), Some(files.len()))
        );
        for file in files {
            let text = String::from_utf8(desk.read(file)).expect("text");
            assert!(
                text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n") && !text.contains("secret"),
                "{file}"
            );
            let mode = fs::metadata(desk.path(file)).expect("made").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
            // The key is what its .pub says, root.cbor lists it, and its fingerprint is on the paper.
            let (exit, shown) =
                desk.json(&format!("keys check {file} --root office/root.cbor --passphrase-file pw"));
            assert_eq!((exit, &shown["files"][0]["encrypted"]), (0, &true.into()), "{shown}");
            let id = shown["files"][0]["id"].as_str().expect("an id");
            assert_eq!(desk.id(&format!("{file}.pub")), id);
            assert!(out.contains(&format!("key id {id}")), "{id} is on no paper");
            let fingerprint = shown["files"][0]["fingerprint"].as_str().expect("a fingerprint");
            let paper: String = out.split_whitespace().collect();
            assert!(paper.contains(fingerprint), "{fingerprint} is on no paper");
        }
    }
    // Without its passphrase, an encrypted key is what the .pub beside it says; without that, nobody knows.
    let shown = desk.good("keys show a/root-1.key");
    let id = desk.id("a/root-1.key.pub");
    assert!(
        shown.contains("age, scrypt 2^15")
            && shown.contains(&format!("root key {id}, as the .pub beside it says"))
    );
    fs::remove_file(desk.path("a/root-1.key.pub")).expect("there");
    let (_, shown) = desk.json("keys show a/root-1.key");
    assert_eq!(
        (&shown["encrypted"], &shown["role"], &shown["work_factor"]),
        (&true.into(), &serde_json::Value::Null, &15.into())
    );
    // Nothing of the office's own is encrypted, and nothing of it is secret.
    for name in ["root.cbor", "ceremony.txt", "policy-1.key.pub"] {
        assert!(!String::from_utf8_lossy(&desk.read(&format!("office/{name}"))).contains("secret:"));
    }
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let desk = desk();
    desk.good(&format!("keys new --role policy --out p.key --passphrase-file pw {EASY}"));
    desk.write("other", "seven wrong clocks in a rox");
    let (exit, found) = desk.json("keys check p.key --passphrase-file other");
    assert_eq!((exit, &found["files"][0]["code"]), (1, &"bad-key-file".into()));
    let err = desk.refused(2, "keys check p.key");
    assert!(err.contains("p.key: no terminal to ask for its passphrase on; give --passphrase-file"), "{err}");
    // From the environment, for automation.
    let mut command = Command::new(env!("CARGO_BIN_EXE_aegisctl"));
    command.args(["keys", "check", "p.key"]).current_dir(desk.path("."));
    assert!(command.env("AEGIS_PASSPHRASE", PASSPHRASE).output().expect("runs").status.success());
}

#[test]
fn weak_passphrases_and_strange_plans_are_refused_before_anything_is_made() {
    let desk = desk();
    fs::create_dir(desk.path("a")).expect("made");
    for (text, expected) in [
        ("short", "fewer than 12 characters; take five or six random words"),
        ("aaaaaaaaaaaaaaaa", "fewer than 6 different characters"),
        ("Password12345678", "what guessing begins with"),
        ("two\nlines here, really", "one line with the passphrase is wanted"),
        ("", "one line with the passphrase is wanted"),
    ] {
        desk.write("weak", text);
        let (exit, out, err) = desk.run("keys init --out new --passphrase-file weak");
        assert!(exit != 0 && out.is_empty() && err.contains(expected), "{text}: {err}");
    }
    for (line, expected) in [
        ("--root 2 --root-threshold 3", "3 signatures needed of 2 keys: never met"),
        ("--root 0", "0 is not in 1..=16"),
        ("--policy 17", "17 is not in 1..=16"),
        ("--break-glass 0 --break-glass-threshold 1", "break-glass would have no key left"),
        ("--root 3 --root-to a", "--root-to: 1 of them for 3 keys"),
        ("--root-to a --root-to a", "the same directory twice"),
        ("--root-to nowhere", "--root-to nowhere: not a directory; plug the stick in and mount it"),
        ("--passphrase-file pw --passphrase-file pw", "2 of them for 13 keys"),
        ("--plain --passphrase-file pw", "cannot be used with"),
        ("--work-factor 14", "14 is not in 15..=22"),
    ] {
        let (exit, out, err) = desk.run(&format!("keys init --out new {line}"));
        assert!(exit == 2 && out.is_empty() && err.contains(expected), "{line}: {err}");
    }
    assert!(!desk.path("new").exists());
    assert_eq!(fs::read_dir(desk.path("a")).expect("there").count(), 0);
    // Nobody can break the glass: that is a choice.
    desk.good("keys init --plain --break-glass 0 --image 0 --out none");
    let roles = &desk.json("keys show none/root.cbor").1["roles"];
    assert_eq!(
        (&roles["break-glass"], &roles["image"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
}

#[test]
fn plain_keys_are_never_made_in_silence() {
    let desk = desk();
    for line in ["keys init --plain --out keys", "keys new --plain --role root --out one.key"] {
        let (exit, _, err) = desk.run(line);
        assert!(exit == 0 && err.contains("WARNING") && err.contains("NOT encrypted"), "{line}: {err}");
    }
    assert!(desk.good("keys show keys/root.key").contains("NOT encrypted"));
    assert!(desk.good("keys check keys/root.key").contains("NOT encrypted"));
}

#[test]
fn one_more_key_comes_with_its_public_half() {
    let desk = desk();
    let (_, made) = desk.json("keys new --plain --role break-glass --out g.key");
    let (_, shown) = desk.json("keys show g.key.pub");
    assert_eq!((&shown["kind"], &shown["role"]), (&"public-key".into(), &"break-glass".into()));
    assert_eq!((&shown["id"], &shown["fingerprint"]), (&made["id"], &made["fingerprint"]));
    let before = desk.read("g.key");
    let err = desk.refused(2, "keys new --plain --role root --out g.key");
    assert!(err.contains("g.key: exists; keys are never overwritten"), "{err}");
    fs::rename(desk.path("g.key"), desk.path("moved.key")).expect("moved");
    let err = desk.refused(2, "keys new --plain --role root --out g.key");
    assert!(err.contains("g.key.pub: exists"), "{err}");
    assert_eq!(desk.read("moved.key"), before);
}

/// On a terminal: nothing that is typed is shown, a slip is noticed, a no is a no.
#[test]
fn a_person_is_asked_on_the_terminal() {
    let desk = desk();
    let typed = |answers: &[(&str, &str)], line: &str| {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(repository().join("ground/tests/trust/typist.py"));
        command.arg(serde_json::to_string(answers).expect("strings")).arg(env!("CARGO_BIN_EXE_aegisctl"));
        desk.finish(command.args(line.split_whitespace()))
    };
    let first = "correct horse battery";
    let new = format!("keys new --role policy --out p.key {EASY}");
    let answers = [
        ("New passphrase for p.key: ", "tooshort\n"),
        ("New passphrase for p.key: ", &format!("{first}\n")),
        ("The same again: ", "corect horse battery\n"),
        ("They differ.", ""),
        // A slip, taken back by the delete key; the line begun again.
        ("New passphrase for p.key: ", &format!("nonsense\x15{first}x\x7f\n")),
        ("The same again: ", &format!("{first}\n")),
    ];
    let (exit, shown, err) = typed(&answers, &new);
    assert_eq!(exit, 0, "{shown}{err}");
    for secret in ["tooshort", "horse", "nonsense"] {
        assert!(!shown.contains(secret), "echoed: {shown}");
    }
    let answers = [
        ("Passphrase of p.key: ", "wrong\n"),
        ("That is not it.", ""),
        ("Passphrase of p.key: ", &format!("{first}\n")),
    ];
    let (exit, shown, _) = typed(&answers, "keys check p.key");
    assert!(exit == 0 && shown.contains("the passphrase opens it"), "{shown}");
    // Ctrl-C leaves at once, with a terminal that echoes again.
    let (exit, shown, _) = typed(&[("Passphrase of p.key: ", "half\x03")], "keys check p.key");
    assert!(exit == 2 && shown.contains("stopped; nothing was written"), "{shown}");

    desk.good("keys init --plain --out keys");
    desk.good(&format!(
        "bundle build --policy {} --key keys/policy.key --sequence 1 --out a.aegis",
        repository().join("policy-bundles/demo.toml").display()
    ));
    desk.good("keys new --plain --role policy --out q.key");
    let before = desk.read("a.aegis");
    for answer in ["no\n", "y\n", "\n", "\x04"] {
        let (exit, shown, _) = typed(&[("Sign this? Type yes: ", answer)], "keys sign a.aegis --key q.key");
        assert!(exit == 1 && shown.contains("a.aegis: not signed"), "{answer:?}: {shown}");
        assert!(shown.contains("sequence 1") && shown.contains("fingerprint"), "{shown}");
        assert_eq!(desk.read("a.aegis"), before);
    }
    let (exit, shown, _) = typed(&[("Sign this? Type yes: ", "yes\n")], "keys sign a.aegis --key q.key");
    assert!(exit == 0 && desk.read("a.aegis") != before, "{shown}");
    let err = desk.refused(2, "keys sign a.aegis --key q.key");
    assert!(err.contains("give --yes to sign it unseen"), "{err}");
}
