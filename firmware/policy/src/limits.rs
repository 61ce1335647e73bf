//! Every bound of a policy.

/// Longest compiled policy, bytes: it has to fit a bundle.
pub const POLICY_BYTES: usize = 4 * 1024 * 1024;
/// Longest policy source, bytes.
pub const SOURCE_BYTES: usize = 2 * 1024 * 1024;
/// Longest name of a policy, bytes.
pub const NAME_BYTES: usize = 63;
/// Most workload patterns. The kernel has 256 slots; slot 0 is the self-test's.
pub const WORKLOADS: usize = 255;
/// Longest workload name or pattern, bytes.
pub const WORKLOAD_BYTES: usize = 63;
/// Most rules: each has a name in the kernel's table of names.
pub const RULES: usize = 65_536;
/// Longest rule name, bytes. The kernel's table holds 32 with the NUL.
pub const RULE_NAME_BYTES: usize = 31;
/// Most entries: the sum over the rules on files of (paths + trees) x workloads. The kernel's map holds more, for the
/// self-test and self-protection, so that a policy that decodes always fits.
pub const ENTRIES: usize = 65_536;
/// Longest path, bytes. The kernel's buffer holds 256 with the NUL.
pub const PATH_BYTES: usize = 255;
/// Most prefixes in the kernel's map: the sum over the rules on addresses of prefixes x workloads.
pub const NETS: usize = 4_096;
/// Most that rules may say of one prefix for one workload: the sum of port ranges x protocols over the rules with a
/// prefix that contains it. The kernel's entry has as many places.
pub const NET_RULES: usize = 16;
/// Most prefixes of one rule.
pub const PREFIXES: usize = 1_024;
/// Most port ranges of one rule.
pub const PORTS: usize = 16;
/// Most protocols of one rule.
pub const PROTOCOLS: usize = 8;
/// Most digests in the kernel's map: the sum over the rules on programs' contents of digests x workloads.
pub const HASHES: usize = 4_096;
/// Most digests of one rule.
pub const RULE_HASHES: usize = 1_024;
/// Most seconds within which a deadman counts denials.
pub const DEADMAN_SECONDS: u32 = 3_600;
/// Most tags of one rule.
pub const TAGS: usize = 16;
/// Longest tag, bytes.
pub const TAG_BYTES: usize = 32;
/// Most alerts.
pub const ALERTS: usize = 64;
/// Longest name of a metric, and of a label, bytes.
pub const METRIC_BYTES: usize = 64;
/// Most labels that one alert matches.
pub const ALERT_MATCHES: usize = 3;
/// Most values of one of them.
pub const ALERT_VALUES: usize = 16;
/// Longest value of a label, bytes.
pub const ALERT_VALUE_BYTES: usize = 64;
/// Longest time of an alert, seconds: a week.
pub const ALERT_SECONDS: u32 = 604_800;
/// Longest meaning, and longest mend, of an alert, bytes.
pub const ALERT_TEXT_BYTES: usize = 200;
/// Bytes of the set of workloads that a rule applies to, at most.
pub const SELECTION_BYTES: usize = WORKLOADS.div_ceil(8);
