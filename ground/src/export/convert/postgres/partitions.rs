//! `aegis.events` by months.

use std::collections::BTreeSet;
use std::ops::Range;

use postgres::{Client, Error};

use crate::export::clock::stamp;
use crate::export::limits;

/// Partitions of `aegis.events`, one a calendar month (UTC), made when an event needs one.
pub(super) struct Partitions {
    /// None on a hypertable, which makes its own chunks.
    months: Option<BTreeSet<i64>>,
}

impl Partitions {
    pub(super) fn of(client: &mut Client) -> Result<Self, Error> {
        let kind = "SELECT relkind = 'p' FROM pg_class WHERE oid = 'aegis.events'::regclass";
        if !client.query_one(kind, &[])?.try_get::<_, bool>(0)? {
            return Ok(Self { months: None });
        }
        let names = client.query(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'aegis.events'::regclass",
            &[],
        )?;
        let mut months = BTreeSet::new();
        for row in names {
            months.extend(month_of_name(row.try_get(0)?));
        }
        Ok(Self { months: Some(months) })
    }

    /// Makes the partitions of these months that are not there. There are at most so many: what is outside them, or
    /// later than any clock that works would say, stays in the default partition.
    pub(super) fn make(&mut self, client: &mut Client, wanted: &BTreeSet<i64>) -> Result<(), Error> {
        let Some(months) = &mut self.months else { return Ok(()) };
        for month in wanted.iter().copied().filter(|month| *month < limits::PARTITION_MONTHS_END) {
            if months.len() >= limits::PARTITIONS || months.contains(&month) {
                continue;
            }
            let (from, to) = (first_of(month), first_of(month + 1));
            let name = name_of_month(month);
            client.batch_execute(&format!(
                "CREATE TABLE aegis.{name} PARTITION OF aegis.events
                 FOR VALUES FROM ('{from} 00:00:00+00') TO ('{to} 00:00:00+00')"
            ))?;
            months.insert(month);
        }
        Ok(())
    }
}

/// A day, microseconds.
pub(super) const DAY: i64 = 86_400_000_000;

/// Months since 1970-01, of microseconds since 1970.
pub(super) fn month(at: i64) -> i64 {
    // `YYYY-MM-…`, by the one calendar there is in this program.
    let stamp = stamp(at);
    let number = |range: Range<usize>| stamp.get(range).and_then(|digits| digits.parse::<i64>().ok());
    match (number(0..4), number(5..7)) {
        (Some(year), Some(month)) => (year - 1970) * 12 + month - 1,
        _ => limits::PARTITION_MONTHS_END,
    }
}

/// `2027-01-01`.
fn first_of(month: i64) -> String {
    format!("{:04}-{:02}-01", 1970 + month / 12, 1 + month % 12)
}

fn name_of_month(month: i64) -> String {
    format!("events_{:04}_{:02}", 1970 + month / 12, 1 + month % 12)
}

fn month_of_name(name: &str) -> Option<i64> {
    let (year, month) = name.strip_prefix("events_")?.split_once('_')?;
    let (year, month): (i64, i64) = (year.parse().ok()?, month.parse().ok()?);
    Some((year - 1970) * 12 + month - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::clock::LAST;

    #[test]
    fn months_have_names_and_bounds() {
        for (at, number, name, first, next) in [
            (0, 0, "events_1970_01", "1970-01-01", "1970-02-01"),
            (1_800_000_000_000_000, 684, "events_2027_01", "2027-01-01", "2027-02-01"),
            (1_798_761_599_999_999, 683, "events_2026_12", "2026-12-01", "2027-01-01"),
        ] {
            assert_eq!(month(at), number, "{name}");
            assert_eq!((name_of_month(number).as_str(), month_of_name(name)), (name, Some(number)));
            assert_eq!((first_of(number).as_str(), first_of(number + 1).as_str()), (first, next));
        }
        assert!(month(LAST) >= limits::PARTITION_MONTHS_END);
        assert_eq!(month_of_name("events_other"), None);
    }
}
