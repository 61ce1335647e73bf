//! The kernel's side of Aegis: eBPF probes in C, compiled by `build.rs`, embedded, and typed for user space.
//!
//! - `bpf/` holds the C sources; `bpf/abi.h` is the one header both sides agree on.
//! - [`abi`] says the same in Rust; `tests/layout.rs` holds every size, offset and constant of one against the other.
//! - [`Record::parse`] turns the bytes of one ring-buffer record into a typed, borrowed view.
//! - [`HOOKS`] lists the programs in [`OBJECT`] and what each is attached to.
#![no_std]
#![forbid(unsafe_code)]

pub mod abi;
mod decode;
mod hooks;

pub use decode::{BadRecord, Raw, Record};
pub use hooks::{Attach, Condition, Guards, HASH_PROGRAM, HOOKS, Hook, NOTE_PROGRAM, Program};

/// The compiled probes, deflated (RFC 1951): one ELF object with BTF and CO-RE relocations. A reader may cast its headers in
/// place: inflate it to aligned memory, of [`OBJECT_BYTES`].
pub static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/aegis.bpf.o.deflate"));

include!(concat!(env!("OUT_DIR"), "/facts.rs"));

/// Makes of the inflated object what kernels before 5.17 take. They know no functions but those that are called, and refuse a
/// program that has another: the callbacks of `bpf_loop` are taken out. What leads to the loop is never taken there; a
/// relocation that is made twice stands where the callback's was. And before 5.12 no pointer may be given to a global function:
/// all are static.
pub fn for_old_kernels(object: &mut [u8]) {
    for (at, other) in CALLBACKS {
        let mut entry = [0; RELOCATION_BYTES];
        if let Some(found) = object.get(*other..other + RELOCATION_BYTES) {
            entry.copy_from_slice(found);
        }
        if let Some(place) = object.get_mut(*at..at + RELOCATION_BYTES) {
            place.copy_from_slice(&entry);
        }
    }
    // The lower half is 1, and all other kinds of linkage are 0.
    for at in GLOBALS {
        if let Some(linkage) = object.get_mut(*at) {
            *linkage = 0;
        }
    }
}
