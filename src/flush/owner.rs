//! One shard's side of what it owns, at work: cuts are merged in slices, and what comes of them is handed out in batches.
//!
//! Knows in which order the parts do their work; does not know what any of them does.

use super::batch::Batch;
use super::batch_rows::BatchRows;
use super::chosen::{Choosing, Chosen};
use super::exemplars::Gathering;
use super::folded::FoldShared;
use super::folding::Folding;
use super::interval::Interval;
use super::members::{Member, MergedMember};
use super::merge::Merge;
use super::merging::Merging;
use super::newest::Inside;
use super::passing::{EndsFor, Passing};
use super::point::more_bytes;
use super::retire::Retirement;
use super::selecting::{GroupSelection, Selecting};
use super::settling::{SettlingStep, Staging};
use super::tree::{GroupDirectory, Tree};
use super::turning;
use super::walk::{Stretch, Walk, WalkStep};
use crate::ledger::{Note, Tally};
use crate::limits::DESTINATIONS_MAX;
use crate::model::{EpochNumber, Flushed, Kind, PlanNumber, SelectionNumber, Temporality, Tenant, View};
use crate::rows::Rows;
use crate::rules::{InitialValue, SelectionSet, Selections};
use crate::series::Series;
use crate::series::registry::Registry;
use crate::series::slab::SlabWriter;
use crate::sync::cut::{CutTimes, ShardView};
use std::sync::Arc;

/// Bytes of a series' attributes from which on the batch is looked at after each.
const LONG_BYTES: usize = 4_096;

/// Series (or places in the tree) between two looks at the clock: some 20 µs.
const BETWEEN_LOOKS: usize = 256;

/// The views of a selection, in the order in which they are handed out: those of one after the other.
const TEMPORALITIES: [Temporality; 2] = [Temporality::Cumulative, Temporality::Delta];

/// Most views that there are: those of selections, and behind them those of destinations by themselves.
const VIEWS_MAX: usize = 2 * TEMPORALITIES.len() * DESTINATIONS_MAX;

/// The view at a place in the order in which they are handed out.
const fn view_at(place: usize) -> View {
    let selection = SelectionNumber::new((place / TEMPORALITIES.len()) as u8);
    View { temporality: TEMPORALITIES[place % TEMPORALITIES.len()], selection }
}

/// Options of one owner.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The settled plan.
    pub plan: PlanNumber,
    /// This start of the process.
    pub epoch: EpochNumber,
    /// Wall time at which the process started, nanoseconds.
    pub started_ns: u64,
    /// `--expire`, nanoseconds.
    pub expire_ns: u64,
}

/// Takes the rows of a cut, some at a time, for destinations that want one view of them.
pub trait Outlet {
    /// Whether anybody wants this view.
    fn wants(&self, view: View) -> bool;
    /// Rows of which somebody wants the view: what came of them; nothing if it has no points, and the next batch takes its
    /// number.
    fn take(&mut self, flushed: Flushed, rows: &impl Rows) -> Option<Written>;
    /// The same in slices, as long as `more` says so: it is asked again with the same rows until they are taken.
    fn take_some(&mut self, flushed: Flushed, rows: &impl Rows, _more: &mut impl FnMut() -> bool) -> Taken {
        Taken::Whole(self.take(flushed, rows))
    }
}

/// How far rows are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Not all of them are.
    More,
    /// All are.
    Whole(Option<Written>),
}

/// What scrapes read of one shard.
pub struct Directories {
    /// Series as they came in.
    pub series: GroupDirectory,
    /// Outputs of rules, where there may be any.
    pub outputs: Option<GroupDirectory>,
}

/// What some rows became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Points written.
    pub points: u64,
    /// Bytes they take.
    pub bytes: u64,
}

/// What shows of a series before it is merged, where something turns.
#[derive(Clone, Copy, Default)]
struct Shown {
    /// It has a value that did not end.
    is_there: bool,
    /// Time of what left of it last.
    last_ns: u64,
}

