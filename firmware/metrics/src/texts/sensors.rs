//! Sensors (`Documentation/hwmon/sysfs-interface.rst`, `Documentation/driver-api/thermal/sysfs-api.rst`) and the life of an eMMC
//! (`Documentation/driver-api/mmc/mmc-dev-attrs.rst`: `life_time`).

use super::{number, words};

/// `temp1_input`, `temp1_crit`, `temp`: thousandths of a degree Celsius. What no matter can have is none: a broken sensor's.
pub fn millidegrees(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
    let size = i64::try_from(number(digits)?).ok()?;
    let degrees = if negative { -size } else { size };
    (-273_150..=1_000_000).contains(&degrees).then_some(degrees)
}

/// `life_time`: of each type of memory, tenths of its life that are used, at most; 11: more than it was made for. 0 is not known
/// (JESD84-B51, 7.4.45).
pub fn wear(text: &[u8]) -> [Option<u8>; 2] {
    let mut words = words(text.trim_ascii());
    core::array::from_fn(|_| {
        let digits = words.next()?.strip_prefix(b"0x")?;
        let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
        u8::from_str_radix(digits, 16).ok().filter(|tenths| (1..=11).contains(tenths))
    })
}
