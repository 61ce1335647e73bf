//! HTML that nothing from outside can break out of.

use std::fmt::{Display, Formatter, Result, Write};

use aegis_event::Printable;

/// Text for HTML, in elements and in quoted attributes. What comes from evidence goes through [`Foreign`].
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Bytes from a hostile place: nothing but letters, digits and plain signs is left as it is, so that no control or
/// direction sign reaches the page, and of those none means anything to HTML.
pub(super) struct Foreign<'a>(pub(super) &'a [u8]);

impl Display for Foreign<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Text(&Printable(self.0).to_string()).fmt(f)
    }
}

/// A number with thin spaces between thousands.
pub(super) struct Number(pub(super) u64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_char('\u{202f}')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_is_markup() {
        let shown = |bytes: &[u8]| Foreign(bytes).to_string();
        assert_eq!(
            shown(b"<a href='x' b=\"y\">&amp;"),
            "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;amp;"
        );
        assert_eq!(
            shown("\u{202e}\0\n\u{9b}ü\u{ad}".as_bytes()),
            "\\xe2\\x80\\xae\\x00\\x0a\\xc2\\x9bü\\xc2\\xad"
        );
        for byte in 0..=255 {
            let text = shown(&[byte]);
            assert!(!text.contains(['<', '>', '"', '\'']), "{byte}: {text}");
            assert!(
                text.chars().all(|c| c == ' ' || !c.is_whitespace() && !c.is_control()),
                "{byte}: {text}"
            );
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(Number(number).to_string(), text.replace(' ', "\u{202f}"));
        }
    }
}