impl Shown {
    #[inline]
    fn of(series: &Series, is_asked: bool) -> Shown {
        if !is_asked {
            return Shown::default();
        }
        Shown { is_there: series.newest().is_some() && !series.is_ended(), last_ns: series.time() }
    }

    /// For whom a series ends, which `has_turned` or is given to others: in a group of which this is known, the second as far as
    /// someone chooses now.
    #[inline]
    fn ends(
        self,
        (series, at): (&Series, usize),
        has_turned: bool,
        passing: Option<&Passing>,
        (known, selection): (Option<&GroupSelection>, Option<&GroupSelection>),
    ) -> EndsFor {
        let Some(passing) = passing else {
            return if has_turned && series.hides() { EndsFor::ALL } else { EndsFor::NOBODY };
        };
        if !self.is_there {
            return EndsFor::NOBODY;
        }
        let shown = |is_hidden| if is_hidden { SelectionSet::NONE } else { SelectionSet::one(SelectionNumber::FIRST) };
        let has = selection.map_or_else(|| shown(series.hides()), |selection| selection.of(at));
        let generation = passing.before();
        let had = match (generation, selection) {
            // nobody chose
            (0, _) => shown(series.hides() != has_turned),
            (_, Some(selection)) => selection.before(generation).map_or(SelectionSet::NONE, |before| before.of(at)),
            (_, None) => known.filter(|known| known.is_of(generation)).map_or(SelectionSet::NONE, |known| known.of(at)),
        };
        passing.ends(had, has)
    }
}

/// What is left of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The slice is over, this half of the cut is not.
    More,
    /// The first half is over: the series are merged, and what they gave is handed over. `Owner::settle` begins the second,
    /// once every shard is so far.
    Folded,
    /// The cut is merged and handed out.
    Done,
}

/// A cut being merged, and how far it is.
struct Merged {
    interval: Interval,
    /// Memory of what was handed over at the cut before is where it was.
    is_taken_back: bool,
    /// Newborn series have been linked.
    is_linked: bool,
    /// What the cut before marked as retiring has been decided.
    is_settled: bool,
    walk: Walk,
    /// Every series has been merged.
    is_walked: bool,
    /// The batch is being handed out: the place of the view that is next.
    handing: Option<usize>,
    /// Batches handed out in each view.
    handed: [u32; VIEWS_MAX],
    /// Every shard has folded: outputs are settled.
    is_settling: bool,
    /// They are, and handed out.
    is_ending: bool,
    /// When the cut was made.
    times: CutTimes,
}

/// One shard's side of all series it owns.
pub struct Owner {
    shard: usize,
    options: Options,
    registry: Arc<Registry>,
    tree: Tree,
    merge: Merge,
    exemplars: Gathering,
    retirement: Retirement,
    batch: Batch,
    /// What rules make of the series; nothing where there are no rules that fold.
    folding: Option<Box<Folding>>,
    /// The same, as long as no rule needs it: rules may come.
    resting: Option<Box<Folding>>,
    /// Who is given what; nothing where all are given everything.
    selecting: Option<Box<Selecting>>,
    /// What of the batch is handed out, then.
    chosen: Chosen,
    /// For whom what they had ends at the cut, where something turns.
    passing: Option<Box<Passing>>,
    /// Selections that there were before.
    selections_before: u32,
    /// Wall time at which the process started, or the earliest a window began since.
    started_ns: u64,
    merged: Option<Merged>,
}

impl Owner {
    /// For `shard`, and the directory that scrapes read: without rules.
    pub fn new(shard: usize, options: Options, registry: Arc<Registry>) -> (Owner, Directories) {
        Owner::with_rules(shard, options, registry, None)
    }

