//! Root metadata, bundles and tokens in words: what a person reads before they sign, and after.

use aegis_bundle::{
    Content, ImageManifest, Manifest, Role, Root, Run, Selectors, Token, WorkloadManifest, hash,
};
use aegis_cose::{fingerprint, key_id};
use aegis_event::Printable;
use aegis_keys::{Document, KeyRole, Kind, Standing};
use serde_json::{Value, json};

use crate::outcome::Failure;
use crate::policy::counted;
use crate::{hex, time};

/// The fingerprint of what is signed: the same on every machine that signs it, and with every number of signatures.
pub(crate) fn signed_hash(document: &Document) -> [u8; 32] {
    hash(document.payload())
}

/// What is signed, line by line. `bytes` are those the document was read from.
pub(crate) fn document(
    document: &Document,
    bytes: &[u8],
    before: Option<&Root>,
) -> Result<Vec<String>, Failure> {
    let mut lines = match document.kind() {
        Kind::Root => {
            let (root, _) = Root::unverified(bytes).map_err(Failure::refused)?;
            match before {
                Some(before) if before.version.checked_add(1) == Some(root.version) => changes(before, &root),
                _ => self::root(&root),
            }
        }
        Kind::Bundle => {
            let manifest = Manifest::decode(document.payload()).map_err(Failure::refused)?;
            self::manifest(&manifest)
        }
        Kind::Image => {
            let manifest = ImageManifest::decode(document.payload()).map_err(Failure::refused)?;
            image(&manifest)
        }
        Kind::Workload => {
            let manifest = WorkloadManifest::decode(document.payload()).map_err(Failure::refused)?;
            workload(&manifest)
        }
        Kind::Token => {
            let (token, _) = Token::unverified(bytes).map_err(Failure::refused)?;
            self::token(&token)
        }
    };
    lines.push(format!("fingerprint    {}", hex::grouped(&signed_hash(document))));
    Ok(lines)
}

/// Root metadata as a whole.
pub(crate) fn root(root: &Root) -> Vec<String> {
    let mut lines = vec![format!(
        "root metadata version {}, epoch {}, {} revoked, {} revoked",
        root.version,
        root.epoch,
        counted(root.revoked.len(), "bundle"),
        counted(root.revoked_keys.len(), "key"),
    )];
    for role in KeyRole::ALL {
        match role.of(root) {
            None => lines.push(format!("{role}: nobody")),
            Some(of) => {
                lines.push(format!("{role}: {} of {}", of.threshold, counted(of.keys.len(), "key")));
                lines.extend(of.keys.iter().map(|key| format!("  {}", self::key(key))));
            }
        }
    }
    lines.extend(root.revoked_keys.iter().map(|hash| format!("revoked key     {}", hex::encode(hash))));
    lines.extend(root.revoked.iter().map(|hash| format!("revoked bundle  {}", hex::encode(hash))));
    lines
}

/// What root metadata changes.
pub(crate) fn changes(before: &Root, after: &Root) -> Vec<String> {
    let mut lines = vec![format!("root metadata version {} -> {}", before.version, after.version)];
    if before.epoch != after.epoch {
        lines.push(format!(
            "epoch          {} -> {}: every bundle of before is refused",
            before.epoch, after.epoch
        ));
    }
    for role in KeyRole::ALL {
        let none = Role { threshold: 0, keys: [].into_iter().collect() };
        let (old, new) = (role.of(before).unwrap_or(&none), role.of(after).unwrap_or(&none));
        if old == new {
            lines.push(format!(
                "{:<14} {} of {}, as before",
                role.name(),
                new.threshold,
                counted(new.keys.len(), "key")
            ));
            continue;
        }
        lines.push(format!(
            "{:<14} {} of {} -> {} of {}",
            role.name(),
            old.threshold,
            counted(old.keys.len(), "key"),
            new.threshold,
            counted(new.keys.len(), "key")
        ));
        let gone = old.keys.iter().filter(|key| !new.keys.contains(key));
        lines.extend(gone.map(|key| format!("  - {}", self::key(key))));
        let come = new.keys.iter().filter(|key| !old.keys.contains(key));
        lines.extend(come.map(|key| format!("  + {}", self::key(key))));
    }
    let new = after.revoked_keys.iter().filter(|hash| !before.revoked_keys.contains(hash));
    lines.extend(new.map(|hash| format!("revokes key    {}", hex::encode(hash))));
    let new = after.revoked.iter().filter(|hash| !before.revoked.contains(hash));
    lines.extend(new.map(|hash| format!("revokes bundle {}", hex::encode(hash))));
    let forgotten = before.revoked.iter().filter(|hash| !after.revoked.contains(hash)).count();
    if forgotten > 0 {
        let what = counted(forgotten, "revoked bundle");
        lines.push(format!("forgets        {what}: the epoch shuts them out"));
    }
    lines
}

