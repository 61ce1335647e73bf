//! `make chaos`: `CHAOS` (50) rounds of all that a device may have to bear, in an order by `AEGIS_CHAOS_SEED` (1); writes
//! `docs/evidence/chaos.md`. `make soak`: a steady load of `HOURS` (a sixth: ten minutes); writes `docs/evidence/soak.md`. Both make
//! `RATE` (400) opens a second and plug `STICKS` (1) a round, in one piece or several: what an earlier run of the same image made counts,
//! also one that was interrupted (`target/endure/chaos-HASH`, `…/soak-HASH`). See docs/endurance.md.

use std::collections::BTreeMap;
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

/// Where the pieces are that were made of this image: a commit says less, as a page that was written changes it.
fn folder(name: &str) -> Result<PathBuf, String> {
    let image = image_folder(root(), arch()).join("debug/root.img");
    let bytes =
        fs::read(&image).map_err(|error| format!("{}: {error}; mend: make image", image.display()))?;
    let hash =
        Sha256::digest(bytes)[..6].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    Ok(endure::kept(&format!("{name}-{hash}")))
}

/// What was made before: files with lines, by number, in the order in which they were begun.
fn pieces(folder: &Path) -> BTreeMap<u64, PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = found.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    found.filter_map(|path| Some((path.file_stem()?.to_str()?.parse().ok()?, path))).collect()
}

/// What they say, but those that say nothing.
fn read(folder: &Path) -> Result<Vec<said::Piece>, String> {
    let mut all = Vec::new();
    for path in pieces(folder).values() {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let piece = said::read(&text)?;
        if !piece.says_nothing() {
            println!("{}: {} rounds", path.display(), piece.rounds.len());
            all.push(piece);
        }
    }
    Ok(all)
}

/// What earlier runs of the same image made counts, also one that was interrupted; what is `left` of rounds then is made, as another
/// piece, by the `plan` of as many and the piece's number, from 0. Then the page is written, of all pieces that are there by then.
fn in_pieces(
    name: &str,
    left: impl Fn(&[said::Piece]) -> usize,
    plan: impl Fn(usize, u64) -> (Vec<String>, Option<u64>),
    page: impl Fn(&[said::Piece]) -> String,
) -> Result<(), String> {
    let folder = folder(name)?;
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let left = left(&read(&folder)?);
    if left > 0 {
        let number = pieces(&folder).last_key_value().map_or(0, |(last, _)| last + 1);
        let (plan, seed) = plan(left, number);
        endure::run(&plan, seed, &folder.join(format!("{number:04}.jsonl")))?;
    } else {
        println!("there is nothing left to do; mend: ask for more, or remove {}", folder.display());
    }
    let all = read(&folder)?;
    let wrong: Vec<String> = all.iter().flat_map(said::Piece::wrong).collect();
    if all.is_empty() || !wrong.is_empty() {
        let why = if all.is_empty() { "there are no rounds".to_owned() } else { wrong.join("; ") };
        return Err(format!("no page is written: {why}; all pieces: {}", folder.display()));
    }
    let path = root().join("docs/evidence").join(format!("{name}.md"));
    fs::write(&path, page(&all)).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}", path.display());
    Ok(())
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
    in_pieces(
        "chaos",
        |there| usize::saturating_sub(rounds, made(there)),
        |left, piece| (endure::chaos(left, seed + piece, of), Some(seed + piece)),
        report::chaos,
    )
}

fn soak() -> Result<(), String> {
    let (hours, of) = (number("HOURS", 1.0 / 6.0)?, measure()?);
    let minutes = |there: &[said::Piece]| {
        let made: f64 = there.iter().map(said::Piece::seconds).sum();
        // Rounds take some seconds more than their minute.
        let left = Duration::try_from_secs_f64(f64::mul_add(hours, 3_600.0, 30.0 - made));
        left.map_or(0, |left| left.as_secs() as usize / 60)
    };
    in_pieces("soak", minutes, |left, _| (endure::soak(left, of), None), report::soak)
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
