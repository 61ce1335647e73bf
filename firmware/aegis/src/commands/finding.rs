//! Something that is not as it should be, as `aegis health` and `aegis doctor` say it.

use std::io::IsTerminal as _;

use serde_json::{Value, json};

/// How much it is for a person to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// The device does not do what it promises.
    Bad,
    /// It could not be found out whether it does.
    Unknown,
    /// To be known.
    Note,
}

impl Severity {
    /// Its name in JSON and documents.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Unknown => "unknown",
            Self::Note => "note",
        }
    }

    /// What a line begins with, and its colour on a terminal.
    const fn mark(self) -> (&'static str, &'static str) {
        match self {
            Self::Bad => ("!!", "31"),
            Self::Unknown => ("??", "33"),
            Self::Note => ("--", "36"),
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Stable (`docs/formats/reason-codes.md`, `docs/doctor.md`).
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    pub(super) meaning: String,
    pub(super) mend: &'static str,
}

impl Finding {
    /// Not good: the device is not healthy, or nobody can say that it is.
    pub(super) fn is_bad(&self) -> bool {
        self.severity != Severity::Note
    }

    /// As an object of JSON.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "code": self.code,
            "severity": self.severity.name(),
            "bad": self.is_bad(),
            "meaning": self.meaning,
            "mend": self.mend,
        })
    }

    /// As a line; `colour`: its mark has one.
    pub(super) fn line(&self, colour: bool) -> String {
        let (mark, paint) = self.severity.mark();
        let Self { code, meaning, mend, .. } = self;
        if colour {
            format!("\x1b[{paint}m{mark} {code}\x1b[0m: {meaning}; {mend}")
        } else {
            format!("{mark} {code}: {meaning}; {mend}")
        }
    }
}

/// What is bad first, else in the order in which it was found.
pub(super) fn ordered(findings: &[Finding]) -> Vec<Finding> {
    let mut ordered = Vec::with_capacity(findings.len());
    for severity in [Severity::Bad, Severity::Unknown, Severity::Note] {
        ordered.extend(findings.iter().filter(|finding| finding.severity == severity).cloned());
    }
    ordered
}

/// The codes of what is not good, once each.
pub(super) fn bad_codes(findings: &[Finding]) -> Vec<&'static str> {
    let mut codes = Vec::new();
    for finding in findings.iter().filter(|finding| finding.is_bad()) {
        if !codes.contains(&finding.code) {
            codes.push(finding.code);
        }
    }
    codes
}

/// Who reads stdout sees colours, and did not say that he wants none (<https://no-color.org>).
pub(super) fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|word| word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_not_good_and_each_code_is_named_once() {
        let of = |code, severity| Finding { code, severity, meaning: "m".into(), mend: "n" };
        let all = [
            of("a", Severity::Bad),
            of("b", Severity::Unknown),
            of("a", Severity::Bad),
            of("c", Severity::Note),
        ];
        assert_eq!(bad_codes(&all), ["a", "b"]);
        assert_eq!(all[0].line(false), "!! a: m; n");
        assert_eq!(all[3].line(true), "\x1b[36m-- c\x1b[0m: m; n");
        assert_eq!(all[1].to_json()["severity"], "unknown");
    }
}
