//! The kill loop, short: five power cuts of one device under load. `make kills` is the long run.

use aegis_tests::Bench;
use aegis_tests::kills::{self, Settings};

/// The longest loss window that passes, ms: 100 ms, a flush, and what emulation on a busy host makes of them.
const WINDOW_MS: u64 = 3_000;

#[test]
fn what_was_acknowledged_survives_five_kills() {
    let bench = Bench::new();
    let seed = std::env::var("AEGIS_KILLS_SEED").ok().map_or_else(
        || std::time::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_secs()),
        |seed| seed.parse().expect("AEGIS_KILLS_SEED is a number"),
    );
    let settings = Settings { folder: bench.at("kills"), kills: 5, seed, lying: false };
    println!("AEGIS_KILLS_SEED={seed}");
    let oracle = kills::run(&settings).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(oracle.kills.len(), 5);
    assert!(oracle.kills.iter().any(|kill| kill.acked > 0 && kill.recovered > 0), "{:?}", oracle.kills);
    let lost = oracle.kills.iter().map(|kill| kill.unflushed.iter().flatten().sum::<u64>()).sum::<u64>();
    assert!(lost > 0, "no cut found anything unflushed: {:?}", oracle.kills);
    assert!(oracle.longest_window_ms() <= WINDOW_MS, "{:?}", oracle.kills);
}
