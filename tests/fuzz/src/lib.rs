//! What the fuzz targets do: one function a target, each over one slice of bytes.
//!
//! Everything here reads what a stranger can hand to a device or an office: a stick, a console, a disk. A target returns
//! true when the bytes were taken for good, which is how `examples/seeds.rs` sees that a corpus still gets anywhere after
//! a format changed. It panics when a promise is broken: not only when the code under test panics.
//!
//! Where a signature stands before the parser, a target has two modes, told by the first byte: the bytes as they come, and
//! the bytes signed with a key that the reader trusts, so that what stands behind the signature is fuzzed too.
#![forbid(unsafe_code)]

pub mod age;
pub mod bundle;
pub mod config;
pub mod console;
pub mod cose;
pub mod event;
pub mod export;
pub mod fat;
pub mod image;
pub mod input;
pub mod keys;
pub mod label;
pub mod log;
pub mod policy;
pub mod receipt;
pub mod record;
pub mod ring;
pub mod root;
pub mod seal;
pub mod site;
pub mod state;
pub mod table;
pub mod texts;
pub mod token;
pub mod tpm;
pub mod workload;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// As the binary and the corpus directory are called.
    pub name: &'static str,
    /// What the binary does with an input; true when the input was accepted.
    pub run: fn(&[u8]) -> bool,
    /// Inputs that a fuzzer would not find by itself in reasonable time. Each of them is accepted.
    pub seeds: fn() -> Vec<Seed>,
}

/// An input with a name.
pub type Seed = (&'static str, Vec<u8>);

/// Every target.
pub const TARGETS: [Target; 29] = [
    Target { name: "age", run: age::run, seeds: age::seeds },
    Target { name: "armor", run: token::armor_run, seeds: token::armor_seeds },
    Target { name: "bundle", run: bundle::open_run, seeds: bundle::open_seeds },
    Target { name: "config", run: config::run, seeds: config::seeds },
    Target { name: "console", run: console::run, seeds: console::seeds },
    Target { name: "cose_sign", run: cose::sign_run, seeds: cose::sign_seeds },
    Target { name: "cose_sign1", run: cose::sign1_run, seeds: cose::sign1_seeds },
    Target { name: "event", run: event::run, seeds: event::seeds },
    Target { name: "export", run: export::run, seeds: export::seeds },
    Target { name: "fat", run: fat::run, seeds: fat::seeds },
    Target { name: "header", run: bundle::header_run, seeds: bundle::header_seeds },
    Target { name: "image", run: image::run, seeds: image::seeds },
    Target { name: "label", run: label::run, seeds: label::seeds },
    Target { name: "log", run: log::run, seeds: log::seeds },
    Target { name: "manifest", run: bundle::manifest_run, seeds: bundle::manifest_seeds },
    Target { name: "policy", run: policy::run, seeds: policy::seeds },
    Target { name: "receipt", run: receipt::run, seeds: receipt::seeds },
    Target { name: "record", run: record::run, seeds: record::seeds },
    Target { name: "ring", run: ring::run, seeds: ring::seeds },
    Target { name: "ring_export", run: ring::export_run, seeds: ring::export_seeds },
    Target { name: "root", run: root::run, seeds: root::seeds },
    Target { name: "seal", run: seal::run, seeds: seal::seeds },
    Target { name: "site", run: site::run, seeds: site::seeds },
    Target { name: "state", run: state::run, seeds: state::seeds },
    Target { name: "table", run: table::run, seeds: table::seeds },
    Target { name: "texts", run: texts::run, seeds: texts::seeds },
    Target { name: "token", run: token::run, seeds: token::seeds },
    Target { name: "tpm", run: tpm::run, seeds: tpm::seeds },
    Target { name: "workload", run: workload::run, seeds: workload::seeds },
];
