//! The least programs that a kernel runs, made by hand: their content is known before. Each exits with 42.

/// For the processor that this runs on.
pub(crate) fn program(interpreter: &[u8], tail: &[u8]) -> Vec<u8> {
    program_for(std::env::consts::ARCH, interpreter, tail)
}

/// An ELF program of one segment; `interpreter` (with its NUL) names a loader; `tail` is behind its code.
pub fn program_for(architecture: &str, interpreter: &[u8], tail: &[u8]) -> Vec<u8> {
    // Apart from its loader.
    let base: u64 = if interpreter.is_empty() { 0x1000_0000 } else { 0x2000_0000 };
    // exit_group(42)
    let (machine, code): (u16, &[u8]) = if architecture == "aarch64" {
        (183, &[0x40, 0x05, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4])
    } else {
        (62, &[0xbf, 42, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05])
    };
    let segments = 1 + u16::from(!interpreter.is_empty());
    let name_at = 64 + 56 * u64::from(segments);
    let code_at = (name_at + interpreter.len() as u64).next_multiple_of(16);
    let length = code_at + (code.len() + tail.len()) as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |elf: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| elf.extend(v.to_le_bytes()));
    let word = |elf: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| elf.extend(v.to_le_bytes()));
    let long = |elf: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| elf.extend(v.to_le_bytes()));
    half(&mut elf, &[2, machine]); // ET_EXEC
    word(&mut elf, &[1]);
    long(&mut elf, &[base + code_at, 64, 0]); // entry, program headers, no sections
    word(&mut elf, &[0]);
    half(&mut elf, &[64, 56, segments, 0, 0, 0]);
    if !interpreter.is_empty() {
        let size = interpreter.len() as u64;
        word(&mut elf, &[3, 4]); // PT_INTERP, readable
        long(&mut elf, &[name_at, base + name_at, base + name_at, size, size, 1]);
    }
    word(&mut elf, &[1, 5]); // PT_LOAD, readable and executable
    long(&mut elf, &[0, base, base, length, length, 4096]);
    elf.extend(interpreter);
    elf.resize(code_at as usize, 0);
    elf.extend(code);
    elf.extend(tail);
    elf
}
