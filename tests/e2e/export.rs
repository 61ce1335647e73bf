//! Evidence on its way out: by itself, encrypted, on several sticks, and once more when a stick is lost.

use std::path::{Path, PathBuf};
use std::process::Command;

use aegis_qemu::{Stick, StickFs, Vm};
use aegis_tests::{Bench, Evidence};

/// Waits until the device knows of another export than the last time.
const EXPORTED: &str = "
exported() {
    tries=0
    until [ -e /data/aegis/export.cursor ] && ! cmp -s /data/aegis/export.cursor /scratch/cursor; do
        sleep 0.3; tries=$((tries + 1)); [ $tries -lt 1000 ] || { echo nothing is exported; exit 1; }
    done
    cp /data/aegis/export.cursor /scratch/cursor
}
";

/// Waits in the guest until the agent that runs is another than `$1`, and ready.
const AGENT: &str = "
agent() { cat /run/aegis/agent.pid; }
other() { while [ \"$(agent)\" = \"$1\" ]; do sleep 0.1; done; aegis status --wait 60 >/dev/null; }
";

/// Has a stick taken, whole, and pulls it.
fn taken(vm: &mut Vm) {
    let before = vm.now().expect("watched");
    let id = vm.plug(&Stick::new(StickFs::Vfat)).expect("plugged");
    let line = vm.wait_line_after(before, "can be pulled").expect("watched");
    assert!(line.is_some(), "the stick is not taken; the console's end:\n{}", vm.console_end());
    vm.unplug(id).expect("pulled");
}

/// Each of two sticks has its own part; of a lost one the ring has it still.
#[test]
fn two_sessions_go_out_on_two_sticks_and_a_lost_one_again() {
    let bench = Bench::new();
    let script = format!(
        "{EXPORTED}
: </etc/hosts; sleep 1; echo one; exported
: </etc/passwd; sleep 1; echo two; exported
aegis export --from 1 --to /scratch/again >/dev/null; echo \"again $?\"
cat /scratch/again/*.cbor"
    );
    let (_slot, mut vm) = Bench::start(bench.demo(&script).no_stick());
    for session in ["one", "two"] {
        assert!(vm.wait_stdout(session).expect("watched"), "the console's end:\n{}", vm.console_end());
        taken(&mut vm);
    }
    let run = vm.finish().expect("watched");
    let [first, second] = run.exports.as_slice() else { panic!("two exports: {:?}", run.exports) };
    let opens = |export: &Path, path: &str| {
        let is_it = |event: &&serde_json::Value| event["kind"] == "open" && event["path"] == path;
        Evidence::show(export).iter().filter(is_it).count()
    };
    assert_eq!((opens(first, "/etc/hosts"), opens(first, "/etc/passwd")), (1, 0));
    assert_eq!((opens(second, "/etc/hosts"), opens(second, "/etc/passwd")), (0, 1));
    Evidence::verify(&run.exports);

    // The first is lost: what is there says so, and with what the ring has still it is whole again.
    let said = run.stdout().expect("there");
    let marker = b"again 0\n";
    let at = said.windows(marker.len()).position(|window| window == marker).expect("exported again");
    let again = bench.at("again.cbor");
    std::fs::write(&again, &said[at + marker.len()..]).expect("written");
    let notes = Evidence::report(std::slice::from_ref(second))["notes"].to_string();
    assert!(notes.contains("begins-later"), "{notes}");
    Evidence::verify(&[second.clone(), again.clone()]);
    assert_eq!(Evidence::show(&again)[0]["sequence"], 1);
    assert_eq!((opens(&again, "/etc/hosts"), opens(&again, "/etc/passwd")), (1, 1));
}

/// A stick that stays plugged gets the evidence by itself, encrypted; killed agents break neither that nor the checkpoints.
#[test]
fn evidence_goes_out_by_itself_encrypted_while_agents_are_killed() {
    let bench = Bench::new();
    let (key, recipient) = office_key(&bench);
    let text = format!(
        "[ring]\ncheckpoint_seconds = 5\n\n[export]\nevery_minutes = 1\nrecipients = [{recipient:?}]\n"
    );
    let config = bench.config("config.toml", &text);
    let script = format!(
        "{AGENT}{EXPORTED}
for n in 1 2 3; do old=$(agent); : </etc/hosts; sleep 2; kill -KILL $old; other $old; done
: </etc/passwd; exported; echo out"
    );
    let run = {
        let (_slot, vm) = Bench::start(bench.demo(&script).config(&config));
        vm.finish().expect("watched")
    };
    assert_eq!(run.stdout().expect("there"), b"out\n", "{:?}", run.error());
    assert!(
        run.export.is_none() && run.exports.len() >= 2,
        "encrypted all, one by itself: {:?}",
        run.exports
    );
    let opened: Vec<PathBuf> = run.exports.iter().map(|export| opened(&bench, &key, export)).collect();
    Evidence::verify(&opened);

    let report = Evidence::report(&opened);
    assert_eq!(report["seals"], "good", "{}", report["problems"]);
    assert!(
        report["sealing"][0]["epochs"].as_u64().is_some_and(|epochs| epochs >= 10),
        "{}",
        report["sealing"]
    );
    let events: Vec<_> = opened.iter().flat_map(|export| Evidence::show(export)).collect();
    let count = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
    assert_eq!(count("start"), 4);
    let seals: Vec<_> =
        events.iter().filter(|event| event["kind"] == "seal").map(|event| &event["code"]).collect();
    assert_eq!(seals, ["began"], "one chain");
}

/// A key that stays at the office, and whom it makes of that.
pub(crate) fn office_key(bench: &Bench) -> (PathBuf, String) {
    let key = bench.at("office.key");
    let mut command = Command::new("age-keygen");
    command.arg("-o").arg(&key);
    Bench::good(command);
    let mut command = Command::new("age-keygen");
    command.arg("-y").arg(&key);
    let recipient = String::from_utf8(Bench::good(command)).expect("text");
    (key, recipient.trim().to_owned())
}

/// A stranger opens it: Debian's own age.
pub(crate) fn opened(bench: &Bench, key: &Path, export: &Path) -> PathBuf {
    let to = bench.at(export.file_stem().and_then(|name| name.to_str()).expect("a name"));
    assert!(std::fs::read(export).expect("there").starts_with(b"age-encryption.org/v1\n"));
    let mut command = Command::new("age");
    command.arg("-d").arg("-i").arg(key).arg("-o").arg(&to).arg(export);
    Bench::good(command);
    to
}
