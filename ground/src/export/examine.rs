//! One export as it lies on a stick: whose it is, and whether it holds. For `aegisctl stick collect`.

use std::path::Path;

use aegis_export::{Ending, Id};

use super::Keys;
use super::check::verify;
use super::source::{Unopened, buffer, survey};
use crate::outcome::Failure;

/// What one export is worth, by itself: that nothing is missing between two of them is for `export verify` to say.
#[derive(Clone, Debug)]
pub(crate) struct Examined {
    /// The device's key, when every item verified under one.
    pub(crate) key: Option<[u8; 32]>,
    /// Nothing is wrong and nothing is missing.
    pub(crate) whole: bool,
    /// It is not what its device signed.
    pub(crate) tampered: bool,
    /// `whole`, or the code of the first problem (`docs/formats/export.md`).
    pub(crate) code: &'static str,
    /// The first problem, in words.
    pub(crate) detail: String,
    /// First and last sequence of its events; 0 and 0 when there are none.
    pub(crate) range: (u64, u64),
    /// When it was made, Unix seconds, and whether the device has a reason to trust its clock.
    pub(crate) created: Option<(u64, bool)>,
}

/// Verifies one export. `key_of` knows the keys of devices that are known; the key of another is taken from the export.
///
/// # Errors
/// What is no export at all, or can't be read.
pub(crate) fn examine(
    path: &Path,
    keys: &Keys,
    key_of: impl Fn(&Id) -> Option<[u8; 32]>,
) -> Result<Examined, Failure> {
    // One that stays closed is told by the verification.
    let device = match survey(path, &keys.identities, &mut buffer()) {
        Ok(survey) => Some(survey.device),
        Err(Unopened::Encrypted(_)) => None,
        Err(Unopened::Failed(failure)) => return Err(failure),
    };
    let pinned: Vec<[u8; 32]> = device.and_then(|device| key_of(&device)).into_iter().collect();
    let report = verify(&[path.to_path_buf()], &keys.pinning(&pinned))?;
    let first = report.findings.problems.first();
    let file = report.files.first();
    let sealed = file.and_then(|file| file.manifest.as_ref());
    Ok(Examined {
        key: file.and_then(|file| file.key).map(|key| *key).filter(|_| !report.findings.tampering()),
        whole: report.whole(),
        tampered: report.findings.tampering(),
        code: first.map_or("whole", |problem| problem.code),
        detail: first.map_or_else(
            || match sealed.map(|sealed| sealed.ending) {
                Some(Ending::Complete) | None => String::new(),
                Some(other) => other.to_string(),
            },
            |problem| format!("{}: {}", problem.place, problem.detail),
        ),
        range: file.map_or((0, 0), |file| (file.first, file.last)),
        created: sealed.map(|sealed| (sealed.created.clock, sealed.created.clock_trusted)),
    })
}
