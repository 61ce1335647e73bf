//! `aegis break-glass`: for a time nothing is denied. By a token that the key holders signed for this device and this boot,
//! or by a marker file where the policy's signed manifest lets it.
//!
//! The token's sequence is on disk before it is heeded; the end of the break is in the kernel, and comes by itself.

pub(crate) mod console;
mod lines;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use aegis_bundle::{Answer, ArmorError, Root, Token, What, open_token};
use aegis_event::Body;
use serde_json::json;

use self::lines::Lines;
use super::in_force;
use super::policy::Taken;
use crate::kernel::{self, KernelError, KernelState};
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::device::{self, Identity, boottime, hex};
use crate::storage::disk::Disk;
use crate::storage::trust::{self, Trust};
use crate::storage::{DATA, RUN, atomic, lock};

/// In `/data/aegis`: whoever can put it there breaks the glass, where the policy's manifest says so.
const MARKER: &str = "break_glass";
/// In `/run/aegis`: the marker file was heeded in this boot; it was said that it is not allowed.
const HEEDED: &str = "marker.heeded";
const NOT_ALLOWED: &str = "marker.refused";
/// In `/run/aegis`: what a token may be bound to besides the boot.
const CHALLENGE: &str = "challenge";
const CHALLENGE_BYTES: usize = 16;
/// In `/run/aegis`: SHA-256 of the token that was taken last in this boot.
const TAKEN: &str = "token";
const NANOS: u64 = 1_000_000_000;

/// The kernel, as a token needs it. Tests have another one.
trait Glass {
    /// Fails when there are no probes that could stop to deny.
    fn check(&self) -> Result<(), KernelError>;

    /// As [`kernel::break_glass`].
    fn break_until(&self, until: u64) -> Result<(), KernelError>;
}

struct Probes;

impl Glass for Probes {
    fn check(&self) -> Result<(), KernelError> {
        KernelState::open().map(drop)
    }

    fn break_until(&self, until: u64) -> Result<(), KernelError> {
        kernel::break_glass(until)
    }
}

/// What a token is held against, and when.
struct Here {
    device: [u8; 16],
    /// Boot id, and the challenge if there is one.
    bound: Vec<[u8; 16]>,
    /// SHA-256 of the token that was taken last in this boot.
    taken: Option<[u8; 32]>,
    /// `CLOCK_BOOTTIME`, ns.
    now: u64,
}

/// What became of a token.
struct Decided {
    taken: Taken,
    /// `CLOCK_BOOTTIME` ns; 0 when nothing was broken.
    until: u64,
    /// The key holders' words.
    reason: String,
}

impl Decided {
    fn refused(code: &'static str, hash: [u8; 32], detail: impl Into<String>) -> Self {
        let taken = Taken::refused(What::BreakGlass, code, Some(hash), detail);
        Self { taken, until: 0, reason: String::new() }
    }

    /// Says it on the console, in the ring and in the history.
    fn report(&self, origin: &str, now: u64) {
        let Taken { code, sequence, hash, detail, .. } = &self.taken;
        let words = match (self.until, detail.as_str()) {
            (0, "") => origin.to_owned(),
            (0, detail) => format!("{origin}: {detail}"),
            _ => self.reason.clone(),
        };
        if self.taken.answer == Answer::Unchanged {
            log::info!("break-glass: {code}: {words}");
        } else if self.until == 0 {
            log::error!("break-glass: {code}: {words}");
        } else {
            let seconds = self.until.saturating_sub(now) / NANOS;
            log::error!(
                "THE GLASS IS BROKEN: nothing is denied for {seconds} s ({}: {words})",
                self.taken.code
            );
        }
        in_force::note(Body::BreakGlass {
            code,
            sequence: *sequence,
            until: self.until,
            reason: &words[..words.floor_char_boundary(aegis_event::limits::DETAIL_BYTES)],
            hash: &hash.unwrap_or_default(),
        });
        self.taken.report(origin);
    }
}

