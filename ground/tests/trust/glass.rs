//! Break-glass tokens, from the office to the lines that somebody types.

use std::fs::File;
use std::process::Command;

use aegis_bundle::{Root, open_token};

use crate::Desk;

const DEVICE: &str = "00112233445566778899aabbccddeeff";
const BOOT: &str = "0f0e0d0c-0b0a-0908-0706-050403020100";

/// The token of a pump, without its key, file and binding.
fn make(root: &str) -> String {
    format!(
        "break-glass make --root {root} --device {DEVICE} --sequence 3 --reason pump --minutes 90 --out t.cbor"
    )
}

#[test]
fn a_token_is_for_one_device_one_boot_and_one_time() {
    let desk = Desk::new();
    let out =
        desk.good(&format!("{} --boot-id {BOOT} --key keys/break-glass.key --armor", make("keys/root.cbor")));
    assert!(out.contains("1 h 30 min (5400 s)") && out.contains("t.cbor: complete"), "{out}");
    let root = Root::open(&desk.read("keys/root.cbor")).expect("good");
    let bytes = desk.read("t.cbor");
    let device = std::array::from_fn(|at| at as u8 * 0x11);
    let boot = std::array::from_fn(|at| 15 - at as u8);
    let token = open_token(&bytes, &root, &device, &[boot], 2).expect("the device takes it");
    assert_eq!((token.seconds, token.reason, token.sequence), (5400, "pump", 3));

    // As lines, and back; through stdin, in small letters, with dashes, and a blank line in between.
    let lines = desk.good("break-glass show t.cbor --armor");
    assert!(out.ends_with(&lines) && lines.lines().all(|line| line.len() <= 64), "{lines}");
    let typed = lines.to_lowercase().replace(' ', "-").replacen('-', " ", 1).replace('\n', "\n\n");
    desk.write("typed", &typed);
    let shown = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aegisctl"));
        let file = File::open(desk.path("typed")).expect("there");
        let output = command.args(line.split_whitespace()).current_dir(desk.path(".")).stdin(file).output();
        let output = output.expect("runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8")
            + &String::from_utf8(output.stderr).expect("UTF-8");
        (output.status.code(), text)
    };
    let (exit, text) = shown("break-glass show - --root keys/root.cbor");
    assert!(exit == Some(0) && text.contains("signed by enough keys"), "{text}");
    // A slip is found in its own line.
    let mut slip: Vec<String> = lines.lines().map(str::to_owned).collect();
    let other = if &slip[3][3..4] == "A" { "B" } else { "A" };
    slip[3].replace_range(3..4, other);
    desk.write("typed", slip.join("\n"));
    let (exit, text) = shown("break-glass show -");
    assert!(
        exit == Some(1) && text.contains("-:4: something in this line is mistyped (armor-checksum)"),
        "{text}"
    );
    desk.write("typed", lines.lines().skip(1).collect::<Vec<_>>().join("\n"));
    let (exit, text) = shown("break-glass show -");
    assert!(exit == Some(1) && text.contains("-:1: another line is wanted here (armor-number)"), "{text}");
}

#[test]
fn a_token_needs_its_role_and_its_threshold() {
    let desk = Desk(tempfile::tempdir().expect("a temporary directory"));
    desk.good("keys init --plain --break-glass 3 --break-glass-threshold 2 --out keys");
    let challenge = format!("--challenge {}", BOOT.replace('-', ""));
    let make = make("keys/root.cbor");
    let out = desk.good(&format!("{make} {challenge} --key keys/break-glass-1.key --armor"));
    assert!(out.contains("1 of 2 needed") && out.contains("NOT complete") && !out.contains("\n01 "), "{out}");
    let (exit, shown) = desk.json("break-glass show t.cbor --root keys/root.cbor");
    assert_eq!((exit, &shown["verified"]), (1, &false.into()));
    let (exit, found) = desk.json("keys check t.cbor --root keys/root.cbor");
    assert_eq!((exit, &found["files"][0]["code"]), (1, &"threshold".into()));

    let sign = "keys sign t.cbor --root keys/root.cbor --yes --json";
    let err = desk.refused(1, &format!("{sign} --key keys/policy.key"));
    assert!(err.contains("a policy key, which signs bundles; a break-glass key is wanted"), "{err}");
    let (exit, signed) =
        desk.json("keys sign t.cbor --root keys/root.cbor --yes --key keys/break-glass-3.key");
    assert_eq!((exit, &signed["roots"]["1"]["wanting"]), (0, &0.into()));
    let (exit, shown) = desk.json("break-glass show t.cbor --root keys/root.cbor");
    assert_eq!((exit, &shown["verified"], &shown["bound"]), (0, &true.into(), &BOOT.replace('-', "").into()));

    desk.good("keys init --plain --break-glass 0 --out none");
    for (line, expected) in [
        (format!("{make} {challenge} --key keys/policy.key"), "a policy key, which signs bundles"),
        (format!("{make} --key keys/break-glass-1.key"), "required arguments were not provided: --boot-id"),
        (format!("{make} {challenge} --boot-id {BOOT} --key keys/break-glass-1.key"), "cannot be used with"),
        (make.replace("--minutes 90", "--minutes 1441") + " --key x", "1441 is not in 1..=1440"),
        (make.replace("--sequence 3", "--sequence 0") + " --key x", "0 is not in 1.."),
        (
            make.replace("--reason pump", "--reason=")
                + &format!(" {challenge} --key keys/break-glass-1.key"),
            "--reason: 1 to 200 bytes",
        ),
        (
            make.replace("keys/root", "none/root") + &format!(" {challenge} --key keys/break-glass-1.key"),
            "has no break-glass role",
        ),
    ] {
        let (exit, out, err) = desk.run(&line);
        assert!(exit != 0 && out.is_empty() && err.contains(expected), "{line}: {err}");
    }
    // Seconds, as the device's own screen has it.
    desk.good(
        &(make.replace("--minutes 90", "--seconds 61")
            + &format!(" {challenge} --key keys/break-glass-1.key")),
    );
    assert_eq!(desk.json("break-glass show t.cbor").1["seconds"], 61);
}
