//! Receipts: the device's signed answer to what it was offered.

use aegis_cose::{CoseError, Domain, SecretKey, Sign1, device_id, sign1};
use aegis_event::Mode;
use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{Canonical, Reader, Unread, Written};
use crate::limits::{CODE_BYTES, RECEIPT_BYTES};

/// Keys of the map (`docs/formats/bundle.cddl`).
mod key {
    pub(super) const DEVICE: u8 = 1;
    pub(super) const PUBLIC_KEY: u8 = 2;
    pub(super) const SEEN: u8 = 3;
    pub(super) const ANSWER: u8 = 4;
    pub(super) const CODE: u8 = 5;
    pub(super) const EPOCH: u8 = 6;
    pub(super) const SEQUENCE: u8 = 7;
    pub(super) const MODE: u8 = 8;
    pub(super) const RING_HEAD: u8 = 9;
    pub(super) const BOOT_ID: u8 = 10;
    pub(super) const BOOT_TIME: u8 = 11;
    pub(super) const CLOCK: u8 = 12;
    pub(super) const CLOCK_TRUSTED: u8 = 13;
    pub(super) const WHAT: u8 = 14;
    pub(super) const ROOT_VERSION: u8 = 15;
}

/// What a device did with what it was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Answer {
    /// Nothing was offered.
    None = 0,
    /// Accepted, and in force.
    Accepted = 1,
    /// It was in force already.
    Unchanged = 2,
    /// Refused; the code says why.
    Refused = 3,
}

impl Answer {
    /// The value with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Accepted),
            2 => Some(Self::Unchanged),
            3 => Some(Self::Refused),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Accepted => "accepted",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// What a receipt answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum What {
    /// A stick that offered nothing.
    Nothing = 0,
    /// A bundle.
    Bundle = 1,
    /// Root metadata.
    Root = 2,
    /// A break-glass token.
    BreakGlass = 3,
    /// An image of the system.
    Image = 4,
    /// A workload.
    Workload = 5,
}

impl What {
    /// The value with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Nothing),
            1 => Some(Self::Bundle),
            2 => Some(Self::Root),
            3 => Some(Self::BreakGlass),
            4 => Some(Self::Image),
            5 => Some(Self::Workload),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Bundle => "bundle",
            Self::Root => "root",
            Self::BreakGlass => "break-glass",
            Self::Image => "image",
            Self::Workload => "workload",
        }
    }
}

/// What a device says after it looked at a stick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// The device's public key. Its id is made from it.
    pub public_key: [u8; 32],
    /// What was offered.
    pub what: What,
    /// SHA-256 of the file that was offered.
    pub seen: Option<[u8; 32]>,
    /// What was done with it.
    pub answer: Answer,
    /// Reason code (`docs/formats/reason-codes.md`); empty when nothing was offered.
    pub code: &'a str,
    /// Epoch of the policy in force.
    pub epoch: u64,
    /// Sequence of the policy in force.
    pub sequence: u64,
    /// What is enforced.
    pub mode: Mode,
    /// The ring's chain head, when it is known.
    pub ring_head: Option<[u8; 32]>,
    /// The kernel's boot id.
    pub boot_id: [u8; 16],
    /// `CLOCK_BOOTTIME`, ns.
    pub boot_time: u64,
    /// The clock, Unix seconds.
    pub clock: u64,
    /// Whether the device has a reason to trust its clock.
    pub clock_trusted: bool,
    /// Version of the root metadata in force.
    pub root_version: u64,
}

/// Why bytes are not a receipt, or one could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptError {
    /// Longer than [`crate::limits::RECEIPT_BYTES`], or no room.
    TooLarge,
    /// Not the `COSE_Sign1` that it must be, or its signature is no good.
    Cose(CoseError),
    /// Not CBOR of the right shape.
    BadCbor,
    /// Not in its deterministic encoding.
    NotCanonical,
    /// A key or value that a receipt must not hold.
    BadReceipt,
    /// The device id is not that of the key.
    WrongDevice,
}

impl ReceiptError {
    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Cose(error) => error.code(),
            Self::BadCbor => "bad-cbor",
            Self::NotCanonical => "not-canonical",
            Self::BadReceipt => "bad-receipt",
            Self::WrongDevice => "wrong-device",
        }
    }
}

impl core::fmt::Display for ReceiptError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLarge => f.write_str("longer than a receipt may be"),
            Self::Cose(error) => write!(f, "receipt: {error}"),
            Self::BadCbor => f.write_str("the receipt is not CBOR of the right shape"),
            Self::NotCanonical => f.write_str("the receipt is not in its deterministic encoding"),
            Self::BadReceipt => f.write_str("the receipt holds something that it must not"),
            Self::WrongDevice => f.write_str("the receipt's device id is not that of its key"),
        }
    }
}

impl core::error::Error for ReceiptError {}

impl From<CoseError> for ReceiptError {
    fn from(error: CoseError) -> Self {
        match error {
            CoseError::NoRoom => Self::TooLarge,
            other => Self::Cose(other),
        }
    }
}

impl From<Unread> for ReceiptError {
    fn from(error: Unread) -> Self {
        match error {
            Unread::Cbor => Self::BadCbor,
            Unread::Value => Self::BadReceipt,
            Unread::Indefinite => Self::NotCanonical,
        }
    }
}