/// Decides about a token and, when it is good, breaks the glass. `origin` says where it came from.
///
/// # Errors
/// Own storage's; an image that is not sound.
pub(crate) fn take(bytes: &[u8], origin: &str, identity: &Identity) -> Result<Taken, Failure> {
    let _one = trust::lock().map_err(storage_failure)?;
    let mut trust = Trust::open()?;
    let here = Here {
        device: identity.id(),
        bound: bound().map_err(run_failure)?,
        taken: read_run(TAKEN),
        now: boottime(),
    };
    let decided = decide(&mut trust, &Probes, &here, bytes);
    decided.report(origin, here.now);
    if decided.taken.answer == Answer::Accepted {
        // Neither is needed for what was decided: the sequence is.
        let kept = decided
            .taken
            .hash
            .map_or(Ok(()), |hash| write_run(TAKEN, &hash))
            .and_then(|()| renew_challenge().map(drop));
        if let Err(error) = kept {
            log::error!("break-glass: {RUN}: {error} (the challenge stays as it was)");
        }
    }
    Ok(decided.taken)
}

/// Would it be taken? A code and a detail, either way. Nothing is spent.
pub(super) fn would_take(
    bytes: &[u8],
    trust: &Trust,
    identity: &Identity,
) -> Result<(&'static str, String), (&'static str, String)> {
    if let Some(why) = trust.root_lost() {
        return Err((trust::ROOT_LOST, why.clone()));
    }
    if read_run(TAKEN) == Some(aegis_bundle::hash(bytes)) {
        return Ok(("unchanged", "it was taken in this boot".to_owned()));
    }
    let bound = bound().map_err(|error| ("unreadable", format!("{RUN}: {error}")))?;
    let (root, last) = (trust.root(), trust.state().token_sequence);
    match open_token(bytes, root, &identity.id(), &bound, last) {
        Ok(token) => Ok(("accepted", format!("sequence {}, {} s", token.sequence, token.seconds))),
        Err(error) => Err((error.code(), error.to_string())),
    }
}

/// Says that a file in a token's place can't be read.
pub(crate) fn report_unread(taken: &Taken, origin: &str) {
    Decided { taken: taken.clone(), until: 0, reason: String::new() }.report(origin, 0);
}

fn decide(trust: &mut Trust<impl Disk>, glass: &impl Glass, here: &Here, bytes: &[u8]) -> Decided {
    let hash = aegis_bundle::hash(bytes);
    if here.taken == Some(hash) {
        // The stick it came on was plugged in again.
        let decided = Decided::refused("unchanged", hash, "it was taken in this boot");
        return Decided { taken: Taken { answer: Answer::Unchanged, ..decided.taken }, ..decided };
    }
    // Whom to believe is not known: the root that could be walked to may list keys that were revoked since.
    if let Some(why) = trust.root_lost() {
        return Decided::refused(trust::ROOT_LOST, hash, why);
    }
    let token = match open_token(bytes, trust.root(), &here.device, &here.bound, trust.state().token_sequence)
    {
        Ok(token) => token,
        Err(error) => return Decided::refused(error.code(), hash, error.to_string()),
    };
    let decided = heed(trust, glass, here, &token);
    let taken = match decided {
        Ok(_) => {
            Taken { answer: Answer::Accepted, ..Taken::refused(What::BreakGlass, "accepted", Some(hash), "") }
        }
        Err((code, ref detail)) => Taken::refused(What::BreakGlass, code, Some(hash), detail),
    };
    Decided {
        taken: Taken { sequence: token.sequence, ..taken },
        until: decided.unwrap_or(0),
        reason: token.reason.to_owned(),
    }
}

/// Spends a good token: its sequence first, then the kernel. Returns when the break ends.
fn heed(
    trust: &mut Trust<impl Disk>,
    glass: &impl Glass,
    here: &Here,
    token: &Token<'_>,
) -> Result<u64, (&'static str, String)> {
    // Nothing is spent where nothing can be broken.
    glass.check().map_err(|error| (error.code(), error.to_string()))?;
    trust.take_token(token.sequence).map_err(|error| ("storage", format!("{DATA}: {error}")))?;
    let seconds = u64::from(token.seconds).min(limits::GLASS_SECONDS);
    let until = here.now + seconds * NANOS;
    glass.break_until(until).map_err(|error| (error.code(), format!("{error} (the token is spent)")))?;
    Ok(until)
}

