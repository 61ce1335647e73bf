//! Where a file is, as far as a rule can say it.

use aegis_event::File;
use aegis_policy::{limits as bounds, names};

/// The directory of the processes' own files: a number is another process each time.
const PROCESSES: &str = "/proc";
const DELETED: &str = " (deleted)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A path that a rule can have.
    Path(&'a str),
    /// The file itself can't be named, and why; the directory that it is in can.
    Below(&'a str, &'static str),
    /// It is in no directory (a pipe, a socket): no tree has it.
    Nowhere,
    /// It is in a directory that was not recorded, and why.
    Unknown(&'static str),
}

impl<'a> Place<'a> {
    pub(super) fn of(file: &File<'a>) -> Self {
        if file.truncated {
            return Self::Unknown("a path that was recorded in part");
        }
        if !file.path.starts_with(b"/") {
            let hangs = file.path.windows(2).any(|two| two == b":[") || file.path.starts_with(b"anon_inode:");
            return if hangs {
                Self::Nowhere
            } else {
                Self::Unknown("a path that does not begin at the root")
            };
        }
        let Ok(path) = std::str::from_utf8(file.path) else {
            return Self::below(file.path, "a path that is not UTF-8 text");
        };
        if is_process(path) {
            return Self::Below(PROCESSES, "a process's own file");
        }
        if let Some(former) = path.strip_suffix(DELETED) {
            // Of what is in memory alone (a memfd, shared memory) the kernel makes up such a name at the root.
            let made_up = former == "/dev/zero" || !former[1..].contains('/');
            if !made_up {
                return Self::below(former.as_bytes(), "a file that was deleted");
            }
        }
        if names::is_path(path) {
            Self::Path(path)
        } else if path.len() > bounds::PATH_BYTES {
            Self::below(path.as_bytes(), "a path that is longer than 255 bytes")
        } else {
            Self::below(path.as_bytes(), "a path that a rule can't have")
        }
    }

    /// The nearest directory above that a rule can have; the root is none: a rule on it would be on everything.
    fn below(path: &'a [u8], why: &'static str) -> Self {
        let ends = (1..path.len()).rev().filter(|end| path[*end] == b'/');
        let mut directories = ends.filter_map(|end| std::str::from_utf8(&path[..end]).ok());
        match directories.find(|directory| names::is_path(directory)) {
            Some(directory) => Self::Below(directory, why),
            None => Self::Unknown(why),
        }
    }
}

fn is_process(path: &str) -> bool {
    let first = path.strip_prefix("/proc/").and_then(|rest| rest.split('/').next());
    first.is_some_and(|first| !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The directory that stands for a path with more parts than `depth`.
pub(super) fn folded(path: &str, depth: u16) -> Option<&str> {
    let end = path.match_indices('/').nth(usize::from(depth))?.0;
    Some(&path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_named_has_a_directory() {
        let long = format!("/srv/{}/{}/x", "a".repeat(200), "b".repeat(100));
        let directory = format!("/srv/{}", "a".repeat(200));
        for (path, expected) in [
            (&b"/srv/a"[..], Ok("/srv/a")),
            (b"/", Ok("/")),
            (b"/proc/77/status", Err(Some("/proc"))),
            (b"/proc/77", Err(Some("/proc"))),
            (b"/proc/cpuinfo", Ok("/proc/cpuinfo")),
            (b"/srv/new/a (deleted)", Err(Some("/srv/new"))),
            (b"/memfd:x (deleted)", Ok("/memfd:x (deleted)")),
            (b"/dev/zero (deleted)", Ok("/dev/zero (deleted)")),
            (b"/srv/\xff/a", Err(Some("/srv"))),
            (b"/srv/a\nb", Err(Some("/srv"))),
            (b"/\xff", Err(None)),
            (b"./tool", Err(None)),
            (long.as_bytes(), Err(Some(&directory))),
        ] {
            let found = match Place::of(&File { device: 1, inode: 1, path, truncated: false }) {
                Place::Path(path) => Ok(path),
                Place::Below(directory, _) => Err(Some(directory)),
                Place::Unknown(_) => Err(None),
                Place::Nowhere => panic!("{path:?}"),
            };
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(path));
        }
        for path in [&b"pipe:[77]"[..], b"anon_inode:[eventfd]", b"net:[4026531840]"] {
            assert_eq!(Place::of(&File { device: 1, inode: 1, path, truncated: false }), Place::Nowhere);
        }
        let cut = File { device: 1, inode: 1, path: b"/a", truncated: true };
        assert!(matches!(Place::of(&cut), Place::Unknown(_)));
    }

    #[test]
    fn paths_fold_into_directories() {
        for (path, depth, expected) in [
            ("/srv/data/a", 2, Some("/srv/data")),
            ("/srv/data/a/b", 2, Some("/srv/data")),
            ("/srv/data", 2, None),
            ("/a", 1, None),
            ("/a/b", 1, Some("/a")),
        ] {
            assert_eq!(folded(path, depth), expected, "{path}");
        }
    }
}
