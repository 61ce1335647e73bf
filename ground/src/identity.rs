//! `--identity`: the office keys that open encrypted exports.

use std::path::PathBuf;

use aegis_age::Identity;
use aegis_age::limits::IDENTITIES;
use aegis_event::Printable;
use aegis_keys::limits::KEY_FILE_BYTES;
use aegis_keys::{is_sealed, read_identities};

use crate::files;
use crate::outcome::Failure;
use crate::passphrase::PassphraseArgs;

/// The options of every command that opens exports.
#[derive(clap::Args)]
pub(crate) struct IdentityArgs {
    /// An office key (`keys office`, or age-keygen's), for exports that are encrypted; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

impl IdentityArgs {
    /// The identities of all files; none when no file is given.
    pub(crate) fn read(&self) -> Result<Vec<Identity>, Failure> {
        if self.identity.is_empty() {
            return Ok(Vec::new());
        }
        let mut contents = Vec::with_capacity(self.identity.len());
        for file in &self.identity {
            contents.push(files::read_secret(file, KEY_FILE_BYTES)?);
        }
        let passphrases = self.passphrases.of(contents.iter().filter(|bytes| is_sealed(bytes)).count())?;
        let (mut identities, mut sealed) = (Vec::with_capacity(IDENTITIES), 0);
        for (file, bytes) in self.identity.iter().zip(&contents) {
            let plain = passphrases.unlock(sealed, file, bytes)?;
            sealed += usize::from(is_sealed(bytes));
            let text = std::str::from_utf8(&plain).unwrap_or_default();
            read_identities(text, &mut identities).map_err(|why| {
                Failure::refused(format!("{}: {why}", Printable(file.as_os_str().as_encoded_bytes())))
            })?;
        }
        Ok(identities)
    }
}
