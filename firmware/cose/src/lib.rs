//! The one subset of COSE (RFC 9052) that Aegis writes and reads.
//!
//! Ed25519 only (`alg` -8, RFC 9053 section 2.2), and exactly one encoding of everything:
//!
//! ```text
//! COSE_Sign1  18([ protected, {}, payload bstr,        signature bstr(64) ])
//! COSE_Sign   98([ h'',       {}, payload bstr or nil, [ 1* [ protected, {}, signature bstr(64) ] ] ])
//! protected   << {1: -8, 4: kid} >>, 13 bytes; kid = first 8 bytes of SHA-256(public key)
//! ```
//!
//! What is signed is RFC 9052's `Sig_structure`, with the [`Domain`] as `external_aad`, so that a signature made
//! for one purpose is worth nothing for another. Anything a reader finds that this crate would not have
//! written is refused: other header parameters, long integers, indefinite lengths, bytes after the end.
//!
//! Nothing here allocates; payloads are borrowed, and a verifier streams them through the hash.
#![no_std]
#![forbid(unsafe_code)]

mod error;
mod head;
mod key;
pub mod limits;
mod sign;
mod sign1;

pub use ed25519_compact::{KeyPair, PublicKey, SecretKey, Seed, Signature};
pub use error::CoseError;
pub use key::{KeyId, device_id, fingerprint, key_id, public_key};
pub use sign::{Sign, Signer, sign_detached, sign_embedded, signature, verify_threshold};
pub use sign1::{Sign1, open_sign1, sign1};

/// What a signature is for: the `external_aad` of RFC 9052 section 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The manifest of a bundle.
    Bundle,
    /// A segment of an export.
    Export,
    /// A receipt that a device writes to the stick.
    Receipt,
    /// Root metadata.
    Root,
    /// A break-glass token.
    BreakGlass,
    /// A checkpoint of a ring, or the certificate of its first sealing key.
    Seal,
    /// The manifest of an image of the system.
    Image,
    /// The manifest of a workload.
    Workload,
}

impl Domain {
    /// The bytes of `external_aad`, ASCII.
    pub const fn aad(self) -> &'static [u8] {
        match self {
            Self::Bundle => b"aegis-bundle-v1",
            Self::Export => b"aegis-export-v1",
            Self::Receipt => b"aegis-receipt-v1",
            Self::Root => b"aegis-root-v1",
            Self::BreakGlass => b"aegis-break-glass-v1",
            Self::Seal => b"aegis-seal-v1",
            Self::Image => b"aegis-image-v1",
            Self::Workload => b"aegis-workload-v1",
        }
    }
}
