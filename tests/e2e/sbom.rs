//! The list of parts (`image/sbom`), without a guest: what it lists is what the production image is made of, root and ESP, and it has the
//! structure of `CycloneDX` 1.6.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aegis_qemu::{Arch, image_folder};
use aegis_tests::{Bench, arch, root};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::firmware::{Device, SLOTS_AT, userland};
use super::update::kernel_for_firmware;

/// The list of a variant: `debug`, or of the one for the field (empty).
pub(crate) fn of(variant: &str) -> Value {
    let path = image_folder(root(), arch()).join(variant).join("sbom.cdx.json");
    serde_json::from_slice(&fs::read(path).expect("make image leaves it")).expect("JSON")
}

/// What an image says is in its root: each place, with the SHA-256 of what is there.
pub(crate) fn listed(parts: &Value) -> BTreeSet<String> {
    places(parts)
        .filter(|(_, place)| place != "esp")
        .map(|(hash, place)| format!("{hash}  {place}"))
        .collect()
}

/// SHA-256 and place of all that is somewhere.
fn places(parts: &Value) -> impl Iterator<Item = (String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    parts["components"].as_array().expect("components").iter().flat_map(move |part| {
        let places = part["evidence"]["occurrences"].as_array().into_iter().flatten();
        places.map(move |place| (text(&part["hashes"][0]["content"]), text(&place["location"])))
    })
}

/// As `sha256sum` has it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Hash and place of every file below a folder.
fn files(top: &Path, folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let kind = fs::symlink_metadata(&path).expect("there").file_type();
        if kind.is_dir() {
            files(top, &path, found);
        } else if kind.is_file() {
            let place = path.strip_prefix(top).expect("below it").display();
            found.insert(format!("{}  /{place}", sha256(&fs::read(&path).expect("readable"))));
        }
    }
}

#[test]
fn the_production_root_is_what_its_list_says() {
    let (bench, image) = (Bench::new(), image_folder(root(), arch()));
    let slot = fs::read(image.join("root.img")).expect("make image leaves it");
    // It is what is in the slot of the disk that ships.
    let mut disk = vec![0; slot.len()];
    let system = File::open(image.join("system.img")).expect("make image leaves it");
    system.read_exact_at(&mut disk, SLOTS_AT[0]).expect("it is that long");
    assert!(disk == slot, "slot A is not root.img");
    let tree = bench.at("root");
    let mut unpack = Command::new("unsquashfs");
    unpack.args(["-no-progress", "-quiet", "-no-xattrs", "-dest"]).args([&tree, &image.join("root.img")]);
    Bench::good(unpack);
    let mut there = BTreeSet::new();
    files(&tree, &tree, &mut there);
    assert!(there.len() > 10, "{there:?}");
    assert_eq!(there, listed(&of("")));
}

/// The sections of a program of the firmware's, as long as they are in memory (PE/COFF, "Section Table").
fn sections(program: &[u8]) -> Vec<(String, &[u8])> {
    let word = |at: usize| u32::from_le_bytes(program[at..at + 4].try_into().expect("four bytes")) as usize;
    let half = |at: usize| usize::from(u16::from_le_bytes([program[at], program[at + 1]]));
    let header = word(0x3c);
    assert_eq!(&program[header..header + 4], b"PE\0\0");
    let table = header + 24 + half(header + 20);
    let section = |number: usize| {
        let at = table + 40 * number;
        let name = String::from_utf8_lossy(&program[at..at + 8]).trim_end_matches('\0').to_owned();
        let (virtual_bytes, raw_bytes, start) = (word(at + 8), word(at + 16), word(at + 20));
        (name, &program[start..start + virtual_bytes.min(raw_bytes)])
    };
    (0..half(header + 6)).map(section).collect()
}

