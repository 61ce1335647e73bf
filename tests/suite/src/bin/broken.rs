//! `aegis-broken`: in the agent's place in an image that is never healthy: it starts, and nothing of the agent does.

use std::process::ExitCode;

fn main() -> ExitCode {
    if aegis_init::is_named(std::env::args_os().next().as_deref()) {
        aegis_init::run()
    } else {
        ExitCode::FAILURE
    }
}
