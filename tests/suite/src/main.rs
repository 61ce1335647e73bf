//! `aegis-suite`: as `prepare` it makes what the scenarios need, as `run` it does them (docs/harness.md).

use std::path::Path;
use std::process::ExitCode;

use aegis_suite::{Boot, Stop, ended, fixture, groups, outside, runner};

/// A file beside `run`: which boot this is (`plain`, `absent`), then, if it says so, which scenarios only.
const BOOT: &str = "/workload/boot";

fn prepare() -> Result<(), Stop> {
    // Ours forbids it, because nothing on the appliance needs it; the suite asks what comes of it where it is there.
    let _ = std::fs::write("/proc/sys/kernel/io_uring_disabled", "0");
    for address in ["fd66::1/128", "fd67::1/128"] {
        // At the second boot of a device lo is new too.
        std::process::Command::new("ip").args(["-6", "addr", "add", address, "dev", "lo"]).status()?;
    }
    fixture::make_all()?;
    fixture::mount_all()?;
    outside::start()?;
    runner::controls(&groups::all())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let called = arguments.first().map(Path::new).and_then(Path::file_name);
    let called = called.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let scenarios = groups::all();
    match called.as_str() {
        "prepare" => ended("aegis-suite", &prepare()),
        "run" => {
            let text = std::fs::read_to_string(BOOT).unwrap_or_default();
            let mut words = text.split_whitespace().map(str::to_owned);
            let word = words.next().unwrap_or_default();
            let boot = if word == "plain" { Boot::Plain } else { Boot::Main };
            let names: Vec<String> = words.collect();
            runner::run(&scenarios, boot, word == "absent", &names);
            ExitCode::SUCCESS
        }
        _ => {
            for scenario in scenarios {
                println!(
                    "{}\t{}\t{}\t{}\t{}",
                    scenario.id, scenario.group, scenario.rule, scenario.kind, scenario.hook
                );
            }
            ExitCode::SUCCESS
        }
    }
}
