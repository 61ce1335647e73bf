//! `aegis image status`: which slot runs, what is in the other, what is remembered.

use aegis_bundle::{ImageState, Trial};
use serde_json::{Value, json};

use super::{device, is_on_trial, unreadable};
use crate::image::slot::{Counted, Running, Slot};
use crate::image::write;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::trust::Trust;

pub(crate) fn run(as_json: bool) -> Outcome {
    let Standing { running, state, slots } = Standing::look()?;
    say(&if as_json { to_json(running, &state, &slots).to_string() } else { text(running, &state, &slots) })
}

/// The status as `aegis image status --json` prints it.
pub(crate) fn json() -> Result<Value, Failure> {
    let Standing { running, state, slots } = Standing::look()?;
    Ok(to_json(running, &state, &slots))
}

/// The kernel image of a slot; `None` when there is none that would be started.
type Found = Option<(String, Counted)>;

/// How the slots stand.
pub(crate) struct Standing {
    pub(crate) running: Running,
    pub(crate) state: ImageState,
    /// None where no loader started this kernel.
    pub(crate) slots: Vec<(Slot, Found)>,
}

impl Standing {
    /// Looks, in a mount namespace of this process's own.
    pub(crate) fn look() -> Result<Self, Failure> {
        let (running, state) = (Running::now(), Trust::open()?.state().image);
        let mut slots = Vec::new();
        if running.slot.is_some() {
            let device = device()?;
            for slot in Slot::ALL {
                slots.push((slot, write::standing(&device, slot).map_err(|error| unreadable(&error))?));
            }
        }
        Ok(Self { running, state, slots })
    }

    /// What runs was not seen healthy yet.
    pub(crate) fn is_on_trial(&self) -> bool {
        is_on_trial(&self.state, self.running)
    }
}

fn number((epoch, sequence): (u64, u64)) -> Option<String> {
    ((epoch, sequence) != (0, 0)).then(|| format!("{epoch}.{sequence}"))
}

fn to_json(running: Running, state: &ImageState, slots: &[(Slot, Found)]) -> Value {
    let found = |(slot, found): &(Slot, Found)| {
        json!({
            "slot": slot.name(),
            "file": found.as_ref().map(|(name, _)| name),
            "tries_left": found.as_ref().and_then(|(_, counted)| counted.left),
            "tries_done": found.as_ref().map(|(_, counted)| counted.done),
        })
    };
    json!({
        "slot": running.slot.map(Slot::name),
        "image": running.image.and_then(number),
        "on_trial": is_on_trial(state, running),
        "committed": number(state.committed()),
        "trial": state.trial.name(),
        "tried": number(state.tried()),
        "slots": slots.iter().map(found).collect::<Vec<_>>(),
    })
}

fn text(running: Running, state: &ImageState, slots: &[(Slot, Found)]) -> String {
    let shown = |image: Option<String>| image.unwrap_or_else(|| "none".to_owned());
    let image = shown(running.image.and_then(number));
    let mut lines = vec![match running.slot {
        None => "runs        without a loader: there are no slots, and no image is taken".to_owned(),
        Some(slot) if is_on_trial(state, running) => {
            format!("runs        slot {slot}, image {image}, ON TRIAL")
        }
        Some(slot) => format!("runs        slot {slot}, image {image}"),
    }];
    for (slot, found) in slots {
        lines.push(match found {
            None => format!("slot {slot}      nothing that would start"),
            Some((name, counted)) => match counted.left {
                Some(left) => format!("slot {slot}      {name}: {left} starts left, {} used", counted.done),
                None => format!("slot {slot}      {name}: never given up"),
            },
        });
    }
    lines.push(format!("committed   image {}", shown(number(state.committed()))));
    let tried = shown(number(state.tried()));
    lines.push(match state.trial {
        Trial::None => "trial       none".to_owned(),
        Trial::Writing => format!("trial       image {tried}: being written"),
        Trial::Written if is_on_trial(state, running) => {
            format!("trial       image {tried}: not seen healthy yet")
        }
        Trial::Written => format!("trial       image {tried}: it is tried at the next start"),
        Trial::Failed => format!("trial       image {tried}: FELL BACK, held back until a newer one comes"),
    });
    lines.join("\n")
}
