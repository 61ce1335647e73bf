//! What is done with the TPM once in a boot: measurements are read, the storage key is unsealed, or made; what is secret in own
//! storage is locked under it; the trust state is held against the counter.
//!
//! Nothing here stops a boot: what can't be done is told, and the device goes on as one without a TPM.

use std::io;
use std::path::Path;

use aegis_seal::StorageKey;
use aegis_tpm::{Error, MEASURED, Sealed, Tpm, Transport};
use zeroize::Zeroizing;

use super::found::{self, Found, Key};
use super::{KEY_FILE, device};
use crate::storage::counter::{self, Verdict};
use crate::storage::device::Identity;
use crate::storage::disk::Data;
use crate::storage::report::{Code, Report};
use crate::storage::{DATA, RUN, aside, atomic, trust};

type Secret = Zeroizing<[u8; 32]>;

const EFI_VARIABLES: &str = "/sys/firmware/efi/efivars";

/// `mounted`: own storage is on a disk. What is in memory only is neither locked nor counted.
#[inline(never)]
pub(crate) fn settle(report: &mut Report, mounted: bool) {
    let tpm = device::open().unwrap_or_else(|error| {
        report.tell(Code::TpmFailed, format!("the TPM can't be opened: {error}"));
        None
    });
    // Until somebody says that it is the last one, also when this ends here.
    let held = mounted && counter::was_counted(&Data::own());
    let mut found = Found { held, ..Found::default() };
    if held && let Err(error) = found.save() {
        log::error!("{RUN}: {error}");
    }
    if let Some(mut tpm) = tpm {
        found.key = Key::NotSealed;
        for number in MEASURED {
            match tpm.pcr(*number) {
                Ok(digest) => {
                    found.pcrs.push(*number);
                    found.digests.extend_from_slice(&digest);
                }
                Err(error) => {
                    report.tell(Code::TpmFailed, format!("PCR {number} can't be read: {error}"));
                    break;
                }
            }
        }
        if mounted && is_unfinished(Path::new(EFI_VARIABLES)) && !Path::new(DATA).join(KEY_FILE).exists() {
            log::warn!("the firmware is in setup mode: no key is sealed before it has Secure Boot's keys");
        } else if mounted {
            own_storage(&mut tpm, &mut found, report);
        }
    } else if mounted && Path::new(DATA).join(KEY_FILE).exists() {
        report.tell(Code::KeyLost, "there is no TPM any more: a new chain begins, and nobody counts");
    }
    if found.held && !report.has(&[Code::TrustRolledBack]) {
        report.tell(
            Code::TrustRolledBack,
            "no TPM says whether the trust state is the last one; nothing is taken until a token is",
        );
    }
    if mounted && let Err(error) = Identity::settle(Path::new(DATA), found::storage_key().as_ref(), report) {
        report.tell(Code::TpmFailed, format!("{DATA}: device key: {error}"));
    }
    if let Err(error) = found.save() {
        log::error!("{RUN}: {error}");
    }
}

/// The firmware waits for Secure Boot's keys: the global variable `SetupMode`, four bytes of attributes, then one (UEFI 2.10, 3.3).
/// What was sealed now would be lost with them.
fn is_unfinished(variables: &Path) -> bool {
    let read = atomic::read_bounded(&variables.join("SetupMode-8be4df61-93ca-11d2-aa0d-00e098032b8c"), 16);
    read.is_ok_and(|bytes| matches!(bytes.as_slice(), [_, _, _, _, 1]))
}

#[inline(never)]
fn own_storage<T: Transport<Error = io::Error>>(tpm: &mut Tpm<T>, found: &mut Found, report: &mut Report) {
    let key = storage_key(tpm, Path::new(DATA), report).and_then(|secret| {
        found::keep_storage_key(&secret)?;
        Ok(StorageKey::new(secret))
    });
    if let Err(error) = key {
        // Its file is left as it is: the next boot may have it again.
        return report.tell(Code::TpmFailed, format!("no storage key: {error}"));
    }
    found.key = Key::Sealed;
    let judged = trust::lock()
        .map_err(|error| error.to_string())
        .and_then(|_one| counter::settle(&Data::own(), tpm).map_err(|error| error.to_string()))
        .and_then(|verdict| verdict.with_books(&Data::own()).map_err(|error| error.to_string()));
    match judged {
        Ok(verdict) => {
            found.counts = true;
            found.held = false;
            match verdict {
                Verdict::Good => {}
                Verdict::OtherTpm => report.tell(
                    Code::TpmOther,
                    "the trust state was counted by another TPM, or this one was cleared: it counts anew",
                ),
                Verdict::Held(why) => {
                    found.held = true;
                    report.tell(Code::TrustRolledBack, format!("{why}; nothing is taken until a token is"));
                }
            }
        }
        Err(error) => report.tell(Code::TpmFailed, format!("the trust state is not counted: {error}")),
    }
}

