//! A file on its way to a stick: as it is, or encrypted.
//!
//! One file key is for one file: a file that could not be finished is removed, and what is written in its place has another
//! key. So no two different chunks are ever encrypted under the same key and nonce, also not when a stick is full.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aegis_age::limits::SEALED_BYTES;
use aegis_age::{AgeError, Encryptor, Recipient};

use crate::limits;
use crate::outcome::Failure;
use crate::storage::atomic::Pending;

pub(super) struct Outgoing {
    file: Pending,
    encryptor: Option<Encryptor<Box<[u8; SEALED_BYTES]>>>,
    taken: u64,
    /// Of those, what the stick has.
    synced: u64,
    front: Vec<u8>,
}

impl From<AgeError> for Failure {
    fn from(error: AgeError) -> Self {
        Self::error(format!("encryption: {error}"))
    }
}

impl Outgoing {
    /// Begins a file in this directory; encrypted, if there is anybody to encrypt it to.
    pub(super) fn begin(to: &Path, recipients: &[Recipient]) -> Result<Self, Failure> {
        let (mut encryptor, mut front) = (None, Vec::new());
        if !recipients.is_empty() {
            let random = |bytes: &mut [u8]| {
                getrandom::fill(bytes).map_err(|error| Failure::error(format!("random bytes: {error}")))
            };
            let (bytes, stream) = aegis_age::begin(recipients, random)?;
            let buffer = vec![0; SEALED_BYTES].into_boxed_slice();
            encryptor = Some(Encryptor::new(stream, buffer.try_into().expect("as long as asked for")));
            front = bytes.to_vec();
        }
        let file = Pending::begin(to, 0o644)
            .map_err(|error| Failure::error(format!("{}: {error}", to.display())))?;
        Ok(Self { file, encryptor, taken: 0, synced: 0, front })
    }

    /// Bytes that the stick took so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Appends plain bytes.
    pub(super) fn write(&mut self, mut plain: &[u8]) -> io::Result<()> {
        self.put_front()?;
        match &mut self.encryptor {
            None => put(&mut self.file, &mut self.taken, plain)?,
            Some(encryptor) => {
                while let Some(chunk) = encryptor.push(&mut plain) {
                    put(&mut self.file, &mut self.taken, chunk)?;
                }
            }
        }
        if self.taken - self.synced >= limits::EXPORT_UNSYNCED_BYTES {
            self.file.sync()?;
            self.synced = self.taken;
        }
        Ok(())
    }

    /// The end: nothing can be written any more.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.put_front()?;
        match &mut self.encryptor {
            Some(encryptor) => put(&mut self.file, &mut self.taken, encryptor.finish()),
            None => Ok(()),
        }
    }

    /// Makes it durable under this name.
    pub(super) fn publish(self, name: &str) -> io::Result<PathBuf> {
        self.file.publish(name)
    }

    fn put_front(&mut self) -> io::Result<()> {
        put(&mut self.file, &mut self.taken, &std::mem::take(&mut self.front))
    }
}

fn put(file: &mut Pending, taken: &mut u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    *taken += bytes.len() as u64;
    Ok(())
}

/// Space to try again with, after a stick took so many bytes and no more.
pub(super) fn smaller(taken: u64) -> u64 {
    (taken - taken / 16).saturating_sub(limits::KEPT_FREE_BYTES)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aegis_age::{Decryptor, Identity};
    use embedded_io::Read;

    use super::*;

    fn opened(bytes: &[u8], identity: Identity) -> Vec<u8> {
        let buffer: Box<[u8; SEALED_BYTES]> = vec![0; SEALED_BYTES].into_boxed_slice().try_into().unwrap();
        let mut reader = Decryptor::open(bytes, &[identity], buffer).unwrap();
        let (mut plain, mut piece) = (Vec::new(), [0; 1000]);
        loop {
            match reader.read(&mut piece).unwrap() {
                0 => return plain,
                read => plain.extend(&piece[..read]),
            }
        }
    }

    #[test]
    fn what_is_written_is_there_and_only_encrypted_if_it_is_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let identity = || Identity::from_random(&[9; 32]).unwrap();
        let items = [vec![1; 70_000], vec![2; 10], vec![3; 200_000]];
        for recipients in [vec![], vec![identity().recipient()]] {
            let mut file = Outgoing::begin(directory.path(), &recipients).unwrap();
            for item in &items {
                file.write(item).unwrap();
            }
            file.finish().unwrap();
            let taken = file.taken();
            let bytes = std::fs::read(file.publish("export").unwrap()).unwrap();
            assert_eq!(bytes.len() as u64, taken);
            let plain = items.concat();
            if recipients.is_empty() {
                assert!(bytes == plain);
            } else {
                assert_eq!(taken, aegis_age::sealed_length(plain.len() as u64, 1));
                assert!(!bytes.windows(9).any(|nine| nine == [3; 9]), "plain bytes on the stick");
                assert!(opened(&bytes, identity()) == plain);
            }
        }
    }

    #[test]
    fn a_file_that_is_begun_again_has_another_key() {
        let directory = tempfile::tempdir().unwrap();
        let recipients = [Identity::from_random(&[9; 32]).unwrap().recipient()];
        let made: Vec<Vec<u8>> = (0..2)
            .map(|_| {
                let mut file = Outgoing::begin(directory.path(), &recipients).unwrap();
                file.write(&[7; 100]).unwrap();
                file.finish().unwrap();
                std::fs::read(file.publish("export").unwrap()).unwrap()
            })
            .collect();
        assert_ne!(made[0], made[1]);
        assert_ne!(made[0][made[0].len() - 116..], made[1][made[1].len() - 116..], "the same key stream");
    }

    #[test]
    fn each_try_is_smaller() {
        assert_eq!(smaller(0), 0);
        for taken in [1, 1_000, 1 << 20, 1 << 32] {
            assert!(smaller(taken) < taken);
        }
    }
}
