//! A PostgreSQL database: one transaction for each export, `COPY` into a staging table, from there into tables
//! partitioned by time, every event once. A hypertable where TimescaleDB is.

mod connect;
mod copy;
mod partitions;

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};

use postgres::{Client, Error};

use super::Totals;
use super::table::{COLUMNS, Rows, Type};
use super::tables::{
    BOOTS, Dialect, EVENTS, EXPORTS, FORMAT, GAPS, LOSSES, Settled, Table, boot_row, differs, export_row,
    gap_rows, names,
};
use crate::export::books::BootKey;
use crate::export::check::Checked;
use crate::export::clock::{Began, LAST};
use crate::export::evidence::{Evidence, Record, Sink};
use crate::export::limits;
use crate::hex;
use crate::outcome::Failure;
use copy::Lines;
use partitions::{DAY, Partitions, month};

const DIALECT: Dialect = Dialect {
    schema: "aegis.",
    kind: |kind| match kind {
        Type::Name | Type::Text => "text",
        Type::Json => "jsonb",
        Type::Long | Type::Int => "bigint",
        Type::Wide => "numeric(20)",
        Type::Time => "timestamptz",
        Type::Flag => "boolean",
        Type::Bytes => "bytea",
    },
};

/// An event's time is in the key because PostgreSQL and TimescaleDB want the partitioning column in every unique key. It
/// is the same whichever export brings the event (see [`BOOTS`]), so that the key means device, ring, sequence.
const EVENTS_KEY: &str = "device, ring, sequence, time";

/// Two loaders at once would each find the other's partitions missing.
const LOCK: i64 = 0x6165_6769_7363_746c;

/// Loads into the database that `url` names; makes schema `aegis` in it if there is none.
pub(super) fn load(evidence: &Evidence<'_>, url: &str) -> Result<Totals, Failure> {
    let mut client = connect::connect(url)?;
    let free: bool = client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
        .and_then(|row| row.try_get(0))
        .map_err(|error| failed(&error))?;
    if !free {
        return Err(Failure::usage("--database: another aegisctl is loading it; try again when it is done"));
    }
    prepare(&mut client)?;
    let partitions = Partitions::of(&mut client).map_err(|error| failed(&error))?;
    let mut loader = Loader {
        client,
        partitions,
        months: BTreeSet::new(),
        day: 0..0,
        rows: Rows::default(),
        staged: Lines::default(),
        boot: None,
        pending: Totals::default(),
        totals: Totals::default(),
    };
    // A transaction that is open when this fails is rolled back with the connection.
    evidence.read("loading", &mut loader)?;
    Ok(loader.totals)
}

/// What the server says, in one line.
fn failed(error: &Error) -> Failure {
    let why = match error.as_db_error() {
        Some(said) => match said.detail() {
            Some(detail) => format!("{} ({detail})", said.message()),
            None => said.message().to_owned(),
        },
        None => error.to_string(),
    };
    Failure::usage(format!("--database: {why}"))
}

/// Makes the schema if there is none; refuses one that is somebody else's.
fn prepare(client: &mut Client) -> Result<(), Failure> {
    let fail = |error: Error| failed(&error);
    let one =
        |client: &mut Client, sql: &str| -> Result<bool, Error> { client.query_one(sql, &[])?.try_get(0) };
    let encoding: String =
        client.query_one("SHOW server_encoding", &[]).and_then(|row| row.try_get(0)).map_err(fail)?;
    if encoding != "UTF8" {
        let why = format!("--database: its encoding is {encoding}; make one with ENCODING 'UTF8'");
        return Err(Failure::usage(why));
    }
    if one(client, "SELECT to_regnamespace('aegis') IS NOT NULL").map_err(fail)? {
        if !one(client, "SELECT to_regclass('aegis.format') IS NOT NULL").map_err(fail)? {
            let why = "--database: it has a schema `aegis` that is not ours; use another database";
            return Err(Failure::usage(why));
        }
        let version: i32 = client
            .query_one("SELECT version FROM aegis.format", &[])
            .and_then(|row| row.try_get(0))
            .map_err(fail)?;
        if u32::try_from(version) != Ok(FORMAT) {
            let why =
                format!("its tables have format {version}, this version's {FORMAT}; use a new database");
            return Err(Failure::usage(format!("--database: {why}")));
        }
        return Ok(());
    }
    let timescale: Option<String> = client
        .query_opt(
            "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
             WHERE e.extname = 'timescaledb'",
            &[],
        )
        .and_then(|row| row.map(|row| row.try_get(0)).transpose())
        .map_err(fail)?;
    let mut sql = format!(
        "BEGIN;
CREATE SCHEMA aegis;
COMMENT ON SCHEMA aegis IS 'Evidence of Aegis devices, loaded by aegisctl export convert';
CREATE TABLE aegis.format (version integer NOT NULL);
INSERT INTO aegis.format VALUES ({FORMAT});
"
    );
    for table in [&EXPORTS, &BOOTS, &LOSSES, &GAPS] {
        sql += &DIALECT.create(table, table.key, "");
    }
    if let Some(schema) = timescale {
        sql += &DIALECT.create(&EVENTS, EVENTS_KEY, "");
        sql += "SELECT ";
        sql += &schema;
        sql += ".create_hypertable('aegis.events', 'time', chunk_time_interval => INTERVAL '7 days');\n";
    } else {
        sql += &DIALECT.create(&EVENTS, EVENTS_KEY, " PARTITION BY RANGE (\"time\")");
        sql += "CREATE TABLE aegis.events_other PARTITION OF aegis.events DEFAULT;\n";
    }
    sql += "CREATE INDEX events_denied ON aegis.events (\"time\") WHERE verdict = 'denied';\n";
    sql += &DIALECT.missing();
    sql += "COMMIT;";
    client.batch_execute(&sql).map_err(fail)
}

