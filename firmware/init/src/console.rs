//! The console: what is said there, and what others get of it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::OnceLock;

use rustix::fs::OFlags;
use rustix::termios::{
    Action, InputModes, LocalModes, OptionalActions, OutputModes, tcflow, tcgetattr, tcsetattr,
};

use crate::{devices, limits};

const DEVICE: &str = if cfg!(test) { "/dev/null" } else { "/dev/console" };

/// Init's own. Whoever stops the terminal does not stop init: what can't be said in time is not said.
static OWN: OnceLock<File> = OnceLock::new();

/// An open of its own, so that nobody changes what another has; nobody's controlling terminal.
pub(crate) fn open() -> io::Result<File> {
    with(OFlags::NOCTTY)
}

fn with(flags: OFlags) -> io::Result<File> {
    File::options().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(DEVICE)
}

/// `aegis: …`
pub(crate) fn say(text: &str) {
    tell(&format!("aegis: {text}"));
}

/// A line, for whoever watches the console: `AEGIS-READY`, `AEGIS-DONE`.
pub(crate) fn tell(line: &str) {
    let line = format!("{line}\n");
    let own = OWN.get().or_else(|| {
        let opened = with(OFlags::NOCTTY | OFlags::NONBLOCK).ok()?;
        Some(OWN.get_or_init(|| opened))
    });
    match own {
        Some(own) => drop(devices::write_soon(own, line.as_bytes(), limits::SAY)),
        // No console: what the kernel gave.
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// A terminal as whoever types at it expects it, whatever the last one left. Nobody at the serial line may stop what is said there
/// (XOFF): whoever speaks would stand still with it.
pub(crate) fn make_sane() {
    // Not every console is a terminal.
    let Ok((line, mut modes)) = open().and_then(|line| {
        let modes = tcgetattr(&line)?;
        Ok((line, modes))
    }) else {
        return;
    };
    modes.input_modes.remove(InputModes::IXON | InputModes::IXOFF);
    modes.input_modes.insert(InputModes::ICRNL);
    modes.output_modes.insert(OutputModes::OPOST | OutputModes::ONLCR);
    modes.local_modes.insert(LocalModes::ISIG | LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHOE);
    let made = tcsetattr(&line, OptionalActions::Now, &modes).and_then(|()| tcflow(&line, Action::OOn));
    if let Err(error) = made {
        say(&format!("console: its terminal stays as it is: {error}"));
    }
}
