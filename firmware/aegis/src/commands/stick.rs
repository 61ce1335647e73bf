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

/// A bundle file of the stick, read into memory of our own.
struct Offered {
    name: String,
    bytes: Vec<u8>,
    /// Its place in the order of trying: epoch and sequence when it is acceptable now.
    rank: Option<(u64, u64)>,
}

/// Exit 0 when the stick held nothing, or all it held was taken or in force already; 1 when something was refused.
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
        let manifest = open(&bundle.bytes, &context).map(|bundle| bundle.manifest);
        bundle.rank = manifest.ok().map(|manifest| (manifest.epoch, manifest.sequence));
    }
    // Best first; what can't be accepted comes first of all, so that the last word is about what is in force.
    offered.sort_by(|a, b| {
        a.rank.is_some().cmp(&b.rank.is_some()).then(b.rank.cmp(&a.rank)).then(a.name.cmp(&b.name))
    });
    answer_all(&offered, mount, &root, &identity)
}

fn answer_all(offered: &[Offered], mount: &Path, root: &Root, identity: &Identity) -> Outcome {
    let receipts = Receipts::open(mount).map_err(|error| {
        Failure::error(format!("{}: no receipts can be written: {error}", mount.display()))
    })?;
    let written = |result: io::Result<PathBuf>| match result {
        Ok(path) => log::info!("stick: receipt {}", path.display()),
        Err(error) => log::error!("stick: receipt: {error}"),
    };
    if offered.is_empty() {
        log::info!("stick: no bundle in {}", mount.join(DIRECTORY).display());
        written(receipts.write(None, identity, 0));
        return Ok(());
    }
    let mut refused = Vec::new();
    for (number, bundle) in offered.iter().enumerate() {
        let taken = policy::take(&bundle.bytes, &bundle.name, root, identity)?;
        log::info!("stick: {}: {}", bundle.name, taken.code);
        written(receipts.write(Some(&taken), identity, number));
        if taken.answer == Answer::Refused {
            refused.push(format!("{}: {}", bundle.name, taken.code));
        }
    }
    if refused.is_empty() {
        Ok(())
    } else {
        Err(Failure::refused(format!("refused: {}", refused.join(", "))))
    }
}

/// The bundles of a stick: regular files `*.aegis` right in its directory; at most so many entries are looked at, no
/// link is followed, nothing over the size of a bundle is read.
fn look(directory: &Path) -> io::Result<Vec<Offered>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut offered = Vec::new();
    for (number, entry) in entries.enumerate() {
        if number >= limits::STICK_ENTRIES {
            log::warn!("stick: more than {} entries; the rest is not looked at", limits::STICK_ENTRIES);
            break;
        }
        let path = entry?.path();
        if path.extension().is_none_or(|suffix| suffix != SUFFIX) {
            continue;
        }
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let name = aegis_event::Printable(name).to_string();
        match atomic::read_bounded(&path, limits::BUNDLE_BYTES) {
            Ok(bytes) => offered.push(Offered { name, bytes, rank: None }),
            // Too large or no regular file: what was read of it is nothing, and it is answered as that.
            Err(error) => {
                log::warn!("stick: {name}: {error}");
                offered.push(Offered { name, bytes: Vec::new(), rank: None });
            }
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
        Ok(Self { directory, boot_id: device::boot_id()? })
    }

    fn write(&self, taken: Option<&Taken>, identity: &Identity, number: usize) -> io::Result<PathBuf> {
        let in_force = KernelState::open().map_err(io::Error::other)?;
        let policy = in_force.policy();
        let receipt = Receipt {
            public_key: identity.public(),
            seen: taken.map(|taken| taken.hash),
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
        let name =
            format!("receipt-{}-{}-{number:02}.cbor", hex(&self.boot_id[..4]), receipt.boot_time / 1_000_000);
        atomic::replace(&self.directory, &name, &bytes[..length], 0o644)
    }
}
