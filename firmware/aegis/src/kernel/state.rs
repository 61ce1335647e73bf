//! Pages shared with the probes: what is in force, what was counted, what workloads are called.
//!
//! Mapped while privileged; reading them needs no capability and no system call afterwards.

use std::io;
use std::mem::offset_of;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aegis_event::{Mode, ModeReason};
use aegis_log::argv::Keep;
use aegis_probes::abi::{self, Control, Counters};

use super::place::{Object, inode_of};
use super::sleepers;
use super::sys::{self, Shared};
use super::{KernelError, Offer, PINS};
use crate::limits;
use crate::storage::device::boottime;

/// A workload's name out of a shared page, on the stack.
pub(crate) type Name = heapless::Vec<u8, { abi::WORKLOAD_NAME_MAX }>;
type NamePage = Shared<[AtomicU8; abi::WORKLOAD_NAME_MAX]>;

/// Where a map is pinned.
pub(super) fn pin(name: &str) -> PathBuf {
    Path::new(PINS).join(name)
}

/// A policy as the kernel has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PolicyInForce {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) rules: u32,
    /// Entries of the kernel's map that its rules filled.
    pub(crate) entries: u32,
    /// Its paths that did not exist on this host when it was applied, and are known by name.
    pub(crate) unresolved: u32,
    /// Its paths that it can't be held on, or not all of it.
    pub(crate) uncovered: u32,
    /// Of a program's arguments it lets no more be recorded ([`Keep`] number).
    pub(crate) argv: u8,
    /// SHA-256 of the bundle; zeros before any policy.
    pub(crate) hash: [u8; 32],
}

/// Everything the agent reads of the kernel besides events. Read-only.
pub(crate) struct KernelState {
    control: Shared<Control>,
    counters: Shared<Counters>,
    workloads: NamePage,
}

