//! What the guest said of its blocks, and which of them prove nothing.

use std::collections::BTreeMap;

use aegis_suite::cost::NONE;
use aegis_suite::peers::{AEGIS, KINDS, PARTS};
use serde::Deserialize;
use serde_json::Value;

use crate::cost::said::Times;

/// Of what was made so much must be told of where there is room for it, in thousandths.
pub const TOLD_PERMILLE: u64 = 999;
/// So many files are opened while the kernel counts runs of Aegis's probes.
const LOOKED: u64 = 20;
/// Hooks that Debian's 6.1 does not offer.
const NOT_OFFERED: [&str; 1] = ["inode_copy_up"];

/// A number of each kind.
pub type OfEach = BTreeMap<String, u64>;

/// The kernel's own audit.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// 1: it is on.
    pub enabled: u64,
    /// Who takes its records.
    pub pid: i32,
    /// Records that it lost since the boot.
    pub lost: u64,
    /// Rules that make records.
    pub rules: u64,
}

/// What the operator says before and after each part.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Books {
    /// Records on the disk that name the calls, since the side began.
    pub captured: OfEach,
    /// All that the side has on the disk.
    pub bytes: u64,
    /// BPF programs that hang on something by a link.
    pub links: u64,
    /// The kernel's audit.
    pub audit: Audit,
    /// Aegis's agent is there.
    pub agent: bool,
    /// Runs of its probes while [`LOOKED`] files were opened.
    pub probes: u64,
    /// The side's processes.
    pub processes: Vec<i32>,
    /// Their resident memory, KiB.
    pub resident: u64,
    /// The same at most.
    pub most: u64,
    /// Their processor time, ns.
    pub processor: u64,
    /// What a peer says of what it lost.
    #[serde(default)]
    pub lost: String,
    /// `aegis status --json`.
    #[serde(default)]
    pub status: Value,
}

/// A part of the work, as it was done.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Which: of [`PARTS`].
    pub part: String,
    /// How long it took.
    pub seconds: f64,
    /// Calls that were made.
    pub made: OfEach,
    /// One by one: their times, ns.
    #[serde(default)]
    pub times: BTreeMap<String, Times>,
    /// As fast as can be: how long all of a kind took, ns.
    #[serde(default)]
    pub walls: OfEach,
}

/// A block.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Its place.
    pub block: usize,
    /// Who was at work.
    pub side: String,
    /// Seconds until it told of what was done.
    pub started: f64,
    /// What came of opening what a policy of Aegis's denies: `denied`, `read`, `other`.
    pub secret: String,
    /// Before the parts, and after each.
    pub books: Vec<Books>,
    /// The parts.
    pub parts: Vec<Part>,
}

impl Block {
    /// What a part made, and what of that is on the disk.
    pub fn told(&self, part: usize, kind: &str) -> [u64; 2] {
        let of = |at: usize| self.books[at].captured.get(kind).copied().unwrap_or(0);
        [self.parts[part].made.get(kind).copied().unwrap_or(0), of(part + 1).saturating_sub(of(part))]
    }

    /// What of all parts is on the disk.
    pub fn told_in_all(&self) -> u64 {
        (0..PARTS.len()).flat_map(|part| KINDS.map(|kind| self.told(part, kind)[1])).sum()
    }

    /// The books after all parts.
    ///
    /// # Panics
    /// In a block that is void for having none.
    pub fn last(&self) -> &Books {
        &self.books[PARTS.len()]
    }

    /// Bytes on the disk for each of these.
    pub fn bytes_each(&self) -> f64 {
        self.last().bytes.saturating_sub(self.books[0].bytes) as f64 / self.told_in_all().max(1) as f64
    }

    /// Processor time of the side for each record of a part, ns.
    pub fn processor_each(&self, part: usize) -> f64 {
        let time = self.books[part + 1].processor.saturating_sub(self.books[part].processor);
        let told: u64 = KINDS.iter().map(|kind| self.told(part, kind)[1]).sum();
        time as f64 / told.max(1) as f64
    }

