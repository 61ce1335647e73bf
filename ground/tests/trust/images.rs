//! Images of the system through the command line: built, signed by several, verified, put on a stick.

use std::fs;

use super::Desk;

/// What a kernel image begins with, and what its command line says, as far as `image build` looks at it.
fn kernel(slot: &str, image: &str) -> Vec<u8> {
    let line = format!("quiet aegis.slot={slot} aegis.image={image} ro\n");
    [b"MZ", &[0; 5000][..], line.as_bytes(), &[7; 300]].concat()
}

fn desk() -> Desk {
    let desk = Desk::new();
    parts(&desk, "1.3");
    desk
}

fn parts(desk: &Desk, image: &str) {
    desk.write("a.efi", kernel("a", image));
    desk.write("b.efi", kernel("b", image));
    desk.write("root", [b"hsqs", &[3; 8188][..]].concat());
}

const BUILD: &str = "image build --boot-a a.efi --boot-b b.efi --root-fs root --arch x86_64";

fn build(desk: &Desk, name: &str, more: &str) {
    desk.good(&format!("{BUILD} --key keys/image.key --out {name} {more}"));
}

/// Exit code and reason code.
fn verify(desk: &Desk, line: &str) -> (i32, String) {
    let (exit, answer) = desk.json(&format!("image verify --root keys/root.cbor {line}"));
    assert_eq!(answer["accepted"], exit == 0);
    (exit, answer["code"].as_str().expect("a code").to_owned())
}

#[test]
fn images_are_accepted_or_refused_by_name() {
    let desk = desk();
    build(&desk, "i.aegis-image", "--sequence 3 --root keys/root.cbor --created 1800000000");
    let refused = |code: &str| (1, code.to_owned());
    assert_eq!(verify(&desk, "i.aegis-image"), (0, "accepted".into()));
    assert_eq!(verify(&desk, "i.aegis-image --running 1.2 --arch x86_64"), (0, "accepted".into()));
    assert_eq!(verify(&desk, "i.aegis-image --running 1.3"), (0, "unchanged".into()));
    assert_eq!(verify(&desk, "i.aegis-image --running 1.4"), refused("rollback"));
    assert_eq!(verify(&desk, "i.aegis-image --arch aarch64"), refused("wrong-architecture"));
    let good = desk.read("i.aegis-image");
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
    // The same inputs give the same file; what it says of itself can be read without a key.
    build(&desk, "again", "--sequence 3 --created 1800000000");
    assert_eq!(desk.read("again"), good);
    let (exit, said) = desk.json("image inspect i.aegis-image");
    assert_eq!((exit, &said["sequence"], &said["verified"]), (0, &3.into(), &false.into()));
    assert_eq!(said["contents"][2]["name"], "root");
    let (exit, found) = desk.json("keys check i.aegis-image --root keys/root.cbor");
    assert_eq!(
        (exit, &found["files"][0]["kind"], &found["files"][0]["code"]),
        (0, &"image".into(), &"good".into())
    );
    // Revoked by its file.
    desk.good(
        "keys revoke --root keys/root.cbor --bundle i.aegis-image --key keys/root.key --out root-2.cbor",
    );
    let (exit, answer) = desk.json("image verify i.aegis-image --root keys/root.cbor --root root-2.cbor");
    assert_eq!((exit, &answer["code"]), (1, &"revoked".into()));
}

#[test]
fn only_image_keys_sign_images_and_as_many_as_the_root_asks_for() {
    let desk = desk();
    let err = desk.refused(1, &format!("{BUILD} --sequence 3 --key keys/policy.key --out p.aegis-image"));
    assert!(err.contains("a policy key, which signs bundles; an image key is wanted"), "{err}");
    desk.good("keys init --plain --image 3 --image-threshold 2 --out three");
    let of = format!("{BUILD} --sequence 3 --root three/root.cbor");
    let out = desk.good(&format!("{of} --key three/image-1.key --out t.aegis-image"));
    assert!(out.contains("1 of 2 needed") && out.contains("aegisctl image sign t.aegis-image"), "{out}");
    let (exit, answer) = desk.json("image verify t.aegis-image --root three/root.cbor");
    assert_eq!((exit, &answer["code"]), (1, &"threshold".into()));
    let err = desk.refused(1, "bundle sign t.aegis-image --key three/image-2.key --yes");
    assert!(err.contains("not a bundle; sign it with `keys sign`"), "{err}");
    desk.good("image sign t.aegis-image --root three/root.cbor --key three/image-2.key --yes");
    assert_eq!(desk.json("image verify t.aegis-image --root three/root.cbor").0, 0);
    desk.good("keys init --plain --image 0 --out nobody");
    let (exit, answer) = desk.json("image verify t.aegis-image --root nobody/root.cbor");
    assert_eq!((exit, &answer["code"]), (1, &"no-image-role".into()));
    // A root is given the role later.
    desk.good(
        "keys rotate --root nobody/root.cbor --add-image three/image-1.key.pub --key nobody/root.key --out two.cbor",
    );
    assert_eq!(desk.json("image verify t.aegis-image --root nobody/root.cbor --root two.cbor").0, 0);
}

#[test]
fn parts_that_are_not_of_one_image_are_refused() {
    let desk = desk();
    let refused = |line: &str, expected: &str| {
        let err = desk.refused(1, &format!("{line} --key keys/image.key --out x.aegis-image"));
        assert!(err.contains(expected), "{line}: {err}");
    };
    refused(&format!("{BUILD} --sequence 4"), "a.efi: its command line has no aegis.image=1.4");
    let swapped = "image build --boot-a b.efi --boot-b a.efi --root-fs root --arch x86_64 --sequence 3";
    refused(swapped, "b.efi: its command line has no aegis.slot=a");
    desk.write("root", [b"hsqs", &[3; 8189][..]].concat());
    refused(&format!("{BUILD} --sequence 3"), "root: not a squashfs and its dm-verity tree");
    desk.write("a.efi", b"ELF");
    refused(&format!("{BUILD} --sequence 3"), "a.efi: not a kernel image");
    assert!(!desk.path("x.aegis-image").exists());
}

#[test]
fn an_image_is_put_where_devices_look_for_it() {
    let desk = desk();
    build(&desk, "site.aegis-image", "--sequence 3");
    let prepare = "stick prepare --to stick --force --root keys/root.cbor --image";
    fs::create_dir(desk.path("stick")).expect("made");
    let out = desk.good(&format!("{prepare} site.aegis-image"));
    assert!(
        out.contains("aegis/site.aegis-image") && out.contains("image of the system, epoch 1, sequence 3"),
        "{out}"
    );
    assert_eq!(desk.read("stick/aegis/site.aegis-image"), desk.read("site.aegis-image"));
    fs::copy(desk.path("site.aegis-image"), desk.path("site.aegis")).expect("copied");
    let err = desk.refused(2, &format!("{prepare} site.aegis"));
    assert!(err.contains("devices look for NAME.aegis-image"), "{err}");
}
