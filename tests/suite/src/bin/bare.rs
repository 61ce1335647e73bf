//! `aegis-bare`: in the agent's place, so that the same image boots without it (`make bench-boot`). Decides nothing, keeps nothing:
//! what is to run on waits, everything else is done at once. As `init` it is what the agent is: the image's first process.

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    if aegis_init::is_named(std::env::args_os().next().as_deref()) {
        return aegis_init::run();
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if matches!(words[..], ["run", ..] | ["stick" | "alerts", "watch"] | ["break-glass", "console"]) {
        loop {
            std::thread::sleep(Duration::from_hours(1));
        }
    }
    ExitCode::SUCCESS
}
