//! What is pushed next: an export that the agent makes of some events, signed, in a file that is gone from its directory before anybody
//! else sees it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde_json::Value;

use super::position::is_ring;
use crate::keep::commands::Once;
use crate::limits;

/// An export.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) file: File,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) said: Said,
}

/// What the command says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Where the file is.
    path: String,
    pub(super) ring: String,
    pub(super) events: u64,
    /// The sequence that the next one begins with.
    pub(super) resume: u64,
}

impl Said {
    fn read(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let ring = text("ring").filter(|ring| is_ring(ring))?;
        Some(Self {
            path: text("file")?,
            ring,
            events: value["events"].as_u64()?,
            resume: value["resume"].as_u64().filter(|resume| *resume > 0)?,
        })
    }

    /// Events from `next` on that it neither has nor leaves for the next one: overwritten, or damaged.
    pub(super) fn missed(&self, next: u64) -> u64 {
        self.resume.saturating_sub(next).saturating_sub(self.events)
    }
}

/// What the ring has from `next` to `last`.
pub(super) fn make(
    agent: &Path,
    directory: &Path,
    (next, last): (u64, u64),
    stop: &AtomicBool,
) -> io::Result<Piece> {
    let (from, last) = (next.to_string(), last.to_string());
    let to = directory.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    let words = ["export", "--to", to, "--from", &from, "--to-sequence", &last, "--json"];
    // Exit 1: not all of it is in there; what is is good, and says so.
    let once =
        Once { most: limits::PUSH_TOLD_BYTES, within: limits::PUSH_EXPORT, good: &[0, 1], stop: Some(stop) };
    let said = once.run(agent, &words)?;
    let not_understood = || io::Error::other("what `aegis export` says is not understood");
    let said = Said::read(&said).ok_or_else(not_understood)?;
    let path = Path::new(&said.path);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|name| is_name(name))
        .ok_or_else(not_understood)?;
    let path = directory.join(name);
    let file = File::open(&path);
    // Its room is free when it was sent, or could not be.
    fs::remove_file(&path)?;
    let file = file?;
    let bytes = file.metadata()?.len();
    Ok(Piece { name: name.to_owned(), file, bytes, said })
}

/// One that can stand in a path as it is.
fn is_name(name: &str) -> bool {
    (1..=limits::PUSH_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && name.contains(".cbor")
}

/// The last sequence that is in the ring and stays there, whatever happens, by what `aegis status --json` says.
pub(super) fn last(agent: &Path, stop: &AtomicBool) -> io::Result<u64> {
    let once = Once { most: limits::HEALTH_BYTES, within: limits::ANSWER, good: &[0], stop: Some(stop) };
    let said = once.run(agent, &["status", "--json"])?;
    let value: Value = serde_json::from_slice(&said).map_err(io::Error::other)?;
    value["ring"]["acked_sequence"]
        .as_u64()
        .ok_or_else(|| io::Error::other("what `aegis status` says is not understood"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_what_is_neither_there_nor_still_to_come() {
        let text = br#"{"file":"/x/export-a-b-8-12.cbor","ring":"0123456789abcdef0123456789abcdef","first":8,"last":12,"events":5,"resume":13,"gaps":[]}"#;
        let said = Said::read(text).expect("one");
        assert_eq!((said.events, said.resume), (5, 13));
        assert_eq!((said.missed(8), said.missed(1), said.missed(13), said.missed(99)), (0, 7, 0, 0));
        for bad in [&b""[..], b"{}", b"[]", br#"{"file":"x","ring":"x","events":1,"resume":2}"#] {
            assert_eq!(Said::read(bad), None);
        }
    }

    #[test]
    fn a_name_is_one_that_stands_in_a_path_as_it_is() {
        for name in ["export-00112233-44556677-1-4096.cbor", "export-0-0-empty-1.cbor.age"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "x",
            "..",
            "a/b.cbor",
            "a b.cbor",
            "a?.cbor",
            "%41.cbor",
            &format!("{}.cbor", "a".repeat(130)),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
