//! The devices file: whose signatures are believed.
//!
//! ```text
//! # device id, public key, when it was first seen
//! 00112233445566778899aabbccddeeff 64 hex digits 2026-11-21T01:37:05Z
//! ```
//!
//! A device's id is made of its key, so that a line proves itself; what it can't prove is that there is such a device.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aegis_cose::{device_id, public_key};

use super::limits;
use crate::outcome::Failure;
use crate::{files, hex, time};

const HEAD: &str = "# Devices whose receipts and exports are believed: id, public key, first seen.\n\
    # A device that is new here was taken on trust; compare its id with the one on its console.\n";

/// Keys by device id.
pub(super) struct Devices {
    path: PathBuf,
    text: String,
    keys: BTreeMap<[u8; 16], [u8; 32]>,
    new: Vec<[u8; 16]>,
    /// Devices that are not in the file are refused.
    closed: bool,
}

/// How a key stands to those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It was in the file.
    Known,
    /// Seen for the first time: taken on trust.
    New,
    /// Another key than the one that is known for this id, or a new one where none is taken.
    Refused,
}

impl Devices {
    /// Reads a devices file; one that is not there is empty.
    pub(super) fn read(path: &Path, closed: bool) -> Result<Self, Failure> {
        let text = if path.symlink_metadata().is_ok() {
            let bytes = files::read(path, limits::DEVICES_BYTES)?;
            String::from_utf8(bytes)
                .map_err(|_| Failure::usage(format!("{}: not UTF-8 text", path.display())))?
        } else if closed {
            return Err(Failure::usage(format!("{}: no such file; --known needs it", path.display())));
        } else {
            HEAD.to_owned()
        };
        let mut keys = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(id) = words.next() else { continue };
            let entry = entry(id, words.next());
            let (id, key) = entry.map_err(|why| {
                Failure::usage(format!("{}:{}: {why}; take the line out", path.display(), number + 1))
            })?;
            keys.insert(id, key);
        }
        Ok(Self { path: path.into(), text, keys, new: Vec::new(), closed })
    }

    /// The key of a device that is known.
    pub(super) fn key(&self, device: &[u8; 16]) -> Option<[u8; 32]> {
        self.keys.get(device).copied()
    }

    /// Decides about a key that signed something.
    pub(super) fn meet(&mut self, key: &[u8; 32]) -> Trust {
        let device = device_id(key);
        match self.keys.get(&device) {
            Some(known) if known != key => Trust::Refused,
            Some(_) if self.new.contains(&device) => Trust::New,
            Some(_) => Trust::Known,
            None if self.closed || self.keys.len() >= limits::DEVICES => Trust::Refused,
            None => {
                self.keys.insert(device, *key);
                self.new.push(device);
                Trust::New
            }
        }
    }

    /// Devices that were seen for the first time.
    pub(super) fn met(&self) -> &[[u8; 16]] {
        &self.new
    }

    /// Where they are written.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file when there is something new.
    pub(super) fn write(&self) -> Result<(), Failure> {
        if self.new.is_empty() {
            return Ok(());
        }
        let mut text = self.text.clone();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let now = time::show(time::now());
        for device in &self.new {
            if let Some(key) = self.keys.get(device) {
                text.push_str(&[hex::encode(device), hex::encode(key), now.clone()].join(" "));
                text.push('\n');
            }
        }
        files::write(&self.path, text.as_bytes(), 0o644, true)
    }
}

/// A device id and the key that it is made of.
fn entry(id: &str, key: Option<&str>) -> Result<([u8; 16], [u8; 32]), String> {
    let id: [u8; 16] = hex::array(id).map_err(|why| format!("device id: {why}"))?;
    let key: [u8; 32] = hex::array(key.unwrap_or_default()).map_err(|why| format!("public key: {why}"))?;
    public_key(&key).map_err(|error| error.to_string())?;
    if device_id(&key) == id { Ok((id, key)) } else { Err("the id is not that of the key".to_owned()) }
}
