//! The aggregator again, naively: one thread, maps, messages as the official library reads them.
//!
//! Written from the documents (DESIGN section 4, CONFORMANCE M1 to M31), not from the code. It knows no routes, cells,
//! banks or bytes: points lie in lists until the cut, and every rule is applied to the list. What it shares with the
//! documents is that a core knows only the points that came to it (a *list* is what one core took of one cumulative
//! stream in one interval).
#![allow(dead_code)]

pub mod check;
pub mod flat;
pub mod value;

use flat::{Group, Key, Point, flatten};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use value::Value;

/// What a point says beside its value.
#[derive(Clone, Debug)]
struct Cumulative {
    start: u64,
    time: u64,
    value: Value,
    /// The newest start that its writer gave; a point without a start changes nothing.
    since: u64,
}

/// Sequences of points that a core keeps apart, besides the last one.
const SEQUENCES_PER_CELL_MAX: usize = 8;

/// What one core took of one cumulative series in one interval (M14).
#[derive(Clone, Debug, Default)]
struct List {
    /// Points of the writer with the newest start that the core knows.
    chain: Vec<Cumulative>,
    /// The newest point, whoever sent it; nothing if a point without a value came behind a second writer's (M7).
    newest: Option<Cumulative>,
    /// Points that a second writer sent before there was a chain.
    seconds: u64,
}

impl List {
    /// The points that may count: where there is no chain, the newest point.
    fn points(&self) -> &[Cumulative] {
        if self.chain.is_empty() { self.newest.as_slice() } else { &self.chain }
    }

    fn first(&self) -> &Cumulative {
        &self.points()[0]
    }

    /// How many points the cut still has to judge.
    fn open(&self) -> u64 {
        if self.chain.is_empty() { self.seconds } else { self.chain.len() as u64 }
    }

    fn newest(&self) -> &Cumulative {
        self.newest.as_ref().expect("there is one")
    }

    /// Of each sequence without a reset a list of its own; of one with many resets the last ones stay together.
    fn sequences(mut self, monotonic: bool) -> Vec<List> {
        let mut all = Vec::new();
        while all.len() < SEQUENCES_PER_CELL_MAX
            && let Some(at) = self.chain.windows(2).position(|pair| {
                // a fall under one start speaks for two writers
                let is_new = pair[1].start == 0 || pair[1].start != pair[0].since;
                is_new && since_last(&pair[0], &pair[1], monotonic).1
            })
        {
            let rest = self.chain.split_off(at + 1);
            let newest = self.chain.last().cloned();
            all.push(List { chain: std::mem::replace(&mut self.chain, rest), newest, seconds: 0 });
        }
        all.push(self);
        all
    }

    fn last(&self) -> &Cumulative {
        &self.points()[self.points().len() - 1]
    }
}

/// What one core took of a gauge or summary in one interval.
#[derive(Clone, Debug, Default)]
struct Newest {
    value: Option<(u64, Value)>,
    /// Points that were the newest when they came.
    points: u64,
}

/// What a core knows of a gauge or cumulative series.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    time: u64,
    start: u64,
}

#[derive(Clone, Debug, Default)]
struct Series {
    /// Deltas of this interval by core, in the order in which cores first had any.
    delta: Vec<(usize, Option<Value>)>,
    /// Gauges and summaries of this interval by core.
    newest_here: BTreeMap<usize, Newest>,
    /// M7, by core: the newest point has no value, and its time.
    ended_here: BTreeMap<usize, u64>,
    /// M7: cores of deltas whose points of this interval had no value.
    no_delta: BTreeSet<usize>,
    /// Cumulative points of this interval by core.
    lists: BTreeMap<usize, List>,
    known: HashMap<usize, Known>,
    /// Points of this interval.
    open: u64,
    /// Exemplars of this interval (M29).
    exemplars: BTreeSet<(u64, u64, Vec<u8>)>,
    /// The last cut that closes an interval in which it was touched.
    touched: u32,
    retiring: bool,

    // what the cuts made of it
    /// The last point of the writer whose increments count, and the cut at which it did.
    chain: Option<(Cumulative, u32)>,
    /// The newest point, whole.
    newest: Option<Cumulative>,
    /// Time of the newest gauge, summary, or point without a value.
    newest_time: u64,
    ended: bool,
    has_delta: bool,
    total: Option<Value>,
    start: u64,
}

