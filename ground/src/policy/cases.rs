//! `aegisctl policy test`: tests of policies, as data beside them.
//!
//! A file `NAME.test.toml` names a policy and holds cases: every workload of a case, with every operation, on everything that
//! it names, must end with its verdict and by its rule.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use aegis_event::Verdict;
use aegis_policy::{Kind, Operation, Policy, Prefix, names};
use serde_json::{Value, json};

use super::check::{OPERATIONS, meant, of_kind, one_of};
use super::decisions::{Answer, Decisions};
use super::place::{At, Placed, SourceError, SourceFile, Sources};
use super::source::{Fields, Read, Reader, Text, suggest};
use super::things::Thing;
use super::{Trouble, compile, counted, decoded, limits, target};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy test policy-bundles
  aegisctl policy test site.test.toml
  aegisctl policy test site.toml            its tests are in site.test.toml

A file of tests:
  policy = \"site.toml\"                      # beside this file

  [[case]]
  name = \"keys are nobody's to read\"
  workloads = [\"agent-7\", \"anything\"]      # names, not patterns
  operations = [\"open\"]
  paths = [\"/etc/shadow\"]
  verdict = \"denied\"                        # or \"allowed\", \"audited\"
  rule = \"no-keys\"                          # the one that decides; none when no rule does

Instead of paths a case has addresses and ports (protocols = [\"tcp\"] if not said otherwise), or
hashes, or, for ptrace, module-load, bpf and mount, nothing.

Exit codes: 0 all pass, 1 one fails or is refused, 2 wrong use, no tests there, or a file that can't be
read. Of several files the worst counts.";

const SUFFIX: &str = ".test.toml";
const FILE_KEYS: &[&str] = &["policy", "case"];
const CASE_KEYS: &[&str] = &[
    "name",
    "workloads",
    "operations",
    "paths",
    "addresses",
    "ports",
    "protocols",
    "hashes",
    "verdict",
    "rule",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directories with *.test.toml, such files, or policies whose tests are beside them
    #[arg(required = true, value_name = "DIR|FILE")]
    places: Vec<PathBuf>,
    /// Exit 1 when a rule decides in no case
    #[arg(long)]
    strict: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug)]
struct Case {
    name: Text,
    workloads: Vec<Text>,
    operations: Vec<Operation>,
    /// What is accessed, each where a person wrote it.
    things: Vec<(At, Owned)>,
    verdict: Verdict,
    rule: Option<Text>,
}

/// What a case asks of.
#[derive(Debug)]
enum Owned {
    Path(String),
    Net(Prefix, u16, u8),
    Hash([u8; 32]),
    Surface,
}

impl Owned {
    fn thing(&self) -> Thing<'_> {
        match self {
            Self::Path(path) => Thing::Path(path.as_bytes()),
            Self::Net(prefix, port, protocol) => {
                Thing::Net { prefix: *prefix, ports: (*port, *port), protocol: Some(*protocol) }
            }
            Self::Hash(hash) => Thing::Hash(*hash),
            Self::Surface => Thing::Surface,
        }
    }
}

/// What came of one file of tests.
#[derive(Debug, Default)]
struct Ran {
    cases: usize,
    accesses: usize,
    /// The first [`limits::FINDINGS`].
    failures: Vec<(At, String)>,
    failed: usize,
    /// Rules that decide in no case.
    untested: Vec<String>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut found = BTreeSet::new();
    for place in &args.places {
        find(place, &mut found)?;
    }
    let (mut worst, mut all) = (Status::Good, Vec::new());
    for file in &found {
        let name = file.display().to_string();
        // One that is broken is told of, and the others are run all the same.
        let status = match read_and_run(file, &name) {
            Ok((sources, result)) => {
                if args.json {
                    all.push(result.json(&name, &sources));
                } else {
                    output::text(&result.person(&name, &sources))?;
                }
                let bad = result.failed > 0 || (args.strict && !result.untested.is_empty());
                if bad { Status::Refused } else { Status::Good }
            }
            Err(trouble) => {
                let mut fields = trouble.json();
                fields.insert("file".to_owned(), name.into());
                all.push(Value::Object(fields));
                trouble.status(args.json)
            }
        };
        worst = worst.max(status);
    }
    if args.json {
        output::json(&json!({ "good": worst == Status::Good, "files": all }))?;
    }
    Ok(worst)
}

fn read_and_run(file: &Path, name: &str) -> Result<(Sources, Ran), Trouble> {
    let text = text(file).map_err(Trouble::Failure)?;
    let sources = Sources(vec![SourceFile::new(name.to_owned(), name.to_owned(), None, text)]);
    match one(file, &sources) {
        Ok(result) => Ok((sources, result)),
        Err(TestTrouble::Tests(error)) => Err(Trouble::Source(sources, error)),
        Err(TestTrouble::Policy(trouble)) => Err(trouble),
    }
}

/// What is wrong: in the tests, or with their policy.
enum TestTrouble {
    Tests(SourceError),
    Policy(Trouble),
}

/// Finds the files of tests of a place.
fn find(place: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), Failure> {
    let fail = |why: &str| Err(Failure::usage(format!("{}: {why}", place.display())));
    if place.is_dir() {
        let before = found.len();
        below(place, 0, found)?;
        return if found.len() == before { fail("no *.test.toml is there or below") } else { Ok(()) };
    }
    if is_test(place) {
        found.insert(place.to_path_buf());
        return Ok(());
    }
    let beside = place.with_extension("test.toml");
    if !beside.is_file() {
        return fail(&format!("its tests would be in {}, which is not there", beside.display()));
    }
    found.insert(beside);
    Ok(())
}

fn below(directory: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) -> Result<(), Failure> {
    let fail =
        |error: std::io::Error| Failure::usage(format!("{}: {}", directory.display(), files::plain(&error)));
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        // Of links none is followed, so that there is an end.
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() && depth < limits::TEST_DEPTH {
            below(&entry.path(), depth + 1, found)?;
        } else if kind.is_file() && is_test(&entry.path()) {
            found.insert(entry.path());
        }
        if found.len() > limits::TEST_FILES {
            let (place, most) = (directory.display(), limits::TEST_FILES);
            return Err(Failure::usage(format!("{place}: more than {most} files of tests")));
        }
    }
    Ok(())
}

pub(super) fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(SUFFIX.as_bytes()))
}

