//! `make chaos`: `CHAOS` (50) rounds of all that a device may have to bear, in an order by `AEGIS_CHAOS_SEED` (1); writes
//! `docs/evidence/chaos.md`. `make soak`: a steady load of `HOURS` (a sixth: ten minutes); writes `docs/evidence/soak.md`. Both make
//! `RATE` (400) opens a second and plug `STICKS` (1) a round, in one piece or several: what an earlier run of the same image made counts,
//! also one that was interrupted (`target/endure/chaos-HASH`, `…/soak-HASH`). See docs/endurance.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use aegis_qemu::image_folder;
use aegis_tests::endure::{self, Measure, report, said};
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

/// Where the pieces are that were made of this image: a commit says less, as a page that was written changes it.
fn folder(name: &str) -> Result<PathBuf, String> {
    let image = image_folder(root(), arch()).join("debug/root.img");
    let bytes =
        fs::read(&image).map_err(|error| format!("{}: {error}; mend: make image", image.display()))?;
    let hash =
        Sha256::digest(bytes)[..6].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    Ok(endure::kept(&format!("{name}-{hash}")))
}

/// What was made before: files with lines, in the order in which they were made.
fn pieces(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        found.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    found.sort();
    found
}

/// What earlier runs of the same image made counts, also one that was interrupted; what is `left` of rounds then is made by the `plan` of
/// as many, as another piece. That has a number, from 0.
fn in_pieces(
    name: &str,
    left: impl Fn(&[said::Piece]) -> usize,
    plan: impl Fn(usize, u64) -> Vec<String>,
) -> Result<Vec<said::Piece>, String> {
    let folder = folder(name)?;
    let mut all = Vec::new();
    let there = pieces(&folder);
    for path in &there {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let piece = said::read(&text)?;
        // One that was cut before its first round says nothing.
        if !piece.rounds.is_empty() {
            println!("{}: {} rounds, as they were", path.display(), piece.rounds.len());
            all.push(piece);
        }
    }
    let left = left(&all);
    if left > 0 {
        let path = folder.join(format!("{:04}.jsonl", there.len()));
        all.push(endure::run(&plan(left, there.len() as u64), &path)?);
    } else {
        println!("there is nothing left to do; mend: ask for more, or remove {}", folder.display());
    }
    Ok(all)
}

fn wrong(pieces: &[said::Piece]) -> Vec<String> {
    pieces.iter().flat_map(said::Piece::wrong).collect()
}

/// `RATE` opens a second, `STICKS` a round.
fn measure() -> Result<Measure, String> {
    let of = Measure { rate: number("RATE", 400)?, sticks: number("STICKS", 1)? };
    if of.rate == 0 || of.sticks == 0 {
        return Err("RATE and STICKS are at least 1".to_owned());
    }
    Ok(of)
}

fn chaos() -> Result<(), String> {
    let (seed, rounds, of) = (number("AEGIS_CHAOS_SEED", 1)?, number("CHAOS", 50)?, measure()?);
    let made = |pieces: &[said::Piece]| pieces.iter().map(|piece| piece.rounds.len()).sum::<usize>();
    let all = in_pieces(
        "chaos",
        |there| usize::saturating_sub(rounds, made(there)),
        |left, piece| endure::chaos(left, seed + piece, of),
    )?;
    write("chaos.md", &report::chaos(&all, seed), &wrong(&all))
}

fn soak() -> Result<(), String> {
    let (hours, of) = (number("HOURS", 1.0 / 6.0)?, measure()?);
    let minutes = |there: &[said::Piece]| {
        let made: f64 = there.iter().map(said::Piece::seconds).sum();
        // Rounds take some seconds more than their minute.
        let left = Duration::try_from_secs_f64(f64::mul_add(hours, 3_600.0, 30.0 - made));
        left.map_or(0, |left| left.as_secs() as usize / 60)
    };
    let all = in_pieces("soak", minutes, |left, _| endure::soak(left, of))?;
    write("soak.md", &report::soak(&all), &wrong(&all))
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
