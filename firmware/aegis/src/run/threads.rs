//! What the queue's two ends wait and order by. In a room of its own: `tests/models` puts a model's in its place and goes through
//! every interleaving.

pub(super) use std::sync::atomic::Ordering::Acquire;
pub(super) use std::sync::atomic::fence;
pub(super) use std::thread::{Thread, park_timeout};
