//! The device's key for TLS: ECDSA on P-256, made here, never leaves it. With a TPM its secret is locked under the storage key, as the
//! device key is (docs/tpm.md).
//!
//! ```text
//! key      secret (32) | public point (65)        without a TPM
//! key      locked secret (60) | public point (65)
//! ```

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aegis_atomic::{read_bounded, replace};
use aegis_bundle::{Chain, Site};
use aegis_seal::StorageKey;
use base64ct::{Base64, Encoding as _};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use webpki::EndEntityCert;
use zeroize::Zeroizing;

const FILE: &str = "key";
/// One that could not be unlocked, and may be again.
const LOST: &str = "key.lost";
/// For a stick to take along.
const REQUEST: &str = "request.csr";
const STORAGE_KEY: &str = "storage.key";
/// What it is locked for.
const PURPOSE: [&[u8]; 1] = [b"aegis site key"];

const SECRET: usize = 32;
const POINT: usize = 65;
const LOCKED: usize = size_of::<aegis_seal::Locked>();
/// PKCS#8 around a key of P-256 (RFC 5208, RFC 5915): what stands before the secret, and between it and the point.
const BEFORE: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01,
    0x04, 0x20,
];
const BETWEEN: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];
/// The same key's `SubjectPublicKeyInfo` (RFC 5480), before the point.
const INFO: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

pub(super) struct Key {
    secret: Zeroizing<[u8; SECRET]>,
    point: [u8; POINT],
}

/// Of the policy's certificates the first that is for this key (PKCS#8), with what comes after it.
pub fn chain_for<'s, 'a>(site: &'s Site<'a>, key: &[u8]) -> Option<&'s Chain<'a>> {
    let info = [&INFO[..], key.last_chunk::<POINT>()?].concat();
    site.chains.iter().find(|chain| {
        let Some(own) = chain.first() else { return false };
        let own = CertificateDer::from(*own);
        EndEntityCert::try_from(&own).is_ok_and(|own| own.subject_public_key_info().as_ref() == info)
    })
}

fn damaged() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "not a key (restore it from a backup, or remove it: another one is made)",
    )
}

impl Key {
    /// Reads it, or makes one. One that is open and could be locked is locked; one that can't be unlocked is put aside, and another
    /// one is made.
    pub(super) fn open_or_make(state: &Path, run: &Path) -> io::Result<Self> {
        if !state.is_dir() {
            fs::create_dir_all(state)?;
            fs::set_permissions(state, fs::Permissions::from_mode(0o700))?;
        }
        let storage = storage_key(&run.join(STORAGE_KEY))?;
        let stored = match read_bounded(&state.join(FILE), (LOCKED + POINT) as u64).map(Zeroizing::new) {
            Ok(stored) => stored,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::make(state, storage.as_ref());
            }
            Err(error) => return Err(error),
        };
        let (front, point) = stored.split_last_chunk::<POINT>().ok_or_else(damaged)?;
        let open = <[u8; SECRET]>::try_from(front).map(Zeroizing::new);
        let key = match (open, storage) {
            (Ok(secret), storage) => {
                let key = Self { secret, point: *point };
                if let Some(storage) = storage {
                    key.save(state, Some(&storage))?;
                }
                key
            }
            (Err(_), storage) => {
                let locked = <&aegis_seal::Locked>::try_from(front).map_err(|_| damaged())?;
                let Some(secret) = storage.as_ref().and_then(|storage| storage.unlock(&PURPOSE, locked))
                else {
                    fs::rename(state.join(FILE), state.join(LOST))?;
                    eprintln!(
                        "site: its key can't be unlocked: another one is made, and wants a certificate"
                    );
                    return Self::make(state, storage.as_ref());
                };
                Self { secret, point: *point }
            }
        };
        // What is damaged does not fit together.
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.pkcs8(), &SystemRandom::new())
            .map_err(|_| damaged())?;
        Ok(key)
    }

    fn make(state: &Path, storage: Option<&StorageKey>) -> io::Result<Self> {
        let failed = || io::Error::other("no key could be made");
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let made = made.map_err(|_| failed())?;
        let (front, point) = made.as_ref().split_last_chunk::<POINT>().ok_or_else(failed)?;
        let secret =
            front.strip_prefix(&BEFORE).and_then(|front| front.strip_suffix(&BETWEEN)).ok_or_else(failed)?;
        let secret = Zeroizing::new(<[u8; SECRET]>::try_from(secret).map_err(|_| failed())?);
        let key = Self { secret, point: *point };
        key.save(state, storage)?;
        Ok(key)
    }

    fn save(&self, state: &Path, storage: Option<&StorageKey>) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let locked = storage.map(|storage| storage.lock(&PURPOSE, &self.secret));
        let secret = locked.as_ref().map_or(&self.secret[..], |locked| &locked[..]);
        let old = fs::File::options().write(true).open(state.join(FILE));
        replace(state, FILE, &Zeroizing::new([secret, &self.point].concat()), 0o600)?;
        if let Ok(old) = old {
            // What it was written to before is nobody's by now, and would be found there.
            old.write_all_at(&[0; SECRET], 0)?;
            old.sync_all()?;
        }
        Ok(())
    }

    /// It, as TLS wants it.
    pub(super) fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&BEFORE[..], &self.secret[..], &BETWEEN, &self.point].concat())
    }

    /// Asks for a certificate (PKCS#10, RFC 2986): for the device's id, its address and the names that the policy has for it.
    pub(super) fn request(&self, state: &Path, device: &[u8], site: &Site<'_>) -> io::Result<PathBuf> {
        let pkcs8 = self.pkcs8();
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(pkcs8.as_slice()),
            &rcgen::PKCS_ECDSA_P256_SHA256,
        );
        let pair = pair.map_err(io::Error::other)?;
        let id: String = device.iter().fold(String::new(), |id, byte| id + &format!("{byte:02x}"));
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("aegis-{id}"));
        params.subject_alt_names = vec![SanType::IpAddress(plain(site.address))];
        for name in &site.names {
            let name = (*name).try_into().map_err(io::Error::other)?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let request = params.serialize_request(&pair).map_err(io::Error::other)?;
        replace(state, REQUEST, pem(request.der()).as_bytes(), 0o644)
    }
}

