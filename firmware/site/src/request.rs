//! What is asked: a request's method and target. Bounds first; what is not known is not guessed.

use crate::limits::TARGET_BYTES;
use crate::wire::Question;

/// Media types of events (RFC 8742; lines of JSON).
pub(crate) const CBOR_SEQUENCE: &str = "application/cbor-seq";
pub(crate) const LINES: &str = "application/x-ndjson";

/// Who asks, as far as the policy names him.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A certificate that the policy's authorities vouch for, and that has no name of the policy's.
    Nobody,
    /// May read health and metrics.
    Viewer,
    /// May read events, too.
    Operator,
}

/// What is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    question: Question,
    since: u64,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not `GET` or `HEAD`.
    Method,
    /// No such path.
    Path,
    /// The query has something that is not known, or is no number.
    Query,
    /// The target is longer than any that is known.
    Long,
    /// The client's certificate has no name that may.
    Role,
}

impl Refused {
    /// The status that says so (RFC 9110, section 15.5), and the answer's text.
    pub const fn status(self) -> (u16, &'static str) {
        match self {
            Self::Method => (405, "only GET and HEAD\n"),
            Self::Path => (
                404,
                "known: /health /health/live /health/ready /health/stats /metrics /events?since=SEQUENCE\n",
            ),
            Self::Query => (400, "only /events takes a query: since=SEQUENCE, in digits, once\n"),
            Self::Long => (414, "longer than anything that is known\n"),
            Self::Role => (403, "no name of this certificate may do this by the policy in force\n"),
        }
    }
}

impl Asked {
    pub(crate) const fn question(self) -> Question {
        self.question
    }

    /// The first sequence that is wanted; 0 when it was not said.
    pub const fn since(self) -> u64 {
        self.since
    }

    /// The same, of events in the form that this `Accept` asks for (RFC 9110, section 12.5.1): CBOR when it names it, and names lines not
    /// as better. Anything else is answered in lines: who names neither is a person, mostly.
    #[must_use]
    pub fn accepting(mut self, accept: &str) -> Self {
        if self.question == Question::Events
            && weight(accept, CBOR_SEQUENCE) > 0
            && weight(accept, CBOR_SEQUENCE) >= weight(accept, LINES)
        {
            self.question = Question::EventsCbor;
        }
        self
    }

    /// Reads a request of whoever has this role. `target`: path and query (RFC 9112, section 3.2.1).
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn read(role: Role, method: &str, target: &str) -> Result<Self, Refused> {
        if target.len() > TARGET_BYTES {
            return Err(Refused::Long);
        }
        // Who has no name learns nothing of what there is.
        if role == Role::Nobody {
            return Err(Refused::Role);
        }
        if !matches!(method, "GET" | "HEAD") {
            return Err(Refused::Method);
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let question = match path {
            "/health" => Question::Health,
            "/health/live" => Question::Live,
            "/health/ready" => Question::Ready,
            "/health/stats" => Question::Stats,
            "/metrics" => Question::Metrics,
            "/events" => Question::Events,
            _ => return Err(Refused::Path),
        };
        if question == Question::Events && role < Role::Operator {
            return Err(Refused::Role);
        }
        let since = match (question, query) {
            (_, None) => 0,
            (Question::Events, Some(query)) => {
                query.strip_prefix("since=").and_then(number).ok_or(Refused::Query)?
            }
            // Prometheus and others may be told to add some; here there is nothing that they could choose.
            (_, Some(_)) => return Err(Refused::Query),
        };
        Ok(Self { question, since })
    }
}

/// How much this `Accept` is for a media type that it names, thousandths: of several times the most.
fn weight(accept: &str, kind: &str) -> u16 {
    let of = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(kind) {
            return None;
        }
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        quality.map_or(Some(1000), thousandths)
    };
    accept.split(',').filter_map(of).max().unwrap_or(0)
}

/// `qvalue` (RFC 9110, section 12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = format!("{whole}{part:0<3}").parse().ok()?;
    (value <= 1000).then_some(value)
}

