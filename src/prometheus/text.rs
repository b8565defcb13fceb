//! The text formats: escapes, numbers, and a small writer for families and samples.
//!
//! Knows formats 0.0.4 and 1.0.0 and OpenMetrics 1.0 line by line; does not know where names, labels and values come from.
//!
//! Invariants
//! 1. Whatever the bytes of a label value or a help text, they end where they should: `\`, `"` and line feed are escaped
//!    in values, `\` and line feed in help texts.
//! 2. A double reads back as the same double; NaN loses its payload.
//!
//! Source: Prometheus "Exposition formats", text format 0.0.4; OpenMetrics 1.0; `le` as Prometheus 3 and OpenMetrics spell it.

use crate::aggregate::number::Value;
use std::io::Write as _;

/// The TYPE of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricType {
    /// Only goes up, save for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// `_bucket`, `_sum`, `_count`.
    Histogram,
    /// Quantiles, `_sum`, `_count`.
    Summary,
    /// A gauge that nobody knows the type of; only of a whole family. OpenMetrics calls it `unknown`.
    Unknown,
}

impl MetricType {
    /// The word in a `# TYPE` line.
    pub const fn word(self) -> &'static str {
        match self {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::Summary => "summary",
            MetricType::Unknown => "untyped",
        }
    }
}

/// A sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A signed integer, written exactly.
    Int(i64),
    /// A count, written exactly.
    Uint(u64),
    /// An integer that may have outgrown 64 bits by addition, written exactly.
    Wide(i128),
    /// A double, shortest form that reads back the same.
    Double(f64),
}

impl Number {
    /// As a double, rounded where it must be.
    pub fn double(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Uint(value) => value as f64,
            Number::Wide(value) => value as f64,
            Number::Double(value) => value,
        }
    }
}

impl From<Value> for Number {
    fn from(value: Value) -> Self {
        match value {
            Value::Int(value) => Number::Int(value),
            Value::Double(value) => Number::Double(value),
        }
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Number::Int(value)
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Number::Uint(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Number::Uint(value as u64)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Number::Double(value)
    }
}

/// Writes families and samples into a buffer. The caller keeps families apart and their samples together.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Writer { out }
    }

    /// Opens a family: `# HELP`, unless `help` is empty, and `# TYPE`. `name` must match `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    pub fn family(&mut self, name: &str, help: &str, kind: MetricType) {
        assert!(is_metric_name(name), "{name:?} is no metric name");
        put_family(self.out, name, kind.word(), None, help, false);
    }

    /// One sample. Label names must match `[a-zA-Z_][a-zA-Z0-9_]*`; values are any text.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Into<Number>) {
        assert!(is_metric_name(name), "{name:?} is no metric name");
        self.out.extend_from_slice(name.as_bytes());
        for (i, (label, value)) in labels.iter().enumerate() {
            assert!(is_label_name(label), "{label:?} is no label name");
            self.out.push(if i == 0 { b'{' } else { b',' });
            put_label(self.out, label, value.as_bytes());
        }
        if !labels.is_empty() {
            self.out.push(b'}');
        }
        self.out.push(b' ');
        put_number(self.out, value.into());
        self.out.push(b'\n');
    }
}

/// Whether `name` may be a metric's name.
pub fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// Whether `name` may be a label's name.
pub fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

/// `name="value"`.
pub(super) fn put_label(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    put_escaped(out, value);
    out.push(b'"');
}

/// A label value's bytes, escaped.
#[inline]
pub(super) fn put_escaped(out: &mut Vec<u8>, value: &[u8]) {
    // folding without leaving early lets the compiler look at 16 or 32 bytes at once
    let special = value.iter().fold(false, |any, &b| any | (b == b'\\') | (b == b'"') | (b == b'\n'));
    if special { put_escaped_slowly(out, value) } else { out.extend_from_slice(value) }
}

