//! The water balance of the input side: every point that came in, and what became of it.
//!
//! Knows counters; does not know where they are shown. One `Tally` per shard, plain words of its thread, published
//! whole after every request and every merge slice.
//!
//! Invariants
//! 1. In every published row: `received = applied + Σ rejected + Σ discarded`, `applied = open + emitted` and `emitted = Σ effects`,
//!    where `open` of one row may be negative (a shard merges points that another one applied); so the sums over rows
//!    balance at any moment, whichever moments the rows are from.
//! 2. No term is computed from the others: each is counted where it happens.
//! 3. A point is emitted as soon as its effect is settled: when it comes, if it can have none any more, else at the cut.

use crate::model::{Discard, Door, Kind, Origin, Reject};
use crate::sync::row::{CounterRow, RowWriter};
use std::sync::Arc;

/// What became of an emitted point: the terms of `emitted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Effect {
    /// It is in what left, or was until a newer one came.
    WithEffect = 0,
    /// Applied without effect: not newer than what is known (M15).
    Superseded,
    /// The first of a cumulative stream, which only sets the base (M11, M12).
    Baseline,
    /// Of a second writer of a cumulative stream: shown where it is the newest, and not counted (M14).
    Overlapping,
}

impl Effect {
    /// Number of effects.
    pub const COUNT: usize = 4;
    /// All of them, by number.
    pub const ALL: [Effect; Self::COUNT] =
        [Effect::WithEffect, Effect::Superseded, Effect::Baseline, Effect::Overlapping];

    /// The label value in metrics and in the ledger.
    pub const fn word(self) -> &'static str {
        match self {
            Effect::WithEffect => "with_effect",
            Effect::Superseded => "superseded",
            Effect::Baseline => "baseline",
            Effect::Overlapping => "overlapping",
        }
    }
}

/// Things worth counting that are no term of the balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Note {
    /// Baselines whose own value some output needed and did not get.
    BaselineLost = 0,
    /// Cumulative resets (M10).
    Reset,
    /// Those of which a core only keeps the sum of what came before and after: it keeps many of the interval already.
    ResetNotKept,
    /// Integer sums promoted to double on overflow (M31).
    IntOverflow,
    /// Histogram steps left out, and totals restarted, because a count would leave 64 bits (M8).
    CountOverflow,
    /// Points flagged as "no recorded value" (M7).
    NoRecordedValue,
    /// Histogram points taken without their sum, because it was NaN or infinite (M27).
    SumDropped,
    /// Exemplars of applied points (M29).
    Exemplars,
    /// Exemplars dropped: invalid, too long, or beyond the bytes there are for them (M29).
    ExemplarsDropped,
    /// Points added to an overflow series (M30).
    Overflowed,
    /// Members of rules that went to the overflow of their rule, because a limit of outputs kept theirs out.
    RuleOverflowed,
    /// Members that a rule could not take, because there was no room for its overflow either: they pass on.
    RuleRefused,
    /// Resources and scopes whose texts were cut to the limits.
    TextsCut,
    /// Series made.
    SeriesBorn,
    /// Series expired.
    SeriesExpired,
    /// Series taken back to life by a late point.
    SeriesRevived,
    /// Points whose route was looked up.
    Lookups,
    /// Points whose route was predicted.
    Predicted,
    /// Look-ups that found a route in the core's own table.
    RouteHits,
    /// Look-ups that went to the shared index.
    RouteMisses,
    /// Encodings of a series' attributes that were not remembered: the cell had enough of them.
    RoutesNotKept,
    /// Well-formed requests.
    Requests,
    /// Refused requests: not protobuf.
    Malformed,
    /// Bytes of request bodies, decompressed.
    Bytes,
    /// Series merged, over all cuts.
    SeriesMerged,
    /// Cuts this shard was late for.
    CutLate,
    /// Output points encoded, once per view.
    Encoded,
    /// Nanoseconds spent switching banks at cuts.
    CutNs,
    /// Nanoseconds spent merging.
    MergeNs,
    /// Nanoseconds spent encoding; in the same slices as merging, and no part of its time.
    EncodeNs,
    /// Bytes encoded.
    EncodedBytes,
    /// Turns of the event loop.
    Turns,
    /// Turns longer than 1 ms.
    TurnsOver1Ms,
    /// Longest turn, nanoseconds.
    TurnMaxNs,
    /// Changes of rules that relabel, not made because the series has such an attribute already.
    RelabelSkipped,
}

