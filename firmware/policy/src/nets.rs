//! Whether what rules say of addresses fits the kernel's map.

use crate::net::Prefix;
use crate::view::Rules;
use crate::{PolicyError, Target, limits};

/// A prefix of a rule, for one of its workloads. The order is what the check below lives by: within a workload, a prefix
/// stands behind all that contain it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Index, from 1 to [`limits::WORKLOADS`].
    workload: u8,
    prefix: Prefix,
    /// Port ranges x protocols of the rule.
    combinations: u8,
}

const _: () = assert!(limits::WORKLOADS <= u8::MAX as usize);
const _: () = assert!(limits::NET_RULES <= u8::MAX as usize);

const NONE: Entry = Entry { workload: 0, prefix: Prefix::INET, combinations: 0 };

/// Refuses rules that say more than [`limits::NET_RULES`] of one prefix for one workload. They have been checked to have
/// at most [`limits::NETS`] prefixes x workloads. Sorted, so that it costs little however they are made; the table is
/// 80 KiB of stack, in a frame of its own.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "bounded, short-lived, and there is no heap")]
pub(crate) fn check(rules: Rules<'_>) -> Result<(), PolicyError> {
    let mut table = [NONE; limits::NETS];
    let mut count = 0;
    for rule in rules {
        let Target::Addresses { prefixes, ports, protocols } = rule.target() else { continue };
        let combinations = u8::try_from(ports.len().saturating_mul(protocols.len()))
            .ok()
            .filter(|combinations| usize::from(*combinations) <= limits::NET_RULES)
            .ok_or(PolicyError::TooMany)?;
        for prefix in prefixes {
            for workload in rule.workloads() {
                let workload = u8::try_from(workload).map_err(|_| PolicyError::BadValue)?;
                *table.get_mut(count).ok_or(PolicyError::TooMany)? = Entry { workload, prefix, combinations };
                count += 1;
            }
        }
    }
    let table = &mut table[..count];
    table.sort_unstable();
    // The entries that contain the one at hand, outermost first. Each says at least one thing, so there are never more
    // than may be said.
    let mut around = [NONE; limits::NET_RULES];
    let mut depth = 0;
    for entry in table {
        let contains = |of: &Entry| of.workload == entry.workload && of.prefix.contains(&entry.prefix);
        while depth > 0 && !contains(&around[depth - 1]) {
            depth -= 1;
        }
        *around.get_mut(depth).ok_or(PolicyError::TooMany)? = *entry;
        depth += 1;
        if around[..depth].iter().map(|of| usize::from(of.combinations)).sum::<usize>() > limits::NET_RULES {
            return Err(PolicyError::TooMany);
        }
    }
    Ok(())
}
