//! Lines of a list, read.
//!
//! Knows what `super` writes; does not know who asks.

use super::lines::{ListedLine, ListedMetric, ListedSeries, ListingEnd, SCOPE};
use crate::aggregate::number::Value as Number;
use crate::identity::attributes::key_byte;
use crate::rules::{ExplainedSeries, InputKind, MetricSeen};
use crate::wire::{put_bytes, put_fixed64, put_uint};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// Reads a line; `kind` is that of the metric above it.
///
/// # Errors
/// Words: it is no such line.
pub fn read_line(line: &str, kind: Option<InputKind>) -> Result<ListedLine, String> {
    let wrong = |why: &str| format!("a line of the list is no such thing ({why})");
    let mut reader = serde_json::Deserializer::from_str(line);
    let attributes_key = kind.map_or(0, |kind| key_byte(kind.kind()));
    let read = LineSeed { attributes_key }.deserialize(&mut reader).and_then(|parts| reader.end().map(|()| parts));
    let parts = read.map_err(|error| wrong(&error.to_string()))?;
    if let (Some(resource), Some(scope)) = (parts.resource, parts.scope) {
        return Ok(ListedLine::Place(resource, scope));
    }
    if let (Some(name), Some(word)) = (parts.metric, parts.kind) {
        let kind = InputKind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| wrong("kind"))?;
        let (unit, bounds) = (parts.unit.into_owned(), parts.bounds);
        return Ok(ListedLine::Metric(ListedMetric { name: name.into_owned(), unit, kind, bounds }));
    }
    if let Some(end) = parts.end {
        return Ok(ListedLine::End(end));
    }
    let (Some(attributes), Some(_)) = (parts.attributes, kind) else {
        return Err(wrong("it is neither place, metric, series nor end"));
    };
    let value = match parts.value {
        Some(NumberOrText::Number(value)) => Some(value),
        Some(NumberOrText::Text(text)) => text.parse().ok().map(Number::Double),
        None => None,
    };
    Ok(ListedLine::Series(ListedSeries {
        attributes,
        has_delta: matches!(&*parts.input, "delta" | "both"),
        has_cumulative: matches!(&*parts.input, "cumulative" | "both"),
        cuts: parts.cuts,
        time_ns: parts.time_ns,
        value,
        is_hidden: parts.is_hidden,
    }))
}

/// What a line may have, as it was read.
#[derive(Default)]
struct LineParts<'a> {
    resource: Option<Vec<u8>>,
    scope: Option<Vec<u8>>,
    metric: Option<Cow<'a, str>>,
    unit: Cow<'a, str>,
    kind: Option<Cow<'a, str>>,
    bounds: Vec<f64>,
    attributes: Option<Vec<u8>>,
    input: Cow<'a, str>,
    cuts: [u32; 2],
    time_ns: u64,
    value: Option<NumberOrText<'a>>,
    is_hidden: bool,
    end: Option<ListingEnd>,
}

enum NumberOrText<'a> {
    Number(Number),
    Text(Cow<'a, str>),
}

/// A text, of the line itself where it has no escapes.
struct Text<'a>(Cow<'a, str>);

/// A number, or a text.
struct Scalar<'a>(Option<NumberOrText<'a>>);

/// An object as a run with this key byte, appended to it.
struct RunSeed<'r> {
    key: u8,
    run: &'r mut Vec<u8>,
    any: &'r mut Vec<u8>,
    pair: &'r mut Vec<u8>,
}

/// A value as an `AnyValue` message, in place of what is there.
struct AnySeed<'r>(&'r mut Vec<u8>);

/// A scope as an `InstrumentationScope` message.
struct ScopeSeed;

/// A line; attributes of a series have this key byte.
struct LineSeed {
    attributes_key: u8,
}

struct EndSeed;

/// The run of an object.
fn run_seed<'de, A: MapAccess<'de>>(map: &mut A, key: u8) -> Result<Vec<u8>, A::Error> {
    let (mut run, mut any, mut pair) = (Vec::new(), Vec::new(), Vec::new());
    map.next_value_seed(RunSeed { key, run: &mut run, any: &mut any, pair: &mut pair })?;
    Ok(run)
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed("")))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(NumberOrText::Number(Number::Int(value)))))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar<'de>, E> {
                let number = i64::try_from(value).map_or(Number::Double(value as f64), Number::Int);
                Ok(Scalar(Some(NumberOrText::Number(number))))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(NumberOrText::Number(Number::Double(value)))))
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(NumberOrText::Text(Cow::Borrowed(text)))))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(NumberOrText::Text(Cow::Owned(text.to_owned())))))
            }

            fn visit_unit<E: Error>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar(None))
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl<'de> DeserializeSeed<'de> for AnySeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.clear();
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnySeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of an attribute")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        put_bytes(self.0, 0x0a, text.as_bytes());
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        put_uint(self.0, 0x10, u64::from(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        put_uint(self.0, 0x18, value as u64);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        put_fixed64(self.0, 0x21, value.to_bits());
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(Text(key)) = map.next_key()? {
            if &*key != "any" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Text(digits) = map.next_value()?;
            let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
            let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
            *self.0 = bytes.ok_or_else(|| A::Error::custom("any: no bytes in hexadecimal"))?;
            found = true;
        }
        if found { Ok(()) } else { Err(A::Error::custom("an attribute is an object without any")) }
    }
}

