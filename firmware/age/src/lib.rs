//! age files (<https://age-encryption.org/v1>) for X25519 recipients, written and read as a stream.
//!
//! ```text
//! age-encryption.org/v1
//! -> X25519 SHARE                 one stanza a recipient: the file key, encrypted to it
//! FILE-KEY
//! --- MAC                         of the header, by the file key
//! nonce, chunk, chunk, …, last    64 KiB each, ChaCha20-Poly1305 by their number and whether they are the last
//! ```
//!
//! [`Encryptor`] is the device's side, [`Decryptor`] the office's. `age --decrypt` opens what is written here, and what age
//! writes is read here. Encryption says who can read a file; it says nothing about who wrote it: whoever knows the recipient
//! can. What it is worth is what is signed inside.
//!
//! [`header`], [`FileKey`] and [`Stream`] are for other kinds of recipients, as `keys` has one for passphrases.
//! Nothing here allocates, reads a clock, a file or random numbers; docs/decisions/0011 says what it is made of, and why.
#![no_std]
#![forbid(unsafe_code)]

mod decrypt;
mod encrypt;
mod error;
mod file_key;
pub mod header;
pub mod limits;
mod stream;
mod text;
mod x25519;

pub use decrypt::Decryptor;
pub use encrypt::{Encryptor, Front, begin, room, sealed_length};
pub use error::{AgeError, OpenError};
pub use file_key::FileKey;
pub use stream::{Cipher, Stream};
pub use text::TextError;
pub use x25519::{Identity, Recipient};

/// How every age file begins.
pub const VERSION: &str = "age-encryption.org/v1\n";
