//! The device's configuration: what can be set, and a reader that takes exactly that.
//!
//! [`KEYS`] is the one table: the reader, the template, what is shown of a configuration and `docs/config.md` are made
//! from it or held against it. The form is a part of TOML: tables in brackets, one key a line, each once. What is not in
//! the table, or out of range, is refused with its line; nothing is skipped and nothing is guessed.
//!
//! No file is opened here, and no input, whatever its bytes, makes it panic or take more than
//! [`limits::FILE_BYTES`] and [`limits::TOKENS`] allow.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod fault;
mod keys;
pub mod limits;
mod nearest;
mod read;
mod text;

use alloc::string::String;
use alloc::vec::Vec;

pub use aegis_log::Level;
pub use aegis_log::argv::Keep;
pub use aegis_ring::{Full, SyncMode};

pub use fault::{Code, Fault, Faults};
pub use keys::{KEYS, Key, Kind, TABLES, Table};
pub use read::{is_set, read};
pub use text::{template, to_toml};

/// All of it. The default is what a device without a configuration runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[ring]`
    pub ring: Ring,
    /// `[export]`
    pub export: Export,
    /// `[events]`
    pub events: Events,
    /// `[log]`
    pub log: Log,
    /// `[alerts]`
    pub alerts: Alerts,
}

/// How events are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// When events become durable.
    pub sync: SyncMode,
    /// What to do when the ring is full of events that were not exported.
    pub full: Full,
    /// The longest epoch, s.
    pub checkpoint_seconds: u32,
}

impl Default for Ring {
    fn default() -> Self {
        Self { sync: SyncMode::WINDOW, full: Full::Overwrite, checkpoint_seconds: 60 }
    }
}

/// How evidence leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// How often evidence is written to a stick that stays plugged, min; 0: not at all.
    pub every_minutes: u32,
    /// age recipients that exports are encrypted to, each a valid one; none: exports are not encrypted.
    pub recipients: Vec<String>,
}

/// What events hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// What is recorded of a program's arguments.
    pub argv: Keep,
}

/// What the programs say of their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look on the console.
    pub format: Format,
    /// What is said at least.
    pub level: Level,
    /// Longest file, KiB; 0: none.
    pub file_kib: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: Format::Text, level: Level::Info, file_kib: 256 }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

impl Format {
    /// As the file has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Text, Self::Json].into_iter().find(|one| one.name() == name)
    }
}

/// How alerts are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// The light, by its name in `/sys/class/leds`; empty: none.
    pub led: String,
}
