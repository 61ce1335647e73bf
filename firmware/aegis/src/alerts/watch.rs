//! `aegis alerts watch`: every few seconds the figures of `aegis metrics`, judged by the alerts of the policy in force.
//!
//! Times are of `CLOCK_BOOTTIME`: setting the clock moves none. What a look allocates it gives back, within a fixed heap; what
//! takes long to find out (the ring's partition, what is remembered of bundles) is looked at once a minute.

use std::path::Path;
use std::time::{Duration, Instant};

use aegis_alerts::{Change, Engine};
use aegis_event::{Body, Event};
use aegis_policy::Outputs as Wanted;

use super::confine;
use super::outputs::Outputs;
use super::{Report, Told};
use crate::commands::{in_force, metrics};
use crate::kernel::{self, KernelState};
use crate::outcome::{Failure, Outcome};
use crate::run::control;
use crate::stick::privileges;
use crate::storage::device::boottime;
use crate::storage::{RUN, atomic, lock, tally};
use crate::{config, heap, limits};

const LOCK: &str = "alerts.lock";
const METRICS: &str = "metrics.prom";

/// Runs until it is ended.
pub(crate) fn run() -> Outcome {
    heap::set_limit(limits::ALERTS_HEAP_BYTES);
    let _one = lock::take_now(LOCK).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Failure::error("another watcher of alerts is running"),
        _ => Failure::error(format!("{RUN}/{LOCK}: {error}")),
    })?;
    // Nobody looked before in this boot: what its counters say has grown from 0.
    let first = tally::started(tally::Program::Alerts) == Some(1);
    privileges::keep(privileges::PROBES).map_err(|error| Failure::error(format!("capabilities: {error}")))?;
    let led = config::look().config.alerts.led;
    let mut watch = Watch {
        engine: Engine::default(),
        outputs: Outputs::new(Path::new("/dev/kmsg"), Path::new("/sys/class/leds"), &led),
        kept: metrics::Kept::default(),
        text: String::new(),
        room: vec![0; limits::ALERTS_BYTES],
        policy: None,
        sequence: 0,
        first,
        failed: false,
    };
    // At the start of a device both are started: a look before the agent is there would say of every boot that it is not.
    let until = Instant::now() + Duration::from_secs(limits::ALERTS_PATIENCE_SECONDS);
    while control::ask_status().is_err() && Instant::now() < until {
        std::thread::sleep(Duration::from_secs(1));
    }
    confine::restrict_calls().map_err(|error| Failure::error(format!("seccomp: {error}")))?;
    loop {
        watch.look(Path::new(RUN));
        std::thread::sleep(Duration::from_secs(limits::ALERTS_SECONDS));
    }
}

struct Watch {
    engine: Engine,
    outputs: Outputs,
    kept: metrics::Kept,
    /// The metrics of a look; its room stays.
    text: String,
    room: Vec<u8>,
    /// SHA-256 of the bundle whose alerts these are.
    policy: Option<[u8; 32]>,
    sequence: u64,
    first: bool,
    /// It was said that what a look leaves can't be written.
    failed: bool,
}

impl Watch {
    fn look(&mut self, run: &Path) {
        self.follow();
        let gathered = metrics::gather(&mut self.text, Some(&mut self.engine), &mut self.kept);
        let (now, sequence) = (boottime(), self.sequence);
        let outputs = &mut self.outputs;
        self.engine.finish(now, &mut |change| told(outputs, change, sequence, now));
        let mut report = Report { at: now, sequence, crowded: self.engine.is_crowded(), alerts: Vec::new() };
        report.alerts.extend(self.engine.rows().map(|row| Told::of(&row)));
        let lit = report.alerts.iter().any(|alert| alert.is_firing() && alert.has(Wanted::LED));
        self.outputs.light(lit);
        let left = gathered
            .map_err(|failure| std::io::Error::other(failure.to_string()))
            .and_then(|()| report.save(run, &mut self.room))
            .and_then(|()| atomic::replace(run, METRICS, self.text.as_bytes(), 0o644).map(drop));
        if let Err(error) = &left
            && !self.failed
        {
            log::error!("alerts: {RUN}: {error} (others see an old state; it is tried again)");
        }
        self.failed = left.is_err();
    }

    /// Takes the alerts of the policy in force, if that is another one.
    fn follow(&mut self) {
        let Ok(policy) = KernelState::open().map(|state| state.policy()) else { return };
        if self.policy == Some(policy.hash) {
            return;
        }
        self.kept.forget();
        let (sequence, outputs) = (self.sequence, &mut self.outputs);
        let found = in_force::alerts(&policy.hash).and_then(|(count, bytes)| {
            let now = boottime();
            self.engine
                .take(count, bytes, self.first, &mut |change| told(outputs, change, sequence, now))
                .map_err(|error| Failure::error(error.to_string()))
        });
        // Also when it could not be read: it is not better at the next look, and its end is said by `aegis health`.
        (self.policy, self.sequence, self.first) = (Some(policy.hash), policy.sequence, false);
        if let Err(failure) = found {
            log::error!("alerts: policy {}: {failure} (those of the policy before stay)", policy.sequence);
        }
    }
}

/// An event, and what else the alert asks for.
fn told(outputs: &mut Outputs, change: &Change<'_>, sequence: u64, now: u64) {
    let (alert, severity) = (change.alert.name, change.alert.severity);
    let code = if change.firing { "firing" } else { "over" };
    let body = Body::Alert { alert, severity, code, sequence, value: change.value, detail: change.series };
    let event = Event { time: now, subject: None, body };
    if let Err(error) = kernel::send_note(&event) {
        log::error!("event not recorded: {error}: {event}");
    }
    outputs.tell(change, now);
}
