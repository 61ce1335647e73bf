//! The ring when there is no more room: what is configured happens, loudly, and the books balance.

use aegis_qemu::{Stick, StickFs};
use aegis_tests::{Bench, Evidence, count_in};

/// The least that a ring disk has: a ring of 2 MiB.
const SMALL: u64 = 4 << 20;

/// `opens N`: so many events. `finds CODE`: health says so.
pub(super) const TOOLS: &str = "
# Each way to wait has an end, long after what it waits for.
tries=0
again() { tries=$((tries + 1)); [ $tries -lt 400 ] || { echo \"waited in vain\"; exit 1; }; }
opens() { n=0; while [ $n -lt $1 ]; do : </etc/hosts; n=$((n + 1)); done; }
finds() { aegis health --json 2>/dev/null | grep -q \"\\\"code\\\":\\\"$1\\\"\"; }
";

fn levels(run: &Evidence) -> Vec<&str> {
    run.kind("ring-level").iter().map(|event| event["level"].as_str().expect("a level")).collect()
}

#[test]
fn a_full_ring_that_is_to_stop_alarms_and_goes_on_after_an_export() {
    let bench = Bench::new();
    let config = bench.config("config.toml", "[ring]\nfull = \"stop\"\n");
    let script = format!(
        "{TOOLS}
aegis health >/dev/null; echo \"begun $?\"
until finds ring-full; do opens 500; again; done
aegis health >/dev/null 2>health; echo \"full $? $(cat health)\"
# More than the kernel keeps meanwhile: lost, and counted.
opens 12000
echo stands
while finds ring-full; do sleep 0.3; again; done
aegis health >/dev/null; echo \"after $?\"
: </etc/passwd"
    );
    let (_slot, mut vm) = Bench::start(bench.demo(&script).config(&config).ring_bytes(SMALL).no_stick());
    assert!(vm.wait_stdout("stands").expect("watched"), "the console's end:\n{}", vm.console_end());
    vm.plug(&Stick::new(StickFs::Vfat)).expect("plugged");
    let run = Bench::evidence(vm.finish().expect("watched"));
    let out = run.out_text();
    assert!(out.starts_with("begun 0\nfull 1 ") && out.ends_with("stands\nafter 0\n"), "{out}");
    assert!(out.contains("ring-full"), "{out}");
    let levels = levels(&run);
    assert_eq!(levels[..4], ["high", "critical", "full", "normal"], "{levels:?}");
    // Nothing of it was overwritten, and what was not taken is counted as lost, exactly.
    assert_eq!(run.events[0]["sequence"], 1);
    let opens = run.with(&[("kind", "open".into()), ("path", "/etc/hosts".into())]).len() as u64;
    assert!(run.lost() > 0 && count_in(&run, "loss", "count") == run.lost(), "{}", run.status["accounts"]);
    assert!(opens > 5_000, "{opens}");
    assert_eq!(run.with(&[("kind", "open".into()), ("path", "/etc/passwd".into())]).len(), 1, "it goes on");
}

#[test]
fn what_is_overwritten_before_it_is_exported_is_told() {
    let bench = Bench::new();
    // Not all in one go: the kernel's buffer would overflow, and the ring never come round.
    let script = format!(
        "{TOOLS}
until finds overwritten; do opens 500; again; done
opens 500; aegis health --json; echo $?"
    );
    let (_slot, vm) = Bench::start(bench.demo(&script).ring_bytes(SMALL));
    let run = vm.finish().expect("watched");
    let export =
        run.export.clone().unwrap_or_else(|| panic!("an export: {:?} {:?}", run.unread, run.error()));
    let report = Evidence::report(std::slice::from_ref(&export));
    let codes: Vec<_> = report["problems"].as_array().expect("problems").iter().map(|p| &p["code"]).collect();
    assert!(report["whole"] == false && codes == ["overwritten"], "{report}");

    let events = Evidence::show(&export);
    let first = events[0]["sequence"].as_u64().expect("a number");
    assert!(first > 100, "the ring came round: {first}");
    // Once more in a checkpoint that is signed, and in an event that is in the chain.
    let sealing = &report["sealing"][0];
    assert_eq!(sealing["overwritten"], first - 1, "{sealing}");
    assert_eq!(sealing["overwritten_last_range"][1], first - 1, "{sealing}");
    let gaps: Vec<_> = events.iter().filter(|event| event["kind"] == "gap").collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["cause"] == "overwritten"), "{gaps:?}");
    let told = gaps.last().expect("one")["total"].as_u64().expect("a number");
    assert!((1..first).contains(&told), "{told} of {first}");
    let out = String::from_utf8(run.stdout().expect("there")).expect("text");
    // That it overwrites is no fault of its own; that nobody exports is.
    assert!(out.contains("{\"bad\":false,\"code\":\"overwritten\"") && out.ends_with("\n1\n"), "{out}");
    assert!(out.contains("{\"bad\":true,\"code\":\"ring-critical\""), "{out}");
}
