//! Where the items of a CBOR sequence (RFC 8742) end, of bytes that come in pieces of any length. Nothing is kept of them but a head that
//! is not whole yet.

use crate::limits::ITEM_PARTS;

/// What is no item of ours: of indefinite length, of a reserved form, or of more parts than any has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoItem;

/// Between two pieces.
#[derive(Clone, Debug, Default)]
pub struct Items {
    head: [u8; 9],
    /// Bytes of the head that are there.
    have: usize,
    /// Bytes of a string that are to come.
    skip: u64,
    /// Data items that are to come until the one of the sequence is whole; 0: the next byte begins one.
    parts: u64,
}

impl Items {
    /// How many bytes of `piece` there are up to the end of an item, the first that ends in it; `None`: none does, and all of it is
    /// counted. The next piece goes on where this one was left.
    ///
    /// # Errors
    /// [`NoItem`]; what comes behind it is not to be read any more.
    pub fn end(&mut self, piece: &[u8]) -> Result<Option<usize>, NoItem> {
        let mut at = 0;
        while at < piece.len() {
            if self.skip > 0 {
                let step = self.skip.min((piece.len() - at) as u64);
                self.skip -= step;
                at += step as usize;
            } else {
                self.head[self.have] = piece[at];
                self.have += 1;
                at += 1;
                self.part()?;
            }
            if self.have == 0 && self.skip == 0 && self.parts == 0 {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Reads the head, when it is whole (RFC 8949, section 3).
    fn part(&mut self) -> Result<(), NoItem> {
        let (major, word) = (self.head[0] >> 5, self.head[0] & 0x1f);
        let width = match word {
            0..24 => 0,
            24..28 => 1_usize << (word - 24),
            _ => return Err(NoItem),
        };
        if self.have < 1 + width {
            return Ok(());
        }
        let number = match width {
            0 => u64::from(word),
            _ => self.head[1..=width].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        };
        self.have = 0;
        let parts = match major {
            2 | 3 => {
                self.skip = number;
                0
            }
            4 => number,
            5 => number.saturating_mul(2),
            6 => 1,
            _ => 0,
        };
        self.parts = self.parts.saturating_sub(1).saturating_add(parts);
        if self.parts > ITEM_PARTS { Err(NoItem) } else { Ok(()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Ends of items, from the beginning of the sequence.
    fn ends(bytes: &[u8], most: usize) -> Result<Vec<usize>, NoItem> {
        let (mut items, mut found, mut before) = (Items::default(), Vec::new(), 0);
        for piece in bytes.chunks(most) {
            let mut at = 0;
            while let Some(end) = items.end(&piece[at..])? {
                at += end;
                found.push(before + at);
            }
            before += piece.len();
        }
        Ok(found)
    }

    #[test]
    fn items_end_where_they_do_in_pieces_of_any_length() {
        let shown = [&[0x83, 0x19, 0x12, 0x67, 0x50][..], &[7; 16], &[0x58, 30], &[0xff; 30]].concat();
        let missed: &[u8] = b"\xa3\x00\x01\x01\xf6\x02\x67damaged";
        let nested: &[u8] = b"\xd8\x20\x82\x80\x81\xa1\x40\x20";
        let long = [&[0x59, 0x10, 0x00][..], &[0x83; 4096]].concat();
        let all = [&shown, missed, b"\x40", nested, &long, b"\x1b\0\0\0\0\0\0\0\x01", missed].concat();
        let mut expected = Vec::new();
        for item in [shown.len(), missed.len(), 1, nested.len(), long.len(), 9, missed.len()] {
            expected.push(expected.last().unwrap_or(&0) + item);
        }
        for most in [1, 2, 3, 7, 64, 1000, all.len()] {
            assert_eq!(ends(&all, most), Ok(expected.clone()), "pieces of {most}");
        }
        // One that is not whole ends nowhere.
        assert_eq!(ends(&all[..all.len() - 1], 5).unwrap().len(), 6);
    }

    #[test]
    fn what_is_no_item_of_ours_is_refused() {
        for bytes in
            [&[0x9f][..], &[0xbf], &[0x5f], &[0xff], &[0x1c], &[0x83, 0x01, 0xfe], b"\x9a\xff\xff\xff\xff"]
        {
            assert_eq!(ends(bytes, 1), Err(NoItem), "{bytes:x?}");
        }
    }
}