impl Series {
    /// Time of all that is known: of values, and of points without.
    fn time(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.time).max(self.newest_time)
    }

    /// Points of this interval without effect, of those that were the newest when they came to their core: its newest
    /// point is no newer than what was known, or is not the one of the newest that leaves.
    fn superseded(&self) -> u64 {
        let of = |core: &usize| self.known[core].time;
        let is_new = |core: &usize| self.total.is_none() || of(core) > self.time();
        let rivals: Vec<_> =
            self.newest_here.iter().filter(|(core, here)| is_new(core) && here.value.is_some()).collect();
        let newest = rivals.iter().map(|(core, _)| of(core)).max();
        let mut tied: Vec<_> = rivals.into_iter().filter(|(core, _)| Some(of(core)) == newest).collect();
        let value = |here: &Newest| here.value.clone().expect("a rival has a value").1;
        // the largest leaves; of several alike the one of most points, and the others repeat it
        let largest = tied.iter().map(|(_, here)| value(here)).reduce(|a, b| if b.beats(&a) { b } else { a });
        let rank = |here: &Newest| (largest.as_ref().is_some_and(|largest| !largest.beats(&value(here))), here.points);
        tied.sort_by_key(|(_, here)| rank(here));
        tied.pop();
        let stale = self.newest_here.iter().filter(|(core, _)| !is_new(core));
        stale.chain(tied).map(|(_, here)| here.points).sum()
    }

    /// The newest point of a gauge or summary, if it has a value and is new.
    fn newest(&mut self, ended_here: u64) -> Option<(u64, Value)> {
        let all = std::mem::take(&mut self.newest_here).into_values().filter_map(|here| here.value);
        let best = all.reduce(|a, b| if b.0 > a.0 || b.0 == a.0 && b.1.beats(&a.1) { b } else { a });
        let new = best.filter(|(time, _)| (self.total.is_none() || *time > self.time()) && *time >= ended_here)?;
        self.newest_time = new.0;
        self.total = Some(new.1.clone());
        self.start = new.1.summary_start();
        self.ended = false;
        Some(new)
    }

    /// M7: the point that says that the series ended, if it ended now.
    fn end(&mut self, time: u64, no_delta: bool, delta_here: bool, boundary: u64) -> Option<End> {
        if delta_here || self.total.is_none() {
            return None;
        }
        let newer = time > self.time();
        if newer {
            self.newest_time = time;
        }
        if self.ended || !newer && !no_delta {
            return None;
        }
        self.ended = true;
        Some((None, self.start, if newer && !self.has_delta { time } else { boundary }))
    }
}

/// No values, start, time.
type End = (Option<(Value, Value)>, u64, u64);

/// Of a gauge or summary the newest point leaves.
fn is_newest(key: &Key) -> bool {
    [flat::GAUGE, flat::SUMMARY].contains(&key.group.kind)
}

/// What leaves at a cut, by series.
pub type Leaves = BTreeMap<Key, Vec<Leaf>>;

/// One series at one cut.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// `AggregationTemporality`; 0 for gauges and summaries.
    pub temporality: i32,
    pub start: u64,
    pub time: u64,
    /// Nothing: the series ended (M7).
    pub value: Option<Value>,
    pub description: String,
    /// M29: the newest four of the interval.
    pub exemplars: Vec<Vec<u8>>,
}

/// Both views of a cut.
#[derive(Debug, Default)]
pub struct Views {
    pub cumulative: Leaves,
    pub delta: Leaves,
}

/// What the documents count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub received: u64,
    pub rejected: u64,
    pub emitted: u64,
    pub with_effect: u64,
    pub superseded: u64,
    pub baseline: u64,
    pub overlapping: u64,
    pub resets: u64,
    pub count_overflows: u64,
    pub overflowed: u64,
    pub no_value: u64,
    pub expired: u64,
    pub exemplars: u64,
    pub exemplars_dropped: u64,
}

pub struct Model {
    started: u64,
    expire: u64,
    limit: usize,
    last_boundary: u64,
    cut: u32,
    boundaries: Vec<(u32, u64)>,
    series: BTreeMap<Key, Series>,
    descriptions: BTreeMap<Group, String>,
    /// Streams by core, group, and whether they are deltas.
    streams: BTreeSet<(usize, Group, bool)>,
    /// Bounds of the histogram that a new stream fed last, by the group without bounds (M7).
    bounds: BTreeMap<Group, Vec<u64>>,
    pub counts: Counts,
}

