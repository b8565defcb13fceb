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
}

#[derive(Clone, Debug, Default)]
struct Series {
    /// Deltas of this interval.
    delta: Option<Value>,
    /// Gauges of this interval with an effect, newest last.
    gauge: Option<(u64, Value)>,
    /// Cumulative points of this interval by core, in the order in which they came.
    lists: BTreeMap<usize, Vec<Cumulative>>,
    /// Newest gauge or cumulative time that a core knows.
    known: HashMap<usize, u64>,
    /// Points of this interval.
    open: u64,
    /// The last cut that closes an interval in which it was touched.
    touched: u32,
    retiring: bool,

    // what the cuts made of it
    chain: Option<Cumulative>,
    gauge_time: u64,
    has_delta: bool,
    total: Option<Value>,
    start: u64,
}

/// What leaves at a cut, by series.
pub type Leaves = BTreeMap<Key, Leaf>;

/// One series at one cut.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// `AggregationTemporality`; 0 for gauges.
    pub temporality: i32,
    pub start: u64,
    pub time: u64,
    pub value: Value,
    pub description: String,
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
    pub superseded: u64,
    pub baseline: u64,
    pub overlapping: u64,
    pub resets: u64,
    pub overflowed: u64,
    pub no_value: u64,
    pub expired: u64,
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

    /// Nothing: rejected.
    fn point(&mut self, core: usize, point: Point) -> Option<()> {
        let value = point.judge()?;
        let mut key = point.key()?;
        let delta = point.temporality == 1 && key.group.kind != flat::GAUGE;
        let description = self.descriptions.entry(key.group.clone()).or_default();
        if description.len() < point.description.len() {
            *description = point.description.clone();
        }
        if !self.series.contains_key(&key) && self.live() >= self.limit {
            // M30: only what has no state of its own may be added to the overflow series
            if !delta || key.group.kind == flat::EXPONENTIAL {
                return None;
            }
            key = key.overflow();
            self.counts.overflowed += 1;
        }
        let known = self.series.contains_key(&key);
        let series = self.series.entry(key.clone()).or_default();
        // M8: counts that leave 64 bits are refused
        let sum = match (&value, delta) {
            (Some(value), true) => match series.delta.clone().unwrap_or_default().add(value) {
                Some(sum) => Some(sum),
                None => {
                    assert!(known || series.delta.is_none());
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
            return Some(());
        };
        if let Some(sum) = sum {
            series.delta = Some(sum);
            return Some(());
        }
        let newest = series.known.entry(core).or_default();
        if key.group.kind == flat::GAUGE {
            // M15, M17: newest time, ties by the larger bits
            let tied = series.gauge.as_ref().is_some_and(|(time, _)| *time == point.time);
            let newest_here = *newest;
            *newest = newest_here.max(point.time);
            let wins_here = point.time > newest_here
                || point.time == newest_here
                    && tied
                    && series.gauge.as_ref().is_some_and(|(_, v)| value.bits() > v.bits());
            if !wins_here {
                self.counts.superseded += 1;
            }
            let wins = match &series.gauge {
                None => point.time > series.gauge_time,
                Some((time, held)) => (point.time, value.bits()) > (*time, held.bits()),
            };
            if wins {
                series.gauge = Some((point.time, value));
            }
        } else if point.time <= *newest {
            self.counts.superseded += 1;
        } else {
            *newest = point.time;
            series.lists.entry(core).or_default().push(Cumulative { start: point.start, time: point.time, value });
        }
        Some(())
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
            let leaf = |temporality, start, time, value| Leaf {
                temporality,
                start,
                time,
                value,
                description: description.clone(),
            };
            if key.group.kind == flat::GAUGE {
                match series.gauge.take() {
                    Some((time, value)) => {
                        series.gauge_time = time;
                        views.cumulative.insert(key.clone(), leaf(0, 0, time, value.clone()));
                        views.delta.insert(key.clone(), leaf(0, 0, time, value));
                    }
                    None => series.retiring = series.touched <= idle_since,
                }
                continue;
            }
            let Some((step, total, start, time)) = self.merge(key, series, boundary) else {
                series.retiring = series.touched <= idle_since;
                continue;
            };
            let whole = leaf(2, start, time, total);
            if key.group.kind == flat::SUM && !key.group.monotonic {
                views.delta.insert(key.clone(), whole.clone());
            } else {
                views.delta.insert(key.clone(), leaf(1, self.last_boundary, boundary, step));
            }
            views.cumulative.insert(key.clone(), whole);
        }
        self.series = all;
        self.last_boundary = boundary;
        self.cut += 1;
        views
    }

    /// Sums and histograms: (delta, cumulative, its start, its time); nothing if no point had an effect.
    fn merge(&mut self, key: &Key, series: &mut Series, boundary: u64) -> Option<(Value, Value, u64, u64)> {
        let delta = series.delta.take();
        let mut lists: Vec<Vec<Cumulative>> = std::mem::take(&mut series.lists).into_values().collect();
        lists.sort_by_key(|list| list[0].time);
        let monotonic = key.group.monotonic || key.group.kind != flat::SUM;
        let mut gained: Option<Value> = None;
        for list in lists {
            let last_time = list[list.len() - 1].time;
            match &series.chain {
                Some(chain) if list[0].time <= chain.time => {
                    // M14: interleaved with what another core took
                    if last_time <= chain.time {
                        self.counts.superseded += 1;
                        continue;
                    }
                    self.counts.overlapping += 1;
                    gained = Some(gained.unwrap_or_default());
                    self.within(&list, monotonic);
                    series.chain = list.last().cloned();
                }
                _ => {
                    for point in list {
                        let step = match &series.chain {
                            Some(chain) => self.step(chain, &point, monotonic),
                            None if self.is_young(&point, boundary) => point.value.clone(),
                            None => {
                                self.counts.baseline += 1;
                                // nothing more than itself
                                point.value.since(&point.value, false).unwrap_or_default()
                            }
                        };
                        gained = Some(gained.unwrap_or_default().add(&step).unwrap_or(Value::Unknown));
                        series.chain = Some(point);
                    }
                }
            }
        }
        if delta.is_none() && gained.is_none() {
            return None;
        }
        series.has_delta |= delta.is_some();
        let step = delta.unwrap_or_default().add(&gained.unwrap_or_default()).unwrap_or(Value::Unknown);
        let time = match &series.chain {
            // alone, the newest point wins, whole
            Some(chain) if !series.has_delta => {
                series.start = chain.start;
                series.total = Some(chain.value.clone());
                chain.time
            }
            _ => {
                if series.total.is_none() {
                    series.start = self.last_boundary;
                }
                let total = series.total.take().unwrap_or_default();
                series.total = Some(total.add(&step).unwrap_or(Value::Unknown));
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

    /// M10, M14, M18: what a point adds to the one before it.
    fn step(&mut self, last: &Cumulative, point: &Cumulative, monotonic: bool) -> Value {
        if point.start != 0 && point.start < last.start {
            self.counts.overlapping += 1;
            return Value::default();
        }
        let new_start = last.start != 0 && point.start > last.start;
        match point.value.since(&last.value, monotonic) {
            Some(difference) if !(new_start && monotonic) => difference,
            _ => {
                self.counts.resets += 1;
                point.value.clone()
            }
        }
    }

    /// Counts what a list holds by itself, where it adds nothing.
    fn within(&mut self, list: &[Cumulative], monotonic: bool) {
        for pair in list.windows(2) {
            self.step(&pair[0], &pair[1], monotonic);
        }
    }
}
