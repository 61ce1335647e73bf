//! What came back from a guest, verified and readable.

use std::ops::Deref;
use std::path::Path;

use aegis_qemu::Run;
use serde_json::Value;

use crate::bench::Bench;

/// A run and the events of its export, which `aegisctl` has verified.
pub struct Evidence {
    run: Run,
    /// One JSON object an event, in order.
    pub events: Vec<Value>,
}

impl Deref for Evidence {
    type Target = Run;

    fn deref(&self) -> &Run {
        &self.run
    }
}

impl Evidence {
    /// Verifies and reads the export of `run`.
    ///
    /// # Panics
    /// When there is none or it does not verify.
    pub fn read(run: Run) -> Self {
        let export = run.export.clone().expect("the guest left an export");
        Self::verify(&export);
        let events = Self::show(&export);
        Self { run, events }
    }

    /// Verifies an export.
    ///
    /// # Panics
    /// When it does not verify.
    pub fn verify(export: &Path) {
        let mut command = Bench::aegisctl();
        command.args(["export", "verify"]).arg(export);
        Bench::good(command);
    }

    fn show(export: &Path) -> Vec<Value> {
        let mut command = Bench::aegisctl();
        command.args(["export", "show"]).arg(export).args(["--format", "json"]);
        let lines = String::from_utf8(Bench::good(command)).expect("JSON is UTF-8");
        lines.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    /// The events for which every one of these fields has this value.
    pub fn with(&self, fields: &[(&str, Value)]) -> Vec<&Value> {
        let fits = |event: &&Value| fields.iter().all(|(name, value)| event[*name] == *value);
        self.events.iter().filter(fits).collect()
    }

    /// The events of this kind.
    pub fn kind(&self, kind: &str) -> Vec<&Value> {
        self.with(&[("kind", kind.into())])
    }

    /// What the workload wrote to its stdout.
    ///
    /// # Panics
    /// When it is not text.
    pub fn out_text(&self) -> String {
        String::from_utf8(self.run.stdout().expect("stdout is there")).expect("text")
    }

    /// What the workload wrote to its stderr.
    ///
    /// # Panics
    /// When it is not text.
    pub fn err_text(&self) -> String {
        String::from_utf8(self.run.stderr().expect("stderr is there")).expect("text")
    }

    /// A number of the status, by JSON pointer (RFC 6901).
    ///
    /// # Panics
    /// When it is not there.
    pub fn number(&self, pointer: &str) -> u64 {
        let value = self.run.status.pointer(pointer).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("status has no number at {pointer}: {}", self.run.status))
    }

    /// The accounting law on the final status: seen = written + lost, nothing in flight. Returns what was lost.
    ///
    /// # Panics
    /// When the books do not balance.
    pub fn lost(&self) -> u64 {
        let lost = self.run.status["accounts"]["lost"].as_object().expect("losses by cause");
        let lost = lost.values().map(|count| count.as_u64().expect("a count")).sum::<u64>();
        let (seen, written) = (self.number("/accounts/seen"), self.number("/accounts/written"));
        assert_eq!(seen, written + lost, "the books: {}", self.run.status["accounts"]);
        lost
    }
}
