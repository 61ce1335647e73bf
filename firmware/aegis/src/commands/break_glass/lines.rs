//! A token's lines, typed or pasted in any order, and the bytes of a serial line before they are lines. Pure.

use aegis_bundle::limits::{ARMOR_LINE_BYTES, ARMOR_LINES};
use aegis_bundle::{ArmorBytes, ArmorError, unarmor};
use aegis_cose::Sign;

use crate::limits::CONSOLE_LINE_BYTES;

/// The lines that are there.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Line 1 is the first.
    lines: Vec<Option<ArmorBytes>>,
}

impl Lines {
    /// Takes a line; the token when that was the last one missing.
    ///
    /// # Errors
    /// Which line it is, as far as it says, and what is wrong with it. What was taken before stays.
    pub(super) fn feed(&mut self, line: &str) -> Result<Option<Vec<u8>>, (Option<u8>, ArmorError)> {
        let said = number(line).ok_or((None, ArmorError::Character))?;
        let (number, bytes) = read(said, line).map_err(|error| (Some(said), error))?;
        let index = usize::from(number) - 1;
        // Only the last line may be shorter than the others.
        let short = bytes.len() < ARMOR_LINE_BYTES;
        let after_the_last = self.lines[..index.min(self.lines.len())]
            .iter()
            .flatten()
            .any(|line| line.len() < ARMOR_LINE_BYTES);
        if after_the_last || (short && index + 1 < self.lines.len()) {
            return Err((Some(said), ArmorError::Number));
        }
        if self.lines.len() <= index {
            self.lines.resize(index + 1, None);
        }
        self.lines[index] = Some(bytes);
        Ok(self.token(short))
    }

    /// The number of the first line that is missing.
    pub(super) fn missing(&self) -> usize {
        self.lines.iter().position(Option::is_none).unwrap_or(self.lines.len()) + 1
    }

    /// How many lines are there.
    pub(super) fn count(&self) -> usize {
        self.lines.iter().flatten().count()
    }

    /// The token, if it is whole: no line is missing, and the last one is short, or the message ends with it.
    fn token(&self, short: bool) -> Option<Vec<u8>> {
        if self.lines.iter().any(Option::is_none) {
            return None;
        }
        let token: Vec<u8> = self.lines.iter().flatten().flatten().copied().collect();
        let ends = short
            || self.lines.last().and_then(Option::as_ref).is_some_and(|last| last.len() < ARMOR_LINE_BYTES)
            || self.lines.len() == ARMOR_LINES
            || Sign::parse(&token).is_ok();
        ends.then_some(token)
    }
}

/// The number that a line says it has, 1 to 99, and 0 for 100.
fn number(line: &str) -> Option<u8> {
    let digits: [u8; 2] = line.trim_start().as_bytes().first_chunk().copied()?;
    digits.iter().all(u8::is_ascii_digit).then(|| (digits[0] - b'0') * 10 + (digits[1] - b'0'))
}