/// Where systemd's stub and loader for this architecture came from (`image/lib.sh`).
fn efi(name: &str) -> Vec<u8> {
    let mut folder = PathBuf::from("/usr/lib/systemd/boot/efi");
    if arch().name() != std::env::consts::ARCH {
        folder = userland();
    }
    let name = match arch() {
        Arch::X86_64 => name.replace("ARCH", "x64"),
        Arch::Aarch64 => name.replace("ARCH", "aa64"),
    };
    fs::read(folder.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_programs_on_the_esp_are_made_of_what_the_list_says() {
    let (bench, image) = (Bench::new(), image_folder(root(), arch()));
    let device = Device::new(&bench);
    let esp = bench.at("esp");
    fs::create_dir(&esp).expect("made");
    device.esp("mcopy", &["-s", "-n", "::/", esp.to_str().expect("UTF-8")]);
    let mut there = BTreeSet::new();
    files(&esp, &esp, &mut there);
    let names: BTreeSet<&str> =
        there.iter().filter_map(|line| line.split_once("  ")).map(|(_, name)| name).collect();
    let loader = if arch() == Arch::X86_64 { "/EFI/BOOT/BOOTX64.EFI" } else { "/EFI/BOOT/BOOTAA64.EFI" };
    let kernel = "/EFI/Linux/aegis-a+9.efi";
    // Two programs, and beside them settings and keys, which are nothing that runs.
    let settings = [
        "/loader/loader.conf",
        "/loader/keys/auto/PK.auth",
        "/loader/keys/auto/KEK.auth",
        "/loader/keys/auto/db.auth",
    ];
    assert_eq!(names, settings.into_iter().chain([loader, kernel]).collect());

    let started = fs::read(kernel_for_firmware()).expect("make image leaves it");
    let (stub, boot) = (efi("linuxARCH.efi.stub"), efi("systemd-bootARCH.efi"));
    let listed: BTreeSet<String> =
        places(&of("")).filter(|(_, place)| place == "esp").map(|(hash, _)| hash).collect();
    assert_eq!(listed, [&started, &stub, &boot].map(|bytes| sha256(bytes)).into());

    let read = |name: &str| fs::read(esp.join(&name[1..])).expect("copied");
    let signed = read(kernel);
    assert!(
        signed == fs::read(image.join("boot-a.efi")).expect("make image leaves it"),
        "it is not boot-a.efi"
    );
    let mut parts = sections(&signed);
    let at = parts.iter().position(|(name, _)| name == ".linux").expect("a kernel");
    assert!(parts.remove(at).1 == started, "the kernel on the ESP is not the one that is listed");
    // The kernel's own stub asks nobody for a first root by this word alone (docs/boot.md).
    let line = parts.iter().find(|(name, _)| name == ".cmdline").expect("a command line");
    let line = String::from_utf8_lossy(line.1);
    assert!(line.split([' ', '\n', '\0']).any(|word| word == "noinitrd"), "{line}");
    // What image/uki adds; all else is the stub's.
    parts.retain(|(name, _)| ![".osrel", ".cmdline"].contains(&name.as_str()));
    assert!(parts == sections(&stub), "the stub on the ESP is not the one that is listed");
    assert!(
        sections(&read(loader)) == sections(&boot),
        "the loader on the ESP is not the one that is listed"
    );
}

/// Which keys an object of `CycloneDX` 1.6 (ECMA-424) may have of those that we write, and which it must have.
const BOM: (&[&str], &[&str]) = (
    &["$schema", "bomFormat", "specVersion", "version", "metadata", "components", "dependencies"],
    &["bomFormat", "specVersion", "version"],
);
const COMPONENT: (&[&str], &[&str]) = (
    &["type", "bom-ref", "name", "version", "description", "purl", "hashes", "licenses", "evidence"],
    &["type", "bom-ref", "name"],
);
const TYPES: [&str; 4] = ["application", "library", "firmware", "file"];

fn keys(what: &str, object: &Value, (may, must): (&[&str], &[&str])) -> Result<(), String> {
    let object = object.as_object().ok_or_else(|| format!("{what}: no object"))?;
    let stray = object.keys().find(|key| !may.contains(&key.as_str()));
    let missing = must.iter().find(|key| !object.contains_key(**key));
    match (stray, missing) {
        (Some(key), _) => Err(format!("{what}: no key of it: {key}")),
        (_, Some(key)) => Err(format!("{what}: no {key}")),
        _ => Ok(()),
    }
}

fn text<'v>(what: &str, value: &'v Value) -> Result<&'v str, String> {
    value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("{what}: no text"))
}