/// Digits, and as many of them as a sequence can have.
fn number(text: &str) -> Option<u64> {
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_known_or_refused() {
        let asked = |question, since| Ok(Asked { question, since });
        for (role, method, target, expected) in [
            (Role::Viewer, "GET", "/health", asked(Question::Health, 0)),
            (Role::Viewer, "HEAD", "/health/live", asked(Question::Live, 0)),
            (Role::Viewer, "GET", "/health/ready", asked(Question::Ready, 0)),
            (Role::Viewer, "GET", "/health/stats", asked(Question::Stats, 0)),
            (Role::Operator, "GET", "/metrics", asked(Question::Metrics, 0)),
            (Role::Operator, "GET", "/events", asked(Question::Events, 0)),
            (Role::Operator, "GET", "/events?since=18446744073709551615", asked(Question::Events, u64::MAX)),
            (Role::Operator, "GET", "/events?since=18446744073709551616", Err(Refused::Query)),
            (Role::Operator, "GET", "/events?since=", Err(Refused::Query)),
            (Role::Operator, "GET", "/events?since=-1", Err(Refused::Query)),
            (Role::Operator, "GET", "/events?since=+1", Err(Refused::Query)),
            (Role::Operator, "GET", "/events?since=1&since=2", Err(Refused::Query)),
            (Role::Operator, "GET", "/events?Since=1", Err(Refused::Query)),
            (Role::Operator, "GET", "/events?", Err(Refused::Query)),
            (Role::Viewer, "GET", "/health?x", Err(Refused::Query)),
            (Role::Viewer, "GET", "/events", Err(Refused::Role)),
            (Role::Nobody, "GET", "/health", Err(Refused::Role)),
            (Role::Nobody, "GET", "/nowhere", Err(Refused::Role)),
            (Role::Operator, "POST", "/health", Err(Refused::Method)),
            (Role::Operator, "GET", "/", Err(Refused::Path)),
            (Role::Operator, "GET", "/health/", Err(Refused::Path)),
            (Role::Operator, "GET", "/health/../events", Err(Refused::Path)),
            (Role::Operator, "GET", "//health", Err(Refused::Path)),
            (Role::Operator, "GET", "http://a/health", Err(Refused::Path)),
            (Role::Operator, "GET", "/%68ealth", Err(Refused::Path)),
        ] {
            assert_eq!(Asked::read(role, method, target), expected, "{role:?} {method} {target}");
        }
        let long = format!("/events?since={}", "0".repeat(TARGET_BYTES));
        assert_eq!(Asked::read(Role::Operator, "GET", &long), Err(Refused::Long));
    }
    #[test]
    fn events_come_in_the_form_that_is_asked_for() {
        let asked = |accept| {
            Asked::read(Role::Operator, "GET", "/events?since=7")
                .map(|asked| asked.accepting(accept))
                .expect("good")
        };
        for accept in [
            "application/cbor-seq",
            "Application/CBOR-seq;q=0.5, */*;q=0.1",
            "text/html, application/cbor-seq ; q=1.000 ",
            "application/x-ndjson, application/cbor-seq",
            "application/x-ndjson;q=0.2,application/cbor-seq;q=0.3",
        ] {
            assert_eq!(asked(accept), Asked { question: Question::EventsCbor, since: 7 }, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/*",
            "application/cbor",
            "application/cbor-seq;q=0",
            "application/cbor-seq;q=0.000",
            "application/cbor-seq;q=2",
            "application/cbor-seq;q=1.001",
            "application/cbor-seq;q=0.3333",
            "application/cbor-seq;q=-1",
            "application/x-ndjson, application/cbor-seq;q=0.9",
        ] {
            assert_eq!(asked(accept), Asked { question: Question::Events, since: 7 }, "{accept}");
        }
        let health = Asked::read(Role::Viewer, "GET", "/health").expect("good");
        assert_eq!(health.accepting("application/cbor-seq"), health);
    }
}
