//! Series, points and values as people write them, both ways.
//!
//! ```text
//! series  = metric [ "{" attributes "}" ] [ "@" attributes of the resource ]       http.requests{code=200} @ service.name=cart
//! points  = point …          point = value "@" time [ "/" arrival ] [ "<" start ]  10@1 14@6/7.5 3@18<15 end@25
//! value   = a whole number | a number with a point or an exponent | NaN | Inf | -Inf | "end"
//! time    = seconds, from the time at which a process without `start` begins
//! ```
//!
//! Values of attributes are numbers and `true` or `false` where they look like it, else texts; in double quotes they are
//! always texts. What is written is read back as it was.
//!
//! Does not know: files, or what any of it is for.

use crate::aggregate::number::Value;
use crate::limits::TRIAL_SECONDS_MAX;
use crate::trial::value::{Label, SeriesName};
use std::collections::BTreeMap;
use std::fmt;

const SECOND_NS: i64 = 1_000_000_000;
/// Second 0 of every case: a multiple of an hour and of every number of seconds up to 15, so that intervals are aligned to
/// it as they are to 1970. It is in May 2033.
pub(super) const ZERO_NS: u64 = 1_999_998_000 * 1_000_000_000;

/// One point in short form.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ShortPoint<'a> {
    /// As it stands before the `@`.
    pub value: &'a str,
    pub time_ns: u64,
    pub arrival_ns: Option<u64>,
    pub start_ns: Option<u64>,
}

/// A time in nanoseconds since 1970, from seconds as they are written.
pub(super) fn time(text: &str) -> Result<u64, String> {
    let ns = seconds(text)?;
    Ok(ZERO_NS.saturating_add_signed(ns))
}

/// So many nanoseconds.
fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no time: give seconds, such as 10, 7.5 or -1000");
    let is_plain = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'));
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let far = text.parse::<f64>().map_err(|_| wrong())?.abs() > TRIAL_SECONDS_MAX;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if !is_plain || far || part.len() > 9 {
        return Err(wrong());
    }
    let whole: i64 = whole.parse().map_err(|_| wrong())?;
    let part: i64 = format!("{part:0<9}").parse().map_err(|_| wrong())?;
    Ok(sign * (whole * SECOND_NS + part))
}

/// A time as it is written.
pub(super) fn shown_time(ns: u64) -> String {
    let from_zero = ns as i64 - ZERO_NS as i64;
    let (sign, ns) = (if from_zero < 0 { "-" } else { "" }, from_zero.unsigned_abs());
    let (whole, part) = (ns / SECOND_NS as u64, ns % SECOND_NS as u64);
    if part == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{}", format!("{part:09}").trim_end_matches('0'))
}

/// A number: whole if it looks so.
pub(super) fn number(text: &str) -> Result<Value, String> {
    let is_whole = text.strip_prefix('-').unwrap_or(text).bytes().all(|c| c.is_ascii_digit());
    let wrong = || format!("`{text}` is no number: give 5, 2.5, 1e9, NaN, Inf or end");
    if is_whole {
        // past 64 bits it is a mistake, and no double
        return text.parse().map(Value::Int).map_err(|_| wrong());
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if !is_number && !matches!(text, "NaN" | "Inf") {
        return Err(wrong());
    }
    text.parse().map(Value::Double).map_err(|_| wrong())
}

/// A number as it is written.
pub(super) fn shown_number(value: Value) -> String {
    match value {
        Value::Int(value) => value.to_string(),
        Value::Double(value) if value == f64::INFINITY => "Inf".to_owned(),
        Value::Double(value) if value == f64::NEG_INFINITY => "-Inf".to_owned(),
        Value::Double(value) => format!("{value:?}"),
    }
}

/// Points in short form; each with its words.
pub(super) fn points(text: &str) -> impl Iterator<Item = (&str, Result<ShortPoint<'_>, String>)> {
    text.split_whitespace().map(|word| (word, point(word)))
}

fn point(word: &str) -> Result<ShortPoint<'_>, String> {
    let wrong = || format!("`{word}` is no point: write VALUE@TIME, VALUE@TIME/ARRIVAL or VALUE@TIME<START");
    let (value, rest) = word.split_once('@').filter(|(value, _)| !value.is_empty()).ok_or_else(wrong)?;
    let end = rest.find(['/', '<']).unwrap_or(rest.len());
    let mut point = ShortPoint { value, time_ns: time(&rest[..end])?, arrival_ns: None, start_ns: None };
    let mut rest = &rest[end..];
    while let Some(mark) = rest.chars().next() {
        let behind = &rest[1..];
        let end = behind.find(['/', '<']).unwrap_or(behind.len());
        let place = if mark == '/' { &mut point.arrival_ns } else { &mut point.start_ns };
        if place.replace(time(&behind[..end])?).is_some() {
            return Err(wrong());
        }
        rest = &behind[end..];
    }
    Ok(point)
}

/// A series.
///
/// # Errors
/// What is wrong, and how one is written.
pub fn series(text: &str) -> Result<SeriesName, String> {
    let wrong = |why: &str| format!("`{text}` is no series: {why}; write metric{{key=value}} @ key=value");
    let end = text.find(['{', '@']).unwrap_or(text.len());
    let (metric, mut rest) = (text[..end].trim(), text[end..].trim());
    if metric.is_empty() {
        return Err(wrong("it has no name"));
    }
    let mut name = SeriesName { metric: metric.to_owned(), ..SeriesName::default() };
    if let Some(inside) = rest.strip_prefix('{') {
        let (attributes, behind) = labels(inside, "}").map_err(|why| wrong(&why))?;
        name.attributes = attributes;
        rest = behind.strip_prefix('}').ok_or_else(|| wrong("there is no `}`"))?.trim();
    }
    if let Some(inside) = rest.strip_prefix('@') {
        (name.resource, rest) = labels(inside, "").map_err(|why| wrong(&why))?;
    }
    if rest.is_empty() { Ok(name) } else { Err(wrong("something stands behind it")) }
}

