//! Configurations as text: the template, and what is set.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};

use crate::Config;
use crate::keys::{self, Key, Kind, TABLES};

/// Widest line of the template, characters.
const WIDTH: usize = 78;

const HEAD: &str = "\
# Configuration of an Aegis device: /data/aegis/config.toml
#
# Each key may be left out: what stands here is what holds then. To set one,
# take away the # before it. `aegis config check FILE` says whether a file would
# be taken. It is read when the agent and `aegis stick watch` start. A file that
# is not good is refused as a whole: the last good one stays in force, and the
# device says so.
";

/// The file to begin with: every key with what it does, what it takes and its default, none of them set.
pub fn template() -> String {
    let config = Config::default();
    write(|out| {
        out.write_str(HEAD)?;
        for table in &TABLES {
            writeln!(out)?;
            comment(out, table.help)?;
            writeln!(out, "[{}]", table.name)?;
            for key in keys::of(table.name) {
                writeln!(out)?;
                comment(out, key.help)?;
                comment(out, &format!("Permitted: {}.", key.permitted()))?;
                writeln!(out, "#{} = {}", key.name, key.value(&config).unwrap_or_default())?;
            }
        }
        Ok(())
    })
}

/// A configuration as a file that [`read`](crate::read) takes, every key that says something set.
pub fn to_toml(config: &Config) -> String {
    write(|out| {
        for (index, table) in TABLES.iter().enumerate() {
            writeln!(out, "{}[{}]", if index == 0 { "" } else { "\n" }, table.name)?;
            for key in keys::of(table.name) {
                if let Some(value) = key.value(config) {
                    writeln!(out, "{} = {value}", key.name)?;
                }
            }
        }
        Ok(())
    })
}

fn write(text: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    text(&mut out).expect("a String takes everything");
    out
}

impl Key {
    /// What is set, as it stands in a file; `None` when it says nothing, by what else is set.
    pub fn value(&self, config: &Config) -> Option<String> {
        Some(match self.kind {
            Kind::Choice { get, .. } => format!("{:?}", get(config)),
            Kind::Number { get, .. } => format!("{}", get(config)?),
            // Their letters need no escapes.
            Kind::Name { get, .. } => format!("{:?}", get(config)),
            Kind::Recipients { get, .. } => format!("{:?}", get(config)),
        })
    }

    /// The key of this table and name.
    pub fn find(table: &str, name: &str) -> Option<&'static Self> {
        keys::of(table).find(|key| key.name == name)
    }
}

/// Writes sentences as a comment, wrapped.
fn comment(out: &mut String, text: &str) -> fmt::Result {
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length <= WIDTH {
            write!(out, " {word}")?;
            width += 1 + length;
        } else {
            write!(out, "{}# {word}", if width == 0 { "" } else { "\n" })?;
            width = 2 + length;
        }
    }
    writeln!(out)
}
