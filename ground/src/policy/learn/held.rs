//! A draft, enforced, held against the very accesses that it was learned from.

use aegis_event::{File, Verdict};
use aegis_policy::{Operations, Prefix};

use super::super::decisions::Decisions;
use super::super::things::Thing;
use super::place::Place;
use crate::export::{Access, What};

/// What a draft would deny though it was not denied then.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Of what a rule can name: how often, and the first.
    pub(super) named: u64,
    pub(super) first: Option<String>,
    /// Of what none can: how often.
    pub(super) unnamed: u64,
}

impl Held {
    pub(super) fn take(&mut self, draft: &Decisions<'_>, access: &Access<'_>) {
        if access.verdict == Verdict::Denied || access.excused {
            return;
        }
        match access.what {
            What::File { file, to, operations } => self.files(draft, access, &[Some(file), to], operations),
            What::Address { family, address, port, protocol, operation } => {
                let Some(prefix) = Prefix::of(family, address) else { return };
                let net = Thing::Net { prefix, ports: (port, port), protocol: Some(protocol) };
                if denies(draft, access, &net, Operations::only(operation)) {
                    self.named(&net, access.sequence);
                }
            }
            What::Surface(operation) => {
                if denies(draft, access, &Thing::Surface, Operations::only(operation)) {
                    self.named(&Thing::Surface, access.sequence);
                }
            }
        }
    }

    fn files(
        &mut self,
        draft: &Decisions<'_>,
        access: &Access<'_>,
        files: &[Option<File<'_>>],
        operations: Operations,
    ) {
        for file in files.iter().flatten() {
            let thing = Thing::Path(file.path);
            match Place::of(file) {
                Place::Path(_) if denies(draft, access, &thing, operations) => {
                    return self.named(&thing, access.sequence);
                }
                Place::Below(..) if denies(draft, access, &thing, operations) => {
                    self.unnamed += 1;
                    return;
                }
                // Where no rule can say what it is, none was made that denies it.
                _ => {}
            }
        }
    }

    fn named(&mut self, thing: &Thing<'_>, sequence: u64) {
        self.named += 1;
        if self.first.is_none() {
            self.first = Some(format!("{thing}, sequence {sequence}"));
        }
    }
}

fn denies(draft: &Decisions<'_>, access: &Access<'_>, thing: &Thing<'_>, operations: Operations) -> bool {
    let workload = draft.policy.match_workload(access.workload);
    draft.strictest(workload, std::iter::once(thing), operations).verdict == Verdict::Denied
}
