//! Ratios, round by round, and how sure they are.

use aegis_qemu::Random;

/// So many times the rounds are drawn again.
const DRAWS: usize = 10_000;
/// Fewer rounds than that have no interval.
pub const LEAST_ROUNDS: usize = 3;

/// A ratio, and the interval that it is within, 95 of 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The geometric mean over the rounds.
    pub mean: f64,
    /// By drawing the rounds again, with putting back; none of too few rounds.
    pub interval: Option<[f64; 2]>,
}

/// What is so of a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval is within it.
    Met,
    /// It is not, or there is none.
    Missed,
}

impl Ratio {
    /// Of the ratios of single rounds, each greater than 0; none of no rounds.
    pub fn of(rounds: &[f64]) -> Option<Self> {
        if rounds.is_empty() || rounds.iter().any(|ratio| !ratio.is_finite() || *ratio <= 0.0) {
            return None;
        }
        let logs: Vec<f64> = rounds.iter().map(|ratio| ratio.ln()).collect();
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        Some(Self { mean: mean.exp(), interval: interval(&logs) })
    }

    /// Whether it is below this, as far as is known.
    pub fn is_below(&self, goal: f64) -> Verdict {
        match self.interval {
            Some([_, high]) if high < goal => Verdict::Met,
            _ => Verdict::Missed,
        }
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2}", self.mean)?;
        match self.interval {
            Some([low, high]) => write!(f, " ({low:.2} to {high:.2})"),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
        })
    }
}

/// The percentile interval of the bootstrap (Efron, 1979) of the mean: 95 of 100.
fn interval(logs: &[f64]) -> Option<[f64; 2]> {
    if logs.len() < LEAST_ROUNDS {
        return None;
    }
    // From a fixed seed: the same figures give the same interval.
    let mut random = Random::new(1);
    let mut draw = |_| logs[random.below(logs.len() as u64) as usize];
    let mut means: Vec<f64> =
        (0..DRAWS).map(|_| (0..logs.len()).map(&mut draw).sum::<f64>() / logs.len() as f64).collect();
    means.sort_unstable_by(f64::total_cmp);
    Some([means[DRAWS * 25 / 1000].exp(), means[DRAWS * 975 / 1000 - 1].exp()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_geometric_and_within_its_interval() {
        let ratio = Ratio::of(&[2.0, 0.5, 1.0]).expect("three rounds");
        assert!((ratio.mean - 1.0).abs() < 1e-12);
        let [low, high] = ratio.interval.expect("three rounds");
        assert!((0.5..1.0).contains(&low) && high > 1.0 && high <= 2.0, "{ratio:?}");
        assert_eq!(Ratio::of(&[2.0, 0.5, 1.0]), Some(ratio), "the same twice");
    }

    #[test]
    fn rounds_that_agree_leave_no_doubt_and_few_rounds_claim_nothing() {
        let same = Ratio::of(&[1.04; 5]).expect("rounds");
        let [low, high] = same.interval.expect("enough");
        assert!((low - 1.04).abs() < 1e-9 && (high - 1.04).abs() < 1e-9);
        assert_eq!([same.is_below(1.05), same.is_below(1.03)], [Verdict::Met, Verdict::Missed]);
        let few = Ratio::of(&[1.0, 1.0]).expect("two rounds");
        assert_eq!((few.interval, few.is_below(1.05)), (None, Verdict::Missed));
        assert_eq!(Ratio::of(&[]), None);
        assert_eq!(Ratio::of(&[1.0, 0.0, 1.0]), None);
    }

    #[test]
    fn a_mean_below_the_goal_is_not_enough() {
        let ratio = Ratio::of(&[0.9, 1.0, 1.2]).expect("three rounds");
        assert!(ratio.mean < 1.05);
        assert_eq!(ratio.is_below(1.05), Verdict::Missed, "{ratio}");
    }

    #[test]
    fn the_interval_has_the_truth_in_it_about_as_often_as_it_says() {
        // Twenty rounds of a ratio of 1.1 with noise that is even in the logarithm.
        let mut random = Random::new(7);
        let mut noise = || (random.below(2001) as f64 - 1000.0) / 10_000.0;
        let hits = (0..200).filter(|_| {
            let rounds: Vec<f64> = (0..20).map(|_| 1.1 * noise().exp()).collect();
            let [low, high] = Ratio::of(&rounds).and_then(|ratio| ratio.interval).expect("twenty rounds");
            low <= 1.1 && 1.1 <= high
        });
        let hits = hits.count();
        assert!((176..=200).contains(&hits), "{hits} of 200");
    }
}
