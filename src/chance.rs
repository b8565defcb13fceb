//! Chance from a seed: the same seed, the same numbers.
//!
//! Does not know where a seed comes from: `runtime` draws one from the system, a simulated run prints its own, so that it
//! can be run again. A plain value and no trait: what differs between the two is the seed alone.
//!
//! Good enough for jitter and for tests; nothing here keeps a secret.

/// Numbers that look random: SplitMix64.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of this seed.
    pub const fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// Any number.
    pub const fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..=most`, near enough.
    pub const fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(count) => self.any() % count,
            None => self.any(),
        }
    }

    /// `true` once in `times`, on the average; never for 0.
    pub const fn one_in(&mut self, times: u64) -> bool {
        times > 0 && self.up_to(times - 1) == 0
    }

    /// A place of something that has `count`, which is not 0.
    pub const fn place(&mut self, count: usize) -> usize {
        self.up_to(count as u64 - 1) as usize
    }

    /// Another source, whose numbers have nothing to do with those still to come from this one.
    pub const fn fork(&mut self) -> Chance {
        Chance(self.any())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_others_do_not() {
        let numbers = |seed| -> Vec<u64> {
            let mut chance = Chance::new(seed);
            (0..100).map(|_| chance.any()).collect()
        };
        assert_eq!(numbers(7), numbers(7));
        assert!(numbers(7).iter().zip(numbers(8)).all(|(a, b)| *a != b));
        let mut chance = Chance::new(7);
        let mut forked = chance.fork();
        assert!((0..100).all(|_| forked.any() != chance.any()));
    }

    #[test]
    fn numbers_stay_within_their_bounds_and_reach_them() {
        let mut chance = Chance::new(1);
        for most in [0, 1, 2, 9] {
            let drawn: std::collections::BTreeSet<u64> = (0..1_000).map(|_| chance.up_to(most)).collect();
            assert!(drawn.iter().copied().eq(0..=most), "{most}: {drawn:?}");
        }
        chance.up_to(u64::MAX);
        assert!((0..100).all(|_| chance.one_in(1) && !chance.one_in(0)));
        let hits = (0..10_000).filter(|_| chance.one_in(10)).count();
        assert!((800..1_200).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| chance.place(3) < 3));
    }
}
