//! The largest of the groups that some keys make, and the others as one.
//!
//! Knows records of keys and sums; does not know members, or when anything leaves. What leaves sums to the whole.
//!
//! Bounds: a table settles at `limits::FOLD_TOP_MAX` groups: the largest stay, the others are in its rest for good, and are
//! counted. So one that is small in every part and interval may be missed where there are more. In a window there is a
//! table for each interval.

use super::exact::ExactSum;
use super::intervals::Intervals;
use crate::identity::attributes::Records;
use crate::limits::FOLD_TOP_MAX;
use std::cmp::Ordering;
use std::sync::Arc;

/// Bytes of a group in a table, beside its key.
pub const TOP_ENTRY_BYTES: usize = size_of::<(Arc<[u8]>, ExactSum)>();

/// Sums of groups.
#[derive(Clone, Debug, Default)]
pub(super) struct TopTable {
    /// Records of a group's keys, and its sum; a group may be there twice.
    entries: Vec<(Arc<[u8]>, ExactSum)>,
    /// Groups for which there was no room.
    rest: ExactSum,
}

impl TopTable {
    /// Adds to a group. Returns how many groups went to the rest.
    pub(super) fn add(&mut self, key: &Arc<[u8]>, value: &ExactSum) -> u64 {
        // members of one group often come one after the other
        if let Some((last, sum)) = self.entries.last_mut()
            && Arc::ptr_eq(last, key)
        {
            sum.absorb(value);
            return 0;
        }
        self.entries.push((key.clone(), *value));
        if self.entries.len() >= 2 * FOLD_TOP_MAX { self.settle() } else { 0 }
    }

    /// Joins those that are there twice, and puts the smallest to the rest, if they are too many.
    fn settle(&mut self) -> u64 {
        // in place: a stable sort takes memory
        self.entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.entries.dedup_by(|again, first| {
            let is_same = again.0 == first.0;
            if is_same {
                first.1.absorb(&again.1);
            }
            is_same
        });
        let too_many = self.entries.len().saturating_sub(FOLD_TOP_MAX);
        if too_many > 0 {
            self.entries.sort_unstable_by(largest);
            for (_, sum) in self.entries.drain(FOLD_TOP_MAX..) {
                self.rest.absorb(&sum);
            }
        }
        too_many as u64
    }

    /// Adds what another one has.
    pub(super) fn absorb(&mut self, other: &TopTable) -> u64 {
        self.rest.absorb(&other.rest);
        other.entries.iter().map(|(key, sum)| self.add(key, sum)).sum()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.rest = ExactSum::default();
    }

    /// Groups that it has.
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        TOP_ENTRY_BYTES * self.entries.capacity()
    }
}

/// The larger sum first; of equal ones the smaller bytes.
fn largest(a: &(Arc<[u8]>, ExactSum), b: &(Arc<[u8]>, ExactSum)) -> Ordering {
    let ints = || a.1.int().cmp(&b.1.int());
    b.1.as_f64().total_cmp(&a.1.as_f64()).then_with(|| ints().reverse()).then_with(|| a.0.cmp(&b.0))
}

/// The largest groups of a window, and what shows of them.
#[derive(Clone, Debug, Default)]
pub(super) struct TopState {
    /// Of the interval; of levels, of the newest base cut.
    pub(super) open: TopTable,
    ring: Intervals<TopTable>,
    /// Groups that show a value.
    shown: Vec<Arc<[u8]>>,
    shows_rest: bool,
}