fn array<'v>(what: &str, value: &'v Value) -> Result<&'v [Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{what}: no array"))
}

/// A list that may be left out.
fn each<'v>(what: &str, value: &'v Value) -> Result<&'v [Value], String> {
    if value.is_null() { Ok(&[]) } else { array(what, value) }
}

fn component(part: &Value) -> Result<&str, String> {
    let reference = text("bom-ref", &part["bom-ref"])?;
    keys(reference, part, COMPONENT)?;
    let kind = text(reference, &part["type"])?;
    if !TYPES.contains(&kind) {
        return Err(format!("{reference}: no type: {kind}"));
    }
    for key in ["name", "version", "description", "purl"] {
        if key == "name" || !part[key].is_null() {
            text(&format!("{reference}: {key}"), &part[key])?;
        }
    }
    if part["purl"].as_str().is_some_and(|purl| !purl.starts_with("pkg:")) {
        return Err(format!("{reference}: no package URL"));
    }
    for hash in each(reference, &part["hashes"])? {
        keys(reference, hash, (&["alg", "content"], &["alg", "content"]))?;
        let content = text(reference, &hash["content"])?;
        if hash["alg"] != "SHA-256"
            || content.len() != 64
            || !content.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(format!("{reference}: no SHA-256"));
        }
    }
    // An expression stands alone.
    let licences = each(reference, &part["licenses"])?;
    for licence in licences {
        keys(reference, licence, (&["expression"], &["expression"]))?;
        text(reference, &licence["expression"])?;
    }
    if licences.len() > 1 {
        return Err(format!("{reference}: more than one expression"));
    }
    for place in each(reference, &part["evidence"]["occurrences"])? {
        keys(reference, place, (&["location"], &["location"]))?;
        text(reference, &place["location"])?;
    }
    Ok(reference)
}

/// What is wrong with a list, if anything: keys, types, references. The schema itself is not held against it.
fn structure(parts: &Value) -> Result<(), String> {
    keys("the whole", parts, BOM)?;
    if parts["bomFormat"] != "CycloneDX"
        || parts["specVersion"] != "1.6"
        || parts["version"].as_u64().is_none_or(|version| version == 0)
    {
        return Err("not CycloneDX 1.6".into());
    }
    keys("metadata", &parts["metadata"], (&["timestamp", "component"], &[]))?;
    let time = text("timestamp", &parts["metadata"]["timestamp"])?;
    // As we write it: seconds, in UTC (RFC 3339).
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape != "0000-00-00T00:00:00Z" {
        return Err(format!("no time: {time}"));
    }
    let mut references = BTreeSet::from([component(&parts["metadata"]["component"])?]);
    let components = array("components", &parts["components"])?;
    for part in components {
        let reference = component(part)?;
        if !references.insert(reference) {
            return Err(format!("{reference}: twice"));
        }
    }
    let mut said = BTreeSet::new();
    for dependency in array("dependencies", &parts["dependencies"])? {
        keys("a dependency", dependency, (&["ref", "dependsOn"], &["ref"]))?;
        let of = text("ref", &dependency["ref"])?;
        if !said.insert(of) {
            return Err(format!("{of}: its dependencies twice"));
        }
        let mut on = BTreeSet::new();
        for other in each(of, &dependency["dependsOn"])? {
            if !on.insert(text(of, other)?) {
                return Err(format!("{of}: on {other} twice"));
            }
        }
        if let Some(lost) = on.iter().chain([&of]).find(|name| !references.contains(**name)) {
            return Err(format!("{lost}: a dependency, and no component"));
        }
    }
    Ok(())
}