impl Note {
    /// Number of notes.
    pub const COUNT: usize = 35;
    /// Name and help of each, by number; `_ns` ones are shown in seconds.
    pub const NAMES: [(&str, &str); Self::COUNT] = [
        (
            "baselines_lost",
            "Baselines with a value of their own that a delta output, or a total with deltas, went without",
        ),
        ("resets", "Resets of cumulative series"),
        (
            "resets_not_kept",
            "Resets of which a shard kept only the sum of what came before and after, as there were many in the interval",
        ),
        ("int_overflows", "Integer sums promoted to double because they left 64 bits"),
        ("count_overflows", "Steps of histograms left out, and totals restarted, because a count would leave 64 bits"),
        ("points_no_recorded_value", "Points flagged as having no recorded value"),
        ("point_sums_dropped", "Histogram points taken without their sum, which was NaN or infinite"),
        ("exemplars", "Exemplars of applied points; the newest four of a series and interval are kept"),
        ("exemplars_dropped", "Exemplars dropped: no value, an id of another length, too long, or no room"),
        (
            "points_overflowed",
            "Points added to an overflow series because a limit of series, groups or memory kept theirs out",
        ),
        (
            "rule_members_overflowed",
            "Series that a rule counts in its overflow series, because a limit of outputs kept theirs out",
        ),
        (
            "rule_members_refused",
            "Series that a rule could not take, because there was no room for its overflow series: they pass on",
        ),
        ("texts_cut", "Resources and scopes with texts or attributes over the limits, which were cut"),
        ("series_created", "Series created"),
        ("series_expired", "Series expired after --expire without a point"),
        ("series_revived", "Series that a point brought back while they were retiring"),
        ("index_lookups", "Points whose series was looked up because it was not the predicted one"),
        ("index_predicted", "Points whose series was the predicted one"),
        ("index_hits", "Look-ups answered by the core's own routes"),
        ("index_misses", "Look-ups that went to the shared index"),
        (
            "routes_not_kept",
            "Points of one series more in whose attributes came in another encoding than the eight remembered",
        ),
        ("requests", "Well-formed export requests"),
        ("requests_malformed", "Requests refused whole because they were not valid protobuf"),
        ("request_bytes", "Bytes of request bodies after decompression"),
        ("series_merged", "Series merged, over all cuts"),
        ("cut_late_shard", "Cuts that this shard was late for and skipped"),
        ("points_encoded", "Output points encoded, once per temporality that is wanted"),
        ("cut_ns", "Time spent switching to the other bank at cuts"),
        ("merge_ns", "Time spent merging, encoding not counted"),
        ("encode_ns", "Time spent encoding"),
        ("encoded_bytes", "Bytes encoded, over all formats"),
        ("loop_turns", "Turns of the event loop that had work"),
        ("loop_turns_over_1ms", "Turns of the event loop longer than 1 ms"),
        ("loop_turn_max_ns", "Longest turn of the event loop"),
        ("relabel_skipped", "Changes of relabelling rules not made, as the series has such an attribute already"),
    ];
}

const KINDS: usize = Kind::ALL.len();
const CELLS: usize = KINDS * Door::COUNT;
/// Words of a row.
pub const WORDS: usize = 4 * CELLS + Reject::COUNT + Discard::COUNT + 2 + Effect::COUNT + Note::COUNT;

/// One shard's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    words: [u64; WORDS],
}

const RECEIVED: usize = 0;
const APPLIED: usize = CELLS;
const REJECTED_BY: usize = 2 * CELLS;
const DISCARDED_BY: usize = 3 * CELLS;
const REJECTED: usize = 4 * CELLS;
const DISCARDED: usize = REJECTED + Reject::COUNT;
const OPEN: usize = DISCARDED + Discard::COUNT;
const EMITTED: usize = OPEN + 1;
const EFFECTS: usize = EMITTED + 1;
const NOTES: usize = EFFECTS + Effect::COUNT;

