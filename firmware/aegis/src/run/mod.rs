//! `aegis run`: kernel ring buffer -> decode -> encode -> bounded queue -> ring on disk. One direction.

mod books;
mod confine;
pub(crate) mod console;
pub(crate) mod control;
mod deadman;
mod glass;
mod ledger;
mod open;
mod outputs;
mod queue;
mod reader;
pub(crate) mod seal;
mod shared;
mod signals;
mod start;
pub(crate) mod status;
mod threads;
mod translate;
mod watch;
mod writer;

pub(crate) use start::{Options, run};
