//! `aegis-peers`: in the guest, the same work beside Aegis, beside each peer and beside nothing (`tests/suite/src/peers/`). By its name it
//! prepares, runs, or ends at once; `operate`: the operator, whom `prepare` leaves running; `work PART`: a process that does a part.

use std::path::Path;
use std::process::ExitCode;

use aegis_suite::peers;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let called = arguments.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    let words: Vec<&str> = arguments[1..].iter().map(String::as_str).collect();
    let done = match (called, &words[..]) {
        (Some(name), []) if peers::ends_at_once(name) => return ExitCode::SUCCESS,
        (Some("prepare"), []) => peers::prepare(),
        (Some("run"), []) => peers::run(),
        (_, ["operate"]) => peers::operate(),
        (_, ["work", part]) => peers::work(part),
        _ => {
            eprintln!("aegis-peers: called as prepare, run or noop, or with `operate`, or `work PART`");
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("aegis-peers: {stop:?}");
            ExitCode::FAILURE
        }
    }
}
