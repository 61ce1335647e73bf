//! What a metric is, and the table of all of them as `docs/metrics.md` has it.

#[cfg(feature = "contract")]
use core::fmt::{self, Write};

#[cfg(feature = "contract")]
use crate::{Id, Source};

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows, until it is reset.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size, and a sum.
    Histogram,
}

impl Type {
    /// The word of the text format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What begins a counter anew.
#[cfg(feature = "contract")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resets {
    /// It is no counter.
    Nothing,
    /// A new ring: it lives in the ring itself.
    Ring,
    /// A boot.
    Boot,
    /// A load of the probes: at boot, and at an upgrade of the ABI.
    Load,
    /// A start of the agent.
    Run,
    /// A workload's cgroup made anew.
    Cgroup,
}

#[cfg(feature = "contract")]
impl Resets {
    /// The word in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "–",
            Self::Ring => "new ring",
            Self::Boot => "boot",
            Self::Load => "load",
            Self::Run => "agent",
            Self::Cgroup => "cgroup",
        }
    }
}

/// When a family has series.
#[cfg(feature = "contract")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// On a device of our image whose agent is ready, whatever its hardware.
    Always,
    /// When this is there.
    When(&'static str),
}

/// A label: its name, how many values it has at most, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Values there can be.
    pub most: u16,
    /// Which they are, for a person.
    #[cfg(feature = "contract")]
    pub values: &'static str,
}

#[cfg(feature = "contract")]
impl Label {
    /// Every value that it can have, where all of them are known.
    pub fn known(&self) -> Option<alloc::vec::Vec<&'static str>> {
        use aegis_event::{Cause, Kind};
        let quoted: alloc::vec::Vec<&str> = self
            .values
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| !word.contains('/') || *word == "/")
            .collect();
        match self.name {
            "kind" if usize::from(self.most) == Kind::ALL.len() => {
                Some(Kind::ALL.iter().map(|kind| kind.name()).collect())
            }
            "cause" if usize::from(self.most) == Cause::ALL.len() => {
                Some(Cause::ALL.iter().map(|cause| cause.name()).collect())
            }
            "source" => Some(Source::ALL.iter().map(|source| source.name()).collect()),
            _ if self.most > 1 && quoted.len() == usize::from(self.most) => Some(quoted),
            _ => None,
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Name, a blank, help: as the text format has them.
    pub(crate) text: &'static str,
    pub(crate) name_bytes: u8,
    /// What kind.
    pub kind: Type,
    /// Its labels, in the order in which they are written.
    pub labels: &'static [Label],
    /// When it has series.
    #[cfg(feature = "contract")]
    pub presence: Presence,
    /// What begins it anew.
    #[cfg(feature = "contract")]
    pub resets: Resets,
}

impl Family {
    /// `aegis_…`.
    pub fn name(&self) -> &'static str {
        self.text.get(..self.name_bytes.into()).unwrap_or_default()
    }

    /// One sentence. No backslash, no line feed: as it is written.
    pub fn help(&self) -> &'static str {
        self.text.get(usize::from(self.name_bytes) + 1..).unwrap_or_default()
    }

    /// Series there can be.
    pub fn most(&self) -> u32 {
        self.labels.iter().fold(1u32, |most, label| most.saturating_mul(label.most.into()))
    }
}

/// Writes the table of all families, as `docs/metrics.md` has it.
#[cfg(feature = "contract")]
pub fn contract(out: &mut dyn Write) -> fmt::Result {
    let mut group = "";
    for id in Id::ALL {
        let family = id.family();
        if id.group() != group {
            group = id.group();
            write!(
                out,
                "\n### {group}\n\n| metric | type | labels | begins anew | when | what |\n|---|---|---|---|---|---|\n"
            )?;
        }
        write!(out, "| `{}` | {} | ", family.name(), family.kind.name())?;
        for (index, label) in family.labels.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}`{}` ({}; {} at most)", label.name, label.values, label.most)?;
        }
        let when = match family.presence {
            Presence::Always => "always",
            Presence::When(what) => what,
        };
        writeln!(out, " | {} | {when} | {} |", family.resets.name(), family.help())?;
    }
    write!(out, "\n### Sources\n\n| `source` | what is read |\n|---|---|\n")?;
    for source in Source::ALL {
        writeln!(out, "| `{}` | {} |", source.name(), source.what())?;
    }
    Ok(())
}
