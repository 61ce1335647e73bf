//! Signed items to segments and manifest. Bounds before parsing, signature before meaning, strict decoding.

use aegis_cose::{CoseError, Domain, PublicKey, Sign1, device_id, open_sign1};
use aegis_seal::{Certificate, Checkpoint, RecordError};
use embedded_io::Read;

use crate::cbor::{CborError, Reader};
use crate::limits;
use crate::manifest::{self, Manifest};
use crate::segment::{self, FORMAT, Segment};

/// One verified item of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
// A manifest is four times a segment's size, and there is one alive at a time.
#[allow(clippy::large_enum_variant)]
pub enum Item<'a> {
    /// Events.
    Segment(Segment<'a>),
    /// The last item.
    Manifest(Manifest<'a>),
    /// A checkpoint, whole by the key that it names itself. Whether that key is the right one is for
    /// [`Chain::follow`](aegis_seal::Chain::follow) to say.
    Checkpoint(Checkpoint),
    /// The certificate of a chain of checkpoints, by the device's key.
    Certificate(Certificate),
}

impl Item<'_> {
    /// The device that the item says it is from.
    pub fn device(&self) -> [u8; 16] {
        match self {
            Self::Segment(segment) => segment.device,
            Self::Manifest(manifest) => manifest.device,
            Self::Checkpoint(checkpoint) => checkpoint.device,
            Self::Certificate(certificate) => certificate.device(),
        }
    }
}

/// Why bytes are not an item of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemError {
    /// The bytes end before the item does.
    Truncated,
    /// Not a `COSE_Sign1` of the form that exports have, or longer than [`limits::ITEM_BYTES`].
    NotAnItem,
    /// The signature does not verify, or is by another key.
    Signature(CoseError),
    /// Signed, but nothing that an export has, in its one encoding.
    Payload,
    /// Signed by one device, but says it is from another.
    Device,
}

impl ItemError {
    /// The stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::NotAnItem => "not-an-item",
            Self::Signature(_) => "bad-signature",
            Self::Payload => "bad-payload",
            Self::Device => "wrong-device",
        }
    }
}

impl core::fmt::Display for ItemError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the item ends too early",
            Self::NotAnItem => "not an item of an export",
            Self::Signature(CoseError::UnknownKey) => "signed by another key than this device's",
            Self::Signature(_) => "the signature does not verify",
            Self::Payload => "signed, but no item of an export that this version knows",
            Self::Device => "signed by one device but says it is from another",
        })
    }
}

impl core::error::Error for ItemError {}

/// Verifies the one item that `bytes` is, and reads it.
///
/// # Errors
/// See [`ItemError`]. Nothing of the payload is looked at before its signature is known to be good, its type excepted: a
/// checkpoint is signed by a sealing key, everything else by the device's.
pub fn open_item<'a>(bytes: &'a [u8], key: &PublicKey) -> Result<Item<'a>, ItemError> {
    if bytes.len() > limits::ITEM_BYTES {
        return Err(ItemError::NotAnItem);
    }
    let record = match sealing_type(single(bytes)?) {
        None => None,
        Some(true) => Some(Certificate::open(bytes, key).map(Item::Certificate)),
        Some(false) => Some(Checkpoint::open(bytes).map(Item::Checkpoint)),
    };
    if let Some(record) = record {
        let item = record.map_err(record_error)?;
        return if item.device() == device_id(key) { Ok(item) } else { Err(ItemError::Device) };
    }
    let payload = open_sign1(bytes, Domain::Export, key).map_err(|error| match error {
        CoseError::Truncated => ItemError::Truncated,
        CoseError::NotCanonical | CoseError::TrailingBytes => ItemError::NotAnItem,
        other => ItemError::Signature(other),
    })?;
    let item = read_payload(payload)?;
    if item.device() == device_id(key) { Ok(item) } else { Err(ItemError::Device) }
}

/// Reads the one item that `bytes` is **without checking its signature**: to find out whose key to check it with.
///
/// # Errors
/// [`ItemError::Truncated`], [`ItemError::NotAnItem`], [`ItemError::Payload`].
pub fn peek_item(bytes: &[u8]) -> Result<Item<'_>, ItemError> {
    if bytes.len() > limits::ITEM_BYTES {
        return Err(ItemError::NotAnItem);
    }
    let payload = single(bytes)?;
    match sealing_type(payload) {
        None => read_payload(payload),
        Some(true) => Certificate::peek(bytes).map(Item::Certificate).map_err(record_error),
        Some(false) => Checkpoint::peek(bytes).map(Item::Checkpoint).map_err(record_error),
    }
}

/// The payload of the one message that `bytes` is, **unverified**.
fn single(bytes: &[u8]) -> Result<&[u8], ItemError> {
    let (message, rest) = Sign1::take(bytes).map_err(|error| match error {
        CoseError::Truncated => ItemError::Truncated,
        _ => ItemError::NotAnItem,
    })?;
    if rest.is_empty() { Ok(message.unverified_payload()) } else { Err(ItemError::NotAnItem) }
}

