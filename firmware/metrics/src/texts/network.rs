//! `/proc/net/dev` (`net/core/net-procfs.c:dev_seq_show`).

use super::{lines, numbers, words};

/// One interface. Each pair: received, sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface<'a> {
    /// As the kernel calls it.
    pub name: &'a [u8],
    /// Bytes.
    pub bytes: [Option<u64>; 2],
    /// Packets.
    pub packets: [Option<u64>; 2],
    /// With errors.
    pub errors: [Option<u64>; 2],
    /// Dropped.
    pub drops: [Option<u64>; 2],
}

/// The lines of `/proc/net/dev`; its two heads are none.
pub fn interfaces(text: &[u8]) -> impl Iterator<Item = Interface<'_>> {
    lines(text).filter_map(|line| {
        // A name may have a colon in it (an alias); what follows the last one are numbers.
        let colon = line.iter().rposition(|byte| *byte == b':')?;
        let (name, rest) = line.split_at(colon);
        let name = name.trim_ascii();
        let mut words = words(rest.get(1..).unwrap_or_default());
        let [received, packets, errors, drops, _, _, _, _, sent, sent_packets, sent_errors, sent_drops] =
            numbers(&mut words);
        if name.is_empty() || received.is_none() {
            return None;
        }
        Some(Interface {
            name,
            bytes: [received, sent],
            packets: [packets, sent_packets],
            errors: [errors, sent_errors],
            drops: [drops, sent_drops],
        })
    })
}
