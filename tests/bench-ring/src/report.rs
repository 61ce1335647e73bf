//! What is said to people, and the same for machines.

use std::fmt::Arguments;

use serde_json::{Map, Value, json};

use crate::Outcome;

/// Text as it comes; with `--json` on the error output, and one JSON object at the end on the output.
pub(crate) struct Report {
    json: bool,
    parts: Map<String, Value>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, parts: Map::new() }
    }

    /// A line.
    pub(crate) fn say(&self, line: Arguments<'_>) {
        if self.json {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }

    /// One more of a kind of figures.
    pub(crate) fn add(&mut self, kind: &str, figures: Value) {
        if let Value::Array(list) = self.parts.entry(kind).or_insert_with(|| json!([])) {
            list.push(figures);
        }
    }

    /// A fact about the run.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.parts.insert(name.into(), value);
    }

    pub(crate) fn end(self) -> Outcome<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(&Value::Object(self.parts))?);
        }
        Ok(())
    }
}

/// Lower quartile, median and upper quartile.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Of at least one figure.
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_unstable_by(f64::total_cmp);
        let at = |quarter: usize| figures[(figures.len() - 1) * quarter / 4];
        Self { low: at(1), median: at(2), high: at(3) }
    }

    /// Three digits are what there is in them.
    pub(crate) fn json(&self) -> Value {
        let [low, median, high] = [self.low, self.median, self.high].map(round);
        json!({ "low": low, "median": median, "high": high })
    }
}

/// To four significant digits.
pub(crate) fn round(figure: f64) -> f64 {
    format!("{figure:.3e}").parse().unwrap_or(figure)
}