fn text(file: &Path) -> Result<String, Failure> {
    String::from_utf8(files::read(file, limits::TESTS_BYTES)?)
        .map_err(|_| Failure::refused(format!("{}: not UTF-8 text; policy tests are TOML", file.display())))
}

fn one(file: &Path, sources: &Sources) -> Result<Ran, TestTrouble> {
    let here = TestTrouble::Tests;
    let of_policy = |failure| TestTrouble::Policy(Trouble::Failure(failure));
    let (policy, cases) = read(&sources.0[0].text).map_err(here)?;
    let path = file.parent().unwrap_or(Path::new("")).join(&policy.value);
    if !path.is_file() {
        let message = format!("there is no policy {}", path.display());
        return Err(here(SourceError::new(policy.at, message)));
    }
    let bytes = files::read(&path, aegis_policy::limits::SOURCE_BYTES).map_err(of_policy)?;
    // What is wrong in the policy is shown there, not as a mistake of its tests.
    let compiled = compile(&path, bytes, false).map_err(TestTrouble::Policy)?;
    let policy = decoded(&path, &compiled.bytes).map_err(of_policy)?;
    check(&cases, policy).map_err(here)
}

fn check(cases: &[Case], policy: Policy<'_>) -> Read<Ran> {
    let decisions = Decisions::of(policy);
    let known: Vec<&str> = decisions.rules().iter().map(|rule| rule.name).collect();
    let names: BTreeSet<&str> = known.iter().copied().collect();
    let mut result = Ran { cases: cases.len(), ..Ran::default() };
    let mut tested = BTreeSet::new();
    for case in cases {
        if let Some(rule) = case.rule.as_ref().filter(|rule| !names.contains(rule.value.as_str())) {
            let message =
                format!("the policy has no rule \"{}\"{}", rule.value, suggest(&rule.value, &known));
            return Err(SourceError::new(rule.at, message));
        }
        let rule = case.rule.as_ref().map(|rule| rule.value.as_str());
        let expected = Answer { verdict: case.verdict, rule };
        for workload in &case.workloads {
            let index = decisions.policy.match_workload(workload.value.as_bytes());
            for (at, thing) in &case.things {
                let thing = thing.thing();
                for operation in &case.operations {
                    let answer = decisions.one(index, &thing, *operation);
                    result.accesses += 1;
                    tested.extend(answer.rule);
                    if answer != expected {
                        let (name, operation) = (&case.name.value, operation.name());
                        let message = format!(
                            "\"{name}\": {} {operation} {thing}: {answer}; expected {expected}",
                            workload.value
                        );
                        result.fail(*at, message);
                    }
                }
            }
        }
    }
    result.untested =
        known.iter().filter(|rule| !tested.contains(*rule)).map(|rule| (*rule).to_owned()).collect();
    Ok(result)
}

