//! What may be a name, a pattern, a path. Used by the decoder on the device and by the linter at the office.

use crate::limits;

/// A name of a policy: 1 to [`limits::NAME_BYTES`] bytes of `a-z`, `0-9`, `-`.
pub fn is_policy_name(text: &str) -> bool {
    is_name(text, limits::NAME_BYTES)
}

/// How the names of Aegis's own rules begin (`aegis-self`, `aegis-depth`, `aegis-selftest`): what is decided by one of them is told by
/// that name alone, so no rule of a policy is called so.
pub const OWN_RULES: &str = "aegis-";

/// A name of a rule: 1 to [`limits::RULE_NAME_BYTES`] bytes of `a-z`, `0-9`, `-`; not one of Aegis's own ([`OWN_RULES`]).
pub fn is_rule_name(text: &str) -> bool {
    is_name(text, limits::RULE_NAME_BYTES) && !text.starts_with(OWN_RULES)
}

/// A tag: 1 to [`limits::TAG_BYTES`] bytes of letters, digits, `.`, `_`, `-`, `:`.
pub fn is_tag(text: &str) -> bool {
    (1..=limits::TAG_BYTES).contains(&text.len())
        && text.bytes().all(|byte| is_workload_byte(byte) || byte == b':')
}

/// A name of a workload: 1 to [`limits::WORKLOAD_BYTES`] bytes of letters, digits, `.`, `_`, `-`; not `.` or `..`,
/// since it is also the name of a cgroup's directory.
pub fn is_workload_name(name: &[u8]) -> bool {
    (1..=limits::WORKLOAD_BYTES).contains(&name.len())
        && name.iter().all(|byte| is_workload_byte(*byte))
        && !matches!(name, b"." | b"..")
}

/// A name of a workload that is kept and started by it: a cgroup, a directory of its own, a word on a command line. It begins with
/// neither `.` nor `-`.
pub fn is_kept_workload_name(name: &str) -> bool {
    is_workload_name(name.as_bytes()) && !name.starts_with(['.', '-'])
}

/// A pattern: a workload name, or the beginning of one (which may be empty) and a `*`.
pub fn is_workload_pattern(pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => prefix.len() < limits::WORKLOAD_BYTES && prefix.bytes().all(is_workload_byte),
        None => is_workload_name(pattern.as_bytes()),
    }
}

/// True when the pattern covers the name.
pub fn pattern_matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix.as_bytes()),
        None => pattern.as_bytes() == name,
    }
}

/// A path: absolute, no empty, `.` or `..` part, no control characters (C0, DEL, C1), at most [`limits::PATH_BYTES`] bytes.
pub fn is_path(path: &str) -> bool {
    let Some(parts) = path.strip_prefix('/') else { return false };
    path.len() <= limits::PATH_BYTES
        && !path.chars().any(char::is_control)
        && (parts.is_empty() || parts.split('/').all(|part| !matches!(part, "" | "." | "..")))
}

/// A metric's name: a letter, then `a-z`, `0-9`, `_`, at most [`limits::METRIC_BYTES`] bytes.
pub fn is_metric_name(text: &str) -> bool {
    text.len() <= limits::METRIC_BYTES
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// A label's name: as a metric's.
pub fn is_label_name(text: &str) -> bool {
    is_metric_name(text)
}

/// A label's value: 1 to [`limits::ALERT_VALUE_BYTES`] bytes without control characters.
pub fn is_label_value(text: &str) -> bool {
    (1..=limits::ALERT_VALUE_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// What an alert means, or what mends it: 1 to [`limits::ALERT_TEXT_BYTES`] bytes without control characters.
pub fn is_alert_text(text: &str) -> bool {
    (1..=limits::ALERT_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// True when the path is the directory, or lies below it.
pub fn is_within(tree: &[u8], path: &[u8]) -> bool {
    match path.strip_prefix(tree) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"/") || tree == b"/",
        None => false,
    }
}

fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_workload_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}
