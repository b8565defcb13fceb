//! A source in memory, and the messages it needs.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::model::Kind;
use crate::prometheus::*;
use crate::wire::put_bytes;

/// An owned `Value`.
#[derive(Clone, Debug)]
pub enum Owned {
    Int(i64),
    Double(f64),
    Histogram(u64, Option<f64>, Vec<u64>),
    Exponential(u64, Option<f64>),
    Summary(u64, f64, Vec<(f64, f64)>),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Owned::Int(v) => Value::Int(*v),
            Owned::Double(v) => Value::Double(*v),
            Owned::Histogram(count, sum, buckets) => Value::Histogram { count: *count, sum: *sum, buckets },
            Owned::Exponential(count, sum) => Value::Exponential { count: *count, sum: *sum },
            Owned::Summary(count, sum, quantiles) => Value::Summary { count: *count, sum: *sum, quantiles },
        }
    }
}

/// A group and its rows: attribute records, time, value.
#[derive(Clone, Debug)]
pub struct Group {
    pub meta: Meta,
    pub rows: Vec<(Vec<u8>, u64, Owned)>,
}

impl Group {
    pub fn new(name: &str, kind: Kind, monotonic: bool) -> Group {
        let meta = Meta {
            resource: resource(&[("service.name", "api"), ("service.instance.id", "1")]).into(),
            resource_schema_url: "".into(),
            scope: scope("", "", &[]).into(),
            scope_schema_url: "".into(),
            name: name.into(),
            unit: "".into(),
            description: "".into(),
            kind,
            monotonic,
            bounds: None,
            born_ns: 0,
        };
        Group { meta, rows: Vec::new() }
    }

    pub fn counter(name: &str) -> Group {
        Group::new(name, Kind::Sum, true)
    }

    pub fn gauge(name: &str) -> Group {
        Group::new(name, Kind::Gauge, false)
    }

    pub fn histogram(name: &str, bounds: &[f64]) -> Group {
        let mut group = Group::new(name, Kind::Histogram, false);
        group.meta.bounds = Some(bounds.into());
        group
    }

    pub fn row(mut self, pairs: &[(&str, &str)], time_ns: u64, value: Owned) -> Group {
        self.rows.push((records(pairs), time_ns, value));
        self
    }

    pub fn with(mut self, set: impl FnOnce(&mut Meta)) -> Group {
        set(&mut self.meta);
        self
    }
}

/// Groups, and after how many visits a newer cut overtakes.
pub struct Fake {
    pub groups: Vec<Arc<Group>>,
    pub overtaken_after: Cell<u64>,
    /// Rows after which the source itself breaks off.
    pub stride: usize,
}

impl Fake {
    pub fn new(groups: Vec<Group>) -> Fake {
        Fake {
            groups: groups.into_iter().map(Arc::new).collect(),
            overtaken_after: Cell::new(u64::MAX),
            stride: usize::MAX,
        }
    }
}

impl Source for Fake {
    type Group = Arc<Group>;

    fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.clone()
    }

    fn meta<'a>(&self, group: &'a Arc<Group>) -> &'a Meta {
        &group.meta
    }

    fn rows(
        &self,
        group: &Arc<Group>,
        cursor: &mut usize,
        visit: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>,
    ) -> Result<Progress, Overtaken> {
        let left = self.overtaken_after.get().checked_sub(1).ok_or(Overtaken)?;
        self.overtaken_after.set(left);
        for _ in 0..self.stride {
            let Some((attributes, time_ns, value)) = group.rows.get(*cursor) else { return Ok(Progress::Done) };
            *cursor += 1;
            if visit(Row { attributes, time_ns: *time_ns, value: value.value(), exemplars: &[] }).is_break() {
                return Ok(if *cursor == group.rows.len() { Progress::Done } else { Progress::More });
            }
        }
        Ok(Progress::More)
    }
}

/// Renders everything.
pub fn render(source: Fake, bounds: Bounds) -> (String, Report) {
    let mut page = Page::new(source, ahash::RandomState::with_seeds(1, 2, 3, 4), bounds);
    let mut text = Vec::new();
    while let Some(chunk) = page.next() {
        text.extend_from_slice(&chunk.unwrap());
    }
    (String::from_utf8(text).unwrap(), page.report().clone())
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn strings(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| pair(key, Any::StringValue((*value).into()))).collect()
}

/// Attribute records of a point.
pub fn any_records(pairs: &[(&str, Any)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        put_bytes(&mut out, 0x3a, &pair(key, value.clone()).encode_to_vec());
    }
    out
}

/// Attribute records of strings.
pub fn records(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for pair in strings(pairs) {
        put_bytes(&mut out, 0x3a, &pair.encode_to_vec());
    }
    out
}

/// A `Resource` message.
pub fn resource(pairs: &[(&str, &str)]) -> Vec<u8> {
    Resource { attributes: strings(pairs), ..Default::default() }.encode_to_vec()
}

/// An `InstrumentationScope` message.
pub fn scope(name: &str, version: &str, pairs: &[(&str, &str)]) -> Vec<u8> {
    let (name, version) = (name.into(), version.into());
    InstrumentationScope { name, version, attributes: strings(pairs), ..Default::default() }.encode_to_vec()
}
