//! A number of a series: an integer, or one with decimal places. No floating point: what was counted is written as it was counted.

use core::fmt::{self, Display, Formatter};

/// A number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    number: u64,
    /// Decimal places, and whether it is negative: two fields, so that it goes in registers.
    style: u8,
}

impl Value {
    const NEGATIVE: u8 = 0x80;

    const fn new(number: u64, style: u8) -> Self {
        Self { number, style }
    }

    /// As it is.
    pub const fn count(number: u64) -> Self {
        Self::new(number, 0)
    }

    /// 1 or 0.
    pub const fn flag(is: bool) -> Self {
        Self::count(is as u64)
    }

    /// Nanoseconds, as seconds.
    pub const fn nanos(number: u64) -> Self {
        Self::new(number, 9)
    }

    /// Microseconds, as seconds.
    pub const fn micros(number: u64) -> Self {
        Self::new(number, 6)
    }

    /// Milliseconds, as seconds.
    pub const fn millis(number: u64) -> Self {
        Self::new(number, 3)
    }

    /// Thousandths, which may be negative: of a degree.
    pub const fn thousandths(number: i64) -> Self {
        Self::new(number.unsigned_abs(), if number < 0 { 3 | Self::NEGATIVE } else { 3 })
    }

    /// Hundredths, as a ratio.
    pub const fn percent(number: u64) -> Self {
        Self::new(number, 2)
    }

    /// In thousandths, rounded down; what does not fit is the most that does.
    pub const fn as_thousandths(self) -> i64 {
        let places = (self.style & !Self::NEGATIVE) as u32;
        let number = if places <= 3 {
            self.number.saturating_mul(10u64.pow(3 - places))
        } else {
            self.number / 10u64.pow(places - 3)
        };
        let number = if number > i64::MAX as u64 { i64::MAX } else { number.cast_signed() };
        if self.style & Self::NEGATIVE != 0 { -number } else { number }
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
        let places = self.style & !Self::NEGATIVE;
        let scale = 10u64.pow(places.into());
        let (whole, mut rest) = (self.number / scale, self.number % scale);
        if self.style & Self::NEGATIVE != 0 {
            f.write_str("-")?;
        }
        write!(f, "{whole}")?;
        if rest > 0 {
            let mut width = usize::from(places);
            while rest % 10 == 0 {
                (rest, width) = (rest / 10, width - 1);
            }
            write!(f, ".{rest:0width$}")?;
        }
        Ok(())
    }
}
