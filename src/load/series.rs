//! Exact totals of every single series: what `--verify` compares with the sink, so that errors of opposite sign in two
//! series of one metric cannot cancel.
//!
//! Deliberately does not know how points are patched: it reads the bytes that are about to leave, so it vouches for
//! them and not for the patcher. Series are numbered densely, and every point of a plan carries its series' number.
//! Invariants: 1. of a delta every point adds, of all other kinds the point with the newest time counts (equal times: the
//! later one); 2. sums are kept in units of 2^-10 in 128 bits, so nothing rounds.
//! Bounds: `limits::VERIFY_SERIES_MAX` series; what is born past it is counted in `untracked` and makes a run unverifiable.

use super::messages::{self as otlp, KeyValue};
use super::payload::resource_attributes;
use super::shape::{Attribute, EXPONENTIAL_BUCKETS, EXPONENTIAL_SCALE, Layout, Shape};
use super::totals::{Exponential, Held, Totals};
use super::{payload, shape};
use crate::limits::VERIFY_SERIES_MAX;
use std::collections::BTreeMap;

/// The number of a point whose series is not tracked.
pub(crate) const UNTRACKED: u32 = u32::MAX;

struct Series {
    resource: u32,
    metric: u32,
    id: u32,
    /// Its buckets' place in `SeriesTotals::buckets`.
    buckets: u32,
    /// The newest time; 0: no point was sent.
    time_ns: u64,
    units: i128,
    count: u64,
}

/// See the module.
pub struct SeriesTotals {
    metrics: Vec<(String, Shape)>,
    attributes: Vec<Attribute>,
    series: Vec<Series>,
    buckets: Vec<u64>,
    /// Series past the limit.
    pub untracked: u64,
}

/// What a sink holds against what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The sum over all series of |expected - got|: values and sums in units of 2^-10, counts and buckets in units of
    /// 1/1024, so that one is 1,024.
    pub units: u128,
    /// The same by metric, where it is not 0, for those that were expected.
    pub by_metric: BTreeMap<String, u128>,
    /// Series that were sent.
    pub series: u64,
    /// Series that were sent and that the sink has never seen.
    pub missing: u64,
    /// Series that the sink has seen and nobody sent.
    pub unexpected: u64,
    /// Values at the sink that are no multiple of 2^-10: none was sent.
    pub inexact: u64,
}

impl Difference {
    /// Whether everything is there, to the unit, and nothing else.
    pub fn is_none(&self) -> bool {
        self.units == 0 && self.missing == 0 && self.unexpected == 0 && self.inexact == 0
    }
}

impl SeriesTotals {
    pub(crate) fn new(metrics: Vec<(String, Shape)>, attributes: Vec<Attribute>) -> Self {
        SeriesTotals { metrics, attributes, series: Vec::new(), buckets: Vec::new(), untracked: 0 }
    }

    /// A new series; its number, or [`UNTRACKED`].
    pub(crate) fn birth(&mut self, resource: u32, metric: u32, id: u32) -> u32 {
        if self.series.len() >= VERIFY_SERIES_MAX {
            self.untracked += 1;
            return UNTRACKED;
        }
        let buckets = self.buckets.len() as u32;
        self.buckets.resize(self.buckets.len() + self.metrics[metric as usize].1.buckets(), 0);
        self.series.push(Series { resource, metric, id, buckets, time_ns: 0, units: 0, count: 0 });
        (self.series.len() - 1) as u32
    }

    /// A point of a series as it leaves.
    pub(crate) fn sent(&mut self, number: u32, shape: Shape, layout: &Layout, point: &[u8]) {
        let Some(series) = self.series.get_mut(number as usize) else { return };
        let time_ns = payload::get(point, layout.time);
        if !shape.is_delta() && time_ns < series.time_ns {
            return;
        }
        series.time_ns = series.time_ns.max(time_ns);
        if !shape.is_delta() {
            (series.units, series.count) = (0, 0);
        }
        let value = payload::get(point, layout.value);
        series.units += match shape {
            Shape::DeltaSum | Shape::CumulativeSum | Shape::Gauge => i128::from(value as i64) << 10,
            _ => (f64::from_bits(value) * 1024.0) as i128,
        };
        if shape.is_distribution() {
            series.count += payload::get(point, layout.count);
        }
        let buckets = &mut self.buckets[series.buckets as usize..][..shape.buckets()];
        for (index, bucket) in buckets.iter_mut().enumerate() {
            let count = layout.bucket(shape, point, index);
            *bucket = if shape.is_delta() { *bucket + count } else { count };
        }
    }

