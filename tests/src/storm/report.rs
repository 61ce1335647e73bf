//! What the storm did, as a page for `docs/evidence/`.

use std::fmt::Write as _;

use aegis_suite::storm::HELD;

use super::Step;

/// What each step but the search is.
const STEPS: [(&str, &str); 9] = [
    ("flat-out", "as many as can be made"),
    ("idle", "one a second"),
    ("tenth", "a tenth of the highest"),
    ("half", "half of it"),
    ("too-high", "found in five seconds, not held for ten"),
    ("highest", "the highest rate"),
    ("twice", "twice as many"),
    ("five-times", "five times"),
    ("ten-times", "ten times"),
];

/// The page. `made`: when, of what and on what.
pub fn page(steps: &[Step], made: &str) -> String {
    let mut text = format!(
        "# A storm of events\n\nWritten by `make storm`, on {made}. How it is measured: [benchmarks.md](../benchmarks.md). Rates are those of \
        software emulation\non a shared machine; that the books balance is not.\n\n"
    );
    let _ = writeln!(
        text,
        "The highest rate that is held for {HELD} seconds with a loss of at most 0.1 %: {}.\n",
        highest(steps)
    );
    text.push_str(
        "| opens | asked a second | made a second | made, of the highest | seen | on disk | lost, by cause | of all | kernel to disk, p50, s \
        | p99 | p99.9 | agent, µs each |\n\
        |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let base = steps.iter().find(|step| step.name == "highest").map_or(f64::NAN, Step::made_a_second);
    for step in STEPS.iter().flat_map(|(name, _)| steps.iter().filter(|step| step.name == *name)) {
        let what = STEPS.iter().find(|(name, _)| *name == step.name).map_or("", |(_, what)| what);
        let asked = if step.rate == 0 { "-".to_owned() } else { step.rate.to_string() };
        let lost: Vec<String> = step.lost().iter().map(|(cause, count)| format!("{count} {cause}")).collect();
        let lost = if lost.is_empty() { "0".to_owned() } else { lost.join(", ") };
        let [half, most, all] =
            [500, 990, 999].map(|permille| format!("≤ {}", step.latency(permille).unwrap_or("?")));
        let _ = writeln!(
            text,
            "| {what} | {asked} | {:.0} | {:.2} | {} | {} | {lost} | {:.2} % | {half} | {most} | {all} | {:.0} |",
            step.made_a_second(),
            step.made_a_second() / base,
            step.seen(),
            step.written(),
            step.lost_in_all() as f64 * 100.0 / step.seen().max(1) as f64,
            step.cpu()
        );
    }
    let _ = writeln!(
        text,
        "\nWhere less was made than was asked for the processes had no more time: they need the same processors as the agent. {}\n",
        beyond(steps)
    );
    let _ = writeln!(
        text,
        "In each of the {} steps, those of the search with it, what the kernel saw was what is on the disk and what is counted as lost, to \
        the last event.",
        steps.len()
    );
    text
}

/// What was asked for beyond the highest rate and what was made of it, in words.
fn beyond(steps: &[Step]) -> String {
    let Some(highest) = steps.iter().find(|step| step.name == "highest") else { return String::new() };
    let said =
        [("twice", "twice"), ("five-times", "five times"), ("ten-times", "ten times")].map(|(name, what)| {
            let step = steps.iter().find(|step| step.name == name)?;
            Some(format!(
                "{what} was asked, {:.2} times made",
                step.made_a_second() / highest.made_a_second()
            ))
        });
    format!("Of the highest rate {}.", said.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

/// The highest rate, in words.
pub fn highest(steps: &[Step]) -> String {
    let flat_out = steps.iter().find(|step| step.name == "flat-out");
    if let Some(step) = flat_out.filter(|step| step.is_held()) {
        return format!("more than {:.0} a second, which is what could be made", step.made_a_second());
    }
    let held = steps.iter().find(|step| step.name == "highest" && step.is_held());
    held.map_or("none was found".to_owned(), |step| {
        format!("{:.0} events a second ({} were asked for)", step.made_a_second(), step.rate)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::step_of;
    use super::*;

    #[test]
    fn the_page_has_what_was_asked_and_what_was_made() {
        let steps = [
            // name, asked, made in ten seconds, lost
            step_of("flat-out", 0, 248_000, 99_000),
            step_of("search", 13_566, 134_200, 0),
            step_of("too-high", 13_566, 130_870, 6_766),
            step_of("highest", 11_870, 110_000, 100),
            step_of("twice", 23_740, 198_000, 80_000),
            step_of("five-times", 59_350, 220_000, 80_000),
            step_of("ten-times", 118_700, 247_500, 90_000),
        ];
        let page = page(&steps, "a day");
        for line in [
            "at most 0.1 %: 11000 events a second (11870 were asked for).",
            "| found in five seconds, not held for ten | 13566 | 13087 | 1.19 |",
            "| the highest rate | 11870 | 11000 | 1.00 | 110000 | 109900 | 100 kernel-ring-full | 0.09 % |",
            "| five times | 59350 | 22000 | 2.00 |",
            "twice was asked, 1.80 times made; five times was asked, 2.00 times made; ten times was asked, 2.25 times made.",
            "In each of the 7 steps",
        ] {
            assert!(page.contains(line), "no `{line}`: {page}");
        }
        assert!(!page.contains("13420"), "a rate of five seconds is no claim: {page}");
        // What was not held is none, whatever it is called.
        assert_eq!(highest(&[step_of("highest", 13_566, 130_870, 6_766)]), "none was found");
        assert_eq!(
            highest(&[step_of("flat-out", 0, 248_000, 0)]),
            "more than 24800 a second, which is what could be made"
        );
    }
}
