//! Export files: opened, decrypted if they are encrypted, split into items, and surveyed once before anything is believed.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use aegis_age::limits::SEALED_BYTES;
use aegis_age::{AgeError, Decryptor, Identity, OpenError};
use aegis_export::embedded_io;
use aegis_export::read::{Item, ItemError, ItemReader, ReadError, peek_item};
use aegis_export::{Id, limits};

use crate::files::plain;
use crate::outcome::Failure;

/// How an age file begins, whatever its version. No item of an export does.
const ENCRYPTED: &[u8] = b"age-encryption.org/";

/// A std reader as an embedded-io one.
struct Bytes(BufReader<File>);

/// The plain bytes of an export: of a file as it is, or decrypted, one chunk at a time.
pub(super) struct Input(Source);

enum Source {
    Plain(Bytes),
    Encrypted(Box<Decryptor<Bytes, Box<[u8; SEALED_BYTES]>>>),
}

/// A std error as an embedded-io one.
#[derive(Debug)]
pub(super) struct InputError(pub(super) std::io::Error);

impl InputError {
    /// What is wrong with the encryption; none when the file could not be read.
    pub(super) fn encryption(&self) -> Option<AgeError> {
        self.0.get_ref()?.downcast_ref().copied()
    }
}

/// Why an export is not opened.
#[derive(Debug)]
pub(super) enum Unopened {
    /// It is encrypted, and not to any of the identities given; or its encryption was changed.
    Encrypted(AgeError),
    /// It can't be read, or is no export.
    Failed(Failure),
}

impl From<Failure> for Unopened {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Unopened {
    /// As a failure, where one file is all there is.
    pub(super) fn into_failure(self, path: &Path) -> Failure {
        match self {
            Self::Encrypted(error) => Failure::refused(format!("{}: {error}", path.display())),
            Self::Failed(failure) => failure,
        }
    }
}

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

impl embedded_io::ErrorType for Bytes {
    type Error = InputError;
}

impl embedded_io::ErrorType for Input {
    type Error = InputError;
}

impl Input {
    /// Decrypted on the way.
    fn is_encrypted(&self) -> bool {
        matches!(self.0, Source::Encrypted(_))
    }
}

impl embedded_io::Read for Input {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        match &mut self.0 {
            Source::Plain(bytes) => bytes.read(out),
            Source::Encrypted(plain) => plain.read(out).map_err(|error| match error {
                OpenError::Io(error) => error,
                OpenError::Age(error) => InputError(std::io::Error::new(ErrorKind::InvalidData, error)),
            }),
        }
    }
}

impl embedded_io::Read for Bytes {
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

/// Opens an export to read it item by item, with these identities if it is encrypted.
pub(super) fn open<'b>(
    path: &Path,
    identities: &[Identity],
    buffer: &'b mut Buffer,
) -> Result<ItemReader<'b, Input>, Unopened> {
    Ok(ItemReader::new(input(path, identities)?, buffer))
}

fn input(path: &Path, identities: &[Identity]) -> Result<Input, Unopened> {
    // Before it is opened, which waits when it is a pipe. An export is read twice; a pipe would be empty by then.
    let there = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !there.is_file() {
        let why = if there.is_dir() {
            "a directory; name the export's file"
        } else {
            "a pipe or device; copy the export to a file"
        };
        return Err(Failure::usage(format!("{}: {why}", path.display())).into());
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut bytes = Bytes(BufReader::with_capacity(1 << 17, file));
    let front = bytes.0.fill_buf().map_err(|error| unreadable(path, &error))?;
    if !front.starts_with(ENCRYPTED) {
        return Ok(Input(Source::Plain(bytes)));
    }
    let chunk = vec![0; SEALED_BYTES].into_boxed_slice().try_into().expect("it is as long as asked for");
    match Decryptor::open(bytes, identities, chunk) {
        Ok(plain) => Ok(Input(Source::Encrypted(Box::new(plain)))),
        Err(OpenError::Io(error)) => Err(unreadable(path, &error.0).into()),
        Err(OpenError::Age(error)) => Err(Unopened::Encrypted(error)),
    }
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
    /// Where its events stop, at its end or in front of a hole; for an export of nothing, where it stands.
    pub(super) ends: Vec<u64>,
    pub(super) manifest: Option<Claims>,
    pub(super) bytes: u64,
    /// It is encrypted, and was opened.
    pub(super) encrypted: bool,
}

/// What a manifest claims, as far as it is needed before it is verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claims {
    pub(super) public_key: [u8; 32],
    pub(super) requested_first: u64,
    pub(super) retained: u64,
}

/// Reads a file once. A file that is no export at all is wrong use; a damaged one is not.
pub(super) fn survey(path: &Path, identities: &[Identity], buffer: &mut Buffer) -> Result<Survey, Unopened> {
    let input = input(path, identities)?;
    let encrypted = input.is_encrypted();
    let mut reader = ItemReader::new(input, buffer);
    let mut segment: Option<(Id, Id, u64, u64)> = None;
    let mut found = None;
    let mut epoch = None;
    let mut ends: Vec<u64> = Vec::new();
    let mut items = 0;
    loop {
        let bytes = match reader.next_item() {
            Ok(Some(bytes)) => bytes,
            Err(ReadError::Io(error)) => match error.encryption() {
                None => return Err(unreadable(path, &error.0).into()),
                Some(error) if items == 0 => return Err(Unopened::Encrypted(error)),
                // What is before it counts, as in a file that was cut.
                Some(_) => break,
            },
            Err(ReadError::Item(error)) if items == 0 => return Err(not_an_export(path, error).into()),
            Ok(None) | Err(ReadError::Item(_)) => break,
        };
        items += 1;
        match peek_item(bytes) {
            Ok(Item::Segment(found)) => {
                let last = found.last();
                let goes_on = ends.last().and_then(|end| end.checked_add(1)) == Some(found.first);
                // More holes than a manifest can list are not what a device signed.
                if goes_on || ends.len() > limits::GAPS {
                    ends.pop();
                }
                ends.push(last);
                let entry = segment.get_or_insert((found.device, found.ring, found.first, last));
                entry.3 = last;
            }
            Ok(Item::Manifest(manifest)) => {
                let (first, last) = (manifest.begin(), manifest.resume() - 1);
                if manifest.events == 0 {
                    ends.push(first - 1);
                }
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
            Ok(Survey { device, ring, first, last, epoch, ends, manifest: Some(claims), bytes, encrypted })
        }
        (None, Some((device, ring, first, last))) => {
            Ok(Survey { device, ring, first, last, epoch, ends, manifest: None, bytes, encrypted })
        }
        (None, None) if items == 0 => {
            Err(Failure::refused(format!("{}: empty file: not an export", path.display())).into())
        }
        (None, None) => Err(not_an_export(path, ItemError::Payload).into()),
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