/// Reads a file of tests: the name of its policy, and the cases.
fn read(text: &str) -> Read<(Text, Vec<Case>)> {
    let reader = Reader { file: 0 };
    let table = reader.parse(text)?;
    let table = Fields { reader: &reader, table: table.get_ref(), span: 0..0, what: "the tests" };
    table.only(FILE_KEYS)?;
    let policy = reader.string(table.required("policy")?)?;
    if policy.value.is_empty() || policy.value.contains('/') {
        let message = format!("bad policy \"{}\": name a file beside this one", policy.value);
        return Err(SourceError::new(policy.at, message));
    }
    let cases = reader.tables(&table, "case")?;
    if cases.is_empty() {
        return Err(SourceError::new(At::default(), "no case: add [[case]]"));
    }
    let (mut read, mut asked) = (Vec::new(), 0);
    for entry in &cases {
        let case = read_case(&reader, entry)?;
        asked += case.workloads.len() * case.operations.len() * case.things.len();
        if asked > limits::TEST_ACCESSES {
            return Err(too_many(case.name.at));
        }
        read.push(case);
    }
    Ok((policy, read))
}

fn too_many(at: At) -> SourceError {
    let most = limits::TEST_ACCESSES;
    let message = format!(
        "with this the tests ask of more than {most} accesses; name fewer of each, or split the file"
    );
    SourceError::new(at, message)
}

fn read_case(reader: &Reader, table: &Fields<'_>) -> Read<Case> {
    table.only(CASE_KEYS)?;
    let bad =
        |text: &Text, what: &str| Err(SourceError::new(text.at, format!("bad {what} \"{}\"", text.value)));
    let name = reader.string(table.required("name")?)?;
    let workloads = reader.list_of_strings(table.required("workloads")?)?;
    if let Some(text) = workloads.iter().find(|text| !names::is_workload_name(text.value.as_bytes())) {
        return bad(text, "workload name (a test names workloads, not patterns)");
    }
    let (kind, things) = read_things(reader, table)?;
    let mut operations = Vec::new();
    for item in reader.list_of_strings(table.required("operations")?)? {
        one_of(&item, "operation", OPERATIONS)?;
        operations.extend(of_kind(&item, kind)?);
    }
    let text = reader.string(table.required("verdict")?)?;
    let Some(verdict) = Verdict::from_name(&text.value) else {
        let known = ["allowed", "audited", "denied"];
        let message = format!("unknown verdict \"{}\"{}", text.value, suggest(&text.value, &known));
        return Err(SourceError::new(text.at, message));
    };
    let rule = table.optional("rule").map(|value| reader.string(value)).transpose()?;
    if rule.is_none() && verdict != Verdict::Allowed {
        let message = format!("which rule decides? add rule = \"…\" to what is {}", text.value);
        return Err(SourceError::new(text.at, message));
    }
    Ok(Case { name, workloads, operations, things, verdict, rule })
}