impl KernelState {
    /// Maps the pages of the loaded probes.
    pub(crate) fn open() -> Result<Self, KernelError> {
        let control: Shared<Control> =
            Shared::array(&pin("control"), false).map_err(KernelError::NotLoaded)?;
        let found = control[0].abi_version.load(Relaxed);
        if found != abi::ABI_VERSION {
            let message = format!("the loaded probes speak ABI {found}, not {}", abi::ABI_VERSION);
            return Err(KernelError::NotLoaded(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        Ok(Self {
            control,
            counters: Shared::array(&pin("counters"), false).map_err(KernelError::object("counters"))?,
            workloads: Shared::array(&pin("workload_names"), false)
                .map_err(KernelError::object("workload_names"))?,
        })
    }

    fn sum(&self, of: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.counters.iter().fold(0, |sum, slot| sum + of(slot).load(Relaxed))
    }

    fn count(&self, slot: usize, of: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.counters.get(slot).map_or(0, |slot| of(slot).load(Relaxed))
    }

    /// Events of the workload in this slot that were lost because the ring buffer was full.
    pub(crate) fn ring_full(&self, slot: usize) -> u64 {
        self.count(slot, |counters| &counters.ring_full)
    }

    /// Events of the workload in this slot that were over its rate.
    pub(crate) fn limited(&self, slot: usize) -> u64 {
        self.count(slot, |counters| &counters.limited)
    }

    /// Denials of this slot.
    pub(crate) fn denied(&self, slot: usize) -> u64 {
        self.count(slot, |counters| &counters.denied)
    }

    /// Events of this slot.
    pub(crate) fn seen(&self, slot: usize) -> u64 {
        self.count(slot, |counters| &counters.seen)
    }

    /// Would-be denials of this slot that passed: the glass was broken, the deadman had fallen.
    pub(crate) fn let_through(&self, slot: usize) -> [u64; 2] {
        [self.count(slot, |counters| &counters.passed), self.count(slot, |counters| &counters.fallen)]
    }

    /// Events of all slots.
    pub(crate) fn total_seen(&self) -> u64 {
        self.sum(|counters| &counters.seen)
    }

    /// Lost events of all slots.
    pub(crate) fn total_ring_full(&self) -> u64 {
        self.sum(|counters| &counters.ring_full)
    }

    /// Events of all slots that were over a rate.
    pub(crate) fn total_limited(&self) -> u64 {
        self.sum(|counters| &counters.limited)
    }

    /// Decisions of all slots that would have been denials, had the deadman not fallen.
    pub(crate) fn total_fallen(&self) -> u64 {
        self.sum(|counters| &counters.fallen)
    }

    /// Reads and writes that could not be summed, of all slots.
    pub(crate) fn total_volumes_full(&self) -> u64 {
        self.sum(|counters| &counters.volumes_full)
    }

    /// Messages of sockets that could not be summed, of all slots.
    pub(crate) fn total_flows_full(&self) -> u64 {
        self.sum(|counters| &counters.flows_full)
    }

    /// Name of the workload in this slot; empty when the slot was never used.
    pub(crate) fn workload_name(&self, slot: usize) -> Name {
        self.workloads.get(slot).map(read_name).unwrap_or_default()
    }

    /// The slot of the workload with this name.
    pub(crate) fn slot_of(&self, name: &[u8]) -> Option<usize> {
        (0..self.workloads.len()).find(|slot| !name.is_empty() && self.workload_name(*slot) == name)
    }

    /// When these probes were loaded, `CLOCK_BOOTTIME` ns.
    pub(crate) fn loaded_at(&self) -> u64 {
        self.control[0].loaded_at.load(Relaxed)
    }

    /// Rule set in force, 0 or 1.
    pub(crate) fn active(&self) -> usize {
        self.control[0].active.load(Acquire) as usize & 1
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> PolicyInForce {
        let (control, set) = (&self.control[0], self.active());
        PolicyInForce {
            epoch: control.epoch[set].load(Relaxed),
            sequence: control.policy[set].load(Relaxed),
            rules: control.rules[set].load(Relaxed),
            entries: control.entries[set].load(Relaxed),
            unresolved: control.unresolved[set].load(Relaxed),
            uncovered: control.uncovered[set].load(Relaxed),
            argv: control.argv[set].load(Relaxed),
            hash: control.policy_hash[set].each_ref().map(|byte| byte.load(Relaxed)),
        }
    }

    /// Of a program's arguments no more is recorded than this, by the policy in force and by the one of the rule set that decided.
    /// (Two policies later that set holds another one.)
    pub(crate) fn argv(&self, set: usize) -> Keep {
        let [then, now] = [set & 1, self.active()].map(|set| self.control[0].argv[set].load(Relaxed));
        Keep::from_number(then.max(now))
    }

    /// Numbers of [`Mode`] and [`ModeReason`] that say what is in force now.
    pub(crate) fn mode(&self) -> (u8, u8) {
        self.mode_at(boottime())
    }

    /// As [`KernelState::mode`] at `now` (`CLOCK_BOOTTIME`, ns): what was proven, unless the glass is broken then.
    pub(crate) fn mode_at(&self, now: u64) -> (u8, u8) {
        if now < self.broken_until() {
            (Mode::AuditOnly.number(), ModeReason::BrokenGlass.number())
        } else {
            self.proven_mode()
        }
    }

    /// Numbers of [`Mode`] and [`ModeReason`], as the last self-test set them: in force while the glass is whole. The
    /// self-test's denials are real while it is broken, so a proof made then holds afterwards.
    pub(crate) fn proven_mode(&self) -> (u8, u8) {
        (self.control[0].mode.load(Relaxed) as u8, self.control[0].reason.load(Relaxed) as u8)
    }

    /// Until when (`CLOCK_BOOTTIME`, ns) nothing is denied. 0: the glass was not broken since the probes were loaded; in
    /// the past: when the last break ended.
    pub(crate) fn broken_until(&self) -> u64 {
        self.control[0].broken_until.load(Acquire)
    }

    /// Decisions of all slots that would have been denials, had the glass been whole.
    pub(crate) fn total_passed(&self) -> u64 {
        self.sum(|counters| &counters.passed)
    }
}

fn read_name(page: &[AtomicU8; abi::WORKLOAD_NAME_MAX]) -> Name {
    page.iter().map(|byte| byte.load(Relaxed)).take_while(|byte| *byte != 0).collect()
}

/// Where Aegis lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    /// Its mount namespace.
    namespace: u64,
    /// What is there at each of [`COMMON`].
    common: [Option<Object>; abi::COMMON_MAX],
}

/// Places that Aegis shares with workloads, and believes: where it lives nobody mounts over them, nor over what else lies on
/// their file systems.
const COMMON: [&str; 6] = ["/", "/proc", "/sys", "/sys/fs/cgroup", "/sys/kernel/security", "/dev"];

impl Home {
    /// This process's.
    pub(super) fn look() -> io::Result<Self> {
        let mut common = [None; abi::COMMON_MAX];
        for (found, place) in common.iter_mut().zip(COMMON) {
            *found = inode_of(Path::new(place)).ok();
        }
        Ok(Self { namespace: std::fs::metadata("/proc/self/ns/mnt")?.ino(), common })
    }
}

/// What probes take over from those of another version that they take the place of: an upgrade neither leaves the agent
/// that runs unguarded nor mends the glass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heritage {
    /// The agent's process.
    agent: u32,
    broken_until: u64,
}

/// Where [`Heritage`] is in the control page of every ABI since [`HERITAGE_SINCE`]: the version and the agent in the first word,
/// the end of the break in the second.
type Front = [AtomicU64; 2];
/// Of versions before, other things are there.
const HERITAGE_SINCE: u32 = 6;
const _: () = assert!(offset_of!(Control, abi_version) == 0 && cfg!(target_endian = "little"));
const _: () = assert!(offset_of!(Control, agent) == 4 && offset_of!(Control, broken_until) == 8);

/// `v6`: the ABI version that a directory of pins is named after; none while it is being filled.
fn version_of(pins: &Path) -> Option<u32> {
    pins.file_name()?.to_str()?.strip_prefix('v')?.parse().ok()
}

impl Heritage {
    /// Of the probes of all these versions: the agent of the newest that has one, the break that ends last.
    pub(super) fn of(others: &[PathBuf]) -> Result<Self, KernelError> {
        let mut found = Vec::new();
        let known = others.iter().filter_map(|pins| Some((version_of(pins)?, pins)));
        for (version, pins) in known.filter(|(version, _)| *version >= HERITAGE_SINCE) {
            let path = pins.join("control");
            match Shared::<Front>::front(&path) {
                Ok(front) => found.extend(Self::read(version, &front[0])),
                // Left half way by a load that died.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(KernelError::file(path)(error)),
            }
        }
        found.sort_by_key(|(version, _)| *version);
        Ok(found.into_iter().fold(Self::default(), |before, (_, of)| Self {
            agent: if of.agent == 0 { before.agent } else { of.agent },
            broken_until: of.broken_until.max(before.broken_until),
        }))
    }

    /// Of probes that are what their pins are named after: stamped, and so in force.
    fn read(version: u32, front: &Front) -> Option<(u32, Self)> {
        let [first, broken_until] = front.each_ref().map(|word| word.load(Acquire));
        (first as u32 == version).then_some((version, Self { agent: (first >> 32) as u32, broken_until }))
    }

    /// Of a load that was cut short: what ours (`self`) took over, whatever the others have now; or what they have now, where
    /// another agent runs with ours and is the one to know.
    pub(super) fn or_if_of_another_agent(self, others: Self) -> Self {
        if self.agent == others.agent { self } else { others }
    }

    /// What ours are to have when the others go: they took over `then`, the others have `now`. An agent that began, a token that
    /// was taken in between counts, with whichever of the two; of two tokens the one that ends last.
    fn at_the_end(self, then: Self, now: Self) -> Self {
        Self {
            agent: if self.agent == then.agent { now.agent } else { self.agent },
            broken_until: if self.broken_until == then.broken_until {
                now.broken_until
            } else if now.broken_until == then.broken_until {
                self.broken_until
            } else {
                self.broken_until.max(now.broken_until)
            },
        }
    }
}

/// The same pages, to write. Only under the lock.
pub(super) struct Writer {
    control: Shared<Control>,
}

/// What [`Writer::publish`] puts beside a filled rule set.
#[derive(Clone, Copy, Debug)]
pub(super) struct SetHead {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) rules: u32,
    pub(super) entries: u32,
    pub(super) unresolved: u32,
    pub(super) uncovered: u32,
    pub(super) argv: u8,
    pub(super) hash: [u8; 32],
}

impl SetHead {
    /// The set is filled from this very bundle.
    pub(super) fn is_of(&self, offer: &Offer<'_>) -> bool {
        (self.hash, self.epoch, self.sequence) == (offer.hash, offer.epoch, offer.sequence)
    }
}

impl Writer {
    pub(super) fn open() -> Result<Self, KernelError> {
        Self::open_in(Path::new(PINS))
    }

