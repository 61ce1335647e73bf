//! What a newcomer sees first: `make run`'s own script, as it is.

use std::process::Command;

use aegis_tests::{Slot, root};

#[test]
fn the_demo_holds() {
    let _slot = Slot::take();
    let kernel = std::env::var("AEGIS_KERNEL").unwrap_or_else(|_| "own".to_owned());
    let output = Command::new("qemu/play")
        .args(["--kernel", &kernel])
        .current_dir(root())
        .output()
        .expect("the script is there");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "demo cat[", // events as they come
        "open read /etc/shadow denied by rule no-shadow",
        "signatures  good",
        "chain       good",
        "losses      0",
        "no-agent                    1  exec-check in demo",
        "WHOLE: nothing is missing, nothing was changed",
    ] {
        assert!(said.contains(line), "{line:?} is missing in:\n{said}");
    }
    a_stranger_verifies("target/run/demo/export.cbor");
}

/// With nothing of ours: Python, off-the-shelf CBOR and Ed25519, and the documents.
fn a_stranger_verifies(export: &str) {
    let output = Command::new("/usr/bin/python3")
        .args(["firmware/export/tests/stranger.py", export])
        .current_dir(root())
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
}
