//! The series of a group on one shard: its owner adds to them, any thread reads them.
//!
//! Knows series and their places; does not know groups, nor what a series has.
//!
//! Invariants
//! 1. Places only grow until the list is thinned out. Then the first one stays where it is, or a tombstone stands in its
//!    place: it never becomes one of the others.
//! 2. So a reader that sees the first from before that and the others from behind it, or the other way round, sees none
//!    twice.
//!
//! Bounds: of one series, as each of a million groups may have it, the list takes two words here and two at the owner's. The
//! others lie in a list of their own, which is there once there are any.

use crate::series::{Group, Series};
use crate::sync::append::{AppendVec, Appender};
use crate::sync::once::Once;
use crate::sync::published::Published;
use crate::sync::thin::ThinBytes;
use std::sync::Arc;

type Others = AppendVec<Arc<Series>>;

/// The readers' side.
pub struct GroupSeries {
    first: Published<Series>,
    others: Once<Published<Others>>,
}

impl GroupSeries {
    /// One.
    pub(super) fn new(first: Arc<Series>) -> GroupSeries {
        GroupSeries { first: Published::new(first), others: Once::new() }
    }

    /// Those that are there now; dead ones are marked. More may come.
    pub fn load(&self) -> SeriesReader {
        SeriesReader { first: self.first.load(), others: self.others.get().map(Published::load) }
    }

    fn show(&self, others: Arc<Others>) {
        let is_first = self.others.get().is_none() && self.others.set(Box::new(Published::new(others.clone()))).is_ok();
        if let Some(slot) = self.others.get().filter(|_| !is_first) {
            slot.store(others);
        }
    }
}

impl From<SeriesReader> for GroupSeries {
    /// Another one of the same series.
    fn from(all: SeriesReader) -> GroupSeries {
        let listed = GroupSeries::new(all.first);
        if let Some(others) = all.others {
            listed.show(others);
        }
        listed
    }
}

/// What a reader holds.
pub struct SeriesReader {
    first: Arc<Series>,
    others: Option<Arc<Others>>,
}

impl SeriesReader {
    /// What they have in common.
    #[inline]
    pub fn group(&self) -> &Arc<Group> {
        &self.first.group
    }

    /// The series at a place.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&Arc<Series>> {
        one(&self.first, self.others.as_deref(), at)
    }

    /// The series at a place, and those behind it that lie beside it.
    #[inline]
    pub fn beside(&self, at: usize) -> &[Arc<Series>] {
        beside(&self.first, self.others.as_deref(), at)
    }
}

/// Each point that is written asks twice: how many lie beside it is not worked out for that.
#[inline]
fn one<'a>(first: &'a Arc<Series>, others: Option<&'a Others>, at: usize) -> Option<&'a Arc<Series>> {
    match at.checked_sub(1) {
        None => Some(first),
        Some(at) => others?.get(at),
    }
}

#[inline]
fn beside<'a>(first: &'a Arc<Series>, others: Option<&'a Others>, at: usize) -> &'a [Arc<Series>] {
    match at.checked_sub(1) {
        None => std::slice::from_ref(first),
        Some(at) => others.map_or(&[], |others| others.beside(at)),
    }
}

/// What stands in the place of a dead series that was the first of its group.
pub(super) fn tombstone(group: Arc<Group>) -> Arc<Series> {
    let tombstone = Series::new(0, group, ThinBytes::new(&[]), 0);
    tombstone.put_dead();
    Arc::new(tombstone)
}

/// The owner's side: it alone adds and takes away.
pub(super) struct OwnedSeries {
    first: Arc<Series>,
    others: Option<Appender<Arc<Series>>>,
}

impl OwnedSeries {
    /// What they have in common.
    #[inline]
    pub(super) fn group(&self) -> &Arc<Group> {
        &self.first.group
    }

    /// The one that `GroupSeries::new` was told of.
    pub(super) const fn new(first: Arc<Series>) -> OwnedSeries {
        OwnedSeries { first, others: None }
    }

    /// Places.
    #[inline]
    pub(super) fn len(&self) -> usize {
        1 + self.others.as_ref().map_or(0, |others| others.len())
    }

    /// The series at a place.
    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<&Arc<Series>> {
        one(&self.first, self.others.as_deref(), at)
    }

    /// The series at a place, and those behind it that lie beside it.
    #[inline]
    pub(super) fn beside(&self, at: usize) -> &[Arc<Series>] {
        beside(&self.first, self.others.as_deref(), at)
    }

