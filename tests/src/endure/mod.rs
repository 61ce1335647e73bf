//! Endurance (`make soak`, `make chaos`, docs/endurance.md): one boot of a device under steady load, and in each round what it may have to
//! bear. What the guest is given, what the host does for it, and what its rounds must say: [`said`]. The guest's part is
//! `tests/suite/src/endure.rs`.

#![expect(clippy::cast_precision_loss, reason = "counts of a boot are far below 2^53")]

pub mod report;
pub mod said;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aegis_qemu::{Cache, Fault, Random, Stick, StickFs, Vm, stick_outputs};
use aegis_suite::endure::SECRET;
use aegis_suite::storm::FILE;
use serde_json::{Value, json};

use crate::bench::{Bench, Rule, root};
use crate::evidence::Evidence;
use crate::kills::oracle::verified;
use crate::kills::report::made;
use crate::suite;

/// Of its first policy, the sequence; each stick brings the next.
pub const FIRST_POLICY: u64 = 10;
/// What each request to the ring's disk takes longer, where that is to be slow.
const SLOW: Duration = Duration::from_millis(500);
/// What a boot may take beside its rounds, and how much longer than planned these may take, all in all.
const PATIENCE: (Duration, u32) = (Duration::from_mins(30), 6);
/// What is planned for an act, s.
const ACT_SECONDS: u64 = 8;
/// The least that a round of the soak lasts, s.
const SOAK_SECONDS: u64 = 60;

/// All that is done to a device in chaos; of each a few words are on the page.
pub const ACTS: [(&str, &str); 12] = [
    ("kill-agent", "SIGKILL to the agent"),
    ("fail", "EIO to each write to the ring, 3 s"),
    ("clock-forward", "the clock ten years on, 3 s"),
    ("memory-own", "OOM in the workload's cgroup"),
    ("stop-agent", "SIGSTOP to the agent, 3 s"),
    ("full", "ENOSPC in own storage, and a new policy meanwhile"),
    ("kill-watcher", "SIGKILL to the sticks' watcher"),
    ("clock-back", "the clock ten years back, 3 s"),
    ("slow", "0.5 s more for each request to the ring's disk, 3 s"),
    ("memory-beside", "OOM of the whole machine"),
    ("stop-watcher", "SIGSTOP to the sticks' watcher, 3 s"),
    ("plug", "a stick with a new policy, and out again with evidence"),
];

/// What a soak does each minute, beside a stick; then again from the first.
const MINUTES: [&str; 10] =
    ["", "clock-forward", "", "kill-watcher", "", "clock-back", "", "stop-agent", "", "kill-agent"];

/// What a run is of.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Opens a second, of all processes together.
    pub rate: u64,
    /// Sticks a round, one after the other.
    pub sticks: usize,
}

/// Rounds of chaos: each of the acts in an order that the seed makes, then each again in another; sticks after each.
pub fn chaos(rounds: usize, seed: u64, of: Measure) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut left: Vec<&str> = Vec::new();
    let mut plan = Vec::new();
    while plan.len() < rounds {
        if left.is_empty() {
            left = ACTS.iter().map(|(act, _)| *act).filter(|act| *act != "plug").collect();
        }
        let act = left.swap_remove(random.below(left.len() as u64) as usize);
        plan.push(format!("0 {} {act}{}", of.rate, " plug".repeat(of.sticks)));
    }
    plan
}

/// Rounds of a soak of so many minutes.
pub fn soak(minutes: usize, of: Measure) -> Vec<String> {
    let acts = MINUTES.iter().cycle().take(minutes);
    let plugs = " plug".repeat(of.sticks);
    acts.map(|act| format!("{SOAK_SECONDS} {}{plugs} {act}", of.rate).trim_end().to_owned()).collect()
}

/// One boot that goes through a plan.
struct Device {
    bench: Bench,
    /// The lines, the guest's and ours, as they come.
    kept: File,
    /// Bytes of the guest's that are kept.
    taken: usize,
    policy: u64,
    exports: Vec<PathBuf>,
}

