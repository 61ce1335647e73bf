//! Every bound of sticks.

use std::time::Duration;

/// Most entries of `aegis/` that a device looks at.
pub(super) const ENTRIES: usize = 64;
/// Longest name of a file, bytes.
pub(super) const NAME_BYTES: usize = 120;
/// Most entries of `aegis/out/` that are collected at once.
pub(super) const OUT_ENTRIES: usize = 8192;
/// Longest export, bytes.
pub(super) const EXPORT_BYTES: u64 = 8 << 30;
/// Longest status, bytes.
pub(super) const STATUS_BYTES: u64 = 1 << 20;
/// Longest support bundle, bytes, and its most parts: a device writes a dozen, of at most 256 KiB each.
pub(super) const SUPPORT_BYTES: u64 = 8 << 20;
pub(super) const SUPPORT_PARTS: usize = 32;
/// Most that one stick brings, bytes.
pub(super) const TOTAL_BYTES: u64 = 64 << 30;
/// Most devices in a devices file.
pub(super) const DEVICES: usize = 100_000;
/// Longest devices file, bytes.
pub(super) const DEVICES_BYTES: usize = DEVICES * 128;
/// Size of a new image: MiB by default, at least (FAT needs it), at most.
pub(super) const IMAGE_MIB: u32 = 64;
pub(super) const IMAGE_MIB_LEAST: i64 = 4;
pub(super) const IMAGE_MIB_MOST: i64 = 32 * 1024;
/// Longest that one tool works on an image.
pub(super) const TOOL: Duration = Duration::from_mins(10);
/// Longest listing of an image's directory, bytes.
pub(super) const LISTING_BYTES: u64 = 4 << 20;
