//! What holds, by what lies in own storage.
#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;

/// What becomes of a file: nothing there, its content, or something that is no file.
#[derive(Clone, Copy, Debug)]
enum There {
    None,
    Content(&'static str),
    Directory,
    Link,
}

const GOOD: &str = "[ring]\nsync = 'each'\n";
const OTHER: &str = "[ring]\nfull = 'stop'\n";

fn put(data: &Path, name: &str, what: There) {
    let path = data.join(name);
    match what {
        There::None => {}
        There::Content(text) => fs::write(path, text).unwrap(),
        There::Directory => fs::create_dir(path).unwrap(),
        There::Link => {
            fs::write(data.join("elsewhere"), OTHER).unwrap();
            std::os::unix::fs::symlink("elsewhere", path).unwrap();
        }
    }
}

#[test]
fn what_holds() {
    use Source::{Defaults, File, LastGood};
    use There::{Content, Directory, Link, None as Nothing};
    // The file; was OTHER good before; what holds, and words of the fault.
    let bad = Content("[ring]\nsync = 7\n");
    for (file, before, source, sync, words) in [
        (Nothing, false, Defaults, "window", None),
        (Nothing, true, LastGood, "window", Some("gone; for the defaults leave an empty file")),
        (Content(""), true, File, "window", None),
        (Content(GOOD), false, File, "each", None),
        (Content(GOOD), true, File, "each", None),
        (bad, false, Defaults, "window", Some("line 2: sync = integer: permitted is \"each\"")),
        (bad, true, LastGood, "window", Some("the last good one is in force")),
        (Directory, true, LastGood, "window", Some("not a regular file (unreadable)")),
        (Link, true, LastGood, "window", Some("it is a link")),
        (Link, false, Defaults, "window", Some("the defaults are in force")),
    ] {
        let data = tempfile::tempdir().unwrap();
        if before {
            kept::keep(data.path(), OTHER.as_bytes()).unwrap();
        }
        put(data.path(), FILE, file);
        let case = format!("{file:?}, a good one before: {before}");
        let seen = load_from(data.path(), false, false);
        let loaded = load_from(data.path(), false, true);
        assert_eq!(
            (seen.config, seen.source, &seen.fault),
            (loaded.config.clone(), loaded.source, &loaded.fault),
            "{case}"
        );
        assert_eq!((loaded.source, loaded.config.ring.sync.name()), (source, sync), "{case}");
        assert_eq!(loaded.config.ring.full.name() == "stop", source == LastGood, "{case}");
        assert_eq!(loaded.fault.is_some(), words.is_some(), "{case}: {:?}", loaded.fault);
        if let (Some(fault), Some(words)) = (&loaded.fault, words) {
            assert!(fault.contains(words) && fault.lines().count() == 1, "{case}: {fault}");
        }
    }
}

#[test]
fn a_good_file_is_kept_and_survives_the_next_ones() {
    let data = tempfile::tempdir().unwrap();
    let toml = data.path().join(FILE);
    fs::write(&toml, GOOD).unwrap();
    assert_eq!(load_from(data.path(), false, false).source, Source::File);
    assert!(!data.path().join(kept::FILE).exists(), "a look keeps nothing");
    let first = load_from(data.path(), false, true).config;
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let before = inode(&data.path().join(kept::FILE));
    load_from(data.path(), false, true);
    assert_eq!(inode(&data.path().join(kept::FILE)), before, "the same one is not written again");
    for bad in ["[", "[ring]\nsync = 'x'", &"x".repeat(bounds::FILE_BYTES + 1)] {
        fs::write(&toml, bad).unwrap();
        let refused = read(&toml).unwrap_err();
        assert_eq!(refused.each()[0].1 == "too-long", bad.len() > bounds::FILE_BYTES, "{refused}");
        let loaded = load_from(data.path(), false, true);
        assert_eq!((loaded.source, &loaded.config), (Source::LastGood, &first));
    }
    // What was kept is a good file itself.
    fs::copy(data.path().join(kept::FILE), &toml).unwrap();
    let again = load_from(data.path(), false, true);
    assert_eq!((again.source, again.config, again.fault), (Source::File, first, None));
}

#[test]
fn a_last_good_one_that_was_changed_is_none() {
    let data = tempfile::tempdir().unwrap();
    kept::keep(data.path(), GOOD.as_bytes()).unwrap();
    let path = data.path().join(kept::FILE);
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_eq!(kept::load(data.path()).unwrap_err(), "damaged", "byte {at}");
        fs::write(&path, &bytes[..at]).unwrap();
        assert!(kept::load(data.path()).is_err(), "cut to {at}");
    }
    let fault = load_from(data.path(), false, true).fault.unwrap();
    assert!(fault.contains("config.good is damaged: the defaults are in force"), "{fault}");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(kept::load(data.path()).unwrap().unwrap().ring.sync.name(), "each");
}

/// One of age's own test vectors.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// However a file is cut: never are exports in plain that were encrypted.
#[test]
fn a_file_that_was_cut_short_turns_no_encryption_off() {
    let data = tempfile::tempdir().unwrap();
    let toml = data.path().join(FILE);
    let text = format!("[ring]\nsync = 'each'\n[export]\nrecipients = ['{RECIPIENT}']\n");
    fs::write(&toml, &text).unwrap();
    assert_eq!(load_from(data.path(), false, true).source, Source::File);
    for length in 0..text.len() {
        fs::write(&toml, &text[..length]).unwrap();
        for keep in [false, true] {
            let loaded = load_from(data.path(), false, keep);
            assert_eq!(loaded.config.export.recipients, [RECIPIENT], "cut to {length}");
            assert_eq!(loaded.source == Source::LastGood, loaded.fault.is_some(), "cut to {length}");
        }
    }
    fs::write(&toml, "[ring]\n").unwrap();
    let fault = load_from(data.path(), false, false).fault.unwrap();
    assert!(
        fault.contains("say `recipients = []` (recipients-gone)") && fault.lines().count() == 1,
        "{fault}"
    );
    // Said, it holds; and from then on nothing is to be said any more.
    fs::write(&toml, "[export]\nrecipients = []\n").unwrap();
    let plain = load_from(data.path(), false, true);
    assert_eq!((plain.source, plain.fault), (Source::File, None));
    fs::write(&toml, "").unwrap();
    assert_eq!(load_from(data.path(), false, true).fault, None);
}

/// The data partition can't be mounted: that no file is there says nothing of what was configured.
#[test]
fn without_own_storage_the_defaults_are_a_fault() {
    let data = tempfile::tempdir().unwrap();
    let loaded = load_from(data.path(), true, true);
    assert_eq!(loaded.source, Source::Defaults);
    assert!(loaded.fault.unwrap().contains("(no-storage)"));
    // One that somebody put there is meant.
    fs::write(data.path().join(FILE), GOOD).unwrap();
    assert_eq!(load_from(data.path(), true, true).fault, None);
    assert!(in_memory(Path::new("/dev/shm/aegis/x")) && !in_memory(Path::new("/proc")));
}
