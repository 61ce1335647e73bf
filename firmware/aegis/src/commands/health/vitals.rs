//! What health is judged by: the agent's status, the policy's troubles, the configuration's fault, as plain figures.

use std::time::Duration;

use aegis_event::{Accounts, Cause, Level, Mode, ModeReason};
use serde_json::{Value, json};

use crate::commands::finding::Finding;
use crate::commands::in_force;
use crate::config::Loaded;
use crate::json::object;
use crate::limits;
use crate::run::seal::Seal as State;
use crate::run::status::{Setup, Status};
use crate::storage::report::Report;
use crate::tpm::found::Found;

/// Figures of one device at one moment.
#[expect(clippy::struct_excessive_bools, reason = "each was seen by itself")]
#[derive(Clone, Debug, Default)]
pub(super) struct Vitals {
    /// Why no agent answers; what only it knows is then as it is by default.
    pub(super) no_agent: Option<String>,
    pub(super) ready: bool,
    pub(super) accounts: Accounts,
    /// Events seen that stay neither on disk nor lost; negative: more are, than were seen.
    pub(super) missing: i128,
    pub(super) ring: Ring,
    pub(super) seal: Seal,
    pub(super) mode: Option<Mode>,
    pub(super) reason: Option<ModeReason>,
    pub(super) broken_seconds: u64,
    /// Would-be denials that passed while the glass was broken.
    pub(super) passed: u64,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    /// Write errors between the first look and the last.
    pub(super) errors_now: u64,
    /// Codes of what is not as it should be.
    pub(super) policy: Vec<&'static str>,
    pub(super) policy_unknown: Option<String>,
    pub(super) config_fault: Option<String>,
    /// What the agent runs with, and from where.
    pub(super) config: String,
    /// Something else is configured than the agent runs with.
    pub(super) config_pending: bool,
    /// What was done to the disk in this boot, or could not be.
    pub(super) storage: Report,
    /// What the TPM said in this boot.
    pub(super) tpm: Found,
    /// The image has a shell and tools.
    pub(super) debug_image: bool,
    /// The firmware holds nothing against keys.
    pub(super) secure_boot_off: bool,
    /// Workloads that do not run as they should: code and meaning.
    pub(super) workloads: Vec<(&'static str, String)>,
    /// What is said of alerts.
    pub(super) alerts: Vec<Finding>,
    /// Why it is not known whether there are any.
    pub(super) workloads_unknown: Option<String>,
    /// The policy asks for an endpoint on the site network, and there is none: why.
    pub(super) site: Option<String>,
}

/// The ring on disk: how full it is, and what can't be read from it any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring {
    pub(super) used: u64,
    pub(super) capacity: u64,
    pub(super) errors: u64,
    pub(super) level: Level,
    /// Of the capacity, what events take that were not exported.
    pub(super) percent: u8,
    /// What happens when it is full, as configured.
    pub(super) full: &'static str,
    pub(super) overwritten: u64,
    pub(super) overwritten_range: (u64, u64),
    pub(super) cuts: u64,
    pub(super) damaged: u64,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            used: 0,
            capacity: 0,
            errors: 0,
            level: Level::Normal,
            percent: 0,
            full: "",
            overwritten: 0,
            overwritten_range: (0, 0),
            cuts: 0,
            damaged: 0,
        }
    }
}

/// The chain of checkpoints.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seal {
    pub(super) state: State,
    pub(super) epoch: u64,
    /// Seconds since the last checkpoint of this run, if there was one.
    pub(super) since: Option<u64>,
    /// Most seconds between two.
    pub(super) promise: u64,
}

/// The books of a status.
pub(super) fn accounts(status: &Status) -> Accounts {
    Accounts { seen: status.seen, written: status.written, lost: status.lost }
}

/// Tells events on their way from events that are missing: what is on its way moves.
#[derive(Debug, Default)]
pub(super) struct Settling {
    last: Option<(Duration, Accounts)>,
}

