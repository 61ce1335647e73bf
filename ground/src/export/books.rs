//! The books of one or more exports: counts by kind, denials, losses, and the accounting law boot by boot.

use std::collections::BTreeMap;

use aegis_event::{Accounts, Body, Cause, Event, Gap, Kind, Verdict};
use aegis_export::Id;

use super::limits;

/// One boot of one ring.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that are independent of each other")]
pub(super) struct Boot {
    /// First and last sequence seen.
    pub(super) first: u64,
    pub(super) last: u64,
    /// `CLOCK_BOOTTIME` of its earliest and its latest event, ns; none when no event could be read.
    pub(super) span: Option<(u64, u64)>,
    /// The event before its first one is known to belong to another boot, or there is none.
    pub(super) began: bool,
    /// Sequences are missing between its first and last.
    pub(super) gap: bool,
    /// The last thing it says is `accounts`, then `stop`.
    pub(super) closed: bool,
    /// Events that `accounts` counts.
    pub(super) counted: u64,
    /// The last `accounts`.
    pub(super) accounts: Option<Accounts>,
    /// What `loss` events add up to, by cause.
    pub(super) lost: [u64; Cause::ALL.len()],
    /// `accounts` came since the agent last started.
    told: bool,
}

/// How a closed boot breaks the accounting law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// seen ≠ written + lost.
    Unbalanced(Accounts),
    /// The events here are not as many as the device wrote.
    Miscounted { written: u64, counted: u64 },
}

impl Boot {
    /// Losses by cause, never understated: the greater of the books and the loss events.
    pub(super) fn losses(&self) -> [u64; Cause::ALL.len()] {
        let books = self.accounts.unwrap_or_default().lost;
        std::array::from_fn(|cause| books[cause].max(self.lost[cause]))
    }

    /// The number of events can be held against the books.
    pub(super) const fn countable(&self) -> bool {
        self.began && !self.gap
    }

    /// Counts what stands in a hole that another file left.
    fn fill(&mut self, event: &Event<'_>) {
        self.count(event);
        if let Body::Loss { cause, count, .. } = event.body {
            self.lose(cause, count);
        }
    }

    fn lose(&mut self, cause: Cause, count: u64) {
        let lost = &mut self.lost[usize::from(cause.number())];
        *lost = lost.saturating_add(count);
    }

    fn count(&mut self, event: &Event<'_>) {
        let (earliest, latest) = self.span.unwrap_or((event.time, event.time));
        self.span = Some((earliest.min(event.time), latest.max(event.time)));
        if event.kind().is_counted() {
            self.counted += 1;
        }
    }

    fn take(&mut self, event: &Event<'_>) -> Option<Breach> {
        self.closed = false;
        self.count(event);
        match event.body {
            Body::Start { .. } => self.told = false,
            Body::Accounts(books) => {
                self.accounts = Some(books);
                self.told = true;
            }
            Body::Loss { cause, count, .. } => self.lose(cause, count),
            Body::Stop { .. } if self.told => {
                (self.closed, self.told) = (true, false);
                return self.breach();
            }
            _ => {}
        }
        None
    }

    /// The boot's last word is books that leave events out. An agent that is stopped while workloads go on leaves what they
    /// do to the next one, which settles it: only at the end of a boot is it a breach.
    pub(super) fn unsettled(&self) -> Option<Accounts> {
        self.accounts.filter(|books| self.closed && books.missing() > 0)
    }

    fn breach(&self) -> Option<Breach> {
        let books = self.accounts?;
        if !books.balanced() && books.missing() == 0 {
            return Some(Breach::Unbalanced(books));
        }
        (self.countable() && books.written != self.counted)
            .then_some(Breach::Miscounted { written: books.written, counted: self.counted })
    }
}

/// Which boot: of which device's which ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BootKey {
    pub(super) device: Id,
    pub(super) ring: Id,
    pub(super) boot: Id,
}

/// A group of denials.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DenialKey {
    pub(super) rule: Vec<u8>,
    pub(super) policy: u64,
    pub(super) kind: Kind,
    pub(super) workload: Vec<u8>,
}

