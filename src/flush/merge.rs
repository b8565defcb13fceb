//! Merge: the closed banks of a series become the value of a cut.
//!
//! Knows the rules of DESIGN's "time, temporality and truth" (conformance M8 to M24); does not know how a point is
//! encoded. A cumulative stream that reaches a series alone leaves it as it came, whole; as soon as deltas join it, or
//! for a delta destination, its increments count.

use super::batch::{Point, View};
use super::directory::Owner;
use crate::aggregate::explicit;
use crate::aggregate::number::Value;
use crate::ledger::{Note, Tally};
use crate::model::{Kind, Temporality};
use crate::series::cell::{
    self, FLAGS, Shape, cumulative as c, cumulative_region as cr, double_flag, interval_of, points_of, value_flag,
};
use crate::series::slab::SlabWriter;
use crate::series::{CellRef, Series};
use crate::sync::cut::View as Board;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Takes encoded requests. `view` tells which destinations want them.
pub trait Outlet {
    /// Whether anybody wants this view.
    fn wants(&self, view: View) -> bool;
    /// One encoded `ExportMetricsServiceRequest` of `points` data points.
    fn take(&mut self, view: View, request: Vec<u8>, points: u64);
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
    boundary: u64,
    /// Every core as the cut left it: what it closed, what it has open.
    pub(super) cores: Vec<Board>,
    pub(super) finished: usize,
    resource: usize,
    scope: usize,
    group: usize,
    series: usize,
    linked: bool,
}

/// ORDERING: a closed bank is quiet; the cut board's Acquire ordered these loads after its last store.
#[inline]
fn get(words: &[AtomicU64], i: usize) -> u64 {
    words[i].load(Relaxed)
}

/// A touched cumulative bank: where its first point lies in time.
#[derive(Clone, Copy)]
struct Link {
    first_time: u64,
    cell: CellRef,
    bank: usize,
}

impl Owner {
    /// Begins to merge cut `number` at wall time `boundary`; `cores` is the board's view of every core.
    pub fn begin(&mut self, number: u32, boundary: u64, cores: Vec<Board>) {
        assert!(self.cut.is_none(), "a cut is merged before the next begins");
        self.note_boundary(number, boundary);
        self.cut = Some(Cut {
            number,
            boundary,
            cores,
            finished: 0,
            resource: 0,
            scope: 0,
            group: 0,
            series: 0,
            linked: false,
        });
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
        outlet: &mut dyn Outlet,
        mut more: impl FnMut() -> bool,
    ) -> Work {
        let Some(mut cut) = self.cut.take() else { return Work::Done };
        while !cut.linked {
            for _ in 0..BETWEEN_LOOKS {
                match self.registry.next_birth(self.shard) {
                    Some(series) => self.link(series),
                    None => {
                        cut.linked = true;
                        break;
                    }
                }
            }
            if !more() {
                self.cut = Some(cut);
                return Work::More;
            }
        }
        while self.finish_some(&mut cut, slab, tally, BETWEEN_LOOKS) {
            if !more() {
                self.cut = Some(cut);
                return Work::More;
            }
        }
        while self.some_series(&mut cut, slab, tally, outlet) {
            if !more() {
                self.cut = Some(cut);
                return Work::More;
            }
        }
        self.hand_out(cut.boundary, tally, outlet);
        self.last_boundary = cut.boundary;
        Work::Done
    }

