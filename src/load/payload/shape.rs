//! What a generated point looks like: its kind, where its fixed-width fields lie, how its identity is written.
//!
//! Deliberately does not know requests, sockets or totals.
//! Invariants: 1. all points of one shape have the same length and the same offsets, so that a point is patched,
//! re-identified and moved without touching any length; 2. everything that changes between two sends is of fixed width.
//! Layout: fields in ascending order of their numbers (OTLP 1.x metrics.proto), as prost and the Go library write them.

use super::random::mix;
use crate::load::bytes::{bytes_field, fixed64, get, head, varint, varint_field};

/// Bounds of the explicit histograms that are sent.
pub(crate) const HISTOGRAM_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Positive buckets of the exponential histograms that are sent.
pub(crate) const EXPONENTIAL_BUCKETS: usize = 20;
/// Scale of the exponential histograms that are sent.
pub(crate) const EXPONENTIAL_SCALE: i32 = 3;
/// What every bucket of a cumulative exponential histogram starts from: varints of 2^21 to 2^28 - 1 are four bytes wide.
pub(crate) const EXPONENTIAL_BASE: u64 = 1 << 21;
/// Quantiles of the summaries that are sent, and what they say.
pub(crate) const SUMMARY_QUANTILES: [(f64, f64); 2] = [(0.5, 0.25), (0.99, 2.0)];
/// Hexadecimal digits of the identity.
pub(crate) const IDENTITY_DIGITS: usize = 8;

/// A kind of point with its temporality and number type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Shape {
    DeltaSum,
    CumulativeSum,
    DeltaSumDouble,
    CumulativeSumDouble,
    Gauge,
    GaugeDouble,
    DeltaHistogram,
    CumulativeHistogram,
    DeltaExponential,
    CumulativeExponential,
    Summary,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Shape; 11] = [
        Shape::DeltaSum,
        Shape::CumulativeSum,
        Shape::DeltaSumDouble,
        Shape::CumulativeSumDouble,
        Shape::Gauge,
        Shape::GaugeDouble,
        Shape::DeltaHistogram,
        Shape::CumulativeHistogram,
        Shape::DeltaExponential,
        Shape::CumulativeExponential,
        Shape::Summary,
    ];

    /// The word on the command line and in metric names.
    pub const fn word(self) -> &'static str {
        match self {
            Shape::DeltaSum => "delta-sum",
            Shape::CumulativeSum => "cumulative-sum",
            Shape::DeltaSumDouble => "delta-sum-double",
            Shape::CumulativeSumDouble => "cumulative-sum-double",
            Shape::Gauge => "gauge",
            Shape::GaugeDouble => "gauge-double",
            Shape::DeltaHistogram => "delta-histogram",
            Shape::CumulativeHistogram => "cumulative-histogram",
            Shape::DeltaExponential => "delta-exponential-histogram",
            Shape::CumulativeExponential => "cumulative-exponential-histogram",
            Shape::Summary => "summary",
        }
    }

    /// Whether a point adds to its series, so that order and repetition do not matter.
    pub const fn is_delta(self) -> bool {
        matches!(self, Shape::DeltaSum | Shape::DeltaSumDouble | Shape::DeltaHistogram | Shape::DeltaExponential)
    }

    /// Buckets whose totals are kept (the zero bucket of an exponential histogram is the first).
    pub const fn buckets(self) -> usize {
        match self {
            Shape::DeltaHistogram | Shape::CumulativeHistogram => HISTOGRAM_BOUNDS.len() + 1,
            Shape::DeltaExponential | Shape::CumulativeExponential => EXPONENTIAL_BUCKETS + 1,
            _ => 0,
        }
    }

    /// Whether the total is count, sum and buckets instead of one number.
    pub const fn is_distribution(self) -> bool {
        self.buckets() > 0 || matches!(self, Shape::Summary)
    }

    /// Field number in `Metric.data`.
    pub(crate) const fn metric_field(self) -> u32 {
        match self {
            Shape::Gauge | Shape::GaugeDouble => 5,
            Shape::DeltaHistogram | Shape::CumulativeHistogram => 9,
            Shape::DeltaExponential | Shape::CumulativeExponential => 10,
            Shape::Summary => 11,
            _ => 7,
        }
    }

    /// `aggregation_temporality`, where the kind has one.
    pub(crate) const fn temporality(self) -> Option<u64> {
        match self {
            Shape::Gauge | Shape::GaugeDouble | Shape::Summary => None,
            shape if shape.is_delta() => Some(1),
            _ => Some(2),
        }
    }
}

