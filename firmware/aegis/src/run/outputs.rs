//! What the confined agent says of itself: its status, over the control socket and left behind at the end.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::Ordering;

use super::reader::accounts;
use super::shared::Shared;
use super::status::{HeapStatus, RingStatus, SealStatus, Setup, Status};
use crate::commands::status::final_status_path;
use crate::kernel::KernelState;
use crate::storage::device::boottime;
use crate::{heap, limits};

/// Files the confined agent still writes or reads.
pub(super) struct Outputs {
    last_status: File,
    statm: File,
    setup: Setup,
}

impl Outputs {
    pub(super) fn open(setup: Setup) -> io::Result<Self> {
        let path = final_status_path();
        let last_status = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Self { last_status, statm: File::open("/proc/self/statm")?, setup })
    }

    /// Resident memory and the mapped part of it, KiB (`statm`: size, resident, shared …); 0 when it can't be read.
    fn resident_kib(&self) -> [u64; 2] {
        let mut text = [0; 128];
        let length = self.statm.read_at(&mut text, 0).unwrap_or_default();
        let mut pages = core::str::from_utf8(&text[..length]).unwrap_or_default().split(' ').skip(1);
        let page_kib = rustix::param::page_size() as u64 / 1024;
        [(); 2].map(|()| pages.next().and_then(|n| n.parse::<u64>().ok()).unwrap_or_default() * page_kib)
    }

    /// Leaves the last status behind.
    pub(super) fn leave(&self, status: &Status) {
        let mut bytes = [0; limits::CONTROL_BYTES];
        let written = postcard::to_slice(status, &mut bytes)
            .map_err(io::Error::other)
            .and_then(|bytes| self.last_status.write_all_at(bytes, 0));
        if let Err(error) = written {
            log::warn!("last status: {error}");
        }
    }
}

/// The status now.
pub(super) fn status(state: &KernelState, shared: &Shared, outputs: &Outputs) -> Status {
    let books = accounts(state, shared);
    let heap = heap::in_use();
    let load = |number: &core::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    let at = boottime();
    let (mode, reason) = state.mode_at(at);
    let [rss_kib, rss_mapped_kib] = outputs.resident_kib();
    Status {
        phase: shared.phase(),
        at,
        mode,
        reason,
        broken_until: state.broken_until(),
        policy: state.policy(),
        events: shared.by_kind(),
        denied: shared.denied(),
        passed: state.total_passed(),
        fallen: state.total_fallen(),
        volumes_full: state.total_volumes_full(),
        flows_full: state.total_flows_full(),
        seen: books.seen,
        written: books.written,
        lost: books.lost,
        ring: RingStatus {
            first: load(&shared.ring_first),
            acked: load(&shared.acked),
            used: load(&shared.ring_used),
            capacity: load(&shared.ring_capacity),
            flushes: load(&shared.flushes),
            errors: load(&shared.write_errors),
            level: shared.level().number(),
            percent: shared.percent.load(Ordering::Relaxed),
            overwritten: load(&shared.lost_on_disk.overwritten),
            overwritten_range: (load(&shared.lost_on_disk.first), load(&shared.lost_on_disk.last)),
            cuts: load(&shared.lost_on_disk.cuts),
            damaged: load(&shared.lost_on_disk.damaged),
        },
        seal: SealStatus {
            state: shared.seal(),
            epoch: load(&shared.sealing.epoch),
            at: load(&shared.sealing.at),
            sequence: load(&shared.sealing.sequence),
        },
        setup: outputs.setup,
        heap: HeapStatus {
            limit: heap.limit as u64,
            peak: heap.peak as u64,
            current: heap.current as u64,
            allocations: load(&shared.reader_allocations) + load(&shared.writer_allocations),
        },
        rss_kib,
        rss_mapped_kib,
    }
}
