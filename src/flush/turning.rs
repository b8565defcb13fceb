//! Series that rules take, and that they give back: what shows of them turns with the first cut of the other rules.
//!
//! Knows series and their values; does not know rules.
//!
//! A series that is hidden from now on leaves one end mark, so that nobody counts it beside what takes its place; never with
//! the time of its last value, of which a reader would drop one. One that is shown again goes on from its own total and
//! start: destinations get it when it is touched, scrapes at once.

use super::interval::Interval;
use super::point::StagedPoint;
use crate::aggregate::{explicit, summary};
use crate::cells::block;
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

/// A series that is shown again.
#[cold]
pub(super) fn given_back(interval: &Interval, series: &Series, slab: &SlabWriter) {
    if !series.is_ended() {
        restate(interval, series, slab);
    }
}

/// A series that is hidden from now on: the point that says so.
#[cold]
pub(super) fn taken(interval: &Interval, series: &Series, (slab, words): (&SlabWriter, &mut Vec<u64>)) -> StagedPoint {
    restate(interval, series, slab);
    let group = &series.group;
    let length = block::region_words(group.kind, group.buckets());
    let from = words.len() as u32;
    if group.kind == Kind::Summary {
        // its quantiles tell a reader which series end
        let mut region = [0; summary::REGION];
        if let Some(line) = series.block().checked_sub(1)
            && let Some(newest) = series.newest()
        {
            let lines = slab.run(line, group.block_words());
            summary::copy(&mut region.as_mut_slice(), &block::slot(lines, length, newest));
        }
        summary::forget_values(&mut region.as_mut_slice());
        words.extend_from_slice(&region);
    }
    // a source may be ahead of our clock
    let time = interval.boundary_ns.max(series.time().saturating_add(1));
    let start = interval.start_of(series).min(time);
    StagedPoint { time, start, words: from, has_delta: true, ended: true, ..StagedPoint::default() }
}
