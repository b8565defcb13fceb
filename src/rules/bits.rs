//! A set of rules by their numbers. Does not know rules.

/// Numbers below a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    /// None of `count`.
    pub(super) fn none(count: usize) -> Bits {
        Bits(vec![0; count.div_ceil(64)].into())
    }

    /// All of `count`.
    pub(super) fn all(count: usize) -> Bits {
        let mut all = Bits(vec![u64::MAX; count.div_ceil(64)].into());
        if let Some(last) = all.0.last_mut() {
            *last >>= (64 - count % 64) % 64;
        }
        all
    }

    /// One more.
    pub(super) fn add(&mut self, number: u32) {
        self.0[number as usize / 64] |= 1 << (number % 64);
    }

    /// One fewer.
    pub(super) fn remove(&mut self, number: u32) {
        self.0[number as usize / 64] &= !(1 << (number % 64));
    }

    /// Whether it is there.
    pub(super) fn has(&self, number: u32) -> bool {
        self.0[number as usize / 64] >> (number % 64) & 1 == 1
    }

    /// Only what is in `other`, too.
    pub(super) fn keep(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }

    /// The same as `other`, of as many.
    pub(super) fn copy(&mut self, other: &Bits) {
        self.0.copy_from_slice(&other.0);
    }

    /// Nothing.
    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// The words that it takes.
    pub(super) fn words(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The least from `from` on.
    pub(super) fn next(&self, from: u32) -> Option<u32> {
        let mut at = from as usize / 64;
        let mut word = self.0.get(at)? & (u64::MAX << (from % 64));
        while word == 0 {
            at += 1;
            word = *self.0.get(at)?;
        }
        Some(at as u32 * 64 + word.trailing_zeros())
    }

    /// All, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let first = self.next(0);
        std::iter::successors(first, |number| self.next(number + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_so_many_and_no_more() {
        for count in [0, 1, 63, 64, 65, 128] {
            assert_eq!(Bits::all(count).iter().count(), count);
        }
    }

    #[test]
    fn numbers_are_found_in_their_order() {
        let mut bits = Bits::none(130);
        assert!(bits.is_empty() && bits.next(0).is_none());
        for number in [129, 0, 63, 64] {
            bits.add(number);
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert_eq!((bits.next(65), bits.next(130), bits.next(500)), (Some(129), None, None));
        let mut other = Bits::none(130);
        other.add(64);
        bits.keep(&other);
        assert!(bits.has(64) && !bits.has(63) && !bits.is_empty() && bits.words() == 3);
        bits.remove(64);
        assert!(bits.is_empty());
    }
}
