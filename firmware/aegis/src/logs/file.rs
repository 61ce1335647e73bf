//! The log's two files on own storage, `log.a` and `log.b`: every process of ours appends to the newer one, line by line, and begins the
//! older one anew when the newer one is full. Which is which, the files say themselves ([`aegis_log::part`]).
//!
//! One write(2) with `O_APPEND` a line: lines of two processes do not mix. Nothing is renamed, and nothing opened later: the confined
//! agent could do neither. What a power cut tears is the last line, and whoever reads passes it over.

use core::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use aegis_log::part::{self, HEAD_BYTES, Next};
use rustix::fs::{FlockOperation, OFlags, fcntl_lock};

/// Their names.
pub(crate) const NAMES: [&str; 2] = ["log.a", "log.b"];

pub(crate) struct Files {
    parts: io::Result<[File; 2]>,
    /// Longest of one, bytes; 0: nothing is kept.
    limit: u64,
    /// Lines of this process that are in none of them.
    lost: AtomicU64,
}

/// What is to be said once, on the console.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// From here on lines get lost.
    Lost(io::ErrorKind),
    /// They do not any more; so many did.
    Again(u64),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) => write!(f, "log: {error}: what is said goes to the console alone"),
            Self::Again(1) => f.write_str("log: it is kept again; one line was not"),
            Self::Again(lost) => write!(f, "log: it is kept again; {lost} lines were not"),
        }
    }
}

impl Files {
    /// Opens or makes them. Own storage that is not there yet has none.
    pub(crate) fn open(data: &Path, limit: u64) -> Self {
        let limit = if data.is_dir() { limit } else { 0 };
        let open = |name: &str| {
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
            let file = File::options()
                .read(true)
                .append(true)
                .create(true)
                .mode(0o600)
                .custom_flags(flags)
                .open(data.join(name))?;
            if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
        };
        let [a, b] = NAMES;
        let parts = if limit == 0 {
            Err(io::ErrorKind::NotFound.into())
        } else {
            open(a).and_then(|a| Ok([a, open(b)?]))
        };
        Self { parts, limit, lost: AtomicU64::new(0) }
    }

    /// Appends a line, its line feed included. Returns what is to be said about that.
    pub(crate) fn write(&self, line: &[u8]) -> Option<Trouble> {
        if self.limit == 0 {
            return None;
        }
        let written = match &self.parts {
            Ok(parts) => append(parts, line, self.limit),
            Err(error) => Err(error.kind().into()),
        };
        match written {
            Ok(()) => match self.lost.swap(0, Relaxed) {
                0 => None,
                lost => Some(Trouble::Again(lost)),
            },
            Err(error) => {
                let first = self.lost.fetch_add(1, Relaxed) == 0;
                first.then(|| Trouble::Lost(error.kind()))
            }
        }
    }

    /// Has what was appended written to the disk.
    pub(crate) fn sync(&self) {
        for part in self.parts.iter().flatten() {
            // What a power cut takes of the log is no more than that.
            let _ = part.sync_data();
        }
    }
}

/// Number and length of each. The length by seeking: the agent has few system calls left.
fn standing(parts: &[File; 2]) -> io::Result<[(u64, u64); 2]> {
    let mut standing = [(0, 0); 2];
    for (part, place) in parts.iter().zip(&mut standing) {
        let mut front = [0; HEAD_BYTES];
        let read = part.read_at(&mut front, 0)?;
        let length = rustix::fs::seek(part, rustix::fs::SeekFrom::End(0))?;
        *place = (part::number(front.get(..read).unwrap_or_default()), length);
    }
    Ok(standing)
}

fn append(parts: &[File; 2], line: &[u8], limit: u64) -> io::Result<()> {
    let at = match part::next(standing(parts)?, limit) {
        Next::Append(at) => at,
        Next::Begin(..) => begin(parts, limit)?,
    };
    // Lines are short: a disk takes one whole, or has no room for it.
    whole(&parts[at], line)
}

/// Begins the older one anew, unless somebody does just now or has: then the newer one takes a line more than it should.
fn begin(parts: &[File; 2], limit: u64) -> io::Result<usize> {
    match fcntl_lock(&parts[0], FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
            let [a, b] = standing(parts)?;
            return Ok(usize::from(b.0 > a.0));
        }
        Err(error) => return Err(error.into()),
    }
    let begun = standing(parts).and_then(|standing| match part::next(standing, limit) {
        Next::Append(at) => Ok(at),
        Next::Begin(at, number) => {
            parts[at].set_len(0)?;
            whole(&parts[at], &part::head(number))?;
            Ok(at)
        }
    });
    let _ = fcntl_lock(&parts[0], FlockOperation::Unlock);
    begun
}

fn whole(mut part: &File, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    match part.write(bytes)? {
        written if written == bytes.len() => Ok(()),
        _ => {
            // What is behind it is a line of its own.
            let _ = part.write(b"\n");
            Err(io::ErrorKind::StorageFull.into())
        }
    }
}

