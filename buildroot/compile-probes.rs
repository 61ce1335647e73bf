//! The probes' object for one architecture, for `vendor`: compile-probes ARCHITECTURE OBJECT, in the folder of `bpf/`.

use std::process::ExitCode;

#[path = "../probes/compile.rs"]
mod compile;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [architecture, object] = arguments.as_slice() else {
        eprintln!("compile-probes: an architecture and where the object goes");
        return ExitCode::from(2);
    };
    match compile::compile(architecture, false, object.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("compile-probes: {why}");
            ExitCode::from(2)
        }
    }
}
