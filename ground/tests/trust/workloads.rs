//! Workloads through the command line: built of a folder, signed, verified, taken away, put on a stick.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use aegis_bundle::limits::WORKLOAD_STATE_BYTES;
use aegis_bundle::{Rank, Remembered, WorkloadState};

use super::Desk;

const BUILD: &str = "workload build --manifest w.toml --contents folder --arch x86_64";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("w.toml", desk.good("workload template"));
    fs::create_dir_all(desk.path("folder/bin")).expect("made");
    desk.write("folder/bin/agent", b"\x7fELF");
    fs::set_permissions(desk.path("folder/bin/agent"), fs::Permissions::from_mode(0o755)).expect("set");
    desk
}

fn build(desk: &Desk, name: &str, more: &str) {
    desk.good(&format!("{BUILD} --key keys/workload.key --out {name} {more}"));
}

/// Exit code and reason code.
fn verify(desk: &Desk, line: &str) -> (i32, String) {
    let (exit, answer) = desk.json(&format!("workload verify --root keys/root.cbor {line}"));
    assert_eq!(answer["accepted"], exit == 0);
    (exit, answer["code"].as_str().expect("a code").to_owned())
}

#[test]
fn workloads_are_accepted_or_refused_by_name() {
    let desk = desk();
    build(&desk, "w.aegis-workload", "--sequence 3 --root keys/root.cbor --created 1800000000");
    let refused = |code: &str| (1, code.to_owned());
    assert_eq!(verify(&desk, "w.aegis-workload"), (0, "accepted".into()));
    assert_eq!(verify(&desk, "w.aegis-workload --arch aarch64"), refused("wrong-architecture"));
    let good = desk.read("w.aegis-workload");
    let end = good.len();
    for (name, bytes, code) in [
        ("short", good[..end - 1].to_vec(), "truncated"),
        ("long", [&good[..], b"x"].concat(), "trailing-bytes"),
        ("flipped", [&good[..end - 1], b"x"].concat(), "content-hash"),
        ("policy", b"AEGISBDL".repeat(40), "bad-magic"),
    ] {
        desk.write(name, bytes);
        assert_eq!(verify(&desk, name), refused(code), "{name}");
    }
    let (exit, said) = desk.json("workload inspect w.aegis-workload");
    assert_eq!((exit, &said["name"], &said["verified"]), (0, &"agent-7".into(), &false.into()));
    assert_eq!((&said["run"]["user"], &said["run"]["memory_bytes"]), (&1000.into(), &(64 << 20).into()));
    assert!(
        desk.good("workload inspect w.aegis-workload").contains("command        \"/bin/agent\" \"--serve\"")
    );
    let (exit, found) = desk.json("keys check w.aegis-workload --root keys/root.cbor");
    assert_eq!(
        (exit, &found["files"][0]["kind"], &found["files"][0]["code"]),
        (0, &"workload".into(), &"good".into())
    );

    // What the device remembers.
    let hash = said["manifest_sha256"].as_str().expect("a hash");
    let mut manifest = [0; 32];
    for (at, byte) in manifest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).expect("hex");
    }
    for (sequence, manifest, code) in [
        (3, manifest, "unchanged"),
        (3, [1; 32], "replay-mismatch"),
        (4, [1; 32], "rollback"),
        (2, [1; 32], "accepted"),
    ] {
        let accepted = Rank { epoch: 1, sequence, manifest };
        let name = "agent-7".try_into().expect("short");
        let mut state = WorkloadState::default();
        assert!(state.remember(Remembered { name, accepted, next: None, gone: true }, 1));
        let mut bytes = [0; WORKLOAD_STATE_BYTES];
        let length = state.encode(&mut bytes).expect("it fits");
        // As a device keeps it, and as one keeps it that has a TPM.
        for by in [&[][..], &[7; 32]] {
            desk.write("state", [&bytes[..length], by].concat());
            assert_eq!(verify(&desk, "w.aegis-workload --state state").1, code);
        }
    }
    // Revoked by its file.
    desk.good(
        "keys revoke --root keys/root.cbor --bundle w.aegis-workload --key keys/root.key --out root-2.cbor",
    );
    assert_eq!(verify(&desk, "w.aegis-workload --root root-2.cbor"), refused("revoked"));
}