    pub(super) fn open_in(pins: &Path) -> Result<Self, KernelError> {
        Shared::array(&pins.join("control"), true)
            .map(|control| Self { control })
            .map_err(KernelError::NotLoaded)
    }

    pub(super) fn active(&self) -> usize {
        self.control[0].active.load(Acquire) as usize & 1
    }

    /// Marks freshly loaded probes as ours.
    pub(super) fn stamp(
        &self,
        loaded_at: u64,
        reason: ModeReason,
        name_key: [u64; 2],
        abilities: u32,
        home: &Home,
    ) {
        let control = &self.control[0];
        control.namespace.store(home.namespace, Relaxed);
        for ((inode, device), found) in
            control.common_inode.iter().zip(&control.common_device).zip(home.common)
        {
            let (number, inode_number) = found.unwrap_or((0, 0));
            inode.store(inode_number, Relaxed);
            device.store(number, Relaxed);
        }
        for (to, word) in control.name_key.iter().zip(name_key) {
            to.store(word, Relaxed);
        }
        control.abilities.store(abilities, Relaxed);
        control.loaded_at.store(loaded_at, Relaxed);
        self.set_mode(Mode::AuditOnly, reason);
        control.abi_version.store(abi::ABI_VERSION, Release);
    }

    /// Returns when no program is left that began before: what it read may be changed then.
    pub(super) fn wait_for_programs(&self) -> io::Result<()> {
        sys::wait_for_programs()?;
        wait_for_sleepers(&self.control[0], limits::PROGRAMS_WAIT)
    }

