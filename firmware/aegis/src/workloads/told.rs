//! What mounting came to, and how each workload is doing, in this boot: small files below `/run/aegis`, where no workload comes.
//! One line each, fields apart by one space, the last one to the line's end.

use std::io;
use std::path::PathBuf;

use aegis_bundle::limits::{MANIFEST_BYTES, WORKLOAD_NAMES};

use crate::storage::device::hex;
use crate::storage::{RUN, atomic};

const REPORT: &str = "report";
/// Longest report, and longest line of one, bytes.
const REPORT_BYTES: u64 = 64 * 1024;
const DOING_BYTES: u64 = 1024;
/// Longest text for a person in one, bytes.
const DETAIL_BYTES: usize = 400;

/// The code of a workload that is mounted.
pub(crate) const MOUNTED: &str = "mounted";
/// The codes of what one is doing.
pub(crate) const RUNNING: &str = "running";
pub(crate) const RESTING: &str = "resting";
/// It came to its end as its manifest meant it; and otherwise, without being started again.
pub(crate) const OVER: &str = "over";
pub(crate) const FAILED: &str = "failed";
pub(crate) const CRASH_LOOP: &str = "crash-loop";
pub(crate) const NOT_STARTED: &str = "not-started";
/// By a person: it stays down; it is to be started.
pub(crate) const STOPPED: &str = "stopped";
pub(crate) const STARTING: &str = "starting";

/// What mounting one came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    /// SHA-256 of its manifest.
    pub(crate) manifest: [u8; 32],
    /// [`MOUNTED`], or why it is not.
    pub(crate) code: String,
    pub(crate) detail: String,
}

impl Entry {
    pub(crate) fn is_mounted(&self) -> bool {
        self.code == MOUNTED
    }
}

/// How one is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doing {
    /// One of the codes above.
    pub(crate) code: String,
    /// How often it was started.
    pub(crate) starts: u32,
    /// How it ended last, or why it could not be started; empty before that.
    pub(crate) last: String,
}

impl Doing {
    /// It is down, and should not be.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.code.as_str(), CRASH_LOOP | FAILED | NOT_STARTED)
    }
}

fn directory() -> PathBuf {
    PathBuf::from(RUN).join("workloads")
}

fn write(name: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = directory();
    atomic::make_private_directory(&directory)?;
    atomic::replace(&directory, name, bytes, 0o600).map(drop)
}

fn read(name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match atomic::read_bounded(&directory().join(name), limit) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn text(name: &str, limit: u64) -> io::Result<Option<String>> {
    let bytes = read(name, limit)?;
    bytes.map(|bytes| String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())).transpose()
}

/// Tells what mounting came to.
pub(crate) fn report(entries: &[Entry]) -> io::Result<()> {
    write(REPORT, lines(entries).as_bytes())
}

/// What mounting came to; nothing before it.
///
/// # Errors
/// `InvalidData` when it can't be read.
pub(crate) fn reported() -> io::Result<Vec<Entry>> {
    let text = text(REPORT, REPORT_BYTES)?.unwrap_or_default();
    entries(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn lines(entries: &[Entry]) -> String {
    let line = |entry: &Entry| {
        let Entry { name, epoch, sequence, manifest, code, detail } = entry;
        format!("{name} {epoch} {sequence} {} {code} {}\n", hex(manifest), one_line(detail))
    };
    entries.iter().take(2 * WORKLOAD_NAMES).map(line).collect()
}

fn entries(text: &str) -> Option<Vec<Entry>> {
    let entry = |line: &str| {
        let mut fields = line.splitn(6, ' ');
        let mut next = || fields.next();
        let (name, epoch, sequence) = (next()?.to_owned(), next()?.parse().ok()?, next()?.parse().ok()?);
        let digits = next()?;
        let mut manifest = [0; 32];
        for (at, byte) in manifest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        let (code, detail) = (next()?.to_owned(), next()?.to_owned());
        Some(Entry { name, epoch, sequence, manifest, code, detail })
    };
    text.lines().map(entry).collect()
}

fn one_line(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(DETAIL_BYTES)];
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Tells how one is doing.
pub(crate) fn tell(name: &str, doing: &Doing) -> io::Result<()> {
    let Doing { code, starts, last } = doing;
    write(&format!("{name}.doing"), format!("{code} {starts} {}\n", one_line(last)).as_bytes())
}

/// How one is doing; `None` before it was started.
pub(crate) fn doing(name: &str) -> io::Result<Option<Doing>> {
    let Some(text) = text(&format!("{name}.doing"), DOING_BYTES)? else { return Ok(None) };
    read_doing(&text).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read_doing(text: &str) -> Option<Doing> {
    let mut fields = text.trim_end_matches('\n').splitn(3, ' ');
    let (code, starts) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
    Some(Doing { code, starts, last: fields.next()?.to_owned() })
}

/// Keeps the manifest of one that is mounted: it is started by that, whatever is brought meanwhile.
pub(crate) fn keep_manifest(name: &str, manifest: &[u8]) -> io::Result<()> {
    write(&format!("{name}.manifest"), manifest)
}

/// The manifest of one that is mounted; `None`: it is not.
pub(crate) fn manifest(name: &str) -> io::Result<Option<Vec<u8>>> {
    read(&format!("{name}.manifest"), MANIFEST_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_again() {
        let entry = |name: &str, code: &str, detail: &str| Entry {
            name: name.into(),
            epoch: 1,
            sequence: u64::MAX,
            manifest: [0xa5; 32],
            code: code.into(),
            detail: detail.into(),
        };
        let all = [entry("a", MOUNTED, ""), entry("b.c", "content-hash", "a  b c")];
        assert_eq!(entries(&lines(&all)).as_deref(), Some(&all[..]));
        let broken = entry("a", "x", &format!("one\ntwo \u{e4}\x1b{}", "x".repeat(1000)));
        let read = entries(&lines(&[broken])).unwrap_or_default();
        assert_eq!((read.len(), read[0].detail.len()), (1, DETAIL_BYTES));
        assert!(read[0].detail.starts_with("one two \u{e4} x"));
        for bad in ["a", "a 1 2 00 x y", "a b 2 3 4 5", &lines(&all)[..40]] {
            assert_eq!(entries(bad), None, "{bad}");
        }
        let doing = Doing { code: RESTING.into(), starts: 3, last: "exit 1".into() };
        assert_eq!(read_doing("resting 3 exit 1\n"), Some(doing));
        assert_eq!(read_doing("running 1 \n").map(|doing| doing.last), Some(String::new()));
        assert_eq!((read_doing("running"), read_doing("running x y")), (None, None));
    }
}
