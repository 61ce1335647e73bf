//! The agent's own source of the queue and of the wait before a rule set is refilled, with loom's threads and atomics below it
//! in place of the machine's: each test goes through every interleaving, and every value that a load may return.
//!
//! What stands in for a crate is written as that crate is: [`spsc`] is `heapless` 0.9.3's, load by load.

// The agent's source names them as crates.
extern crate self as aegis_event;
extern crate self as aegis_init;
extern crate self as heapless;

pub mod spsc;

/// An event is its number here.
pub struct Event<'a> {
    /// Its number, too.
    pub time: u64,
    /// What it would borrow.
    pub of: std::marker::PhantomData<&'a ()>,
}

impl Event<'_> {
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, std::fmt::Error> {
        out[..8].copy_from_slice(&self.time.to_le_bytes());
        Ok(8)
    }
}

pub mod limits {
    pub const EVENT_BYTES: usize = 8;
    /// As `heapless` counts: one place stays empty.
    pub const QUEUE_EVENTS: usize = 2;
}

pub mod turns {
    use std::time::Duration;

    pub struct Turns;

    impl Turns {
        pub fn turned(&mut self, _: u64) {}
        pub fn left(&self, _: u64) -> Duration {
            Duration::MAX
        }
    }
}

pub mod storage {
    pub mod device {
        pub fn boottime() -> u64 {
            0
        }
    }
}

mod kernel;
#[cfg(test)]
mod queue_model;
#[allow(dead_code, reason = "the agent uses more of it than the models")]
mod run;
#[cfg(test)]
mod swap_model;
