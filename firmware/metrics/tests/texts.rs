//! The kernel's texts: as three kernels wrote them (5.10 and 6.12 in a guest of ours, 6.18 on a host), and hostile ones.
#![allow(clippy::unwrap_used)]

use aegis_metrics::texts::{
    CPU_MODES, Io, Limit, MEMORY_KINDS, Pressure, disks, interfaces, io, keyed, memory, millidegrees, number,
    pressure, single, stat, wear,
};
use proptest::prelude::*;

macro_rules! samples {
    ($name:literal) => {
        [
            &include_bytes!(concat!("samples/", $name, "-5.10"))[..],
            include_bytes!(concat!("samples/", $name, "-6.12")),
            include_bytes!(concat!("samples/", $name, "-6.18")),
        ]
    };
}

/// A word of a line, as a reader with other means finds it.
fn word(text: &[u8], begins: &str, index: usize) -> u64 {
    let text = std::str::from_utf8(text).unwrap();
    let line = text.lines().find(|line| line.trim_start().starts_with(begins)).unwrap();
    line.trim_start().strip_prefix(begins).unwrap().split_whitespace().nth(index).unwrap().parse().unwrap()
}

#[test]
fn stat_of_three_kernels() {
    for text in samples!("stat") {
        let found = stat(text);
        for index in 0..CPU_MODES.len() {
            assert_eq!(found.cpu[index], Some(word(text, "cpu ", index)));
        }
        assert_eq!(found.cpus, 2);
        assert_eq!(found.switches, Some(word(text, "ctxt", 0)));
        assert_eq!(found.forks, Some(word(text, "processes", 0)));
        assert_eq!(found.running, Some(word(text, "procs_running", 0)));
        assert_eq!(found.blocked, Some(word(text, "procs_blocked", 0)));
    }
}

#[test]
fn meminfo_of_three_kernels() {
    for text in samples!("meminfo") {
        let found = memory(text);
        for ((_, name), bytes) in MEMORY_KINDS.into_iter().zip(found) {
            assert_eq!(bytes, Some(1024 * word(text, name, 0)), "{name}");
        }
    }
}

#[test]
fn diskstats_of_three_kernels() {
    for text in samples!("diskstats") {
        let found: Vec<_> = disks(text).collect();
        assert_eq!(found.len(), text.split(|byte| *byte == b'\n').count() - 1);
        let busiest = found.iter().max_by_key(|disk| disk.bytes[0]).unwrap();
        let name = std::str::from_utf8(busiest.name).unwrap();
        let line = std::str::from_utf8(text)
            .unwrap()
            .lines()
            .find(|line| line.contains(&format!(" {name} ")))
            .unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let of = |index: usize| words[index].parse::<u64>().ok();
        assert_eq!(busiest.ios, [of(3), of(7)]);
        assert_eq!(busiest.bytes, [of(5).map(|n| 512 * n), of(9).map(|n| 512 * n)]);
        assert_eq!(busiest.millis, [of(6), of(10)]);
        assert_eq!(busiest.busy_millis, of(12));
        assert!(busiest.bytes[0] > Some(0));
    }
}

#[test]
fn interfaces_of_three_kernels() {
    for text in samples!("netdev") {
        let found: Vec<_> = interfaces(text).collect();
        assert_eq!(found.len(), text.split(|byte| *byte == b'\n').count() - 3, "two heads");
        let lo = found.iter().find(|one| one.name == b"lo").unwrap();
        assert_eq!(lo.bytes, [Some(word(text, "lo:", 0)), Some(word(text, "lo:", 8))]);
        assert_eq!(lo.packets, [Some(word(text, "lo:", 1)), Some(word(text, "lo:", 9))]);
        assert_eq!((lo.errors, lo.drops), ([Some(0); 2], [Some(0); 2]));
    }
    // An alias; numbers that stick to the colon, as kernels before 2.6 and long ones have them.
    let text = b"eth0:1:7 1 2 3 0 0 0 0 8 4 5 6 0 0 0 0\n";
    let one = interfaces(text).next().unwrap();
    assert_eq!((one.name, one.bytes), (&b"eth0:1"[..], [Some(7), Some(8)]));
    assert_eq!(
        (one.packets, one.errors, one.drops),
        ([Some(1), Some(4)], [Some(2), Some(5)], [Some(3), Some(6)])
    );
}

