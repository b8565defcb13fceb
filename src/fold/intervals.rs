//! Something of each of the last intervals of a rule, by their numbers.
//!
//! Knows numbers; does not know what it holds.
//!
//! Bounds: as many as the longest window has, at most `limits::RULE_STEPS_MAX`.

/// The last intervals.
#[derive(Clone, Debug)]
pub(super) struct Intervals<T> {
    ring: Vec<T>,
    /// Number of the newest; 0 before the first.
    newest: u64,
}

impl<T> Default for Intervals<T> {
    fn default() -> Intervals<T> {
        Intervals { ring: Vec::new(), newest: 0 }
    }
}

impl<T: Default> Intervals<T> {
    /// Makes room for the interval that rule cut `number` closes, where `steps` are kept: those that were left out are
    /// empty, and so is it.
    pub(super) fn open(&mut self, steps: usize, number: u64) -> &mut T {
        let steps = steps.max(1);
        self.ring.resize_with(steps, T::default);
        let left_out = number.saturating_sub(self.newest + 1).min(steps as u64);
        for number in number - left_out..=number {
            self.ring[(number % steps as u64) as usize] = T::default();
        }
        self.newest = number;
        &mut self.ring[(number % steps as u64) as usize]
    }

    /// From now on `steps` are kept: as many of the last as there are.
    pub(super) fn refit(&mut self, steps: usize) {
        let (before, steps) = (self.ring.len() as u64, steps.max(1) as u64);
        let mut ring: Vec<T> = (0..steps).map(|_| T::default()).collect();
        for back in 0..before.min(steps) {
            if let Some(number) = self.newest.checked_sub(back) {
                ring[(number % steps) as usize] = std::mem::take(&mut self.ring[(number % before) as usize]);
            }
        }
        self.ring = ring;
    }

    /// The last `steps` of them, the newest first.
    pub(super) fn last(&self, steps: usize) -> impl Iterator<Item = &T> {
        (0..steps.min(self.ring.len()) as u64).filter_map(|back| {
            let number = self.newest.checked_sub(back)?;
            self.ring.get((number % self.ring.len() as u64) as usize)
        })
    }

    /// All that is kept, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.ring.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_or_fewer_intervals_are_kept_from_now_on() {
        for (steps, want) in [(1, vec![7]), (2, vec![7, 6]), (3, vec![7, 6, 5]), (5, vec![7, 6, 5, 0, 0])] {
            let mut intervals = Intervals::default();
            (1..=7).for_each(|number| *intervals.open(3, number) = number);
            intervals.refit(steps);
            assert_eq!(intervals.last(steps).copied().collect::<Vec<_>>(), want);
            *intervals.open(steps, 8) = 8;
            assert_eq!(intervals.last(2).copied().collect::<Vec<_>>(), [8, 7][..steps.min(2)]);
        }
    }

    #[test]
    fn the_last_intervals_are_there_and_those_left_out_are_empty() {
        let mut intervals = Intervals::default();
        let mut put = |number: u64| {
            *intervals.open(3, number) = number;
            intervals.last(3).copied().collect::<Vec<_>>()
        };
        assert_eq!(put(1), [1, 0]);
        assert_eq!(put(2), [2, 1, 0]);
        assert_eq!(put(3), [3, 2, 1]);
        assert_eq!(put(5), [5, 0, 3]);
        assert_eq!(put(50), [50, 0, 0]);
        assert_eq!(intervals.last(1).copied().collect::<Vec<_>>(), [50]);
        assert_eq!(intervals.all().sum::<u64>(), 50);
    }
}