fn key(key: &[u8; 32]) -> String {
    format!("{}  fingerprint {}", hex::encode(&key_id(key)), hex::encode(&fingerprint(key)))
}

/// A manifest. Everything in it that is free text is shown so that it can't drive a terminal.
pub(crate) fn manifest(manifest: &Manifest<'_>) -> Vec<String> {
    let list = |name: &str, items: Option<Vec<String>>| {
        format!("{name:<15}{}", items.map_or("any".to_owned(), |items| items.join(" ")))
    };
    let words = |items: &[&str]| items.iter().map(|item| Printable(item.as_bytes()).to_string()).collect();
    let mut lines = vec![
        format!("bundle         epoch {}, sequence {}", manifest.epoch, manifest.sequence),
        format!("created        {}", time::show(manifest.created)),
        format!("expires        {}", manifest.expires.map_or("never".to_owned(), time::show)),
        list("devices", manifest.devices.as_ref().map(|ids| ids.iter().map(|id| hex::encode(id)).collect())),
        list("groups", manifest.groups.as_deref().map(words)),
        list("architectures", manifest.architectures.as_deref().map(words)),
        list("agent", manifest.agent.map(|[a, b, c]| vec![format!("{a}.{b}.{c} or newer")])),
        list("kernels", manifest.kernels.as_ref().map(|ids| ids.iter().map(|id| hex::encode(id)).collect())),
        format!("mode ceiling   {}", manifest.ceiling.name()),
        format!(
            "marker file    {}",
            if manifest.marker { "breaks the glass (/data/aegis/break_glass)" } else { "does nothing" }
        ),
    ];
    for (name, content) in bundle_files(manifest) {
        let hash = hex::encode(&content.hash);
        lines.push(format!("content        {name}, {} bytes, sha256 {hash}", content.length));
    }
    if !manifest.comment.is_empty() {
        lines.push(format!("comment        {}", Printable(manifest.comment.as_bytes())));
    }
    lines
}

/// The files of a bundle, by name.
fn bundle_files<'m>(manifest: &'m Manifest<'_>) -> impl Iterator<Item = (&'static str, &'m Content)> {
    let own = [(aegis_bundle::POLICY, &manifest.policy), (aegis_bundle::SOURCE, &manifest.source)];
    own.into_iter().chain(manifest.site.as_ref().map(|site| (aegis_bundle::SITE, site)))
}

/// An image's manifest.
pub(crate) fn image(manifest: &ImageManifest<'_>) -> Vec<String> {
    let mut lines = vec![
        format!("image          epoch {}, sequence {}", manifest.epoch, manifest.sequence),
        format!("created        {}", time::show(manifest.created)),
    ];
    lines.extend(selectors(&manifest.selectors));
    lines.extend(manifest.files().iter().map(|(name, file)| content(name, file)));
    lines.extend(comment(manifest.comment));
    lines
}

fn selectors(selectors: &Selectors<'_>) -> [String; 4] {
    let list = |name: &str, items: Option<Vec<String>>| {
        format!("{name:<15}{}", items.map_or("any".to_owned(), |items| items.join(" ")))
    };
    let Selectors { devices, architecture, agent, groups } = selectors;
    let groups = groups.as_deref().map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    [
        list("devices", devices.as_ref().map(|ids| ids.iter().map(|id| hex::encode(id)).collect())),
        list("groups", groups),
        format!("architecture   {}", Printable(architecture.as_bytes())),
        list("agent", agent.map(|[a, b, c]| vec![format!("{a}.{b}.{c} or newer")])),
    ]
}

fn content(name: &str, content: &Content) -> String {
    format!("content        {name}, {} bytes, sha256 {}", content.length, hex::encode(&content.hash))
}

fn comment(comment: &str) -> Option<String> {
    (!comment.is_empty()).then(|| format!("comment        {}", Printable(comment.as_bytes())))
}