impl Default for Tally {
    fn default() -> Self {
        Tally { words: [0; WORDS] }
    }
}

const fn at(door: Door, kind: Kind) -> usize {
    door as usize * KINDS + kind as usize
}

impl Tally {
    /// From a row.
    pub const fn from_words(words: [u64; WORDS]) -> Tally {
        Tally { words }
    }

    /// Sums of several rows.
    pub fn sum(rows: impl IntoIterator<Item = Tally>) -> Tally {
        rows.into_iter().fold(Tally::default(), |mut total, row| {
            total.absorb(&row);
            total
        })
    }

    /// Adds what another one counted.
    pub fn absorb(&mut self, other: &Tally) {
        for (i, (sum, word)) in self.words.iter_mut().zip(other.words).enumerate() {
            *sum = if i == NOTES + Note::TurnMaxNs as usize { (*sum).max(word) } else { sum.wrapping_add(word) };
        }
    }

    /// Points came in.
    #[inline]
    pub fn receive(&mut self, origin: Origin, kind: Kind, points: u64) {
        self.words[RECEIVED + at(origin.door, kind)] += points;
    }

    /// Points were applied; they are open until a merge emits them.
    #[inline]
    pub fn apply(&mut self, origin: Origin, kind: Kind, points: u64) {
        self.words[APPLIED + at(origin.door, kind)] += points;
        self.words[OPEN] = self.words[OPEN].wrapping_add(points);
    }

    /// Points were rejected.
    #[inline]
    pub fn reject(&mut self, origin: Origin, kind: Kind, reason: Reject, points: u64) {
        self.words[REJECTED_BY + at(origin.door, kind)] += points;
        self.words[REJECTED + reason as usize] += points;
    }

    /// Points were discarded.
    #[inline]
    pub fn discard(&mut self, origin: Origin, kind: Kind, why: Discard, points: u64) {
        self.words[DISCARDED_BY + at(origin.door, kind)] += points;
        self.words[DISCARDED + why as usize] += points;
    }

    /// Open points are settled; `settle` says how.
    #[inline]
    pub fn emit(&mut self, points: u64) {
        self.words[OPEN] = self.words[OPEN].wrapping_sub(points);
        self.words[EMITTED] += points;
    }

    /// So many emitted points had this effect.
    #[inline]
    pub fn settle(&mut self, effect: Effect, points: u64) {
        self.words[EFFECTS + effect as usize] += points;
    }

    /// Counts something that is no term of the balance.
    #[inline]
    pub fn note(&mut self, note: Note, n: u64) {
        self.words[NOTES + note as usize] += n;
    }

    /// Keeps the larger of two values.
    #[inline]
    pub fn note_max(&mut self, note: Note, value: u64) {
        let word = &mut self.words[NOTES + note as usize];
        *word = (*word).max(value);
    }

    /// Points received of one door and kind.
    pub const fn received(&self, door: Door, kind: Kind) -> u64 {
        self.words[RECEIVED + at(door, kind)]
    }

    /// Points applied of one door and kind.
    pub const fn applied(&self, door: Door, kind: Kind) -> u64 {
        self.words[APPLIED + at(door, kind)]
    }

    /// Points rejected of one door and kind.
    pub const fn rejected_by(&self, door: Door, kind: Kind) -> u64 {
        self.words[REJECTED_BY + at(door, kind)]
    }

    /// Points rejected for one reason.
    pub const fn rejected(&self, reason: Reject) -> u64 {
        self.words[REJECTED + reason as usize]
    }

    /// Points discarded of one door and kind.
    pub const fn discarded_by(&self, door: Door, kind: Kind) -> u64 {
        self.words[DISCARDED_BY + at(door, kind)]
    }

    /// Points discarded for one reason.
    pub const fn discarded(&self, why: Discard) -> u64 {
        self.words[DISCARDED + why as usize]
    }