/// Reads a line; of numbers above 99 only the end is written.
fn read(said: u8, line: &str) -> Result<(u8, ArmorBytes), ArmorError> {
    let candidates =
        [said, said + 100].into_iter().filter(|number| (1..=ARMOR_LINES).contains(&usize::from(*number)));
    let mut result = Err(ArmorError::Number);
    for number in candidates {
        result = unarmor(number, line).map(|bytes| (number, bytes));
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Bytes of a serial line, to lines: bounded, and without anything that is not printable.
#[derive(Debug, Default)]
pub(super) struct Typed {
    line: String,
    /// There was more than a line may hold.
    long: bool,
    /// The byte before was a carriage return: a line feed belongs to it.
    returned: bool,
}

/// A line that was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TypedLine {
    /// What is printable of it.
    Whole(String),
    /// It was longer than a line may be.
    TooLong,
}

impl Typed {
    /// Takes a byte; the line when that was its end.
    pub(super) fn push(&mut self, byte: u8) -> Option<TypedLine> {
        let returned = std::mem::replace(&mut self.returned, byte == b'\r');
        match byte {
            b'\n' if returned => {}
            b'\n' | b'\r' => {
                let line = std::mem::take(&mut self.line);
                let long = std::mem::take(&mut self.long);
                return Some(if long { TypedLine::TooLong } else { TypedLine::Whole(line) });
            }
            // Backspace, on a line that does not edit itself.
            0x08 | 0x7f => drop(self.line.pop()),
            b'\t' | b' '..=b'~' if self.line.len() < CONSOLE_LINE_BYTES => self.line.push(char::from(byte)),
            b'\t' | b' '..=b'~' => self.long = true,
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_bundle::armor;
    use aegis_bundle::limits::TOKEN_BYTES;

    /// Something that parses as a message: `COSE_Sign` with an embedded payload and one signature, `length` bytes long.
    fn message(length: usize) -> Vec<u8> {
        let signature = (aegis_cose::key_id(&[7; 32]), [7; 64]);
        let mut out = vec![0; length];
        (0..length)
            .find(|payload| {
                let written = aegis_cose::sign_embedded(&vec![0x40; *payload], &[signature], &mut out);
                written == Ok(length)
            })
            .expect("there is a payload of that length");
        out
    }

    fn feed_all(lines: &[String]) -> Option<Vec<u8>> {
        let mut collected = Lines::default();
        for (index, line) in lines.iter().enumerate() {
            let token = collected.feed(line).expect("a good line");
            if index + 1 == lines.len() {
                return token;
            }
            assert_eq!(token, None, "line {index}");
        }
        None
    }

    #[test]
    fn a_token_is_whole_when_its_last_line_came_in_whatever_order() {
        for length in [199, 200, 201, 219, 220] {
            let token = message(length);
            let mut lines: Vec<String> = armor(&token).map(|line| line.to_string()).collect();
            assert_eq!(feed_all(&lines).as_ref(), Some(&token), "{length} bytes");
            lines.reverse();
            assert_eq!(feed_all(&lines).as_ref(), Some(&token), "{length} bytes, backwards");
            let half = lines.len() / 2;
            lines.rotate_left(half);
            assert_eq!(feed_all(&lines).as_ref(), Some(&token), "{length} bytes, in two parts");
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_only_that_one_is_missing() {
        let token = message(200);
        let lines: Vec<String> = armor(&token).map(|line| line.to_string()).collect();
        let mut collected = Lines::default();
        for (index, line) in lines.iter().enumerate() {
            if index == 2 {
                let mut slip = line.clone().into_bytes();
                slip[5] = if slip[5] == b'A' { b'C' } else { b'A' };
                let slip = String::from_utf8(slip).expect("ASCII");
                assert_eq!(collected.feed(&slip), Err((Some(3), ArmorError::Checksum)));
                continue;
            }
            assert_eq!(collected.feed(line), Ok(None));
        }
        assert_eq!((collected.missing(), collected.count()), (3, lines.len() - 1));
        for bad in ["", "x", "3", "hello", "é3", "-1 ABCD"] {
            assert_eq!(collected.feed(bad), Err((None, ArmorError::Character)), "{bad}");
        }
        assert_eq!(collected.feed("00 AAAA"), Err((Some(0), ArmorError::Character)));
        assert_eq!(collected.feed(&lines[2].to_lowercase()), Ok(Some(token)));
    }

    #[test]
    fn nothing_comes_after_a_short_line() {
        let token = message(201);
        let lines: Vec<String> = armor(&token).map(|line| line.to_string()).collect();
        let short = armor(&[1, 2, 3]).next().expect("a line").to_string();
        let mut collected = Lines::default();
        assert_eq!(collected.feed(&lines[4]), Ok(None));
        assert_eq!(collected.feed(&short), Err((Some(1), ArmorError::Number)));
        assert_eq!(collected.feed(&lines[10]), Ok(None));
        let more: Vec<u8> = (0..12 * 20u8).collect();
        let after = armor(&more).last().expect("a line").to_string();
        assert_eq!(collected.feed(&after), Err((Some(12), ArmorError::Number)));
    }

    #[test]
    fn the_longest_token_has_numbers_above_99() {
        let token: Vec<u8> = (0..TOKEN_BYTES).map(|n| (n * 7) as u8).collect();
        let lines: Vec<String> = armor(&token).map(|line| line.to_string()).collect();
        assert_eq!(lines.len(), ARMOR_LINES);
        assert_eq!(feed_all(&lines).as_ref(), Some(&token));
    }

    #[test]
    fn any_bytes_become_bounded_printable_lines() {
        let mut typed = Typed::default();
        let mut type_all =
            |bytes: &[u8]| bytes.iter().filter_map(|byte| typed.push(*byte)).collect::<Vec<_>>();
        let whole = |text: &str| TypedLine::Whole(text.to_owned());
        assert_eq!(type_all(b"01 AB\x7fC\x08\x08D\r\n"), [whole("01 D")]);
        assert_eq!(type_all(b"\n\r\r\n"), [whole(""), whole(""), whole("")]);
        assert_eq!(type_all(b"\x1b[2J\x00\xff\x9bx\x07\n"), [whole("[2Jx")]);
        let long = vec![b'A'; 10 * CONSOLE_LINE_BYTES];
        assert_eq!(type_all(&long), []);
        assert_eq!(type_all(b"\n"), [TypedLine::TooLong]);
        assert_eq!(type_all(&long[..CONSOLE_LINE_BYTES]), []);
        assert_eq!(type_all(b"\n"), [whole(&"A".repeat(CONSOLE_LINE_BYTES))]);
        for byte in 0..=255 {
            type_all(&[byte]);
        }
    }
}
