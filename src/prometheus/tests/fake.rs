//! A source in memory, and the messages it needs.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::aggregate::explicit::{self, HAS_SUM};
use crate::aggregate::exponential::{self, Exponential, Side};
use crate::aggregate::{number, summary};
use crate::model::{Kind, TypeHints};
use crate::prometheus::escape::Escaping;
use crate::prometheus::exemplar::Exemplar;
use crate::prometheus::*;
use crate::rows::{Row, RowValue};
use crate::wire::{put_bytes, put_fixed64};

/// An owned `RowValue`.
#[derive(Clone, Debug)]
pub(super) enum Owned {
    Int(i64),
    Double(f64),
    Histogram(u64, Option<f64>, Vec<u64>),
    Exponential(Exponential),
    Summary(u64, f64, Vec<(f64, f64)>),
}

impl Owned {
    /// The words of its region; none of a number.
    fn words(&self) -> Vec<u64> {
        match self {
            Owned::Int(_) | Owned::Double(_) => Vec::new(),
            Owned::Histogram(count, sum, buckets) => {
                let mut words = vec![0; explicit::HEAD];
                words[explicit::COUNT] = *count;
                words[explicit::SUM] = sum.unwrap_or(0.0).to_bits();
                words[explicit::FLAGS] = if sum.is_some() { HAS_SUM } else { 0 };
                words.extend(buckets);
                words
            }
            Owned::Exponential(value) => {
                let mut words = vec![0; exponential::REGION];
                value.store(&mut words.as_mut_slice());
                words
            }
            Owned::Summary(count, sum, quantiles) => {
                let mut words = vec![0; summary::REGION];
                summary::put(&mut words.as_mut_slice(), 0, *count, *sum, quantiles);
                words
            }
        }
    }

    fn value<'a>(&self, words: &'a [u64]) -> RowValue<'a> {
        match self {
            Owned::Int(v) => RowValue::Number(number::Value::Int(*v)),
            Owned::Double(v) => RowValue::Number(number::Value::Double(*v)),
            Owned::Histogram(..) => RowValue::Histogram(explicit::ExplicitRegion::new(words)),
            Owned::Exponential(_) => RowValue::Exponential(exponential::ExponentialRegion::new(words)),
            Owned::Summary(..) => RowValue::Summary(summary::SummaryRegion::new(words)),
        }
    }
}

/// Exemplars as rows have them.
fn exemplar_records(exemplars: &[Exemplar<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for exemplar in exemplars {
        let mut message = exemplar.attributes.to_vec();
        put_fixed64(&mut message, 0x11, exemplar.time_ns);
        put_fixed64(&mut message, if exemplar.value.is_double() { 0x19 } else { 0x31 }, exemplar.value.bits());
        put_bytes(&mut message, 0x22, exemplar.span_id);
        put_bytes(&mut message, 0x2a, exemplar.trace_id);
        put_bytes(&mut out, 0x2a, &message);
    }
    out
}

/// An exponential histogram of one value in a bucket, `count` times over.
pub(super) fn exponential(count: u64, sum: Option<f64>) -> Owned {
    let flags = if sum.is_some() { HAS_SUM } else { 0 };
    let positive = Side { offset: 0, counts: vec![count] };
    Owned::Exponential(Exponential { count, sum: sum.unwrap_or(0.0), flags, positive, ..Exponential::default() })
}

/// A group and its rows: attribute records, time, value.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub meta: Meta,
    pub rows: Vec<(Vec<u8>, u64, Owned)>,
    /// Of all rows.
    pub start_ns: u64,
    /// Of all rows.
    pub exemplars: Vec<Exemplar<'static>>,
}

impl Group {
    pub(super) fn new(name: &str, kind: Kind, monotonic: bool) -> Group {
        let meta = Meta {
            resource: resource(&[("service.name", "api"), ("service.instance.id", "1")]).into(),
            resource_schema_url: "".into(),
            scope: scope("", "", &[]).into(),
            scope_schema_url: "".into(),
            name: name.into(),
            unit: "".into(),
            description: "".into(),
            kind,
            hints: TypeHints::NONE,
            monotonic,
            bounds: None,
            may_repeat: false,
            born_ns: 0,
        };
        Group { meta, rows: Vec::new(), start_ns: 0, exemplars: Vec::new() }
    }

