//! Locks between processes: a file in `/run/aegis`, held until it is dropped or the process ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{RUN, atomic};

/// Waits until nobody else holds the lock of this name.
pub(crate) fn wait_for(name: &str) -> io::Result<File> {
    take(name, FlockOperation::LockExclusive)
}

/// Takes the lock of this name, or fails with `WouldBlock` when somebody else holds it.
pub(crate) fn take_now(name: &str) -> io::Result<File> {
    take(name, FlockOperation::NonBlockingLockExclusive)
}

fn take(name: &str, how: FlockOperation) -> io::Result<File> {
    atomic::make_private_directory(Path::new(RUN))?;
    let path = Path::new(RUN).join(name);
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    flock(&file, how)?;
    Ok(file)
}
