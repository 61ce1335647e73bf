//! One change of the kernel's maps at a time, across processes.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;

use super::KernelError;
use crate::storage::{RUN, atomic};

/// Held until dropped, or until the process ends.
pub(super) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Lock {
    /// Rule sets, cgroups, self-test, load: waits until nobody else changes them.
    pub(super) fn rules() -> Result<Self, KernelError> {
        Self::take("lock")
    }

    /// The note in the inbox: its own lock, so that what is holding the other may still report.
    pub(super) fn inbox() -> Result<Self, KernelError> {
        Self::take("inbox.lock")
    }

    fn take(name: &str) -> Result<Self, KernelError> {
        let run = Path::new(RUN);
        atomic::make_private_directory(run).map_err(KernelError::file(run))?;
        let path = run.join(name);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(KernelError::file(&path))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| KernelError::File { path, error: error.into() })?;
        Ok(Self(file))
    }
}
