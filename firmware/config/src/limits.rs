//! Every bound of this crate.

/// Longest file, bytes. Eight recipients and the template's comments take 2 KiB.
pub const FILE_BYTES: usize = 16 * 1024;
/// Most TOML tokens in it (words, blanks, signs): what parsing takes in memory.
pub const TOKENS: usize = 4096;
/// Most age recipients.
pub const RECIPIENTS: usize = 8;
/// Longest name of a light, bytes (`include/linux/leds.h:LED_MAX_NAME_SIZE`).
pub const LED_BYTES: usize = 64;
/// Faults that are told of one file.
pub const FAULTS: usize = 16;
/// Of a name or value in the file, characters that a fault shows.
pub const SHOWN: usize = 40;
/// Longest name that is compared with those that are known, bytes.
pub const NAME_BYTES: usize = 64;
/// Bounds of `window_ms`, ms.
pub const WINDOW_MS: (u32, u32) = (10, 1000);
/// Bounds of `checkpoint_seconds`, s.
pub const CHECKPOINT_SECONDS: (u32, u32) = (5, 3600);
/// Largest `every_minutes`: a day.
pub const EVERY_MINUTES: u32 = 1440;
/// Longest file of the log, KiB: two of them are a small part of the smallest data partition.
pub const LOG_KIB: u32 = 4096;
