//! Exemplars: which of a row's are shown, with which labels.
//!
//! Knows `Exemplar` (OTLP 1.x, metrics.proto) and its two forms on a page; does not know the lines around it.
//!
//! - `trace_id` and `span_id` come first, in hexadecimal; an attribute that would be called so is left out (X16).
//! - Names and values together have at most `limits::EXEMPLAR_CODE_POINTS_MAX` code points, in all formats, because
//!   Prometheus takes no more; attributes that no longer fit are left out, by name.
//! - A counter shows its newest exemplar, a bucket the newest whose value lies in it, a native histogram all of them.
//!   Text formats 0.0.4 and 1.0.0 have none.
//!
//! Sources: OpenMetrics 1.0, "Exemplars"; OpenTelemetry "Prometheus and OpenMetrics Compatibility", "Exemplars".

use crate::aggregate::number::Value;
use crate::limits::EXEMPLAR_CODE_POINTS_MAX;
use crate::prometheus::any::{next_attribute, put_text};
use crate::prometheus::label_encoding::LabelEncoding;
use crate::prometheus::name::{LabelPlace, Naming};
use crate::prometheus::text::{Number, put_number, put_seconds};
use crate::wire::{Reader, put_bytes, put_fixed64, put_uint};

/// A measurement that went into a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar<'a> {
    /// What was measured.
    pub value: Value,
    /// When, since the epoch.
    pub time_ns: u64,
    /// `filtered_attributes`, as records one after the other: a one-byte key, a varint length, a `KeyValue` message.
    pub attributes: &'a [u8],
    /// 16 bytes, or none.
    pub trace_id: &'a [u8],
    /// 8 bytes, or none.
    pub span_id: &'a [u8],
}

/// The exemplars of a row: records one after the other, each a key byte, a length, and an `Exemplar` in the one encoding
/// that is kept (attributes first). What is no such message is left out.
pub(super) fn exemplars_of(records: &[u8]) -> Vec<Exemplar<'_>> {
    let mut reader = Reader::new(records);
    let next = || {
        reader.field().ok()?;
        reader.bytes().ok()
    };
    std::iter::from_fn(next).filter_map(read).collect()
}

fn read(message: &[u8]) -> Option<Exemplar<'_>> {
    let mut exemplar = Exemplar { time_ns: 0, value: Value::Int(0), trace_id: &[], span_id: &[], attributes: &[] };
    let mut reader = Reader::new(message);
    while reader.rest().first() == Some(&ATTRIBUTES_KEY) {
        reader.field().ok()?;
        reader.bytes().ok()?;
    }
    exemplar.attributes = &message[..message.len() - reader.left()];
    while !reader.is_empty() {
        match reader.field().ok()?.number {
            2 => exemplar.time_ns = reader.fixed64().ok()?,
            3 => exemplar.value = Value::Double(f64::from_bits(reader.fixed64().ok()?)),
            4 => exemplar.span_id = reader.bytes().ok()?,
            5 => exemplar.trace_id = reader.bytes().ok()?,
            6 => exemplar.value = Value::Int(reader.fixed64().ok()? as i64),
            _ => return None,
        }
    }
    Some(exemplar)
}

/// `filtered_attributes` of an `Exemplar`.
const ATTRIBUTES_KEY: u8 = 0x3a;

impl Exemplar<'_> {
    /// The value as a double.
    pub(super) fn double(&self) -> f64 {
        match self.value {
            Value::Int(value) => value as f64,
            Value::Double(value) => value,
        }
    }

    /// Appends ` # {labels} value time`.
    pub(super) fn put_text(&self, out: &mut Vec<u8>, naming: Naming) {
        out.extend_from_slice(b" # {");
        let start = out.len();
        self.put_labels(out, naming, LabelEncoding::Text);
        if out.len() > start {
            // the first label's comma
            out.remove(start);
        }
        out.extend_from_slice(b"} ");
        let number = match self.value {
            Value::Int(value) => Number::Int(value),
            Value::Double(value) => Number::Double(value),
        };
        put_number(out, number);
        if self.time_ns > 0 {
            out.push(b' ');
            put_seconds(out, self.time_ns);
        }
    }

    /// Appends the inside of an `io.prometheus.client.Exemplar`.
    pub(super) fn put_message(&self, out: &mut Vec<u8>, naming: Naming) {
        self.put_labels(out, naming, LabelEncoding::Message);
        put_fixed64(out, 0x11, self.double().to_bits());
        put_timestamp(out, 0x1a, self.time_ns);
    }

    fn put_labels(&self, out: &mut Vec<u8>, naming: Naming, encoding: LabelEncoding) {
        let mut left = EXEMPLAR_CODE_POINTS_MAX;
        for (name, id) in [("trace_id", self.trace_id), ("span_id", self.span_id)] {
            if id.iter().any(|byte| *byte != 0) {
                let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
                if let Some(rest) = left.checked_sub(name.len() + hex.len()) {
                    left = rest;
                    encoding.put(out, &encoding.opening(name), hex.as_bytes());
                }
            }
        }
        let mut records = Reader::new(self.attributes);
        let mut named: Vec<(String, Vec<u8>, Vec<u8>)> = std::iter::from_fn(|| next_attribute(&mut records))
            .map(|attribute| {
                let mut text = Vec::new();
                put_text(&mut text, attribute.kind, attribute.payload);
                let key = String::from_utf8_lossy(attribute.key);
                (naming.label_name(&key, LabelPlace::Exemplar), attribute.key.to_vec(), text)
            })
            .filter(|(name, ..)| name != "trace_id" && name != "span_id")
            .collect();
        named.sort();
        for same in named.chunk_by(|a, b| a.0 == b.0) {
            let text = same.iter().map(|(_, _, text)| text.as_slice()).collect::<Vec<_>>().join(&b';');
            let size = same[0].0.chars().count() + String::from_utf8_lossy(&text).chars().count();
            if !text.is_empty()
                && let Some(rest) = left.checked_sub(size)
            {
                left = rest;
                encoding.put(out, &encoding.opening(&same[0].0), &text);
            }
        }
    }
}

