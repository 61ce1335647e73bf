//! Takes out of an object what only a debugger reads: the line of source behind each instruction, with its text. It is a third
//! of the object, and deflates badly. The format: `Documentation/bpf/btf.rst` of the kernel, sections 3 and 4.

use std::ops::Range;

/// Empties the line information of a little-endian ELF64 object, in place. Sizes and offsets stay as they are.
pub(crate) fn drop_lines(object: &mut [u8]) -> Option<()> {
    let ext = section(object, b".BTF.ext")?;
    let btf = section(object, b".BTF")?;
    // struct btf_ext_header: magic, version, flags, hdr_len, func_info_off and _len, line_info_off and _len, …
    let header = word(object, ext.start + 4)? as usize;
    let lines = ext.start + header + word(object, ext.start + 16)? as usize;
    let length = word(object, ext.start + 20)? as usize;
    // struct btf_header: magic, version, flags, hdr_len, type_off and _len, str_off and _len
    let strings = btf.start + word(object, btf.start + 4)? as usize + word(object, btf.start + 16)? as usize;

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
    for text in texts {
        let end = text + object.get(text..)?.iter().position(|byte| *byte == 0)?;
        let line = object.get_mut(text..end)?;
        // A line of one word could be a name that something else refers to.
        if line.iter().any(|byte| b" \t(;{".contains(byte)) {
            line.fill(0);
        }
    }
    object.get_mut(lines..lines + length)?.fill(0);
    object.get_mut(ext.start + 20..ext.start + 24)?.fill(0);
    Some(())
}

/// Where the section of this name is in the file.
fn section(object: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let half = |at: usize| Some(u16::from_le_bytes(object.get(at..at + 2)?.try_into().ok()?) as usize);
    // Elf64_Ehdr: e_shoff, e_shentsize, e_shnum, e_shstrndx
    let (table, size) = (long(object, 40)?, half(58)?);
    let header = |index: usize| table + index * size;
    let names = long(object, header(half(62)?) + 24)?;
    (0..half(60)?).map(header).find_map(|at| {
        // Elf64_Shdr: sh_name, …, sh_offset, sh_size
        let start = names + word(object, at)? as usize;
        let found = object.get(start..start + name.len() + 1)?;
        (found.strip_suffix(&[0]) == Some(name)).then(|| {
            let offset = long(object, at + 24)?;
            Some(offset..offset + long(object, at + 32)?)
        })?
    })
}

fn word(object: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(object.get(at..at + 4)?.try_into().ok()?))
}

fn long(object: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(object.get(at..at + 8)?.try_into().ok()?)).ok()
}
