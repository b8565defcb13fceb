//! Points of a request in their order, each with its identity; and which of them are valid.

use super::value::{Exponential, Histogram, Value};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{self as pb, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

pub const GAUGE: u8 = 0;
pub const SUM: u8 = 1;
pub const HISTOGRAM: u8 = 2;
pub const EXPONENTIAL: u8 = 3;
pub const SUMMARY: u8 = 4;

/// M6, without temporality; bounds are identity because histograms of different bounds never merge (M21).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    pub resource: Vec<Vec<u8>>,
    pub resource_schema_url: String,
    pub scope_name: String,
    pub scope_version: String,
    pub scope: Vec<Vec<u8>>,
    pub scope_schema_url: String,
    pub name: String,
    pub unit: String,
    pub kind: u8,
    pub monotonic: bool,
    pub bounds: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub group: Group,
    /// Each attribute in its one encoding, sorted.
    pub attributes: Vec<Vec<u8>>,
}

impl Key {
    pub fn overflow(&self) -> Key {
        let value = Some(AnyValue { value: Some(any_value::Value::BoolValue(true)) });
        let pair = KeyValue { key: "otel.metric.overflow".into(), value, ..Default::default() };
        Key { group: self.group.clone(), attributes: vec![pair.encode_to_vec()] }
    }

    pub fn is_overflow(&self) -> bool {
        *self == self.overflow()
    }
}

#[derive(Clone, Debug)]
pub enum Body {
    Number(Option<pb::number_data_point::Value>),
    Histogram(pb::HistogramDataPoint),
    Exponential(pb::ExponentialHistogramDataPoint),
    Summary(pb::SummaryDataPoint),
}

#[derive(Clone, Debug)]
pub struct Point {
    resource: Resource,
    resource_schema_url: String,
    scope: InstrumentationScope,
    scope_schema_url: String,
    name: String,
    unit: String,
    pub description: String,
    pub kind: u8,
    pub monotonic: bool,
    pub temporality: i32,
    attributes: Vec<KeyValue>,
    pub start: u64,
    pub time: u64,
    pub flags: u32,
    pub exemplars: Vec<pb::Exemplar>,
    pub body: Body,
}

/// All points in their order.
pub fn flatten(request: &ExportMetricsServiceRequest) -> Vec<Point> {
    let mut all = Vec::new();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                let (kind, temporality, monotonic) = match &metric.data {
                    None => continue,
                    Some(Data::Gauge(_)) => (GAUGE, 0, false),
                    Some(Data::Sum(d)) => (SUM, d.aggregation_temporality, d.is_monotonic),
                    Some(Data::Histogram(d)) => (HISTOGRAM, d.aggregation_temporality, false),
                    Some(Data::ExponentialHistogram(d)) => (EXPONENTIAL, d.aggregation_temporality, false),
                    Some(Data::Summary(_)) => (SUMMARY, 0, false),
                };
                let mut add = |attributes: &[KeyValue], start, time, flags, exemplars: &[pb::Exemplar], body| {
                    all.push(Point {
                        resource: resource.resource.clone().unwrap_or_default(),
                        resource_schema_url: resource.schema_url.clone(),
                        scope: scope.scope.clone().unwrap_or_default(),
                        scope_schema_url: scope.schema_url.clone(),
                        name: metric.name.clone(),
                        unit: metric.unit.clone(),
                        description: metric.description.clone(),
                        kind,
                        monotonic,
                        temporality,
                        attributes: attributes.to_vec(),
                        start,
                        time,
                        flags,
                        exemplars: exemplars.to_vec(),
                        body,
                    });
                };
                match metric.data.as_ref() {
                    Some(Data::Gauge(pb::Gauge { data_points }) | Data::Sum(pb::Sum { data_points, .. })) => {
                        for p in data_points {
                            let body = Body::Number(p.value);
                            add(&p.attributes, p.start_time_unix_nano, p.time_unix_nano, p.flags, &p.exemplars, body);
                        }
                    }
                    Some(Data::Histogram(d)) => {
                        for p in &d.data_points {
                            let body = Body::Histogram(p.clone());
                            add(&p.attributes, p.start_time_unix_nano, p.time_unix_nano, p.flags, &p.exemplars, body);
                        }
                    }
                    Some(Data::ExponentialHistogram(d)) => {
                        for p in &d.data_points {
                            let body = Body::Exponential(p.clone());
                            add(&p.attributes, p.start_time_unix_nano, p.time_unix_nano, p.flags, &p.exemplars, body);
                        }
                    }
                    Some(Data::Summary(d)) => d.data_points.iter().for_each(|p| {
                        add(
                            &p.attributes,
                            p.start_time_unix_nano,
                            p.time_unix_nano,
                            p.flags,
                            &[],
                            Body::Summary(p.clone()),
                        );
                    }),
                    None => {}
                }
            }
        }
    }
    all
}

