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
//! 3. Behind an exchange of rules each fold is brought to what its rule says now before it takes anything. One that no shard
//!    has members in because of the exchange ends: what is open of it leaves, end marks leave behind its last values, and it
//!    is forgotten at the cut behind that. If members come before, it begins anew: only its series are the same.
//!
//! Exemplars of members leave with what is merged of them (M29): of a rule's interval those of its last base interval.
//!
//! Bounds: what is done between two looks at the clock is weighed by what it takes (`AT_A_TIME`), and a fold whose windows
//! are long goes on behind the look; `CHUNK` folds or `STAGED_MAX` points are staged and handed out together.

use super::batch::Batch;
use super::exemplars::Gathering;
use super::fold_series::SeriesOfFold;
use super::folded::FoldShared;
use super::hand_over::{LaneEvent, LanePart, Packet};
use super::in_force::{Heritage, RulesInForce};
use super::outputs::{OutputCut, Outputs};
use super::passing::Passing;
use super::rule_cuts::RuleCuts;
use super::selecting::Selecting;
use super::tree::GroupDirectory;
use crate::fold::{Departure, FoldPart, FoldSpec, LeavingValue, OutputState};
use crate::ledger::{Note, Tally};
use crate::places::{self, put};
use crate::rules::Output;
use crate::series::exemplars::{NewestExemplars, Reservoir};
use crate::series::folds::FoldKey;
use crate::series::slab::SlabWriter;
use crate::sync::cut::CutTimes;
use std::sync::Arc;

/// Folds whose outputs are brought into order together.
const CHUNK: usize = 256;
/// How many folds that stay are looked at while one is forgotten.
const FORGETTING: usize = 32;
/// Points from which on they are: sorting them takes a fifth of a millisecond.
const STAGED_MAX: usize = 1_024;
/// Events or small parts of a packet that are taken between two looks at the clock.
const TAKEN_AT_A_TIME: usize = 128;
/// Outputs computed of one interval between two looks at the clock: long windows count for more (`FoldSpec::weight`).
const AT_A_TIME: usize = 64;

/// What a series that leaves takes: itself, its attributes, its places in lists, its point while a cut is staged. Held by
/// `tests/memory.rs`, with what members and outputs take otherwise.
pub(super) const SERIES_BYTES: usize = 432;
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
    series: SeriesOfFold,
    /// The cut at which something was given last, and how many cuts of its rule there had been.
    active: (u32, u64),
    /// Bytes it takes, as of its rule's last cut.
    bytes: usize,
    /// Number of the rules that it was brought to.
    in_force: u32,
    /// The cut at which its first lane was opened.
    since: u32,
    /// Members left it because of an exchange, at this cut.
    is_left: bool,
    fate: Fate,
    /// It had ended, or was about to, and no interval is over since then.
    is_back: bool,
}

impl OwnedFold {
    /// What it gathered is over. `number`: how many cuts of its rule there are; `since`: how many before this one.
    fn begin_again(&mut self, number: u64, since: u64) {
        self.state = OutputState::new(since);
        self.active.1 = number;
    }
}

/// How a fold goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// As long as it is not idle.
    Lives,
    /// Its series end, once nothing of it is open.
    Ends,
    /// They have.
    Ended,
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
    pub selecting: Option<&'a mut Selecting>,
    /// For whom what they had ends, at the cut at which others choose.
    pub passing: Option<&'a Passing>,
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
    in_force: Arc<RulesInForce>,
    outputs: Outputs,
    /// By shard that sends, by lane: place of the fold.
    lanes: Vec<Vec<u32>>,
    folds: Vec<OwnedFold>,
    fold_free: Vec<u32>,
    stage: Stage,
    /// The packet that is being taken.
    taking: Option<Packet>,
    /// How far what leaves of the fold is that comes next, if it has begun.
    departing: Option<Departure>,
    /// Bytes of folds, as the cut's walk over them found.
    bytes: usize,
    /// The newest exemplars of the cut, by place of the fold.
    exemplars: Reservoir,
    /// Exemplars that had no room.
    dropped: u64,
}

