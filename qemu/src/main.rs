//! The harness's command line. Contract: `docs/harness.md`.

mod args;
mod show;

use std::io::{ErrorKind, Write as _};
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
            return print(args::HELP, 0);
        }
        Request::Version => {
            return print(concat!("aegis-qemu ", env!("CARGO_PKG_VERSION"), "\n"), 0);
        }
        Request::Run(options) => options,
    };
    let json = options.json;
    match run(*options) {
        Ok(run) => {
            let text = if json { format!("{}\n", run.to_json()) } else { format!("{run}\n") };
            let code = print(&text, run.end.exit_code());
            if let Some(error) = run.error() {
                say(&format!("aegis-qemu: {error}"));
            }
            code
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
    let mut code = ExitCode::from(error.exit_code());
    if json {
        let object = serde_json::json!({ "result": error.code(), "code": error.exit_code(), "error": error.to_string() });
        code = print(&format!("{object}\n"), error.exit_code());
    }
    match error {
        // Another tool's line, with its own name in front.
        Error::Refused(_) => say(&error.to_string()),
        _ => say(&format!("aegis-qemu: {error}")),
    }
    code
}

/// Prints on stdout and makes the exit code: 3 when an otherwise good answer could not be given. Never panics, as
/// `println!` does; a reader that went away (`| head`) is no error.
fn print(text: &str, code: u8) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            say(&format!("aegis-qemu: stdout: can't write to it: {error}"));
            ExitCode::from(if code == 0 { 3 } else { code })
        }
        _ => ExitCode::from(code),
    }
}

/// A line on stderr, if it can be.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
