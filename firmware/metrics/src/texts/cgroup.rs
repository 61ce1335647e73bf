//! Files of a cgroup (`Documentation/admin-guide/cgroup-v2.rst`). Those of one number or one word a line are read by
//! [`single`](super::single) and [`keyed`](super::keyed).

use super::{lines, number, words};

/// `memory.max`, `pids.max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// There is none: `max`.
    None,
    /// So much.
    Of(u64),
}

impl Limit {
    /// Reads one.
    pub fn read(text: &[u8]) -> Option<Self> {
        match text.trim_ascii() {
            b"max" => Some(Self::None),
            text => number(text).map(Self::Of),
        }
    }
}

/// `io.stat`, over devices. Each pair: read, written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Io {
    /// Bytes.
    pub bytes: [u64; 2],
    /// Reads and writes.
    pub ios: [u64; 2],
}

/// Reads `io.stat`. `counts` is asked of each device (`254:0`): what lies on another one is counted there already. A device that was
/// never used has no line, or one without words; a word that is no number makes all of it unknown.
pub fn io(text: &[u8], counts: &mut dyn FnMut(&[u8]) -> bool) -> Option<Io> {
    let mut found = Io::default();
    for line in lines(text) {
        let mut words = words(line);
        if !words.next().is_some_and(&mut *counts) {
            continue;
        }
        // A later kernel may have more words.
        for word in words {
            let Some(equals) = word.iter().position(|byte| *byte == b'=') else { continue };
            let (name, digits) = word.split_at(equals);
            let sum = match name {
                b"rbytes" => &mut found.bytes[0],
                b"wbytes" => &mut found.bytes[1],
                b"rios" => &mut found.ios[0],
                b"wios" => &mut found.ios[1],
                _ => continue,
            };
            *sum = sum.saturating_add(number(digits.get(1..).unwrap_or_default())?);
        }
    }
    Some(found)
}
