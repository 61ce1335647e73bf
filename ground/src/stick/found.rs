//! What was found on a stick, for people and for programs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use aegis_event::Printable;
use serde_json::{Value, json};

use super::devices::Devices;
use super::limits;
use super::source::Names;
use crate::hex;
use crate::policy::counted;

/// How many names of files that no device wrote are listed.
const LISTED: usize = 8;

/// What a file's name promises. What is in it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Signed, and brings the device's key: these come first.
    Receipt,
    Export,
    /// Not signed.
    Status,
    /// Neither.
    Support,
    /// Not signed: the alerts as of then.
    Alerts,
}

impl Kind {
    pub(super) fn of(name: &str) -> Option<Self> {
        // An encrypted export says so behind its name.
        let name = match name.strip_suffix(".age") {
            Some(export) if export.starts_with("export-") => export,
            _ => name,
        };
        let (front, suffix) = name.rsplit_once('.')?;
        match suffix {
            "cbor" if front.starts_with("receipt-") => Some(Self::Receipt),
            "cbor" if front.starts_with("export-") => Some(Self::Export),
            "json" if front.starts_with("status") => Some(Self::Status),
            "tar" if front.starts_with("support-") => Some(Self::Support),
            "json" if front.starts_with("alerts") => Some(Self::Alerts),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Export => "export",
            Self::Status => "status",
            Self::Support => "support",
            Self::Alerts => "alerts",
        }
    }
}

/// What became of one file.
pub(super) struct Found {
    /// Its name on the stick: plain.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Who signed it.
    pub(super) device: Option<[u8; 16]>,
    /// It verifies.
    pub(super) good: bool,
    /// It was here already, byte for byte.
    pub(super) had: bool,
    /// Reason code: the device's own, or why it does not verify.
    pub(super) code: String,
    pub(super) detail: String,
    /// What a receipt answers; else what it is.
    pub(super) what: &'static str,
    pub(super) epoch: Option<u64>,
    pub(super) sequence: String,
    pub(super) when: String,
    /// Where it is now.
    pub(super) path: Option<PathBuf>,
    /// More for programs.
    pub(super) more: Value,
}

impl Found {
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            device: None,
            good: false,
            had: false,
            code: String::new(),
            detail: String::new(),
            what: kind.name(),
            epoch: None,
            sequence: String::new(),
            when: String::new(),
            path: None,
            more: json!({}),
        }
    }

    /// It verifies, and says this.
    pub(super) fn accept(&mut self, device: Option<[u8; 16]>, code: impl Into<String>) {
        (self.good, self.device, self.code) = (true, device, code.into());
    }

    /// It does not verify: whose it is, nobody knows.
    pub(super) fn refuse(&mut self, code: impl Into<String>, detail: impl Into<String>) {
        (self.good, self.device) = (false, None);
        (self.code, self.detail) = (code.into(), detail.into());
    }

    fn to_json(&self) -> Value {
        let mut value = self.more.clone();
        value["file"] = self.name.clone().into();
        value["kind"] = self.kind.name().into();
        value["device"] = self.device.map(|device| hex::encode(&device)).into();
        value["good"] = self.good.into();
        value["had"] = self.had.into();
        value["code"] = self.code.clone().into();
        value["detail"] = self.detail.clone().into();
        value["path"] = self.path.as_ref().map(|path| path.display().to_string()).into();
        value
    }

    fn line(&self) -> String {
        let device = self.device.map_or("?".to_owned(), |device| hex::encode(&device));
        // A device signed it; that is no reason to let it drive a terminal.
        let code = Printable(self.code.as_bytes()).to_string();
        let epoch = self.epoch.map_or("-".to_owned(), |epoch| epoch.to_string());
        let when = if self.good { self.when.clone() } else { format!("NOT GOOD: {}", self.name) };
        let mut line =
            format!("{device:<32}  {:<11}  {code:<18}  {epoch:>5}  {:>13}  {when}", self.what, self.sequence);
        if !self.detail.is_empty() {
            line = format!("{line}\n{:<32}  {}", "", Printable(self.detail.as_bytes()));
        }
        line
    }
}

/// Everything that was found.
#[derive(Default)]
pub(super) struct Report {
    pub(super) files: Vec<Found>,
    /// Names on the stick.
    pub(super) names: Names,
}

impl Report {
    /// All of it verifies, and all of it was looked at.
    pub(super) fn is_good(&self) -> bool {
        self.files.iter().all(|found| found.good) && !self.names.more
    }

    /// Devices whose signatures hold.
    pub(super) fn devices(&self) -> BTreeSet<[u8; 16]> {
        self.files.iter().filter(|found| found.good).filter_map(|found| found.device).collect()
    }

    fn left_there(&self) -> Vec<&str> {
        let strange = self.names.plain.iter().filter(|name| Kind::of(name).is_none());
        strange.chain(&self.names.strange).map(String::as_str).collect()
    }

    pub(super) fn to_json(&self, devices: &Devices) -> Value {
        json!({
            "good": self.is_good(),
            "files": self.files.iter().map(Found::to_json).collect::<Vec<_>>(),
            "new_devices": devices.met().iter().map(|device| hex::encode(device)).collect::<Vec<_>>(),
            "devices_file": devices.path().display().to_string(),
            "left_there": self.left_there(),
            "more": self.names.more,
        })
    }

    /// What is new or not good, a line each; then the sums.
    pub(super) fn to_text(&self, devices: &Devices) -> String {
        let mut lines = Vec::new();
        let mut shown: Vec<&Found> = self.files.iter().filter(|found| !found.had || !found.good).collect();
        shown.sort_by(|a, b| (a.device, &a.when, &a.name).cmp(&(b.device, &b.when, &b.name)));
        if !shown.is_empty() {
            let title = ("DEVICE", "WHAT", "CODE", "EPOCH", "SEQUENCE");
            lines.push(format!(
                "{:<32}  {:<11}  {:<18}  {:>5}  {:>13}  WHEN",
                title.0, title.1, title.2, title.3, title.4
            ));
        }
        lines.extend(shown.into_iter().map(Found::line));
        for device in devices.met() {
            let id = hex::encode(device);
            lines.push(format!(
                "new device {id}: its key was taken on trust; compare the id with its console"
            ));
        }
        let left = self.left_there();
        if !left.is_empty() {
            let dots = if left.len() > LISTED { " …" } else { "" };
            lines.push(format!(
                "left there, no file of a device: {}{dots}",
                left[..left.len().min(LISTED)].join(" ")
            ));
        }
        if self.names.more {
            lines.push(format!("more than {} entries: NOT all of them were looked at", limits::OUT_ENTRIES));
        }
        let had = self.files.iter().filter(|found| found.had).count();
        let verdict = match self.files.iter().filter(|found| !found.good).count() {
            0 => "all good".to_owned(),
            bad => format!("{bad} NOT good"),
        };
        lines.push(format!(
            "{} of {}, {had} of them here already; {verdict}\n",
            counted(self.files.len(), "file"),
            counted(self.devices().len(), "device")
        ));
        lines.join("\n")
    }
}
