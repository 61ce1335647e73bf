//! What is found in [`Facts`]: a pure function.

use super::super::finding::Finding;
use super::codes::{self, Code};
use super::facts::{Facts, Shape};
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
    found.0.sort_by_key(|finding| finding.severity);
    found.0
}

struct Found(Vec<Finding>);

impl Found {
    fn say(&mut self, code: Code, meaning: impl Into<String>) {
        let Code { name, severity, mend } = code;
        self.0.push(Finding { code: name, severity, meaning: meaning.into(), mend });
    }

    fn in_kernel(&mut self, facts: &Facts) {
        match &facts.lsm {
            Ok(list) if !list.iter().any(|name| name == "bpf") => self.say(
                codes::LSM_BPF_MISSING,
                format!(
                    "the kernel runs the LSMs {}, and bpf is none of them: nothing is denied",
                    list.join(",")
                ),
            ),
            Ok(_) => {}
            Err(why) => {
                self.say(codes::LSM_UNKNOWN, format!("which LSMs the kernel runs can't be read ({why})"))
            }
        }
        if let Err(why) = &facts.btf {
            self.say(
                codes::BTF_MISSING,
                format!("the kernel has no types ({why}): no program can be loaded"),
            );
        } else if let Some(why) = &facts.offers.no_types {
            self.say(
                codes::BTF_MISSING,
                format!("the kernel's types can't be read ({why}): no program can be loaded"),
            );
        }
        if let Err(why) = &facts.bpffs {
            self.say(codes::BPFFS_MISSING, why);
        }
        if let Err(why) = &facts.cgroup {
            self.say(codes::CGROUP_MISSING, why);
        }
        match &facts.options {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => self
                .say(codes::OPTION_MISSING, format!("the kernel was built without {}", missing.join(", "))),
            Err(why) => self.say(
                codes::OPTIONS_UNTOLD,
                format!("the kernel does not tell its options ({why}): they are known by what they do only"),
            ),
        }
        if facts.offers.walks == Some(false) {
            self.say(
                codes::NO_SUBTREES,
                "this kernel can't walk up a path: subtrees and names are not decided",
            );
        }
        let clock = facts.clock;
        if clock.says < clock.least {
            self.say(
                codes::CLOCK_BEHIND,
                format!("the clock says {} (Unix seconds), and it is {} at least", clock.says, clock.least),
            );
        }
    }