    /// Compares with what a sink holds.
    pub fn difference(&self, totals: &Totals) -> Difference {
        let mut out = Difference { inexact: totals.inexact_values, ..Difference::default() };
        let nothing = Held::default();
        let mut matched = (0_u64, 0_u128);
        let mut resource: Option<(u32, Vec<KeyValue>)> = None;
        for (number, series) in self.series.iter().enumerate().filter(|(_, series)| series.time_ns > 0) {
            if resource.as_ref().is_none_or(|(of, _)| *of != series.resource) {
                resource = Some((series.resource, pairs(resource_attributes(series.resource as usize))));
            }
            let of = resource.as_ref().map_or(&[][..], |(_, attributes)| attributes);
            let own = self.attributes.iter().enumerate();
            let own = own.map(|(index, attribute)| (attribute.key.as_str(), attribute.value(index, series.id)));
            let (name, shape) = &self.metrics[series.metric as usize];
            let got = totals.series_held(of, [payload::SCOPE_NAME, payload::SCOPE_VERSION], name, &pairs(own));
            out.series += 1;
            match got {
                Some(got) => matched = (matched.0 + 1, matched.1 + got.distance(&nothing)),
                None => out.missing += 1,
            }
            let distance = self.held(number, *shape).distance(got.unwrap_or(&nothing));
            if distance > 0 {
                out.units += distance;
                *out.by_metric.entry(name.clone()).or_default() += distance;
            }
        }
        // What nobody sent counts whole: all that is there, less what belongs to a series that was sent.
        let (count, all) = totals.series_weight();
        out.unexpected = count - matched.0;
        out.units += all - matched.1;
        out
    }

    /// What series `number` comes to.
    fn held(&self, number: usize, shape: Shape) -> Held {
        let series = &self.series[number];
        let counts = &self.buckets[series.buckets as usize..][..shape.buckets()];
        let counts: Vec<i128> = counts.iter().map(|&count| count.into()).collect();
        let mut held = Held { units: series.units, count: series.count.into(), buckets: Vec::new(), exponential: None };
        if matches!(shape, Shape::DeltaExponential | Shape::CumulativeExponential) {
            let positive = (0..).zip(counts[1..=EXPONENTIAL_BUCKETS].iter().copied());
            held.exponential = Some(Exponential {
                scale: EXPONENTIAL_SCALE,
                zeros: counts[0],
                positive: positive.filter(|(_, count)| *count != 0).collect(),
                negative: BTreeMap::new(),
            });
        } else {
            held.buckets = counts;
        }
        held
    }

    /// What the series of each metric come to together, in the metrics' order: units, count.
    #[cfg(test)]
    pub(crate) fn by_metric(&self) -> Vec<(i128, i128)> {
        let mut out = vec![(0, 0); self.metrics.len()];
        for series in &self.series {
            let of = &mut out[series.metric as usize];
            *of = (of.0 + series.units, of.1 + i128::from(series.count));
        }
        out
    }
}

/// Attributes as a sink would decode them.
fn pairs<'a>(of: impl IntoIterator<Item = (&'a str, String)>) -> Vec<KeyValue> {
    let pair = |(key, value): (&str, String)| KeyValue {
        key: key.to_owned(),
        value: Some(otlp::AnyValue { value: Some(otlp::Value::String(value)) }),
    };
    of.into_iter().map(pair).collect()
}

// An exponential histogram has the most buckets.
const _: () = assert!(shape::HISTOGRAM_BOUNDS.len() < EXPONENTIAL_BUCKETS);
const _: () = assert!(VERIFY_SERIES_MAX * (EXPONENTIAL_BUCKETS + 1) < UNTRACKED as usize);