    /// What another version would take over from ours.
    pub(super) fn heritage(&self) -> Heritage {
        Heritage { agent: self.control[0].agent.load(Acquire), broken_until: self.broken_until() }
    }

    /// Of ours, just loaded: as it is with the others.
    pub(super) fn inherit(&self, of: Heritage) {
        self.set_agent(of.agent);
        self.set_broken_until(of.broken_until);
    }

    /// When the others go, which have `now`: what changed since ours took over `then`.
    pub(super) fn inherit_at_the_end(&self, then: Heritage, now: Heritage) {
        self.inherit(self.heritage().at_the_end(then, now));
    }

    pub(super) fn broken_until(&self) -> u64 {
        self.control[0].broken_until.load(Acquire)
    }

    /// Until when nothing is denied: one aligned store, seen whole by every decision after it.
    pub(super) fn set_broken_until(&self, until: u64) {
        self.control[0].broken_until.store(until, Release);
    }

    pub(super) fn set_mode(&self, mode: Mode, reason: ModeReason) {
        self.control[0].reason.store(reason.number().into(), Relaxed);
        self.control[0].mode.store(mode.number().into(), Release);
    }

    /// The key that names are hashed with.
    pub(super) fn name_key(&self) -> [u64; 2] {
        self.control[0].name_key.each_ref().map(|word| word.load(Relaxed))
    }

    /// This kernel can: `abi::CAN_…`.
    pub(super) fn can(&self, ability: u32) -> bool {
        self.control[0].abilities.load(Relaxed) & ability != 0
    }

    /// Whose process the probes keep workloads off; 0: nobody's.
    pub(super) fn set_agent(&self, process: u32) {
        self.control[0].agent.store(process, Release);
    }