/// What leaves of one group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TopLeaving<'a> {
    Group(&'a [u8], &'a ExactSum),
    Rest(&'a ExactSum),
    GroupEnds(&'a [u8]),
    RestEnds,
}

/// What the others are called: each of the keys has this value.
pub const TOP_OTHER: &str = "other";

/// Each of the keys has the value that stands for the others.
fn is_other(records: &[u8]) -> bool {
    let mut records = Records::new(records).peekable();
    records.peek().is_some() && records.all(|record| record.text() == Some(TOP_OTHER))
}

impl TopState {
    /// Closes the interval of Δ that rule cut `number` ends; the table of the window.
    pub(super) fn close(&mut self, steps: usize, number: u64) -> TopTable {
        let closed = std::mem::take(&mut self.open);
        if steps <= 1 {
            return closed;
        }
        *self.ring.open(steps, number) = closed;
        let mut all = TopTable::default();
        for interval in self.ring.last(steps) {
            all.absorb(interval);
        }
        all
    }

    /// The window begins anew; what shows of it is known.
    pub(super) fn begin_anew(&mut self) {
        self.ring = Intervals::default();
    }

    /// Takes a table back, whose memory is used again.
    pub(super) fn give_back(&mut self, mut table: TopTable) {
        if self.open.entries.capacity() == 0 {
            table.clear();
            self.open = table;
        }
    }

    /// Calls `visit` with the `k` largest groups of a table, the others as one, and what shows no more.
    pub(super) fn leave(&mut self, k: usize, table: &mut TopTable, mut visit: impl FnMut(TopLeaving<'_>)) -> u64 {
        let full = table.settle();
        // a group whose keys say what the others are called is one of them
        let rest = &mut table.rest;
        let mut has_other = false;
        table.entries.retain(|(key, sum)| {
            let is_other = is_other(key);
            if is_other {
                rest.absorb(sum);
                has_other = true;
            }
            !is_other
        });
        table.entries.sort_unstable_by(largest);
        let (top, others) = table.entries.split_at(k.min(table.entries.len()));
        for gone in self.shown.iter().filter(|shown| !top.iter().any(|(key, _)| key == *shown)) {
            visit(TopLeaving::GroupEnds(gone));
        }
        self.shown.clear();
        for (key, sum) in top {
            visit(TopLeaving::Group(key, sum));
            self.shown.push(key.clone());
        }
        let mut rest = table.rest;
        others.iter().for_each(|(_, sum)| rest.absorb(sum));
        if !others.is_empty() || !table.rest.is_zero() || has_other {
            visit(TopLeaving::Rest(&rest));
            self.shows_rest = true;
        } else if std::mem::take(&mut self.shows_rest) {
            visit(TopLeaving::RestEnds);
        }
        full
    }

    pub(super) fn bytes(&self) -> usize {
        let ring: usize = self.ring.all().map(|table| size_of::<TopTable>() + table.bytes()).sum();
        let shown = size_of::<Arc<[u8]>>() * self.shown.capacity();
        size_of::<TopState>() + self.open.bytes() + ring + shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::number::Value;

    #[test]
    fn a_full_table_keeps_the_largest_and_the_whole() {
        let (mut table, mut full) = (TopTable::default(), 0);
        let groups = 3 * FOLD_TOP_MAX as u64;
        for i in 0..groups {
            let mut sum = ExactSum::default();
            sum.add(Value::Int(i as i64 % 1_000 + i64::from(i == 5) * 1_000_000));
            full += table.add(&i.to_be_bytes().as_slice().into(), &sum);
        }
        let (mut state, mut seen, mut total) = (TopState::default(), Vec::new(), 0);
        full += state.leave(2, &mut table, |leaving| match leaving {
            TopLeaving::Group(key, sum) => {
                seen.push((u64::from_be_bytes(key.try_into().unwrap()), sum.int()));
                total += sum.int();
            }
            TopLeaving::Rest(sum) => total += sum.int(),
            other => panic!("{other:?}"),
        });
        assert_eq!(seen, [(5, 1_000_005), (999, 999)]);
        assert_eq!(total, (0..groups).map(|i| i as i128 % 1_000).sum::<i128>() + 1_000_000);
        assert_eq!(full, groups - FOLD_TOP_MAX as u64);
    }
}
