//! How a table lies on the disk (UEFI 2.10, 5.2.3, 5.3.2 and 5.3.3): typed views of its bytes, all little-endian.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A GUID, as it lies on the disk.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Guid([u8; 16]);

impl Guid {
    /// Of its bytes on the disk.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Of random bytes: version 4 (RFC 9562, 5.4), whose first three fields lie the other way round here.
    pub const fn from_random_bytes(mut bytes: [u8; 16]) -> Self {
        bytes[7] = bytes[7] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Its bytes on the disk.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// The header of a copy.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) signature: [u8; 8],
    pub(crate) revision: U32,
    pub(crate) length: U32,
    pub(crate) sum: U32,
    pub(crate) reserved: U32,
    pub(crate) my_block: U64,
    pub(crate) alternate: U64,
    pub(crate) first_usable: U64,
    pub(crate) last_usable: U64,
    pub(crate) guid: Guid,
    pub(crate) array: U64,
    pub(crate) count: U32,
    pub(crate) entry_size: U32,
    pub(crate) array_crc: U32,
}

impl Header {
    pub(crate) const SIGNATURE: [u8; 8] = *b"EFI PART";
    pub(crate) const REVISION: u32 = 0x0001_0000;

    /// Its sum, which it has as zeros in itself.
    pub(crate) fn own_sum(&self, crc: &crc::Crc<u32>) -> u32 {
        crc.checksum(Self { sum: U32::ZERO, ..*self }.as_bytes())
    }
}

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) kind: Guid,
    pub(crate) guid: Guid,
    pub(crate) first: U64,
    pub(crate) last: U64,
    pub(crate) attributes: U64,
    /// UTF-16, zeros behind it.
    pub(crate) name: [u8; 72],
}

impl Entry {
    pub(crate) const UNUSED: Self = Self {
        kind: Guid([0; 16]),
        guid: Guid([0; 16]),
        first: U64::ZERO,
        last: U64::ZERO,
        attributes: U64::ZERO,
        name: [0; 72],
    };

    pub(crate) fn is_used(&self) -> bool {
        self.kind != Self::UNUSED.kind
    }

    /// It is called this.
    pub(crate) fn is_called(&self, label: &str) -> bool {
        self.name == name(label)
    }
}

/// A label as an entry has it: its first 36 units.
pub(crate) fn name(label: &str) -> [u8; 72] {
    let mut name = [0; 72];
    for (unit, place) in label.encode_utf16().zip(name.chunks_exact_mut(2)) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
    name
}

/// An MBR's record of a partition.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Record {
    pub(crate) boot: u8,
    pub(crate) start: [u8; 3],
    pub(crate) kind: u8,
    pub(crate) end: [u8; 3],
    pub(crate) first: U32,
    pub(crate) count: U32,
}

/// The MBR.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Mbr {
    pub(crate) code: [u8; 446],
    pub(crate) records: [Record; 4],
    pub(crate) signature: [u8; 2],
}