/// Heeds the marker file: once in a boot, and only under a policy whose signed manifest lets it.
pub(crate) fn heed_marker() {
    if Path::new(DATA).join(MARKER).symlink_metadata().is_err() || is_noted(HEEDED) {
        return;
    }
    if let Err(failure) = try_marker() {
        log::error!("break-glass: marker file: {failure}");
    }
}

fn try_marker() -> Result<(), Failure> {
    let _one = trust::lock().map_err(storage_failure)?;
    let allowed = in_force::allows_marker(&Trust::open()?);
    let noted = if allowed { HEEDED } else { NOT_ALLOWED };
    // Another process may have been faster.
    if is_noted(HEEDED) || is_noted(noted) {
        return Ok(());
    }
    // Before it is heeded: not twice in a boot.
    write_run(noted, b"").map_err(run_failure)?;
    let now = boottime();
    let until = now + limits::GLASS_SECONDS * NANOS;
    let refused = |code, detail: String| (code, Answer::Refused, 0, detail);
    let (code, answer, until, detail) = if allowed {
        match kernel::break_glass(until) {
            Ok(()) => ("marker", Answer::Accepted, until, String::new()),
            Err(error) => refused(error.code(), error.to_string()),
        }
    } else {
        refused("marker-not-allowed", "the policy's manifest does not let it".into())
    };
    let origin = format!("{DATA}/{MARKER}");
    let taken = Taken { answer, ..Taken::refused(What::BreakGlass, code, None, detail) };
    Decided { taken, until, reason: origin.clone() }.report(&origin, now);
    Ok(())
}

/// `aegis break-glass status`.
pub(crate) fn status(as_json: bool) -> Outcome {
    let identity = Identity::open().map_err(key_failure)?;
    let trust = Trust::open()?;
    let boot = device::boot_id().map_err(run_failure)?;
    let (root, now) = (trust.root(), boottime());
    let until = KernelState::open().map_or(0, |state| state.broken_until());
    let left = until.saturating_sub(now).div_ceil(NANOS);
    let device = identity.map(|identity| hex(&identity.id()));
    let marker = Path::new(DATA).join(MARKER).symlink_metadata().is_ok();
    let allowed = in_force::allows_marker(&trust);
    if as_json {
        let role = root.break_glass.as_ref();
        let role = role.map(|role| json!({ "threshold": role.threshold, "keys": role.keys.len() }));
        return say(&json!({
            "broken": left > 0,
            "seconds_left": left,
            "until_ns": until,
            "device": device,
            "boot": hex(&boot),
            "root_version": root.version,
            "role": role,
            "token_sequence": trust.state().token_sequence,
            "marker": { "present": marker, "allowed": allowed },
        })
        .to_string());
    }
    let glass = match left {
        0 => "whole".to_owned(),
        left => format!("BROKEN: nothing is denied for another {left} s"),
    };
    let present = if marker { "there" } else { "not there" };
    let heeded = if allowed { "allowed" } else { "not allowed" };
    say(&[
        format!("glass     {glass}"),
        format!("device    {}", device.as_deref().unwrap_or("has no key yet")),
        format!("boot      {}", hex(&boot)),
        format!("root      version {}, {}", root.version, role(root)),
        format!("token     sequence {} was taken last", trust.state().token_sequence),
        format!("marker    {present}, {heeded} by the policy"),
    ]
    .join("\n"))
}

/// `aegis break-glass challenge`.
pub(crate) fn challenge(as_json: bool) -> Outcome {
    let identity = Identity::open_or_create().map_err(key_failure)?;
    let boot = device::boot_id().map_err(run_failure)?;
    let challenge = current_challenge().map_err(run_failure)?;
    let device = hex(&identity.id());
    say(&if as_json {
        json!({ "device": device, "boot": hex(&boot), "challenge": hex(&challenge) }).to_string()
    } else {
        format!("device    {device}\nboot      {}\nchallenge {}", hex(&boot), grouped(&challenge))
    })
}

