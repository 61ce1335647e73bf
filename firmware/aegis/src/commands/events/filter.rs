//! Which events are shown: terms, `KEY=VALUE`. Of one key either counts, of different keys all.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use aegis_event::{Body, Event, Kind, Verdict};

use crate::limits;

/// Terms that were given; none: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    kinds: Vec<Kind>,
    verdicts: Vec<Verdict>,
    workloads: Vec<Vec<u8>>,
    /// What paths begin with.
    paths: Vec<Vec<u8>>,
    since: Option<u64>,
}

impl Filter {
    /// One more term; what is wrong with it.
    pub(crate) fn add(&mut self, term: &OsStr) -> Result<(), String> {
        let bytes = term.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=').ok_or("KEY=VALUE is wanted")?;
        let (key, value) = (&bytes[..at], &bytes[at + 1..]);
        if value.is_empty() || value.len() > limits::FILTER_BYTES {
            return Err(format!("1 to {} bytes are wanted behind `=`", limits::FILTER_BYTES));
        }
        let word = str::from_utf8(value).unwrap_or_default();
        match key {
            b"kind" => {
                let names = || Kind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
                self.kinds.push(Kind::from_name(word).ok_or_else(|| format!("one of {}", names()))?);
            }
            b"verdict" => self.verdicts.push(verdict(word).ok_or("allowed, audited or denied")?),
            b"workload" => self.workloads.push(value.to_vec()),
            b"path" => self.paths.push(value.to_vec()),
            b"since" if self.since.is_some() => return Err("only once".to_owned()),
            b"since" => self.since = Some(word.parse().map_err(|_| "a sequence, in digits")?),
            _ => return Err("the keys are kind, workload, verdict, path, since".to_owned()),
        }
        if self.kinds.len() + self.verdicts.len() + self.workloads.len() + self.paths.len()
            > limits::FILTER_TERMS
        {
            return Err(format!("more than {} terms", limits::FILTER_TERMS));
        }
        Ok(())
    }

    /// The first sequence that is wanted.
    pub(super) const fn since(&self) -> Option<u64> {
        self.since
    }

    /// This event is wanted, wherever it stands.
    pub(super) fn matches(&self, event: &Event<'_>) -> bool {
        one_of(&self.kinds, |kind| *kind == event.kind())
            && one_of(&self.verdicts, |verdict| event.verdict() == Some(*verdict))
            && one_of(&self.workloads, |name| workload(event) == Some(name))
            && one_of(&self.paths, |start| {
                paths(event).into_iter().flatten().any(|path| path.starts_with(start))
            })
    }
}

/// As events are shown, and as `aegisctl export query` takes them.
fn verdict(word: &str) -> Option<Verdict> {
    Verdict::from_name(word).or(match word {
        "allow" => Some(Verdict::Allowed),
        "audit" => Some(Verdict::Audited),
        "deny" => Some(Verdict::Denied),
        _ => None,
    })
}

fn one_of<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

/// Whose it is, or whom it is about.
fn workload<'a>(event: &Event<'a>) -> Option<&'a [u8]> {
    event.subject.map(|subject| subject.workload).or(match event.body {
        Body::Loss { workload, .. } | Body::Deadman { workload, .. } => Some(workload),
        _ => None,
    })
}

/// Its path, and its new one.
fn paths<'a>(event: &Event<'a>) -> [Option<&'a [u8]>; 2] {
    let to = match event.body {
        Body::Rename { to, .. } | Body::Link { to, .. } => Some(to),
        _ => None,
    };
    [event.body.file().map(|file| file.path), to]
}
