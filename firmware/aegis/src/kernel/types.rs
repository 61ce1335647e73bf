//! The kernel's types (BTF), without those that nothing here asks for. All of them are some seventy thousand, and whoever looks for one
//! looks through all: that was the larger part of loading the probes. What is left out stays as an empty record, for a type is known
//! by its number, which is its place.
//!
//! The format: `Documentation/bpf/btf.rst` of the kernel, sections 2 and 3.

/// Bytes of `struct btf_header`: `magic, version, flags, hdr_len, type_off, type_len, str_off, str_len`.
const HEADER: usize = 24;
const MAGIC: [u8; 2] = 0xeb9f_u16.to_ne_bytes();
/// Bytes of `struct btf_type`: `name_off`, `info` (kind, vlen), `size` or `type`.
const RECORD: usize = 12;

const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
/// Of a type that is declared and not known: what stands where one was left out.
const FORWARD: u32 = 7;

/// What is left of `btf` when only types of these names are wanted, and what they hold: members, elements, what a name stands for. What
/// they point to is not held. `names` are sorted, of two letters at least; a kernel's `name___flavour` has the name before it. `None`: not in the format
/// that is known here.
pub(super) fn only(btf: &[u8], names: &[&str]) -> Option<Vec<u8>> {
    let types = Types::read(btf)?;
    let mut wanted = vec![false; types.at.len()];
    let mut open: Vec<usize> = Vec::new();
    // Most are told by how they begin.
    let mut begins = vec![false; 1 << 16];
    for name in names {
        *begins.get_mut(usize::from(u16::from_ne_bytes(*name.as_bytes().first_chunk()?)))? = true;
    }
    for (index, at) in types.at.iter().enumerate() {
        let name = types.name(*at)?;
        let first = name.first_chunk().map(|two| usize::from(u16::from_ne_bytes(*two)));
        if first.and_then(|first| begins.get(first)) != Some(&true) {
            continue;
        }
        let name = name.split(|byte| *byte == 0).next()?;
        if names.binary_search_by(|one| one.as_bytes().cmp(flavourless(name))).is_ok() {
            *wanted.get_mut(index)? = true;
            open.push(index);
        }
    }
    // Each type is opened once at most.
    while let Some(index) = open.pop() {
        types.each_held(index, |held| {
            // Number 0 is void, which has no record.
            let Some(place) = held.checked_sub(1) else { return Some(()) };
            let is_wanted = wanted.get_mut(place)?;
            if !*is_wanted {
                *is_wanted = true;
                open.push(place);
            }
            Some(())
        })?;
    }

    let mut left = Vec::with_capacity(HEADER + types.at.len() * RECORD + types.strings.len());
    left.extend_from_slice(btf.get(..HEADER)?);
    for (at, is_wanted) in types.at.iter().zip(wanted) {
        if is_wanted {
            left.extend_from_slice(types.bytes.get(*at..at + types.length(*at)?)?);
        } else {
            for word in [0, FORWARD << 24, 0] {
                left.extend_from_slice(&u32::to_ne_bytes(word));
            }
        }
    }
    let length = u32::try_from(left.len() - HEADER).ok()?;
    let strings = u32::try_from(types.strings.len()).ok()?;
    let header = [u32::try_from(HEADER).ok()?, 0, length, length, strings];
    for (place, word) in left.get_mut(4..HEADER)?.chunks_exact_mut(4).zip(header) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    left.extend_from_slice(types.strings);
    Some(left)
}

fn flavourless(name: &[u8]) -> &[u8] {
    name.windows(3).position(|three| three == b"___").and_then(|end| name.get(..end)).unwrap_or(name)
}

struct Types<'a> {
    bytes: &'a [u8],
    strings: &'a [u8],
    /// Where in `bytes` each begins; the first is number 1.
    at: Vec<usize>,
}

impl<'a> Types<'a> {
    fn read(btf: &'a [u8]) -> Option<Self> {
        let header = |at| word(btf, at).map(|word| word as usize);
        if !btf.starts_with(&MAGIC) {
            return None;
        }
        let after = btf.get(header(4)?..)?;
        let part = |offset, length| after.get(header(offset)?..)?.get(..header(length)?);
        let mut types = Self { bytes: part(8, 12)?, strings: part(16, 20)?, at: Vec::new() };
        let mut at = 0;
        while at < types.bytes.len() {
            types.at.push(at);
            at += types.length(at)?;
        }
        Some(types)
    }

    /// Kind, and how many members or the like follow.
    fn info(&self, at: usize) -> Option<(u32, usize)> {
        let info = word(self.bytes, at + 4)?;
        Some((info >> 24 & 31, (info & 0xffff) as usize))
    }

    /// Bytes of the record at `at`, with what follows it.
    fn length(&self, at: usize) -> Option<usize> {
        let (kind, count) = self.info(at)?;
        let more = match kind {
            STRUCT | UNION | 15 | 19 => 12 * count, // sections, 64-bit enumerations
            6 | 13 => 8 * count,                    // enumerations, prototypes
            ARRAY => 12,
            1 | 14 | 17 => 4, // integers, variables, tags of declarations
            2 | 7..=12 | 16 | 18 => 0,
            _ => return None,
        };
        Some(RECORD + more)
    }