/// What `image/sbom` says of these programs of the workstation's.
fn of_tools(bench: &Bench, programs: &[PathBuf]) -> Value {
    let crates = bench.at("crates.json");
    let names = programs.iter().map(|program| program.file_name().expect("a program"));
    let mut asked = Command::new(root().join("image/crates"));
    asked
        .arg(root())
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .args(names)
        .stdout(File::create(&crates).expect("made"));
    assert!(asked.status().expect("it starts").success());
    let mut listed = Command::new(root().join("image/sbom"));
    listed.args(["programs", "0.1.0"]).arg(&crates).args(programs);
    let listed = listed.output().expect("it starts");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    serde_json::from_slice(&listed.stdout).expect("JSON")
}

#[test]
fn the_tools_have_a_list_too() {
    let bench = Bench::new();
    let programs = ["aegisctl", "aegis-qemu"].map(|name| root().join("target/debug").join(name));
    let parts = of_tools(&bench, &programs);
    assert_eq!(structure(&parts), Ok(()));
    let hashed: BTreeSet<(String, String)> = places(&parts).collect();
    let there = programs.map(|program| {
        let name = program.file_name().expect("a program").to_string_lossy().into_owned();
        (sha256(&fs::read(program).expect("built")), name)
    });
    assert_eq!(hashed, there.into());
    // Of the crates each that is linked into them, as it was fetched; the device's own is none of them.
    let names: BTreeSet<&str> = parts["components"]
        .as_array()
        .expect("components")
        .iter()
        .filter_map(|part| part["name"].as_str())
        .collect();
    assert!(["ed25519-compact", "aegis-bundle", "clap"].iter().all(|name| names.contains(name)), "{names:?}");
    assert!(!names.contains("aegis"), "{names:?}");
}

#[test]
fn the_lists_have_the_structure_of_cyclonedx() {
    for variant in ["", "debug"] {
        let parts = of(variant);
        assert_eq!(structure(&parts), Ok(()), "{variant}");
        assert!(parts["components"].as_array().is_some_and(|parts| parts.len() > 100), "{variant}");
        // Whoever looks for a vulnerable crate finds its name, version and where it came from.
        for part in parts["components"].as_array().into_iter().flatten().filter(|part| part["type"] != "file")
        {
            assert!(part["version"].is_string() && part["purl"].is_string(), "{part}");
            assert!(part["licenses"].as_array().is_some_and(|licences| licences.len() == 1), "{part}");
        }
    }
    let good = of("");
    let wrong: [(&str, Value); 12] = [
        ("/bomFormat", json!("SPDX")),
        ("/specVersion", json!("1.7")),
        ("/version", json!(0)),
        ("/metadata/timestamp", json!("yesterday")),
        ("/metadata/component/type", json!("image")),
        ("/components/0/name", json!("")),
        ("/components/0/hashes", json!([{ "alg": "SHA-256", "content": "00" }])),
        ("/components/0/licenses", json!([{ "expression": "MIT" }, { "expression": "ISC" }])),
        ("/components/0/bom-ref", good["components"][1]["bom-ref"].clone()),
        ("/components/0/evidence/occurrences", json!([{}])),
        ("/dependencies/0/ref", json!("nobody")),
        ("/dependencies/0/dependsOn", json!(["nobody"])),
    ];
    for (place, value) in wrong {
        let mut parts = good.clone();
        let (object, key) = place.rsplit_once('/').expect("a path");
        parts.pointer_mut(object).unwrap_or_else(|| panic!("{object}: nothing there"))[key] = value;
        assert!(structure(&parts).is_err(), "{place}");
    }
    let mut stray = good;
    stray["components"][0]["licence"] = json!("MIT");
    assert!(structure(&stray).is_err());
}
