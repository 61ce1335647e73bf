//! The two boots of a benchmark, one by time and one by instructions, and which of them is made anew: what `bench` and `peers` share.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::root;

/// What a boot's blocks are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// Time: two processors, rounds of all there is to compare, forth and back.
    Timed {
        /// How many rounds.
        rounds: usize,
    },
    /// Instructions: one processor, everything once, and something once more.
    Counted,
}

impl Boot {
    /// The name of its lines' file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timed { .. } => "timed",
            Self::Counted => "counted",
        }
    }

    /// What it goes through: all, forth and back in each round; or all once, and then `more`.
    pub fn plan<T: Clone>(self, all: &[T], more: T) -> Vec<T> {
        let forth = all.iter().cloned();
        match self {
            Self::Timed { rounds } => {
                (0..rounds).flat_map(|_| forth.clone().chain(forth.clone().rev())).collect()
            }
            Self::Counted => forth.chain([more]).collect(),
        }
    }

    /// Where its lines are kept; `what`: the benchmark.
    pub fn kept(self, what: &str) -> PathBuf {
        root().join("target").join(what).join(format!("{}.jsonl", self.name()))
    }
}

/// What was asked for, by the environment.
#[derive(Clone, Debug)]
pub struct Chosen {
    rounds: usize,
    /// `timed`, `counted`, `page`; empty: all.
    only: String,
    /// The variable that says so.
    variable: String,
}

impl Chosen {
    /// `ROUNDS`, or so many; and `NAME_ONLY`.
    ///
    /// # Errors
    /// What is neither, in one line.
    pub fn read(name: &str, rounds: usize) -> Result<Self, String> {
        let rounds = std::env::var("ROUNDS").map_or(Ok(rounds), |text| {
            text.parse().map_err(|_| format!("ROUNDS={text}: is no number; mend: a number, or leave it out"))
        })?;
        let variable = format!("{}_ONLY", name.to_ascii_uppercase());
        let only = std::env::var(&variable).unwrap_or_default();
        if !["", "timed", "counted", "page"].contains(&only.as_str()) {
            return Err(format!(
                "{variable}={only}: timed, counted or page; mend: one of them, or leave it out"
            ));
        }
        Ok(Self { rounds, only, variable })
    }

    /// Both boots.
    pub const fn boots(&self) -> [Boot; 2] {
        [Boot::Timed { rounds: self.rounds }, Boot::Counted]
    }

    /// A boot's blocks: measured, or as they were kept.
    ///
    /// # Errors
    /// Why there are none, in one line.
    pub fn blocks<T: DeserializeOwned>(
        &self,
        boot: Boot,
        kept: &Path,
        measure: impl FnOnce(Boot) -> Result<Vec<T>, String>,
    ) -> Result<Vec<T>, String> {
        if self.only.is_empty() || self.only == boot.name() {
            return measure(boot);
        }
        let text = fs::read_to_string(kept).map_err(|error| {
            format!("{}: {error}; mend: leave {} out once", kept.display(), self.variable)
        })?;
        blocks_of(&text)
    }
}

/// The lines of a boot, a block each.
///
/// # Errors
/// One that is none of its own.
pub fn blocks_of<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, String> {
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))
    };
    text.lines().enumerate().map(line).collect()
}

/// Writes a page below `docs/evidence`, unless something is void: each reason is said then. Where the page is.
///
/// # Errors
/// It was not written: why, in one line.
pub fn publish(page: &str, voids: &[String], text: impl FnOnce() -> String) -> Result<PathBuf, String> {
    if !voids.is_empty() {
        for why in voids {
            eprintln!("VOID: {why}");
        }
        return Err(format!("{} void: no figure is claimed, and no page written", voids.len()));
    }
    let page = root().join("docs/evidence").join(page);
    fs::write(&page, text()).map_err(|error| format!("{}: {error}", page.display()))?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_forth_and_back_and_what_is_counted_ends_with_more() {
        let all = ["none", "a", "b"];
        let plan = Boot::Timed { rounds: 2 }.plan(&all, "more");
        assert_eq!(plan[..6], ["none", "a", "b", "b", "a", "none"]);
        assert_eq!((plan.len(), &plan[..6]), (12, &plan[6..]));
        assert_eq!(Boot::Counted.plan(&all, "more"), ["none", "a", "b", "more"]);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        assert_eq!(blocks_of::<u32>("1\n2\n"), Ok(vec![1, 2]));
        assert!(blocks_of::<u32>("1\nx\n").is_err_and(|error| error.starts_with("line 2: ")));
    }
}
