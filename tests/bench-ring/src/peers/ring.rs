//! The ring, in a file.

use std::path::Path;

use aegis_ring::{FormatOptions, Options, Ring, SyncMode, format};

use super::Contender;
use crate::Outcome;
use crate::device::FileDevice;

/// What is left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Chained,
    Unchained,
    NotFlushed,
    NotFlushedUnchained,
}

pub(crate) struct InRing {
    kind: Kind,
    ring: Ring<'static, FileDevice>,
}

const RING_BYTES: u64 = 128 << 20;
/// The agent's commit buffer.
const COMMIT_BYTES: usize = 64 << 10;

impl InRing {
    pub(crate) fn new(directory: &Path, kind: Kind) -> Outcome<Self> {
        let path = directory.join(format!("ring-{}", kind as u8));
        let options = FormatOptions { ring_id: [kind as u8; 16], bytes: 0, segment_bytes: 0 };
        format(FileDevice::open(&path, RING_BYTES)?, &options)?;
        let flushes = matches!(kind, Kind::Chained | Kind::Unchained);
        let options =
            Options { sync: if flushes { SyncMode::WINDOW } else { SyncMode::None }, ..Options::default() };
        let device = FileDevice::open(&path, RING_BYTES)?;
        let mut ring = Ring::open_with(device, [1; 16], vec![0; COMMIT_BYTES].leak(), options)?;
        if matches!(kind, Kind::Unchained | Kind::NotFlushedUnchained) {
            ring.unchain();
        }
        Ok(Self { kind, ring })
    }
}

impl Contender for InRing {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Chained => "ring",
            Kind::Unchained => "ring, without chain",
            Kind::NotFlushed => "ring, sync=none",
            Kind::NotFlushedUnchained => "ring, sync=none, without chain",
        }
    }

    fn flushed(&self) -> bool {
        matches!(self.kind, Kind::Chained | Kind::Unchained)
    }

    fn batch(&mut self, events: &[Vec<u8>]) -> Outcome<()> {
        for event in events {
            self.ring.append(event)?;
        }
        self.ring.commit()?;
        Ok(())
    }
}
