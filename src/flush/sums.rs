//! Sums at a cut: what deltas added and what cumulative streams gained, chained behind the point before.
//!
//! Knows the rules of DESIGN's "time, temporality and truth" for numbers (conformance M8 to M15); does not know how a
//! point is written. A cumulative stream that reaches a series alone leaves it as it came, whole; as soon as deltas join
//! it, or for a delta destination, its increments count.

use super::chain::{CoreSpan, Stands, put_chain, settle, stands, within};
use super::ended::{Mark, ended};
use super::merging::Merging;
use super::point::StagedPoint;
use crate::aggregate::number::{self, Value};
use crate::cells::{Shape, cumulative_sum, delta_sum};
use crate::ledger::{Effect, Note, Tally};
use crate::series::Series;

/// Memory for merging sums.
#[derive(Default)]
pub(super) struct SumMerge {
    /// What cores saw of cumulative streams of the series being merged.
    spans: Vec<CoreSpan>,
}

impl SumMerge {
    /// The merged point; `end`: a second one, if the series ended.
    #[inline(always)]
    pub(super) fn merge(
        &mut self,
        merging: Merging<'_>,
        series: &Series,
        end: &mut Option<StagedPoint>,
        tally: &mut Tally,
    ) -> Option<StagedPoint> {
        self.spans.clear();
        let mut mark = Mark::default();
        let point = value_of(merging, series, &mut self.spans, &mut mark, tally);
        if mark.is_set() {
            let cut = merging.interval.cut;
            *end = ended(merging.interval, series, mark, point.is_some(), |series| series.end_number(cut));
        }
        point
    }
}

/// The merged point.
#[inline(always)]
fn value_of(
    merging: Merging<'_>,
    series: &Series,
    spans: &mut Vec<CoreSpan>,
    mark: &mut Mark,
    tally: &mut Tally,
) -> Option<StagedPoint> {
    let (interval, monotonic) = (merging.interval, series.group.monotonic);
    let mut delta: Option<Value> = None;
    let (mut overflows, mut with_effect, mut lost) = (0, 0, 0);
    let shape_of = |cumulative| if cumulative { Shape::CumulativeSum } else { Shape::DeltaSum };
    let points = merging.touched(series, shape_of, |cell, bank, (index, points)| {
        if bank.shape() == Shape::DeltaSum {
            with_effect += points;
            let Some(value) = delta_sum::fold(bank) else {
                mark.delta |= points > 0;
                return;
            };
            let (sum, overflow) = delta.unwrap_or(Value::Int(0)).add(value);
            overflows += u64::from(overflow);
            delta = Some(if delta.is_none() { value } else { sum });
            return;
        }
        let cumulative_sum::Folded { span, ended } = cumulative_sum::fold(bank);
        if let Some(time) = ended {
            mark.at(time);
        }
        match span {
            Some(span) => CoreSpan::push(spans, merging, (cell, index), span),
            // a second writer's, whose newest value is not known any more
            None => lost += points,
        }
    });
    tally.emit(points);
    tally.settle(Effect::WithEffect, with_effect);
    merging.without_effect(series, Effect::Overlapping, lost, tally);
    // most sums are of deltas, or of one cumulative stream
    let chained = if spans.is_empty() {
        None
    } else {
        CoreSpan::sort(spans);
        chain(merging, series, spans, (monotonic, delta.is_some()), tally)
    };
    if delta.is_none() && chained.is_none() {
        return None;
    }
    if delta.is_some() {
        mark.has_delta = true;
        series.put_has_delta();
    }
    if series.has_delta() && series.chain().is_some() {
        series.put_mixed();
    }
    let gained = chained.map_or(Value::Int(0), |(gained, ..)| gained);
    let (step, overflow) = delta.unwrap_or(Value::Int(0)).add(gained);
    overflows += u64::from(overflow);
    let (value, start, time) = match chained {
        Some((_, newest, value)) if !series.has_delta() => {
            series.put_start(newest.span.newest_start);
            (value, newest.span.newest_start, newest.span.newest_time)
        }
        _ => {
            if series.newest().is_none() {
                series.put_start(interval.from_ns);
            }
            let (total, overflow) = series.value().unwrap_or(Value::Int(0)).add(step);
            overflows += u64::from(overflow);
            (total, interval.start_of(series), interval.boundary_ns)
        }
    };
    tally.note(Note::IntOverflow, overflows);
    series.put_value(interval.cut, value);
    Some(StagedPoint { time, start, ..StagedPoint::number(value, Some(step)) })
}

/// Chains what the cores saw of cumulative streams, in the order of time, behind the series' last point. Returns what they
/// contribute, and the newest whole point; nothing if none had an effect.
#[inline(never)]
fn chain(
    merging: Merging<'_>,
    series: &Series,
    spans: &[CoreSpan],
    (monotonic, has_delta): (bool, bool),
    tally: &mut Tally,
) -> Option<(Value, CoreSpan, Value)> {
    let interval = merging.interval;
    let mut total = Value::Int(0);
    let mut newest: Option<(CoreSpan, Value)> = None;
    let known = series.time();
    for seen in spans {
        let of_bank = || seen.bank(merging, Shape::CumulativeSum).map(cumulative_sum::values);
        let values = seen.sequence(merging).as_ref().map(cumulative_sum::values_of).or_else(of_bank)?;
        let cumulative_sum::Values { first, last, gained, newest: shown } = values;
        let mut stands = stands(merging, series, seen, known);
        if stands == Stands::Replica && monotonic && series.chain().is_some_and(|chain| first.less(chain.value)) {
            stands = Stands::Baseline;
        }
        let step = match (stands, series.chain()) {
            (Stands::Superseded, _) => None,
            (Stands::Whole, _) => Some(first.add(gained)),
            (Stands::Baseline, _) => Some((gained, false)),
            (Stands::Within, Some(chain)) if within(seen, &chain, first, last, monotonic) => {
                Some((last.sub(chain.value), false))
            }
            (Stands::Behind, Some(chain)) => {
                let (step, reset) = number::step(chain.value, chain.start, first, seen.span.first_start, monotonic);
                tally.note(Note::Reset, u64::from(reset));
                Some(step.add(gained))
            }
            (Stands::Replica, Some(chain)) => Some(first.sub(chain.value).add(gained)),
            (Stands::Second | Stands::Within | Stands::Behind | Stands::Replica, _) => None,
        };
        settle(merging, series, seen, stands, step.is_some(), tally);
        if stands == Stands::Superseded {
            continue;
        }
        let needs_steps = has_delta || series.has_delta() || interval.wants_deltas && monotonic;
        if stands == Stands::Baseline && needs_steps && first.as_f64() != 0.0 {
            merging.without_base(series, tally);
        }
        if let Some((step, overflow)) = step {
            let (sum, too) = total.add(step);
            tally.note(Note::IntOverflow, u64::from(overflow) + u64::from(too));
            total = sum;
            put_chain(interval, series, seen, stands, last);
        }
        if newest.is_none_or(|(newest, _)| newest.span.newest_time < seen.span.newest_time) {
            series.put_time(seen.span.newest_time);
            newest = Some((*seen, shown));
        }
    }
    newest.map(|(seen, shown)| (total, seen, shown))
}
