//! What a sink holds against what was sent, series by series.
//!
//! Knows both totals; does not know how either was counted.

use crate::load::messages::{self as otlp, KeyValue};
use crate::load::payload::{
    EXPONENTIAL_BUCKETS, EXPONENTIAL_SCALE, SCOPE_NAME, SCOPE_VERSION, SeriesTotals, Shape, resource_attributes,
};
use crate::load::sink::{Exponential, Held, Totals};
use std::collections::BTreeMap;

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
            let got = totals.series_held(of, [SCOPE_NAME, SCOPE_VERSION], name, &pairs(own));
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
}

/// Attributes as a sink would decode them.
fn pairs<'a>(of: impl IntoIterator<Item = (&'a str, String)>) -> Vec<KeyValue> {
    let pair = |(key, value): (&str, String)| KeyValue {
        key: key.to_owned(),
        value: Some(otlp::AnyValue { value: Some(otlp::Value::String(value)) }),
    };
    of.into_iter().map(pair).collect()
}
