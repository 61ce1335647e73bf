//! sequential-storage: a queue on NOR flash. The flash is a file; a batch is flushed once.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use sequential_storage::cache::HeapPagePointerCache;
use sequential_storage::queue::{QueueConfig, QueueStorage};

use super::Contender;
use crate::Outcome;

const PAGE_BYTES: usize = 64 << 10;
const FLASH_BYTES: u32 = 64 << 20;

/// A file as NOR flash: erased bytes are ones, a page is erased as a whole.
struct Flash(File);

#[derive(Debug)]
struct FlashError(io::Error);

impl std::fmt::Display for FlashError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.0.read_exact_at(bytes, u64::from(offset)).map_err(FlashError)
    }

    fn capacity(&self) -> usize {
        FLASH_BYTES as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE_BYTES;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.0.write_all_at(&vec![0xff; (to - from) as usize], u64::from(from)).map_err(FlashError)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.write_all_at(bytes, u64::from(offset)).map_err(FlashError)
    }
}

pub(crate) struct Sequential {
    queue: QueueStorage<Flash, HeapPagePointerCache>,
    file: File,
    buffer: Vec<u8>,
}

impl Sequential {
    pub(crate) fn new(directory: &Path, size: usize) -> Outcome<Self> {
        let path = directory.join("flash");
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        for _ in 0..FLASH_BYTES as usize / PAGE_BYTES {
            file.write_all(&vec![0xff; PAGE_BYTES])?;
        }
        file.sync_all()?;
        let cache = HeapPagePointerCache::new(FLASH_BYTES as usize / PAGE_BYTES);
        let queue = QueueStorage::new(Flash(file.try_clone()?), QueueConfig::new(0..FLASH_BYTES), cache);
        Ok(Self { queue, file, buffer: vec![0; size] })
    }
}

impl Contender for Sequential {
    fn name(&self) -> &'static str {
        "sequential-storage, flash in a file"
    }

    fn batch(&mut self, events: &[Vec<u8>]) -> Outcome<()> {
        for event in events {
            self.buffer.copy_from_slice(event);
            now(self.queue.push(&self.buffer, true)).map_err(|error| format!("{error:?}"))?;
        }
        self.file.sync_data()?;
        Ok(())
    }
}

/// Nothing here ever waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the flash is a file"),
    }
}
