//! What is read, and what is refused with which line and words.
#![allow(clippy::unwrap_used)]

use aegis_config::{Code, Config, Full, KEYS, Kind, SyncMode, is_set, limits, read, template, to_toml};
use proptest::prelude::*;

/// Valid ones: of age's own test vectors, and one of ours.
const ALICE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const BOB: &str = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";

fn good(text: &str) -> Config {
    read(text.as_bytes()).unwrap_or_else(|faults| panic!("{text:?}: {faults}"))
}

#[test]
fn good_files() {
    assert_eq!(good(""), Config::default());
    assert_eq!(good("[ring]\n[export]\n"), Config::default());
    assert_eq!(good("\u{feff}# a mark of byte order, as some editors write it\r\n"), Config::default());
    let all = good(&format!(
        "[export]\nrecipients = [\n  '{ALICE}', # Alice\n  \"{BOB}\",\n]\nevery_minutes = 0x3c\n\n\
         [ring]\nwindow_ms = 1_000\nfull = 'stop' # alarm\n\"checkpoint_seconds\" = +3600\nsync = \"\"\"window\"\"\""
    ));
    assert_eq!(all.ring.sync, SyncMode::Window { millis: 1000, bytes: 48 << 10 });
    assert_eq!((all.ring.full, all.ring.checkpoint_seconds), (Full::Stop, 3600));
    assert_eq!((all.export.every_minutes, all.export.recipients), (60, vec![ALICE.into(), BOB.into()]));
    // The order in the file says nothing.
    for text in ["[ring]\nsync = 'each'\nwindow_ms = 10", "[ring]\nwindow_ms = 10\nsync = 'each'"] {
        assert_eq!(good(text).ring.sync, SyncMode::Each, "{text}");
    }
}

#[test]
fn what_is_set_is_told_from_what_is_left_out() {
    for (text, set) in [
        ("", false),
        ("[export]\n", false),
        ("[export]\n# recipients = []\n", false),
        ("[export]\nrecipients = []\n", true),
        (&format!("[export]\nrecipients = ['{ALICE}']\n"), true),
        // Not good, so nothing of it counts.
        ("[export]\nrecipients = []\nx = 1\n", false),
    ] {
        assert_eq!(is_set(text.as_bytes(), "export", "recipients"), set, "{text:?}");
    }
    assert!(!is_set(b"[export]\nrecipients = []\n", "ring", "recipients"));
}

