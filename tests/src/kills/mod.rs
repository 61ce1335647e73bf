//! The kill loop: one device under load whose power is cut again and again, at moments that a seed makes, and whose
//! evidence is held against what its workload said before each cut.
//!
//! The disks lose what was not flushed (`aegis_qemu::Cache::Lossy`). Each boot but those that are cut before they get there
//! carries the evidence of the boots before out on a stick, under load, and goes on until its own cut. What must hold:
//! [`oracle`]. Short in `make test`, long by `make kills`; an interrupted long run goes on where it was.

pub mod oracle;
pub mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aegis_qemu::{Cache, Random, Run, Stick, StickFs, Throttle, Vm};
use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::evidence::Evidence;
use oracle::{Boot, Oracle};

/// Opens numbered files, and says before each which and when; in between, what the agent has acknowledged. Something else
/// runs besides, for a mixed ring.
const LOAD: &str = r#"
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
mkdir n
( while true; do aegis status --json | tr ',{' '\n\n' | grep '"acked_sequence"' || true; sleep 0.1; done ) &
( while true; do /usr/bin/id >/dev/null; cat /etc/hosts >/dev/null; done ) &
i=0
while true; do
    read -r up rest </proc/uptime
    echo "n $i $up"
    : >n/$i
    i=$((i + 1))
done
"#;

/// What a kill loop is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the device and its evidence are kept; an interrupted run goes on from it.
    pub folder: PathBuf,
    /// How often the power is cut.
    pub kills: u64,
    /// What all chance is made of.
    pub seed: u64,
    /// The ring's disk lies about flushes: the loop must fail then.
    pub lying: bool,
}

/// Where in a boot the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before the agent is ready, or soon after: recovery itself is cut.
    Boot,
    /// While evidence goes out.
    Export,
    /// Under load.
    Load,
}

/// One kill as it was planned.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Which kill, from 0.
    pub number: u64,
    /// Where.
    pub moment: Moment,
    /// How long after that moment began, ms.
    pub after_ms: u64,
    /// In the middle of which write from then on; none: at whatever moment that is.
    pub write: Option<u64>,
    /// Every event is flushed before the next (`sync = "each"`); otherwise in windows of 100 ms.
    pub each: bool,
    disks: u64,
}

impl Plan {
    fn new(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed.wrapping_add(number.wrapping_mul(0x5851_f42d_4c95_7f2d)));
        // Five kills have all of them.
        let (moment, longest) = match number % 5 {
            1 => (Moment::Export, 4_000),
            3 => (Moment::Boot, 15_000),
            _ => (Moment::Load, 3_000),
        };
        let after_ms = random.below(longest);
        // Two of five for certain: there is something unflushed then.
        let write = (number % 5 < 2 || random.below(2) > 0).then(|| 1 + random.below(6));
        Self { number, moment, after_ms, write, each: number % 5 == 2, disks: random.next() }
    }
}

/// The device and what is known of it: the state of a loop between two kills.
struct Device<'s> {
    settings: &'s Settings,
    oracle: Oracle,
}

/// Runs the loop to its end.
///
/// # Errors
/// What did not hold, in one text, with the kill's plan and where its files are.
pub fn run(settings: &Settings) -> Result<Oracle, String> {
    fs::create_dir_all(settings.folder.join("exports")).map_err(|error| error.to_string())?;
    let mut device = Device { settings, oracle: Oracle::default() };
    device.resume().map_err(|error| format!("{}: {error}", settings.folder.display()))?;
    while device.oracle.boots < settings.kills {
        let plan = Plan::new(settings.seed, device.oracle.boots);
        device.kill(plan).map_err(|error| format!("kill {plan:?} of seed {}: {error}", settings.seed))?;
        eprintln!(
            "kill {:>3} of {}: {:?} after {} ms{}; {}",
            plan.number + 1,
            settings.kills,
            plan.moment,
            plan.after_ms,
            plan.write.map_or(String::new(), |number| format!(", in write {number}")),
            device.oracle.last_line(),
        );
    }
    device.end().map_err(|error| format!("the last boot of seed {}: {error}", settings.seed))?;
    Ok(device.oracle)
}

