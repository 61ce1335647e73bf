//! How a target cuts its input into fields, and how a seed puts them together.
//!
//! By hand and not by `arbitrary`: the cut must not change with a version of a crate, or the corpus means something else.

/// Reads fields from the front of an input. At its end every field is zero or empty.
#[derive(Clone, Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `length` bytes, or what is left.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        front
    }

    /// A byte.
    pub fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> u16 {
        u16::from(self.u8()) | u16::from(self.u8()) << 8
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> u64 {
        (0..8).fold(0, |sum, index| sum | u64::from(self.u8()) << (8 * index))
    }

    /// Two bytes of length, and that many bytes or what is left.
    pub fn block(&mut self) -> &'a [u8] {
        let length = self.u16();
        self.take(usize::from(length))
    }

    /// What is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }
}

/// A block as [`Input::block`] reads it, added to a seed.
///
/// # Panics
/// For more than 64 KiB.
pub fn put_block(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u16::try_from(bytes.len()).expect("a seed is short").to_le_bytes());
    out.extend(bytes);
}

/// A change to bytes.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    at: u16,
    how: u8,
    with: u8,
}

/// How many changes an input has: few are enough, and one is the hardest to find.
pub fn changes(input: &mut Input<'_>) -> Vec<Change> {
    (0..input.u8() % 4).map(|_| Change { at: input.u16(), how: input.u8(), with: input.u8() }).collect()
}

impl Change {
    /// A byte is another one.
    pub const FLIP: u8 = 0;
    /// There is one more.
    pub const INSERT: u8 = 1;
    /// There is one less.
    pub const REMOVE: u8 = 2;
    /// What is taken for a CBOR head has its next longer form.
    pub const WIDEN: u8 = 3;

    /// Changes `bytes`, wherever in them it is.
    pub fn apply(self, bytes: &mut Vec<u8>) {
        let Some(at) = usize::from(self.at).checked_rem(bytes.len()) else { return };
        match self.how % 4 {
            Self::FLIP => bytes[at] ^= self.with,
            Self::INSERT => bytes.insert(at, self.with),
            Self::REMOVE => drop(bytes.remove(at)),
            _ => {
                let (major, argument) = (bytes[at] & 0xe0, bytes[at] & 0x1f);
                let wider: &[u8] = match argument {
                    0..0x18 => &[major | 0x18, argument],
                    0x18 => &[major | 0x19, 0],
                    0x19 => &[major | 0x1a, 0, 0],
                    0x1a => &[major | 0x1b, 0, 0, 0, 0],
                    _ => return,
                };
                bytes.splice(at..=at, wider.iter().copied());
            }
        }
    }
}

/// `bytes`, changed.
pub fn changed(bytes: &[u8], by: &[Change]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for change in by {
        change.apply(&mut out);
    }
    out
}

/// A change as a seed tells it: where, how, with what.
pub type Told = (u16, u8, u8);

/// Changes as [`changes`] reads them, added to a seed.
pub fn put_changes(out: &mut Vec<u8>, changes: &[Told]) {
    out.push(changes.len() as u8);
    for (at, how, with) in changes {
        out.extend(at.to_le_bytes());
        out.extend([*how, *with]);
    }
}
