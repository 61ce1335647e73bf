//! What `build.rs` has to know of an object, which is little-endian ELF64 as clang writes it for BPF.

/// Takes out what only a debugger reads, in place: the line of source behind each instruction, with its text. It is a third of
/// the object, and deflates badly. Sizes and offsets stay as they are. The format: `Documentation/bpf/btf.rst` of the kernel,
/// sections 3 and 4.
pub(crate) fn drop_lines(object: &mut [u8]) -> Option<()> {
    let sections = sections(object)?;
    let named = |name: &[u8]| sections.iter().find(|section| text(object, section.name) == Some(name));
    let (ext, btf) = (named(b".BTF.ext")?.offset, named(b".BTF")?.offset);
    // struct btf_ext_header: magic, version, flags, hdr_len, func_info_off and _len, line_info_off and _len, …
    let lines = ext + word(object, ext + 4)? as usize + word(object, ext + 16)? as usize;
    let length = word(object, ext + 20)? as usize;
    // struct btf_header: magic, version, flags, hdr_len, type_off and _len, str_off and _len
    let strings = btf + word(object, btf + 4)? as usize + word(object, btf + 16)? as usize;

    let record = word(object, lines)? as usize;
    let mut at = lines + 4;
    let mut texts = Vec::new();
    while at < lines + length {
        let count = word(object, at + 4)? as usize;
        for index in 0..count {
            // struct bpf_line_info: insn_off, file_name_off, line_off, line_col
            texts.push(strings + word(object, at + 8 + index * record + 8)? as usize);
        }
        at += 8 + count * record;
    }
    for start in texts {
        let end = start + text(object, start)?.len();
        let line = object.get_mut(start..end)?;
        // A line of one word could be a name that something else refers to.
        if line.iter().any(|byte| b" \t(;{".contains(byte)) {
            line.fill(0);
        }
    }
    object.get_mut(lines..lines + length)?.fill(0);
    object.get_mut(ext + 20..ext + 24)?.fill(0);
    Some(())
}

/// Where the BTF says of a function that it is global: of its `struct btf_type` the `info`, whose lower half is the linkage.
pub(crate) fn globals(object: &[u8]) -> Option<Vec<usize>> {
    const FUNC: u32 = 12;
    const GLOBAL: u32 = 1;
    let btf = sections(object)?.iter().find(|section| text(object, section.name) == Some(b".BTF"))?.offset;
    let mut found = Vec::new();
    for at in types(object, btf)? {
        let info = word(object, at + 4)?;
        if info >> 24 & 31 == FUNC && info & 0xffff == GLOBAL {
            found.push(at + 4);
        }
    }
    Some(found)
}

/// Where each type of the BTF at `btf` begins; the first is number 1.
fn types(object: &[u8], btf: usize) -> Option<Vec<usize>> {
    let mut at = btf + word(object, btf + 4)? as usize + word(object, btf + 8)? as usize;
    let end = at + word(object, btf + 12)? as usize;
    let mut found = Vec::new();
    while at < end {
        found.push(at);
        // struct btf_type: name_off, info (vlen, kind), size or type; what follows depends on the kind
        let info = word(object, at + 4)?;
        let (kind, vlen) = (info >> 24 & 31, info & 0xffff);
        let members = match kind {
            4 | 5 | 15 | 19 => 12 * vlen as usize, // structures, unions, sections, 64-bit enumerations
            6 | 13 => 8 * vlen as usize,           // enumerations, prototypes
            3 => 12,                               // arrays
            1 | 14 | 17 => 4,                      // integers, variables, tags of declarations
            2 | 7..=12 | 16 | 18 => 0,
            _ => return None,
        };
        at += 12 + members;
    }
    Some(found)
}

