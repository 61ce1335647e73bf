//! Root metadata: who may sign what.

use aegis_cose::{CoseError, Domain, Sign, verify_threshold};
use heapless::Vec;
use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{Canonical, Reader, Unread, Written};
use crate::limits::{KEYS, REVOKED, ROOT_BYTES};

const FORMAT: u64 = 1;

/// Keys of the maps (`docs/formats/bundle.cddl`).
mod key {
    pub(super) const FORMAT: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const EPOCH: u8 = 3;
    pub(super) const ROLES: u8 = 4;
    pub(super) const REVOKED: u8 = 5;
    pub(super) const ROOT: u8 = 1;
    pub(super) const POLICY: u8 = 2;
    pub(super) const THRESHOLD: u8 = 1;
    pub(super) const KEYS: u8 = 2;
}

/// Why bytes are not root metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootError {
    /// Longer than [`crate::limits::ROOT_BYTES`].
    TooLarge,
    /// Not the `COSE_Sign` that it must be, or too few of its own root keys signed it.
    Cose(CoseError),
    /// A format that this version does not know.
    UnsupportedFormat,
    /// Not CBOR of the right shape.
    BadCbor,
    /// Not in its deterministic encoding.
    NotCanonical,
    /// A key, threshold or list that can't be.
    BadRoot,
    /// A public key that is not canonical or of small order.
    BadKey,
}

impl RootError {
    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Cose(error) => error.code(),
            Self::UnsupportedFormat => "unsupported-format",
            Self::BadCbor => "bad-cbor",
            Self::NotCanonical => "not-canonical",
            Self::BadRoot => "bad-root",
            Self::BadKey => "bad-key",
        }
    }
}

impl core::fmt::Display for RootError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLarge => f.write_str("longer than root metadata may be"),
            Self::Cose(error) => write!(f, "root metadata: {error}"),
            Self::UnsupportedFormat => f.write_str("a root format that this version does not know"),
            Self::BadCbor => f.write_str("root metadata is not CBOR of the right shape"),
            Self::NotCanonical => f.write_str("root metadata is not in its deterministic encoding"),
            Self::BadRoot => f.write_str("root metadata holds something that it must not"),
            Self::BadKey => f.write_str("root metadata lists a public key that is not usable"),
        }
    }
}

impl core::error::Error for RootError {}

impl From<CoseError> for RootError {
    fn from(error: CoseError) -> Self {
        Self::Cose(error)
    }
}

impl From<Unread> for RootError {
    fn from(error: Unread) -> Self {
        match error {
            Unread::Cbor => Self::BadCbor,
            Unread::Value => Self::BadRoot,
            Unread::Indefinite => Self::NotCanonical,
        }
    }
}

/// Keys and how many of them it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Distinct keys needed, at least 1.
    pub threshold: u8,
    /// Ed25519 public keys, strictly ascending.
    pub keys: Vec<[u8; 32], KEYS>,
}

/// Root metadata: the trust anchor of a device. About 2 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Counts up from 1 with every change.
    pub version: u64,
    /// The epoch of the bundles it lets in.
    pub epoch: u64,
    /// Who signs root metadata.
    pub root: Role,
    /// Who signs bundles.
    pub policy: Role,
    /// SHA-256 of manifests that are not let in any more, strictly ascending.
    pub revoked: Vec<[u8; 32], REVOKED>,
}

impl Root {
    /// Reads root metadata and checks that its own root keys signed it. What makes it *trusted* is where it comes from:
    /// the verified root file system.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn open(bytes: &[u8]) -> Result<Self, RootError> {
        if bytes.len() > ROOT_BYTES {
            return Err(RootError::TooLarge);
        }
        let message = Sign::parse(bytes)?;
        let payload = message.unverified_payload().ok_or(CoseError::NotCanonical)?;
        // The keys to verify with are in the payload: it has to be read first, and is bounded and strict for that.
        let root = Self::decode(payload)?;
        verify_threshold(&message, Domain::Root, payload, &root.root.keys, usize::from(root.root.threshold))?;
        Ok(root)
    }

    /// Writes the payload to sign to the front of `out` and returns how many bytes it took.
    ///
    /// # Errors
    /// See [`RootError`]; [`RootError::TooLarge`] when there is no room.
    #[cfg(feature = "build")]
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, RootError> {
        let length = self.write_to(out).ok_or(RootError::TooLarge)?;
        Self::decode(&out[..length])?;
        Ok(length)
    }

    fn decode(payload: &[u8]) -> Result<Self, RootError> {
        let mut input = Reader::new(payload);
        input.map(5)?;
        if input.u64_at(key::FORMAT)? != FORMAT {
            return Err(RootError::UnsupportedFormat);
        }
        let version = input.u64_at(key::VERSION)?;
        let epoch = input.u64_at(key::EPOCH)?;
        input.key(key::ROLES)?;
        input.map(2)?;
        let root = Role::read(&mut input, key::ROOT)?;
        let policy = Role::read(&mut input, key::POLICY)?;
        input.key(key::REVOKED)?;
        let revoked = hashes(&mut input)?;
        let root = Self { version, epoch, root, policy, revoked };
        if !root.is_exactly(payload) {
            return Err(RootError::NotCanonical);
        }
        if version == 0 || epoch == 0 {
            return Err(RootError::BadRoot);
        }
        Ok(root)
    }
}

impl Role {
    fn read(input: &mut Reader<'_>, role: u8) -> Result<Self, RootError> {
        input.key(role)?;
        input.map(2)?;
        let threshold = input.u8_at(key::THRESHOLD)?;
        input.key(key::KEYS)?;
        let keys: Vec<[u8; 32], KEYS> = hashes(input)?;
        if threshold == 0 || usize::from(threshold) > keys.len() {
            return Err(RootError::BadRoot);
        }
        if keys.iter().any(|bytes| aegis_cose::public_key(bytes).is_err()) {
            return Err(RootError::BadKey);
        }
        Ok(Self { threshold, keys })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(2)?.u8(key::THRESHOLD)?.u8(self.threshold)?;
        out.u8(key::KEYS)?.array(self.keys.len() as u64)?;
        self.keys.iter().try_for_each(|bytes| out.bytes(bytes).map(drop))
    }
}

/// An array of 32-byte strings, strictly ascending: a set, and distinct by bytes.
fn hashes<const N: usize>(input: &mut Reader<'_>) -> Result<Vec<[u8; 32], N>, RootError> {
    let mut items = Vec::new();
    for _ in 0..input.array(N)? {
        items.push(input.fixed()?).map_err(|_| RootError::BadRoot)?;
    }
    if items.is_sorted_by(|a: &[u8; 32], b| a < b) { Ok(items) } else { Err(RootError::BadRoot) }
}

impl Canonical for Root {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(5)?;
        out.u8(key::FORMAT)?.u64(FORMAT)?;
        out.u8(key::VERSION)?.u64(self.version)?;
        out.u8(key::EPOCH)?.u64(self.epoch)?;
        out.u8(key::ROLES)?.map(2)?;
        out.u8(key::ROOT)?;
        self.root.write(out)?;
        out.u8(key::POLICY)?;
        self.policy.write(out)?;
        out.u8(key::REVOKED)?.array(self.revoked.len() as u64)?;
        self.revoked.iter().try_for_each(|hash| out.bytes(hash).map(drop))
    }
}
