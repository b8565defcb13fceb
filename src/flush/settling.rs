//! The folds that one shard owns, in the second half of a cut: what all shards gave is taken, and what leaves is staged.
//!
//! Knows lanes, states and the intervals of rules; does not know members, what is computed (`fold`), or how a series that
//! leaves is called (`outputs`).
//!
//! ```text
//!   packets ─► pending parts ─► states ─► at a rule's cut: what leaves ─► values for scrapes, staged points ─► batches
//! ```
//!
//! Invariants
//! 1. A fold's state takes exactly one part at each base cut: what all shards gave together, or nothing.
//! 2. A fold is forgotten before the points of a cut are staged, when no shard has members in it and nothing was given for
//!    `--expire`.
//!
//! Exemplars of members leave with what is merged of them (M29): of a rule's interval those of its last base interval.
//!
//! Bounds: `AT_A_TIME` folds are computed between two looks at the clock, `CHUNK` staged and handed out together.

use super::batch::Batch;
use super::exemplars::Gathering;
use super::folded::FoldShared;
use super::hand_over::LaneEvent;
use super::outputs::{FoldSeries, OutputCut, Outputs};
use super::rule_cuts::RuleCuts;
use super::tree::GroupDirectory;
use crate::fold::{FoldPart, FoldSpec, LeavingValue, OutputState};
use crate::ledger::{Note, Tally};
use crate::places::{self, put};
use crate::rules::Output;
use crate::series::exemplars::{NewestExemplars, Reservoir};
use crate::series::folds::FoldKey;
use crate::series::slab::SlabWriter;
use crate::sync::cut::CutTimes;
use std::ops::Range;
use std::sync::Arc;

/// Folds whose outputs are brought into order together.
const CHUNK: usize = 256;
/// Folds that are computed between two looks at the clock: long windows take a tenth of a millisecond each.
const AT_A_TIME: usize = 8;

/// What a series that leaves takes: itself, its attributes, its places in lists, its point while a cut is staged. Held by
/// `tests/memory.rs`, with what members and outputs take otherwise.
pub(super) const SERIES_BYTES: usize = 400;
/// What a fold takes beside its key, its state and its parts.
pub(super) const FOLD_BYTES: usize = size_of::<OwnedFold>() - size_of::<OutputState>() - size_of::<FoldPart>();

/// No fold.
const NOWHERE: u32 = u32::MAX;

/// A fold that this shard owns.
struct OwnedFold {
    /// Nothing: the place is free.
    key: Option<Arc<FoldKey>>,
    /// Shards that have members in it.
    lanes: u32,
    state: OutputState,
    /// What shards gave at this cut.
    pending: FoldPart,
    series: Vec<FoldSeries>,
    /// The cut at which something was given last, and how many cuts of its rule there had been.
    active: (u32, u64),
    /// Bytes it takes, as of its rule's last cut.
    bytes: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettlingStep {
    /// There is more to do.
    More,
    /// The batch is to be handed out.
    HandOut,
    /// All is settled.
    Over,
}

/// Where what leaves is put.
pub(super) struct Staging<'a> {
    pub slab: &'a mut SlabWriter,
    pub batch: &'a mut Batch,
    pub exemplars: &'a mut Gathering,
    pub tally: &'a mut Tally,
}

/// How far the second half is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Taking,
    /// From this place on.
    Forgetting(usize),
    /// From this place on.
    Computing(usize),
    /// What was computed; this place comes next.
    Filling(usize),
    Over,
}

/// See the file's head.
pub(super) struct Settling {
    shard: usize,
    shared: Arc<FoldShared>,
    outputs: Outputs,
    /// By shard that sends, by lane: place of the fold.
    lanes: Vec<Vec<u32>>,
    folds: Vec<OwnedFold>,
    fold_free: Vec<u32>,
    stage: Stage,
    /// Bytes of folds, as the cut's walk over them found.
    bytes: usize,
    /// The newest exemplars of the cut, by place of the fold.
    exemplars: Reservoir,
    /// Exemplars that had no room.
    dropped: u64,
}

impl Settling {
    /// For `shard`, and the directory that scrapes read.
    pub(super) fn new(shard: usize, shared: Arc<FoldShared>, state: &ahash::RandomState) -> (Settling, GroupDirectory) {
        let (outputs, directory) = Outputs::new(state);
        let settling = Settling {
            shard,
            outputs,
            lanes: (0..shared.hand_over().shards()).map(|_| Vec::new()).collect(),
            folds: Vec::new(),
            fold_free: Vec::new(),
            stage: Stage::Over,
            bytes: 0,
            exemplars: Reservoir::default(),
            dropped: 0,
            shared,
        };
        (settling, directory)
    }

