//! Series that rules take, and that they give back: what shows of them turns with the first cut of the other rules.
//!
//! Knows series and their values; does not know rules.
//!
//! A series that is hidden from now on leaves one end mark, so that nobody counts it beside what takes its place. It never has
//! the time of its last value, of which a reader would drop one, nor that of what leaves from now on: where an attribute that a
//! rule takes away was not there, an output has the name of the series, and where one rule takes the place of another, that of
//! its output. So it stands a millisecond behind the last value, or behind the cut with which the rules came, whichever is
//! later; what goes on under the name is newer, and revives it. If it comes first, as from another shard, the end is late, and
//! a reader drops that.
//!
//! One that is shown again goes on from its own total and start: destinations get it when it is touched, scrapes at once.

use super::interval::Interval;
use super::passing::EndsFor;
use super::point::StagedPoint;
use crate::aggregate::{explicit, summary};
use crate::cells::block;
use crate::limits::END_BEHIND_NS;
use crate::model::Kind;
use crate::series::Series;
use crate::series::slab::SlabWriter;

/// Writes the value of a series again for scrapes, as hidden or shown as it is now.
fn restate(interval: &Interval, series: &Series, slab: &SlabWriter) {
    let group = &series.group;
    let length = block::region_words(group.kind, group.buckets());
    if length == 0 {
        series.restate_number(interval.cut);
    } else if let Some(line) = series.block().checked_sub(1) {
        let lines = slab.run(line, group.block_words());
        let slot = |slot: usize| block::slot(lines, length, slot);
        series.restate(interval.cut, |from, to| match group.kind {
            Kind::Summary => summary::copy(&mut slot(to), &slot(from)),
            _ => explicit::copy(&mut slot(to), &slot(from)),
        });
    }
}

/// A series that is shown again, or hidden: so it is for scrapes from this cut on.
#[cold]
pub(super) fn turned(interval: &Interval, series: &Series, slab: &SlabWriter) {
    if !series.is_ended() {
        restate(interval, series, slab);
    }
}

/// The point that says to some that a series ended which goes on. `last_ns`: time of what left of it last, or where the interval
/// began if that is later; `start_ns`: where the series begins.
#[cold]
pub(super) fn end_mark(
    series: &Series,
    (start_ns, last_ns): (u64, u64),
    ends: EndsFor,
    (slab, words): (&SlabWriter, &mut Vec<u64>),
) -> StagedPoint {
    let group = &series.group;
    let from = words.len() as u32;
    if group.kind == Kind::Summary {
        // its quantiles tell a reader which series end
        let mut region = [0; summary::REGION];
        if let Some(line) = series.block().checked_sub(1)
            && let Some(newest) = series.newest()
        {
            let lines = slab.run(line, group.block_words());
            summary::copy(&mut region.as_mut_slice(), &block::slot(lines, summary::REGION, newest));
        }
        summary::forget_values(&mut region.as_mut_slice());
        words.extend_from_slice(&region);
    }
    // a source may be ahead of our clock
    let (time, start) = (last_ns.saturating_add(END_BEHIND_NS), start_ns.min(last_ns));
    StagedPoint { time, start, words: from, has_delta: true, ended: true, ..StagedPoint::default() }.turned(ends)
}
