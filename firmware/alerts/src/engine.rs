//! All alerts of a policy, look by look.

use alloc::vec::Vec;
use core::fmt::Write as _;
use core::ops::Range;

use aegis_metrics::{Id, Printed, Tap, Value};
use aegis_policy::{Alert, Alerts, Condition, PolicyError, Relation, Way, limits as bounds};

use crate::limits::SERIES_BYTES;
use crate::series::{Table, hash};
use crate::state::{Phase, State};
use crate::window::Window;

const SECOND: u64 = 1_000_000_000;

/// Evaluates alerts. A look is: every series, by [`Tap`], then [`Engine::finish`].
pub struct Engine {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    table: Table,
    /// Of this look; the first is 1.
    look: u32,
    /// A series found no place, since the alerts were taken.
    crowded: bool,
}

/// What is kept of an alert.
#[expect(clippy::struct_excessive_bools, reason = "what a look has found, each by itself")]
struct Entry {
    /// Its bytes.
    at: Range<usize>,
    /// Metrics that this device does not have are none.
    id: Option<Id>,
    other: Option<Id>,
    seed: u64,
    state: State,
    /// It was not looked at yet; then what counters say that begin with the boot has grown from 0, or has not.
    fresh: bool,
    from_zero: bool,
    window: Window,
    /// When a series moved last.
    moved_at: u64,
    /// What this look has found.
    known: bool,
    other_known: bool,
    found: bool,
    extreme: Option<i64>,
    moved: i64,
    greatest: i64,
    /// What the last look came to.
    value: Option<i64>,
    was_known: bool,
    series: Printed<SERIES_BYTES>,
}

/// An alert fires from here on, or does not any more.
pub struct Change<'e> {
    /// Which.
    pub alert: &'e Alert<'e>,
    /// It fires.
    pub firing: bool,
    /// The figure, thousandths; none where there is none.
    pub value: Option<i64>,
    /// The series that it is about, as `label=value` with commas; empty when it has no labels.
    pub series: &'e str,
}

/// An alert and its state.
pub struct Row<'e> {
    /// Which.
    pub alert: Alert<'e>,
    /// Its state.
    pub state: State,
    /// The figure of the last look, thousandths; none where there was none.
    pub value: Option<i64>,
    /// False: the last look could not read the figure, or this device does not have the metric.
    pub known: bool,
    /// See [`Change::series`].
    pub series: &'e str,
}

impl Default for Engine {
    fn default() -> Self {
        Self { bytes: Vec::new(), entries: Vec::new(), table: Table::new(), look: 1, crowded: false }
    }
}