impl<'de> DeserializeSeed<'de> for RunSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RunSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            map.next_value_seed(AnySeed(self.any))?;
            self.pair.clear();
            put_bytes(self.pair, 0x0a, name.as_bytes());
            put_bytes(self.pair, 0x12, self.any);
            put_bytes(self.run, self.key, self.pair);
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ScopeSeed {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ScopeSeed {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
        let (mut name, mut version, mut attributes) = (Text(Cow::Borrowed("")), Text(Cow::Borrowed("")), Vec::new());
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "name" => name = map.next_value()?,
                "version" => version = map.next_value()?,
                "attributes" => attributes = run_seed(&mut map, SCOPE[2])?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(scope_message(&name.0, &version.0, &attributes))
    }
}

impl<'de> DeserializeSeed<'de> for EndSeed {
    type Value = ListingEnd;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ListingEnd, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EndSeed {
    type Value = ListingEnd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the end of a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ListingEnd, A::Error> {
        let mut end = ListingEnd::default();
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "series" => end.series = map.next_value()?,
                "cut" => end.cut = map.next_value()?,
                "interval_s" => end.interval_s = map.next_value()?,
                "more" => end.has_more = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(end)
    }
}

impl<'de> DeserializeSeed<'de> for LineSeed {
    type Value = LineParts<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<LineParts<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LineSeed {
    type Value = LineParts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line of a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LineParts<'de>, A::Error> {
        let mut parts = LineParts::default();
        while let Some(Text(key)) = map.next_key()? {
            let text = |map: &mut A| map.next_value().map(|Text(text)| text);
            match &*key {
                "attributes" => parts.attributes = Some(run_seed(&mut map, self.attributes_key)?),
                "resource" => parts.resource = Some(run_seed(&mut map, 0x0a)?),
                "scope" => parts.scope = Some(map.next_value_seed(ScopeSeed)?),
                "metric" => parts.metric = Some(text(&mut map)?),
                "unit" => parts.unit = text(&mut map)?,
                "kind" => parts.kind = Some(text(&mut map)?),
                "bounds" => parts.bounds = map.next_value()?,
                "input" => parts.input = text(&mut map)?,
                "cuts" => parts.cuts = map.next_value()?,
                "time_ns" => parts.time_ns = map.next_value()?,
                "value" => parts.value = map.next_value::<Scalar<'_>>()?.0,
                "hidden" => parts.is_hidden = map.next_value()?,
                "end" => parts.end = Some(map.next_value_seed(EndSeed)?),
                // of a later version
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(parts)
    }
}

/// Who an output is, of its line.
///
/// # Errors
/// Words: it is no such line.
pub fn read_output(line: &Value) -> Result<ExplainedSeries, String> {
    let wrong = || "a line of the list is no output".to_owned();
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    let run = |object: Option<&Value>, key: u8| run_of(object?, key);
    let kind = InputKind::ALL.into_iter().find(|kind| kind.word() == text("kind")).ok_or_else(wrong)?;
    let resource = run(line.get("resource"), 0x0a).ok_or_else(wrong)?;
    let attributes = run(line.get("attributes"), key_byte(kind.kind())).ok_or_else(wrong)?;
    let scope = line.get("scope").and_then(scope_of).ok_or_else(wrong)?;
    let metric = MetricSeen {
        resource: &resource,
        scope: &scope,
        name: text("metric"),
        unit: text("unit"),
        kind: kind.kind(),
        monotonic: kind == InputKind::Counter,
        held: None,
    };
    Ok(ExplainedSeries::of(&metric, &attributes))
}

/// A scope as an `InstrumentationScope` message.
fn scope_of(scope: &Value) -> Option<Vec<u8>> {
    ScopeSeed.deserialize(scope).ok()
}

fn scope_message(name: &str, version: &str, attributes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for (field, text) in SCOPE.iter().zip([name, version]).filter(|(_, text)| !text.is_empty()) {
        put_bytes(&mut message, *field, text.as_bytes());
    }
    message.extend_from_slice(attributes);
    message
}

/// An object as a run with this key byte.
fn run_of(object: &Value, key: u8) -> Option<Vec<u8>> {
    let (mut run, mut any, mut pair) = (Vec::new(), Vec::new(), Vec::new());
    RunSeed { key, run: &mut run, any: &mut any, pair: &mut pair }.deserialize(object).ok().map(|()| run)
}
