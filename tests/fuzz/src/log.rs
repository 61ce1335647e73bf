//! `log`: a file of the device's log, as it lies on its disk; and arguments of a program, as the kernel has them.

use aegis_log::argv::{self, Keep};
use aegis_log::limits::{ARGV_BYTES, LINE_BYTES};
use aegis_log::{Level, Said, part, read};

use crate::Seed;

/// A line that is taken is what is written of the same, to the byte; nothing in it moves a cursor. What is struck out of arguments is
/// struck out of what is left, too.
pub fn run(data: &[u8]) -> bool {
    let number = part::number(data);
    assert!(number == 0 || data.starts_with(&part::head(number)));
    let mut buffer = [0; ARGV_BYTES];
    for keep in Keep::ALL {
        let argv = &data[..data.len().min(ARGV_BYTES)];
        let (struck, _) = argv::redact(argv, keep, &mut buffer);
        let words = |argv: &[u8]| argv.split(|byte| *byte == 0).count();
        assert!(struck.len() <= ARGV_BYTES && words(struck) <= words(argv));
    }
    let mut any = number > 0;
    for line in data.split(|byte| *byte == b'\n') {
        let Some(found) = read(line) else { continue };
        any = true;
        let plain = found.plain().to_string();
        assert!(!plain.contains(char::is_control), "{plain:?}");
        // Numbers and names come back as they are; of the text, its escapes are what was said.
        let mut again = [0; LINE_BYTES];
        let said = Said {
            time: found.time,
            boot: found.boot,
            clock: found.clock,
            level: found.level,
            pid: found.pid,
            module: found.module,
            workload: found.workload,
            after: found.after,
            text: format_args!(""),
        };
        let front = said.json(&mut again);
        let front = &front[..front.len() - 3];
        // An empty name, or 0, is left out where it is written.
        if !line.windows(13).any(|window| window == b"\"workload\":\"\"")
            && !line.windows(9).any(|window| window == b"\"after\":0")
        {
            assert!(line.starts_with(front), "{}", String::from_utf8_lossy(front));
        }
    }
    any
}

/// A line of each level, and the head of a part.
pub fn seeds() -> Vec<Seed> {
    let line = |level, workload: &str, after, text: &str| {
        let said = Said {
            time: 12_345,
            boot: "1a2b3c4d",
            clock: 1_700_000_000,
            level,
            pid: 7,
            module: "aegis::run",
            workload,
            after,
            text: format_args!("{text}"),
        };
        said.json(&mut [0; LINE_BYTES]).to_vec()
    };
    vec![
        ("head", part::head(7).to_vec()),
        ("error", line(Level::Error, "", 0, "a \"b\" \\ \u{1b}[2J \u{1f600}")),
        ("warn", [&part::head(7)[..], &line(Level::Warn, "agent-7", 4711, "x"), b"{\"time\":1"].concat()),
        ("info", line(Level::Info, "agent-7", 0, "")),
    ]
}