impl Engine {
    /// Takes the alerts of another policy. One that is word for word in both goes on as it is; of those that are gone and fired,
    /// `gone` is told. `from_zero`: counters of this boot count as grown from 0, as nobody looked before.
    ///
    /// # Errors
    /// The bytes are not so many alerts ([`Alerts::bytes`]); the old ones stay.
    pub fn take(
        &mut self,
        count: u32,
        bytes: Vec<u8>,
        from_zero: bool,
        gone: &mut dyn FnMut(&Change<'_>),
    ) -> Result<(), PolicyError> {
        let mut entries = Vec::new();
        let mut at = 0;
        let mut alerts = Alerts::decode(count, &bytes)?.iter();
        while let Some(alert) = alerts.next() {
            let end = bytes.len() - alerts.rest().len();
            let raw = &bytes[at..end];
            let seconds = match alert.condition {
                Condition::Moved { seconds, .. } => seconds,
                _ => 1,
            };
            let old = self.entries.iter_mut().find(|old| self.bytes[old.at.clone()] == *raw);
            entries.push(match old {
                Some(old) => Entry { at: at..end, series: old.series.clone(), ..*old },
                None => Entry {
                    at: at..end,
                    id: Id::from_name(alert.metric),
                    other: alert.relation.and_then(|(_, other)| Id::from_name(other)),
                    seed: hash(0, &[raw]),
                    state: State::default(),
                    fresh: true,
                    from_zero,
                    window: Window::new(seconds),
                    moved_at: 0,
                    known: false,
                    other_known: false,
                    found: false,
                    extreme: None,
                    moved: 0,
                    greatest: 0,
                    value: None,
                    was_known: false,
                    series: Printed::default(),
                },
            });
            at = end;
        }
        for old in self.entries.iter().filter(|old| old.state.phase == Phase::Firing) {
            let stays = entries.iter().any(|new| new.seed == old.seed);
            if let (false, Some(alert)) = (stays, alert(&self.bytes, old)) {
                let series = old.series.text();
                gone(&Change { alert: &alert, firing: false, value: old.value, series });
            }
        }
        (self.bytes, self.entries, self.crowded) = (bytes, entries, false);
        Ok(())
    }

    /// Ends a look: `changed` is told what fires from here on, and what does not any more. `now`: of a clock that never goes
    /// back, ns.
    pub fn finish(&mut self, now: u64, changed: &mut dyn FnMut(&Change<'_>)) {
        for entry in &mut self.entries {
            let Some(alert) = alert(&self.bytes, entry) else { continue };
            let holds = entry.judge(&alert, now);
            let hold = u64::from(alert.hold) * SECOND;
            let clear_hold = u64::from(alert.clear_hold) * SECOND;
            if entry.state.step(holds, now, hold, clear_hold) {
                let firing = entry.state.phase == Phase::Firing;
                let series = entry.series.text();
                changed(&Change { alert: &alert, firing, value: entry.value, series });
            }
            entry.fresh = entry.fresh && !entry.was_known;
            (entry.known, entry.other_known, entry.found) = (false, false, false);
            (entry.extreme, entry.moved, entry.greatest) = (None, 0, 0);
        }
        // 0 is what nothing was seen at.
        self.look = self.look.checked_add(1).unwrap_or(1);
    }

    /// Each alert with its state.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.entries.iter().filter_map(|entry| {
            Some(Row {
                alert: alert(&self.bytes, entry)?,
                state: entry.state,
                value: entry.value,
                known: entry.was_known,
                series: entry.series.text(),
            })
        })
    }

    /// There were more series than are remembered: alerts on how figures move may have missed some.
    pub const fn is_crowded(&self) -> bool {
        self.crowded
    }
}

/// The bytes were checked when they were taken.
fn alert<'b>(bytes: &'b [u8], entry: &Entry) -> Option<Alert<'b>> {
    Alerts::first(bytes.get(entry.at.clone())?)
}

impl Tap for Engine {
    fn family(&mut self, id: Id) {
        for entry in &mut self.entries {
            entry.known |= entry.id == Some(id);
            entry.other_known |= entry.other == Some(id);
        }
    }

    fn series(&mut self, id: Id, labels: &[&[u8]], value: Value) {
        let value = value.as_thousandths();
        for entry in &mut self.entries {
            if entry.id != Some(id) && entry.other != Some(id) {
                continue;
            }
            let Some(alert) = alert(&self.bytes, entry) else { continue };
            let names = id.family().labels;
            let matches = alert.matches().all(|mut of| {
                let found = names.iter().zip(labels).find(|(label, _)| label.name == of.label);
                let among = found.is_some_and(|(_, found)| of.values.any(|value| value.as_bytes() == *found));
                found.is_some() && among != of.except
            });
            if !matches {
                continue;
            }
            let key = hash(entry.seed, labels);
            let figure = match alert.relation {
                None => {
                    entry.found = true;
                    if matches!(alert.condition, Condition::Moved { .. } | Condition::Unmoved { .. }) {
                        let before = self.table.put(key, self.look, value);
                        self.crowded |= before.is_err();
                        let Ok(before) = before else { continue };
                        entry.moves(&alert, before.map(|(_, before)| before), value)
                    } else {
                        value
                    }
                }
                // Whichever comes second finds the first one there.
                Some((relation, _)) => match self.table.put(key, self.look, value) {
                    Ok(Some((look, before))) if look == self.look => {
                        let (first, second) =
                            if entry.id == Some(id) { (value, before) } else { (before, value) };
                        if second == 0 {
                            continue;
                        }
                        entry.found = true;
                        related(relation, first, second)
                    }
                    Ok(_) => continue,
                    Err(_) => {
                        self.crowded = true;
                        continue;
                    }
                },
            };
            if entry.is_worse(&alert, figure) {
                entry.series.clear();
                for (index, (label, text)) in names.iter().zip(labels).enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    let _ = write!(entry.series, "{comma}{}=", label.name);
                    entry.series.push_bytes(text);
                }
            }
        }
    }
}

