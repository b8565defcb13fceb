//! Merge: the closed banks of a series become the value of a cut.
//!
//! Knows the rules of DESIGN's "time, temporality and truth" (conformance M8 to M24); does not know how a point is
//! encoded. A cumulative stream that reaches a series alone leaves it as it came, whole; as soon as deltas join it, or
//! for a delta destination, its increments count.
//!
//! Two things are kept of cumulative input (M14): the *chain*, which is the last point of the writer whose increments
//! count, and the *newest whole point* of any writer, which is what leaves. A second writer, known by a start older than
//! the chain's or by points between the chain's, never replaces the chain, so that two writers by turns are not taken
//! for resets; only when the chain had no point for `--expire` does it give way, to a baseline. What two cores took of
//! one writer in one interval, by turns or twice, is told from two writers by its starts and values (`Stands::Within`).
//! Histograms go the same way, with their own arithmetic (`histograms`).
//!
//! What had an effect is said of a whole bank, in its points, as a core keeps no more of them than this: all of a bank
//! whose newest point is not newer than the newest known are superseded, all of a second writer's overlap. Of a bank that
//! sets a base its first point is a baseline, and of one that begins with the chain's last point, sent again, that point
//! is superseded; the others count. What a core can judge alone, it has judged (`cells`).

use super::batch::{self, Point, Staged};
use super::directory::Owner;
use super::ended::Mark;
use crate::aggregate::number::{self, Value};
use crate::cells::{Bank, Shape, Span, cumulative_sum, delta_sum};
use crate::examples::Cause;
use crate::ledger::{Effect, Note, Tally};
use crate::model::{Flushed, Kind, Peer, Temporality, Tenant};
use crate::rows::Rows;
use crate::series::slab::SlabWriter;
use crate::series::{CellRef, Chain, Series};
use crate::sync::cut::{Times, View as Board};

/// Bytes of a series' attributes from which on the batch is looked at after each.
const LONG_BYTES: usize = 4_096;

/// Takes the rows of a cut, some at a time, for destinations that want one view of them.
pub trait Outlet {
    /// Whether anybody wants this view.
    fn wants(&self, view: Temporality) -> bool;
    /// Rows of which somebody wants the view: what came of them; nothing if it has no points, and the next batch takes its
    /// number.
    fn take(&mut self, flushed: Flushed, rows: &impl Rows) -> Option<Written>;
}

/// What some rows became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Points written.
    pub points: u64,
    /// Bytes they take.
    pub bytes: u64,
}

/// What is left of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The slice is over, the cut is not.
    More,
    /// The cut is merged and handed out.
    Done,
}

/// A cut being merged, and where the walk is.
pub(super) struct Cut {
    pub(super) number: u32,
    /// Where its window begins.
    pub(super) from: u64,
    pub(super) boundary: u64,
    /// Every core as the cut left it: what it closed, what it has open.
    pub(super) cores: Vec<Board>,
    /// What the cut before marked as retiring has been decided.
    settled: bool,
    /// Somebody wants increments.
    pub(super) deltas: bool,
    resource: usize,
    scope: usize,
    group: usize,
    series: usize,
    linked: bool,
    /// Every series has been merged.
    walked: bool,
    /// The batch is being encoded: the place of the view that is next.
    handing: Option<usize>,
    /// Batches handed out in each view.
    handed: [u32; VIEWS.len()],
}

impl Cut {
    /// Start of an output that ends at the boundary: never after it, though the wall clock was set back.
    pub(super) fn start_of(&self, series: &Series) -> u64 {
        if series.start() > self.boundary {
            series.put_start(self.from);
        }
        series.start()
    }
}

/// A touched cumulative bank: what one core saw of the stream, and where.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) span: Span,
    pub(super) cell: CellRef,
    pub(super) bank: usize,
}

impl Link {
    /// By time; what two cores took alike comes as its longer part first, so that the other adds nothing.
    pub(super) fn sort(links: &mut [Link]) {
        links.sort_unstable_by_key(|link| {
            (link.span.first_time, std::cmp::Reverse(link.span.newest_time), link.cell.core)
        });
    }
}

/// How a link stands to its series' chain, by times and starts (M10 to M15); values decide the rest.
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
}

