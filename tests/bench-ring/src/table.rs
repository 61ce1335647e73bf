//! The ratio table.

use serde_json::{Value, json};

use crate::compare::full_batch;
use crate::report::{Report, Spread, round};

/// One contender at one size. Times are seconds an event, a round each.
pub(crate) struct Row {
    name: &'static str,
    flushed: bool,
    pub(crate) wall: Vec<f64>,
    pub(crate) cpu: Vec<f64>,
}

impl Row {
    pub(crate) const fn new(name: &'static str, flushed: bool) -> Self {
        Self { name, flushed, wall: Vec::new(), cpu: Vec::new() }
    }
}

/// What the others are measured by.
pub(crate) const PLAIN: &str = "plain file, appended";
const SQLITE: &str = "SQLite (WAL, full)";

/// Of two contenders' times, round by round: in one round both had the same disk and the same neighbours.
fn ratio(one: &[f64], other: &[f64]) -> Spread {
    Spread::of(one.iter().zip(other).map(|(one, other)| one / other).collect())
}

/// Prints the contenders whose batches are durable, then those that leave it to the kernel.
pub(crate) fn print(report: &mut Report, size: usize, batch: usize, rows: &[Row]) {
    for flushed in [true, false] {
        let what =
            if flushed { "each batch durable" } else { "no flush (the ring: at each end of a segment)" };
        report.say(format_args!("\nevents of {size} bytes, {batch} a batch, {what}"));
        report.say(format_args!(
            "  {:<36} {:>9} {:>7} {:>9} {:>8}   {:<20} {:<20}",
            "", "events/s", "MB/s", "us/event", "cpu us", "time, of plain", "cpu, of plain"
        ));
        let rows: Vec<&Row> = rows.iter().filter(|row| row.flushed == flushed).collect();
        let Some(plain) = rows.iter().find(|row| row.name.starts_with(PLAIN)) else { continue };
        let kept: Vec<Value> = rows.iter().map(|row| line(report, size, row, plain)).collect();
        let targets: Vec<Value> = targets(size, batch)
            .iter()
            .filter(|_| flushed)
            .filter_map(|target| target.check(report, &rows))
            .collect();
        report.add(
            "appends",
            json!({
                "event_bytes": size, "batch_events": batch, "durable": flushed,
                "contenders": kept, "targets": targets,
            }),
        );
    }
}

fn line(report: &Report, size: usize, row: &Row, plain: &Row) -> Value {
    let (wall, cpu) = (Spread::of(row.wall.clone()), Spread::of(row.cpu.clone()));
    let (of_wall, of_cpu) = (ratio(&row.wall, &plain.wall), ratio(&row.cpu, &plain.cpu));
    let text = |ratio: &Spread| format!("{:.2}x ({:.2}-{:.2})", ratio.median, ratio.low, ratio.high);
    report.say(format_args!(
        "  {:<36} {:>9.0} {:>7.1} {:>9.2} {:>8.2}   {:<20} {:<20}",
        row.name,
        1.0 / wall.median,
        size as f64 / wall.median / 1e6,
        wall.median * 1e6,
        cpu.median * 1e6,
        text(&of_wall),
        text(&of_cpu),
    ));
    json!({
        "name": row.name,
        "events_per_second": round(1.0 / wall.median),
        "bytes_per_second": round(size as f64 / wall.median),
        "event_seconds": wall.json(), "event_cpu_seconds": cpu.json(),
        "time_of_plain": of_wall.json(), "cpu_of_plain": of_cpu.json(),
    })
}

/// What the issue asks for.
enum Target {
    /// At most so many times its time.
    AtMost(&'static str, f64),
    /// At least so many times its rate.
    Faster(&'static str, f64),
}

impl Target {
    fn check(&self, report: &Report, rows: &[&Row]) -> Option<Value> {
        let find = |wanted: &str| rows.iter().find(|row| row.name == wanted);
        let (ring, Self::AtMost(other, bound) | Self::Faster(other, bound)) = (find("ring")?, self);
        let other = find(other)?;
        let (text, wall, cpu) = match self {
            Self::AtMost(name, most) => (
                format!("ring within {most}x of the time of {name}"),
                ratio(&ring.wall, &other.wall),
                ratio(&ring.cpu, &other.cpu),
            ),
            Self::Faster(name, times) => (
                format!("ring at least {times}x the rate of {name}"),
                ratio(&other.wall, &ring.wall),
                ratio(&other.cpu, &ring.cpu),
            ),
        };
        let holds = |figure: f64| match self {
            Self::AtMost(..) => figure <= *bound,
            Self::Faster(..) => figure >= *bound,
        };
        let met = |figure: f64| if holds(figure) { "met" } else { "MISSED" };
        report.say(format_args!(
            "  target: {text}: {:.2}x ({:.2}-{:.2}), {}; by CPU time {:.2}x, {}",
            wall.median,
            wall.low,
            wall.high,
            met(wall.median),
            cpu.median,
            met(cpu.median)
        ));
        Some(json!({
            "target": text, "time": wall.json(), "cpu": cpu.json(),
            "met": holds(wall.median), "met_by_cpu": holds(cpu.median),
        }))
    }
}

fn targets(size: usize, batch: usize) -> Vec<Target> {
    let mut targets = Vec::new();
    match size {
        100 if batch == full_batch(size) => targets.push(Target::AtMost(PLAIN, 2.0)),
        1024 if batch == full_batch(size) => targets.push(Target::AtMost(PLAIN, 1.25)),
        _ => {}
    }
    targets.push(Target::Faster(SQLITE, 5.0));
    targets
}