    fn in_hooks(&mut self, facts: &Facts) {
        let names = |short: &dyn Fn(&HookOffer) -> bool| -> Vec<&'static str> {
            facts.offers.hooks.iter().filter(|offer| short(offer)).map(|offer| offer.hook.name).collect()
        };
        let short = names(&HookOffer::falls_short);
        match &facts.unserved {
            Ok(unserved) if unserved.is_empty() => {
                if !short.is_empty() {
                    let meaning =
                        format!("no denial at {}; the policy does not ask for one there", list(&short));
                    self.say(codes::HOOKS_SHORT, meaning);
                }
            }
            Ok(unserved) => self.say(
                codes::HOOK_MISSING,
                format!("the policy asks for denials at {}, and there are none", list(unserved)),
            ),
            Err(why) => {
                self.say(codes::NEEDS_UNKNOWN, format!("what the policy needs can't be found out ({why})"));
                if !short.is_empty() {
                    self.say(codes::HOOKS_SHORT, format!("no denial at {}", list(&short)));
                }
            }
        }
        let unseen = names(&|offer| !offer.hook.enforces() && offer.standing == Standing::Missing);
        if !unseen.is_empty() {
            self.say(codes::EVENTS_MISSING, format!("nothing is seen at {}", list(&unseen)));
        }
        if facts.offers.walks.is_some() && !facts.offers.hashes() {
            self.say(codes::NO_HASHES, "a policy with rules by content would be refused here");
        }
        if facts.others > 0 {
            self.say(
                codes::OTHER_PROBES,
                format!("probes of {} other versions are in the kernel, and decide, too", facts.others),
            );
        }
    }

    fn in_maps(&mut self, facts: &Facts) {
        match &facts.maps {
            None => {}
            Some(Err(why)) => {
                self.say(codes::MAPS_UNKNOWN, format!("how full the kernel's maps are can't be read ({why})"))
            }
            Some(Ok(maps)) => {
                for map in maps {
                    let (used, most) = (u64::from(map.used), u64::from(map.most));
                    let full = format!("{} of {} entries of {} are taken", map.used, map.most, map.name);
                    if used >= most {
                        self.say(codes::MAP_FULL, format!("{full}: what comes next has no place"));
                    } else if used * 100 >= most * limits::MAP_PERCENT {
                        self.say(codes::MAP_NEARLY_FULL, full);
                    }
                }
            }
        }
    }

    fn in_agent(&mut self, facts: &Facts) {
        match &facts.agent {
            // Health says so.
            None => {}
            Some(Err(why)) => {
                self.say(codes::CONFINEMENT_UNKNOWN, format!("what the agent may do can't be read ({why})"));
            }
            Some(Ok(agent)) => {
                let mut has = Vec::new();
                if agent.capabilities != 0 {
                    has.push(format!("it has or could gain capabilities {:#x}", agent.capabilities));
                }
                if agent.may_gain > 0 {
                    has.push(format!("{} of its tasks may gain privileges by exec", agent.may_gain));
                }
                if agent.unfiltered > 0 {
                    has.push(format!("system calls of {} of its tasks are not filtered", agent.unfiltered));
                }
                if !has.is_empty() {
                    self.say(codes::NOT_CONFINED, format!("process {}: {}", agent.process, has.join(", ")));
                }
            }
        }
    }

    fn in_disks(&mut self, facts: &Facts) {
        match &facts.ring {
            Err(why) => self.say(codes::RING_UNREADABLE, why),
            Ok(None) => {
                self.say(codes::RING_MISSING, "no partition is labelled aegis-ring: events have no place")
            }
            Ok(Some(ring)) => {
                let node = ring.node.display();
                match &ring.shape {
                    Shape::Unformatted => {
                        self.say(codes::RING_UNFORMATTED, format!("there is no ring on {node}"))
                    }
                    Shape::Unreadable(why) => self.say(codes::RING_UNREADABLE, format!("{node}: {why}")),
                    Shape::Ring { bytes, segment_bytes, .. } => {
                        // Less than another segment, and what superblocks round down to.
                        if ring.bytes.saturating_sub(*bytes) > 2 * u64::from(*segment_bytes) {
                            let meaning =
                                format!("the ring takes {bytes} of the {} bytes of {node}", ring.bytes);
                            self.say(codes::RING_SMALLER, meaning);
                        }
                    }
                }
            }
        }
        match &facts.data {
            Err(why) => self.say(codes::DATA_NOT_MOUNTED, why),
            Ok(None) => self.say(
                codes::DATA_MISSING,
                "no partition is labelled aegis-data: state is lost with the power",
            ),
            Ok(Some(data)) => {
                let node = data.node.display();
                match data.mounted {
                    None => self.say(codes::DATA_NOT_MOUNTED, format!("{node} is not mounted at /data")),
                    Some(mounted) if mounted.read_only => {
                        self.say(
                            codes::DATA_READ_ONLY,
                            format!("{node} can't be written to: nothing new is kept"),
                        );
                    }
                    Some(mounted) if mounted.free < limits::DATA_FREE_BYTES => self.say(
                        codes::DATA_FULL,
                        format!(
                            "{} of {} bytes of {node} are free: the next policy may have no room",
                            mounted.free, mounted.bytes
                        ),
                    ),
                    Some(_) => {}
                }
            }
        }
    }

    fn in_image(&mut self, facts: &Facts) {
        match &facts.root {
            Ok(Root::Verified) => {}
            Ok(Root::Corrupted) => {
                self.say(
                    codes::ROOT_CORRUPTED,
                    "blocks of the root are not what was built: their reading fails",
                );
            }
            Ok(Root::Unverified) => {
                self.say(
                    codes::ROOT_UNVERIFIED,
                    "nothing holds the root against its hash: it may be anybody's",
                );
            }
            Err(why) => self.say(
                codes::ROOT_UNKNOWN,
                format!("whether the root is held against its hash can't be found out ({why})"),
            ),
        }
        let image = match &facts.image {
            Ok(image) => image,
            Err(why) => return self.say(codes::SLOTS_UNKNOWN, why),
        };
        if image.slot.is_none() {
            return self.say(codes::NO_SLOTS, "no loader started this kernel: images are not taken");
        }
        if image.on_trial {
            self.say(codes::IMAGE_ON_TRIAL, "the image that runs was not seen healthy yet");
        }
        if image.fell_back {
            self.say(
                codes::IMAGE_FELL_BACK,
                "the image that was tried last came to nothing: the one before runs",
            );
        }
        for slot in &image.empty {
            self.say(codes::SLOT_EMPTY, format!("slot {slot} has nothing that would be started"));
        }
    }

    fn in_key(&mut self, facts: &Facts) {
        match &facts.key {
            Ok(Some(_)) => {}
            Ok(None) => self.say(codes::KEY_MISSING, "the device has no key: nothing it says can be signed"),
            Err(why) => self.say(codes::KEY_UNREADABLE, format!("the device's key can't be read ({why})")),
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
