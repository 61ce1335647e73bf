//! Public keys and the ids made from them.

use ed25519_compact::PublicKey;
use sha2::{Digest, Sha256};

use crate::CoseError;
use crate::limits::{KID_BYTES, PUBLIC_KEY_BYTES};

/// A key id: the first 8 bytes of SHA-256 of the public key. A hint to find the key, never proof of it.
pub type KeyId = [u8; KID_BYTES];

/// The id of a public key.
pub fn key_id(key: &[u8; PUBLIC_KEY_BYTES]) -> KeyId {
    front(key)
}

/// The fingerprint of a public key: its SHA-256. What people write on paper and root metadata revokes by.
pub fn fingerprint(key: &[u8; PUBLIC_KEY_BYTES]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// The device id that a device's public key makes: the first 16 bytes of its SHA-256.
pub fn device_id(key: &[u8; PUBLIC_KEY_BYTES]) -> [u8; 16] {
    front(key)
}

fn front<const N: usize>(key: &[u8; PUBLIC_KEY_BYTES]) -> [u8; N] {
    let hash = Sha256::digest(key);
    let mut out = [0; N];
    out.copy_from_slice(&hash[..N]);
    out
}

/// Takes a public key in: 32 bytes, a canonical point, not of small order.
///
/// # Errors
/// [`CoseError::BadKey`]. Verification refuses such keys too; here they are kept out from the start.
pub fn public_key(bytes: &[u8]) -> Result<PublicKey, CoseError> {
    let key = PublicKey::from_slice(bytes).map_err(|_| CoseError::BadKey)?;
    key.validate().map_err(|_| CoseError::BadKey)?;
    Ok(key)
}
