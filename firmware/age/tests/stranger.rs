//! Both ways with an age that is not ours: Debian's.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use aegis_age::limits::CHUNK_BYTES;
use common::{decrypt, encrypt, identity};

fn age(arguments: &[&str], folder: &Path) -> bool {
    let mut command = Command::new("age");
    let output = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    output.expect("age runs; `make deps` installs it").status.success()
}

#[test]
fn age_opens_what_is_written_here_and_the_other_way() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| folder.path().join(name);
    for number in [1, 2, 3] {
        let text = identity(number).to_text();
        std::fs::write(path(&format!("{number}.key")), *text).expect("written");
    }
    let recipients = [identity(1).recipient(), identity(2).recipient()];
    let texts = recipients.map(|recipient| recipient.to_string());
    for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 300_000] {
        let plain: Vec<u8> = (0..length).map(|at| (at / 7) as u8).collect();
        std::fs::write(path("ours.age"), encrypt(&recipients, &plain, 10_000)).expect("written");
        for number in [1, 2] {
            let (key, out) = (format!("{number}.key"), format!("{number}.plain"));
            assert!(age(&["--decrypt", "-i", &key, "-o", &out, "ours.age"], folder.path()), "{length}");
            // age makes no file of nothing.
            assert!(std::fs::read(path(&out)).unwrap_or_default() == plain, "{length}");
            let _ = std::fs::remove_file(path(&out));
        }
        assert!(!age(&["--decrypt", "-i", "3.key", "-o", "3.plain", "ours.age"], folder.path()), "{length}");
        std::fs::write(path("plain"), &plain).expect("written");
        assert!(
            age(&["-r", &texts[0], "-r", &texts[1], "-o", "theirs.age", "plain"], folder.path()),
            "{length}"
        );
        let theirs = std::fs::read(path("theirs.age")).expect("written by age");
        for number in [1, 2] {
            assert!(decrypt(&theirs, &[identity(number)]).expect("age wrote it") == plain, "{length}");
        }
        assert!(decrypt(&theirs, &[identity(3)]).is_err());
        std::fs::remove_file(path("theirs.age")).expect("there");
    }
}
