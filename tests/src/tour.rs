//! The tour of a device's commands, `docs/tour.md`: what it asks, and what it says was answered. Run in a guest by `tests/e2e/tour.rs`.

/// A command of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// As it stands behind the prompt.
    pub command: String,
    /// Lines of what it says.
    pub answer: Vec<String>,
    /// Its exit code.
    pub exit: u32,
}

/// The blocks of the page that begin with a prompt.
///
/// # Panics
/// When one has no exit code.
pub fn steps(page: &str) -> Vec<Step> {
    let blocks = page.split("\n```\n# ").skip(1).map(|rest| rest.split("\n```\n").next().unwrap_or_default());
    let step = |block: &str| {
        let (command, answer) = block.split_once('\n').unwrap_or((block, ""));
        let (command, exit) = command.rsplit_once("   # exit ").expect("every command has its exit code");
        Step {
            command: command.to_owned(),
            answer: answer.lines().map(str::to_owned).collect(),
            exit: exit.parse().expect("a code"),
        }
    };
    blocks.map(step).collect()
}

/// A line without what differs from run to run: numbers and ids are `0`.
pub fn shape(line: &str) -> String {
    let mut shape = String::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end.max(if end == 0 { first.len_utf8() } else { 0 }));
        rest = behind;
        let is_number = word.bytes().any(|byte| byte.is_ascii_digit())
            && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        // Columns are as wide as their numbers are.
        if word == " " && shape.ends_with(' ') {
            continue;
        }
        if is_number {
            shape.push('0');
            continue;
        }
        // Of `10ms` and `30T21` the letters stay.
        for (at, c) in word.char_indices() {
            if !c.is_ascii_digit() {
                shape.push(c);
            } else if !word[..at].ends_with(|before: char| before.is_ascii_digit()) {
                shape.push('0');
            }
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_apart() {
        let page = "x\n```\n# a b   # exit 1\none\n\ntwo\n```\n\n```\n# c   # exit 0\n```\n";
        let step = |command: &str, answer: &[&str], exit| Step {
            command: command.to_owned(),
            answer: answer.iter().map(|line| (*line).to_owned()).collect(),
            exit,
        };
        assert_eq!(steps(page), [step("a b", &["one", "", "two"], 1), step("c", &[], 0)]);
    }

    #[test]
    fn what_differs_is_left_out_and_nothing_else() {
        let line = "device 61ab39a946c87121973250c06a95a6fb {\"least\":1796,\"x\":true}   up 00:01:22";
        assert_eq!(shape(line), "device 0 {\"least\":0,\"x\":true} up 0:0:0");
        assert_ne!(shape("mode enforcing"), shape("mode audit-only"));
        assert_eq!(shape("sha256 \u{e4}9 10ms 2026-11-30T21:02:51Z"), "sha0 \u{e4}0 0ms 0-0-0T0:0:0Z");
    }

    /// What no guest has answered is no tour.
    #[test]
    fn no_command_of_the_tour_is_without_its_answer() {
        let steps = steps(include_str!("../../docs/tour.md"));
        assert!(steps.len() > 20, "{}", steps.len());
        for step in steps {
            assert!(step.answer.iter().any(|line| !line.trim().is_empty()), "{}: no answer", step.command);
        }
    }
}
