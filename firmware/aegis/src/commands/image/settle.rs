//! `aegis image settle`: what became of the image that was tried. One that runs, healthy, is committed; one that was tried
//! and does not run fell back. At every healthy start the slot that runs gets its tries back; starts before it that were not
//! healthy are told.

use std::path::Path;
use std::time::{Duration, Instant};

use aegis_bundle::Trial;
use aegis_event::ModeReason;

use super::{LOCK, Memory, Own, WRITTEN, device, is_on_trial, note, unreadable};
use crate::image::device::{Device, end_directory};
use crate::image::medium::Medium;
use crate::image::slot::{Counted, Running, Slot};
use crate::image::write;
use crate::kernel::KernelState;
use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::run::control;
use crate::storage::{RUN, lock};

/// Entries that a kernel's name takes once tries were taken off it, and entries of a sector.
const COUNTED_NAME_ENTRIES: u32 = 3;
const SECTOR_ENTRIES: u32 = 16;

/// What there is to say of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Said {
    pub(in crate::commands) code: &'static str,
    /// Epoch and sequence.
    pub(in crate::commands) image: (u64, u64),
    hash: [u8; 32],
    pub(in crate::commands) detail: String,
}

/// Exit 0 when this boot is healthy, or no loader started it; 1 when it is not. Whether the machine starts again then is for
/// init: by what the loader says, so that an agent that does not even run is seen, too.
pub(crate) fn run(wait: Duration) -> Outcome {
    let running = Running::now();
    let Some(slot) = running.slot else {
        log::info!("image: no loader started this kernel: there are no slots");
        return Ok(());
    };
    let healthy = health(wait);
    let _one = lock::wait_for(LOCK).map_err(|error| Failure::error(format!("{LOCK}: {error}")))?;
    let medium = device()?;
    let said = settle(&mut Own, &medium, slot, running, &healthy);
    drop(medium);
    // The next start tries again. The directory has room for more starts than either slot has tries.
    if let Err(error) = tidy(slot) {
        log::warn!("ESP: the directory of kernels is not tidied: {error}");
    }
    for said in said? {
        let (epoch, sequence) = said.image;
        log::info!("image: {}: epoch {epoch} sequence {sequence}: {}", said.code, said.detail);
        note(said.code, said.image, &said.hash, &said.detail);
    }
    healthy.map_err(|why| Failure::refused(format!("image: not healthy: {why}")))
}

/// Ends the directory of kernels behind its last name, and has room left in its first sector for the name that the firmware gives the
/// slot that runs at the next start: what is in one sector is renamed in one write.
fn tidy(slot: Slot) -> std::io::Result<()> {
    let mut ended = end_directory()?;
    if ended.entries + COUNTED_NAME_ENTRIES > SECTOR_ENTRIES {
        let medium = Device::open()?;
        let moved = write::move_forward(&medium, slot.other())? | write::move_forward(&medium, slot)?;
        drop(medium);
        if moved {
            ended = end_directory()?;
        }
    }
    log::debug!("ESP: {} of {} entries, {} sectors written", ended.entries, ended.room, ended.written);
    if ended.room < limits::ESP_ENTRIES {
        log::warn!(
            "ESP: the directory of kernels has room for {} entries, new disks have {}: the firmware may make it longer (docs/updates.md)",
            ended.room,
            limits::ESP_ENTRIES
        );
    }
    Ok(())
}

