//! Alerts: what a policy wants told of the figures that a device measures of itself (`docs/metrics.md`).
//!
//! A metric is named, not numbered: which there are is the contract's to say, and a policy may be older or newer than the
//! device that takes it. What an alert does over time is said in `firmware/alerts`.

use aegis_event::Severity;

use crate::list::{List, Piece, Strings};
use crate::wire::{take, take_str};
use crate::{PolicyError, limits, names};

/// Where it is told that an alert fires, and that it is over. State, metrics and events are not asked for: they always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outputs(u8);

impl Outputs {
    /// A line on the console.
    pub const CONSOLE: Self = Self(1);
    /// A record of the kernel's log.
    pub const SYSLOG: Self = Self(2);
    /// In the file that a stick takes away.
    pub const STICK: Self = Self(4);
    /// A light of the host.
    pub const LED: Self = Self(8);
    /// Each of them, with its word in policy sources.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::CONSOLE, "console"), (Self::SYSLOG, "syslog"), (Self::STICK, "stick"), (Self::LED, "led")];

    /// The set with these bits; `None` for bits that mean nothing.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits < 16 { Some(Self(bits)) } else { None }
    }

    /// The bits on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// True when all of those are among them.
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// What a second figure is to the first. One of 0 says nothing: then there is no figure at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Relation {
    /// The first as a part of it.
    Of = 1,
    /// The first less it.
    Less = 2,
}

/// When an alert is to fire. Figures are in thousandths of what the metric says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A series is greater than `threshold`; once it fired, as long as one is greater than `clear`.
    Above {
        /// See above.
        threshold: i64,
        /// At most the threshold.
        clear: i64,
    },
    /// A series is less than `threshold`; once it fired, as long as one is less than `clear`.
    Below {
        /// See above.
        threshold: i64,
        /// At least the threshold.
        clear: i64,
    },
    /// The series moved by more than `threshold`, together, within `seconds`; once it fired, as long as it is more than `clear`.
    Moved {
        /// Which way counts.
        way: Way,
        /// See above; not negative.
        threshold: i64,
        /// At most the threshold; not negative.
        clear: i64,
        /// 1 to [`limits::ALERT_SECONDS`].
        seconds: u32,
    },
    /// There is no such series.
    Absent,
    /// No series moved for `seconds`, or there is none.
    Unmoved {
        /// 1 to [`limits::ALERT_SECONDS`].
        seconds: u32,
    },
}

/// Which movements of a figure count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A counter's growth: what fell began anew, and grew from 0. One that first appears grew from 0, unless it is kept from boot
    /// to boot.
    Increase {
        /// What the first reading says is how it was before.
        kept: bool,
    },
    /// A gauge's fall.
    Decrease,
    /// A gauge's rise and fall.
    Change,
}

/// What a label of a series must be, or must not.
#[derive(Clone, Debug)]
pub struct Match<'a> {
    /// Its name.
    pub label: &'a str,
    /// None of the values, instead of one of them.
    pub except: bool,
    /// At least one.
    pub values: Strings<'a>,
}

/// Labels' matches, all of which must hold.
pub type Matches<'a> = List<'a, Match<'a>>;

/// An alert.
#[derive(Clone, Debug)]
pub struct Alert<'a> {
    /// Unique in its policy.
    pub name: &'a str,
    /// How bad.
    pub severity: Severity,
    /// The metric that it is on.
    pub metric: &'a str,
    /// Another metric that it is set in relation to, series by series.
    pub relation: Option<(Relation, &'a str)>,
    /// When it is to fire.
    pub condition: Condition,
    /// So long it must hold, seconds, before it fires.
    pub hold: u32,
    /// So long it must not hold any more, seconds, before it is over.
    pub clear_hold: u32,
    /// Where it is told.
    pub outputs: Outputs,
    /// What it means that it fires.
    pub meaning: &'a str,
    /// What mends it.
    pub mend: &'a str,
    matches: Matches<'a>,
}

impl<'a> Alert<'a> {
    /// Which series of the metric it is on.
    pub fn matches(&self) -> Matches<'a> {
        self.matches.clone()
    }
}

/// A label's name; 1 when it must be none of the values; how many; the values.
impl<'a> Piece<'a> for Match<'a> {
    fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PolicyError> {
        let mut from = Cursor(bytes);
        let (label, except, count) = (from.text()?, from.flag()?, from.number()?);
        let (values, rest) = List::take(count, from.0)?;
        Ok((Self { label, except, values }, rest))
    }
}

/// Name, severity, metric; what the other metric is to it (0: there is none) and its name; condition, threshold, clear, seconds;
/// for, clear-for; outputs; meaning, mend; how many labels it matches; those. Its shape, and that its numbers exist.
impl<'a> Piece<'a> for Alert<'a> {
    #[inline(never)]
    fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PolicyError> {
        let mut from = Cursor(bytes);
        let name = from.text()?;
        let severity = Severity::from_number(from.byte()?).ok_or(PolicyError::BadValue)?;
        let metric = from.text()?;
        let relation = match (from.byte()?, from.text()?) {
            (0, "") => None,
            (1, other) => Some((Relation::Of, other)),
            (2, other) => Some((Relation::Less, other)),
            _ => return Err(PolicyError::BadValue),
        };
        let (number, threshold, clear) = (from.byte()?, from.signed()?, from.signed()?);
        let condition = condition(number, threshold, clear, from.number()?)?;
        let (hold, clear_hold) = (from.number()?, from.number()?);
        let outputs = Outputs::from_bits(from.byte()?).ok_or(PolicyError::BadValue)?;
        let (meaning, mend, count) = (from.text()?, from.text()?, from.number()?);
        let (matches, rest) = List::take(count, from.0)?;
        Ok((
            Self {
                name,
                severity,
                metric,
                relation,
                condition,
                hold,
                clear_hold,
                outputs,
                meaning,
                mend,
                matches,
            },
            rest,
        ))
    }
}