/// R21: what only profiles may say is absent.
fn clean(value: &AnyValue) -> AnyValue {
    use any_value::Value as V;
    let value = match &value.value {
        Some(V::StringValueStrindex(_)) => None,
        Some(V::ArrayValue(list)) => {
            let mut list = list.clone();
            list.values = list.values.iter().map(clean).collect();
            Some(V::ArrayValue(list))
        }
        Some(V::KvlistValue(list)) => {
            let mut list = list.clone();
            list.values = list.values.iter().map(clean_pair).collect();
            // M5: order inside a map says nothing either
            list.values.sort_by_cached_key(|pair| (pair.key.clone(), pair.encode_to_vec()));
            Some(V::KvlistValue(list))
        }
        other => other.clone(),
    };
    AnyValue { value }
}

fn clean_pair(pair: &KeyValue) -> KeyValue {
    KeyValue { key: pair.key.clone(), value: pair.value.as_ref().map(clean), key_strindex: 0 }
}

/// The set in its one form; nothing if a key stands twice (M5) or there are too many (M32).
fn set(attributes: &[KeyValue]) -> Option<Vec<Vec<u8>>> {
    let mut keys: Vec<&str> = attributes.iter().map(|pair| pair.key.as_str()).collect();
    keys.sort_unstable();
    if attributes.len() > 1024 || keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return None;
    }
    let mut all: Vec<Vec<u8>> = attributes.iter().map(|pair| clean_pair(pair).encode_to_vec()).collect();
    all.sort();
    Some(all)
}

fn finite(v: Option<f64>) -> Option<f64> {
    v.filter(|v| v.is_finite())
}

