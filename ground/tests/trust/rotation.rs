//! Rotation and revocation, m of n, each key on a machine of its own with a stick in between.

use std::fs;

use aegis_bundle::Root;

use crate::{Desk, repository};

/// A house with 2 of 3 root keys, 2 of 2 policy keys, each on its own machine, and root.cbor at the office.
fn house() -> Desk {
    let desk = Desk(tempfile::tempdir().expect("a temporary directory"));
    for machine in ["alice", "bob", "carol", "dan", "eve"] {
        fs::create_dir(desk.path(machine)).expect("made");
    }
    desk.good(
        "keys init --plain --out office --root-to alice --root-to bob --root-to carol --policy-to dan --policy-to eve",
    );
    desk
}

fn root(desk: &Desk, name: &str) -> Root {
    Root::open(&desk.read(name)).expect("complete")
}

#[test]
fn root_metadata_is_rotated_by_people_who_never_meet() {
    let desk = house();
    let carol = desk.id("carol/root-3.key.pub");
    desk.good("keys new --plain --role root --out frank.key");

    // 1 -> 2: carol leaves, frank comes. Alice begins at her machine.
    let begin = format!(
        "--add-root frank.key.pub --remove-root {carol} --key alice/root-1.key --out alice/root-2.cbor"
    );
    let (exit, begun) = desk.json(&format!("keys rotate --root office/root.cbor {begin}"));
    assert_eq!((exit, &begun["complete"]), (0, &false.into()));
    assert_eq!((&begun["old_root"]["wanting"], &begun["new_root"]["wanting"]), (&1.into(), &1.into()));
    let (exit, found) = desk.json("keys check office/root.cbor alice/root-2.cbor");
    let files = &found["files"];
    assert_eq!((exit, &files[0]["good"], &files[1]["good"]), (1, &true.into(), &false.into()));
    assert_eq!(files[1]["code"], "not-vouched");
    let bob = desk.id("bob/root-2.key.pub");
    assert!(files[1]["roots"]["1"]["missing"].as_array().expect("a list").contains(&bob.into()), "{files}");

    // The stick goes to bob: he is in both roles, so that is enough.
    fs::copy(desk.path("alice/root-2.cbor"), desk.path("bob/root-2.cbor")).expect("copied");
    let shown = desk.good("keys sign bob/root-2.cbor --root office/root.cbor --key bob/root-2.key --yes");
    assert!(
        shown.contains(&format!("- {carol}")) && shown.contains("root metadata version 1 -> 2"),
        "{shown}"
    );
    assert_eq!(desk.json("keys check office/root.cbor bob/root-2.cbor").0, 0);
    let one = root(&desk, "office/root.cbor");
    let two = one.next(&desk.read("bob/root-2.cbor")).expect("both thresholds");
    // Whoever begins: the same people make the same file.
    desk.good(&format!(
        "keys rotate --root office/root.cbor --add-root frank.key.pub --remove-root {carol} --key bob/root-2.key --out x.cbor"
    ));
    desk.good("keys sign x.cbor --root office/root.cbor --key alice/root-1.key --yes");
    assert_eq!(desk.read("x.cbor"), desk.read("bob/root-2.cbor"));

    // 2 -> 3: a threshold is lowered; frank has a say now, carol has none.
    let chain = "--root office/root.cbor --root bob/root-2.cbor";
    let err = desk
        .refused(1, &format!("keys rotate {chain} --policy-threshold 1 --key carol/root-3.key --out y.cbor"));
    assert!(err.contains("carol/root-3.key: the root does not list this key"), "{err}");
    desk.good(&format!(
        "keys rotate {chain} --policy-threshold 1 --key frank.key --key alice/root-1.key --out root-3.cbor"
    ));
    let three = two.next(&desk.read("root-3.cbor")).expect("good");
    assert_eq!((three.version, three.policy.threshold), (3, 1));

    // 3 -> 4: the epoch rises.
    let chain = format!("{chain} --root root-3.cbor");
    desk.good(&format!(
        "keys rotate {chain} --raise-epoch --key frank.key --key bob/root-2.key --out root-4.cbor"
    ));
    let four = three.next(&desk.read("root-4.cbor")).expect("good");
    assert_eq!((four.version, four.epoch), (4, 2));
    assert_eq!(desk.json("keys check office/root.cbor bob/root-2.cbor root-3.cbor root-4.cbor").0, 0);
    // A link left out, or out of turn.
    for wrong in ["office/root.cbor root-3.cbor", "office/root.cbor root-3.cbor bob/root-2.cbor"] {
        let (exit, found) = desk.json(&format!("keys check {wrong}"));
        assert_eq!((exit, &found["files"][1]["good"]), (1, &false.into()), "{found}");
    }
    let err = desk.refused(2, "bundle verify x --root office/root.cbor --root root-3.cbor");
    assert!(err.contains("root-3.cbor: ") && err.contains("name every version in turn"), "{err}");
}

