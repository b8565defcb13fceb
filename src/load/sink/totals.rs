//! What a counting backend holds: exact totals per metric and the last state of every series.
//!
//! Deliberately does not know connections or faults. Decodes nothing itself: it is given prost messages.
//! Invariants: 1. delta points add to their series, of cumulatives, gauges and summaries the newest time wins (ties:
//! the later arrival); 2. a metric's total is the sum over its series of what they hold; 3. sums are kept in units of
//! 2^-10 in 128 bits: a value that is no multiple of it is counted in `inexact_values` and rounded.
//! Series are told apart by a 128-bit keyed hash of resource, scope, name and attributes in sorted order: two of a
//! million series fall together with a chance of 2^-89.
//! Bounds: none on series: the run that orders them bounds them.

use crate::load::messages::{self as otlp, Data, ExportMetricsServiceRequest, KeyValue, Number};
use crate::load::words::{decimal, quoted};
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash, Hasher};

/// What one series, or all series of a metric together, hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Value, or sum of a distribution, in units of 2^-10.
    pub units: i128,
    /// Count of a distribution.
    pub count: i128,
    /// Explicit buckets, in order.
    pub buckets: Vec<i128>,
    /// Exponential buckets, if this is such a histogram.
    pub exponential: Option<Exponential>,
}

/// Exponential buckets by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exponential {
    /// The smallest scale that was seen; buckets of larger ones are folded down to it.
    pub scale: i32,
    /// Count of zeros.
    pub zeros: i128,
    /// Positive buckets.
    pub positive: BTreeMap<i64, i128>,
    /// Negative buckets.
    pub negative: BTreeMap<i64, i128>,
}

impl Exponential {
    fn fold(&mut self, scale: i32) {
        let shift = (self.scale - scale).clamp(0, 63);
        self.scale = self.scale.min(scale);
        if shift > 0 {
            for buckets in [&mut self.positive, &mut self.negative] {
                for (index, count) in std::mem::take(buckets) {
                    *buckets.entry(index >> shift).or_default() += count;
                }
            }
        }
    }

    fn distance(&self, other: &Exponential) -> u128 {
        let (mut one, mut two) = (self.clone(), other.clone());
        one.fold(other.scale);
        two.fold(self.scale);
        let mut sum = (one.zeros - two.zeros).unsigned_abs();
        for (mine, theirs) in [(&one.positive, &two.positive), (&one.negative, &two.negative)] {
            let missing = theirs.iter().filter(|(index, _)| !mine.contains_key(index));
            sum += missing.map(|(_, count)| count.unsigned_abs()).sum::<u128>();
            let of = |index| theirs.get(index).copied().unwrap_or(0);
            sum += mine.iter().map(|(index, count)| (count - of(index)).unsigned_abs()).sum::<u128>();
        }
        sum
    }

    fn add(&mut self, other: &Exponential) {
        self.fold(other.scale);
        let shift = (other.scale - self.scale).clamp(0, 63);
        self.zeros += other.zeros;
        for (mine, theirs) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            for (index, count) in theirs {
                *mine.entry(index >> shift).or_default() += count;
            }
        }
    }
}

