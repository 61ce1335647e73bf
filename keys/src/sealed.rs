//! Text encrypted with a passphrase: the age v1 format (<https://age-encryption.org/v1>), ASCII-armored, with the one
//! recipient type `scrypt`. `age --decrypt` opens what is written here, and `age --passphrase --armor` writes what is
//! read here. Why not the `age` crate: docs/decisions/0009.
//!
//! ```text
//! age-encryption.org/v1
//! -> scrypt SALT WORK-FACTOR
//! FILE-KEY, encrypted with scrypt(passphrase)
//! --- MAC
//! nonce, one chunk of ChaCha20-Poly1305
//! ```
//!
//! A key file is far shorter than age's chunk of 64 KiB, so that there is exactly one, the last.

use base64ct::{Base64Unpadded, Encoding};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use pem_rfc7468::LineEnding;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::limits::{KEY_FILE_BYTES, WORK_FACTOR_MOST};

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const LABEL: &str = "AGE ENCRYPTED FILE";
const VERSION: &str = "age-encryption.org/v1\n";
const STANZA: &str = "-> scrypt ";
const MAC_LINE: &str = "---";
const SALT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";
const SALT_BYTES: usize = 16;
const FILE_KEY_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
/// STREAM's nonce of the first chunk when it is the last: a counter of 11 bytes, and 1.
const ONLY_CHUNK: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Why text could not be encrypted or decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    /// Not an armored age file, or damaged: what is wrong.
    Malformed(&'static str),
    /// An age file, but not for a passphrase.
    Recipient,
    /// Its work factor is above [`WORK_FACTOR_MOST`], or 0.
    WorkFactor,
    /// Not this passphrase.
    Passphrase,
    /// The passphrase fits and the rest does not: the file was changed.
    Damaged,
    /// Longer than a key file may be.
    TooLarge,
    /// The system gave no random bytes.
    NoRandom,
}

impl std::fmt::Display for SealError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "a damaged age file: {what}; take the copy"),
            Self::Recipient => {
                f.write_str("encrypted to something other than a passphrase; decrypt it with age first")
            }
            Self::WorkFactor => {
                write!(
                    f,
                    "its work factor is not between 1 and {WORK_FACTOR_MOST}; encrypt it again with age"
                )
            }
            Self::Passphrase => f.write_str("not the passphrase of this key"),
            Self::Damaged => f.write_str("the passphrase fits, but the file is damaged; take the copy"),
            Self::TooLarge => write!(f, "longer than {KEY_FILE_BYTES} bytes: not a key file"),
            Self::NoRandom => f.write_str("the system gave no random bytes"),
        }
    }
}

impl std::error::Error for SealError {}

/// True when a file is meant to be encrypted with age.
pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(BEGIN.as_bytes())
}

/// Encrypts `plain` with a passphrase. `work_factor` is scrypt's log2(N) ([`crate::limits::WORK_FACTOR`]); the memory it
/// takes is 2^(`work_factor` + 10) bytes.
///
/// # Errors
/// [`SealError::WorkFactor`], [`SealError::TooLarge`], [`SealError::NoRandom`].
pub fn seal(plain: &[u8], passphrase: &str, work_factor: u8) -> Result<String, SealError> {
    let mut random = Zeroizing::new([0; FILE_KEY_BYTES + SALT_BYTES + NONCE_BYTES]);
    getrandom::fill(&mut *random).map_err(|_| SealError::NoRandom)?;
    let (file_key, rest) = random.split_at(FILE_KEY_BYTES);
    let (salt, nonce) = rest.split_at(SALT_BYTES);

    let mut body = Zeroizing::new(file_key.to_vec());
    let wrap = wrap_key(passphrase, salt, work_factor)?;
    encrypt(&wrap, &[0; 12], &mut body)?;
    let mut header = format!(
        "{VERSION}{STANZA}{} {work_factor}\n{}\n{MAC_LINE}",
        Base64Unpadded::encode_string(salt),
        Base64Unpadded::encode_string(&body)
    );
    let mac = mac(file_key, header.as_bytes()).finalize().into_bytes();
    header.push(' ');
    header.push_str(&Base64Unpadded::encode_string(&mac));
    header.push('\n');

    // Room for all of it from the start: growing would leave plain text behind.
    let mut payload = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_BYTES));
    payload.extend_from_slice(plain);
    encrypt(&payload_key(file_key, nonce), &ONLY_CHUNK, &mut payload)?;
    let file = [header.as_bytes(), nonce, &payload].concat();
    let text = pem_rfc7468::encode_string(LABEL, LineEnding::LF, &file).map_err(|_| SealError::TooLarge)?;
    if text.len() > KEY_FILE_BYTES { Err(SealError::TooLarge) } else { Ok(text) }
}

/// Decrypts what [`seal`] or age encrypted with a passphrase.
///
/// # Errors
/// See [`SealError`].
pub fn unseal(text: &str, passphrase: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let file = dearmor(text)?;
    let header = Header::read(&file)?;
    let wrap = wrap_key(passphrase, &header.salt, header.work_factor)?;
    let mut file_key = Zeroizing::new(header.body.clone());
    decrypt(&wrap, &[0; 12], &mut file_key).map_err(|()| SealError::Passphrase)?;
    mac(&file_key, header.signed).verify_slice(&header.mac).map_err(|_| SealError::Damaged)?;
    let (nonce, chunk) =
        header.payload.split_at_checked(NONCE_BYTES).ok_or(SealError::Malformed("it is cut off"))?;
    let mut plain = Zeroizing::new(chunk.to_vec());
    decrypt(&payload_key(&file_key, nonce), &ONLY_CHUNK, &mut plain).map_err(|()| SealError::Damaged)?;
    Ok(plain)
}

