//! When a scenario has passed: the error number, the event and the control, all three.

use aegis_suite::{Control, Scenario};
use serde::Deserialize;
use serde_json::Value;

use super::{Boot, Suite};

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

/// Judges one.
pub fn judge(scenario: &Scenario, line: &Line, suite: &Suite) -> Outcome {
    for half in [&line.result, &line.control] {
        if let Some(why) = half.strip_prefix("skip ") {
            return Outcome::Skipped(why.to_owned());
        }
    }
    if scenario.by_object && suite.boot == Boot::Fresh {
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
    let of_it: Vec<&Value> =
        suite.evidence.events.iter().filter(|event| is_of(scenario, line, event)).collect();
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
