//! `aegis policy status` and `aegis policy history`: what is in force, what is remembered, what was decided.

use aegis_bundle::limits as bounds;
use aegis_event::{Mode, ModeReason, Printable};
use serde_json::{Value, json};

use super::in_force;
use crate::kernel::KernelState;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::DATA;
use crate::storage::device::{Identity, hex};
use crate::storage::facts::{self, Facts};
use crate::storage::history;
use crate::storage::trust::{self, NONE, Source, Trust};

/// Prints what is in force and what is remembered. Exit 0 when all is as it should be, 1 when something is not: lost,
/// stale, or not in the kernel.
pub(crate) fn status(as_json: bool) -> Outcome {
    let (status, troubles) = look()?;
    say(&if as_json { status.to_string() } else { text(&status) })?;
    if troubles.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!("policy: not all is as it should be: {}", troubles.join(", "))))
}

/// The status, as `aegis policy status --json` prints it.
pub(super) fn json() -> Result<Value, Failure> {
    look().map(|(status, _)| status)
}

fn look() -> Result<(Value, Vec<&'static str>), Failure> {
    // Who asks changes nothing.
    let identity = Identity::open().map_err(|error| Failure::error(format!("device key: {error}")))?;
    let _one = trust::lock().map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
    let trust = Trust::open()?;
    let facts = Facts::read(identity.map(|identity| identity.id()));
    let running = KernelState::open().ok();
    gather(&trust, &facts, running.as_ref())
}

/// The codes of what is not as it should be.
pub(super) fn troubles() -> Result<Vec<&'static str>, Failure> {
    let _one = trust::lock().map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
    let trust = Trust::open()?;
    let running = KernelState::open().ok();
    gather(&trust, &Facts::read(None), running.as_ref()).map(|(_, troubles)| troubles)
}

/// What is measured of the policy in force.
pub(super) struct Measures {
    /// Until when it was signed to be, Unix seconds; none when it does not expire, or is not known.
    pub(super) expires: Option<u64>,
    pub(super) stale: bool,
    /// Codes of what is not as it should be.
    pub(super) troubles: Vec<&'static str>,
    /// It is so late at least, Unix seconds, whatever the clock says.
    pub(super) floor: u64,
}

/// Gathers it. What this device is to selectors decides none of it, and is not looked up.
pub(super) fn measures(running: Option<&KernelState>) -> Result<Measures, Failure> {
    let _one = trust::lock().map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
    let trust = Trust::open()?;
    let facts = Facts { device: None, groups: Vec::new(), kernel: NONE };
    let (status, troubles) = gather(&trust, &facts, running)?;
    let in_force = &status["in_force"];
    Ok(Measures {
        expires: in_force["expires"].as_u64(),
        stale: in_force["stale"] == true,
        troubles,
        floor: facts::built().max(trust.state().time),
    })
}

/// The status, and the codes of what is not as it should be.
fn gather(
    trust: &Trust,
    facts: &Facts,
    running: Option<&KernelState>,
) -> Result<(Value, Vec<&'static str>), Failure> {
    let (state, root) = (trust.state(), trust.root());
    let now = facts::now(state);
    let standing = trust.standing()?;
    let due = aegis_bundle::hash(&standing.bytes);
    let mut troubles: Vec<&str> = standing
        .faults
        .iter()
        .filter(|fault| fault.source == Source::Bundle)
        .map(|fault| fault.code)
        .collect();
    let mut trouble = |is: bool, code| {
        if is {
            troubles.push(code);
        }
    };
    trouble(trust.is_damaged(), "trust-state-lost");
    trouble(trust.root_lost().is_some(), trust::ROOT_LOST);
    let kernel = running.map(KernelState::policy);
    trouble(kernel.is_none(), "probes-not-loaded");
    trouble(kernel.is_some_and(|policy| policy.hash != due), in_force::NOT_IN_FORCE);

    let hash = kernel.map_or(due, |policy| policy.hash);
    let in_force = describe(trust, &hash, now);
    trouble(in_force["stale"] == true, in_force::STALE);
    let mode = running.map(KernelState::mode);
    let optional = |hash: &[u8; 32]| (*hash != NONE).then(|| hex(hash));
    let status = json!({
        "device": facts.device.map(|id| hex(&id)),
        "groups": facts.groups,
        "kernel": hex(&facts.kernel),
        "built": facts::built(),
        "now": now,
        "in_force": in_force,
        "loaded": running.is_some(),
        "mode": mode.and_then(|(mode, _)| Mode::from_number(mode)).map(Mode::name),
        "reason": mode.and_then(|(_, reason)| ModeReason::from_number(reason)).map(ModeReason::name),
        "previous": if state.previous == NONE { Value::Null } else { describe(trust, &state.previous, now) },
        "accepted": {
            "epoch": state.epoch,
            "sequence": state.sequence,
            "manifest": optional(&state.manifest),
            "time": state.time,
        },
        "tried": optional(&state.tried).map(|manifest| json!({
            "manifest": manifest, "tries": state.tries, "held_back": state.holds_back(&state.tried, state.tried_epoch, state.tried_sequence), "most": bounds::TRIES,
        })),
        "left": optional(&state.left),
        "root": {
            "version": root.version,
            "epoch": root.epoch,
            "image": trust.anchor_version(),
            "accepted": state.root_version,
            "lost": trust.root_lost(),
        },
        "token_sequence": state.token_sequence,
        "troubles": troubles,
    });
    Ok((status, troubles))
}

