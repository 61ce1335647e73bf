//! Keys that can't be opened are put aside, not away: what they are sealed to may come back. A few of each, so that a change there and
//! back, and another one, loses none.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::limits;

/// Where those of a key's file are, the first that is used first.
pub(crate) fn names(file: &str) -> impl Iterator<Item = String> + '_ {
    (1..=limits::KEYS_ASIDE).map(move |number| match number {
        1 => format!("{file}.lost"),
        number => format!("{file}.lost.{number}"),
    })
}

/// The key's file is no more, and beside it; in the last place what was there is gone.
pub(crate) fn put(directory: &Path, file: &str) -> io::Result<()> {
    let mut last = String::new();
    let free = names(file).find(|name| {
        name.clone_into(&mut last);
        fs::symlink_metadata(directory.join(name)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    });
    fs::rename(directory.join(file), directory.join(free.unwrap_or(last)))?;
    sync(directory)
}

/// What is beside it there becomes the key's file, and what was that is where it was.
pub(crate) fn bring_back(directory: &Path, name: &str, file: &str) -> io::Result<()> {
    let (from, to) = (directory.join(name), directory.join(file));
    match renameat_with(CWD, &from, CWD, &to, RenameFlags::EXCHANGE) {
        Err(rustix::io::Errno::NOENT) => fs::rename(from, to)?,
        exchanged => exchanged?,
    }
    sync(directory)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_stay_and_change_places() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        for number in 0..=limits::KEYS_ASIDE + 1 {
            fs::write(folder.join("key"), number.to_string()).unwrap();
            put(folder, "key").unwrap();
        }
        assert_eq!(
            (text("key").as_str(), text("key.lost").as_str(), text("key.lost.2").as_str()),
            ("", "0", "1")
        );
        let last = names("key").last().unwrap();
        assert_eq!(text(&last), (limits::KEYS_ASIDE + 1).to_string(), "there is an end");

        bring_back(folder, "key.lost", "key").unwrap();
        assert_eq!((text("key").as_str(), folder.join("key.lost").exists()), ("0", false));
        bring_back(folder, "key.lost.2", "key").unwrap();
        assert_eq!((text("key").as_str(), text("key.lost.2").as_str()), ("1", "0"));
        assert!(bring_back(folder, "key.lost", "key").is_err());
    }
}
