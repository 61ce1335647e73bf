//! ISO 9660: the label is in the primary volume descriptor; when that one has none, in Joliet's.

use crate::limits::DESCRIPTORS;
use crate::{Label, sector};

const SECTOR: u64 = 2048;
const FIRST: u64 = 16;
const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const END: u8 = 255;
const NAME: core::ops::Range<usize> = 40..72;
const ESCAPES: core::ops::Range<usize> = 88..91;

pub(crate) fn label(read: &mut impl FnMut(u64, &mut [u8]) -> Option<()>) -> Option<Label> {
    let (mut primary, mut joliet) = (None, None);
    for number in FIRST..FIRST + DESCRIPTORS {
        // Of the 2,048 bytes of a descriptor all that is wanted is at its beginning.
        let Some(descriptor) = sector(read, number * SECTOR) else { break };
        if &descriptor[1..6] != b"CD001" {
            break;
        }
        match descriptor[0] {
            PRIMARY if primary.is_none() => primary = Some(Label::new(descriptor[NAME].iter().copied())),
            SUPPLEMENTARY if matches!(&descriptor[ESCAPES], b"%/@" | b"%/C" | b"%/E") => {
                let units =
                    descriptor[NAME].chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
                joliet = joliet.or_else(|| Label::from_utf16(units));
            }
            END => break,
            _ => {}
        }
    }
    // The kernel mounts none without a primary descriptor.
    primary?.or(joliet)
}