    /// For `shard`, with what rules need of all shards, and the directories that scrapes read.
    pub fn with_rules(
        shard: usize,
        options: Options,
        registry: Arc<Registry>,
        rules: Option<Arc<FoldShared>>,
    ) -> (Owner, Directories) {
        let (tree, series) = Tree::new(registry.state());
        let (resting, outputs) = rules
            .map(|rules| {
                let (folding, directory) = Folding::new(shard, rules, registry.state(), options.expire_ns);
                registry.keep_extremes(folding.asks_extremes());
                (Box::new(folding), directory)
            })
            .unzip();
        let mut owner = Owner {
            shard,
            options,
            registry,
            tree,
            merge: Merge::default(),
            exemplars: Gathering::default(),
            retirement: Retirement::new(options.expire_ns),
            batch: Batch::default(),
            folding: None,
            resting,
            selecting: None,
            chosen: Chosen::default(),
            passing: None,
            selections_before: 0,
            started_ns: options.started_ns,
            merged: None,
        };
        owner.rest_or_fold();
        (owner, Directories { series, outputs })
    }

    /// Folds if rules need it, and does not if none does: then nothing is asked about members, at births or at cuts.
    fn rest_or_fold(&mut self) {
        let all = [&self.folding, &self.resting];
        if all.into_iter().flatten().all(|folding| folding.is_needed()) != self.folding.is_some() {
            std::mem::swap(&mut self.folding, &mut self.resting);
        }
    }

    /// From the next cut on destinations are given what these selections say; nothing: everything. Outlets know them by the
    /// same numbers. Series are asked about when the next cut comes to them.
    pub fn select(&mut self, selections: Option<Arc<Selections>>) {
        assert!(self.merged.is_none(), "between cuts: batches of a cut are numbered by its views");
        self.selections_before += 1;
        self.selecting = selections.map(|selections| Box::new(Selecting::new(selections, self.selections_before)));
    }

    /// What rules need that fold, or come into force with the cut.
    fn folding_at(&mut self, is_exchange: bool) -> Option<&mut Folding> {
        self.folding.as_deref_mut().or(self.resting.as_deref_mut().filter(|_| is_exchange))
    }

    /// Places of views that there are: of selections, and of destinations by themselves.
    fn views(&self) -> impl Iterator<Item = usize> + use<> {
        let has_alone = self.passing.as_ref().is_some_and(|passing| passing.has_alone());
        let selections = TEMPORALITIES.len() * self.selecting.as_ref().map_or(1, |selecting| selecting.count());
        (0..selections).chain(if has_alone { VIEWS_MAX / 2..VIEWS_MAX } else { 0..0 })
    }

    /// Series linked and alive.
    pub const fn live(&self) -> usize {
        self.tree.live()
    }

    /// Output series of rules that are alive.
    pub fn live_outputs(&self) -> usize {
        self.folding.as_ref().map_or(0, |folding| folding.settling.outputs().live())
    }

    /// Whether a cut is being merged.
    pub const fn busy(&self) -> bool {
        self.merged.is_some()
    }

    /// Begins to merge cut `number`, made at `times`; `cores` is the board's view of every core.
    pub fn begin(&mut self, number: u32, times: CutTimes, cores: Vec<ShardView>) {
        assert!(self.merged.is_none(), "a cut is merged before the next begins");
        self.retirement.note_cut(number, times.mono_ns);
        // a wall clock that steps behind the start of the process must not make every new stream an old one
        self.started_ns = self.started_ns.min(times.from_ns);
        self.exemplars.begin(number, &cores, &self.registry);
        if let Some(folding) = self.folding.as_mut().or(self.resting.as_mut().filter(|_| times.is_exchange)) {
            folding.begin(times, cores.iter().any(|core| core.closed.is_none()));
        }
        let interval = Interval {
            cut: number,
            from_ns: times.from_ns,
            boundary_ns: times.boundary_ns,
            sequences: Interval::sequences(&cores, &self.registry),
            cores,
            wants_deltas: false,
            started_ns: self.started_ns,
            expire_ns: self.options.expire_ns,
            idle_since: self.retirement.idle_since(),
        };
        self.merged = Some(Merged {
            interval,
            is_taken_back: false,
            is_linked: false,
            is_settled: false,
            walk: Walk::default(),
            is_walked: false,
            handing: None,
            handed: [0; VIEWS_MAX],
            is_settling: false,
            is_ending: false,
            times,
        });
    }