impl Device<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.settings.folder.join(name)
    }

    /// Goes on from what is kept: `device` has its disks and the oracle; `next` is what a kill was making of them.
    fn resume(&mut self) -> std::io::Result<()> {
        let (device, next) = (self.at("device"), self.at("next"));
        if !device.exists() && next.join("oracle.json").exists() {
            fs::rename(&next, &device)?;
        }
        if next.exists() {
            fs::remove_dir_all(&next)?;
        }
        match fs::read(device.join("oracle.json")) {
            Ok(bytes) => self.oracle = serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => fs::create_dir_all(&device)?,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A copy of the device, for the next kill.
    fn copy(&self) -> std::io::Result<PathBuf> {
        let next = self.at("next");
        if next.exists() {
            fs::remove_dir_all(&next)?;
        }
        fs::create_dir_all(&next)?;
        for disk in ["ring.img", "data.img"] {
            let from = self.at("device").join(disk);
            if from.exists() {
                fs::copy(from, next.join(disk))?;
            }
        }
        Ok(next)
    }

    /// The device is what the kill has left, and the oracle knows it: both in one step.
    fn keep(&self, next: &Path) -> std::io::Result<()> {
        fs::write(next.join("oracle.json"), serde_json::to_vec(&self.oracle)?)?;
        fs::remove_dir_all(self.at("device"))?;
        fs::rename(next, self.at("device"))
    }

    fn kill(&mut self, plan: Plan) -> Result<(), String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let next = self.copy().map_err(|error| said(&error))?;
        let bench = Bench::new();
        let cache = if self.settings.lying { Cache::Lying(plan.disks) } else { Cache::Lossy(plan.disks) };
        let sync = if plan.each { "each" } else { "window" };
        let text = format!("[ring]\nsync = \"{sync}\"\ncheckpoint_seconds = 5\n");
        let config = bench.config("config.toml", &text);
        let machine = bench.demo(LOAD).no_stick().state(&next).ring_bytes(16 << 20);
        let machine = machine.config(config).cache(cache);
        let (slot, mut vm) = Bench::start(machine);
        let ready = to_the_moment(&mut vm, plan).map_err(|error| said(&error))?;
        if !ready {
            let run = vm.finish().map_err(|error| said(&error))?;
            return Err(format!("the guest did not get there: {}", tail(&run)));
        }
        let run = match plan.write {
            Some(number) => vm.cut_power_in_write(number, Duration::from_secs(10)),
            None => vm.cut_power(),
        };
        drop(slot);
        let run = run.map_err(|error| said(&error))?;
        let console = tail(&run);
        let boot = Boot::read(plan, &run).map_err(|error| format!("{error}; {console}"))?;
        self.take(Some(boot), &run).map_err(|error| format!("{error}; {console}"))?;
        self.keep(&next).map_err(|error| said(&error))
    }

    /// The evidence of a run, and its boot when it was cut, to the oracle.
    fn take(&mut self, boot: Option<Boot>, run: &Run) -> Result<(), String> {
        let number = self.oracle.boots;
        self.oracle.boots += u64::from(boot.is_some());
        self.oracle.waiting.extend(boot);
        let Some(export) = &run.export else { return Ok(()) };
        let kept = self.at(&format!("exports/{number:04}.cbor"));
        fs::copy(export, &kept).map_err(|error| error.to_string())?;
        let before = self.oracle.exports.last().cloned();
        self.oracle.exports.retain(|known| *known != kept);
        self.oracle.exports.push(kept.clone());
        let files: Vec<PathBuf> = before.into_iter().chain([kept.clone()]).collect();
        oracle::verified(&Evidence::report(&files))?;
        self.oracle.take(&Evidence::show(&kept))
    }

    /// An orderly boot that carries out the rest; then all exports are verified together.
    fn end(&mut self) -> Result<(), String> {
        let next = self.copy().map_err(|error| error.to_string())?;
        let bench = Bench::new();
        let run = Bench::run(bench.demo("true").state(&next));
        self.take(None, &run)?;
        self.oracle.finish()?;
        oracle::verified(&Evidence::report(&self.oracle.exports))
    }
}

/// Brings the guest to where it is to be cut. False when it does not get there.
fn to_the_moment(vm: &mut Vm, plan: Plan) -> Result<bool, aegis_qemu::Error> {
    let after = Duration::from_millis(plan.after_ms);
    if plan.moment == Moment::Boot {
        vm.run_for(after)?;
        return Ok(true);
    }
    if !vm.wait_ready()? || !vm.wait_stdout("n 0 ")? {
        return Ok(false);
    }
    let mut stick = Stick::new(StickFs::Vfat);
    if plan.moment == Moment::Export {
        stick = stick.throttle(Throttle { read: 0, write: 256 << 10 });
    }
    let id = vm.plug(&stick)?;
    if plan.moment == Moment::Load {
        if vm.wait_line("can be pulled")?.is_none() {
            return Ok(false);
        }
        vm.unplug(id)?;
    }
    vm.run_for(after)?;
    Ok(true)
}

/// The last lines of a guest's console.
fn tail(run: &Run) -> String {
    let console = fs::read(run.console()).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    let lines: Vec<&str> = console.lines().collect();
    let last = lines.len().saturating_sub(25);
    format!("{:?}; the console's end:\n{}", run.error(), lines[last..].join("\n"))
}
