//! The Prometheus text format, version 0.0.4 (`text/plain; version=0.0.4`): for each family its `HELP` and `TYPE`, then its series.
//!
//! Every family is named, also when it has no series: what a device can say is in each of its answers. No series is written twice
//! by a caller that hands in no labels twice; over its bounds it is left out and counted.

use core::fmt::{self, Write};

use crate::families::Id;
use crate::family::{Family, Type};
use crate::limits;
use crate::value::Value;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Series.
    pub series: u32,
    /// Those left out: over a bound, or with a label that can't be written.
    pub left_out: u32,
}

/// Hears what is written.
pub trait Tap {
    /// A family begins: what it has was read.
    fn family(&mut self, id: Id);
    /// One of its series; a histogram has none.
    fn series(&mut self, id: Id, labels: &[&[u8]], value: Value);
}

/// Writes families, each once.
pub struct Exposition<'w> {
    out: &'w mut dyn Write,
    tap: Option<&'w mut dyn Tap>,
    begun: [bool; Id::ALL.len()],
    /// Series that may be written, and those that are.
    most: u32,
    series: u32,
    left_out: u32,
    failed: bool,
}

impl<'w> Exposition<'w> {
    /// Begins one.
    pub fn new(out: &'w mut dyn Write) -> Self {
        Self::heard(out, None)
    }

    /// Begins one that somebody hears, too.
    pub fn heard(out: &'w mut dyn Write, tap: Option<&'w mut dyn Tap>) -> Self {
        Self {
            out,
            tap,
            begun: [false; Id::ALL.len()],
            most: limits::SERIES - 1,
            series: 0,
            left_out: 0,
            failed: false,
        }
    }

    /// Begins a family. The series of one that was begun before are left out: the format wants them together.
    pub fn family(&mut self, id: Id) -> Series<'_, 'w> {
        let family = id.family();
        let again = self.begun.get_mut(id as usize).is_none_or(|begun| core::mem::replace(begun, true));
        if !again {
            let (text, name, kind) = (family.text, family.name(), family.kind.name());
            let done = write!(self.out, "# HELP {text}\n# TYPE {name} {kind}\n");
            self.failed |= done.is_err();
            if let Some(tap) = &mut self.tap {
                tap.family(id);
            }
        }
        Series { all: self, id, family, room: if again { 0 } else { family.most() } }
    }

    /// A family of one series, an integer.
    #[inline(never)]
    pub fn count(&mut self, id: Id, number: u64) {
        self.one(id, Value::count(number));
    }

    /// A family of one series.
    pub fn one(&mut self, id: Id, value: Value) {
        self.family(id).put(&[], value);
    }

    /// A family of one series, or of none where that is not known.
    pub fn maybe(&mut self, id: Id, value: Option<Value>) {
        let mut series = self.family(id);
        if let Some(value) = value {
            series.put(&[], value);
        }
    }

    /// Names the families that were not begun, and says how many series were left out.
    pub fn finish(mut self) -> Result<Written, fmt::Error> {
        // What was not begun was not read.
        self.tap = None;
        for id in Id::ALL.into_iter().filter(|id| *id != Id::ScrapeLeftOut) {
            if !self.begun.get(id as usize).is_some_and(|begun| *begun) {
                self.family(id);
            }
        }
        let left_out = self.left_out;
        // The place that is kept for it.
        self.most = limits::SERIES;
        self.one(Id::ScrapeLeftOut, Value::count(left_out.into()));
        if self.failed {
            Err(fmt::Error)
        } else {
            Ok(Written { series: self.series, left_out: self.left_out })
        }
    }
}

/// Which bucket of a histogram a line is of.
#[derive(Clone, Copy)]
enum Bucket {
    None,
    UpTo(u64),
    Infinite,
}

/// The series of one family.
pub struct Series<'e, 'w> {
    all: &'e mut Exposition<'w>,
    id: Id,
    family: &'static Family,
    /// So many more.
    room: u32,
}

impl Series<'_, '_> {
    /// Writes a series. `labels`: as many as the family has, in its order.
    pub fn put(&mut self, labels: &[&[u8]], value: Value) {
        if self.family.kind == Type::Histogram || !self.take(labels) {
            return;
        }
        if let Some(tap) = &mut self.all.tap {
            tap.series(self.id, labels, value);
        }
        self.line("", labels, Bucket::None, value);
    }

    /// Writes a histogram: `counts` by bucket, the last of them what is over all bounds (ns); `sum` of all.
    pub fn histogram(&mut self, labels: &[&[u8]], bounds: &[u64], counts: &[u64], sum: Value) {
        if self.family.kind != Type::Histogram || counts.len() != bounds.len() + 1 || !self.take(labels) {
            return;
        }
        let mut total = 0u64;
        for (index, count) in counts.iter().enumerate() {
            total = total.saturating_add(*count);
            let bucket = bounds.get(index).map_or(Bucket::Infinite, |bound| Bucket::UpTo(*bound));
            self.line("_bucket", labels, bucket, Value::count(total));
        }
        self.line("_sum", labels, Bucket::None, sum);
        self.line("_count", labels, Bucket::None, Value::count(total));
    }

    /// There is room for it, and it can be written.
    fn take(&mut self, labels: &[&[u8]]) -> bool {
        let whole = labels.len() == self.family.labels.len()
            && labels.iter().all(|label| label.len() <= limits::LABEL_BYTES);
        let taken = whole && self.room > 0 && self.all.series < self.all.most;
        if taken {
            self.room -= 1;
            self.all.series += 1;
        } else {
            self.all.left_out = self.all.left_out.saturating_add(1);
        }
        taken
    }

    fn line(&mut self, suffix: &str, labels: &[&[u8]], bucket: Bucket, value: Value) {
        let done = self.try_line(suffix, labels, bucket, value);
        self.all.failed |= done.is_err();
    }

    fn try_line(&mut self, suffix: &str, labels: &[&[u8]], bucket: Bucket, value: Value) -> fmt::Result {
        let out = &mut *self.all.out;
        write!(out, "{}{suffix}", self.family.name())?;
        let mut begin = "{";
        for (label, text) in self.family.labels.iter().zip(labels) {
            write!(out, "{begin}{}=\"", label.name)?;
            escaped(out, text)?;
            out.write_str("\"")?;
            begin = ",";
        }
        match bucket {
            Bucket::UpTo(bound) => write!(out, "{begin}le=\"{}\"}}", Value::nanos(bound))?,
            Bucket::Infinite => write!(out, "{begin}le=\"+Inf\"}}")?,
            Bucket::None if begin == "," => out.write_str("}")?,
            Bucket::None => {}
        }
        writeln!(out, " {value}")
    }
}

/// Whatever the bytes are, the value is printable text, and no two are one: what is not plain stands as `\xNN`, a backslash too.
/// In the format each of these backslashes is written twice.
fn escaped(out: &mut dyn Write, bytes: &[u8]) -> fmt::Result {
    let hex = |out: &mut dyn Write, byte: u8| write!(out, "\\\\x{byte:02x}");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.write_str("\\\"")?,
                '\\' => hex(out, b'\\')?,
                ' '..='~' => out.write_char(c)?,
                _ if c.is_alphanumeric() => out.write_char(c)?,
                _ => {
                    let mut utf8 = [0; 4];
                    c.encode_utf8(&mut utf8).bytes().try_for_each(|byte| hex(out, byte))?;
                }
            }
        }
        chunk.invalid().iter().try_for_each(|byte| hex(out, *byte))?;
    }
    Ok(())
}