    /// Links newborn series, a few hundred at most; `true` when there are no more. Also called between cuts, so that
    /// births neither pile up nor wait for one.
    pub fn welcome(&mut self, tally: &mut Tally) -> bool {
        // rules take some microseconds to ask
        let n = if self.folding.is_some() { BETWEEN_LOOKS / 8 } else { BETWEEN_LOOKS };
        for _ in 0..n {
            let Some(series) = self.registry.next_birth(self.shard) else { return true };
            match &mut self.folding {
                None => drop(self.tree.link(series)),
                Some(folding) => {
                    let (number, members) = (folding.number(), &mut folding.members);
                    let known = self.tree.candidates(&series.group, number).cloned();
                    let candidates = known.unwrap_or_else(|| members.candidates(&series.group));
                    let member = members.link(&candidates, &series, self.registry.state(), tally);
                    series.put_hide(member.fold().is_some_and(|entry| members.hides(entry)));
                    if !series.hides() {
                        folding.conflicts.passes(&series);
                    }
                    if series.group.kind == Kind::Gauge {
                        series.group.ask_extremes(members.asks_extremes(member));
                    }
                    self.tree.link_member(series, member, (&candidates, number));
                }
            }
        }
        false
    }

    /// Members that are no more leave their folds.
    fn release(&mut self) {
        if let Some(folding) = &mut self.folding {
            self.tree.released().for_each(|entry| folding.members.release(entry));
        }
    }

    /// Begins the second half of the cut: every shard has folded.
    pub fn settle(&mut self) {
        let merged = self.merged.as_mut().expect("a cut is settled after its fold");
        assert!(merged.is_walked, "a shard settles after its own fold");
        merged.is_settling = true;
        if let Some(folding) = &mut self.folding {
            folding.settling.begin();
        }
    }

    /// Whether the second half of a cut has begun.
    pub fn is_settling(&self) -> bool {
        self.merged.as_ref().is_some_and(|merged| merged.is_settling)
    }

    /// Merges and hands out until this half of the cut is over or `more` says no; `more` is asked every few hundred series.
    pub fn step(
        &mut self,
        slab: &mut SlabWriter,
        tally: &mut Tally,
        outlet: &mut impl Outlet,
        more: impl FnMut() -> bool,
    ) -> Work {
        let Some(mut merged) = self.merged.take() else { return Work::Done };
        let wants = |place| outlet.wants(view_at(place)) && view_at(place).temporality == Temporality::Delta;
        merged.interval.wants_deltas = self.views().any(wants);
        let work = self.advance(&mut merged, slab, tally, outlet, more);
        match work {
            Work::More | Work::Folded => self.merged = Some(merged),
            Work::Done => {
                self.exemplars.publish(self.shard, &self.registry);
                let is_exchange = merged.times.is_exchange;
                let registry = self.registry.clone();
                if let Some(folding) = self.folding_at(is_exchange) {
                    let others = folding.end(merged.times, &registry);
                    self.rest_or_fold();
                    self.passing = None;
                    if let Some(others) = others {
                        let before = self.selecting.as_ref().map_or(0, |selecting| selecting.generation());
                        self.select(others.selections().cloned());
                        let is_chosen = before != 0 || self.selecting.is_some();
                        self.passing = is_chosen.then(|| Box::new(Passing::new(others.passed(), before)));
                    }
                } else {
                    self.passing = None;
                }
            }
        }
        work
    }

