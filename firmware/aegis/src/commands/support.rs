//! `aegis support`: one file with what a support person asks for. What is in it: [`PARTS`], and docs/doctor.md; no key, no token, no
//! event is, and words of the kernel's log that may be one are struck out.
//!
//! Bounded: each part is, and there are so many. The same state gives the same bytes: a tar file without times and owners.

mod klog;
mod redact;
mod tar;
#[cfg(test)]
mod tests;

use core::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::tar::Tar;
use super::{config, doctor, health, image, logs, policy_status, probe, status, stick, storage};
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::device::{self, Identity, hex};
use crate::storage::{atomic, facts};

/// What `aegis support` was asked.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// A directory, or the word `stick`; none: the stick.
    pub(crate) to: Option<PathBuf>,
    pub(crate) json: bool,
}

/// The word for a stick; a directory of that name is `./stick`.
const STICK: &str = "stick";

/// What a part is made by: its bytes, or why there are none.
type Make = fn() -> Result<Vec<u8>, String>;

/// Every part, in the order of the file. The doctor and the image's status come late: they look in a mount namespace of their own.
const PARTS: [(&str, &str, Make); 12] = [
    ("version.json", "versions of agent, kernel and image, and which device this is", || {
        Ok(line(&version()))
    }),
    ("health.json", "aegis health --json", || Ok(line(&health::json()))),
    ("probe.json", "aegis probe --json", || Ok(line(&probe::json()))),
    ("status.json", "aegis status --json, or the last one of an agent that ended", || {
        status::json().map(|(status, _)| status.into_bytes()).map_err(|failure| failure.to_string())
    }),
    ("policy.json", "aegis policy status --json", || made(policy_status::json())),
    ("history.json", "aegis policy history --json", || made(policy_status::history_json())),
    ("storage.json", "aegis storage status --json", || Ok(line(&storage::status_json()))),
    (
        "config.json",
        "aegis config show --json: what is configured by the keys that there are, nothing else of the file",
        || Ok(line(&config::show_json())),
    ),
    ("kernel.log", "the end of the kernel's log; what may be a secret is struck out", || {
        klog::tail()
            .map(|log| redact::redact(&log).into_bytes())
            .map_err(|error| format!("/dev/kmsg: {error}"))
    }),
    ("aegis.log", "the end of Aegis's own log, JSON lines; what may be a secret is struck out", || {
        logs::tail()
            .map(|log| redact::redact(&String::from_utf8_lossy(&log)).into_bytes())
            .map_err(|error| format!("log: {error}"))
    }),
    ("doctor.json", "aegis doctor --json", || Ok(line(&doctor::json()))),
    ("image.json", "aegis image status --json", || made(image::status_json())),
];

fn made(value: Result<Value, Failure>) -> Result<Vec<u8>, String> {
    value.map(|value| line(&value)).map_err(|failure| failure.to_string())
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

/// Exit 0 when the file is there, whatever is in it.
pub(crate) fn run(options: &Options) -> Outcome {
    let name = name();
    let file = bundle(&PARTS);
    let to = options.to.as_deref().unwrap_or(Path::new(STICK));
    let path = if to == Path::new(STICK) {
        stick::leave(&name, &file)?
    } else {
        let failed = |error: std::io::Error| Failure::error(format!("{}: {error}", to.display()));
        atomic::replace(to, &name, &file, 0o600).map_err(failed)?.display().to_string()
    };
    say(&if options.json {
        json!({ "file": path, "bytes": file.len(), "parts": PARTS.map(|(name, ..)| name) }).to_string()
    } else {
        format!("{path}: {} KiB, {} parts", file.len().div_ceil(1024), PARTS.len())
    })
}

/// `support-DEVICE-TIME.tar`, the time since boot in seconds.
fn name() -> String {
    let device = Identity::open().ok().flatten().map_or_else(|| "unknown".into(), |it| hex(&it.id()[..4]));
    format!("support-{device}-{}.tar", device::boottime() / 1_000_000_000)
}

/// All parts, and before them what they are. Of a part that can't be made there is why.
fn bundle(parts: &[(&str, &str, Make)]) -> Vec<u8> {
    let mut tar = Tar::default();
    let mut contents = String::new();
    for (name, what, _) in parts {
        // Writing to a String can't fail.
        let _ = writeln!(contents, "{name}: {what}");
    }
    tar.add("contents.txt", contents.as_bytes());
    for (name, _, make) in parts {
        match make() {
            Ok(bytes) if bytes.len() <= limits::SUPPORT_PART_BYTES => tar.add(name, &bytes),
            Ok(bytes) => {
                let why = format!("{} bytes, {} at most\n", bytes.len(), limits::SUPPORT_PART_BYTES);
                tar.add(&format!("{name}.missing"), why.as_bytes());
            }
            Err(why) => tar.add(&format!("{name}.missing"), format!("{why}\n").as_bytes()),
        }
    }
    tar.end()
}

fn version() -> Value {
    let kernel = rustix::system::uname();
    json!({
        "aegis": env!("CARGO_PKG_VERSION"),
        "architecture": std::env::consts::ARCH,
        "kernel": kernel.release().to_string_lossy(),
        "kernel_built": kernel.version().to_string_lossy(),
        "image_built": facts::built(),
        "variant": if facts::is_debug() { "debug" } else { "production" },
        "device": Identity::open().ok().flatten().map(|identity| hex(&identity.id())),
        "boot_id": device::boot_id().ok().map(|id| hex(&id)),
        "since_boot_s": device::boottime() / 1_000_000_000,
        "clock": device::wall_clock(),
    })
}
