//! What a running machine can be asked for: sticks that come and go, typing, its clock. The guests are stubs, so that
//! only QEMU's side of it is tested here; `tests/` has the guest's side.

mod stub;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aegis_qemu::{End, Error, Machine, Stick, StickFs, Throttle, Traffic, Vm, limits};
use stub::{Then, stub_kernel};

/// A folder with an image of a stub guest that says that it is ready.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(then: Then) -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::create_dir_all(bench.at("image/debug")).expect("made");
        fs::write(bench.at("image/vmlinuz"), stub_kernel("AEGIS-READY 1\n", then)).expect("written");
        fs::write(bench.at("image/debug/system.img"), vec![0; 4096]).expect("written");
        fs::write(bench.at("image/debug/system.cmdline"), "ro\n").expect("written");
        fs::write(bench.at("file"), "content").expect("written");
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn machine(&self) -> Machine {
        Machine::new(self.at("out")).build(false).image(self.at("image")).timeout(Duration::from_mins(2))
    }
}

fn started(machine: Machine) -> Vm {
    let mut vm = machine.start().expect("it starts");
    assert!(vm.wait_ready().expect("watched"));
    vm
}

/// QEMU's command line, a word a string.
fn words(vm: &Vm) -> Vec<String> {
    let line = fs::read_to_string(format!("/proc/{}/cmdline", vm.pid())).expect("it lives");
    line.split('\0').map(str::to_owned).collect()
}

/// The open files of QEMU that are this one.
fn holds(vm: &Vm, path: &std::path::Path) -> bool {
    let path = path.canonicalize().expect("there");
    let files = fs::read_dir(format!("/proc/{}/fd", vm.pid())).expect("it lives");
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
}

fn host_error<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) {
    let error = result.expect_err(part);
    assert!(matches!(error, Error::Host(_)) && error.to_string().contains(part), "{error}");
}

#[test]
fn sticks_come_and_go_and_come_again() {
    let bench = Bench::new(Then::Hang);
    let mut vm = started(bench.machine().stick_file("a/b.cbor", bench.at("file")));
    let first = vm.stick().expect("it was started with one");
    let slow = Throttle { read: 10_000, write: 20_000 };
    let second = vm.plug(&Stick::new(StickFs::Exfat).throttle(slow)).expect("plugged in");
    assert!(holds(&vm, vm.stick_path(first)) && holds(&vm, vm.stick_path(second)));
    assert_eq!(vm.stick_traffic(second).expect("figures"), Traffic::default());
    vm.throttle(first, slow).expect("slower");
    vm.throttle(first, Throttle::default()).expect("faster");
    // The first is a drive of the command line, the second a block node of the monitor.
    for id in [first, second] {
        let path = vm.stick_path(id).to_owned();
        host_error(vm.plug(&Stick::image(&path)), "lock");
        vm.unplug(id).expect("pulled");
        assert!(!holds(&vm, &path), "the image is closed");
        host_error(vm.unplug(id), "not found");
        host_error(vm.stick_traffic(id), "is not plugged in");
        let again = vm.plug(&Stick::image(&path)).expect("plugged in again");
        assert!(again != id && holds(&vm, &path));
    }
    let iso =
        vm.plug(&Stick::new(StickFs::Iso9660).file("roots/2.cbor", bench.at("file"))).expect("plugged in");
    let last = vm.plug(&Stick::default().write_protected()).expect("plugged in");
    vm.unplug(iso).expect("pulled");
    assert!(vm.plug(&Stick::default().label("")).is_err_and(|error| matches!(error, Error::Usage(_))));
    assert!(holds(&vm, vm.stick_path(last)));
    let run = vm.cut_power().expect("the outputs are taken");
    assert_eq!(run.end, End::PowerCut);
    assert_eq!(run.unread.len(), 1, "the ISO alone can't be read back: {:?}", run.unread);
}

