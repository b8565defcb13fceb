//! The largest of the groups that some keys make, and the others as one.
//!
//! Knows records of keys and sums; does not know members, or when anything leaves. What leaves sums to the whole.
//!
//! Bounds: a table settles at `limits::FOLD_TOP_MAX` groups, some time after it has more: the largest stay, the others are in
//! its rest for good, and are counted. So one that is small in every part and interval may be missed where there are more. In a
//! window there is a table for each interval; they are gathered in slices.

use super::exact::ExactSum;
use super::intervals::Intervals;
use crate::identity::attributes::Records;
use crate::limits::FOLD_TOP_MAX;
use hashbrown::HashTable;
use std::cmp::Ordering;
use std::sync::Arc;

/// Bytes of a group in a table, beside its key.
pub const TOP_ENTRY_BYTES: usize = size_of::<TopEntry>() + 2 * size_of::<u32>();

/// Groups that a table takes beyond those at which it settles: it is settled the more seldom, and takes the longer then, a
/// quarter of a millisecond.
const BEYOND: usize = FOLD_TOP_MAX / 4;

/// A group.
#[derive(Clone, Debug)]
struct TopEntry {
    /// Records of its keys.
    key: Arc<[u8]>,
    hash: u64,
    sum: ExactSum,
    /// Its keys say what the others are called.
    is_other: bool,
    /// It is among the smallest.
    goes: bool,
}

/// Sums of groups.
#[derive(Clone, Debug, Default)]
pub(super) struct TopTable {
    entries: Vec<TopEntry>,
    /// By hash of the key, the place of the entry.
    places: HashTable<u32>,
    /// A client must not know which keys collide.
    hashes: ahash::RandomState,
    /// The entry that was added to last.
    last: usize,
    /// Memory for places in the order of sums.
    ranked: Vec<(f64, u32)>,
    /// Groups for which there was no room.
    rest: ExactSum,
}

impl TopTable {
    /// Adds to a group. Returns how many groups went to the rest.
    pub(super) fn add(&mut self, key: &Arc<[u8]>, value: &ExactSum) -> u64 {
        // members of one group often come one after the other
        if let Some(last) = self.entries.get_mut(self.last)
            && Arc::ptr_eq(&last.key, key)
        {
            last.sum.absorb(value);
            return 0;
        }
        let hash = self.hashes.hash_one(&**key);
        if let Some(place) = self.find(hash, key) {
            self.last = place;
            self.entries[place].sum.absorb(value);
            return 0;
        }
        let gone = if self.entries.len() >= FOLD_TOP_MAX + BEYOND { self.settle() } else { 0 };
        self.last = self.entries.len();
        if self.last == self.entries.capacity() {
            // doubling, but not past what there may be
            self.entries.reserve_exact((FOLD_TOP_MAX + BEYOND - self.last).min(self.last.max(4)));
        }
        self.entries.push(TopEntry { key: key.clone(), hash, sum: *value, is_other: is_other(key), goes: false });
        let entries = &self.entries;
        self.places.insert_unique(hash, self.last as u32, |place| entries[*place as usize].hash);
        gone
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let found = self.places.find(hash, |place| *self.entries[*place as usize].key == *key)?;
        Some(*found as usize)
    }

    /// The places of its groups, each with its sum as a double, those that `keep` lets through. In memory that is to be given
    /// back.
    fn take_ranked(&mut self, keep: impl Fn(&TopEntry) -> bool) -> Vec<(f64, u32)> {
        let mut ranked = std::mem::take(&mut self.ranked);
        ranked.clear();
        let entries = self.entries.iter().zip(0..).filter(|(entry, _)| keep(entry));
        ranked.extend(entries.map(|(entry, place)| (entry.sum.as_f64(), place)));
        ranked
    }

    /// The larger sum first; of equal ones the smaller bytes.
    fn largest(&self, a: &(f64, u32), b: &(f64, u32)) -> Ordering {
        let [one, other] = [a, b].map(|at| &self.entries[at.1 as usize]);
        let ints = || other.sum.int().cmp(&one.sum.int());
        b.0.total_cmp(&a.0).then_with(ints).then_with(|| one.key.cmp(&other.key))
    }

