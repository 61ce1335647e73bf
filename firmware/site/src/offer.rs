//! What the agent says of the policy in force (`aegis site --section`).
//!
//! ```text
//! time (8, little-endian) | device id (16) | site section (CBOR, docs/formats/bundle.cddl)
//! ```

use aegis_bundle::Site;

/// Time, device, section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    bytes: Vec<u8>,
}

impl Offer {
    /// Reads one; `None` when it is none.
    pub fn decode(bytes: Vec<u8>) -> Option<Self> {
        let offer = Self { bytes };
        (offer.bytes.len() > 24 && Site::decode(offer.section()).is_ok()).then_some(offer)
    }

    /// Puts one together.
    pub fn new(time: u64, device: &[u8; 16], section: &[u8]) -> Option<Self> {
        Self::decode([&time.to_le_bytes()[..], device, section].concat())
    }

    /// It again.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The earliest that it can be, Unix seconds: the latest of the image's build time, the highest time that was ever signed and the
    /// device's clock.
    pub fn time(&self) -> u64 {
        self.bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Who the device is.
    pub fn device(&self) -> &[u8] {
        &self.bytes[8..24]
    }

    fn section(&self) -> &[u8] {
        &self.bytes[24..]
    }

    /// What the policy says.
    ///
    /// # Panics
    /// Never: it was read before.
    pub fn site(&self) -> Site<'_> {
        Site::decode(self.section()).expect("read before")
    }

    /// The same policy, whatever time it is.
    pub fn is_same(&self, other: &Self) -> bool {
        self.bytes[8..] == other.bytes[8..]
    }
}
