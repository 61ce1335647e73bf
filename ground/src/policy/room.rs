//! Whether all rules together fit the kernel's maps; and which one does not.

use aegis_policy::{Prefix, limits};

use super::check::too_many;
use super::place::SourceError;
use super::resolve::RuleSource;
use super::source::{RawWorkload, Read};
use super::target::On;

/// What the rules so far take.
#[derive(Default)]
pub(super) struct Room {
    entries: usize,
    nets: usize,
    hashes: usize,
}

impl Room {
    /// Adds a rule.
    pub(super) fn take(&mut self, rule: &RuleSource) -> Read<()> {
        let name = &rule.raw.name;
        let (sum, more, most, what) = match &rule.on {
            On::Files => {
                self.entries += (rule.raw.paths.len() + rule.raw.trees.len()) * rule.workloads.len();
                return if self.entries > limits::ENTRIES { Err(too_many(name)) } else { Ok(()) };
            }
            On::Surface => return Ok(()),
            On::Addresses { prefixes, .. } => (&mut self.nets, prefixes.len(), limits::NETS, "addresses"),
            On::Hashes(hashes) => (&mut self.hashes, hashes.len(), limits::HASHES, "hashes"),
        };
        *sum += more * rule.workloads.len();
        if *sum <= most {
            return Ok(());
        }
        let message = format!(
            "rule \"{}\" is more than the kernel's map holds: at most {most} {what} x workloads in all; split the policy",
            name.value
        );
        Err(SourceError::new(name.at, message))
    }
}

/// Refuses rules of which too many speak of one address: the kernel's entry for it has so many places.
pub(super) fn crowded(rules: &[RuleSource], workloads: &[RawWorkload]) -> Read<()> {
    let mut all: Vec<(u16, Prefix, usize, usize)> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let On::Addresses { prefixes, ports, protocols } = &rule.on else { continue };
        let says = ports.len() * protocols.len();
        all.extend(
            rule.workloads
                .iter()
                .flat_map(|workload| prefixes.iter().map(move |prefix| (*workload, *prefix, index, says))),
        );
    }
    // A prefix stands behind those that contain it.
    all.sort_unstable();
    let mut around: Vec<(u16, Prefix, usize, usize)> = Vec::new();
    for entry in all {
        while around.last().is_some_and(|of| of.0 != entry.0 || !of.1.contains(&entry.1)) {
            around.pop();
        }
        around.push(entry);
        let said: usize = around.iter().map(|of| of.3).sum();
        if said <= limits::NET_RULES {
            continue;
        }
        let last = around.iter().max_by_key(|of| of.2).map_or(entry.2, |of| of.2);
        let rule = &rules[last];
        let workload = workloads.get(usize::from(entry.0) - 1).map_or("", |workload| &workload.name.value);
        let message = format!(
            "rule \"{}\" is one too many that speaks of {} for workload {workload}: of one address at most {} can, each port \
             range and each protocol of a rule counted; say it in fewer",
            rule.name(),
            entry.1,
            limits::NET_RULES,
        );
        let error = SourceError::new(rule.raw.name.at, message);
        return Err(match rule.used {
            Some(at) => error.also(at, "the template is used here"),
            None => error,
        });
    }
    Ok(())
}