/// What a case is about, and of which kind that is.
fn read_things(reader: &Reader, table: &Fields<'_>) -> Read<(Kind, Vec<(At, Owned)>)> {
    let strings = |key| table.optional(key).map_or(Ok(Vec::new()), |list| reader.list_of_strings(list));
    let numbers = |key| reader.list_of_numbers(table.optional(key));
    let (paths, addresses, hashes) = (strings("paths")?, strings("addresses")?, strings("hashes")?);
    let (ports, protocols) = (numbers("ports")?, numbers("protocols")?);
    let lists = [&paths, &addresses, &hashes];
    if let Some(more) = lists.iter().filter_map(|list| list.first()).nth(1) {
        return Err(SourceError::new(more.at, "a case is on paths, addresses or hashes: make two cases"));
    }
    if let (true, Some(text)) = (addresses.is_empty(), ports.first().or(protocols.first())) {
        return Err(SourceError::new(text.at, "of which addresses? add addresses = […]"));
    }
    if let Some(text) = paths.iter().find(|text| !names::is_path(&text.value)) {
        return Err(SourceError::new(text.at, format!("bad path \"{}\"", text.value)));
    }
    if let Some(first) = addresses.first() {
        if ports.is_empty() {
            return Err(SourceError::new(first.at, "at which ports? add ports = […]"));
        }
        let tcp = [Placed { at: first.at, value: "tcp".to_owned() }];
        let protocols = if protocols.is_empty() { &tcp[..] } else { &protocols };
        let (ports, protocols) = (each(&ports, port)?, each(protocols, target::protocol)?);
        if addresses.len().saturating_mul(ports.len()).saturating_mul(protocols.len()) > limits::TEST_ACCESSES
        {
            return Err(too_many(first.at));
        }
        let mut things = Vec::new();
        for (at, prefix) in each(&addresses, address)? {
            for (_, port) in &ports {
                things
                    .extend(protocols.iter().map(|(_, protocol)| (at, Owned::Net(prefix, *port, *protocol))));
            }
        }
        return Ok((Kind::Addresses, things));
    }
    if !hashes.is_empty() {
        let hashes = each(&hashes, target::hash)?.into_iter().map(|(at, hash)| (at, Owned::Hash(hash)));
        return Ok((Kind::Hashes, hashes.collect()));
    }
    if !paths.is_empty() {
        let paths = paths.into_iter().map(|path| (path.at, Owned::Path(path.value)));
        return Ok((Kind::Files, paths.collect()));
    }
    let at = reader.at(&table.required("operations")?.span());
    let surface = reader.list_of_strings(table.required("operations")?)?;
    if surface.iter().all(|word| meant(&word.value, Kind::Surface).next().is_some()) {
        return Ok((Kind::Surface, vec![(at, Owned::Surface)]));
    }
    Err(reader.error(&table.span, "the case is on nothing: add paths, addresses or hashes"))
}

fn each<T>(list: &[Text], one: fn(&str) -> Result<T, String>) -> Read<Vec<(At, T)>> {
    let read = |text: &Text| {
        one(&text.value).map(|value| (text.at, value)).map_err(|message| SourceError::new(text.at, message))
    };
    list.iter().map(read).collect()
}

/// One address: what is connected to is no prefix.
fn address(text: &str) -> Result<Prefix, String> {
    let prefix = target::prefix(text)?;
    if prefix.bits == prefix.family.bits() {
        Ok(prefix)
    } else {
        Err(format!("bad address \"{text}\": one is needed"))
    }
}

