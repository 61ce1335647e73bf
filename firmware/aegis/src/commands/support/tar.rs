//! A tar file (POSIX.1-1988 `ustar`): regular files of root's, without times. The same files give the same bytes.

const BLOCK: usize = 512;
/// Where things are in a header.
const MODE: usize = 100;
const OWNER: usize = 108;
const GROUP: usize = 116;
const SIZE: usize = 124;
const TIME: usize = 136;
const SUM: usize = 148;
const TYPE: usize = 156;
const MAGIC: usize = 257;

#[derive(Default)]
pub(super) struct Tar(Vec<u8>);

impl Tar {
    /// One more file. Names are ours: short, and without folders.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) {
        let mut header = [0u8; BLOCK];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, &name.as_bytes()[..name.len().min(MODE - 1)]);
        put(MODE, b"0000600\0");
        put(OWNER, b"0000000\0");
        put(GROUP, b"0000000\0");
        put(SIZE, format!("{:011o}\0", bytes.len()).as_bytes());
        put(TIME, b"00000000000\0");
        put(SUM, b"        ");
        put(TYPE, b"0");
        put(MAGIC, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[SUM..SUM + 8].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    /// Two empty blocks.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}
