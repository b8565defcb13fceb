//! What a core keeps of the open interval beside its cells, until the interval closes and it is handed over whole.
//!
//! Knows when; does not know what it is (`cells::sequences`, `series::exemplars`), nor to whom it goes.

use crate::cells::sequences::Sequences;
use crate::series::exemplars::Reservoir;
use std::sync::Arc;

/// What is kept of one interval.
pub(super) trait OfInterval: Clone + Default {
    /// Empty, of interval `interval`, with as much memory as `like` uses.
    fn begin(interval: u32, like: &Self) -> Self;
    /// The interval it is of.
    fn interval(&self) -> u32;
    /// It is of another one; it is empty.
    fn set_interval(&mut self, interval: u32);
    /// There is nothing.
    fn is_empty(&self) -> bool;
}

macro_rules! of_interval {
    ($($kept:ty),*) => {$(
        impl OfInterval for $kept {
            fn begin(interval: u32, like: &Self) -> Self {
                <$kept>::begin(interval, like)
            }
            fn interval(&self) -> u32 {
                <$kept>::interval(self)
            }
            fn set_interval(&mut self, interval: u32) {
                <$kept>::set_interval(self, interval);
            }
            fn is_empty(&self) -> bool {
                <$kept>::is_empty(self)
            }
        }
    )*};
}
of_interval!(Reservoir, Sequences);

/// Of the open interval.
pub(super) struct KeptOpen<K> {
    /// What is kept.
    pub all: K,
    /// The interval has been handed over, and nothing came since.
    closed: bool,
    /// What was handed over last is not empty.
    held: bool,
}

impl<K: OfInterval> KeptOpen<K> {
    /// Of the first interval.
    pub(super) fn first() -> KeptOpen<K> {
        let mut all = K::default();
        all.set_interval(1);
        KeptOpen { all, closed: false, held: false }
    }

    /// The interval `number` is open from now on.
    pub(super) fn begin(&mut self, number: u32) {
        self.all.set_interval(number);
        self.closed = false;
    }

    /// What is to be handed over, if anything.
    pub(super) fn close(&mut self) -> Option<Arc<K>> {
        if std::mem::replace(&mut self.closed, true) || self.all.is_empty() && !self.held {
            return None;
        }
        self.held = !self.all.is_empty();
        let next = K::begin(self.all.interval(), &self.all);
        Some(Arc::new(std::mem::replace(&mut self.all, next)))
    }

    /// The interval stays open after all: takes back what `close` handed over last. A copy, since others may hold it; rare.
    pub(super) fn reopen(&mut self, handed_over: impl FnOnce() -> Arc<K>) {
        if std::mem::replace(&mut self.closed, false) && self.held {
            self.all = (*handed_over()).clone();
        }
    }
}
