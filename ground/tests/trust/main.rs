//! Keys, policy and bundles through the command line, as a person or a script has them.

mod hostile;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aegis_bundle::{Context, Root, TrustState, open};

struct Desk(tempfile::TempDir);

impl Desk {
    /// A desk with development keys on it.
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().expect("a temporary directory"));
        assert_eq!(desk.run("keys init --plain --out keys").0, 0);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Exit code, stdout, stderr.
    fn run(&self, line: &str) -> (i32, String, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_aegisctl"))
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .expect("aegisctl runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (status.code().expect("an exit code"), text(stdout), text(stderr))
    }

    fn build(&self, name: &str, more: &str) -> (i32, String, String) {
        let demo = repository().join("policy-bundles/demo.toml");
        self.run(&format!(
            "bundle build --policy {} --key keys/policy.key --out {name} {more}",
            demo.display()
        ))
    }

    /// Exit code and reason code.
    fn verify(&self, line: &str) -> (i32, String) {
        let (exit, out, err) = self.run(&format!("bundle verify --root keys/root.cbor --json {line}"));
        assert_eq!(err, "");
        let answer: serde_json::Value = serde_json::from_str(&out).expect("one JSON object");
        assert_eq!(answer["accepted"], exit == 0);
        assert!(answer["detail"].is_string());
        (exit, answer["code"].as_str().expect("a code").to_owned())
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("ground is in the repository")
}

#[test]
fn keys_are_private_and_never_overwritten() {
    let desk = Desk::new();
    for name in ["root.key", "policy.key"] {
        let mode = fs::metadata(desk.path("keys").join(name)).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let before = fs::read(desk.path("keys/root.key")).expect("made");
    let (exit, _, err) = desk.run("keys init --plain --out keys");
    assert_eq!((exit, err.as_str()), (2, "aegisctl: keys/root.key: exists; keys are never overwritten\n"));
    assert_eq!(fs::read(desk.path("keys/root.key")).expect("still there"), before);
    let (exit, out, _) = desk.run("keys show keys/policy.key");
    let secret = String::from_utf8(fs::read(desk.path("keys/policy.key")).expect("made")).expect("text");
    let secret = secret.lines().find_map(|line| line.strip_prefix("secret: ")).expect("a secret");
    assert!(exit == 0 && !out.contains(secret));
    assert_eq!(fs::read_dir(desk.path("keys")).expect("made").count(), 3, "no temporary file is left");
}

#[test]
fn bundles_are_accepted_or_refused_by_name() {
    let desk = Desk::new();
    assert_eq!(desk.build("a.aegis", "--sequence 4 --device 00112233445566778899aabbccddeeff").0, 0);
    assert_eq!(desk.verify("a.aegis"), (0, "accepted".to_owned()));
    assert_eq!(desk.verify("a.aegis --device 00112233445566778899aabbccddeeff").0, 0);
    assert_eq!(
        desk.verify("a.aegis --device 00112233445566778899aabbccddeef0"),
        (1, "wrong-device".to_owned())
    );
    // The device's own state, as a device would have written it.
    let root = Root::open(&fs::read(desk.path("keys/root.cbor")).expect("made")).expect("good");
    let bytes = fs::read(desk.path("a.aegis")).expect("made");
    let context =
        Context { root: &root, device: None, architecture: None, agent: None, state: TrustState::default() };
    let state = open(&bytes, &context).expect("good").state;
    fs::write(desk.path("state"), state.encode()).expect("written");
    assert_eq!(desk.verify("a.aegis --state state"), (0, "unchanged".to_owned()));
    desk.build("older.aegis", "--sequence 3");
    assert_eq!(desk.verify("older.aegis --state state"), (1, "rollback".to_owned()));
    desk.build("other.aegis", "--sequence 4");
    assert_eq!(desk.verify("other.aegis --state state"), (1, "replay-mismatch".to_owned()));
    fs::write(desk.path("cut.aegis"), &bytes[..bytes.len() - 1]).expect("written");
    assert_eq!(desk.verify("cut.aegis"), (1, "truncated".to_owned()));
    fs::write(desk.path("long.aegis"), [&bytes[..], b"x"].concat()).expect("written");
    assert_eq!(desk.verify("long.aegis"), (1, "trailing-bytes".to_owned()));
    fs::write(desk.path("huge.aegis"), vec![0; 5 << 20]).expect("written");
    assert_eq!(desk.verify("huge.aegis"), (1, "bad-magic".to_owned()));
    // Somebody else's keys.
    assert_eq!(desk.run("keys init --plain --out other").0, 0);
    desk.run("bundle verify a.aegis --root other/root.cbor");
    let (exit, out, _) = desk.run("bundle verify a.aegis --root other/root.cbor --json");
    assert!(exit == 1 && out.contains("\"unknown-key\""), "{out}");
}

#[test]
fn bundles_are_reproducible() {
    let desk = Desk::new();
    for name in ["a.aegis", "b.aegis"] {
        assert_eq!(desk.build(name, "--sequence 1 --created 2026-11-20T00:00:00Z").0, 0);
    }
    assert_eq!(fs::read(desk.path("a.aegis")).expect("made"), fs::read(desk.path("b.aegis")).expect("made"));
}

#[test]
fn errors_are_one_line_that_names_file_place_and_mend() {
    let desk = Desk::new();
    fs::write(desk.path("bad.toml"), "schema = 1\nname = \"x\"\nmode = \"audit\"\nruel = 1\n")
        .expect("written");
    fs::write(desk.path("latin.toml"), b"schema = 1\n# \xe9\n").expect("written");
    for (line, exit, expected) in [
        ("policy lint bad.toml", 1, "bad.toml:4: unknown key \"ruel\" (did you mean \"rule\"?)"),
        ("policy compile bad.toml --out x", 1, "bad.toml:4: unknown key \"ruel\" (did you mean \"rule\"?)"),
        ("policy lint latin.toml", 1, "latin.toml:2: not UTF-8 text; a policy source is TOML"),
        ("policy lint none.toml", 2, "none.toml: can't open it: no such file or directory"),
        ("keys show bad.toml", 1, "bad.toml: neither a secret key file nor root metadata"),
        ("bundle verify bad.toml --root bad.toml", 2, "bad.toml: root metadata: "),
        ("bundle verify bad.toml --root keys/root.cbor --device 00", 2, "16 are needed (32 hex digits)"),
        ("bundle inspect bad.toml", 1, "bad.toml: header: shorter than a bundle's header; name a file that"),
        ("receipt show keys/root.cbor", 1, "keys/root.cbor: receipt: "),
        (
            "policy explain bad.toml --workload w --path etc --operation exec",
            2,
            "--path: \"etc\" is not absolute and normalised",
        ),
        ("policy", 2, "a command is missing; see --help"),
        ("policy lnt", 2, "unrecognized subcommand 'lnt'"),
        ("bundle build --sequence 0", 2, "0 is not in 1.."),
        ("ed25519 verify --public 00 --message 0 --signature 0", 2, "--public: 1 bytes; 32 are needed"),
    ] {
        let (code, out, err) = desk.run(line);
        assert_eq!((code, out.as_str()), (exit, ""), "{line}: {err}");
        assert!(err.starts_with("aegisctl: ") && err.contains(expected), "{line}: {err}");
        assert_eq!(err.lines().count(), 1, "{line}: {err}");
    }
    assert!(!desk.path("x").exists(), "nothing is written when the source is refused");
}

#[test]
fn policies_that_ship_are_good_and_explained() {
    let desk = Desk::new();
    for entry in fs::read_dir(repository().join("policy-bundles")).expect("is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let (exit, out, err) = desk.run(&format!("policy lint {} --json", path.display()));
            assert_eq!((exit, err.as_str()), (0, ""), "{}", path.display());
            assert!(out.contains("\"warnings\":[]"), "{out}");
        }
    }
    let demo = repository().join("policy-bundles/demo.toml");
    for (workload, path, operation, expected) in [
        ("demo", "/etc/shadow", "open-read", "denied"),
        ("demo", "/usr/bin/aegis", "exec", "denied"),
        ("demo", "/etc/passwd", "open-write", "audited"),
        ("other", "/etc/shadow", "open-read", "audited"),
        ("other", "/usr/bin/aegis", "exec", "allowed"),
    ] {
        let line = format!(
            "policy explain {} --workload {workload} --path {path} --operation {operation}",
            demo.display()
        );
        let (exit, out, _) = desk.run(&line);
        assert!(exit == 0 && out.starts_with(expected), "{line}: {out}");
    }
}

#[test]
fn ed25519_answers_by_exit_code() {
    let desk = Desk::new();
    let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    let verify = |public: &str, message: &str, signature: &str| {
        desk.run(&format!("ed25519 verify --public {public} --message {message} --signature {signature}")).0
    };
    assert_eq!(verify(public, "72", signature), 0);
    assert_eq!(verify(public, "73", signature), 1);
    assert_eq!(verify(public, "72", &signature[2..]), 1);
    // Small order: the identity verifies anything in careless code.
    let identity = format!("01{}", "00".repeat(31));
    assert_eq!(verify(&identity, "72", &format!("{identity}{}", "00".repeat(32))), 1);
}

/// A signer that shares no code with ours, written from `docs/formats/bundle.md`.
#[test]
fn a_stranger_can_sign() {
    let desk = Desk::new();
    let demo = repository().join("policy-bundles/demo.toml");
    assert_eq!(desk.run(&format!("policy compile {} --out demo.policy", demo.display())).0, 0);
    let key = fs::read_to_string(desk.path("keys/policy.key")).expect("made");
    let seed = key.lines().find_map(|line| line.strip_prefix("secret: ")).expect("a secret");
    // Debian's, which `make deps` gives the two libraries; not whatever else is first in PATH.
    let status = Command::new("/usr/bin/python3")
        .arg(repository().join("ground/tests/trust/signer.py"))
        .args([seed, "demo.policy", &demo.display().to_string(), "9", "stranger.aegis"])
        .current_dir(desk.0.path())
        .status()
        .expect("python3 runs");
    assert!(status.success());
    assert_eq!(desk.verify("stranger.aegis"), (0, "accepted".to_owned()));
}
