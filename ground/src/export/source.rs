//! Export files: opened, split into items, and surveyed once before anything is believed.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use aegis_export::embedded_io;
use aegis_export::read::{Item, ItemError, ItemReader, ReadError, peek_item};
use aegis_export::{Id, limits};

use crate::files::plain;
use crate::outcome::Failure;

/// A std reader as an embedded-io one.
pub(super) struct Input(BufReader<File>);

/// A std error as an embedded-io one.
#[derive(Debug)]
pub(super) struct InputError(pub(super) std::io::Error);

impl std::fmt::Display for InputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for InputError {}

impl embedded_io::Error for InputError {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}

impl embedded_io::ErrorType for Input {
    type Error = InputError;
}

impl embedded_io::Read for Input {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        loop {
            match std::io::Read::read(&mut self.0, out) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other.map_err(InputError),
            }
        }
    }
}

/// Room for one item; one is enough for any number of files.
pub(super) type Buffer = Box<[u8; limits::ITEM_BYTES]>;

pub(super) fn buffer() -> Buffer {
    // Not `Box::new([0; …])`, which may build it on the stack.
    vec![0; limits::ITEM_BYTES].into_boxed_slice().try_into().expect("it is as long as asked for")
}

/// Opens an export to read it item by item.
pub(super) fn open<'b>(path: &Path, buffer: &'b mut Buffer) -> Result<ItemReader<'b, Input>, Failure> {
    // Before it is opened, which waits when it is a pipe. An export is read twice; a pipe would be empty by then.
    let there = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !there.is_file() {
        let why = if there.is_dir() {
            "a directory; name the export's file"
        } else {
            "a pipe or device; copy the export to a file"
        };
        return Err(Failure::usage(format!("{}: {why}", path.display())));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(ItemReader::new(Input(BufReader::with_capacity(1 << 17, file)), buffer))
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{}: can't read it: {}", path.display(), plain(error)))
}

/// What a file says it is. Nothing here is verified: it decides what to check with which key, in which order.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    pub(super) device: Id,
    pub(super) ring: Id,
    /// First and last sequence it claims to account for; for an export of nothing, where it would begin, and one
    /// before.
    pub(super) first: u64,
    pub(super) last: u64,
    /// Epoch of its first checkpoint; 0 when it has none.
    pub(super) epoch: u64,
    pub(super) manifest: Option<Claims>,
    pub(super) bytes: u64,
}

/// What a manifest claims, as far as it is needed before it is verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claims {
    pub(super) public_key: [u8; 32],
    pub(super) requested_first: u64,
    pub(super) retained: u64,
}

/// Reads a file once. A file that is no export at all is wrong use; a damaged one is not.
pub(super) fn survey(path: &Path, buffer: &mut Buffer) -> Result<Survey, Failure> {
    let mut reader = open(path, buffer)?;
    let mut segment: Option<(Id, Id, u64, u64)> = None;
    let mut found = None;
    let mut epoch = None;
    let mut items = 0;
    loop {
        let bytes = match reader.next_item() {
            Ok(Some(bytes)) => bytes,
            Err(ReadError::Io(error)) => return Err(unreadable(path, &error.0)),
            Err(ReadError::Item(error)) if items == 0 => return Err(not_an_export(path, error)),
            Ok(None) | Err(ReadError::Item(_)) => break,
        };
        items += 1;
        match peek_item(bytes) {
            Ok(Item::Segment(found)) => {
                let last = found.last();
                let entry = segment.get_or_insert((found.device, found.ring, found.first, last));
                entry.3 = last;
            }
            Ok(Item::Manifest(manifest)) => {
                let (first, last) = (manifest.begin(), manifest.resume() - 1);
                let claims = Claims {
                    public_key: manifest.public_key,
                    requested_first: manifest.requested_first,
                    retained: manifest.retained,
                };
                // The last one counts; that nothing may follow it is checked later.
                found = Some((manifest.device, manifest.ring, first, last, claims));
            }
            Ok(Item::Checkpoint(checkpoint)) => epoch = epoch.or(Some(checkpoint.epoch)),
            Ok(Item::Certificate(_)) | Err(_) => {}
        }
    }
    let epoch = epoch.unwrap_or(0);
    let bytes = reader.offset();
    match (found, segment) {
        (Some((device, ring, first, last, claims)), _) => {
            Ok(Survey { device, ring, first, last, epoch, manifest: Some(claims), bytes })
        }
        (None, Some((device, ring, first, last))) => {
            Ok(Survey { device, ring, first, last, epoch, manifest: None, bytes })
        }
        (None, None) if items == 0 => {
            Err(Failure::refused(format!("{}: empty file: not an export", path.display())))
        }
        (None, None) => Err(not_an_export(path, ItemError::Payload)),
    }
}

fn not_an_export(path: &Path, error: ItemError) -> Failure {
    let why = match error {
        ItemError::Truncated => "its first item is cut off: nothing of the export is left",
        ItemError::Payload => "signed items, but none of an export (a receipt?)",
        _ => "it does not begin with an item of an export",
    };
    Failure::refused(format!("{}: byte 0: not an export: {why}", path.display()))
}
