//! STREAM: chunks of 64 KiB, each by its number and whether it is the last. No chunk can be changed, left out, moved or
//! added, and the end can't be cut off, without one of them failing.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};

use crate::AgeError;
use crate::limits::{CHUNK_BYTES, TAG_BYTES};

/// ChaCha20-Poly1305 (RFC 8439) with one key, in place, without more data than that.
pub struct Cipher(ChaCha20Poly1305);

impl Cipher {
    /// With this key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(key.into()))
    }

    /// Encrypts; returns the tag. No nonce is to be used for two texts.
    ///
    /// # Panics
    /// Never, below 256 GiB.
    #[inline(never)]
    pub fn seal(&self, nonce: &[u8; 12], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        let tag = self.0.encrypt_inout_detached(nonce.into(), b"", bytes.into());
        tag.expect("a chunk is far below the cipher's bound of 256 GiB").into()
    }

    /// False when the tag does not fit; the bytes are as they were then.
    pub(crate) fn open(&self, nonce: &[u8; 12], bytes: &mut [u8], tag: &[u8]) -> bool {
        let Ok(tag) = Tag::try_from(tag) else { return false };
        self.0.decrypt_inout_detached(nonce.into(), b"", bytes.into(), &tag).is_ok()
    }
}

/// The chunks of one file, in their order. It ends with the last one.
pub struct Stream {
    cipher: Cipher,
    /// Number of the next chunk. 2^64 of them are more than any file has.
    next: u64,
    over: bool,
}

impl Stream {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self { cipher: Cipher::new(key), next: 0, over: false }
    }

    /// Encrypts the next chunk in place and returns its tag, which goes behind it. Every chunk but the last has
    /// [`CHUNK_BYTES`] bytes; the last has at least one, unless it is the only one.
    ///
    /// # Panics
    /// When a chunk is not as long as it must be, or follows the last one: one nonce would be used twice.
    pub fn seal(&mut self, chunk: &mut [u8], last: bool) -> [u8; TAG_BYTES] {
        assert!(self.fits(chunk.len(), last), "a chunk of the wrong length, or one too many");
        let nonce = self.nonce(last);
        self.cipher.seal(&nonce, chunk)
    }

    /// Decrypts the next chunk in place, its tag behind it, and returns its plain bytes. Whether it is the last one the
    /// caller knows: nothing follows it in the file.
    ///
    /// # Errors
    /// [`AgeError::Chunk`]. Nothing was decrypted then, and nothing after it will be.
    pub fn open<'c>(&mut self, chunk: &'c mut [u8], last: bool) -> Result<&'c mut [u8], AgeError> {
        let number = self.next;
        let opened = chunk.len().checked_sub(TAG_BYTES).filter(|length| self.fits(*length, last));
        let opened = opened.and_then(|length| {
            let nonce = self.nonce(last);
            let (bytes, tag) = chunk.split_at_mut(length);
            self.cipher.open(&nonce, bytes, tag).then_some(bytes)
        });
        self.over |= opened.is_none();
        opened.ok_or(AgeError::Chunk(number))
    }

    fn fits(&self, length: usize, last: bool) -> bool {
        let long = if last {
            length <= CHUNK_BYTES && (length > 0 || self.next == 0)
        } else {
            length == CHUNK_BYTES
        };
        long && !self.over
    }

    /// Of the chunk at hand; the next one is another's.
    fn nonce(&mut self, last: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.next.to_be_bytes());
        nonce[11] = u8::from(last);
        self.next += 1;
        self.over = last;
        nonce
    }
}

impl core::fmt::Debug for Stream {
    /// Never the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stream").field("next", &self.next).field("over", &self.over).finish_non_exhaustive()
    }
}
