//! Writes the seeds of every target, or checks that the corpora still get somewhere.
//!
//! `seeds` writes each seed to `corpus/TARGET/seed-NAME`. `seeds --check` fails when a seed there is not what would be
//! written now, or when a target accepts nothing of its corpus: a format has changed, and the corpus was left behind.

use std::path::Path;
use std::process::ExitCode;

// The instrumentation calls into it.
use libfuzzer_sys as _;

use aegis_fuzz::{TARGETS, Target};

fn main() -> ExitCode {
    let check = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [option] if option == "--check" => true,
        _ => {
            eprintln!("usage: seeds [--check]");
            return ExitCode::from(2);
        }
    };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut good = true;
    for target in &TARGETS {
        let directory = corpus.join(target.name);
        let result = if check { checked(target, &directory) } else { written(target, &directory) };
        match result {
            Ok(line) => println!("{:12} {line}", target.name),
            Err(why) => {
                eprintln!("{}: {why}", target.name);
                good = false;
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn written(target: &Target, directory: &Path) -> Result<String, String> {
    std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    let seeds = (target.seeds)();
    for (name, bytes) in &seeds {
        if !(target.run)(bytes) {
            return Err(format!("seed {name} is not accepted"));
        }
        std::fs::write(directory.join(format!("seed-{name}")), bytes).map_err(|error| error.to_string())?;
    }
    Ok(format!("{} seeds", seeds.len()))
}

fn checked(target: &Target, directory: &Path) -> Result<String, String> {
    for (name, bytes) in (target.seeds)() {
        let path = directory.join(format!("seed-{name}"));
        match std::fs::read(&path) {
            Ok(found) if found == bytes => {}
            _ => {
                return Err(format!(
                    "{} is not what it would be now (run `tests/fuzz/run --seeds`)",
                    path.display()
                ));
            }
        }
        if !(target.run)(&bytes) {
            return Err(format!("seed {name} is not accepted"));
        }
    }
    let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
    let (mut files, mut bytes, mut accepted) = (0, 0, 0);
    for entry in entries {
        let input = entry.and_then(|entry| std::fs::read(entry.path())).map_err(|error| error.to_string())?;
        files += 1;
        bytes += input.len();
        accepted += usize::from((target.run)(&input));
    }
    Ok(format!("{files} inputs, {bytes} bytes, {accepted} accepted"))
}
