//! `make keys`: only what is missing is made; what was there is kept, or put aside and said.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Desk;

fn make(desk: &Desk) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/development-keys");
    let mut command = Command::new(script);
    let (exit, out, err) = desk.finish(command.arg("dev").arg(env!("CARGO_BIN_EXE_aegisctl")));
    assert_eq!((exit, out.as_str()), (0, ""), "{err}");
    err
}

#[test]
fn what_is_there_is_kept() {
    let desk = Desk::new();
    make(&desk);
    let kept = ["root.key", "policy.key", "image.key", "break-glass.key"].map(|name| format!("dev/{name}"));
    let before: Vec<_> = kept.iter().map(|name| desk.read(name)).collect();
    let same = |desk: &Desk| kept.iter().map(|name| desk.read(name)).eq(before.iter().cloned());
    let root = desk.read("dev/root.cbor");
    // Secure Boot's keys are others.
    fs::create_dir(desk.path("dev/secure-boot")).expect("made");
    fs::write(desk.path("dev/secure-boot/db.auth"), "x").expect("written");
    assert_eq!(make(&desk), "");
    assert!(same(&desk) && desk.read("dev/root.cbor") == root);

    // A root of before the role of workloads, or its key is lost: one is added.
    fs::remove_file(desk.path("dev/workload.key")).expect("there");
    assert!(make(&desk).contains("what was signed before stays good"));
    assert!(same(&desk), "the others are as they were");
    assert!(desk.good("keys check dev/root.cbor").contains("version 2"));
    assert_eq!((make(&desk), desk.path("dev/workload.key").exists()), (String::new(), true));

    // Where nothing can be kept, nothing is deleted.
    fs::remove_file(desk.path("dev/policy.key")).expect("there");
    let said = make(&desk);
    assert!(said.contains("MADE ANEW") && said.contains("worth nothing"), "{said}");
    assert!(!same(&desk) && desk.path("dev/secure-boot/db.auth").exists());
    let aside = fs::read_dir(desk.path(".")).expect("there").flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.starts_with("dev.old-").then_some(name)
    });
    let aside = aside.expect("they were put aside");
    assert_eq!(desk.read(&format!("{aside}/root.key")), before[0]);
    assert_eq!(make(&desk), "");
}