/// Whether a payload calls itself a certificate; none when it is no sealing record.
fn sealing_type(payload: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(payload);
    reader.map_up_to(TYPE_ENTRIES).ok()?;
    reader.key(0).ok()?;
    match reader.text(TYPE_BYTES).ok()? {
        aegis_seal::CERTIFICATE => Some(true),
        aegis_seal::CHECKPOINT => Some(false),
        _ => None,
    }
}

fn record_error(error: RecordError) -> ItemError {
    match error {
        RecordError::NotARecord => ItemError::NotAnItem,
        RecordError::Signature(error) => ItemError::Signature(error),
        RecordError::Payload => ItemError::Payload,
        RecordError::Device => ItemError::Device,
    }
}

/// Longest `type` there is.
const TYPE_BYTES: usize = 11;
/// Most entries that an item's map can have.
const TYPE_ENTRIES: usize = 32;

fn read_payload(payload: &[u8]) -> Result<Item<'_>, ItemError> {
    fn read(payload: &[u8]) -> Result<Item<'_>, CborError> {
        let mut reader = Reader::new(payload);
        let entries = reader.map_up_to(TYPE_ENTRIES)? as u64;
        reader.key(0)?;
        let kind = reader.text(TYPE_BYTES)?;
        reader.key(1)?;
        let format = reader.uint()?;
        // Type and format decide how many entries there must be.
        let item = match kind {
            segment::TYPE if (1..=FORMAT).contains(&format) && entries == segment::entries(format) => {
                Item::Segment(segment::read(&mut reader, payload, format)?)
            }
            manifest::TYPE if (1..=FORMAT).contains(&format) && entries == manifest::entries(format) => {
                Item::Manifest(manifest::read(&mut reader, format)?)
            }
            _ => return Err(CborError::Unexpected),
        };
        reader.end()?;
        Ok(item)
    }
    if payload.len() > limits::PAYLOAD_BYTES {
        return Err(ItemError::NotAnItem);
    }
    read(payload).map_err(|_| ItemError::Payload)
}

/// How far an item reaches, as much as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// It is this long.
    Whole(usize),
    /// At least this many bytes are needed to know more.
    Need(usize),
}

/// Looks at an item's frame only. Never asks for more than [`limits::ITEM_BYTES`].
fn extent(bytes: &[u8]) -> Result<Extent, ItemError> {
    /// `COSE_Sign1`: tag and array.
    const TAG: u64 = 18;
    const FIELDS: u64 = 4;
    fn walk(bytes: &[u8]) -> Result<usize, CborError> {
        let mut reader = Reader::new(bytes);
        reader.tag(TAG)?;
        reader.array(FIELDS)?;
        reader.bytes(limits::COSE_BYTES)?;
        reader.map(0)?;
        reader.bytes(limits::PAYLOAD_BYTES)?;
        reader.fixed::<{ aegis_cose::limits::SIGNATURE_BYTES }>()?;
        Ok(reader.position())
    }
    match walk(bytes) {
        Ok(length) if length <= limits::ITEM_BYTES => Ok(Extent::Whole(length)),
        Err(CborError::End(need)) if need <= limits::ITEM_BYTES => Ok(Extent::Need(need)),
        _ => Err(ItemError::NotAnItem),
    }
}

/// Splits the first item off a CBOR sequence (RFC 8742). Checks nothing but its frame.
///
/// # Errors
/// [`ItemError::Truncated`], [`ItemError::NotAnItem`].
pub fn split_item(bytes: &[u8]) -> Result<(&[u8], &[u8]), ItemError> {
    match extent(bytes)? {
        Extent::Whole(length) => Ok(bytes.split_at(length)),
        Extent::Need(_) => Err(ItemError::Truncated),
    }
}

/// Why the next item could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError<E> {
    /// The reader failed.
    Io(E),
    /// What is there is not an item.
    Item(ItemError),
}

/// Reads an export item by item into one buffer of [`limits::ITEM_BYTES`].
#[derive(Debug)]
pub struct ItemReader<'b, R> {
    input: R,
    buffer: &'b mut [u8; limits::ITEM_BYTES],
    offset: u64,
}

impl<'b, R: Read> ItemReader<'b, R> {
    /// Reads from the beginning of an export. Asks for no byte beyond the item at hand; give it a buffered reader.
    pub const fn new(input: R, buffer: &'b mut [u8; limits::ITEM_BYTES]) -> Self {
        Self { input, buffer, offset: 0 }
    }

    /// Where the next item begins, bytes from the beginning; after an error, where the item that failed begins.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next item's bytes, unverified; none at the end.
    ///
    /// # Errors
    /// [`ReadError`]; there is no going on after one.
    pub fn next_item(&mut self) -> Result<Option<&[u8]>, ReadError<R::Error>> {
        let mut have = 0;
        loop {
            let need = match extent(&self.buffer[..have]).map_err(ReadError::Item)? {
                Extent::Whole(length) => {
                    self.offset += length as u64;
                    return Ok(Some(&self.buffer[..length]));
                }
                Extent::Need(need) => need,
            };
            while have < need {
                match self.input.read(&mut self.buffer[have..need]).map_err(ReadError::Io)? {
                    0 if have == 0 => return Ok(None),
                    0 => return Err(ReadError::Item(ItemError::Truncated)),
                    got => have += got,
                }
            }
        }
    }
}
