//! `aegis-storm`: in the guest, a storm of events (`tests/suite/src/storm.rs`). By its name it prepares or runs; `operate`: the operator,
//! whom `prepare` leaves running; `blow RATE SECONDS`: one of the processes that make events.

use std::path::Path;
use std::process::ExitCode;

use aegis_suite::{ended, storm};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let called = arguments.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    let words: Vec<&str> = arguments[1..].iter().map(String::as_str).collect();
    let done = match (called, &words[..]) {
        (Some("prepare"), []) => storm::prepare(),
        (Some("run"), []) => storm::run(),
        (_, ["operate"]) => storm::operate(),
        (_, ["blow", rate, seconds]) => storm::blow(rate, seconds),
        _ => {
            eprintln!("aegis-storm: called as prepare or run, or with `operate`, or `blow RATE SECONDS`");
            return ExitCode::FAILURE;
        }
    };
    ended("aegis-storm", &done)
}
