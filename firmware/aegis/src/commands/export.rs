//! `aegis export`: ring -> signed items -> a file that appears whole or not at all.

use std::io::{self, Write};
use std::path::Path;

use aegis_export::{Created, Damage, Exporter, Frames, Manifest, Request, limits as bounds};
use aegis_ring::Reader;

use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::storage::atomic::{self, Pending};
use crate::storage::device::{self, Identity};
use crate::storage::partition::RingDevice;
use crate::storage::{DATA, cursor::Cursor};

/// Writes what was not exported yet (or everything from `from` on) to a new file in `to`.
pub(crate) fn run(to: &Path, from: Option<u64>, ring: Option<&Path>) -> Outcome {
    let failed = |what: &str, error: &dyn core::fmt::Display| Failure::error(format!("{what}: {error}"));
    let identity = Identity::open_or_create().map_err(|error| failed("device key", &error))?;
    let device = RingDevice::open(ring, false).map_err(|error| failed("ring", &error))?;
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let frames = Reader::open(device, &mut scratch).map_err(|error| failed("ring", &error))?;
    let cursor = Cursor::load(&frames.ring_id()).map_err(|error| failed(DATA, &error))?;

    let created = Created {
        boot: device::boot_id().map_err(|error| failed("boot id", &error))?,
        boottime: device::boottime(),
        clock: device::wall_clock(),
        clock_trusted: false,
    };
    std::fs::create_dir_all(to).map_err(|error| failed(&to.display().to_string(), &error))?;
    atomic::sweep(to);
    let space = rustix::fs::statvfs(to).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let mut request = Request::from(from.unwrap_or(cursor.next));
    request.bytes = space;

    let mut payload = vec![0; bounds::PAYLOAD_BYTES];
    let mut exporter =
        Exporter::new(identity.secret(), frames, request, created, env!("CARGO_PKG_VERSION"), &mut payload)
            .map_err(|error| failed("export", &error))?;
    let mut file = Pending::begin(to, 0o644).map_err(|error| failed(&to.display().to_string(), &error))?;
    write_items(&mut exporter, &mut file).map_err(|error| failed(&to.display().to_string(), &error))?;
    let manifest = exporter.manifest();
    let path = file.publish(&name(&manifest)).map_err(|error| failed(&to.display().to_string(), &error))?;

    // The cursor moves only after the file is durable: a power cut in between exports the same events twice.
    if from.is_none() {
        let cursor = Cursor { ring: manifest.ring, next: manifest.resume() };
        cursor.save().map_err(|error| failed(DATA, &error))?;
    }
    report(&path, &manifest, exporter.damage())
}

/// `export-DEVICE-RING-FIRST-LAST.cbor`; an empty export has the time since boot in place of a range.
fn name(manifest: &Manifest<'_>) -> String {
    let whose = [&manifest.device[..4], &manifest.ring[..4]].map(device::hex).join("-");
    if manifest.events == 0 {
        format!("export-{whose}-empty-{}.cbor", manifest.created.boottime)
    } else {
        format!("export-{whose}-{}-{}.cbor", manifest.first, manifest.last)
    }
}

fn write_items<F: Frames>(exporter: &mut Exporter<'_, F>, file: &mut Pending) -> io::Result<()> {
    let mut item = vec![0; bounds::ITEM_BYTES];
    let mut written = 0;
    while let Some(length) = exporter.next_item(&mut item).map_err(io::Error::other)? {
        if let Err(error) = file.write_all(&item[..length]) {
            // The stick is full although it said it was not, or it failed: close what is there with a manifest.
            log::warn!("export: {error}; closing what was written");
            file.cut(written)?;
            exporter.take_back();
            if let Some(length) = exporter.finish_early(&mut item).map_err(io::Error::other)? {
                file.write_all(&item[..length])?;
            }
            return Ok(());
        }
        written += length as u64;
    }
    Ok(())
}

fn report<E: core::fmt::Display>(
    path: &Path,
    manifest: &Manifest<'_>,
    damage: Option<&Damage<E>>,
) -> Outcome {
    log::info!(
        "export: {} events in {} segments to {} ({})",
        manifest.events,
        manifest.segments,
        path.display(),
        manifest.ending.name()
    );
    for (first, last) in manifest.gaps.as_slice() {
        log::error!("export: sequences {first} to {last} can't be read from the ring; the manifest says so");
    }
    match damage {
        None => Ok(()),
        Some(damage) => Err(Failure::refused(format!(
            "ring: can't be read further: {damage} (the export holds what is before it, and says so)"
        ))),
    }
}
