//! Tells a stick of ours from any other disk: its file system, and the label in it, from raw bytes.
//!
//! The kernel's own file-system code, which is large and trusts much, sees only what was named to it here: a file system
//! whose label is the wanted one. What is read is anybody's: every number is bounded before it is used, every chain is cut,
//! nothing is kept but the label. Nothing here allocates or opens a file.
//!
//! | file system | label | source |
//! |---|---|---|
//! | vfat | entry in the root directory, else boot sector | Microsoft FAT specification, 2005-08, 3.1 to 3.4, 6 |
//! | exfat | entry 0x83 in the root directory | Microsoft exFAT specification, 2019-08, 3.1, 4.1, 7.3 |
//! | ext4 | superblock | `fs/ext4/ext4.h:struct ext4_super_block` |
//! | iso9660 | primary volume descriptor, else Joliet's | ECMA-119 8.4, Joliet specification 1995 |
#![no_std]
#![forbid(unsafe_code)]

mod exfat;
mod ext4;
mod iso9660;
pub mod limits;
mod vfat;

use limits::{LABEL_BYTES, SECTOR_BYTES};

/// A device of sysfs, by its path without links, that hangs on a USB bus: `…/usb1/1-1/…`. What does is anybody's.
pub fn is_on_usb(device: &[u8]) -> bool {
    device.split(|byte| *byte == b'/').any(|part| {
        let bus = part.strip_prefix(b"usb");
        bus.is_some_and(|bus| bus.first().is_some_and(u8::is_ascii_digit))
    })
}

/// The file systems that a stick may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// exFAT.
    Exfat,
    /// ext4; ext2 and ext3 are mounted as such.
    Ext4,
    /// ISO 9660.
    Iso9660,
}

impl FileSystem {
    /// Every one of them, in the order in which they are looked for.
    pub const ALL: [Self; 4] = [Self::Exfat, Self::Vfat, Self::Ext4, Self::Iso9660];

    /// Its name, as mount(2) takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vfat => "vfat",
            Self::Exfat => "exfat",
            Self::Ext4 => "ext4",
            Self::Iso9660 => "iso9660",
        }
    }
}

impl core::fmt::Display for FileSystem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// A label: any bytes, blanks and NULs at its end taken off; a character of UTF-16 beyond ASCII is a `?`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label {
    bytes: [u8; LABEL_BYTES],
    length: usize,
}

impl Label {
    /// Its bytes: hostile, not to be shown as they are.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// `None` when nothing but blanks is there.
    fn new(bytes: impl IntoIterator<Item = u8>) -> Option<Self> {
        let mut label = Self { bytes: [0; LABEL_BYTES], length: 0 };
        for (to, byte) in label.bytes.iter_mut().zip(bytes) {
            *to = byte;
            label.length += 1;
        }
        while let [.., b' ' | 0] = label.as_bytes() {
            label.length -= 1;
        }
        (label.length > 0).then_some(label)
    }

    /// From UTF-16 code units, up to the first NUL.
    fn from_utf16(units: impl IntoIterator<Item = u16>) -> Option<Self> {
        let ascii = |unit| u8::try_from(unit).ok().filter(u8::is_ascii).unwrap_or(b'?');
        Self::new(units.into_iter().take_while(|unit| *unit != 0).map(ascii))
    }
}

impl core::fmt::Debug for Label {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

/// The label of a file system of this kind, if there is one and it has one. `read` fills its buffer from a place of the
/// device, in bytes, or says that it can't; it is called at most [`limits::READS`] times.
pub fn label(kind: FileSystem, mut read: impl FnMut(u64, &mut [u8]) -> Option<()>) -> Option<Label> {
    match kind {
        FileSystem::Vfat => vfat::label(&mut read),
        FileSystem::Exfat => exfat::label(&mut read),
        FileSystem::Ext4 => ext4::label(&mut read),
        FileSystem::Iso9660 => iso9660::label(&mut read),
    }
}

/// The first file system on the device that has exactly this label. Bytes can be made to pass for several.
pub fn find(wanted: &[u8], mut read: impl FnMut(u64, &mut [u8]) -> Option<()>) -> Option<FileSystem> {
    FileSystem::ALL
        .into_iter()
        .find(|kind| label(*kind, &mut read).is_some_and(|label| label.as_bytes() == wanted))
}

/// One sector from `at` on.
fn sector(read: &mut impl FnMut(u64, &mut [u8]) -> Option<()>, at: u64) -> Option<[u8; SECTOR_BYTES]> {
    let mut bytes = [0; SECTOR_BYTES];
    read(at, &mut bytes).map(|()| bytes)
}

/// Little-endian numbers at a place in bytes that are known to be long enough.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
