//! Exports at the office, through the command line: converted, searched, drawn. Every format is read back by something
//! that is not ours: Python's sqlite3, the parquet crate's reader, a real PostgreSQL, the OCSF schema.

mod desk;
mod encrypted;
mod formats;
mod hostile;
mod memory;
mod ocsf;
mod page;
mod postgres;
mod query;
mod sample;
mod sqlite;
