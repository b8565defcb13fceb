//! The table that drives OTLP/JSON in both directions: the messages below `ExportMetricsServiceRequest`, field by field.
//!
//! Does not know: bytes, text. Plain statics.
//!
//! Invariants: field numbers are unique within a message and below 16, so that a key is one byte, and no message has more
//! than 64 fields or a second oneof (reader and writer keep a bit per field). `optional` is also said of singular
//! messages: an empty one that is there is written.
//!
//! Bounds: the table is what the .proto files are; fields that are not in it are skipped as unknown.
//!
//! Sources: opentelemetry-proto 1.x metrics.proto, common.proto, resource.proto, metrics_service.proto.

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Message(&'static Message),
    Text,
    Base64,
    /// Hexadecimal digits of so many bytes, or of none.
    Hex(usize),
    Bool,
    Double,
    /// uint64: varint, a string in JSON.
    Uint64,
    /// int64: varint, a string in JSON.
    Int64,
    Fixed64,
    Sfixed64,
    Uint32,
    /// An enum: a number in JSON, never a name (J4).
    Enum,
    /// sint32: zigzag.
    Sint32,
    /// int32 that is read as if absent, yet takes its place in the oneof (R21).
    Absent,
}

impl Kind {
    pub(super) const fn wire(self) -> u8 {
        match self {
            Kind::Message(_) | Kind::Text | Kind::Base64 | Kind::Hex(_) => LENGTH,
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => EIGHT,
            _ => VARINT,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Omitted when it holds the default.
    Plain,
    /// `optional`: written whenever it is there.
    Optional,
    /// Member of the message's oneof (no message here has two).
    OneOf,
    Repeated,
}

pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) shape: Shape,
}

impl Field {
    /// The key of its records: of an element, where it is repeated.
    pub(super) const fn key(&self) -> u8 {
        (self.number << 3) as u8 | self.kind.wire()
    }

    /// The key of a packed record of it.
    pub(super) const fn packed_key(&self) -> u8 {
        (self.number << 3) as u8 | LENGTH
    }
}

pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

pub(super) const VARINT: u8 = 0;
pub(super) const EIGHT: u8 = 1;
pub(super) const LENGTH: u8 = 2;

const fn plain(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, shape: Shape::Plain }
}
const fn optional(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, shape: Shape::Optional }
}
const fn one_of(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, shape: Shape::OneOf }
}
const fn repeated(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, shape: Shape::Repeated }
}

pub(super) static REQUEST: Message = Message {
    name: "ExportMetricsServiceRequest",
    fields: &[repeated(1, "resourceMetrics", Kind::Message(&RESOURCE_METRICS))],
};
static RESOURCE_METRICS: Message = Message {
    name: "ResourceMetrics",
    fields: &[
        optional(1, "resource", Kind::Message(&RESOURCE)),
        repeated(2, "scopeMetrics", Kind::Message(&SCOPE_METRICS)),
        plain(3, "schemaUrl", Kind::Text),
    ],
};
static RESOURCE: Message = Message {
    name: "Resource",
    fields: &[
        repeated(1, "attributes", Kind::Message(&KEY_VALUE)),
        plain(2, "droppedAttributesCount", Kind::Uint32),
        repeated(3, "entityRefs", Kind::Message(&ENTITY_REF)),
    ],
};
static ENTITY_REF: Message = Message {
    name: "EntityRef",
    fields: &[
        plain(1, "schemaUrl", Kind::Text),
        plain(2, "type", Kind::Text),
        repeated(3, "idKeys", Kind::Text),
        repeated(4, "descriptionKeys", Kind::Text),
    ],
};
static SCOPE_METRICS: Message = Message {
    name: "ScopeMetrics",
    fields: &[
        optional(1, "scope", Kind::Message(&SCOPE)),
        repeated(2, "metrics", Kind::Message(&METRIC)),
        plain(3, "schemaUrl", Kind::Text),
    ],
};
static SCOPE: Message = Message {
    name: "InstrumentationScope",
    fields: &[
        plain(1, "name", Kind::Text),
        plain(2, "version", Kind::Text),
        repeated(3, "attributes", Kind::Message(&KEY_VALUE)),
        plain(4, "droppedAttributesCount", Kind::Uint32),
    ],
};
static METRIC: Message = Message {
    name: "Metric",
    fields: &[
        plain(1, "name", Kind::Text),
        plain(2, "description", Kind::Text),
        plain(3, "unit", Kind::Text),
        one_of(5, "gauge", Kind::Message(&GAUGE)),
        one_of(7, "sum", Kind::Message(&SUM)),
        one_of(9, "histogram", Kind::Message(&HISTOGRAM)),
        one_of(10, "exponentialHistogram", Kind::Message(&EXPONENTIAL_HISTOGRAM)),
        one_of(11, "summary", Kind::Message(&SUMMARY)),
        repeated(12, "metadata", Kind::Message(&KEY_VALUE)),
    ],
};
static GAUGE: Message =
    Message { name: "Gauge", fields: &[repeated(1, "dataPoints", Kind::Message(&NUMBER_DATA_POINT))] };
