//! What is found in [`Facts`]: a pure function.

use core::fmt::{Display, Write as _};

use super::super::finding::{Finding, ordered};
use super::codes::{self, Code};
use super::facts::{Confinement, Facts, Known, Shape};
use crate::kernel::{HookOffer, Standing};
use crate::limits;
use crate::storage::verity::Root;

/// Everything that is not as it should be, what is bad first; what health finds with it, where it is not said already.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Found(Vec::new());
    found.in_kernel(facts);
    found.in_hooks(facts);
    found.in_maps(facts);
    found.in_agent(facts);
    found.in_disks(facts);
    found.in_image(facts);
    found.in_key(facts);
    found.0.extend(facts.health.iter().cloned());
    ordered(&found.0)
}

struct Found(Vec<Finding>);

impl Found {
    fn say(&mut self, code: &Code) {
        self.say_of(code, &"");
    }

    /// With what is so here.
    #[inline(never)]
    fn say_of(&mut self, code: &Code, detail: &dyn Display) {
        let Code { name, severity, meaning, mend } = *code;
        let mut text = meaning.to_owned();
        // Writing to a String can't fail.
        let _ = write!(text, " ({detail})");
        if text.ends_with(" ()") {
            text.truncate(meaning.len());
        }
        self.0.push(Finding { code: name, severity, meaning: text, mend });
    }

    /// Where something can't be found out.
    fn unless_known<T>(&mut self, known: &Known<T>, code: &Code) {
        if let Err(why) = known {
            self.say_of(code, why);
        }
    }

    fn in_kernel(&mut self, facts: &Facts) {
        self.unless_known(&facts.lsm, &codes::LSM_UNKNOWN);
        if let Ok(list) = &facts.lsm
            && !list.iter().any(|name| name == "bpf")
        {
            self.say_of(&codes::LSM_BPF_MISSING, &list.join(","));
        }
        if let Some(why) = facts.btf.as_ref().err().or(facts.offers.no_types.as_ref()) {
            self.say_of(&codes::BTF_MISSING, why);
        }
        self.unless_known(&facts.bpffs, &codes::BPFFS_MISSING);
        self.unless_known(&facts.cgroup, &codes::CGROUP_MISSING);
        self.unless_known(&facts.options, &codes::OPTIONS_UNTOLD);
        if let Ok(missing) = &facts.options
            && !missing.is_empty()
        {
            self.say_of(&codes::OPTION_MISSING, &missing.join(", "));
        }
        if facts.offers.walks == Some(false) {
            self.say(&codes::NO_SUBTREES);
        }
        let clock = facts.clock;
        if clock.says < clock.least {
            let (says, least) = (clock.says, clock.least);
            self.say_of(
                &codes::CLOCK_BEHIND,
                &format_args!("{says}, and it is {least} at least (Unix seconds)"),
            );
        }
    }

