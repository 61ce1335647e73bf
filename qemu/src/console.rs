//! Reads the guest's console: lines, and the two marks that the guest makes on it.

use std::fs::File;
use std::io::{Read, Write as _};

use crate::limits;

/// What one line of the console says to the harness.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    /// `AEGIS-READY <uptime>`: the agent is ready, after so many seconds of guest time.
    Ready(f64),
    /// `AEGIS-DONE`: the guest is about to power off.
    Done,
}

/// The mark on `line`, if it is one. A kernel message may run into the beginning of the line, never into its end.
/// An event shown on the console can't be one: the agent ends no line with bytes of a workload's choice.
pub(crate) fn mark(line: &str) -> Option<Mark> {
    let line = line.trim_end();
    if line.ends_with("AEGIS-DONE") {
        return Some(Mark::Done);
    }
    let (before, uptime) = line.rsplit_once(' ')?;
    if !before.ends_with("AEGIS-READY") {
        return None;
    }
    uptime.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0).map(Mark::Ready)
}

/// The kernel's own last words.
pub(crate) fn is_panic(line: &str) -> bool {
    line.contains("Kernel panic - not syncing")
}

/// A line that never says why a guest failed: an orderly end's last words, an event, news of the agent's that is good.
pub(crate) fn is_idle(line: &str) -> bool {
    let line = line.trim();
    mark(line) == Some(Mark::Done)
        || line.ends_with("reboot: Power down")
        || line.starts_with("INFO ")
        || line.split_once(' ').and_then(|(time, _)| time.split_once('.')).is_some_and(|(seconds, micros)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits(seconds) && digits(micros) && micros.len() == 6
        })
}

/// Copies the console to `log` (up to [`limits::CONSOLE_LOG_BYTES`]) and hands each line, without its end and
/// cut at [`limits::CONSOLE_LINE_BYTES`], to `each`, until the console ends.
pub(crate) fn copy(mut console: impl Read, mut log: File, mut each: impl FnMut(String)) {
    let mut chunk = [0; 8192];
    let mut line = Vec::new();
    let mut logged = 0u64;
    loop {
        let length = match console.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if logged < limits::CONSOLE_LOG_BYTES {
            // A full host disk must not stop the guest; the lines still arrive.
            let _ = log.write_all(&chunk[..length]);
            logged += length as u64;
            if logged >= limits::CONSOLE_LOG_BYTES {
                let _ = log.write_all(b"\n[aegis-qemu: the console log ends here, at its bound]\n");
            }
        }
        for byte in &chunk[..length] {
            match byte {
                b'\n' => each(text(&mut line)),
                _ if line.len() < limits::CONSOLE_LINE_BYTES => line.push(*byte),
                _ => {}
            }
        }
    }
    if !line.is_empty() {
        each(text(&mut line));
    }
}

fn text(line: &mut Vec<u8>) -> String {
    let text = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
    line.clear();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks() {
        for (line, expected) in [
            ("AEGIS-READY 8.41", Some(Mark::Ready(8.41))),
            ("[    3.1] printk: AEGIS-READY 3", Some(Mark::Ready(3.0))),
            ("AEGIS-DONE", Some(Mark::Done)),
            ("AEGIS-DONE ", Some(Mark::Done)),
            ("  1.0 demo echo[7] exec /bin/echo (echo AEGIS-READY 8.41)", None),
            ("  1.0 demo echo[7] exec /bin/echo (echo AEGIS-DONE)", None),
            ("AEGIS-READY", None),
            ("AEGIS-READY -1", None),
            ("AEGIS-READY inf", None),
            ("AEGIS-READY soon", None),
            ("", None),
        ] {
            assert_eq!(mark(line), expected, "{line}");
        }
    }

    #[test]
    fn idle_lines() {
        for (line, idle) in [
            ("    30.902585 aegis accounts seen 13 written 13 lost 0", true),
            ("INFO  [aegis::run::start] sealed after signal 15", true),
            ("AEGIS-DONE", true),
            ("[   32.322789] reboot: Power down", true),
            ("aegis: agent not ready", false),
            ("[   32.322789] VFS: Cannot open root device", false),
            ("2.6 kernels are too old", false),
            ("WARN  [aegis] x", false),
        ] {
            assert_eq!(is_idle(line), idle, "{line}");
        }
    }

    #[test]
    fn lines_are_cut_but_the_log_is_whole() {
        let mut log = tempfile::tempfile().expect("a temporary file");
        let input = format!("a\r\n{}\nlast", "x".repeat(limits::CONSOLE_LINE_BYTES + 5));
        let mut lines = Vec::new();
        copy(input.as_bytes(), log.try_clone().expect("cloned"), |line| lines.push(line));
        assert_eq!(lines.len(), 3);
        assert_eq!(
            (lines[0].as_str(), lines[1].len(), lines[2].as_str()),
            ("a", limits::CONSOLE_LINE_BYTES, "last")
        );
        let mut text = String::new();
        std::io::Seek::rewind(&mut log).expect("rewound");
        log.read_to_string(&mut text).expect("read");
        assert_eq!(text, input);
    }
}