/// Everything counted.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) total: u64,
    pub(super) undecoded: u64,
    pub(super) by_kind: BTreeMap<Kind, u64>,
    pub(super) denials: BTreeMap<DenialKey, u64>,
    /// Denials beyond [`limits::DENIALS`] groups.
    pub(super) other_denials: u64,
    pub(super) boots: BTreeMap<BootKey, Boot>,
    /// What the agents said of sequences that can't be read, and how often beyond [`limits::GAPS_TOLD`].
    pub(super) gaps: Vec<Told>,
    pub(super) gaps_left_out: u64,
}

/// A `gap` event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) key: BootKey,
    pub(super) sequence: u64,
    pub(super) gap: Gap,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) key: BootKey,
    pub(super) sequence: u64,
    /// Boot and sequence of the event counted before it in this ring, if any.
    pub(super) before: Option<(Id, u64)>,
}

/// What is wrong with where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disorder {
    /// The boot had already been left for another.
    BootReturns,
    /// More than [`limits::BOOTS`].
    TooManyBoots,
}

impl Books {
    /// Counts an event; none if its bytes could not be decoded.
    pub(super) fn take(
        &mut self,
        place: Place,
        event: Option<&Event<'_>>,
    ) -> Result<Option<Breach>, Disorder> {
        let Place { key, sequence, before } = place;
        self.total += 1;
        match event {
            Some(event) => self.count(key, sequence, event),
            None => self.undecoded += 1,
        }
        let follows = before.is_some_and(|(_, last)| last.checked_add(1) == Some(sequence));
        let same = before.is_some_and(|(boot, _)| boot == key.boot);
        let known = self.boots.len();
        let mut returns = false;
        let boot = match self.boots.entry(key) {
            std::collections::btree_map::Entry::Occupied(entry) => {
                let boot = entry.into_mut();
                boot.gap |= !follows || event.is_none();
                returns = !same;
                boot
            }
            std::collections::btree_map::Entry::Vacant(_) if known >= limits::BOOTS => {
                return Err(Disorder::TooManyBoots);
            }
            std::collections::btree_map::Entry::Vacant(entry) => {
                let began = sequence == 1 || follows;
                entry.insert(Boot { first: sequence, began, gap: event.is_none(), ..Boot::default() })
            }
        };
        boot.last = sequence;
        let breach = event.and_then(|event| boot.take(event));
        if returns { Err(Disorder::BootReturns) } else { Ok(breach) }
    }

    /// Counts an event that stands in a hole which another file left: its boot is known to have had one.
    pub(super) fn fill(&mut self, key: BootKey, sequence: u64, event: Option<&Event<'_>>) {
        self.total += 1;
        match event {
            Some(event) => self.count(key, sequence, event),
            None => self.undecoded += 1,
        }
        if self.boots.len() >= limits::BOOTS && !self.boots.contains_key(&key) {
            return;
        }
        let new = || Boot { first: sequence, last: sequence, ..Boot::default() };
        let boot = self.boots.entry(key).or_insert_with(new);
        (boot.first, boot.last, boot.gap) = (boot.first.min(sequence), boot.last.max(sequence), true);
        if let Some(event) = event {
            boot.fill(event);
        }
    }

    fn count(&mut self, key: BootKey, sequence: u64, event: &Event<'_>) {
        if let Body::Gap(gap) = event.body {
            if self.gaps.len() < limits::GAPS_TOLD {
                self.gaps.push(Told { key, sequence, gap });
            } else {
                self.gaps_left_out += 1;
            }
        }
        *self.by_kind.entry(event.kind()).or_default() += 1;
        let Some(decision) = event.body.decision().filter(|decision| decision.verdict == Verdict::Denied)
        else {
            return;
        };
        let key = DenialKey {
            rule: decision.rule.to_vec(),
            policy: decision.policy,
            kind: event.kind(),
            workload: event.subject.map_or_else(Vec::new, |subject| subject.workload.to_vec()),
        };
        if let Some(count) = self.denials.get_mut(&key) {
            *count += 1;
        } else if self.denials.len() < limits::DENIALS {
            self.denials.insert(key, 1);
        } else {
            self.other_denials += 1;
        }
    }

    /// Losses by cause over all boots.
    pub(super) fn losses(&self) -> [u64; Cause::ALL.len()] {
        self.boots.values().map(Boot::losses).fold([0; Cause::ALL.len()], |mut sum, lost| {
            for (sum, lost) in sum.iter_mut().zip(lost) {
                *sum = sum.saturating_add(lost);
            }
            sum
        })
    }
}
