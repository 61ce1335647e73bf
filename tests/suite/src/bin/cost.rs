//! `aegis-cost`: in the guest, what enforcement costs (`tests/suite/src/cost/`). By its name it prepares, runs, or ends at once;
//! `operate`: the operator, whom `prepare` leaves running.

use std::path::Path;
use std::process::ExitCode;

use aegis_suite::{cost, ended};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let called = arguments.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    let done = match (called, &arguments[1..]) {
        (Some(name), []) if cost::ends_at_once(name) => return ExitCode::SUCCESS,
        (Some("prepare"), []) => cost::prepare(),
        (Some("run"), []) => cost::run(),
        (_, [word]) if word == "operate" => cost::operate(),
        _ => {
            eprintln!("aegis-cost: called as prepare, run or noop, or with `operate`");
            return ExitCode::FAILURE;
        }
    };
    ended("aegis-cost", &done)
}
