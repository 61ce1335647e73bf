//! An SQLite database: one transaction for each export, every event once.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use aegis_event::{Body, Event};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Statement, ToSql, params_from_iter};

use super::Totals;
use super::table::{COLUMNS, Cell, Column, Rows, Spec, Type};
use super::tables::{
    BOOTS, Dialect, EVENTS, EXPORTS, FORMAT, GAPS, LOSSES, Settled, Table, boot_row, differs, export_row,
    gap_rows, long, names,
};
use crate::export::books::BootKey;
use crate::export::check::Checked;
use crate::export::clock::{Began, LAST, stamp};
use crate::export::evidence::{Evidence, Record, Sink};
use crate::hex;
use crate::outcome::Failure;

/// `application_id` of these databases: "Aegi".
const APPLICATION: i64 = 0x4165_6769;
/// Pages kept in memory, KiB.
const CACHE: i64 = 16 * 1024;
/// Most bytes of a page: several rows fit into one.
const PAGE: i64 = 8_192;

const DIALECT: Dialect = Dialect {
    schema: "",
    kind: |kind| match kind {
        Type::Name | Type::Text | Type::Time | Type::Json => "TEXT",
        Type::Long | Type::Int | Type::Flag => "INTEGER",
        // A number, or its digits as text when it has more than 63 bits.
        Type::Wide => "ANY",
        Type::Bytes => "BLOB",
    },
};

/// Loads into the database at `path`, which is made if there is none.
pub(super) fn load(evidence: &Evidence<'_>, path: &Path) -> Result<Totals, Failure> {
    let fail = |error| failed(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let database = Connection::open_with_flags(path, flags).map_err(fail)?;
    prepare(&database, path)?;
    let same = "SELECT event = ?4 FROM events WHERE device = ?1 AND ring = ?2 AND sequence = ?3";
    let mut loader = Loader {
        path,
        database: &database,
        event: insert(&database, &EVENTS).map_err(fail)?,
        same: database.prepare(same).map_err(fail)?,
        loss: insert(&database, &LOSSES).map_err(fail)?,
        rows: Rows::default(),
        file: String::new(),
        boot: None,
        totals: Totals::default(),
    };
    // A transaction that is open when this fails is rolled back with the connection.
    evidence.read("loading", &mut loader)?;
    Ok(loader.totals)
}

fn failed(path: &Path, error: &rusqlite::Error) -> Failure {
    use rusqlite::ErrorCode::{DatabaseBusy, NotADatabase};
    let why = match error.sqlite_error_code() {
        Some(NotADatabase) => "not an SQLite database; name another file".to_owned(),
        Some(DatabaseBusy) => "another program is writing to it; try again".to_owned(),
        _ => error.to_string(),
    };
    Failure::usage(format!("{}: {why}", path.display()))
}

/// Makes the tables in an empty database; refuses one that is somebody else's.
fn prepare(database: &Connection, path: &Path) -> Result<(), Failure> {
    let fail = |error| failed(path, &error);
    let refuse = |why: String| Err(Failure::usage(format!("{}: {why}", path.display())));
    database.busy_timeout(Duration::from_secs(10)).map_err(fail)?;
    database.pragma_update(None, "cache_size", -CACHE).map_err(fail)?;
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(fail);
    let empty = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    let empty: bool = database.query_row(empty, [], |row| row.get(0)).map_err(fail)?;
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION, version) if version == i64::from(FORMAT) => return Ok(()),
        (APPLICATION, version) => {
            return refuse(format!(
                "its tables have format {version}, this version's {FORMAT}; name a new file"
            ));
        }
        (0, _) if empty => {}
        _ => return refuse("a database of another program; name another file".to_owned()),
    }
    database.pragma_update(None, "page_size", PAGE).map_err(fail)?;
    let mut sql = "BEGIN EXCLUSIVE;\n".to_owned();
    for table in [&EVENTS, &EXPORTS, &BOOTS, &LOSSES, &GAPS] {
        sql += &DIALECT.create(table, table.key, " STRICT, WITHOUT ROWID");
    }
    sql += &DIALECT.missing();
    sql += "CREATE INDEX events_denied ON events (time) WHERE verdict = 'denied';\n";
    let end = format!("PRAGMA application_id = {APPLICATION};\nPRAGMA user_version = {FORMAT};\nCOMMIT;\n");
    database.execute_batch(&(sql + &end)).map_err(fail)
}

fn insert<'c>(database: &'c Connection, table: &Table) -> rusqlite::Result<Statement<'c>> {
    let places = vec!["?"; table.columns.len()].join(", ");
    let (name, names) = (table.name, names(table));
    database.prepare(&format!("INSERT INTO {name} ({names}) VALUES ({places}) ON CONFLICT DO NOTHING"))
}

/// A cell as SQLite has it.
struct Bound<'c, 'a>(&'c Cell<'a>);

impl ToSql for Bound<'_, '_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Cell::None => ToSqlOutput::Owned(Value::Null),
            Cell::Number(number) => ToSqlOutput::Owned(match i64::try_from(*number) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Text(number.to_string()),
            }),
            Cell::Time(at) => ToSqlOutput::Owned(Value::Text(stamp(*at))),
            Cell::Flag(flag) => ToSqlOutput::Owned(Value::Integer((*flag).into())),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Cell::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

struct Loader<'c> {
    path: &'c Path,
    database: &'c Connection,
    event: Statement<'c>,
    same: Statement<'c>,
    loss: Statement<'c>,
    rows: Rows,
    /// The export at hand.
    file: String,
    /// The boot at hand, and when it began according to the database.
    boot: Option<(BootKey, Began)>,
    totals: Totals,
}