/// What there is to say of a bundle that is kept, or the baseline.
fn describe(trust: &Trust, hash: &[u8; 32], now: u64) -> Value {
    let Some((source, bytes)) = trust.named(hash) else {
        return json!({ "from": null, "hash": hex(hash), "code": trust::LOST });
    };
    let bundle = match trust.open_kept(&bytes, source) {
        Ok(bundle) => bundle,
        Err(refusal) => {
            return json!({ "from": source.name(), "hash": hex(hash), "code": refusal.code() });
        }
    };
    let manifest = &bundle.manifest;
    json!({
        "from": source.name(),
        "name": bundle.policy.name(),
        "epoch": manifest.epoch,
        "sequence": manifest.sequence,
        "hash": hex(hash),
        "manifest": hex(&bundle.manifest_hash),
        "mode": bundle.policy.mode().name(),
        "ceiling": manifest.ceiling.name(),
        "created": manifest.created,
        "expires": manifest.expires,
        "stale": bundle.is_stale(now),
        "comment": manifest.comment,
        "marker": manifest.marker,
    })
}

fn text(status: &Value) -> String {
    let none = || "none".to_owned();
    let word = |value: &Value| match value {
        Value::Null => none(),
        Value::String(text) => Printable(text.as_bytes()).to_string(),
        other => other.to_string(),
    };
    let bundle = |it: &Value| match &it["code"] {
        _ if it.is_null() => none(),
        Value::Null => format!(
            "{} ({}), epoch {} sequence {}, {}, ceiling {}",
            word(&it["name"]),
            word(&it["from"]),
            it["epoch"],
            it["sequence"],
            word(&it["mode"]),
            word(&it["ceiling"])
        ),
        code => format!("{} (sha256 {})", word(code), word(&it["hash"])),
    };
    let (in_force, accepted, root) = (&status["in_force"], &status["accepted"], &status["root"]);
    let expires = match (&in_force["expires"], in_force["stale"] == true) {
        (Value::Null, _) => "never".to_owned(),
        (at, false) => at.to_string(),
        (at, true) => format!("{at}: STALE, it stays in force"),
    };
    let tried = match &status["tried"] {
        Value::Null => none(),
        tried => {
            let held_back = if tried["held_back"] == true { ", held back" } else { "" };
            format!(
                "{} of {}{held_back}: manifest {}",
                tried["tries"],
                tried["most"],
                word(&tried["manifest"])
            )
        }
    };
    let list = |value: &Value| {
        let words: Vec<String> = value.as_array().into_iter().flatten().map(word).collect();
        if words.is_empty() { none() } else { words.join(", ") }
    };
    let mode = if status["loaded"] == true {
        format!("{} ({})", word(&status["mode"]), word(&status["reason"]))
    } else {
        "nothing is in force: the probes are not loaded (run `aegis load`)".to_owned()
    };
    let mut lines = vec![
        format!("policy    {}", bundle(in_force)),
        format!("file      {}", word(&in_force["hash"])),
        format!("manifest  {}", word(&in_force["manifest"])),
        format!(
            "created   {}, expires {expires} (it is {} at least)",
            word(&in_force["created"]),
            status["now"]
        ),
        format!("mode      {mode}"),
        format!("previous  {}", bundle(&status["previous"])),
        format!("accepted  epoch {} sequence {}", accepted["epoch"], accepted["sequence"]),
        format!("tried     {tried}"),
        format!(
            "left      {}",
            if status["left"].is_null() { none() } else { format!("manifest {}", word(&status["left"])) }
        ),
        format!("root      version {} epoch {} (image {})", root["version"], root["epoch"], root["image"]),
        format!("device    {}, groups {}", word(&status["device"]), list(&status["groups"])),
    ];
    if !root["lost"].is_null() {
        lines.push(format!("ROOT LOST {}", word(&root["lost"])));
    }
    lines.join("\n")
}

/// The last decisions, as `aegis policy history --json` prints them.
pub(super) fn history_json() -> Result<Value, Failure> {
    entries().map(|entries| json!(entries))
}

fn entries() -> Result<Vec<history::Entry>, Failure> {
    history::read().map_err(|error| {
        let text = format!("{DATA}/history: {error} (the next decision begins it anew)");
        if error.kind() == std::io::ErrorKind::InvalidData {
            Failure::refused(text)
        } else {
            Failure::error(text)
        }
    })
}

/// Prints the last decisions, oldest first.
pub(crate) fn history(as_json: bool) -> Outcome {
    let entries = entries()?;
    if as_json {
        return say(&json!(entries).to_string());
    }
    let line = |entry: &history::Entry| {
        format!(
            "{} {} {} epoch {} sequence {} sha256 {} x{} {}",
            entry.clock,
            Printable(entry.what.as_bytes()),
            Printable(entry.code.as_bytes()),
            entry.epoch,
            entry.sequence,
            Printable(entry.hash.as_deref().unwrap_or("none").as_bytes()),
            entry.times,
            Printable(entry.origin.as_bytes())
        )
    };
    if entries.is_empty() {
        return say("nothing was decided yet");
    }
    say(&entries.iter().map(line).collect::<Vec<_>>().join("\n"))
}