    /// Merges up to `BETWEEN_LOOKS` series; `false` when there are no more.
    fn some_series(
        &mut self,
        cut: &mut Cut,
        slab: &mut SlabWriter,
        tally: &mut Tally,
        outlet: &mut dyn Outlet,
    ) -> bool {
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
            let to = length.min(cut.series + left);
            left -= to - cut.series;
            let from = std::mem::replace(&mut cut.series, to);
            self.batch.enter(cut.resource as u32, cut.scope as u32, group);
            self.span(cut, group, from..to, slab, tally);
            if self.batch.full() {
                self.hand_out(cut.boundary, tally, outlet);
                // one batch is a slice of its own
                return true;
            }
        }
        true
    }

    fn span(&mut self, cut: &Cut, group: u32, range: std::ops::Range<usize>, slab: &mut SlabWriter, tally: &mut Tally) {
        let reader = self.groups[group as usize].series.reader();
        let meta = self.groups[group as usize].listed.meta.clone();
        for at in range {
            let Some(series) = reader.get(at) else { break };
            if series.is_dead() {
                continue;
            }
            let point = match meta.kind {
                Kind::Gauge | Kind::Summary => self.gauge(cut, series, tally),
                Kind::Sum => self.sum(cut, series, meta.monotonic, tally),
                Kind::Histogram => self.histogram(cut, series, slab, tally),
                Kind::ExponentialHistogram => self.exponential(cut, series, slab, tally),
            };
            if point.is_none() {
                self.retire_if_idle(group, series);
            }
            if let Some(point) = point {
                tally.note(Note::SeriesMerged, 1);
                let size = series.attributes.len();
                self.batch.push(Point { series: at as u32, ..point }, size);
            }
        }
    }

    /// Calls `visit` with the closed bank of each touched cell; returns the points in them.
    #[inline]
    fn touched(
        &self,
        cut: &Cut,
        series: &Series,
        shape: impl Fn(bool) -> Shape,
        mut visit: impl FnMut(CellRef, Shape, usize, &[AtomicU64]),
    ) -> u64 {
        let mut points = 0;
        series.each_cell(|cell| {
            let Some(closed) = cut.cores.get(cell.core as usize).and_then(|core| core.closed) else { return };
            let shape = shape(cell.cumulative);
            let Some(words) = self.registry.slab(cell.core as usize).run(cell.line, shape.words()) else { return };
            let at = shape.bank(closed.bank).start;
            let word = get(words, at);
            if interval_of(word) != closed.interval {
                return;
            }
            points += u64::from(points_of(word));
            visit(cell, shape, closed.bank, words);
        });
        points
    }

    fn gauge(&mut self, cut: &Cut, series: &Series, tally: &mut Tally) -> Option<Point> {
        let mut newest: Option<(u64, Value)> = None;
        let points = self.touched(
            cut,
            series,
            |_| Shape::Number,
            |_, shape, bank, words| {
                let flags = get(words, FLAGS);
                if flags & value_flag(bank) == 0 {
                    return;
                }
                let at = shape.bank(bank).start;
                let (bits, time) = (get(words, at + 1), get(words, at + 2));
                if newest.is_none_or(|(t, v)| (time, bits) > (t, v.bits())) {
                    newest = Some((time, Value::from_bits(bits, flags & double_flag(bank) != 0)));
                }
            },
        );
        tally.emit(points);
        let (time, value) = newest?;
        if series.newest().is_some() && time <= series.time() {
            return None;
        }
        series.put_time(time);
        series.put_value(cut.number, value);
        Some(Point { time, start: 0, ..Point::number(value, None) })
    }

    fn sum(&mut self, cut: &Cut, series: &Series, monotonic: bool, tally: &mut Tally) -> Option<Point> {
        let mut delta: Option<Value> = None;
        let mut overflows = 0;
        let mut links: [Option<Link>; 4] = [None; 4];
        let mut used = 0;
        let mut many: Vec<Link> = Vec::new();
        let shape_of = |cumulative| if cumulative { Shape::CumulativeNumber } else { Shape::Number };
        let points = self.touched(cut, series, shape_of, |cell, shape, bank, words| {
            let at = shape.bank(bank).start;
            let flags = get(words, FLAGS);
            if shape == Shape::Number {
                if u64::from(points_of(get(words, at))) == get(words, at + cell::NO_VALUES) {
                    return;
                }
                let value = Value::from_bits(get(words, at + 1), flags & double_flag(bank) != 0);
                let (sum, overflow) = delta.unwrap_or(Value::Int(0)).add(value);
                overflows += u64::from(overflow);
                delta = Some(if delta.is_none() { value } else { sum });
            } else if flags & value_flag(bank) != 0 {
                let link = Link { first_time: get(words, at + c::FIRST_TIME), cell, bank };
                if used < links.len() {
                    links[used] = Some(link);
                    used += 1;
                } else {
                    many.push(link);
                }
            }
        });
        tally.emit(points);
        let mut gained: Option<Value> = None;
        if used > 0 {
            many.extend(links.iter().flatten());
            many.sort_unstable_by_key(|link| link.first_time);
            gained = self.chain(cut, series, &many, monotonic, tally);
        }
        if delta.is_none() && gained.is_none() {
            return None;
        }
        if delta.is_some() && !series.has_delta() {
            series.put_has_delta();
            if series.chain().is_some() {
                series.put_mixed();
            }
        }
        if gained.is_some() && series.has_delta() {
            series.put_mixed();
        }
        let pure = !series.has_delta();
        let (step, overflow) = delta.unwrap_or(Value::Int(0)).add(gained.unwrap_or(Value::Int(0)));
        let first = series.newest().is_none();
        let (value, start, time) = match (pure, series.chain()) {
            (true, Some((start, value))) => {
                series.put_start(start);
                (value, start, series.time())
            }
            _ => {
                if first {
                    series.put_start(self.last_boundary);
                }
                let (total, overflow) = series.value().unwrap_or(Value::Int(0)).add(step);
                overflows += u64::from(overflow);
                (total, series.start(), cut.boundary)
            }
        };
        overflows += u64::from(overflow);
        tally.note(Note::IntOverflow, overflows);
        series.put_value(cut.number, value);
        Some(Point { time, start, ..Point::number(value, Some(step)) })
    }

    /// Chains the touched cumulative banks, in the order of time, behind the series' last point. Returns what they
    /// contribute; nothing if none had an effect.
    fn chain(
        &mut self,
        cut: &Cut,
        series: &Series,
        links: &[Link],
        monotonic: bool,
        tally: &mut Tally,
    ) -> Option<Value> {
        let mut total: Option<Value> = None;
        for link in links {
            let shape = Shape::CumulativeNumber;
            let words = self.registry.slab(link.cell.core as usize).run(link.cell.line, shape.words())?;
            let at = shape.bank(link.bank).start;
            let double = get(words, FLAGS) & double_flag(link.bank) != 0;
            let value = |i: usize| Value::from_bits(get(words, at + i), double);
            let (first_start, last_time) = (get(words, at + c::FIRST_START), get(words, at + c::LAST_TIME));
            let mut step = match series.chain() {
                None if self.counts_whole(first_start, link.first_time, cut.boundary) => value(c::FIRST_VALUE),
                None => {
                    tally.note(Note::Baseline, 1);
                    Value::Int(0)
                }
                Some(_) if link.first_time <= series.time() => {
                    // interleaved in time with what another core took: a second writer (M14)
                    if last_time <= series.time() {
                        tally.note(Note::Superseded, 1);
                        continue;
                    }
                    tally.note(Note::OverlappingWriter, 1);
                    series.put_time(last_time);
                    series.put_chain(get(words, at + c::LAST_START), value(c::LAST_VALUE));
                    total = Some(total.unwrap_or(Value::Int(0)));
                    continue;
                }
                Some((last_start, last)) => {
                    let (step, what) =
                        crate::aggregate::number::step(last, last_start, value(c::FIRST_VALUE), first_start, monotonic);
                    note_step(what, tally);
                    step
                }
            };
            step = step.add(value(c::GAINED)).0;
            total = Some(total.map_or(step, |sum| sum.add(step).0));
            series.put_time(last_time);
            series.put_chain(get(words, at + c::LAST_START), value(c::LAST_VALUE));
        }
        total
    }

    /// M12 (P): a first cumulative point counts whole only if its stream is so young that it cannot have been seen
    /// and forgotten.
    fn counts_whole(&self, start: u64, time: u64, now: u64) -> bool {
        start != 0
            && start != time
            && start > self.options.started_ns
            && start > now.saturating_sub(self.options.expire_ns)
    }

    // ---- histograms --------------------------------------------------------------------------------------------

    /// The owner's block of a histogram series: two value slots and the last cumulative point.
    fn block(&self, series: &Series, region: usize, slab: &mut SlabWriter) -> u32 {
        if series.newest().is_none() && series.block() == 0 {
            // line numbers are kept one higher, so that 0 is "none"
            series.put_block(slab.allocate(3 * region) + 1);
        }
        series.block() - 1
    }

    fn histogram(
        &mut self,
        cut: &Cut,
        series: &Arc<Series>,
        slab: &mut SlabWriter,
        tally: &mut Tally,
    ) -> Option<Point> {
        let buckets = series.group.buckets();
        let region = Shape::Explicit(buckets).region();
        let base = self.words.len();
        self.words.resize(base + 2 * region, 0);
        let mut words = std::mem::take(&mut self.words);
        let mut has_delta = false;
        let mut links: Vec<Link> = Vec::new();
        let shape_of =
            |cumulative| if cumulative { Shape::CumulativeExplicit(buckets) } else { Shape::Explicit(buckets) };
        let points = self.touched(cut, series, shape_of, |cell, shape, bank, cells| {
            if get(cells, FLAGS) & value_flag(bank) == 0 {
                return;
            }
            let at = shape.bank(bank).start;
            if cell.cumulative {
                links.push(Link { first_time: get(cells, at + cr::FIRST_TIME), cell, bank });
            } else {
                has_delta = true;
                let range = shape.region_in_bank(0);
                let from = &cells[at + range.start..at + range.end];
                explicit::merge(&mut &mut words[base + region..base + 2 * region], &from);
            }
        });
        tally.emit(points);
        let mut effect = has_delta;
        if !links.is_empty() {
            links.sort_unstable_by_key(|link| link.first_time);
            let block = self.block(series, region, slab);
            let last = slab.run(block, 3 * region).get(2 * region..).unwrap_or(&[]);
            let step = &mut words[base + region..base + 2 * region];
            effect |= self.chain_explicit(cut, series, &links, buckets, last, step, tally);
        }
        if !effect {
            words.truncate(base);
            self.words = words;
            return None;
        }
        let block = self.block(series, region, slab);
        let cells = slab.run(block, 3 * region);
        let (start, time) = self.settle_kind(cut, series, has_delta, !links.is_empty());
        {
            let (total, step) = words[base..base + 2 * region].split_at_mut(region);
            let mut total_words = &mut *total;
            match (series.has_delta(), series.newest()) {
                (false, _) => explicit::copy(&mut total_words, &&cells[2 * region..]),
                (true, newest) => {
                    if let Some(slot) = newest {
                        explicit::copy(&mut total_words, &&cells[slot * region..(slot + 1) * region]);
                    }
                    explicit::merge(&mut total_words, &&*step);
                }
            }
            series.with_slot(cut.number, |_, slot| {
                explicit::copy(&mut &cells[slot * region..(slot + 1) * region], &&*total);
            });
        }
        self.words = words;
        Some(Point { time, start, words: base as u32, has_delta: true, ..Point::default() })
    }

    /// Marks delta and mixed input; gives start and time of the cumulative output.
    fn settle_kind(&self, cut: &Cut, series: &Series, delta: bool, cumulative: bool) -> (u64, u64) {
        if delta && !series.has_delta() {
            series.put_has_delta();
        }
        if series.has_delta() && (cumulative || series.chain().is_some()) {
            series.put_mixed();
        }
        match (series.has_delta(), series.chain()) {
            (false, Some((start, _))) => {
                series.put_start(start);
                (start, series.time())
            }
            _ => {
                if series.newest().is_none() {
                    series.put_start(self.last_boundary);
                }
                (series.start(), cut.boundary)
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn chain_explicit(
        &self,
        cut: &Cut,
        series: &Series,
        links: &[Link],
        buckets: u32,
        last: &[AtomicU64],
        into: &mut [u64],
        tally: &mut Tally,
    ) -> bool {
        let mut effect = false;
        let shape = Shape::CumulativeExplicit(buckets);
        let mut last = last;
        let mut into = into;
        for link in links {
            let Some(words) = self.registry.slab(link.cell.core as usize).run(link.cell.line, shape.words()) else {
                continue;
            };
            let at = shape.bank(link.bank).start;
            let part = |i: usize| {
                let range = shape.region_in_bank(i);
                &words[at + range.start..at + range.end]
            };
            let (first, newest, gained) = (part(0), part(1), part(2));
            let start = get(words, at + cr::FIRST_START);
            let last_time = get(words, at + cr::LAST_TIME);
            match series.chain() {
                None if self.counts_whole(start, link.first_time, cut.boundary) => {
                    explicit::merge(&mut into, &first);
                }
                None => {
                    tally.note(Note::Baseline, 1);
                    explicit::merge_difference(&mut into, &first, &first);
                }
                Some(_) if link.first_time <= series.time() => {
                    if last_time <= series.time() {
                        tally.note(Note::Superseded, 1);
                        continue;
                    }
                    tally.note(Note::OverlappingWriter, 1);
                }
                Some((last_start, _)) => {
                    use crate::aggregate::number::{newer, older};
                    if older(start, last_start) {
                        tally.note(Note::OverlappingWriter, 1);
                    } else if newer(start, last_start) || !explicit::follows(&first, &last) {
                        tally.note(Note::Reset, 1);
                        explicit::merge(&mut into, &first);
                    } else {
                        explicit::merge_difference(&mut into, &first, &last);
                    }
                }
            }
            let overlapped = series.chain().is_some() && link.first_time <= series.time();
            if !overlapped {
                explicit::merge(&mut into, &gained);
            }
            explicit::copy(&mut last, &newest);
            series.put_time(last_time);
            series.put_chain(get(words, at + cr::LAST_START), Value::Int(0));
            effect = true;
        }
        effect
    }

    fn exponential(
        &mut self,
        cut: &Cut,
        series: &Arc<Series>,
        slab: &mut SlabWriter,
        tally: &mut Tally,
    ) -> Option<Point> {
        let region = Shape::Exponential.region();
        let mut scratch = std::mem::take(&mut self.scratch);
        let [step, from, first, last, total] = &mut scratch;
        step.clear();
        let mut has_delta = false;
        let mut links: Vec<Link> = Vec::new();
        let shape_of = |cumulative| if cumulative { Shape::CumulativeExponential } else { Shape::Exponential };
        let points = self.touched(cut, series, shape_of, |cell, shape, bank, cells| {
            if get(cells, FLAGS) & value_flag(bank) == 0 {
                return;
            }
            let at = shape.bank(bank).start;
            if cell.cumulative {
                links.push(Link { first_time: get(cells, at + cr::FIRST_TIME), cell, bank });
            } else {
                has_delta = true;
                let range = shape.region_in_bank(0);
                from.load(&&cells[at + range.start..at + range.end]);
                step.merge(from);
            }
        });
        tally.emit(points);
        let mut effect = has_delta;
        links.sort_unstable_by_key(|link| link.first_time);
        let shape = Shape::CumulativeExponential;
        for link in &links {
            let Some(words) = self.registry.slab(link.cell.core as usize).run(link.cell.line, shape.words()) else {
                continue;
            };
            let at = shape.bank(link.bank).start;
            let part = |i: usize| {
                let range = shape.region_in_bank(i);
                &words[at + range.start..at + range.end]
            };
            let start = get(words, at + cr::FIRST_START);
            let last_time = get(words, at + cr::LAST_TIME);
            first.load(&part(0));
            let mut overlapped = false;
            match series.chain() {
                None if self.counts_whole(start, link.first_time, cut.boundary) => {
                    step.merge(first);
                }
                None => {
                    tally.note(Note::Baseline, 1);
                    last.copy_from(first);
                    first.subtract(last);
                    step.merge(first);
                }
                Some(_) if link.first_time <= series.time() => {
                    if last_time <= series.time() {
                        tally.note(Note::Superseded, 1);
                        continue;
                    }
                    tally.note(Note::OverlappingWriter, 1);
                    overlapped = true;
                }
                Some((last_start, _)) => {
                    use crate::aggregate::number::{newer, older};
                    let block = self.block(series, region, slab);
                    last.load(&&slab.run(block, 3 * region)[2 * region..]);
                    if older(start, last_start) {
                        tally.note(Note::OverlappingWriter, 1);
                    } else {
                        let difference = if newer(start, last_start) { None } else { first.difference(last) };
                        if difference.is_none() {
                            tally.note(Note::Reset, 1);
                        }
                        step.merge(difference.as_ref().unwrap_or(first));
                    }
                }
            }
            if !overlapped {
                from.load(&part(2));
                step.merge(from);
            }
            from.load(&part(1));
            let block = self.block(series, region, slab);
            from.store(&mut &slab.run(block, 3 * region)[2 * region..]);
            series.put_time(last_time);
            series.put_chain(get(words, at + cr::LAST_START), Value::Int(0));
            effect = true;
        }
        let point = effect.then(|| {
            let block = self.block(series, region, slab);
            let cells = slab.run(block, 3 * region);
            let (start, time) = self.settle_kind(cut, series, has_delta, !links.is_empty());
            match (series.has_delta(), series.newest()) {
                (false, _) => total.load(&&cells[2 * region..]),
                (true, newest) => {
                    match newest {
                        Some(slot) => total.load(&&cells[slot * region..(slot + 1) * region]),
                        None => total.clear(),
                    }
                    total.merge(step);
                }
            }
            series.with_slot(cut.number, |_, slot| total.store(&mut &cells[slot * region..(slot + 1) * region]));
            let base = self.words.len();
            self.words.resize(base + 2 * region, 0);
            total.store(&mut &mut self.words[base..base + region]);
            step.store(&mut &mut self.words[base + region..base + 2 * region]);
            Point { time, start, words: base as u32, has_delta: true, ..Point::default() }
        });
        self.scratch = scratch;
        point
    }

    // ---- handing out -------------------------------------------------------------------------------------------

    /// Encodes the batch once per view that somebody wants, and empties it.
    fn hand_out(&mut self, boundary: u64, tally: &mut Tally, outlet: &mut dyn Outlet) {
        let mut batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            for view in [View(Temporality::Cumulative), View(Temporality::Delta)] {
                if !outlet.wants(view) {
                    continue;
                }
                if let Some((request, points)) = batch.encode(view, self, self.last_boundary, boundary) {
                    tally.note(Note::Encoded, points);
                    tally.note(Note::EncodedBytes, request.len() as u64);
                    outlet.take(view, request, points);
                }
            }
        }
        batch.clear();
        self.words.clear();
        self.batch = batch;
    }
}

fn note_step(what: crate::aggregate::number::Step, tally: &mut Tally) {
    use crate::aggregate::number::Step;
    match what {
        Step::Follows => {}
        Step::Reset => tally.note(Note::Reset, 1),
        Step::SecondWriter => tally.note(Note::OverlappingWriter, 1),
    }
}

/// Series (or places in the directory) between two looks at the clock: some 20 µs.
const BETWEEN_LOOKS: usize = 256;

const _: () = assert!(cell::HEAD == 2);
