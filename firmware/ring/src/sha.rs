//! SHA-256 of short messages, block by block from where they lie: at the length of an event a hasher that collects
//! what it is given costs as much again as a compression.

use sha2::block_api::compress256;

use crate::bytes::put;

const BLOCK: usize = 64;
/// The end of a message: one byte 0x80, and its length in bits.
const END: usize = 1 + 8;

/// The state before the first block (FIPS 180-4, section 5.3.3).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// SHA-256 of (`previous` ‖ `number` ‖ `bytes`): a link of the chain.
pub(crate) fn link(previous: &[u8; 32], number: [u8; 8], bytes: &[u8]) -> [u8; 32] {
    let mut prefix = [0; 40];
    put(&mut prefix, 0, previous);
    put(&mut prefix, 32, &number);
    message(prefix, bytes)
}

/// SHA-256 of (`0x00` ‖ `data`): a leaf of a Merkle tree.
pub(crate) fn leaf(data: &[u8]) -> [u8; 32] {
    message([0], data)
}

/// SHA-256 of (`0x01` ‖ `left` ‖ `right`): a node of a Merkle tree.
pub(crate) fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut prefix = [1; 33];
    put(&mut prefix, 1, left);
    short::<2>(&prefix, right)
}

/// SHA-256 of nothing: a Merkle tree without leaves.
pub(crate) fn empty() -> [u8; 32] {
    short::<1>(&[], &[])
}

fn message<const PREFIX: usize>(prefix: [u8; PREFIX], bytes: &[u8]) -> [u8; 32] {
    const SHORT: usize = 3;
    let length = PREFIX + bytes.len();
    if length + END <= BLOCK {
        return short::<1>(&prefix, bytes);
    } else if length + END <= SHORT * BLOCK {
        return short::<SHORT>(&prefix, bytes);
    }
    let mut state = START;
    let mut block = [0; BLOCK];
    let (begin, rest) = bytes.split_at(BLOCK - PREFIX);
    put(&mut block, 0, &prefix);
    put(&mut block, PREFIX, begin);
    compress256(&mut state, &[block]);
    let (blocks, rest) = rest.as_chunks();
    compress256(&mut state, blocks);
    last::<2>(state, &[], rest, length)
}

/// A message that has at most so many blocks.
fn short<const BLOCKS: usize>(prefix: &[u8], bytes: &[u8]) -> [u8; 32] {
    last::<BLOCKS>(START, prefix, bytes, prefix.len() + bytes.len())
}

/// The end of a message of `length` bytes: `prefix` and `bytes` are what is left of it, and with what ends every message
/// fill at most so many blocks.
#[inline]
fn last<const BLOCKS: usize>(mut state: [u32; 8], prefix: &[u8], bytes: &[u8], length: usize) -> [u8; 32] {
    let mut blocks = [[0; BLOCK]; BLOCKS];
    let rest = prefix.len() + bytes.len();
    let count = (rest + END).div_ceil(BLOCK);
    let flat = blocks.as_flattened_mut();
    put(flat, 0, prefix);
    put(flat, prefix.len(), bytes);
    flat[rest] = 0x80;
    put(flat, count * BLOCK - 8, &bits(length));
    compress256(&mut state, &blocks[..count]);
    digest(state)
}

const fn bits(length: usize) -> [u8; 8] {
    (length as u64 * 8).to_be_bytes()
}

fn digest(state: [u32; 8]) -> [u8; 32] {
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::bytes::array;

    /// The library's own hasher.
    fn sha256(parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        hash.finalize().into()
    }

    #[test]
    fn every_length_has_the_hash_that_the_library_gives() {
        let bytes: [u8; 1100] = core::array::from_fn(|n| (n * 7 + n / 251) as u8);
        let (left, right) = (array(&bytes, 3), array(&bytes, 500));
        assert_eq!(empty(), sha256(&[]));
        assert_eq!(node(&left, &right), sha256(&[&[1], &left, &right]));
        for length in 0..bytes.len() {
            let part = &bytes[..length];
            let number = (length as u64 * 0x0102_0304_0506).to_be_bytes();
            assert_eq!(link(&left, number, part), sha256(&[&left, &number, part]), "{length}");
            assert_eq!(leaf(part), sha256(&[&[0], part]), "{length}");
        }
    }
}
