//! `aegisctl policy simulate`: what a policy would have decided on what workloads were recorded to do.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::PathBuf;

use aegis_event::{File, Printable, Verdict};
use aegis_policy::{Operation, Operations, Prefix};
use serde_json::{Value, json};

use super::decisions::{Answer, Decisions};
use super::things::Thing;
use super::{compiled_form, counted, decoded, limits};
use crate::export::{Access, EventArgs, Extent, What, read_accesses};
use crate::outcome::{Failure, Outcome, Status};
use crate::output;

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy simulate --policy next.toml --events monday.cbor tuesday.cbor
  aegisctl policy simulate --policy next.toml --against site.toml --events *.cbor --json

The exports are verified first. Without --against, the policy is compared with what was decided then.

Exit codes: 0 all was decided, and nothing that was permitted would be denied; 1 something would be, or
not all could be decided (--allow-partial takes that for good); 2 wrong use, or a policy or an export
that is refused.";

/// What a comparison can't know, said wherever one is shown.
const HOW: &str = "Paths are compared as they were recorded. A device decides by the file that a path leads to when the policy \
is loaded, too: by its other names. Of a script, its interpreter is what was recorded; of a program, no hash.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The policy: source (TOML) or compiled
    #[arg(long, value_name = "NEW")]
    policy: PathBuf,
    /// Compare with this policy instead of what was decided then
    #[arg(long, value_name = "OLD")]
    against: Option<PathBuf>,
    #[command(flatten)]
    events: EventArgs,
    /// Exit 0 also when not all could be decided: paths recorded in part, events lost, exports not all there is
    #[arg(long)]
    allow_partial: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// The rules of the agent itself: what guards it, and what can't be told from how deep it lies.
const SELF: &[u8] = b"aegis-self";
const DEPTH: &[u8] = b"aegis-depth";

/// What happened, by whichever rule: kept beyond the event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Was {
    verdict: Verdict,
    rule: String,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    workload: Vec<u8>,
    operations: Operations,
    old: Was,
    new: Was,
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    /// What was accessed, for a person, and sequence.
    examples: Vec<(String, u64)>,
}

#[derive(Debug, Default)]
struct OfWorkload {
    covered: bool,
    accesses: u64,
    /// By verdict.
    verdicts: [u64; Verdict::ALL.len()],
    changed: u64,
}

/// What is counted.
struct Tally<'p> {
    new: &'p Decisions<'p>,
    old: Option<&'p Decisions<'p>>,
    workloads: BTreeMap<Vec<u8>, OfWorkload>,
    rules: BTreeMap<&'p str, [u64; Verdict::ALL.len()]>,
    groups: BTreeMap<Group, Seen>,
    /// Changes beyond the groups that are counted apart.
    others: u64,
    accesses: u64,
    /// Accesses whose path was recorded in part, and which the part does not decide.
    partial: u64,
    /// Accesses that the agent's own rules decided, and decide still.
    of_agent: u64,
    /// What a policy, by whether it is the new one, says of a file of whatever name.
    whatever: HashMap<(bool, Option<u16>, Operation), Option<Answer<'p>>>,
    changed: u64,
    denied: u64,
}

pub(super) fn run(args: &Args) -> Outcome {
    // 1 is kept for "would be denied".
    simulate(args).map_err(Failure::into_usage)
}

fn simulate(args: &Args) -> Outcome {
    let bytes = compiled_form(&args.policy)?;
    let new = Decisions::of(decoded(&args.policy, &bytes)?);
    let against = args.against.as_deref().map(compiled_form).transpose()?;
    let old = match (&args.against, &against) {
        (Some(file), Some(bytes)) => Some(Decisions::of(decoded(file, bytes)?)),
        _ => None,
    };
    let mut tally = Tally {
        new: &new,
        old: old.as_ref(),
        workloads: BTreeMap::new(),
        rules: new.rules().iter().map(|rule| (rule.name, [0; Verdict::ALL.len()])).collect(),
        groups: BTreeMap::new(),
        others: 0,
        accesses: 0,
        partial: 0,
        of_agent: 0,
        whatever: HashMap::new(),
        changed: 0,
        denied: 0,
    };
    let extent = read_accesses(&args.events, "simulating", |access| tally.take(access))?;
    if args.json {
        output::json(&tally.json(&extent))?;
    } else {
        output::text(&tally.person(&extent, args.allow_partial))?;
    }
    let partial = tally.undecided(&extent).is_some() && !args.allow_partial;
    Ok(if tally.denied > 0 || partial { Status::Refused } else { Status::Good })
}