    /// Puts the smallest to the rest, if they are too many.
    fn settle(&mut self) -> u64 {
        let too_many = self.entries.len().saturating_sub(FOLD_TOP_MAX);
        if too_many > 0 {
            let mut ranked = self.take_ranked(|_| true);
            ranked.select_nth_unstable_by(FOLD_TOP_MAX, |a, b| self.largest(a, b));
            ranked[FOLD_TOP_MAX..].iter().for_each(|(_, place)| self.entries[*place as usize].goes = true);
            self.ranked = ranked;
            let rest = &mut self.rest;
            self.entries.retain(|entry| {
                if entry.goes {
                    rest.absorb(&entry.sum);
                }
                !entry.goes
            });
            self.places.clear();
            let entries = &self.entries;
            for (entry, place) in entries.iter().zip(0..) {
                self.places.insert_unique(entry.hash, place, |place| entries[*place as usize].hash);
            }
        }
        too_many as u64
    }

    /// Adds what another one has.
    pub(super) fn absorb(&mut self, other: &TopTable) -> u64 {
        let mut from = 0;
        self.absorb_some(other, &mut from, usize::MAX)
    }

    /// The same of `n` groups from place `from` on, and of its rest behind them.
    fn absorb_some(&mut self, other: &TopTable, from: &mut usize, n: usize) -> u64 {
        let to = other.entries.len().min(from.saturating_add(n));
        let gone = other.entries[*from..to].iter().map(|entry| self.add(&entry.key, &entry.sum)).sum();
        *from = to;
        if to == other.entries.len() {
            self.rest.absorb(&other.rest);
        }
        gone
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
        self.rest = ExactSum::default();
    }

    /// Groups that it has.
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        TOP_ENTRY_BYTES * self.entries.capacity() + size_of::<(f64, u32)>() * self.ranked.capacity()
    }
}

/// The largest groups of a window, and what shows of them.
#[derive(Clone, Debug, Default)]
pub(super) struct TopState {
    /// Of the interval; of levels, of the newest base cut.
    pub(super) open: TopTable,
    ring: Intervals<TopTable>,
    /// The window, as far as it is gathered.
    gathering: Option<Box<Gathering>>,
    /// Groups that show a value.
    shown: Vec<Arc<[u8]>>,
    shows_rest: bool,
}

/// A window that is gathered.
#[derive(Clone, Debug, Default)]
struct Gathering {
    table: TopTable,
    /// How many of its intervals are in it, the newest first; and how many groups of the next.
    intervals: usize,
    groups: usize,
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
    /// Closes the interval of Δ that rule cut `number` ends, of which nothing leaves.
    pub(super) fn close(&mut self, steps: usize, number: u64) {
        if steps <= 1 {
            self.open.clear();
        } else {
            self.open.ranked = Vec::new();
            *self.ring.open(steps, number) = std::mem::take(&mut self.open);
        }
    }

    /// Closes it, and gathers the window: up to `n` groups at a time. `true` when there is more to gather.
    pub(super) fn gather_some(&mut self, steps: usize, number: u64, n: usize, full: &mut u64) -> bool {
        let mut gathering = match self.gathering.take() {
            Some(gathering) => gathering,
            None if steps <= 1 => {
                let table = std::mem::take(&mut self.open);
                Box::new(Gathering { table, intervals: steps, groups: 0 })
            }
            None => {
                self.close(steps, number);
                Box::default()
            }
        };
        let mut left = n;
        while left > 0 && gathering.intervals < steps {
            let Some(interval) = self.ring.last(steps).nth(gathering.intervals) else {
                gathering.intervals = steps;
                break;
            };
            let before = gathering.groups;
            *full += gathering.table.absorb_some(interval, &mut gathering.groups, left);
            // a look at an interval without any takes a little, too
            left = left.saturating_sub(1 + gathering.groups - before);
            if gathering.groups == interval.len() {
                (gathering.intervals, gathering.groups) = (gathering.intervals + 1, 0);
            }
        }
        let is_more = gathering.intervals < steps;
        self.gathering = Some(gathering);
        is_more
    }

