//! Identities as rules see them: a metric under its resource and scope, the attributes of a series, and what a rule makes of
//! them.
//!
//! Knows the runs that `identity` normalises; does not know rules.

use super::rule::{InputKind, KeyPlace};
use crate::identity::Set;
use crate::identity::attributes::{Record, Records};
use crate::model::Kind;
use crate::wire::{Reader, WireType};
use std::fmt::Write;
use std::sync::Arc;

/// Key byte of the attributes in `Resource`, and in an [`OutputIdentity`].
pub(super) const RESOURCE_KEY: u8 = 0x0a;
/// Key bytes of name, version and attributes in `InstrumentationScope`.
pub(super) const SCOPE_NAME_KEY: u8 = 0x0a;
pub(super) const SCOPE_VERSION_KEY: u8 = 0x12;
pub(super) const SCOPE_ATTRIBUTES_KEY: u8 = 0x1a;
/// What rules call the name of a scope.
pub(super) const SCOPE_NAME: &str = "scope.name";
/// What rules call the version of a scope.
pub(super) const SCOPE_VERSION: &str = "scope.version";
/// What says that a series stands for those that the limits keep out.
pub(super) const OVERFLOW: &[u8] = b"otel.metric.overflow";

/// A metric under its resource and scope, as senders name it.
#[derive(Clone, Copy, Debug)]
pub struct MetricSeen<'a> {
    /// The attributes of the resource: a normalised run with the key byte 0x0a.
    pub resource: &'a [u8],
    /// The `InstrumentationScope` message: name, version, attributes as a normalised run with the key byte 0x1a.
    pub scope: &'a [u8],
    /// `Metric.name`
    pub name: &'a str,
    /// `Metric.unit`
    pub unit: &'a str,
    /// Data kind.
    pub kind: Kind,
    /// `Sum.is_monotonic`
    pub monotonic: bool,
    /// Resource and scope where others share them: what is remembered of them is found by where they lie.
    pub held: Option<[&'a Arc<[u8]>; 2]>,
}

impl MetricSeen<'_> {
    /// The kind as rules tell them apart.
    pub fn input(&self) -> InputKind {
        InputKind::of(self.kind, self.monotonic)
    }
}

/// Who an output is, but for rule, function and name: members with equal identities are one group.
///
/// The sets are in one canonical order: equal identities have equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputIdentity<'a> {
    /// The attributes of the resource, with the key byte 0x0a; without a schema URL.
    pub resource: &'a Arc<Set>,
    /// The `InstrumentationScope` message; the same.
    pub scope: &'a Arc<Set>,
    /// The name of the metric as it came in; outputs name themselves from it.
    pub name: &'a str,
    /// Its unit.
    pub unit: &'a str,
    /// The attributes of the series, each record with the key byte 0x0a, whatever the kind of an output.
    pub attributes: &'a [u8],
}

impl<'a> OutputIdentity<'a> {
    /// A metric under its resource and scope.
    pub(super) fn under(&self, metric: &MetricSeen<'a>) -> MetricSeen<'a> {
        let held = [&self.resource.run, &self.scope.run];
        MetricSeen { resource: held[0], scope: held[1], held: Some(held), ..*metric }
    }
}

/// A scope taken apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScopeParts<'a> {
    /// `InstrumentationScope.name`
    pub name: &'a str,
    /// `InstrumentationScope.version`
    pub version: &'a str,
    /// The run of its attributes.
    pub attributes: &'a [u8],
}

impl<'a> ScopeParts<'a> {
    /// Of a message as `identity` holds it: name and version, where they are, before the attributes.
    pub fn of(scope: &'a [u8]) -> ScopeParts<'a> {
        let mut parts = ScopeParts { attributes: scope, ..ScopeParts::default() };
        let mut reader = Reader::new(scope);
        while let Ok(field) = reader.field() {
            let Ok(bytes) = reader.bytes() else { break };
            let text = || std::str::from_utf8(bytes).unwrap_or_default();
            match field.number {
                1 => parts.name = text(),
                2 => parts.version = text(),
                _ => break,
            }
            parts.attributes = reader.rest();
        }
        parts
    }
}

/// The value of `key` in a run, as AnyValue.
pub(super) fn find<'a>(run: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    Records::new(run).find(|record| record.key() == key).map(|record: Record<'a>| record.value())
}

/// Whether a run has the attribute of an overflow series.
pub(super) fn is_overflow(attributes: &[u8]) -> bool {
    crate::identity::overflow::is_overflow(attributes)
}

