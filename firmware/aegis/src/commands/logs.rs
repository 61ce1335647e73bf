//! `aegis logs`: what the programs of Aegis said of their work, from the two files on own storage (`docs/logs.md`).
//!
//! The files are on a disk: a line that is not one of ours to the letter is counted, and not shown.

use core::fmt::Write as _;
use std::path::Path;

use aegis_log::part::{self, HEAD_BYTES};
use aegis_log::{Line, read};

use super::events::{Flow, Out, Sink};
use crate::limits;
use crate::logs::file;
use crate::outcome::{Failure, Outcome};
use crate::storage::DATA;

/// Exit 0: all that can be read was shown.
pub(crate) fn run(follow: bool, json: bool) -> Outcome {
    let out = Out::new().map_err(|error| Failure::error(format!("signals: {error}")))?;
    Shown { out, json, boot: String::new(), part: 0, offset: 0 }.all(Path::new(DATA), follow)
}

/// The end of what is kept, for a support bundle: whole lines, as they are.
pub(super) fn tail() -> std::io::Result<Vec<u8>> {
    tail_of(Path::new(DATA))
}

fn tail_of(data: &Path) -> std::io::Result<Vec<u8>> {
    let all = file::kept(data)?.concat();
    let from = all.len().saturating_sub(limits::SUPPORT_LOG_BYTES);
    let lines = all.split_inclusive(|byte| *byte == b'\n');
    let mut at = 0;
    let kept = lines.filter(|line| {
        let begins = at;
        at += line.len();
        begins >= from && read(line.strip_suffix(b"\n").unwrap_or(line)).is_some()
    });
    Ok(kept.collect::<Vec<_>>().concat())
}

/// What was shown so far.
struct Shown<S> {
    out: S,
    json: bool,
    /// The one that the last line was said in.
    boot: String,
    /// The part that is shown, and how far.
    part: u64,
    offset: usize,
}

impl<S: Sink> Shown<S> {
    fn all(&mut self, data: &Path, follow: bool) -> Outcome {
        let mut looked = [0; 2];
        loop {
            let lengths = file::NAMES.map(|name| data.join(name).metadata().map_or(0, |found| found.len()));
            // Nothing is appended, and nothing begun anew, that leaves both as they were.
            if lengths != looked {
                let parts = file::kept(data).map_err(|error| Failure::error(format!("log: {error}")))?;
                if self.parts(&parts)? == Flow::End {
                    return Ok(());
                }
                looked = lengths;
            }
            if !follow || self.out.wait()? == Flow::End {
                return Ok(());
            }
        }
    }

    /// What is new of these, the older one first.
    fn parts(&mut self, parts: &[Vec<u8>; 2]) -> Result<Flow, Failure> {
        let mut unreadable = 0;
        for bytes in parts {
            let number = part::number(bytes);
            let from = match number {
                // Somebody's, or torn at its beginning: its lines may be ours.
                0 if self.part == 0 => 0,
                _ if number < self.part || number == 0 => continue,
                _ if number == self.part => self.offset,
                _ => HEAD_BYTES,
            };
            let new = bytes.get(from..).unwrap_or_default();
            // What has no end yet may get one.
            let end = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for line in new[..end].split_inclusive(|byte| *byte == b'\n') {
                let line = &line[..line.len() - 1];
                match read(line) {
                    Some(found) => {
                        if self.line(&found, line)? == Flow::End {
                            return Ok(Flow::End);
                        }
                    }
                    None => unreadable += 1,
                }
            }
            if number > 0 {
                (self.part, self.offset) = (number, from + end);
            }
        }
        if unreadable == 0 {
            return Ok(Flow::GoOn);
        }
        self.out.line(&if self.json {
            format!("{{\"unreadable\":{unreadable}}}")
        } else {
            format!(
                "({unreadable} lines can't be read: a power cut tears the last one that was said before it)"
            )
        })
    }

    fn line(&mut self, line: &Line<'_>, bytes: &[u8]) -> Result<Flow, Failure> {
        if self.json {
            return self.out.line(str::from_utf8(bytes).unwrap_or_default());
        }
        if self.boot != line.boot {
            line.boot.clone_into(&mut self.boot);
            let head = format!("boot {}, the clock says {}", line.boot, date(line.clock));
            if self.out.line(&head)? == Flow::End {
                return Ok(Flow::End);
            }
        }
        self.out.line(&text(line))
    }
}

fn text(line: &Line<'_>) -> String {
    let millis = line.time / 1_000_000;
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write!(
        text,
        "{:>6}.{:03} {:<5} {}: {}",
        millis / 1000,
        millis % 1000,
        line.level.name(),
        line.module,
        line.plain()
    );
    if !line.workload.is_empty() {
        let _ = write!(text, " [workload {}]", line.workload);
    }
    if line.after > 0 {
        let _ = write!(text, " [after event {}]", line.after);
    }
    text
}