impl Owner {
    /// Begins to merge cut `number`, made at `times`; `cores` is the board's view of every core.
    pub fn begin(&mut self, number: u32, times: Times, cores: Vec<Board>) {
        assert!(self.cut.is_none(), "a cut is merged before the next begins");
        self.note_time(number, times.mono_ns);
        // a wall clock that steps behind the start of the process must not make every new stream an old one
        self.started = self.started.min(times.from_ns);
        self.exemplars.begin(number, &cores, &self.registry);
        self.cut = Some(Cut {
            number,
            from: times.from_ns,
            boundary: times.boundary_ns,
            cores,
            settled: false,
            deltas: false,
            resource: 0,
            scope: 0,
            group: 0,
            series: 0,
            linked: false,
            walked: false,
            handing: None,
            handed: [0; VIEWS.len()],
        });
    }

    /// Links newborn series, a few hundred at most; `true` when there are no more. Also called between cuts, so that
    /// births neither pile up nor wait for one.
    pub fn welcome(&mut self) -> bool {
        for _ in 0..BETWEEN_LOOKS {
            match self.registry.next_birth(self.shard) {
                Some(series) => self.link(series),
                None => return true,
            }
        }
        false
    }

    /// Whether a cut is being merged.
    pub const fn busy(&self) -> bool {
        self.cut.is_some()
    }

    /// Merges and encodes until the cut is done or `more` says no; `more` is asked every few hundred series.
    pub fn step(
        &mut self,
        slab: &mut SlabWriter,
        tally: &mut Tally,
        outlet: &mut impl Outlet,
        mut more: impl FnMut() -> bool,
    ) -> Work {
        let Some(mut cut) = self.cut.take() else { return Work::Done };
        cut.deltas = outlet.wants(Temporality::Delta);
        while !cut.linked {
            cut.linked = self.welcome();
            if !more() {
                self.cut = Some(cut);
                return Work::More;
            }
        }
        while !cut.settled {
            // once: what this very cut marks below is decided at the next
            cut.settled = !self.finish_some(&cut, slab, tally, BETWEEN_LOOKS);
            if !more() {
                self.cut = Some(cut);
                return Work::More;
            }
        }
        loop {
            if let Some(view) = cut.handing {
                cut.handing = self.hand_out(&mut cut, view, tally, outlet);
            } else if cut.walked {
                break;
            } else {
                cut.walked = !self.some_series(&mut cut, slab, tally);
                if cut.walked || self.batch.full() {
                    cut.handing = self.next_view(0, outlet);
                    if cut.handing.is_some() {
                        // a request is encoded in one piece: it gets a slice of its own, at the beginning
                        self.cut = Some(cut);
                        return Work::More;
                    }
                }
            }
            if !more() {
                self.cut = Some(cut);
                return Work::More;
            }
        }
        self.exemplars.publish(self.shard, &self.registry);
        Work::Done
    }

    /// Merges up to `BETWEEN_LOOKS` series; `false` when there are no more.
    fn some_series(&mut self, cut: &mut Cut, slab: &mut SlabWriter, tally: &mut Tally) -> bool {
        let mut left = BETWEEN_LOOKS;
        while left > 0 {
            let Some(resource) = self.resources.get(cut.resource) else { return false };
            let Some(scope) = resource.scopes.get(cut.scope) else {
                (cut.resource, cut.scope) = (cut.resource + 1, 0);
                left -= 1;
                continue;
            };
            let Some(group) = scope.groups.get(cut.group).copied() else {
                (cut.scope, cut.group) = (cut.scope + 1, 0);
                left -= 1;
                continue;
            };
            let length = self.groups[group as usize].series.len();
            if cut.series >= length {
                (cut.group, cut.series) = (cut.group + 1, 0);
                left -= 1;
                continue;
            }
            if cut.series == 0 {
                let owned = &mut self.groups[group as usize];
                owned.description = owned.listed.meta.description.load();
            }
            let (from, to) = (cut.series, length.min(cut.series + left));
            self.batch.enter(cut.resource as u32, cut.scope as u32, group);
            cut.series = self.span(cut, group, from..to, slab, tally);
            left -= cut.series - from;
            if self.batch.full() {
                return true;
            }
        }
        true
    }