impl Held {
    fn add(&mut self, other: &Held) {
        self.units += other.units;
        self.count += other.count;
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, theirs)| *mine += theirs);
        match (&mut self.exponential, &other.exponential) {
            (Some(mine), Some(theirs)) => mine.add(theirs),
            (mine @ None, Some(theirs)) => *mine = Some(theirs.clone()),
            _ => {}
        }
    }

    /// The sum of |mine - theirs| over value or sum, count and every bucket: the first in units of 2^-10, one of a
    /// count or bucket as 1,024. Exponential buckets are compared at the smaller scale.
    pub fn distance(&self, other: &Held) -> u128 {
        let mut counts = (self.count - other.count).unsigned_abs();
        for index in 0..self.buckets.len().max(other.buckets.len()) {
            let of = |held: &Held| held.buckets.get(index).copied().unwrap_or(0);
            counts += (of(self) - of(other)).unsigned_abs();
        }
        counts += match (&self.exponential, &other.exponential) {
            (None, None) => 0,
            (Some(one), None) | (None, Some(one)) => {
                one.distance(&Exponential { scale: one.scale, ..Default::default() })
            }
            (Some(one), Some(two)) => one.distance(two),
        };
        (self.units - other.units).unsigned_abs() + (counts << 10)
    }

    fn json(&self, distribution: bool) -> String {
        if !distribution {
            return decimal(self.units);
        }
        let mut buckets: Vec<String> = self.buckets.iter().map(i128::to_string).collect();
        let mut more = String::new();
        if let Some(exponential) = &self.exponential {
            buckets = exponential.dense().iter().map(i128::to_string).collect();
            let offset = exponential.positive.keys().next().copied().unwrap_or(0);
            more = format!(",\"scale\":{},\"offset\":{offset}", exponential.scale);
        }
        format!(
            "{{\"count\":{},\"sum\":{},\"buckets\":[{}]{more}}}",
            self.count,
            decimal(self.units),
            buckets.join(",")
        )
    }
}

impl Exponential {
    /// The zero bucket, then the positive ones without gaps.
    fn dense(&self) -> Vec<i128> {
        let mut out = vec![self.zeros];
        if let (Some((&first, _)), Some((&last, _))) = (self.positive.first_key_value(), self.positive.last_key_value())
        {
            // Indices of one scale span at most a few thousand buckets in double precision at the scales in use.
            out.extend((first..=last).map(|index| self.positive.get(&index).copied().unwrap_or(0)));
        }
        out
    }
}

struct SeriesSeen {
    metric: usize,
    time_ns: u64,
    held: Held,
}

struct MetricSeen {
    name: String,
    distribution: bool,
    points: u64,
}

/// See the module.
pub struct Totals {
    /// Requests that were counted.
    pub requests: u64,
    /// Requests answered with a fault, which count nowhere else.
    pub faulted_requests: u64,
    /// Points that were counted.
    pub points: u64,
    /// Points with the no-recorded-value flag or without a value: they change nothing.
    pub empty_points: u64,
    /// Values that are no multiple of 2^-10, or not finite.
    pub inexact_values: u64,
    metrics: Vec<MetricSeen>,
    names: HashMap<String, usize>,
    series: HashMap<u128, SeriesSeen>,
    keys: [ahash::RandomState; 2],
}

impl Default for Totals {
    fn default() -> Self {
        let keys = [ahash::RandomState::with_seeds(1, 2, 3, 4), ahash::RandomState::with_seeds(5, 6, 7, 8)];
        Totals {
            requests: 0,
            faulted_requests: 0,
            points: 0,
            empty_points: 0,
            inexact_values: 0,
            metrics: Vec::new(),
            names: HashMap::new(),
            series: HashMap::new(),
            keys,
        }
    }
}

impl Totals {
    /// Counts a whole request.
    pub fn take(&mut self, request: &ExportMetricsServiceRequest) {
        self.requests += 1;
        for resource in &request.resource_metrics {
            let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
            let resource_key = self.key(attributes, &[]);
            for scope in &resource.scope_metrics {
                let scope_words = scope.scope.as_ref().map(|scope| [scope.name.as_bytes(), scope.version.as_bytes()]);
                let scope_attributes = scope.scope.as_ref().map_or(&[][..], |scope| &scope.attributes);
                let [name, version] = scope_words.unwrap_or([b"", b""]);
                let scope_key = self.key(scope_attributes, &[&resource_key.to_le_bytes(), name, version]);
                for metric in &scope.metrics {
                    self.metric(metric, scope_key);
                }
            }
        }
    }

    /// Series that were seen.
    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// What each metric holds, by name.
    pub fn held(&self) -> BTreeMap<&str, Held> {
        let mut held = vec![Held::default(); self.metrics.len()];
        for series in self.series.values() {
            held[series.metric].add(&series.held);
        }
        self.metrics.iter().map(|metric| metric.name.as_str()).zip(held).collect()
    }

