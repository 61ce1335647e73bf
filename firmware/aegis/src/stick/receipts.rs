//! Receipts: signed when something was decided, written when the stick may be written to.

use std::io;
use std::path::Path;

use aegis_bundle::{Answer, Receipt, What, encode_receipt, limits as bounds};
use aegis_event::Mode;

use crate::commands::policy::Taken;
use crate::kernel::KernelState;
use crate::storage::atomic;
use crate::storage::device::{self, Identity, hex};

/// The answers of one take. Bounded by what is looked at of a stick.
pub(crate) struct Receipts<'i> {
    identity: &'i Identity,
    boot_id: [u8; 16],
    /// The ring's chain head when the take began, as far as it is on disk.
    ring_head: Option<[u8; 32]>,
    /// Name and bytes.
    signed: Vec<(String, Vec<u8>)>,
}

impl<'i> Receipts<'i> {
    pub(crate) fn new(identity: &'i Identity, ring_head: Option<[u8; 32]>) -> io::Result<Self> {
        Ok(Self { identity, boot_id: device::boot_id()?, ring_head, signed: Vec::new() })
    }

    /// Signs the answer to what was offered; `None`: nothing was. `root_version` is of the root metadata now in force.
    pub(crate) fn add(&mut self, taken: Option<&Taken>, root_version: u64) -> io::Result<()> {
        // A device without probes has no policy in force.
        let (policy, mode) = match KernelState::open() {
            Ok(state) => (state.policy(), state.mode().0),
            Err(_) => (crate::kernel::PolicyInForce::default(), Mode::AuditOnly.number()),
        };
        let receipt = Receipt {
            public_key: self.identity.public(),
            what: taken.map_or(What::Nothing, |taken| taken.what),
            seen: taken.and_then(|taken| taken.hash),
            answer: taken.map_or(Answer::None, |taken| taken.answer),
            code: taken.map_or("", |taken| taken.code),
            epoch: policy.epoch,
            sequence: policy.sequence,
            mode: Mode::from_number(mode).unwrap_or(Mode::AuditOnly),
            ring_head: self.ring_head,
            boot_id: self.boot_id,
            boot_time: device::boottime(),
            clock: device::wall_clock(),
            clock_trusted: false,
            root_version,
        };
        let mut bytes = [0; bounds::RECEIPT_BYTES];
        let length = encode_receipt(&receipt, self.identity.secret(), &mut bytes)
            .map_err(|error| io::Error::other(error.code()))?;
        self.signed.push((name(&receipt), bytes[..length].to_vec()));
        Ok(())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.signed.len()
    }

    /// Writes them, each whole or not at all; returns how many there are.
    pub(crate) fn write(&self, out: &Path) -> io::Result<usize> {
        for (name, bytes) in &self.signed {
            atomic::replace(out, name, bytes, 0o644)?;
        }
        Ok(self.signed.len())
    }
}

/// `receipt-DEVICE-CLOCK-BOOT-MICROSECONDS.cbor`. Receipts of several devices lie on one stick, and it keeps its older
/// ones: sorted by name, a device's are in the order in which they were made, as far as its clock goes forward.
fn name(receipt: &Receipt<'_>) -> String {
    let (device, boot) = (hex(&receipt.device()[..4]), hex(&receipt.boot_id[..4]));
    format!("receipt-{device}-{:010}-{boot}-{:012}.cbor", receipt.clock, receipt.boot_time / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time() {
        let receipt = |clock, boot_time| Receipt {
            public_key: [7; 32],
            what: What::Nothing,
            seen: None,
            answer: Answer::None,
            code: "",
            epoch: 1,
            sequence: 1,
            mode: Mode::AuditOnly,
            ring_head: None,
            boot_id: [0xab; 16],
            boot_time,
            clock,
            clock_trusted: false,
            root_version: 1,
        };
        let names = [(5, 9_000), (5, 10_000), (1_800_000_000, 11_000), (1_800_000_000, 99_000_000_000_000)]
            .map(|(clock, boot_time)| name(&receipt(clock, boot_time)));
        assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(
            names[0].starts_with("receipt-") && names[0].ends_with("-0000000005-abababab-000000000009.cbor")
        );
    }
}
