//! What can go wrong, each with a stable code.

use core::fmt::{Display, Formatter};

/// Why the ring could not do what was asked. `E` is the device's own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// There is no ring: no superblock at either place.
    Unformatted,
    /// The bytes at this device offset are not what the ring wrote there.
    Corrupted {
        /// Byte offset on the device of the structure that does not hold.
        offset: u64,
    },
    /// The device refused; the state of what was being written is unknown until a retry succeeds.
    Device(E),
    /// The device ended, or took no byte, inside the ring's range.
    Short {
        /// Byte offset on the device.
        offset: u64,
    },
    /// The device is smaller than the ring on it, or than a ring can be.
    TooSmall {
        /// Bytes needed.
        needed: u64,
    },
    /// The buffer is smaller than [`BUFFER_BYTES_MIN`](crate::limits::BUFFER_BYTES_MIN).
    BufferTooSmall,
    /// Ring and segment size don't go together: see [`limits`](crate::limits).
    BadGeometry,
    /// The payload is longer than [`PAYLOAD_BYTES`](crate::limits::PAYLOAD_BYTES).
    PayloadTooLong,
    /// What the reader wanted was overwritten by newer frames.
    Overwritten {
        /// The first sequence that is still there.
        first_sequence: u64,
    },
    /// The sequence was never written.
    Beyond {
        /// The sequence after the last one.
        next_sequence: u64,
    },
    /// The ring is full of events that were not exported, and is configured to stop. Export, then tell the ring.
    Full {
        /// The first sequence that the next segment would overwrite.
        sequence: u64,
    },
    /// The sealing record is longer than [`RECORD_BYTES`](crate::limits::RECORD_BYTES).
    RecordTooLong,
    /// Sequences or segment numbers are used up. Not in a lifetime, unless the ring was forged.
    Exhausted,
}

impl<E> Error<E> {
    /// The stable reason code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unformatted => "ring-unformatted",
            Self::Corrupted { .. } => "ring-corrupted",
            Self::Device(_) => "ring-device",
            Self::Short { .. } => "ring-device-short",
            Self::TooSmall { .. } => "ring-too-small",
            Self::BufferTooSmall => "ring-buffer-too-small",
            Self::BadGeometry => "ring-bad-geometry",
            Self::PayloadTooLong => "ring-payload-too-long",
            Self::Overwritten { .. } => "ring-overwritten",
            Self::Beyond { .. } => "ring-beyond-end",
            Self::Full { .. } => "ring-full",
            Self::RecordTooLong => "ring-record-too-long",
            Self::Exhausted => "ring-exhausted",
        }
    }
}

impl<E: Display> Display for Error<E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unformatted => f.write_str("no ring on this device"),
            Self::Corrupted { offset } => write!(f, "ring is corrupted at byte {offset}"),
            Self::Device(error) => write!(f, "device: {error}"),
            Self::Short { offset } => write!(f, "device ended at byte {offset}"),
            Self::TooSmall { needed } => write!(f, "device is too small: {needed} bytes needed"),
            Self::BufferTooSmall => {
                write!(f, "buffer is too small: {} bytes needed", crate::limits::BUFFER_BYTES_MIN)
            }
            Self::BadGeometry => f.write_str("ring and segment size do not go together"),
            Self::PayloadTooLong => f.write_str("payload is too long"),
            Self::Overwritten { first_sequence } => {
                write!(f, "overwritten: the first sequence left is {first_sequence}")
            }
            Self::Beyond { next_sequence } => {
                write!(f, "not written yet: the next sequence is {next_sequence}")
            }
            Self::Full { sequence } => {
                write!(
                    f,
                    "full: from sequence {sequence} on nothing was exported (export, or let it overwrite)"
                )
            }
            Self::RecordTooLong => f.write_str("sealing record is too long"),
            Self::Exhausted => f.write_str("sequence numbers are used up"),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Device(error) => Some(error),
            _ => None,
        }
    }
}