/// Appends a `google.protobuf.Timestamp` field.
pub(super) fn put_timestamp(out: &mut Vec<u8>, key: u8, time_ns: u64) {
    let mut inside = Vec::with_capacity(12);
    put_uint(&mut inside, 0x08, time_ns / 1_000_000_000);
    let nanos = time_ns % 1_000_000_000;
    if nanos > 0 {
        put_uint(&mut inside, 0x10, nanos);
    }
    put_bytes(out, key, &inside);
}

/// The newest, which is what a counter shows; ties by value.
pub(super) fn newest<'a, 'b>(exemplars: impl IntoIterator<Item = &'b Exemplar<'a>>) -> Option<&'b Exemplar<'a>>
where
    'a: 'b,
{
    let usable = exemplars.into_iter().filter(|exemplar| !exemplar.double().is_nan());
    usable.max_by(|a, b| a.time_ns.cmp(&b.time_ns).then(a.double().total_cmp(&b.double())))
}

/// The newest of each bucket, with the bucket's place. `bounds` ascend; the last bucket is open.
pub(super) fn by_bucket<'a, 'b>(exemplars: &'b [Exemplar<'a>], bounds: &[f64]) -> Vec<(usize, &'b Exemplar<'a>)> {
    let bucket = |exemplar: &Exemplar<'_>| bounds.partition_point(|bound| *bound < exemplar.double());
    let mut placed: Vec<(usize, &Exemplar<'a>)> =
        exemplars.iter().filter(|e| !e.double().is_nan()).map(|e| (bucket(e), e)).collect();
    placed.sort_by_key(|(bucket, _)| *bucket);
    placed
        .chunk_by(|a, b| a.0 == b.0)
        .filter_map(|same| Some((same[0].0, newest(same.iter().map(|(_, exemplar)| *exemplar))?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::tests::records;

    const TRACE: &[u8] = &[0xab; 16];
    const SPAN: &[u8] = &[0x01; 8];

    fn exemplar(attributes: &[u8]) -> Exemplar<'_> {
        let time_ns = 1_700_000_000_250_000_000;
        Exemplar { value: Value::Double(0.5), time_ns, attributes, trace_id: TRACE, span_id: SPAN }
    }

    fn text(exemplar: Exemplar<'_>) -> String {
        let mut out = Vec::new();
        exemplar.put_text(&mut out, Naming::default());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn x16_ids_come_first_and_win() {
        let trace = "ab".repeat(16);
        let ids = format!("trace_id=\"{trace}\",span_id=\"{}\"", "01".repeat(8));
        let check = |pairs: &[(&str, &str)], want: &str| {
            let attributes = records(pairs);
            assert_eq!(text(exemplar(&attributes)), format!(" # {{{ids}{want}}} 0.5 1700000000.25"));
        };
        check(&[], "");
        check(&[("user.id", "a\"b\n")], r#",user_id="a\"b\n""#);
        check(&[("trace_id", "evil"), ("trace.id", "evil"), ("span-id", "evil"), ("z", "1")], r#",z="1""#);
        check(&[("b", "2"), ("a.b", "y"), ("a_b", "x")], r#",a_b="y;x",b="2""#);
        check(&[("empty", "")], "");
        let none = Exemplar { trace_id: &[0; 16], span_id: &[], time_ns: 0, value: Value::Int(7), ..exemplar(&[]) };
        assert_eq!(text(none), " # {} 7");
    }

    #[test]
    fn x16_at_most_128_code_points() {
        // ids take 8 + 32 + 7 + 16 = 63
        let check = |name: &str, value: &str, fits: bool| {
            let attributes = records(&[(name, value), ("z", "1")]);
            let shown = text(exemplar(&attributes));
            assert_eq!(shown.contains(value), fits, "{shown}");
            assert_eq!(shown.contains(",z=\"1\""), name.len() + value.chars().count() <= 63 || !fits, "{shown}");
        };
        check("a", &"é".repeat(62), true);
        check("a", &"é".repeat(64), true);
        check("a", &"é".repeat(65), false);
        check("a", &"x".repeat(1000), false);
        let long = [1u8; 100];
        let shown = text(Exemplar { trace_id: &long, ..exemplar(&[]) });
        assert!(shown.starts_with(" # {span_id="), "an id that is too long by itself is left out: {shown}");
    }

    #[test]
    fn x16_the_newest_of_each_bucket() {
        let at = |value: f64, time_ns: u64| Exemplar { value: Value::Double(value), time_ns, ..exemplar(&[]) };
        let all = [at(1.0, 5), at(0.5, 9), at(1.5, 1), at(9.0, 1), at(f64::NAN, 99), at(2.0, 7)];
        let shown: Vec<(usize, f64, u64)> =
            by_bucket(&all, &[1.0, 2.0]).into_iter().map(|(bucket, e)| (bucket, e.double(), e.time_ns)).collect();
        assert_eq!(shown, [(0, 0.5, 9), (1, 2.0, 7), (2, 9.0, 1)]);
        assert_eq!(newest(&all).unwrap().time_ns, 9);
        assert!(newest(&[at(f64::NAN, 1)]).is_none());
    }
}
