//! Secrets at rest: encrypted under one key that is not on the disk.
//!
//! ```text
//! locked secret = nonce (12) | ciphertext (32) | tag (16)     ChaCha20-Poly1305 (RFC 8439)
//! ```
//! The nonce is made of what is encrypted and what it is for, by HMAC-SHA-256 under a key of its own (as in RFC 8452's scheme): it is
//! the same twice only when both are. So neither a disk that was put back nor a write that is tried again uses one
//! for two secrets. The keys for encrypting, for nonces and for [`StorageKey::vouch`] are HMACs of their names.

use aegis_age::Cipher;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// A secret, 32 bytes.
pub type Secret = Zeroizing<[u8; 32]>;
/// One that is locked.
pub type Locked = [u8; NONCE_BYTES + 32 + TAG_BYTES];

/// The key. Wiped when it is dropped.
#[derive(Clone)]
pub struct StorageKey(Secret);

impl core::fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("StorageKey")
    }
}

impl StorageKey {
    /// Of 32 random bytes.
    pub const fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// Encrypts a secret. `of`: what it is for, and whose; it is given back for the same only.
    ///
    /// # Panics
    /// Never.
    pub fn lock(&self, of: &[&[u8]], secret: &[u8; 32]) -> Locked {
        let mut nonce = Zeroizing::new(mac(&self.part(b"nonce"), of, secret));
        let mut locked = [0; size_of::<Locked>()];
        let (front, tag) = locked.split_at_mut(NONCE_BYTES + 32);
        let (front_nonce, text) = front.split_at_mut(NONCE_BYTES);
        front_nonce.copy_from_slice(&nonce[..NONCE_BYTES]);
        text.copy_from_slice(secret);
        let nonce_bytes = front_nonce.first_chunk().expect("its length");
        tag.copy_from_slice(&self.cipher(of).seal(nonce_bytes, text));
        nonce.zeroize();
        locked
    }

    /// Gives it back; `None` when it was locked under another key or for something else, or was changed.
    pub fn unlock(&self, of: &[&[u8]], locked: &Locked) -> Option<Secret> {
        let (nonce, text) = locked.split_at(NONCE_BYTES);
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(&text[..32]);
        // The cipher's stream is the same both ways. Of one secret there is one locked form, so that holding it against that
        // proves nonce, text and tag at once.
        self.cipher(of).seal(nonce.first_chunk()?, secret.as_mut_slice());
        (self.lock(of, &secret) == *locked).then_some(secret)
    }

    /// HMAC-SHA-256 of these bytes: that who had this key wrote them.
    pub fn vouch(&self, bytes: &[u8]) -> [u8; 32] {
        mac(&self.part(b"vouch"), &[], bytes)
    }

    /// True when they are vouched for by this.
    pub fn is_vouched(&self, bytes: &[u8], by: &[u8; 32]) -> bool {
        begin(&self.part(b"vouch")).chain_update([0; 8]).chain_update(bytes).verify_slice(by).is_ok()
    }

    fn cipher(&self, of: &[&[u8]]) -> Cipher {
        Cipher::new(&Zeroizing::new(mac(&self.part(b"lock"), of, b"")))
    }

    /// The key of this name.
    fn part(&self, name: &[u8]) -> Secret {
        Zeroizing::new(mac(&self.0, &[], name))
    }
}

fn begin(key: &[u8; 32]) -> Hmac<Sha256> {
    hmac::KeyInit::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Each part behind its length, then the bytes: no two lists have one encoding.
fn mac(key: &[u8; 32], of: &[&[u8]], bytes: &[u8]) -> [u8; 32] {
    let mut mac = begin(key).chain_update((of.len() as u64).to_le_bytes());
    for part in of {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.chain_update(bytes).finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> StorageKey {
        StorageKey::new(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_secret_comes_back_for_the_same_key_and_purpose_only() {
        let of: [&[u8]; 2] = [b"a", b"bc"];
        let locked = key(1).lock(&of, &[9; 32]);
        assert!(!locked.windows(8).any(|bytes| bytes == [9; 8]));
        assert_eq!(key(1).unlock(&of, &locked).as_deref(), Some(&[9; 32]));
        assert!(key(2).unlock(&of, &locked).is_none());
        for other in [[&b"a"[..], b"bd"], [b"ab", b"c"]] {
            assert!(key(1).unlock(&other, &locked).is_none());
        }
        for at in 0..locked.len() {
            let mut locked = locked;
            locked[at] ^= 1;
            assert!(key(1).unlock(&of, &locked).is_none(), "byte {at}");
        }
    }

    #[test]
    fn no_nonce_is_for_two_secrets_or_two_purposes() {
        let nonce = |of: &[&[u8]], secret| key(1).lock(of, &[secret; 32])[..NONCE_BYTES].to_vec();
        assert_eq!(nonce(&[b"a"], 1), nonce(&[b"a"], 1), "the same again");
        assert_ne!(nonce(&[b"a"], 1), nonce(&[b"a"], 2));
        assert_ne!(nonce(&[b"a"], 1), nonce(&[b"b"], 1));
    }

    #[test]
    fn what_is_vouched_for_is_not_changed() {
        let by = key(1).vouch(b"bytes");
        assert!(key(1).is_vouched(b"bytes", &by));
        assert!(!key(1).is_vouched(b"byte", &by) && !key(2).is_vouched(b"bytes", &by));
    }
}
