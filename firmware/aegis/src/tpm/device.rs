//! `/dev/tpmrm0`: one command, one response, by a deadline (`drivers/char/tpm/tpm-dev-common.c`).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

use aegis_tpm::{Counter, Tpm, Transport};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::limits;

const NODE: &str = "/dev/tpmrm0";

/// The TPM, by the kernel's resource manager: what one process loads no other sees, and what it leaves is flushed.
pub(crate) struct Device(File);

/// Opens it; `None` when there is none.
pub(crate) fn open() -> io::Result<Option<Tpm<Device>>> {
    // What is written is done by the kernel meanwhile, so that waiting has an end.
    match OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(NODE)
    {
        Ok(file) => Ok(Some(Tpm::new(Device(file)))),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENXIO | libc::ENODEV)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Transport for Device {
    type Error = io::Error;

    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> io::Result<usize> {
        let end = Instant::now() + limits::TPM_EXCHANGE;
        if self.0.write(command)? != command.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the TPM does not answer"));
            }
            let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.0.read(response),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The counter's value.
pub(crate) fn counter() -> io::Result<u64> {
    match opened()?.counter() {
        Ok(Counter::At(value)) => Ok(value),
        Ok(Counter::Undefined | Counter::Unwritten) => Err(io::Error::other("the TPM's counter is gone")),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}

/// Counts.
pub(crate) fn increment() -> io::Result<()> {
    opened()?.increment().map_err(|error| io::Error::other(error.to_string()))
}

fn opened() -> io::Result<Tpm<Device>> {
    open()?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the TPM is gone"))
}
