//! The paper record of a ceremony: everything that is to be known later, and no secret.

use std::fmt::Write;
use std::path::Path;

use aegis_bundle::{Root, hash};
use aegis_cose::{fingerprint, key_id};
use aegis_event::Printable;
use aegis_keys::KeyRole;

use crate::{hex, time};

/// A key that the ceremony made.
pub(super) struct Made<'a> {
    pub(super) key: [u8; 32],
    pub(super) role: KeyRole,
    pub(super) path: &'a Path,
}

/// The text of ceremony.txt.
pub(super) fn text(root: &Root, metadata: &[u8], keys: &[Made<'_>], plain: bool, now: u64) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write(&mut out, root, metadata, keys, plain, now);
    out
}

fn write(
    out: &mut String,
    root: &Root,
    metadata: &[u8],
    keys: &[Made<'_>],
    plain: bool,
    now: u64,
) -> std::fmt::Result {
    writeln!(out, "AEGIS KEY CEREMONY   {}   aegisctl {}", time::show(now), env!("CARGO_PKG_VERSION"))?;
    writeln!(out)?;
    writeln!(out, "Root metadata version {}, epoch {}. SHA-256 of root.cbor:", root.version, root.epoch)?;
    write_hash(out, &hash(metadata))?;
    for role in KeyRole::ALL {
        writeln!(out)?;
        let Some(seats) = role.of(root) else {
            let means = match role {
                KeyRole::Image => "No device takes an image by stick.",
                KeyRole::Workload => "No device takes a workload by stick.",
                _ => "The glass can't be broken by a token.",
            };
            writeln!(out, "{}: nobody. {means}", role.name().to_uppercase())?;
            continue;
        };
        let (few, many) = (seats.threshold, seats.keys.len());
        writeln!(out, "{}: {few} of {many} sign {}", role.name().to_uppercase(), role.signs())?;
        for made in keys.iter().filter(|made| made.role == role) {
            let file = Printable(made.path.as_os_str().as_encoded_bytes());
            let how = if plain { "NOT ENCRYPTED" } else { "encrypted" };
            writeln!(out, "  {file} ({how})")?;
            writeln!(
                out,
                "    key id {}, fingerprint (SHA-256 of the public key):",
                hex::encode(&key_id(&made.key))
            )?;
            write_hash(out, &fingerprint(&made.key))?;
            if !plain {
                writeln!(out, "    holder ______________________  signature ______________________")?;
            }
        }
    }
    writeln!(out)?;
    if plain {
        return writeln!(out, "These keys are plain, not encrypted: for tests and development only.");
    }
    writeln!(out, "Date ______________   Witness ______________________   Witness ______________________")?;
    writeln!(out)?;
    writeln!(
        out,
        "\
What to do now
 1. Print this, compare the fingerprints with the screen, sign it, lock it away.
 2. Give each holder their key; take it off this machine. Who holds a key chose its
    passphrase: nobody can recover it. Keep a second copy of each key elsewhere.
 3. Put root.cbor into the image (image/build --root-cbor root.cbor): it is what devices trust.
 4. Try each key once:   aegisctl keys check KEYFILE --root root.cbor
 5. A key is lost:       aegisctl keys rotate --root root.cbor --remove-ROLE ID --add-ROLE PUB …
    A key is stolen:     aegisctl keys revoke --root root.cbor --key-id ID --add-ROLE PUB …"
    )
}

/// Sixteen groups of four digits, eight on a line.
fn write_hash(out: &mut String, hash: &[u8; 32]) -> std::fmt::Result {
    let (front, back) = hash.split_at(16);
    writeln!(out, "      {}", hex::grouped(front))?;
    writeln!(out, "      {}", hex::grouped(back))
}
