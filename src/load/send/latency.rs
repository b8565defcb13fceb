//! A histogram of latencies with a bounded relative error: 64 linear steps in every power of two.
//!
//! Deliberately does not know clocks: it is told nanoseconds.
//! Invariants: 1. every recorded value is counted in exactly one bucket; 2. a quantile is never below the true one and
//! at most 1/64 above it; 3. the maximum is exact.
//! Bounds: 64 + 58 × 64 buckets of 8 bytes, 30 KiB, whatever is recorded.

const STEP_BITS: u32 = 6;
const STEPS: usize = 1 << STEP_BITS;
const BUCKETS: usize = STEPS + (64 - STEP_BITS as usize) * STEPS;

/// Counts by latency.
#[derive(Clone)]
pub struct Latencies {
    counts: Vec<u64>,
    count: u64,
    max_ns: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { counts: vec![0; BUCKETS], count: 0, max_ns: 0 }
    }
}

impl Latencies {
    /// Counts one latency.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// Latencies recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, exactly; 0 when nothing was recorded.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// The smallest bucket's upper end that at least `quantile` (0..=1) of the recorded values do not exceed; 0 when
    /// nothing was recorded.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let rank = ((quantile * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            seen += count;
            if count > 0 && seen >= rank {
                return upper_end(index).min(self.max_ns);
            }
        }
        0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.count = 0;
        self.max_ns = 0;
    }
}

/// Values under 64 have a bucket each; above, the six bits below the leading one choose the step.
#[inline]
fn bucket(ns: u64) -> usize {
    if ns < STEPS as u64 {
        return ns as usize;
    }
    let shift = 63 - ns.leading_zeros() - STEP_BITS;
    STEPS + shift as usize * STEPS + ((ns >> shift) as usize - STEPS)
}

/// The largest value of a bucket.
fn upper_end(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let shift = (index - STEPS) / STEPS;
    let step = (index - STEPS) % STEPS + STEPS;
    (((step as u128 + 1) << shift) - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        for shift in 0..64 {
            for around in [0_u64, 1, 2] {
                let value = (1_u64 << shift).wrapping_add(around).wrapping_sub(1);
                let index = bucket(value);
                assert!(upper_end(index) >= value, "{value}");
                assert!(index == 0 || upper_end(index - 1) < value, "{value}");
                assert!(upper_end(index) as u128 <= value as u128 + value as u128 / 64, "{value}");
            }
        }
        assert_eq!(upper_end(bucket(u64::MAX)), u64::MAX);
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_of_a_known_series() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile_ns(0.5), 0);
        for ns in 1..=1_000_u64 {
            latencies.record(ns * 1_000);
        }
        for (quantile, truth) in [(0.0, 1_000), (0.5, 500_000), (0.99, 990_000), (0.999, 999_000), (1.0, 1_000_000)] {
            let got = latencies.quantile_ns(quantile);
            assert!(got >= truth && got <= truth + truth / 64 + 1, "{quantile}: {got} for {truth}");
        }
        assert_eq!((latencies.count(), latencies.max_ns()), (1_000, 1_000_000));
        latencies.clear();
        assert_eq!((latencies.count(), latencies.max_ns(), latencies.quantile_ns(0.9)), (0, 0, 0));
    }

    #[test]
    fn one_value_is_every_quantile() {
        let mut latencies = Latencies::default();
        latencies.record(123_456_789);
        for quantile in [0.0, 0.5, 0.999, 1.0] {
            assert_eq!(latencies.quantile_ns(quantile), 123_456_789);
        }
    }
}