impl Was {
    fn of(answer: Answer<'_>) -> Self {
        Self { verdict: answer.verdict, rule: answer.rule.unwrap_or_default().to_owned() }
    }

    fn json(&self) -> Value {
        json!({ "verdict": self.verdict.name(), "rule": (!self.rule.is_empty()).then_some(&self.rule) })
    }
}

impl std::fmt::Display for Was {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Answer { verdict: self.verdict, rule: (!self.rule.is_empty()).then_some(&self.rule) }.fmt(f)
    }
}

/// Something that was accessed, and whether its name is whole.
#[derive(Clone, Copy)]
struct Part<'t> {
    thing: Thing<'t>,
    whole: bool,
}

impl<'t> Part<'t> {
    const fn of(file: File<'t>) -> Self {
        Self { thing: Thing::Path(file.path), whole: !file.truncated }
    }
}

impl<'p> Tally<'p> {
    fn take(&mut self, access: &Access<'_>) {
        if self.is_of_agent(access.rule) {
            self.of_agent += 1;
            return;
        }
        let whole = |thing| Part { thing, whole: true };
        let (parts, operations) = match access.what {
            What::File { file, to, operations } => ([Some(Part::of(file)), to.map(Part::of)], operations),
            What::Address { family, address, port, protocol, operation } => {
                let Some(prefix) = Prefix::of(family, address) else { return };
                let net = Thing::Net { prefix, ports: (port, port), protocol: Some(protocol) };
                ([Some(whole(net)), None], Operations::only(operation))
            }
            What::Surface(operation) => ([Some(whole(Thing::Surface)), None], Operations::only(operation)),
        };
        let parts = || parts.iter().flatten();
        let index = self.new.policy.match_workload(access.workload);
        let new = self.strictest(true, index, parts(), operations);
        let old = match self.old {
            Some(old) => {
                let index = old.policy.match_workload(access.workload);
                self.strictest(false, index, parts(), operations).map(Was::of)
            }
            None => Some(Was { verdict: access.verdict, rule: Printable(access.rule).to_string() }),
        };
        let (Some(new), Some(old)) = (new, old) else {
            self.partial += 1;
            return;
        };
        self.accesses += 1;
        if let Some(counts) = new.rule.and_then(|rule| self.rules.get_mut(rule)) {
            counts[usize::from(new.verdict.number())] += 1;
        }
        // Which rule says the same is no change for whoever is confined.
        let changed = old.verdict != new.verdict;
        self.changed += u64::from(changed);
        self.denied += u64::from(changed && new.verdict == Verdict::Denied);
        if let Some(workload) = self.workload(access.workload) {
            workload.covered = index.is_some();
            workload.accesses += 1;
            workload.verdicts[usize::from(new.verdict.number())] += 1;
            workload.changed += u64::from(changed);
        }
        if changed {
            let name = |part: &Part<'_>| format!("{}{}", if part.whole { "" } else { "…" }, part.thing);
            let names: Vec<String> = parts().map(name).collect();
            let group = Group { workload: access.workload.to_vec(), operations, old, new: Was::of(new) };
            self.change(&names.join(" -> "), access.sequence, group);
        }
    }

    /// Whether the agent's own rule decided, and goes on deciding whatever rules say.
    fn is_of_agent(&self, rule: &[u8]) -> bool {
        let guarded = |of: &Decisions<'_>| of.policy.self_protection();
        rule == DEPTH || (rule == SELF && guarded(self.new) && self.old.is_none_or(guarded))
    }

