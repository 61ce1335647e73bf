//! The result of a verification, for programs (JSON) and for people (text).

mod person;

use aegis_event::Printable;
use aegis_export::{Ending, Id, Policy};
use serde_json::{Value, json};

use super::books::{Boot, BootKey, Told};
use super::check::{Checked, Report, RingSeals};
use super::line::losses;
use super::problem::{Code, Finding};
use crate::hex;
pub(super) use person::person;

/// Name in which the agent's self-test is denied things (`firmware/aegis`, `kernel::selftest`).
pub(super) const SELF_TEST: &[u8] = b"aegis-selftest";

/// Escaped for a terminal when it is not plain text.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| Printable(bytes).to_string(), str::to_owned)
}

fn signatures(report: &Report) -> &'static str {
    let findings = &report.findings;
    match (findings.any(Code::is_signature), findings.any(Code::is_unchecked)) {
        (true, _) => "bad",
        (false, true) => "unchecked",
        (false, false) => "good",
    }
}

fn chain(report: &Report) -> &'static str {
    let findings = &report.findings;
    if findings.any(Code::is_chain) {
        "broken"
    } else if findings.any(Code::is_unchecked) {
        "unchecked"
    } else if findings.any(Code::is_hole) {
        "gaps"
    } else {
        "good"
    }
}

/// What the checkpoints are worth, over all rings.
pub(super) fn seals(report: &Report) -> &'static str {
    let findings = &report.findings;
    if findings.any(Code::is_seal) {
        "broken"
    } else if findings.any(|code| matches!(code, Code::SealRestarted | Code::DeviceRekeyed)) {
        "restarted"
    } else if findings.any(|code| matches!(code, Code::CheckpointMissing | Code::NotSealed)) {
        "missing"
    } else if report.seals.is_empty() {
        "none"
    } else {
        "good"
    }
}

/// Verified manifests say that there is nothing.
fn empty(report: &Report) -> bool {
    !report.files.is_empty()
        && report.books.total == 0
        && report.files.iter().all(|file| file.manifest.is_some() && file.events == 0)
}

/// How many of the files are encrypted, and were opened.
fn encrypted(report: &Report) -> usize {
    report.files.iter().filter(|file| file.encrypted).count()
}

/// The one device of all files, if there is one.
fn one_device(report: &Report) -> Option<String> {
    let first = report.files.first()?;
    report.files.iter().all(|file| file.device == first.device).then(|| hex::encode(&first.device))
}

/// The JSON report (`docs/formats/export.md`).
pub(super) fn json(report: &Report) -> Value {
    let books = &report.books;
    let denials: Vec<Value> = denials(report)
        .into_iter()
        .map(|(key, count)| {
            let mut value = json!({
                "rule": text(&key.rule),
                "policy": key.policy,
                "kind": key.kind.name(),
                "workload": text(&key.workload),
                "count": count,
            });
            for (name, bytes) in [("rule_hex", &key.rule), ("workload_hex", &key.workload)] {
                if std::str::from_utf8(bytes).is_err() {
                    value[name] = hex::encode(bytes).into();
                }
            }
            value
        })
        .collect();
    let by_kind: serde_json::Map<String, Value> =
        books.by_kind.iter().map(|(kind, count)| (kind.name().to_owned(), json!(count))).collect();
    json!({
        "whole": report.whole(),
        "device": one_device(report),
        "key_pinned": report.key_pinned(),
        "signatures": signatures(report),
        "chain": chain(report),
        "seals": seals(report),
        "empty": empty(report),
        "encrypted": encrypted(report),
        "files": report.files.iter().map(file_json).collect::<Vec<_>>(),
        "events": { "total": books.total, "undecoded": books.undecoded, "by_kind": by_kind },
        "denials": denials,
        "other_denials": books.other_denials,
        "losses": losses(&books.losses()),
        "sealing": report.seals.iter().filter_map(|(ring, seals)| sealing_json(ring, seals)).collect::<Vec<_>>(),
        "boots": books.boots.iter().map(|(key, boot)| boot_json(key, boot)).collect::<Vec<_>>(),
        "gaps": books.gaps.iter().map(gap_json).collect::<Vec<_>>(),
        "gaps_left_out": books.gaps_left_out,
        "problems": report.findings.problems.iter().map(finding_json).collect::<Vec<_>>(),
        "notes": report.findings.notes.iter().map(finding_json).collect::<Vec<_>>(),
        "findings_left_out": report.findings.left_out,
    })
}

