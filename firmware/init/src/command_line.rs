//! The kernel's command line.

use crate::{devices, limits};

/// What the kernel was told.
pub(crate) struct CommandLine {
    text: String,
}

impl CommandLine {
    /// Of this boot. One that can't be read asks for nothing.
    pub(crate) fn of_this_boot() -> Self {
        Self { text: devices::read("/proc/cmdline", limits::LINE_BYTES).unwrap_or_default() }
    }

    /// `NAME` or `NAME=VALUE`: its value, empty without one. One that comes twice counts as the first: what an image signed
    /// comes before what may be added to it.
    pub(crate) fn asked(&self, name: &str) -> Option<&str> {
        self.text.split_ascii_whitespace().find_map(|word| match word.strip_prefix(name)? {
            "" => Some(""),
            rest => rest.strip_prefix('='),
        })
    }

    /// It is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.asked(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_of_a_name_counts() {
        let line = CommandLine {
            text: "quiet aegis.slot=a aegis.stick=1 aegis.slot=b aegis.trace aegis.empty= x=y=z\n".to_owned(),
        };
        for (name, expected) in [
            ("aegis.slot", Some("a")),
            ("aegis.stick", Some("1")),
            ("aegis.trace", Some("")),
            ("aegis.empty", Some("")),
            ("x", Some("y=z")),
            ("aegis.st", None),
            ("aegis.sticks", None),
            ("slot", None),
        ] {
            assert_eq!(line.asked(name), expected, "{name}");
        }
        assert!(line.has("quiet") && !line.has("loud"));
    }
}
