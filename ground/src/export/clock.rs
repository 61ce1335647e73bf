//! When something happened, as far as a device's clock tells.
//!
//! An event says how long its boot had lasted (`CLOCK_BOOTTIME`), which can be believed. When that boot began is known
//! from the manifest of an export made in it, by the device's clock, or not: then it can only have been before the next
//! boot. So every absolute time carries its basis, and whether the device trusted its clock.

use std::collections::BTreeMap;

use aegis_export::Id;

use super::books::{Boot, BootKey};
use super::check::{Checked, Report, Sealed};
use crate::time;

/// What an absolute time rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// The device's clock when an export was made in the same boot.
    Clock,
    /// The latest it can have been: the boot ended before the next one began.
    Bound,
    /// No clock that makes sense: counted from 1970 on, as if the boot had begun then.
    None,
}

impl Basis {
    /// The name that JSON and tables use.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Bound => "bound",
            Self::None => "none",
        }
    }

    /// The basis with this name; none for any other name.
    pub(super) fn from_name(name: &str) -> Self {
        [Self::Clock, Self::Bound].into_iter().find(|basis| basis.name() == name).unwrap_or(Self::None)
    }
}

/// 9999-12-31T23:59:59.999999Z: no time is later, whatever a device claims.
pub(super) const LAST: i64 = 253_402_300_799_999_999;

/// When a boot began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Began {
    /// Microseconds since 1970; from 0 to [`LAST`].
    pub(super) at: i64,
    pub(super) basis: Basis,
    /// The device had a reason to trust the clock that this comes from.
    pub(super) trusted: bool,
}

impl Began {
    pub(super) const UNKNOWN: Self = Self { at: 0, basis: Basis::None, trusted: false };

    /// By a clock that said `clock` microseconds since 1970 when the boot had lasted `boottime` ns.
    fn by(clock: u128, boottime: u64, basis: Basis, trusted: bool) -> Self {
        match clock.checked_sub(u128::from(boottime / 1_000)).map(i64::try_from) {
            Some(Ok(at)) if at <= LAST => Self { at, basis, trusted },
            _ => Self::UNKNOWN,
        }
    }

    fn by_manifest(sealed: &Sealed) -> Self {
        let created = &sealed.created;
        Self::by(u128::from(created.clock) * 1_000_000, created.boottime, Basis::Clock, created.clock_trusted)
    }

    /// When the boot had lasted `boottime` ns: microseconds since 1970.
    pub(super) fn after(&self, boottime: u64) -> i64 {
        self.at.saturating_add_unsigned(boottime / 1_000).min(LAST)
    }
}

/// When every boot of a report began.
#[derive(Debug, Default)]
pub(super) struct Clocks(BTreeMap<BootKey, Began>);

impl Clocks {
    pub(super) fn of(report: &Report) -> Self {
        let mut rings: BTreeMap<(Id, Id), Vec<(BootKey, &Boot)>> = BTreeMap::new();
        for (key, boot) in &report.books.boots {
            rings.entry((key.device, key.ring)).or_default().push((*key, boot));
        }
        let mut manifests: BTreeMap<(Id, Id), Vec<&Sealed>> = BTreeMap::new();
        for Checked { device, ring, manifest, .. } in &report.files {
            if let Some(sealed) = manifest {
                manifests.entry((*device, *ring)).or_default().push(sealed);
            }
        }
        let mut known = BTreeMap::new();
        for (ring, mut boots) in rings {
            let mut manifests = manifests.remove(&ring).unwrap_or_default();
            // In the order in which they were made.
            manifests.sort_by_key(|sealed| (sealed.next, sealed.created.boottime));
            boots.sort_by_key(|(_, boot)| boot.first);
            let mut next: Option<Began> = None;
            for (key, boot) in boots.into_iter().rev() {
                let latest = boot.span.map_or(0, |span| span.1);
                let began = own(&manifests, &key).unwrap_or_else(|| {
                    let behind = || manifests.iter().find(|sealed| sealed.next > boot.last).copied();
                    next.or_else(|| behind().map(Began::by_manifest)).map_or(
                        Began::UNKNOWN,
                        |next| match next.basis {
                            Basis::None => Began::UNKNOWN,
                            _ => Began::by(next.at.unsigned_abs().into(), latest, Basis::Bound, false),
                        },
                    )
                });
                next = Some(began);
                known.insert(key, began);
            }
        }
        Self(known)
    }

    pub(super) fn began(&self, key: &BootKey) -> Began {
        self.0.get(key).copied().unwrap_or(Began::UNKNOWN)
    }
}

/// By the manifests made in this very boot: one whose clock was trusted before others, of those the last one.
fn own(manifests: &[&Sealed], key: &BootKey) -> Option<Began> {
    let made_in = manifests.iter().filter(|sealed| sealed.created.boot == key.boot);
    made_in.max_by_key(|sealed| sealed.created.clock_trusted).map(|sealed| Began::by_manifest(sealed))
}

/// Microseconds since 1970 as `2027-01-15T08:00:00.000001Z`.
pub(super) fn stamp(at: i64) -> String {
    let at = u64::try_from(at).unwrap_or(0);
    let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
    let text = time::show(seconds);
    format!("{}.{micros:06}Z", text.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_makes_no_sense_is_no_basis() {
        let by = |clock, boottime| Began::by(clock, boottime, Basis::Clock, true);
        assert_eq!(by(100, 40_999), Began { at: 60, basis: Basis::Clock, trusted: true });
        for nonsense in [by(10, 11_000), by(u128::from(u64::MAX) * 1_000_000, 0)] {
            assert_eq!(nonsense, Began::UNKNOWN);
        }
        assert_eq!(Began::UNKNOWN.after(7_999), 7);
        assert_eq!(by(LAST as u128, 0).after(u64::MAX), LAST);
    }

    #[test]
    fn times_are_shown_to_the_microsecond() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(stamp(1_800_000_000_000_001), "2027-01-15T08:00:00.000001Z");
        assert_eq!(stamp(LAST), "9999-12-31T23:59:59.999999Z");
    }
}