/// Line, code and some words of a fault.
type Told = (usize, Code, &'static str);

/// File, and its faults.
const REFUSED: &[(&str, &[Told])] = &[
    // the names
    ("[rings]", &[(1, Code::UnknownTable, "no table [ring]? \"rings\" is none")]),
    (
        "\n[colour]\nblue = 1",
        &[(2, Code::UnknownTable, "there are [ring], [export], [events], [log] and [alerts]")],
    ),
    ("['ring.x']", &[(1, Code::UnknownTable, "\"ring.x\"")]),
    ("[]", &[(1, Code::Syntax, "")]),
    ("[ring]\nsnyc = \"each\"", &[(2, Code::UnknownKey, "did you mean sync?")]),
    ("[ring]\ncolour = 1", &[(2, Code::UnknownKey, "there are sync, window_ms, full, checkpoint_seconds")]),
    ("[ring]\nrecipients = []", &[(2, Code::UnknownKey, "belongs below [export]")]),
    ("sync = 'each'\n[ring]", &[(1, Code::UnknownKey, "belongs below [ring]")]),
    ("x = 1", &[(1, Code::UnknownKey, "before any table")]),
    // twice
    ("[ring]\nsync='each'\nsync='each'", &[(3, Code::Twice, "sync")]),
    ("[ring]\nsync=1\n'sync'='each'", &[(2, Code::WrongType, ""), (3, Code::Twice, "sync")]),
    ("[ring]\n[export]\n[ring]", &[(3, Code::Twice, "[ring]")]),
    // the form
    ("ring.sync = 'each'", &[(1, Code::Form, "[table]")]),
    ("[ring]\nsync.x = 'each'", &[(2, Code::Form, "[table]")]),
    ("ring = { sync = 'each' }", &[(1, Code::UnknownKey, ""), (1, Code::Form, "[table]")]),
    ("[ring.x]", &[(1, Code::Form, "a table within")]),
    ("[[ring]]\nsync = 'each'", &[(1, Code::Form, "[[…]]")]),
    ("[export]\nrecipients = [[]]", &[(2, Code::Form, "an array within")]),
    ("[export]\nrecipients = [{}]", &[(2, Code::Form, "{…}")]),
    // the types
    (
        "[ring]\nsync = 1",
        &[(2, Code::WrongType, "sync = integer: permitted is \"each\", \"window\" or \"none\"")],
    ),
    ("[ring]\nsync = true", &[(2, Code::WrongType, "boolean")]),
    ("[ring]\nwindow_ms = '100'", &[(2, Code::WrongType, "window_ms = string: permitted is 10 to 1000")]),
    ("[ring]\nwindow_ms = 100.0", &[(2, Code::WrongType, "float")]),
    ("[ring]\nwindow_ms = [100]", &[(2, Code::WrongType, "array")]),
    ("[ring]\nwindow_ms = 2026-11-21", &[(2, Code::WrongType, "date-time")]),
    ("[ring]\nfull = []", &[(2, Code::WrongType, "array")]),
    ("[export]\nrecipients = 'age1'", &[(2, Code::WrongType, "up to 8 age recipients")]),
    (
        "[export]\nrecipients = [\n1,\n'x']",
        &[(3, Code::WrongType, "integer"), (4, Code::OutOfRange, "\"x\"")],
    ),
    // the ranges
    ("[alerts]\nled = '../x'", &[(2, Code::OutOfRange, "up to 64 letters, digits and . _ - :")]),
    ("[alerts]\nled = '..'", &[(2, Code::OutOfRange, "..")]),
    ("[alerts]\nled = 1", &[(2, Code::WrongType, "integer")]),
    ("[ring]\nsync = 'Each'", &[(2, Code::OutOfRange, "sync = \"Each\": permitted is")]),
    ("[ring]\nwindow_ms = 9", &[(2, Code::OutOfRange, "window_ms = 9: permitted is 10 to 1000")]),
    ("[ring]\nwindow_ms = 1001", &[(2, Code::OutOfRange, "1001")]),
    ("[ring]\ncheckpoint_seconds = 0", &[(2, Code::OutOfRange, "5 to 3600")]),
    ("[export]\nevery_minutes = -1", &[(2, Code::OutOfRange, "-1: permitted is 0 to 1440")]),
    ("[export]\nevery_minutes = 99999999999999999999", &[(2, Code::OutOfRange, "0 to 1440")]),
    // of no sense even where it says nothing
    ("[ring]\nsync = 'none'\nwindow_ms = 5", &[(3, Code::OutOfRange, "10 to 1000")]),
    ("[log]\nformat = 'xml'", &[(2, Code::OutOfRange, "\"text\" or \"json\"")]),
    ("[log]\nlevel = 'debug'", &[(2, Code::OutOfRange, "\"error\", \"warn\" or \"info\"")]),
    ("[log]\nfile_kib = 4097", &[(2, Code::OutOfRange, "0 to 4096")]),
    ("[log]\nfile_kb = 1", &[(2, Code::UnknownKey, "did you mean file_kib?")]),
    ("[event]\nargv = 'whole'", &[(1, Code::UnknownTable, "no table [events]?")]),
    ("[log]\nargv = 'whole'", &[(2, Code::UnknownKey, "belongs below [events]")]),
    ("[events]\nargv = true", &[(2, Code::WrongType, "\"whole\", \"secrets\" or \"program\"")]),
    // no TOML
    ("[ring", &[(1, Code::Syntax, "unclosed table")]),
    ("[ring]\nsync", &[(2, Code::Syntax, "key with no value")]),
    ("[ring]\nsync = 'each", &[(2, Code::Syntax, "")]),
    ("[ring]\nsync = each", &[(2, Code::Syntax, "")]),
    ("[ring]\nsync = 'each' full = 'stop'", &[(2, Code::Syntax, "")]),
    ("[ring]\nwindow_ms = 010", &[(2, Code::Syntax, "")]),
    ("[export]\nrecipients = [", &[(2, Code::Syntax, "unclosed array")]),
    ("# \u{7} rings", &[(1, Code::Syntax, "")]),
    ("[ring]\rsync = 'each'", &[(1, Code::Syntax, "")]),
    // what is told of names and values is cut, and nothing in it moves a cursor
    ("['\u{202e}ring\\u001b']", &[(1, Code::UnknownTable, "")]),
    ("[ring]\nsync = \"\\u001b[2J\"", &[(2, Code::OutOfRange, "sync = \"\\u{1b}[2J\"")]),
];

#[test]
fn bad_files_are_refused_with_line_and_mend() {
    for (text, wanted) in REFUSED {
        let faults = read(text.as_bytes()).expect_err(text);
        let found: Vec<_> = faults.iter().collect();
        assert!(found.len() >= wanted.len(), "{text:?}: {found:?}");
        for ((line, code, words), fault) in wanted.iter().zip(&found) {
            assert_eq!((fault.line, fault.code), (*line, *code), "{text:?}: {fault}");
            assert!(fault.detail.contains(words), "{text:?}: {fault}");
            assert!(!fault.to_string().contains(char::is_control), "{text:?}: {fault:?}");
        }
        // What is wrong is told once; a syntax error may have others in its wake.
        assert!(found.len() == wanted.len() || found[0].code == Code::Syntax, "{text:?}: {found:?}");
    }
}

#[test]
fn recipients_are_checked_to_the_letter() {
    let file = |list: &[&str]| format!("[export]\nrecipients = {list:?}");
    let fault = |list: &[&str]| read(file(list).as_bytes()).unwrap_err().to_string();
    assert_eq!(good(&file(&[ALICE])).export.recipients, [ALICE]);
    for at in 4..ALICE.len() {
        let mut letters = ALICE.as_bytes().to_vec();
        letters[at] = if letters[at] == b'q' { b'p' } else { b'q' };
        let mistyped = String::from_utf8(letters).unwrap();
        assert!(fault(&[&mistyped]).contains("a letter of the age key is wrong"), "{mistyped}");
    }
    assert!(fault(&[&ALICE.to_uppercase()]).contains("line 2"));
    assert!(fault(&["ssh-ed25519 AAAA"]).contains("not an age key"));
    assert!(fault(&[ALICE, BOB, ALICE]).contains("(twice)"));
    let nine: Vec<&str> = [ALICE; limits::RECIPIENTS + 1].to_vec();
    assert!(fault(&nine).contains("9 of them: permitted is up to 8"));
}

#[test]
fn bounds_come_before_parsing() {
    let comment = |bytes: usize| format!("#{}", "x".repeat(bytes - 1));
    assert!(read(comment(limits::FILE_BYTES).as_bytes()).is_ok());
    let long = read(comment(limits::FILE_BYTES + 1).as_bytes()).unwrap_err();
    assert_eq!(long.to_string(), "longer than 16384 bytes (too-long)");
    for dense in ["\n", "[", "{", "a=", ".", "'", "x\n"] {
        let text = dense.repeat(limits::FILE_BYTES / dense.len());
        let faults = read(text.as_bytes());
        let long =
            faults.as_ref().is_err_and(|faults| faults.iter().any(|fault| fault.code == Code::TooLong));
        assert!(long || dense == "'", "{dense:?}: {faults:?}");
    }
    let bad = read(b"[ring]\n\nsync = '\xff'").unwrap_err();
    assert_eq!(bad.to_string(), "line 3: not UTF-8 text (not-text)");
    // As many faults as are told, and that there are more.
    let many = read("[ring]\n".repeat(100).as_bytes()).unwrap_err();
    assert_eq!(many.iter().count(), limits::FAULTS);
    assert!(many.to_string().ends_with("and 15 more at least"), "{many}");
    let two = read(b"[ring]\nsync = 1\nfull = 2").unwrap_err();
    assert!(two.to_string().ends_with(", and 1 more"), "{two}");
}

/// As many tokens as there may be, nested or in a row: neither the stack nor the time grows with them.
#[test]
fn what_is_dense_is_read_in_little_time_and_stack() {
    let most = limits::TOKENS - 16;
    let texts = [
        format!("[ring]\nsync=[{}", "[".repeat(most)),
        format!("[ring]\nsync={}{}", "[".repeat(most / 2), "]".repeat(most / 2)),
        format!("[ring]\nsync={}", "{a=".repeat(most / 3)),
        format!("[export]\nrecipients=[{}]", "0,".repeat(most / 2)),
        format!("[{}]", "a.".repeat(most / 2)),
        format!("[ring]\n{}=1", "a.".repeat(most / 2)),
        "x=1\n".repeat(most / 4),
        "[[a]]\n".repeat(most / 6),
    ];
    for text in texts {
        let began = std::time::Instant::now();
        let front = text[..20].to_owned();
        let work = move || read(text.as_bytes()).unwrap_err().iter().all(|fault| fault.code != Code::TooLong);
        let looked_at =
            std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap().join().unwrap();
        assert!(looked_at, "{front:?} has too many tokens for this test");
        assert!(began.elapsed().as_secs() < 5, "{front:?}");
    }
}

#[test]
fn the_template_is_the_default_with_and_without_its_keys_set() {
    let template = template();
    assert_eq!(good(&template), Config::default());
    let mut set = 0;
    let live: String = template
        .lines()
        .map(|line| match line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty()) {
            Some(key) => {
                set += 1;
                format!("{key}\n")
            }
            None => format!("{line}\n"),
        })
        .collect();
    assert_eq!(set, KEYS.len());
    assert_eq!(good(&live), Config::default());
    assert!(template.lines().all(|line| line.chars().count() <= 80), "{template}");
}

