//! Slots, and the names of their kernel images: `aegis-a+LEFT-DONE.efi`, as the Boot Loader Specification's automatic boot
//! assessment has them. The loader counts; who runs healthy has the count set back.

use std::fmt;

/// Tries of an image that was seen healthy: each start takes one, each healthy start gives all back.
pub(crate) const TRIES: u8 = 9;
/// Tries of an image that is new.
pub(crate) const TRIES_OF_NEW: u8 = 3;

/// One of the two places that an image can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    A,
    B,
}

impl Slot {
    pub(crate) const ALL: [Self; 2] = [Self::A, Self::B];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// As it is called on the kernel's command line, in names and labels.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.name() == name)
    }

    /// Label of its partition.
    pub(crate) const fn partition(self) -> &'static str {
        match self {
            Self::A => "aegis-root-a",
            Self::B => "aegis-root-b",
        }
    }

    /// The name of its kernel image with so many tries left and none done.
    pub(crate) fn file(self, left: u8) -> String {
        format!("{BEFORE}{}+{left}{AFTER}", self.name())
    }

    /// The name of its kernel image with no tries left and so many done.
    pub(crate) fn given_up(self, done: u32) -> String {
        format!("{BEFORE}{}+0-{done}{AFTER}", self.name())
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const BEFORE: &str = "aegis-";
const AFTER: &str = ".efi";

/// What the name of a kernel image says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) slot: Slot,
    /// Tries that are left; `None` for a name that does not count: it is never given up.
    pub(crate) left: Option<u32>,
    /// Tries that were used up.
    pub(crate) done: u32,
}

impl Counted {
    /// Reads the name of one of our kernel images; `None` for other names. FAT does not tell upper from lower case.
    pub(crate) fn read(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let middle = name.strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
        let Some((slot, count)) = middle.split_once('+') else {
            return Some(Self { slot: Slot::from_name(middle)?, left: None, done: 0 });
        };
        // Nine digits fit.
        let number = |digits: &str| (digits.len() <= 9).then(|| plain(digits))?;
        let (left, done) = match count.split_once('-') {
            Some((left, done)) => (number(left)?, number(done)?),
            None => (number(count)?, 0),
        };
        Some(Self { slot: Slot::from_name(slot)?, left: Some(left), done })
    }

    /// The loader starts it only when there is nothing better.
    pub(crate) const fn is_given_up(&self) -> bool {
        matches!(self.left, Some(0))
    }
}

/// A number of digits alone: no sign, and at least one.
fn plain<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// What runs, as the kernel was told by who started it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    /// The slot; `None` when the kernel was started without a loader.
    pub(crate) slot: Option<Slot>,
    /// Epoch and sequence of the image.
    pub(crate) image: Option<(u64, u64)>,
}

impl Running {
    /// Of this boot.
    pub(crate) fn now() -> Self {
        let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_else(|error| {
            log::error!("/proc/cmdline: {error}");
            String::new()
        });
        Self::read(&line)
    }

    /// Reads a kernel's command line. A word that comes twice counts as the first: what an image signed comes before what
    /// may be added to it.
    pub(crate) fn read(line: &str) -> Self {
        let value = |name: &str| {
            line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let image = value("aegis.image")
            .and_then(|text| text.split_once('.'))
            .and_then(|(epoch, sequence)| Some((plain(epoch)?, plain(sequence)?)));
        Self { slot: value("aegis.slot").and_then(Slot::from_name), image }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_as_the_loader_does() {
        let counted = |slot, left, done| Some(Counted { slot, left, done });
        for (name, expected) in [
            ("aegis-a+9.efi", counted(Slot::A, Some(9), 0)),
            ("aegis-b+2-1.efi", counted(Slot::B, Some(2), 1)),
            ("aegis-b+0-3.efi", counted(Slot::B, Some(0), 3)),
            ("AEGIS-B+0-3.EFI", counted(Slot::B, Some(0), 3)),
            ("aegis-a+08-001.efi", counted(Slot::A, Some(8), 1)),
            ("aegis-a.efi", counted(Slot::A, None, 0)),
            ("aegis-c+9.efi", None),
            ("aegis-a+.efi", None),
            ("aegis-a+9-.efi", None),
            ("aegis-a+9-1-2.efi", None),
            ("aegis-a++9.efi", None),
            ("aegis-a+9999999999.efi", None),
            ("aegis-a+9.efi.new", None),
            ("other.efi", None),
            ("", None),
        ] {
            assert_eq!(Counted::read(name), expected, "{name}");
        }
        assert_eq!(
            (Slot::B.file(3), Slot::A.file(9)),
            ("aegis-b+3.efi".to_owned(), "aegis-a+9.efi".to_owned())
        );
        assert!(Counted::read("aegis-b+0-3.efi").is_some_and(|name| name.is_given_up()));
        assert!(!Counted::read("aegis-b.efi").is_some_and(|name| name.is_given_up()));
    }

    #[test]
    fn what_runs_is_what_the_command_line_says_first() {
        let running = |slot, image| Running { slot, image };
        for (line, expected) in [
            (
                "quiet aegis.slot=b aegis.image=1.1700000000 ro\n",
                running(Some(Slot::B), Some((1, 1_700_000_000))),
            ),
            (
                "aegis.slot=a aegis.image=2.3 aegis.slot=b aegis.image=9.9",
                running(Some(Slot::A), Some((2, 3))),
            ),
            ("console=ttyS0 root=/dev/dm-0", Running::default()),
            ("aegis.slot=c aegis.image=1", Running::default()),
            ("aegis.slots=a aegis.image=+1.2", Running::default()),
            ("aegis.slot=a aegis.image=1.99999999999999999999", running(Some(Slot::A), None)),
        ] {
            assert_eq!(Running::read(line), expected, "{line}");
        }
    }
}