#[test]
fn pressure_of_three_kernels() {
    let total = |line: &str| line.rsplit_once("total=").unwrap().1.parse().ok();
    for text in samples!("pressure-cpu").into_iter().chain(samples!("pressure-memory")) {
        let lines: Vec<&str> = std::str::from_utf8(text).unwrap().lines().collect();
        let full = lines.iter().find(|line| line.starts_with("full"));
        let expected = Pressure { some: total(lines[0]), full: full.and_then(|line| total(line)) };
        assert_eq!(pressure(text), expected);
        assert!(expected.some.is_some());
    }
    // Of the processor, 5.10 says nothing in full.
    assert_eq!(pressure(samples!("pressure-cpu")[0]).full, None);
    assert_eq!(pressure(samples!("pressure-cpu")[2]).full, Some(0));
}

#[test]
fn cgroups_of_two_kernels() {
    for text in [&include_bytes!("samples/cpu.stat-5.10")[..], include_bytes!("samples/cpu.stat-6.12")] {
        let [user, system] = [&b"user_usec"[..], b"system_usec"].map(|key| keyed(text, key).unwrap());
        let usage = keyed(text, b"usage_usec").unwrap();
        assert!(usage > 0 && usage.abs_diff(user + system) <= 1, "{usage} {user} {system}");
        assert_eq!((keyed(text, b"throttled_usec"), keyed(text, b"usec")), (Some(0), None));
    }
    for text in
        [&include_bytes!("samples/memory.events-5.10")[..], include_bytes!("samples/memory.events-6.12")]
    {
        assert_eq!(keyed(text, b"oom_kill"), Some(0));
    }
    for text in [&include_bytes!("samples/pids.events-5.10")[..], include_bytes!("samples/pids.events-6.12")]
    {
        assert_eq!(keyed(text, b"max"), Some(0));
    }
    let text = include_bytes!("samples/io.stat-6.12");
    // Read by way of dm-0 (253:0), which lies on vda (254:0).
    let all = io(text, &mut |_| true).unwrap();
    let disks = io(text, &mut |device| !device.starts_with(b"253:")).unwrap();
    assert_eq!(all.bytes[0] - disks.bytes[0], 2_617_344);
    assert_eq!(disks, Io { bytes: [2_617_344 + 1024, 262_144], ios: [22, 1] });
    assert!(io(include_bytes!("samples/io.stat-5.10"), &mut |_| true).unwrap().bytes[0] > 0);
    for (text, expected) in
        [("max\n", Some(Limit::None)), ("4096\n", Some(Limit::Of(4096))), ("maxi", None), ("", None)]
    {
        assert_eq!(Limit::read(text.as_bytes()), expected);
    }
}

#[test]
fn what_is_no_number_is_not_known_and_never_0() {
    for bad in ["", "-1", "+1", "1.5", "0x10", "1e3", " 1", "18446744073709551616", "٣", "1\0"] {
        assert_eq!(number(bad.as_bytes()), None, "{bad:?}");
    }
    assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
    assert_eq!(single(b" 7\n"), Some(7));
    assert_eq!(keyed(b"oom_kill x\noom_kill 3\n", b"oom_kill"), Some(3));
    assert_eq!(stat(b"cpu x 1\nctxt\nprocs_running -1\n").cpu[..3], [None, Some(1), None]);
    assert_eq!(io(b"8:0 rbytes=x\n", &mut |_| true), None);
    assert_eq!(
        io(b"8:0\n8:16 rbytes=18446744073709551615\n8:32 rbytes=9\n", &mut |_| true).unwrap().bytes[0],
        u64::MAX
    );
    // Not in kB; sectors that are too many to be bytes.
    assert_eq!(memory(b"MemTotal: 7\nMemFree: 7 kB\n")[..2], [None, Some(7 * 1024)]);
    let disk = disks(b"8 0 sda 1 2 18446744073709551615 4 5 6 7 8 9 10 11\n").next().unwrap();
    assert_eq!((disk.bytes, disk.ios), ([None, Some(7 * 512)], [Some(1), Some(5)]));
}