    /// What is said of a set; `None` when it holds no policy whole.
    pub(super) fn head(&self, set: usize) -> Option<SetHead> {
        let control = &self.control[0];
        let head = SetHead {
            epoch: control.epoch[set].load(Relaxed),
            sequence: control.policy[set].load(Relaxed),
            rules: control.rules[set].load(Relaxed),
            entries: control.entries[set].load(Relaxed),
            unresolved: control.unresolved[set].load(Relaxed),
            uncovered: control.uncovered[set].load(Relaxed),
            argv: control.argv[set].load(Relaxed),
            hash: control.policy_hash[set].each_ref().map(|byte| byte.load(Relaxed)),
        };
        (head.hash != [0; 32]).then_some(head)
    }

    /// Says of an idle set that it holds no policy: before it is filled.
    pub(super) fn empty(&self, set: usize) {
        for byte in &self.control[0].policy_hash[set] {
            byte.store(0, SeqCst);
        }
    }

    /// Describes a filled set, then puts it in force: one aligned store, seen whole by every decision after it.
    pub(super) fn publish(&self, set: usize, head: &SetHead) {
        let control = &self.control[0];
        control.epoch[set].store(head.epoch, Relaxed);
        control.rules[set].store(head.rules, Relaxed);
        control.entries[set].store(head.entries, Relaxed);
        control.unresolved[set].store(head.unresolved, Relaxed);
        control.uncovered[set].store(head.uncovered, Relaxed);
        control.argv[set].store(head.argv, Relaxed);
        for (to, byte) in control.policy_hash[set].iter().zip(head.hash) {
            to.store(byte, Relaxed);
        }
        control.policy[set].store(head.sequence, SeqCst);
        // What was proven was proven of the old set.
        self.set_mode(Mode::AuditOnly, ModeReason::SelfTestFailed);
        control.active.store(set as u32, SeqCst);
    }
}

/// Tells the probes that this process is the agent: workloads are kept off it, where the policy lets Aegis guard itself.
pub(crate) fn guard_agent() -> Result<(), KernelError> {
    Writer::open()?.set_agent(std::process::id());
    Ok(())
}

/// Names of workloads, to write. Only under the lock.
pub(super) struct WorkloadNames(NamePage);

impl WorkloadNames {
    pub(super) fn open() -> Result<Self, KernelError> {
        const MAP: &str = "workload_names";
        Shared::array(&pin(MAP), true).map(Self).map_err(KernelError::object(MAP))
    }

    /// Writes a name, NUL padded. Longer names can't be: their limit is lower.
    pub(super) fn set(&self, index: usize, name: &[u8]) {
        let Some(page) = self.0.get(index) else { return };
        for (to, byte) in page.iter().zip(name.iter().copied().chain(std::iter::repeat(0))) {
            to.store(byte, Relaxed);
        }
    }

