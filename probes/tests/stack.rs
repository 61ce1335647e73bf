//! The kernel's verifier gives a program and all that it calls, one below the other, 512 bytes of stack. Older ones round what each
//! function has up to 32, and count what can't be come to on that kernel, too (`check_max_stack_depth` in `kernel/bpf/verifier.c`).
#![allow(clippy::expect_used, reason = "a test ends at its first surprise")]

use std::collections::BTreeMap;

use aegis_probes::{HOOKS, NOTE_PROGRAM, OBJECT, OBJECT_BYTES};
use object::read::elf::{ElfFile64, ElfSection64};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind, SymbolKind,
};

/// `MAX_BPF_STACK` in `include/linux/filter.h`.
const MOST: u64 = 512;
/// The register that points at the end of the stack.
const FRAME: u8 = 10;

type File<'a> = ElfFile64<'a, Endianness>;

/// A function: its section, and its first byte there.
type Place = (usize, i64);

struct Function {
    name: String,
    /// Bytes of stack that it has itself.
    stack: i64,
    calls: Vec<Place>,
}

/// One instruction (RFC 9669, section 3).
struct Instruction {
    opcode: u8,
    to: u8,
    from: u8,
    offset: i64,
    immediate: i64,
}

impl Instruction {
    fn read(code: &[u8], at: i64) -> Self {
        let bytes: [u8; 8] = code[usize::try_from(at).expect("a place")..][..8].try_into().expect("whole");
        Self {
            opcode: bytes[0],
            to: bytes[1] & 15,
            from: bytes[1] >> 4,
            offset: i16::from_le_bytes([bytes[2], bytes[3]]).into(),
            immediate: i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]).into(),
        }
    }
}

/// The function that a call or an address leads to: a symbol's, or so many bytes behind the beginning of a section's.
fn target(file: &File<'_>, relocation: RelocationTarget, behind: i64) -> Option<Place> {
    let RelocationTarget::Symbol(symbol) = relocation else { return None };
    let symbol = file.symbol_by_index(symbol).expect("there");
    let section = symbol.section_index()?;
    if file.section_by_index(section).expect("there").kind() != SectionKind::Text {
        return None;
    }
    let at = symbol.address().cast_signed();
    Some((section.0, if symbol.kind() == SymbolKind::Section { at + behind } else { at }))
}

fn function(
    file: &File<'_>,
    section: &ElfSection64<'_, '_, Endianness>,
    name: &str,
    at: (u64, u64),
) -> Function {
    let code = section.data().expect("there");
    let relocations: BTreeMap<i64, RelocationTarget> =
        section.relocations().map(|(at, relocation)| (at.cast_signed(), relocation.target())).collect();
    let mut function = Function { name: name.to_owned(), stack: 0, calls: Vec::new() };
    // Registers that hold the end of the stack.
    let mut frames = [false; 16];
    let (mut at, end) = (at.0.cast_signed(), at.1.cast_signed());
    while at < end {
        let instruction = Instruction::read(code, at);
        let Instruction { opcode, to, from, offset, immediate } = instruction;
        let relocation = relocations.get(&at).copied();
        let copied = from == FRAME || frames[usize::from(from)];
        let held = &mut frames[usize::from(to)];
        match opcode {
            // r = r10; r += number
            0xbf => *held = copied,
            0x07 if *held => {
                function.stack = function.stack.max(-immediate);
                *held = false;
            }
            // BPF_PSEUDO_CALL: the number counts instructions from the next one, or from the beginning of the section.
            0x85 if from == 1 => function.calls.push(match relocation {
                Some(relocation) => target(file, relocation, (immediate + 1) * 8).expect("code"),
                None => (section.index().0, at + 8 + immediate * 8),
            }),
            // An address, of two instructions; of a function, it is called back.
            0x18 => {
                function.calls.extend(relocation.and_then(|relocation| target(file, relocation, immediate)));
                at += 8;
            }
            // Classes BPF_LDX; BPF_ST, BPF_STX.
            _ if (opcode & 7 == 1 && from == FRAME) || (matches!(opcode & 7, 2 | 3) && to == FRAME) => {
                function.stack = function.stack.max(-offset);
            }
            _ => {}
        }
        at += 8;
    }
    function
}

/// All functions of the object.
fn functions(bytes: &[u8]) -> BTreeMap<Place, Function> {
    let file = File::parse(bytes).expect("an ELF object");
    let code = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0);
    code.map(|symbol| {
        let index = symbol.section_index().expect("it is somewhere");
        let section = file.section_by_index(index).expect("there");
        let at = (symbol.address(), symbol.address() + symbol.size());
        let function = function(&file, &section, symbol.name().expect("text"), at);
        ((index.0, at.0.cast_signed()), function)
    })
    .collect()
}

/// How deep the stack is in a function and below it, as the verifier reckons.
fn depth(functions: &BTreeMap<Place, Function>, at: Place) -> u64 {
    let function = &functions[&at];
    let deepest = function.calls.iter().map(|called| depth(functions, *called)).max().unwrap_or(0);
    function.stack.max(1).cast_unsigned().next_multiple_of(32) + deepest
}

#[test]
fn every_program_fits_the_stack_of_every_kernel() {
    let bytes = miniz_oxide::inflate::decompress_to_vec(OBJECT).expect("deflated");
    assert_eq!(bytes.len(), OBJECT_BYTES);
    let functions = functions(&bytes);
    let of_hooks = HOOKS.iter().flat_map(|hook| hook.programs).map(|program| program.name);
    let mut deepest = 0;
    for program in of_hooks.chain([NOTE_PROGRAM]) {
        let (at, _) =
            functions.iter().find(|(_, function)| function.name == program).expect("it is in the object");
        let depth = depth(&functions, *at);
        println!("{depth:4} {program}");
        assert!(depth <= MOST, "{program}: {depth} bytes of stack, of {MOST}");
        deepest = deepest.max(depth);
    }
    // What walks up a path is deep: that calls and callbacks are followed is seen by that.
    assert!(deepest > 400, "{deepest}: not all that is called was found");
}