/// Signs a receipt into the front of `out` ([`crate::limits::RECEIPT_BYTES`] always suffice); returns how many bytes it
/// took.
///
/// # Errors
/// [`ReceiptError::TooLarge`]; [`ReceiptError::BadReceipt`] when the code is too long or the key is not the receipt's.
pub fn encode_receipt(receipt: &Receipt<'_>, key: &SecretKey, out: &mut [u8]) -> Result<usize, ReceiptError> {
    if receipt.code.len() > CODE_BYTES || *key.public_key() != receipt.public_key {
        return Err(ReceiptError::BadReceipt);
    }
    let mut payload = [0; RECEIPT_BYTES];
    let length = receipt.write_to(&mut payload).ok_or(ReceiptError::TooLarge)?;
    Ok(sign1(&payload[..length], Domain::Receipt, key, out)?)
}

/// Reads a receipt and checks that the key in it signed it. Whether that key is one of a device of ours is for the caller
/// to know, by [`Receipt::device`].
///
/// # Errors
/// See [`ReceiptError`].
pub fn open_receipt(bytes: &[u8]) -> Result<Receipt<'_>, ReceiptError> {
    if bytes.len() > RECEIPT_BYTES {
        return Err(ReceiptError::TooLarge);
    }
    let (message, rest) = Sign1::take(bytes)?;
    if !rest.is_empty() {
        return Err(CoseError::TrailingBytes.into());
    }
    // The key to verify with is in the payload.
    let receipt = Receipt::decode(message.unverified_payload())?;
    message.verify(Domain::Receipt, &aegis_cose::public_key(&receipt.public_key)?)?;
    Ok(receipt)
}

impl<'a> Receipt<'a> {
    /// The device's id.
    pub fn device(&self) -> [u8; 16] {
        device_id(&self.public_key)
    }

    fn decode(payload: &'a [u8]) -> Result<Self, ReceiptError> {
        let mut input = Reader::new(payload);
        input.map(15)?;
        input.key(key::DEVICE)?;
        let device: [u8; 16] = input.fixed()?;
        input.key(key::PUBLIC_KEY)?;
        let public_key = input.fixed()?;
        input.key(key::SEEN)?;
        let seen = if input.null()? { None } else { Some(input.fixed()?) };
        let answer = Answer::from_number(input.u8_at(key::ANSWER)?).ok_or(ReceiptError::BadReceipt)?;
        input.key(key::CODE)?;
        let code = input.str(CODE_BYTES)?;
        let epoch = input.u64_at(key::EPOCH)?;
        let sequence = input.u64_at(key::SEQUENCE)?;
        let mode = Mode::from_number(input.u8_at(key::MODE)?).ok_or(ReceiptError::BadReceipt)?;
        input.key(key::RING_HEAD)?;
        let ring_head = if input.null()? { None } else { Some(input.fixed()?) };
        input.key(key::BOOT_ID)?;
        let boot_id = input.fixed()?;
        let boot_time = input.u64_at(key::BOOT_TIME)?;
        let clock = input.u64_at(key::CLOCK)?;
        let clock_trusted = input.bool_at(key::CLOCK_TRUSTED)?;
        let what = What::from_number(input.u8_at(key::WHAT)?).ok_or(ReceiptError::BadReceipt)?;
        let root_version = input.u64_at(key::ROOT_VERSION)?;
        let receipt = Self {
            public_key,
            what,
            seen,
            answer,
            code,
            epoch,
            sequence,
            mode,
            ring_head,
            boot_id,
            boot_time,
            clock,
            clock_trusted,
            root_version,
        };
        if device != receipt.device() {
            return Err(ReceiptError::WrongDevice);
        }
        if receipt.is_exactly(payload) { Ok(receipt) } else { Err(ReceiptError::NotCanonical) }
    }
}

impl Canonical for Receipt<'_> {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(15)?;
        out.u8(key::DEVICE)?.bytes(&self.device())?;
        out.u8(key::PUBLIC_KEY)?.bytes(&self.public_key)?;
        out.u8(key::SEEN)?;
        write_hash(out, self.seen.as_ref())?;
        out.u8(key::ANSWER)?.u8(self.answer.number())?;
        out.u8(key::CODE)?.str(self.code)?;
        out.u8(key::EPOCH)?.u64(self.epoch)?;
        out.u8(key::SEQUENCE)?.u64(self.sequence)?;
        out.u8(key::MODE)?.u8(self.mode.number())?;
        out.u8(key::RING_HEAD)?;
        write_hash(out, self.ring_head.as_ref())?;
        out.u8(key::BOOT_ID)?.bytes(&self.boot_id)?;
        out.u8(key::BOOT_TIME)?.u64(self.boot_time)?;
        out.u8(key::CLOCK)?.u64(self.clock)?;
        out.u8(key::CLOCK_TRUSTED)?.bool(self.clock_trusted)?;
        out.u8(key::WHAT)?.u8(self.what.number())?;
        out.u8(key::ROOT_VERSION)?.u64(self.root_version)?;
        Ok(())
    }
}

fn write_hash<W: Write>(out: &mut Encoder<W>, hash: Option<&[u8; 32]>) -> Written<W> {
    match hash {
        Some(hash) => out.bytes(hash).map(drop),
        None => out.null().map(drop),
    }
}
