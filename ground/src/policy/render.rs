//! A policy as one source, without includes and templates: what a bundle carries beside the compiled form.

use std::fmt::Write;

use aegis_policy::{Argv, Deadman};

use super::limits;
use super::place::{At, Sources};
use super::resolve::PolicySource;
use super::source::{RawWorkload, Text};

/// The policy as one source, without includes and templates. It says of every rule where it comes from, by names that are
/// the same wherever the policy's directory lies.
pub(crate) fn render(policy: &PolicySource, sources: &Sources) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write_resolved(&mut out, policy, sources);
    out
}

fn write_resolved(out: &mut String, policy: &PolicySource, sources: &Sources) -> std::fmt::Result {
    let files: Vec<&str> = sources.0.iter().map(|file| file.inside.as_str()).collect();
    let place = |at: At| format!("{}:{}", sources.file(at).inside, sources.line(at));
    writeln!(out, "# Resolved by aegisctl {} from {}.", env!("CARGO_PKG_VERSION"), files.join(", "))?;
    writeln!(out, "schema = 1\nname = {}\nmode = {}", quoted(&policy.name), quoted(policy.mode.name()))?;
    if !policy.self_protection {
        writeln!(out, "self-protection = false")?;
    }
    if policy.argv != Argv::Whole {
        writeln!(out, "argv = {}", quoted(policy.argv.name()))?;
    }
    if let Some(Deadman { denials, seconds }) = policy.deadman {
        writeln!(out, "\n[deadman]\ndenials = {denials}\nseconds = {seconds}")?;
    }
    if let Some(site) = &policy.site {
        out.push_str(&site.value.render());
    }
    for RawWorkload { name, rate } in &policy.workloads {
        writeln!(out, "\n# {}\n[[workload]]\nname = {}", place(name.at), quoted(&name.value))?;
        if let Some(rate) = rate {
            writeln!(out, "rate = {rate}")?;
        }
    }
    for rule in &policy.rules {
        let used = rule.used.map_or(String::new(), |at| format!(", used at {}", place(at)));
        let raw = &rule.raw;
        writeln!(out, "\n# {}{used}\n[[rule]]\nname = {}", place(raw.at), quoted(rule.name()))?;
        if let Some(workloads) = &raw.workloads {
            writeln!(out, "workloads = {}", list(workloads))?;
        }
        writeln!(out, "action = {}", quoted(rule.effect.action().name()))?;
        if let Some(mode) = &raw.mode {
            writeln!(out, "mode = {}", quoted(&mode.value))?;
        }
        if let Some(overrides) = &raw.overrides {
            writeln!(out, "override = {}", overrides.value)?;
        }
        writeln!(out, "operations = {}", list(&raw.operations))?;
        for (key, items) in raw.targets().iter().filter(|(_, items)| !items.is_empty()) {
            writeln!(out, "{key} = {}", list(items))?;
        }
        if !raw.tags.is_empty() {
            writeln!(out, "tags = {}", list(&raw.tags))?;
        }
    }
    for alert in &policy.alerts {
        writeln!(out, "\n# {}", place(alert.at))?;
        alert.write(out)?;
    }
    Ok(())
}

/// A list on one line, or on one line an item when that is too long.
fn list(items: &[Text]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(&item.value)).collect();
    let line = format!("[{}]", items.join(", "));
    if line.chars().count() + 20 <= limits::WIDTH {
        line
    } else {
        format!("[\n    {},\n]", items.join(",\n    "))
    }
}

/// Text as a policy in TOML has it: what would be read as a gap is written as none.
pub(super) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text.replace("${", "$${")).to_string()
}