/// It was answered.
pub(super) fn forget_request(state: &Path) {
    let _ = fs::remove_file(state.join(REQUEST));
}

const fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// RFC 7468, section 7.
fn pem(der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    let mut out = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|byte| char::from(*byte)));
        out.push('\n');
    }
    out + "-----END CERTIFICATE REQUEST-----\n"
}

/// The storage key of this boot, if a TPM gave one.
fn storage_key(path: &Path) -> io::Result<Option<StorageKey>> {
    let bytes = match read_bounded(path, SECRET as u64).map(Zeroizing::new) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let secret = <[u8; SECRET]>::try_from(bytes.as_slice()).map_err(|_| damaged())?;
    Ok(Some(StorageKey::new(Zeroizing::new(secret))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_kept_locked_and_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (state, run) = (folder.path().join("state"), folder.path().join("run"));
        fs::create_dir(&run).unwrap();
        let open = || Key::open_or_make(&state, &run).map(|key| key.pkcs8().to_vec());
        let file = || fs::read(state.join(FILE)).unwrap();
        let first = open().unwrap();
        assert_eq!((open().unwrap(), file().len()), (first.clone(), SECRET + POINT));
        assert_eq!(fs::metadata(state.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        // There is a TPM by now.
        fs::write(run.join(STORAGE_KEY), [7; 32]).unwrap();
        assert_eq!((open().unwrap(), file().len()), (first.clone(), LOCKED + POINT));
        let secret = &first[BEFORE.len()..][..SECRET];
        assert!(!file().windows(SECRET).any(|part| part == secret), "the secret is not there");
        assert_eq!(open().unwrap(), first);
        // Another one.
        fs::write(run.join(STORAGE_KEY), [8; 32]).unwrap();
        let second = open().unwrap();
        assert!(second != first && state.join(LOST).exists());
        for damage in [&[][..], &[1; 96], &[1; 97], &[1; 98], &[1; 200]] {
            fs::write(state.join(FILE), damage).unwrap();
            fs::remove_file(run.join(STORAGE_KEY)).unwrap_or_default();
            assert!(open().is_err(), "{} bytes", damage.len());
        }
    }
}