#[test]
fn a_line_that_was_cut_is_not_believed() {
    assert_eq!(keyed(b"oom_kill 1234", b"oom_kill"), None, "it may go on");
    let text = samples!("diskstats")[1];
    let whole = disks(text).count();
    assert_eq!(disks(&text[..text.len() - 1]).count(), whole - 1);
    assert_eq!(stat(b"cpu 1 2 3").cpu, [None; CPU_MODES.len()]);
}

#[test]
fn sensors_say_what_they_can() {
    for (text, degrees) in [
        ("45000\n", Some(45_000)),
        ("-5500\n", Some(-5_500)),
        ("0\n", Some(0)),
        ("-274000", None),
        ("1000001", None),
        ("--1", None),
        ("N/A\n", None),
        ("9223372036854775808", None),
    ] {
        assert_eq!(millidegrees(text.as_bytes()), degrees, "{text:?}");
    }
    for (text, life) in [
        ("0x01 0x02\n", [Some(1), Some(2)]),
        ("0x0b 0x00\n", [Some(11), None]),
        ("0x0c 0xff\n", [None, None]),
        ("1 2\n", [None, None]),
        ("0x+1 0x\n", [None, None]),
        ("", [None, None]),
    ] {
        assert_eq!(wear(text.as_bytes()), life, "{text:?}");
    }
}

/// Everything that reads; what is known of a text is bounded by its length.
fn read_all(text: &[u8]) {
    let found = stat(text);
    assert!(found.cpus as usize <= text.len());
    let _ = memory(text);
    assert!(disks(text).count() <= text.len());
    for disk in disks(text) {
        assert!(!disk.name.is_empty() && !disk.name.contains(&b'\n'));
    }
    for one in interfaces(text) {
        assert!(!one.name.is_empty() && one.bytes[0].is_some());
    }
    let _ = (pressure(text), millidegrees(text), wear(text), single(text), Limit::read(text));
    let _ = keyed(text, b"oom_kill");
    let mut asked = 0;
    let _ = io(text, &mut |_| {
        asked += 1;
        true
    });
    assert!(asked <= text.len());
}

proptest! {
    #[test]
    fn hostile_texts_are_read(text in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&text);
    }

    /// Real ones with bytes changed, cut out and put in.
    #[test]
    fn damaged_texts_are_read(
        which in 0usize..6,
        version in 0usize..3,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let all = [
            samples!("stat"), samples!("meminfo"), samples!("diskstats"),
            samples!("netdev"), samples!("pressure-cpu"), samples!("pressure-memory"),
        ];
        let mut text = all[which][version].to_vec();
        for (at, byte, how) in edits {
            let at = at.index(text.len().max(1));
            match how {
                0 if at < text.len() => text[at] = byte,
                1 => text.insert(at.min(text.len()), byte),
                _ if at < text.len() => drop(text.remove(at)),
                _ => {}
            }
        }
        text.truncate(cut.index(text.len() + 1));
        read_all(&text);
    }

    #[test]
    fn numbers_are_read_as_they_are_written(n: u64) {
        prop_assert_eq!(number(n.to_string().as_bytes()), Some(n));
        prop_assert_eq!(keyed(format!("a 1\nkey {n}\n").as_bytes(), b"key"), Some(n));
    }
}
