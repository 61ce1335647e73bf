//! `aegisctl keys`: the key ceremony and what follows it.

mod check;
mod init;
mod new;
mod office;
mod record;
mod rotate;
mod show;
mod sign;

use std::path::{Path, PathBuf};

use aegis_keys::limits::WORK_FACTOR;
use aegis_keys::{KeyRole, SecretFile, seal};
use clap::Subcommand;
use zeroize::Zeroizing;

pub(crate) use sign::{SignArgs, add_signatures, sign_document};

use crate::outcome::{Failure, Outcome};
use crate::passphrase::{PassphraseArgs, keep_memory};

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;
/// Longest of what keys sign, bytes: a workload.
const DOCUMENT_BYTES: usize = aegis_bundle::limits::WORKLOAD_BYTES as usize;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Hold the ceremony: make keys, each encrypted, and the root metadata that trusts them
    #[command(after_help = INIT_HELP)]
    Init(Box<init::Args>),
    /// Make one more key, for a rotation to bring in
    #[command(after_help = NEW_HELP)]
    New(new::Args),
    /// Make an office key: who can read the exports of devices that encrypt them
    #[command(after_help = OFFICE_HELP)]
    Office(office::Args),
    /// Write the next version of root metadata: other keys, thresholds, epoch
    #[command(after_help = ROTATE_HELP)]
    Rotate(Box<rotate::RotateArgs>),
    /// Write the next version of root metadata: keys or bundles are worth nothing any more
    #[command(after_help = REVOKE_HELP)]
    Revoke(Box<rotate::RevokeArgs>),
    /// Add a signature to root metadata, a bundle, an image, a workload or a break-glass token
    #[command(after_help = SIGN_HELP)]
    Sign(SignArgs),
    /// Check root metadata, bundles, images, workloads, tokens and key files: what is there, what is missing
    #[command(after_help = CHECK_HELP)]
    Check(check::Args),
    /// Show a key file (never its secret) or root metadata
    #[command(after_help = SHOW_HELP)]
    Show(show::Args),
}

const INIT_HELP: &str = "\
Examples:
  aegisctl keys init --out ceremony
  aegisctl keys init --out ceremony --root 3 --root-threshold 2 \\
      --root-to /media/a --root-to /media/b --root-to /media/c
  aegisctl keys init --plain --out dev-keys

Without numbers: 2 of 3 root keys, 2 of 3 policy keys, 1 of 2 break-glass keys, 2 of 3
image keys, 1 of 2 workload keys; with --plain one of each. Thresholds, unless given: more than
half; break-glass and workload 1.
Writes ROLE-N.key and ROLE-N.key.pub for each key (ROLE.key when there is only one),
root.cbor and ceremony.txt, or nothing at all. Nothing is ever overwritten.
Key files are age files: `age --decrypt` opens them, too.";

const NEW_HELP: &str = "\
Examples:
  aegisctl keys new --role policy --out /media/carol/policy-4.key
  aegisctl keys rotate --root root.cbor --add-policy policy-4.key.pub …

Writes FILE (encrypted) and FILE.pub. The .pub travels; the key stays.";

const OFFICE_HELP: &str = "\
Examples:
  aegisctl keys office --out /media/office
  aegisctl export verify --identity /media/office/office.key export-*.cbor.age

Writes office.key (encrypted) and office.recipient, and prints the lines for the device's
configuration, /data/aegis/config.toml. Whoever has one of the keys that a device encrypts to
can read its exports; nobody can sign by it. Lost, what was encrypted to it alone is lost:
configure a second one that is kept elsewhere. Both are age files: `age --decrypt --identity
office.key` opens exports, too.";

const ROTATE_HELP: &str = "\
Examples:
  aegisctl keys rotate --root root.cbor --add-root root-4.key.pub \\
      --remove-root 0123456789abcdef --key root-1.key --out root-2.cbor
  aegisctl keys rotate --root root.cbor --root root-2.cbor --raise-epoch \\
      --key root-1.key --out root-3.cbor

The next version needs enough signatures of the old root role and of the new.
`keys sign` adds those that are missing, `keys check` tells when it is enough.";

const REVOKE_HELP: &str = "\
Examples:
  aegisctl keys revoke --root root.cbor --key-id 0123456789abcdef \\
      --add-policy policy-4.key.pub --key root-1.key --out root-2.cbor
  aegisctl keys revoke --root root.cbor --bundle bad.aegis --key root-1.key \\
      --out root-2.cbor

A revoked key leaves its role and can never come back. What it signed is worth
nothing from then on, unless enough other keys signed it, too.";

const SIGN_HELP: &str = "\
Examples:
  aegisctl keys sign root-2.cbor --root root.cbor --key /media/b/root-2.key
  aegisctl keys sign site.aegis --root root.cbor --key policy-2.key --yes
  aegisctl keys sign token.cbor --key break-glass-1.key --out /media/b/token.cbor

Shows what is signed and asks. Compare the fingerprint with what the others see
who sign. Signatures are kept in the order of key ids: who signs first makes no
difference.";

