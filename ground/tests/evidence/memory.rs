//! Constant memory: an export of hundreds of MiB under a limit that a copy of it would break.

use std::io::{BufWriter, Write};
use std::process::Command;
use std::time::Instant;

use aegis_export::Request;

use crate::desk::{Desk, said};
use crate::sample::{Device, Endless, created};

/// Most address space that a command may have, KiB: 256 MiB, of which resident memory is a part.
const ADDRESS_SPACE: u64 = 256 * 1024;
/// Size of the export, MiB; `AEGIS_EXPORT_MIB` makes it larger for a long run.
pub(crate) const EXPORT: u64 = 64;
/// Most memory that a command may have resident, KiB: less than the export has.
pub(crate) const RESIDENT: u64 = 60 * 1024;

/// An export of at least `size` MiB that is made while it is written.
pub(crate) fn export(desk: &Desk, name: &str, size: u64) {
    // An event takes more than 128 bytes.
    let events = size * (1 << 20) / 128;
    let mut file = BufWriter::new(std::fs::File::create(desk.path(name)).expect("a file"));
    Device(1).export(Endless::new(Device(1), events), Request::from(1), created(1), &mut file);
    file.flush().expect("written");
    assert!(std::fs::metadata(desk.path(name)).expect("written").len() > size << 20);
}

/// Runs a command under the limit; the most memory that it had resident, KiB.
pub(crate) fn peak(desk: &Desk, arguments: &[&str]) -> u64 {
    let limited = format!("ulimit -v {ADDRESS_SPACE}; exec \"$@\"");
    let measured = "import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)";
    let aegisctl = desk.command(arguments);
    let mut command = Command::new("python3");
    command.args(["-c", measured, "sh", "-c", &limited, "sh"]).arg(aegisctl.get_program());
    let said = said(command.args(aegisctl.get_args()).current_dir(desk.path("")));
    assert_eq!(said.exit, 0, "{arguments:?}: {}", said.err);
    said.out.trim().parse().expect("KiB")
}

#[test]
fn an_export_larger_than_the_memory_is_no_matter() {
    let desk = Desk::new();
    let size = std::env::var("AEGIS_EXPORT_MIB").ok().map_or(EXPORT, |text| text.parse().expect("MiB"));
    export(&desk, "large.cbor", size);
    for arguments in [
        &["convert", "--to", "jsonl", "--out", "out"][..],
        &["convert", "--to", "parquet", "--out", "out"],
        &["convert", "--to", "sqlite", "--out", "out"],
        &["report", "--html", "out"],
        &["query", "verdict=deny and path ~ */file-*7", "--count"],
    ] {
        let began = Instant::now();
        let peak = peak(&desk, &[arguments, &["large.cbor"][..]].concat());
        println!("{size} MiB: {arguments:?}: {peak} KiB resident, {:?}", began.elapsed());
        assert!(peak < RESIDENT, "{arguments:?}: {peak} KiB");
        let _ = std::fs::remove_file(desk.path("out"));
    }
}
