//! Percentiles, and the order of a round.

/// The distribution of one case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    pub(super) count: usize,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) min: f64,
}

impl Figures {
    /// Of samples in nanoseconds; the figures are milliseconds. Percentiles are nearest-rank: at 40 runs p99 is the
    /// slowest of all.
    pub(super) fn of(mut samples: Vec<u64>) -> Figures {
        samples.sort_unstable();
        let rank = |percent: usize| {
            let index = (samples.len() * percent).div_ceil(100).saturating_sub(1);
            samples
                .get(index)
                .map_or(f64::NAN, |nanoseconds| *nanoseconds as f64 / 1e6)
        };
        let middle = samples.len() / 2;
        let p50 = match (
            samples.get(middle),
            middle.checked_sub(1).and_then(|below| samples.get(below)),
        ) {
            (Some(upper), Some(lower)) if samples.len().is_multiple_of(2) => (*upper + *lower) as f64 / 2e6,
            (Some(upper), _) => *upper as f64 / 1e6,
            _ => f64::NAN,
        };
        Figures {
            count: samples.len(),
            p50,
            p90: rank(90),
            p99: rank(99),
            min: rank(0),
        }
    }
}

/// Random enough for an order.
pub(super) struct Dice(u64);

impl Dice {
    /// A different order on every run of the bench.
    pub(super) fn seeded() -> Dice {
        use std::hash::{BuildHasher as _, Hasher as _};
        Dice(std::collections::hash_map::RandomState::new().build_hasher().finish() | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Fisher-Yates.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.next() % (last as u64 + 1)).unwrap_or(0);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let figures = Figures::of((1..=100).rev().map(|ms| ms * 1_000_000).collect());
        assert_eq!(
            figures,
            Figures {
                count: 100,
                p50: 50.5,
                p90: 90.0,
                p99: 99.0,
                min: 1.0
            }
        );
        assert_eq!(Figures::of(vec![3_000_000, 1_000_000, 2_000_000]).p50, 2.0);
        assert!(Figures::of(Vec::new()).p50.is_nan());
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut items: Vec<u32> = (0..50).collect();
        Dice::seeded().shuffle(&mut items);
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
