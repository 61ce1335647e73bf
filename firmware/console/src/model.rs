//! What commands of `aegis` said, as far as it is shown: read from their JSON (docs/doctor.md, docs/contract.md), bounded, printable.
//! What is not there, or of another type, is not known, and shown so.

use serde_json::Value;

use crate::limits;
use crate::text::plain;

/// An answer: the JSON object that a command printed.
///
/// # Errors
/// It is none: longer than [`limits::ANSWER_BYTES`], no JSON, or no object.
pub(crate) fn object(bytes: &[u8]) -> Result<Value, &'static str> {
    if bytes.len() > limits::ANSWER_BYTES {
        return Err("the answer is longer than it may be");
    }
    match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err("the answer is no JSON object"),
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn word(value: &Value) -> String {
    value.as_str().map(|text| plain(text, limits::WORD)).unwrap_or_default()
}

fn sentence(value: &Value) -> String {
    value.as_str().map(|text| plain(text, limits::SENTENCE)).unwrap_or_default()
}

/// `aegis status --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// `starting`, `ready`, `stopped`, …
    pub(crate) phase: String,
    pub(crate) version: String,
    pub(crate) mode: String,
    pub(crate) reason: String,
    /// For how many seconds more nothing is denied; none: the glass is whole.
    pub(crate) broken: Option<u64>,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) rules: u64,
    /// Paths of the policy that are not there, and those that are not covered.
    pub(crate) unresolved: u64,
    pub(crate) uncovered: u64,
    pub(crate) denied: u64,
    pub(crate) seen: u64,
    pub(crate) lost: u64,
    pub(crate) ring: Ring,
    /// The chain of checkpoints: `sealed`, …
    pub(crate) seal: String,
}

/// The ring on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    pub(crate) used: u64,
    pub(crate) capacity: u64,
    /// Of the capacity, what was not exported.
    pub(crate) percent: u64,
    pub(crate) level: String,
    /// The last sequence on disk.
    pub(crate) last: u64,
    pub(crate) first: u64,
}

impl Status {
    /// From the object.
    pub(crate) fn of(it: &Value) -> Self {
        let (policy, ring) = (&it["policy"], &it["ring"]);
        let lost = it["accounts"]["lost"].as_object();
        Self {
            phase: word(&it["phase"]).to_ascii_lowercase(),
            version: word(&it["version"]),
            mode: word(&it["mode"]),
            reason: word(&it["reason"]),
            broken: (it["glass"]["broken"] == true).then(|| number(&it["glass"]["seconds_left"])),
            epoch: number(&policy["epoch"]),
            sequence: number(&policy["sequence"]),
            rules: number(&policy["rules"]),
            unresolved: number(&policy["unresolved"]),
            uncovered: number(&policy["uncovered"]),
            denied: number(&it["denied"]),
            seen: number(&it["accounts"]["seen"]),
            lost: lost.into_iter().flatten().fold(0, |sum, (_, n)| sum.saturating_add(number(n))),
            ring: Ring {
                used: number(&ring["used_bytes"]),
                capacity: number(&ring["capacity_bytes"]),
                percent: number(&ring["unexported_percent"]),
                level: word(&ring["level"]),
                last: number(&ring["acked_sequence"]),
                first: number(&ring["first_sequence"]),
            },
            seal: word(&it["seal"]["code"]),
        }
    }
}

/// How much a finding is for a person to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Bad,
    Unknown,
    Note,
}

impl Severity {
    /// As `aegis health` and `aegis doctor` mark their lines.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Bad => "!!",
            Self::Unknown => "??",
            Self::Note => "--",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) code: String,
    pub(crate) meaning: String,
    pub(crate) mend: String,
}

/// `aegis health --json`, `aegis doctor --json`: a verdict and findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// `healthy`, `unhealthy`; `well`, `unwell`.
    pub(crate) word: String,
    pub(crate) findings: Vec<Finding>,
    /// There are more findings than are kept.
    pub(crate) more: bool,
    /// The doctor's facts, part by part.
    pub(crate) facts: Vec<(String, String)>,
}

impl Verdict {
    /// From the object. What is worst comes first, as it was given.
    pub(crate) fn of(it: &Value) -> Self {
        let all = it["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let finding = |it: &Value| Finding {
            severity: match it["severity"].as_str() {
                Some("note") => Severity::Note,
                Some("unknown") => Severity::Unknown,
                // What has another name is not taken for less.
                _ => Severity::Bad,
            },
            code: word(&it["code"]),
            meaning: sentence(&it["meaning"]),
            mend: sentence(&it["mend"]),
        };
        let mut findings: Vec<Finding> = all.iter().take(limits::FINDINGS).map(finding).collect();
        findings.sort_by_key(|finding| finding.severity);
        let facts = it["facts"].as_object();
        let fact = |(name, part): (&String, &Value)| (plain(name, limits::WORD), words(part));
        Self {
            word: word(&it["verdict"]),
            more: all.len() > findings.len(),
            findings,
            facts: facts.into_iter().flatten().take(limits::FINDINGS).map(fact).collect(),
        }
    }

