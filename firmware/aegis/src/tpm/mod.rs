//! The TPM, where there is one: what was measured, the storage key that it keeps, the counter of the trust state.
//!
//! It is asked once in a boot, by `aegis storage settle`, before there is a workload and before the agent gives up its privileges;
//! and by who commits a trust state, for the counter. What was found is in `/run/aegis` for as long as the boot lasts.
//!
//! - [`device`]: the kernel's resource manager, with a deadline.
//! - [`found`]: what was found in this boot, and the storage key.
//! - [`settle`]: what is done once in a boot.

pub(crate) mod device;
pub(crate) mod found;
pub(crate) mod settle;

/// The sealed storage key, in own storage.
const KEY_FILE: &str = "tpm.key";
