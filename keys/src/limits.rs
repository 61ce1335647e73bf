//! Every bound of key files and passphrases.

/// Longest key file, bytes: secret, encrypted or public.
pub const KEY_FILE_BYTES: usize = 4096;
/// Fewest characters of a passphrase for a new key.
pub const PASSPHRASE_CHARACTERS: usize = 12;
/// Fewest different characters in it.
pub const PASSPHRASE_DIFFERENT: usize = 6;
/// Longest passphrase, bytes.
pub const PASSPHRASE_BYTES: usize = 1024;
/// scrypt's work factor, log2(N), of a new key: age's own. 256 MiB and about a second for each guess.
pub const WORK_FACTOR: u8 = 18;
/// Highest work factor that is tried on reading: 4 GiB.
pub const WORK_FACTOR_MOST: u8 = 22;
