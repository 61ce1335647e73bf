//! The tables that SQLite and PostgreSQL share, and what goes into them besides events.

use std::borrow::Cow;
use std::fmt::Write;

use super::table::{COLUMNS, Cell, Spec, Type};
use crate::export::books::BootKey;
use crate::export::check::{Checked, Sealed};
use crate::export::clock::{Basis, Began};
use crate::hex;
use crate::outcome::Failure;
use crate::time;

/// Version of these tables. Another one in a database is refused.
pub(super) const FORMAT: u32 = 1;

/// One table.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Spec],
    /// What no two rows have alike.
    pub(super) key: &'static str,
}

const fn spec(name: &'static str, kind: Type, always: bool) -> Spec {
    Spec { name, kind, always }
}

/// Every event.
pub(super) const EVENTS: Table = Table { name: "events", columns: COLUMNS, key: "device, ring, sequence" };

/// Every export that was loaded, whole.
pub(super) const EXPORTS: Table = Table {
    name: "exports",
    columns: &[
        spec("sha256", Type::Name, true),
        spec("file", Type::Text, true),
        spec("device", Type::Name, true),
        spec("ring", Type::Name, true),
        spec("public_key", Type::Name, true),
        spec("key_pinned", Type::Flag, true),
        // It accounts for every sequence from the first of these to before the second: by an event or a gap.
        spec("begins", Type::Long, true),
        spec("resumes", Type::Long, true),
        spec("events", Type::Long, true),
        spec("segments", Type::Long, true),
        spec("ending", Type::Name, true),
        spec("retained", Type::Long, true),
        spec("next", Type::Long, true),
        spec("made_boot_id", Type::Name, true),
        spec("made_time_ns", Type::Wide, true),
        spec("made_clock", Type::Wide, true),
        spec("clock_trusted", Type::Flag, true),
        spec("version", Type::Text, true),
        spec("loaded", Type::Time, true),
    ],
    key: "sha256",
};

/// When boots began. The first clock that tells it stays: an event's time does not change with every export.
pub(super) const BOOTS: Table = Table {
    name: "boots",
    columns: &[
        spec("device", Type::Name, true),
        spec("ring", Type::Name, true),
        spec("boot_id", Type::Name, true),
        spec("began", Type::Time, true),
        // The same, microseconds since 1970.
        spec("began_us", Type::Long, true),
        spec("time_basis", Type::Name, true),
        spec("clock_trusted", Type::Flag, true),
    ],
    key: "device, ring, boot_id",
};

/// Events that the device knows it lost: what `loss` events say.
pub(super) const LOSSES: Table = Table {
    name: "losses",
    columns: &[
        spec("device", Type::Name, true),
        spec("ring", Type::Name, true),
        spec("sequence", Type::Long, true),
        spec("boot_id", Type::Name, true),
        spec("time", Type::Time, true),
        spec("workload", Type::Name, true),
        spec("cause", Type::Name, true),
        spec("count", Type::Wide, true),
    ],
    key: "device, ring, sequence",
};

/// Sequences that devices said they could not give: damaged in the ring, or overwritten before they were exported.
pub(super) const GAPS: Table = Table {
    name: "gaps",
    columns: &[
        spec("device", Type::Name, true),
        spec("ring", Type::Name, true),
        spec("first", Type::Long, true),
        spec("last", Type::Long, true),
        spec("cause", Type::Name, true),
    ],
    key: "device, ring, first, last, cause",
};

/// How a database writes things.
pub(super) struct Dialect {
    /// In front of every table's name.
    pub(super) schema: &'static str,
    pub(super) kind: fn(Type) -> &'static str,
}

impl Dialect {
    /// `CREATE TABLE …`, with a key of these columns and `tail` behind.
    pub(super) fn create(&self, table: &Table, key: &str, tail: &str) -> String {
        let mut sql = format!("CREATE TABLE {}{} (\n", self.schema, table.name);
        for column in table.columns {
            let need = if column.always { " NOT NULL" } else { "" };
            // Writing to a String can't fail.
            let _ = writeln!(sql, "  \"{}\" {}{need},", column.name, (self.kind)(column.kind));
        }
        let _ = write!(sql, "  PRIMARY KEY ({})\n){tail};\n", quoted(key));
        sql
    }