impl Settling {
    /// Takes a look; what is missing, once that is certain: nothing, or the books stood still for a while. Where writes to
    /// the ring failed before, it takes as long as it takes the agent to fail again, if it still does.
    pub(super) fn look(&mut self, now: Duration, books: &Accounts, errors: u64) -> Option<i128> {
        let missing = i128::from(books.seen) - i128::from(books.written) - i128::from(books.total_lost());
        match &self.last {
            _ if missing == 0 => {
                (errors == 0 || now >= Duration::from_millis(limits::HEALTH_ERRORS_MILLIS)).then_some(0)
            }
            Some((since, same)) if same == books => (now.saturating_sub(*since)
                >= Duration::from_millis(limits::HEALTH_STILL_MILLIS))
            .then_some(missing),
            _ => {
                self.last = Some((now, *books));
                None
            }
        }
    }
}

/// Is a loss by this cause a fault of the device, and what to do about it.
pub(super) const fn loss(cause: Cause) -> (bool, &'static str) {
    match cause {
        Cause::KernelRingFull => {
            (false, "a workload made more than the disk takes; `aegis status` and the export say which")
        }
        Cause::BadRecord => (true, "probes and agent are not of one version: start from the image again"),
        Cause::RingWrite => (true, "look at the disk, and at how full the ring is"),
        Cause::AgentKilled => (false, "the log says what ended the agent"),
        Cause::RateLimited => {
            (false, "a workload made more than its `rate` in the policy; the export says which")
        }
    }
}

/// What a trouble of the policy means, and what to do about it.
pub(super) fn policy_trouble(code: &str) -> (&'static str, &'static str) {
    match code {
        "probes-not-loaded" => {
            ("the probes are not in the kernel: nothing is seen, nothing denied", "`aegis load`, or reboot")
        }
        in_force::NOT_IN_FORCE => {
            ("another policy is in the kernel than is to be in force", "`aegis load` puts it there")
        }
        in_force::STALE => (
            "the policy in force is older than it was signed to be; it stays",
            "bring a newer bundle by stick",
        ),
        "trust-state-lost" => {
            ("both copies of the trust state are damaged", "bring the newest bundle; look into why")
        }
        "root-lost" => ("root metadata that was accepted is gone", "bring a stick with every root version"),
        _ => ("less is in force than was decided", "`aegis policy status` says more; bring the bundle again"),
    }
}

impl Vitals {
    /// From the agent's words at the first look and at the last, and what is configured now.
    pub(super) fn of(first: &Status, last: &Status, loaded: &Loaded) -> Self {
        Self {
            ready: last.is_ready(),
            accounts: accounts(last),
            ring: Ring {
                used: last.ring.used,
                capacity: last.ring.capacity,
                errors: last.ring.errors,
                level: last.level(),
                percent: last.ring.percent,
                full: last.setup.full(),
                overwritten: last.ring.overwritten,
                overwritten_range: last.ring.overwritten_range,
                cuts: last.ring.cuts,
                damaged: last.ring.damaged,
            },
            seal: Seal {
                state: last.seal.state,
                epoch: last.seal.epoch,
                since: last.seconds_since_checkpoint(),
                promise: last.promised_seconds().into(),
            },
            config: format!("{}: {}", last.setup.source(), last.setup),
            config_pending: last.setup != Setup::of(loaded),
            mode: last.mode(),
            reason: last.reason(),
            broken_seconds: last.broken_seconds(),
            passed: last.passed,
            epoch: last.policy.epoch,
            sequence: last.policy.sequence,
            errors_now: last.ring.errors.saturating_sub(first.ring.errors),
            ..Self::default()
        }
    }

    /// What was found to be missing. While the ring takes nothing (it is full and told to stop, or its disk fails) what stands
    /// still waits for it: it is on its way, and counted as lost only when there is no room left to wait in.
    pub(super) fn found_missing(&mut self, missing: i128) {
        let waits = self.ring.level == Level::Full || self.errors_now > 0;
        self.missing = if waits { missing.min(0) } else { missing };
    }

    /// Lost in this boot, by cause.
    pub(super) fn losses(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.iter().copied().zip(self.accounts.lost)
    }

    /// Less is denied than the policy asks for. Of broken glass that is said elsewhere.
    pub(super) fn denies_less(&self) -> bool {
        self.mode != Some(Mode::Enforcing)
            && !matches!(self.reason, Some(ModeReason::PolicyAudit | ModeReason::BrokenGlass))
    }