    fn advance(
        &mut self,
        merged: &mut Merged,
        slab: &mut SlabWriter,
        tally: &mut Tally,
        outlet: &mut impl Outlet,
        mut more: impl FnMut() -> bool,
    ) -> Work {
        loop {
            if let Some(folding) = self.folding.as_mut().filter(|_| !merged.is_taken_back) {
                merged.is_taken_back = !folding.members.take_back_some(BETWEEN_LOOKS);
            } else if !merged.is_linked {
                merged.is_linked = self.welcome(tally);
            } else if !merged.is_settled {
                // once: what this very cut marks below is decided at the next
                let owned = (&*self.registry, &mut self.tree);
                let is_more = self.retirement.decide_some(&merged.interval, owned, slab, tally, BETWEEN_LOOKS);
                merged.is_settled = !is_more;
                self.release();
            } else if let Some(folding) = self.folding.as_mut().filter(|folding| folding.is_relinking()) {
                folding.relink_some(&mut self.tree, &self.retirement, self.registry.state(), tally);
            } else if let Some(view) = merged.handing {
                merged.handing = self.hand_out(merged, view, tally, outlet, &mut more);
            } else if merged.is_ending {
                let is_exchange = merged.times.is_exchange;
                let registry = self.registry.clone();
                if !self.folding_at(is_exchange).is_some_and(|folding| folding.end_some(&registry)) {
                    return Work::Done;
                }
            } else if merged.is_settling {
                match self.settle_some(merged, slab, tally) {
                    SettlingStep::More => {}
                    SettlingStep::HandOut => merged.handing = self.next_view(0, outlet),
                    SettlingStep::Over => merged.is_ending = true,
                }
            } else if merged.is_walked {
                let is_more = self.folding.as_mut().is_some_and(|folding| folding.members.send_some(BETWEEN_LOOKS));
                if !is_more {
                    return Work::Folded;
                }
            } else {
                merged.is_walked = !self.merge_some(merged, slab, tally);
                if merged.is_walked || self.batch.is_full() {
                    merged.handing = self.next_view(0, outlet);
                }
            }
            if !more() {
                return Work::More;
            }
        }
    }

    /// Goes on with the outputs that this shard owns.
    fn settle_some(&mut self, merged: &Merged, slab: &mut SlabWriter, tally: &mut Tally) -> SettlingStep {
        let Some(folding) = &mut self.folding else { return SettlingStep::Over };
        let idle_since = merged.interval.idle_since;
        let selecting = self.selecting.as_deref_mut();
        let passing = self.passing.as_deref().filter(|passing| passing.is_exchange());
        let (batch, exemplars) = (&mut self.batch, &mut self.exemplars);
        let staging = Staging { slab, batch, exemplars, tally, selecting, passing };
        let Folding { settling, cuts, .. } = &mut **folding;
        settling.step(merged.interval.cut, (merged.times, idle_since, cuts), staging)
    }

    /// Merges up to `BETWEEN_LOOKS` series; `false` when there are no more.
    fn merge_some(&mut self, merged: &mut Merged, slab: &mut SlabWriter, tally: &mut Tally) -> bool {
        let mut steps = BETWEEN_LOOKS;
        if self.passing.is_none()
            && let (Some(selecting), Some(folding)) = (&self.selecting, &self.folding)
            && folding.is_turning()
        {
            // hidden later than with the exchange
            self.passing = Some(Box::new(Passing::same(selecting.generation())));
        }
        loop {
            match merged.walk.next(&self.tree, &mut steps) {
                WalkStep::Series(stretch) => {
                    let end = if self.folding.is_some() || self.passing.is_some() {
                        self.merge_stretch::<true>(&merged.interval, stretch, slab, tally)
                    } else {
                        self.merge_stretch::<false>(&merged.interval, stretch, slab, tally)
                    };
                    merged.walk.go_to(end, &mut steps);
                    if self.batch.is_full() {
                        return true;
                    }
                }
                WalkStep::Pause => return true,
                WalkStep::Over => return false,
            }
        }
    }