/// The names of the types whose layout the kernel is asked for (CO-RE), sorted, each once: `struct bpf_core_relo` of the section `.BTF.ext`.
pub(crate) fn relocated_types(object: &[u8]) -> Option<Vec<String>> {
    let sections = sections(object)?;
    let named = |name: &[u8]| sections.iter().find(|section| text(object, section.name) == Some(name));
    let (ext, btf) = (named(b".BTF.ext")?.offset, named(b".BTF")?.offset);
    let types = types(object, btf)?;
    let strings = btf + word(object, btf + 4)? as usize + word(object, btf + 16)? as usize;
    // struct btf_ext_header: …, line_info_off and _len, core_relo_off and _len
    let mut at = ext + word(object, ext + 4)? as usize + word(object, ext + 24)? as usize;
    let end = at + word(object, ext + 28)? as usize;
    let record = word(object, at)? as usize;
    at += 4;
    let mut names = std::collections::BTreeSet::new();
    while at < end {
        // struct btf_ext_info_sec: sec_name_off, num_info; then of each: insn_off, type_id, …
        let count = word(object, at + 4)? as usize;
        for index in 0..count {
            let number = word(object, at + 8 + index * record + 4)? as usize;
            let name = text(object, strings + word(object, *types.get(number.checked_sub(1)?)?)? as usize)?;
            let name = std::str::from_utf8(name).ok()?;
            names.insert(name.split_once("___").map_or(name, |(name, _flavour)| name).to_owned());
        }
        at += 8 + count * record;
    }
    Some(names.into_iter().collect())
}

/// Bytes of `Elf64_Rel`.
pub(crate) const RELOCATION: usize = 16;

/// Where the relocations are that put the address of a function into a register, and beside each another one of its table.
pub(crate) fn callbacks(object: &[u8]) -> Option<Vec<(usize, usize)>> {
    const SHT_REL: u32 = 9;
    const SHF_EXECINSTR: usize = 4;
    const SYMBOL: usize = 24; // bytes of Elf64_Sym
    const LD_IMM64: u8 = 0x18;
    let sections = sections(object)?;
    let mut found = Vec::new();
    for table in sections.iter().filter(|section| section.kind == SHT_REL) {
        let (symbols, code) = (sections.get(table.link)?, sections.get(table.info)?);
        // Elf64_Rel: r_offset, r_info (type, symbol). Elf64_Sym: st_name, st_info, st_other, st_shndx, …
        let is_callback = |at: usize| {
            let instruction = object.get(code.offset + long(object, at)?)?;
            let symbol = symbols.offset + word(object, at + 12)? as usize * SYMBOL;
            let of_code =
                sections.get(half(object, symbol + 6)?).is_some_and(|of| of.flags & SHF_EXECINSTR != 0);
            Some(code.flags & SHF_EXECINSTR != 0 && *instruction == LD_IMM64 && of_code)
        };
        let entries: Vec<usize> = (table.offset..table.offset + table.size).step_by(RELOCATION).collect();
        let mut other = None;
        let mut here = Vec::new();
        for at in entries {
            if is_callback(at)? { here.push(at) } else { other = Some(at) }
        }
        for at in here {
            found.push((at, other?));
        }
    }
    Some(found)
}

/// Of `Elf64_Shdr`.
struct Section {
    /// Where its name is in the file.
    name: usize,
    kind: u32,
    flags: usize,
    offset: usize,
    size: usize,
    link: usize,
    info: usize,
}

fn sections(object: &[u8]) -> Option<Vec<Section>> {
    // Elf64_Ehdr: e_shoff, e_shentsize, e_shnum, e_shstrndx
    let (table, size, count) = (long(object, 40)?, half(object, 58)?, half(object, 60)?);
    let names = long(object, table + half(object, 62)? * size + 24)?;
    let read = |at: usize| {
        Some(Section {
            name: names + word(object, at)? as usize,
            kind: word(object, at + 4)?,
            flags: long(object, at + 8)?,
            offset: long(object, at + 24)?,
            size: long(object, at + 32)?,
            link: word(object, at + 40)? as usize,
            info: word(object, at + 44)? as usize,
        })
    };
    (0..count).map(|index| read(table + index * size)).collect()
}

/// What is there up to a NUL.
fn text(object: &[u8], at: usize) -> Option<&[u8]> {
    object.get(at..)?.split(|byte| *byte == 0).next()
}

fn half(object: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(object.get(at..at + 2)?.try_into().ok()?).into())
}

fn word(object: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(object.get(at..at + 4)?.try_into().ok()?))
}

fn long(object: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(object.get(at..at + 8)?.try_into().ok()?)).ok()
}
