//! PostgreSQL: a real server of Debian's package, on a socket in a temporary directory.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aegis_export::Request;
use postgres::{Client, Config, NoTls};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::desk::{Desk, said};
use crate::sample::{Device, Ring, every_kind};

/// A server that ends with this value, or with the test's thread.
struct Server {
    process: Child,
    directory: TempDir,
}

/// Where Debian has the server's programs: of the newest version that is installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map(|list| list.flatten().collect::<Vec<_>>());
    let newest = versions.unwrap_or_default().into_iter().map(|entry| entry.path().join("bin"));
    newest.filter(|path| path.join("initdb").exists()).max().unwrap_or_else(|| {
        panic!("PostgreSQL's server is missing: `make deps` installs it (Debian package postgresql)")
    })
}

/// A command as the user that PostgreSQL runs as: it refuses root.
fn as_postgres(program: &Path) -> Command {
    let root = said(Command::new("id").arg("-u")).out.trim() == "0";
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"]).arg(program);
    command
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("aegis-pg").tempdir_in("/tmp").expect("a directory");
        let path = directory.path();
        // The server's own user must get in, and no one else's secrets are in there.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("permissions");
        let (programs, data) = (programs(), path.join("data"));
        let made = said(
            as_postgres(&programs.join("initdb"))
                .args([
                    "--auth=trust",
                    "--username=postgres",
                    "--no-sync",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                ])
                .arg("-D")
                .arg(&data)
                .current_dir(path),
        );
        assert_eq!(made.exit, 0, "initdb: {}", made.err);
        let process = as_postgres(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(path)
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .current_dir(path)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(path.join("log")).expect("a log"))
            .spawn()
            .expect("postgres starts");
        let server = Self { process, directory };
        let began = Instant::now();
        while server.try_client("postgres").is_err() {
            let log = || std::fs::read_to_string(server.directory.path().join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_mins(1), "the server does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    fn try_client(&self, database: &str) -> Result<Client, postgres::Error> {
        Config::new().host_path(self.directory.path()).user("postgres").dbname(database).connect(NoTls)
    }

    fn client(&self, database: &str) -> Client {
        self.try_client(database).unwrap_or_else(|error| panic!("{error}"))
    }

    /// An empty database, and its URL.
    fn database(&self, name: &str) -> String {
        self.client("postgres").batch_execute(&format!("CREATE DATABASE {name}")).expect("a database");
        format!("postgresql:///{name}?host={}&user=postgres", self.directory.path().display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn load(desk: &Desk, url: &str, files: &[&str]) -> Value {
    desk.json(&[&["convert", "--to", "postgres", "--database", url, "--json"], files].concat())
}

/// New events, events already there, files already there.
fn counts(said: &Value) -> [u64; 3] {
    ["events", "known_events", "known_files"].map(|name| said[name].as_u64().expect("a count"))
}

/// Rows of a query, each one JSON object.
fn read(client: &mut Client, sql: &str) -> Vec<Value> {
    let rows = client.query(&format!("SELECT to_jsonb(found)::text FROM ({sql}) found"), &[]);
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}: {:?}", error.as_db_error()));
    rows.iter().map(|row| serde_json::from_str(row.get(0)).expect("JSON")).collect()
}

fn one(client: &mut Client, sql: &str) -> Value {
    read(client, sql).remove(0)["a"].take()
}

#[test]
fn every_event_is_a_row_and_the_same_export_twice_loads_once() {
    let server = Server::start();
    let url = server.database("evidence");
    let desk = Desk::with_every_kind();
    assert_eq!(counts(&load(&desk, &url, &["all.cbor"])), [73, 0, 0]);
    let mut client = server.client("evidence");
    let rows = read(&mut client, "SELECT * FROM aegis.events ORDER BY sequence");
    let lines = desk.lines(&["convert", "--to", "jsonl", "all.cbor"]);
    assert_eq!(rows.len(), lines.len());
    for (row, line) in rows.iter().zip(&lines) {
        for (name, value) in row.as_object().expect("a row") {
            let told = &line[name.as_str()];
            match name.as_str() {
                "event" => assert!(value.as_str().is_some_and(|text| text.starts_with("\\x"))),
                "more" | "glass_broken" => {}
                // jsonb has it as `…+00:00`, without zeros behind the point.
                "time" => {
                    let (value, told) = (value.as_str().expect("a time"), told.as_str().expect("a time"));
                    assert_eq!(value[..19], told[..19], "{name}");
                }
                _ => assert_eq!(told, value, "{name} of {line}"),
            }
        }
    }
    let hostile = "SELECT path AS a FROM aegis.events WHERE sequence = 10";
    assert!(one(&mut client, hostile).as_str().is_some_and(|path| path.contains("DROP TABLE events;--")));
    assert_eq!(
        one(&mut client, "SELECT more->>'detail' AS a FROM aegis.events WHERE kind = 'stick'"),
        "vfat <AEGIS>"
    );
    assert_eq!(one(&mut client, "SELECT sum(count)::bigint AS a FROM aegis.losses"), 18);
    assert_eq!(one(&mut client, "SELECT count(*) AS a FROM aegis.missing"), 0);

    let everything = "SELECT * FROM aegis.events ORDER BY device, sequence";
    let before = read(&mut client, everything);
    assert_eq!(counts(&load(&desk, &url, &["all.cbor"])), [0, 0, 1]);
    assert_eq!(read(&mut client, everything), before);

    // The same events in other exports: parts, overlapping, made at another time by another clock.
    let range = |first, last| Request { first, last, bytes: u64::MAX };
    let ring = every_kind(Device(1));
    let later =
        aegis_export::Created { clock: 1_900_000_000, clock_trusted: true, ..crate::sample::created(3) };
    Device(1).export_to(&desk.path("part"), &ring, range(20, 30), later);
    desk.export("again", Device(1), &ring, range(2, 0), 2);
    assert_eq!(counts(&load(&desk, &url, &["part", "again"])), [0, 72, 0]);
    assert_eq!(read(&mut client, everything), before);
    assert_eq!(one(&mut client, "SELECT count(*) AS a FROM aegis.exports"), 3);
}

#[test]
fn events_are_in_the_partition_of_their_month() {
    let server = Server::start();
    let url = server.database("evidence");
    let desk = Desk::new();
    let mut ring = Ring::new(Device(1));
    ring.boot(1, 4);
    // 2027-01-31 23:59:57 when the boot began: its seconds go over midnight.
    let at =
        |clock, boot: u8| aegis_export::Created { boot: [boot; 16], boottime: 0, clock, clock_trusted: true };
    Device(1).export_to(&desk.path("a"), &ring, Request::from(1), at(1_801_439_997, 1));
    // A clock that was never set, and one that is far off.
    for (device, clock) in [(2, 0), (3, 200_000_000_000)] {
        let mut ring = Ring::new(Device(device));
        ring.boot(1, 4);
        Device(device).export_to(&desk.path(&device.to_string()), &ring, Request::from(1), at(clock, 1));
    }
    assert_eq!(counts(&load(&desk, &url, &["a", "2", "3"])), [21, 0, 0]);
    let mut client = server.client("evidence");
    let partitions =
        "SELECT tableoid::regclass::text AS name, count(*) AS n FROM aegis.events GROUP BY 1 ORDER BY 1";
    assert_eq!(
        read(&mut client, partitions),
        [
            json!({ "name": "aegis.events_1970_01", "n": 7 }),
            json!({ "name": "aegis.events_2027_01", "n": 3 }),
            json!({ "name": "aegis.events_2027_02", "n": 4 }),
            json!({ "name": "aegis.events_other", "n": 7 }),
        ]
    );
    // A question about a time looks at that month only.
    let plan = client
        .query("EXPLAIN SELECT * FROM aegis.events WHERE time >= '2027-02-01' AND time < '2027-03-01'", &[])
        .expect("a plan");
    let plan = plan.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n");
    assert!(plan.contains("events_2027_02") && !plan.contains("events_2027_01"), "{plan}");
    // More events of the same months, in partitions that are there.
    ring.boot(2, 4);
    Device(1).export_to(&desk.path("b"), &ring, Request::from(8), at(1_801_440_100, 2));
    assert_eq!(counts(&load(&desk, &url, &["b"])), [7, 0, 0]);
}

#[test]
fn a_better_clock_moves_the_times_of_a_boot() {
    let server = Server::start();
    let desk = Desk::new();
    let mut ring = Ring::new(Device(1));
    ring.boot(1, 3);
    let first_boot = ring.clone();
    ring.boot(2, 3);
    // The second boot began on the first of March; that the first one was in January only its own export tells.
    let made = |boot: u8, clock| aegis_export::Created { clock, ..crate::sample::created(boot) };
    Device(1).export_to(&desk.path("first"), &first_boot, Request::from(1), made(1, 1_800_000_000));
    Device(1).export_to(&desk.path("both"), &ring, Request::from(1), made(2, 1_804_500_000));
    let urls = ["a", "b"].map(|name| server.database(name));
    load(&desk, &urls[0], &["both"]);
    let mut client = server.client("a");
    let boot = "SELECT tableoid::regclass::text AS t, time_basis AS b FROM aegis.events WHERE sequence = 2";
    assert_eq!(read(&mut client, boot), [json!({ "t": "aegis.events_2027_03", "b": "bound" })]);
    assert_eq!(counts(&load(&desk, &urls[0], &["first"])), [0, 6, 0]);
    assert_eq!(read(&mut client, boot), [json!({ "t": "aegis.events_2027_01", "b": "clock" })]);
    load(&desk, &urls[1], &["first"]);
    load(&desk, &urls[1], &["both"]);
    let all = "SELECT * FROM aegis.events ORDER BY sequence";
    assert_eq!(read(&mut client, all), read(&mut server.client("b"), all));
}

#[test]
fn what_can_not_be_loaded_leaves_nothing() {
    let server = Server::start();
    let desk = Desk::with_every_kind();
    let refused = |url: &str, file: &str, exit: i32, why: &str| {
        let said = desk.run(&["convert", "--to", "postgres", "--database", url, file]);
        assert_eq!((said.exit, said.out.as_str()), (exit, ""), "{}", said.err);
        assert!(said.err.contains(why) && said.err.lines().count() == 1, "{}", said.err);
    };
    // A flipped bit: refused before the database is touched.
    let url = server.database("evidence");
    let mut bytes = std::fs::read(desk.path("all.cbor")).expect("the export");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(desk.path("bad.cbor"), &bytes).expect("written");
    refused(&url, "bad.cbor", 1, "bad-signature");
    let mut client = server.client("evidence");
    assert_eq!(one(&mut client, "SELECT to_regnamespace('aegis')::text AS a"), Value::Null);

    // Another history of a ring that was loaded: nothing of the whole export.
    let mut ring = Ring::new(Device(2));
    ring.boot(1, 10);
    desk.export("one", Device(2), &ring, Request::from(1), 1);
    ring.truncate(6);
    ring.boot(2, 10);
    desk.export("fork", Device(2), &ring, Request::from(1), 2);
    load(&desk, &url, &["one"]);
    refused(&url, "fork", 1, "sequence 7");
    assert_eq!(one(&mut client, "SELECT count(*) AS a FROM aegis.events"), 13);
    assert_eq!(one(&mut client, "SELECT count(*) AS a FROM aegis.boots"), 1);

    // Another loader at work.
    client.execute("SELECT pg_advisory_lock(7018129296931910764)", &[]).expect("the loaders' lock");
    refused(&url, "all.cbor", 2, "another aegisctl");
    client.execute("SELECT pg_advisory_unlock_all()", &[]).expect("unlocked");

    // What is somebody else's, or of another version.
    client.batch_execute("UPDATE aegis.format SET version = 99").expect("a later version");
    refused(&url, "all.cbor", 2, "format 99");
    client.batch_execute("DROP SCHEMA aegis CASCADE; CREATE SCHEMA aegis").expect("a schema");
    refused(&url, "all.cbor", 2, "not ours");
    server
        .client("postgres")
        .batch_execute("CREATE DATABASE old TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
        .expect("made");
    refused(&url.replace("/evidence", "/old"), "all.cbor", 2, "ENCODING 'UTF8'");
    refused(&url.replace("/evidence", "/nowhere"), "all.cbor", 2, "does not exist");
}

/// The extension is not in Debian. What is called of it stands in here as a function that writes down how it is called; that
/// the real one takes it was tried by hand (docs/formats/tables.md).
#[test]
fn a_hypertable_is_asked_for_where_timescale_is() {
    let server = Server::start();
    let url = server.database("evidence");
    let desk = Desk::with_every_kind();
    let mut client = server.client("evidence");
    client
        .batch_execute(
            "CREATE SCHEMA \"time scale\";
             CREATE TABLE asked (relation text, by text, every interval);
             CREATE FUNCTION \"time scale\".create_hypertable(relation regclass, by name, chunk_time_interval interval)
               RETURNS void LANGUAGE sql AS 'INSERT INTO public.asked VALUES (relation::text, by, chunk_time_interval)';
             INSERT INTO pg_extension SELECT 999999, 'timescaledb', 10, oid, false, '2.17' FROM pg_namespace
               WHERE nspname = 'time scale'",
        )
        .expect("a stand-in for the extension");
    assert_eq!(counts(&load(&desk, &url, &["all.cbor"])), [73, 0, 0]);
    assert_eq!(
        read(&mut client, "SELECT * FROM asked"),
        [json!({ "relation": "aegis.events", "by": "time", "every": "7 days" })]
    );
    assert_eq!(
        one(&mut client, "SELECT relkind AS a FROM pg_class WHERE oid = 'aegis.events'::regclass"),
        "r"
    );
    assert_eq!(counts(&load(&desk, &url, &["all.cbor"])), [0, 0, 1]);
}
