//! `texts`: the kernel's texts, and what becomes of the names in them: labels of an exposition.

use aegis_metrics::texts::{self, Limit};
use aegis_metrics::{Exposition, Id, Value, limits};

use crate::Seed;

/// Reads the bytes as each of the texts, and writes all that was found. True when something was.
pub fn run(bytes: &[u8]) -> bool {
    let stat = texts::stat(bytes);
    let memory = texts::memory(bytes);
    let pressure = texts::pressure(bytes);
    let wear = texts::wear(bytes);
    let io = texts::io(bytes, &mut |device| !device.starts_with(b"253:"));
    assert!(stat.cpus as usize <= bytes.len());
    assert!(wear.iter().flatten().all(|tenths| (1..=11).contains(tenths)));
    if let Some(degrees) = texts::millidegrees(bytes) {
        assert!((-273_150..=1_000_000).contains(&degrees));
    }

    let (mut text, mut names) = (String::new(), 0);
    let mut all = Exposition::new(&mut text);
    let mut series = all.family(Id::DiskBusy);
    for disk in texts::disks(bytes) {
        names += 1;
        series.put(&[disk.name], disk.busy_millis.map_or(Value::count(0), Value::millis));
    }
    let mut series = all.family(Id::NetBytes);
    for one in texts::interfaces(bytes) {
        assert!(!one.name.is_empty() && one.bytes[0].is_some());
        names += 1;
        series.put(&[one.name, b"receive"], Value::count(one.bytes[0].unwrap_or_default()));
    }
    // As it comes: the hardest name there can be.
    all.family(Id::WorkloadEvents).put(&[bytes], Value::ticks(bytes.len() as u64, 100));
    // And how many are left out.
    let most = names + 2;
    let written = all.finish().expect("a string takes all");
    assert_eq!(written.series + written.left_out, most);
    // What the format needs: a line a series, and nothing that ends one.
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(lines as u32, written.series);
    assert!(text.bytes().all(|byte| byte == b'\n' || byte >= b' '));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        assert!(series.starts_with("aegis_") && series.len() <= 64 + 10 * limits::LABEL_BYTES);
    }

    let known =
        [stat.switches, memory[0], pressure.some, texts::keyed(bytes, b"oom_kill"), texts::single(bytes)];
    names > 0
        || known.iter().any(Option::is_some)
        || Limit::read(bytes).is_some()
        || wear != [None; 2]
        || io.is_some_and(|io| io.ios != [0; 2])
}

/// One of each, as a kernel writes it.
pub fn seeds() -> Vec<Seed> {
    const SEEDS: [(&str, &[u8]); 10] = [
        ("stat", include_bytes!("../../../firmware/metrics/tests/samples/stat-6.12")),
        ("meminfo", include_bytes!("../../../firmware/metrics/tests/samples/meminfo-6.12")),
        ("diskstats", include_bytes!("../../../firmware/metrics/tests/samples/diskstats-6.12")),
        ("netdev", include_bytes!("../../../firmware/metrics/tests/samples/netdev-6.12")),
        ("pressure", include_bytes!("../../../firmware/metrics/tests/samples/pressure-memory-6.12")),
        ("io", include_bytes!("../../../firmware/metrics/tests/samples/io.stat-6.12")),
        ("events", include_bytes!("../../../firmware/metrics/tests/samples/memory.events-6.12")),
        ("single", b"45000\n"),
        ("max", b"max\n"),
        ("wear", b"0x01 0x0b\n"),
    ];
    SEEDS.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect()
}
