//! `aegis workload list`: what is accepted, mounted or why not, and how each is doing.

use serde_json::{Value, json};

use super::storage;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::device::hex;
use crate::storage::disk::Data;
use crate::workloads::books::Books;
use crate::workloads::told::{self, Doing, Entry};

/// One name, and all that is known of it.
struct Row {
    name: String,
    /// What was accepted: epoch, sequence, manifest; and that it was taken away since.
    accepted: Option<((u64, u64), [u8; 32], bool)>,
    entry: Option<Entry>,
    doing: Option<Doing>,
}

pub(crate) fn run(as_json: bool) -> Outcome {
    let books = Books::read(&Data::own()).map_err(storage)?;
    let told = |error: std::io::Error| Failure::error(format!("/run/aegis/workloads: {error}"));
    let mut entries = told::reported().map_err(told)?;
    let mut rows = Vec::new();
    for one in &books.state.names {
        let at = entries.iter().position(|entry| entry.name == *one.name);
        rows.push(Row {
            name: one.name.to_string(),
            accepted: Some((one.accepted.order(), one.accepted.manifest, one.gone)),
            entry: at.map(|at| entries.remove(at)),
            doing: told::doing(&one.name).map_err(told)?,
        });
    }
    rows.extend(entries.into_iter().map(|entry| Row {
        name: entry.name.clone(),
        accepted: None,
        entry: Some(entry),
        doing: None,
    }));
    if as_json {
        return say(&json!({ "workloads": rows.iter().map(Row::json).collect::<Vec<_>>() }).to_string());
    }
    if rows.is_empty() {
        return say("no workload was accepted");
    }
    say(&rows.iter().map(Row::text).collect::<Vec<_>>().join("\n"))
}

impl Row {
    fn json(&self) -> Value {
        let Self { name, accepted, entry, doing } = self;
        let order = |(epoch, sequence): &(u64, u64)| format!("{epoch}.{sequence}");
        json!({
            "name": name,
            "accepted": accepted.as_ref().map(|(rank, ..)| order(rank)),
            "manifest_sha256": accepted.as_ref().map(|(_, manifest, _)| hex(manifest)),
            "gone": accepted.as_ref().is_some_and(|(.., gone)| *gone),
            "mounted": entry.as_ref().filter(|entry| entry.is_mounted()).map(|entry| order(&(entry.epoch, entry.sequence))),
            "code": entry.as_ref().map(|entry| &entry.code),
            "detail": entry.as_ref().map(|entry| &entry.detail),
            "state": doing.as_ref().map(|doing| &doing.code),
            "starts": doing.as_ref().map(|doing| doing.starts),
            "last_end": doing.as_ref().map(|doing| &doing.last),
        })
    }

    fn text(&self) -> String {
        let accepted = match &self.accepted {
            None => "never accepted".to_owned(),
            Some(((epoch, sequence), _, gone)) => {
                format!("accepted {epoch}.{sequence}{}", if *gone { ", taken away" } else { "" })
            }
        };
        let mounted = match &self.entry {
            None => "not mounted in this boot".to_owned(),
            Some(Entry { epoch, sequence, .. }) if self.entry.as_ref().is_some_and(Entry::is_mounted) => {
                format!("mounted {epoch}.{sequence}")
            }
            Some(Entry { code, detail, .. }) => format!("NOT mounted: {code}: {detail}"),
        };
        let doing = match &self.doing {
            None => "not started".to_owned(),
            Some(Doing { code, starts, last }) if last.is_empty() => format!("{code}, starts {starts}"),
            Some(Doing { code, starts, last }) => format!("{code}, starts {starts}, last: {last}"),
        };
        format!("{:<20} {accepted}; {mounted}; {doing}", self.name)
    }
}
