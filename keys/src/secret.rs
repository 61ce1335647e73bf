//! The secret key file, inside its encryption.
//!
//! ```text
//! -----BEGIN AEGIS PLAIN SECRET KEY-----
//! role: policy
//! public: 64 hex digits
//! secret: 64 hex digits, the Ed25519 seed
//! -----END AEGIS PLAIN SECRET KEY-----
//! ```
//!
//! Plain means not encrypted: as such a file, it is for development and tests; [`crate::seal`] encrypts the same text.
//! The public key is there for people; it is checked against the secret.

use aegis_cose::{KeyId, KeyPair, SecretKey, Seed, key_id};
use zeroize::{Zeroize, Zeroizing};

use crate::hex;
use crate::public::PublicKeyFile;
use crate::role::KeyRole;

const BEGIN: &str = "-----BEGIN AEGIS PLAIN SECRET KEY-----";
const END: &str = "-----END AEGIS PLAIN SECRET KEY-----";
/// More than the text takes: growing would leave copies behind.
const TEXT_BYTES: usize = 512;

/// Why text is not a key file, or a key could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The first or last line is not that of a secret key file.
    NotSecret,
    /// The first or last line is not that of a public key file.
    NotPublic,
    /// A line (from 1) is not what it must be.
    BadLine(usize, &'static str),
    /// The public key does not belong to the secret one.
    Mismatch,
    /// The public key is not canonical or of small order: it must never be trusted.
    BadKey,
    /// Whoever made the file did not prove to have the secret key.
    NoProof,
    /// The system gave no random bytes.
    NoRandom,
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSecret => {
                f.write_str("not a secret key file; name one that `keys init` or `keys new` made")
            }
            Self::NotPublic => f.write_str("not a public key file; name the .pub that `keys new` made"),
            Self::BadLine(line, what) => write!(f, "line {line}: {what} expected"),
            Self::Mismatch => {
                f.write_str("the public key does not belong to the secret one; the file is damaged")
            }
            Self::BadKey => f.write_str(
                "not a usable Ed25519 public key (not canonical, or of small order); make one with `keys new`",
            ),
            Self::NoProof => f.write_str(
                "the proof that its maker has the secret key does not verify; copy it again from where it was made",
            ),
            Self::NoRandom => f.write_str("the system gave no random bytes"),
        }
    }
}

impl std::error::Error for KeyError {}

/// A secret key and its role. It is wiped from memory when it is dropped.
pub struct SecretFile {
    role: KeyRole,
    pair: KeyPair,
}

impl SecretFile {
    /// Makes a new key from the system's random bytes.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`].
    pub fn generate(role: KeyRole) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; Seed::BYTES]);
        getrandom::fill(&mut *seed).map_err(|_| KeyError::NoRandom)?;
        Self::from_seed(role, &seed).ok_or(KeyError::NoRandom)
    }

    fn from_seed(role: KeyRole, seed: &[u8; Seed::BYTES]) -> Option<Self> {
        let mut seed = Seed::new(*seed);
        let pair = KeyPair::try_from_seed(seed).ok();
        seed.zeroize();
        Some(Self { role, pair: pair? })
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let mut lines = text.lines();
        let mut line = || lines.next().unwrap_or_default();
        let (begin, role, public, secret, end) = (line(), line(), line(), line(), line());
        if begin != BEGIN || end != END || lines.next().is_some() {
            return Err(KeyError::NotSecret);
        }
        let role = role.strip_prefix("role: ").and_then(KeyRole::from_name);
        let role = role.ok_or(KeyError::BadLine(2, ROLE_LINE))?;
        let public = public.strip_prefix("public: ").and_then(hex::take);
        let public = public.ok_or(KeyError::BadLine(3, "\"public: \" and 64 hex digits"))?;
        let secret = secret.strip_prefix("secret: ").and_then(hex::take);
        let secret = secret.ok_or(KeyError::BadLine(4, "\"secret: \" and 64 hex digits"))?;
        let key = Self::from_seed(role, &secret).ok_or(KeyError::BadLine(4, "a secret that is not zero"))?;
        if *key.public() == *public { Ok(key) } else { Err(KeyError::Mismatch) }
    }

    /// The text of a key file; wiped when it is dropped.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
        text.push_str(BEGIN);
        text.push_str("\nrole: ");
        text.push_str(self.role.name());
        text.push_str("\npublic: ");
        hex::put(&mut text, self.public());
        text.push_str("\nsecret: ");
        hex::put(&mut text, &self.pair.sk[..Seed::BYTES]);
        text.push('\n');
        text.push_str(END);
        text.push('\n');
        debug_assert!(text.len() <= TEXT_BYTES);
        text
    }

    /// The public half, with the proof that this secret half exists.
    pub fn public_file(&self) -> PublicKeyFile {
        PublicKeyFile::prove(self.role, &self.pair)
    }

    /// What the key is for.
    pub const fn role(&self) -> KeyRole {
        self.role
    }

    /// The public key.
    pub fn public(&self) -> &[u8; 32] {
        &self.pair.pk
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        key_id(self.public())
    }

    /// The secret key, to sign with.
    pub const fn secret(&self) -> &SecretKey {
        &self.pair.sk
    }
}

/// What the second line of a key file must be.
pub(crate) const ROLE_LINE: &str = "\"role: root\", \"role: policy\" or \"role: break-glass\"";

impl Drop for SecretFile {
    fn drop(&mut self) {
        self.pair.sk.zeroize();
    }
}

impl std::fmt::Debug for SecretFile {
    /// Never the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretFile").field("role", &self.role).field("id", &self.id()).finish_non_exhaustive()
    }
}