/// Why this boot is not one that an image is committed by.
fn health(wait: Duration) -> Result<(), String> {
    let marker = |name: &str| Path::new(RUN).join(name).exists();
    if marker("no-storage") {
        return Err("own storage is not there".into());
    }
    if marker("load.failed") {
        return Err("the probes are not in the kernel".into());
    }
    let end = Instant::now() + wait;
    loop {
        match control::ask_status() {
            Ok(status) if status.is_ready() => break,
            _ if Instant::now() >= end => return Err("the agent is not ready".into()),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    let state = KernelState::open().map_err(|error| error.to_string())?;
    match ModeReason::from_number(state.proven_mode().1) {
        Some(ModeReason::SelfTestPassed | ModeReason::PolicyAudit) => Ok(()),
        Some(reason) => Err(format!("what the policy asks for was not proven: {reason}")),
        None => Err("it is not known what was proven".into()),
    }
}

/// What became of images, durably, and what there is to say of it. `slot` is the one that runs.
pub(in crate::commands) fn settle(
    memory: &mut impl Memory,
    medium: &impl Medium,
    slot: Slot,
    running: Running,
    healthy: &Result<(), String>,
) -> Result<Vec<Said>, Failure> {
    let own = |error| Failure::error(format!("own storage: {error}"));
    let (state, other) = (memory.state()?, slot.other());
    let tried =
        |code, detail: String| Said { code, image: state.tried(), hash: state.trial_manifest, detail };
    let mut said = Vec::new();
    let counted = |of| -> Result<Option<Counted>, Failure> {
        Ok(write::standing(medium, of).map_err(|error| unreadable(&error))?.map(|(_, counted)| counted))
    };
    let failed = |of: Slot, starts: u32| {
        let image = running.image.unwrap_or_default();
        let hash = if image == state.committed() { state.manifest } else { [0; 32] };
        let detail = format!("slot {of}: not healthy in {starts} starts before this one; slot {slot} runs");
        Said { code: "starts-failed", image, hash, detail }
    };
    let on_trial = is_on_trial(&state, running);
    // The loader counted this start, too.
    let before = counted(slot)?.map_or(0, |counted| counted.done.saturating_sub(1));
    if before > 0 && (healthy.is_ok() || !on_trial) {
        said.push(failed(slot, before));
    }
    if on_trial {
        match healthy {
            Ok(()) => {
                // The loader first: what is remembered is what was seen.
                write::reassure(medium, slot).map_err(|error| unreadable(&error))?;
                memory.remember(state.commit(), 0).map_err(own)?;
                said.push(tried("committed", format!("slot {slot}")));
            }
            Err(why) => {
                let left = counted(slot)?.and_then(|counted| counted.left);
                let left = left.map_or(String::new(), |left| format!(", {left} more starts"));
                said.push(tried("not-healthy", format!("slot {slot}{left}: {why}")));
            }
        }
        return Ok(said);
    }
    if matches!(state.trial, Trial::Writing | Trial::Written) {
        match counted(other)? {
            Some(counted) if !counted.is_given_up() => {
                // Whole, and cut before it was remembered. Its first sector is written last.
                if state.trial == Trial::Writing {
                    memory.remember(state.at(Trial::Written), 0).map_err(own)?;
                    said.push(tried(WRITTEN, format!("slot {other}: it is tried at the next start")));
                }
            }
            None if state.trial == Trial::Writing => {
                write::clear(medium, other).map_err(|error| unreadable(&error))?;
                memory.remember(state.without_trial(), 0).map_err(own)?;
                said.push(tried("cut-short", format!("slot {other}: it was not written to its end")));
            }
            left => {
                let why = match left {
                    Some(counted) => format!("not healthy in {} starts", counted.done),
                    None => "its kernel image is gone".to_owned(),
                };
                memory.remember(state.at(Trial::Failed), 0).map_err(own)?;
                said.push(tried("fell-back", format!("slot {other}: {why}; slot {slot} runs again")));
            }
        }
    } else if running.image.is_some_and(|image| image < state.committed()) {
        let (image, hash) = (state.committed(), state.manifest);
        let detail = format!("slot {other} does not start any more, slot {slot} runs: bring the image again");
        said.push(Said { code: "fell-back", image, hash, detail });
    } else if state.trial != Trial::Failed
        && let Some(counted) = counted(other)?.filter(Counted::is_given_up)
    {
        said.push(failed(other, counted.done));
    }
    if healthy.is_ok() {
        write::reassure(medium, slot).map_err(|error| unreadable(&error))?;
    }
    Ok(said)
}
