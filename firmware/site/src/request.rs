//! What is asked: a request's method and target. Bounds first; what is not known is not guessed.

use crate::limits::TARGET_BYTES;
use crate::wire::Question;

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
}