#[test]
fn without_a_stick_none_is_announced_and_one_can_come_later() {
    let bench = Bench::new(Then::Hang);
    let mut vm = started(bench.machine().no_stick());
    assert_eq!(vm.stick(), None);
    let line = words(&vm);
    assert!(
        !line.iter().any(|word| word.contains("usb-storage") || word.contains("aegis.stick")),
        "{line:?}"
    );
    let id = vm.plug(&Stick::default().file("out/receipt-1.cbor", bench.at("file"))).expect("plugged in");
    assert_eq!(vm.stick(), None, "not from the start");
    vm.unplug(id).expect("pulled");
    assert_eq!(vm.cut_power().expect("taken").receipts, [bench.at("out/receipt-1.cbor")], "pulled or not");
}

#[test]
fn the_default_machine_has_a_plain_stick_and_the_hosts_clock() {
    let bench = Bench::new(Then::Hang);
    let line = words(&started(bench.machine()));
    let devices: Vec<&str> =
        line.windows(2).filter(|pair| pair[0] == "-device").map(|pair| pair[1].as_str()).collect();
    assert_eq!(
        devices,
        [
            "virtio-rng-pci",
            "virtio-blk-pci,drive=system,serial=aegis-system",
            "virtio-blk-pci,drive=ring,serial=aegis-ring",
            "virtio-blk-pci,drive=data,serial=aegis-data",
            "qemu-xhci,id=usb",
            "usb-storage,bus=usb.0,drive=stick,removable=on,id=stick0",
            "virtio-serial-pci",
            "virtserialport,chardev=stdout,name=aegis.stdout",
            "virtserialport,chardev=stderr,name=aegis.stderr",
            "virtserialport,chardev=exit,name=aegis.exit",
        ]
    );
    assert!(!line.iter().any(|word| word == "-rtc" || word.contains("throttling")), "{line:?}");
    fs::remove_dir_all(bench.at("out")).expect("removed");

    let slow = Throttle { read: 0, write: 5000 };
    let stick = Stick::default().throttle(slow).write_protected();
    let line = words(&started(bench.machine().clock(1_000_000_000).stick(stick))).join(" ");
    assert!(line.contains(" -rtc base=2001-09-09T01:46:40,clock=vm "), "{line}");
    assert!(line.contains(",id=stick,readonly=on,throttling.bps-write=5000 "), "{line}");
}

#[test]
fn what_is_typed_arrives_whole() {
    let bench = Bench::new(Then::Echo);
    let mut vm = started(bench.machine().no_stick());
    vm.type_line("hello, guest").expect("typed");
    assert_eq!(vm.wait_line("hello").expect("watched").as_deref(), Some("hello, guest"));
    let lines: Vec<String> =
        (0..500).map(|number| format!("line {number} {}", "x".repeat(number % 80))).collect();
    vm.type_text(&(lines.join("\n") + "\n\u{3}!\n")).expect("typed");
    let run = vm.finish().expect("the outputs are taken");
    assert_eq!(
        run.end,
        End::Died("the guest ended before its work was done"),
        "it says no more than it hears"
    );
    let console = fs::read_to_string(run.console()).expect("there");
    assert!(console.ends_with(&format!("hello, guest\n{}\n\u{3}!", lines.join("\n"))), "{console}");
}

#[test]
fn a_guest_that_takes_no_input_or_has_ended_is_an_error() {
    let bench = Bench::new(Then::Hang);
    let mut vm = started(bench.machine().no_stick());
    let (start, paste) = (Instant::now(), "x".repeat(4 << 20));
    host_error(vm.type_text(&paste), "took nothing");
    assert!(start.elapsed() < 4 * limits::TYPE_STALL);
    drop(vm);
    fs::remove_dir_all(bench.at("out")).expect("removed");

    let bench = Bench::new(Then::Off);
    let mut vm = started(bench.machine());
    assert_eq!(vm.wait_line("never said").expect("watched"), None);
    host_error(vm.type_line("x"), "the guest's console");
    host_error(vm.plug(&Stick::default()), "the guest has ended");
    let id = vm.stick().expect("it was started with one");
    host_error(vm.unplug(id), "the guest has ended");
    assert!(!vm.wait_traffic(id, |_| true).expect("no error"), "the end is an answer");
}