struct Loader {
    client: Client,
    partitions: Partitions,
    /// Months that the events staged so far need, and the day of the last of them.
    months: BTreeSet<i64>,
    day: Range<i64>,
    rows: Rows,
    /// Events on their way into the staging table.
    staged: Lines,
    /// The boot at hand, and when it began according to the database.
    boot: Option<(BootKey, Began)>,
    /// What is staged of the export at hand.
    pending: Totals,
    totals: Totals,
}

impl Sink for Loader {
    fn begin(&mut self, file: &Checked) -> Result<bool, Failure> {
        let fail = |error: Error| failed(&error);
        let query = "SELECT EXISTS (SELECT 1 FROM aegis.exports WHERE sha256 = $1)";
        let known = self.client.query_one(query, &[&hex::encode(&file.sha256)]);
        if known.and_then(|row| row.try_get(0)).map_err(fail)? {
            self.totals.known_files += 1;
            return Ok(false);
        }
        (self.months, self.day) = (BTreeSet::new(), 0..0);
        self.boot = None;
        self.pending = Totals::default();
        self.client
            .batch_execute(
                "BEGIN;
                 CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT * FROM aegis.events WITH NO DATA",
            )
            .map_err(fail)?;
        Ok(true)
    }

    fn take(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        let record = Record { began: self.began(record)?, ..*record };
        self.pending.count(&record);
        let at = record.at();
        if !self.day.contains(&at) {
            let begin = at - at % DAY;
            self.day = begin..begin + DAY;
            self.months.insert(month(at));
        }
        let row = self.rows.row(&record);
        self.staged.add(COLUMNS, &row.cells)?;
        if self.staged.len() >= limits::COPY_BYTES {
            self.flush().map_err(|error| failed(&error))?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn commit(&mut self, file: &Checked) -> Result<(), Failure> {
        let fail = |error: Error| failed(&error);
        self.flush().map_err(fail)?;
        if let Some(sequence) = self.differing(file).map_err(fail)? {
            return Err(differs(&file.name, sequence));
        }
        self.partitions.make(&mut self.client, &self.months).map_err(fail)?;
        let new = self.insert(file).map_err(fail)?;
        self.put(&GAPS, &gap_rows(file)?)?;
        self.put(&EXPORTS, &[export_row(file)?])?;
        self.client.batch_execute("COMMIT").map_err(fail)?;
        let known = self.pending.events.saturating_sub(new);
        self.totals.known_events += known;
        self.totals.events += new;
        self.totals.records += new;
        self.totals.undecoded += self.pending.undecoded;
        Ok(())
    }
}

/// The place of an event, in whichever partition.
const SAME_PLACE: &str = "e.device = s.device AND e.ring = s.ring AND e.sequence = s.sequence";

impl Loader {
    /// Sends what is waiting to the staging table.
    fn flush(&mut self) -> Result<(), Error> {
        self.staged.copy(&mut self.client, "staged", &names(&EVENTS))
    }

    /// An event of this export that the database has otherwise, if there is one.
    fn differing(&mut self, file: &Checked) -> Result<Option<String>, Error> {
        if !self.overlaps(file)? {
            return Ok(None);
        }
        let query = format!(
            "SELECT min(s.sequence)::text FROM staged s JOIN aegis.events e ON {SAME_PLACE}
             WHERE e.event <> s.event"
        );
        self.client.query_one(&query, &[])?.try_get(0)
    }

    /// Some export that was loaded has sequences that this one has, too.
    fn overlaps(&mut self, file: &Checked) -> Result<bool, Error> {
        // All four are text so that no number is too long to ask for.
        let query = "SELECT EXISTS (SELECT 1 FROM aegis.exports WHERE device = $1 AND ring = $2
            AND begins <= $3::text::numeric AND resumes > $4::text::numeric)";
        let place = (hex::encode(&file.device), hex::encode(&file.ring));
        let range = (file.last.to_string(), file.first.to_string());
        self.client.query_one(query, &[&place.0, &place.1, &range.0, &range.1])?.try_get(0)
    }

    /// Moves what is staged to where it belongs; how many events were new.
    fn insert(&mut self, file: &Checked) -> Result<u64, Error> {
        let names = names(&EVENTS);
        let fresh = if self.overlaps(file)? {
            format!("WHERE NOT EXISTS (SELECT 1 FROM aegis.events e WHERE {SAME_PLACE})")
        } else {
            String::new()
        };
        let new = self.client.execute(
            &format!(
                "INSERT INTO aegis.events ({names}) SELECT {names} FROM staged s {fresh} ON CONFLICT DO NOTHING"
            ),
            &[],
        )?;
        let losses = self::names(&LOSSES);
        self.client.execute(
            &format!(
                "INSERT INTO aegis.losses ({losses}) SELECT device, ring, sequence, boot_id, \"time\", workload,
                   more->>'cause', (more->>'count')::numeric FROM staged WHERE kind = 'loss' ON CONFLICT DO NOTHING"
            ),
            &[],
        )?;
        Ok(new)
    }

    /// When the record's boot began: what the database has, if its word is as good as ours.
    fn began(&mut self, record: &Record<'_>) -> Result<Began, Failure> {
        if let Some((key, began)) = &self.boot
            && key == record.key
        {
            return Ok(*began);
        }
        let fail = |error: Error| failed(&error);
        let place = [record.key.device, record.key.ring, record.key.boot].map(|id| hex::encode(&id));
        let [device, ring, boot] = &place;
        let stored = self
            .client
            .query_opt(
                "SELECT began_us, time_basis, clock_trusted FROM aegis.boots
                 WHERE device = $1 AND ring = $2 AND boot_id = $3",
                &[device, ring, boot],
            )
            .and_then(|row| {
                row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).transpose()
            })
            .map_err(fail)?;
        let settled = Settled::of(stored, record.began);
        let began = settled.began();
        if let Settled::Better(_) = settled {
            self.move_boot(&place, began).map_err(fail)?;
        }
        if !matches!(settled, Settled::Known(_)) {
            self.put(&BOOTS, &[boot_row(record.key, began)])?;
        }
        self.boot = Some((*record.key, began));
        Ok(began)
    }