/// A workload's manifest.
pub(crate) fn workload(manifest: &WorkloadManifest<'_>) -> Vec<String> {
    let WorkloadManifest { epoch, sequence, name, .. } = manifest;
    let mut lines = vec![
        format!("workload       {name}, epoch {epoch}, sequence {sequence}"),
        format!("created        {}", time::show(manifest.created)),
    ];
    lines.extend(selectors(&manifest.selectors));
    match &manifest.run {
        None => {
            let data = if manifest.forgets { ", and what it kept" } else { "" };
            lines.push(format!("run            nothing: the workload of this name is taken away{data}"));
        }
        Some(run) => lines.extend(self::run(run)),
    }
    lines.extend(comment(manifest.comment));
    lines
}

fn watchdog(restart: &aegis_bundle::Restart) -> String {
    match restart.watchdog {
        0 => String::new(),
        seconds => format!("; ended after {seconds} s without a sign of life"),
    }
}

fn run(run: &Run<'_>) -> Vec<String> {
    let words = |words: &[&[u8]]| {
        let shown: Vec<String> = words.iter().map(|word| format!("\"{}\"", Printable(word))).collect();
        shown.join(" ")
    };
    let Run { contents, command, environment, user, group, bounds, restart, writable } = run;
    let mut lines = vec![
        format!("command        {}", words(command)),
        format!("as             user {user}, group {group}"),
        format!(
            "limits         {} bytes of memory, {} processes, {} thousandths of a processor",
            bounds.memory, bounds.pids, bounds.cpu
        ),
        format!("restart        {}, after {} s{}", restart.when.name(), restart.delay, watchdog(restart)),
        format!(
            "writable       {}",
            if writable.is_empty() { "nothing".to_owned() } else { writable.join(" ") }
        ),
    ];
    if !environment.is_empty() {
        lines.push(format!("environment    {}", words(environment)));
    }
    lines.push(content(aegis_bundle::CONTENTS, contents));
    lines
}

/// An image's manifest for programs.
pub(crate) fn image_json(manifest: &ImageManifest<'_>) -> Value {
    json!({
        "epoch": manifest.epoch,
        "sequence": manifest.sequence,
        "created": manifest.created,
        "devices": devices_json(&manifest.selectors),
        "groups": manifest.selectors.groups.as_ref().map(|names| names.to_vec()),
        "architecture": manifest.selectors.architecture,
        "min_agent": agent_json(&manifest.selectors),
        "comment": manifest.comment,
        "contents": manifest.files().map(|(name, file)| content_json(name, &file)),
    })
}

fn devices_json(selectors: &Selectors<'_>) -> Option<Vec<String>> {
    selectors.devices.as_ref().map(|ids| ids.iter().map(|id| hex::encode(id)).collect())
}

fn agent_json(selectors: &Selectors<'_>) -> Option<String> {
    selectors.agent.map(|[a, b, c]| format!("{a}.{b}.{c}"))
}

fn content_json(name: &str, file: &Content) -> Value {
    json!({ "name": name, "bytes": file.length, "sha256": hex::encode(&file.hash) })
}

/// A workload's manifest for programs. Words that are not UTF-8 are shown as people see them.
pub(crate) fn workload_json(manifest: &WorkloadManifest<'_>) -> Value {
    let words = |words: &[&[u8]]| -> Vec<String> {
        words
            .iter()
            .map(|word| str::from_utf8(word).map_or_else(|_| Printable(word).to_string(), str::to_owned))
            .collect()
    };
    let run = |run: &Run<'_>| {
        json!({
            "command": words(&run.command),
            "environment": words(&run.environment),
            "user": run.user,
            "group": run.group,
            "memory_bytes": run.bounds.memory,
            "processes": run.bounds.pids,
            "cpu_permille": run.bounds.cpu,
            "restart": run.restart.when.name(),
            "restart_delay": run.restart.delay,
            "restart_watchdog": run.restart.watchdog,
            "writable": run.writable.to_vec(),
            "contents": [content_json(aegis_bundle::CONTENTS, &run.contents)],
        })
    };
    json!({
        "name": manifest.name,
        "epoch": manifest.epoch,
        "sequence": manifest.sequence,
        "created": manifest.created,
        "devices": devices_json(&manifest.selectors),
        "groups": manifest.selectors.groups.as_ref().map(|names| names.to_vec()),
        "architecture": manifest.selectors.architecture,
        "min_agent": agent_json(&manifest.selectors),
        "comment": manifest.comment,
        "run": manifest.run.as_ref().map(run),
        "forgets": manifest.forgets,
    })
}