    pub(super) fn counter(name: &str) -> Group {
        Group::new(name, Kind::Sum, true)
    }

    pub(super) fn gauge(name: &str) -> Group {
        Group::new(name, Kind::Gauge, false)
    }

    pub(super) fn histogram(name: &str, bounds: &[f64]) -> Group {
        let mut group = Group::new(name, Kind::Histogram, false);
        group.meta.bounds = Some(bounds.into());
        group
    }

    pub(super) fn row(mut self, pairs: &[(&str, &str)], time_ns: u64, value: Owned) -> Group {
        self.rows.push((records(pairs), time_ns, value));
        self
    }

    pub(super) fn with(mut self, set: impl FnOnce(&mut Meta)) -> Group {
        set(&mut self.meta);
        self
    }
}

/// Groups, and after how many visits a newer cut overtakes.
pub(super) struct Fake {
    pub groups: Vec<Arc<Group>>,
    pub overtaken_after: Cell<u64>,
    /// Rows after which the source itself breaks off.
    pub stride: usize,
}

impl Fake {
    pub(super) fn new(groups: Vec<Group>) -> Fake {
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
        visit: &mut dyn FnMut(PageRow<'_>) -> ControlFlow<()>,
    ) -> Result<Progress, Overtaken> {
        let left = self.overtaken_after.get().checked_sub(1).ok_or(Overtaken)?;
        self.overtaken_after.set(left);
        for _ in 0..self.stride {
            let Some((attributes, time_ns, value)) = group.rows.get(*cursor) else { return Ok(Progress::Done) };
            *cursor += 1;
            let (words, exemplars) = (value.words(), exemplar_records(&group.exemplars));
            let (time_ns, start_ns, value) = (*time_ns, group.start_ns, value.value(&words));
            let row = Row { attributes, time_ns, start_ns, value, exemplars: &exemplars };
            if visit(PageRow { row, cut: 1 }).is_break() {
                return Ok(if *cursor == group.rows.len() { Progress::Done } else { Progress::More });
            }
        }
        Ok(Progress::More)
    }
}

/// A style of these.
pub(super) fn style(format: Format, strategy: Translation, escaping: Escaping) -> Style {
    Style::new(strategy, true, Negotiated { format, escaping })
}

/// Text 0.0.4.
pub(super) fn plain() -> Style {
    Style::new(Translation::default(), true, Negotiated::DEFAULT)
}

/// Renders everything as text 0.0.4.
pub(super) fn render(source: Fake, bounds: Bounds) -> (String, Report) {
    let (bytes, report) = render_as(source, bounds, plain());
    (String::from_utf8(bytes).unwrap(), report)
}

/// Renders everything.
pub(super) fn render_as(source: Fake, bounds: Bounds, style: Style) -> (Vec<u8>, Report) {
    let mut page = Page::new(source, ahash::RandomState::with_seeds(1, 2, 3, 4), bounds, style);
    let mut bytes = Vec::new();
    while let Some(chunk) = page.next() {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    (bytes, page.report().clone())
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn strings(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| pair(key, Any::StringValue((*value).into()))).collect()
}

/// Attribute records of a point.
pub(super) fn any_records(pairs: &[(&str, Any)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        put_bytes(&mut out, 0x3a, &pair(key, value.clone()).encode_to_vec());
    }
    out
}

/// Attribute records of strings.
pub(crate) fn records(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for pair in strings(pairs) {
        put_bytes(&mut out, 0x3a, &pair.encode_to_vec());
    }
    out
}

/// A `Resource` message.
pub(crate) fn resource(pairs: &[(&str, &str)]) -> Vec<u8> {
    Resource { attributes: strings(pairs), ..Default::default() }.encode_to_vec()
}

/// An `InstrumentationScope` message.
pub(crate) fn scope(name: &str, version: &str, pairs: &[(&str, &str)]) -> Vec<u8> {
    let (name, version) = (name.into(), version.into());
    InstrumentationScope { name, version, attributes: strings(pairs), ..Default::default() }.encode_to_vec()
}
