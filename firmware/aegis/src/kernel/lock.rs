//! One change of the kernel's maps at a time, across processes.

use std::fs::File;
use std::path::Path;

use super::KernelError;
use crate::storage::{RUN, lock};

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
        let file = lock::wait_for(name).map_err(KernelError::file(Path::new(RUN).join(name)))?;
        Ok(Self(file))
    }
}
