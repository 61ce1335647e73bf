//! Root metadata, signed.

use aegis_bundle::limits::ROOT_BYTES;
use aegis_bundle::{Root, RootError};
use aegis_cose::limits::SIGN1_OVERHEAD;
use aegis_cose::{Domain, sign_embedded, signature};

use crate::secret::SecretFile;

/// Writes root metadata, signed by `keys`, and opens it again: what comes out is what a device will take.
///
/// # Errors
/// See [`RootError`]; with too few of the root's own keys it does not open.
pub fn sign_root(root: &Root, keys: &[&SecretFile]) -> Result<Vec<u8>, RootError> {
    let mut payload = vec![0; ROOT_BYTES];
    let length = root.encode(&mut payload)?;
    payload.truncate(length);
    let mut scratch = vec![0; length + SIGN1_OVERHEAD];
    let mut signatures = Vec::new();
    for key in keys {
        signatures.push(signature(&payload, Domain::Root, key.secret(), &mut scratch)?);
    }
    let mut out = vec![0; ROOT_BYTES];
    let length = sign_embedded(&payload, &signatures, &mut out)?;
    out.truncate(length);
    Root::open(&out)?;
    Ok(out)
}
