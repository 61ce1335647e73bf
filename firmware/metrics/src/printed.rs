//! A text of bounded length: what does not fit is left out.

use core::fmt;

/// At most `N` bytes of printable text.
#[derive(Clone, Debug)]
pub struct Printed<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Default for Printed<N> {
    fn default() -> Self {
        Self { bytes: [0; N], length: 0 }
    }
}

impl<const N: usize> Printed<N> {
    /// Nothing is in it any more.
    pub const fn clear(&mut self) {
        self.length = 0;
    }

    /// Adds bytes; what is not plain text is a question mark.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let plain = if matches!(byte, b' '..=b'~') { *byte } else { b'?' };
            let Some(place) = self.bytes.get_mut(self.length) else { return };
            *place = plain;
            self.length += 1;
        }
    }

    /// What is in it.
    pub fn text(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Write for Printed<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_bytes(text.as_bytes());
        Ok(())
    }
}
