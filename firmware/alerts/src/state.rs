//! One alert's state over time.

/// What an alert is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Its condition does not hold.
    #[default]
    Inactive = 0,
    /// It holds, not yet for as long as it must.
    Pending = 1,
    /// It fires.
    Firing = 2,
}

impl Phase {
    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert's state. Times are of a clock that never goes back, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Now.
    pub phase: Phase,
    /// Since when; 0: since the first look.
    pub since: u64,
    /// It fires, and since then its condition does not hold any more.
    clearing: Option<u64>,
}

impl State {
    /// The next look. `holds`: whether the condition does (one that fires is asked by its `clear`); none: it can't be known. It
    /// must hold for `hold` before it fires, and not hold for `clear_hold` before it is over, at every look in between, ns.
    /// True when it fires from here on, or does not any more.
    ///
    /// What can't be known ends a wait, and never an alert that fires.
    pub fn step(&mut self, holds: Option<bool>, now: u64, hold: u64, clear_hold: u64) -> bool {
        match (self.phase, holds) {
            (Phase::Firing, Some(false)) => {
                let clearing = *self.clearing.get_or_insert(now);
                if now.saturating_sub(clearing) < clear_hold {
                    return false;
                }
                self.enter(Phase::Inactive, now);
                true
            }
            (Phase::Firing, _) => {
                self.clearing = None;
                false
            }
            (_, Some(true)) => {
                if self.phase == Phase::Inactive {
                    self.enter(Phase::Pending, now);
                }
                if now.saturating_sub(self.since) < hold {
                    return false;
                }
                self.enter(Phase::Firing, now);
                true
            }
            (Phase::Pending, _) => {
                self.enter(Phase::Inactive, now);
                false
            }
            (Phase::Inactive, _) => false,
        }
    }

    fn enter(&mut self, phase: Phase, now: u64) {
        *self = Self { phase, since: now, clearing: None };
    }
}