impl Settling {
    /// For `shard`, and the directory that scrapes read.
    pub(super) fn new(
        shard: usize,
        (shared, in_force): (Arc<FoldShared>, Arc<RulesInForce>),
        state: &ahash::RandomState,
    ) -> (Settling, GroupDirectory) {
        let (outputs, directory) = Outputs::new(shared.conflict_news(), state);
        let settling = Settling {
            shard,
            outputs,
            lanes: (0..shared.hand_over().shards()).map(|_| Vec::new()).collect(),
            folds: Vec::new(),
            fold_free: Vec::new(),
            stage: Stage::Over,
            taking: None,
            departing: None,
            bytes: 0,
            exemplars: Reservoir::default(),
            dropped: 0,
            shared,
            in_force,
        };
        (settling, directory)
    }

    /// Other rules are in force.
    pub(super) fn take_up(&mut self, in_force: Arc<RulesInForce>) {
        self.in_force = in_force;
    }

    /// It owns no fold.
    pub(super) fn is_empty(&self) -> bool {
        self.folds.len() == self.fold_free.len()
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
                if !self.take_some(cut, cuts) {
                    self.stage = Stage::Forgetting(0);
                }
            }
            Stage::Forgetting(from) => {
                let (mut to, mut left) = (from, CHUNK);
                while left > 0 && to < self.folds.len() {
                    let place = to;
                    to += 1;
                    left = left.saturating_sub(1 + self.folds[place].series.len() / 8);
                    self.bring_up(place, cuts);
                    self.decide(place, cuts);
                    self.forget_ended(place, cut, staging.slab);
                    if self.forget_if_idle(place as u32, (idle_since, cuts), staging.slab) {
                        left = left.saturating_sub(FORGETTING);
                    }
                }
                self.stage = Stage::Forgetting(to);
                if to == self.folds.len() {
                    places::trim(&mut self.folds, &mut self.fold_free, |fold| fold.key.is_none());
                    self.outputs.trim();
                    self.stage = Stage::Computing(0);
                }
            }
            Stage::Computing(from) => {
                let to = self.compute(from, (cut, times, cuts), staging);
                let is_end = to == self.folds.len() && self.departing.is_none();
                let is_chunk = to > from && to.is_multiple_of(CHUNK) || self.outputs.staged() >= STAGED_MAX;
                if is_end || is_chunk {
                    self.outputs.sort();
                    self.stage = Stage::Filling(to);
                } else {
                    self.stage = Stage::Computing(to);
                }
            }
            Stage::Filling(next) => {
                let batch = staging.batch;
                let selecting = staging.selecting.map(|selecting| (selecting, &*self.in_force));
                if self.outputs.fill(batch, selecting) {
                    let is_end = next == self.folds.len() && self.departing.is_none();
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

    /// Takes some of what a shard handed over; `false` when all is taken.
    fn take_some(&mut self, cut: u32, cuts: &mut RuleCuts) -> bool {
        let Some(mut packet) = self.taking.take().or_else(|| self.shared.hand_over().take(self.shard)) else {
            return false;
        };
        let events = packet.events.len().min(TAKEN_AT_A_TIME);
        for event in packet.events.drain(..events) {
            match event {
                LaneEvent::Opened(lane, key) => {
                    self.open(packet.from, lane, &key, (cut, cuts.number(key.rule)));
                }
                LaneEvent::Joined(lane) => self.join(packet.from, lane, (cut, cuts)),
                LaneEvent::Closed { lane, is_by_exchange } => self.close(packet.from, lane, is_by_exchange),
            }
        }
        if events == 0 {
            self.take_parts(&mut packet, cuts);
        }
        if packet.events.is_empty() && packet.taken == packet.parts.len() {
            self.shared.hand_over().give_back(packet);
        } else {
            self.taking = Some(packet);
        }
        true
    }

    /// Takes some parts of a packet.
    fn take_parts(&mut self, packet: &mut Packet, cuts: &mut RuleCuts) {
        let mut left = TAKEN_AT_A_TIME;
        while left > 0
            && let Some(LanePart { lane, part, .. }) = packet.parts.get_mut(packet.taken)
        {
            packet.taken += 1;
            left = left.saturating_sub(1 + part.weight());
            let place = self.lanes[packet.from][*lane as usize];
            self.bring_up(place as usize, cuts);
            let fold = &mut self.folds[place as usize];
            let Some(key) = &fold.key else { continue };
            if fold.pending.is_empty() {
                std::mem::swap(&mut fold.pending, part);
            } else if let Some(spec) = self.in_force.rules()[key.rule as usize].spec(key.input) {
                fold.pending.absorb(spec, part, cuts.work(key.rule));
            }
            part.clear();
            if let Some(exemplars) = &packet.exemplars {
                for kept in exemplars.of(*lane) {
                    self.dropped += u64::from(!self.exemplars.offer(place, kept));
                }
            }
        }
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
                series: SeriesOfFold::default(),
                active,
                bytes: 0,
                in_force: self.in_force.number(),
                since: active.0,
                is_left: false,
                fate: Fate::Lives,
                is_back: false,
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

    /// Members of a lane were there before the exchange: of a fold that began with it, windows begin there, too.
    fn join(&mut self, from: usize, lane: u32, (cut, cuts): (u32, &RuleCuts)) {
        let fold = &mut self.folds[self.lanes[from][lane as usize] as usize];
        if let Some(key) = fold.key.as_ref().filter(|_| fold.since == cut) {
            fold.state = OutputState::new(cuts.number_before(key.rule));
        }
    }

    fn close(&mut self, from: usize, lane: u32, is_by_exchange: bool) {
        let place = std::mem::replace(&mut self.lanes[from][lane as usize], NOWHERE);
        let fold = &mut self.folds[place as usize];
        fold.lanes -= 1;
        fold.is_left |= is_by_exchange;
        if let Some(key) = &fold.key {
            self.shared.folds().leave(key);
        }
    }

    /// Behind an exchange: a fold is brought to what its rule says now, once.
    fn bring_up(&mut self, place: usize, cuts: &RuleCuts) {
        let fold = &mut self.folds[place];
        if fold.in_force == self.in_force.number() {
            return;
        }
        fold.in_force = self.in_force.number();
        let Some(key) = &fold.key else { return };
        let (folds, _) = self.in_force.at(key.rule);
        match folds.heritage(key.input) {
            Heritage::Same => {}
            Heritage::Changed(succession) => {
                let Some(spec) = folds.spec(key.input) else { return };
                fold.state.succeed(succession, spec, cuts.number_before(key.rule));
                // what it keeps is of other outputs
                fold.pending = FoldPart::default();
                fold.series.move_to(|place| succession.place(place));
                if succession.is_anew() {
                    fold.active.1 = cuts.number(key.rule);
                }
                self.shared.folds().recount(key, folds.limit(key.input));
            }
            Heritage::Ends(_) if fold.fate == Fate::Lives => fold.fate = Fate::Ends,
            Heritage::Ends(_) => {}
            Heritage::Returns(succession) => {
                // what it keeps is of other outputs, and its numbers of cuts may be of another clock
                self.shared.folds().recount(key, folds.limit(key.input));
                let (number, before) = (cuts.number(key.rule), cuts.number_before(key.rule));
                fold.begin_again(number, before);
                fold.pending = FoldPart::default();
                fold.series.move_to(|place| succession.place(place));
            }
        }
    }

    /// All that was handed over is taken: whether a fold ends, or lives again.
    fn decide(&mut self, place: usize, cuts: &RuleCuts) {
        let fold = &mut self.folds[place];
        let is_left = std::mem::take(&mut fold.is_left);
        let Some(rule) = fold.key.as_ref().map(|key| key.rule) else { return };
        match fold.fate {
            Fate::Lives if is_left && fold.lanes == 0 => fold.fate = Fate::Ends,
            Fate::Ends | Fate::Ended if fold.lanes > 0 => {
                // all that it had has left
                fold.begin_again(cuts.number(rule), cuts.number_before(rule));
                (fold.fate, fold.is_back) = (Fate::Lives, true);
            }
            _ => {}
        }
    }

    /// Series that ended at a cut before and are but one of several of their output, as groups that are among the largest no
    /// more, go.
    fn forget_ended(&mut self, place: usize, cut: u32, slab: &mut SlabWriter) {
        let fold = &mut self.folds[place];
        let gone = fold.series.take_over(|one| self.outputs.is_over(one, cut));
        self.outputs.forget(gone, slab);
    }

    /// Whether it forgets a fold in which nobody is, and to which nothing was given after the cut `idle_since` (0: none is so old).
    fn forget_if_idle(&mut self, place: u32, (idle_since, cuts): (u32, &RuleCuts), slab: &mut SlabWriter) -> bool {
        let fold = &mut self.folds[place as usize];
        let Some(key) = &fold.key else { return false };
        // an interval of its rule, and a window of its outputs, may be longer than that
        let steps = self.in_force.rules()[key.rule as usize].spec(key.input).map_or(1, FoldSpec::steps) as u64;
        let is_window_over = cuts.number(key.rule) > fold.active.1 + steps + 1;
        let is_idle =
            fold.active.0 <= idle_since && fold.state.is_closed() && is_window_over && fold.pending.is_empty();
        if fold.lanes > 0 || !is_idle && fold.fate != Fate::Ended || !self.shared.end(&self.in_force, key) {
            return false;
        }
        key.put_place(None);
        (fold.key, fold.state, fold.pending) = (None, OutputState::new(0), FoldPart::default());
        let gone = fold.series.take_all();
        self.fold_free.push(place);
        self.outputs.forget(gone, slab);
        true
    }

    /// What leaves of some folds is staged; the place of the one that comes next, or goes on.
    fn compute(
        &mut self,
        from: usize,
        (cut, times, cuts): (u32, CutTimes, &mut RuleCuts),
        staging: Staging<'_>,
    ) -> usize {
        let Staging { slab, exemplars: gathering, tally, mut selecting, passing, .. } = staging;
        tally.note(Note::ExemplarsDropped, std::mem::take(&mut self.dropped));
        let (mut place, mut left) = (from, AT_A_TIME);
        while left > 0 && place < self.folds.len() && self.outputs.staged() < STAGED_MAX {
            if let Some(passing) = passing.filter(|_| self.departing.is_none()) {
                left = left.saturating_sub(self.pass(place, (cut, times), (passing, selecting.as_deref_mut()), slab));
            }
            let weight = self.compute_one(place, (cut, times, cuts), (slab, gathering, tally));
            left = left.saturating_sub(weight);
            if self.departing.is_some() {
                break;
            }
            place += 1;
            if place.is_multiple_of(CHUNK) {
                break;
            }
        }
        place
    }

    /// The series of a fold are given to others. How many there are.
    fn pass(
        &mut self,
        place: usize,
        (cut, times): (u32, CutTimes),
        (passing, mut selecting): (&Passing, Option<&mut Selecting>),
        slab: &SlabWriter,
    ) -> usize {
        let Settling { in_force, outputs, folds, .. } = self;
        let fold = &folds[place];
        let Some(key) = &fold.key else { return 0 };
        let of_cut = OutputCut { number: cut, from_ns: times.from_ns, live: 0 };
        let rule = in_force.at(key.rule).1;
        for one in fold.series.iter() {
            outputs.pass(one, of_cut, (passing, selecting.as_deref_mut(), rule), slab);
        }
        fold.series.len()
    }

    /// What leaves of a fold is staged, or some of it: then `departing` says how far it is. What that took, as outputs.
    fn compute_one(
        &mut self,
        place: usize,
        (cut, times, cuts): (u32, CutTimes, &mut RuleCuts),
        (slab, gathering, tally): (&mut SlabWriter, &mut Gathering, &mut Tally),
    ) -> usize {
        let Settling { shared, in_force, outputs, folds, exemplars, bytes, departing, .. } = self;
        let fold = &mut folds[place];
        let Some(key) = &fold.key else { return 1 };
        if fold.fate != Fate::Lives {
            let weight = 1 + fold.series.len();
            Ending { shared, in_force, outputs, slab }.end(fold, (cut, times), cuts);
            return weight;
        }
        let rule_folds = &in_force.rules()[key.rule as usize];
        let (Some(spec), Some(aggregation)) = (rule_folds.spec(key.input), rule_folds.aggregation()) else { return 1 };
        let specs = &aggregation.outputs[key.input as usize];
        let OwnedFold { state, pending, series, active, bytes: own_bytes, lanes, is_back, .. } = fold;
        let mut weight = 1 + series.len() / 8;
        let mut departure = match departing.take() {
            Some(departure) => departure,
            None => {
                for gone in series.iter().filter(|one| one.is_gone()) {
                    let of_output = OutputCut { number: cut, from_ns: times.from_ns, live: 0 };
                    outputs.end(gone, of_output, slab);
                }
                let is_given = !pending.is_empty();
                if is_given {
                    *active = (cut, cuts.number(key.rule));
                }
                weight += pending.weight();
                let window = (times.from_ns, times.boundary_ns);
                state.take(spec, window, is_given.then_some(&mut *pending), cuts.work(key.rule));
                pending.clear();
                if !cuts.is_due(key.rule) {
                    *bytes += *own_bytes;
                    return weight;
                }
                // the part of each sender is like it
                let parts = (1 + *lanes as usize) * pending.bytes();
                *own_bytes = key.bytes() + FOLD_BYTES + state.bytes() + parts + series.len() * SERIES_BYTES;
                *bytes += *own_bytes;
                Departure::default()
            }
        };
        let (Some(rule_cut), work) = cuts.closing(key.rule) else { return weight };
        let of_output = OutputCut { number: cut, from_ns: rule_cut.from_ns(), live: state.live() };
        let mut newest = NewestExemplars::default();
        exemplars.of(place as u32).for_each(|kept| newest.offer(kept));
        let newest = newest.sorted();
        let is_more = state.leave_some(spec, &rule_cut, work, &mut departure, &mut |leaving| {
            let left = outputs.leave((key, specs, series), shared.folds(), of_output, &leaving, slab);
            let has_any = !newest.is_empty() && leaving.value != LeavingValue::End;
            if has_any && has_exemplars(&specs[leaving.output].output) {
                left.into_iter().for_each(|series| outputs.show(gathering.show(&series, newest, tally)));
            }
        });
        if is_more {
            *departing = Some(departure);
        } else if std::mem::take(is_back) {
            // what it showed before, and says nothing of now
            let of_output = OutputCut { from_ns: times.from_ns, ..of_output };
            for one in series.iter() {
                if outputs.is_older(one, cut) {
                    outputs.end(one, of_output, slab);
                }
            }
        }
        weight + spec.weight()
    }
}

/// Where the last of a fold is put.
struct Ending<'a> {
    shared: &'a FoldShared,
    in_force: &'a RulesInForce,
    outputs: &'a mut Outputs,
    slab: &'a mut SlabWriter,
}

impl Ending<'_> {
    /// A fold that ends because of an exchange: what is open of it leaves, with the time until which it was given; without that,
    /// end marks. What of it is computed of windows leaves no more, and ends at once.
    fn end(&mut self, fold: &mut OwnedFold, (cut, times): (u32, CutTimes), cuts: &mut RuleCuts) {
        let Some(key) = &fold.key else { return };
        let folds = &self.in_force.rules()[key.rule as usize];
        let says = match folds.heritage(key.input) {
            Heritage::Ends(before) => Some((&before.0, &before.1)),
            _ => folds.spec(key.input).zip(folds.aggregation().map(|says| &says.outputs[key.input as usize])),
        };
        let (early, work) = cuts.ending(key.rule);
        if !fold.state.is_closed()
            && let (Some((spec, specs)), Some(early)) = (says, early)
        {
            let of_output = OutputCut { number: cut, from_ns: early.from_ns(), live: 0 };
            let OwnedFold { state, series, .. } = fold;
            state.leave(spec, &early, work, &mut |leaving| {
                let what = (&**key, &**specs, &mut *series);
                self.outputs.leave(what, self.shared.folds(), of_output, &leaving, self.slab);
            });
            let of_end = OutputCut { from_ns: times.from_ns, ..of_output };
            for one in fold.series.iter() {
                if self.outputs.is_older(one, cut) {
                    self.outputs.end(one, of_end, self.slab);
                }
            }
        } else if fold.fate == Fate::Ends {
            let of_end = OutputCut { number: cut, from_ns: times.from_ns, live: 0 };
            fold.series.iter().for_each(|one| self.outputs.end(one, of_end, self.slab));
            fold.state.forget_shown();
            fold.fate = Fate::Ended;
        }
    }
}

/// Exemplars are of observations: what is computed of them has none.
const fn has_exemplars(output: &Output) -> bool {
    matches!(output, Output::Same | Output::Histogram(_))
}
