//! The writing side.

use core::borrow::BorrowMut;

use base64ct::{Base64Unpadded, Encoding};
use zeroize::{Zeroize, Zeroizing};

use crate::file_key::FileKey;
use crate::header::END;
use crate::limits::{
    CHUNK_BYTES, FILE_KEY_BYTES, FRONT_BYTES, NONCE_BYTES, RECIPIENTS, SEALED_BYTES, STANZA_BYTES, TAG_BYTES,
};
use crate::stream::Stream;
use crate::x25519::{KIND, Recipient};
use crate::{AgeError, VERSION};

/// How a file begins: header and nonce.
pub type Front = heapless::Vec<u8, FRONT_BYTES>;

/// Begins a file for these recipients, 1 to [`RECIPIENTS`]: what it begins with, and what encrypts the rest. `random` fills
/// a buffer with random bytes; nothing of them is ever used for a second file.
///
/// # Errors
/// `random`'s. [`AgeError::Header`] when there are too few or too many recipients, or the random bytes are none.
pub fn begin<E: From<AgeError>>(
    recipients: &[Recipient],
    mut random: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<(Front, Stream), E> {
    if !(1..=RECIPIENTS).contains(&recipients.len()) {
        return Err(AgeError::Header("1 to 8 recipients are wanted").into());
    }
    let mut bytes = Zeroizing::new([0; FILE_KEY_BYTES]);
    random(&mut *bytes)?;
    let key = FileKey::new(*bytes);
    let mut front = Front::new();
    put(&mut front, VERSION.as_bytes());
    for recipient in recipients {
        let mut ephemeral = Zeroizing::new([0; 32]);
        random(&mut *ephemeral)?;
        let wrapped = recipient.wrap(&key, &ephemeral).ok_or(AgeError::Header("no random bytes"))?;
        for part in [b"-> ".as_slice(), KIND.as_bytes(), b" "] {
            put(&mut front, part);
        }
        put_base64(&mut front, &wrapped.share);
        put(&mut front, b"\n");
        put_base64(&mut front, &wrapped.body);
        put(&mut front, b"\n");
    }
    put(&mut front, END.as_bytes());
    let mac = key.mac(&front);
    put(&mut front, b" ");
    put_base64(&mut front, &mac);
    put(&mut front, b"\n");
    let mut nonce = [0; NONCE_BYTES];
    random(&mut nonce)?;
    put(&mut front, &nonce);
    Ok((front, key.stream(&nonce)))
}

fn put(front: &mut Front, bytes: &[u8]) {
    front.extend_from_slice(bytes).expect("FRONT_BYTES has room for every recipient");
}

fn put_base64(front: &mut Front, bytes: &[u8; 32]) {
    let mut text = [0; 43];
    put(front, Base64Unpadded::encode(bytes, &mut text).expect("32 bytes take 43").as_bytes());
}

/// Bytes that a file of so many plain bytes has for so many recipients.
pub const fn sealed_length(plain: u64, recipients: usize) -> u64 {
    let front = VERSION.len() + recipients * STANZA_BYTES + 48 + NONCE_BYTES;
    let chunks = if plain == 0 { 1 } else { plain.div_ceil(CHUNK_BYTES as u64) };
    plain.saturating_add(chunks.saturating_mul(TAG_BYTES as u64)).saturating_add(front as u64)
}

/// Plain bytes that a file of at most so many bytes has room for.
pub const fn room(sealed: u64, recipients: usize) -> u64 {
    let chunks = sealed.saturating_sub(sealed_length(0, recipients) - TAG_BYTES as u64);
    let (whole, rest) = (chunks / SEALED_BYTES as u64, chunks % SEALED_BYTES as u64);
    whole * CHUNK_BYTES as u64 + rest.saturating_sub(TAG_BYTES as u64)
}

/// Cuts plain bytes into chunks and encrypts them, in one buffer. What it gives out goes to the file, in order, behind the
/// front that [`begin`] made. Plain bytes that are left in the buffer are wiped when it is dropped.
pub struct Encryptor<B: BorrowMut<[u8; SEALED_BYTES]>> {
    stream: Stream,
    buffer: B,
    filled: usize,
}

impl<B: BorrowMut<[u8; SEALED_BYTES]>> Encryptor<B> {
    /// Begins with nothing.
    pub const fn new(stream: Stream, buffer: B) -> Self {
        Self { stream, buffer, filled: 0 }
    }

    /// Takes bytes off the front of `plain`. A chunk that is full is given out as soon as it is known not to be the last;
    /// `None` when all bytes are taken.
    pub fn push(&mut self, plain: &mut &[u8]) -> Option<&[u8]> {
        let buffer = self.buffer.borrow_mut();
        let take = plain.len().min(CHUNK_BYTES - self.filled);
        let (taken, rest) = plain.split_at(take);
        buffer[self.filled..][..take].copy_from_slice(taken);
        self.filled += take;
        *plain = rest;
        if rest.is_empty() {
            return None;
        }
        self.filled = 0;
        let tag = self.stream.seal(&mut buffer[..CHUNK_BYTES], false);
        buffer[CHUNK_BYTES..].copy_from_slice(&tag);
        Some(&buffer[..])
    }

    /// The last chunk. Nothing can be pushed any more.
    pub fn finish(&mut self) -> &[u8] {
        let buffer = self.buffer.borrow_mut();
        let filled = core::mem::take(&mut self.filled);
        let tag = self.stream.seal(&mut buffer[..filled], true);
        buffer[filled..][..TAG_BYTES].copy_from_slice(&tag);
        &buffer[..filled + TAG_BYTES]
    }
}

impl<B: BorrowMut<[u8; SEALED_BYTES]>> Drop for Encryptor<B> {
    fn drop(&mut self) {
        self.buffer.borrow_mut()[..self.filled].zeroize();
    }
}
