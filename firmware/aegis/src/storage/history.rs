//! The last decisions on bundles, root metadata and tokens: `/data/aegis/history`, one JSON object a line, oldest first.
//! For people; the evidence is in the ring. What repeats the last line is counted there and takes no other.

use std::io;

use aegis_bundle::What;
use serde::{Deserialize, Serialize};

use super::device::{boot_id, boottime, hex, wall_clock};
use super::disk::{self, Data, Disk};
use super::lock;
use crate::limits;

const FILE: &str = "history";

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// `CLOCK_BOOTTIME`, ns.
    pub(crate) boot_time_ns: u64,
    /// The boot, in hexadecimal.
    pub(crate) boot: String,
    /// The clock, Unix seconds; not to be trusted.
    pub(crate) clock: u64,
    /// `bundle`, `root`, `break-glass`.
    pub(crate) what: String,
    /// Reason code.
    pub(crate) code: String,
    pub(crate) epoch: u64,
    /// Sequence of the bundle or token, version of the root metadata.
    pub(crate) sequence: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub(crate) hash: Option<String>,
    /// Where it came from.
    pub(crate) origin: String,
    /// How often this was decided in a row.
    pub(crate) times: u64,
}

impl Entry {
    /// A decision made now.
    pub(crate) fn now(
        what: What,
        code: &str,
        (epoch, sequence): (u64, u64),
        hash: Option<&[u8; 32]>,
        origin: &str,
    ) -> Self {
        Self {
            boot_time_ns: boottime(),
            boot: boot_id().map_or_else(|_| String::new(), |id| hex(&id)),
            clock: wall_clock(),
            what: what.name().to_owned(),
            code: code.to_owned(),
            epoch,
            sequence,
            hash: hash.map(|hash| hex(hash)),
            origin: origin[..origin.floor_char_boundary(limits::ORIGIN_BYTES)].to_owned(),
            times: 1,
        }
    }

    fn repeats(&self, other: &Self) -> bool {
        let of =
            |entry: &Self| Self { boot_time_ns: 0, boot: String::new(), clock: 0, times: 0, ..entry.clone() };
        of(self) == of(other)
    }
}

/// Records a decision of this device. What can't be recorded is said; it was decided all the same.
pub(crate) fn note(entry: Entry) {
    // Those who decide hold different locks, or none.
    let noted = lock::wait_for("history.lock").and_then(|_one| record(&Data::own(), entry));
    if let Err(error) = noted {
        log::error!("history: {error} (not recorded there; the ring has the event)");
    }
}

/// The history of this device, oldest first.
///
/// # Errors
/// `InvalidData` when it is damaged; own storage's.
pub(crate) fn read() -> io::Result<Vec<Entry>> {
    load(&Data::own())
}

fn record(disk: &impl Disk, entry: Entry) -> io::Result<()> {
    let mut entries = load(disk).or_else(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput => {
            log::error!("history: {error}: it is begun anew");
            Ok(Vec::new())
        }
        _ => Err(error),
    })?;
    match entries.last_mut() {
        Some(last) if entry.repeats(last) => *last = Entry { times: last.times.saturating_add(1), ..entry },
        _ => entries.push(entry),
    }
    let surplus = entries.len().saturating_sub(limits::HISTORY_ENTRIES);
    let lines = entries[surplus..].iter().map(|entry| Ok(serde_json::to_string(entry)? + "\n"));
    let text: String = lines.collect::<Result<_, serde_json::Error>>()?;
    disk::replace(disk, FILE, text.as_bytes())
}

fn load(disk: &impl Disk) -> io::Result<Vec<Entry>> {
    let damaged = |number: usize, what: &dyn core::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("line {number} is damaged: {what}"))
    };
    let bytes = disk::read(disk, FILE, limits::HISTORY_BYTES)?.unwrap_or_default();
    let text = str::from_utf8(&bytes).map_err(|error| damaged(0, &error))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(damaged(text.lines().count(), &"it has no end"));
    }
    let entry = |(number, line)| serde_json::from_str(line).map_err(|error| damaged(number + 1, &error));
    text.lines().enumerate().map(entry).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::simulated::Simulated;
    use super::*;

    fn entry(sequence: u64) -> Entry {
        Entry::now(What::Bundle, "accepted", (1, sequence), Some(&[7; 32]), "stick: a\u{1b}.aegis")
    }

    #[test]
    fn the_last_decisions_are_there_in_order_and_repetitions_are_counted() {
        let disk = Simulated::default();
        for sequence in 0..limits::HISTORY_ENTRIES as u64 + 5 {
            record(&disk, entry(sequence)).unwrap();
            record(&disk, entry(sequence)).unwrap();
        }
        let entries = load(&disk).unwrap();
        assert_eq!(entries.len(), limits::HISTORY_ENTRIES);
        let sequences: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, (5..limits::HISTORY_ENTRIES as u64 + 5).collect::<Vec<_>>());
        assert!(entries.iter().all(|entry| entry.times == 2 && entry.origin == "stick: a\u{1b}.aegis"));
    }

    #[test]
    fn the_longest_history_can_be_read() {
        let disk = Simulated::default();
        for sequence in 0..limits::HISTORY_ENTRIES as u64 {
            let origin = "\u{1}".repeat(limits::ORIGIN_BYTES + 9);
            let code = "x".repeat(aegis_bundle::limits::CODE_BYTES);
            let entry = Entry::now(
                What::BreakGlass,
                &code,
                (u64::MAX, u64::MAX - sequence),
                Some(&[0xff; 32]),
                &origin,
            );
            record(&disk, Entry { boot_time_ns: u64::MAX, clock: u64::MAX, times: u64::MAX, ..entry })
                .unwrap();
        }
        assert_eq!(load(&disk).unwrap().len(), limits::HISTORY_ENTRIES);
    }

    #[test]
    fn a_damaged_history_is_said_and_begun_anew() {
        let disk = Simulated::default();
        for damage in [&b"{}\n"[..], b"\xff\n", b"x", &vec![b'\n'; limits::HISTORY_BYTES as usize + 1]] {
            record(&disk, entry(1)).unwrap();
            disk::replace(&disk, FILE, damage).unwrap();
            assert!(load(&disk).is_err());
            record(&disk, entry(2)).unwrap();
            assert_eq!(load(&disk).unwrap().len(), 1);
        }
    }

    #[test]
    fn power_cuts_leave_the_history_before_or_after() {
        let mut disk = Simulated::default();
        record(&disk, entry(1)).unwrap();
        disk.flush();
        let cuts = disk.cut_everywhere(
            |disk| record(disk, entry(2)),
            |disk, done| {
                let length = load(&disk).unwrap().len();
                assert!(length == 2 || (length == 1 && !done), "{length} entries");
                record(&disk, entry(2)).unwrap();
                assert_eq!(load(&disk).unwrap().last().unwrap().sequence, 2);
            },
        );
        println!("history: {cuts}");
    }
}
