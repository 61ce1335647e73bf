//! What the device's kernel must be for a policy: said by the author, since the office can't see it.

use std::str::FromStr;

use super::Compiled;
use super::place::SourceError;

/// Linux that measures programs for rules on hashes: `bpf_ima_file_hash` (5.18) of a sleepable program that no other task on the
/// CPU keeps from running (6.2, and taken back to 6.1's later releases).
const MEASURES: Kernel = Kernel { major: 6, minor: 1 };

/// The device that a policy is for.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct Device {
    /// Linux of the devices it is for, as 5.10 or 6.12: what that can't decide is an error
    #[arg(long, value_name = "VERSION")]
    kernel: Option<Kernel>,
    /// Their kernel has no IMA: a rule on hashes is an error
    #[arg(long)]
    no_ima: bool,
}

/// A version of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kernel {
    major: u16,
    minor: u16,
}

impl FromStr for Kernel {
    type Err = String;

    /// `5.10`, `6.12.3`, `6.1.0-13-amd64`: what is behind the second number does not count.
    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (major, rest) = text.split_once('.')?;
            let minor = rest.split(['.', '-', '+']).next()?;
            let number = |digits: &str| {
                digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
            };
            Some(Self { major: number(major)?, minor: number(minor)? })
        };
        read().ok_or_else(|| "a version of Linux is needed, as 5.10 or 6.12".to_owned())
    }
}

impl Device {
    /// Refuses what such a device refuses.
    pub(super) fn check(self, compiled: &Compiled) -> Result<(), SourceError> {
        let why = match self.kernel.filter(|kernel| *kernel < MEASURES) {
            Some(Kernel { major, minor }) => {
                format!("Linux {major}.{minor} measures none for it (6.2 does, and 6.1 of today)")
            }
            None if self.no_ima => "a kernel without IMA measures none".to_owned(),
            None => return Ok(()),
        };
        for rule in &compiled.source.rules {
            if let Some(first) = rule.raw.hashes.first() {
                let message = format!(
                    "rule \"{}\" is on the hash of programs, and {why}: a device refuses the policy (hash-unsupported); be on \
                     their paths",
                    rule.name()
                );
                let error = SourceError::new(first.at, message);
                return Err(match rule.used {
                    Some(at) => error.also(at, "the template is used here"),
                    None => error,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_versions() {
        for (text, expected) in [
            ("5.10", Some((5, 10))),
            ("5.18.0", Some((5, 18))),
            ("6.1.0-13-amd64", Some((6, 1))),
            ("6.12-rc1", Some((6, 12))),
            ("6", None),
            ("+5.1", None),
            ("5.", None),
            ("five.ten", None),
            ("5.99999", None),
        ] {
            let found = text.parse::<Kernel>().ok().map(|kernel| (kernel.major, kernel.minor));
            assert_eq!(found, expected, "{text}");
        }
    }
}
