//! `aegis console`, `aegis top`: a program of its own, beside this one. What a person looks at needs not be in the agent.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::outcome::{Failure, Outcome};

const PROGRAM: &str = "aegis-console";

/// Becomes it. The words were read by the table; it reads them again.
pub(crate) fn run(top: bool) -> Outcome {
    let own = std::env::current_exe().map_err(|error| Failure::error(format!("{PROGRAM}: {error}")))?;
    let program = own.with_file_name(PROGRAM);
    let words = std::env::args_os().skip(if top { 1 } else { 2 });
    let error = Command::new(&program).args(words).exec();
    Err(Failure::error(format!(
        "{}: {error} (put {PROGRAM} beside aegis: the image has both; `aegis status`, `aegis health` and `aegis doctor` say the same)",
        program.display()
    )))
}
