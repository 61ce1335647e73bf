//! Names of files as the probes hash them (`probes/bpf/sip.bpf.h`, `probes/bpf/abi.h`: `struct aegis_name_key`).

use core::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// The key of this load: who can't read it can't make names that collide.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameKey(pub(super) [u64; 2]);

impl NameKey {
    fn hash(self, words: impl IntoIterator<Item = u64>) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        for word in words {
            hasher.write(&word.to_le_bytes());
        }
        hasher.finish()
    }

    /// A component: its length, then its bytes in words, zero padded.
    pub(super) fn component(self, name: &[u8]) -> u64 {
        let word = |chunk: &[u8]| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        };
        self.hash([name.len() as u64].into_iter().chain(name.chunks(8).map(word)))
    }

    /// A path below the root of its file system, component by component.
    pub(super) fn path<'n>(self, device: u32, root: u64, components: impl Iterator<Item = &'n [u8]>) -> u64 {
        let begin = self.hash([u64::from(device), root]);
        components.fold(begin, |above, name| self.hash([above, self.component(name)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published vector for nothing (SipHash-1-3, key 0 to 15). That the probes mean the same is seen in the guest.
    #[test]
    fn the_hash_is_the_published_one() {
        let key = NameKey([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        assert_eq!(key.hash([]), 0xabac_0158_050f_c4dc);
    }

    #[test]
    fn no_two_ways_to_cut_a_path_are_one() {
        let key = NameKey([1, 2]);
        let path = |parts: &[&str]| key.path(3, 4, parts.iter().map(|part| part.as_bytes()));
        let all = [
            path(&["ab", "c"]),
            path(&["a", "bc"]),
            path(&["abc"]),
            path(&["abc", ""]),
            path(&["abc\0"]),
            path(&["c", "ab"]),
            key.path(4, 3, [b"abc".as_slice()].into_iter()),
        ];
        let distinct: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
