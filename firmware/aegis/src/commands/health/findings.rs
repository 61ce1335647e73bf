//! What is found in [`Vitals`]: a pure function.

use aegis_event::{Level, ModeReason};

use super::super::finding::{Finding, Severity, ordered};
use super::vitals::{self, Vitals};
use crate::commands::{in_force, workload};
use crate::run::seal::Seal;
use crate::storage::report::Gravity;
use crate::tpm::found::Key;

/// No agent answers.
fn no_agent(error: &str) -> Finding {
    Finding {
        code: "no-agent",
        severity: Severity::Bad,
        meaning: format!(
            "the agent does not answer ({error}): nothing is recorded; what is enforced stays so"
        ),
        mend: "look into its log; it is started again by itself, or by a reboot",
    }
}

/// Everything that is not as it should be, what is bad first. Of an agent that does not answer nothing else is known.
pub(super) fn findings(vitals: &Vitals) -> Vec<Finding> {
    let mut found = Found(Vec::new());
    if let Some(error) = &vitals.no_agent {
        found.0.push(no_agent(error));
    } else {
        found.in_books(vitals);
        found.in_ring(vitals);
        found.in_chain(vitals);
        found.in_enforcement(vitals);
    }
    found.in_policy(vitals);
    found.in_configuration(vitals);
    found.in_storage(vitals);
    found.in_tpm(vitals);
    found.in_image(vitals);
    found.in_workloads(vitals);
    found.in_site(vitals);
    found.0.extend(vitals.alerts.iter().cloned());
    ordered(&found.0)
}

/// What keeps the device from taking over a workload: no agent, no policy in force, a ring that takes nothing.
const UNREADY: [&str; 7] = [
    "no-agent",
    "not-ready",
    "ring-full",
    "ring-write-errors",
    "probes-not-loaded",
    in_force::NOT_IN_FORCE,
    "policy-unknown",
];

/// Of what was found, what makes it not ready.
pub(super) fn unready(vitals: &Vitals) -> Vec<Finding> {
    let mut found = findings(vitals);
    found.retain(|finding| finding.is_bad() && UNREADY.contains(&finding.code));
    found
}

struct Found(Vec<Finding>);

impl Found {
    fn bad(&mut self, code: &'static str, meaning: impl Into<String>, mend: &'static str) {
        self.0.push(Finding { code, severity: Severity::Bad, meaning: meaning.into(), mend });
    }

    fn known(&mut self, code: &'static str, meaning: impl Into<String>, mend: &'static str) {
        self.0.push(Finding { code, severity: Severity::Note, meaning: meaning.into(), mend });
    }

    fn either(&mut self, bad: bool, code: &'static str, meaning: String, mend: &'static str) {
        if bad { self.bad(code, meaning, mend) } else { self.known(code, meaning, mend) }
    }

    /// The accounting law: what the kernel saw is on disk or counted as lost.
    fn in_books(&mut self, v: &Vitals) {
        const REPORT: &str = "export, and report it: this must not be";
        if !v.ready {
            self.bad(
                "not-ready",
                "the agent writes no events to the ring",
                "wait for its start, or look into its log",
            );
        }
        if v.missing > 0 {
            let meaning = format!(
                "{} events were seen by the kernel, and are neither on disk nor counted as lost",
                v.missing
            );
            self.bad("unaccounted", meaning, REPORT);
        }
        if v.missing < 0 {
            let more = -v.missing;
            self.bad(
                "over-counted",
                format!("{more} more events are on disk or lost than the kernel saw"),
                REPORT,
            );
        }
        for (cause, lost) in v.losses().filter(|(_, lost)| *lost > 0) {
            let (bad, mend) = vitals::loss(cause);
            self.either(
                bad,
                "events-lost",
                format!("{lost} events of this boot are lost: {}", cause.name()),
                mend,
            );
        }
    }

    fn in_ring(&mut self, v: &Vitals) {
        let ring = &v.ring;
        if ring.errors > 0 {
            let meaning = format!("{} writes to the ring failed", ring.errors);
            let mend = "look at the disk; events wait, and are lost when there is no room for more";
            self.either(v.errors_now > 0, "ring-write-errors", meaning, mend);
        }
        let percent = format!("events that were not exported take {} % of the ring", ring.percent);
        let now = "export now: plug a stick, or `aegis stick take`";
        match ring.level {
            Level::Normal => {}
            Level::High => {
                self.known("ring-high", percent, "export soon: plug a stick, or `aegis stick take`");
            }
            Level::Critical => self.bad("ring-critical", percent, now),
            Level::Full => self.bad("ring-full", format!("{percent}: no event is taken any more"), now),
        }
        if ring.overwritten > 0 {
            let (first, last) = ring.overwritten_range;
            self.known(
                "overwritten",
                format!(
                    "{} events were overwritten before they were exported, {first} to {last} last",
                    ring.overwritten
                ),
                "export more often (`[export] every_minutes`), or give the ring more room",
            );
        }
        if ring.damaged > 0 {
            let given = "events were given up because the disk did not give back what was written";
            self.known("ring-damaged", format!("{} {given}", ring.damaged), "look at the disk");
        }
    }

