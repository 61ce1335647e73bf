//! Points in time on the command line and back.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use toml::value::{Datetime, Offset};

/// Unix seconds, now.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// 2100-01-01. Devices remember the latest time that was ever signed: one slip of the pen would make every later
/// policy stale for good.
const LATEST: u64 = 4_102_444_800;

/// `2027-06-30`, `2027-06-30T12:00:00Z` or Unix seconds; before 2100.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let seconds = moment(text)?;
    if seconds < LATEST { Ok(seconds) } else { Err("not before 2100".to_owned()) }
}

fn moment(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let need = || "a date (2027-06-30), a time (2027-06-30T12:00:00Z) or Unix seconds is needed".to_owned();
    let moment = Datetime::from_str(text).map_err(|_| need())?;
    let date = moment.date.ok_or_else(need)?;
    let mut seconds = 86_400 * days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    if let Some(time) = moment.time {
        let second = i64::from(time.second.unwrap_or(0));
        seconds += 3600 * i64::from(time.hour) + 60 * i64::from(time.minute) + second;
        seconds -= match moment.offset {
            Some(Offset::Custom { minutes }) => 60 * i64::from(minutes),
            Some(Offset::Z) => 0,
            // A local time means different moments at the office and on the device.
            None => return Err("a time needs its zone, as in 2027-06-30T12:00:00Z".to_owned()),
        };
    }
    u64::try_from(seconds).map_err(|_| "before 1970".to_owned())
}

/// `2027-06-30T12:00:00Z`; years beyond 9999 as bare seconds.
pub(crate) fn show(seconds: u64) -> String {
    let Ok(total) = i64::try_from(seconds) else { return format!("{seconds}") };
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let z = total / 86_400 + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    if year > 9999 {
        return format!("{seconds}");
    }
    let rest = total % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// `90 s`, `1 h 30 min`, `2 d 4 h`: at most two units, none of them zero.
pub(crate) fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, name) in units {
        if left >= size && parts.len() < 2 {
            parts.push(format!("{} {name}", left / size));
            left %= size;
        } else if !parts.is_empty() {
            break;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// Days since 1970-01-01 (the same source, `days_from_civil`); years from 0 on.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

#[cfg(test)]
mod tests {
    use super::{parse, show, span};

    #[test]
    fn spans_are_short() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3600, "1 h"),
            (3601, "1 h"),
            (5400, "1 h 30 min"),
            (86_400, "1 d"),
            (187_200, "2 d 4 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn moments_are_read_and_shown() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29T00:00:01Z", 951_782_401),
            ("2027-06-30T12:00:00Z", 1_814_356_800),
            ("2027-06-30T14:00:00+02:00", 1_814_356_800),
            ("1814356800", 1_814_356_800),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
        assert_eq!(show(1_814_356_800), "2027-06-30T12:00:00Z");
        assert_eq!(show(951_782_401), "2000-02-29T00:00:01Z");
        for text in [
            "",
            "tomorrow",
            "2027-13-01",
            "2027-02-30",
            "12:00:00",
            "2027-06-30T12:00:00",
            "1969-12-31",
            "2100-01-01",
            "18446744073709551615",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