#[test]
fn a_bundle_is_signed_by_people_who_never_meet() {
    let desk = house();
    let demo = repository().join("policy-bundles/demo.toml");
    let build = format!("bundle build --policy {} --root office/root.cbor --sequence 1", demo.display());
    let out = desk.good(&format!("{build} --key dan/policy-1.key --out dan/a.aegis"));
    assert!(out.contains("1 of 2 needed") && out.contains("NOT complete"), "{out}");
    let (exit, answer) = desk.json("bundle verify dan/a.aegis --root office/root.cbor");
    assert_eq!((exit, &answer["code"]), (1, &"threshold".into()));
    let (exit, found) = desk.json("keys check dan/a.aegis --root office/root.cbor");
    assert_eq!((exit, &found["files"][0]["code"]), (1, &"threshold".into()));
    assert_eq!(found["files"][0]["roots"]["1"]["missing"][0], desk.id("eve/policy-2.key.pub"));

    fs::copy(desk.path("dan/a.aegis"), desk.path("eve/a.aegis")).expect("copied");
    let sign = "bundle sign eve/a.aegis --root office/root.cbor --yes";
    for (key, expected) in [
        (
            "dan/policy-1.key",
            "dan/policy-1.key: this key signed it already; a threshold counts distinct keys",
        ),
        (
            "alice/root-1.key",
            "alice/root-1.key: a root key, which signs root metadata; a policy key is wanted",
        ),
    ] {
        let err = desk.refused(1, &format!("{sign} --json --key {key}"));
        assert!(err.contains(expected), "{err}");
    }
    desk.good("keys new --plain --role policy --out stranger.key");
    let err = desk.refused(1, &format!("{sign} --json --key stranger.key"));
    assert!(err.contains("the root does not list this key"), "{err}");
    let err = desk.refused(1, &format!("{sign} --json --key eve/policy-2.key --key eve/policy-2.key"));
    assert!(err.contains("the same key twice"), "{err}");
    assert_eq!(desk.read("eve/a.aegis"), desk.read("dan/a.aegis"), "a refusal changes nothing");

    desk.good(&format!("{sign} --key eve/policy-2.key"));
    assert_eq!(desk.json("bundle verify eve/a.aegis --root office/root.cbor").0, 0);
    assert_eq!(desk.json("keys check eve/a.aegis --root office/root.cbor").0, 0);
    // Both at once, in the other order, at the same second: the same file.
    let created = desk.json("bundle inspect eve/a.aegis").1["created"].to_string();
    desk.good(&format!(
        "{build} --key eve/policy-2.key --key dan/policy-1.key --created {created} --out both.aegis"
    ));
    assert_eq!(desk.read("both.aegis"), desk.read("eve/a.aegis"));
    // What is no bundle is not signed as one.
    let err = desk.refused(1, "bundle sign office/root.cbor --key eve/policy-2.key --yes");
    assert!(err.contains("not a bundle; sign it with `keys sign`"), "{err}");
    let err = desk.refused(1, "keys sign office/ceremony.txt --key eve/policy-2.key --yes");
    assert!(
        err.contains(
            "neither a bundle, nor an image, nor a workload, nor root metadata, nor a break-glass token"
        ),
        "{err}"
    );
}

#[test]
fn a_seventeenth_signature_is_refused() {
    let desk = house();
    let demo = repository().join("policy-bundles/demo.toml");
    let keys: Vec<String> = (0..17).map(|n| format!("k{n}.key")).collect();
    for key in &keys {
        desk.good(&format!("keys new --plain --role policy --out {key}"));
    }
    let all = keys[..16].iter().map(|key| format!("--key {key}")).collect::<Vec<_>>().join(" ");
    desk.good(&format!("bundle build --policy {} --sequence 1 {all} --out a.aegis", demo.display()));
    let err = desk.refused(1, "keys sign a.aegis --key k16.key --yes --json");
    assert!(err.contains("it has 16 signatures, which is the most"), "{err}");
}