/// A figure out of two, thousandths.
fn related(relation: Relation, first: i64, second: i64) -> i64 {
    match relation {
        Relation::Less => first.saturating_sub(second),
        // In whole figures where thousandths of the first would not fit.
        Relation::Of => match first.checked_mul(1000) {
            Some(first) => first / second,
            None => first / (second / 1000).max(1),
        },
    }
}

impl Entry {
    /// How far a series moved, which is added to what the others did.
    fn moves(&mut self, alert: &Alert<'_>, before: Option<i64>, value: i64) -> i64 {
        let new = if self.fresh && !self.from_zero { 0 } else { value };
        let moved = match alert.condition {
            Condition::Moved { way: Way::Increase { kept }, .. } => match before {
                Some(before) if value >= before => value.saturating_sub(before),
                Some(_) => value,
                None if kept => 0,
                None => new,
            },
            Condition::Moved { way: Way::Decrease, .. } => {
                before.map_or(0, |before| before.saturating_sub(value).max(0))
            }
            // That one appears is a movement, too.
            Condition::Unmoved { .. } => i64::from(before != Some(value)),
            _ => before.map_or(0, |before| value.saturating_sub(before).saturating_abs()),
        };
        self.moved = self.moved.saturating_add(moved);
        moved
    }

    /// This series is the one to name: so far at this look, and of those that moved the one that did most.
    fn is_worse(&mut self, alert: &Alert<'_>, figure: i64) -> bool {
        match alert.condition {
            Condition::Above { .. } => {
                let worse = self.extreme.is_none_or(|extreme| figure > extreme);
                self.extreme = if worse { Some(figure) } else { self.extreme };
                worse
            }
            Condition::Below { .. } => {
                let worse = self.extreme.is_none_or(|extreme| figure < extreme);
                self.extreme = if worse { Some(figure) } else { self.extreme };
                worse
            }
            Condition::Moved { .. } => {
                let worse = figure > self.greatest;
                self.greatest = self.greatest.max(figure);
                worse
            }
            Condition::Absent | Condition::Unmoved { .. } => false,
        }
    }

    /// Whether the condition holds; one that fires is asked by what it takes to be over.
    fn judge(&mut self, alert: &Alert<'_>, now: u64) -> Option<bool> {
        let firing = self.state.phase == Phase::Firing;
        let limit = |threshold: i64, clear: i64| if firing { clear } else { threshold };
        let exists = self.id.is_some() && (alert.relation.is_none() || self.other.is_some());
        self.was_known = exists && self.known && (alert.relation.is_none() || self.other_known);
        match alert.condition {
            Condition::Above { threshold, clear } => {
                self.value = self.extreme;
                let limit = limit(threshold, clear);
                self.was_known.then(|| self.extreme.is_some_and(|value| value > limit))
            }
            Condition::Below { threshold, clear } => {
                self.value = self.extreme;
                let limit = limit(threshold, clear);
                self.was_known.then(|| self.extreme.is_some_and(|value| value < limit))
            }
            Condition::Moved { threshold, clear, .. } => {
                let sum = self.window.add(self.moved, now);
                self.value = Some(sum);
                self.was_known.then(|| sum > limit(threshold, clear))
            }
            Condition::Absent => {
                self.value = None;
                exists.then_some(!self.found)
            }
            Condition::Unmoved { seconds } => {
                if self.moved > 0 || self.moved_at == 0 {
                    self.moved_at = now;
                }
                let still = now.saturating_sub(self.moved_at);
                self.value = Some(i64::try_from(still / 1_000_000).unwrap_or(i64::MAX));
                exists.then(|| still >= u64::from(seconds) * SECOND)
            }
        }
    }
}

const _: () = assert!(bounds::ALERTS <= 64);
