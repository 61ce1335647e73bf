//! Break-glass tokens: for one device, one boot, one time.

use aegis_cose::{CoseError, Domain, Sign, verify_threshold};
use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{Canonical, Reader, Unread, Written};
use crate::limits::{TOKEN_BYTES, TOKEN_REASON_BYTES, TOKEN_SECONDS};
use crate::root::Root;

const FORMAT: u64 = 1;

/// Keys of the map (`docs/formats/bundle.cddl`).
mod key {
    pub(super) const FORMAT: u8 = 1;
    pub(super) const DEVICE: u8 = 2;
    pub(super) const SEQUENCE: u8 = 3;
    pub(super) const BOUND: u8 = 4;
    pub(super) const SECONDS: u8 = 5;
    pub(super) const REASON: u8 = 6;
    pub(super) const CREATED: u8 = 7;
}

/// What a break-glass token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The one device it is for.
    pub device: [u8; 16],
    /// Counts up from 1 per device: a device takes no sequence twice, and none below one that it took.
    pub sequence: u64,
    /// The boot id of the device, or the challenge that it shows: it is worth nothing in another boot.
    pub bound: [u8; 16],
    /// How long the glass stays broken at most, seconds, 1 to [`TOKEN_SECONDS`].
    pub seconds: u32,
    /// Why, in the words of who signed.
    pub reason: &'a str,
    /// When it was made, Unix seconds.
    pub created: u64,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES`].
    TooLarge,
    /// Not the `COSE_Sign` that it must be, or too few of the role's keys signed it.
    Cose(CoseError),
    /// The root has no break-glass role: nobody can.
    NoRole,
    /// A format that this version does not know.
    UnsupportedFormat,
    /// Not CBOR of the right shape.
    BadCbor,
    /// Not in its deterministic encoding.
    NotCanonical,
    /// A key or value that a token must not hold.
    BadToken,
    /// For another device.
    WrongDevice,
    /// For another boot, or another challenge.
    WrongBoot,
    /// This sequence, or a higher one, was taken before.
    Replay,
}

impl TokenError {
    /// Every error, with a stand-in for the one that holds another: for documents and tests.
    pub const ALL: [Self; 10] = [
        Self::TooLarge,
        Self::Cose(CoseError::Threshold),
        Self::NoRole,
        Self::UnsupportedFormat,
        Self::BadCbor,
        Self::NotCanonical,
        Self::BadToken,
        Self::WrongDevice,
        Self::WrongBoot,
        Self::Replay,
    ];

    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Cose(error) => error.code(),
            Self::NoRole => "no-break-glass-role",
            Self::UnsupportedFormat => "unsupported-format",
            Self::BadCbor => "bad-cbor",
            Self::NotCanonical => "not-canonical",
            Self::BadToken => "bad-token",
            Self::WrongDevice => "wrong-device",
            Self::WrongBoot => "wrong-boot",
            Self::Replay => "replay",
        }
    }
}

impl core::fmt::Display for TokenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLarge => f.write_str("longer than a token may be"),
            Self::Cose(error) => write!(f, "token: {error}"),
            Self::NoRole => f.write_str("the root has no break-glass role"),
            Self::UnsupportedFormat => f.write_str("a token format that this version does not know"),
            Self::BadCbor => f.write_str("the token is not CBOR of the right shape"),
            Self::NotCanonical => f.write_str("the token is not in its deterministic encoding"),
            Self::BadToken => f.write_str("the token holds something that it must not"),
            Self::WrongDevice => f.write_str("the token is for another device"),
            Self::WrongBoot => f.write_str("the token is for another boot or challenge"),
            Self::Replay => f.write_str("a token with this sequence, or a higher one, was taken before"),
        }
    }
}

impl core::error::Error for TokenError {}

impl From<CoseError> for TokenError {
    fn from(error: CoseError) -> Self {
        Self::Cose(error)
    }
}

impl From<Unread> for TokenError {
    fn from(error: Unread) -> Self {
        match error {
            Unread::Cbor => Self::BadCbor,
            Unread::Value => Self::BadToken,
            Unread::Indefinite => Self::NotCanonical,
        }
    }
}

/// Opens a token: decides whether the glass may be broken here, now. `bound` are the boot id and the challenge that the
/// device shows; `taken` is [`crate::TrustState::token_sequence`].
///
/// # Errors
/// See [`TokenError`]; signatures come before meaning.
pub fn open_token<'a>(
    bytes: &'a [u8],
    root: &Root,
    device: &[u8; 16],
    bound: &[[u8; 16]],
    taken: u64,
) -> Result<Token<'a>, TokenError> {
    let (message, payload) = parts(bytes)?;
    let role = root.break_glass.as_ref().ok_or(TokenError::NoRole)?;
    verify_threshold(&message, Domain::BreakGlass, payload, &role.keys, usize::from(role.threshold))?;
    let token = Token::decode(payload)?;
    if token.device != *device {
        return Err(TokenError::WrongDevice);
    }
    if !bound.contains(&token.bound) {
        return Err(TokenError::WrongBoot);
    }
    if token.sequence <= taken {
        return Err(TokenError::Replay);
    }
    Ok(token)
}

fn parts(bytes: &[u8]) -> Result<(Sign<'_>, &[u8]), TokenError> {
    if bytes.len() > TOKEN_BYTES {
        return Err(TokenError::TooLarge);
    }
    let message = Sign::parse(bytes)?;
    let payload = message.unverified_payload().ok_or(CoseError::NotCanonical)?;
    Ok((message, payload))
}

impl<'a> Token<'a> {
    /// Reads a token that may lack signatures, with the message that holds them: for the office, which adds one.
    ///
    /// # Errors
    /// See [`TokenError`]; nothing about signatures but their form.
    #[cfg(feature = "build")]
    pub fn unverified(bytes: &'a [u8]) -> Result<(Self, Sign<'a>), TokenError> {
        let (message, payload) = parts(bytes)?;
        Ok((Self::decode(payload)?, message))
    }

    /// Writes the payload to sign to the front of `out` and returns how many bytes it took.
    ///
    /// # Errors
    /// See [`TokenError`]; [`TokenError::TooLarge`] when there is no room.
    #[cfg(feature = "build")]
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, TokenError> {
        let length = self.write_to(out).ok_or(TokenError::TooLarge)?;
        Token::decode(&out[..length])?;
        Ok(length)
    }

    fn decode(payload: &'a [u8]) -> Result<Self, TokenError> {
        let mut input = Reader::new(payload);
        input.map(7)?;
        if input.u64_at(key::FORMAT)? != FORMAT {
            return Err(TokenError::UnsupportedFormat);
        }
        input.key(key::DEVICE)?;
        let device = input.fixed()?;
        let sequence = input.u64_at(key::SEQUENCE)?;
        input.key(key::BOUND)?;
        let bound = input.fixed()?;
        let seconds = input.u32_at(key::SECONDS)?;
        input.key(key::REASON)?;
        let reason = input.str(TOKEN_REASON_BYTES)?;
        let created = input.u64_at(key::CREATED)?;
        let token = Self { device, sequence, bound, seconds, reason, created };
        if !token.is_exactly(payload) {
            return Err(TokenError::NotCanonical);
        }
        let possible = sequence > 0
            && (1..=TOKEN_SECONDS).contains(&seconds)
            && !reason.is_empty()
            && !reason.chars().any(char::is_control);
        if possible { Ok(token) } else { Err(TokenError::BadToken) }
    }
}

impl Canonical for Token<'_> {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(7)?;
        out.u8(key::FORMAT)?.u64(FORMAT)?;
        out.u8(key::DEVICE)?.bytes(&self.device)?;
        out.u8(key::SEQUENCE)?.u64(self.sequence)?;
        out.u8(key::BOUND)?.bytes(&self.bound)?;
        out.u8(key::SECONDS)?.u32(self.seconds)?;
        out.u8(key::REASON)?.str(self.reason)?;
        out.u8(key::CREATED)?.u64(self.created)?;
        Ok(())
    }
}