    /// Every shard has folded the cut.
    pub(super) fn begin(&mut self) {
        self.stage = Stage::Taking;
        self.bytes = 0;
        if !self.exemplars.is_empty() {
            self.exemplars = Reservoir::begin(0, &self.exemplars);
        }
    }

    /// Bytes that folds and their series take, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The series that leave.
    pub(super) const fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// Goes on with the second half of a cut.
    pub(super) fn step(
        &mut self,
        cut: u32,
        (times, idle_since, cuts): (CutTimes, u32, &mut RuleCuts),
        staging: Staging<'_>,
    ) -> SettlingStep {
        match self.stage {
            Stage::Over => return SettlingStep::Over,
            Stage::Taking => {
                if !self.take_packet(cut, cuts) {
                    self.stage = Stage::Forgetting(0);
                }
            }
            Stage::Forgetting(from) => {
                let to = self.folds.len().min(from + CHUNK);
                for place in from..to {
                    self.forget_ended(place, cut, staging.slab);
                    self.forget_if_idle(place as u32, (idle_since, cuts), staging.slab);
                }
                self.stage = Stage::Forgetting(to);
                if to == self.folds.len() {
                    places::trim(&mut self.folds, &mut self.fold_free, |fold| fold.key.is_none());
                    self.outputs.trim();
                    self.stage = Stage::Computing(0);
                }
            }
            Stage::Computing(from) => {
                let chunk = (from / CHUNK + 1) * CHUNK;
                let to = self.folds.len().min(chunk).min(from + AT_A_TIME);
                self.compute(from..to, (cut, times, cuts), staging);
                self.stage = Stage::Computing(to);
                if to == self.folds.len() || to == chunk {
                    self.outputs.sort();
                    self.stage = Stage::Filling(to);
                }
            }
            Stage::Filling(next) => {
                let batch = staging.batch;
                if self.outputs.fill(batch) {
                    let is_end = next == self.folds.len();
                    self.stage = if is_end { Stage::Over } else { Stage::Computing(next) };
                    if is_end {
                        return SettlingStep::HandOut;
                    }
                }
                if batch.is_full() {
                    return SettlingStep::HandOut;
                }
            }
        }
        SettlingStep::More
    }

    /// Takes what one shard handed over; `false` when all is taken.
    fn take_packet(&mut self, cut: u32, cuts: &mut RuleCuts) -> bool {
        let Some(mut packet) = self.shared.hand_over().take(self.shard) else { return false };
        for event in packet.events.drain(..) {
            match event {
                LaneEvent::Opened(lane, key) => {
                    self.open(packet.from, lane, &key, (cut, cuts.number(key.rule)));
                }
                LaneEvent::Closed(lane) => self.close(packet.from, lane),
            }
        }
        for (lane, _, part) in &mut packet.parts {
            let place = self.lanes[packet.from][*lane as usize];
            let fold = &mut self.folds[place as usize];
            let Some(key) = &fold.key else { continue };
            if fold.pending.is_empty() {
                std::mem::swap(&mut fold.pending, part);
            } else if let Some(spec) = self.shared.rules()[key.rule as usize].spec(key.input) {
                fold.pending.absorb(spec, part, cuts.at(key.rule).1);
            }
            part.clear();
            if let Some(exemplars) = &packet.exemplars {
                for kept in exemplars.of(*lane) {
                    self.dropped += u64::from(!self.exemplars.offer(place, kept));
                }
            }
        }
        packet.exemplars = None;
        self.shared.hand_over().give_back(self.shard, packet);
        true
    }

    fn open(&mut self, from: usize, lane: u32, key: &Arc<FoldKey>, active: (u32, u64)) {
        let place = key.place().unwrap_or_else(|| {
            let is_there = key.enter();
            assert!(is_there, "the shard that opened the lane is in the fold");
            let fold = OwnedFold {
                key: Some(key.clone()),
                lanes: 0,
                state: OutputState::new(0),
                pending: FoldPart::default(),
                series: Vec::new(),
                active,
                bytes: 0,
            };
            let place = put(&mut self.folds, &mut self.fold_free, fold);
            key.put_place(Some(place));
            place
        });
        self.folds[place as usize].lanes += 1;
        let lanes = &mut self.lanes[from];
        if lanes.len() <= lane as usize {
            lanes.resize(lane as usize + 1, NOWHERE);
        }
        lanes[lane as usize] = place;
    }