/// A weighted list of shapes, as written on the command line: `delta-sum=8,gauge=1,delta-histogram=1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(Vec<Shape>);

impl Default for Mix {
    /// Delta sums alone.
    fn default() -> Self {
        Mix(vec![Shape::DeltaSum])
    }
}

impl Mix {
    /// The largest weight; what is larger is a typing error.
    const WEIGHT_MAX: usize = 1_000;

    /// The shape of the `metric`-th metric: weights are dealt round.
    pub fn of(&self, metric: usize) -> Shape {
        self.0[metric % self.0.len()]
    }

    /// Whether every shape adds.
    pub fn is_delta(&self) -> bool {
        self.0.iter().all(|shape| shape.is_delta())
    }
}

impl std::str::FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut shapes = Vec::new();
        for part in text.split(',') {
            let (word, weight) = part.split_once('=').unwrap_or((part, "1"));
            let word = match word.trim() {
                "sum" => "delta-sum",
                "histogram" => "delta-histogram",
                "exponential-histogram" => "delta-exponential-histogram",
                word => word,
            };
            let shape = Shape::ALL.into_iter().find(|shape| shape.word() == word).ok_or_else(|| {
                format!("unknown kind {word:?}: one of {}", Shape::ALL.map(|shape| shape.word()).join(", "))
            })?;
            let weight: usize =
                weight.trim().parse().ok().filter(|weight| (1..=Self::WEIGHT_MAX).contains(weight)).ok_or_else(
                    || format!("weight {weight:?} of {word} is not a number from 1 to {}", Self::WEIGHT_MAX),
                )?;
            shapes.extend(std::iter::repeat_n(shape, weight));
        }
        Ok(Mix(shapes))
    }
}

/// Where the fixed-width fields of a point lie, counted from the tag that opens it in its metric.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// A whole point with identity 0 and all fields 0, its tag and length included.
    pub template: Vec<u8>,
    /// `start_time_unix_nano`, where the kind carries it.
    pub start: Option<usize>,
    /// `time_unix_nano`.
    pub time: usize,
    /// The number, or the sum of a distribution.
    pub value: usize,
    /// `count` of a distribution.
    pub count: usize,
    /// First bucket count.
    pub buckets: usize,
    /// `zero_count` of an exponential histogram.
    pub zero: usize,
    /// The digits that make the series unique, and those that follow from them: offset, digits, how many values.
    digits: Vec<(usize, usize, u32)>,
}