/// What is kept, the older part first, each with its first line; at most so many bytes of each, from its end.
///
/// # Errors
/// One can't be read. That there is none is no error.
pub(crate) fn kept(data: &Path) -> io::Result<[Vec<u8>; 2]> {
    let read = |name: &str| {
        // Whoever appended last may have been one line over.
        let most = (u64::from(aegis_config::limits::LOG_KIB) + 64) * 1024;
        match crate::storage::atomic::read_bounded(&data.join(name), most) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    };
    let (a, b) = (read(NAMES[0])?, read(NAMES[1])?);
    Ok(if part::number(&a) > part::number(&b) { [b, a] } else { [a, b] })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    const LIMIT: u64 = 4096;

    fn line(number: u32) -> Vec<u8> {
        format!("{{\"line\":{number},\"x\":\"{}\"}}\n", "x".repeat(60)).into_bytes()
    }

    fn numbers(data: &Path) -> Vec<u32> {
        let text = String::from_utf8(kept(data).unwrap().concat()).unwrap();
        let of = |line: &str| line.strip_prefix("{\"line\":")?.split_once(',')?.0.parse().ok();
        text.lines().filter_map(of).collect()
    }

    #[test]
    fn two_files_hold_the_last_lines_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let files = Files::open(data, LIMIT);
        for number in 0..1000 {
            // Another process, with files of its own.
            let other = (number % 3 == 0).then(|| Files::open(data, LIMIT));
            assert_eq!(other.as_ref().unwrap_or(&files).write(&line(number)), None);
            for name in NAMES {
                assert!(fs::metadata(data.join(name)).map_or(0, |found| found.len()) <= LIMIT);
            }
        }
        let found = numbers(data);
        assert!(found.len() > 40 && found.last() == Some(&999), "{found:?}");
        assert!(found.windows(2).all(|pair| pair[1] == pair[0] + 1), "in order, and none missing: {found:?}");
        // A smaller limit counts from the next line on.
        let small = Files::open(data, 2048);
        for number in 1000..1040 {
            assert_eq!(small.write(&line(number)), None);
        }
        let length: u64 = NAMES.iter().map(|name| fs::metadata(data.join(name)).unwrap().len()).sum();
        assert!(length <= 2 * 2048, "{length}");
    }

    /// Whatever is there: lines are appended, and none is in a part that is not the newest.
    #[test]
    fn what_a_power_cut_or_somebody_leaves_there_stops_nothing() {
        let head = |number| part::head(number).to_vec();
        let torn = [head(7), line(1), b"{\"line\":2,\"x".to_vec()].concat();
        for (a, b) in [
            (vec![], vec![]),
            (torn.clone(), vec![]),
            (vec![], torn.clone()),
            (head(8)[..9].to_vec(), torn.clone()),
            (vec![0; 9000], torn),
            (vec![0xff; 5000], vec![0; 5000]),
            (head(9_999_999_998), head(9_999_999_998)),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let data = folder.path();
            fs::write(data.join(NAMES[0]), &a).unwrap();
            fs::write(data.join(NAMES[1]), &b).unwrap();
            let files = Files::open(data, LIMIT);
            for number in 100..200 {
                assert_eq!(files.write(&line(number)), None);
            }
            let [old, new] = kept(data).unwrap();
            assert!(part::number(&new) > 0 && new.ends_with(&line(199)), "{} {}", old.len(), new.len());
        }
    }

    #[test]
    fn what_is_not_kept_is_counted_and_said_once() {
        let folder = tempfile::tempdir().unwrap();
        // No own storage yet: nothing is to be said of that.
        assert_eq!(Files::open(&folder.path().join("none"), LIMIT).write(b"x\n"), None);
        assert_eq!(Files::open(folder.path(), 0).write(b"x\n"), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // A link is not followed.
        std::os::unix::fs::symlink("/dev/full", folder.path().join(NAMES[0])).unwrap();
        let files = Files::open(folder.path(), LIMIT);
        assert!(matches!(files.write(b"x\n"), Some(Trouble::Lost(_))));
        assert_eq!((files.write(b"x\n"), files.write(b"x\n")), (None, None));
        // A disk that has no room, and then some.
        let full = || File::options().read(true).write(true).open("/dev/full").unwrap();
        let files = Files { parts: Ok([full(), full()]), limit: LIMIT, lost: AtomicU64::new(0) };
        assert_eq!(whole(&full(), b"x\n").map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
        assert!(matches!(files.write(b"x\n"), Some(Trouble::Lost(_))));
        assert_eq!(files.write(b"x\n"), None);
        fs::remove_file(folder.path().join(NAMES[0])).unwrap();
        let files = Files { lost: files.lost, ..Files::open(folder.path(), LIMIT) };
        assert_eq!(files.write(b"x\n"), Some(Trouble::Again(2)));
        assert_eq!(files.write(b"x\n"), None);
    }
}
