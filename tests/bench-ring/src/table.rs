//! The ratio table.

/// One contender at one size. Times are seconds an event.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) flushed: bool,
    pub(crate) event: f64,
    pub(crate) best: f64,
    pub(crate) cpu: f64,
}

/// What the others are measured by.
pub(crate) const PLAIN: &str = "plain file, appended";

/// Prints the contenders whose batches are durable, then those that leave it to the kernel.
pub(crate) fn print(size: usize, batch: usize, rows: &[Row]) {
    for flushed in [true, false] {
        let what = if flushed { "each batch durable" } else { "no flush: what it costs besides the disk" };
        println!("\nevents of {size} bytes, {batch} a batch, {what}");
        println!(
            "  {:<34} {:>10} {:>8} {:>9} {:>9} {:>8} {:>8}",
            "", "events/s", "MB/s", "us/event", "best", "cpu us", "ratio"
        );
        let rows: Vec<&Row> = rows.iter().filter(|row| row.flushed == flushed).collect();
        let plain = rows.iter().find(|row| row.name.starts_with(PLAIN)).map_or(f64::NAN, |row| row.event);
        for row in &rows {
            println!(
                "  {:<34} {:>10.0} {:>8.1} {:>9.2} {:>9.2} {:>8.2} {:>7.2}x",
                row.name,
                1.0 / row.event,
                size as f64 / row.event / 1e6,
                row.event * 1e6,
                row.best * 1e6,
                row.cpu * 1e6,
                row.event / plain
            );
        }
        for (name, target) in targets(size).into_iter().filter(|_| flushed) {
            let time = |wanted: &str| rows.iter().find(|row| row.name == wanted).map(|row| row.event);
            if let (Some(ring), Some(other)) = (time("ring"), time(name)) {
                let (figure, met) = match target {
                    Target::AtMost(most) => (ring / other, ring / other <= most),
                    Target::Faster(times) => (other / ring, other / ring >= times),
                };
                println!(
                    "  target: {} {name}: {figure:.2}x, {}",
                    target.text(),
                    if met { "met" } else { "MISSED" }
                );
            }
        }
    }
}

enum Target {
    /// At most so many times its time.
    AtMost(f64),
    /// At least so many times its rate.
    Faster(f64),
}

impl Target {
    fn text(&self) -> String {
        match self {
            Self::AtMost(most) => format!("ring within {most}x of the time of"),
            Self::Faster(times) => format!("ring at least {times}x the rate of"),
        }
    }
}

fn targets(size: usize) -> Vec<(&'static str, Target)> {
    let mut targets = vec![("SQLite (WAL, full)", Target::Faster(5.0))];
    match size {
        100 => targets.insert(0, (PLAIN, Target::AtMost(2.0))),
        1024 => targets.insert(0, (PLAIN, Target::AtMost(1.25))),
        _ => {}
    }
    targets
}
