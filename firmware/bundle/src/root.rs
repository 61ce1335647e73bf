//! Root metadata: who may sign what, and the walk from one version to the next.

use aegis_cose::{CoseError, Domain, Sign, fingerprint, verify_threshold};
use heapless::Vec;
use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{Canonical, Reader, Unread, Written};
use crate::limits::{KEYS, REVOKED, REVOKED_KEYS, ROOT_BYTES};

const FORMAT: u64 = 2;

/// Keys of the maps (`docs/formats/bundle.cddl`).
mod key {
    pub(super) const FORMAT: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const EPOCH: u8 = 3;
    pub(super) const ROLES: u8 = 4;
    pub(super) const REVOKED: u8 = 5;
    pub(super) const REVOKED_KEYS: u8 = 6;
    pub(super) const ROOT: u8 = 1;
    pub(super) const POLICY: u8 = 2;
    pub(super) const BREAK_GLASS: u8 = 3;
    pub(super) const IMAGE: u8 = 4;
    /// Only where there is one: root metadata without it is as it was before there were workloads.
    pub(super) const WORKLOAD: u8 = 5;
    pub(super) const THRESHOLD: u8 = 1;
    pub(super) const KEYS: u8 = 2;
}

/// Why bytes are not root metadata, or not the next.
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
    /// A role lists a key that is revoked.
    RevokedKey,
    /// Not the version after the one in force.
    Version,
    /// Too few keys of the root in force signed it.
    NotVouched(CoseError),
    /// Its epoch is below that of the root in force.
    Epoch,
    /// It leaves out a revocation of the root in force.
    Unrevoked,
}

impl RootError {
    /// Every error, with stand-ins for the ones that hold another: for documents and tests.
    pub const ALL: [Self; 12] = [
        Self::TooLarge,
        Self::Cose(CoseError::Threshold),
        Self::UnsupportedFormat,
        Self::BadCbor,
        Self::NotCanonical,
        Self::BadRoot,
        Self::BadKey,
        Self::RevokedKey,
        Self::Version,
        Self::NotVouched(CoseError::Threshold),
        Self::Epoch,
        Self::Unrevoked,
    ];

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
            Self::RevokedKey => "revoked-key",
            Self::Version => "root-version",
            Self::NotVouched(_) => "not-vouched",
            Self::Epoch => "root-epoch",
            Self::Unrevoked => "unrevoked",
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
            Self::RevokedKey => f.write_str("a role of the root metadata lists a key that it revokes"),
            Self::Version => f.write_str("not the version after the root in force"),
            Self::NotVouched(error) => write!(f, "not vouched for by the root in force: {error}"),
            Self::Epoch => f.write_str("its epoch is below that of the root in force"),
            Self::Unrevoked => f.write_str("it leaves out a revocation of the root in force"),
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

/// Root metadata: the trust anchor of a device. About 6 KiB.
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
    /// Who signs break-glass tokens; `None`: nobody can.
    pub break_glass: Option<Role>,
    /// Who signs images of the system; `None`: nobody can.
    pub image: Option<Role>,
    /// Who signs workloads; `None`: nobody can.
    pub workload: Option<Role>,
    /// SHA-256 of manifests that are not let in any more, strictly ascending.
    pub revoked: Vec<[u8; 32], REVOKED>,
    /// Fingerprints of keys that are worth nothing any more, strictly ascending. No role lists one of them.
    pub revoked_keys: Vec<[u8; 32], REVOKED_KEYS>,
}

