//! The file, and what is struck out of it.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use proptest::prelude::*;

use super::redact::redact;
use super::*;

const SOME: [(&str, &str, Make); 3] = [
    ("a.json", "what is there", || Ok(b"{}\n".to_vec())),
    ("b.log", "what is not", || Err("why".into())),
    ("c.log", "what is too long", || Ok(vec![0; limits::SUPPORT_PART_BYTES + 1])),
];

#[test]
fn a_bundle_is_a_tar_file_and_the_same_each_time() {
    let file = bundle(&SOME);
    assert_eq!(file, bundle(&SOME));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("support.tar");
    std::fs::write(&path, &file).unwrap();
    let out = Command::new("tar").arg("-C").arg(folder.path()).arg("-xvf").arg(&path).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let names = "contents.txt\na.json\nb.log.missing\nc.log.missing\n";
    assert_eq!(String::from_utf8_lossy(&out.stdout), names);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("contents.txt"), "a.json: what is there\nb.log: what is not\nc.log: what is too long\n");
    assert_eq!((read("a.json").as_str(), read("b.log.missing").as_str()), ("{}\n", "why\n"));
    assert!(read("c.log.missing").contains("at most"));
}

#[test]
fn every_part_is_on_the_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/doctor.md");
    let page = std::fs::read_to_string(path).unwrap();
    let table = page.split("## The support bundle\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let told: Vec<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let here: Vec<&str> = ["contents.txt"].into_iter().chain(PARTS.map(|(name, ..)| name)).collect();
    assert_eq!(told, here);
}

#[test]
fn words_that_may_be_a_secret_are_struck_out_and_others_stay() {
    for kept in [
        "[    1.000000] EXT4-fs (vda5): mounted filesystem 4f1f-9d2c r/w with ordered data mode.",
        "PCI: Using ECAM at [mem 0xb0000000-0xbfffffff]",
        "dm-mod.create=root,,,ro,0 4096 verity 1 /dev/vda2 /dev/vda2 restart_on_corruption",
        "/sys/devices/pci0000:00/0000:00:03.0/usb1/1-1",
        "CONFIGURATION_OF_A_LONG_NAME some-words-in-a-row-that-are-long",
        "acpi_LNXSYSTM:00_LNXSYBUS:00",
    ] {
        assert_eq!(redact(kept), kept);
    }
    let hex = "0123456789abcdef".repeat(4);
    for (text, expected) in [
        (format!("key {hex}"), "key [redacted]".to_owned()),
        (format!("a={hex} b"), "[redacted] b".to_owned()),
        ("token AGE-SECRET-KEY-1QQPQYZ9ACDEFG2345678 end".into(), "token [redacted] end".into()),
    ] {
        assert_eq!(redact(&text), expected);
    }
}

/// As a log might have a key.
fn forms(key: &[u8]) -> Vec<String> {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextets = key.chunks(3).flat_map(|three| {
        let word =
            three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..=three.len()).map(move |at| BASE64[(word >> (18 - 6 * at) & 63) as usize] as char)
    });
    let base64: String = sextets.collect();
    let url = base64.replace('+', "-").replace('/', "_");
    let hex = hex(key);
    vec![hex.to_ascii_uppercase(), hex, base64, url]
}

proptest! {
    /// No key of 32 bytes is left in any of its forms, wherever it stands.
    #[test]
    fn no_key_is_left(key in any::<[u8; 32]>(), before in "[ -~]{0,20}[ :,]", after in "[ :,\n][ -~]{0,20}") {
        for form in forms(&key) {
            let text = redact(&format!("{before}{form}{after}"));
            prop_assert!(!text.contains(&form), "{text}");
        }
    }

    #[test]
    fn any_text_is_redacted(text in any::<String>()) {
        let once = redact(&text);
        prop_assert_eq!(redact(&once), once);
    }
}

#[test]
fn a_record_of_the_kernel_is_a_line() {
    let record = b"6,339,5140900,-;NET: Registered PF_INET6 protocol family\n SUBSYSTEM=net\n DEVICE=+x\n";
    assert_eq!(klog::line(record), "[    5.140900] NET: Registered PF_INET6 protocol family\n");
    for odd in [&b""[..], b"x", b";", b"1,2;\xff"] {
        assert!(klog::line(odd).starts_with("[    0.000000] "), "{odd:?}");
    }
}