    fn close(&mut self, from: usize, lane: u32) {
        let place = std::mem::replace(&mut self.lanes[from][lane as usize], NOWHERE);
        let fold = &mut self.folds[place as usize];
        fold.lanes -= 1;
        if let Some(key) = &fold.key {
            self.shared.folds().leave(key);
        }
    }

    /// Series that ended at a cut before and are but one of several of their output, as groups that are among the largest no
    /// more, go.
    fn forget_ended(&mut self, place: usize, cut: u32, slab: &mut SlabWriter) {
        let fold = &mut self.folds[place];
        if fold.series.iter().any(|one| self.outputs.is_over(one, cut)) {
            let (gone, kept) =
                std::mem::take(&mut fold.series).into_iter().partition(|one| self.outputs.is_over(one, cut));
            fold.series = kept;
            self.outputs.forget(gone, slab);
        }
    }

    /// Forgets a fold in which nobody is, and to which nothing was given after the cut `idle_since` (0: none is so old).
    fn forget_if_idle(&mut self, place: u32, (idle_since, cuts): (u32, &RuleCuts), slab: &mut SlabWriter) {
        let fold = &mut self.folds[place as usize];
        let Some(key) = &fold.key else { return };
        // an interval of its rule, and a window of its outputs, may be longer than that
        let steps = self.shared.rules()[key.rule as usize].spec(key.input).map_or(1, FoldSpec::steps) as u64;
        let is_window_over = cuts.number(key.rule) > fold.active.1 + steps + 1;
        if fold.lanes > 0
            || fold.active.0 > idle_since
            || !fold.state.is_closed()
            || !is_window_over
            || !fold.pending.is_empty()
            || !self.shared.end(key)
        {
            return;
        }
        key.put_place(None);
        (fold.key, fold.state, fold.pending) = (None, OutputState::new(0), FoldPart::default());
        let gone = std::mem::take(&mut fold.series);
        self.fold_free.push(place);
        self.outputs.forget(gone, slab);
    }

    /// What leaves of some folds is staged.
    fn compute(
        &mut self,
        places: Range<usize>,
        (cut, times, cuts): (u32, CutTimes, &mut RuleCuts),
        staging: Staging<'_>,
    ) {
        let Settling { shared, outputs, folds, exemplars, bytes, .. } = self;
        let Staging { slab, exemplars: gathering, tally, .. } = staging;
        tally.note(Note::ExemplarsDropped, std::mem::take(&mut self.dropped));
        for (place, fold) in places.clone().zip(&mut folds[places]) {
            let Some(key) = &fold.key else { continue };
            let rule_folds = &shared.rules()[key.rule as usize];
            let (Some(spec), Some(aggregation)) = (rule_folds.spec(key.input), rule_folds.aggregation()) else {
                continue;
            };
            let OwnedFold { state, pending, series, active, bytes: own_bytes, lanes, .. } = fold;
            let is_given = !pending.is_empty();
            if is_given {
                *active = (cut, cuts.number(key.rule));
            }
            let is_due = cuts.is_due(key.rule);
            let (clock, work) = cuts.at(key.rule);
            state.take(spec, (times.from_ns, times.boundary_ns), is_given.then_some(&mut *pending), work);
            pending.clear();
            if !is_due {
                *bytes += *own_bytes;
                continue;
            }
            // the part of each sender is like it
            let parts = (1 + *lanes as usize) * pending.bytes();
            *own_bytes = key.bytes() + FOLD_BYTES + state.bytes() + parts + series.len() * SERIES_BYTES;
            *bytes += *own_bytes;
            let Some(rule_cut) = clock.cut(times.is_last) else { continue };
            let of_output = OutputCut { number: cut, from_ns: rule_cut.from_ns() };
            let mut newest = NewestExemplars::default();
            exemplars.of(place as u32).for_each(|kept| newest.offer(kept));
            let newest = newest.sorted();
            state.leave(spec, &rule_cut, work, &mut |leaving| {
                let left = outputs.leave((key, aggregation, series), shared.folds(), of_output, &leaving, slab);
                let has_any = !newest.is_empty() && leaving.value != LeavingValue::End;
                if has_any && has_exemplars(&aggregation.outputs[key.input as usize][leaving.output].output) {
                    left.into_iter().for_each(|series| outputs.show(gathering.show(&series, newest, tally)));
                }
            });
        }
    }
}

/// Exemplars are of observations: what is computed of them has none.
const fn has_exemplars(output: &Output) -> bool {
    matches!(output, Output::Same | Output::Histogram(_))
}
