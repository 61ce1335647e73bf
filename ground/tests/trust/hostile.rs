//! Hostile places: outputs that are no files, inputs that are pipes, a stderr that takes nothing.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::{Command, Stdio};

use crate::{Desk, repository};

fn pipe(desk: &Desk, name: &str) {
    let made = Command::new("mkfifo").arg(desk.path(name)).status().expect("mkfifo runs");
    assert!(made.success());
}

#[test]
fn an_output_replaces_a_file_and_nothing_else() {
    let desk = Desk::new();
    pipe(&desk, "pipe");
    symlink("keys/root.cbor", desk.path("link")).expect("linked");
    fs::create_dir(desk.path("folder")).expect("made");
    for name in ["pipe", "link", "folder"] {
        let (code, out, err) = desk.build(name, "--sequence 1");
        assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 1), "{name}: {err}");
        assert!(err.contains(&format!("{name}: a ")) && err.contains("name a file to write"), "{err}");
    }
    let kind = |name: &str| desk.path(name).symlink_metadata().expect("there").file_type();
    assert!(kind("pipe").is_fifo() && kind("link").is_symlink() && kind("folder").is_dir());
}

#[test]
fn an_output_is_never_an_input() {
    let desk = Desk::new();
    let source = repository().join("policy-bundles/demo.toml");
    fs::copy(source, desk.path("demo.toml")).expect("copied");
    fs::hard_link(desk.path("demo.toml"), desk.path("other.toml")).expect("linked");
    let build = "bundle build --policy demo.toml --key keys/policy.key --sequence 1 --out";
    for (line, out) in [
        ("policy compile demo.toml --out", "demo.toml"),
        ("policy compile demo.toml --out", "other.toml"),
        (build, "demo.toml"),
        (build, "keys/policy.key"),
    ] {
        let before = fs::read(desk.path(out)).expect("there");
        let (code, _, err) = desk.run(&format!("{line} {out}"));
        assert_eq!(code, 2, "{line} {out}: {err}");
        assert!(err.contains("name another file"), "{err}");
        assert_eq!(fs::read(desk.path(out)).expect("there"), before, "{out}");
    }
}

#[test]
fn an_export_is_read_from_a_file() {
    let desk = Desk::new();
    // A pipe without a writer: whoever opens it waits for ever.
    pipe(&desk, "pipe");
    for command in ["export verify", "export verify --json", "export show"] {
        let (code, out, err) = desk.run(&format!("{command} pipe"));
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert_eq!(err, "aegisctl: pipe: a pipe or device; copy the export to a file\n");
    }
}

#[test]
fn a_stderr_that_takes_nothing_is_no_panic() {
    let desk = Desk::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full is there");
    let status = Command::new(env!("CARGO_BIN_EXE_aegisctl"))
        .args(["policy", "lint", "none.toml"])
        .current_dir(desk.path("."))
        .stdout(Stdio::null())
        .stderr(full)
        .status()
        .expect("aegisctl runs");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn keys_are_made_all_or_none() {
    let desk = Desk::new();
    // The disk gets full after the first of the files: a public half is longer than its secret one.
    let fits = fs::metadata(desk.path("keys/root.key")).expect("there").len();
    let script = "trap '' XFSZ; exec prlimit --fsize=\"$1\" \"$0\" keys init --plain --out new";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_aegisctl"), &fits.to_string()])
        .current_dir(desk.path("."))
        .output()
        .expect("sh runs");
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("\naegisctl: new/root.key.pub: can't write it: "), "{err}");
    assert_eq!(fs::read_dir(desk.path("new")).expect("there").count(), 0);
}

#[test]
fn a_bundle_is_for_an_architecture_that_exists() {
    let desk = Desk::new();
    let (code, _, err) = desk.build("x", "--sequence 1 --arch x86-64");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("x86_64, aarch64"), "{err}");
    assert!(!desk.path("x").exists());
}
