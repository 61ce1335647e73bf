//! Keys, policy, bundles, tokens and sticks through the command line, as a person or a script has them.

mod ceremony;
mod compare;
mod config;
mod development;
mod ed25519;
mod glass;
mod hostile;
mod images;
mod rotation;
mod sticks;
mod stranger;
mod workloads;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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

    /// Exit code, stdout, stderr. Words are split at blanks.
    fn run(&self, line: &str) -> (i32, String, String) {
        // Without a terminal, whoever runs the tests from one.
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(env!("CARGO_BIN_EXE_aegisctl")).args(line.split_whitespace());
        self.finish(&mut command)
    }

    fn finish(&self, command: &mut Command) -> (i32, String, String) {
        let command = command.current_dir(self.0.path()).env_remove("AEGIS_PASSPHRASE").stdin(Stdio::null());
        let Output { status, stdout, stderr } = command.output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (status.code().expect("an exit code"), text(stdout), text(stderr))
    }

    /// What it prints; it must end well.
    fn good(&self, line: &str) -> String {
        let (exit, out, err) = self.run(line);
        assert_eq!(exit, 0, "{line}: {err}{out}");
        out
    }

    /// The one line of a refusal; it must end so.
    fn refused(&self, exit: i32, line: &str) -> String {
        let (found, out, err) = self.run(line);
        assert_eq!((found, out.as_str(), err.lines().count()), (exit, "", 1), "{line}: {err}");
        err
    }

    /// The JSON object that it prints, however it ends.
    fn json(&self, line: &str) -> (i32, serde_json::Value) {
        let (exit, out, err) = self.run(&format!("{line} --json"));
        (exit, serde_json::from_str(&out).unwrap_or_else(|why| panic!("{line}: {why}: {out}{err}")))
    }

    /// The id of a key by its .pub.
    fn id(&self, public: &str) -> String {
        self.json(&format!("keys show {public}")).1["id"].as_str().expect("an id").to_owned()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the desk")).expect("made");
        fs::write(path, bytes).expect("written");
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

/// A new device, of which nothing is known.
fn context(root: &Root) -> Context<'_> {
    Context {
        root,
        device: None,
        architecture: None,
        agent: None,
        groups: None,
        kernel: None,
        state: TrustState::default(),
        insist: false,
    }
}

#[test]
fn keys_are_private_and_never_overwritten() {
    let desk = Desk::new();
    for name in ["root.key", "policy.key", "break-glass.key"] {
        let mode = fs::metadata(desk.path("keys").join(name)).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let before = fs::read(desk.path("keys/root.key")).expect("made");
    let err = desk.refused(2, "keys init --plain --out keys");
    assert_eq!(err, "aegisctl: keys/root.key: exists; keys are never overwritten\n");
    assert_eq!(fs::read(desk.path("keys/root.key")).expect("still there"), before);
    let (exit, out, _) = desk.run("keys show keys/policy.key");
    let secret = String::from_utf8(fs::read(desk.path("keys/policy.key")).expect("made")).expect("text");
    let secret = secret.lines().find_map(|line| line.strip_prefix("secret: ")).expect("a secret");
    assert!(exit == 0 && !out.contains(secret));
    let names = ["root", "policy", "break-glass", "image", "workload"]
        .map(|role| [format!("{role}.key"), format!("{role}.key.pub")]);
    let mut expected: Vec<String> = names.into_iter().flatten().collect();
    expected.extend(["root.cbor".to_owned(), "ceremony.txt".to_owned()]);
    expected.sort();
    let there =
        fs::read_dir(desk.path("keys")).expect("made").map(|entry| entry.expect("readable").file_name());
    let mut there: Vec<String> = there.map(|name| name.into_string().expect("UTF-8")).collect();
    there.sort();
    assert_eq!(there, expected, "no temporary file is left");
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
    let state = open(&bytes, &context(&root)).expect("good").state;
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
        // A mistake that has a place is shown with it, above the line: tests/policy.
        ("policy lint latin.toml", 1, "latin.toml:2: not UTF-8 text; a policy source is TOML"),
        ("policy lint none.toml", 2, "none.toml: can't open it: no such file or directory"),
        ("keys show bad.toml", 1, "bad.toml: neither a key file nor root metadata"),
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
}

#[test]
fn policies_that_ship_are_good_and_explained() {
    let desk = Desk::new();
    for entry in fs::read_dir(repository().join("policy-bundles")).expect("is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "toml")
            && !path.as_os_str().as_encoded_bytes().ends_with(b".test.toml")
        {
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
fn a_bundle_says_whom_it_is_for() {
    let desk = Desk::new();
    let btf = [&[0x9f, 0xeb, 1, 0][..], &[0; 60]].concat();
    desk.write("btf", &btf);
    let kernel =
        aegis_bundle::hash(&btf).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let groups = "--group turbine-hall --group north";
    assert_eq!(desk.build("a.aegis", &format!("--sequence 1 {groups} --kernel btf --allow-marker")).0, 0);
    let (_, said) = desk.json("bundle inspect a.aegis");
    assert_eq!(said["groups"], serde_json::json!(["north", "turbine-hall"]));
    assert_eq!((&said["kernels"][0], &said["marker"]), (&kernel.clone().into(), &true.into()));
    for (line, expected) in [
        ("", (0, "accepted")),
        ("--group north --kernel btf", (0, "accepted")),
        ("--group south --group north", (0, "accepted")),
        ("--group south", (1, "wrong-group")),
        (&format!("--kernel {kernel}"), (0, "accepted")),
        (&format!("--kernel {}", "00".repeat(32)), (1, "wrong-kernel")),
    ] {
        assert_eq!(desk.verify(&format!("a.aegis {line}")), (expected.0, expected.1.to_owned()), "{line}");
    }
    desk.build("b.aegis", "--sequence 1");
    assert_eq!(desk.json("bundle inspect b.aegis").1["marker"], false);
    for (more, expected) in [
        ("--group North", "a-z"),
        ("--kernel keys/root.cbor", "not BTF"),
        ("--kernel none", "neither a file nor a hash"),
        ("--epoch 2 --root keys/root.cbor", "its epoch is 1"),
    ] {
        let (code, _, err) = desk.build("x.aegis", &format!("--sequence 1 {more}"));
        assert!(code == 2 && err.contains(expected) && err.lines().count() == 1, "{more}: {err}");
    }
}

/// No example of any help is broken into two lines, and none is wider than a terminal.
#[test]
fn help_fits_a_terminal() {
    let desk = Desk::new();
    let mut pages = vec![String::new()];
    let mut seen = 0;
    while let Some(page) = pages.pop() {
        let help = desk.good(&format!("{page} --help"));
        seen += 1;
        let commands =
            help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or("");
        for line in commands.lines() {
            let name = line.split_whitespace().next().unwrap_or("help");
            // A description that goes on in the next line is further to the right.
            if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
                pages.push(format!("{page} {name}"));
            }
        }
        let Some(examples) = help.split("Example").nth(1) else { continue };
        let mut goes_on = true;
        for line in examples.split("\n\n").next().unwrap_or_default().lines() {
            let begins = line.starts_with("  aegisctl ");
            assert!(goes_on || begins, "{page}: broken into two lines: {line}");
            assert!(line.chars().count() <= 100, "{page}: {line}");
            goes_on = line.ends_with('\\');
        }
    }
    assert!(seen > 25, "{seen} pages");
}