/// A manifest for programs.
pub(crate) fn manifest_json(manifest: &Manifest<'_>) -> Value {
    let hashes = |hashes: &[[u8; 32]]| hashes.iter().map(|hash| hex::encode(hash)).collect::<Vec<_>>();
    json!({
        "epoch": manifest.epoch,
        "sequence": manifest.sequence,
        "created": manifest.created,
        "expires": manifest.expires,
        "devices": manifest.devices.as_ref().map(|ids| ids.iter().map(|id| hex::encode(id)).collect::<Vec<_>>()),
        "groups": manifest.groups.as_ref().map(|names| names.to_vec()),
        "architectures": manifest.architectures.as_ref().map(|names| names.to_vec()),
        "min_agent": manifest.agent.map(|[a, b, c]| format!("{a}.{b}.{c}")),
        "kernels": manifest.kernels.as_deref().map(hashes),
        "ceiling": manifest.ceiling.name(),
        "marker": manifest.marker,
        "comment": manifest.comment,
        "contents": bundle_files(manifest)
            .map(|(name, file)| json!({ "name": name, "bytes": file.length, "sha256": hex::encode(&file.hash) }))
            .collect::<Vec<_>>(),
    })
}

/// A break-glass token.
pub(crate) fn token(token: &Token<'_>) -> Vec<String> {
    vec![
        "break-glass token: nothing is denied while it lasts".to_owned(),
        format!("device         {}", hex::encode(&token.device)),
        format!("sequence       {}", token.sequence),
        format!("bound to       {}", hex::encode(&token.bound)),
        format!("longest        {} ({} s)", time::span(token.seconds.into()), token.seconds),
        format!("reason         {}", Printable(token.reason.as_bytes())),
        format!("created        {}", time::show(token.created)),
    ]
}

/// A break-glass token for programs.
pub(crate) fn token_json(token: &Token<'_>) -> Value {
    json!({
        "device": hex::encode(&token.device),
        "sequence": token.sequence,
        "bound": hex::encode(&token.bound),
        "seconds": token.seconds,
        "reason": token.reason,
        "created": token.created,
    })
}

/// Root metadata for programs.
pub(crate) fn root_json(root: &Root) -> Value {
    let roles: serde_json::Map<String, Value> = KeyRole::ALL
        .map(|role| (role.name().to_owned(), role.of(root).map(role_json).into()))
        .into_iter()
        .collect();
    json!({
        "version": root.version,
        "epoch": root.epoch,
        "roles": roles,
        "revoked": root.revoked.iter().map(|hash| hex::encode(hash)).collect::<Vec<_>>(),
        "revoked_keys": root.revoked_keys.iter().map(|hash| hex::encode(hash)).collect::<Vec<_>>(),
    })
}

fn role_json(role: &Role) -> Value {
    json!({ "threshold": role.threshold, "keys": role.keys.iter().map(key_json).collect::<Vec<_>>() })
}

/// A public key for programs.
pub(crate) fn key_json(key: &[u8; 32]) -> Value {
    json!({
        "id": hex::encode(&key_id(key)),
        "fingerprint": hex::encode(&fingerprint(key)),
        "public": hex::encode(key),
    })
}

/// `1 of 2 there; 1 more of 0123… or 4567…`.
pub(crate) fn standing(standing: &Standing) -> String {
    let ids = |keys: &[[u8; 32]], between: &str| {
        keys.iter().map(|key| hex::encode(&key_id(key))).collect::<Vec<_>>().join(between)
    };
    let (have, need) = (standing.signed.len(), standing.threshold);
    let by = if have == 0 { String::new() } else { format!(" (by {})", ids(&standing.signed, ", ")) };
    match standing.wanting() {
        0 if have > need => format!("{have} signed, {need} needed{by}"),
        0 => format!("{have} of {need} needed{by}"),
        more => format!("{have} of {need} needed{by}; {more} more, of {}", ids(&standing.missing, " or ")),
    }
}

/// The same for programs.
pub(crate) fn standing_json(standing: &Standing) -> Value {
    let ids = |keys: &[[u8; 32]]| keys.iter().map(|key| hex::encode(&key_id(key))).collect::<Vec<_>>();
    json!({
        "threshold": standing.threshold,
        "signed": ids(&standing.signed),
        "missing": ids(&standing.missing),
        "wanting": standing.wanting(),
    })
}
