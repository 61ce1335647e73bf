//! The end of the system, in order: init is asked for it, as by a power supply or by three keys.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::app::End;

/// Asks the first process.
///
/// # Errors
/// It is not Aegis's, or can't be asked; in words.
pub(crate) fn ask(end: End) -> Result<(), String> {
    let first = std::fs::read_link("/proc/1/exe").map_err(|error| format!("the first process: {error}"))?;
    if !is_ours(&first) {
        return Err("the first process is not Aegis's init: this is not its image".to_owned());
    }
    // firmware/init: what asks for which end.
    let signal = match end {
        End::Reboot => Signal::TERM,
        End::PowerOff => Signal::USR1,
    };
    kill_process(Pid::INIT, signal).map_err(|error| format!("init is not asked: {error}"))
}

fn is_ours(program: &Path) -> bool {
    program == Path::new("/usr/bin/aegis")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_elses_first_process_is_told_to_end() {
        assert!(is_ours(Path::new("/usr/bin/aegis")));
        for other in
            ["/usr/lib/systemd/systemd", "/sbin/init", "/usr/bin/aegis (deleted)", "/tmp/usr/bin/aegis"]
        {
            assert!(!is_ours(Path::new(other)), "{other}");
        }
    }
}
