//! Who takes part.

mod fjall;
mod plain;
mod ring;
mod sequential;
mod sqlite;

use std::path::Path;

use crate::Outcome;

/// Takes events.
pub(crate) trait Contender {
    fn name(&self) -> &'static str;
    /// Its batches are durable when they return.
    fn flushed(&self) -> bool {
        true
    }
    fn batch(&mut self, events: &[Vec<u8>]) -> Outcome<()>;
}

/// All of them, each with an empty store of its own in `directory`.
pub(crate) fn all(directory: &Path, size: usize) -> Outcome<Vec<Box<dyn Contender>>> {
    Ok(vec![
        Box::new(plain::Plain::appended(directory, true)?),
        Box::new(plain::Plain::overwritten(directory)?),
        Box::new(ring::InRing::new(directory, ring::Kind::Chained)?),
        Box::new(ring::InRing::new(directory, ring::Kind::Unchained)?),
        Box::new(sqlite::Sqlite::new(directory, true)?),
        Box::new(fjall::Fjall::new(directory)?),
        Box::new(sequential::Sequential::new(directory, size)?),
        Box::new(plain::Plain::appended(directory, false)?),
        Box::new(ring::InRing::new(directory, ring::Kind::NotFlushed)?),
        Box::new(ring::InRing::new(directory, ring::Kind::NotFlushedUnchained)?),
        Box::new(sqlite::Sqlite::new(directory, false)?),
    ])
}