/// Unseals the key that is kept, or makes one.
#[inline(never)]
fn storage_key<T: Transport<Error = io::Error>>(
    tpm: &mut Tpm<T>,
    directory: &Path,
    report: &mut Report,
) -> io::Result<Secret> {
    let kept = match atomic::read_bounded(&directory.join(KEY_FILE), aegis_tpm::limits::SEALED_BYTES as u64) {
        Ok(bytes) => Sealed::decode(&bytes).ok_or_else(|| "its file is damaged".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = make(tpm, directory)?;
            report.tell(Code::KeySealed, format!("a storage key, to PCR {}", aegis_tpm::SEALED_TO));
            return Ok(secret);
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput) => {
            Err("its file is damaged".to_owned())
        }
        Err(error) => return Err(error),
    };
    let why = match kept.map(|sealed| tpm.unseal(&sealed)) {
        Ok(Ok(secret)) => return Ok(secret),
        Ok(Err(error)) if error.is_an_answer() => error.to_string(),
        Ok(Err(error)) => return Err(failed(error)),
        Err(why) => why,
    };
    // What an earlier one was sealed to may be back.
    for name in aside::names(KEY_FILE) {
        let bytes = atomic::read_bounded(&directory.join(&name), aegis_tpm::limits::SEALED_BYTES as u64);
        let Some(sealed) = bytes.ok().and_then(|bytes| Sealed::decode(&bytes)) else { continue };
        match tpm.unseal(&sealed) {
            Ok(secret) => {
                aside::bring_back(directory, &name, KEY_FILE)?;
                report.tell(
                    Code::KeyBack,
                    format!("the storage key can't be unsealed: {why}; the one of before can"),
                );
                return Ok(secret);
            }
            Err(error) if error.is_an_answer() => {}
            Err(error) => return Err(failed(error)),
        }
    }
    // Only when another one can be made. The old one is kept, for when what it was sealed to comes back.
    let secret = make(tpm, directory)?;
    report.tell(
        Code::KeyLost,
        format!("the storage key can't be unsealed: {why}; another one is made, and a new chain begins"),
    );
    Ok(secret)
}

fn make<T: Transport<Error = io::Error>>(tpm: &mut Tpm<T>, directory: &Path) -> io::Result<Secret> {
    let mut secret = Secret::new([0; 32]);
    getrandom::fill(secret.as_mut()).map_err(io::Error::other)?;
    let sealed = tpm.seal(&secret).map_err(failed)?;
    // Before anything is locked under it: that it comes back.
    if *tpm.unseal(&sealed).map_err(failed)? != *secret {
        return Err(io::Error::other("the TPM gives back another key than it took"));
    }
    atomic::make_private_directory(directory)?;
    match aside::put(directory, KEY_FILE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    atomic::replace(directory, KEY_FILE, &sealed.encode(), 0o600)?;
    Ok(secret)
}

fn failed(error: Error<io::Error>) -> io::Error {
    match error {
        Error::Transport(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_firmware_in_setup_mode_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("SetupMode-8be4df61-93ca-11d2-aa0d-00e098032b8c");
        assert!(!is_unfinished(folder.path()), "no firmware");
        for (bytes, unfinished) in [
            (&[6, 0, 0, 0, 1][..], true),
            (&[6, 0, 0, 0, 0], false),
            (&[1], false),
            (&[6, 0, 0, 0, 1, 1], false),
        ] {
            fs::write(&name, bytes).unwrap();
            assert_eq!(is_unfinished(folder.path()), unfinished, "{bytes:?}");
        }
    }
}