    fn in_hooks(&mut self, facts: &Facts) {
        let names = |short: &dyn Fn(&HookOffer) -> bool| -> Vec<&'static str> {
            facts.offers.hooks.iter().filter(|offer| short(offer)).map(|offer| offer.hook.name).collect()
        };
        self.unless_known(&facts.unserved, &codes::NEEDS_UNKNOWN);
        let unserved = facts.unserved.as_deref().unwrap_or_default();
        self.hooks(&codes::HOOK_MISSING, unserved);
        if unserved.is_empty() {
            self.hooks(&codes::HOOKS_SHORT, &names(&HookOffer::falls_short));
        }
        let unseen = names(&|offer| !offer.hook.enforces() && offer.standing == Standing::Missing);
        self.hooks(&codes::EVENTS_MISSING, &unseen);
        if facts.offers.walks.is_some() && !facts.offers.hashes() {
            self.say(&codes::NO_HASHES);
        }
        if facts.others > 0 {
            self.say_of(&codes::OTHER_PROBES, &facts.others);
        }
    }

    /// Of these hooks, if there are any.
    fn hooks(&mut self, code: &Code, names: &[&str]) {
        if !names.is_empty() {
            self.say_of(code, &list(names));
        }
    }

    fn in_maps(&mut self, facts: &Facts) {
        match &facts.maps {
            None => {}
            Some(Err(why)) => self.say_of(&codes::MAPS_UNKNOWN, why),
            Some(Ok(maps)) => {
                for map in maps {
                    let (used, most) = (u64::from(map.used), u64::from(map.most));
                    let code = match used * 100 {
                        _ if used >= most => &codes::MAP_FULL,
                        percent if percent >= most * limits::MAP_PERCENT => &codes::MAP_NEARLY_FULL,
                        _ => continue,
                    };
                    self.say_of(code, &format_args!("{}, {used} of {most}", map.name));
                }
            }
        }
    }

    /// Where no agent answers, health says so.
    fn in_agent(&mut self, facts: &Facts) {
        match &facts.agent {
            None => {}
            Some(Err(why)) => self.say_of(&codes::CONFINEMENT_UNKNOWN, why),
            Some(Ok(agent)) if agent.is_whole() => {}
            Some(Ok(Confinement { process, tasks, capabilities, may_gain, unfiltered })) => self.say_of(
                &codes::NOT_CONFINED,
                &format_args!(
                    "process {process}, capabilities {capabilities:#x}, of {tasks} tasks {may_gain} may gain privileges and \
                     {unfiltered} are not filtered"
                ),
            ),
        }
    }

    fn in_disks(&mut self, facts: &Facts) {
        self.unless_known(&facts.ring, &codes::RING_UNREADABLE);
        match &facts.ring {
            Err(_) => {}
            Ok(None) => self.say(&codes::RING_MISSING),
            Ok(Some(ring)) => {
                let node = ring.node.display();
                match &ring.shape {
                    Shape::Unformatted => self.say_of(&codes::RING_UNFORMATTED, &node),
                    Shape::Unreadable(why) => {
                        self.say_of(&codes::RING_UNREADABLE, &format_args!("{node}: {why}"));
                    }
                    // Less than another segment, and what superblocks round down to.
                    Shape::Ring { bytes, segment_bytes, .. }
                        if ring.bytes.saturating_sub(*bytes) > 2 * u64::from(*segment_bytes) =>
                    {
                        let all = ring.bytes;
                        self.say_of(
                            &codes::RING_SMALLER,
                            &format_args!("{bytes} of the {all} bytes of {node}"),
                        );
                    }
                    Shape::Ring { .. } => {}
                }
            }
        }
        self.unless_known(&facts.data, &codes::DATA_NOT_MOUNTED);
        match &facts.data {
            Err(_) => {}
            Ok(None) => self.say(&codes::DATA_MISSING),
            Ok(Some(data)) => {
                let node = data.node.display();
                match data.mounted {
                    None => self.say_of(&codes::DATA_NOT_MOUNTED, &node),
                    Some(mounted) if mounted.read_only => self.say_of(&codes::DATA_READ_ONLY, &node),
                    Some(mounted)
                        if mounted.free < limits::DATA_FREE_BYTES
                            || mounted.files < limits::DATA_FREE_FILES =>
                    {
                        let (free, all, files) = (mounted.free, mounted.bytes, mounted.files);
                        let what = format_args!("{free} of {all} bytes of {node}, {files} files");
                        self.say_of(&codes::DATA_FULL, &what);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn in_image(&mut self, facts: &Facts) {
        self.unless_known(&facts.root, &codes::ROOT_UNKNOWN);
        match &facts.root {
            Ok(Root::Corrupted) => self.say(&codes::ROOT_CORRUPTED),
            Ok(Root::Unverified) => self.say(&codes::ROOT_UNVERIFIED),
            Ok(Root::Verified) | Err(_) => {}
        }
        self.unless_known(&facts.image, &codes::SLOTS_UNKNOWN);
        let Ok(image) = &facts.image else { return };
        if image.slot.is_none() {
            return self.say(&codes::NO_SLOTS);
        }
        if image.on_trial {
            self.say(&codes::IMAGE_ON_TRIAL);
        }
        if image.fell_back {
            self.say(&codes::IMAGE_FELL_BACK);
        }
        for slot in &image.empty {
            self.say_of(&codes::SLOT_EMPTY, slot);
        }
    }

    fn in_key(&mut self, facts: &Facts) {
        self.unless_known(&facts.key, &codes::KEY_UNREADABLE);
        if facts.key == Ok(None) {
            self.say(&codes::KEY_MISSING);
        }
    }
}

/// The first few, and how many more.
fn list(names: &[&str]) -> String {
    const SHOWN: usize = 6;
    let shown = names.get(..SHOWN).unwrap_or(names).join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