impl Root {
    /// Reads root metadata and checks that its own root keys signed it. What makes it *trusted* is where it comes from:
    /// the verified root file system.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn open(bytes: &[u8]) -> Result<Self, RootError> {
        let (root, message, payload) = Self::read(bytes)?;
        verify_threshold(&message, Domain::Root, payload, &root.root.keys, usize::from(root.root.threshold))?;
        Ok(root)
    }

    /// Reads the root metadata that follows this one: enough keys of the old **and** of the new root role signed it, its
    /// version is one higher, and it takes nothing back. Revoked keys stay revoked for good; revoked manifests until the
    /// epoch rises, when every bundle of before is refused anyway.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn next(&self, bytes: &[u8]) -> Result<Self, RootError> {
        let (next, message, payload) = Self::read(bytes)?;
        // Whom to believe comes before what they say.
        verify_threshold(&message, Domain::Root, payload, &self.root.keys, usize::from(self.root.threshold))
            .map_err(RootError::NotVouched)?;
        verify_threshold(&message, Domain::Root, payload, &next.root.keys, usize::from(next.root.threshold))?;
        if self.version.checked_add(1) != Some(next.version) {
            return Err(RootError::Version);
        }
        if next.epoch < self.epoch {
            return Err(RootError::Epoch);
        }
        let keeps = |old: &[[u8; 32]], new: &[[u8; 32]]| old.iter().all(|item| new.contains(item));
        if !keeps(&self.revoked_keys, &next.revoked_keys)
            || (next.epoch == self.epoch && !keeps(&self.revoked, &next.revoked))
        {
            return Err(RootError::Unrevoked);
        }
        Ok(next)
    }

    /// True when this public key is revoked.
    pub fn revokes(&self, key: &[u8; 32]) -> bool {
        self.revoked_keys.binary_search(&fingerprint(key)).is_ok()
    }

    /// Reads root metadata that may lack signatures, with the message that holds them: for the office, which adds one.
    ///
    /// # Errors
    /// See [`RootError`]; nothing about signatures but their form.
    #[cfg(feature = "build")]
    pub fn unverified(bytes: &[u8]) -> Result<(Self, Sign<'_>), RootError> {
        Self::read(bytes).map(|(root, message, _)| (root, message))
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

    /// The message, and what its payload says. The keys to verify with are in the payload: it has to be read first, and
    /// is bounded and strict for that.
    fn read(bytes: &[u8]) -> Result<(Self, Sign<'_>, &[u8]), RootError> {
        if bytes.len() > ROOT_BYTES {
            return Err(RootError::TooLarge);
        }
        let message = Sign::parse(bytes)?;
        let payload = message.unverified_payload().ok_or(CoseError::NotCanonical)?;
        Ok((Self::decode(payload)?, message, payload))
    }

    fn decode(payload: &[u8]) -> Result<Self, RootError> {
        let mut input = Reader::new(payload);
        input.map(6)?;
        if input.u64_at(key::FORMAT)? != FORMAT {
            return Err(RootError::UnsupportedFormat);
        }
        let version = input.u64_at(key::VERSION)?;
        let epoch = input.u64_at(key::EPOCH)?;
        input.key(key::ROLES)?;
        let roles = input.map_of(&[4, 5])?;
        input.key(key::ROOT)?;
        let root = Role::read(&mut input)?;
        input.key(key::POLICY)?;
        let policy = Role::read(&mut input)?;
        input.key(key::BREAK_GLASS)?;
        let break_glass = Role::read_maybe(&mut input)?;
        input.key(key::IMAGE)?;
        let image = Role::read_maybe(&mut input)?;
        let workload = if roles == 5 {
            input.key(key::WORKLOAD)?;
            Some(Role::read(&mut input)?)
        } else {
            None
        };
        input.key(key::REVOKED)?;
        let revoked = hashes(&mut input)?;
        input.key(key::REVOKED_KEYS)?;
        let revoked_keys = hashes(&mut input)?;
        let root = Self { version, epoch, root, policy, break_glass, image, workload, revoked, revoked_keys };
        if !root.is_exactly(payload) {
            return Err(RootError::NotCanonical);
        }
        if version == 0 || epoch == 0 {
            return Err(RootError::BadRoot);
        }
        let more = [&root.break_glass, &root.image, &root.workload];
        let lists_revoked = |role: &Role| role.keys.iter().any(|key| root.revokes(key));
        if [&root.root, &root.policy].into_iter().chain(more.into_iter().flatten()).any(lists_revoked) {
            return Err(RootError::RevokedKey);
        }
        Ok(root)
    }
}

impl Role {
    fn read(input: &mut Reader<'_>) -> Result<Self, RootError> {
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

    /// A role that nobody needs to have.
    fn read_maybe(input: &mut Reader<'_>) -> Result<Option<Self>, RootError> {
        Ok(if input.null()? { None } else { Some(Self::read(input)?) })
    }

    fn write_maybe<W: Write>(role: Option<&Self>, out: &mut Encoder<W>) -> Written<W> {
        match role {
            Some(role) => role.write(out),
            None => out.null().map(drop),
        }
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(2)?.u8(key::THRESHOLD)?.u8(self.threshold)?;
        out.u8(key::KEYS)?;
        write_hashes(out, &self.keys)
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

fn write_hashes<W: Write>(out: &mut Encoder<W>, items: &[[u8; 32]]) -> Written<W> {
    out.array(items.len() as u64)?;
    items.iter().try_for_each(|hash| out.bytes(hash).map(drop))
}

impl Canonical for Root {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(6)?;
        out.u8(key::FORMAT)?.u64(FORMAT)?;
        out.u8(key::VERSION)?.u64(self.version)?;
        out.u8(key::EPOCH)?.u64(self.epoch)?;
        out.u8(key::ROLES)?.map(if self.workload.is_some() { 5 } else { 4 })?;
        out.u8(key::ROOT)?;
        self.root.write(out)?;
        out.u8(key::POLICY)?;
        self.policy.write(out)?;
        out.u8(key::BREAK_GLASS)?;
        Role::write_maybe(self.break_glass.as_ref(), out)?;
        out.u8(key::IMAGE)?;
        Role::write_maybe(self.image.as_ref(), out)?;
        if let Some(workload) = &self.workload {
            out.u8(key::WORKLOAD)?;
            workload.write(out)?;
        }
        out.u8(key::REVOKED)?;
        write_hashes(out, &self.revoked)?;
        out.u8(key::REVOKED_KEYS)?;
        write_hashes(out, &self.revoked_keys)
    }
}
