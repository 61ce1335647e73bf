//! Exports to a collector: the real pusher, and a collector that has nothing of ours; one that is well, and those that are not.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::world::{RING, World};

/// A process of `collector.py`, until it is dropped.
struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Collector {
    /// With this certificate, for clients of this authority.
    fn start(world: &World, address: SocketAddr, certificate: &str, authority: &str) -> Self {
        let log = fs::File::options().create(true).append(true).open(world.at("collected")).expect("a log");
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/endpoint/collector.py"));
        command.arg(address.port().to_string());
        command.args([&format!("{certificate}.crt"), &format!("{certificate}.key"), authority, "mode"]);
        let child =
            command.current_dir(world.at("")).stdin(Stdio::null()).stdout(log).spawn().expect("python3");
        Self(child)
    }
}

/// What it took: sequences, each with how often.
fn taken(world: &World) -> (BTreeSet<u64>, usize) {
    let (mut sequences, mut lines) = (BTreeSet::new(), 0);
    for entry in fs::read_dir(world.at("taken")).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"export-") {
            let text = fs::read_to_string(entry.path()).expect("text");
            lines += text.lines().count();
            sequences.extend(text.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()));
        }
    }
    (sequences, lines)
}

fn wait(world: &World, what: &str, mut until: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(90);
    while !until() {
        assert!(Instant::now() < end, "not {what}: {}\n{}\n{}", world.told(), world.log(), collected(world));
        sleep(Duration::from_millis(50));
    }
}

fn collected(world: &World) -> String {
    fs::read_to_string(world.at("collected")).unwrap_or_default()
}

fn mode(world: &World, mode: &str) {
    fs::write(world.at("mode"), mode).expect("written");
}

/// Until the device remembers, for its next start, where it goes on.
fn remembered(world: &World, address: SocketAddr, next: u64) {
    let position = format!("{RING} {next} https://collector.plant@{address}/aegis/\n");
    wait(world, "remembered", || {
        fs::read_to_string(world.at("state/pushed")).is_ok_and(|found| found == position)
    });
}

/// What `/metrics` says now.
fn figures(world: &World) -> String {
    sleep(Duration::from_millis(5100));
    world.get("prometheus", "/metrics").1
}

