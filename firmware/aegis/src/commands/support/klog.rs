//! The end of the kernel's log, from `/dev/kmsg`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::limits;

/// Longest record, bytes (`kernel/printk/printk.c:PRINTKRB_RECORD_MAX` and its dictionary).
const RECORD_BYTES: usize = 8192;

/// The last lines, of so many bytes together.
pub(super) fn tail() -> io::Result<String> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut log = File::options().read(true).custom_flags(nonblock).open("/dev/kmsg")?;
    let (mut lines, mut bytes) = (VecDeque::new(), 0);
    let mut record = [0; RECORD_BYTES];
    for _ in 0..limits::KERNEL_LOG_RECORDS {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => {
                let line = line(&record[..length]);
                bytes += line.len();
                lines.push_back(line);
                while bytes > limits::KERNEL_LOG_BYTES {
                    bytes -= lines.pop_front().map_or(bytes, |line: String| line.len());
                }
            }
            // What came next was overwritten meanwhile: it goes on behind it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(lines.into_iter().collect())
}

/// `LEVEL,SEQUENCE,MICROSECONDS,…;TEXT` and lines of a dictionary, which are left out (`Documentation/ABI/testing/dev-kmsg`). The
/// kernel has escaped what is not printable.
pub(super) fn line(record: &[u8]) -> String {
    let text = String::from_utf8_lossy(record);
    let (head, text) = text.split_once(';').unwrap_or(("", &text));
    let micros = head.split(',').nth(2).and_then(|micros| micros.parse::<u64>().ok()).unwrap_or(0);
    let text = text.lines().next().unwrap_or_default();
    format!("[{:>5}.{:06}] {text}\n", micros / 1_000_000, micros % 1_000_000)
}