fn configs() -> impl Strategy<Value = Config> {
    (any::<[u32; KEYS.len()]>(), prop::sample::subsequence(vec![ALICE, BOB], 0..=2)).prop_map(
        |(numbers, some)| {
            let mut config = Config::default();
            for (key, number) in KEYS.iter().zip(numbers) {
                match key.kind {
                    Kind::Choice { words, set, .. } => set(&mut config, words[number as usize % words.len()]),
                    Kind::Number { least, most, set, .. } => {
                        set(&mut config, least + number % (most - least + 1));
                    }
                    Kind::Name { set, .. } => set(&mut config, format!("x{}:y_z.1", number % 9)),
                    Kind::Recipients { set, .. } => {
                        set(&mut config, some.iter().map(|&text| text.into()).collect());
                    }
                }
            }
            config
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(config in configs()) {
        prop_assert_eq!(&read(to_toml(&config).as_bytes()).unwrap(), &config);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    /// Words of the language, in any order: far more of it is near to good.
    #[test]
    fn no_words_make_it_panic(words in prop::collection::vec(prop::sample::select(vec![
        "[ring]", "[export]", "[", "]", "{", "}", "\n", "=", ".", ",", " ", "sync", "window_ms", "recipients", "'each'", "\"", "'",
        "\"\"\"", "100", "-", "0x", "true", "1e5", "2026-11-21", "#", "\\u", "é", "\r", ALICE,
    ]), 0..40)) {
        if let Ok(config) = read(words.concat().as_bytes()) {
            prop_assert_eq!(read(to_toml(&config).as_bytes()).unwrap(), config);
        }
    }

    /// A good file with one byte changed is good, or refused with one line a fault.
    #[test]
    fn a_changed_byte_is_told_in_lines(config in configs(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = to_toml(&config).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Err(faults) = read(&bytes) {
            for fault in &faults {
                prop_assert!(fault.line <= bytes.split(|byte| *byte == b'\n').count());
                prop_assert!(!fault.to_string().contains(char::is_control), "{:?}", fault);
            }
        }
    }
}