    /// How many there are of a severity.
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// A value as the doctor's text has it.
fn words(value: &Value) -> String {
    let text = match value {
        Value::Null => "unknown, or none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "NO".to_owned(),
        Value::String(text) => plain(text, limits::SENTENCE),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Array(list) => list.iter().take(limits::FINDINGS).map(words).collect::<Vec<_>>().join(","),
        Value::Object(parts) => {
            let named = parts.iter().take(limits::FINDINGS);
            named
                .map(|(name, value)| format!("{} {}", plain(name, limits::WORD), words(value)))
                .collect::<Vec<_>>()
                .join(", ")
        }
        Value::Number(number) => number.to_string(),
    };
    crate::text::clip(&text, limits::SENTENCE)
}

/// `aegis policy status --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) device: String,
    /// Its name; what the office called it.
    pub(crate) name: String,
    /// `bundle`, `baseline`, …; empty: it is not known.
    pub(crate) from: String,
    /// Why it can't be read.
    pub(crate) code: String,
    /// Unix seconds; none: never.
    pub(crate) expires: Option<u64>,
    pub(crate) stale: bool,
    /// It is so late at least, Unix seconds.
    pub(crate) now: u64,
    pub(crate) troubles: Vec<String>,
}

impl Policy {
    /// From the object.
    pub(crate) fn of(it: &Value) -> Self {
        let in_force = &it["in_force"];
        let troubles = it["troubles"].as_array();
        Self {
            device: word(&it["device"]),
            name: word(&in_force["name"]),
            from: word(&in_force["from"]),
            code: word(&in_force["code"]),
            expires: in_force["expires"].as_u64(),
            stale: in_force["stale"] == true,
            now: number(&it["now"]),
            troubles: troubles.into_iter().flatten().take(limits::FINDINGS).map(word).collect(),
        }
    }
}

/// `aegis image status --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// None: no loader started this kernel.
    pub(crate) slot: Option<String>,
    /// `EPOCH.SEQUENCE`
    pub(crate) version: String,
    pub(crate) on_trial: bool,
}

impl Image {
    /// From the object.
    pub(crate) fn of(it: &Value) -> Self {
        Self {
            slot: it["slot"].as_str().map(|slot| plain(slot, limits::WORD)),
            version: word(&it["image"]),
            on_trial: it["on_trial"] == true,
        }
    }
}

/// Something that a line of `aegis events --json` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    /// Seconds since the start of the boot that it was in; that boot.
    pub(crate) seconds: u64,
    pub(crate) boot: String,
    pub(crate) kind: String,
    pub(crate) workload: String,
    /// A denial's: who, what and the rule. A decision's: its code, and what it was about.
    pub(crate) comm: String,
    pub(crate) object: String,
    pub(crate) rule: String,
    pub(crate) code: String,
}

/// A line of `aegis events --json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Event(Event),
    /// These are not in the ring.
    Missed {
        first: u64,
        last: Option<u64>,
    },
}

impl Line {
    /// From the line, without its end. None: it is no such line.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let it = object(bytes).ok()?;
        if let Some(missed) = it.get("missed") {
            return Some(Self::Missed { first: number(&missed["first"]), last: missed["last"].as_u64() });
        }
        let path = |name: &str| {
            let value = it[name].as_str()?;
            Some(plain(value, limits::PATH)).filter(|text| !text.is_empty())
        };
        let end = || {
            let address = path("address")?;
            Some(match it["port"].as_u64() {
                Some(port) if address.contains(':') => format!("[{address}]:{port}"),
                Some(port) => format!("{address}:{port}"),
                None => address,
            })
        };
        let object = path("path").or_else(end).or_else(|| path("detail")).unwrap_or_default();
        Some(Self::Event(Event {
            sequence: it["sequence"].as_u64()?,
            seconds: number(&it["time_ns"]) / 1_000_000_000,
            boot: word(&it["boot_id"]),
            kind: word(&it["kind"]),
            workload: word(&it["workload"]),
            comm: word(&it["comm"]),
            object,
            rule: word(&it["rule"]),
            code: word(&it["code"]),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_known() {
        let empty = object(b"{}").expect("an object");
        assert_eq!(Status::of(&empty), Status::default());
        assert_eq!(Verdict::of(&empty), Verdict::default());
        assert_eq!(Policy::of(&empty), Policy::default());
        assert_eq!(Image::of(&empty), Image::default());
        assert_eq!(Line::of(b"{}"), None);
        for bytes in [&b""[..], b"[]", b"7", b"{", b"{}x", b"\xff", &[b'['; 10_000], &vec![b' '; 300_000]] {
            assert!(object(bytes).is_err());
        }
    }

    #[test]
    fn lines_of_events() {
        let line = br#"{"sequence":55,"boot_id":"ab","time_ns":16292798000,"kind":"open","workload":"demo","comm":"c\u001b[2J","verdict":"denied","rule":"no-shadow","path":"/etc/\u001b]0;x\u0007"}"#;
        let Some(Line::Event(event)) = Line::of(line) else { panic!("no event") };
        assert_eq!((event.sequence, event.seconds, event.comm.as_str()), (55, 16, "c\\x1b[2J"));
        assert_eq!(event.object, "/etc/\\x1b]0;x\\x07");
        let missed = br#"{"missed":{"first":7,"last":null,"cause":"damaged"}}"#;
        assert_eq!(Line::of(missed), Some(Line::Missed { first: 7, last: None }));
        let flow = br#"{"sequence":1,"kind":"connect","address":"fe80::1","port":443}"#;
        let Some(Line::Event(event)) = Line::of(flow) else { panic!("no event") };
        assert_eq!(event.object, "[fe80::1]:443");
    }

    #[test]
    fn a_severity_of_another_name_is_not_less() {
        let it = object(
            br#"{"verdict":"unwell","findings":[{"code":"a","severity":"note"},{"code":"b","severity":"worse"}]}"#,
        );
        let verdict = Verdict::of(&it.expect("an object"));
        let codes: Vec<_> = verdict.findings.iter().map(|one| (one.code.as_str(), one.severity)).collect();
        assert_eq!(codes, [("b", Severity::Bad), ("a", Severity::Note)]);
    }
}
