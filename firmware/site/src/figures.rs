//! What this program counts of itself: the text that stands behind the agent's figures in an answer to `/metrics`, in Prometheus' format.
//! `docs/metrics.md` has the table.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::limits::FIGURES_BYTES;

/// Why an export was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The agent made none.
    Export = 0,
    /// The collector can't be reached.
    Connect = 1,
    /// One side does not take the other's certificate, or no TLS is spoken.
    Tls = 2,
    /// It took nothing, or said nothing, for too long.
    Late = 3,
    /// The connection ended.
    Cut = 4,
    /// Its answer is not that it has it.
    Refused = 5,
    /// The pusher's process could not begin, or ended.
    Pusher = 6,
}

impl Reason {
    /// Each once, by number.
    pub const ALL: [Self; 7] =
        [Self::Export, Self::Connect, Self::Tls, Self::Late, Self::Cut, Self::Refused, Self::Pusher];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Late => "late",
            Self::Cut => "cut",
            Self::Refused => "refused",
            Self::Pusher => "pusher",
        }
    }
}

/// A metric of this program's.
#[derive(Debug)]
pub struct Family {
    /// As it stands in the text.
    pub name: &'static str,
    /// `gauge` or `counter`.
    pub kind: &'static str,
    /// What it says.
    pub what: &'static str,
}

const fn family(name: &'static str, kind: &'static str, what: &'static str) -> Family {
    Family { name, kind, what }
}

/// All of them, in the order of the text.
pub const FAMILIES: [Family; 10] = [
    family(
        "aegis_site_metrics_age_seconds",
        "gauge",
        "How old the figures before it are: the alerts' watcher left them; 0: they were made for this answer.",
    ),
    family(
        "aegis_push_up",
        "gauge",
        "1: the collector took what was last to be pushed, or there was nothing. 0: it did not.",
    ),
    family("aegis_push_breaker_open", "gauge", "1: so many failures in a row that it is tried seldom."),
    family("aegis_push_sequence", "gauge", "The last sequence that the collector took."),
    family("aegis_push_idle_seconds", "gauge", "How long ago the collector took something last."),
    family("aegis_push_events_total", "counter", "Events that the collector took."),
    family("aegis_push_exports_total", "counter", "Exports that they were in."),
    family("aegis_push_bytes_total", "counter", "Bytes of them."),
    family(
        "aegis_push_missed_events_total",
        "counter",
        "Events that the ring did not have any more, or could not give, when they were to be pushed.",
    ),
    family("aegis_push_failures_total", "counter", "Tries that came to nothing, by reason."),
];

/// What the pushing to a collector adds up to, since the keeper began with it.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The last try held; `None`: there was none yet.
    pub up: Option<bool>,
    /// Tried seldom.
    pub open: bool,
    /// The last sequence that the collector has; 0: none that is known.
    pub sequence: u64,
    /// When it took something last.
    pub taken: Option<Instant>,
    /// Events, exports, bytes that it took.
    pub events: u64,
    /// See `events`.
    pub exports: u64,
    /// See `events`.
    pub bytes: u64,
    /// Events that it can't have any more.
    pub missed: u64,
    /// By [`Reason`].
    pub failures: [u64; Reason::ALL.len()],
}

/// The text; `age` of the figures that it stands behind, `figures` when the policy has a collector.
pub fn text(age: Duration, figures: Option<&Figures>, now: Instant) -> String {
    let mut text = String::new();
    let [age_family, singles @ .., failures] = &FAMILIES;
    begin(&mut text, age_family);
    let _ = writeln!(text, "{} {}", age_family.name, age.as_secs());
    if let Some(figures) = figures {
        let seconds = |then: Instant| now.saturating_duration_since(then).as_secs();
        let values: [Option<u64>; 8] = [
            figures.up.map(u64::from),
            Some(figures.open.into()),
            (figures.sequence > 0).then_some(figures.sequence),
            figures.taken.map(seconds),
            Some(figures.events),
            Some(figures.exports),
            Some(figures.bytes),
            Some(figures.missed),
        ];
        for (family, value) in singles.iter().zip(values) {
            begin(&mut text, family);
            if let Some(value) = value {
                let _ = writeln!(text, "{} {value}", family.name);
            }
        }
        begin(&mut text, failures);
        for (reason, count) in Reason::ALL.iter().zip(figures.failures) {
            let _ = writeln!(text, "{}{{reason=\"{}\"}} {count}", failures.name, reason.name());
        }
    }
    debug_assert!(text.len() <= FIGURES_BYTES);
    text
}

fn begin(text: &mut String, family: &Family) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "# HELP {0} {1}\n# TYPE {0} {2}", family.name, family.what, family.kind);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = include_str!("../../../docs/metrics.md");

    #[test]
    fn the_document_has_them_and_they_are_the_texts() {
        let mut table = String::from("| metric | type | labels | what |\n|---|---|---|---|\n");
        for Family { name, kind, what } in &FAMILIES {
            let reasons: Vec<String> =
                Reason::ALL.iter().map(|reason| format!("`{}`", reason.name())).collect();
            let labels = if name.ends_with("failures_total") {
                format!("`reason` ({})", reasons.join(", "))
            } else {
                String::new()
            };
            let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {what} |");
        }
        let found = DOCS
            .split_once("<!-- site contract -->\n")
            .and_then(|(_, rest)| rest.split_once("<!-- site end -->"));
        let (found, _) = found.expect("between its marks");
        assert_eq!(found.trim(), table.trim());
        let most = Figures {
            up: Some(false),
            open: true,
            sequence: u64::MAX,
            taken: Some(Instant::now()),
            events: u64::MAX,
            exports: u64::MAX,
            bytes: u64::MAX,
            missed: u64::MAX,
            failures: [u64::MAX; 7],
        };
        let text = text(Duration::MAX, Some(&most), Instant::now());
        assert!(text.len() <= FIGURES_BYTES && text.ends_with('\n'), "{} bytes", text.len());
        for Family { name, kind, .. } in &FAMILIES {
            assert!(text.contains(&format!("# TYPE {name} {kind}\n{name}")), "{name}");
            assert!(name.ends_with("_total") == (*kind == "counter"), "{name}");
        }
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let none = text(Duration::from_secs(3), None, Instant::now());
        assert!(none.contains("\naegis_site_metrics_age_seconds 3\n") && !none.contains("aegis_push"));
        let new = text(Duration::ZERO, Some(&Figures::default()), Instant::now());
        assert!(
            !new.contains("\naegis_push_up ")
                && !new.contains("\naegis_push_sequence ")
                && !new.contains("\naegis_push_idle_seconds ")
        );
        assert!(new.contains("\naegis_push_failures_total{reason=\"refused\"} 0\n"));
    }
}
