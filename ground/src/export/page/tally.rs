//! What a page shows, counted while the events go by.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use aegis_event::{Body, Cause, Event, Verdict};
use aegis_export::Id;

use super::timeline::{Timeline, is_change};
use super::top::{Counts, Top};
use crate::export::check::Report;
use crate::export::clock::{Began, Clocks};
use crate::export::evidence::{Record, Sink};
use crate::export::limits;
use crate::export::line::{ip, shown};
use crate::export::report::SELF_TEST;
use crate::outcome::Failure;

/// A change of mode, policy or trust.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) device: Id,
    pub(super) began: Began,
    pub(super) at: i64,
    pub(super) sequence: u64,
    pub(super) kind: &'static str,
    pub(super) text: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) timelines: BTreeMap<Id, Timeline>,
    pub(super) total: Counts,
    /// The same for each device, of the first [`limits::PAGE_ROWS`] of them.
    pub(super) devices: BTreeMap<Id, Counts>,
    /// Denials of the agent's self-test: no incident, and in no list.
    pub(super) self_test: u64,
    /// Decisions that broken glass turned from denied into audited, and those that the fallen deadman did.
    pub(super) glass_broken: u64,
    pub(super) deadman: u64,
    pub(super) rules: Top,
    /// Workloads that a rule matched, and all of them.
    pub(super) matched_workloads: Top,
    pub(super) workloads: Top,
    /// Paths that a rule matched, and all of them.
    pub(super) matched: Top,
    pub(super) paths: Top,
    /// Files that were made, removed, renamed, linked, or whose attributes were set.
    pub(super) changed: Top,
    pub(super) programs: Top,
    pub(super) peers: Top,
    /// What was asked of the kernel's surface.
    pub(super) calls: Top,
    /// The first changes and the last ones, and how many there were.
    pub(super) first_changes: Vec<Change>,
    pub(super) last_changes: VecDeque<Change>,
    pub(super) changes: u64,
    /// Losses by workload and cause; beyond [`limits::PAGE_ROWS`] of them together.
    pub(super) losses: BTreeMap<(Vec<u8>, Cause), u64>,
    pub(super) other_losses: u64,
}

impl Tally {
    pub(super) fn new(report: &Report, clocks: &Clocks) -> Self {
        Self { timelines: Timeline::all(report, clocks), ..Self::default() }
    }

    fn event(&mut self, record: &Record<'_>, event: &Event<'_>) {
        let verdict = event.verdict();
        let subject = event.subject.as_ref().map(|subject| subject.workload);
        if subject == Some(SELF_TEST) {
            self.self_test += u64::from(verdict == Some(Verdict::Denied));
            return;
        }
        self.add(record, verdict);
        if let Some(timeline) = self.timelines.get_mut(&record.key.device) {
            timeline.take(record);
        }
        if let Some(workload) = subject {
            self.workloads.add(workload, verdict);
        }
        if let Some(decision) = event.body.decision().filter(|decision| decision.verdict != Verdict::Allowed)
        {
            self.rules.add(decision.rule, verdict);
            self.matched_workloads.add(subject.unwrap_or_default(), verdict);
            self.glass_broken += u64::from(decision.glass_broken);
            self.deadman += u64::from(decision.deadman && !decision.glass_broken);
        }
        match event.body {
            Body::Open { file, .. } | Body::ExecCheck { file, .. } => {
                self.paths.add(file.path, verdict);
            }
            Body::Create { file, .. }
            | Body::Unlink { file, .. }
            | Body::Rename { file, .. }
            | Body::Link { file, .. }
            | Body::SetAttr { file, .. } => self.changed.add(file.path, verdict),
            Body::Exec { file, .. } => self.programs.add(file.path, verdict),
            Body::UnixConnect { file, .. } => self.peers.add(file.path, verdict),
            Body::Connect { port, address, .. } => {
                let peer = match ip(address) {
                    Some(ip) => std::net::SocketAddr::from((ip, port)).to_string(),
                    None => format!("? port {port}"),
                };
                self.peers.add(peer.as_bytes(), verdict);
            }
            Body::Loss { workload, cause, count } => self.loss(workload, cause, count),
            _ => {}
        }
        if let Some(call) = event.body.call() {
            let space = if call.text.is_empty() { "" } else { " " };
            let name = [event.kind().name().as_bytes(), space.as_bytes(), call.text].concat();
            self.calls.add(&name, verdict);
        }
        if verdict.is_some_and(|verdict| verdict != Verdict::Allowed)
            && let Some(file) = event.body.file()
        {
            self.matched.add(file.path, verdict);
        }
        if is_change(event.kind()) {
            self.change(record, event);
        }
    }

    fn add(&mut self, record: &Record<'_>, verdict: Option<Verdict>) {
        self.total.add(verdict);
        let device = record.key.device;
        if self.devices.len() < limits::PAGE_ROWS || self.devices.contains_key(&device) {
            self.devices.entry(device).or_default().add(verdict);
        }
    }

    fn loss(&mut self, workload: &[u8], cause: Cause, count: u64) {
        let key = (workload.to_vec(), cause);
        let known = self.losses.len() < limits::PAGE_ROWS || self.losses.contains_key(&key);
        let sum = if known { self.losses.entry(key).or_default() } else { &mut self.other_losses };
        *sum = sum.saturating_add(count);
    }

    fn change(&mut self, record: &Record<'_>, event: &Event<'_>) {
        self.changes += 1;
        let bare = Event { time: 0, subject: None, body: event.body }.to_string();
        let kind = event.kind().name();
        let text = bare.split_once(&format!(" {kind} ")).map_or("", |(_, text)| text);
        let change = Change {
            device: record.key.device,
            began: record.began,
            at: record.at(),
            sequence: record.sequence,
            kind,
            text: shown(text.as_bytes()).into_owned(),
        };
        if self.first_changes.len() < limits::PAGE_ROWS / 2 {
            self.first_changes.push(change);
        } else {
            if self.last_changes.len() == limits::PAGE_ROWS / 2 {
                self.last_changes.pop_front();
            }
            self.last_changes.push_back(change);
        }
    }
}

impl Sink for Tally {
    fn take(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        match &record.event {
            Ok(event) => self.event(record, event),
            Err(_) => self.add(record, None),
        }
        Ok(ControlFlow::Continue(()))
    }
}