    /// Why its figures prove nothing; none: they stand.
    pub fn void(&self) -> Option<String> {
        let parts: Vec<&str> = self.parts.iter().map(|part| part.part.as_str()).collect();
        if parts != PARTS || self.books.len() != PARTS.len() + 1 {
            return Some(format!("its parts are {parts:?}, with {} books", self.books.len()));
        }
        self.at_work().or_else(|| self.all_told())
    }

    /// Why it was not this side alone that was at work.
    fn at_work(&self) -> Option<String> {
        let denied = if self.side == AEGIS { "denied" } else { "read" };
        if self.secret != denied {
            return Some(format!("what a policy denies was {}, not {denied}", self.secret));
        }
        for books in &self.books {
            if books.agent != (self.side == AEGIS) || (books.probes >= LOOKED) != books.agent {
                let is = if books.agent { "an" } else { "no" };
                return Some(format!("there was {is} agent, and its probes ran {} times", books.probes));
            }
            if !books.agent && books.probes != 0 {
                return Some(format!("the probes ran {} times without an agent", books.probes));
            }
            let audits = [books.audit.enabled, books.audit.rules];
            match self.side.as_str() {
                "auditd"
                    if audits != [1, KINDS.len() as u64] || !books.processes.contains(&books.audit.pid) =>
                {
                    return Some(format!("auditd does not audit: {:?}", books.audit));
                }
                NONE | AEGIS | "bpftrace" if audits != [0, 0] => {
                    return Some(format!("the kernel audits: {:?}", books.audit));
                }
                _ => {}
            }
            if books.processes != self.books[0].processes || books.processes.is_empty() != (self.side == NONE)
            {
                return Some(format!(
                    "its processes were {:?}, then {:?}",
                    self.books[0].processes, books.processes
                ));
            }
            if self.side == NONE && (books.links != 0 || books.captured.values().any(|count| *count != 0)) {
                return Some(format!(
                    "{} programs hang on something; told: {:?}",
                    books.links, books.captured
                ));
            }
            if self.side == AEGIS
                && let Some(why) = self.aegis(books)
            {
                return Some(why);
            }
        }
        None
    }

    /// Why Aegis did not do all that it does.
    fn aegis(&self, books: &Books) -> Option<String> {
        let hooks = books.status["hooks"].as_array().map_or(&[][..], Vec::as_slice);
        let missing = hooks.iter().filter(|hook| hook["attached"] == "missing");
        let mut lacking = missing.filter(|hook| !NOT_OFFERED.iter().any(|name| hook["hook"] == *name));
        if hooks.is_empty() || lacking.next().is_some() || books.links + 1 < hooks.len() as u64 {
            return Some(format!("{} programs hang on {} hooks", books.links, hooks.len()));
        }
        if books.status["mode"] != "enforcing" {
            return Some(format!("the mode was {}", books.status["mode"]));
        }
        if books.status["policy"]["hash"] != self.books[0].status["policy"]["hash"] {
            return Some("the policy changed meanwhile".to_owned());
        }
        let accounts = &books.status["accounts"];
        let of = |name: &str| accounts[name].as_u64().unwrap_or(0);
        let lost: u64 =
            accounts["lost"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        if of("seen") != of("written") + lost + of("in_flight") {
            return Some(format!("the books do not balance: {accounts}"));
        }
        None
    }

    /// Why what it told of is not what was done.
    fn all_told(&self) -> Option<String> {
        for (at, part) in PARTS.iter().enumerate() {
            for kind in KINDS {
                let [made, told] = self.told(at, kind);
                if made == 0
                    || *part == "single" && self.parts[at].times.get(kind).is_none_or(|times| times.n != made)
                {
                    return Some(format!("{part}: {made} of {kind} were made or timed"));
                }
                if *part == "flat-out" && self.parts[at].walls.get(kind).is_none_or(|wall| *wall == 0) {
                    return Some(format!("{part}: {kind} was not timed"));
                }
                if told > made {
                    return Some(format!("{part}: {told} of {kind} were told of, and {made} made"));
                }
                // As fast as can be: what is lost is the figure.
                if self.side != NONE && *part != "flat-out" && told * 1_000 < made * TOLD_PERMILLE {
                    return Some(format!("{part}: {told} of {made} of {kind} were told of"));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::block_of;
