//! The console on the serial line of the image for the field: what a person at the device sees and does, key by key, on a terminal
//! of 80 by 24 that shows what was sent (`docs/console.md`).

use std::num::NonZero;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aegis_qemu::{End, Stick, StickFs, Vm};
use aegis_tests::{Bench, console, receipts};

use super::firmware::Device;
use super::glass;

/// As long as one page may take to come, on a processor that is emulated and shared.
const PAGE: Duration = Duration::from_mins(3);

/// Who sits at the line.
pub(crate) struct Sitting {
    pub(crate) vm: Vm,
    /// Where in the console's output the screen begins.
    from: usize,
}

impl Sitting {
    pub(crate) fn new(vm: Vm) -> Self {
        Self { vm, from: 0 }
    }

    fn log(&self) -> Vec<u8> {
        std::fs::read(self.vm.out().join("console.log")).expect("the console's log")
    }

    /// What the terminal shows.
    fn grid(&self) -> String {
        let [rows, columns] = [24, 80].map(|cells| NonZero::new(cells).expect("more than none"));
        let mut terminal = vt100::Parser::new(rows, columns, 0);
        terminal.process(self.log().get(self.from..).unwrap_or_default());
        terminal.screen().contents()
    }

    /// Types, and waits until the screen shows all of this.
    pub(crate) fn press(&mut self, keys: &str, texts: &[&str]) -> String {
        self.vm.type_text(keys).expect("typed");
        let until = Instant::now() + PAGE;
        loop {
            let grid = self.grid();
            if texts.iter().all(|text| grid.contains(text)) {
                self.keep(texts[0]);
                return grid;
            }
            assert!(Instant::now() < until, "after {keys:?} the screen has not all of {texts:?}:\n{grid}");
            self.vm.run_for(Duration::from_millis(300)).expect("it runs");
        }
    }

    /// For who wants to look at it as a picture: what was sent, in `AEGIS_SCREENS`.
    fn keep(&self, name: &str) {
        if let Some(folder) = std::env::var_os("AEGIS_SCREENS") {
            let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            let path = PathBuf::from(folder).join(format!("{name}.vt"));
            std::fs::write(path, self.log().get(self.from..).unwrap_or_default()).expect("written");
        }
    }

    /// Types a line at a line, and waits for one.
    fn say(&mut self, line: &str, text: &str) {
        let place = self.vm.now().expect("watched");
        self.vm.type_line(line).expect("typed");
        let found = self.vm.wait_line_after(place, text).expect("watched");
        assert!(found.is_some(), "no {text:?} after {line:?}: {}", self.vm.console_end());
    }

    /// From quiet to the screen.
    pub(crate) fn open(&mut self) {
        // Between two turns the line rests.
        self.vm.run_for(Duration::from_secs(5)).expect("it runs");
        self.say("", "Then Enter.");
        self.from = self.log().len();
    }
}

#[test]
fn a_person_at_the_serial_line_sees_and_does_what_the_menu_says() {
    let bench = Bench::new();
    let policy = bench.shadow("site-7", "", "");
    let bundle = bench.bundle("site.aegis", &policy, 5);
    let junk = bench.at("junk");
    std::fs::write(&junk, [0xa5; 100]).expect("written");
    let (_slot, mut vm) = Bench::start(Device::new(&bench).machine(&bench));
    assert!(vm.wait_ready().expect("watched"), "{}", vm.console_end());
    let place = vm.now().expect("watched");
    let stick = Stick::new(StickFs::Vfat).file("site.aegis", &bundle).file("junk.aegis", &junk);
    vm.plug(&stick).expect("plugged");
    let done = vm.wait_line_after(place, "it can be pulled").expect("watched");
    assert!(done.is_some(), "{}", vm.console_end());

    let mut at = Sitting::new(vm);
    // Nobody gets a shell, whatever is typed at the question.
    at.open();
    at.say("sh -c 'echo the answer is $((6*7))'", "Aegis: quiet.");
    at.open();
    let main = at.press(
        "\n",
        &[
            "ENFORCING",
            "site-7, epoch 1 sequence 5",
            "AEGIS  production",
            "slot a, 1.",
            "stick seen: sda: vfat",
            "junk.aegis",
        ],
    );
    assert!(main.lines().count() <= 24 && !main.contains("DEBUG IMAGE"), "{main}");
    assert!(
        main.lines().last().is_some_and(|menu| menu.contains("e export") && menu.contains("o off")),
        "{main}"
    );

    let doctor = at.press("d", &["AEGIS  doctor", "WELL", "lines 1 to"]);
    assert!(doctor.contains("mend:"), "{doctor}");
    at.press("G", &["ring "]);
    at.press("q", &["Last denials"]);
    at.press(
        "v",
        &[
            "AEGIS  verify stick",
            "ok bundle site.aegis: unchanged",
            "!! bundle junk.aegis: bad-magic",
            "exit 1",
        ],
    );
    at.press("q", &["Last denials"]);
    at.press("t", &["AEGIS  top", "denied/s", "aegis-selftest"]);
    at.press("q", &["Last denials"]);
    // What else a person needs who has no shell.
    for (key, texts) in [
        ("x", &["AEGIS  the last denial", "nothing in the ring was denied"][..]),
        ("a", &["AEGIS  alerts", "has no alerts"]),
        ("l", &["AEGIS  log", "it can be pulled"]),
        ("p", &["AEGIS  probe", "sched_process_fork", "attached"]),
        ("n", &["AEGIS  site network", "no-site"]),
        ("u", &["AEGIS  support bundle", "parts", "done"]),
    ] {
        at.press(key, texts);
        at.press("q", &["Last denials"]);
    }
    at.press("o", &["POWER OFF?"]);
    at.press("n", &["Cancelled. Nothing was changed."]);

    // The glass: the challenge is shown, a token made from it, and pasted.
    let shown = at.press("b", &["--- Aegis: break glass ---", "Type or paste its lines"]);
    let of = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name));
        line.map_or_else(|| panic!("no {name}: {shown}"), |rest| rest.trim().to_owned())
    };
    let device = serde_json::json!({ "device": of("device") });
    let mut make = glass::make(&device, ["--challenge", &of("challenge")], 1, 600);
    make.arg("--out").arg(bench.at("token.cbor")).arg("--armor");
    let token = glass::armor(&Bench::good(make));
    at.press(&format!("{}\n\n", token.join("\n")), &["THE GLASS IS BROKEN", "Enter: back."]);
    at.press("\n", &["GLASS BROKEN: nothing is denied for another"]);
    // Of that there is evidence, which no stick has yet.
    at.press("e", &["AEGIS  export now", "done", "it can be pulled"]);
    at.press("q", &["GLASS BROKEN: nothing is denied for another"]);
    at.press("q", &["Aegis: quiet."]);

    // The same in plain lines.
    at.open();
    at.say("p", "state     GLASS BROKEN: nothing is denied");
    at.say("z", "`z` is not in the menu");
    at.say("q", "Aegis: quiet.");

    at.open();
    at.press("\n", &["GLASS BROKEN", "Last denials"]);
    at.press("oy", &["the system ends"]);
    let run = at.vm.finish().expect("watched");
    let said = console(&run);
    assert_eq!(run.end, End::Ran, "{said}");
    assert!(said.contains("AEGIS-DONE") && said.contains("Power down"), "{said}");
    assert!(!said.contains("the answer is 42"), "{said}");
    let codes: Vec<_> = receipts(&run).into_iter().map(|receipt| receipt["code"].clone()).collect();
    assert!(codes.contains(&"accepted".into()) && codes.contains(&"bad-magic".into()), "{codes:?}");
}