    /// Applied points that no merge has emitted; of a single row it may be negative.
    pub const fn open(&self) -> i64 {
        self.words[OPEN] as i64
    }

    /// Points whose effect is settled.
    pub const fn emitted(&self) -> u64 {
        self.words[EMITTED]
    }

    /// Emitted points that had this effect.
    pub const fn settled(&self, effect: Effect) -> u64 {
        self.words[EFFECTS + effect as usize]
    }

    /// A counter that is no term of the balance.
    pub const fn noted(&self, note: Note) -> u64 {
        self.words[NOTES + note as usize]
    }

    /// A counter that is no term of the balance, by number.
    pub fn noted_at(&self, note: usize) -> u64 {
        self.words[NOTES + note]
    }

    /// All points received.
    pub fn received_total(&self) -> u64 {
        self.words[RECEIVED..APPLIED].iter().sum()
    }

    /// All points applied.
    pub fn applied_total(&self) -> u64 {
        self.words[APPLIED..REJECTED_BY].iter().sum()
    }

    /// All points rejected.
    pub fn rejected_total(&self) -> u64 {
        self.words[REJECTED..DISCARDED].iter().sum()
    }

    /// All points discarded.
    pub fn discarded_total(&self) -> u64 {
        self.words[DISCARDED..OPEN].iter().sum()
    }

    /// All parts of the input balance hold, and the two ways of counting rejected and discarded points agree.
    pub fn balanced(&self) -> bool {
        self.received_total() == self.applied_total() + self.rejected_total() + self.discarded_total()
            && self.applied_total() as i64 == self.open() + self.emitted() as i64
            && self.words[EFFECTS..NOTES].iter().sum::<u64>() == self.emitted()
            && self.words[REJECTED_BY..DISCARDED_BY].iter().sum::<u64>() == self.rejected_total()
            && self.words[DISCARDED_BY..REJECTED].iter().sum::<u64>() == self.discarded_total()
    }

    /// Corrupts one counter, to show that a false balance is seen. Only reachable from tests and a hidden flag.
    #[doc(hidden)]
    pub fn corrupt(&mut self) {
        self.words[APPLIED] += 1;
    }
}

/// A shard's tally and the row it is published in.
pub struct Book {
    /// The counters.
    pub tally: Tally,
    row: RowWriter<WORDS>,
}

impl Book {
    /// A new book and its row for readers.
    pub fn new() -> (Book, Arc<CounterRow<WORDS>>) {
        let (row, reader) = CounterRow::new();
        (Book { tally: Tally::default(), row }, reader)
    }

    /// Publishes the counters whole.
    #[inline]
    pub fn publish(&mut self) {
        self.row.publish(&self.tally.words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_holds_and_a_corrupt_counter_is_seen() {
        let mut tally = Tally::default();
        tally.receive(Door::OtlpGrpc.into(), Kind::Sum, 15);
        tally.apply(Door::OtlpGrpc.into(), Kind::Sum, 7);
        tally.reject(Door::OtlpGrpc.into(), Kind::Sum, Reject::NoTime, 3);
        assert!(!tally.balanced(), "five more came in");
        tally.discard(Door::OtlpGrpc.into(), Kind::Sum, Discard::Rule, 4);
        tally.discard(Door::OtlpGrpc.into(), Kind::Sum, Discard::Dedup, 1);
        assert!(tally.balanced() && tally.discarded_total() == 5 && tally.discarded(Discard::Rule) == 4);
        let mut other = Tally::default();
        other.emit(5);
        let without = Tally::sum([tally.clone(), other.clone()]);
        assert!(!without.balanced(), "nobody said what became of the five");
        other.settle(Effect::WithEffect, 3);
        other.settle(Effect::Superseded, 2);
        let sum = Tally::sum([tally.clone(), other]);
        assert!(sum.balanced());
        assert_eq!((sum.open(), sum.emitted(), sum.rejected_total()), (2, 5, 3));
        tally.corrupt();
        assert!(!tally.balanced());
    }
}
