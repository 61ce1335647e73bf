//! The reading side.

use core::borrow::BorrowMut;
use core::ops::Range;

use embedded_io::{ErrorType, Read};

use crate::file_key::FileKey;
use crate::header::{Header, HeaderError};
use crate::limits::{IDENTITIES, NONCE_BYTES, SEALED_BYTES};
use crate::stream::Stream;
use crate::x25519::{Identity, Wrapped};
use crate::{AgeError, OpenError};

/// Reads the plain bytes of a file, chunk by chunk, in one buffer. Every byte it gives was authenticated; that the file was
/// not cut is known when it gives none.
pub struct Decryptor<R, B> {
    reader: R,
    buffer: B,
    stream: Stream,
    /// Bytes of the file in the buffer that were not decrypted yet; behind a whole chunk one more, to know whether it is the last.
    filled: usize,
    /// Plain bytes in the buffer that were not given out yet.
    plain: Range<usize>,
    /// The byte behind the chunk in the buffer.
    ahead: Option<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Over,
    Failed(AgeError),
}

impl<R: Read, B: BorrowMut<[u8; SEALED_BYTES]>> Decryptor<R, B> {
    /// Reads the header, and finds the file key by one of the identities, at most [`IDENTITIES`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(mut reader: R, identities: &[Identity], mut buffer: B) -> Result<Self, OpenError<R::Error>> {
        let bytes = buffer.borrow_mut();
        let mut filled = 0;
        let (key, length) = loop {
            match Header::read(&bytes[..filled]) {
                Ok(header) => break (unwrap(&header, identities)?, header.length),
                Err(HeaderError::Malformed(what)) => return Err(AgeError::Header(what).into()),
                // Of fewer bytes than the buffer has.
                Err(HeaderError::Incomplete) => {
                    match reader.read(&mut bytes[filled..]).map_err(OpenError::Io)? {
                        0 => return Err(AgeError::CutOff.into()),
                        read => filled += read,
                    }
                }
            }
        };
        let end = length + NONCE_BYTES;
        while filled < end {
            match reader.read(&mut bytes[filled..]).map_err(OpenError::Io)? {
                0 => return Err(AgeError::CutOff.into()),
                read => filled += read,
            }
        }
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&bytes[length..end]);
        bytes.copy_within(end..filled, 0);
        let (stream, filled) = (key.stream(&nonce), filled - end);
        Ok(Self { reader, buffer, stream, filled, plain: 0..0, ahead: None, state: State::Reading })
    }

    /// Decrypts the next chunk.
    fn next_chunk(&mut self) -> Result<(), OpenError<R::Error>> {
        let bytes = self.buffer.borrow_mut();
        if let Some(ahead) = self.ahead.take() {
            (bytes[0], self.filled) = (ahead, 1);
        }
        let mut more = [0];
        let last = loop {
            let place = if self.filled < SEALED_BYTES { &mut bytes[self.filled..] } else { &mut more[..] };
            match self.reader.read(place).map_err(OpenError::Io)? {
                0 => break true,
                _ if self.filled == SEALED_BYTES => break false,
                read => self.filled += read,
            }
        };
        let sealed = core::mem::take(&mut self.filled);
        match self.stream.open(&mut bytes[..sealed], last) {
            Ok(plain) => self.plain = 0..plain.len(),
            Err(error) => {
                self.state = State::Failed(error);
                return Err(error.into());
            }
        }
        if last {
            self.state = State::Over;
        } else {
            self.ahead = Some(more[0]);
        }
        Ok(())
    }
}

/// The file key of a header that was not changed.
fn unwrap(header: &Header<'_>, identities: &[Identity]) -> Result<FileKey, AgeError> {
    let mut found = None;
    let mut passphrase = false;
    let mut stanzas = 0;
    for stanza in header.stanzas() {
        stanzas += 1;
        passphrase |= stanza.kind() == "scrypt";
        // All of them are looked at: a header with a bad one is bad, whoever it is for.
        let Some(wrapped) = Wrapped::read(&stanza)? else { continue };
        for identity in &identities[..identities.len().min(IDENTITIES)] {
            if found.is_none() {
                found = identity.unwrap(&wrapped)?;
            }
        }
    }
    match (passphrase, stanzas) {
        (true, 1) => return Err(AgeError::Passphrase),
        // Whoever knows the passphrase could have made the file.
        (true, _) => return Err(AgeError::Header("a passphrase beside another recipient")),
        _ => {}
    }
    let key = found.ok_or(AgeError::NoMatch)?;
    key.verify(header)?;
    Ok(key)
}

impl<R: ErrorType, B> ErrorType for Decryptor<R, B> {
    type Error = OpenError<R::Error>;
}

impl<R: Read, B: BorrowMut<[u8; SEALED_BYTES]>> Read for Decryptor<R, B> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        while self.plain.is_empty() && !out.is_empty() {
            match self.state {
                State::Over => return Ok(0),
                State::Failed(error) => return Err(error.into()),
                State::Reading => self.next_chunk()?,
            }
        }
        let length = self.plain.len().min(out.len());
        let from = self.plain.start;
        out[..length].copy_from_slice(&self.buffer.borrow_mut()[from..][..length]);
        self.plain.start += length;
        Ok(length)
    }
}