/// The value of one series.
fn figure(figures: &str, series: &str) -> Option<u64> {
    figures.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn all_of_the_ring_goes_to_the_collector_once_and_goes_on_behind_a_restart() {
    let (mut world, address) = World::pushing(9_000);
    let collector = Collector::start(&world, address, "collector", "ca.crt");
    wait(&world, "all taken", || taken(&world).0.len() == 9_000);
    assert_eq!(taken(&world).1, 9_000, "each once");
    let said = collected(&world);
    assert!(said.contains("PUT /aegis/export-abababab-07070707-1-4096.cbor"), "{said}");
    assert!(said.contains(" application/cbor-seq aegis-abab"), "{said}");
    wait(&world, "told", || world.told().contains("exports go to collector.plant"));
    remembered(&world, address, 9001);
    let said = figures(&world);
    for (series, expected) in [
        ("aegis_push_up", 1),
        ("aegis_push_breaker_open", 0),
        ("aegis_push_sequence", 9_000),
        ("aegis_push_events_total", 9_000),
        ("aegis_push_exports_total", 3),
        ("aegis_push_missed_events_total", 0),
    ] {
        assert_eq!(figure(&said, series), Some(expected), "{series}");
    }
    // Nothing is left of what was sent, and nothing runs while there is nothing to send.
    assert!(fs::read_dir(world.at("run/push")).map_or(0, Iterator::count) == 0);
    // Another one comes; the next begins behind it, also after a restart.
    fs::write(world.at("last"), "9001").expect("written");
    wait(&world, "the next", || taken(&world).0.len() == 9_001);
    // Cut in between, it would push the same once more.
    remembered(&world, address, 9002);
    world.keep_anew();
    fs::write(world.at("last"), "9003").expect("written");
    wait(&world, "those after", || taken(&world).0.len() == 9_003);
    assert_eq!(taken(&world).1, 9_003, "each once");
    // The ring came round: what was gone is said, and the rest goes on.
    fs::write(world.at("first"), "9100").expect("written");
    fs::write(world.at("last"), "9200").expect("written");
    wait(&world, "those behind the gap", || taken(&world).0.contains(&9_200));
    assert_eq!(figure(&figures(&world), "aegis_push_missed_events_total"), Some(96));
    assert!(world.told().contains("; 96 events were gone from the ring before"), "{}", world.told());
    assert!(world.log().contains("96 of the events 9004 to 9200 were gone"), "{}", world.log());
    // Another ring: all of it, from its beginning.
    for (name, text) in [("ring", "08080808080808080808080808080808"), ("first", "1"), ("last", "9300")] {
        fs::write(world.at(name), text).expect("written");
    }
    wait(&world, "the other ring's", || taken(&world).0.len() == 9_300);
    // What was written and is not on the disk yet waits, and keeps nothing else from going out.
    fs::write(world.at("written"), "9320").expect("written");
    fs::write(world.at("last"), "9310").expect("written");
    wait(&world, "what is on the disk", || taken(&world).0.len() == 9_310);
    sleep(Duration::from_secs(4));
    assert_eq!(taken(&world).0.len(), 9_310);
    fs::write(world.at("last"), "9320").expect("written");
    wait(&world, "the rest", || taken(&world).0.len() == 9_320);
    assert_eq!(figure(&figures(&world), "aegis_push_failures_total{reason=\"export\"}"), Some(0));
    drop(collector);
}

#[test]
fn a_collector_that_fails_is_tried_later_and_then_seldom() {
    let (world, address) = World::pushing(10);
    // Nobody is there.
    wait(&world, "told", || {
        world.told().contains("exports do not go to collector.plant") && world.told().contains("connect: ")
    });
    let collector = Collector::start(&world, address, "collector", "ca.crt");
    wait(&world, "told", || {
        world.told().starts_with("up listening") && world.told().contains("exports go to")
    });
    // It fails, again and again: the breaker opens.
    mode(&world, "500");
    fs::write(world.at("last"), "6000").expect("written");
    wait(&world, "told", || world.told().contains("refused: it answers 500"));
    wait(&world, "given up", || world.told().starts_with("down not-pushed"));
    assert!(world.told().contains("it listens at"), "{}", world.told());
    let said = figures(&world);
    assert_eq!(figure(&said, "aegis_push_breaker_open"), Some(1));
    assert!(figure(&said, "aegis_push_failures_total{reason=\"refused\"}") >= Some(6));
    // Seldom: 15 minutes by 150, between the half and the whole of it; it would be every second.
    let before = collected(&world).lines().count();
    sleep(Duration::from_secs(6));
    assert!(collected(&world).lines().count() <= before + 2, "{}", collected(&world));
    // It asks to be left alone for a while; then the body ends in its middle.
    mode(&world, "503");
    wait(&world, "told", || world.told().contains("refused: it answers 503"));
    mode(&world, "vanish");
    wait(&world, "told", || world.told().contains("cut: "));
    assert_eq!(taken(&world).0.len(), 10);
    // It is well again: all is pushed, each once.
    mode(&world, "good");
    wait(&world, "all taken", || taken(&world).0.len() == 6_000);
    assert_eq!(taken(&world).1, 6_000);
    wait(&world, "told", || {
        world.told().starts_with("up listening") && world.told().contains("exports go to")
    });
    assert_eq!(world.get("analyst", "/health").0, 200);
    drop(collector);
}

/// As many servers do after some time, or some requests: that is no failure.
#[test]
fn a_collector_that_closes_the_connection_after_each_export_gets_them_all() {
    let (world, address) = World::pushing(0);
    mode(&world, "closes");
    let collector = Collector::start(&world, address, "collector", "ca.crt");
    fs::write(world.at("last"), "30000").expect("written");
    wait(&world, "all taken", || taken(&world).0.len() == 30_000);
    assert_eq!(taken(&world).1, 30_000, "each once");
    wait(&world, "told", || world.told().contains("exports go to"));
    let said = figures(&world);
    assert_eq!(figure(&said, "aegis_push_exports_total"), Some(8));
    for reason in ["cut", "late", "pusher"] {
        assert_eq!(
            figure(&said, &format!("aegis_push_failures_total{{reason=\"{reason}\"}}")),
            Some(0),
            "{reason}"
        );
    }
    drop(collector);
}

#[test]
fn a_collector_that_says_nothing_is_given_up() {
    let (world, address) = World::pushing(10);
    // It takes the connection, and no more.
    let silent = TcpListener::bind(address).expect("the port is free");
    wait(&world, "told", || world.told().contains("late: "));
    drop(silent);
    // It takes all of the body, and says nothing.
    mode(&world, "hang");
    let _collector = Collector::start(&world, address, "collector", "ca.crt");
    wait(&world, "told", || collected(&world).contains("hang PUT"));
    wait(&world, "told", || world.told().contains("late: it took and said nothing for 20 s"));
    mode(&world, "good");
    wait(&world, "all taken", || taken(&world).0.len() == 10);
    // Others were answered all the while.
    assert_eq!(world.get("analyst", "/health").0, 200);
}

#[test]
fn a_collector_that_is_not_vouched_for_gets_nothing_and_one_that_does_not_know_the_device_neither() {
    let (world, address) = World::pushing(10);
    world.shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=plant -keyout other.key -out other.crt\n\
         openssl req -new -key collector.key -subj /CN=collector -addext subjectAltName=DNS:collector.plant -out c.csr\n\
         openssl x509 -req -in c.csr -CA other.crt -CAkey other.key -CAcreateserial -copy_extensions copy -days 30 -out false.crt\n\
         openssl req -new -key collector.key -subj /CN=collector -addext subjectAltName=DNS:other.plant -out d.csr\n\
         openssl x509 -req -in d.csr -CA ca.crt -CAkey ca.key -CAcreateserial -copy_extensions copy -days 30 -out named.crt\n\
         cp collector.key false.key; cp collector.key named.key",
    );
    for (certificate, authority, expected) in [
        ("false", "ca.crt", "tls: invalid peer certificate"),
        ("named", "ca.crt", "tls: invalid peer certificate"),
        ("collector", "other.crt", "tls: received fatal alert"),
    ] {
        let collector = Collector::start(&world, address, certificate, authority);
        wait(&world, expected, || world.told().contains(expected));
        drop(collector);
        wait(&world, "told", || world.told().contains("connect: "));
    }
    assert!(taken(&world).0.is_empty() && !collected(&world).contains("PUT"), "{}", collected(&world));
    let _collector = Collector::start(&world, address, "collector", "ca.crt");
    wait(&world, "all taken", || taken(&world).0.len() == 10);
}

/// What has the connection may do nothing else: as the server.
#[test]
fn the_pusher_may_do_nothing() {
    let (world, address) = World::pushing(10);
    mode(&world, "hang");
    let _collector = Collector::start(&world, address, "collector", "ca.crt");
    wait(&world, "asked", || collected(&world).contains("hang PUT"));
    let pusher = world.process("push");
    let status = fs::read_to_string(pusher.join("status")).expect("its status");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (name, expected) in [
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(of(name), expected, "{name}");
    }
    let resident: u64 = of("VmHWM").trim_end_matches(" kB").parse().expect("a number");
    println!("the pusher: {resident} KiB resident at most");
    assert!(resident <= 12 * 1024, "{resident}");
}
