//! Root metadata on the command line: one file, or the chain of a rotated root, one file a version.

use std::path::{Path, PathBuf};

use aegis_bundle::limits::ROOT_BYTES;
use aegis_bundle::{Root, RootError};

use crate::files;
use crate::outcome::Failure;

/// Which root metadata devices trust.
#[derive(clap::Args)]
pub(crate) struct RootArgs {
    /// Root metadata that devices trust; once it was rotated, every version in turn
    #[arg(long, value_name = "FILE", required = true)]
    root: Vec<PathBuf>,
}

/// The same, where it may be left out.
#[derive(clap::Args)]
pub(crate) struct MaybeRootArgs {
    /// Root metadata that devices trust; once it was rotated, every version in turn
    #[arg(long, value_name = "FILE")]
    root: Vec<PathBuf>,
}

impl RootArgs {
    /// The newest of the chain.
    pub(crate) fn read(&self) -> Result<Root, Failure> {
        newest(&self.root)
    }

    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.root
    }
}

impl MaybeRootArgs {
    /// The newest of the chain, when one is given.
    pub(crate) fn read(&self) -> Result<Option<Root>, Failure> {
        if self.root.is_empty() { Ok(None) } else { newest(&self.root).map(Some) }
    }

    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.root
    }
}

/// What is wrong with the root is wrong use: it is not what the command was asked about.
fn newest(files: &[PathBuf]) -> Result<Root, Failure> {
    let mut chain: Option<Root> = None;
    for file in files {
        chain = Some(follow(chain.as_ref(), file).map_err(Failure::into_usage)?);
    }
    chain.ok_or_else(|| Failure::usage("--root: root metadata is wanted"))
}

/// Reads the root metadata after `before`, or the first.
pub(crate) fn follow(before: Option<&Root>, file: &Path) -> Result<Root, Failure> {
    let bytes = files::read(file, ROOT_BYTES)?;
    let (opened, mend) = match before {
        None => (Root::open(&bytes), "name the root.cbor that `keys init` made"),
        Some(before) => (before.next(&bytes), "name every version in turn, each signed by enough keys"),
    };
    opened.map_err(|error: RootError| {
        Failure::refused(format!("{}: {error} ({}); {mend}", file.display(), error.code()))
    })
}
