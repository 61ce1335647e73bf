//! The kernel's verifier gives a program and all that it calls, one below the other, 512 bytes of stack. Before 6.10 it rounds what each
//! function has up to 32, and counts what can't be come to on that kernel, too (kernel/bpf/verifier.c:check_max_stack_depth).
#![allow(clippy::expect_used, reason = "a test ends at its first surprise")]

use std::collections::BTreeMap;

use aegis_probes::{HOOKS, NOTE_PROGRAM, OBJECT, OBJECT_BYTES};
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SymbolKind};

/// `include/linux/filter.h:MAX_BPF_STACK`.
const MOST: u64 = 512;
/// The register that points at the end of the stack.
const FRAME: u8 = 10;

/// A function: section, and its first byte there.
type Place = (usize, u64);

struct Function {
    name: String,
    /// Bytes of stack that it has itself.
    stack: u64,
    calls: Vec<Place>,
}

/// How deep the stack is below a function, as the verifier reckons.
fn depth(functions: &BTreeMap<Place, Function>, at: Place) -> u64 {
    let function = &functions[&at];
    let deepest = function.calls.iter().map(|called| depth(functions, *called)).max().unwrap_or(0);
    function.stack.max(1).next_multiple_of(32) + deepest
}

fn functions(bytes: &[u8]) -> BTreeMap<Place, Function> {
    let file = ElfFile64::<Endianness>::parse(bytes).expect("an ELF object");
    let mut found = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        let index = symbol.section_index().expect("it is somewhere");
        let section = file.section_by_index(index).expect("there");
        let code = section.data().expect("there");
        let targets: BTreeMap<u64, RelocationTarget> =
            section.relocations().map(|(at, relocation)| (at, relocation.target())).collect();
        let (first, end) = (symbol.address(), symbol.address() + symbol.size());
        let mut function =
            Function { name: symbol.name().expect("text").to_owned(), stack: 0, calls: Vec::new() };
        // Registers that hold the end of the stack.
        let mut frames = [false; 16];
        let mut at = first;
        while at < end {
            let instruction: [u8; 8] = code[at as usize..][..8].try_into().expect("whole");
            let (opcode, to, from) = (instruction[0], instruction[1] & 15, instruction[1] >> 4);
            let offset = i64::from(i16::from_le_bytes([instruction[2], instruction[3]]));
            let immediate =
                i32::from_le_bytes([instruction[4], instruction[5], instruction[6], instruction[7]]);
            let mut uses = |offset: i64| function.stack = function.stack.max((-offset).max(0).cast_unsigned());
            match opcode & 7 {
                // BPF_LDX; BPF_ST and BPF_STX
                1 if from == FRAME => uses(offset),
                2 | 3 if to == FRAME => uses(offset),
                _ => {}
            }
            match opcode {
                // r = r10; r += number
                0xbf => frames[usize::from(to)] = from == FRAME,
                0x07 if frames[usize::from(to)] => {
                    uses(i64::from(immediate));
                    frames[usize::from(to)] = false;
                }
                // A call of a function (BPF_PSEUDO_CALL), or its address. `target`: the place that the number counts from.
                0x85 if from == 1 => match targets.get(&at) {
                    Some(target) => {
                        let RelocationTarget::Symbol(symbol) = target else { panic!("a relocation") };
                        let called = file.symbol_by_index(*symbol).expect("there");
                        let section = called.section_index().expect("it is somewhere").0;
                        let place = match called.kind() {
                            SymbolKind::Section => (i64::from(immediate) + 1) * 8,
                            _ => called.address().cast_signed(),
                        };
                        function.calls.push((section, place.cast_unsigned()));
                    }
                    None => {
                        let place = at.cast_signed() + 8 + i64::from(immediate) * 8;
                        function.calls.push((index.0, place.cast_unsigned()));
                    }
                },
                0x18 => {
                    if let Some(RelocationTarget::Symbol(symbol)) = targets.get(&at) {
                        let called = file.symbol_by_index(*symbol).expect("there");
                        let is_code = match called.kind() {
                            SymbolKind::Text => true,
                            SymbolKind::Section => {
                                let section = called.section_index().expect("it is somewhere");
                                file.section_by_index(section).expect("there").kind()
                                    == object::SectionKind::Text
                            }
                            _ => false,
                        };
                        if is_code {
                            let section = called.section_index().expect("it is somewhere").0;
                            let place = called.address() + u64::from(immediate.cast_unsigned());
                            function.calls.push((section, place));
                        }
                    }
                    at += 8;
                }
                _ => {}
            }
            at += 8;
        }
        found.insert((index.0, first), function);
    }
    found
}

#[test]
fn every_program_fits_the_stack_of_every_kernel() {
    let bytes = miniz_oxide::inflate::decompress_to_vec(OBJECT).expect("deflated");
    assert_eq!(bytes.len(), OBJECT_BYTES);
    let functions = functions(&bytes);
    let mut programs: Vec<&str> = HOOKS.iter().flat_map(|hook| hook.programs).map(|program| program.name).collect();
    programs.push(NOTE_PROGRAM);
    let mut deepest = 0;
    for program in programs {
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
