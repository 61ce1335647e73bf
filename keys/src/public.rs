//! The public key file: what travels when a new key is to be trusted.
//!
//! ```text
//! -----BEGIN AEGIS PUBLIC KEY-----
//! role: policy
//! public: 64 hex digits, the Ed25519 public key
//! proof: 128 hex digits
//! -----END AEGIS PUBLIC KEY-----
//! ```
//!
//! The proof is the key's own signature (RFC 8032) over the first three lines, each with its line feed: whoever made the
//! file has the secret key, and meant it for that role. Nothing else that Aegis signs begins with `-----BEGIN`: a COSE
//! `Sig_structure` begins with 0x84 or 0x85, so that no proof stands for anything else, and nothing else for a proof.

use aegis_cose::{KeyId, KeyPair, Signature, key_id, public_key};

use crate::hex;
use crate::role::KeyRole;
use crate::secret::{KeyError, ROLE_LINE};

const BEGIN: &str = "-----BEGIN AEGIS PUBLIC KEY-----";
const END: &str = "-----END AEGIS PUBLIC KEY-----";

/// A public key whose maker proved to have the secret one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeyFile {
    role: KeyRole,
    key: [u8; 32],
    proof: [u8; 64],
}

impl PublicKeyFile {
    pub(crate) fn prove(role: KeyRole, pair: &KeyPair) -> Self {
        let key = *pair.pk;
        let proof = *pair.sk.sign(claim(role, &key), None);
        Self { role, key, proof }
    }

    /// Reads the text of a public key file and checks its proof.
    ///
    /// # Errors
    /// See [`KeyError`]; small-order and non-canonical keys are [`KeyError::BadKey`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let lines: Vec<&str> = text.lines().collect();
        let [BEGIN, role, key, proof, END] = lines[..] else { return Err(KeyError::NotPublic) };
        let role = role.strip_prefix("role: ").and_then(KeyRole::from_name);
        let role = role.ok_or(KeyError::BadLine(2, ROLE_LINE))?;
        let key = key.strip_prefix("public: ").and_then(hex::take);
        let key = *key.ok_or(KeyError::BadLine(3, "\"public: \" and 64 hex digits"))?;
        let proof = proof.strip_prefix("proof: ").and_then(hex::take);
        let proof = *proof.ok_or(KeyError::BadLine(4, "\"proof: \" and 128 hex digits"))?;
        let public = public_key(&key).map_err(|_| KeyError::BadKey)?;
        public.verify(claim(role, &key), &Signature::new(proof)).map_err(|_| KeyError::NoProof)?;
        Ok(Self { role, key, proof })
    }

    /// True when text is meant to be a public key file.
    pub fn claims_to_be(bytes: &[u8]) -> bool {
        bytes.starts_with(BEGIN.as_bytes())
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = claim(self.role, &self.key);
        text.push_str("proof: ");
        hex::put(&mut text, &self.proof);
        text.push('\n');
        text.push_str(END);
        text.push('\n');
        text
    }

    /// What the key is for.
    pub const fn role(&self) -> KeyRole {
        self.role
    }

    /// The public key.
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        key_id(&self.key)
    }
}

/// The lines that the proof is over.
fn claim(role: KeyRole, key: &[u8; 32]) -> String {
    let mut text = format!("{BEGIN}\nrole: {role}\npublic: ");
    hex::put(&mut text, key);
    text.push('\n');
    text
}