#[test]
fn the_same_folder_gives_the_same_bytes() {
    let desk = desk();
    build(&desk, "one", "--sequence 1 --created 1800000000");
    // Another time, another mtime, files made in another order.
    fs::remove_dir_all(desk.path("folder")).expect("there");
    fs::create_dir_all(desk.path("folder/bin")).expect("made");
    desk.write("folder/bin/agent", b"\x7fELF");
    fs::set_permissions(desk.path("folder/bin/agent"), fs::Permissions::from_mode(0o755)).expect("set");
    let old = fs::File::open(desk.path("folder/bin/agent")).expect("there");
    old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).expect("set");
    build(&desk, "two", "--sequence 1 --created 1800000000");
    // What something is mounted on was made, and may as well be there.
    fs::create_dir_all(desk.path("folder/var/lib/agent")).expect("made");
    fs::create_dir_all(desk.path("folder/proc")).expect("made");
    assert_eq!(desk.read("one"), desk.read("two"));
    // A squashfs is taken as it is.
    let whole = desk.read("one");
    let at = whole.windows(4).position(|bytes| bytes == b"hsqs").expect("there");
    desk.write("packed", &whole[at..]);
    let packed = BUILD.replace("folder", "packed");
    desk.good(&format!("{packed} --key keys/workload.key --sequence 1 --created 1800000000 --out three"));
    assert_eq!(desk.read("three"), whole);
    desk.write("packed", &whole[at..whole.len() - 1]);
    let err = desk.refused(1, &format!("{packed} --key keys/workload.key --sequence 1 --out four"));
    assert!(err.contains("packed: not a squashfs in whole blocks of 4096 bytes"), "{err}");
    let left: Vec<_> = fs::read_dir(desk.path("."))
        .expect("there")
        .filter_map(|entry| entry.expect("readable").file_name().into_string().ok())
        .filter(|name| name.contains("squashfs"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn only_workload_keys_sign_workloads_and_as_many_as_the_root_asks_for() {
    let desk = desk();
    for (key, signs) in
        [("policy", "a policy key, which signs bundles"), ("image", "an image key, which signs images")]
    {
        let err = desk.refused(1, &format!("{BUILD} --sequence 3 --key keys/{key}.key --out p"));
        assert!(err.contains(&format!("{signs}; a workload key is wanted")), "{err}");
    }
    desk.good("keys init --plain --workload 3 --workload-threshold 2 --out three");
    let of = format!("{BUILD} --sequence 3 --root three/root.cbor");
    let out = desk.good(&format!("{of} --key three/workload-1.key --out t.aegis-workload"));
    assert!(
        out.contains("1 of 2 needed") && out.contains("aegisctl workload sign t.aegis-workload"),
        "{out}"
    );
    let (exit, answer) = desk.json("workload verify t.aegis-workload --root three/root.cbor");
    assert_eq!((exit, &answer["code"]), (1, &"threshold".into()));
    let err = desk.refused(1, "image sign t.aegis-workload --key three/workload-2.key --yes");
    assert!(err.contains("not an image; sign it with `keys sign`"), "{err}");
    let out =
        desk.good("workload sign t.aegis-workload --root three/root.cbor --key three/workload-2.key --yes");
    assert!(out.contains("agent-7"), "{out}");
    assert_eq!(desk.json("workload verify t.aegis-workload --root three/root.cbor").0, 0);
    // A root without the role is one of before there was any; it is given the role later.
    desk.good("keys init --plain --workload 0 --out nobody");
    let (exit, answer) = desk.json("workload verify t.aegis-workload --root nobody/root.cbor");
    assert_eq!((exit, &answer["code"]), (1, &"no-workload-role".into()));
    assert!(desk.good("keys show nobody/root.cbor").contains("workload: nobody"));
    desk.good(
        "keys rotate --root nobody/root.cbor --add-workload three/workload-1.key.pub --key nobody/root.key --out two.cbor",
    );
    assert_eq!(desk.json("workload verify t.aegis-workload --root nobody/root.cbor --root two.cbor").0, 0);
    desk.good(
        "keys rotate --root nobody/root.cbor --root two.cbor --no-workload --key nobody/root.key --out three.cbor",
    );
    let all = "workload verify t.aegis-workload --root nobody/root.cbor --root two.cbor --root three.cbor";
    assert_eq!(desk.json(all).1["code"], "no-workload-role");
}

#[test]
fn a_removal_is_signed_and_has_no_contents() {
    let desk = desk();
    let remove =
        "workload build --remove agent-7 --arch x86_64 --key keys/workload.key --sequence 4 --out gone";
    let out = desk.good(&format!("{remove} --root keys/root.cbor"));
    assert!(out.contains("removal of workload agent-7, epoch 1, sequence 4"), "{out}");
    assert_eq!(verify(&desk, "gone"), (0, "accepted".into()));
    assert!(desk.good("workload inspect gone").contains("the workload of this name is taken away"));
    // With what it kept, when that is said.
    let out = desk.good(&format!("{remove} --with-data --root keys/root.cbor"));
    assert!(out.contains("removal of workload agent-7 with its data, epoch 1, sequence 4"), "{out}");
    assert_eq!(verify(&desk, "gone"), (0, "accepted".into()));
    assert!(desk.good("workload inspect gone").contains("is taken away, and what it kept"));
    assert_eq!(desk.json("workload inspect gone").1["forgets"], true);
    let whole = format!("{BUILD} --key keys/workload.key --sequence 1 --out x --with-data");
    assert!(desk.refused(2, &whole).contains("cannot be used with"), "what runs forgets nothing");
    assert!(desk.refused(2, &format!("{remove} --contents folder")).contains("cannot be used with"));
    assert!(desk.refused(2, &remove.replace("agent-7", "../x")).contains("a workload's name is needed"));
}

#[test]
fn mistakes_are_shown_where_they_stand() {
    let desk = desk();
    let text = String::from_utf8(desk.read("w.toml")).expect("UTF-8");
    desk.write("w.toml", text.replace("user = 1000", "user = 0"));
    // The place is shown, and then it is said.
    let refused = || {
        let (exit, out, err) = desk.run(&format!("{BUILD} --key keys/workload.key --sequence 1 --out x"));
        assert_eq!((exit, out.as_str()), (1, ""), "{err}");
        err
    };
    let err = refused();
    assert!(err.contains("w.toml:8: a number from 1 to 4294967294 is needed here"), "{err}");
    desk.write("w.toml", text.replace("[limits]", "[limit]"));
    let err = refused();
    assert!(err.contains("did you mean \"limits\"?"), "{err}");
    assert!(!desk.path("x").exists());
}

#[test]
fn a_workload_is_put_where_devices_look_for_it() {
    let desk = desk();
    build(&desk, "agent.aegis-workload", "--sequence 3");
    let prepare = "stick prepare --to stick --force --root keys/root.cbor --workload";
    fs::create_dir(desk.path("stick")).expect("made");
    let out = desk.good(&format!("{prepare} agent.aegis-workload"));
    assert!(
        out.contains("aegis/agent.aegis-workload") && out.contains("workload agent-7, epoch 1, sequence 3"),
        "{out}"
    );
    assert_eq!(desk.read("stick/aegis/agent.aegis-workload"), desk.read("agent.aegis-workload"));
    fs::copy(desk.path("agent.aegis-workload"), desk.path("agent.aegis")).expect("copied");
    let err = desk.refused(2, &format!("{prepare} agent.aegis"));
    assert!(err.contains("devices look for NAME.aegis-workload"), "{err}");
}
