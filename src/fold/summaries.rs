//! Summaries: nothing of them is added; the newest is shown whole (RULES 2, `last`).
//!
//! Knows times and regions of points; does not know whose they are. Of equal times the larger words win, as between two points of
//! one series (M28): so neither the order of members nor that of shards matters.
//!
//! Bounds: of a window only those are kept that are the newest of the intervals from theirs on. While the newest member lives
//! that is one; else as many as the window has intervals.

use crate::aggregate::summary::{larger, used};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// The newest of some points.
#[derive(Clone, Debug, Default)]
pub(super) struct WholeSummary {
    /// Nothing: there was none.
    time_ns: Option<u64>,
    /// The words that say something.
    words: Vec<u64>,
}

impl WholeSummary {
    /// A point: of equal times the one with the larger words stays.
    pub(super) fn offer(&mut self, time_ns: u64, words: &[u64]) {
        if self.is_before(time_ns, words) {
            self.time_ns = Some(time_ns);
            self.words.clear();
            self.words.extend_from_slice(&words[..used(&words)]);
        }
    }

    /// It is older than this point, or loses to it.
    fn is_before(&self, time_ns: u64, words: &[u64]) -> bool {
        match self.time_ns.map(|own| own.cmp(&time_ns)) {
            None | Some(Ordering::Less) => true,
            Some(Ordering::Equal) => larger(&words, &self.words.as_slice()),
            Some(Ordering::Greater) => false,
        }
    }

    /// The point.
    pub(super) fn get(&self) -> Option<(u64, &[u64])> {
        self.time_ns.map(|time_ns| (time_ns, self.words.as_slice()))
    }

    /// There is none; its memory is used again.
    pub(super) const fn clear(&mut self) {
        self.time_ns = None;
    }

    pub(super) const fn bytes(&self) -> usize {
        size_of::<WholeSummary>() + 8 * self.words.capacity()
    }
}

/// The newest of an interval, and of those before.
#[derive(Clone, Debug, Default)]
pub(super) struct SummaryState {
    /// Of the interval.
    pub(super) open: WholeSummary,
    /// Those of intervals, by their numbers, that no later one has a newer than.
    kept: VecDeque<(u64, WholeSummary)>,
}

impl SummaryState {
    /// Closes the interval that rule cut `number` ends, where windows have up to `steps`, of several.
    pub(super) fn close(&mut self, steps: usize, number: u64) {
        while self.kept.front().is_some_and(|(first, _)| first + steps as u64 <= number) {
            self.kept.pop_front();
        }
        let Some((time_ns, words)) = self.open.get() else { return };
        // one that is just like it goes, too: this one is in more windows
        while self.kept.back().is_some_and(|(_, kept)| kept.get() == self.open.get() || kept.is_before(time_ns, words))
        {
            self.kept.pop_back();
        }
        let words = words.to_vec();
        self.kept.push_back((number, WholeSummary { time_ns: Some(time_ns), words }));
    }

    /// The newest from the interval of this number on; nothing: that of the interval which is being closed.
    pub(super) fn newest(&self, first: Option<u64>) -> Option<&[u64]> {
        let found = match first {
            None => &self.open,
            Some(first) => &self.kept.iter().find(|(number, _)| *number >= first)?.1,
        };
        found.get().map(|(_, words)| words)
    }

    /// Windows begin anew.
    pub(super) fn begin_anew(&mut self) {
        self.kept.clear();
    }

    pub(super) fn bytes(&self) -> usize {
        let kept: usize = self.kept.iter().map(|(_, summary)| size_of::<u64>() + summary.bytes()).sum();
        size_of::<SummaryState>() + 8 * self.open.words.capacity() + kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::summary::{COUNT, REGION, put};

    fn words(count: u64) -> [u64; REGION] {
        let mut words = [0; REGION];
        put(&mut words.as_mut_slice(), 1, count, 0.0, &[(0.5, 1.0)]);
        words
    }

    #[test]
    fn the_newest_of_a_window_is_there_and_little_else() {
        let mut state = SummaryState::default();
        let mut cut = |number: u64, point: Option<(u64, u64)>| {
            state.open.clear();
            if let Some((time_ns, count)) = point {
                state.open.offer(time_ns, &words(count));
            }
            state.close(3, number);
            (state.newest(Some(number.saturating_sub(2))).map(|words| words[COUNT]), state.kept.len())
        };
        assert_eq!(cut(1, Some((5, 1))), (Some(1), 1));
        assert_eq!(cut(2, Some((6, 2))), (Some(2), 1), "whoever is older is shown no more");
        assert_eq!(cut(3, Some((6, 2))), (Some(2), 1));
        assert_eq!(cut(4, Some((3, 9))), (Some(2), 2));
        assert_eq!(cut(5, None), (Some(2), 2));
        assert_eq!(cut(6, None), (Some(9), 1), "the newest has left the window");
        assert_eq!(cut(7, None), (None, 0));
        assert_eq!(cut(9, Some((1, 1))), (Some(1), 1));
    }

    #[test]
    fn of_equal_times_the_larger_words_win_whichever_comes_first() {
        for order in [[3, 7], [7, 3]] {
            let mut newest = WholeSummary::default();
            order.iter().for_each(|count| newest.offer(4, &words(*count)));
            newest.offer(3, &words(100));
            assert_eq!(newest.get().map(|(time_ns, words)| (time_ns, words[COUNT])), Some((4, 7)));
        }
    }
}
