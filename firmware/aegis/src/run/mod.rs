//! `aegis run`: kernel ring buffer -> decode -> encode -> bounded queue -> ring on disk. One direction.

mod books;
mod confine;
pub(crate) mod control;
mod glass;
mod queue;
mod reader;
mod shared;
mod signals;
mod start;
pub(crate) mod status;
mod translate;
mod writer;

pub(crate) use start::{Options, run};