/// `aegis break-glass apply FILE`: a token as it was signed, or in its text form.
pub(crate) fn apply(file: &Path) -> Outcome {
    let shown = file.display();
    let identity = Identity::open_or_create().map_err(key_failure)?;
    let bytes = atomic::read_bounded(file, limits::TOKEN_TEXT_BYTES)
        .map_err(|error| Failure::error(format!("{shown}: {error}")))?;
    let bytes = match str::from_utf8(&bytes) {
        Ok(text) if text.bytes().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')) => {
            from_text(text).map_err(|wrong| Failure::refused(format!("{shown}: {wrong}")))?
        }
        _ => bytes,
    };
    let taken = take(&bytes, &shown.to_string(), &identity)?;
    let Taken { code, sequence, detail, .. } = &taken;
    say(&format!("{shown}: {code} sequence {sequence} sha256 {}", hex(&taken.hash.unwrap_or_default())))?;
    match taken.answer {
        Answer::Refused => Err(Failure::refused(format!("{shown}: refused: {code}: {detail}"))),
        _ => Ok(()),
    }
}

/// `aegis break-glass mend`: the break ends now. Nobody has to be asked: it makes the device stricter.
pub(crate) fn mend() -> Outcome {
    kernel::mend_glass().map_err(|error| Failure::error(format!("break-glass: {error}")))?;
    say("the glass is whole")
}

/// The token that a text is.
fn from_text(text: &str) -> Result<Vec<u8>, String> {
    let mut lines = Lines::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match lines.feed(line) {
            Ok(Some(token)) => return Ok(token),
            Ok(None) => {}
            Err((number, error)) => return Err(wrong(number, error)),
        }
    }
    Err(format!("line {} is missing", lines.missing()))
}

/// What is to be said of a line that is not what it should be.
fn wrong(number: Option<u8>, error: ArmorError) -> String {
    match number {
        Some(number) => format!("line {number:02}: {error} ({})", error.code()),
        None => format!("{error} ({})", error.code()),
    }
}

fn role(root: &Root) -> String {
    match &root.break_glass {
        Some(role) => format!("break-glass takes {} of {} keys", role.threshold, role.keys.len()),
        None => "no break-glass role: no token is taken".to_owned(),
    }
}

/// Boot id, and the challenge if one was shown.
fn bound() -> io::Result<Vec<[u8; 16]>> {
    let challenge: Option<[u8; CHALLENGE_BYTES]> = read_run(CHALLENGE);
    Ok([Some(device::boot_id()?), challenge].into_iter().flatten().collect())
}

/// The challenge that is shown; a fresh one when there is none.
fn current_challenge() -> io::Result<[u8; CHALLENGE_BYTES]> {
    let _one = lock::wait_for("challenge.lock")?;
    match read_run(CHALLENGE) {
        Some(challenge) => Ok(challenge),
        None => renew_challenge(),
    }
}

fn renew_challenge() -> io::Result<[u8; CHALLENGE_BYTES]> {
    let mut challenge = [0; CHALLENGE_BYTES];
    getrandom::fill(&mut challenge).map_err(io::Error::other)?;
    write_run(CHALLENGE, &challenge)?;
    Ok(challenge)
}

/// Hexadecimal digits in groups of four, to be read out.
fn grouped(bytes: &[u8]) -> String {
    bytes.chunks(2).map(hex).collect::<Vec<_>>().join("-")
}

/// A file of `/run/aegis` that holds exactly so many bytes.
fn read_run<const N: usize>(name: &str) -> Option<[u8; N]> {
    atomic::read_bounded(&Path::new(RUN).join(name), N as u64).ok()?.try_into().ok()
}

fn write_run(name: &str, bytes: &[u8]) -> io::Result<()> {
    atomic::replace(Path::new(RUN), name, bytes, 0o600).map(drop)
}

fn is_noted(name: &str) -> bool {
    Path::new(RUN).join(name).exists()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn storage_failure(error: io::Error) -> Failure {
    Failure::error(format!("{DATA}: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn run_failure(error: io::Error) -> Failure {
    Failure::error(format!("{RUN}: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn key_failure(error: io::Error) -> Failure {
    Failure::error(format!("device key: {error}"))
}
