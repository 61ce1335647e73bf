//! fjall: a log-structured merge tree; a batch is atomic and its journal flushed.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::Contender;
use crate::Outcome;

pub(crate) struct Fjall {
    database: Database,
    events: Keyspace,
    sequence: u64,
}

impl Fjall {
    pub(crate) fn new(directory: &Path) -> Outcome<Self> {
        let path = directory.join("fjall");
        let _ = std::fs::remove_dir_all(&path);
        let database = Database::builder(&path).open()?;
        let events = database.keyspace("events", KeyspaceCreateOptions::default)?;
        Ok(Self { database, events, sequence: 0 })
    }
}

impl Contender for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn batch(&mut self, events: &[Vec<u8>]) -> Outcome<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for event in events {
            self.sequence += 1;
            batch.insert(&self.events, self.sequence.to_be_bytes(), event.as_slice());
        }
        batch.commit()?;
        Ok(())
    }
}
