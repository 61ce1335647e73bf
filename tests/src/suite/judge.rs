//! When a scenario has passed: the error number, the event and the control, all three.

use aegis_suite::{Control, Scenario};
use serde::Deserialize;
use serde_json::Value;

use super::Boot;

/// What the program in the guest says of a scenario.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    /// Its name.
    pub scenario: String,
    /// The process that acted.
    pub pid: u64,
    /// What the act on the protected side came to: `pass`, `errno N`, `skip WHY`, `broken WHY`.
    pub result: String,
    /// The same of the twin's; `absent` when the boot without rules is the control.
    pub control: String,
    /// Protected files that are not as they were made.
    pub leaked: String,
}

/// What a scenario came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Denied with `EPERM`, told, and it could have passed.
    Passed,
    /// This kernel, or this boot, has not what it takes.
    Skipped(String),
    /// Anything else.
    Failed(String),
}

fn one_of(allowed: &str, value: &Value) -> bool {
    value.as_str().is_some_and(|value| allowed.split('|').any(|one| one == value))
}

/// True when the event is of a task of this scenario: by its name, which it was given for that, or of its process or a child
/// of it (a program that was executed, a worker of `io_uring`).
fn is_of(scenario: &Scenario, line: &Line, event: &Value) -> bool {
    event["comm"] == scenario.id || ["pid", "tgid", "ppid"].iter().any(|name| event[*name] == line.pid)
}

/// Judges one, by its line and the events of the export.
pub(super) fn judge(scenario: &Scenario, line: &Line, boot: Boot, events: &[Value]) -> Outcome {
    for half in [&line.result, &line.control] {
        if let Some(why) = half.strip_prefix("skip ") {
            return Outcome::Skipped(why.to_owned());
        }
    }
    if scenario.by_object && boot == Boot::Fresh {
        return Outcome::Skipped(
            "decided by the object, which was not there when the policy was taken".to_owned(),
        );
    }
    let expected_control = if scenario.control == Control::Absent { "absent" } else { "pass" };
    if line.control != expected_control {
        return Outcome::Failed(format!("its control: {}", line.control));
    }
    if line.result != "errno 1" {
        return Outcome::Failed(format!("{} where it must be EPERM", line.result));
    }
    if !line.leaked.is_empty() {
        return Outcome::Failed(format!("not as they were: {}", line.leaked));
    }
    let of_it: Vec<&Value> = events.iter().filter(|event| is_of(scenario, line, event)).collect();
    let told = of_it.iter().any(|event| {
        event["verdict"] == "denied"
            && one_of(scenario.rule, &event["rule"])
            && one_of(scenario.kind, &event["kind"])
            && one_of(scenario.hook, &event["hook"])
    });
    if told {
        return Outcome::Passed;
    }
    let denials: Vec<String> = of_it
        .iter()
        .filter(|event| event["verdict"] == "denied")
        .map(|event| format!("{} by {} at {}", event["kind"], event["rule"], event["hook"]))
        .collect();
    Outcome::Failed(format!(
        "no event `{}` denied by `{}` at `{}`; there is: {denials:?}",
        scenario.kind, scenario.rule, scenario.hook
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_suite::groups;
    use serde_json::json;

    fn scenario(id: &str) -> Scenario {
        groups::all().into_iter().find(|scenario| scenario.id == id).expect("there")
    }

    fn line(result: &str, control: &str, leaked: &str) -> Line {
        let [result, control, leaked] = [result, control, leaked].map(str::to_owned);
        Line { scenario: "open-read".to_owned(), pid: 77, result, control, leaked }
    }

    fn event(comm: &str, pid: u64, verdict: &str, rule: &str, kind: &str, hook: &str) -> Value {
        json!({ "comm": comm, "pid": pid, "tgid": pid, "ppid": 1, "verdict": verdict, "rule": rule, "kind": kind, "hook": hook })
    }

    #[test]
    fn all_three_are_needed() {
        let told = || event("open-read", 5, "denied", "suite-read", "open", "file_open");
        let good = line("errno 1", "pass", "");
        let passes = |line: &Line, event: Value| judge(&scenario("open-read"), line, Boot::Again, &[event]);
        assert_eq!(passes(&good, told()), Outcome::Passed);
        assert_eq!(
            passes(&good, event("worker", 77, "denied", "suite-read", "open", "file_open")),
            Outcome::Passed
        );
        for (what, line, event) in [
            ("another number", line("errno 13", "pass", ""), told()),
            ("it passed", line("pass", "pass", ""), told()),
            ("its control did not", line("errno 1", "errno 1", ""), told()),
            ("something leaked", line("errno 1", "pass", "/data/suite/p/secret"), told()),
            ("it broke", line("broken it took more than 30 s", "pass", ""), told()),
            (
                "another task",
                good.clone(),
                event("aegis-control", 5, "denied", "suite-read", "open", "file_open"),
            ),
            ("audited", good.clone(), event("open-read", 5, "audited", "suite-read", "open", "file_open")),
            (
                "another rule",
                good.clone(),
                event("open-read", 5, "denied", "suite-write", "open", "file_open"),
            ),
            (
                "another kind",
                good.clone(),
                event("open-read", 5, "denied", "suite-read", "create", "file_open"),
            ),
            (
                "another hook",
                good.clone(),
                event("open-read", 5, "denied", "suite-read", "open", "mmap_file"),
            ),
        ] {
            assert!(matches!(passes(&line, event), Outcome::Failed(_)), "{what}");
        }
        assert!(
            matches!(judge(&scenario("open-read"), &good, Boot::Again, &[]), Outcome::Failed(_)),
            "no event"
        );
        let skipped = line("skip no such system call", "pass", "");
        assert_eq!(passes(&skipped, told()), Outcome::Skipped("no such system call".to_owned()));
    }

    #[test]
    fn what_is_known_by_its_object_alone_waits_for_the_second_boot() {
        let event = event("hard-other", 5, "denied", "suite-read", "open", "file_open");
        let outcome = |boot| {
            judge(&scenario("hard-other"), &line("errno 1", "pass", ""), boot, std::slice::from_ref(&event))
        };
        assert!(matches!(outcome(Boot::Fresh), Outcome::Skipped(_)));
        assert_eq!(outcome(Boot::Again), Outcome::Passed);
    }
}
