//! A number of a series: an integer, or one with decimal places. No floating point: what was counted is written as it was counted.

use core::fmt::{self, Display, Formatter};

/// A number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    negative: bool,
    number: u64,
    /// Decimal places, at most [`Value::PLACES`].
    places: u8,
}

impl Value {
    const PLACES: u8 = 9;

    /// As it is.
    pub const fn count(number: u64) -> Self {
        Self { negative: false, number, places: 0 }
    }

    /// 1 or 0.
    pub const fn flag(is: bool) -> Self {
        Self::count(is as u64)
    }

    /// Nanoseconds, as seconds.
    pub const fn nanos(number: u64) -> Self {
        Self { negative: false, number, places: 9 }
    }

    /// Microseconds, as seconds.
    pub const fn micros(number: u64) -> Self {
        Self { negative: false, number, places: 6 }
    }

    /// Milliseconds, as seconds.
    pub const fn millis(number: u64) -> Self {
        Self { negative: false, number, places: 3 }
    }

    /// Thousandths, which may be negative: of a degree.
    pub const fn thousandths(number: i64) -> Self {
        Self { negative: number < 0, number: number.unsigned_abs(), places: 3 }
    }

    /// Hundredths, as a ratio.
    pub const fn percent(number: u64) -> Self {
        Self { negative: false, number, places: 2 }
    }

    /// Ticks of a clock that ticks `hertz` times a second, as seconds.
    pub const fn ticks(number: u64, hertz: u64) -> Self {
        let hertz = if hertz == 0 { 100 } else { hertz };
        let rest = (number % hertz) as u128 * 1_000_000_000 / hertz as u128;
        Self::nanos((number / hertz).saturating_mul(1_000_000_000).saturating_add(rest as u64))
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let scale = 10u64.pow(u32::from(self.places.min(Self::PLACES)));
        let (whole, mut rest) = (self.number / scale, self.number % scale);
        if self.negative && self.number > 0 {
            f.write_str("-")?;
        }
        write!(f, "{whole}")?;
        if rest > 0 {
            let mut width = usize::from(self.places);
            while rest % 10 == 0 {
                (rest, width) = (rest / 10, width - 1);
            }
            write!(f, ".{rest:0width$}")?;
        }
        Ok(())
    }
}