#[cold]
fn put_escaped_slowly(out: &mut Vec<u8>, value: &[u8]) {
    for &b in value {
        match b {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(b),
        }
    }
}

fn put_help(out: &mut Vec<u8>, help: &[u8]) {
    for &b in help {
        match b {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(b),
        }
    }
}

/// A number.
#[inline]
pub(super) fn put_number(out: &mut Vec<u8>, value: Number) {
    match value {
        Number::Int(value) => {
            if value < 0 {
                out.push(b'-');
            }
            put_uint(out, value.unsigned_abs());
        }
        Number::Uint(value) => put_uint(out, value),
        Number::Wide(value) => write(out, format_args!("{value}")),
        Number::Double(value) => put_double(out, value),
    }
}

/// Decimal digits.
#[inline]
pub(super) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Nanoseconds as seconds, exactly: `1700000000.25`.
pub(super) fn put_seconds(out: &mut Vec<u8>, time_ns: u64) {
    put_uint(out, time_ns / 1_000_000_000);
    let nanos = time_ns % 1_000_000_000;
    if nanos > 0 {
        let digits = format!("{nanos:09}");
        out.push(b'.');
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

/// `name{labels`, or `{"name",labels` where the name needs quotes. `labels` are in text encoding and begin with a comma.
#[inline]
pub(super) fn put_head(out: &mut Vec<u8>, name: &str, suffix: &str, quoted: bool, labels: &[u8]) {
    if quoted {
        out.extend_from_slice(b"{\"");
        put_escaped(out, name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        out.push(b'"');
        out.extend_from_slice(labels);
    } else {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        out.push(b'{');
        out.extend_from_slice(labels.strip_prefix(b",").unwrap_or(labels));
    }
}

/// The lines before a family's samples: TYPE and what else is known. `words` is the TYPE's word.
pub(super) fn put_family(
    out: &mut Vec<u8>,
    name: &str,
    words: &str,
    unit: Option<&str>,
    help: &str,
    open_metrics: bool,
) {
    let mut line = |what: &str, put: &mut dyn FnMut(&mut Vec<u8>)| {
        out.extend_from_slice(b"# ");
        out.extend_from_slice(what.as_bytes());
        out.push(b' ');
        if is_metric_name(name) {
            out.extend_from_slice(name.as_bytes());
        } else {
            out.push(b'"');
            put_escaped(out, name.as_bytes());
            out.push(b'"');
        }
        out.push(b' ');
        put(out);
        out.push(b'\n');
    };
    if !help.is_empty() {
        // OpenMetrics escapes quotes as well
        line("HELP", &mut |out| {
            if open_metrics { put_escaped(out, help.as_bytes()) } else { put_help(out, help.as_bytes()) }
        });
    }
    line("TYPE", &mut |out| out.extend_from_slice(words.as_bytes()));
    if let Some(unit) = unit.filter(|_| open_metrics) {
        line("UNIT", &mut |out| out.extend_from_slice(unit.as_bytes()));
    }
}

/// A double, shortest form; `+Inf`, `-Inf`, `NaN`.
pub(super) fn put_double(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        put_finite(out, value);
    }
}

/// A finite double as a JSON number, shortest form.
pub(super) fn put_finite(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e15 && !(value == 0.0 && value.is_sign_negative()) {
        put_number(out, Number::Int(value as i64));
    } else if value == 0.0 || (1e-5..1e17).contains(&size) {
        write(out, format_args!("{value}"));
    } else {
        write(out, format_args!("{value:e}"));
    }
}

/// A bucket bound or quantile in canonical form: `1.0`, `0.005`, `1e+06`, `2.5e-05`, `+Inf`. The same bound is spelled
/// the same by every exporter that follows OpenMetrics or Prometheus 3, which is what makes it join.
pub(super) fn put_bound(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        return put_double(out, value);
    }
    let mut shortest = Vec::with_capacity(32);
    write(&mut shortest, format_args!("{value:e}"));
    let e = shortest.iter().position(|&b| b == b'e').expect("`{:e}` has an exponent");
    let exponent: i32 =
        std::str::from_utf8(&shortest[e + 1..]).expect("ASCII").parse().expect("`{:e}` has a number as its exponent");
    if (-4..6).contains(&exponent) {
        let start = out.len();
        write(out, format_args!("{value}"));
        if !out[start..].contains(&b'.') {
            out.extend_from_slice(b".0");
        }
    } else {
        out.extend_from_slice(&shortest[..=e]);
        write(out, format_args!("{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
    }
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn x19_numbers_are_shortest_and_read_back() {
        let check = |value: f64, want: &str| assert_eq!(text(|out| put_double(out, value)), want);
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
        check(f64::NAN, "NaN");
        check(0.0, "0");
        check(-0.0, "-0");
        check(1.0, "1");
        check(-2.5, "-2.5");
        check(0.1, "0.1");
        check(1e300, "1e300");
        check(5e-324, "5e-324");
        check(123_456_789.125, "123456789.125");
        for value in [0, 1, 9, 10, 99, 100, u64::MAX] {
            assert_eq!(text(|out| put_number(out, value.into())), value.to_string());
        }
        for value in [0, -1, i64::MIN, i64::MAX] {
            assert_eq!(text(|out| put_number(out, value.into())), value.to_string());
        }
        assert_eq!(text(|out| put_number(out, Number::Wide(i128::from(u64::MAX) + 1))), "18446744073709551616");
    }

    #[test]
    fn x19_bounds_are_canonical() {
        let check = |value: f64, want: &str| assert_eq!(text(|out| put_bound(out, value)), want);
        check(1.0, "1.0");
        check(0.0, "0.0");
        check(-5.0, "-5.0");
        check(0.005, "0.005");
        check(0.0001, "0.0001");
        check(0.00001, "1e-05");
        check(2.5e-7, "2.5e-07");
        check(100_000.0, "100000.0");
        check(1_000_000.0, "1e+06");
        check(1_234_567.0, "1.234567e+06");
        check(1e100, "1e+100");
        check(f64::INFINITY, "+Inf");
    }

    #[test]
    fn x7_seconds_are_exact() {
        let check = |time_ns: u64, want: &str| assert_eq!(text(|out| put_seconds(out, time_ns)), want);
        check(1, "0.000000001");
        check(1_000_000_000, "1");
        check(1_700_000_000_250_000_000, "1700000000.25");
        check(u64::MAX, "18446744073.709551615");
    }

    #[test]
    fn x4_escapes() {
        assert_eq!(text(|out| put_label(out, "a", b"x\\y\"z\nw")), r#"a="x\\y\"z\nw""#);
        assert_eq!(text(|out| put_help(out, b"x\\y\"z\nw")), r#"x\\y"z\nw"#);
    }

    #[test]
    fn the_writer_opens_families_and_writes_samples() {
        let page = text(|out| {
            let mut writer = Writer::new(out);
            writer.family("catchment_points_total", "Points received.", MetricType::Counter);
            writer.sample("catchment_points_total", &[("input", "otlp_grpc"), ("kind", "a\"b")], 7u64);
            writer.family("catchment_up", "", MetricType::Gauge);
            writer.sample("catchment_up", &[], 0.5);
        });
        assert_eq!(
            page,
            "# HELP catchment_points_total Points received.\n# TYPE catchment_points_total counter\n\
             catchment_points_total{input=\"otlp_grpc\",kind=\"a\\\"b\"} 7\n# TYPE catchment_up gauge\ncatchment_up 0.5\n"
        );
    }

    #[test]
    #[should_panic(expected = "is no label name")]
    fn t23_the_writer_refuses_a_bad_label_name() {
        Writer::new(&mut Vec::new()).sample("a", &[("b=\"\"} 1\nc", "")], 1u64);
    }
}
