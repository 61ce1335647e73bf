//! `aegisctl stick collect`: what devices left, copied, verified, sorted by device.

use std::path::{Path, PathBuf};

use aegis_bundle::limits::RECEIPT_BYTES;
use aegis_bundle::open_receipt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::devices::{Devices, Trust};
use super::found::{Found, Kind, Report};
use super::limits;
use super::source::Source;
use super::support;
use crate::export::{Examined, Keys, examine};
use crate::identity::IdentityArgs;
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, hex, output, receipt, time};

/// Where it goes that no known device signed.
const UNVERIFIED: &str = "unverified";
/// The devices file, unless another is named.
const DEVICES: &str = "devices.txt";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory of a mounted stick, an image of a stick (vfat), or the stick itself (/dev/sdX1)
    #[arg(value_name = "DIR|IMAGE")]
    from: PathBuf,
    /// Where to: one directory a device is made in it
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Devices that are known: id and public key a line. Default: devices.txt in --into; new ones are added
    #[arg(long, value_name = "FILE")]
    devices: Option<PathBuf>,
    /// Refuse devices that are not in the devices file
    #[arg(long)]
    known: bool,
    #[command(flatten)]
    identities: IdentityArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let devices = args.devices.clone().unwrap_or_else(|| args.into.join(DEVICES));
    let mut report = Report::default();
    let mut devices = Devices::read(&devices, args.known)?;
    let keys = Keys::new(&[], args.identities.read()?);
    if let Some(source) = Source::open(&args.from)? {
        report.names = source.names()?;
        files::make_directory(&args.into, 0o755)?;
        let mut work: Vec<(Kind, String)> =
            report.names.plain.iter().filter_map(|name| Some((Kind::of(name)?, name.clone()))).collect();
        work.sort();
        let mut collector = Collector { source, into: &args.into, devices, keys, left: limits::TOTAL_BYTES };
        for (kind, name) in work {
            let found = collector.take(&name, kind, &report)?;
            report.files.push(found);
        }
        devices = collector.devices;
        devices.write()?;
    }
    if args.json {
        output::json(&report.to_json(&devices))?;
    } else {
        output::text(&report.to_text(&devices))?;
    }
    Ok(if report.is_good() { Status::Good } else { Status::Refused })
}

/// A copy of our own, under a name of its own, until it is known what it is: what is verified is what is kept.
struct Copied {
    draft: files::Draft,
    hash: [u8; 32],
    bytes: u64,
}

struct Collector<'a> {
    source: Source,
    into: &'a Path,
    devices: Devices,
    /// What opens exports.
    keys: Keys,
    /// Bytes that may still be copied.
    left: u64,
}

