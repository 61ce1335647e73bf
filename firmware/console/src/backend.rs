//! Cells to bytes for a terminal: cursor moves, eight colours, printable ASCII (ECMA-48; what VT102 and its heirs know). Nothing else
//! is ever sent: a cell with anything else in it becomes a question mark.

use core::convert::Infallible;
use core::fmt::Write as _;

use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::Cell;
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};

use crate::limits;

/// Collects what a drawing sends.
#[derive(Debug)]
pub(crate) struct Ansi {
    size: Size,
    bytes: String,
    cursor: Option<bool>,
    /// Nobody knows what stands on the screen: the next drawing goes over each row.
    unknown: bool,
    /// More was to be sent than one drawing may have: the screen is not what it should be.
    pub(crate) overflowed: bool,
}

/// How characters look, as far as it is sent.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    colour: Option<u8>,
    bold: bool,
    underlined: bool,
    reversed: bool,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let colour = match cell.fg {
            Color::Red | Color::LightRed => Some(1),
            Color::Green | Color::LightGreen => Some(2),
            Color::Yellow | Color::LightYellow => Some(3),
            Color::Cyan | Color::LightCyan => Some(6),
            _ => None,
        };
        let has = |modifier| cell.modifier.contains(modifier);
        Self {
            colour,
            bold: has(Modifier::BOLD),
            underlined: has(Modifier::UNDERLINED),
            reversed: has(Modifier::REVERSED),
        }
    }
}

impl Ansi {
    /// Of a screen of this size.
    pub(crate) const fn new((width, height): (u16, u16)) -> Self {
        let size = Size { width, height };
        Self { size, bytes: String::new(), cursor: None, unknown: false, overflowed: false }
    }

    /// The screen is of another size from now on.
    pub(crate) const fn resize(&mut self, (width, height): (u16, u16)) {
        self.size = Size { width, height };
    }

    /// What is to be sent; the next drawing begins anew.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.bytes).into_bytes()
    }

    fn send(&mut self, text: &str) {
        if self.bytes.len() + text.len() > limits::DRAWING_BYTES {
            self.overflowed = true;
        } else {
            self.bytes.push_str(text);
        }
    }

    fn go(&mut self, x: u16, y: u16) {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = write!(text, "\x1b[{};{}H", y + 1, x + 1);
        self.send(&text);
    }

    /// Nothing stands in these rows any more. One after the other, each before it is written: a screen that is gone over does not flicker.
    fn wipe(&mut self, rows: core::ops::Range<u16>) {
        for row in rows {
            self.go(0, row);
            self.send("\x1b[0m\x1b[2K");
        }
    }

    /// Shown or not; said when it is another.
    fn cursor(&mut self, shown: bool) {
        if self.cursor.replace(shown) != Some(shown) {
            self.send(if shown { "\x1b[?25h" } else { "\x1b[?25l" });
        }
    }

    fn look(&mut self, look: Look) {
        let mut text = "\x1b[0".to_owned();
        for (is, code) in [(look.bold, ";1"), (look.underlined, ";4"), (look.reversed, ";7")] {
            if is {
                text.push_str(code);
            }
        }
        if let Some(colour) = look.colour {
            let _ = write!(text, ";3{colour}");
        }
        text.push('m');
        self.send(&text);
    }
}

impl Backend for Ansi {
    type Error = Infallible;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Infallible>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut next = None;
        let mut last = Look::default();
        let mut begun = false;
        let mut wiped = if core::mem::take(&mut self.unknown) { 0 } else { self.size.height };
        for (x, y, cell) in content {
            if y >= wiped {
                self.wipe(wiped..y + 1);
                (wiped, next, begun) = (y + 1, None, false);
            }
            // In the last corner some terminals scroll.
            if y + 1 >= self.size.height && x + 1 >= self.size.width {
                continue;
            }
            if next != Some((x, y)) {
                self.go(x, y);
            }
            let look = Look::of(cell);
            if !begun || look != last {
                self.look(look);
                (begun, last) = (true, look);
            }
            let symbol = cell.symbol();
            let fit = symbol.len() == 1 && symbol.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            self.send(if fit { symbol } else { "?" });
            // At the right edge terminals differ in where the cursor is.
            next = (x + 1 < self.size.width).then_some((x + 1, y));
        }
        if begun && last != Look::default() {
            self.look(Look::default());
        }
        self.wipe(wiped..self.size.height);
        Ok(())
    }

    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        self.cursor(false);
        Ok(())
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        self.cursor(true);
        Ok(())
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Infallible> {
        let Position { x, y } = position.into();
        self.go(x, y);
        Ok(())
    }

    /// With the next drawing, row by row.
    fn clear(&mut self) -> Result<(), Infallible> {
        self.unknown = true;
        Ok(())
    }

    /// Of all of the screen, whatever is asked: nothing else asks.
    fn clear_region(&mut self, _: ClearType) -> Result<(), Infallible> {
        self.clear()
    }

    fn size(&self) -> Result<Size, Infallible> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ratatui_core::style::Style;
    use ratatui_core::terminal::Terminal;

    use super::*;

    fn drawn(terminal: &mut Terminal<Ansi>, text: &str, style: Style) -> String {
        let _ = terminal.draw(|frame| {
            frame.buffer_mut().set_string(2, 1, text, style);
        });
        String::from_utf8(terminal.backend_mut().take()).expect("ASCII")
    }

    #[test]
    fn only_what_changed_is_sent_and_only_ascii() {
        let mut terminal = Terminal::new(Ansi::new((80, 24))).expect("can't fail");
        let first = drawn(&mut terminal, "ab", Style::new());
        assert_eq!(first, "\x1b[2;3H\x1b[0mab\x1b[?25l");
        assert_eq!(drawn(&mut terminal, "ab", Style::new()), "");
        let again = drawn(&mut terminal, "aX", Style::new().fg(Color::Red).add_modifier(Modifier::BOLD));
        assert_eq!(again, "\x1b[2;3H\x1b[0;1;31maX\x1b[0m");
        let whole = {
            let _ = terminal.clear();
            drawn(&mut terminal, "aX", Style::new())
        };
        let rows = |rows: core::ops::RangeInclusive<u16>| {
            let wiped: Vec<String> = rows.map(|row| format!("\x1b[{row};1H\x1b[0m\x1b[2K")).collect();
            wiped.concat()
        };
        assert_eq!(whole, format!("\x1b[1;1H{}\x1b[2;3H\x1b[0maX{}", rows(1..=2), rows(3..=24)));
        let hostile = drawn(&mut terminal, "\u{fc}\u{4e2d}", Style::new());
        assert_eq!(hostile, "\x1b[2;3H\x1b[0m??");
    }
}