    /// For a person.
    pub(super) fn lines(&self) -> Vec<String> {
        let books = &self.accounts;
        let causes: Vec<String> = self
            .losses()
            .filter(|(_, lost)| *lost > 0)
            .map(|(cause, lost)| format!("{} {lost}", cause.name()))
            .collect();
        let causes = if causes.is_empty() { String::new() } else { format!(" ({})", causes.join(", ")) };
        let mut lines = vec![
            format!(
                "law     seen {} = on disk {} + lost {}{causes} + on their way {}{}",
                books.seen,
                books.written,
                books.total_lost(),
                books.missing().saturating_sub(u64::try_from(self.missing).unwrap_or(0)),
                if self.missing == 0 { String::new() } else { format!(" + UNACCOUNTED {}", self.missing) },
            ),
            self.ring.line(),
            self.seal.line(),
        ];
        let mode = self.mode.map_or("unknown", Mode::name);
        let reason = self.reason.map_or("unknown", ModeReason::name);
        lines.push(format!(
            "mode    {mode} ({reason}), policy epoch {} sequence {}",
            self.epoch, self.sequence
        ));
        lines.push(format!("config  {}", self.config));
        lines
    }

    pub(super) fn to_json(&self) -> Value {
        let lost = object(&mut self.losses().map(|(cause, lost)| (cause.name(), lost.into())));
        let missing = i64::try_from(self.missing).unwrap_or(i64::MAX);
        json!({
            "ready": self.ready,
            "accounts": {
                "seen": self.accounts.seen,
                "written": self.accounts.written,
                "lost": lost,
                "in_flight": self.accounts.missing().saturating_sub(u64::try_from(self.missing).unwrap_or(0)),
                "unaccounted": missing,
                "holds": self.missing == 0,
            },
            "ring": {
                "used_bytes": self.ring.used,
                "capacity_bytes": self.ring.capacity,
                "write_errors": self.ring.errors,
                "unexported_percent": self.ring.percent,
                "level": self.ring.level.name(),
                "full": self.ring.full,
                "overwritten": self.ring.overwritten,
                "cuts": self.ring.cuts,
                "damaged": self.ring.damaged,
            },
            "seal": {
                "code": self.seal.state.name(),
                "epoch": self.seal.epoch,
                "seconds_since_checkpoint": self.seal.since,
                "promised_seconds": self.seal.promise,
            },
            "mode": self.mode.map(Mode::name),
            "reason": self.reason.map(ModeReason::name),
            "glass": { "broken": self.broken_seconds > 0, "seconds_left": self.broken_seconds, "passed": self.passed },
            "policy": { "epoch": self.epoch, "sequence": self.sequence, "troubles": self.policy },
            "storage": crate::commands::storage::to_json(&self.storage),
            "config": { "in_force": self.config, "pending": self.config_pending, "fault": self.config_fault },
        })
    }
}

impl Ring {
    fn line(&self) -> String {
        format!(
            "ring    {} of {} KiB in use, not exported {} % ({}; {} when full), {} write errors, {} overwritten, {} damaged, \
             {} power cuts",
            self.used / 1024,
            self.capacity / 1024,
            self.percent,
            self.level,
            self.full,
            self.errors,
            self.overwritten,
            self.damaged,
            self.cuts
        )
    }
}

impl Seal {
    fn line(&self) -> String {
        let since = self.since.map_or("none yet".into(), |since| format!("{since} s ago"));
        let (epoch, state, promise) = (self.epoch, self.state.name(), self.promise);
        let promised =
            if promise > 0 { format!("every {promise} s promised") } else { "none promised".into() };
        format!("seal    {state}, epoch {epoch}, last checkpoint {since}, {promised}")
    }

    /// The last checkpoint is older than is promised. Of one that can't be made that is said elsewhere.
    pub(super) fn is_late(&self) -> bool {
        self.promise > 0
            && matches!(self.state, State::Starting | State::Sealed | State::Unwiped)
            && self
                .since
                .is_some_and(|since| since > self.promise.saturating_add(limits::CHECKPOINT_LATE_SECONDS))
    }
}
