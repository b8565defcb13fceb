//! The chain: how what cores saw of cumulative streams in an interval stands to the last point whose increments counted.
//!
//! Knows times, starts and who wrote what, for sums and histograms alike; does not know what increments are (`sums`,
//! `histograms`).
//!
//! Two things are kept of cumulative input (M14): the *chain*, which is the last point of the writer whose increments
//! count, and the *newest whole point* of any writer, which is what leaves. A second writer, known by a start older than
//! the chain's or by points between the chain's, never replaces the chain, so that two writers by turns are not taken
//! for resets; only when the chain had no point for `--expire` does it give way, to a baseline. What two cores took of
//! one writer in one interval, by turns or twice, is told from two writers by its starts and values (`Stands::Within`).
//! A writer that began again is seen as sequences without a reset, of each core its own (`cells::sequences`), and these are
//! put in order like what cores saw without one.
//!
//! What cannot be told: a writer without start times whose fall no core saw, because one core's points before and after it
//! do not fall, and another core took what lies between. This looks like two writers: too little counts then, never too
//! much. A writer with start times is told from two whatever core took which point, as long as its cores keep all sequences.
//!
//! What had an effect is said of a whole bank, in its points, as a core keeps no more of them than this: all of a bank
//! whose newest point is not newer than the newest known are superseded, all of a second writer's overlap. Of a bank that
//! sets a base its first point is a baseline, and of one that begins with the chain's last point, sent again, that point
//! is superseded; the others count. What a core can judge alone, it has judged (`cells`).

use super::interval::Interval;
use super::merging::Merging;
use crate::aggregate::number::{self, Value};
use crate::cells::sequences::Sequence;
use crate::cells::{Bank, Shape, Span};
use crate::ledger::{Effect, Tally};
use crate::series::{CellRef, Chain, Series};

/// What one core saw of a cumulative stream, and where that is: of a stream that began again each sequence of points.
#[derive(Clone, Copy)]
pub(super) struct CoreSpan {
    pub(super) span: Span,
    pub(super) cell: CellRef,
    pub(super) place: SpanPlace,
}

/// Where the values of a span are.
#[derive(Clone, Copy)]
pub(super) enum SpanPlace {
    /// In this bank of its cell.
    Bank(usize),
    /// Among the sequences that its core kept.
    Sequence(u32),
}

impl CoreSpan {
    /// Adds what is in a touched bank, and the sequences before it.
    #[inline(always)]
    pub(super) fn push(spans: &mut Vec<CoreSpan>, merging: Merging<'_>, (cell, bank): (CellRef, usize), span: Span) {
        let place = spans.len();
        spans.push(CoreSpan { span, cell, place: SpanPlace::Bank(bank) });
        if let Some(sequences) = merging.sequences(cell) {
            for (at, before) in sequences.of(cell.line) {
                // the bank counts those of all
                spans[place].span.points -= before.span.points;
                spans.push(CoreSpan { span: before.span, cell, place: SpanPlace::Sequence(at) });
            }
        }
    }

    /// The kept sequence that it is.
    pub(super) fn sequence<'a>(&self, merging: Merging<'a>) -> Option<Sequence<'a>> {
        match self.place {
            SpanPlace::Bank(_) => None,
            SpanPlace::Sequence(at) => Some(merging.sequences(self.cell)?.at(at)),
        }
    }

    /// The bank that it lies in.
    pub(super) fn bank<'a>(&self, merging: Merging<'a>, shape: Shape) -> Option<Bank<'a>> {
        match self.place {
            SpanPlace::Bank(bank) => merging.bank(self.cell, shape, bank),
            SpanPlace::Sequence(_) => None,
        }
    }

    /// By time; what two cores took alike comes as its longer part first, so that the other adds nothing.
    pub(super) fn sort(spans: &mut [CoreSpan]) {
        spans.sort_unstable_by_key(|seen| {
            (seen.span.first_time, std::cmp::Reverse(seen.span.newest_time), seen.cell.core)
        });
    }
}