/// Takes one value after the other: what the rest of the format takes, too, so that no piece brings code of its own.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn text(&mut self) -> Result<&'a str, PolicyError> {
        let (text, rest) = take_str(self.0)?;
        self.0 = rest;
        Ok(text)
    }

    fn byte(&mut self) -> Result<u8, PolicyError> {
        let (byte, rest) = self.0.split_first().ok_or(PolicyError::Malformed)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn flag(&mut self) -> Result<bool, PolicyError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(PolicyError::BadValue),
        }
    }

    fn number(&mut self) -> Result<u32, PolicyError> {
        let (number, rest) = take(self.0)?;
        self.0 = rest;
        Ok(number)
    }

    fn signed(&mut self) -> Result<i64, PolicyError> {
        let (number, rest) = take(self.0)?;
        self.0 = rest;
        Ok(number)
    }
}

/// One form for each: what a condition has no use for is 0.
fn condition(number: u8, threshold: i64, clear: i64, seconds: u32) -> Result<Condition, PolicyError> {
    let moved = |way| Condition::Moved { way, threshold, clear, seconds };
    let (condition, sound) = match number {
        1 => (Condition::Above { threshold, clear }, clear <= threshold && seconds == 0),
        2 => (Condition::Below { threshold, clear }, clear >= threshold && seconds == 0),
        3 => (moved(Way::Increase { kept: false }), true),
        4 => (moved(Way::Increase { kept: true }), true),
        5 => (moved(Way::Decrease), true),
        6 => (moved(Way::Change), true),
        7 => (Condition::Absent, threshold == 0 && clear == 0 && seconds == 0),
        8 => (Condition::Unmoved { seconds }, threshold == 0 && clear == 0 && is_time(seconds)),
        _ => return Err(PolicyError::BadValue),
    };
    let sound = sound
        && match condition {
            Condition::Moved { .. } => 0 <= clear && clear <= threshold && is_time(seconds),
            _ => true,
        };
    if sound { Ok(condition) } else { Err(PolicyError::BadValue) }
}

const fn is_time(seconds: u32) -> bool {
    matches!(seconds, 1..=limits::ALERT_SECONDS)
}

impl<'a> IntoIterator for &Alerts<'a> {
    type Item = Alert<'a>;
    type IntoIter = List<'a, Alert<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The alerts of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Alerts<'a> {
    pub(crate) count: u32,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Alerts<'a> {
    /// None.
    pub const NONE: Alerts<'static> = Alerts { count: 0, bytes: &[] };

    /// Reads so many that the bytes are; what [`Alerts::bytes`] gave.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn decode(count: u32, bytes: &'a [u8]) -> Result<Self, PolicyError> {
        if count as usize > limits::ALERTS {
            return Err(PolicyError::TooMany);
        }
        let mut rest = bytes;
        for index in 0..count {
            let (alert, after) = Alert::take(rest)?;
            check(&alert)?;
            let mut before = List::<Alert<'_>>::new(index, bytes);
            if before.any(|other| other.name == alert.name) {
                return Err(PolicyError::BadName);
            }
            rest = after;
        }
        if rest.is_empty() { Ok(Self { count, bytes }) } else { Err(PolicyError::TrailingBytes) }
    }

    /// How many.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Their bytes, to be kept without the rest of the policy.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The alert that the bytes begin with, of those that were checked.
    pub fn first(bytes: &'a [u8]) -> Option<Alert<'a>> {
        Alert::take(bytes).ok().map(|(alert, _)| alert)
    }

    /// Each of them, in the order of the policy.
    pub const fn iter(&self) -> List<'a, Alert<'a>> {
        List::new(self.count, self.bytes)
    }
}

fn check(alert: &Alert<'_>) -> Result<(), PolicyError> {
    let mut matches = alert.matches();
    let metrics = names::is_metric_name(alert.metric)
        && alert.relation.is_none_or(|(_, other)| names::is_metric_name(other));
    if !names::is_rule_name(alert.name) || !metrics {
        return Err(PolicyError::BadName);
    }
    if matches.len() > limits::ALERT_MATCHES
        || matches.clone().any(|of| of.values.len() > limits::ALERT_VALUES)
    {
        return Err(PolicyError::TooMany);
    }
    // What a series moves by is known of each alone.
    let still = matches!(alert.condition, Condition::Above { .. } | Condition::Below { .. });
    if alert.relation.is_some() && !still {
        return Err(PolicyError::BadValue);
    }
    if alert.hold > limits::ALERT_SECONDS || alert.clear_hold > limits::ALERT_SECONDS {
        return Err(PolicyError::BadValue);
    }
    let labels = matches.all(|mut of| {
        of.values.len() > 0 && names::is_label_name(of.label) && of.values.all(names::is_label_value)
    });
    if labels && names::is_alert_text(alert.meaning) && names::is_alert_text(alert.mend) {
        Ok(())
    } else {
        Err(PolicyError::BadName)
    }
}
