//! `aegis stick DIR`: the best acceptable bundle of a mounted stick, and a receipt for everything that was offered.

use std::io;
use std::path::{Path, PathBuf};

use aegis_bundle::{Answer, Receipt, Root, encode_receipt, limits as bounds, open};
use aegis_event::Mode;

use super::policy::{self, Taken};
use crate::kernel::KernelState;
use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::storage::device::{self, Identity, hex};
use crate::storage::{DATA, atomic, trust};

const DIRECTORY: &str = "aegis";
const OUT: &str = "out";
const SUFFIX: &str = "aegis";

/// A bundle file of the stick. Its bytes are read when it is looked at, one file at a time.
struct Offered {
    path: PathBuf,
    /// Epoch and sequence, when it would be let in now.
    rank: Option<(u64, u64)>,
}

impl Offered {
    /// The file's name, safe to show.
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        aegis_event::Printable(name.as_encoded_bytes()).to_string()
    }
}

/// Exit 0 when the stick held nothing, or what is in force now is the best of it; 1 when it held bundles and none was let
/// in.
pub(crate) fn run(mount: &Path) -> Outcome {
    let identity =
        Identity::open_or_create().map_err(|error| Failure::error(format!("device key: {error}")))?;
    let root = trust::root()?;
    let directory = mount.join(DIRECTORY);
    let mut offered =
        look(&directory).map_err(|error| Failure::error(format!("{}: {error}", directory.display())))?;
    let before = trust::remembered().map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
    let context = trust::context(&root, identity.id(), before.state);
    for bundle in &mut offered {
        let Ok(bytes) = atomic::read_bounded(&bundle.path, limits::BUNDLE_BYTES) else { continue };
        let manifest = open(&bytes, &context).map(|bundle| bundle.manifest);
        bundle.rank = manifest.ok().map(|manifest| (manifest.epoch, manifest.sequence));
    }
    // Best first; what can't be let in last.
    offered.sort_by(|a, b| b.rank.cmp(&a.rank).then_with(|| a.path.cmp(&b.path)));
    // A stick that can't be written to still brings policy.
    let receipts = Receipts::open(mount)
        .inspect_err(|error| log::error!("stick: no receipts: {}: {error}", mount.display()))
        .ok();
    answer_all(&offered, &root, &identity, |taken| {
        let Some(receipts) = &receipts else { return };
        match receipts.write(taken, &identity) {
            Ok(path) => log::info!("stick: receipt {}", path.display()),
            Err(error) => log::error!("stick: receipt: {error}"),
        }
    })
}

fn answer_all(
    offered: &[Offered],
    root: &Root,
    identity: &Identity,
    receipt: impl Fn(Option<&Taken>),
) -> Outcome {
    if offered.is_empty() {
        log::info!("stick: no bundle");
        receipt(None);
        return Ok(());
    }
    let (mut good, mut refused) = (false, Vec::new());
    for bundle in offered {
        let name = bundle.name();
        let taken = match atomic::read_bounded(&bundle.path, limits::BUNDLE_BYTES) {
            // A better one of this stick is in force: this one was fine, and is not news.
            Ok(bytes) if good && bundle.rank.is_some() => {
                let (epoch, sequence) = bundle.rank.unwrap_or_default();
                let hash = Some(aegis_bundle::hash(&bytes));
                let taken = Taken { epoch, sequence, ..Taken::refused("superseded", hash, "") };
                taken.report(&name);
                taken
            }
            Ok(bytes) => policy::take(&bytes, &name, root, identity)?,
            Err(error) => {
                let long = error.kind() == io::ErrorKind::FileTooLarge;
                let code = if long { "too-large" } else { "unreadable" };
                let taken = Taken::refused(code, None, error.to_string());
                taken.report(&name);
                taken
            }
        };
        log::info!("stick: {name}: {}", taken.code);
        receipt(Some(&taken));
        if taken.answer == Answer::Refused {
            refused.push(format!("{name}: {}", taken.code));
        } else {
            good = true;
        }
    }
    if good { Ok(()) } else { Err(Failure::refused(format!("refused: {}", refused.join(", ")))) }
}

/// The bundles of a stick: files `*.aegis` right in its directory. Both the entries passed over and the bundles looked at
/// are bounded; what is left out is said.
fn look(directory: &Path) -> io::Result<Vec<Offered>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut offered = Vec::new();
    for (number, entry) in entries.enumerate() {
        if number >= limits::STICK_ENTRIES || offered.len() >= limits::STICK_BUNDLES {
            log::warn!(
                "stick: only {} bundles among {} entries are looked at (remove old files)",
                limits::STICK_BUNDLES,
                limits::STICK_ENTRIES
            );
            break;
        }
        let path = entry?.path();
        // Desktop systems leave `._NAME` files beside the real ones.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|suffix| suffix == SUFFIX) {
            offered.push(Offered { path, rank: None });
        }
    }
    Ok(offered)
}

/// Where receipts go.
struct Receipts {
    directory: PathBuf,
    boot_id: [u8; 16],
}

impl Receipts {
    fn open(mount: &Path) -> io::Result<Self> {
        let directory = mount.join(DIRECTORY).join(OUT);
        std::fs::create_dir_all(&directory)?;
        atomic::sweep(&directory);
        Ok(Self { directory, boot_id: device::boot_id()? })
    }

    fn write(&self, taken: Option<&Taken>, identity: &Identity) -> io::Result<PathBuf> {
        let in_force = KernelState::open().map_err(io::Error::other)?;
        let policy = in_force.policy();
        let receipt = Receipt {
            public_key: identity.public(),
            seen: taken.and_then(|taken| taken.hash),
            answer: taken.map_or(Answer::None, |taken| taken.answer),
            code: taken.map_or("", |taken| taken.code),
            epoch: policy.epoch,
            sequence: policy.sequence,
            mode: Mode::from_number(in_force.mode().0).unwrap_or(Mode::AuditOnly),
            ring_head: None,
            boot_id: self.boot_id,
            boot_time: device::boottime(),
            clock: device::wall_clock(),
            clock_trusted: false,
        };
        let mut bytes = [0; bounds::RECEIPT_BYTES];
        let length = encode_receipt(&receipt, identity.secret(), &mut bytes)
            .map_err(|error| io::Error::other(error.code()))?;
        // Boot and time in the name: a stick that comes back keeps its older receipts.
        let name = format!("receipt-{}-{}.cbor", hex(&self.boot_id[..4]), receipt.boot_time / 1000);
        atomic::replace(&self.directory, &name, &bytes[..length], 0o644)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_visible_bundles_are_looked_at_and_not_too_many() {
        let stick = tempfile::tempdir().unwrap();
        for number in 0..limits::STICK_BUNDLES + 3 {
            std::fs::write(stick.path().join(format!("{number}.aegis")), b"").unwrap();
        }
        assert_eq!(look(stick.path()).unwrap().len(), limits::STICK_BUNDLES);
        let stick = tempfile::tempdir().unwrap();
        for name in ["._a.aegis", "a.aegis", "a.txt", "aegis"] {
            std::fs::write(stick.path().join(name), b"").unwrap();
        }
        let found = look(stick.path()).unwrap();
        assert_eq!(found.iter().map(Offered::name).collect::<Vec<_>>(), ["a.aegis"]);
        assert!(look(&stick.path().join("nothing")).unwrap().is_empty());
    }
}
