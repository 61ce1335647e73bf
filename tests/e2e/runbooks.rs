//! The operator's runbooks, followed at the serial line, by what the console says and a stick brings (`docs/runbooks.md`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aegis_qemu::{End, Machine, Stick, StickFs, StickId};
use aegis_tests::{Bench, Slot, console, receipts};

use super::console::Sitting;
use super::firmware::Device;
use super::glass;
use super::workloads::Made;

/// What the first screen always has.
const MAIN: &str = "Last denials";

/// One boot, and who stands at the serial line.
struct Boot {
    at: Sitting,
    slot: Slot,
}

impl Boot {
    /// To the first screen.
    fn start(machine: Machine, shows: &[&str]) -> Self {
        let (slot, mut vm) = Bench::start(machine);
        assert!(vm.wait_ready().expect("watched"), "{}", vm.console_end());
        let mut at = Sitting::new(vm);
        at.open();
        at.press("\n", &[&[MAIN], shows].concat());
        Self { at, slot }
    }

    /// Until the serial line says that it was looked at.
    fn plug(&mut self, files: &[(&str, &Path)]) -> StickId {
        let stick =
            files.iter().fold(Stick::new(StickFs::Vfat), |stick, (name, file)| stick.file(*name, file));
        let place = self.at.vm.now().expect("watched");
        let id = self.at.vm.plug(&stick).expect("plugged");
        let taken = self.at.vm.wait_line_after(place, "it can be pulled").expect("watched");
        assert!(taken.is_some(), "{}", self.at.vm.console_end());
        id
    }

    fn unplug(&mut self, stick: StickId) {
        self.at.vm.unplug(stick).expect("pulled");
    }

    /// Waits until the first screen shows all of this.
    fn shows(&mut self, texts: &[&str]) {
        self.at.press("", texts);
    }

    /// A key of the menu, what its page has to say, and back.
    fn page(&mut self, key: &str, shows: &[&str]) -> String {
        let page = self.at.press(key, shows);
        self.at.press("q", &[MAIN]);
        page
    }

    /// Nothing is as it should not be.
    fn is_well(&mut self) {
        let page = self.page("d", &["AEGIS  doctor", "lines 1 to"]);
        assert!(!page.contains(" !! "), "{page}");
    }
}

/// A policy that denies the workload these paths.
fn bundle(bench: &Bench, sequence: u64, denied: &[&str]) -> PathBuf {
    let policy = bench.at(&format!("site-{sequence}.toml"));
    let text = format!(
        "schema = 1\nname = \"site\"\nmode = \"enforce\"\n[[workload]]\nname = \"agent-7\"\n[[rule]]\nname = \"no-secret\"\n\
         workloads = [\"agent-7\"]\naction = \"deny\"\noperations = [\"open\"]\npaths = {denied:?}\n"
    );
    fs::write(&policy, text).expect("written");
    bench.bundle(&format!("site-{sequence}.aegis"), &policy, sequence)
}

