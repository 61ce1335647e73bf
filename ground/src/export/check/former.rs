//! A ring that outlived its device's key: what the device sealed under the key it had before.

use aegis_cose::public_key;
use aegis_export::Id;
use aegis_export::read::{Item, ItemError};
use aegis_export::seal::{Certificate, Checkpoint};

use super::{Checker, Pass};
use crate::export::problem::Code;
use crate::hex;

/// A sealing record of this ring, whole by itself, of another device than this one. That it was in the ring is for the
/// manifest to say, which counts it; that it vouches for the events, for its head and its roots.
pub(in crate::export) fn former(bytes: &[u8], device: &Id, ring: &Id) -> Option<Item<'static>> {
    let item = if let Ok(checkpoint) = Checkpoint::open(bytes) {
        (checkpoint.ring == *ring).then_some(Item::Checkpoint(checkpoint))
    } else {
        let key = public_key(&Certificate::peek(bytes).ok()?.device_key).ok()?;
        let certificate = Certificate::open(bytes, &key).ok()?;
        (certificate.ring == *ring).then_some(Item::Certificate(certificate))
    }?;
    (item.device() != *device).then_some(item)
}

impl Checker {
    /// An item that does not verify by the key of the file's device.
    pub(super) fn not_this_keys(&mut self, pass: &mut Pass<'_>, error: ItemError, bytes: &[u8]) {
        match former(bytes, &pass.survey.device, &pass.survey.ring) {
            Some(item) => self.former(pass, &item, bytes),
            None => self.item_error(pass, error),
        }
    }

    /// Takes such a record. Each device that sealed the ring is named once in a row, over all files.
    fn former(&mut self, pass: &mut Pass<'_>, item: &Item<'_>, bytes: &[u8]) {
        let device = item.device();
        if pass.seals.ring.former.replace(device) != Some(device) {
            let detail = format!(
                "the ring was sealed as device {} here, and is now device {}'s: the device got a new key because its data \
                 disk was replaced or lost, or someone put a key of his own in its place. What was sealed before is held \
                 against the events as ever; exports that left before are the other device's",
                hex::encode(&device),
                hex::encode(&pass.survey.device)
            );
            self.findings.problem(Code::DeviceRekeyed, pass.name, pass.place.clone(), detail);
        }
        match item {
            Item::Checkpoint(checkpoint) => self.checkpoint(pass, checkpoint, bytes),
            Item::Certificate(certificate) => self.certificate(pass, certificate, bytes),
            Item::Segment(_) | Item::Manifest(_) => {}
        }
    }
}
