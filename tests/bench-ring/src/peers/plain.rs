//! A plain file: length and event, one behind the other; a batch is one write and one flush. Nothing is checked.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::Contender;
use crate::{Outcome, table};

pub(crate) struct Plain {
    name: &'static str,
    file: File,
    buffer: Vec<u8>,
    flushed: bool,
    /// Where it starts again from the beginning; none for a file that grows.
    end: Option<u64>,
    at: u64,
}

const OVERWRITTEN_BYTES: u64 = 64 << 20;

impl Plain {
    /// Grows with every batch.
    pub(crate) fn appended(directory: &Path, flushed: bool) -> Outcome<Self> {
        let name = if flushed { table::PLAIN } else { "plain file, appended, no flush" };
        let file = File::create(directory.join(format!("plain-{flushed}")))?;
        Ok(Self { name, file, buffer: Vec::new(), flushed, end: None, at: 0 })
    }

    /// As large from the beginning as it will be, every block written once: as the ring.
    pub(crate) fn overwritten(directory: &Path) -> Outcome<Self> {
        let mut file = File::create(directory.join("plain-overwritten"))?;
        for _ in 0..OVERWRITTEN_BYTES >> 20 {
            file.write_all(&vec![0x5a; 1 << 20])?;
        }
        file.sync_all()?;
        file.rewind()?;
        let (name, end) = ("plain file, overwritten in place", Some(OVERWRITTEN_BYTES));
        Ok(Self { name, file, buffer: Vec::new(), flushed: true, end, at: 0 })
    }
}

impl Contender for Plain {
    fn name(&self) -> &'static str {
        self.name
    }

    fn flushed(&self) -> bool {
        self.flushed
    }

    fn batch(&mut self, events: &[Vec<u8>]) -> Outcome<()> {
        self.buffer.clear();
        for event in events {
            self.buffer.extend_from_slice(&(event.len() as u32).to_le_bytes());
            self.buffer.extend_from_slice(event);
        }
        if self.end.is_some_and(|end| self.at + self.buffer.len() as u64 > end) {
            self.at = self.file.seek(SeekFrom::Start(0))?;
        }
        self.file.write_all(&self.buffer)?;
        self.at += self.buffer.len() as u64;
        if self.flushed {
            self.file.sync_data()?;
        }
        Ok(())
    }
}
