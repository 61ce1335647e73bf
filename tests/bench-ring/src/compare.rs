//! Contenders in turns.

use std::time::Instant;

use crate::peers::{self, Contender};
use crate::report::Report;
use crate::table::{self, Row};
use crate::{Options, Outcome, cpu_time, events};

/// Bytes of frames in a batch: what the agent commits at once.
const BATCH_BYTES: usize = 48 << 10;

/// Events in such a batch.
pub(crate) const fn full_batch(size: usize) -> usize {
    BATCH_BYTES / (size + aegis_ring::limits::FRAME_HEADER_BYTES)
}

/// Compares them at one size of events and of batches, and prints the table.
pub(crate) fn run(options: &Options, report: &mut Report, size: usize, batch: usize) -> Outcome<()> {
    let pool = events(size, 4096);
    let mut contenders = peers::all(&options.directory, size)?;
    let mut rows: Vec<Row> =
        contenders.iter().map(|contender| Row::new(contender.name(), contender.flushed())).collect();
    for contender in &mut contenders {
        batches(contender.as_mut(), &pool, batch, 3)?;
    }
    let events = (batch * options.batches) as f64;
    for round in 0..options.rounds {
        for turn in 0..contenders.len() {
            // Another one begins each round.
            let index = (turn + round) % contenders.len();
            let (begin, cpu) = (Instant::now(), cpu_time());
            batches(contenders[index].as_mut(), &pool, batch, options.batches)?;
            rows[index].wall.push(begin.elapsed().as_secs_f64() / events);
            rows[index].cpu.push(cpu_time().saturating_sub(cpu).as_secs_f64() / events);
        }
    }
    table::print(report, size, batch, &rows);
    Ok(())
}

fn batches(contender: &mut dyn Contender, pool: &[Vec<u8>], batch: usize, count: usize) -> Outcome<()> {
    for number in 0..count {
        let from = number * batch % (pool.len() - batch);
        contender.batch(&pool[from..from + batch])?;
    }
    Ok(())
}
