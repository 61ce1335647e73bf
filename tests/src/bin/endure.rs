//! `make chaos`: `CHAOS` (50) rounds of all that a device may have to bear, in an order by `AEGIS_CHAOS_SEED` (1); writes
//! `docs/evidence/chaos.md`. `make soak`: a steady load of `HOURS` (a sixth: ten minutes), made in one piece or several: what an
//! earlier run of the same image made counts, also one that was interrupted (`target/endure/soak-HASH`); writes
//! `docs/evidence/soak.md`. See docs/endurance.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use aegis_qemu::image_folder;
use aegis_tests::endure::{self, report, said};
use aegis_tests::{arch, root};
use sha2::{Digest as _, Sha256};

fn number<T: FromStr>(name: &str, otherwise: T) -> Result<T, String> {
    std::env::var(name).map_or(Ok(otherwise), |text| {
        text.parse().map_err(|_| format!("{name}={text}: is no number; mend: a number, or leave it out"))
    })
}

/// Writes the page, unless a promise was broken.
fn write(name: &str, text: &str, wrong: &[String]) -> Result<(), String> {
    if !wrong.is_empty() {
        return Err(format!("no page is written: {}", wrong.join("; ")));
    }
    let page = root().join("docs/evidence").join(name);
    fs::write(&page, text).map_err(|error| format!("{}: {error}", page.display()))?;
    println!("{}", page.display());
    Ok(())
}

fn chaos() -> Result<(), String> {
    let seed = number("AEGIS_CHAOS_SEED", 1)?;
    let piece = endure::run(&endure::chaos(number("CHAOS", 50)?, seed), &endure::kept("chaos.jsonl"))?;
    write("chaos.md", &report::chaos(&piece, seed), &piece.wrong())
}

/// Where the pieces are that were made of this image: a commit says less, as a page that was written changes it.
fn folder() -> Result<PathBuf, String> {
    let image = image_folder(root(), arch()).join("debug/root.img");
    let bytes =
        fs::read(&image).map_err(|error| format!("{}: {error}; mend: make image", image.display()))?;
    let hash =
        Sha256::digest(bytes)[..6].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    Ok(endure::kept(&format!("soak-{hash}")))
}

/// What was made before: files with lines, in the order in which they were made.
fn pieces(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        found.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    found.sort();
    found
}

fn soak() -> Result<(), String> {
    let hours: f64 = number("HOURS", 1.0 / 6.0)?;
    let folder = folder()?;
    let mut all = Vec::new();
    for path in pieces(&folder) {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let piece = said::read(&text)?;
        // One that was cut before its first round says nothing.
        if !piece.rounds.is_empty() {
            println!("{}: {} rounds, as they were", path.display(), piece.rounds.len());
            all.push(piece);
        }
    }
    let made: f64 = all.iter().map(said::Piece::seconds).sum();
    // Rounds take some seconds more than their minute.
    let left = Duration::try_from_secs_f64(hours.mul_add(3_600.0, 30.0 - made));
    let minutes = left.map_or(0, |left| left.as_secs() / 60);
    if minutes > 0 {
        let path = folder.join(format!("{:04}.jsonl", pieces(&folder).len()));
        all.push(endure::run(&endure::soak(minutes as usize), &path)?);
    } else {
        println!("there is nothing left to do; mend: more HOURS, or remove {}", folder.display());
    }
    let wrong: Vec<String> = all.iter().flat_map(said::Piece::wrong).collect();
    write("soak.md", &report::soak(&all), &wrong)
}

fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("chaos") => chaos(),
        Some("soak") => soak(),
        _ => Err("chaos or soak".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("endure: {error}");
            ExitCode::FAILURE
        }
    }
}
