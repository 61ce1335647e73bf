//! The X25519 recipient type: a file key, encrypted to a public key.

use ed25519_compact::x25519::{DHOutput, PublicKey, SecretKey};
use zeroize::Zeroizing;

use crate::AgeError;
use crate::file_key::{FileKey, WRAPPED_BYTES, derive};
use crate::header::{Stanza, base64};
use crate::limits::{IDENTITY_TEXT_BYTES, RECIPIENT_TEXT_BYTES};
use crate::text::{self, TextError};

pub(crate) const KIND: &str = "X25519";
const LABEL: &[u8] = b"age-encryption.org/v1/X25519";

/// Whom files are encrypted to: a public key, `age1…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

impl Recipient {
    /// Reads `age1…`.
    ///
    /// # Errors
    /// See [`TextError`].
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let key = text::decode(text::RECIPIENT, text)?;
        // Whoever encrypts to a point of small order encrypts to everybody. Said here, not when evidence is to leave.
        multiply(&SecretKey::new([1; 32]), &key).ok_or(TextError::Weak)?;
        Ok(Self(*key))
    }

    /// `age1…`, in ASCII.
    pub fn to_text(&self) -> [u8; RECIPIENT_TEXT_BYTES] {
        *text::encode(text::RECIPIENT, &self.0)
    }

    /// Encrypts a file key with a share made of these random bytes, which are for this stanza alone.
    /// `None` when the bytes are no key: a source of random numbers that gives nothing.
    pub(crate) fn wrap(&self, file_key: &FileKey, ephemeral: &[u8; 32]) -> Option<Wrapped> {
        if *ephemeral == [0; 32] {
            return None;
        }
        let secret = SecretKey::new(*ephemeral);
        let share = *multiply(&secret, &PublicKey::base_point())?;
        let key = wrap_key(&secret, &self.0, &share, &self.0)?;
        Some(Wrapped { share, body: file_key.wrap(&key) })
    }
}

impl core::fmt::Display for Recipient {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(str::from_utf8(&self.to_text()).expect("bech32 is ASCII"))
    }
}

/// What a stanza says.
pub(crate) struct Wrapped {
    pub(crate) share: [u8; 32],
    pub(crate) body: [u8; WRAPPED_BYTES],
}

impl Wrapped {
    /// `None`: another kind of recipient.
    ///
    /// # Errors
    /// [`AgeError::Header`]: of this kind, and not as it must be.
    pub(crate) fn read(stanza: &Stanza<'_>) -> Result<Option<Self>, AgeError> {
        if stanza.kind() != KIND {
            return Ok(None);
        }
        let mut arguments = stanza.arguments().skip(1);
        let share = arguments.next().and_then(|share| base64(share.as_bytes()));
        match (share, stanza.body(), arguments.next()) {
            (Some(share), Some(body), None) => Ok(Some(Self { share, body })),
            _ => Err(AgeError::Header("an X25519 recipient")),
        }
    }
}

/// Who can read what is encrypted to its recipient: a secret key, `AGE-SECRET-KEY-1…`. Wiped when it is dropped.
pub struct Identity {
    secret: SecretKey,
    public: [u8; 32],
}

impl Identity {
    /// Makes one of 32 random bytes, which are the caller's to wipe. `None` when they are all zeros: a source of random
    /// numbers that gives nothing.
    pub fn from_random(bytes: &[u8; 32]) -> Option<Self> {
        if *bytes == [0; 32] {
            return None;
        }
        let secret = SecretKey::new(*bytes);
        let public = *multiply(&secret, &PublicKey::base_point())?;
        Some(Self { secret, public })
    }

    /// Reads `AGE-SECRET-KEY-1…`.
    ///
    /// # Errors
    /// See [`TextError`].
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let key = text::decode(text::IDENTITY, text)?;
        Self::from_random(&key).ok_or(TextError::Weak)
    }

    /// `AGE-SECRET-KEY-1…`, in ASCII; wiped when it is dropped.
    pub fn to_text(&self) -> Zeroizing<[u8; IDENTITY_TEXT_BYTES]> {
        text::encode(text::IDENTITY, &self.secret)
    }

    /// Whom to encrypt to, so that this identity can read it.
    pub const fn recipient(&self) -> Recipient {
        Recipient(self.public)
    }

    /// The file key; `None` when it is for somebody else.
    ///
    /// # Errors
    /// [`AgeError::Header`]: a share of small order, with which everybody would have the key.
    pub(crate) fn unwrap(&self, wrapped: &Wrapped) -> Result<Option<FileKey>, AgeError> {
        let key = wrap_key(&self.secret, &wrapped.share, &wrapped.share, &self.public);
        let key = key.ok_or(AgeError::Header("the share of an X25519 recipient"))?;
        Ok(FileKey::unwrap(wrapped.body, &key))
    }
}

impl core::fmt::Debug for Identity {
    /// Never the secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Identity").field("recipient", &self.recipient()).finish_non_exhaustive()
    }
}

/// X25519 (RFC 7748, 5). `None` when the point is of small order: scalars are multiples of eight, so the result would be
/// zero, and known to everybody (6.1). One copy of it: the library's is 12 KiB wherever it is used.
#[inline(never)]
fn multiply(scalar: &SecretKey, point: &[u8; 32]) -> Option<DHOutput> {
    PublicKey::new(*point).dh(scalar).ok()
}

/// The key that share and recipient have in common. `None` when `theirs` is a point of small order.
fn wrap_key(
    ours: &SecretKey,
    theirs: &[u8; 32],
    share: &[u8; 32],
    recipient: &[u8; 32],
) -> Option<Zeroizing<[u8; 32]>> {
    let shared = multiply(ours, theirs)?;
    let mut salt = [0; 64];
    salt[..32].copy_from_slice(share);
    salt[32..].copy_from_slice(recipient);
    Some(derive(Some(&salt), &*shared, LABEL))
}