    /// Merges a range of series until the batch is full; where it stopped.
    fn span(
        &mut self,
        cut: &Cut,
        group: u32,
        range: std::ops::Range<usize>,
        slab: &mut SlabWriter,
        tally: &mut Tally,
    ) -> usize {
        let end = range.end;
        let reader = self.groups[group as usize].series.reader();
        let meta = self.groups[group as usize].listed.meta.clone();
        let more = batch::more(meta.kind, meta.buckets());
        let exemplars = self.exemplars.any();
        // numbers of usual attributes: whoever called looks, and that is soon enough
        let heavy = more > 0 || exemplars;
        for at in range {
            let Some(series) = reader.get(at) else { break };
            if series.is_dead() {
                continue;
            }
            let point = match meta.kind {
                Kind::Gauge => self.gauge(cut, series, tally),
                Kind::Summary => self.summary(cut, series, slab, tally),
                Kind::Sum => self.sum(cut, series, meta.monotonic, tally),
                Kind::Histogram | Kind::ExponentialHistogram => self.histogram(cut, series, slab, tally),
            };
            let size = series.attributes.len() + more;
            match point {
                Some(mut point) => {
                    point.series = at as u32;
                    if exemplars {
                        self.add_exemplars(series, &mut point, tally);
                    }
                    self.batch.push(point, size);
                }
                None if self.end.is_none() => {
                    self.retire_if_idle(group, series);
                    continue;
                }
                None => {}
            }
            tally.note(Note::SeriesMerged, 1);
            if self.end.is_some() {
                self.push_end(at as u32, size);
            }
            if (heavy || size > LONG_BYTES) && self.batch.full() {
                return at + 1;
            }
        }
        end
    }

    /// The series being merged ended: says so.
    #[cold]
    fn push_end(&mut self, at: u32, size: usize) {
        if let Some(end) = self.end.take() {
            self.batch.push(Point { series: at, ..end }, size);
        }
    }

    /// Calls `visit` with the closed bank of each touched cell, its number and its points; returns the points in all.
    #[inline]
    pub(super) fn touched(
        &self,
        cut: &Cut,
        series: &Series,
        shape: impl Fn(bool) -> Shape,
        mut visit: impl FnMut(CellRef, Bank<'_>, (usize, u64)),
    ) -> u64 {
        let mut points = 0;
        series.each_cell(|cell| {
            let Some(closed) = cut.cores.get(cell.core as usize).and_then(|core| core.closed) else { return };
            let Some(bank) = self.bank(cell, shape(cell.cumulative), closed.bank) else { return };
            if let Some(open) = bank.points_of(closed.interval) {
                points += open;
                visit(cell, bank, (closed.bank, open));
            }
        });
        points
    }

    /// A bank of a cell.
    ///
    /// ORDERING: a closed bank is quiet; the cut board's Acquire ordered what is read of it after its last store.
    #[inline(always)]
    pub(super) fn bank(&self, cell: CellRef, shape: Shape, bank: usize) -> Option<Bank<'_>> {
        let words = self.registry.slab(cell.core as usize).run(cell.line, shape.words())?;
        Some(Bank::new(words, shape, bank))
    }

    fn sum(&mut self, cut: &Cut, series: &Series, monotonic: bool, tally: &mut Tally) -> Option<Point> {
        let mut links = std::mem::take(&mut self.links);
        links.clear();
        let mut mark = Mark::default();
        let point = self.sum_with(cut, series, monotonic, &mut links, &mut mark, tally);
        self.links = links;
        if mark.is_set() {
            let number = cut.number;
            self.end = self.ended(cut, series, mark, point.is_some(), |series| series.end_number(number));
        }
        point
    }

