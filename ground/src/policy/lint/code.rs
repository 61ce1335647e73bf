//! The codes of warnings. They are stable: scripts and `# lint: allow` comments have them.

/// Defines the codes, their names and what they mean.
macro_rules! codes {
    ($($variant:ident = $name:literal, $mendable:literal, $meaning:literal;)+) => {
        /// What a warning is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Code { $(#[doc = $meaning] $variant,)+ }

        impl Code {
            /// Every code, in the order of their names.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in JSON, comments and documents.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Whether `--fix` mends it: always, sometimes, never.
            #[cfg(test)]
            pub(crate) const fn mendable(self) -> &'static str {
                match self { $(Self::$variant => $mendable,)+ }
            }

            /// What it means, as `docs/policy.md` has it.
            #[cfg(test)]
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

codes! {
    AuditMode = "audit-mode", "no", "a deny rule denies nothing, since the policy's mode is audit";
    DeadmanFalls = "deadman-falls", "no", "the policy has a deadman: a workload that is denied often enough, by its own doing, is not denied any more until the next policy";
    DirectoryPath = "directory-path", "no", "a path is a directory of the system: the rule is on the directory itself; `trees` is for it and what lies in it";
    DuplicateAddress = "duplicate-address", "yes", "an address, port or protocol stands twice in a rule, or within another";
    DuplicateHash = "duplicate-hash", "yes", "a hash stands twice in a rule";
    DuplicateOperation = "duplicate-operation", "yes", "an operation stands twice in a rule; `open` has both opens";
    DuplicateOutput = "duplicate-output", "yes", "an output, or a value of a label, stands twice in an alert";
    DuplicatePath = "duplicate-path", "yes", "a path or tree stands twice in a rule";
    DuplicateTag = "duplicate-tag", "yes", "a tag stands twice in a rule";
    DuplicateWorkload = "duplicate-workload", "yes", "a workload stands twice in a rule";
    FlappingAlert = "flapping-alert", "no", "an alert has no `for`, `clear` or `clear-for`: a figure that moves around its threshold makes it fire and be over at each look";
    HashSupport = "hash-support", "no", "a rule is on the hash of programs: a device whose kernel is older than 6.2 (a 6.1 of today is enough) or has no IMA refuses the whole policy (`hash-unsupported`); our own kernel measures";
    ImplicitWorkloads = "implicit-workloads", "yes", "a deny rule does not say for which workloads, and `*` is declared: it is for every one, also for those declared later";
    LeftOutWorkload = "left-out-workload", "no", "a deny rule is for a pattern and not for a workload of that pattern that is declared apart: rules for the wider one are not for the narrower";
    LiteralPath = "literal-path", "no", "a path has `*`, `?`, `[`, `{` or `$` in it, or a blank at its end: it is taken as it is written, and stands for no other";
    MissingPath = "missing-path", "no", "a path is not in the tree given by `--tree`: the rule waits for it to appear";
    OpenSite = "open-site", "no", "the policy brings the device a network (`[site]`), and says nothing of a workload's `connect` to it: the workload reaches the plant's machines";
    OverBroad = "over-broad", "no", "a deny rule is on `/`, on all below it or `/usr` without an exception by override for what is needed there, or denies every workload (`*`) what no program can do without; an override takes back all that is denied";
    SelfLocking = "self-locking", "no", "a deny rule would stop the agent, init, the export or the console, were they run in a workload's cgroup, or any workload from starting";
    SelfProtection = "self-protection", "no", "the policy switches self-protection off: workloads may stop and change the agent";
    ShadowedRule = "shadowed-rule", "if on the same", "a rule never decides on one of its paths, trees, addresses or hashes: other rules do";
    SilentAlert = "silent-alert", "no", "an alert has no `outputs`: its events, metrics and `aegis alerts` alone tell of it";
    UnknownTag = "unknown-tag", "case only", "a tag is neither a MITRE id (T1003.008, TA0006, AML.T0051) nor a name and an id (`nist:AC-3`)";
    UnreachableRule = "unreachable-rule", "if on the same", "a rule never decides anything: other rules do";
    UnusedAllow = "unused-allow", "no", "a `# lint: allow` names no code, or one that does not warn there";
    UnusedOperation = "unused-operation", "if on the same", "a rule never decides on one of its operations: other rules do";
    UnusedParameter = "unused-parameter", "no", "no rule of a template has a gap for a parameter";
    UnusedTemplate = "unused-template", "no", "nothing uses a template of the policy's own file";
    UnusedWorkload = "unused-workload", "if nothing else covers it", "no rule is for a workload that is declared";
    VolatilePath = "volatile-path", "no", "a path is another file for each process: the rule is on the one that was there when the policy was loaded";
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn the_authors_guide_has_every_code() {
        let guide = include_str!("../../../../docs/policy.md");
        let (_, table) =
            guide.split_once("| code | `--fix` | what it warns of |\n|---|---|---|\n").expect("the table");
        let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
        let expected: Vec<String> = Code::ALL
            .iter()
            .map(|code| format!("| `{}` | {} | {} |", code.name(), code.mendable(), code.meaning()))
            .collect();
        assert_eq!(rows, expected, "docs/policy.md, the table of codes");
        assert!(Code::ALL.is_sorted_by(|a, b| a.name() < b.name()));
    }
}
