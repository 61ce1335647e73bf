//! Bytes of a terminal to keys: those of VT102 and its heirs. What is none is swallowed whole, so that no half of a sequence is
//! taken for a key.

use crate::limits;

/// What somebody pressed, or what the terminal answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A printable character of ASCII.
    Char(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Control and this letter, in small.
    Control(char),
    /// Where the cursor is (`ESC [ ROW ; COLUMN R`): asked in the last corner, it is the size of the screen.
    Place {
        row: u16,
        column: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    /// After `ESC`.
    Escape,
    /// After `ESC [`, or 0x9b.
    Sequence,
    /// After `ESC O`: one more byte.
    Single,
    /// A string to the terminal's end (`ESC ]`, `ESC P`, …): until `BEL` or `ESC \`.
    Text,
    /// In it, after `ESC`.
    TextEscape,
}

/// Takes bytes, gives keys.
#[derive(Debug)]
pub(crate) struct Keys {
    state: State,
    sequence: Vec<u8>,
    /// The byte before was a carriage return: a line feed behind it is the same key.
    returned: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Self { state: State::Ground, sequence: Vec::new(), returned: false }
    }
}

impl Keys {
    /// One byte; the key that it ends.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Key> {
        let returned = core::mem::take(&mut self.returned);
        match self.state {
            State::Ground => self.ground(byte, returned),
            State::Escape => self.escape(byte),
            State::Single => {
                self.state = State::Ground;
                final_key(byte)
            }
            State::Sequence => self.sequence(byte),
            State::Text => {
                self.state = match byte {
                    0x07 | 0x9c => State::Ground,
                    0x1b => State::TextEscape,
                    _ => State::Text,
                };
                None
            }
            State::TextEscape => {
                self.state = if byte == b'\\' { State::Ground } else { State::Text };
                None
            }
        }
    }

    /// Something was begun that more bytes may end.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state != State::Ground
    }

    /// Nothing came for [`limits::ESCAPE`]: a lone escape is the key.
    pub(crate) fn silence(&mut self) -> Option<Key> {
        let alone = self.state == State::Escape;
        self.state = State::Ground;
        self.sequence.clear();
        alone.then_some(Key::Escape)
    }

    fn ground(&mut self, byte: u8, returned: bool) -> Option<Key> {
        match byte {
            b'\r' => {
                self.returned = true;
                Some(Key::Enter)
            }
            b'\n' if returned => None,
            b'\n' => Some(Key::Enter),
            0x08 | 0x7f => Some(Key::Backspace),
            0x1b => {
                self.state = State::Escape;
                None
            }
            0x9b => {
                self.state = State::Sequence;
                None
            }
            1..=26 => Some(Key::Control(char::from(byte - 1 + b'a'))),
            b' '..=b'~' => Some(Key::Char(char::from(byte))),
            _ => None,
        }
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        self.sequence.clear();
        self.state = match byte {
            b'[' => State::Sequence,
            // Of `O`, and of intermediate bytes, one more comes.
            b'O' | b' '..=b'/' => State::Single,
            b']' | b'P' | b'X' | b'^' | b'_' => State::Text,
            0x1b => State::Escape,
            _ => State::Ground,
        };
        // Two in a row: the first was alone.
        (byte == 0x1b).then_some(Key::Escape)
    }

    fn sequence(&mut self, byte: u8) -> Option<Key> {
        match byte {
            0x1b => {
                self.state = State::Escape;
                None
            }
            0x40..=0x7e => {
                self.state = State::Ground;
                let sequence = core::mem::take(&mut self.sequence);
                if sequence.len() >= limits::SEQUENCE_BYTES {
                    return None;
                }
                numbered(&sequence, byte)
            }
            0x20..=0x3f => {
                // The rest of what is too long is swallowed, not kept.
                if self.sequence.len() < limits::SEQUENCE_BYTES {
                    self.sequence.push(byte);
                }
                None
            }
            _ => {
                self.state = State::Ground;
                None
            }
        }
    }
}

fn final_key(byte: u8) -> Option<Key> {
    Some(match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'M' => Key::Enter,
        _ => return None,
    })
}

/// `ESC [ PARAMETERS FINAL`.
fn numbered(parameters: &[u8], last: u8) -> Option<Key> {
    match last {
        b'~' => Some(match parameters {
            b"1" | b"7" => Key::Home,
            b"4" | b"8" => Key::End,
            b"5" => Key::PageUp,
            b"6" => Key::PageDown,
            _ => return None,
        }),
        b'R' => {
            let (row, column) = str::from_utf8(parameters).ok()?.split_once(';')?;
            Some(Key::Place { row: row.parse().ok()?, column: column.parse().ok()? })
        }
        // With a modifier (`1;5A`) it is the same key.
        _ if parameters.is_empty() || parameters.starts_with(b"1;") => {
            final_key(last).filter(|key| *key != Key::Enter)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        let mut all: Vec<Key> = bytes.iter().filter_map(|byte| keys.push(*byte)).collect();
        all.extend(keys.silence());
        assert!(!keys.is_waiting());
        all
    }

    #[test]
    fn keys_of_a_terminal() {
        for (bytes, expected) in [
            (&b"aZ ~"[..], &[Key::Char('a'), Key::Char('Z'), Key::Char(' '), Key::Char('~')][..]),
            (b"\r", &[Key::Enter]),
            (b"\r\n", &[Key::Enter]),
            (b"\n\n", &[Key::Enter, Key::Enter]),
            (b"\x7f\x08", &[Key::Backspace, Key::Backspace]),
            (b"\x0c\x03", &[Key::Control('l'), Key::Control('c')]),
            (b"\x1b", &[Key::Escape]),
            (b"\x1b\x1b", &[Key::Escape, Key::Escape]),
            (b"\x1b[A\x1b[B\x1bOA\x1bOB", &[Key::Up, Key::Down, Key::Up, Key::Down]),
            (b"\x1b[5~\x1b[6~", &[Key::PageUp, Key::PageDown]),
            (b"\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~", &[Key::Home, Key::End, Key::Home, Key::End, Key::Home]),
            (b"\x1b[1;5A\x9bB", &[Key::Up, Key::Down]),
            (b"\x1b[24;80R", &[Key::Place { row: 24, column: 80 }]),
            (b"\x1b[99999;80R", &[]),
            // Sequences that are no keys leave nothing behind.
            (b"\x1b[200~ok", &[Key::Char('o'), Key::Char('k')]),
            (b"\x1b[?1;2cx", &[Key::Char('x')]),
            (b"\x1b]0;rm -rf\x07x", &[Key::Char('x')]),
            (b"\x1bPq;r;o\x1b\\x", &[Key::Char('x')]),
            (b"\x1b(0x", &[Key::Char('x')]),
            (b"\x1b[\x1b[A", &[Key::Up]),
            (b"\xff\x80\x00", &[]),
            (b"\xc3\xa4", &[]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_never_ends_is_bounded() {
        let long = [b"\x1b[".as_slice(), &[b'1'; 10_000], b"Ax"].concat();
        assert_eq!(keys(&long), [Key::Char('x')]);
        let mut keys = Keys::default();
        assert!(long[..9000].iter().all(|byte| keys.push(*byte).is_none()));
        assert!(keys.sequence.len() <= limits::SEQUENCE_BYTES);
    }
}