/// How it stands to its series' chain, by times and starts (M10 to M15); values decide the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// Nothing in it is newer than the newest point known.
    Superseded,
    /// The first of all, and so young that its first point counts whole.
    Whole,
    /// The first of all, or of a writer whose predecessor was silent for `--expire`.
    Baseline,
    /// Another writer's: its newest point is shown where it is the newest whole one, and it adds nothing.
    Second,
    /// The chain's last point lies within its time, and its starts are the chain's: the same writer, if the values
    /// agree, on two connections or with an export sent twice.
    Within,
    /// Behind the chain.
    Behind,
    /// Behind the chain, and the first of another replica than the one that the chain is of: a new start is no reset, and a
    /// fall is a baseline.
    Replica,
}

/// Says what became of a seen's points, before the chain moves on; `counts`: its increments do.
pub(super) fn settle(
    merging: Merging<'_>,
    series: &Series,
    seen: &CoreSpan,
    stands: Stands,
    counts: bool,
    tally: &mut Tally,
) {
    let all = seen.span.points;
    let again = || series.chain().is_some_and(|chain| chain.time == seen.span.first_time);
    let (effect, points) = match stands {
        Stands::Superseded => (Effect::Superseded, all),
        _ if !counts => (Effect::Overlapping, all),
        // without a chain they are a second writer's, and all but the newest are gone
        Stands::Baseline => (Effect::Baseline, if seen.span.is_chained { all.min(1) } else { all }),
        Stands::Within if again() => (Effect::Superseded, all.min(1)),
        _ => (Effect::Superseded, 0),
    };
    tally.settle(Effect::WithEffect, all - points);
    merging.without_effect(series, effect, points, tally);
}

/// How a seen stands to the chain. `known`: time of the newest point that was known before the cut.
pub(super) fn stands(merging: Merging<'_>, series: &Series, seen: &CoreSpan, known: u64) -> Stands {
    let interval = merging.interval;
    let Some(chain) = series.chain() else {
        return if merging.counts_whole(seen.span.first_start, seen.span.first_time) {
            Stands::Whole
        } else {
            Stands::Baseline
        };
    };
    // a newer point of this cut may be a second writer's: that the chain's writer began again before it is new all the same
    let is_again = || seen.span.first_time > chain.time && number::newer(seen.span.first_start, chain.start);
    if seen.span.newest_time <= known || seen.span.newest_time <= series.time() && !is_again() {
        return Stands::Superseded;
    }
    if series.group.elected_since() > chain.cut {
        return Stands::Replica;
    }
    if seen.span.first_time <= chain.time {
        let one_run = !seen.span.has_reset && [seen.span.first_start, seen.span.last_start] == [chain.start; 2];
        return if one_run && chain.time <= seen.span.last_time { Stands::Within } else { Stands::Second };
    }
    if !number::older(seen.span.first_start, chain.start) {
        return Stands::Behind;
    }
    if chain.cut <= interval.idle_since && number::older(seen.span.last_start, chain.start) {
        return Stands::Baseline;
    }
    Stands::Second
}

/// Whether the chain's last point can be one of the seen's own. Of a sum that may fall only its very first point can
/// be told.
pub(super) fn within(seen: &CoreSpan, chain: &Chain, first: Value, last: Value, monotonic: bool) -> bool {
    let value = chain.value;
    if monotonic {
        return !value.less(first) && !last.less(value);
    }
    seen.span.first_time == chain.time && !value.less(first) && !first.less(value)
}

/// The seen's last point is the chain's from now on.
pub(super) fn put_chain(interval: &Interval, series: &Series, seen: &CoreSpan, stands: Stands, value: Value) {
    let start = match (stands, series.chain()) {
        (Stands::Within | Stands::Behind, Some(chain)) => chain.start.max(seen.span.last_start),
        _ => seen.span.last_start,
    };
    series.put_chain(Chain { start, time: seen.span.last_time, value, cut: interval.cut });
}