    /// What one series holds: resource attributes, name and version of its scope, metric, its attributes in any order.
    pub(crate) fn series_held(
        &self,
        resource: &[KeyValue],
        [scope, version]: [&str; 2],
        metric: &str,
        attributes: &[KeyValue],
    ) -> Option<&Held> {
        let resource_key = self.key(resource, &[]).to_le_bytes();
        let scope_key = self.key(&[], &[&resource_key, scope.as_bytes(), version.as_bytes()]).to_le_bytes();
        let key = self.key(attributes, &[&scope_key, metric.as_bytes()]);
        self.series.get(&key).map(|series| &series.held)
    }

    /// How many series there are, and how far all of them together are from nothing.
    pub(crate) fn series_weight(&self) -> (u64, u128) {
        let nothing = Held::default();
        (self.series.len() as u64, self.series.values().map(|series| series.held.distance(&nothing)).sum())
    }

    /// Moves one from the second series of a metric to the first, in the first metric with two: the fault of a
    /// backend that mixes series up.
    pub(crate) fn misplace_one(&mut self) {
        let mut first: HashMap<usize, u128> = HashMap::new();
        let mut keys: Vec<u128> = self.series.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            let Some(other) = first.insert(self.series[&key].metric, key) else { continue };
            for (key, step) in [(other, 1024), (key, -1024)] {
                self.series.entry(key).and_modify(|series| series.held.units += step);
            }
            return;
        }
    }

    /// One JSON object; `totals` reads like `expected` of `catchment load --json`.
    pub fn json(&self) -> String {
        let held = self.held();
        let by_name = |metric: &MetricSeen| {
            format!("{}:{}", quoted(&metric.name), held[metric.name.as_str()].json(metric.distribution))
        };
        let mut metrics: Vec<&MetricSeen> = self.metrics.iter().collect();
        metrics.sort_by(|a, b| a.name.cmp(&b.name));
        let totals: Vec<String> = metrics.iter().map(|metric| by_name(metric)).collect();
        let points: Vec<String> =
            metrics.iter().map(|metric| format!("{}:{}", quoted(&metric.name), metric.points)).collect();
        format!(
            "{{\"requests\":{},\"faulted_requests\":{},\"points\":{},\"empty_points\":{},\"inexact_values\":{},\
             \"series\":{},\"points_by_metric\":{{{}}},\"totals\":{{{}}}}}",
            self.requests,
            self.faulted_requests,
            self.points,
            self.empty_points,
            self.inexact_values,
            self.series.len(),
            points.join(","),
            totals.join(","),
        )
    }

    fn metric(&mut self, metric: &otlp::Metric, scope_key: u128) {
        let Some(data) = &metric.data else { return };
        let scope_key = scope_key.to_le_bytes();
        let key =
            |totals: &Self, attributes: &[KeyValue]| totals.key(attributes, &[&scope_key, metric.name.as_bytes()]);
        let distribution = !matches!(data, Data::Gauge(_) | Data::Sum(_));
        let index = self.metric_index(&metric.name, distribution);
        match data {
            Data::Gauge(otlp::Gauge { data_points }) | Data::Sum(otlp::Sum { data_points, .. }) => {
                let delta = matches!(data, Data::Sum(sum) if sum.aggregation_temporality == 1);
                for point in data_points {
                    let units = match point.value {
                        Some(Number::Int(value)) => i128::from(value) << 10,
                        Some(Number::Double(value)) => self.units(value),
                        None => 0,
                    };
                    let empty = point.flags & 1 != 0 || point.value.is_none();
                    let held = (!empty).then(|| Held { units, ..Held::default() });
                    self.point(index, key(self, &point.attributes), point.time_unix_nano, delta, held);
                }
            }
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let held = Held {
                        units: self.units(point.sum.unwrap_or(0.0)),
                        count: point.count.into(),
                        buckets: point.bucket_counts.iter().map(|&count| count.into()).collect(),
                        exponential: None,
                    };
                    let held = (point.flags & 1 == 0).then_some(held);
                    let delta = histogram.aggregation_temporality == 1;
                    self.point(index, key(self, &point.attributes), point.time_unix_nano, delta, held);
                }
            }
            Data::ExponentialHistogram(histogram) => {
                for point in &histogram.data_points {
                    let held = Held {
                        units: self.units(point.sum.unwrap_or(0.0)),
                        count: point.count.into(),
                        buckets: Vec::new(),
                        exponential: Some(exponential(point)),
                    };
                    let held = (point.flags & 1 == 0).then_some(held);
                    let delta = histogram.aggregation_temporality == 1;
                    self.point(index, key(self, &point.attributes), point.time_unix_nano, delta, held);
                }
            }
            Data::Summary(summary) => {
                for point in &summary.data_points {
                    let units = self.units(point.sum);
                    let held = Held { units, count: point.count.into(), ..Held::default() };
                    let held = (point.flags & 1 == 0).then_some(held);
                    self.point(index, key(self, &point.attributes), point.time_unix_nano, false, held);
                }
            }
        }
    }

    /// One point; without a value it only counts.
    fn point(&mut self, metric: usize, key: u128, time_ns: u64, delta: bool, held: Option<Held>) {
        self.points += 1;
        self.metrics[metric].points += 1;
        let Some(held) = held else {
            self.empty_points += 1;
            return;
        };
        match self.series.entry(key) {
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(SeriesSeen { metric, time_ns, held });
            }
            std::collections::hash_map::Entry::Occupied(mut occupied) => {
                let series = occupied.get_mut();
                if delta {
                    series.held.add(&held);
                } else if time_ns >= series.time_ns {
                    series.held = held;
                }
                series.time_ns = series.time_ns.max(time_ns);
            }
        }
    }

    fn metric_index(&mut self, name: &str, distribution: bool) -> usize {
        if let Some(&index) = self.names.get(name) {
            return index;
        }
        self.metrics.push(MetricSeen { name: name.to_owned(), distribution, points: 0 });
        self.names.insert(name.to_owned(), self.metrics.len() - 1);
        self.metrics.len() - 1
    }

    /// Units of 2^-10; what is not exact is counted.
    fn units(&mut self, value: f64) -> i128 {
        let units = value * 1024.0;
        if !units.is_finite() || units.fract() != 0.0 {
            self.inexact_values += 1;
        }
        units.round() as i128
    }

    /// Identity of words and attributes, whatever the order of the latter.
    fn key(&self, attributes: &[KeyValue], words: &[&[u8]]) -> u128 {
        let mut sorted: Vec<&KeyValue> = attributes.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        let mut hashers = [self.keys[0].build_hasher(), self.keys[1].build_hasher()];
        for hasher in &mut hashers {
            words.hash(hasher);
            for pair in &sorted {
                pair.key.hash(hasher);
                match pair.value.as_ref().and_then(|any| any.value.as_ref()) {
                    Some(otlp::Value::String(text)) => text.hash(hasher),
                    _ => pair.value.as_ref().map(Message::encode_to_vec).hash(hasher),
                }
            }
        }
        u128::from(hashers[0].finish()) << 64 | u128::from(hashers[1].finish())
    }
}

fn exponential(point: &otlp::ExponentialHistogramDataPoint) -> Exponential {
    let buckets = |buckets: &Option<otlp::Buckets>| {
        let Some(buckets) = buckets else { return BTreeMap::new() };
        let counts = buckets.bucket_counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(index, &count)| (i64::from(buckets.offset) + index as i64, count.into())).collect()
    };
    Exponential {
        scale: point.scale,
        zeros: point.zero_count.into(),
        positive: buckets(&point.positive),
        negative: buckets(&point.negative),
    }
}
