//! Merkle tree heads (RFC 6962, section 2.1), leaf by leaf, in logarithmic space.

use crate::sha::{empty, leaf, node};

/// Complete subtrees that are remembered: one for each bit of the number of leaves.
const LEVELS: usize = 64;

/// A tree that grows at its right edge.
///
/// ```text
/// leaf(d)    = SHA-256( 0x00 ‖ d )
/// node(l, r) = SHA-256( 0x01 ‖ l ‖ r )
/// root()     = SHA-256( "" )                                   of no leaf
/// root(d)    = leaf(d)
/// root(D)    = node( root(D[..k]), root(D[k..]) )              k: the largest power of two below the number of leaves
/// ```
#[derive(Clone, Debug)]
pub struct Merkle {
    leaves: u64,
    /// Root of the complete subtree of 2^n leaves, where bit n of `leaves` is set.
    subtrees: [[u8; 32]; LEVELS],
}

impl Merkle {
    /// The tree without leaves.
    pub const fn new() -> Self {
        Self { leaves: 0, subtrees: [[0; 32]; LEVELS] }
    }

    /// Adds a leaf with these bytes.
    pub fn push(&mut self, data: &[u8]) {
        let mut root = leaf(data);
        let mut level = 0;
        while self.leaves >> level & 1 == 1 {
            root = node(&self.subtrees[level], &root);
            level += 1;
        }
        self.subtrees[level] = root;
        self.leaves += 1;
    }

    /// Leaves so far.
    pub const fn leaves(&self) -> u64 {
        self.leaves
    }

    /// The head of the tree.
    pub fn root(&self) -> [u8; 32] {
        let mut subtrees = (0..LEVELS).filter(|level| self.leaves >> level & 1 == 1);
        let Some(lowest) = subtrees.next() else { return empty() };
        subtrees.fold(self.subtrees[lowest], |right, level| node(&self.subtrees[level], &right))
    }

    /// Forgets all leaves.
    pub fn clear(&mut self) {
        self.leaves = 0;
    }
}

impl Default for Merkle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn hash(parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// The definition, as RFC 6962 writes it.
    fn by_definition(leaves: &[&[u8]]) -> [u8; 32] {
        match leaves {
            [] => hash(&[]),
            [leaf] => hash(&[&[0], leaf]),
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                hash(&[&[1], &by_definition(left), &by_definition(right)])
            }
        }
    }

    #[test]
    fn every_prefix_has_the_root_of_the_definition() {
        let data: [[u8; 3]; 140] = core::array::from_fn(|n| [n as u8, 1, 2]);
        let leaves: [&[u8]; 140] = core::array::from_fn(|n| &data[n][..n % 4]);
        let mut tree = Merkle::new();
        for count in 0..=leaves.len() {
            assert_eq!(tree.leaves(), count as u64);
            assert_eq!(tree.root(), by_definition(&leaves[..count]), "{count} leaves");
            if let Some(leaf) = leaves.get(count) {
                tree.push(leaf);
            }
        }
        tree.clear();
        assert_eq!(tree.root(), by_definition(&[]));
    }

    /// Certificate Transparency's own test vectors (`merkletree` tests): eight leaves.
    #[test]
    fn the_published_vectors_hold() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Merkle::new();
        for (count, expected) in roots.iter().enumerate() {
            let root = tree.root();
            for (byte, digits) in root.iter().zip(expected.as_bytes().chunks(2)) {
                let digit = |ascii: u8| (ascii as char).to_digit(16).expect("hexadecimal") as u8;
                assert_eq!(*byte, digit(digits[0]) << 4 | digit(digits[1]), "{count} leaves");
            }
            if let Some(leaf) = leaves.get(count) {
                tree.push(leaf);
            }
        }
    }
}
