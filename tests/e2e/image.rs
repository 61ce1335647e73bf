//! The image: its root is what the kernel was told it is, or nothing runs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::firmware::SLOTS_AT;
use super::sbom;
use aegis_qemu::{Arch, End, image_folder};
use aegis_tests::{Bench, arch, console, limit, limits, root};

const BLOCK: u64 = 4096;

/// Our own image, with one bit of its system disk flipped.
fn flipped(bench: &Bench, at: u64) -> PathBuf {
    let (from, to) = (image_folder(root(), arch()), bench.at("image"));
    fs::create_dir_all(to.join("debug")).expect("a folder for the image");
    for name in ["vmlinuz", "debug/system.img", "debug/system.cmdline"] {
        fs::copy(from.join(name), to.join(name)).expect("make image leaves it");
    }
    let disk = File::options().read(true).write(true).open(to.join("debug/system.img")).expect("copied");
    let mut byte = [0];
    disk.read_exact_at(&mut byte, at).expect("it is in the disk");
    disk.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
    to
}

/// Blocks of the root, and behind them those of the tree, by the line that the kernel is told.
fn blocks() -> (u64, u64) {
    let line = fs::read_to_string(image_folder(root(), arch()).join("debug/system.cmdline"))
        .expect("make image leaves it");
    let words: Vec<&str> = line.split(' ').collect();
    let at = words.iter().position(|word| *word == "4096").expect("the size of a block");
    let blocks: u64 = words[at + 2].parse().expect("how many blocks");
    // 128 hashes of 32 bytes a block.
    let (mut tree, mut level) = (0, blocks);
    while level > 1 {
        level = level.div_ceil(BLOCK / 32);
        tree += level;
    }
    (blocks, tree)
}

/// Programs, root and kernel, as they were built.
#[test]
fn the_image_is_within_its_limits() {
    let image = image_folder(root(), arch());
    let bytes = |path: PathBuf| {
        let data = fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        data.len()
    };
    let programs = root().join("target").join(arch().target()).join("release");
    let mut seen = 0;
    for (name, most) in limits().into_iter().filter(|(name, _)| name.starts_with("aegis")) {
        let length = bytes(programs.join(&name));
        println!("{name}: {length} of {most} bytes");
        assert!((1..=most).contains(&length), "{name}: {length} of {most} bytes");
        seen += 1;
    }
    assert!(seen >= 3, "{seen} programs");
    let (root, kernel) = (bytes(image.join("root.img")), bytes(image.join("vmlinuz")));
    println!("root {root} bytes, kernel {kernel}, both {}", root + kernel);
    assert!(root <= limit("root") && root + kernel <= limit("kernel-and-root"), "{root} and {kernel} bytes");
}

#[test]
fn the_root_is_verified_before_anything_runs_and_every_file_is_listed() {
    let bench = Bench::new();
    // busybox's tools are copies of it: under emulation a minute of hashing.
    let run = Bench::run(bench.demo(
        "cat /sys/block/dm-0/dm/name; grep ' / ' /proc/mounts; cat /proc/cmdline; echo
sha256sum /usr/bin/aegis /usr/bin/busybox /usr/bin/sh
find / -xdev -type f ! -path '/usr/bin/*' -exec sha256sum {} +
find / -xdev -type f -path '/usr/bin/*' | sed 's/^/there /'",
    ));
    let out = run.out_text();
    let parts = sbom::of("debug");
    let listed = sbom::listed(&parts);
    let hashed: BTreeSet<&str> = out.lines().filter(|line| line.get(64..67) == Some("  /")).collect();
    assert!(hashed.len() > 8 && hashed.iter().all(|line| listed.contains(*line)), "{hashed:?}\n{listed:?}");
    let places = |lines: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        lines.filter_map(|line| line.split_once(" /")).map(|(_, place)| place.to_owned()).collect()
    };
    let there = hashed.iter().copied().chain(out.lines().filter(|line| line.starts_with("there /")));
    let there = places(&mut there.into_iter());
    assert!(there.len() > 200, "{out}");
    assert_eq!(there, places(&mut listed.iter().map(String::as_str)));
    // The crates that the agent asks for itself are there, in the versions that it was built of.
    let locked = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    for name in ["aya", "ed25519-compact", "heapless", "minicbor", "postcard", "smol"] {
        let found = parts["components"].as_array().into_iter().flatten().find(|part| part["name"] == name);
        let version =
            found.unwrap_or_else(|| panic!("{name} is not listed"))["version"].as_str().expect("text");
        assert!(
            locked.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")),
            "{name} {version}"
        );
    }
    assert!(out.starts_with("aegis-root\n/dev/root / squashfs ro,"), "{out}");
    assert!(out.contains(" restart_on_corruption"), "{out}");
    let console = console(&run);
    let line = |text: &str| console.lines().position(|line| line.contains(text));
    let (verified, loading) = (line("root verified, every block"), line("loading probes and policy"));
    assert!(verified.is_some() && verified < loading, "{console}");
}

#[test]
fn a_flipped_bit_anywhere_in_the_root_is_found_before_anything_runs() {
    let (blocks, tree) = blocks();
    let spots = [
        ("superblock", 0),
        ("first quarter", blocks / 4),
        ("last block", blocks - 1),
        ("lowest hashes", blocks + tree - 1),
        ("highest hash", blocks),
    ];
    for (name, block) in spots {
        let bench = Bench::new();
        let image = flipped(&bench, SLOTS_AT[0] + block * BLOCK + 17);
        let (_slot, vm) = Bench::start(bench.demo("echo RAN").image(image));
        let run = vm.finish().expect("watched");
        let console = fs::read_to_string(run.console()).unwrap_or_default();
        assert_ne!(run.end, End::Ran, "{name}: {console}");
        assert!(!console.contains("AEGIS-READY"), "{name}: {console}");
        assert!(!console.contains("loading probes and policy"), "{name}: {console}");
        assert!(console.contains("device-mapper: verity"), "{name}: {console}");
    }
}

/// What the page on hardening says of each option is what was built.
#[test]
fn the_page_on_hardening_says_what_the_kernel_is() {
    let page = fs::read_to_string(root().join("docs/kernel-hardening.md")).expect("there");
    let (x86_64, aarch64) = page.split_once("\n## aarch64\n").expect("it has both");
    let (page, least) = match arch() {
        Arch::X86_64 => (x86_64, 25),
        Arch::Aarch64 => (aarch64, 8),
    };
    let config =
        fs::read_to_string(image_folder(root(), arch()).join("kernel.config")).expect("make image leaves it");
    let mut lines = 0;
    for row in page.lines().filter(|line| line.starts_with("| `CONFIG_")) {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let (option, said) =
            (cells.next().unwrap_or_default().trim_matches('`'), cells.next().unwrap_or_default());
        let is = config
            .lines()
            .find_map(|line| line.strip_prefix(option)?.strip_prefix('='))
            .or_else(|| config.lines().any(|line| line == format!("# {option} is not set")).then_some("n"));
        assert_eq!(is.unwrap_or("absent"), said, "{row}");
        lines += 1;
    }
    assert!(lines >= least, "{lines}");
}
