//! What came back from a guest, verified and readable.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use aegis_qemu::Run;
use serde_json::Value;

use crate::bench::Bench;

/// A run and the events of its export, which `aegisctl` has verified.
pub struct Evidence {
    run: Run,
    /// One JSON object an event, in order.
    pub events: Vec<Value>,
}

/// What was on the console of a run.
///
/// # Panics
/// When there is no console.
pub fn console(run: &Run) -> String {
    String::from_utf8_lossy(&std::fs::read(run.console()).expect("every run has a console")).into_owned()
}

/// As [`Evidence::receipts`], of a run that left no export too.
///
/// # Panics
/// When one does not verify.
pub fn receipts(run: &Run) -> Vec<Value> {
    let show = |path: &PathBuf| -> Value {
        let mut command = Bench::aegisctl();
        command.args(["receipt", "show", "--json"]).arg(path);
        serde_json::from_slice(&Bench::good(command)).expect("one JSON object")
    };
    let mut all: Vec<Value> = run.receipts.iter().map(show).collect();
    let number = |receipt: &Value, name: &str| receipt[name].as_u64().unwrap_or(0);
    all.sort_by_key(|receipt| number(receipt, "boot_time"));
    let begins = |boot: &Value| {
        let of_boot = all.iter().filter(|receipt| receipt["boot_id"] == *boot);
        of_boot.map(|receipt| number(receipt, "clock")).min()
    };
    let starts: Vec<_> = all.iter().map(|receipt| begins(&receipt["boot_id"])).collect();
    let mut ordered: Vec<_> = starts.into_iter().zip(all).collect();
    ordered.sort_by_key(|(start, receipt)| (*start, receipt["boot_id"].to_string()));
    ordered.into_iter().map(|(_, receipt)| receipt).collect()
}

/// The sum of this field over the events of this kind.
pub fn count_in(run: &Evidence, kind: &str, field: &str) -> u64 {
    run.kind(kind).iter().filter_map(|event| event[field].as_u64()).sum()
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
        let all = run.exports.clone();
        assert!(!all.is_empty(), "the guest left no export: {:?}", run.unread);
        Self::verify(&all);
        let mut events: Vec<Value> = all.iter().flat_map(|export| Self::show(export)).collect();
        events.sort_by_key(|event| event["sequence"].as_u64());
        events.dedup_by_key(|event| event["sequence"].clone());
        Self { run, events }
    }

    /// Verifies exports of one device, together.
    ///
    /// # Panics
    /// When they do not verify.
    pub fn verify(exports: &[PathBuf]) {
        let mut command = Bench::aegisctl();
        command.args(["export", "verify"]).args(exports);
        Bench::good(command);
    }

    /// What `aegisctl export verify --json` says of these, whole or not.
    ///
    /// # Panics
    /// When it says nothing.
    pub fn report(exports: &[PathBuf]) -> Value {
        let mut command = Bench::aegisctl();
        let output = command.args(["export", "verify", "--json"]).args(exports).output();
        let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The events of an export that verifies.
    ///
    /// # Panics
    /// When it does not.
    pub fn show(export: &Path) -> Vec<Value> {
        let mut command = Bench::aegisctl();
        command.args(["export", "show"]).arg(export).args(["--format", "json"]);
        let lines = String::from_utf8(Bench::good(command)).expect("JSON is UTF-8");
        lines.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    /// What the device's receipts say, verified, oldest first (in one boot: by the time since its start; of several:
    /// by the clock of each boot's first). One JSON object each, as `aegisctl receipt show --json` prints it.
    ///
    /// # Panics
    /// When one does not verify.
    pub fn receipts(&self) -> Vec<Value> {
        receipts(&self.run)
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
