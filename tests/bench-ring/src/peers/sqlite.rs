//! `SQLite`: write-ahead log, flushed at every transaction (`synchronous=FULL`; `NORMAL` flushes only at checkpoints).

use std::path::Path;

use rusqlite::Connection;

use super::Contender;
use crate::Outcome;

pub(crate) struct Sqlite {
    flushed: bool,
    connection: Connection,
    sequence: i64,
}

impl Sqlite {
    pub(crate) fn new(directory: &Path, flushed: bool) -> Outcome<Self> {
        let path = directory.join(format!("sqlite-{flushed}.db"));
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
        let connection = Connection::open(path)?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {};
             CREATE TABLE event (sequence INTEGER PRIMARY KEY, bytes BLOB NOT NULL);",
            if flushed { "FULL" } else { "OFF" }
        ))?;
        Ok(Self { flushed, connection, sequence: 0 })
    }
}

impl Contender for Sqlite {
    fn name(&self) -> &'static str {
        if self.flushed { "SQLite (WAL, full)" } else { "SQLite (WAL, off)" }
    }

    fn flushed(&self) -> bool {
        self.flushed
    }

    fn batch(&mut self, events: &[Vec<u8>]) -> Outcome<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO event VALUES (?1, ?2)")?;
            for event in events {
                self.sequence += 1;
                insert.execute((self.sequence, event))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}