    /// The chain of checkpoints.
    fn in_chain(&mut self, v: &Vitals) {
        let mend = "look at own storage (/data): the agent's log says what failed";
        match v.seal.state {
            // Of a ring that is full is said above.
            Seal::Starting | Seal::Sealed | Seal::Full => {}
            Seal::Failed => {
                self.bad("not-sealed", "checkpoints can't be signed or stored: evidence goes on, unsealed", mend);
            }
            Seal::Unwiped => self.bad(
                "key-not-wiped",
                "the key of an epoch that is over could not be wiped: who takes the device over could sign it anew",
                mend,
            ),
        }
        if v.seal.is_late() {
            let (since, promise) = (v.seal.since.unwrap_or_default(), v.seal.promise);
            let meaning = format!("the last checkpoint is {since} s old, one every {promise} is promised");
            self.bad("checkpoint-late", meaning, mend);
        }
    }

    fn in_enforcement(&mut self, v: &Vitals) {
        if v.denies_less() {
            let reason = v.reason.map_or("unknown", ModeReason::name);
            let mend = "see `aegis status` for the reason; a reboot tests again";
            self.bad("not-enforcing", format!("nothing is denied ({reason})"), mend);
        }
        if v.broken_seconds > 0 {
            let meaning = format!("nothing is denied for another {} s", v.broken_seconds);
            self.bad("glass-broken", meaning, "wait, or `aegis break-glass mend`");
        }
    }

    /// What is to be in force, by own storage and the kernel's maps.
    fn in_policy(&mut self, v: &Vitals) {
        for code in &v.policy {
            let (meaning, mend) = vitals::policy_trouble(code);
            self.bad(code, meaning, mend);
        }
        if let Some(why) = &v.policy_unknown {
            self.bad("policy-unknown", why, "`aegis policy status` says more");
        }
    }

    /// What the disk went through in this boot.
    fn in_storage(&mut self, v: &Vitals) {
        let mend = "`aegis storage status`, and docs/storage.md, say more";
        for told in v.storage.entries() {
            match told.code.gravity() {
                Gravity::Good => {}
                Gravity::Known => self.known(told.code.name(), &told.detail, mend),
                Gravity::Bad => self.bad(told.code.name(), &told.detail, mend),
            }
        }
    }

    /// What who takes the disk out finds on it.
    fn in_tpm(&mut self, v: &Vitals) {
        let meaning = match v.tpm.key {
            Key::Sealed => return,
            Key::NoTpm => "there is no TPM",
            Key::NotSealed => "the TPM gave no key",
        };
        let meaning = format!("{meaning}: the keys of this device are on its disk as they are");
        self.known("key-not-sealed", meaning, "docs/tpm.md says what a TPM is for");
    }

    fn in_image(&mut self, v: &Vitals) {
        if v.debug_image {
            let meaning = "this image has a shell and tools, for who tries things: it is none for the field";
            self.known("debug-image", meaning, "install the production image");
        }
        if v.secure_boot_off {
            let meaning = "nobody vouches for the kernel and its command line";
            self.known("secure-boot-off", meaning, "docs/boot.md says how the firmware gets its keys");
        }
    }

    /// Of each that is accepted and does not run as it should.
    fn in_workloads(&mut self, v: &Vitals) {
        if let Some(why) = &v.workloads_unknown {
            self.bad("workload-not-mounted", why, "a reboot looks at them again");
        }
        for (code, meaning) in &v.workloads {
            if *code == workload::DATA_FULL {
                self.known(
                    code,
                    meaning,
                    "take the workload away that fills it, with its data (docs/workloads.md)",
                );
                continue;
            }
            let mend = match *code {
                "workload-not-mounted" => {
                    "`aegis workload list` says why; bring it again by stick, or remove it"
                }
                _ => "`aegis workload list` says how it ends; bring a better one, or reboot",
            };
            self.bad(code, meaning, mend);
        }
    }

    /// What is enforced and recorded is not touched by it.
    fn in_site(&mut self, v: &Vitals) {
        if let Some(why) = &v.site {
            self.known(
                "site-down",
                format!("the policy asks for an endpoint on the site network, and there is none: {why}"),
                "docs/site.md says what each code asks for",
            );
        }
    }

    fn in_configuration(&mut self, v: &Vitals) {
        if let Some(fault) = &v.config_fault {
            self.bad("config-fault", fault, "`aegis config check` names each fault; then start again");
        } else if v.no_agent.is_none() && v.config_pending {
            let meaning = format!("the agent runs with {}; something else is configured now", v.config);
            self.known("config-pending", meaning, "it counts from the agent's next start on");
        }
    }
}