/// First boot, new policy, refused stick, power cut, wrong clock, denied workload, break-glass, bricked policy: on the image for the
/// field, which has nothing else to be operated by.
#[test]
fn from_the_first_boot_to_a_policy_that_was_a_mistake() {
    const SECRET: &str = "/run/workloads/agent-7/secret";
    let bench = Bench::new();
    let device = Device::new(&bench);

    // First boot. `device` is on the screen; nothing is denied; nothing is wrong; evidence goes out.
    let mut boot = Boot::start(device.machine(&bench), &["AUDIT ONLY", "production", "slot a", "device"]);
    boot.is_well();
    // New policy, with a workload for the next start.
    let workload = Made::new(&bench, "agent-7", "look stay").sequence(5);
    let good = bundle(&bench, 5, &[SECRET]);
    let stick = boot.plug(&[("site.aegis", &good), ("agent-7.aegis-workload", &workload)]);
    boot.shows(&["ENFORCING", "site, epoch 1 sequence 5"]);
    boot.page("e", &["AEGIS  export now", "it can be pulled"]);
    boot.unplug(stick);
    // Refused stick: what is on it, and why not.
    let stick = boot.plug(&[("old.aegis", &bundle(&bench, 4, &[SECRET]))]);
    boot.page("v", &["AEGIS  verify stick", "!! bundle old.aegis: rollback"]);
    boot.shows(&["ENFORCING", "site, epoch 1 sequence 5"]);
    boot.unplug(stick);
    // Power cut.
    drop(boot.at.vm.cut_power().expect("cut"));
    drop(boot.slot);

    // The policy is there; so is a clock that says 2021. The workload runs, and is denied what the policy denies it.
    let machine = device.machine(&bench).clock(1_612_137_600);
    let mut boot = Boot::start(machine, &["ENFORCING", "site, epoch 1 sequence 5", "agent-7", "secret"]);
    let page = boot.page("d", &["AEGIS  doctor", "clock-behind"]);
    assert!(!page.contains(" !! "), "{page}");
    // Break glass.
    let shown = boot.at.press("b", &["--- Aegis: break glass ---", "Type or paste its lines"]);
    let of = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name));
        line.map_or_else(|| panic!("no {name}: {shown}"), |rest| rest.trim().to_owned())
    };
    let json = serde_json::json!({ "device": of("device") });
    let mut make = glass::make(&json, ["--challenge", &of("challenge")], 1, 600);
    make.arg("--out").arg(bench.at("token.cbor")).arg("--armor");
    let token = glass::armor(&Bench::good(make));
    boot.at.press(&format!("{}\n\n", token.join("\n")), &["THE GLASS IS BROKEN", "Enter: back."]);
    boot.at.press("\n", &["GLASS BROKEN"]);
    // Bricked policy: it denies the workload what it needs; the one after it does not, and is newer.
    let stick = boot.plug(&[("site.aegis", &bundle(&bench, 6, &[SECRET, "/run/workloads/agent-7/plain"]))]);
    boot.shows(&["site, epoch 1 sequence 6"]);
    boot.unplug(stick);
    let stick = boot.plug(&[("site.aegis", &bundle(&bench, 7, &[SECRET]))]);
    boot.shows(&["site, epoch 1 sequence 7"]);
    boot.unplug(stick);
    let place = boot.plug(&[]);
    boot.page("e", &["AEGIS  export now", "it can be pulled"]);
    boot.unplug(place);
    boot.at.press("o", &["POWER OFF?"]);
    boot.at.press("y", &["the system ends"]);
    let run = boot.at.vm.finish().expect("watched");
    assert_eq!(run.end, End::Ran, "{}", console(&run));
    let codes: Vec<_> = receipts(&run).into_iter().map(|receipt| receipt["code"].clone()).collect();
    assert!(codes.contains(&"accepted".into()), "{codes:?}");
    let denied: Vec<_> = Bench::evidence(run)
        .with(&[("workload", "agent-7".into()), ("rule", "no-secret".into()), ("verdict", "denied".into())])
        .into_iter()
        .cloned()
        .collect();
    assert!(!denied.is_empty());
}

/// Full ring, and a ring whose disk was changed.
#[test]
fn a_full_ring_is_emptied_by_a_stick() {
    let bench = Bench::new();
    let state = bench.at("state");
    let policy = bench.shadow("site", "", "");
    let storm = "i=0; while [ $i -lt 4000 ]; do cat /etc/shadow /etc/passwd >/dev/null 2>&1; i=$((i+1)); done; echo full; sleep 3000";
    let machine = bench.demo(storm).state(&state).policy(&policy).ring_bytes(4 << 20);
    let mut boot = Boot::start(machine, &["ENFORCING"]);
    let until = SystemTime::now() + Duration::from_mins(10);
    while !boot.at.press("", &[MAIN]).contains("not exported: CRITICAL") {
        assert!(SystemTime::now() < until, "{}", boot.at.press("", &[MAIN]));
        boot.at.vm.run_for(Duration::from_secs(2)).expect("it runs");
    }
    // The stick that brought the policy is still there.
    boot.page("e", &["AEGIS  export now", "it can be pulled"]);
    let screen = boot.at.press("", &[MAIN]);
    assert!(!screen.contains("CRITICAL"), "{screen}");
    drop(boot.at.vm.cut_power().expect("cut"));
    drop(boot.slot);

    // Failed disk: another one in its place.
    fs::remove_file(state.join("ring.img")).expect("it was there");
    let mut boot =
        Boot::start(bench.demo("sleep 3000").state(&state).no_stick(), &["ENFORCING", "ring-lost"]);
    boot.is_well();
}
