//! `aegis probe`: what this kernel offers, hook by hook, and what that means for the contract. By the table that the loader goes by
//! ([`aegis_probes::HOOKS`]); changes nothing.

use serde_json::{Value, json};

use crate::kernel::{HookOffer, Offers, Standing};
use crate::outcome::{Failure, Outcome, say};

/// Exit 1 when a hook that is to deny does not, or would not.
pub(crate) fn run(as_json: bool) -> Outcome {
    let offers = Offers::look();
    say(&if as_json { to_json(&offers).to_string() } else { text(&offers) })?;
    let short = offers.hooks.iter().filter(|offer| offer.falls_short()).count();
    match short {
        0 => Ok(()),
        short => Err(Failure::refused(format!(
            "{short} hooks can't deny on this kernel: a policy that needs one of them is not enforced"
        ))),
    }
}

/// What it finds, as JSON.
pub(super) fn json() -> Value {
    to_json(&Offers::look())
}

fn to_json(offers: &Offers) -> Value {
    let of = |offer: &HookOffer| {
        json!({
            "hook": offer.hook.name,
            "standing": offer.standing.name(),
            "program": offer.program.map(|program| program.name),
            "attach": offer.program.map(|program| program.attach.name()),
            "decides": offer.hook.enforces(),
            "denies": offer.denies(),
            "needed_by": offer.needed_by(),
            "reason": offer.reason,
            "meaning": offer.meaning(),
        })
    };
    json!({
        "loaded": offers.loaded,
        "subtrees": offers.walks,
        "hashes": offers.hashes(),
        "hooks": offers.hooks.iter().map(of).collect::<Vec<_>>(),
    })
}

fn text(offers: &Offers) -> String {
    let mut lines = vec![if offers.loaded {
        "what is attached in this kernel:".to_owned()
    } else {
        "nothing is loaded; what could be attached, by the kernel's types (only loading proves it):"
            .to_owned()
    }];
    for offer in &offers.hooks {
        let (name, standing) = (offer.hook.name, offer.standing.name());
        let program = offer.program.map(|program| format!("{} {}", program.attach.name(), program.name));
        let mark = if offer.falls_short() {
            "!!"
        } else if offer.standing == Standing::Missing {
            "--"
        } else {
            "  "
        };
        let line = format!("{mark} {name:<23} {standing:<11} {}", program.unwrap_or_default());
        lines.push(line.trim_end().to_owned());
        let meaning = offer.meaning();
        if !meaning.is_empty() {
            lines.push(format!("   {meaning} ({})", offer.reason));
        }
    }
    let can = |able: Option<bool>, what: &str| match able {
        Some(true) => format!("   {what}: decided"),
        Some(false) => format!("!! {what}: not decided on this kernel"),
        None => format!("?? {what}: unknown"),
    };
    lines.push(can(offers.walks, "subtrees and names"));
    lines.push(can(offers.walks.map(|_| offers.hashes()), "programs by their content"));
    lines.join("\n")
}