    /// Gives the events of a boot the times that a better clock tells, and forgets when it began.
    fn move_boot(&mut self, [device, ring, boot]: &[String; 3], began: Began) -> Result<(), Error> {
        let of_boot = "device = $1 AND ring = $2 AND boot_id = $3";
        // Deleted and inserted: a hypertable's rows can't be moved to another chunk by an update.
        self.client.execute(
            &format!(
                "CREATE TEMPORARY TABLE moved ON COMMIT DROP AS SELECT * FROM aegis.events WHERE
                 device = '{device}' AND ring = '{ring}' AND boot_id = '{boot}'"
            ),
            &[],
        )?;
        self.client.execute(&format!("DELETE FROM aegis.events WHERE {of_boot}"), &[device, ring, boot])?;
        self.client.execute(
            "UPDATE moved SET time_basis = $1, clock_trusted = $2, \"time\" =
               TIMESTAMPTZ 'epoch' + least($3 + coalesce(time_ns, 0) / 1000, $4) * INTERVAL '1 microsecond'",
            &[&began.basis.name(), &began.trusted, &began.at, &LAST],
        )?;
        let months = self.client.query(
            "SELECT DISTINCT (extract(epoch FROM date_trunc('month', \"time\", 'UTC')) * 1000000)::bigint FROM moved",
            &[],
        )?;
        let months = months.iter().map(|row| Ok(month(row.try_get(0)?))).collect::<Result<_, Error>>()?;
        self.partitions.make(&mut self.client, &months)?;
        let names = names(&EVENTS);
        self.client.execute(&format!("INSERT INTO aegis.events ({names}) SELECT {names} FROM moved"), &[])?;
        self.client.execute(
            "UPDATE aegis.losses l SET \"time\" = m.\"time\" FROM moved m
             WHERE m.device = l.device AND m.ring = l.ring AND m.sequence = l.sequence",
            &[],
        )?;
        self.client.batch_execute("DROP TABLE moved")?;
        self.client.execute(&format!("DELETE FROM aegis.boots WHERE {of_boot}"), &[device, ring, boot])?;
        Ok(())
    }

    /// Puts rows into one of the small tables; those that are there stay.
    fn put(&mut self, table: &Table, rows: &[Vec<super::table::Cell<'_>>]) -> Result<(), Failure> {
        let fail = |error: Error| failed(&error);
        if rows.is_empty() {
            return Ok(());
        }
        let (name, names) = (table.name, names(table));
        let mut lines = Lines::default();
        for row in rows {
            lines.add(table.columns, row)?;
        }
        let staging =
            format!("CREATE TEMPORARY TABLE few ON COMMIT DROP AS SELECT * FROM aegis.{name} WITH NO DATA");
        self.client.batch_execute(&staging).map_err(fail)?;
        lines.copy(&mut self.client, "few", &names).map_err(fail)?;
        let insert = format!(
            "INSERT INTO aegis.{name} ({names}) SELECT {names} FROM few ON CONFLICT DO NOTHING; DROP TABLE few"
        );
        self.client.batch_execute(&insert).map_err(fail)
    }
}
