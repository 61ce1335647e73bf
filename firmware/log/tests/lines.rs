//! A line is what was said, bounded, and read to the letter; what is a secret is not in it.
#![allow(clippy::unwrap_used)]

use aegis_log::argv::{self, Keep};
use aegis_log::limits::{ARGV_BYTES, LINE_BYTES};
use aegis_log::part::{self, HEAD_BYTES, Next};
use aegis_log::{Level, Said, read};
use proptest::prelude::*;

fn said<T>(text: &str, then: impl FnOnce(&Said<'_>) -> T) -> T {
    then(&Said {
        time: 12_345_678_901,
        boot: "1a2b3c4d",
        clock: 1_700_000_000,
        level: Level::Warn,
        pid: 7,
        module: "aegis::run::reader",
        workload: "agent-7",
        after: 4711,
        text: format_args!("{text}"),
    })
}

fn json(text: &str) -> String {
    said(text, |said| String::from_utf8(said.json(&mut [0; LINE_BYTES]).to_vec()).unwrap())
}

fn plain(text: &str) -> String {
    said(text, |said| String::from_utf8(said.text(&mut [0; LINE_BYTES]).to_vec()).unwrap())
}

#[test]
fn a_line_as_it_stands_in_the_file_and_on_the_console() {
    let line = json("a \"b\"\\ \u{1b}[2J\n\u{e4}\u{1f600}");
    let wanted = r#"{"time":12345678901,"boot":"1a2b3c4d","clock":1700000000,"level":"warn","pid":7,"module":"aegis::run::reader","workload":"agent-7","after":4711,"text":"a \"b\"\\ \u001b[2J\u000a\u00e4\ud83d\ude00"}"#;
    assert_eq!(line, format!("{wanted}\n"));
    let found = read(line.trim_end().as_bytes()).unwrap();
    assert_eq!(
        (found.time, found.boot, found.level, found.pid),
        (12_345_678_901, "1a2b3c4d", Level::Warn, 7)
    );
    assert_eq!((found.workload, found.after, found.module), ("agent-7", 4711, "aegis::run::reader"));
    // What a terminal would take for more than text stays escaped.
    assert_eq!(found.plain().to_string(), "a \"b\"\\ \\u001b[2J\\u000a\u{e4}\\ud83d\\ude00");
    assert_eq!(plain("a \u{1b}[2J\n\u{e4} …"), "WARN  [aegis::run::reader] a \\x1b[2J\\x0a\u{e4} …\n");
    said("x", |said| {
        let said = Said { workload: "", after: 0, module: "a\"b\n", ..*said };
        let mut buffer = [0; LINE_BYTES];
        let line = said.json(&mut buffer);
        let found = read(&line[..line.len() - 1]).unwrap();
        assert_eq!((found.workload, found.after, found.module, found.text), ("", 0, "a?b?", "x"));
    });
}

#[test]
fn what_is_long_is_cut_and_is_a_line_still() {
    for text in ["x".repeat(5000), "\u{1b}".repeat(5000), "\u{1f600}".repeat(5000), "\"".repeat(5000)] {
        let line = json(&text);
        assert!(line.len() <= LINE_BYTES && line.ends_with(" [cut]\"}\n"), "{line}");
        assert!(read(line.trim_end().as_bytes()).is_some(), "{line}");
        let line = plain(&text);
        assert!(line.len() <= LINE_BYTES && line.ends_with(" [cut]\n"), "{line}");
    }
}

#[test]
fn a_key_of_age_is_in_no_line() {
    let text = "identity AGE-SECRET-KEY-1QQPQYZ9ACDEFG2345678 and age-secret-key-1abc, end";
    for line in [json(text), plain(text)] {
        assert!(!line.contains("QQPQ") && !line.contains("1abc") && line.contains("end"), "{line}");
        assert!(line.contains("AGE-SECRET-KEY-****"), "{line}");
    }
}

#[test]
fn what_is_not_ours_is_not_read() {
    let good = json("x");
    let good = good.trim_end();
    for (from, to) in [
        ("{\"time\"", "{ \"time\""),
        ("12345678901", "012345678901"),
        ("12345678901", "-1"),
        ("12345678901", "99999999999999999999"),
        ("warn", "fatal"),
        (":7,", ":4294967296,"),
        ("agent-7", "agent 7"),
        ("\"x\"", "\"\\x\""),
        ("\"x\"", "\"\\u00G0\""),
        ("\"x\"", "\"\u{e4}\""),
        ("\"x\"", "\"\u{1b}\""),
        ("\"x\"}", "\"x\",\"y\":1}"),
        ("\"x\"}", "\"x\""),
        ("{\"time\"", "{\"time\":1,\"time\""),
    ] {
        assert!(good.contains(from));
        assert_eq!(read(good.replacen(from, to, 1).as_bytes()), None, "{from} {to}");
    }
    for end in 0..good.len() {
        assert_eq!(read(&good.as_bytes()[..end]), None, "torn at {end}");
    }
}

#[test]
fn of_two_files_the_newer_one_is_written_until_it_is_full() {
    let full = 10_000;
    for (parts, wanted) in [
        ([(0, 0), (0, 0)], Next::Begin(0, 1)),
        // Somebody's, and no part of ours.
        ([(0, 5), (0, 7)], Next::Begin(0, 1)),
        ([(1, 50), (0, 0)], Next::Append(0)),
        ([(1, full), (0, 0)], Next::Begin(1, 2)),
        ([(1, full), (2, 50)], Next::Append(1)),
        ([(1, full), (2, full)], Next::Begin(0, 3)),
        ([(3, 50), (2, full)], Next::Append(0)),
        ([(3, full - LINE_BYTES as u64), (2, full)], Next::Append(0)),
        ([(3, full + 1 - LINE_BYTES as u64), (2, full)], Next::Begin(1, 4)),
        ([(9_999_999_997, full), (2, full)], Next::Begin(1, 9_999_999_998)),
        ([(9_999_999_998, full), (2, full)], Next::Begin(0, 3)),
        ([(9_999_999_998, full), (9_999_999_998, 50)], Next::Begin(0, 1)),
        ([(u64::MAX, u64::MAX), (2, full)], Next::Begin(0, 3)),
    ] {
        assert_eq!(part::next(parts, full), wanted, "{parts:?}");
    }
    for number in [1, 7, 9_999_999_998] {
        assert_eq!(part::number(&part::head(number)), number);
    }
    assert_eq!(&part::head(7)[..], b"# aegis log, part 0000000007\n");
    for bad in [
        &b""[..],
        b"# aegis log, part 9999999999\n",
        b"# aegis log, part 000000000x\n",
        &part::head(7)[..HEAD_BYTES - 1],
    ] {
        assert_eq!(part::number(bad), 0, "{bad:?}");
    }
}

#[test]
fn secrets_are_struck_out_of_arguments() {
    for (whole, secrets) in [
        ("sh\0-c\0true\0", "sh\0-c\0true\0"),
        ("mysql\0--password=hunter2\0-u\0me\0", "mysql\0--password=***\0-u\0me\0"),
        ("x\0--api-key\0abc\0--verbose\0", "x\0--api-key\0***\0--verbose\0"),
        ("x\0--token\0--verbose\0y\0", "x\0--token\0--verbose\0y\0"),
        ("env\0DB_PASSWORD=a=b\0PATH=/usr/bin\0", "env\0DB_PASSWORD=***\0PATH=/usr/bin\0"),
        ("curl\0-H\0Authorization: Bearer abc\0", "curl\0-H\0Authorization:***\0"),
        ("curl\0https://me:pw@host/a?b\0", "curl\0https://***@host/a?b\0"),
        ("curl\0https://host/a@b\0", "curl\0https://host/a@b\0"),
        ("x\0AGE-SECRET-KEY-1QQ\0", "x\0***\0"),
        ("x\0(0123456789abcdef0123456789abcdef)\0", "x\0(***)\0"),
        ("cat\0/etc/shadow\0", "cat\0/etc/shadow\0"),
        // Cut by the kernel: no NUL at its end.
        ("a\0--secret\0cut", "a\0--secret\0***"),
        ("", ""),
    ] {
        let mut buffer = [0; ARGV_BYTES];
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(shown(argv::redact(whole.as_bytes(), Keep::Secrets, &mut buffer).0), secrets);
        assert_eq!(shown(argv::redact(whole.as_bytes(), Keep::Whole, &mut buffer).0), whole);
    }
    let mut buffer = [0; ARGV_BYTES];
    assert_eq!(argv::redact(b"sh\0-c\0x\0", Keep::Program, &mut buffer), (&b"sh\0***\0***\0"[..], false));
    // More than there is room for.
    let many = "a\0".repeat(128);
    let (cut, is_cut) = argv::redact(many.as_bytes(), Keep::Program, &mut buffer);
    assert!(is_cut && cut.len() == ARGV_BYTES);
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_nothing_moves_a_cursor(text in any::<String>()) {
        let line = json(&text);
        prop_assert!(line.len() <= LINE_BYTES);
        prop_assert!(line.ends_with('\n') && line.trim_end().bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let found = read(line.trim_end().as_bytes());
        prop_assert!(found.is_some(), "{}", line);
        let shown = found.map(|found| found.plain().to_string()).unwrap_or_default();
        prop_assert!(!shown.contains(char::is_control), "{}", shown);
        prop_assert!(!plain(&text).trim_end_matches('\n').contains(char::is_control));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..1200), number in any::<u64>()) {
        let _ = read(&bytes);
        let _ = part::number(&bytes);
        let _ = part::next([(number, 7), (7, number)], number);
        let mut buffer = [0; ARGV_BYTES];
        for keep in Keep::ALL {
            let (out, _) = argv::redact(&bytes, keep, &mut buffer);
            prop_assert!(keep == Keep::Whole || out.len() <= ARGV_BYTES);
        }
    }

    /// Of a good line with one byte changed there is nothing in between: it is read, or not.
    #[test]
    fn a_changed_byte_is_no_other_form(text in "[ -~]{0,40}", at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut line = json(&text).into_bytes();
        line.pop();
        let at = at.index(line.len());
        line[at] = byte;
        if let Some(found) = read(&line) {
            prop_assert!(found.plain().to_string().chars().all(|c| !c.is_control()));
        }
    }
}
