//! The file key, and what comes of it.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::AgeError;
use crate::header::Header;
use crate::limits::{FILE_KEY_BYTES, NONCE_BYTES, TAG_BYTES};
use crate::stream::{Cipher, Stream};

/// A file key wrapped for a recipient, bytes.
pub(crate) const WRAPPED_BYTES: usize = FILE_KEY_BYTES + TAG_BYTES;

/// The key of one file. It is wiped when it is dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct FileKey([u8; FILE_KEY_BYTES]);

impl FileKey {
    /// A file key of random bytes, which are the caller's to wipe.
    pub const fn new(bytes: [u8; FILE_KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The MAC over a header, up to and with [`crate::header::END`].
    pub fn mac(&self, signed: &[u8]) -> [u8; 32] {
        self.hmac(signed).finalize().into_bytes().into()
    }

    /// Checks the MAC of a header.
    ///
    /// # Errors
    /// [`AgeError::HeaderChanged`].
    pub fn verify(&self, header: &Header<'_>) -> Result<(), AgeError> {
        self.hmac(header.signed).verify_slice(&header.mac).map_err(|_| AgeError::HeaderChanged)
    }

    fn hmac(&self, signed: &[u8]) -> Hmac<Sha256> {
        let key = derive(None, &self.0, b"header");
        let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes keys of any length");
        mac.update(signed);
        mac
    }

    /// The chunks of a file with this nonce.
    pub fn stream(&self, nonce: &[u8; NONCE_BYTES]) -> Stream {
        Stream::new(&derive(Some(nonce), &self.0, b"payload"))
    }

    /// Encrypts it with the key that it has in common with a recipient. That key is for this and nothing else.
    pub fn wrap(&self, key: &[u8; 32]) -> [u8; WRAPPED_BYTES] {
        let mut wrapped = [0; WRAPPED_BYTES];
        let (body, tag) = wrapped.split_at_mut(FILE_KEY_BYTES);
        body.copy_from_slice(&self.0);
        tag.copy_from_slice(&Cipher::new(key).seal(&[0; 12], body));
        wrapped
    }

    /// What [`FileKey::wrap`] encrypted; none when it was another key.
    pub fn unwrap(mut wrapped: [u8; WRAPPED_BYTES], key: &[u8; 32]) -> Option<Self> {
        let (body, tag) = wrapped.split_at_mut(FILE_KEY_BYTES);
        let opened = Cipher::new(key).open(&[0; 12], body, tag);
        let mut key = Self([0; FILE_KEY_BYTES]);
        key.0.copy_from_slice(body);
        wrapped.zeroize();
        opened.then_some(key)
    }
}

impl core::fmt::Debug for FileKey {
    /// Never the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FileKey")
    }
}

/// HKDF-SHA-256.
pub(crate) fn derive(salt: Option<&[u8]>, secret: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(salt, secret).expand(info, &mut *key).expect("32 bytes are within HKDF's bound");
    key
}
