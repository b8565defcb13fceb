//! Chance as a value: a small seeded generator, so that the same seed gives the same bytes on every machine.
//!
//! Deliberately does not know what is drawn with it, and is not fit for secrets.
//! Invariant 1: a sequence depends on the seed and on nothing else (wrapping integer arithmetic only).

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and three mixes a draw.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A sequence for one occasion of a run: `(seed, a, b)` always begins at the same place, whatever was drawn before.
    pub(crate) fn at(seed: u64, a: u64, b: u64) -> Self {
        Random(mix(mix(mix(seed ^ 0x9e37_79b9_7f4a_7c15) ^ a) ^ b.rotate_left(32)))
    }

    /// The next 64 bits.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound` (which must not be 0), by multiplication; the bias is under 2^-32 for the sizes here.
    #[inline]
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// A number in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The finishing mix of SplitMix64: a bijection on 64 bits.
#[inline]
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Zipf's law over `0..n` with exponent 1: rank `k` is drawn in proportion to `1 / (k + 1)`.
pub(crate) struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    /// The law over `n` ranks; `n` must not be 0.
    pub(crate) fn new(n: usize) -> Self {
        assert!(n > 0, "Zipf's law needs at least one rank");
        let mut sum = 0.0;
        let cumulated = (0..n)
            .map(|k| {
                sum += 1.0 / (k + 1) as f64;
                sum
            })
            .collect();
        Zipf { cumulated }
    }

    /// One rank.
    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let whole = *self.cumulated.last().expect("at least one rank");
        let at = random.unit() * whole;
        self.cumulated.partition_point(|&c| c <= at).min(self.cumulated.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_sequence() {
        let draw = |seed| {
            let mut random = Random::at(seed, 0, 0);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(Random::at(1, 2, 3).next(), Random::at(1, 3, 2).next());
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut random = Random::at(7, 0, 0);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1_200).contains(&n)), "{seen:?}");
    }

    #[test]
    fn zipf_prefers_the_first() {
        let zipf = Zipf::new(100);
        let mut random = Random::at(7, 0, 0);
        let mut seen = [0_u32; 100];
        for _ in 0..50_000 {
            seen[zipf.draw(&mut random)] += 1;
        }
        assert!(seen[0] > seen[9] * 7 && seen[9] > seen[99] * 5, "{seen:?}");
    }
}