/// What is found under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundValue<'a> {
    /// An AnyValue message.
    Value(&'a [u8]),
    /// A text: of a scope's head.
    Text(&'a str),
    /// Nothing.
    Nothing,
}

impl<'a> FoundValue<'a> {
    fn or(self, next: impl FnOnce() -> FoundValue<'a>) -> FoundValue<'a> {
        if self == FoundValue::Nothing { next() } else { self }
    }

    /// Among the attributes of a run.
    pub(super) fn in_run(run: &'a [u8], key: &str) -> FoundValue<'a> {
        find(run, key.as_bytes()).map_or(FoundValue::Nothing, FoundValue::Value)
    }

    /// In the scope: an attribute, else its name or version where they are so called and not empty.
    pub(super) fn in_scope(scope: &'a [u8], key: &str) -> FoundValue<'a> {
        let parts = ScopeParts::of(scope);
        let head = |text: &'a str| if text.is_empty() { FoundValue::Nothing } else { FoundValue::Text(text) };
        FoundValue::in_run(parts.attributes, key).or(|| match key {
            SCOPE_NAME => head(parts.name),
            SCOPE_VERSION => head(parts.version),
            _ => FoundValue::Nothing,
        })
    }

    /// Where it is, or wherever it is found first: on the point, in the scope, on the resource.
    pub(super) fn of(
        metric: &MetricSeen<'a>,
        attributes: &'a [u8],
        key: &str,
        place: Option<KeyPlace>,
    ) -> FoundValue<'a> {
        match place {
            Some(KeyPlace::Point) => FoundValue::in_run(attributes, key),
            Some(KeyPlace::Scope) => FoundValue::in_scope(metric.scope, key),
            Some(KeyPlace::Resource) => FoundValue::in_run(metric.resource, key),
            None => FoundValue::in_run(attributes, key)
                .or(|| FoundValue::in_scope(metric.scope, key))
                .or(|| FoundValue::in_run(metric.resource, key)),
        }
    }
}

/// The text of an AnyValue that rules compare: texts as they are, whole numbers decimal, `true` and `false`, doubles as
/// short as they can be read back. Arrays, maps and bytes have none. `made` holds what has to be made.
pub fn text_of<'a>(value: &'a [u8], made: &'a mut String) -> Option<&'a str> {
    let mut reader = Reader::new(value);
    let field = reader.field().ok()?;
    made.clear();
    match (field.number, field.wire) {
        (1, WireType::Bytes) => return std::str::from_utf8(reader.bytes().ok()?).ok(),
        (2, WireType::Varint) => made.push_str(if reader.varint().ok()? == 0 { "false" } else { "true" }),
        (3, WireType::Varint) => write!(made, "{}", reader.varint().ok()? as i64).ok()?,
        (4, WireType::Fixed64) => put_double(made, f64::from_bits(reader.fixed64().ok()?)),
        _ => return None,
    }
    Some(made)
}

/// The shortest decimal that reads back as the same double; as OpenTelemetry's "AnyValue representation for non-OTLP
/// protocols" writes what is no number.
fn put_double(out: &mut String, value: f64) {
    let magnitude = value.abs();
    let wrote = if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        write!(out, "{value:e}")
    } else {
        write!(out, "{value}")
    };
    debug_assert!(wrote.is_ok(), "a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_texts_that_rules_compare() {
        let check =
            |value: &[u8], want: Option<&str>| assert_eq!(text_of(value, &mut String::new()), want, "{value:?}");
        let int = |n: i64| {
            let mut value = vec![0x18];
            crate::wire::put_varint(&mut value, n as u64);
            value
        };
        let double = |n: f64| [&[0x21][..], &n.to_le_bytes()].concat();
        check(b"\x0a\x03GET", Some("GET"));
        check(b"\x0a\x00", Some(""));
        check(&[0x10, 1], Some("true"));
        check(&[0x10, 0], Some("false"));
        check(&int(503), Some("503"));
        check(&int(-7), Some("-7"));
        check(&int(i64::MIN), Some("-9223372036854775808"));
        check(&double(0.5), Some("0.5"));
        check(&double(3.0), Some("3"));
        check(&double(1e21), Some("1e21"));
        check(&double(1.5e-9), Some("1.5e-9"));
        check(&double(-0.0), Some("-0"));
        check(&double(f64::NAN), Some("NaN"));
        check(&double(f64::NEG_INFINITY), Some("-Infinity"));
        // an array, a map, bytes, nothing
        check(&[0x2a, 0], None);
        check(&[0x32, 0], None);
        check(&[0x3a, 0], None);
        check(&[], None);
    }

    #[test]
    fn a_scope_is_taken_apart() {
        let attributes = b"\x1a\x08\x0a\x01k\x12\x03\x0a\x01v";
        let scope = [&b"\x0a\x04name\x12\x011"[..], attributes].concat();
        let parts = ScopeParts::of(&scope);
        assert_eq!((parts.name, parts.version, parts.attributes), ("name", "1", &attributes[..]));
        let parts = ScopeParts::of(attributes);
        assert_eq!((parts.name, parts.version, parts.attributes), ("", "", &attributes[..]));
        assert_eq!(ScopeParts::of(b"\x0a\x04name").attributes, b"");
        assert_eq!(FoundValue::in_scope(&scope, "scope.version"), FoundValue::Text("1"));
        assert_eq!(FoundValue::in_scope(&scope, "k"), FoundValue::Value(b"\x0a\x01v"));
        assert_eq!(FoundValue::in_scope(attributes, "scope.name"), FoundValue::Nothing);
    }
}
