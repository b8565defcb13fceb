//! Requests from a seed: as encoders write them, and as none should but any may.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

/// SplitMix64: a message from a seed.
pub struct Chance(pub u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn long(&mut self) -> u64 {
        match self.below(4) {
            0 => 0,
            1 => self.below(300),
            2 => u64::MAX,
            _ => self.next(),
        }
    }
    fn double(&mut self) -> f64 {
        match self.below(10) {
            0 => 0.0,
            1 => -0.0,
            2 => f64::NAN,
            3 => f64::INFINITY,
            4 => f64::NEG_INFINITY,
            5 => self.below(1000) as f64,
            6 => f64::from_bits(self.below(100)),
            _ => f64::from_bits(self.next()),
        }
    }
    fn maybe<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }
    fn some<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| make(self)).collect()
    }
    fn text(&mut self) -> String {
        const PIECES: [&str; 12] = ["", "a", "\"", "\\", "\n", "\0", "\u{1f}", "\u{7f}", "é", "\u{2028}", "😀", "/r/1"];
        (0..self.below(5)).map(|_| PIECES[self.below(12) as usize]).collect()
    }
    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(6)).map(|_| self.next() as u8).collect()
    }
    fn any(&mut self, depth: u64) -> AnyValue {
        use any_value::Value as V;
        let value = match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => None,
            1 => Some(V::StringValue(self.text())),
            2 => Some(V::BoolValue(self.below(2) == 0)),
            3 => Some(V::IntValue(self.long() as i64)),
            4 => Some(V::DoubleValue(self.double())),
            5 => Some(V::BytesValue(self.bytes())),
            6 => Some(V::StringValueStrindex(3)),
            7 => Some(V::ArrayValue(ArrayValue { values: self.some(|c| c.any(depth - 1)) })),
            _ => Some(V::KvlistValue(KeyValueList { values: self.some(|c| c.pair(depth - 1)) })),
        };
        AnyValue { value }
    }
    fn pair(&mut self, depth: u64) -> KeyValue {
        KeyValue { key: self.text(), value: self.maybe(|c| c.any(depth)), key_strindex: 0 }
    }
    fn attributes(&mut self) -> Vec<KeyValue> {
        self.some(|c| c.pair(3))
    }
    fn exemplar(&mut self) -> Exemplar {
        Exemplar {
            filtered_attributes: self.attributes(),
            time_unix_nano: self.long(),
            span_id: self.bytes(),
            trace_id: self.bytes(),
            value: self.maybe(|c| match c.below(2) {
                0 => exemplar::Value::AsDouble(c.double()),
                _ => exemplar::Value::AsInt(c.long() as i64),
            }),
        }
    }
    fn number(&mut self) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.long(),
            time_unix_nano: self.long(),
            exemplars: self.some(Self::exemplar),
            flags: self.long() as u32,
            value: self.maybe(|c| match c.below(2) {
                0 => number_data_point::Value::AsDouble(c.double()),
                _ => number_data_point::Value::AsInt(c.long() as i64),
            }),
        }
    }
    fn histogram(&mut self) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.long(),
            time_unix_nano: self.long(),
            count: self.long(),
            sum: self.maybe(Self::double),
            bucket_counts: self.some(Self::long),
            explicit_bounds: self.some(Self::double),
            exemplars: self.some(Self::exemplar),
            flags: self.long() as u32,
            min: self.maybe(Self::double),
            max: self.maybe(Self::double),
        }
    }
    fn buckets(&mut self) -> Buckets {
        Buckets { offset: self.long() as i32, bucket_counts: self.some(Self::long) }
    }
    fn exponential(&mut self) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.long(),
            time_unix_nano: self.long(),
            count: self.long(),
            sum: self.maybe(Self::double),
            scale: self.next() as i32,
            zero_count: self.long(),
            positive: self.maybe(Self::buckets),
            negative: self.maybe(Self::buckets),
            flags: self.long() as u32,
            exemplars: self.some(Self::exemplar),
            min: self.maybe(Self::double),
            max: self.maybe(Self::double),
            zero_threshold: self.double(),
        }
    }
    fn summary(&mut self) -> SummaryDataPoint {
        SummaryDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.long(),
            time_unix_nano: self.long(),
            count: self.long(),
            sum: self.double(),
            quantile_values: self.some(|c| ValueAtQuantile { quantile: c.double(), value: c.double() }),
            flags: self.long() as u32,
        }
    }
    fn data(&mut self) -> metric::Data {
        let aggregation_temporality = self.below(5) as i32 - 1;
        match self.below(5) {
            0 => metric::Data::Gauge(Gauge { data_points: self.some(Self::number) }),
            1 => {
                let data_points = self.some(Self::number);
                metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: self.below(2) == 0 })
            }
            2 => {
                metric::Data::Histogram(Histogram { data_points: self.some(Self::histogram), aggregation_temporality })
            }
            3 => {
                let data_points = self.some(Self::exponential);
                metric::Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
            }
            _ => metric::Data::Summary(Summary { data_points: self.some(Self::summary) }),
        }
    }
    fn metric(&mut self) -> Metric {
        Metric {
            name: self.text(),
            description: self.text(),
            unit: self.text(),
            metadata: self.attributes(),
            data: self.maybe(Self::data),
        }
    }
    fn scope(&mut self) -> ScopeMetrics {
        let scope = self.maybe(|c| InstrumentationScope {
            name: c.text(),
            version: c.text(),
            attributes: c.attributes(),
            dropped_attributes_count: c.below(3) as u32,
        });
        ScopeMetrics { scope, metrics: self.some(Self::metric), schema_url: self.text() }
    }
    pub fn request(&mut self) -> ExportMetricsServiceRequest {
        let resource_metrics = self.some(|c| {
            let resource = c.maybe(|c| Resource {
                attributes: c.attributes(),
                dropped_attributes_count: c.below(3) as u32,
                entity_refs: c.some(|c| EntityRef {
                    schema_url: c.text(),
                    r#type: c.text(),
                    id_keys: c.some(Self::text),
                    description_keys: c.some(Self::text),
                }),
            });
            ResourceMetrics { resource, scope_metrics: c.some(Self::scope), schema_url: c.text() }
        });
        ExportMetricsServiceRequest { resource_metrics }
    }

    /// One message's records in any order, some twice, unknown ones between: R19, R20.
    fn scramble(&mut self, messages: &[Vec<u8>]) -> Vec<u8> {
        let mut records: Vec<Vec<u8>> = messages.iter().flat_map(|message| split(message)).collect();
        for unknown in
            [&b"\xa0\x06\x05"[..], b"\xa1\x06abcdefgh", b"\xa2\x06\x02hi", b"\xa5\x06abcd", b"\xa3\x06\x08\x01\xa4\x06"]
        {
            if self.below(4) == 0 {
                records.push(unknown.to_vec());
            }
        }
        if !records.is_empty() && self.below(2) == 0 {
            records.push(records[self.below(records.len() as u64) as usize].clone());
        }
        let mut out = Vec::new();
        while !records.is_empty() {
            out.extend(records.swap_remove(self.below(records.len() as u64) as usize));
        }
        out
    }

    /// Up to three messages made alike, scrambled into one.
    fn mess(&mut self, make: impl Fn(&mut Self) -> Vec<u8>) -> Vec<u8> {
        let messages: Vec<Vec<u8>> = (0..1 + self.below(3)).map(|_| make(self)).collect();
        self.scramble(&messages)
    }

    fn messy_any(&mut self, depth: u64) -> Vec<u8> {
        self.mess(|c| match c.below(3) {
            0 if depth > 0 => field(5, &c.mess(|c| field(1, &c.messy_any(depth - 1)))),
            _ => c.any(2).encode_to_vec(),
        })
    }

    pub fn messy_request(&mut self) -> Vec<u8> {
        let pair = |c: &mut Self| {
            c.mess(|c| {
                [KeyValue { key: c.text(), ..KeyValue::default() }.encode_to_vec(), field(2, &c.messy_any(3))].concat()
            })
        };
        let point = move |c: &mut Self| {
            c.mess(|c| {
                let tail = field(7, &pair(c));
                [c.number().encode_to_vec(), tail].concat()
            })
        };
        let metric = move |c: &mut Self| {
            c.mess(|c| {
                let data = c.mess(|c| field(1, &point(c)));
                let exponential = c.mess(|c| field(1, &c.mess(|c| c.exponential().encode_to_vec())));
                let histogram = c.mess(|c| field(1, &c.mess(|c| c.histogram().encode_to_vec())));
                match c.below(4) {
                    0 => field(5, &data),
                    1 => field(7, &data),
                    2 => field(9, &histogram),
                    _ => [field(10, &exponential), c.metric().encode_to_vec()].concat(),
                }
            })
        };
        self.mess(|c| field(1, &c.mess(|c| field(2, &c.mess(|c| field(2, &metric(c)))))))
    }
}

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(number << 3 | 2, &mut out);
    varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// The records of a well-formed message.
fn split(message: &[u8]) -> Vec<Vec<u8>> {
    let read = |at: &mut usize| {
        let (mut n, mut shift) = (0u64, 0);
        loop {
            let byte = message[*at];
            *at += 1;
            n |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return n;
            }
        }
    };
    let (mut at, mut records) = (0, Vec::new());
    while at < message.len() {
        let begin = at;
        match read(&mut at) & 7 {
            0 => {
                read(&mut at);
            }
            1 => at += 8,
            2 => {
                let length = read(&mut at) as usize;
                at += length;
            }
            5 => at += 4,
            // the only group these tests make
            _ => at = begin + 6,
        }
        records.push(message[begin..at].to_vec());
    }
    records
}