#[test]
fn what_is_revoked_is_worth_nothing_and_stays_so() {
    let desk = house();
    let demo = repository().join("policy-bundles/demo.toml");
    let build =
        format!("bundle build --policy {} --key dan/policy-1.key --key eve/policy-2.key", demo.display());
    desk.good(&format!("{build} --sequence 1 --out bad.aegis"));
    desk.good(&format!("{build} --sequence 2 --out worse.aegis"));
    let hash =
        desk.json("bundle inspect worse.aegis").1["manifest_sha256"].as_str().expect("a hash").to_owned();
    let dan = desk.id("dan/policy-1.key.pub");
    let sign = "--key alice/root-1.key --key carol/root-3.key";
    let revoke = format!("keys revoke --root office/root.cbor {sign}");

    // Two are needed, and one would be left.
    let err = desk.refused(1, &format!("{revoke} --key-id {dan} --out root-2.cbor"));
    assert!(err.contains("--add-policy PUB") && err.contains("--policy-threshold 1"), "{err}");
    let err = desk.refused(2, &format!("{revoke} --out root-2.cbor"));
    assert!(err.contains("nothing to revoke"), "{err}");
    let err = desk.refused(1, &format!("{revoke} --key-id 0123456789abcdef --out root-2.cbor"));
    assert!(err.contains("give its whole fingerprint"), "{err}");
    assert!(!desk.path("root-2.cbor").exists());

    desk.good("keys new --plain --role policy --out frank.key");
    let out = desk.good(&format!(
        "{revoke} --key-id {dan} --add-policy frank.key.pub --bundle bad.aegis --bundle {hash} --out root-2.cbor"
    ));
    assert!(out.contains("complete; devices that trust version 1 take it"), "{out}");
    let chain = "--root office/root.cbor --root root-2.cbor";
    let verify = |name: &str| desk.json(&format!("bundle verify {name} {chain}")).1["code"].clone();
    // Its key is revoked first of all; with a new one beside it, the bundle itself still is.
    assert_eq!(verify("bad.aegis"), "revoked-key");
    for name in ["bad.aegis", "worse.aegis"] {
        desk.good(&format!("bundle sign {name} --key frank.key --yes {chain}"));
        assert_eq!(verify(name), "revoked");
    }
    let err =
        desk.refused(1, &format!("bundle sign worse.aegis {chain} --key dan/policy-1.key --yes --json"));
    assert!(err.contains("the root revokes this key"), "{err}");
    let err = desk.refused(1, &format!("{build} --sequence 3 {chain} --out new.aegis"));
    assert!(err.contains("dan/policy-1.key: the root revokes this key"), "{err}");
    let (exit, found) = desk.json("keys check dan/policy-1.key --root office/root.cbor --root root-2.cbor");
    assert_eq!((exit, &found["files"][0]["code"]), (1, &"revoked-key".into()));
    // It can't come back, under whatever promise.
    let err = desk.refused(
        1,
        &format!("keys rotate {chain} --add-policy dan/policy-1.key.pub {sign} --out root-3.cbor"),
    );
    assert!(err.contains("is revoked, and stays so"), "{err}");
    // Roots that are written are never written over.
    let err = desk.refused(2, &format!("{revoke} --bundle bad.aegis --out root-2.cbor"));
    assert!(err.contains("root-2.cbor: exists"), "{err}");
}

#[test]
fn public_halves_are_not_believed_without_proof() {
    let desk = house();
    desk.good("keys new --plain --role policy --out p.key");
    let rotate = "keys rotate --root office/root.cbor --key alice/root-1.key --out root-2.cbor";
    let text = String::from_utf8(desk.read("p.key.pub")).expect("text");
    for (change, line, expected) in [
        (
            ("role: policy", "role: root"),
            "--add-root",
            "the proof that its maker has the secret key does not verify",
        ),
        (("", ""), "--add-root", "made for the policy role; give it to --add-policy"),
        (("proof: ", "proof: 00"), "--add-policy", "128 hex digits"),
        (("-----BEGIN AEGIS PUBLIC KEY-----", "-----BEGIN-----"), "--add-policy", "not a public key file"),
    ] {
        desk.write("bad.pub", text.replacen(change.0, change.1, 1));
        let err = desk.refused(1, &format!("{rotate} {line} bad.pub"));
        assert!(err.contains(expected), "{err}");
    }
    // The neutral element, with the signature that satisfies the equation for everything.
    let neutral = format!("01{}", "00".repeat(31));
    let forged = format!(
        "-----BEGIN AEGIS PUBLIC KEY-----\nrole: policy\npublic: {neutral}\nproof: {neutral}{}\n-----END AEGIS PUBLIC KEY-----\n",
        "00".repeat(32)
    );
    desk.write("bad.pub", forged);
    let err = desk.refused(1, &format!("{rotate} --add-policy bad.pub"));
    assert!(err.contains("not canonical, or of small order"), "{err}");
    assert!(!desk.path("root-2.cbor").exists());
}
