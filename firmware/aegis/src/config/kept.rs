//! The last good configuration: a copy of the file below a line with its checksum, replaced whole or not at all.

use std::io;
use std::path::Path;

use aegis_config::{Config, limits as bounds};

use crate::storage::atomic;

pub(super) const FILE: &str = "config.good";
/// A comment: what was copied back by hand is a good file too.
const HEAD: &str = "# kept by aegis: the last good config.toml, CRC-32C ";
const HEAD_BYTES: usize = HEAD.len() + 8 + 1;
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// Keeps a good file, if it is not the one that is kept.
pub(super) fn keep(data: &Path, bytes: &[u8]) -> io::Result<()> {
    let wanted = [head(bytes).as_bytes(), bytes].concat();
    if read(data).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    atomic::make_private_directory(data)?;
    atomic::replace(data, FILE, &wanted, 0o600).map(drop)
}

/// The last good one; `None` when there never was any.
///
/// # Errors
/// What is the matter with it, after "is".
pub(super) fn load(data: &Path) -> Result<Option<Config>, String> {
    let bytes = match read(data) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("unreadable ({error})")),
    };
    let content = bytes.get(HEAD_BYTES..).filter(|content| bytes.starts_with(head(content).as_bytes()));
    // One that an older or newer agent took, and this one does not, is as good as none.
    content.and_then(|content| aegis_config::read(content).ok()).map(Some).ok_or_else(|| "damaged".into())
}

fn read(data: &Path) -> io::Result<Vec<u8>> {
    atomic::read_bounded(&data.join(FILE), (HEAD_BYTES + bounds::FILE_BYTES) as u64)
}

fn head(content: &[u8]) -> String {
    format!("{HEAD}{:08x}\n", CRC.checksum(content))
}
