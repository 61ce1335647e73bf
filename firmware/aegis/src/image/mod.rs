//! Images of the system: two slots, each a partition with a root file system and a kernel image on the ESP that names its
//! tries (`docs/updates.md`).
//!
//! - [`slot`]: which slot runs, what a kernel image's name says.
//! - [`medium`]: the few steps that writing one is made of; [`device`] is the real one.
//! - [`write`](mod@write): the idle slot, in an order that leaves a bootable one at any instant.
//!
//! What is decided about an image is in [`crate::commands::image`].

pub(crate) mod device;
pub(crate) mod medium;
pub(crate) mod slot;
pub(crate) mod write;