    /// Its name, and what follows it.
    fn name(&self, at: usize) -> Option<&'a [u8]> {
        self.strings.get(word(self.bytes, at)? as usize..)
    }

    /// The numbers of the types that are parts of type `index`.
    fn each_held(&self, index: usize, mut held: impl FnMut(usize) -> Option<()>) -> Option<()> {
        let at = *self.at.get(index)?;
        let mut of = |at| held(word(self.bytes, at)? as usize);
        match self.info(at)? {
            // struct btf_member: name_off, type, offset
            (STRUCT | UNION, count) => (0..count).try_for_each(|member| of(at + RECORD + 12 * member + 4)),
            // struct btf_array: type, index_type, nelems
            (ARRAY, _) => of(at + RECORD),
            (8..=11 | 18, _) => of(at + 8), // other names; volatile, const, restrict; tags
            _ => Some(()),
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aya::{Btf, Endianness};
    use aya_obj::btf::BtfKind;

    /// A kernel's types, written down one by one.
    #[derive(Default)]
    struct Kernel {
        types: Vec<u8>,
        strings: Vec<u8>,
        count: u32,
    }

    impl Kernel {
        fn new() -> Self {
            Self { strings: vec![0], ..Self::default() }
        }

        fn text(&mut self, text: &str) -> u32 {
            if text.is_empty() {
                return 0;
            }
            let at = self.strings.len() as u32;
            self.strings.extend_from_slice(text.as_bytes());
            self.strings.push(0);
            at
        }

        /// Adds a type; its number.
        fn add(&mut self, name: &str, kind: u32, count: u32, last: u32, more: &[u32]) -> u32 {
            let name = self.text(name);
            for word in [name, kind << 24 | count, last].iter().chain(more) {
                self.types.extend_from_slice(&word.to_ne_bytes());
            }
            self.count += 1;
            self.count
        }

        fn structure(&mut self, name: &str, members: &[(&str, u32)]) -> u32 {
            let more: Vec<u32> =
                members.iter().flat_map(|(member, of)| [self.text(member), *of, 0]).collect();
            self.add(name, STRUCT, members.len() as u32, 8, &more)
        }

        fn bytes(&self) -> Vec<u8> {
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            let mut bytes = [&MAGIC[..], &[1, 0]].concat();
            for word in [24, 0, types, types, strings] {
                bytes.extend_from_slice(&word.to_ne_bytes());
            }
            [bytes, self.types.clone(), self.strings.clone()].concat()
        }
    }

    /// `struct task { const leaf_t parts[4]; struct other *away; }`, and more.
    fn kernel() -> (Kernel, u32) {
        let mut kernel = Kernel::new();
        let int = kernel.add("int", 1, 0, 4, &[32]);
        let other = kernel.structure("other", &[("value", int)]);
        let away = kernel.add("", 2, 0, other, &[]);
        let leaf = kernel.structure("leaf", &[("leaf_value", int)]);
        let name = kernel.add("leaf_t", 8, 0, leaf, &[]);
        let constant = kernel.add("", 10, 0, name, &[]);
        let array = kernel.add("", ARRAY, 0, 0, &[constant, int, 4]);
        kernel.add("enumeration", 6, 1, 4, &[0, 7]);
        let prototype = kernel.add("", 13, 1, 0, &[0, int]);
        kernel.add("not_hooked", 12, 0, prototype, &[]);
        kernel.structure("task___old", &[("parts", array), ("away", away)]);
        let hooked = kernel.add("hooked", 12, 0, prototype, &[]);
        (kernel, hooked)
    }

    fn parsed(bytes: &[u8]) -> Btf {
        Btf::parse(bytes, Endianness::default()).expect("BTF")
    }

    #[test]
    fn what_is_wanted_keeps_its_number_and_the_rest_is_not_found() {
        let (kernel, hooked) = kernel();
        let whole = kernel.bytes();
        let left = only(&whole, &["hooked", "task"]).expect("BTF");
        assert!(left.len() < whole.len());
        let (whole, left) = (parsed(&whole), parsed(&left));
        let find = |btf: &Btf, name, kind| btf.id_by_type_name_kind(name, kind).ok();
        assert_eq!(find(&left, "hooked", BtfKind::Func), Some(hooked));
        for (name, kind) in [
            ("task___old", BtfKind::Struct), // by its name without the flavour
            ("leaf_t", BtfKind::Typedef),    // through const and an array
            ("leaf", BtfKind::Struct),
            ("int", BtfKind::Int),
        ] {
            assert!(find(&whole, name, kind).is_some());
            assert_eq!(find(&left, name, kind), find(&whole, name, kind), "{name}");
        }
        // Behind a pointer, by another name, of no use.
        for (name, kind) in
            [("other", BtfKind::Struct), ("not_hooked", BtfKind::Func), ("enumeration", BtfKind::Enum)]
        {
            assert!(find(&whole, name, kind).is_some());
            assert_eq!(find(&left, name, kind), None, "{name}");
        }
    }

    #[test]
    fn what_is_not_in_the_format_is_left_to_its_reader() {
        let (kernel, _) = kernel();
        let whole = kernel.bytes();
        for length in 0..whole.len() {
            assert!(only(&whole[..length], &["task"]).is_none(), "{length}");
        }
        let mut newer = Kernel::new();
        newer.add("of a kind to come", 20, 0, 0, &[]);
        assert!(only(&newer.bytes(), &[]).is_none());
        let mut astray = Kernel::new();
        astray.add("leads nowhere", 8, 0, 77, &[]);
        assert!(only(&astray.bytes(), &["leads nowhere"]).is_none());
        // Its own part: looked at once.
        let mut round = Kernel::new();
        round.add("round", 8, 0, 1, &[]);
        assert!(only(&round.bytes(), &["round"]).is_some());
    }
}
