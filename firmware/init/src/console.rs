//! What is said on the console.

use std::io::{self, Write as _};

use rustix::termios::{InputModes, OptionalActions, tcgetattr, tcsetattr};

/// `aegis: …` on stderr. That the console can't take it stops nothing.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "aegis: {text}");
}

/// A line on stdout, for whoever watches the console: `AEGIS-READY`, `AEGIS-DONE`.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Nobody at the serial line may stop what is said there (XOFF): whoever speaks would stand still with it.
pub(crate) fn ignore_flow_control() {
    let line = io::stdin();
    // Not every console is a terminal.
    if let Ok(mut modes) = tcgetattr(&line) {
        modes.input_modes.remove(InputModes::IXON | InputModes::IXOFF);
        if let Err(error) = tcsetattr(&line, OptionalActions::Now, &modes) {
            say(&format!("console: flow control stays as it is: {error}"));
        }
    }
}