/// Attributes up to one of the characters of `stop`, which stays.
fn labels<'a>(mut rest: &'a str, stop: &str) -> Result<(BTreeMap<String, Label>, &'a str), String> {
    let mut all = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with(|c| stop.contains(c)) {
            return Ok((all, rest));
        }
        let (key, behind) = rest.split_once('=').ok_or("a key has no `=`")?;
        let behind = behind.trim_start();
        let (label, behind) = match behind.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => {
                let end = behind.find(|c: char| c == ',' || stop.contains(c)).unwrap_or(behind.len());
                (plain(behind[..end].trim()), &behind[end..])
            }
        };
        if all.insert(key.trim().to_owned(), label).is_some() {
            return Err(format!("`{}` is there twice", key.trim()));
        }
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.is_empty() || rest.starts_with(|c| stop.contains(c)) => {}
            None => return Err("there is no `,` behind a value".to_owned()),
        }
    }
}

/// A text up to its closing quote.
fn quoted(text: &str) -> Result<(Label, &str), String> {
    let (mut out, mut is_escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => return Ok((Label::Text(out), &text[at + 1..])),
            c => {
                out.push(c);
                is_escaped = false;
            }
        }
    }
    Err("a quote does not end".to_owned())
}

fn plain(text: &str) -> Label {
    match (text, number(text)) {
        ("true", _) => Label::Bool(true),
        ("false", _) => Label::Bool(false),
        ("NaN" | "Inf" | "", _) => Label::Text(text.to_owned()),
        (_, Ok(Value::Int(value))) => Label::Int(value),
        (_, Ok(Value::Double(value))) => Label::Double(value.to_bits()),
        (_, Err(_)) => Label::Text(text.to_owned()),
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Text(text) => {
                let is_plain = plain(text) == *self && !text.is_empty() && !text.contains([',', '}', '"', '\\', '@']);
                if is_plain && text.trim() == text {
                    return f.write_str(text);
                }
                write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Label::Int(value) => write!(f, "{value}"),
            Label::Bool(value) => write!(f, "{value}"),
            Label::Double(bits) => f.write_str(&shown_number(Value::Double(f64::from_bits(*bits)))),
            Label::Other(bytes) => write!(f, "({} bytes)", bytes.len()),
        }
    }
}

impl fmt::Display for SeriesName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |all: &BTreeMap<String, Label>| {
            all.iter().map(|(key, label)| format!("{key}={label}")).collect::<Vec<_>>().join(",")
        };
        write!(f, "{}{{{}}}", self.metric, list(&self.attributes))?;
        if self.resource.is_empty() { Ok(()) } else { write!(f, " @ {}", list(&self.resource)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read back as it was.
    #[test]
    fn a_series_is_written_as_it_is_read() {
        let check = |text: &str, want: &str| {
            let name = series(text).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(name.to_string(), want, "{text}");
            assert_eq!(series(want), Ok(name), "{text}");
        };
        check("queue", "queue{}");
        check("queue{}", "queue{}");
        check(" a.b { x = 1 , y=yes } @ service.name=cart,z=true", "a.b{x=1,y=yes} @ service.name=cart,z=true");
        check("q{a=\"1\"}", "q{a=\"1\"}");
        check("q{a=\"x\\\"y, }\",b=\"\"}", "q{a=\"x\\\"y, }\",b=\"\"}");
        check("q{a=1.5,b=-3,c=1.2.3,d=5xx}", "q{a=1.5,b=-3,c=1.2.3,d=5xx}");
        check("q @ k=/u/{id}", "q{} @ k=\"/u/{id}\"");
        check("q{r=\"/u/{id}\"}", "q{r=\"/u/{id}\"}");
        for wrong in ["", "{a=1}", "q{a=1", "q{a}", "q{a=1,a=2}", "q{a=\"1}", "q{a=1}x", "q{a=\"1\"b=2}"] {
            assert!(series(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn points_have_a_value_and_a_time() {
        let at = |text: &str| time(text).unwrap();
        let short = |value, time_ns, arrival_ns, start_ns| Ok(ShortPoint { value, time_ns, arrival_ns, start_ns });
        let one = |text| points(text).next().unwrap().1;
        assert_eq!(one("5@1"), short("5", at("1"), None, None));
        assert_eq!(one("end@2.5/3"), short("end", at("2.5"), Some(at("3")), None));
        assert_eq!(one("-1e3@4<-1000/9"), short("-1e3", at("4"), Some(at("9")), Some(at("-1000"))));
        for wrong in ["5", "@1", "5@", "5@x", "5@1/", "5@1/2/3", "5@1e400", "5@1.0000000001", "5@--1", "5@1<2<3"] {
            assert!(one(wrong).is_err(), "{wrong}");
        }
        assert_eq!(points(" 1@1\n 2@2 ").count(), 2);
    }

    #[test]
    fn times_and_numbers_read_as_they_are_written() {
        for text in ["0", "10", "-1000", "7.5", "-0.25", "0.000000001"] {
            assert_eq!(shown_time(time(text).unwrap()), text);
        }
        let numbers = ["0", "-7", "9223372036854775807", "1.5", "7.0", "NaN", "Inf", "-Inf"];
        for text in numbers {
            assert_eq!(shown_number(number(text).unwrap()), text);
        }
        for wrong in ["", "-", "x", "9223372036854775808", "1.2.3", "inf", "nan", "infinity", "1e"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ZERO_NS % (3_600 * 7 * 11 * 13 * 1_000_000_000), 0);
    }
}