    /// Merges series until the batch is full; where it stopped. Where no rules fold and no destination begins to choose
    /// otherwise (not `FOLDS`), nothing is asked about members: one loop for both took 60 instructions a point more.
    #[inline(never)]
    fn merge_stretch<const FOLDS: bool>(
        &mut self,
        interval: &Interval,
        stretch: Stretch,
        slab: &mut SlabWriter,
        tally: &mut Tally,
    ) -> usize {
        let Stretch { resource, scope, group, series: places } = stretch;
        if places.start == 0 {
            // as it is for this cut, so that sizes and bytes agree
            self.tree.settle_description(group);
        }
        self.batch.enter(resource, scope, group);
        if let Some(selecting) = &mut self.selecting {
            let of_rules = self.folding.as_deref().map(|folding| &folding.members);
            let (by, known) = self.tree.group_mut(group).selection_mut();
            let turning = self.passing.as_ref().map(|_| interval.cut);
            selecting.settle(by, places.clone(), (of_rules, turning), known);
        }
        let end = places.end;
        let reader = self.tree.group(group).series().reader();
        let meta = self.tree.group(group).meta().clone();
        let more = more_bytes(meta.kind, meta.buckets());
        let has_exemplars = self.exemplars.any();
        // numbers of usual attributes: whoever called looks, and that is soon enough
        let is_heavy = more > 0 || has_exemplars;
        let merging = Merging::new(interval, &self.registry);
        // what rules know of the series; nothing where there are none
        let folding = if FOLDS { self.folding.as_deref_mut() } else { None };
        let turns = folding.as_ref().is_some_and(|folding| folding.is_turning());
        let (mut folding, mut cuts) = folding.map(|folding| (&mut folding.members, &mut folding.cuts)).unzip();
        let passing = if FOLDS { self.passing.as_deref() } else { None };
        let beside = if FOLDS { self.tree.group_mut(group).beside() } else { (&mut [][..], None) };
        let (members, known): (&mut [Member], _) = beside;
        let selection = known.filter(|_| self.selecting.is_some());
        // series that lie together, so that a place is not looked for by each
        let mut together = [].iter();
        for at in places {
            let next = together.next().or_else(|| {
                together = reader.beside(at).iter();
                together.next()
            });
            let Some(series) = next else { break };
            if series.is_dead() {
                if let (Some(folding), Some(member)) = (&mut folding, members.get_mut(at))
                    && let Some(entry) = member.take_fold()
                {
                    folding.release(entry);
                }
                continue;
            }
            let size = series.attributes.len() + more;
            let before = if folding.is_some() { (tally.emitted(), self.batch.words().len()) } else { (0, 0) };
            let had_delta = FOLDS && series.has_delta();
            let (initial, asks) = match (&folding, members.get(at)) {
                (Some(folding), Some(member)) => {
                    (folding.initial(*member), meta.kind == Kind::Gauge && folding.asks_extremes(*member))
                }
                _ => (InitialValue::Auto, false),
            };
            let shown = Shown::of(series, turns || passing.is_some());
            let merging = merging.with(initial).asking(asks);
            let point = self.merge.merge(merging, series, (slab, self.batch.words()), tally);
            let inside = if asks { self.merge.take_inside() } else { Inside::default() };
            if inside.is_short {
                ask_cores(&self.registry, series);
            }
            let has_turned = turns && series.take_turn();
            let mut is_nobodys = false;
            if let (Some(folding), Some(cuts), Some(member)) = (&mut folding, &mut cuts, members.get_mut(at))
                && let Some(entry) = member.fold()
            {
                let points = tally.emitted() - before.0;
                folding.give(
                    member,
                    series,
                    MergedMember {
                        point: point.as_ref(),
                        words: self.batch.words(),
                        points,
                        had_delta,
                        extremes: inside.extremes,
                        slab,
                    },
                    cuts,
                );
                if has_exemplars {
                    self.exemplars.each_of(series, |kept| folding.offer(entry, kept, tally));
                }
                is_nobodys = match selection {
                    Some(selection) => selection.of(at).is_empty(),
                    None => folding.hides(entry),
                };
                if is_nobodys {
                    self.batch.words().truncate(before.1);
                    match (point, self.merge.take_end()) {
                        (None, None) => self.retirement.mark_if_idle(&self.registry, group, series),
                        _ => tally.note(Note::SeriesMerged, 1),
                    }
                }
            }
            if has_turned {
                turning::turned(interval, series, slab);
            }
            let ends = shown.ends((series, at), has_turned, passing, (known, selection));
            if !ends.is_empty() {
                let times = (interval.start_of(series), shown.last_ns.max(interval.from_ns));
                let mut end = turning::end_mark(series, times, ends, (slab, self.batch.words()));
                end.series = at as u32;
                self.batch.push(end, size);
            }
            if is_nobodys {
                if !ends.is_empty() && self.batch.is_full() {
                    return at + 1;
                }
                continue;
            }
            match point {
                Some(mut point) => {
                    point.series = at as u32;
                    if has_exemplars {
                        let (place, bytes) = self.exemplars.of(series, tally);
                        point.exemplars = place;
                        self.batch.add_bytes(bytes);
                    }
                    self.batch.push(point, size);
                }
                None if !self.merge.has_end() => {
                    self.retirement.mark_if_idle(&self.registry, group, series);
                    continue;
                }
                None => {}
            }
            tally.note(Note::SeriesMerged, 1);
            if let Some(mut end) = self.merge.take_end() {
                end.series = at as u32;
                self.batch.push(end, size);
            }
            if (is_heavy || size > LONG_BYTES) && self.batch.is_full() {
                return at + 1;
            }
        }
        end
    }