fn port(text: &str) -> Result<u16, String> {
    let (first, last) = target::ports(text)?;
    if first == last { Ok(first) } else { Err(format!("bad port \"{text}\": one is needed")) }
}

impl Ran {
    fn fail(&mut self, at: At, message: String) {
        self.failed += 1;
        if self.failures.len() < limits::FINDINGS {
            self.failures.push((at, message));
        }
    }

    fn person(&self, name: &str, sources: &Sources) -> String {
        let mut out = String::new();
        for (at, message) in &self.failures {
            // Writing to a String can't fail.
            let _ = writeln!(out, "{}: FAILED: {message}", sources.name(*at));
        }
        for rule in &self.untested {
            let _ = writeln!(out, "{name}: rule \"{rule}\" decides in no case");
        }
        let (cases, accesses) = (counted(self.cases, "case"), self.accesses);
        if let more @ 1.. = self.failed - self.failures.len() {
            let _ = writeln!(out, "{name}: and {more} more");
        }
        let _ = match self.failed {
            0 => writeln!(out, "{name}: good: {cases}, {accesses} accesses"),
            failed => writeln!(out, "{name}: {failed} of {accesses} accesses FAILED"),
        };
        out
    }

    fn json(&self, name: &str, sources: &Sources) -> Value {
        let failures: Vec<Value> = self
            .failures
            .iter()
            .map(|(at, message)| json!({ "line": sources.line(*at), "message": message }))
            .collect();
        json!({
            "file": name, "cases": self.cases, "accesses": self.accesses,
            "failures": failures, "failures_beyond": self.failed - self.failures.len(), "untested_rules": self.untested,
        })
    }
}

/// Whether a text is a file of tests, and a good one.
pub(super) fn is_tests(text: &str) -> bool {
    read(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::read;

    const GOOD: &str = "policy = \"p.toml\"\n[[case]]\nname = \"n\"\nworkloads = [\"w\"]\noperations = [\"open\"]\n\
        paths = [\"/a\"]\nverdict = \"denied\"\nrule = \"r\"\n";

    #[test]
    fn each_mistake_in_tests_is_named() {
        assert_eq!(read(GOOD).expect("good").1[0].operations.len(), 2);
        for (from, to, message) in [
            ("p.toml", "../p.toml", "bad policy \"../p.toml\": name a file beside this one"),
            ("[\"w\"]", "[\"w*\"]", "bad workload name (a test names workloads, not patterns) \"w*\""),
            ("\"open\"", "\"opne\"", "unknown operation \"opne\" (did you mean \"open\"?)"),
            ("/a", "a", "bad path \"a\""),
            ("denied", "deny", "unknown verdict \"deny\" (known: allowed, audited, denied)"),
            ("paths = [\"/a\"]\n", "", "the case is on nothing: add paths, addresses or hashes"),
            ("paths = [\"/a\"]", "addresses = [\"::1\"]", "at which ports? add ports = […]"),
            ("paths = [\"/a\"]", "paths = [\"/a\"]\nports = [1]", "of which addresses? add addresses = […]"),
            (
                "paths = [\"/a\"]",
                "addresses = [\"::/0\"]\nports = [1]",
                "bad address \"::/0\": one is needed",
            ),
            (
                "paths = [\"/a\"]",
                "paths = [\"/a\"]\nhashes = [\"0\"]",
                "a case is on paths, addresses or hashes: make two cases",
            ),
            (
                "\"open\"",
                "\"bpf\"",
                "\"bpf\" is no operation on files: those are open, open-read, open-write, exec, change, connect",
            ),
            ("rule = \"r\"\n", "", "which rule decides? add rule = \"…\" to what is denied"),
            ("verdict", "verdikt", "unknown key \"verdikt\" (did you mean \"verdict\"?)"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = read(&GOOD.replacen(from, to, 1)).expect_err(message);
            assert_eq!(error.message, message);
        }
        assert_eq!(read("policy = \"p.toml\"\n").expect_err("empty").message, "no case: add [[case]]");
    }
}