/// Boots, goes through the plan, which this seed made, and keeps what is said, as it comes, in this file, which nobody has made yet.
///
/// # Errors
/// The guest did not come to its end, or its evidence does not verify: why. What was said until then is kept, and that.
///
/// # Panics
/// The guest's program was not built.
pub fn run(plan: &[String], seed: Option<u64>, kept: &Path) -> Result<(), String> {
    let file = File::create_new(kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    let mut device =
        Device { bench: Bench::new(), kept: file, taken: 0, policy: FIRST_POLICY, exports: Vec::new() };
    device.say(&json!({ "did": "begin", "made": made(), "seed": seed }))?;
    let done = device.run(plan, &kept.with_extension("whole"));
    if let Err(why) = &done {
        device.say(&json!({ "did": "failed", "why": why }))?;
    }
    done
}

impl Device {
    fn run(&mut self, plan: &[String], whole: &Path) -> Result<(), String> {
        let bench = &self.bench;
        let folder = bench.at("demo");
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        for name in ["run", "prepare", "endure"] {
            fs::copy(suite::program().with_file_name("aegis-endure"), folder.join(name))
                .expect("it was built");
        }
        fs::write(folder.join("plan"), plan.join("\n")).map_err(|error| error.to_string())?;
        let policy = self.policies(0);
        let planned = plan.iter().map(|line| seconds(line)).sum::<u64>();
        let timeout = PATIENCE.0 + Duration::from_secs(planned) * PATIENCE.1;
        let machine = bench.machine().workload(folder).policy(policy).sequence(FIRST_POLICY);
        let (_slot, mut vm) = Bench::start(machine.cache(Cache::Lossy(1)).timeout(timeout));
        if !vm.wait_ready().map_err(said_of)? {
            return Err(format!("the agent was not ready; the console's end:\n{}", vm.console_end()));
        }
        if let Some(stick) = vm.stick() {
            vm.unplug(stick).map_err(said_of)?;
        }
        let mut wants = 0;
        // A line of the guest's is whole when its end is there.
        while vm.wait_stdout(&format!(",\"number\":{wants}}}\n")).map_err(said_of)? {
            let want = self.keep(vm.out())?;
            self.serve(&mut vm, &want)?;
            wants += 1;
        }
        let out = vm.out().to_path_buf();
        let run = vm.finish().map_err(said_of)?;
        self.keep(&out)?;
        Bench::lines(&run, whole)?;
        for export in &run.exports {
            self.verify(export)?;
        }
        verified(&Evidence::report(&self.exports))
            .map_err(|error| format!("all exports together: {error}"))?;
        let run = Evidence::read(run);
        let (lost, mode) = (run.lost(), run.mode().unwrap_or("none").to_owned());
        self.say(&json!({ "did": "end", "exports": self.exports.len(), "lost": lost, "mode": mode }))
    }

    /// The source of one of two policies, by turns.
    fn policies(&self, number: u64) -> PathBuf {
        let watch = Rule { name: "watch", action: "audit", operations: &["open"], paths: &[FILE] };
        let secret = Rule { name: "no-secret", action: "deny", operations: &["open"], paths: &[SECRET] };
        let shadow =
            Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
        let (name, rules) = if number.is_multiple_of(2) {
            ("even", &[watch, secret][..])
        } else {
            ("odd", &[shadow, secret, watch][..])
        };
        self.bench.policy(name, "enforce", rules)
    }

    fn say(&mut self, line: &Value) -> Result<(), String> {
        writeln!(self.kept, "{line}").map_err(|error| error.to_string())
    }

    /// Keeps the whole lines that are new; what the last of them wants.
    fn keep(&mut self, out: &Path) -> Result<String, String> {
        let text = fs::read_to_string(out.join("stdout")).map_err(|error| error.to_string())?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let new = text.get(self.taken..whole).unwrap_or_default();
        self.kept.write_all(new.as_bytes()).map_err(|error| error.to_string())?;
        for round in new.lines().filter_map(|line| serde_json::from_str::<said::Round>(line).ok()) {
            eprintln!("{round}");
        }
        self.taken = whole;
        let want = new
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str::<Value>(line).ok()?["want"].as_str().map(str::to_owned));
        Ok(want.unwrap_or_default())
    }

    fn serve(&mut self, vm: &mut Vm, want: &str) -> Result<(), String> {
        match want {
            "slow" => vm.disk("ring", Fault::Slow(SLOW)).map_err(said_of),
            "fail" => vm.disk("ring", Fault::Writes).map_err(said_of),
            "quick" => vm.disk("ring", Fault::None).map_err(said_of),
            "plug" => self.plug(vm, true),
            "refused" => self.plug(vm, false),
            // It stays, for what comes at the end.
            "last" => vm.plug(&Stick::new(StickFs::Vfat)).map(drop).map_err(said_of),
            _ => Err(format!("{want}: nothing that can be wanted")),
        }
    }

    /// A stick with a newer policy comes, is taken, and goes; what it has then is verified.
    fn plug(&mut self, vm: &mut Vm, taken: bool) -> Result<(), String> {
        let next = self.policy + 1;
        let bundle = self.bench.bundle("next.aegis", &self.policies(next), next);
        let image = self.bench.at("stick.img");
        if image.exists() {
            fs::remove_file(&image).map_err(|error| error.to_string())?;
        }
        Stick::new(StickFs::Vfat).file("next.aegis", bundle).make(&image).map_err(said_of)?;
        let place = vm.now().map_err(said_of)?;
        let id = vm.plug(&Stick::image(&image)).map_err(said_of)?;
        if vm.wait_line_after(place, "can be pulled").map_err(said_of)?.is_none() {
            return Err(format!("a stick was not done with; the console's end:\n{}", vm.console_end()));
        }
        vm.unplug(id).map_err(said_of)?;
        let answer = vm.wait_line_after(place, "next.aegis: ").map_err(said_of)?.unwrap_or_default();
        if answer.contains(": accepted") != taken {
            return Err(format!(
                "a stick's policy that was {}to be taken: {answer}",
                if taken { "" } else { "not " }
            ));
        }
        if taken {
            self.policy = next;
        }
        self.say(&json!({ "did": "plug", "policy": self.policy }))?;
        let into = self.bench.at("outputs");
        fs::create_dir_all(&into).map_err(|error| error.to_string())?;
        for name in stick_outputs(&image, &into).map_err(said_of)? {
            if name.starts_with("export-") {
                self.verify(&into.join(name))?;
            }
        }
        fs::remove_dir_all(&into).map_err(|error| error.to_string())
    }

    /// An export is whole, by itself and with the one before it.
    fn verify(&mut self, export: &Path) -> Result<(), String> {
        let number = self.exports.len();
        let own = self.bench.at(&format!("export-{number:05}.cbor"));
        fs::copy(export, &own).map_err(|error| error.to_string())?;
        self.exports.push(own);
        let report = Evidence::report(&self.exports[number.saturating_sub(1)..]);
        verified(&report).map_err(|error| format!("export {number}: {error}"))?;
        self.say(&json!({ "did": "verify", "export": number }))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is for `map_err`")]
fn said_of(error: aegis_qemu::Error) -> String {
    error.to_string()
}

/// What is planned for a round, s.
fn seconds(line: &str) -> u64 {
    let mut words = line.split(' ');
    let least = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    least.max(ACT_SECONDS * words.skip(1).count() as u64)
}

/// Where the lines of runs of this name are kept; `AEGIS_ENDURE`: below another folder.
pub fn kept(name: &str) -> PathBuf {
    let folder = std::env::var_os("AEGIS_ENDURE").unwrap_or_else(|| "target/endure".into());
    root().join(folder).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Measure = Measure { rate: 400, sticks: 1 };

    #[test]
    fn chaos_does_everything_before_it_does_it_again() {
        let plan = chaos(22, 1, ONE);
        for half in plan.chunks(11) {
            for (act, _) in ACTS.iter().filter(|(act, _)| *act != "plug") {
                assert_eq!(half.iter().filter(|line| line.contains(&format!(" {act} "))).count(), 1, "{act}");
            }
        }
        assert_ne!(plan[..11], plan[11..], "another order");
        assert_ne!(plan, chaos(22, 2, ONE));
        assert!(plan.iter().all(|line| line.starts_with("0 400 ") && line.matches(" plug").count() == 1));
        let many = chaos(22, 1, Measure { sticks: 4, ..ONE });
        assert!(many.iter().zip(&plan).all(|(many, one)| *many == format!("{one} plug plug plug")));
        assert_eq!(seconds(&many[0]), 5 * ACT_SECONDS);
    }

    #[test]
    fn a_soak_has_a_round_a_minute() {
        let plan = soak(12, ONE);
        assert_eq!(plan.len(), 12);
        assert_eq!((plan[0].as_str(), plan[11].as_str()), ("60 400 plug", "60 400 plug clock-forward"));
        assert_eq!(seconds(&plan[0]), 60);
    }
}
