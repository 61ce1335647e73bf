//! The secret key file.
//!
//! ```text
//! -----BEGIN AEGIS PLAIN SECRET KEY-----
//! role: policy
//! public: 64 hex digits
//! secret: 64 hex digits, the Ed25519 seed
//! -----END AEGIS PLAIN SECRET KEY-----
//! ```
//!
//! Plain means not encrypted: for development. The public key is there for people; it is checked against the secret.

use std::fmt::Write;

use aegis_cose::{KeyId, KeyPair, SecretKey, Seed, key_id};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN AEGIS PLAIN SECRET KEY-----";
const END: &str = "-----END AEGIS PLAIN SECRET KEY-----";

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// Signs root metadata.
    Root,
    /// Signs bundles.
    Policy,
}

impl KeyRole {
    /// The word in key files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Policy => "policy",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Root, Self::Policy].into_iter().find(|role| role.name() == name)
    }
}

/// Why text is not a secret key file, or a key could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The first or last line is not that of a secret key file.
    NotAKeyFile,
    /// A line (from 1) is not what it must be.
    BadLine(usize, &'static str),
    /// The public key does not belong to the secret one.
    Mismatch,
    /// The system gave no random bytes.
    NoRandom,
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAKeyFile => write!(f, "not a secret key file (it begins with \"{BEGIN}\")"),
            Self::BadLine(line, what) => write!(f, "line {line}: {what} expected"),
            Self::Mismatch => {
                f.write_str("the public key does not belong to the secret one; the file is damaged")
            }
            Self::NoRandom => f.write_str("the system gave no random bytes"),
        }
    }
}

impl std::error::Error for KeyError {}

/// A secret key and its role.
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
        let pair = KeyPair::try_from_seed(Seed::new(*seed)).ok()?;
        Some(Self { role, pair })
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let lines: Vec<&str> = text.lines().collect();
        let [BEGIN, role, public, secret, END] = lines[..] else { return Err(KeyError::NotAKeyFile) };
        let role = role.strip_prefix("role: ").and_then(KeyRole::from_name);
        let role = role.ok_or(KeyError::BadLine(2, "\"role: root\" or \"role: policy\""))?;
        let public = public.strip_prefix("public: ").and_then(from_hex);
        let public = public.ok_or(KeyError::BadLine(3, "\"public: \" and 64 hex digits"))?;
        let secret = secret.strip_prefix("secret: ").and_then(from_hex);
        let secret = secret.ok_or(KeyError::BadLine(4, "\"secret: \" and 64 hex digits"))?;
        let key = Self::from_seed(role, &secret).ok_or(KeyError::BadLine(4, "a secret that is not zero"))?;
        if *key.public() == *public { Ok(key) } else { Err(KeyError::Mismatch) }
    }

    /// The text of a key file; wiped when it is dropped.
    pub fn to_text(&self) -> Zeroizing<String> {
        // Room for all of it from the start: growing would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(512));
        let mut put = |name: &str, bytes: &[u8]| {
            text.push_str(name);
            for byte in bytes {
                // Writing to a string can't fail.
                let _ = write!(*text, "{byte:02x}");
            }
        };
        put(BEGIN, &[]);
        put("\nrole: ", &[]);
        put(self.role.name(), &[]);
        put("\npublic: ", self.public());
        put("\nsecret: ", &self.pair.sk[..Seed::BYTES]);
        put("\n", &[]);
        put(END, &[]);
        put("\n", &[]);
        text
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

impl std::fmt::Debug for SecretFile {
    /// Never the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretFile").field("role", &self.role).field("id", &self.id()).finish_non_exhaustive()
    }
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut out = Zeroizing::new([0; 32]);
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(out)
}
