//! Which field of which message has which type, and a validator over it.
//!
//! The cold path's guard: attributes seen for the first time, exemplars, resources, scopes, metadata. Hot paths have
//! their own walks and must agree with it (tests hold all of them against `prost`).

use crate::limits::WIRE_DEPTH_MAX;
use crate::wire::{Fault, FaultKind, Reader, WireType, check_utf8};

/// Messages of the metrics part of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Message {
    Resource,
    EntityRef,
    Scope,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
    Exemplar,
    ExponentialBuckets,
    Summary,
    SummaryPoint,
    Quantile,
}

/// Type of a known field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// bool, int32, int64, uint32, uint64, enum
    Varint,
    /// fixed64, sfixed64, double
    Fixed64,
    /// string
    Text,
    /// bytes
    Bytes,
    /// a message
    Nested(Message),
    /// repeated varint, packed or not
    Varints,
}

use Message as M;
use Type as T;

const fn field_type(message: Message, number: u32) -> Option<Type> {
    Some(match (message, number) {
        (M::Resource, 1) => T::Nested(M::KeyValue),
        (M::Resource, 2) => T::Varint,
        (M::Resource, 3) => T::Nested(M::EntityRef),
        (M::EntityRef, 1..=4) => T::Text,
        (M::Scope, 1 | 2) => T::Text,
        (M::Scope, 3) => T::Nested(M::KeyValue),
        (M::Scope, 4) => T::Varint,
        (M::KeyValue, 1) => T::Text,
        (M::KeyValue, 2) => T::Nested(M::AnyValue),
        (M::KeyValue, 3) => T::Varint,
        (M::AnyValue, 1) => T::Text,
        (M::AnyValue, 2 | 3 | 8) => T::Varint,
        (M::AnyValue, 4) => T::Fixed64,
        (M::AnyValue, 5) => T::Nested(M::ArrayValue),
        (M::AnyValue, 6) => T::Nested(M::KeyValueList),
        (M::AnyValue, 7) => T::Bytes,
        (M::ArrayValue, 1) => T::Nested(M::AnyValue),
        (M::KeyValueList, 1) => T::Nested(M::KeyValue),
        (M::Exemplar, 2 | 3 | 6) => T::Fixed64,
        (M::Exemplar, 4 | 5) => T::Bytes,
        (M::Exemplar, 7) => T::Nested(M::KeyValue),
        (M::ExponentialBuckets, 1) => T::Varint,
        (M::ExponentialBuckets, 2) => T::Varints,
        (M::Summary, 1) => T::Nested(M::SummaryPoint),
        (M::SummaryPoint, 2..=5) => T::Fixed64,
        (M::SummaryPoint, 6) => T::Nested(M::Quantile),
        (M::SummaryPoint, 7) => T::Nested(M::KeyValue),
        (M::SummaryPoint, 8) => T::Varint,
        (M::Quantile, 1 | 2) => T::Fixed64,
        _ => return None,
    })
}

/// Faults unless `bytes` is a well-formed `message`, at nesting `depth`. Recursion is bounded by the depth limit.
pub fn validate(message: Message, bytes: &[u8], depth: usize) -> Result<(), Fault> {
    if depth > WIRE_DEPTH_MAX {
        return Err(Fault { kind: FaultKind::TooDeep, field: "AnyValue", left: bytes.len() });
    }
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let field = reader.field()?;
        let Some(kind) = field_type(message, field.number) else {
            reader.skip(field, depth)?;
            continue;
        };
        match kind {
            T::Varint => {
                reader.expect(field, WireType::Varint)?;
                reader.varint()?;
            }
            T::Fixed64 => {
                reader.expect(field, WireType::Fixed64)?;
                reader.fixed64()?;
            }
            T::Text => {
                reader.expect(field, WireType::Bytes)?;
                check_utf8(reader.bytes()?)?;
            }
            T::Bytes => {
                reader.expect(field, WireType::Bytes)?;
                reader.bytes()?;
            }
            T::Nested(inner) => {
                reader.expect(field, WireType::Bytes)?;
                validate(inner, reader.bytes()?, depth + 1)?;
            }
            T::Varints => {
                if field.wire == WireType::Bytes {
                    let mut packed = Reader::new(reader.bytes()?);
                    while !packed.is_empty() {
                        packed.varint()?;
                    }
                } else {
                    reader.expect(field, WireType::Varint)?;
                    reader.varint()?;
                }
            }
        }
    }
    Ok(())
}
