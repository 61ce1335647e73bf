//! Times of single calls, all of them kept until the block is over.

use std::time::Instant;

/// Times of calls, ns; where instructions are counted, instructions.
pub(crate) struct Sample(Vec<u64>);

impl Sample {
    pub(crate) fn with_room(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    pub(crate) fn of(times: Vec<u64>) -> Self {
        Self(times)
    }

    /// Times one call. There is room: nothing is allocated meanwhile.
    pub(crate) fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = call();
        self.0.push(begun.elapsed().as_nanos() as u64);
        done
    }

    /// How many, the sum, the least, p50, p95, p99 and the greatest.
    pub(crate) fn json(&self) -> String {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let [least, p50, p95, p99, most] = [0, 50, 95, 99, 100].map(|percent| quantile(&sorted, percent));
        format!(
            "{{\"n\":{},\"sum\":{},\"least\":{least},\"p50\":{p50},\"p95\":{p95},\"p99\":{p99},\"most\":{most}}}",
            sorted.len(),
            sorted.iter().sum::<u64>()
        )
    }
}

/// The nearest rank: the value that so many of a hundred do not exceed; 0 of none.
fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!([0, 50, 95, 99, 100].map(|percent| quantile(&hundred, percent)), [1, 50, 95, 99, 100]);
        assert_eq!([0, 50, 99].map(|percent| quantile(&[7, 9], percent)), [7, 7, 9]);
        assert_eq!(quantile(&[], 99), 0);
        assert_eq!(
            Sample::of(vec![5, 1, 3]).json(),
            "{\"n\":3,\"sum\":9,\"least\":1,\"p50\":3,\"p95\":5,\"p99\":5,\"most\":5}"
        );
    }
}
