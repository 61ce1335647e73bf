//! The harness's command line. Contract: `docs/harness.md`.

mod args;
mod show;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aegis_qemu::{Error, Run};
use args::Request;

fn main() -> ExitCode {
    let request = match args::parse(std::env::args_os().skip(1)) {
        Ok(request) => request,
        Err(error) => return refuse(&error, false),
    };
    let options = match request {
        Request::Help => {
            print!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Request::Version => {
            println!("aegis-qemu {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Request::Run(options) => options,
    };
    let json = options.json;
    match run(*options) {
        Ok(run) => {
            if json {
                println!("{}", run.to_json());
            } else {
                println!("{run}");
            }
            if let Some(error) = run.error() {
                eprintln!("aegis-qemu: {error}");
            }
            ExitCode::from(run.end.exit_code())
        }
        Err(error) => refuse(&error, json),
    }
}

fn run(options: args::Options) -> Result<Run, Error> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(|error| Error::Host(format!("signal {signal}: {error}")))?;
    }
    let mut show = show::Show::new(options.show, options.json);
    let machine = options.machine.interrupted(interrupted).watch(move |progress| show.take(progress));
    machine.run()
}

fn refuse(error: &Error, json: bool) -> ExitCode {
    if json {
        println!(
            "{}",
            serde_json::json!({ "result": error.code(), "code": error.exit_code(), "error": error.to_string() })
        );
    }
    match error {
        // Another tool's line, with its own name in front.
        Error::Refused(_) => eprintln!("{error}"),
        _ => eprintln!("aegis-qemu: {error}"),
    }
    ExitCode::from(error.exit_code())
}