    /// The merged point.
    #[inline]
    fn sum_with(
        &self,
        cut: &Cut,
        series: &Series,
        monotonic: bool,
        links: &mut Vec<Link>,
        mark: &mut Mark,
        tally: &mut Tally,
    ) -> Option<Point> {
        let mut delta: Option<Value> = None;
        let (mut overflows, mut with_effect, mut lost) = (0, 0, 0);
        let shape_of = |cumulative| if cumulative { Shape::CumulativeSum } else { Shape::DeltaSum };
        let points = self.touched(cut, series, shape_of, |cell, bank, (index, points)| {
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
                Some(span) => links.push(Link { span, cell, bank: index }),
                // a second writer's, whose newest value is not known any more
                None => lost += points,
            }
        });
        tally.emit(points);
        tally.settle(Effect::WithEffect, with_effect);
        self.without_effect(series, Effect::Overlapping, lost, tally);
        Link::sort(links);
        let chained = self.chain(cut, series, links, (monotonic, delta.is_some()), tally);
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
                    series.put_start(cut.from);
                }
                let (total, overflow) = series.value().unwrap_or(Value::Int(0)).add(step);
                overflows += u64::from(overflow);
                (total, cut.start_of(series), cut.boundary)
            }
        };
        tally.note(Note::IntOverflow, overflows);
        series.put_value(cut.number, value);
        Some(Point { time, start, ..Point::number(value, Some(step)) })
    }

    /// Chains the touched cumulative banks, in the order of time, behind the series' last point. Returns what they
    /// contribute, and the newest whole point; nothing if none had an effect.
    fn chain(
        &self,
        cut: &Cut,
        series: &Series,
        links: &[Link],
        (monotonic, has_delta): (bool, bool),
        tally: &mut Tally,
    ) -> Option<(Value, Link, Value)> {
        let mut total = Value::Int(0);
        let mut newest = None;
        for link in links {
            let bank = self.bank(link.cell, Shape::CumulativeSum, link.bank)?;
            let cumulative_sum::Values { first, last, gained, newest: shown } = cumulative_sum::values(bank);
            let stands = self.stands(series, link, cut.boundary);
            let step = match (stands, series.chain()) {
                (Stands::Superseded, _) => None,
                (Stands::Whole, _) => Some(first.add(gained)),
                (Stands::Baseline, _) => Some((gained, false)),
                (Stands::Within, Some(chain)) if within(link, &chain, first, last, monotonic) => {
                    Some((last.sub(chain.value), false))
                }
                (Stands::Behind, Some(chain)) => {
                    let (step, reset) = number::step(chain.value, chain.start, first, link.span.first_start, monotonic);
                    tally.note(Note::Reset, u64::from(reset));
                    Some(step.add(gained))
                }
                (Stands::Second | Stands::Within | Stands::Behind, _) => None,
            };
            self.settle(series, link, stands, step.is_some(), tally);
            if stands == Stands::Superseded {
                continue;
            }
            let needs_steps = has_delta || series.has_delta() || cut.deltas && monotonic;
            if stands == Stands::Baseline && needs_steps && first.as_f64() != 0.0 {
                self.without_base(series, tally);
            }
            if let Some((step, overflow)) = step {
                let (sum, too) = total.add(step);
                tally.note(Note::IntOverflow, u64::from(overflow) + u64::from(too));
                total = sum;
                put_chain(cut, series, link, stands, last);
            }
            series.put_time(link.span.newest_time);
            newest = Some((*link, shown));
        }
        newest.map(|(link, shown)| (total, link, shown))
    }

    /// Says what became of a link's points, before the chain moves on; `counts`: its increments do.
    pub(super) fn settle(&self, series: &Series, link: &Link, stands: Stands, counts: bool, tally: &mut Tally) {
        let all = link.span.points;
        let again = || series.chain().is_some_and(|chain| chain.time == link.span.first_time);
        let (effect, points) = match stands {
            Stands::Superseded => (Effect::Superseded, all),
            _ if !counts => (Effect::Overlapping, all),
            // without a chain they are a second writer's, and all but the newest are gone
            Stands::Baseline => (Effect::Baseline, if link.span.is_chained { all.min(1) } else { all }),
            Stands::Within if again() => (Effect::Superseded, all.min(1)),
            _ => (Effect::Superseded, 0),
        };
        tally.settle(Effect::WithEffect, all - points);
        self.without_effect(series, effect, points, tally);
    }

    /// So many points had none.
    #[inline]
    pub(super) fn without_effect(&self, series: &Series, effect: Effect, points: u64, tally: &mut Tally) {
        if points > 0 {
            tally.settle(effect, points);
            // of baselines those are worth one that lost something
            if effect != Effect::Baseline {
                self.show(series, Cause::Without(effect));
            }
        }
    }

    /// A baseline has a value of its own that somebody goes without.
    #[cold]
    pub(super) fn without_base(&self, series: &Series, tally: &mut Tally) {
        tally.note(Note::BaselineLost, 1);
        self.show(series, Cause::Without(Effect::Baseline));
    }

    /// Keeps the series as an example, if one is wanted.
    pub(super) fn show(&self, series: &Series, cause: Cause) {
        let group = &series.group;
        self.registry.examples().show(cause, &group.resource, group.name.as_bytes(), Peer::default());
    }

    /// How a link stands to the chain.
    pub(super) fn stands(&self, series: &Series, link: &Link, boundary: u64) -> Stands {
        let Some(chain) = series.chain() else {
            if self.counts_whole(link.span.first_start, link.span.first_time, boundary) {
                return Stands::Whole;
            }
            return Stands::Baseline;
        };
        if link.span.newest_time <= series.time() {
            return Stands::Superseded;
        }
        if link.span.first_time <= chain.time {
            let one_run = !link.span.has_reset && [link.span.first_start, link.span.last_start] == [chain.start; 2];
            return if one_run && chain.time <= link.span.last_time { Stands::Within } else { Stands::Second };
        }
        if !number::older(link.span.first_start, chain.start) {
            return Stands::Behind;
        }
        if chain.cut <= self.idle_since() && number::older(link.span.last_start, chain.start) {
            return Stands::Baseline;
        }
        Stands::Second
    }

    /// M12 (P): a first cumulative point counts whole only if its stream is so young that it cannot have been seen
    /// and forgotten.
    fn counts_whole(&self, start: u64, time: u64, now: u64) -> bool {
        start != 0 && start != time && start > self.started && start > now.saturating_sub(self.options.expire_ns)
    }

    // ---- handing out -------------------------------------------------------------------------------------------

    /// The next view of the batch that somebody wants, from place `from` on; without one the batch is emptied.
    fn next_view(&mut self, from: usize, outlet: &impl Outlet) -> Option<usize> {
        let next = (from..VIEWS.len()).find(|view| outlet.wants(VIEWS[*view])).filter(|_| !self.batch.is_empty());
        if next.is_none() {
            self.batch.clear();
            self.words.clear();
        }
        next
    }

    /// Encodes one view of the batch; returns the next.
    fn hand_out(&mut self, cut: &mut Cut, view: usize, tally: &mut Tally, outlet: &mut impl Outlet) -> Option<usize> {
        let wanted = VIEWS[view];
        if outlet.wants(wanted) {
            let flushed = Flushed {
                plan: self.options.plan,
                epoch: self.options.epoch,
                cut: cut.number,
                shard: self.shard as u16,
                number: cut.handed[view],
                tenant: Tenant::DEFAULT,
                view: wanted,
                boundary_ns: cut.boundary,
            };
            let rows = Staged::of(self, (cut.from, cut.boundary));
            if let Some(Written { points, bytes }) = outlet.take(flushed, &rows) {
                cut.handed[view] += 1;
                tally.note(Note::Encoded, points);
                tally.note(Note::EncodedBytes, bytes);
            }
        }
        self.next_view(view + 1, outlet)
    }
}

/// The views of a batch, in the order in which they are handed out.
const VIEWS: [Temporality; 2] = [Temporality::Cumulative, Temporality::Delta];

/// Whether the chain's last point can be one of the link's own. Of a sum that may fall only its very first point can
/// be told.
fn within(link: &Link, chain: &Chain, first: Value, last: Value, monotonic: bool) -> bool {
    let value = chain.value;
    if monotonic {
        return !value.less(first) && !last.less(value);
    }
    link.span.first_time == chain.time && !value.less(first) && !first.less(value)
}

/// The link's last point is the chain's from now on.
pub(super) fn put_chain(cut: &Cut, series: &Series, link: &Link, stands: Stands, value: Value) {
    let start = match (stands, series.chain()) {
        (Stands::Within | Stands::Behind, Some(chain)) => chain.start.max(link.span.last_start),
        _ => link.span.last_start,
    };
    series.put_chain(Chain { start, time: link.span.last_time, value, cut: cut.number });
}

/// Series (or places in the directory) between two looks at the clock: some 20 µs.
const BETWEEN_LOOKS: usize = 256;
