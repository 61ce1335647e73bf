//! `aegis-maps`: in the guest, the memory that the kernel holds for each map of Aegis's, a line each: name and bytes.

use std::process::ExitCode;

fn main() -> ExitCode {
    match aegis_suite::maps() {
        Ok(maps) => {
            for (name, bytes) in maps {
                println!("{name} {bytes}");
            }
            ExitCode::SUCCESS
        }
        Err(stop) => {
            eprintln!("aegis-maps: {stop:?}");
            ExitCode::FAILURE
        }
    }
}
