//! Rows in the text form of `COPY` (PostgreSQL 15 manual, "COPY", File Formats).

use std::fmt::Write as _;
use std::io::Write as _;

use postgres::{Client, Error};

use super::super::table::{Cell, Spec, Type};
use super::super::tables::long;
use crate::export::clock::stamp;
use crate::outcome::Failure;

/// Rows that wait to be sent.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a row.
    pub(super) fn add(&mut self, columns: &[Spec], cells: &[Cell<'_>]) -> Result<(), Failure> {
        for (index, (column, cell)) in columns.iter().zip(cells).enumerate() {
            if index > 0 {
                self.0.push('\t');
            }
            // Writing to a String can't fail.
            let _ = match cell {
                Cell::None => write!(self.0, "\\N"),
                Cell::Number(number) => {
                    if column.kind == Type::Long {
                        long(*number, column.name)?;
                    }
                    write!(self.0, "{number}")
                }
                Cell::Time(at) => write!(self.0, "{}", stamp(*at)),
                Cell::Flag(flag) => write!(self.0, "{}", if *flag { 't' } else { 'f' }),
                Cell::Text(text) => {
                    self.text(text);
                    Ok(())
                }
                Cell::Bytes(bytes) => {
                    self.0.push_str("\\\\x");
                    bytes.iter().try_for_each(|byte| write!(self.0, "{byte:02x}"))
                }
            };
        }
        self.0.push('\n');
        Ok(())
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '\t' => self.0.push_str("\\t"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                c => self.0.push(c),
            }
        }
    }

    /// Sends the rows to a table and forgets them.
    pub(super) fn copy(&mut self, client: &mut Client, table: &str, columns: &str) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut writer = client.copy_in(&format!("COPY {table} ({columns}) FROM STDIN"))?;
        // What the server says to what it was sent is said by `finish`.
        let _ = writer.write_all(self.0.as_bytes());
        writer.finish()?;
        self.0.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::convert::table::Spec;

    #[test]
    fn what_is_hostile_stays_inside_its_field() {
        let spec = |kind| Spec { name: "c", kind, always: false };
        let columns = [spec(Type::Text), spec(Type::Bytes), spec(Type::Long), spec(Type::Flag)];
        let mut lines = Lines::default();
        let cells =
            [Cell::Text("a\tb\nc\r\\.\\N".into()), Cell::Bytes(b"\\\n\0\xff"), Cell::Number(7), Cell::None];
        lines.add(&columns, &cells).expect("it fits");
        assert_eq!(lines.0, "a\\tb\\nc\\r\\\\.\\\\N\t\\\\x5c0a00ff\t7\t\\N\n");
        let cells = [Cell::None, Cell::None, Cell::Number(1 << 63), Cell::None];
        assert!(lines.add(&columns, &cells).is_err());
    }
}
