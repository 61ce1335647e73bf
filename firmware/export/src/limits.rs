//! Every bound of the export format, used by the writer, the reader, the tests and `docs/formats/export.md`.

/// Longest event in a segment, bytes: the event model's own bound.
pub const EVENT_BYTES: usize = aegis_event::limits::EVENT_BYTES;
/// Longest payload of one item (segment or manifest), bytes.
pub const PAYLOAD_BYTES: usize = 64 * 1024;
/// Most that COSE adds to a payload, bytes: tag, array, protected header, three lengths, signature.
pub const COSE_BYTES: usize = 128;
/// Longest item of an export, bytes. A buffer of this size always holds one.
pub const ITEM_BYTES: usize = PAYLOAD_BYTES + COSE_BYTES;
/// Most events in one segment.
pub const SEGMENT_EVENTS: usize = 4096;
/// What a segment's payload needs besides its events, bytes.
pub const SEGMENT_FRAME_BYTES: usize = 160;
/// Longest manifest item, bytes: what is kept free on the stick so that it always fits.
pub const MANIFEST_BYTES: usize = 2048;
/// Most ranges of damaged sequences in one export; it ends before the next one.
pub const GAPS: usize = 16;
/// Longest agent version in a manifest, bytes.
pub const VERSION_BYTES: usize = 64;
/// Most policies that a manifest lists.
pub const POLICIES: usize = 16;
/// Longest sealing record, bytes.
pub const RECORD_BYTES: usize = aegis_seal::limits::RECORD_BYTES;
const _: () = assert!(COSE_BYTES >= aegis_cose::limits::SIGN1_OVERHEAD);
const _: () = assert!(RECORD_BYTES <= ITEM_BYTES);
