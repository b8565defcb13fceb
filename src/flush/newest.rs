//! Gauges and summaries at a cut: of all points of an interval the newest leaves, whole (M17, M28).
//!
//! Knows the closed banks of both; does not know how a point is encoded. Ties of time go to the larger bits, and to a
//! value before none. A point that was the newest when it came had an effect, whatever came after it; a bank that is no
//! newer than the series, or loses the tie for the newest, is superseded with all its points.

use super::ended::{Mark, ended};
use super::merging::Merging;
use super::point::StagedPoint;
use crate::aggregate::number::{Value, wider};
use crate::aggregate::summary::{self, REGION};
use crate::cells::{self, Bank, Shape, block, extremes, gauge};
use crate::ledger::{Effect, Tally};
use crate::series::slab::SlabWriter;
use crate::series::{CellRef, Series};
use std::cmp::Ordering;

/// What a gauge has inside the interval, beside its newest value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inside {
    /// The smallest and the largest value of points with effect, if a rule asks.
    pub extremes: Option<(Value, Value)>,
    /// Of some cell only the newest one is known: its core is to be asked.
    pub is_short: bool,
    /// Of the bank that is the newest so far: it may lose a tie, and then had no effect.
    newest: Option<(Value, Value)>,
}

impl Inside {
    /// What a bank has, whose points compete with those of others: those of the one that wins and of older ones had effect,
    /// those of one that loses a tie had none.
    fn add(&mut self, bank: Option<(Value, Value)>, (order, is_like): (Ordering, bool), wins: bool) {
        match (order, wins) {
            (Ordering::Greater, _) => {
                self.extremes = wider(self.extremes, std::mem::replace(&mut self.newest, bank));
            }
            (Ordering::Less, _) => self.extremes = wider(self.extremes, bank),
            (Ordering::Equal, true) => self.newest = bank,
            (Ordering::Equal, false) if is_like => self.newest = wider(self.newest, bank),
            (Ordering::Equal, false) => {}
        }
    }
}

