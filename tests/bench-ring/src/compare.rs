//! Contenders in turns.

use std::time::{Duration, Instant};

use crate::peers::{self, Contender};
use crate::table::{self, Row};
use crate::{Options, Outcome, cpu_time, events};

/// Bytes of frames in a batch: what the agent commits at once.
const BATCH_BYTES: usize = 48 << 10;

const fn events_of(size: usize) -> usize {
    BATCH_BYTES / (size + aegis_ring::limits::FRAME_HEADER_BYTES)
}

/// Times of one contender, a round each.
struct Times {
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
}

/// Compares them at one size of events, and prints the table.
pub(crate) fn run(options: &Options, size: usize) -> Outcome<()> {
    let pool = events(size, 4096);
    let mut contenders = peers::all(&options.directory, size)?;
    let mut times: Vec<Times> =
        contenders.iter().map(|_| Times { wall: Vec::new(), cpu: Vec::new() }).collect();
    for contender in &mut contenders {
        batches(contender.as_mut(), &pool, size, 3)?;
    }
    for round in 0..options.rounds {
        for turn in 0..contenders.len() {
            // Another one begins each round.
            let index = (turn + round) % contenders.len();
            let (begin, cpu) = (Instant::now(), cpu_time());
            batches(contenders[index].as_mut(), &pool, size, options.batches)?;
            times[index].wall.push(begin.elapsed());
            times[index].cpu.push(cpu_time().saturating_sub(cpu));
        }
    }
    let events = (events_of(size) * options.batches) as f64;
    let rows = contenders.iter().zip(&mut times).map(|(contender, times)| Row {
        name: contender.name(),
        flushed: contender.flushed(),
        event: median(&mut times.wall) / events,
        best: times.wall.iter().min().map_or(0.0, Duration::as_secs_f64) / events,
        cpu: median(&mut times.cpu) / events,
    });
    table::print(size, events_of(size), &rows.collect::<Vec<_>>());
    Ok(())
}

fn batches(contender: &mut dyn Contender, pool: &[Vec<u8>], size: usize, count: usize) -> Outcome<()> {
    let events = events_of(size);
    for batch in 0..count {
        let from = batch * events % (pool.len() - events);
        contender.batch(&pool[from..from + events])?;
    }
    Ok(())
}

/// Seconds; the list is in order afterwards.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}
