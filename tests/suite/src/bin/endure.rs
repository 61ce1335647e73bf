//! `aegis-endure`: in the guest, rounds of load and what a device may have to bear (`tests/suite/src/endure.rs`). By its name it prepares
//! or runs; `operate`: the operator, whom `prepare` leaves running; `blow RATE SECONDS`: one of the processes that make events;
//! `hog`: one that takes memory.

use std::path::Path;
use std::process::ExitCode;

use aegis_suite::{ended, endure, storm};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let called = arguments.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    let words: Vec<&str> = arguments[1..].iter().map(String::as_str).collect();
    let done = match (called, &words[..]) {
        (Some("prepare"), []) => endure::prepare(),
        (Some("run"), []) => endure::run(),
        (_, ["operate"]) => endure::operate(),
        (_, ["hog"]) => endure::hog(),
        (_, ["blow", rate, seconds]) => storm::blow(rate, seconds),
        _ => {
            eprintln!(
                "aegis-endure: called as prepare or run, or with `operate`, `hog` or `blow RATE SECONDS`"
            );
            return ExitCode::FAILURE;
        }
    };
    ended("aegis-endure", &done)
}
