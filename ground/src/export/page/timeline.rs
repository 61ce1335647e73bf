//! When things happened: one axis for each device, boot after boot.
//!
//! The axis is the time that the device was up, which needs no clock: boots stand next to each other as long as they
//! lasted, and the time between them is left out. So a device whose clock was never set is drawn as well as any other.

use std::collections::BTreeMap;

use aegis_event::{Body, Kind};
use aegis_export::Id;

use super::top::Counts;
use crate::export::books::{Boot, BootKey};
use crate::export::check::Report;
use crate::export::clock::{Began, Clocks};
use crate::export::evidence::Record;
use crate::export::limits;

/// One column: what happened in a part of the axis.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Column {
    pub(super) counts: Counts,
    /// Events lost, as `loss` events say.
    pub(super) lost: u64,
    /// Changes of mode, policy, trust or the ring.
    pub(super) changes: u64,
}

/// A boot's place on its device's axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) key: BootKey,
    pub(super) began: Began,
    /// `CLOCK_BOOTTIME` of its first and last event, ns.
    pub(super) span: (u64, u64),
    /// Where it begins on the axis, ns.
    pub(super) at: u128,
}

impl Stretch {
    pub(super) fn length(&self) -> u128 {
        u128::from(self.span.1 - self.span.0).max(SHORTEST)
    }
}

/// A boot takes at least this much of the axis, ns, so that it can be seen.
const SHORTEST: u128 = 1_000_000_000;

/// A device's axis.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) stretches: Vec<Stretch>,
    pub(super) length: u128,
    pub(super) columns: Vec<Column>,
    places: BTreeMap<BootKey, usize>,
}

impl Timeline {
    /// The axes of all devices, empty; of the first [`limits::PAGE_DEVICES`] that is.
    pub(super) fn all(report: &Report, clocks: &Clocks) -> BTreeMap<Id, Self> {
        let mut devices: BTreeMap<Id, Vec<(&BootKey, &Boot)>> = BTreeMap::new();
        for (key, boot) in &report.books.boots {
            if boot.span.is_some()
                && (devices.contains_key(&key.device) || devices.len() < limits::PAGE_DEVICES)
            {
                devices.entry(key.device).or_default().push((key, boot));
            }
        }
        devices
            .into_iter()
            .map(|(device, mut boots)| {
                boots.sort_by_key(|(key, boot)| (key.ring, boot.first));
                let mut at = 0;
                let mut stretches = Vec::with_capacity(boots.len());
                for (key, boot) in boots {
                    let span = boot.span.unwrap_or_default();
                    let stretch = Stretch { key: *key, began: clocks.began(key), span, at };
                    at += stretch.length();
                    stretches.push(stretch);
                }
                let places = stretches.iter().enumerate().map(|(place, it)| (it.key, place)).collect();
                let columns = vec![Column::default(); limits::PAGE_COLUMNS];
                (device, Self { stretches, length: at, columns, places })
            })
            .collect()
    }

    pub(super) fn take(&mut self, record: &Record<'_>) {
        let (Ok(event), Some(place)) = (&record.event, self.places.get(record.key)) else { return };
        let stretch = &self.stretches[*place];
        let inside = u128::from(event.time.saturating_sub(stretch.span.0)).min(stretch.length() - 1);
        let column = (stretch.at + inside) * limits::PAGE_COLUMNS as u128 / self.length.max(1);
        let Some(column) = usize::try_from(column).ok().and_then(|at| self.columns.get_mut(at)) else {
            return;
        };
        column.counts.add(event.verdict());
        if let Body::Loss { count, .. } = event.body {
            column.lost = column.lost.saturating_add(count);
        }
        column.changes += u64::from(is_change(event.kind()));
    }

    /// The time at the beginning of a column, microseconds since 1970, and the boot that it is in.
    pub(super) fn moment(&self, column: usize) -> Option<(i64, &Stretch)> {
        let at = self.length * column as u128 / limits::PAGE_COLUMNS as u128;
        let stretch = self.stretches.iter().rev().find(|stretch| stretch.at <= at)?;
        let inside = u64::try_from(at - stretch.at).unwrap_or(u64::MAX);
        Some((stretch.began.after(stretch.span.0.saturating_add(inside)), stretch))
    }
}

/// What is enforced or recorded, or by whose word, changed or was to change.
pub(super) fn is_change(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Policy
            | Kind::ModeChange
            | Kind::BreakGlass
            | Kind::GlassMended
            | Kind::Root
            | Kind::PolicyStale
            | Kind::Image
            | Kind::Workload
            | Kind::Alert
            | Kind::Start
            | Kind::Stop
            | Kind::RingLevel
            | Kind::Gap
            | Kind::Seal
            | Kind::Config
            | Kind::Deadman
            | Kind::Storage
            | Kind::Measured
    )
}
