//! The table of keys.

use alloc::string::String;
use alloc::vec::Vec;

use aegis_log::argv::Keep;
use aegis_ring::{Full, SyncMode};

use crate::{Config, Format, Level, limits};

/// A table of the file.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// As it stands in brackets.
    pub name: &'static str,
    /// What it is about.
    pub help: &'static str,
}

/// Every table, in the order of the template.
pub const TABLES: [Table; 5] = [
    Table { name: "ring", help: "How events are kept on this device." },
    Table { name: "export", help: "How evidence leaves this device." },
    Table { name: "events", help: "What events hold." },
    Table {
        name: "log",
        help: "What the programs of Aegis say of their work. Evidence is the ring's, not the log's.",
    },
    Table { name: "alerts", help: "How alerts of the policy are told on this device." },
];

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its table.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it takes, and where that goes.
    pub kind: Kind,
    /// What it does. Sentences; the reader's way to wrap them is its own.
    pub help: &'static str,
}

/// What a key takes, how it is read from a [`Config`], how it gets there.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One of these words.
    Choice {
        /// The words.
        words: &'static [&'static str],
        /// The one that is set.
        get: fn(&Config) -> &'static str,
        /// Sets one of them.
        set: fn(&mut Config, &str),
    },
    /// A whole number.
    Number {
        /// The least.
        least: u32,
        /// The most.
        most: u32,
        /// What is set; `None` when it says nothing, by what else is set.
        get: fn(&Config) -> Option<u32>,
        /// Sets one within the bounds.
        set: fn(&mut Config, u32),
    },
    /// A name: at most [`limits::LED_BYTES`] bytes of letters, digits, `.`, `_`, `-`, `:`; or none.
    Name {
        /// The one that is set; empty: none.
        get: fn(&Config) -> &str,
        /// Sets a valid one.
        set: fn(&mut Config, String),
    },
    /// A list of age recipients, at most [`limits::RECIPIENTS`].
    Recipients {
        /// Those that are set.
        get: fn(&Config) -> &[String],
        /// Sets valid ones, each once.
        set: fn(&mut Config, Vec<String>),
    },
}