/// What a bank has of a value and the extremes that are kept beside it.
fn inside_of(
    merging: Merging<'_>,
    cell: CellRef,
    (bank, index): (Bank<'_>, usize),
    value: Value,
) -> (Option<(Value, Value)>, bool) {
    let own = (!value.as_f64().is_nan()).then_some((value, value));
    let Some(line) = merging.extremes(cell) else { return (own, true) };
    extremes::ask(line);
    (wider(own, extremes::of(line, index, bank.interval())), false)
}

/// The newest gauge; `end`: the end of the series, if it ended.
pub(super) fn gauge(
    merging: Merging<'_>,
    series: &Series,
    (end, inside): (&mut Option<StagedPoint>, &mut Inside),
    tally: &mut Tally,
) -> Option<StagedPoint> {
    let mut newest: Option<Value> = None;
    let (mut contest, mut mark) = (Contest::default(), Mark::default());
    let points = merging.touched(
        series,
        |_| Shape::Gauge,
        |cell, bank, (index, points)| {
            let gauge::NewestNumber { time, value, is_ended } = gauge::fold(bank);
            if is_ended {
                mark.at(time);
            }
            if !is_new(series, time) {
                contest.stale += points;
            } else if let Some(value) = value {
                let (order, before) = (time.cmp(&contest.time), newest);
                let wins = contest.wins(time, points, || value.bits().cmp(&before.map_or(0, Value::bits)));
                if wins {
                    newest = Some(value);
                }
                if merging.asks_extremes() {
                    let (of_bank, is_short) = inside_of(merging, cell, (bank, index), value);
                    inside.is_short |= is_short;
                    inside.add(of_bank, (order, before.is_some_and(|before| before.bits() == value.bits())), wins);
                }
            } else if merging.asks_extremes()
                && let Some(line) = merging.extremes(cell)
            {
                // it ended on this core, and may go on with another
                extremes::ask(line);
                inside.extremes = wider(inside.extremes, extremes::of(line, index, bank.interval()));
            }
        },
    );
    settle(merging, series, points, &contest, tally);
    let time = contest.time;
    if let Some(value) = newest.filter(|_| time >= mark.time) {
        series.put_time(time);
        series.put_value(merging.interval.cut, value);
        inside.extremes = wider(inside.extremes, inside.newest.take());
        return Some(StagedPoint { time, start: 0, ..StagedPoint::number(value, None) });
    }
    if mark.is_set() {
        *end = ended(merging.interval, series, mark, false, |series| series.end_number(merging.interval.cut));
        inside.extremes = None;
    }
    None
}

/// Memory for merging summaries.
#[derive(Default)]
pub(super) struct SummaryMerge {
    newest: Vec<u64>,
}

impl SummaryMerge {
    /// The newest summary; `end`: that of a series which ended. Its region is added to `words`.
    pub(super) fn merge(
        &mut self,
        merging: Merging<'_>,
        series: &Series,
        (slab, words): (&mut SlabWriter, &mut Vec<u64>),
        end: &mut Option<StagedPoint>,
        tally: &mut Tally,
    ) -> Option<StagedPoint> {
        let best = &mut self.newest;
        best.resize(REGION, 0);
        let (mut contest, mut mark) = (Contest::default(), Mark::default());
        let points = merging.touched(
            series,
            |_| Shape::Summary,
            |_, bank, (_, points)| {
                let cells::summary::NewestSummary { time, region, is_ended } = cells::summary::fold(bank);
                if is_ended {
                    mark.at(time);
                }
                if !is_new(series, time) {
                    contest.stale += points;
                } else if let Some(region) = region
                    && contest.wins(time, points, || {
                        let held = best.as_slice();
                        summary::larger(&region, &held).cmp(&summary::larger(&held, &region))
                    })
                {
                    summary::copy(&mut best.as_mut_slice(), &region);
                }
            },
        );
        settle(merging, series, points, &contest, tally);
        let newest = Some(contest.time).filter(|time| *time != 0 && *time >= mark.time);
        if newest.is_some() {
            merging.settle_block(series, slab);
        }
        let mut point = None;
        if let Some(line) = series.block().checked_sub(1) {
            let block = slab.run(line, series.group.block_words());
            let part = |slot: usize| block::slot(block, REGION, slot);
            if let Some(time) = newest {
                series.put_time(time);
                series.put_start(best[summary::START]);
                series.with_slot(merging.interval.cut, |_, slot| summary::copy(&mut part(slot), &best.as_slice()));
                let words = stage(best, words);
                point = Some(StagedPoint { time, start: series.start(), words, ..StagedPoint::default() });
            } else if mark.is_set() {
                let ending = ended(merging.interval, series, mark, false, |series| {
                    series.end(merging.interval.cut, |from, to| {
                        summary::copy(&mut part(to), &part(from));
                        summary::copy(&mut best.as_mut_slice(), &part(from));
                    });
                });
                *end = ending.map(|end| {
                    summary::forget_values(&mut best.as_mut_slice());
                    StagedPoint { words: stage(best, words), ..end }
                });
            }
        }
        point
    }
}

/// Puts a region where the batch finds it.
fn stage(region: &[u64], words: &mut Vec<u64>) -> u32 {
    let base = words.len() as u32;
    words.extend_from_slice(region);
    base
}

/// Says what became of the points of an interval.
fn settle(merging: Merging<'_>, series: &Series, points: u64, contest: &Contest, tally: &mut Tally) {
    let superseded = contest.stale + contest.tied;
    tally.emit(points);
    tally.settle(Effect::WithEffect, points - superseded);
    merging.without_effect(series, Effect::Superseded, superseded, tally);
}

/// The newest bank of an interval so far, of those that have a value, and the points that others lose to it.
#[derive(Default)]
struct Contest {
    /// Time of the newest; 0: none.
    time: u64,
    /// Its points.
    points: u64,
    /// Points of banks of the same time that are not it.
    tied: u64,
    /// Points of banks that are no newer than the series.
    stale: u64,
}

impl Contest {
    /// Whether a bank of this time is the newest now; `is_larger` compares it at equal times. Of two that are alike the one
    /// with fewer points repeats the other.
    fn wins(&mut self, time: u64, points: u64, is_larger: impl FnOnce() -> Ordering) -> bool {
        let wins = time.cmp(&self.time).then_with(is_larger);
        if time > self.time {
            self.tied = 0;
        } else if time == self.time {
            self.tied += match wins {
                Ordering::Greater => self.points,
                Ordering::Less => points,
                Ordering::Equal => points.min(self.points),
            };
        }
        match wins {
            Ordering::Greater => (self.time, self.points) = (time, points),
            Ordering::Equal => self.points = points.max(self.points),
            Ordering::Less => {}
        }
        wins.is_gt()
    }
}

/// Newer than all that is known of the series.
fn is_new(series: &Series, time: u64) -> bool {
    series.newest().is_none() || time > series.time()
}