    /// The view of sequences between or before the exports that were loaded, which none of them accounts for.
    pub(super) fn missing(&self) -> String {
        let schema = self.schema;
        format!(
            "CREATE VIEW {schema}missing AS
SELECT device, ring, expected AS first, begins - 1 AS last,
  CASE WHEN EXISTS (SELECT 1 FROM {schema}gaps g WHERE g.device = e.device AND g.ring = e.ring
      AND g.cause = 'overwritten' AND g.first <= e.expected AND g.last >= e.begins - 1)
    THEN 'overwritten' ELSE 'no export has them' END AS cause
FROM (SELECT device, ring, begins, COALESCE(MAX(resumes) OVER (PARTITION BY device, ring
    ORDER BY begins, resumes ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 1) AS expected
  FROM {schema}exports) e
WHERE begins > expected;
"
        )
    }
}

/// Names of columns in quotes: `first`, `last` and `time` are words of SQL in places.
fn quoted(names: &str) -> String {
    names.split(", ").map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// Names of a table's columns, quoted, with commas.
pub(super) fn names(table: &Table) -> String {
    table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
}

/// A verified export's row.
pub(super) fn export_row(file: &Checked) -> Result<Vec<Cell<'_>>, Failure> {
    let sealed = sealed(file)?;
    let id = |bytes: &[u8]| Cell::Text(hex::encode(bytes).into());
    let text = |text: &'static str| Cell::Text(Cow::Borrowed(text));
    let now = i64::try_from(time::now()).unwrap_or(0).saturating_mul(1_000_000);
    Ok(vec![
        id(&file.sha256),
        Cell::Text(file.name.replace('\0', "").into()),
        id(&file.device),
        id(&file.ring),
        Cell::Text(file.key.map(|key| hex::encode(&key[..])).unwrap_or_default().into()),
        Cell::Flag(file.key_pinned),
        Cell::Number(sealed.begin),
        Cell::Number(sealed.resume),
        Cell::Number(file.events),
        Cell::Number(file.segments),
        text(sealed.ending.name()),
        Cell::Number(sealed.retained),
        Cell::Number(sealed.next),
        id(&sealed.created.boot),
        Cell::Number(sealed.created.boottime),
        Cell::Number(sealed.created.clock),
        Cell::Flag(sealed.created.clock_trusted),
        Cell::Text(sealed.version.replace('\0', "").into()),
        Cell::Time(now),
    ])
}

/// The gaps that a verified export tells of.
pub(super) fn gap_rows(file: &Checked) -> Result<Vec<Vec<Cell<'_>>>, Failure> {
    let sealed = sealed(file)?;
    let mut gaps: Vec<(u64, u64, &str)> =
        sealed.gaps.iter().map(|(first, last)| (*first, *last, "ring-damaged")).collect();
    if (1..sealed.begin).contains(&sealed.requested) && sealed.begin == sealed.retained {
        gaps.push((sealed.requested, sealed.begin - 1, "overwritten"));
    }
    Ok(gaps
        .into_iter()
        .map(|(first, last, cause)| {
            vec![
                Cell::Text(hex::encode(&file.device).into()),
                Cell::Text(hex::encode(&file.ring).into()),
                Cell::Number(first),
                Cell::Number(last),
                Cell::Text(cause.into()),
            ]
        })
        .collect())
}

fn sealed(file: &Checked) -> Result<&Sealed, Failure> {
    // Without one it would not have verified.
    file.manifest.as_ref().ok_or_else(|| Failure::refused(format!("{}: it has no manifest", file.name)))
}

/// A 63-bit number, or why it is none.
pub(super) fn long(number: u64, name: &str) -> Result<i64, Failure> {
    i64::try_from(number).map_err(|_| {
        Failure::refused(format!(
            "{name} {number} is beyond what a database can hold; use --to parquet or jsonl"
        ))
    })
}

/// A boot's row.
pub(super) fn boot_row(key: &BootKey, began: Began) -> Vec<Cell<'static>> {
    let id = |bytes: &[u8]| Cell::Text(hex::encode(bytes).into());
    vec![
        id(&key.device),
        id(&key.ring),
        id(&key.boot),
        Cell::Time(began.at),
        Cell::Number(began.at.unsigned_abs()),
        Cell::Text(began.basis.name().into()),
        Cell::Flag(began.trusted),
    ]
}

/// What is to be done with what an export says of when a boot began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The database knows nothing of that boot: store it.
    New(Began),
    /// The database's word holds, so that an event has one time whichever export brings it.
    Known(Began),
    /// The database has only a bound and this export has a clock: move the boot's events to their time.
    Better(Began),
}

impl Settled {
    /// `stored`: `began_us`, `time_basis`, `clock_trusted` of the boot, if the database has it.
    pub(super) fn of(stored: Option<(i64, String, bool)>, ours: Began) -> Self {
        let Some((at, basis, trusted)) = stored else { return Self::New(ours) };
        let stored = Began { at, basis: Basis::from_name(&basis), trusted };
        if stored.basis != Basis::Clock && ours.basis == Basis::Clock {
            Self::Better(ours)
        } else {
            Self::Known(stored)
        }
    }

    pub(super) const fn began(self) -> Began {
        match self {
            Self::New(began) | Self::Known(began) | Self::Better(began) => began,
        }
    }
}

/// Why a sequence is not loaded: another event has it.
pub(super) fn differs(file: &str, sequence: impl std::fmt::Display) -> Failure {
    Failure::refused(format!(
        "{file}: sequence {sequence}: the database has another event of the same device and ring there (history-differs); \
         nothing of this export is loaded. Verify it together with the exports loaded before"
    ))
}