impl Sink for Loader<'_> {
    fn begin(&mut self, file: &Checked) -> Result<bool, Failure> {
        let fail = |error| failed(self.path, &error);
        self.database.execute_batch("BEGIN IMMEDIATE").map_err(fail)?;
        let query = "SELECT EXISTS (SELECT 1 FROM exports WHERE sha256 = ?)";
        let known = self.database.query_row(query, [hex::encode(&file.sha256)], |row| row.get(0));
        let known: bool = known.map_err(fail)?;
        if known {
            self.totals.known_files += 1;
            self.database.execute_batch("ROLLBACK").map_err(fail)?;
        }
        self.file.clone_from(&file.name);
        self.boot = None;
        Ok(!known)
    }

    fn take(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        let record = Record { began: self.began(record)?, ..*record };
        let row = self.rows.row(&record);
        let cell = |column| row.cell(column).clone();
        if run(&mut self.event, COLUMNS, &row.cells, self.path)? == 0 {
            self.totals.known_events += 1;
            let place = [Column::Device, Column::Ring, Column::Sequence, Column::Event].map(cell);
            let same = self.same.query_row(params_from_iter(place.iter().map(Bound)), |row| row.get(0));
            let same: bool = same.map_err(|error| failed(self.path, &error))?;
            return if same {
                Ok(ControlFlow::Continue(()))
            } else {
                Err(differs(&self.file, record.sequence))
            };
        }
        self.totals.count(&record);
        self.totals.records += 1;
        if let Ok(Event { body: Body::Loss { cause, count, .. }, .. }) = record.event {
            let cells = [
                cell(Column::Device),
                cell(Column::Ring),
                cell(Column::Sequence),
                cell(Column::BootId),
                cell(Column::Time),
                cell(Column::Workload),
                Cell::Text(cause.name().into()),
                Cell::Number(count),
            ];
            run(&mut self.loss, LOSSES.columns, &cells, self.path)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn commit(&mut self, file: &Checked) -> Result<(), Failure> {
        for gap in gap_rows(file)? {
            self.put(&GAPS, &gap)?;
        }
        self.put(&EXPORTS, &export_row(file)?)?;
        self.database.execute_batch("COMMIT").map_err(|error| failed(self.path, &error))
    }
}

impl Loader<'_> {
    /// When the record's boot began: what the database has, if its word is as good as ours.
    fn began(&mut self, record: &Record<'_>) -> Result<Began, Failure> {
        if let Some((key, began)) = &self.boot
            && key == record.key
        {
            return Ok(*began);
        }
        let place = [record.key.device, record.key.ring, record.key.boot].map(|id| hex::encode(&id));
        let query = "SELECT began_us, time_basis, clock_trusted FROM boots
            WHERE device = ? AND ring = ? AND boot_id = ?";
        let stored = self
            .database
            .query_row(query, params_from_iter(&place), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()
            .map_err(|error| failed(self.path, &error))?;
        let settled = Settled::of(stored, record.began);
        let began = settled.began();
        if let Settled::Better(_) = settled {
            self.move_boot(&place, began).map_err(|error| failed(self.path, &error))?;
        }
        if !matches!(settled, Settled::Known(_)) {
            self.put(&BOOTS, &boot_row(record.key, began))?;
        }
        self.boot = Some((*record.key, began));
        Ok(began)
    }

    /// Gives the events of a boot the times that a better clock tells, and forgets when it began.
    fn move_boot(&self, place: &[String; 3], began: Began) -> rusqlite::Result<()> {
        let of_boot = "device = ?1 AND ring = ?2 AND boot_id = ?3";
        let [device, ring, boot] = place;
        let sql = format!(
            "UPDATE events SET time_basis = ?4, clock_trusted = ?5, time =
               strftime('%Y-%m-%dT%H:%M:%S', min(?6 + coalesce(time_ns, 0) / 1000, {LAST}) / 1000000, 'unixepoch')
               || printf('.%06dZ', min(?6 + coalesce(time_ns, 0) / 1000, {LAST}) % 1000000)
             WHERE {of_boot}"
        );
        let (basis, trusted, at) = (began.basis.name(), began.trusted, began.at);
        self.database.execute(&sql, (device, ring, boot, basis, trusted, at))?;
        let losses = format!(
            "UPDATE losses SET time = (SELECT e.time FROM events e WHERE e.device = losses.device
               AND e.ring = losses.ring AND e.sequence = losses.sequence) WHERE {of_boot}"
        );
        self.database.execute(&losses, (device, ring, boot))?;
        self.database.execute(&format!("DELETE FROM boots WHERE {of_boot}"), (device, ring, boot))?;
        Ok(())
    }

    fn put(&self, table: &Table, cells: &[Cell<'_>]) -> Result<(), Failure> {
        let mut insert = insert(self.database, table).map_err(|error| failed(self.path, &error))?;
        run(&mut insert, table.columns, cells, self.path).map(|_| ())
    }
}

/// Runs an insert with these cells; how many rows it made.
fn run(
    insert: &mut Statement<'_>,
    columns: &[Spec],
    cells: &[Cell<'_>],
    path: &Path,
) -> Result<usize, Failure> {
    for (column, cell) in columns.iter().zip(cells) {
        if let (Type::Long, Cell::Number(number)) = (column.kind, cell) {
            long(*number, column.name)?;
        }
    }
    insert.execute(params_from_iter(cells.iter().map(Bound))).map_err(|error| failed(path, &error))
}