impl Collector<'_> {
    /// One file. Only what is wrong on our own side ends the whole.
    fn take(&mut self, name: &str, kind: Kind, report: &Report) -> Result<Found, Failure> {
        let mut found = Found::new(name, kind);
        let limit = match kind {
            Kind::Receipt => RECEIPT_BYTES as u64,
            Kind::Export => limits::EXPORT_BYTES,
            Kind::Status | Kind::Alerts => limits::STATUS_BYTES,
            Kind::Support => limits::SUPPORT_BYTES,
        };
        let limit = limit.min(self.left);
        let copied = match self.copy(name, limit) {
            Ok(Some(copied)) => copied,
            Ok(None) => {
                found.refuse("too-large", format!("longer than {limit} bytes; it is left on the stick"));
                return Ok(found);
            }
            Err(failure) if failure.is_refusal() => {
                found.refuse("unreadable", failure.message());
                return Ok(found);
            }
            Err(failure) => return Err(failure),
        };
        self.left -= copied.bytes;
        let file = copied.draft.path();
        match kind {
            Kind::Receipt => self.receipt(&mut found, file)?,
            Kind::Export => self.export(&mut found, file)?,
            Kind::Status | Kind::Alerts => status(&mut found, file, report)?,
            Kind::Support => support(&mut found, file, report)?,
        }
        self.keep(&mut found, copied)?;
        Ok(found)
    }

    /// `None` when it is too long.
    fn copy(&self, name: &str, limit: u64) -> Result<Option<Copied>, Failure> {
        let mut draft = files::Draft::begin(&self.into.join(name), 0o644)?;
        let mut hash = Sha256::new();
        let bytes = self.source.read(name, limit, |bytes| {
            hash.update(bytes);
            draft.write(bytes)
        })?;
        Ok((bytes <= limit).then(|| Copied { draft, hash: hash.finalize().into(), bytes }))
    }

    fn receipt(&mut self, found: &mut Found, file: &Path) -> Result<(), Failure> {
        let bytes = files::read(file, RECEIPT_BYTES)?;
        let receipt = match open_receipt(&bytes) {
            Ok(receipt) => receipt,
            Err(error) => {
                found.refuse(error.code(), error.to_string());
                return Ok(());
            }
        };
        found.what = receipt.what.name();
        found.epoch = Some(receipt.epoch);
        found.sequence = receipt.sequence.to_string();
        found.when = receipt::when(&receipt);
        found.more = receipt::to_json(&receipt);
        let code = if receipt.code.is_empty() { receipt.answer.name() } else { receipt.code };
        self.judge(found, &receipt.public_key, code);
        Ok(())
    }

    fn export(&mut self, found: &mut Found, file: &Path) -> Result<(), Failure> {
        let examined = match examine(file, &self.keys, |device| self.devices.key(device)) {
            Ok(examined) => examined,
            Err(failure) if failure.is_refusal() => {
                // Not the name of the copy: what follows it.
                let why = failure.message();
                found.refuse("not-an-export", why.split_once(": ").map_or(why, |(_, why)| why));
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let Examined { key, whole, tampered, code, detail, range: (first, last), created } = examined;
        found.sequence =
            if (first, last) == (0, 0) { "no events".to_owned() } else { format!("{first}-{last}") };
        if let Some((clock, trusted)) = created {
            let trust = if trusted { "" } else { " (clock not trusted)" };
            found.when = format!("{}{trust}", time::show(clock));
        }
        found.more = json!({ "first": first, "last": last, "whole": whole });
        match key.filter(|_| !tampered) {
            None => found.refuse(code, detail),
            Some(key) => {
                self.judge(found, &key, code);
                // Signed by its device, and not all of it: the device's evidence, and not good.
                if found.good && !whole {
                    (found.good, found.detail) = (false, detail);
                }
            }
        }
        Ok(())
    }

    /// What a key that verified something is worth.
    fn judge(&mut self, found: &mut Found, key: &[u8; 32], code: &str) {
        match self.devices.meet(key) {
            Trust::Known | Trust::New => found.accept(Some(aegis_cose::device_id(key)), code),
            Trust::Refused => {
                let file = self.devices.path().display();
                let key = hex::encode(key);
                found.refuse("unknown-device", format!("signed by key {key}, which {file} does not list"));
            }
        }
    }

    /// Puts the copy where it belongs.
    fn keep(&self, found: &mut Found, copied: Copied) -> Result<(), Failure> {
        let folder = match found.device {
            Some(device) => hex::encode(&device),
            None => UNVERIFIED.to_owned(),
        };
        let folder = self.into.join(folder);
        files::make_directory(&folder, 0o755)?;
        place(found, copied, &folder)
    }
}

/// Nothing that is there is overwritten: of another file with the same name, both are kept.
fn place(found: &mut Found, mut copied: Copied, folder: &Path) -> Result<(), Failure> {
    // A name has one suffix, or `.cbor.age`.
    let (stem, suffix) = found.name.split_once('.').unwrap_or((&found.name, ""));
    let other = format!("{stem}-{}.{suffix}", hex::encode(&copied.hash[..8]));
    for name in [&found.name, &other] {
        let path = folder.join(name);
        match path.symlink_metadata() {
            Err(_) => {
                copied.draft.rename(path.clone());
                copied.draft.publish(false)?;
                found.path = Some(path);
                return Ok(());
            }
            Ok(there) if there.is_file() && is_same(&path, &copied)? => {
                (found.had, found.path) = (true, Some(path));
                return Ok(());
            }
            Ok(_) => {}
        }
    }
    Err(Failure::usage(format!(
        "{}: two other files of this name are there; name another directory with --into",
        folder.join(&found.name).display()
    )))
}

/// True when a file that is there has the same bytes.
fn is_same(path: &Path, copied: &Copied) -> Result<bool, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("{}: can't read it: {}", path.display(), files::plain(&error)))
    };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() != copied.bytes {
        return Ok(false);
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).map_err(unreadable)? {
            0 => return Ok(<[u8; 32]>::from(hash.finalize()) == copied.hash),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// A status is not signed: it says how things stood, and proves nothing. It goes to the only device that signed anything
/// on this stick, if there is one.
fn status(found: &mut Found, file: &Path, report: &Report) -> Result<(), Failure> {
    let bytes = files::read(file, limits::STATUS_BYTES as usize)?;
    if !serde_json::from_slice::<Value>(&bytes).is_ok_and(|status| status.is_object()) {
        found.refuse("bad-status", "not one JSON object");
        return Ok(());
    }
    let devices = report.devices();
    let only = devices.first().filter(|_| devices.len() == 1);
    found.accept(only.copied(), "unsigned");
    Ok(())
}

/// A support bundle is not signed either. Its name says which device left it; that counts when one of this stick's is called so.
fn support(found: &mut Found, file: &Path, report: &Report) -> Result<(), Failure> {
    let bytes = files::read(file, limits::SUPPORT_BYTES as usize)?;
    match support::parts(&bytes) {
        Ok(parts) => {
            found.accept(support::device(&found.name, report.devices()), "unsigned");
            found.more = json!({ "parts": parts });
        }
        Err(why) => found.refuse("bad-support", why),
    }
    Ok(())
}
