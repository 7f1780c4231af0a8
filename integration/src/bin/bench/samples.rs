//! Samples of a duration, and what is said of them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Durations in milliseconds, in the order in which they were measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.push_ms(sample.as_secs_f64() * 1e3);
    }

    /// A difference may be negative, as no [`Duration`] is.
    pub(crate) fn push_ms(&mut self, sample: f64) {
        // Microseconds behind the point: more digits say nothing.
        self.0.push((sample * 1e3).round() / 1e3);
    }

    /// The middle one, or between the two in the middle. NaN if there are none, which meets no target.
    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let upper = sorted.len() / 2;
        let lower = sorted.len().saturating_sub(1) / 2;
        match (sorted.get(lower), sorted.get(upper)) {
            (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
            _ => f64::NAN,
        }
    }

    /// The smallest one that nine in ten are not above.
    pub(crate) fn p90(&self) -> f64 {
        let sorted = self.sorted();
        let rank = (sorted.len() * 9).div_ceil(10);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, min, max) = (self.median(), self.min(), self.max());
        if median >= 10_000.0 {
            let seconds = |ms: f64| ms / 1e3;
            return write!(
                f,
                "{:.1} s ({:.1}–{:.1})",
                seconds(median),
                seconds(min),
                seconds(max)
            );
        }
        write!(f, "{median:.0} ms ({min:.0}–{max:.0}, p90 {:.0})", self.p90())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[f64]) -> Samples {
        Samples(samples.to_vec())
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(of(&[9.0, 1.0, 5.0]).median(), 5.0);
        assert_eq!(of(&[9.0, 1.0, 5.0, 7.0]).median(), 6.0);
        assert_eq!(of(&[3.0]).median(), 3.0);
    }

    #[test]
    fn nine_in_ten_are_not_above_the_p90() {
        let ten: Vec<f64> = (1..=10).rev().map(f64::from).collect();
        assert_eq!(of(&ten).p90(), 9.0);
        assert_eq!(of(&[1.0, 2.0]).p90(), 2.0);
        assert_eq!((of(&ten).min(), of(&ten).max()), (1.0, 10.0));
    }

    #[test]
    fn what_was_never_measured_meets_no_target() {
        let none = of(&[]);
        for number in [none.median(), none.p90(), none.min(), none.max()] {
            assert!(number.is_nan());
        }
    }
}
