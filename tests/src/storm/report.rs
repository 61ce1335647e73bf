//! What the storm did, as a page for `docs/evidence/`.

use std::fmt::Write as _;

use super::Step;

/// What each step but the search is.
const STEPS: [(&str, &str); 8] = [
    ("flat-out", "as many as can be made"),
    ("idle", "one a second"),
    ("tenth", "a tenth of the highest"),
    ("half", "half of it"),
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
    let _ = writeln!(text, "The highest rate with a loss below 0.1 %: {}.\n", highest(steps));
    text.push_str(
        "| opens | asked a second | made a second | seen | on disk | lost, by cause | kernel to disk, p50, s | p99 | p99.9 | agent, µs each |\n\
        |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for step in STEPS.iter().flat_map(|(name, _)| steps.iter().filter(|step| step.name == *name)) {
        let what = STEPS.iter().find(|(name, _)| *name == step.name).map_or("", |(_, what)| what);
        let asked = if step.rate == 0 { "-".to_owned() } else { step.rate.to_string() };
        let lost: Vec<String> = step.lost().iter().map(|(cause, count)| format!("{count} {cause}")).collect();
        let lost = if lost.is_empty() { "0".to_owned() } else { lost.join(", ") };
        let [half, most, all] =
            [500, 990, 999].map(|permille| format!("≤ {}", step.latency(permille).unwrap_or("?")));
        let _ = writeln!(
            text,
            "| {what} | {asked} | {:.0} | {} | {} | {lost} | {half} | {most} | {all} | {:.0} |",
            step.made_a_second(),
            step.seen(),
            step.written(),
            step.cpu()
        );
    }
    let _ = writeln!(
        text,
        "\nIn each of the {} steps, those of the search with it, what the kernel saw was what is on the disk and what is counted as lost, to \
        the last event.",
        steps.len()
    );
    text
}

/// The highest rate, in words.
pub fn highest(steps: &[Step]) -> String {
    let flat_out = steps.iter().find(|step| step.name == "flat-out");
    if let Some(step) = flat_out.filter(|step| step.is_borne()) {
        return format!("more than {:.0} a second, which is what could be made", step.made_a_second());
    }
    let best = steps
        .iter()
        .filter(|step| step.is_borne())
        .max_by(|one, other| one.made_a_second().total_cmp(&other.made_a_second()));
    best.map_or("none was found".to_owned(), |step| format!("{:.0} events a second", step.made_a_second()))
}