const CHECK_HELP: &str = "\
Examples:
  aegisctl keys check root.cbor root-2.cbor root-3.cbor
  aegisctl keys check site.aegis --root root.cbor
  aegisctl keys check /media/a/root-1.key --root root.cbor

Root metadata is checked as a chain, in the order given.
Exit codes: 0 all good, 1 something is missing or wrong, 2 wrong use.";

const SHOW_HELP: &str = "\
Examples:
  aegisctl keys show root.cbor
  aegisctl keys show policy.key.pub --json";

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Init(args) => init::run(&args),
        Command::New(args) => new::run(&args),
        Command::Office(args) => office::run(&args),
        Command::Rotate(args) => rotate::run(&args),
        Command::Revoke(args) => rotate::revoke(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Show(args) => show::run(&args),
    }
}

/// How new secret keys are protected.
#[derive(clap::Args)]
struct ProtectArgs {
    /// Do not encrypt the secret keys: for tests and development only
    #[arg(long, conflicts_with = "passphrase_file")]
    plain: bool,
    #[command(flatten)]
    passphrases: PassphraseArgs,
    /// How hard each guess at a passphrase is: scrypt's log2(N). Each step doubles time and memory
    #[arg(long, value_name = "N", default_value_t = WORK_FACTOR, value_parser = clap::value_parser!(u8).range(15..=22))]
    work_factor: u8,
}

impl ProtectArgs {
    /// The bytes of a file for each of these keys, in their order. Every passphrase is chosen before the first is used.
    fn files(&self, keys: &[(&SecretFile, &Path)]) -> Result<Vec<Zeroizing<Vec<u8>>>, Failure> {
        let texts: Vec<_> = keys.iter().map(|(key, path)| (key.to_text(), *path)).collect();
        self.texts(
            &texts,
            "whoever reads the files can sign. For tests and development only: never trust these keys on a \
            device that matters",
        )
    }

    /// As [`Self::files`], of any secret text; `plain_means` says what it means that it is plain.
    fn texts(
        &self,
        keys: &[(Zeroizing<String>, &Path)],
        plain_means: &str,
    ) -> Result<Vec<Zeroizing<Vec<u8>>>, Failure> {
        if self.plain {
            keep_memory();
            warn_of_plain(plain_means);
            return Ok(keys.iter().map(|(text, _)| Zeroizing::new(text.as_bytes().to_vec())).collect());
        }
        let passphrases = self.passphrases.of(keys.len())?;
        let mut chosen = Vec::with_capacity(keys.len());
        for (index, (_, path)) in keys.iter().enumerate() {
            chosen.push(passphrases.choose(index, path)?);
        }
        let sealed = keys.iter().zip(&chosen).map(|((text, path), passphrase)| {
            let sealed = seal(text.as_bytes(), passphrase, self.work_factor);
            let sealed = sealed.map_err(|error| Failure::refused(format!("{}: {error}", path.display())))?;
            Ok(Zeroizing::new(sealed.into_bytes()))
        });
        sealed.collect()
    }
}

/// On stderr, so that it is seen where stdout goes to a file.
fn warn_of_plain(means: &str) {
    use std::io::Write;
    let _ =
        writeln!(std::io::stderr(), "aegisctl: WARNING: --plain: the secret keys are NOT encrypted; {means}");
}

/// The role on the command line.
fn role(text: &str) -> Result<KeyRole, String> {
    KeyRole::from_name(text)
        .ok_or_else(|| "root, policy, break-glass, image or workload is needed".to_owned())
}

/// Where the public half of a key is written.
fn public_path(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_os_string();
    name.push(".pub");
    name.into()
}

/// Files that appear all or not at all.
#[derive(Default)]
struct Batch {
    files: Vec<(PathBuf, Zeroizing<Vec<u8>>, u32)>,
}

impl Batch {
    fn add(&mut self, path: PathBuf, bytes: Zeroizing<Vec<u8>>, permissions: u32) {
        self.files.push((path, bytes, permissions));
    }

    /// Refuses names that are taken, before anybody chooses a passphrase.
    fn refuse_taken<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<(), Failure> {
        for path in paths {
            if path.symlink_metadata().is_ok() {
                return Err(Failure::usage(format!(
                    "{}: exists; keys are never overwritten",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// Writes them in the order in which they were added, and reads each again: a stick that lies is found out while the
    /// keys are still in memory.
    fn write(self) -> Result<(), Failure> {
        let mut made: Vec<&Path> = Vec::new();
        for (path, bytes, permissions) in &self.files {
            let written = crate::files::write(path, bytes, *permissions, false).and_then(|()| {
                made.push(path);
                let again = crate::files::read_secret(path, bytes.len())?;
                if *again == **bytes {
                    return Ok(());
                }
                Err(Failure::refused(format!(
                    "{}: it does not hold what was written; take another stick",
                    path.display()
                )))
            });
            if let Err(failure) = written {
                // A key without its metadata would only be in the way of the next try.
                for path in made {
                    let _ = std::fs::remove_file(path);
                }
                return Err(failure);
            }
        }
        Ok(())
    }
}
