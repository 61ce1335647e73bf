//! Where passphrases come from: the terminal, a file, the environment.

use std::path::{Path, PathBuf};

use aegis_event::Printable;
use aegis_keys::limits::PASSPHRASE_BYTES;
use aegis_keys::{SealError, SecretFile, check_passphrase, is_sealed, unseal};
use zeroize::Zeroizing;

use crate::files;
use crate::outcome::Failure;
use crate::terminal::Terminal;

const VARIABLE: &str = "AEGIS_PASSPHRASE";
const PASSPHRASE_HELP: &str = "Read passphrases from files (first line), one for all keys or one for each in turn, \
    instead of asking on the terminal; $AEGIS_PASSPHRASE does the same. For automation: a passphrase on the same disk \
    as its key protects nothing";
/// How often a person may mistype.
const TRIES: u8 = 3;

/// The options of every command that reads or writes encrypted keys.
#[derive(clap::Args)]
pub(crate) struct PassphraseArgs {
    #[arg(long, value_name = "FILE", help = PASSPHRASE_HELP)]
    passphrase_file: Vec<PathBuf>,
}

impl PassphraseArgs {
    /// The passphrases of so many keys.
    pub(crate) fn of(&self, keys: usize) -> Result<Passphrases, Failure> {
        keep_memory();
        let given = self.passphrase_file.len();
        if given > 1 && given != keys {
            return Err(Failure::usage(format!(
                "--passphrase-file: {given} of them for {keys} keys; give one for all or one for each"
            )));
        }
        let files: Result<Vec<_>, _> = self.passphrase_file.iter().map(|file| from_file(file)).collect();
        let mut known = files?;
        if known.is_empty()
            && let Some(text) = std::env::var_os(VARIABLE)
        {
            let text = text.into_string();
            known.push(Zeroizing::new(
                text.map_err(|_| Failure::usage(format!("{VARIABLE}: not UTF-8 text")))?,
            ));
        }
        Ok(Passphrases { known })
    }
}

/// No core dump, no debugger of another process of this user: from here on there are secrets in memory. Where the system
/// does not let it, the rest is as good as before.
pub(crate) fn keep_memory() {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// The first line of a file that has no other.
fn from_file(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = files::read_secret(file, PASSPHRASE_BYTES + 2)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::usage(format!("{}: not UTF-8 text", file.display())))?;
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default();
    if line.is_empty() || lines.any(|more| !more.is_empty()) {
        return Err(Failure::usage(format!("{}: one line with the passphrase is wanted", file.display())));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// Passphrases by the position of their key; empty when a person is to be asked.
pub(crate) struct Passphrases {
    known: Vec<Zeroizing<String>>,
}

impl Passphrases {
    fn known(&self, index: usize) -> Option<&Zeroizing<String>> {
        match &self.known[..] {
            [one] => Some(one),
            many => many.get(index),
        }
    }

    /// A passphrase for a new key: strong enough, and on a terminal asked for twice.
    pub(crate) fn choose(&self, index: usize, key: &Path) -> Result<Zeroizing<String>, Failure> {
        let name = Printable(key.as_os_str().as_encoded_bytes());
        if let Some(text) = self.known(index) {
            check_passphrase(text).map_err(|weak| Failure::refused(format!("{name}: {weak}")))?;
            return Ok(text.clone());
        }
        let terminal = terminal(&name)?;
        for _ in 0..TRIES {
            let text = terminal.secret(&format!("New passphrase for {name}: "))?;
            if let Err(weak) = check_passphrase(&text) {
                terminal.say(&format!("{weak}\n"))?;
                continue;
            }
            if *terminal.secret("The same again: ")? == *text {
                return Ok(text);
            }
            terminal.say("They differ.\n")?;
        }
        Err(Failure::refused(format!("{name}: no passphrase; nothing was written")))
    }

    /// Reads a secret key, encrypted or plain.
    pub(crate) fn read(&self, index: usize, file: &Path) -> Result<SecretFile, Failure> {
        let bytes = files::read_secret(file, aegis_keys::limits::KEY_FILE_BYTES)?;
        self.open(index, file, &bytes)
    }

    /// Reads the bytes of a secret key, encrypted or plain.
    pub(crate) fn open(&self, index: usize, file: &Path, bytes: &[u8]) -> Result<SecretFile, Failure> {
        let plain = self.unlock(index, file, bytes)?;
        SecretFile::from_text(std::str::from_utf8(&plain).unwrap_or_default()).map_err(|why| {
            Failure::refused(format!("{}: {why}", Printable(file.as_os_str().as_encoded_bytes())))
        })
    }

    /// What is inside a key file: decrypted, if it is encrypted.
    pub(crate) fn unlock(
        &self,
        index: usize,
        file: &Path,
        bytes: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let name = Printable(file.as_os_str().as_encoded_bytes());
        let refused = |why: &dyn std::fmt::Display| Failure::refused(format!("{name}: {why}"));
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        if !is_sealed(bytes) {
            return Ok(Zeroizing::new(bytes.to_vec()));
        }
        if let Some(passphrase) = self.known(index) {
            return unseal(text, passphrase).map_err(|why| refused(&why));
        }
        // Before a person types anything: is it something that a passphrase opens?
        aegis_keys::work_factor(text).map_err(|why| refused(&why))?;
        let terminal = terminal(&name)?;
        for _ in 0..TRIES {
            let passphrase = terminal.secret(&format!("Passphrase of {name}: "))?;
            match unseal(text, &passphrase) {
                Ok(bytes) => return Ok(bytes),
                Err(SealError::Passphrase) => terminal.say("That is not it.\n")?,
                Err(why) => return Err(refused(&why)),
            }
        }
        Err(refused(&SealError::Passphrase))
    }
}

fn terminal(name: &Printable<'_>) -> Result<Terminal, Failure> {
    Terminal::open().ok_or_else(|| {
        Failure::usage(format!(
            "{name}: no terminal to ask for its passphrase on; give --passphrase-file or {VARIABLE}"
        ))
    })
}

/// Reads the secret keys that are to sign: each of them once.
pub(crate) fn read_keys(paths: &[PathBuf], passphrases: &PassphraseArgs) -> Result<Vec<SecretFile>, Failure> {
    let passphrases = passphrases.of(paths.len())?;
    let mut keys: Vec<SecretFile> = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let key = passphrases.read(index, path)?;
        if keys.iter().any(|other| other.public() == key.public()) {
            return Err(Failure::refused(format!(
                "{}: the same key twice; a threshold counts distinct keys",
                path.display()
            )));
        }
        keys.push(key);
    }
    Ok(keys)
}