    /// By place.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Series>> {
        std::iter::once(&self.first).chain(self.others.iter().flat_map(|others| others.iter()))
    }

    /// All of them, to look at while what they are a part of changes.
    #[inline]
    pub(super) fn reader(&self) -> SeriesReader {
        SeriesReader { first: self.first.clone(), others: self.others.as_ref().map(Appender::reader) }
    }

    /// One more.
    pub(super) fn push(&mut self, series: Arc<Series>, listed: &GroupSeries) {
        if let Some(others) = &mut self.others {
            others.push(series);
            return;
        }
        let (mut others, reader) = AppendVec::new();
        others.push(series);
        listed.show(reader);
        self.others = Some(others);
    }

    /// Dead ones go; the first leaves a tombstone.
    pub(super) fn thin_out(&mut self, listed: &GroupSeries) {
        if self.first.is_dead() {
            self.first = tombstone(self.first.group.clone());
            listed.first.store(self.first.clone());
        }
        let Some(others) = &mut self.others else { return };
        let (mut fresh, reader) = AppendVec::new();
        others.iter().filter(|series| !series.is_dead()).for_each(|series| {
            fresh.push(series.clone());
        });
        *others = fresh;
        listed.show(reader);
    }

    /// All go, and `tombstone` is left.
    pub(super) fn clear(&mut self, listed: &GroupSeries, tombstone: &Arc<Series>) {
        *self = OwnedSeries { first: tombstone.clone(), others: self.others.take() };
        listed.first.store(tombstone.clone());
        if self.others.take().is_some() {
            listed.show(AppendVec::new().1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    fn series(hash: u64) -> Arc<Series> {
        Arc::new(Series::new(hash, Group::nobody(&ahash::RandomState::new()), ThinBytes::new(b""), 0))
    }

    fn read(reader: &SeriesReader) -> Vec<u64> {
        (0..).map_while(|at| reader.get(at)).map(|series| series.hash).collect()
    }

    /// Of both sides all that live are seen, each once, in the order they came; the dead first one leaves a tombstone.
    #[test]
    fn what_is_thinned_out_keeps_its_order_and_its_first_place() {
        let all: Vec<Arc<Series>> = (1..8).map(series).collect();
        let (mut owned, listed) = (OwnedSeries::new(all[0].clone()), GroupSeries::new(all[0].clone()));
        assert_eq!((owned.len(), read(&listed.load())), (1, vec![1]));
        let before = listed.load();
        all[1..].iter().for_each(|series| owned.push(series.clone(), &listed));
        assert_eq!((owned.len(), read(&owned.reader()), read(&listed.load())), (7, (1..8).collect(), (1..8).collect()));
        assert_eq!(read(&before), [1], "as it was");
        let (mut beside, mut at) = (Vec::new(), 0);
        while let Some(next) = Some(owned.reader().beside(at).len()).filter(|next| *next > 0) {
            beside.push(next);
            at += next;
        }
        assert_eq!(beside.iter().sum::<usize>(), 7, "{beside:?}");
        let during = listed.load();
        [2, 3].iter().for_each(|dead: &usize| all[*dead].put_dead());
        owned.thin_out(&listed);
        assert_eq!((read(&owned.reader()), read(&listed.load())), (vec![1, 2, 5, 6, 7], vec![1, 2, 5, 6, 7]));
        all[0].put_dead();
        owned.thin_out(&listed);
        assert_eq!((owned.len(), read(&listed.load())), (5, vec![0, 2, 5, 6, 7]));
        assert_eq!(owned.iter().map(|series| series.hash).collect::<Vec<_>>(), [0, 2, 5, 6, 7]);
        assert!(owned.get(0).is_some_and(|first| first.is_dead() && Arc::ptr_eq(&first.group, &all[0].group)));
        assert_eq!(read(&GroupSeries::from(listed.load()).load()), [0, 2, 5, 6, 7]);
        assert_eq!(read(&during), (1..8).collect::<Vec<_>>(), "as it was");
        owned.push(all[2].clone(), &listed);
        assert_eq!(owned.get(5).map(|series| series.hash), listed.load().get(5).map(|series| series.hash));
        drop(during);
        owned.clear(&listed, &tombstone(all[0].group.clone()));
        assert_eq!((owned.len(), read(&listed.load())), (1, vec![0]));
        assert!(size_of::<GroupSeries>() <= 16 && size_of::<OwnedSeries>() <= 16);
    }
}