/// Every key, by table, in the order of the template. The reader sets them in this order.
pub const KEYS: [Key; 11] = [
    Key {
        table: "ring",
        name: "sync",
        kind: Kind::Choice {
            words: &["each", "window", "none"],
            get: |config| config.ring.sync.name(),
            set: |config, word| config.ring.sync = SyncMode::from_name(word).unwrap_or_default(),
        },
        help: "When an event survives a power cut. \"each\": it is flushed at once, with those that came while the flush \
               before it ran; that costs most flushes. \"window\": at the latest after window_ms. \"none\": when a segment, an \
               epoch or the run ends; what a cut takes is up to the disk.",
    },
    Key {
        table: "ring",
        name: "window_ms",
        kind: Kind::Number {
            least: limits::WINDOW_MS.0,
            most: limits::WINDOW_MS.1,
            get: |config| match config.ring.sync {
                SyncMode::Window { millis, .. } => Some(millis),
                SyncMode::Each | SyncMode::None => None,
            },
            set: |config, window| {
                if let SyncMode::Window { millis, .. } = &mut config.ring.sync {
                    *millis = window;
                }
            },
        },
        help: "Milliseconds of events that a power cut may take. Says nothing unless sync is \"window\".",
    },
    Key {
        table: "ring",
        name: "full",
        kind: Kind::Choice {
            words: &["overwrite", "stop"],
            get: |config| config.ring.full.name(),
            set: |config, word| config.ring.full = Full::from_name(word).unwrap_or_default(),
        },
        help: "When the ring is full of events that were not exported. \"overwrite\": the oldest go, counted and in a \
               signed record. \"stop\": no new ones are taken until somebody exports; those are counted as lost.",
    },
    Key {
        table: "ring",
        name: "checkpoint_seconds",
        kind: Kind::Number {
            least: limits::CHECKPOINT_SECONDS.0,
            most: limits::CHECKPOINT_SECONDS.1,
            get: |config| Some(config.ring.checkpoint_seconds),
            set: |config, seconds| config.ring.checkpoint_seconds = seconds,
        },
        help: "The longest time between two signed checkpoints, seconds. Whoever takes the device over can change what \
               was written after the last one.",
    },
    Key {
        table: "export",
        name: "every_minutes",
        kind: Kind::Number {
            least: 0,
            most: limits::EVERY_MINUTES,
            get: |config| Some(config.export.every_minutes),
            set: |config, minutes| config.export.every_minutes = minutes,
        },
        help: "How often evidence is written to a stick that stays plugged, minutes. 0: only when it is plugged and at \
               the end.",
    },
    Key {
        table: "export",
        name: "recipients",
        kind: Kind::Recipients {
            get: |config| &config.export.recipients,
            set: |config, recipients| config.export.recipients = recipients,
        },
        help: "Who can read exports: up to 8 age recipients (\"age1…\", one an office key), each can alone. None: exports \
               are not encrypted; they are signed all the same.",
    },
    Key {
        table: "events",
        name: "argv",
        kind: Kind::Choice {
            words: &["whole", "secrets", "program"],
            get: |config| config.events.argv.name(),
            set: |config, word| config.events.argv = Keep::from_name(word).unwrap_or_default(),
        },
        help: "What is recorded of a program's arguments. \"whole\": all. \"secrets\": what may be a secret is struck out, \
               by names (--password=…, TOKEN=…) and by form (keys). \"program\": all but the first is. What was struck \
               out is nowhere.",
    },
    Key {
        table: "log",
        name: "format",
        kind: Kind::Choice {
            words: &["text", "json"],
            get: |config| config.log.format.name(),
            set: |config, word| config.log.format = Format::from_name(word).unwrap_or_default(),
        },
        help: "How lines look on the console. In the file they are JSON; `aegis logs` shows either.",
    },
    Key {
        table: "log",
        name: "level",
        kind: Kind::Choice {
            words: &["error", "warn", "info"],
            get: |config| config.log.level.name(),
            set: |config, word| config.log.level = Level::from_name(word).unwrap_or_default(),
        },
        help: "What is said at least: errors, warnings too, or also what was done.",
    },
    Key {
        table: "log",
        name: "file_kib",
        kind: Kind::Number {
            least: 0,
            most: limits::LOG_KIB,
            get: |config| Some(config.log.file_kib),
            set: |config, kib| config.log.file_kib = kib,
        },
        help: "Longest file of the log, KiB. There are two, and the older one is begun anew when the newer one is full. 0: no \
               file.",
    },
    Key {
        table: "alerts",
        name: "led",
        kind: Kind::Name { get: |config| &config.alerts.led, set: |config, name| config.alerts.led = name },
        help: "The light that shines while an alert fires whose outputs have \"led\": its name in /sys/class/leds. Empty: none.",
    },
];

impl Key {
    /// What it takes, for people.
    pub fn permitted(&self) -> String {
        use alloc::format;
        match self.kind {
            Kind::Choice { words, .. } => {
                let mut quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                let last = quoted.pop().unwrap_or_default();
                format!("{} or {last}", quoted.join(", "))
            }
            Kind::Number { least, most, .. } => format!("{least} to {most}"),
            Kind::Name { .. } => {
                format!("up to {} letters, digits and . _ - :", limits::LED_BYTES)
            }
            Kind::Recipients { .. } => format!("up to {} age recipients", limits::RECIPIENTS),
        }
    }
}

/// The keys of a table.
pub(crate) fn of(table: &str) -> impl Iterator<Item = &'static Key> {
    // A static, not the constant: what is returned outlives the call.
    static ALL: [Key; KEYS.len()] = KEYS;
    ALL.iter().filter(move |key| key.table == table)
}
