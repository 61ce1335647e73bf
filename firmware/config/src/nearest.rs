//! What somebody may have meant.

use alloc::vec::Vec;

use crate::limits::NAME_BYTES;

/// The known name that is nearest to this one, if any is near.
pub(crate) fn nearest(found: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if found.len() > NAME_BYTES {
        return None;
    }
    known
        .map(|known| (distance(found.as_bytes(), known.as_bytes()), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// How many letters to put in, leave out, change or swap with their neighbour (optimal string alignment).
fn distance(from: &[u8], to: &[u8]) -> usize {
    let (mut before, mut row): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=to.len()).collect());
    for (i, a) in from.iter().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (j, b) in to.iter().enumerate() {
            let mut least =
                (row[j] + usize::from(!a.eq_ignore_ascii_case(b))).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && from[i - 1] == *b && to[j - 1] == *a {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = core::mem::replace(&mut row, next);
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found_and_nothing_far() {
        let known = ["sync", "window_ms", "full", "checkpoint_seconds", "every_minutes", "recipients"];
        for (found, meant) in [
            ("snyc", Some("sync")),
            ("Sync", Some("sync")),
            ("windows_ms", Some("window_ms")),
            ("window-ms", Some("window_ms")),
            ("checkpoint_second", Some("checkpoint_seconds")),
            ("recipient", Some("recipients")),
            ("every_minute", Some("every_minutes")),
            ("", None),
            ("x", None),
            ("colour", None),
            ("é", None),
        ] {
            assert_eq!(nearest(found, known.into_iter()), meant, "{found}");
        }
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b""), 3);
        assert_eq!(distance(b"abdc", b"abcd"), 1);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
    }
}
