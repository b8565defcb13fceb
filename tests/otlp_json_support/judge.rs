//! What a decoded request must look like in OTLP/JSON, written independently of the table under test.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::{Map, Value, json};

struct Object(Map<String, Value>);

impl Object {
    fn new() -> Self {
        Object(Map::new())
    }
    fn put(mut self, key: &str, value: Value) -> Self {
        self.0.insert(key.to_owned(), value);
        self
    }
    fn unless(self, default: bool, key: &str, value: Value) -> Self {
        if default { self } else { self.put(key, value) }
    }
    fn text(self, key: &str, text: &str) -> Self {
        self.unless(text.is_empty(), key, json!(text))
    }
    fn long(self, key: &str, number: u64) -> Self {
        self.unless(number == 0, key, json!(number.to_string()))
    }
    fn int(self, key: &str, number: i64) -> Self {
        self.unless(number == 0, key, json!(number))
    }
    fn plain_double(self, key: &str, number: f64) -> Self {
        self.unless(number.to_bits() == 0, key, double(number))
    }
    fn double(self, key: &str, number: Option<f64>) -> Self {
        match number {
            Some(number) => self.put(key, double(number)),
            None => self,
        }
    }
    fn list<T>(self, key: &str, items: &[T], each: impl Fn(&T) -> Value) -> Self {
        self.unless(items.is_empty(), key, items.iter().map(each).collect())
    }
    fn maybe<T>(self, key: &str, item: &Option<T>, each: impl Fn(&T) -> Value) -> Self {
        match item {
            Some(item) => self.put(key, each(item)),
            None => self,
        }
    }
    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

pub fn double(number: f64) -> Value {
    match number {
        _ if number.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => json!(number),
    }
}

pub fn hex(bytes: &[u8]) -> Value {
    json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let mut out: String = bits
        .chunks(6)
        .map(|six| DIGITS[(0..6).fold(0, |n, at| n * 2 + usize::from(*six.get(at).unwrap_or(&0)))] as char)
        .collect();
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

fn any(value: &AnyValue) -> Value {
    use any_value::Value as V;
    let object = Object::new();
    match &value.value {
        None | Some(V::StringValueStrindex(_)) => object,
        Some(V::StringValue(text)) => object.put("stringValue", json!(text)),
        Some(V::BoolValue(flag)) => object.put("boolValue", json!(flag)),
        Some(V::IntValue(number)) => object.put("intValue", json!(number.to_string())),
        Some(V::DoubleValue(number)) => object.put("doubleValue", double(*number)),
        Some(V::ArrayValue(array)) => object.put("arrayValue", Object::new().list("values", &array.values, any).done()),
        Some(V::KvlistValue(list)) => {
            object.put("kvlistValue", Object::new().list("values", &list.values, pair).done())
        }
        Some(V::BytesValue(bytes)) => object.put("bytesValue", json!(base64(bytes))),
    }
    .done()
}

fn pair(pair: &KeyValue) -> Value {
    Object::new().text("key", &pair.key).maybe("value", &pair.value, any).done()
}

fn exemplar(e: &Exemplar) -> Value {
    let object = Object::new()
        .list("filteredAttributes", &e.filtered_attributes, pair)
        .long("timeUnixNano", e.time_unix_nano)
        .unless(e.span_id.is_empty(), "spanId", hex(&e.span_id))
        .unless(e.trace_id.is_empty(), "traceId", hex(&e.trace_id));
    match e.value {
        None => object,
        Some(exemplar::Value::AsDouble(number)) => object.put("asDouble", double(number)),
        Some(exemplar::Value::AsInt(number)) => object.put("asInt", json!(number.to_string())),
    }
    .done()
}

fn number(p: &NumberDataPoint) -> Value {
    let object = Object::new()
        .list("attributes", &p.attributes, pair)
        .long("startTimeUnixNano", p.start_time_unix_nano)
        .long("timeUnixNano", p.time_unix_nano)
        .list("exemplars", &p.exemplars, exemplar)
        .int("flags", p.flags.into());
    match p.value {
        None => object,
        Some(number_data_point::Value::AsDouble(number)) => object.put("asDouble", double(number)),
        Some(number_data_point::Value::AsInt(number)) => object.put("asInt", json!(number.to_string())),
    }
    .done()
}

fn histogram(p: &HistogramDataPoint) -> Value {
    Object::new()
        .list("attributes", &p.attributes, pair)
        .long("startTimeUnixNano", p.start_time_unix_nano)
        .long("timeUnixNano", p.time_unix_nano)
        .long("count", p.count)
        .double("sum", p.sum)
        .list("bucketCounts", &p.bucket_counts, |count| json!(count.to_string()))
        .list("explicitBounds", &p.explicit_bounds, |bound| double(*bound))
        .list("exemplars", &p.exemplars, exemplar)
        .int("flags", p.flags.into())
        .double("min", p.min)
        .double("max", p.max)
        .done()
}

fn buckets(b: &Buckets) -> Value {
    Object::new().int("offset", b.offset.into()).list("bucketCounts", &b.bucket_counts, |n| json!(n.to_string())).done()
}

fn exponential(p: &ExponentialHistogramDataPoint) -> Value {
    Object::new()
        .list("attributes", &p.attributes, pair)
        .long("startTimeUnixNano", p.start_time_unix_nano)
        .long("timeUnixNano", p.time_unix_nano)
        .long("count", p.count)
        .double("sum", p.sum)
        .int("scale", p.scale.into())
        .long("zeroCount", p.zero_count)
        .maybe("positive", &p.positive, buckets)
        .maybe("negative", &p.negative, buckets)
        .int("flags", p.flags.into())
        .list("exemplars", &p.exemplars, exemplar)
        .double("min", p.min)
        .double("max", p.max)
        .plain_double("zeroThreshold", p.zero_threshold)
        .done()
}

fn summary(p: &SummaryDataPoint) -> Value {
    Object::new()
        .list("attributes", &p.attributes, pair)
        .long("startTimeUnixNano", p.start_time_unix_nano)
        .long("timeUnixNano", p.time_unix_nano)
        .long("count", p.count)
        .plain_double("sum", p.sum)
        .list("quantileValues", &p.quantile_values, |q| {
            Object::new().plain_double("quantile", q.quantile).plain_double("value", q.value).done()
        })
        .int("flags", p.flags.into())
        .done()
}

fn metric_json(m: &Metric) -> Value {
    let object = Object::new().text("name", &m.name).text("description", &m.description).text("unit", &m.unit).list(
        "metadata",
        &m.metadata,
        pair,
    );
    let temporal = |temporality: i32| Object::new().int("aggregationTemporality", temporality.into());
    use metric::Data;
    match &m.data {
        None => object,
        Some(Data::Gauge(g)) => object.put("gauge", Object::new().list("dataPoints", &g.data_points, number).done()),
        Some(Data::Sum(s)) => {
            let sum = temporal(s.aggregation_temporality).list("dataPoints", &s.data_points, number);
            object.put("sum", sum.unless(!s.is_monotonic, "isMonotonic", json!(true)).done())
        }
        Some(Data::Histogram(h)) => object
            .put("histogram", temporal(h.aggregation_temporality).list("dataPoints", &h.data_points, histogram).done()),
        Some(Data::ExponentialHistogram(h)) => {
            let points = temporal(h.aggregation_temporality).list("dataPoints", &h.data_points, exponential);
            object.put("exponentialHistogram", points.done())
        }
        Some(Data::Summary(s)) => {
            object.put("summary", Object::new().list("dataPoints", &s.data_points, summary).done())
        }
    }
    .done()
}

fn scope_json(s: &InstrumentationScope) -> Value {
    Object::new()
        .text("name", &s.name)
        .text("version", &s.version)
        .list("attributes", &s.attributes, pair)
        .int("droppedAttributesCount", s.dropped_attributes_count.into())
        .done()
}

fn resource_json(r: &Resource) -> Value {
    let entity = |e: &EntityRef| {
        Object::new()
            .text("schemaUrl", &e.schema_url)
            .text("type", &e.r#type)
            .list("idKeys", &e.id_keys, |key| json!(key))
            .list("descriptionKeys", &e.description_keys, |key| json!(key))
            .done()
    };
    Object::new()
        .list("attributes", &r.attributes, pair)
        .int("droppedAttributesCount", r.dropped_attributes_count.into())
        .list("entityRefs", &r.entity_refs, entity)
        .done()
}

pub fn expected(request: &ExportMetricsServiceRequest) -> Value {
    let scopes = |s: &ScopeMetrics| {
        Object::new()
            .maybe("scope", &s.scope, scope_json)
            .list("metrics", &s.metrics, metric_json)
            .text("schemaUrl", &s.schema_url)
            .done()
    };
    let resources = |r: &ResourceMetrics| {
        Object::new()
            .maybe("resource", &r.resource, resource_json)
            .list("scopeMetrics", &r.scope_metrics, scopes)
            .text("schemaUrl", &r.schema_url)
            .done()
    };
    Object::new().list("resourceMetrics", &request.resource_metrics, resources).done()
}

/// The official library's print in our spelling: enums as integers, ids as hex.
pub fn respell(value: &Value, key: &str) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), respell(value, key))).collect(),
        Value::Array(items) => items.iter().map(|item| respell(item, key)).collect(),
        Value::String(text) => match (key, text.as_str()) {
            (_, "AGGREGATION_TEMPORALITY_DELTA") => json!(1),
            (_, "AGGREGATION_TEMPORALITY_CUMULATIVE") => json!(2),
            ("traceId" | "spanId", text) => {
                let zeros: Vec<u8> = (0..64).collect();
                let digit = |c: char| zeros.iter().find(|n| base64(&[*n << 2]).starts_with(c)).copied().unwrap_or(0);
                let bits: Vec<u8> = text
                    .trim_end_matches('=')
                    .chars()
                    .flat_map(|c| (0..6).rev().map(move |bit| digit(c) >> bit & 1).collect::<Vec<u8>>())
                    .collect();
                hex(&bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |n, bit| n * 2 + bit)).collect::<Vec<u8>>())
            }
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

/// Where two values differ first. serde_json's fast parser may miss a double by its last bits; that the digits are exact is
/// the promise of `doubles_read_back`.
pub fn differ(left: &Value, right: &Value, at: &str) -> Option<String> {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().find_map(|(key, a)| differ(a, b.get(key).unwrap_or(&Value::Null), &format!("{at}.{key}")))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(n, (a, b))| differ(a, b, &format!("{at}[{n}]")))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let bits = |n: &serde_json::Number| n.as_f64().expect("it is a double").to_bits();
            (bits(a).abs_diff(bits(b)) > 2).then(|| format!("{at}: {left} is not {right}"))
        }
        _ => (left != right).then(|| format!("{at}: {left} is not {right}")),
    }
}
