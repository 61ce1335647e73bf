//! The edge-case suite: what a workload may try against a rule, and what must come of it.
//!
//! A [`Scenario`] is a row of a table and one small function, the act. The act is done twice: to what the policy protects,
//! where it must be refused with `EPERM` and leave an event, and to an unprotected twin, where it must pass. The program
//! (`main.rs`) runs in the guest: as `prepare` it makes the files, as `run` it does the acts and prints a line of JSON
//! each. What the export must say of them is compared by the host: `tests/e2e/suite.rs`. The policy is `policy.toml`,
//! beside this crate's `Cargo.toml`.

mod absence;
mod bpf;
pub mod cost;
pub mod elf;
pub mod endure;
pub mod fixture;
pub mod groups;
pub mod observe;
mod operator;
pub mod outside;
pub mod peers;
pub mod runner;
mod scenario;
mod side;
pub mod storm;
mod sys;
mod uring;

pub use absence::maps;
pub use scenario::{Boot, Control, Scenario, Stop, ended};
pub use side::{Place, Side};
