//! An event as a line: for a person, or one JSON object, with the fields that the office's have ([`aegis_event::Field`]). Whatever
//! bytes an event holds, of a line only printable characters are made. Or as an item of CBOR around the bytes that the ring has
//! (`docs/formats/events.cddl`).

use core::fmt::Write as _;
use core::net::{Ipv4Addr, Ipv6Addr};

use aegis_event::limits::EVENT_BYTES;
use aegis_event::{Cause, DecodeError, Event, Field, Printable, Thousandths, arguments};

use minicbor::encode::write::{Cursor, EndOfSlice};
use minicbor::{Encoder, encode};

use crate::storage::device::hex;

/// How an event is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Text,
    Json,
    Cbor,
}

impl Form {
    /// An event, or that it can't be read.
    pub(super) fn event(
        self,
        sequence: u64,
        boot: &[u8; 16],
        event: &Result<Event<'_>, DecodeError>,
        bytes: &[u8],
    ) -> Vec<u8> {
        let mut line = String::new();
        // Writing to a String can't fail.
        let _ = match (self, event) {
            (Self::Text, Ok(event)) => write!(line, "{sequence:>8} {event}"),
            (Self::Text, Err(error)) => write!(line, "{sequence:>8} NOT READABLE: {error}"),
            (Self::Cbor, _) => {
                return item(|item| item.array(3)?.u64(sequence)?.bytes(boot)?.bytes(bytes)?.ok());
            }
            (Self::Json, _) => {
                let mut object = Object::begin(&mut line);
                object.number("sequence", sequence);
                object.text("boot_id", &hex(boot));
                match event {
                    Ok(event) => event.fields(&mut |name, field| object.field(name, field)),
                    Err(error) => {
                        object.text("error", &error.to_string());
                        object.text("event_hex", &hex(bytes));
                    }
                }
                object.end();
                Ok(())
            }
        };
        ended(line)
    }

    /// These are not in the ring. Without `last` the ring is damaged from there on, and nobody knows how much is behind it.
    pub(super) fn missed(self, first: u64, last: Option<u64>, cause: &str) -> Vec<u8> {
        ended(match (self, last) {
            (Self::Text, Some(last)) => format!("{first:>8} to {last}: NOT IN THE RING ({cause})"),
            (Self::Text, None) => format!("{first:>8} and on: NOT READABLE ({cause})"),
            (Self::Json, _) => {
                let last = last.map_or("null".to_owned(), |last| last.to_string());
                format!("{{\"missed\":{{\"first\":{first},\"last\":{last},\"cause\":\"{cause}\"}}}}")
            }
            (Self::Cbor, _) => {
                return item(|item| {
                    item.map(3)?.u8(0)?.u64(first)?.u8(1)?;
                    match last {
                        Some(last) => item.u64(last)?,
                        None => item.null()?,
                    };
                    item.u8(2)?.str(cause)?.ok()
                });
            }
        })
    }
}

fn ended(mut line: String) -> Vec<u8> {
    line.push('\n');
    line.into_bytes()
}

/// An item of CBOR, of what the ring has: no event is longer than [`EVENT_BYTES`], and what is around one takes less than 64 bytes.
fn item(
    build: impl FnOnce(&mut Encoder<Cursor<&mut [u8]>>) -> Result<(), encode::Error<EndOfSlice>>,
) -> Vec<u8> {
    let mut bytes = vec![0; EVENT_BYTES + 64];
    let mut encoder = Encoder::new(Cursor::new(&mut bytes[..]));
    let built = build(&mut encoder);
    debug_assert!(built.is_ok(), "it has room for the longest");
    let length = encoder.writer().position();
    bytes.truncate(length);
    bytes
}

/// An object of JSON, field by field.
struct Object<'l> {
    line: &'l mut String,
    empty: bool,
}

impl<'l> Object<'l> {
    fn begin(line: &'l mut String) -> Self {
        line.push('{');
        Self { line, empty: true }
    }

    fn end(self) {
        self.line.push('}');
    }

    fn name(&mut self, name: &str) {
        if !core::mem::take(&mut self.empty) {
            self.line.push(',');
        }
        self.string(name);
        self.line.push(':');
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        let _ = write!(self.line, "{number}");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.string(text);
    }

    /// Escaped (RFC 8259, section 7), all that is not printable ASCII.
    fn string(&mut self, text: &str) {
        self.line.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.line.extend(['\\', c]),
                ' '..='~' => self.line.push(c),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.line, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.line.push('"');
    }

    fn field(&mut self, name: &'static str, field: Field<'_>) {
        match field {
            Field::Number(number) => self.number(name, number),
            Field::Flag(flag) => {
                self.name(name);
                self.line.push_str(if flag { "true" } else { "false" });
            }
            Field::Text(text) => self.text(name, text),
            Field::Bytes(bytes, in_hex) => {
                if let Ok(text) = str::from_utf8(bytes) {
                    self.text(name, text);
                } else {
                    self.text(name, &Printable(bytes).to_string());
                    self.text(in_hex, &hex(bytes));
                }
            }
            Field::Digest(bytes) => self.text(name, &hex(bytes)),
            Field::Address(address) => self.text(name, &address_text(address)),
            Field::Arguments(argv) => self.arguments(name, argv),
            Field::Losses(lost) => {
                self.name(name);
                let mut object = Object::begin(self.line);
                Cause::ALL.iter().zip(lost).for_each(|(cause, count)| object.number(cause.name(), *count));
                object.end();
            }
            Field::Thousandths(number) => {
                self.name(name);
                let _ = write!(self.line, "{}", Thousandths(number));
            }
            Field::Measured(pcrs, digests) => {
                self.name(name);
                let mut object = Object::begin(self.line);
                pcrs.iter()
                    .zip(digests.chunks(32))
                    .for_each(|(number, digest)| object.text(&number.to_string(), &hex(digest)));
                object.end();
            }
        }
    }

    fn arguments(&mut self, name: &'static str, argv: &[u8]) {
        self.name(name);
        self.line.push('[');
        let mut whole = true;
        for (index, argument) in arguments(argv).enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            if let Ok(text) = str::from_utf8(argument) {
                self.string(text);
            } else {
                whole = false;
                self.string(&Printable(argument).to_string());
            }
        }
        self.line.push(']');
        if !whole {
            self.text("argv_hex", &hex(argv));
        }
    }
}

fn address_text(address: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(address) {
        Ipv4Addr::from(v4).to_string()
    } else if let Ok(v6) = <[u8; 16]>::try_from(address) {
        Ipv6Addr::from(v6).to_string()
    } else {
        hex(address)
    }
}
