//! Files in memory, made and opened.

// Each test takes what it needs.
#![allow(dead_code)]

use aegis_age::limits::SEALED_BYTES;
use aegis_age::{AgeError, Decryptor, Encryptor, Identity, OpenError, Recipient, begin};
use embedded_io::Read;

/// An identity of bytes that are no secret.
pub(crate) fn identity(number: u8) -> Identity {
    Identity::from_random(&[number; 32]).expect("not zero")
}

/// Random bytes that are none: the same for each file, so that a test that fails fails again.
pub(crate) fn counted(mut next: u8) -> impl FnMut(&mut [u8]) -> Result<(), AgeError> {
    move |bytes| {
        for byte in bytes {
            next = next.wrapping_mul(29).wrapping_add(113);
            *byte = next;
        }
        Ok(())
    }
}

fn buffer() -> Box<[u8; SEALED_BYTES]> {
    vec![0; SEALED_BYTES].into_boxed_slice().try_into().expect("as long as asked for")
}

/// Encrypts, in pieces of this length.
pub(crate) fn encrypt(recipients: &[Recipient], plain: &[u8], piece: usize) -> Vec<u8> {
    let (front, stream) = begin(recipients, counted(7)).expect("recipients");
    let mut file = front.to_vec();
    let mut encryptor = Encryptor::new(stream, buffer());
    for mut piece in plain.chunks(piece.max(1)) {
        while let Some(chunk) = encryptor.push(&mut piece) {
            file.extend(chunk);
        }
        assert!(piece.is_empty());
    }
    file.extend(encryptor.finish());
    file
}

/// A reader that gives at most so many bytes at a time.
pub(crate) struct Drip<'a>(pub(crate) &'a [u8], pub(crate) usize);

impl embedded_io::ErrorType for Drip<'_> {
    type Error = core::convert::Infallible;
}

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        let length = out.len().min(self.0.len()).min(self.1);
        let (now, rest) = self.0.split_at(length);
        out[..length].copy_from_slice(now);
        self.0 = rest;
        Ok(length)
    }
}

/// What a reader had of a file before it ended, or failed.
pub(crate) fn decrypt_some(
    file: &[u8],
    identities: &[Identity],
    piece: usize,
) -> (Vec<u8>, Result<(), AgeError>) {
    let mut plain = Vec::new();
    let age = |error| match error {
        OpenError::Age(error) => error,
        OpenError::Io(never) => match never {},
    };
    let mut reader = match Decryptor::open(Drip(file, piece), identities, buffer()) {
        Ok(reader) => reader,
        Err(error) => return (plain, Err(age(error))),
    };
    let mut bytes = vec![0; piece.min(100_000)];
    loop {
        match reader.read(&mut bytes) {
            Ok(0) => return (plain, Ok(())),
            Ok(read) => plain.extend(&bytes[..read]),
            Err(error) => {
                let error = age(error);
                // It stays as it is.
                assert_eq!(reader.read(&mut bytes).map_err(age), Err(error));
                return (plain, Err(error));
            }
        }
    }
}

/// All of a file.
pub(crate) fn decrypt(file: &[u8], identities: &[Identity]) -> Result<Vec<u8>, AgeError> {
    let (plain, end) = decrypt_some(file, identities, 1 << 20);
    end.map(|()| plain)
}
