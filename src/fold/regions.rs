//! Histograms, gathered: one region for each set of bounds, or one exponential histogram; and the newest summary.
//!
//! Knows regions' words (`aggregate`); does not know members or outputs.
//!
//! Bounds: `limits::FOLD_BOUNDS_MAX` sets of bounds; what has others goes to the first of them, bucket by bucket where
//! their bounds lie.

use super::contribution::ContributedRegion;
use super::exact::two_sum;
use super::rebucket;
use super::summaries::WholeSummary;
use super::work::FoldWork;
use crate::aggregate::explicit::{COUNT, FLAGS, HAS_MAX, HAS_MIN, HAS_SUM, HEAD, MAX, MIN, SUM, without_values};
use crate::aggregate::exponential::{Exponential, ExponentialRegion};
use crate::limits::FOLD_BOUNDS_MAX;
use std::sync::Arc;

/// A region that is added to: its sum keeps what additions lose.
#[derive(Clone, Debug, Default)]
pub(super) struct ExplicitSum {
    pub(super) words: Vec<u64>,
    rest: f64,
}

impl ExplicitSum {
    pub(super) fn of(buckets: usize) -> ExplicitSum {
        ExplicitSum { words: vec![0; HEAD + buckets], rest: 0.0 }
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
        self.rest = 0.0;
    }

    /// Adds a region of as many buckets. `true`: its count would pass 64 bits, so that it begins anew with what is
    /// added (M8).
    pub(super) fn add(&mut self, from: &[u64]) -> bool {
        let into = &mut self.words[..from.len()];
        if from[COUNT] == 0 {
            if into[COUNT] == 0 {
                into[FLAGS] = without_values(into[FLAGS], from[FLAGS]);
            }
            return false;
        }
        let total = into[COUNT].checked_add(from[COUNT]);
        let (Some(total), false) = (total, into[COUNT] == 0) else {
            let overflows = total.is_none();
            into.copy_from_slice(from);
            self.rest = 0.0;
            return overflows;
        };
        into[COUNT] = total;
        into[MIN] = f64::from_bits(into[MIN]).min(f64::from_bits(from[MIN])).to_bits();
        into[MAX] = f64::from_bits(into[MAX]).max(f64::from_bits(from[MAX])).to_bits();
        into[FLAGS] &= from[FLAGS];
        // no bucket overflows where their sum, the count, does not
        for (into, from) in into[HEAD..].iter_mut().zip(&from[HEAD..]) {
            *into += from;
        }
        self.add_to_sum(f64::from_bits(from[SUM]));
        false
    }

    /// Adds a value that lies in this bucket.
    pub(super) fn observe(&mut self, bucket: usize, value: f64) {
        let words = &mut self.words;
        let (low, high) = match words[COUNT] {
            0 => (value, value),
            _ => (f64::from_bits(words[MIN]).min(value), f64::from_bits(words[MAX]).max(value)),
        };
        (words[MIN], words[MAX]) = (low.to_bits(), high.to_bits());
        words[COUNT] += 1;
        words[FLAGS] = HAS_SUM | HAS_MIN | HAS_MAX;
        words[HEAD + bucket] += 1;
        self.add_to_sum(value);
    }

    fn add_to_sum(&mut self, value: f64) {
        let (sum, lost) = two_sum(f64::from_bits(self.words[SUM]), value);
        self.rest += lost;
        self.words[SUM] = sum.to_bits();
    }

    /// Adds another one.
    pub(super) fn absorb(&mut self, from: &ExplicitSum) -> bool {
        let overflows = self.add(&from.words);
        let rest = self.rest + from.rest;
        self.rest = if rest.is_finite() { rest } else { 0.0 };
        overflows
    }

    /// The sum with what was lost.
    pub(super) fn sum(&self) -> f64 {
        let sum = f64::from_bits(self.words[SUM]);
        if self.rest.is_finite() { sum + self.rest } else { sum }
    }

    /// Copies the region, with that sum.
    pub(super) fn copy_to(&self, words: &mut Vec<u64>) {
        words.clear();
        words.extend_from_slice(&self.words);
        words[SUM] = self.sum().to_bits();
    }

    /// Writes it into the words.
    pub(super) fn settle(&mut self) {
        self.words[SUM] = self.sum().to_bits();
        self.rest = 0.0;
    }
}

/// One set of bounds.
#[derive(Clone, Debug)]
pub(super) struct BoundsPart {
    pub(super) bounds: Arc<[f64]>,
    pub(super) sum: ExplicitSum,
    pub(super) is_touched: bool,
}

/// What the histograms, or the summaries, of a shard gave.
#[derive(Clone, Debug, Default)]
pub(super) struct RegionPart {
    pub(super) explicit: Vec<BoundsPart>,
    pub(super) exponential: Option<Box<Exponential>>,
    pub(super) is_touched: bool,
    pub(super) summary: Option<Box<WholeSummary>>,
}