    /// The next view of the batch that somebody wants, from place `from` on; without one the batch is emptied.
    fn next_view(&mut self, from: usize, outlet: &impl Outlet) -> Option<usize> {
        let next =
            self.views().find(|view| *view >= from && outlet.wants(view_at(*view))).filter(|_| !self.batch.is_empty());
        if next.is_none() {
            self.batch.clear();
            self.chosen.forget();
        }
        next
    }

    /// Hands out some of a view of the batch; returns the view that is next.
    fn hand_out(
        &mut self,
        merged: &mut Merged,
        view: usize,
        tally: &mut Tally,
        outlet: &mut impl Outlet,
        more: &mut impl FnMut() -> bool,
    ) -> Option<usize> {
        let Merged { interval, handed, is_settling, .. } = merged;
        if outlet.wants(view_at(view)) {
            let flushed = Flushed {
                plan: self.options.plan,
                epoch: self.options.epoch,
                cut: interval.cut,
                shard: self.shard as u16,
                number: handed[view],
                tenant: Tenant::DEFAULT,
                view: view_at(view),
                boundary_ns: interval.boundary_ns,
            };
            let window = (interval.from_ns, interval.boundary_ns);
            let outputs = self.folding.as_ref().filter(|_| *is_settling).map(|folding| folding.settling.outputs());
            let choosing = Choosing { chooses: self.selecting.is_some(), has_ends: self.passing.is_some() };
            let batch = if choosing.chooses || choosing.has_ends {
                self.chosen.of((&self.batch, flushed.view.selection), choosing, (&self.tree, outputs))
            } else {
                &self.batch
            };
            let points = (batch, self.batch.regions());
            let rows = match outputs {
                Some(outputs) => BatchRows::of_outputs(points, outputs, &self.exemplars, window),
                None => BatchRows::new(points, &self.tree, &self.exemplars, window),
            };
            match outlet.take_some(flushed, &rows, more) {
                Taken::More => return Some(view),
                Taken::Whole(Some(Written { points, bytes })) => {
                    handed[view] += 1;
                    tally.note(Note::Encoded, points);
                    tally.note(Note::EncodedBytes, bytes);
                }
                Taken::Whole(None) => {}
            }
        }
        self.next_view(view + 1, outlet)
    }
}

/// Asks the cores that feed a gauge for its extremes inside an interval: from the one after the next on they are there.
#[cold]
fn ask_cores(registry: &Registry, series: &Arc<Series>) {
    series.group.ask_extremes(true);
    series.each_cell(|cell| registry.ask_extremes(cell.core as usize, series.clone()));
}