    /// The window that was gathered.
    pub(super) fn gathered(&mut self) -> TopTable {
        self.gathering.take().map(|gathering| gathering.table).unwrap_or_default()
    }

    /// The window begins anew; what shows of it is known.
    pub(super) fn begin_anew(&mut self) {
        (self.ring, self.gathering) = (Intervals::default(), None);
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
        let mut ranked = table.take_ranked(|entry| !entry.is_other);
        let has_other = ranked.len() < table.len();
        let k = k.min(ranked.len());
        if k < ranked.len() {
            ranked.select_nth_unstable_by(k, |a, b| table.largest(a, b));
        }
        let (top, _) = ranked.split_at_mut(k);
        top.sort_unstable_by(|a, b| table.largest(a, b));
        let mut is_top = vec![false; table.len()];
        top.iter().for_each(|(_, place)| is_top[*place as usize] = true);
        let is_shown = |key: &Arc<[u8]>| {
            let place = table.find(table.hashes.hash_one(&**key), key);
            place.is_some_and(|place| is_top[place])
        };
        for gone in self.shown.iter().filter(|shown| !is_shown(shown)) {
            visit(TopLeaving::GroupEnds(gone));
        }
        self.shown.clear();
        for (_, place) in &*top {
            let entry = &table.entries[*place as usize];
            visit(TopLeaving::Group(&entry.key, &entry.sum));
            self.shown.push(entry.key.clone());
        }
        let mut rest = table.rest;
        let others = table.entries.iter().zip(&is_top).filter(|(_, is_top)| !**is_top);
        others.for_each(|(entry, _)| rest.absorb(&entry.sum));
        if k < ranked.len() || !table.rest.is_zero() || has_other {
            visit(TopLeaving::Rest(&rest));
            self.shows_rest = true;
        } else if std::mem::take(&mut self.shows_rest) {
            visit(TopLeaving::RestEnds);
        }
        table.ranked = ranked;
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

    /// A window that is gathered in slices is the one that is gathered at once, wherever they end.
    #[test]
    fn a_window_is_gathered_in_slices() {
        let key = |n: i64| -> Arc<[u8]> { n.to_be_bytes().as_slice().into() };
        let gathered = |n: usize| {
            let (mut state, mut slices) = (TopState::default(), 0);
            let mut last = Vec::new();
            for number in 1..=5u64 {
                for group in 0..40 * number as i64 {
                    let mut sum = ExactSum::default();
                    sum.add(Value::Int(group % 7 + number as i64));
                    state.open.add(&key(group), &sum);
                }
                while state.gather_some(3, number, n, &mut 0) {
                    slices += 1;
                    assert!(slices < 10_000, "it comes to an end");
                }
                let mut table = state.gathered();
                last.clear();
                state.leave(4, &mut table, |leaving| match leaving {
                    TopLeaving::Group(key, sum) => last.push((key.to_vec(), sum.int())),
                    TopLeaving::Rest(sum) => last.push((vec![], sum.int())),
                    TopLeaving::GroupEnds(_) => {}
                    TopLeaving::RestEnds => panic!("there are others"),
                });
                state.give_back(table);
            }
            (last, slices)
        };
        let (at_once, none) = gathered(usize::MAX);
        assert_eq!(none, 0);
        let whole: i128 = (3..=5).map(|n| (0..40 * n).map(|group| i128::from(group % 7 + n)).sum::<i128>()).sum();
        assert_eq!(at_once.iter().map(|(_, sum)| sum).sum::<i128>(), whole);
        for n in [1, 7, 100, 1_000] {
            let (sliced, slices) = gathered(n);
            assert!(sliced == at_once && (slices > 0) == (n < 1_000), "{n}: {slices}");
        }
    }
}