impl Layout {
    /// The layout of `shape` with these attributes.
    pub(crate) fn new(shape: Shape, attributes: &[Attribute]) -> Self {
        let mut layout = Layout::default();
        let mut body = Vec::new();
        let exponential = matches!(shape, Shape::DeltaExponential | Shape::CumulativeExponential);
        if exponential {
            layout.write_attributes(&mut body, 1, attributes);
        }
        if shape.temporality().is_some() || shape == Shape::Summary {
            layout.start = Some(fixed64(&mut body, 2, 0));
        }
        layout.time = fixed64(&mut body, 3, 0);
        match shape {
            Shape::DeltaSum | Shape::CumulativeSum | Shape::Gauge => {
                layout.value = fixed64(&mut body, 6, 0);
                layout.write_attributes(&mut body, 7, attributes);
            }
            Shape::DeltaSumDouble | Shape::CumulativeSumDouble | Shape::GaugeDouble => {
                layout.value = fixed64(&mut body, 4, 0);
                layout.write_attributes(&mut body, 7, attributes);
            }
            _ => {
                layout.count = fixed64(&mut body, 4, 0);
                layout.value = fixed64(&mut body, 5, 0);
            }
        }
        match shape {
            Shape::DeltaHistogram | Shape::CumulativeHistogram => {
                head(&mut body, 6, (HISTOGRAM_BOUNDS.len() + 1) * 8);
                layout.buckets = body.len();
                body.resize(body.len() + (HISTOGRAM_BOUNDS.len() + 1) * 8, 0);
                head(&mut body, 7, HISTOGRAM_BOUNDS.len() * 8);
                HISTOGRAM_BOUNDS.iter().for_each(|bound| body.extend_from_slice(&bound.to_le_bytes()));
                layout.write_attributes(&mut body, 9, attributes);
            }
            Shape::DeltaExponential | Shape::CumulativeExponential => {
                varint_field(&mut body, 6, ((EXPONENTIAL_SCALE << 1) ^ (EXPONENTIAL_SCALE >> 31)) as u64);
                layout.zero = fixed64(&mut body, 7, 0);
                let width = if shape.is_delta() { 1 } else { 4 };
                head(&mut body, 8, 2 + EXPONENTIAL_BUCKETS * width);
                head(&mut body, 2, EXPONENTIAL_BUCKETS * width);
                layout.buckets = body.len();
                for _ in 0..EXPONENTIAL_BUCKETS {
                    varint(&mut body, if shape.is_delta() { 0 } else { EXPONENTIAL_BASE });
                }
            }
            Shape::Summary => {
                for (quantile, value) in SUMMARY_QUANTILES {
                    head(&mut body, 6, 18);
                    fixed64(&mut body, 1, quantile.to_bits());
                    fixed64(&mut body, 2, value.to_bits());
                }
                layout.write_attributes(&mut body, 7, attributes);
            }
            _ => {}
        }
        layout.close(&body)
    }

    /// Bytes of a point with its tag and length.
    pub(crate) fn stride(&self) -> usize {
        self.template.len()
    }

    /// Where the digits of the attributes lie, and how many they are.
    pub(crate) fn digits(&self) -> impl Iterator<Item = (usize, usize)> {
        self.digits.iter().map(|&(offset, digits, _)| (offset, digits))
    }

    /// Count of bucket `index` of a point, the zero bucket of an exponential histogram being the first.
    pub(crate) fn bucket(&self, shape: Shape, point: &[u8], index: usize) -> u64 {
        match (shape, index) {
            (Shape::DeltaExponential | Shape::CumulativeExponential, 0) => get(point, self.zero),
            (Shape::DeltaExponential, _) => point[self.buckets + index - 1].into(),
            (Shape::CumulativeExponential, _) => get_varint4(&point[self.buckets + (index - 1) * 4..]),
            _ => get(point, self.buckets + index * 8),
        }
    }

    /// Writes identity `id` into a point. What the other attributes say follows from it.
    pub(crate) fn identify(&self, point: &mut [u8], id: u32) {
        for (index, &(offset, digits, values)) in self.digits.iter().enumerate() {
            let number = facet(index, id, values);
            for digit in 0..digits {
                point[offset + digit] = b"0123456789abcdef"[(number >> (4 * (digits - 1 - digit))) as usize & 15];
            }
        }
    }

    /// Puts tag and length before the body and moves all offsets behind them.
    fn close(mut self, body: &[u8]) -> Self {
        let mut template = Vec::new();
        head(&mut template, 1, body.len());
        let shift = template.len();
        template.extend_from_slice(body);
        self.template = template;
        self.start = self.start.map(|start| start + shift);
        for offset in [&mut self.time, &mut self.value, &mut self.count, &mut self.buckets, &mut self.zero] {
            *offset += shift;
        }
        self.digits.iter_mut().for_each(|digits| digits.0 += shift);
        self
    }

    /// Repeated KeyValue fields with the number `field`.
    fn write_attributes(&mut self, body: &mut Vec<u8>, field: u32, attributes: &[Attribute]) {
        for attribute in attributes {
            let mut value = Vec::new();
            bytes_field(&mut value, 1, attribute.value(0, 0).as_bytes());
            let mut pair = Vec::new();
            bytes_field(&mut pair, 1, attribute.key.as_bytes());
            bytes_field(&mut pair, 2, &value);
            bytes_field(body, field, &pair);
            // The digits stand at the end of the value, and the value at the end of the field.
            let at = body.len() - attribute.digits;
            body[at..].fill(b'0');
            self.digits.push((at, attribute.digits, attribute.values));
        }
    }
}

