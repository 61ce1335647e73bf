//! CRC-32C, and the seed that ties a frame to its place and time.

use crc::{CRC_32_ISCSI, Crc, Table};

/// Sixteen tables: 16 KiB of read-only memory for several bytes a cycle.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The state before the first byte.
const START: u32 = !0;

/// CRC-32C of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !update(START, bytes)
}

/// The state of a frame's CRC before its first byte: ring id, segment number and boot id went through it.
#[derive(Clone, Copy)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(ring_id: &[u8; 16], segment: u64, boot_id: &[u8; 16]) -> Self {
        let state = update(START, ring_id);
        Self(update(update(state, &segment.to_le_bytes()), boot_id))
    }

    pub(crate) fn crc32c(self, bytes: &[u8]) -> u32 {
        !update(self.0, bytes)
    }
}

/// Takes in `bytes`, by the library's tables but by words: its own loop looks at each byte twice, which shows in a frame
/// of 150 of them.
fn update(mut state: u32, bytes: &[u8]) -> u32 {
    let tables = CRC.table();
    // What byte `n` of a word does to the state when `after` whole bytes of the stretch follow the word.
    let lookup =
        |word: u64, n: usize, after: usize| tables[after + 7 - n][usize::from((word >> (8 * n)) as u8)];
    let (chunks, rest) = bytes.as_chunks::<16>();
    for chunk in chunks {
        let both = u128::from_le_bytes(*chunk);
        let (low, high) = (both as u64 ^ u64::from(state), (both >> 64) as u64);
        let of_high = (0..8).fold(0, |sum, n| sum ^ lookup(high, n, 0));
        state = (0..8).fold(of_high, |sum, n| sum ^ lookup(low, 7 - n, 8));
    }
    for byte in rest {
        state = tables[0][usize::from(state as u8 ^ byte)] ^ state >> 8;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_the_sum_that_the_library_gives() {
        let bytes: [u8; 1100] = core::array::from_fn(|n| (n * 7 + n / 251) as u8);
        for length in 0..bytes.len() {
            assert_eq!(crc32c(&bytes[..length]), CRC.checksum(&bytes[..length]), "{length}");
        }
        assert_eq!(crc32c(b"123456789"), CRC_32_ISCSI.check);
        let (ring, boot) = ([3; 16], [9; 16]);
        let mut digest = CRC.digest();
        digest.update(&ring);
        digest.update(&77u64.to_le_bytes());
        digest.update(&boot);
        digest.update(&bytes);
        assert_eq!(Seed::new(&ring, 77, &boot).crc32c(&bytes), digest.finalize());
    }
}
