//! The kernel edge: everything that touches bpf(2), bpffs, cgroups and the pages shared with the probes.
//!
//! - [`load`]: probes into the kernel, links pinned: enforcement outlives every process of ours.
//! - [`apply()`]: a policy into the idle rule set, then one store that swaps the sets.
//! - [`Offers`]: what this kernel offers, and what of it is attached.
//! - [`workload`]: cgroups in and out of the probes' sight.
//! - [`selftest`]: a real denial, before anybody says `enforcing`.
//! - [`break_glass`]: nothing is denied for a time; the kernel ends it.
//! - [`send_note`]: an event of a short-lived command, through the kernel ring buffer.
//! - [`KernelState`], [`EventSource`]: what the long-lived agent reads; they work without capabilities once open.
//!
//! Functions that change something take the lock in `/run/aegis` themselves: never call one while holding it.

mod apply;
mod error;
mod events;
mod fill;
mod glass;
pub(crate) mod kernelfs;
mod load;
mod lock;
pub(crate) mod measure;
mod mounts;
mod names;
mod note;
mod offers;
mod place;
mod pressure;
mod protect;
mod rules;
pub(crate) mod selftest;
mod sleepers;
mod state;
mod sys;
mod types;
pub(crate) mod workload;

pub(crate) use apply::{Offer, SELF_RULE, apply};
pub(crate) use error::KernelError;
pub(crate) use events::EventSource;
pub(crate) use glass::{break_glass, mend_glass};
pub(crate) use kernelfs::tasks;
pub(crate) use load::{hooks_report, load, others, retire_others};
pub(crate) use note::send_note;
pub(crate) use offers::{Offer as HookOffer, Offers, Standing, bpffs, btf_bytes, cgroups, lsm_list};
pub(crate) use pressure::{MapFill, map_fills};
pub(crate) use state::{Heritage, KernelState, PolicyInForce, guard_agent};
pub(crate) use sys::{LOOKING, lift_memlock};

/// Where maps, programs and links are pinned. The number is the ABI version: probes of another one are not ours.
pub(crate) const PINS: &str = match aegis_probes::abi::ABI_VERSION {
    9 => "/sys/fs/bpf/aegis/v9",
    10 => "/sys/fs/bpf/aegis/v10",
    _ => panic!("name the directory after the ABI"),
};