    pub(super) fn get(&self, index: usize) -> Name {
        self.0.get(index).map(read_name).unwrap_or_default()
    }
}

fn wait_for_sleepers(control: &Control, patience: Duration) -> io::Result<()> {
    let turn = || (control.half.fetch_xor(1, SeqCst) as usize & 1, Instant::now());
    let rest = |begun: &Instant| {
        if begun.elapsed() > patience {
            let message = "a program still decides by it; try again";
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        sleep(Duration::from_millis(1));
        Ok(())
    };
    sleepers::wait(turn, |half| control.deciding[half].load(SeqCst), rest)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;
    use std::thread::scope;

    use zerocopy::FromZeros as _;

    use super::*;

    #[test]
    fn what_changed_in_an_upgrade_is_taken_over_from_whom_it_changed_with() {
        let of = |agent, broken_until| Heritage { agent, broken_until };
        for (ours, then, now, expected) in [
            (of(0, 0), of(0, 0), of(0, 0), of(0, 0)),
            (of(7, 50), of(7, 50), of(7, 50), of(7, 50)),
            // A token for the old, one that mends it, another agent of theirs.
            (of(7, 0), of(7, 0), of(7, 90), of(7, 90)),
            (of(7, 50), of(7, 50), of(7, 20), of(7, 20)),
            (of(7, 0), of(7, 0), of(8, 0), of(8, 0)),
            // The same for ours.
            (of(7, 90), of(7, 0), of(7, 0), of(7, 90)),
            (of(7, 20), of(7, 50), of(7, 50), of(7, 20)),
            (of(9, 0), of(7, 0), of(8, 0), of(9, 0)),
            // Both.
            (of(7, 90), of(7, 0), of(7, 80), of(7, 90)),
        ] {
            assert_eq!(ours.at_the_end(then, now), expected, "{ours:?} {then:?} {now:?}");
        }
    }

    #[test]
    fn only_of_probes_in_force_is_something_taken_over() {
        for (pins, version) in [("v6", Some(6)), ("v17", Some(17)), ("v7-new", None), ("other", None)] {
            assert_eq!(version_of(&Path::new("/sys/fs/bpf/aegis").join(pins)), version, "{pins}");
        }
        let front = |version: u64| [AtomicU64::new(version | 7 << 32), AtomicU64::new(50)];
        let of = Heritage { agent: 7, broken_until: 50 };
        assert_eq!(Heritage::read(6, &front(6)), Some((6, of)));
        for stamped in [0, 7] {
            assert_eq!(Heritage::read(6, &front(stamped)), None, "{stamped}");
        }
    }

    fn kept_off_the_processor() {
        sleep(Duration::from_micros(20));
    }

    /// As `bprm_check_hash` does: which half, in, what is in force, decided by it, out.
    fn decide(control: &Control, sets: &[[AtomicU64; 2]; 2]) -> bool {
        let half = control.half.load(SeqCst) as usize & 1;
        kept_off_the_processor();
        control.deciding[half].fetch_add(1, SeqCst);
        let set = &sets[control.active.load(SeqCst) as usize & 1];
        let first = set[0].load(SeqCst);
        kept_off_the_processor();
        let whole = first == set[1].load(SeqCst);
        control.deciding[half].fetch_sub(1, SeqCst);
        whole
    }

    #[test]
    fn a_set_is_refilled_when_nobody_decides_by_it_any_more() {
        let control = Control::new_zeroed();
        let sets = [const { [const { AtomicU64::new(0) }; 2] }; 2];
        let (stop, begin) = (AtomicBool::new(false), Barrier::new(5));
        scope(|scope| {
            let deciders: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut torn = 0;
                        begin.wait();
                        while !stop.load(SeqCst) {
                            torn += u32::from(!decide(&control, &sets));
                        }
                        torn
                    })
                })
                .collect();
            begin.wait();
            let (mut sequence, begun) = (0, Instant::now());
            while begun.elapsed() < Duration::from_millis(300) {
                sequence += 1;
                // As a policy is applied: the idle set is filled, put in force, and the other one is idle when it is left.
                let idle = control.active.load(SeqCst) as usize & 1 ^ 1;
                sets[idle][0].store(sequence, SeqCst);
                sets[idle][1].store(sequence, SeqCst);
                control.active.store(idle as u32, SeqCst);
                wait_for_sleepers(&control, Duration::from_secs(30)).expect("all are left");
            }
            stop.store(true, SeqCst);
            let torn: u32 = deciders.into_iter().map(|decider| decider.join().expect("no panic")).sum();
            assert_eq!(torn, 0, "decisions by half a policy");
        });
    }

    #[test]
    fn who_is_in_either_half_is_waited_for_and_who_stays_is_said() {
        for half in 0..2 {
            let control = Control::new_zeroed();
            control.deciding[half].store(1, SeqCst);
            let stays = wait_for_sleepers(&control, Duration::from_millis(5)).expect_err("one is left");
            assert_eq!(stays.kind(), io::ErrorKind::TimedOut);
            scope(|scope| {
                let waits = scope.spawn(|| wait_for_sleepers(&control, Duration::from_secs(30)));
                sleep(Duration::from_millis(50));
                assert!(!waits.is_finished(), "half {half}");
                control.deciding[half].store(0, SeqCst);
                waits.join().expect("no panic").expect("all are left");
            });
        }
    }
}