/// Seconds since 1970 as `2026-11-30T07:46:53Z` (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn date(seconds: u64) -> String {
    // A clock that is further off says nothing.
    let seconds = seconds.min(253_402_300_799);
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use aegis_log::limits::LINE_BYTES;
    use aegis_log::{Level, Said};

    use super::*;

    /// Stands for stdout; each wait does one more thing to the files.
    struct Lines<'a>(Vec<String>, Vec<Box<dyn FnOnce() + 'a>>);

    impl Sink for Lines<'_> {
        fn put(&mut self, line: &[u8]) -> Result<Flow, Failure> {
            let line = str::from_utf8(line).unwrap();
            self.0.push(line.strip_suffix('\n').unwrap().to_owned());
            Ok(Flow::GoOn)
        }

        fn wait(&mut self) -> Result<Flow, Failure> {
            if self.1.is_empty() {
                return Ok(Flow::End);
            }
            self.1.remove(0)();
            Ok(Flow::GoOn)
        }

        fn is_stopped(&self) -> bool {
            false
        }
    }

    fn line(boot: &str, number: u64, text: &str) -> Vec<u8> {
        let said = Said {
            time: number * 1_000_000,
            boot,
            clock: 951_782_400,
            level: Level::Warn,
            pid: 1,
            module: "aegis::x",
            workload: if number.is_multiple_of(2) { "agent-7" } else { "" },
            after: number,
            text: format_args!("{text}"),
        };
        said.json(&mut [0; LINE_BYTES]).to_vec()
    }

    fn shown(data: &Path, json: bool, follow: bool, meanwhile: Vec<Box<dyn FnOnce() + '_>>) -> Vec<String> {
        let out = Lines(Vec::new(), meanwhile);
        let mut shown = Shown { out, json, boot: String::new(), part: 0, offset: 0 };
        shown.all(data, follow).unwrap();
        shown.out.0
    }

    #[test]
    fn lines_are_shown_oldest_first_and_what_is_torn_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert!(shown(data, false, false, vec![]).is_empty(), "nothing is kept yet");
        let old = [&part::head(3)[..], &line("aaaaaaaa", 1500, "one \x1b[2J"), b"{\"time\":15\n"].concat();
        let new = [&part::head(4)[..], &line("bbbbbbbb", 2, "two"), b"{\"time\":7"].concat();
        fs::write(data.join("log.b"), &old).unwrap();
        fs::write(data.join("log.a"), &new).unwrap();
        assert_eq!(
            shown(data, false, false, vec![]),
            [
                "boot aaaaaaaa, the clock says 2000-02-29T00:00:00Z",
                "     1.500 warn  aegis::x: one \\u001b[2J [workload agent-7] [after event 1500]",
                "boot bbbbbbbb, the clock says 2000-02-29T00:00:00Z",
                "     0.002 warn  aegis::x: two [workload agent-7] [after event 2]",
                "(1 lines can't be read: a power cut tears the last one that was said before it)",
            ]
        );
        let json = shown(data, true, false, vec![]);
        assert_eq!(json.len(), 3);
        assert_eq!((json[1].clone() + "\n").as_bytes(), line("bbbbbbbb", 2, "two"));
        assert_eq!(json[2], "{\"unreadable\":1}");
        // For a support bundle only what is whole.
        let tail = tail_of(data).unwrap();
        assert_eq!(tail, [line("aaaaaaaa", 1500, "one \x1b[2J"), line("bbbbbbbb", 2, "two")].concat());
    }

    #[test]
    fn what_comes_is_shown_once_also_when_a_part_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let add = |name: &str, bytes: &[u8]| {
            let mut all = fs::read(data.join(name)).unwrap_or_default();
            all.extend(bytes);
            fs::write(data.join(name), all).unwrap();
        };
        add("log.a", &[&part::head(1)[..], &line("a", 1, "one")].concat());
        let half = line("a", 3, "three");
        let found = shown(
            data,
            true,
            true,
            vec![
                Box::new(|| add("log.a", &line("a", 2, "two"))),
                Box::new(|| add("log.a", &half[..20])),
                Box::new(|| add("log.a", &half[20..])),
                Box::new(|| add("log.b", &[&part::head(2)[..], &line("a", 4, "four")].concat())),
                Box::new(|| {
                    fs::write(data.join("log.a"), [&part::head(3)[..], &line("a", 5, "five")].concat())
                        .unwrap();
                }),
            ],
        );
        let texts: Vec<&str> =
            found.iter().filter_map(|line| line.split_once("\"text\":\"")?.1.strip_suffix("\"}")).collect();
        assert_eq!(texts, ["one", "two", "three", "four", "five"]);
    }

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