/// One file, as a program reads it.
pub(super) fn file_json(file: &Checked) -> Value {
    let mut value = json!({
        "file": file.name,
        "device": hex::encode(&file.device),
        "public_key": file.key.map(|key| hex::encode(&key[..])),
        "key_pinned": file.key_pinned,
        "encrypted": file.encrypted,
        "ring": hex::encode(&file.ring),
        "first": file.first,
        "last": file.last,
        "events": file.events,
        "segments": file.segments,
        "complete": file.manifest.as_ref().is_some_and(|sealed| sealed.ending == Ending::Complete),
    });
    if let Some(sealed) = &file.manifest {
        value["ending"] = sealed.ending.name().into();
        value["retained"] = sealed.retained.into();
        value["next"] = sealed.next.into();
        value["gaps"] = json!(sealed.gaps);
        value["version"] = sealed.version.clone().into();
        value["created"] = json!({
            "boot_id": hex::encode(&sealed.created.boot),
            "boottime_ns": sealed.created.boottime,
            "clock": sealed.created.clock,
            "clock_trusted": sealed.created.clock_trusted,
        });
        let policies = &sealed.policies;
        value["policies"] = json!({
            "in_force": policies.in_force.as_ref().map(policy_json),
            "accepted": policies.accepted,
            "last_accepted": policies.as_slice().iter().map(policy_json).collect::<Vec<_>>(),
        });
    }
    value
}

fn policy_json(policy: &Policy) -> Value {
    json!({ "epoch": policy.epoch, "sequence": policy.sequence, "hash": hex::encode(&policy.hash) })
}

/// How far a ring is sealed; none when it is not.
fn sealing_json((device, ring): &(Id, Id), seals: &RingSeals) -> Option<Value> {
    let last = seals.last.as_ref()?.checkpoint;
    let (first_lost, last_lost) = last.books.overwritten_range;
    Some(json!({
        "device": hex::encode(device),
        "ring": hex::encode(ring),
        "from_certificate": seals.from_certificate,
        "first_epoch": seals.first_epoch,
        "last_epoch": last.epoch,
        "epochs": seals.epochs,
        "roots_compared": seals.roots,
        "sealed_up_to": last.sequence,
        "boot_id": hex::encode(&last.boot),
        "boottime_ns": last.boottime,
        "period_seconds": last.period,
        "next_key": hex::encode(&last.next_key),
        "retained": last.retained,
        "exported": last.books.exported,
        "overwritten": last.books.overwritten,
        "overwritten_last_range": if last.books.overwritten == 0 { Value::Null } else { json!([first_lost, last_lost]) },
        "cuts": last.books.cuts,
        "cut_at": last.books.cut_at,
        "damaged": last.books.damaged,
    }))
}

fn boot_json(key: &BootKey, boot: &Boot) -> Value {
    json!({
        "device": hex::encode(&key.device),
        "ring": hex::encode(&key.ring),
        "boot_id": hex::encode(&key.boot),
        "first": boot.first,
        "last": boot.last,
        "began": boot.began,
        "closed": boot.closed,
        "seen": boot.accounts.map(|books| books.seen),
        "written": boot.accounts.map(|books| books.written),
        "counted": boot.counted,
        "lost": losses(&boot.losses()),
    })
}

/// What an agent said of sequences that can't be read.
fn gap_json(told: &Told) -> Value {
    let (key, gap) = (&told.key, &told.gap);
    json!({
        "device": hex::encode(&key.device),
        "ring": hex::encode(&key.ring),
        "boot_id": hex::encode(&key.boot),
        "sequence": told.sequence,
        "cause": gap.cause.name(),
        "first": gap.first,
        "last": gap.last,
        "total": gap.total,
        "ended_boot_id": (gap.boot != [0; 16]).then(|| hex::encode(&gap.boot)),
    })
}

fn finding_json(finding: &Finding) -> Value {
    json!({ "code": finding.code, "file": finding.file, "place": finding.place, "detail": finding.detail })
}

/// Denials, the most frequent first.
fn denials(report: &Report) -> Vec<(&super::books::DenialKey, u64)> {
    let mut list: Vec<_> = report.books.denials.iter().map(|(key, count)| (key, *count)).collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    list
}