impl Model {
    pub fn new(started: u64, series_limit: usize, expire: u64) -> Model {
        Model {
            started,
            expire,
            limit: series_limit,
            last_boundary: started,
            cut: 1,
            boundaries: Vec::new(),
            series: BTreeMap::new(),
            descriptions: BTreeMap::new(),
            streams: BTreeSet::new(),
            bounds: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Live series under the limit.
    pub fn live(&self) -> usize {
        self.series.keys().filter(|key| !key.is_overflow()).count()
    }

    /// One request on one core: (points, rejected).
    pub fn send(&mut self, core: usize, request: &ExportMetricsServiceRequest) -> (u64, u64) {
        let before = self.counts;
        for point in flatten(request) {
            self.counts.received += 1;
            if self.point(core, point).is_none() {
                self.counts.rejected += 1;
            }
        }
        (self.counts.received - before.received, self.counts.rejected - before.rejected)
    }

    /// M7: the series with bounds that an end of a histogram without any means; nothing: itself.
    fn with_bounds(&self, key: &Key) -> Option<Key> {
        if key.group.kind != flat::HISTOGRAM || !key.group.bounds.is_empty() {
            return None;
        }
        let has_value = |series: &Series| {
            !series.ended && (series.total.is_some() || series.newest.is_some() || series.chain.is_some())
        };
        let bounds = self.bounds.get(&key.group)?.clone();
        let other = Key { group: Group { bounds, ..key.group.clone() }, attributes: key.attributes.clone() };
        (!self.series.get(key).is_some_and(has_value) && self.series.contains_key(&other)).then_some(other)
    }

    /// Nothing: rejected.
    fn point(&mut self, core: usize, point: Point) -> Option<()> {
        let value = point.judge()?;
        let mut key = point.key()?;
        let delta = point.temporality == 1 && key.group.kind != flat::GAUGE;
        let meant = if value.is_none() { self.with_bounds(&key) } else { None };
        if meant.is_none() || self.streams.contains(&(core, key.group.clone(), delta)) {
            let description = self.descriptions.entry(key.group.clone()).or_default();
            if description.len() < point.description.len() {
                *description = point.description.clone();
            }
        }
        key = meant.unwrap_or(key);
        if self.streams.insert((core, key.group.clone(), delta)) && !key.group.bounds.is_empty() {
            let family = Group { bounds: Vec::new(), ..key.group.clone() };
            self.bounds.insert(family, key.group.bounds.clone());
        }
        if !self.series.contains_key(&key) && self.live() >= self.limit {
            // M30: only what has no state of its own may be added to the overflow series
            if !delta {
                return None;
            }
            key = key.overflow();
            self.counts.overflowed += 1;
        }
        let known = self.series.contains_key(&key);
        let series = self.series.entry(key.clone()).or_default();
        if delta && !series.delta.iter().any(|(on, _)| *on == core) {
            series.delta.push((core, None));
        }
        let sum_here = series.delta.iter_mut().find(|(on, _)| *on == core && delta).map(|(_, sum)| sum);
        // M8: counts that leave 64 bits are refused
        let sum = match (&value, &sum_here) {
            (Some(value), Some(before)) => match (**before).clone().unwrap_or_default().add(value) {
                Some(sum) => Some(sum),
                None => {
                    assert!(known || before.is_none());
                    series.touched = self.cut;
                    return None;
                }
            },
            _ => None,
        };
        series.touched = self.cut;
        series.open += 1;
        let Some(value) = value else {
            self.counts.no_value += 1;
            self.counts.with_effect += u64::from(delta);
            self.without_value(core, &key, delta, point.time);
            return Some(());
        };
        for exemplar in &point.exemplars {
            self.counts.exemplars += 1;
            match flat::exemplar(exemplar) {
                Some(kept) => drop(series.exemplars.insert(kept)),
                None => self.counts.exemplars_dropped += 1,
            }
        }
        if let (Some(sum), Some(before)) = (sum, sum_here) {
            *before = Some(sum);
            self.counts.with_effect += 1;
            return Some(());
        }
        let newest = series.known.entry(core).or_default();
        if is_newest(&key) {
            // M15, M17, M28: newest time, ties by the larger bits, and to a value before none
            let here = series.newest_here.entry(core).or_default();
            let beats = here.value.as_ref().is_some_and(|(_, held)| value.beats(held));
            let wins_tie = beats || series.ended_here.contains_key(&core);
            if point.time < newest.time || point.time == newest.time && !wins_tie {
                self.counts.superseded += 1;
                return Some(());
            }
            newest.time = point.time;
            here.value = Some((point.time, value));
            here.points += 1;
            series.ended_here.remove(&core);
            return Some(());
        }
        // M7: at equal times a value goes before none
        if point.time < newest.time || point.time == newest.time && !series.ended_here.contains_key(&core) {
            self.counts.superseded += 1;
            return Some(());
        }
        // M14: an older start is a second writer's; it is the newest point and nothing else
        let second = point.start != 0 && point.start < newest.start;
        let chained = series.lists.get(&core).is_some_and(|list| !list.chain.is_empty());
        // before there is a chain the cut judges it
        self.counts.overlapping += u64::from(second && chained);
        if second && chained && key.group.kind != flat::SUM {
            // of histograms a core shows the writer with the newest start; M7: the series goes on all the same
            series.ended_here.remove(&core);
            return Some(());
        }
        newest.time = point.time;
        if !second {
            newest.start = newest.start.max(point.start);
        }
        let since = if second { point.start } else { newest.start };
        let point = Cumulative { start: point.start, time: point.time, value, since };
        let list = series.lists.entry(core).or_default();
        list.newest = Some(point.clone());
        series.ended_here.remove(&core);
        if !second {
            self.counts.overlapping += std::mem::take(&mut list.seconds);
            list.chain.push(point);
        } else if !chained {
            list.seconds += 1;
        }
        Some(())
    }

    /// M7: all but the time is ignored.
    fn without_value(&mut self, core: usize, key: &Key, delta: bool, time: u64) {
        let Some(series) = self.series.get_mut(key) else { return };
        if delta {
            series.no_delta.insert(core);
            return;
        }
        let known = series.known.entry(core).or_default();
        if time <= known.time {
            self.counts.superseded += 1;
            return;
        }
        known.time = time;
        self.counts.with_effect += 1;
        let again = series.ended_here.insert(core, time).is_some();
        if let Some(here) = series.newest_here.get_mut(&core) {
            here.value = None;
        }
        if key.group.kind != flat::SUM || again {
            return;
        }
        // a sum's core has no room for the time of a second writer's point beside this one's
        if let Some(list) = series.lists.get_mut(&core)
            && list.chain.last().map(|last| last.time) != list.newest.as_ref().map(|newest| newest.time)
        {
            list.newest = list.chain.last().map(|last| Cumulative { start: last.since, ..last.clone() });
        }
    }

    /// Cuts all cores.
    pub fn cut(&mut self, boundary: u64) -> Views {
        let number = self.cut;
        // a series that was idle at the last cut and untouched since is dead
        let dead: BTreeSet<Key> =
            self.series.iter().filter(|(_, s)| s.retiring && s.touched < number).map(|(key, _)| key.clone()).collect();
        self.counts.expired += dead.len() as u64;
        self.series.retain(|key, _| !dead.contains(key));
        self.boundaries.push((number, boundary));
        let idle_since = self
            .boundaries
            .iter()
            .filter(|(_, at)| at + self.expire <= boundary)
            .map(|(number, _)| *number)
            .max()
            .unwrap_or(0);
        let mut views = Views::default();
        let mut all = std::mem::take(&mut self.series);
        for (key, series) in &mut all {
            series.retiring = false;
            self.counts.emitted += std::mem::take(&mut series.open);
            let description = self.descriptions.get(&key.group).cloned().unwrap_or_default();
            let ended_here = std::mem::take(&mut series.ended_here).into_values().max().unwrap_or(0);
            let no_delta = !std::mem::take(&mut series.no_delta).is_empty();
            let kept = std::mem::take(&mut series.exemplars);
            let exemplars: Vec<Vec<u8>> =
                kept.iter().skip(kept.len().saturating_sub(4)).map(|(_, _, bytes)| bytes.clone()).collect();
            let leaf = |temporality, start, time, value: Option<Value>| Leaf {
                exemplars: if value.is_some() { exemplars.clone() } else { Vec::new() },
                temporality,
                start,
                time,
                value,
                description: description.clone(),
            };
            let delta_here = series.delta.iter().any(|(_, sum)| sum.is_some());
            let merged = if is_newest(key) {
                let all: u64 = series.newest_here.values().map(|here| here.points).sum();
                let superseded = series.superseded();
                self.counts.superseded += superseded;
                self.counts.with_effect += all - superseded;
                series.newest(ended_here).map(|(time, value)| {
                    let start = value.summary_start();
                    (value.clone(), value, start, time)
                })
            } else {
                self.merge(key, series, boundary, idle_since)
            };
            let end = series.end(ended_here, no_delta && merged.is_none(), delta_here, boundary);
            if merged.is_none() && end.is_none() {
                series.retiring = series.touched <= idle_since;
                continue;
            }
            let (mut cumulative, mut delta) = (Vec::new(), Vec::new());
            let temporality = if is_newest(key) { 0 } else { 2 };
            let is_whole = is_newest(key) || key.group.kind == flat::SUM && !key.group.monotonic;
            let points = [merged.map(|(step, total, start, time)| (Some((step, total)), start, time)), end];
            for (values, start, time) in points.into_iter().flatten() {
                let (step, total) = values.unzip();
                let whole = leaf(temporality, start, time, total);
                delta.push(if is_whole { whole.clone() } else { leaf(1, self.last_boundary, boundary, step) });
                cumulative.push(whole);
            }
            views.cumulative.insert(key.clone(), cumulative);
            views.delta.insert(key.clone(), delta);
        }
        self.series = all;
        self.last_boundary = boundary;
        self.cut += 1;
        views
    }

    /// Sums and histograms: (delta, cumulative, its start, its time); nothing if no point had an effect.
    fn merge(
        &mut self,
        key: &Key,
        series: &mut Series,
        boundary: u64,
        idle_since: u32,
    ) -> Option<(Value, Value, u64, u64)> {
        // sums of all cores; M8: what does not fit is left out, and counted
        let mut delta: Option<Value> = None;
        for (_, more) in &mut series.delta {
            if let Some(more) = more.take() {
                delta = Some(self.added(delta.unwrap_or_default(), &more));
            }
        }
        let mut lists: Vec<List> = std::mem::take(&mut series.lists).into_values().collect();
        let gone = lists.iter().filter(|list| list.newest.is_none());
        self.counts.overlapping += gone.map(List::open).sum::<u64>();
        lists.retain(|list| list.newest.is_some());
        let monotonic = key.group.monotonic || key.group.kind != flat::SUM;
        let mut lists: Vec<List> = lists.into_iter().flat_map(|list| list.sequences(monotonic)).collect();
        lists.sort_by_key(|list| (list.first().time, std::cmp::Reverse(list.newest().time)));
        let is_sum = key.group.kind == flat::SUM;
        let mut step = if is_sum { Value::default() } else { delta.clone().unwrap_or_default() };
        let mut effect = delta.is_some();
        let known = series.time();
        for list in lists {
            let (within, reset) = self.within(list.points(), monotonic);
            let (first, last) = (list.first(), list.last());
            let mut since = last.since;
            let (all, mut without) = (list.open(), 0);
            // of a chain the first point is the base; of a second writer's points the newest, and the others are gone
            let base = if list.chain.is_empty() { all } else { 1 };
            let parts = match &series.chain {
                None if self.is_young(first, boundary) => Some([first.value.clone(), within]),
                None => {
                    self.counts.baseline += base;
                    without = base;
                    Some([nothing_more(first), within])
                }
                Some((chain, _))
                    if list.newest().time <= known
                        || list.newest().time <= series.time()
                            && !(first.time > chain.time && first.start != 0 && first.start > chain.since) =>
                {
                    self.counts.superseded += all;
                    continue;
                }
                // among the chain's points: the same writer if nothing speaks against it
                Some((chain, _)) if first.time <= chain.time => {
                    let one_run = !reset && first.start == chain.since && last.since == chain.since;
                    let same = one_run && chain.time <= last.time && contains(first, chain, last, monotonic);
                    if same && first.time == chain.time {
                        // the chain's last point again
                        self.counts.superseded += 1;
                        without = 1;
                    }
                    if same { last.value.since(&chain.value, false).map(|more| [more, Value::Zero]) } else { None }
                }
                Some((chain, cut)) if first.start != 0 && first.start < chain.since => {
                    // a writer that was silent for so long that it would be forgotten gives way
                    let over = *cut <= idle_since && last.since != 0 && last.since < chain.since;
                    without = if over { base } else { 0 };
                    self.counts.baseline += without;
                    over.then(|| [nothing_more(first), within])
                }
                Some((chain, _)) => {
                    since = since.max(chain.since);
                    let (more, reset) = since_last(chain, first, monotonic);
                    self.counts.resets += u64::from(reset);
                    Some([more, within])
                }
            };
            match parts {
                Some(parts) => {
                    self.counts.with_effect += all - without;
                    series.chain = Some((Cumulative { since, ..last.clone() }, self.cut));
                    for more in parts {
                        step = self.added(step, &more.without_extremes());
                    }
                }
                None => self.counts.overlapping += all,
            }
            effect = true;
            if list.newest().time <= series.time() {
                continue;
            }
            series.newest_time = 0;
            series.newest = list.newest;
            series.ended = false;
        }
        if !effect {
            return None;
        }
        series.ended = false;
        series.has_delta |= delta.is_some();
        if is_sum {
            step = self.added(delta.unwrap_or_default(), &step);
        }
        let time = match &series.newest {
            // alone, the newest point wins, whole
            Some(newest) if !series.has_delta => {
                series.start = newest.start;
                series.total = Some(newest.value.clone());
                newest.time
            }
            _ => {
                if series.total.is_none() {
                    series.start = self.last_boundary;
                }
                let total = series.total.take().unwrap_or_default().add(&step);
                if total.is_none() {
                    // M8: it starts over
                    self.counts.count_overflows += 1;
                    series.start = self.last_boundary;
                }
                series.total = Some(total.unwrap_or_else(|| step.clone()));
                boundary
            }
        };
        Some((step, series.total.clone()?, series.start, time))
    }

    /// M11, M12: so young that it cannot have been seen and forgotten.
    fn is_young(&self, point: &Cumulative, now: u64) -> bool {
        point.start != 0
            && point.start != point.time
            && point.start > self.started
            && point.start > now.saturating_sub(self.expire)
    }

    /// What points of one writer add to the first of them, and whether there was a reset.
    fn within(&mut self, points: &[Cumulative], monotonic: bool) -> (Value, bool) {
        let (mut total, mut any) = (Value::default(), false);
        for pair in points.windows(2) {
            let (more, reset) = since_last(&pair[0], &pair[1], monotonic);
            self.counts.resets += u64::from(reset);
            any |= reset;
            total = self.added(total, &more);
        }
        (total, any)
    }

    /// M8: what would take counts past 64 bits is left out, and counted.
    fn added(&mut self, total: Value, more: &Value) -> Value {
        total.add(more).unwrap_or_else(|| {
            self.counts.count_overflows += 1;
            total
        })
    }
}

/// M10, M18: what a point adds to the one before it, and whether it is a reset.
fn since_last(last: &Cumulative, point: &Cumulative, monotonic: bool) -> (Value, bool) {
    let new_start = last.since != 0 && point.start > last.since;
    match point.value.since(&last.value, monotonic) {
        Some(difference) if !(new_start && monotonic) => (difference, false),
        _ => (point.value.clone(), true),
    }
}

/// What a baseline adds: a histogram still says whether it has a sum.
fn nothing_more(point: &Cumulative) -> Value {
    point.value.since(&point.value, false).unwrap_or_default()
}

/// The chain's last point can be one of these points; of a sum that may fall, only the first can be told.
fn contains(first: &Cumulative, chain: &Cumulative, last: &Cumulative, monotonic: bool) -> bool {
    if !monotonic {
        let alike = |a: &Value, b: &Value| a.since(b, true).is_some() && b.since(a, true).is_some();
        return first.time == chain.time && alike(&first.value, &chain.value);
    }
    chain.value.since(&first.value, true).is_some() && last.value.since(&chain.value, true).is_some()
}