/// One string attribute of every point: a fixed beginning, then hexadecimal digits that follow from the identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// The key.
    pub key: String,
    prefix: String,
    digits: usize,
    /// How many different values; 0: the identity itself.
    values: u32,
}

impl Attribute {
    /// The attributes of every point: the third (or last) carries the identity. Values have `value_bytes` bytes each,
    /// or the length that is usual for what they name.
    pub(crate) fn list(count: usize, value_bytes: Option<usize>) -> Vec<Attribute> {
        let one = |index: usize| {
            let identity = index == count.min(3) - 1;
            let plain = if index > 2.min(count - 1) { index - 1 } else { index };
            let (key, prefix, digits, values) = match plain {
                _ if identity => ("k8s.pod.name".to_owned(), "checkout-", IDENTITY_DIGITS, 0),
                0 => ("http.route".to_owned(), "/api/v1/items/", 2, 64),
                1 => ("http.request.method".to_owned(), "POST/", 1, 4),
                2 => ("server.address".to_owned(), "10.0.0.svc.", 2, 64),
                3 => ("cloud.availability_zone".to_owned(), "eu-west-", 1, 3),
                more => (format!("attribute.{more:03}"), "value-", 3, 4_096),
            };
            let filler = prefix.chars().chain(('a'..='z').cycle());
            let prefix_bytes = value_bytes.map_or(prefix.len(), |bytes| bytes.saturating_sub(digits));
            Attribute { key, prefix: filler.take(prefix_bytes).collect(), digits, values }
        };
        (0..count).map(one).collect()
    }

    /// What the `index`-th attribute says for identity `id`.
    pub(crate) fn value(&self, index: usize, id: u32) -> String {
        let number = facet(index, id, self.values);
        format!("{}{number:0digits$x}", self.prefix, digits = self.digits)
    }
}

/// The number in the digits of attribute `index`.
fn facet(index: usize, id: u32, values: u32) -> u32 {
    if values == 0 { id } else { (mix(u64::from(id)) >> (index * 7 % 40)) as u32 % values }
}

/// A varint of exactly four bytes: 2^21 to 2^28 - 1.
pub(crate) fn put_varint4(out: &mut [u8], value: u64) {
    assert!((EXPONENTIAL_BASE..1 << 28).contains(&value), "a bucket count left its four bytes");
    for (index, byte) in out[..4].iter_mut().enumerate() {
        *byte = (value >> (7 * index)) as u8 & 127 | if index < 3 { 128 } else { 0 };
    }
}

/// The same, read.
pub(crate) fn get_varint4(bytes: &[u8]) -> u64 {
    (0..4).map(|index| u64::from(bytes[index] & 127) << (7 * index)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_are_read() {
        let mix: Mix = "sum=2,gauge".parse().unwrap();
        assert_eq!([0, 1, 2, 3].map(|metric| mix.of(metric)), {
            use Shape::*;
            [DeltaSum, DeltaSum, Gauge, DeltaSum]
        });
        for bad in ["", "sums", "gauge=0", "gauge=x", "gauge=1001", "gauge,,sum"] {
            assert!(bad.parse::<Mix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_delta_sum_with_five_attributes_is_of_the_promised_size() {
        let bytes = Layout::new(Shape::DeltaSum, &Attribute::list(5, None)).stride();
        assert!((190..=220).contains(&bytes), "{bytes}");
    }

    #[test]
    fn identities_differ_and_keep_the_length() {
        for shape in Shape::ALL {
            for attributes in 1..8 {
                let layout = Layout::new(shape, &Attribute::list(attributes, None));
                let mut seen = std::collections::HashSet::new();
                for id in 0..500 {
                    let mut point = layout.template.clone();
                    layout.identify(&mut point, id);
                    assert!(seen.insert(point), "{shape:?} with {attributes} attributes, identity {id}");
                }
            }
        }
    }
}
