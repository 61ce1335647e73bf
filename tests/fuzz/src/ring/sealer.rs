//! Seals whatever the ring says of itself. No key evolves: that is `aegis_seal`'s.

use aegis_cose::{Domain, device_id};
use aegis_ring::Summary;
use aegis_seal::{Checkpoint, Open};

use crate::keys::{self, public};
use crate::seal::checkpoint_payload;

/// The device, and the key of every epoch.
const KEY: usize = 3;

pub(super) struct Sealer {
    /// A forger's ring may contradict itself.
    pub(super) forged: bool,
}

impl aegis_ring::Sealer for Sealer {
    type Error = core::convert::Infallible;

    /// What an honest ring says of itself goes together.
    fn seal(&mut self, summary: &Summary, out: &mut [u8]) -> Result<(u64, usize), Self::Error> {
        let epoch = summary.sealing.map_or(0, |sealing| sealing.next_epoch);
        let checkpoint = Checkpoint {
            device: device_id(&public(KEY)),
            ring: summary.ring_id,
            boot: summary.boot_id,
            epoch,
            key: public(KEY),
            next_key: public(KEY),
            previous: summary.sealing.map_or([0; 32], |sealing| sealing.hash),
            sequence: summary.sequence,
            head: summary.head,
            open: Open { segment: summary.segment, first: summary.segment_first, leaves: summary.open },
            closed: summary.closed,
            retained: summary.retained,
            books: summary.books,
            boottime: 1,
            period: 0,
        };
        let record = keys::single(&checkpoint_payload(&checkpoint), Domain::Seal, KEY);
        let read = Checkpoint::peek(&record);
        assert!(self.forged || read == Ok(checkpoint), "{read:?}: {summary:?}");
        out[..record.len()].copy_from_slice(&record);
        Ok((epoch + 1, record.len()))
    }
}