    /// What a policy, the new one or the old, says of all that one access did; none when that depends on a name that is not
    /// known.
    fn strictest<'t>(
        &mut self,
        is_new: bool,
        workload: Option<u16>,
        parts: impl Iterator<Item = &'t Part<'t>> + Clone,
        operations: Operations,
    ) -> Option<Answer<'p>> {
        let of = if is_new { self.new } else { self.old? };
        if parts.clone().all(|part| part.whole) {
            return Some(of.strictest(workload, parts.map(|part| &part.thing), operations));
        }
        let mut best = Some(Answer::ALLOWED);
        for part in parts {
            for operation in operations.iter() {
                let answer = if part.whole {
                    Some(of.one(workload, &part.thing, operation))
                } else {
                    let key = (is_new, workload, operation);
                    *self.whatever.entry(key).or_insert_with(|| of.whatever(workload, operation))
                };
                best = match (best, answer) {
                    // What is denied by one of them is denied, whatever the others say.
                    (Some(best), _) if best.verdict == Verdict::Denied => Some(best),
                    (_, Some(answer)) if answer.verdict == Verdict::Denied => Some(answer),
                    (Some(best), Some(answer)) => Some(best.or_stricter(answer)),
                    _ => None,
                };
            }
        }
        best
    }

    /// What could not be looked at, in words; none when all was.
    fn undecided(&self, extent: &Extent) -> Option<String> {
        let mut what = Vec::new();
        if self.partial > 0 {
            what.push(format!("{} with a path recorded in part", self.partial));
        }
        if extent.lost > 0 {
            what.push(format!("{} lost on the devices", counted(extent.lost as usize, "event")));
        }
        if extent.incomplete {
            what.push(
                "exports that are not all there is (`aegisctl export verify` says what is missing)"
                    .to_owned(),
            );
        }
        (!what.is_empty()).then(|| what.join(", "))
    }

    fn workload(&mut self, name: &[u8]) -> Option<&mut OfWorkload> {
        if !self.workloads.contains_key(name) && self.workloads.len() < limits::GROUPS {
            self.workloads.insert(name.to_vec(), OfWorkload::default());
        }
        self.workloads.get_mut(name)
    }

    fn change(&mut self, what: &str, sequence: u64, group: Group) {
        if !self.groups.contains_key(&group) && self.groups.len() >= limits::GROUPS {
            self.others += 1;
            return;
        }
        let seen = self.groups.entry(group).or_default();
        seen.count += 1;
        if seen.examples.len() < limits::EXAMPLES && !seen.examples.iter().any(|(other, _)| other == what) {
            seen.examples.push((what.to_owned(), sequence));
        }
    }

    fn json(&self, extent: &Extent) -> Value {
        let verdicts = |counts: &[u64; Verdict::ALL.len()]| -> serde_json::Map<String, Value> {
            Verdict::ALL
                .iter()
                .zip(counts)
                .map(|(verdict, count)| (verdict.name().to_owned(), json!(count)))
                .collect()
        };
        let workload = |(name, of): (&Vec<u8>, &OfWorkload)| {
            let mut object = verdicts(&of.verdicts);
            object.insert("workload".to_owned(), Printable(name).to_string().into());
            object.insert("covered".to_owned(), of.covered.into());
            object.insert("accesses".to_owned(), of.accesses.into());
            object.insert("changed".to_owned(), of.changed.into());
            Value::Object(object)
        };
        let rule = |(name, counts): (&&str, &[u64; Verdict::ALL.len()])| {
            let mut object = verdicts(counts);
            object.remove(Verdict::Allowed.name());
            object.insert("rule".to_owned(), (*name).into());
            Value::Object(object)
        };
        let change = |(group, seen): (&Group, &Seen)| {
            let examples: Vec<Value> = seen
                .examples
                .iter()
                .map(|(what, sequence)| {
                    let key =
                        if group.operations.without(Operations::FILE).is_empty() { "path" } else { "what" };
                    json!({ key: what, "sequence": sequence })
                })
                .collect();
            json!({
                "workload": Printable(&group.workload).to_string(),
                "operations": names(group.operations),
                "old": group.old.json(),
                "new": group.new.json(),
                "count": seen.count,
                "examples": examples,
            })
        };
        json!({
            "policy": self.new.policy.name(),
            "mode": self.new.policy.mode().name(),
            "against": self.old.map(|old| old.policy.name()),
            "how": HOW,
            "devices": extent.devices,
            "events": extent.events,
            "lost": extent.lost,
            "incomplete": extent.incomplete,
            "accesses": self.accesses,
            "partial_paths": self.partial,
            "decided_by_agent": self.of_agent,
            "complete": self.undecided(extent).is_none(),
            "changed": self.changed,
            "newly_denied": self.denied,
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "workloads": self.workloads.iter().map(workload).collect::<Vec<_>>(),
            "changes": self.groups.iter().map(change).collect::<Vec<_>>(),
            "changes_beyond": self.others,
        })
    }

    fn person(&self, extent: &Extent, allow_partial: bool) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut out, extent, allow_partial);
        out
    }

    fn write(&self, out: &mut String, extent: &Extent, allow_partial: bool) -> std::fmt::Result {
        let policy = &self.new.policy;
        let base = self
            .old
            .map_or("what was decided then".to_owned(), |old| format!("policy {}", old.policy.name()));
        writeln!(out, "policy {}, mode {}, against {base}", policy.name(), policy.mode().name())?;
        writeln!(
            out,
            "{} of {}, of which {} are accesses that could be decided, by {}",
            counted(extent.events as usize, "event"),
            counted(extent.devices, "device"),
            self.accesses,
            counted(self.workloads.len(), "workload"),
        )?;
        if let Some(what) = self.undecided(extent) {
            writeln!(out, "NOT DECIDED: {what}")?;
        }
        writeln!(out, "\nrules")?;
        for (name, counts) in &self.rules {
            let (audited, denied) = (counts[1], counts[2]);
            let unused = if audited + denied == 0 { "   nothing it speaks of was done" } else { "" };
            writeln!(out, "  {name:<31} {denied:>8} denied {audited:>8} audited{unused}")?;
        }
        writeln!(out, "\nworkloads")?;
        for (name, of) in &self.workloads {
            let [allowed, audited, denied] = of.verdicts;
            let uncovered = if of.covered { "" } else { "   not covered by the policy" };
            writeln!(
                out,
                "  {:<31} {denied:>8} denied {audited:>8} audited {allowed:>8} allowed {:>8} changed{uncovered}",
                Printable(name).to_string(),
                of.changed
            )?;
        }
        if !self.groups.is_empty() {
            writeln!(out, "\nchanges")?;
        }
        for (group, seen) in self.groups.iter().take(limits::CHANGES) {
            let name = Printable(&group.workload);
            let operations = names(group.operations).join(" ");
            writeln!(
                out,
                "  {name} {operations}: {} -> {}: {}",
                group.old,
                group.new,
                counted(seen.count as usize, "time")
            )?;
            for (what, sequence) in &seen.examples {
                writeln!(out, "      {what} (sequence {sequence})")?;
            }
        }
        let hidden = self.groups.len().saturating_sub(limits::CHANGES);
        if hidden > 0 || self.others > 0 {
            writeln!(out, "  and {hidden} more (--json has them), {} uncounted by group", self.others)?;
        }
        writeln!(
            out,
            "\n{} of {} would end otherwise, {} newly denied",
            self.changed, self.accesses, self.denied
        )?;
        if self.of_agent > 0 {
            writeln!(
                out,
                "as decided then: {} by the agent's own rules (aegis-self, aegis-depth), which no policy's rules turn",
                self.of_agent
            )?;
        }
        if let Some(what) = self.undecided(extent).filter(|_| !allow_partial) {
            writeln!(
                out,
                "exit 1: not all could be decided: {what}; look at those by themselves, or give --allow-partial"
            )?;
        }
        writeln!(out, "{HOW}")
    }
}

fn names(operations: Operations) -> Vec<&'static str> {
    operations.iter().map(Operation::name).collect()
}