static SUM: Message = Message {
    name: "Sum",
    fields: &[
        repeated(1, "dataPoints", Kind::Message(&NUMBER_DATA_POINT)),
        plain(2, "aggregationTemporality", Kind::Enum),
        plain(3, "isMonotonic", Kind::Bool),
    ],
};
static HISTOGRAM: Message = Message {
    name: "Histogram",
    fields: &[
        repeated(1, "dataPoints", Kind::Message(&HISTOGRAM_DATA_POINT)),
        plain(2, "aggregationTemporality", Kind::Enum),
    ],
};
static EXPONENTIAL_HISTOGRAM: Message = Message {
    name: "ExponentialHistogram",
    fields: &[
        repeated(1, "dataPoints", Kind::Message(&EXPONENTIAL_DATA_POINT)),
        plain(2, "aggregationTemporality", Kind::Enum),
    ],
};
static SUMMARY: Message =
    Message { name: "Summary", fields: &[repeated(1, "dataPoints", Kind::Message(&SUMMARY_DATA_POINT))] };
pub(super) static NUMBER_DATA_POINT: Message = Message {
    name: "NumberDataPoint",
    fields: &[
        plain(2, "startTimeUnixNano", Kind::Fixed64),
        plain(3, "timeUnixNano", Kind::Fixed64),
        one_of(4, "asDouble", Kind::Double),
        repeated(5, "exemplars", Kind::Message(&EXEMPLAR)),
        one_of(6, "asInt", Kind::Sfixed64),
        repeated(7, "attributes", Kind::Message(&KEY_VALUE)),
        plain(8, "flags", Kind::Uint32),
    ],
};
static HISTOGRAM_DATA_POINT: Message = Message {
    name: "HistogramDataPoint",
    fields: &[
        plain(2, "startTimeUnixNano", Kind::Fixed64),
        plain(3, "timeUnixNano", Kind::Fixed64),
        plain(4, "count", Kind::Fixed64),
        optional(5, "sum", Kind::Double),
        repeated(6, "bucketCounts", Kind::Fixed64),
        repeated(7, "explicitBounds", Kind::Double),
        repeated(8, "exemplars", Kind::Message(&EXEMPLAR)),
        repeated(9, "attributes", Kind::Message(&KEY_VALUE)),
        plain(10, "flags", Kind::Uint32),
        optional(11, "min", Kind::Double),
        optional(12, "max", Kind::Double),
    ],
};
static EXPONENTIAL_DATA_POINT: Message = Message {
    name: "ExponentialHistogramDataPoint",
    fields: &[
        repeated(1, "attributes", Kind::Message(&KEY_VALUE)),
        plain(2, "startTimeUnixNano", Kind::Fixed64),
        plain(3, "timeUnixNano", Kind::Fixed64),
        plain(4, "count", Kind::Fixed64),
        optional(5, "sum", Kind::Double),
        plain(6, "scale", Kind::Sint32),
        plain(7, "zeroCount", Kind::Fixed64),
        optional(8, "positive", Kind::Message(&BUCKETS)),
        optional(9, "negative", Kind::Message(&BUCKETS)),
        plain(10, "flags", Kind::Uint32),
        repeated(11, "exemplars", Kind::Message(&EXEMPLAR)),
        optional(12, "min", Kind::Double),
        optional(13, "max", Kind::Double),
        plain(14, "zeroThreshold", Kind::Double),
    ],
};
static BUCKETS: Message =
    Message { name: "Buckets", fields: &[plain(1, "offset", Kind::Sint32), repeated(2, "bucketCounts", Kind::Uint64)] };
static SUMMARY_DATA_POINT: Message = Message {
    name: "SummaryDataPoint",
    fields: &[
        plain(2, "startTimeUnixNano", Kind::Fixed64),
        plain(3, "timeUnixNano", Kind::Fixed64),
        plain(4, "count", Kind::Fixed64),
        plain(5, "sum", Kind::Double),
        repeated(6, "quantileValues", Kind::Message(&VALUE_AT_QUANTILE)),
        repeated(7, "attributes", Kind::Message(&KEY_VALUE)),
        plain(8, "flags", Kind::Uint32),
    ],
};
static VALUE_AT_QUANTILE: Message =
    Message { name: "ValueAtQuantile", fields: &[plain(1, "quantile", Kind::Double), plain(2, "value", Kind::Double)] };
static EXEMPLAR: Message = Message {
    name: "Exemplar",
    fields: &[
        plain(2, "timeUnixNano", Kind::Fixed64),
        one_of(3, "asDouble", Kind::Double),
        plain(4, "spanId", Kind::Hex(8)),
        plain(5, "traceId", Kind::Hex(16)),
        one_of(6, "asInt", Kind::Sfixed64),
        repeated(7, "filteredAttributes", Kind::Message(&KEY_VALUE)),
    ],
};
// key_strindex (3) is for profiles only and skipped like an unknown field (R21)
pub(super) static KEY_VALUE: Message = Message {
    name: "KeyValue",
    fields: &[plain(1, "key", Kind::Text), optional(2, "value", Kind::Message(&ANY_VALUE))],
};
static ANY_VALUE: Message = Message {
    name: "AnyValue",
    fields: &[
        one_of(1, "stringValue", Kind::Text),
        one_of(2, "boolValue", Kind::Bool),
        one_of(3, "intValue", Kind::Int64),
        one_of(4, "doubleValue", Kind::Double),
        one_of(5, "arrayValue", Kind::Message(&ARRAY_VALUE)),
        one_of(6, "kvlistValue", Kind::Message(&KEY_VALUE_LIST)),
        one_of(7, "bytesValue", Kind::Base64),
        one_of(8, "stringValueStrindex", Kind::Absent),
    ],
};
static ARRAY_VALUE: Message =
    Message { name: "ArrayValue", fields: &[repeated(1, "values", Kind::Message(&ANY_VALUE))] };
static KEY_VALUE_LIST: Message =
    Message { name: "KeyValueList", fields: &[repeated(1, "values", Kind::Message(&KEY_VALUE))] };
