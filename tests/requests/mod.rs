//! Requests from a seed: mostly valid ones, and rewritings of their bytes that mean the same or are broken.
#![allow(dead_code)]

pub mod mess;

use crate::common::{SECOND, START};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{self as pb, exemplar, metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// SplitMix64.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn some<T>(&mut self, most: u64, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> String {
        self.of(&["a", "b", "svc", "", "é", "x.y", "😀", "\0"]).into()
    }

    /// Mostly numbers that add exactly, some that do not.
    fn double(&mut self) -> f64 {
        match self.below(12) {
            0 => self.of(&[0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX, f64::MIN]),
            1 => f64::from_bits(self.next()),
            _ => self.below(1 << 30) as f64 / 1024.0,
        }
    }

    fn int(&mut self) -> i64 {
        match self.below(12) {
            0 => self.of(&[i64::MAX, i64::MIN, (1 << 53) + 1, -1]),
            1 => self.next() as i64,
            2 => -(self.below(1 << 20) as i64),
            _ => self.below(1 << 20) as i64,
        }
    }

    fn any(&mut self, depth: u64) -> AnyValue {
        use any_value::Value as V;
        let value = match self.below(if depth == 0 { 7 } else { 9 }) {
            0 => None,
            1 => Some(V::BoolValue(self.one_in(2))),
            2 => Some(V::IntValue(self.int())),
            3 => Some(V::DoubleValue(self.double())),
            4 => Some(V::BytesValue(self.some(3, |c| c.next() as u8))),
            5 => Some(V::StringValueStrindex(self.int() as i32)),
            6 => Some(V::StringValue(self.text())),
            7 => Some(V::ArrayValue(ArrayValue { values: self.some(3, |c| c.any(depth - 1)) })),
            _ => Some(V::KvlistValue(KeyValueList { values: self.some(3, |c| c.pair(depth - 1)) })),
        };
        AnyValue { value }
    }

    fn pair(&mut self, depth: u64) -> KeyValue {
        let value = if self.one_in(8) { None } else { Some(self.any(depth)) };
        let key_strindex = if self.one_in(8) { self.int() as i32 } else { 0 };
        KeyValue { key: self.text(), value, key_strindex }
    }

    /// Plain strings as a rule; sometimes anything, then perhaps with a key twice.
    fn attributes(&mut self) -> Vec<KeyValue> {
        if self.one_in(6) {
            return self.some(3, |c| c.pair(3));
        }
        let mut all: Vec<KeyValue> = ["k", "route", "host"]
            .into_iter()
            .take(self.below(4) as usize)
            .map(|key| crate::common::attribute(key, self.of(&["1", "2"])))
            .collect();
        if self.one_in(2) {
            all.reverse();
        }
        all
    }

    fn exemplar(&mut self) -> pb::Exemplar {
        pb::Exemplar {
            filtered_attributes: self.attributes(),
            time_unix_nano: self.next(),
            span_id: self.some(8, |c| c.next() as u8),
            trace_id: self.some(16, |c| c.next() as u8),
            value: Some(exemplar::Value::AsDouble(self.double())),
        }
    }

    /// Start and time.
    fn times(&mut self) -> (u64, u64) {
        let time = START + self.below(50) * SECOND;
        match self.below(10) {
            0 => (0, time),
            1 => (time, time),
            2 => (time + 1, time),
            3 => (0, 0),
            4 => (START - SECOND, time),
            5 => (self.next(), self.next()),
            _ => (START + 1 + self.below(3), time.max(START + 4)),
        }
    }

    fn flags(&mut self) -> u32 {
        if self.one_in(12) { self.next() as u32 } else { 0 }
    }

    fn number(&mut self) -> pb::NumberDataPoint {
        let (start_time_unix_nano, time_unix_nano) = self.times();
        pb::NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano,
            time_unix_nano,
            exemplars: if self.one_in(8) { vec![self.exemplar()] } else { Vec::new() },
            flags: self.flags(),
            value: match self.below(9) {
                0 => None,
                1..5 => Some(number_data_point::Value::AsDouble(self.double())),
                _ => Some(number_data_point::Value::AsInt(self.int())),
            },
        }
    }

    fn count(&mut self) -> u64 {
        if self.one_in(30) { self.next() } else { self.below(1000) }
    }

    fn histogram(&mut self) -> pb::HistogramDataPoint {
        let (start_time_unix_nano, time_unix_nano) = self.times();
        let mut explicit_bounds: Vec<f64> = [-1.0, 0.0, 0.5, 10.0][..self.below(5) as usize].to_vec();
        let mut bucket_counts: Vec<u64> = (0..=explicit_bounds.len()).map(|_| self.count()).collect();
        let mut count = bucket_counts.iter().fold(0u64, |sum, count| sum.wrapping_add(*count));
        match self.below(20) {
            0 => count = count.wrapping_add(1),
            1 => bucket_counts.clear(),
            2 => explicit_bounds.reverse(),
            3 => explicit_bounds.push(f64::NAN),
            4 => explicit_bounds.push(f64::INFINITY),
            5 => {
                bucket_counts.fill(0);
                count = 0;
            }
            _ => {}
        }
        pb::HistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum: match self.below(4) {
                0 => None,
                _ if count == 0 => Some(0.0),
                _ => Some(self.double()),
            },
            bucket_counts,
            explicit_bounds,
            exemplars: if self.one_in(8) { vec![self.exemplar()] } else { Vec::new() },
            flags: self.flags(),
            min: self.one_in(2).then(|| self.double()),
            max: self.one_in(2).then(|| self.double()),
        }
    }

    fn buckets(&mut self) -> Buckets {
        let offset = match self.below(12) {
            0 => self.of(&[i32::MIN, i32::MAX, i32::MAX - 2]),
            1 => self.next() as i32,
            _ => self.below(200) as i32 - 100,
        };
        let most = if self.one_in(8) { 400 } else { 6 };
        Buckets { offset, bucket_counts: self.some(most, |c| if c.one_in(3) { 0 } else { c.count() }) }
    }

    fn exponential(&mut self) -> pb::ExponentialHistogramDataPoint {
        let (start_time_unix_nano, time_unix_nano) = self.times();
        let (positive, negative) = (self.buckets(), self.buckets());
        let zero_count = self.below(4);
        let all = positive.bucket_counts.iter().chain(&negative.bucket_counts);
        let mut count = all.fold(zero_count, |sum, count| sum.wrapping_add(*count));
        if self.one_in(16) {
            count = count.wrapping_sub(1);
        }
        pb::ExponentialHistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum: (!self.one_in(3)).then(|| if count == 0 { 0.0 } else { self.double() }),
            scale: if self.one_in(12) { self.next() as i32 } else { self.below(34) as i32 - 12 },
            zero_count,
            positive: (!positive.bucket_counts.is_empty() || self.one_in(2)).then_some(positive),
            negative: (!negative.bucket_counts.is_empty() || self.one_in(2)).then_some(negative),
            flags: self.flags(),
            exemplars: if self.one_in(8) { vec![self.exemplar()] } else { Vec::new() },
            min: self.one_in(2).then(|| self.double()),
            max: self.one_in(2).then(|| self.double()),
            zero_threshold: if self.one_in(8) { self.double() } else { 0.0 },
        }
    }

    fn summary(&mut self) -> pb::SummaryDataPoint {
        let (start_time_unix_nano, time_unix_nano) = self.times();
        pb::SummaryDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano,
            time_unix_nano,
            count: self.count(),
            sum: self.double(),
            quantile_values: self
                .some(2, |c| pb::summary_data_point::ValueAtQuantile { quantile: c.double(), value: c.double() }),
            flags: self.flags(),
        }
    }

    fn data(&mut self) -> Data {
        let aggregation_temporality = if self.one_in(12) { self.int() as i32 } else { 1 + self.below(2) as i32 };
        match self.below(9) {
            0 | 1 => Data::Gauge(pb::Gauge { data_points: self.some(4, Self::number) }),
            2..5 => {
                let data_points = self.some(4, Self::number);
                Data::Sum(pb::Sum { data_points, aggregation_temporality, is_monotonic: self.one_in(2) })
            }
            5 | 6 => {
                Data::Histogram(pb::Histogram { data_points: self.some(4, Self::histogram), aggregation_temporality })
            }
            7 => {
                let data_points = self.some(4, Self::exponential);
                Data::ExponentialHistogram(pb::ExponentialHistogram { data_points, aggregation_temporality })
            }
            _ => Data::Summary(pb::Summary { data_points: self.some(2, Self::summary) }),
        }
    }

    fn metric(&mut self) -> pb::Metric {
        pb::Metric {
            name: self.of(&["m", "n", "requests", ""]).into(),
            description: self.of(&["", "", "what", "longer"]).into(),
            unit: self.of(&["1", "s", ""]).into(),
            metadata: if self.one_in(8) { self.attributes() } else { Vec::new() },
            data: if self.one_in(12) { None } else { Some(self.data()) },
        }
    }

    fn scope(&mut self) -> pb::ScopeMetrics {
        let scope = (!self.one_in(4)).then(|| InstrumentationScope {
            name: self.of(&["lib", ""]).into(),
            version: self.of(&["1", ""]).into(),
            attributes: if self.one_in(4) { self.attributes() } else { Vec::new() },
            dropped_attributes_count: self.below(3) as u32,
        });
        pb::ScopeMetrics { scope, metrics: self.some(4, Self::metric), schema_url: self.text() }
    }

    pub fn request(&mut self) -> ExportMetricsServiceRequest {
        let resource_metrics = self.some(3, |c| {
            let resource = (!c.one_in(4)).then(|| Resource {
                attributes: c.attributes(),
                dropped_attributes_count: c.below(3) as u32,
                entity_refs: c.some(1, |c| EntityRef {
                    schema_url: c.text(),
                    r#type: c.text(),
                    id_keys: c.some(2, Self::text),
                    description_keys: c.some(2, Self::text),
                }),
            });
            pb::ResourceMetrics { resource, scope_metrics: c.some(3, Self::scope), schema_url: c.text() }
        });
        ExportMetricsServiceRequest { resource_metrics }
    }
}
