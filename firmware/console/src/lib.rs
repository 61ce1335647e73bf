//! What a person sees at the device, instead of a shell: state, findings, denials, sticks, and a small menu; as a screen, or as plain
//! lines ([docs/console.md](../../../docs/console.md)).
//!
//! A front end, and nothing else: all that it shows and does are commands of `aegis`, run as children with bounded output and time.
//! It opens no file of Aegis's but the image's variant, and knows no socket, no key and no policy.
//!
//! - `model`, `load`: what commands said, read. `known`: the words for it. `text`: made printable.
//! - `app`: what keys do. `draw`: pages of cells. `keys`, `backend`: bytes of a terminal, both ways.
//! - `desk`, `child`: who is asked, and heard. `tty`, `power`: the terminal, the end.
//! - `screen`, `plain`, `serial`: the three ways to sit at it.
#![forbid(unsafe_code)]

mod app;
mod backend;
mod child;
mod desk;
mod draw;
mod keys;
mod known;
mod limits;
mod load;
mod model;
mod plain;
mod power;
mod program;
mod screen;
mod serial;
mod text;
mod trial;
mod tty;
mod words;

pub use program::run;
pub use trial::{Trial, is_harmless, trial};
