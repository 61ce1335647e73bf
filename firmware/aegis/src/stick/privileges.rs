//! What the processes that wait for people keep: what mounting a stick and putting a policy in force take, and no more.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

use crate::kernel;

/// Mounting, maps of the kernel, and files whose owner on the stick is anybody.
const KEPT: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH);

/// Maps of the kernel alone.
pub(crate) const PROBES: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON);

/// As [`keep`], of what sticks take.
pub(crate) fn keep_few() -> io::Result<()> {
    keep(KEPT)
}

/// Gives up all other capabilities, for children too, and the right to gain any by exec. Per thread: call it before any
/// other thread exists.
pub(crate) fn keep(few: CapabilitySet) -> io::Result<()> {
    // Where it fails and was needed, the policy is refused and it is said why.
    if let Err(error) = kernel::lift_memlock() {
        log::debug!("RLIMIT_MEMLOCK: {error}");
    }
    for capability in (CapabilitySet::all() - few).iter() {
        // EINVAL: this kernel does not know the capability. One that is gone can't be removed again: who started this may
        // have given it up.
        match capability_is_in_bounding_set(capability) {
            Ok(true) => remove_capability_from_bounding_set(capability)?,
            Ok(false) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let now = rustix::thread::capabilities(None)?;
    let kept = now.permitted & few;
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )?;
    set_no_new_privs(true)?;
    Ok(())
}
