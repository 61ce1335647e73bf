//! The two files that lines are kept in: one is written until it is full, then the other is begun anew. The first line of each says how
//! many were begun before it.

use crate::limits::LINE_BYTES;

const FRONT: &str = "# aegis log, part ";
const DIGITS: usize = 10;
/// Length of the first line, bytes.
pub const HEAD_BYTES: usize = FRONT.len() + DIGITS + 1;
/// One that is greater was not written here.
const MOST: u64 = 9_999_999_998;

/// The first line of this part.
pub fn head(number: u64) -> [u8; HEAD_BYTES] {
    let mut head = [b'\n'; HEAD_BYTES];
    head[..FRONT.len()].copy_from_slice(FRONT.as_bytes());
    let mut rest = number;
    for digit in head[FRONT.len()..HEAD_BYTES - 1].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    head
}

/// Which part this is, by its beginning; 0: not one that was begun.
pub fn number(front: &[u8]) -> u64 {
    let digits = front.get(..HEAD_BYTES).and_then(|head| head.strip_prefix(FRONT.as_bytes()));
    let Some([digits @ .., b'\n']) = digits else { return 0 };
    let number = digits.iter().try_fold(0u64, |number, digit| match digit {
        b'0'..=b'9' => Some(number * 10 + u64::from(digit - b'0')),
        _ => None,
    });
    number.filter(|number| *number <= MOST).unwrap_or(0)
}

/// Where the next line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// To the end of this file.
    Append(usize),
    /// To this one, which is begun anew with this number.
    Begin(usize, u64),
}

/// By number and length of each, and the longest that one may be, bytes.
pub fn next(parts: [(u64, u64); 2], limit: u64) -> Next {
    let newer = usize::from(parts[1].0 > parts[0].0);
    let (number, length) = parts[newer];
    let full = length.saturating_add(LINE_BYTES as u64) > limit.max(2 * LINE_BYTES as u64);
    match number {
        0 => Next::Begin(0, 1),
        // Nobody came so far by writing: it is begun anew itself, so that it is not the newer one for ever.
        MOST.. if full => {
            let other = parts[1 - newer].0;
            Next::Begin(newer, if other < MOST { other + 1 } else { 1 })
        }
        _ if full => Next::Begin(1 - newer, number + 1),
        _ => Next::Append(newer),
    }
}