/// M29: time, bits of the value, and all bytes in their one encoding. Nothing: no value (M2), ids of another length, a key
/// twice.
pub fn exemplar(e: &pb::Exemplar) -> Option<(u64, u64, Vec<u8>)> {
    use pb::exemplar::Value as V;
    set(&e.filtered_attributes)?;
    let (key, bits) = match e.value? {
        V::AsDouble(v) => (0x19, v.to_bits()),
        V::AsInt(v) => (0x31, v as u64),
    };
    let mut out = Vec::new();
    let put = |out: &mut Vec<u8>, key: u8, bytes: &[u8]| {
        out.push(key);
        prost::encoding::encode_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    };
    e.filtered_attributes.iter().for_each(|pair| put(&mut out, 0x3a, &clean_pair(pair).encode_to_vec()));
    for (key, word) in [(0x11, e.time_unix_nano), (key, bits)] {
        if word != 0 || key != 0x11 {
            out.push(key);
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    for (key, id, length) in [(0x22, &e.span_id, 8), (0x2a, &e.trace_id, 16)] {
        if id.len() == length {
            put(&mut out, key, id);
        } else if !id.is_empty() {
            return None;
        }
    }
    Some((e.time_unix_nano, bits, out))
}

impl Point {
    /// Nothing: a set of attributes is invalid.
    pub fn key(&self) -> Option<Key> {
        Some(Key {
            group: Group {
                resource: set(&self.resource.attributes)?,
                resource_schema_url: self.resource_schema_url.clone(),
                scope_name: self.scope.name.clone(),
                scope_version: self.scope.version.clone(),
                scope: set(&self.scope.attributes)?,
                scope_schema_url: self.scope_schema_url.clone(),
                name: self.name.clone(),
                unit: self.unit.clone(),
                kind: self.kind,
                monotonic: self.monotonic,
                bounds: match &self.body {
                    Body::Histogram(h) => h.explicit_bounds.iter().map(|bound| bound.to_bits()).collect(),
                    _ => Vec::new(),
                },
            },
            attributes: set(&self.attributes)?,
        })
    }

    /// Nothing: invalid. `Some(None)`: valid without a recorded value (M7).
    pub fn judge(&self) -> Option<Option<Value>> {
        if self.name.is_empty() || self.name.len() > 65_536 || self.time == 0 {
            return None;
        }
        let without_temporality = [GAUGE, SUMMARY].contains(&self.kind);
        if !without_temporality && !matches!(self.temporality, 1 | 2) || self.kind != GAUGE && self.start > self.time {
            return None;
        }
        if let Body::Histogram(h) = &self.body {
            let bounds = &h.explicit_bounds;
            if bounds.len() > 1024 || bounds.iter().any(|b| b.is_nan()) || bounds.windows(2).any(|b| b[0] >= b[1]) {
                return None;
            }
        }
        if self.flags & 1 != 0 {
            return Some(None);
        }
        self.value().map(Some)
    }

    fn value(&self) -> Option<Value> {
        use pb::number_data_point::Value as V;
        match &self.body {
            Body::Number(None) => None,
            Body::Summary(s) => summary(s),
            Body::Number(Some(V::AsInt(v))) => {
                let negative = *v < 0 && self.kind == SUM && self.monotonic && self.temporality == 1;
                (!negative).then_some(Value::Int(*v))
            }
            Body::Number(Some(V::AsDouble(v))) => {
                let negative = *v < 0.0 && self.kind == SUM && self.monotonic && self.temporality == 1;
                let broken = self.kind == SUM && !v.is_finite();
                (!negative && !broken).then_some(Value::Double(*v))
            }
            Body::Histogram(h) => explicit(h),
            Body::Exponential(e) => exponential(e),
        }
    }
}

/// M28: start, count, sum, number of quantiles, and each with its value, as bits.
fn summary(s: &pb::SummaryDataPoint) -> Option<Value> {
    let all = &s.quantile_values;
    let rising = all.windows(2).all(|two| two[0].quantile < two[1].quantile);
    if all.len() > 32 || !rising || all.iter().any(|q| !(0.0..=1.0).contains(&q.quantile) || q.value < 0.0) {
        return None;
    }
    let mut words = vec![s.start_time_unix_nano, s.count, s.sum.to_bits(), all.len() as u64];
    words.extend(all.iter().flat_map(|q| [q.quantile.to_bits(), q.value.to_bits()]));
    Some(Value::Summary(words))
}

/// M19.
fn explicit(h: &pb::HistogramDataPoint) -> Option<Value> {
    let counted: u128 = h.bucket_counts.iter().map(|count| u128::from(*count)).sum();
    let no_buckets = h.bucket_counts.is_empty() && h.explicit_bounds.is_empty();
    let fits = h.bucket_counts.len() == h.explicit_bounds.len() + 1 && counted == u128::from(h.count);
    if !no_buckets && !fits || h.count == 0 && h.sum.is_some_and(|sum| sum != 0.0) {
        return None;
    }
    let buckets = if no_buckets { vec![h.count] } else { h.bucket_counts.clone() };
    Some(Value::Histogram(Histogram {
        count: h.count,
        sum: finite(h.sum),
        min: finite(h.min),
        max: finite(h.max),
        buckets,
    }))
}

/// M25.
fn exponential(e: &pb::ExponentialHistogramDataPoint) -> Option<Value> {
    if !(-11..=20).contains(&e.scale) || !e.zero_threshold.is_finite() || e.zero_threshold < 0.0 {
        return None;
    }
    let mut total = u128::from(e.zero_count);
    let mut sides = [Default::default(), Default::default()];
    for (side, from) in sides.iter_mut().zip([&e.positive, &e.negative]) {
        let Some(from) = from else { continue };
        if from.bucket_counts.len() > 65_536
            || i64::from(from.offset) + from.bucket_counts.len() as i64 > i64::from(i32::MAX)
        {
            return None;
        }
        for (i, count) in from.bucket_counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            total += u128::from(*count);
            std::collections::BTreeMap::insert(side, i64::from(from.offset) + i as i64, *count);
        }
    }
    if total != u128::from(e.count) || e.count == 0 && e.sum.is_some_and(|sum| sum != 0.0) {
        return None;
    }
    let all = Exponential {
        count: e.count,
        sum: finite(e.sum),
        min: finite(e.min),
        max: finite(e.max),
        scale: e.scale,
        zero_count: e.zero_count,
        zero_threshold: e.zero_threshold,
        fuzzy: false,
        sides,
    };
    Some(Value::Exponential(all.fitted()))
}