/// Whether both are the same bounds.
pub(super) fn is_same(a: &Arc<[f64]>, b: &Arc<[f64]>) -> bool {
    Arc::ptr_eq(a, b) || a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.to_bits() == b.to_bits())
}

impl RegionPart {
    /// Adds what a member gave.
    pub(super) fn add(&mut self, region: &ContributedRegion<'_>, work: &mut FoldWork) {
        let overflows = match region {
            ContributedRegion::Explicit { bounds, words } => self.add_explicit(bounds, words, work),
            ContributedRegion::Exponential(words) => {
                self.is_touched = true;
                ExponentialRegion::new(words).load_into(&mut work.exponential);
                self.exponential.get_or_insert_default().absorb(&mut work.exponential)
            }
        };
        work.notes.count_overflows += u64::from(overflows);
    }

    fn add_explicit(&mut self, bounds: &Arc<[f64]>, words: &[u64], work: &mut FoldWork) -> bool {
        let place = place(
            &mut self.explicit,
            bounds,
            |part| &part.bounds,
            |bounds| BoundsPart { bounds: bounds.clone(), sum: ExplicitSum::of(bounds.len() + 1), is_touched: false },
        );
        let part = &mut self.explicit[place.unwrap_or(0)];
        part.is_touched = true;
        if place.is_some() {
            return part.sum.add(words);
        }
        add_as(&mut part.sum, &part.bounds, (bounds, words), work)
    }

    /// The newest point of a summary.
    pub(super) fn offer(&mut self, time_ns: u64, words: &[u64]) {
        self.summary.get_or_insert_default().offer(time_ns, words);
    }

    /// Takes over another one's.
    pub(super) fn absorb(&mut self, other: &mut RegionPart, work: &mut FoldWork) {
        for part in other.explicit.iter_mut().filter(|part| part.is_touched) {
            part.sum.settle();
            let overflows = self.add_explicit(&part.bounds, &part.sum.words, work);
            work.notes.count_overflows += u64::from(overflows);
        }
        if let Some(from) = &mut other.exponential
            && other.is_touched
        {
            self.is_touched = true;
            let overflows = self.exponential.get_or_insert_default().absorb(from);
            work.notes.count_overflows += u64::from(overflows);
        }
        if let Some((time_ns, words)) = other.summary.as_ref().and_then(|summary| summary.get()) {
            self.offer(time_ns, words);
        }
    }

    pub(super) fn clear(&mut self) {
        for part in self.explicit.iter_mut().filter(|part| part.is_touched) {
            part.sum.clear();
            part.is_touched = false;
        }
        if let Some(exponential) = &mut self.exponential {
            exponential.clear();
        }
        if let Some(summary) = &mut self.summary {
            summary.clear();
        }
        self.is_touched = false;
    }

    pub(super) fn bytes(&self) -> usize {
        let explicit: usize = self.explicit.iter().map(|part| size_of::<BoundsPart>() + 8 * part.sum.words.len()).sum();
        let summary = self.summary.as_ref().map_or(0, |summary| summary.bytes());
        size_of::<RegionPart>() + explicit + self.exponential.as_ref().map_or(0, |e| exponential_bytes(e)) + summary
    }
}

/// Bytes of an exponential histogram on the heap.
pub(super) fn exponential_bytes(exponential: &Exponential) -> usize {
    let counts = exponential.positive.counts.capacity() + exponential.negative.counts.capacity();
    size_of::<Exponential>() + 8 * counts
}

/// Where the entry for these bounds is, made if it was not there; nothing if there are too many.
pub(super) fn place<T>(
    entries: &mut Vec<T>,
    bounds: &Arc<[f64]>,
    of: impl Fn(&T) -> &Arc<[f64]>,
    make: impl FnOnce(&Arc<[f64]>) -> T,
) -> Option<usize> {
    let found = entries.iter().position(|entry| is_same(of(entry), bounds));
    if found.is_some() || entries.len() >= FOLD_BOUNDS_MAX {
        return found;
    }
    entries.push(make(bounds));
    Some(entries.len() - 1)
}

/// Adds a region of other bounds, of which there are too many.
pub(super) fn add_as(
    sum: &mut ExplicitSum,
    to: &[f64],
    (bounds, words): (&[f64], &[u64]),
    work: &mut FoldWork,
) -> bool {
    let FoldWork { notes, regions: [region, _], spread, .. } = work;
    notes.mixed_bounds += 1;
    notes.unbounded_rebucketed += rebucket::to_explicit(bounds, words, to, region, spread);
    sum.add(region)
}

/// Whether all that was gathered had a sum, a minimum, or a maximum.
pub(super) const fn has_all(count: u64, flags: u64, wanted: u64) -> bool {
    if count == 0 { flags & crate::aggregate::explicit::NO_SUM == 0 } else { flags & wanted == wanted }
}

/// Flag of a sum.
pub(super) const SUM_FLAG: u64 = HAS_SUM;