/// The work factor that a file was encrypted with, without its passphrase.
///
/// # Errors
/// As [`unseal`], but for what needs the passphrase.
pub fn work_factor(text: &str) -> Result<u8, SealError> {
    Ok(Header::read(&dearmor(text)?)?.work_factor)
}

fn dearmor(text: &str) -> Result<Vec<u8>, SealError> {
    if text.len() > KEY_FILE_BYTES {
        return Err(SealError::TooLarge);
    }
    if !is_sealed(text.as_bytes()) {
        return Err(SealError::Malformed("it does not begin as one"));
    }
    let text = text.trim_ascii_end();
    match pem_rfc7468::decode_vec(text.as_bytes()) {
        Ok((LABEL, bytes)) => Ok(bytes),
        _ => Err(SealError::Malformed("its armor")),
    }
}

/// The parts of an age file whose only stanza is scrypt's.
struct Header<'a> {
    salt: Vec<u8>,
    work_factor: u8,
    body: Vec<u8>,
    mac: Vec<u8>,
    /// What the MAC is over.
    signed: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(file: &'a [u8]) -> Result<Self, SealError> {
        let mut rest = file.strip_prefix(VERSION.as_bytes()).ok_or(SealError::Malformed("its version"))?;
        let mut line = || {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let (line, after) = rest.split_at(end);
            rest = &after[1..];
            std::str::from_utf8(line).ok()
        };
        let stanza = line().ok_or(SealError::Malformed("its first line"))?;
        let stanza = stanza.strip_prefix(STANZA).ok_or(SealError::Recipient)?;
        let (salt, factor) = stanza.split_once(' ').ok_or(SealError::Malformed("its scrypt line"))?;
        let salt = base64(salt, SALT_BYTES).ok_or(SealError::Malformed("its salt"))?;
        let work_factor = work_factor_of(factor)?;
        let body = line().and_then(|line| base64(line, FILE_KEY_BYTES + TAG_BYTES));
        let body = body.ok_or(SealError::Malformed("its file key"))?;
        let last = line().and_then(|line| line.strip_prefix(MAC_LINE)?.strip_prefix(' '));
        // A second stanza would come here: age allows none beside scrypt's.
        let mac = last.and_then(|text| base64(text, MAC_BYTES)).ok_or(SealError::Malformed("its MAC"))?;
        let header = file.len() - rest.len();
        let signed = &file[..header - last.map_or(0, str::len) - " \n".len()];
        Ok(Self { salt, work_factor, body, mac, signed, payload: rest })
    }
}

/// Exactly `length` bytes of base64 without padding.
fn base64(text: &str, length: usize) -> Option<Vec<u8>> {
    Base64Unpadded::decode_vec(text).ok().filter(|bytes| bytes.len() == length)
}

/// A decimal number without leading zeros, in bounds.
fn work_factor_of(text: &str) -> Result<u8, SealError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') && !text.is_empty();
    if !plain {
        return Err(SealError::Malformed("its work factor"));
    }
    let factor: u8 = text.parse().map_err(|_| SealError::WorkFactor)?;
    if (1..=WORK_FACTOR_MOST).contains(&factor) { Ok(factor) } else { Err(SealError::WorkFactor) }
}

fn wrap_key(passphrase: &str, salt: &[u8], work_factor: u8) -> Result<Zeroizing<[u8; 32]>, SealError> {
    if !(1..=WORK_FACTOR_MOST).contains(&work_factor) {
        return Err(SealError::WorkFactor);
    }
    let params = scrypt::Params::new(work_factor, 8, 1).map_err(|_| SealError::WorkFactor)?;
    let mut key = Zeroizing::new([0; 32]);
    let salt = [SALT_LABEL, salt].concat();
    scrypt::scrypt(passphrase.as_bytes(), &salt, &params, &mut *key).map_err(|_| SealError::WorkFactor)?;
    Ok(key)
}

fn mac(file_key: &[u8], header: &[u8]) -> Hmac<Sha256> {
    let mut key = Zeroizing::new([0; 32]);
    expand(file_key, None, b"header", &mut key);
    let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes keys of any length");
    mac.update(header);
    mac
}

fn payload_key(file_key: &[u8], nonce: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    expand(file_key, Some(nonce), b"payload", &mut key);
    key
}

fn expand(file_key: &[u8], salt: Option<&[u8]>, info: &[u8], key: &mut [u8; 32]) {
    Hkdf::<Sha256>::new(salt, file_key).expand(info, key).expect("32 bytes are within HKDF's bound");
}

/// Encrypts in place and appends the tag.
fn encrypt(key: &[u8; 32], nonce: &[u8; 12], bytes: &mut Vec<u8>) -> Result<(), SealError> {
    let cipher = ChaCha20Poly1305::new(key.into());
    let tag = cipher
        .encrypt_inout_detached(nonce.into(), b"", bytes.as_mut_slice().into())
        .map_err(|_| SealError::TooLarge)?;
    bytes.extend_from_slice(&tag);
    Ok(())
}

/// Checks the tag at the end, takes it off and decrypts in place.
fn decrypt(key: &[u8; 32], nonce: &[u8; 12], bytes: &mut Vec<u8>) -> Result<(), ()> {
    let length = bytes.len().checked_sub(TAG_BYTES).ok_or(())?;
    let tag: Tag = bytes[length..].try_into().map_err(drop)?;
    bytes.truncate(length);
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher.decrypt_inout_detached(nonce.into(), b"", bytes.as_mut_slice().into(), &tag).map_err(drop)
}
