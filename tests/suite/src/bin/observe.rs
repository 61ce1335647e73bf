//! `aegis-observe`: in the guest, one of each thing that must be recorded (`tests/suite/src/observe/`). As `prepare` it makes what
//! it needs, and opens a file more often than its rate lets be told; as `run` it does them.

use std::path::Path;
use std::process::ExitCode;

use aegis_suite::{ended, observe};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let called = arguments.first().map(Path::new).and_then(Path::file_name);
    let done = match (called.and_then(|name| name.to_str()), &arguments[1..]) {
        // What the part `exec` executes.
        (Some("observed"), [word, code]) if word == "exit" => {
            return ExitCode::from(code.parse::<u8>().unwrap_or(u8::MAX));
        }
        (Some("prepare"), []) => observe::prepare(),
        (Some("run"), []) => observe::run(),
        _ => {
            eprintln!("aegis-observe: called as prepare or run");
            return ExitCode::FAILURE;
        }
    };
    ended("aegis-observe", &done)
}
