//! `firmware/aegis/src/kernel`: the wait before a rule set is refilled.
#![allow(dead_code, reason = "models only use it")]

#[path = "../../../../firmware/aegis/src/kernel/sleepers.rs"]
mod file;

/// Their `pub(super)` ends here.
pub(crate) fn wait<B, E>(
    turn: impl Fn() -> (usize, B),
    deciding: impl Fn(usize) -> u64,
    rest: impl Fn(&B) -> Result<(), E>,
) -> Result<(), E> {
    file::wait(turn, deciding, rest)
}
