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
//! Header and chunks are `firmware/age`'s. A key file is far shorter than age's chunk of 64 KiB, so that there is exactly one, the last.

use aegis_age::header::{END, Header, HeaderError, base64};
use aegis_age::limits::{FILE_KEY_BYTES, NONCE_BYTES, TAG_BYTES};
use aegis_age::{FileKey, VERSION};
use base64ct::{Base64Unpadded, Encoding};
use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

use crate::limits::{KEY_FILE_BYTES, WORK_FACTOR_MOST};

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const LABEL: &str = "AGE ENCRYPTED FILE";
const KIND: &str = "scrypt";
const SALT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";
const SALT_BYTES: usize = 16;

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
    let mut bytes = Zeroizing::new([0; FILE_KEY_BYTES]);
    let mut salt = [0; SALT_BYTES];
    let mut nonce = [0; NONCE_BYTES];
    for random in [&mut bytes[..], &mut salt, &mut nonce] {
        getrandom::fill(random).map_err(|_| SealError::NoRandom)?;
    }
    let file_key = FileKey::new(*bytes);
    let wrapped = file_key.wrap(&*wrap_key(passphrase, &salt, work_factor)?);
    let mut header = format!(
        "{VERSION}-> {KIND} {} {work_factor}\n{}\n{END}",
        Base64Unpadded::encode_string(&salt),
        Base64Unpadded::encode_string(&wrapped)
    );
    let mac = file_key.mac(header.as_bytes());
    header.push(' ');
    header.push_str(&Base64Unpadded::encode_string(&mac));
    header.push('\n');

    if plain.len() > KEY_FILE_BYTES {
        return Err(SealError::TooLarge);
    }
    // Room for all of it from the start: growing would leave plain text behind.
    let mut payload = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_BYTES));
    payload.extend_from_slice(plain);
    let tag = file_key.stream(&nonce).seal(&mut payload, true);
    payload.extend_from_slice(&tag);
    let file = [header.as_bytes(), &nonce, &payload].concat();
    let text = pem_rfc7468::encode_string(LABEL, LineEnding::LF, &file).map_err(|_| SealError::TooLarge)?;
    if text.len() > KEY_FILE_BYTES { Err(SealError::TooLarge) } else { Ok(text) }
}

/// Decrypts what [`seal`] or age encrypted with a passphrase.
///
/// # Errors
/// See [`SealError`].
pub fn unseal(text: &str, passphrase: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let file = dearmor(text)?;
    let sealed = Sealed::read(&file)?;
    let wrap = wrap_key(passphrase, &sealed.salt, sealed.work_factor)?;
    let file_key = FileKey::unwrap(sealed.wrapped, &wrap).ok_or(SealError::Passphrase)?;
    file_key.verify(&sealed.header).map_err(|_| SealError::Damaged)?;
    let rest = file[sealed.header.length..].split_first_chunk();
    let (nonce, chunk) = rest.ok_or(SealError::Malformed("it is cut off"))?;
    let mut plain = Zeroizing::new(chunk.to_vec());
    let length = file_key.stream(nonce).open(&mut plain, true).map_err(|_| SealError::Damaged)?.len();
    plain.truncate(length);
    Ok(plain)
}

/// The work factor that a file was encrypted with, without its passphrase.
///
/// # Errors
/// As [`unseal`], but for what needs the passphrase.
pub fn work_factor(text: &str) -> Result<u8, SealError> {
    Ok(Sealed::read(&dearmor(text)?)?.work_factor)
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

/// The header of an age file whose only stanza is scrypt's.
struct Sealed<'a> {
    header: Header<'a>,
    salt: [u8; SALT_BYTES],
    work_factor: u8,
    wrapped: [u8; FILE_KEY_BYTES + TAG_BYTES],
}

impl<'a> Sealed<'a> {
    fn read(file: &'a [u8]) -> Result<Self, SealError> {
        let header = Header::read(file).map_err(|error| match error {
            HeaderError::Incomplete => SealError::Malformed("it is cut off"),
            HeaderError::Malformed(what) => SealError::Malformed(what),
        })?;
        let mut stanzas = header.stanzas();
        let stanza = stanzas.find(|stanza| stanza.kind() == KIND).ok_or(SealError::Recipient)?;
        // Whoever knows the passphrase is the only one who could have made it.
        if header.stanzas().count() > 1 {
            return Err(SealError::Malformed("a second recipient"));
        }
        let mut arguments = stanza.arguments().skip(1);
        let salt = arguments.next().and_then(|salt| base64(salt.as_bytes()));
        let salt = salt.ok_or(SealError::Malformed("its salt"))?;
        let work_factor = work_factor_of(arguments.next().unwrap_or_default())?;
        if arguments.next().is_some() {
            return Err(SealError::Malformed("its work factor"));
        }
        let wrapped = stanza.body().ok_or(SealError::Malformed("its file key"))?;
        Ok(Self { header, salt, work_factor, wrapped })
    }
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
