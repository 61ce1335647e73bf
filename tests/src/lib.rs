//! End to end: what the scenarios in `e2e/` share. One image build, few guests at a time, events as JSON.

mod bench;
pub mod boots;
pub mod cost;
pub mod endure;
mod evidence;
pub mod hostile;
pub mod kills;
mod limits;
pub mod peers;
mod slots;
pub mod storm;
pub mod suite;
pub mod swaps;
pub mod tour;

pub use bench::{Bench, Rule, arch, kernel, next_agent, root, said};
pub use evidence::{Evidence, console, count_in, receipts};
pub use limits::{limit, limits};
pub use slots::{Slot, few_at_once};
