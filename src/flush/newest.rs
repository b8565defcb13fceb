//! Gauges and summaries at a cut: of all points of an interval the newest leaves, whole (M17, M28).
//!
//! Knows the closed banks of both; does not know how a point is encoded. Ties of time go to the larger bits, and to a
//! value before none.

use super::batch::Point;
use super::directory::Owner;
use super::ended::Mark;
use super::merge::{Cut, get};
use crate::aggregate::number::Value;
use crate::aggregate::summary::{self, REGION};
use crate::ledger::Tally;
use crate::series::Series;
use crate::series::cell::{FLAGS, GAUGE_TIME, SUMMARY_TIME, Shape, double_flag, ended_flag, value_flag};
use crate::series::slab::SlabWriter;

/// Words of an owner's block of a summary: two value slots.
const SUMMARY_BLOCK: usize = 2 * REGION;

impl Owner {
    pub(super) fn gauge(&mut self, cut: &Cut, series: &Series, tally: &mut Tally) -> Option<Point> {
        let mut newest: Option<(u64, Value)> = None;
        let mut mark = Mark::default();
        let points = self.touched(
            cut,
            series,
            |_| Shape::Number,
            |_, shape, bank, words| {
                let (flags, at) = (get(words, FLAGS), shape.bank(bank).start);
                let (bits, time) = (get(words, at + 1), get(words, at + GAUGE_TIME));
                if flags & ended_flag(bank) != 0 {
                    mark.at(time);
                }
                if flags & value_flag(bank) != 0 && newest.is_none_or(|(t, v)| (time, bits) > (t, v.bits())) {
                    newest = Some((time, Value::from_bits(bits, flags & double_flag(bank) != 0)));
                }
            },
        );
        tally.emit(points);
        let newest = newest.filter(|(time, _)| is_new(series, *time) && *time >= mark.time);
        if let Some((time, value)) = newest {
            series.put_time(time);
            series.put_value(cut.number, value);
            return Some(Point { time, start: 0, ..Point::number(value, None) });
        }
        if mark.is_set() {
            self.end = self.ended(cut, series, mark, false, |series| series.end_number(cut.number));
        }
        None
    }

    pub(super) fn summary(
        &mut self,
        cut: &Cut,
        series: &Series,
        slab: &mut SlabWriter,
        tally: &mut Tally,
    ) -> Option<Point> {
        let mut best = std::mem::take(&mut self.summary);
        best.resize(REGION, 0);
        let mut newest: Option<u64> = None;
        let mut mark = Mark::default();
        let points = self.touched(
            cut,
            series,
            |_| Shape::Summary,
            |_, shape, bank, words| {
                let (flags, at, range) = (get(words, FLAGS), shape.bank(bank).start, shape.region_in_bank(0));
                let (time, region) = (get(words, at + SUMMARY_TIME), &words[at + range.start..at + range.end]);
                if flags & ended_flag(bank) != 0 {
                    mark.at(time);
                }
                let beats = |held: u64| time > held || time == held && summary::larger(&region, &best.as_slice());
                if flags & value_flag(bank) != 0 && newest.is_none_or(beats) {
                    newest = Some(time);
                    summary::copy(&mut best.as_mut_slice(), &region);
                }
            },
        );
        tally.emit(points);
        let newest = newest.filter(|time| is_new(series, *time) && *time >= mark.time);
        if newest.is_some() && series.block() == 0 {
            // line numbers are kept one higher, so that 0 is "none"
            series.put_block(slab.allocate(SUMMARY_BLOCK) + 1);
            self.registry.settle_block(&series.group);
        }
        let mut point = None;
        if let Some(line) = series.block().checked_sub(1) {
            let block = slab.run(line, SUMMARY_BLOCK);
            let part = |slot: usize| &block[slot * REGION..(slot + 1) * REGION];
            if let Some(time) = newest {
                series.put_time(time);
                series.put_start(best[summary::START]);
                series.with_slot(cut.number, |_, slot| summary::copy(&mut part(slot), &best.as_slice()));
                let words = self.stage_summary(&best);
                point = Some(Point { time, start: series.start(), words, ..Point::default() });
            } else if mark.is_set() {
                let end = self.ended(cut, series, mark, false, |series| {
                    series.end(cut.number, |from, to| {
                        summary::copy(&mut part(to), &part(from));
                        summary::copy(&mut best.as_mut_slice(), &part(from));
                    });
                });
                self.end = end.map(|end| {
                    summary::forget_values(&mut best.as_mut_slice());
                    Point { words: self.stage_summary(&best), ..end }
                });
            }
        }
        self.summary = best;
        point
    }

    /// Puts a region where the batch finds it.
    fn stage_summary(&mut self, region: &[u64]) -> u32 {
        let base = self.words.len() as u32;
        self.words.extend_from_slice(region);
        base
    }
}

/// Newer than all that is known of the series.
fn is_new(series: &Series, time: u64) -> bool {
    series.newest().is_none() || time > series.time()
}
