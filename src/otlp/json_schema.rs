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
pub(super) enum FieldKind {
    Message(&'static MessageSchema),
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

impl FieldKind {
    pub(super) const fn wire(self) -> u8 {
        match self {
            FieldKind::Message(_) | FieldKind::Text | FieldKind::Base64 | FieldKind::Hex(_) => LENGTH,
            FieldKind::Double | FieldKind::Fixed64 | FieldKind::Sfixed64 => EIGHT,
            _ => VARINT,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldShape {
    /// Omitted when it holds the default.
    Plain,
    /// `optional`: written whenever it is there.
    Optional,
    /// Member of the message's oneof (no message here has two).
    OneOf,
    Repeated,
}

pub(super) struct FieldSchema {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: FieldKind,
    pub(super) shape: FieldShape,
}

impl FieldSchema {
    /// The key of its records: of an element, where it is repeated.
    pub(super) const fn key(&self) -> u8 {
        (self.number << 3) as u8 | self.kind.wire()
    }

    /// The key of a packed record of it.
    pub(super) const fn packed_key(&self) -> u8 {
        (self.number << 3) as u8 | LENGTH
    }
}

pub(super) struct MessageSchema {
    pub(super) name: &'static str,
    pub(super) fields: &'static [FieldSchema],
}

pub(super) const VARINT: u8 = 0;
pub(super) const EIGHT: u8 = 1;
pub(super) const LENGTH: u8 = 2;

const fn plain(number: u32, name: &'static str, kind: FieldKind) -> FieldSchema {
    FieldSchema { number, name, kind, shape: FieldShape::Plain }
}
const fn optional(number: u32, name: &'static str, kind: FieldKind) -> FieldSchema {
    FieldSchema { number, name, kind, shape: FieldShape::Optional }
}
const fn one_of(number: u32, name: &'static str, kind: FieldKind) -> FieldSchema {
    FieldSchema { number, name, kind, shape: FieldShape::OneOf }
}
const fn repeated(number: u32, name: &'static str, kind: FieldKind) -> FieldSchema {
    FieldSchema { number, name, kind, shape: FieldShape::Repeated }
}

pub(super) static REQUEST: MessageSchema = MessageSchema {
    name: "ExportMetricsServiceRequest",
    fields: &[repeated(1, "resourceMetrics", FieldKind::Message(&RESOURCE_METRICS))],
};
static RESOURCE_METRICS: MessageSchema = MessageSchema {
    name: "ResourceMetrics",
    fields: &[
        optional(1, "resource", FieldKind::Message(&RESOURCE)),
        repeated(2, "scopeMetrics", FieldKind::Message(&SCOPE_METRICS)),
        plain(3, "schemaUrl", FieldKind::Text),
    ],
};
static RESOURCE: MessageSchema = MessageSchema {
    name: "Resource",
    fields: &[
        repeated(1, "attributes", FieldKind::Message(&KEY_VALUE)),
        plain(2, "droppedAttributesCount", FieldKind::Uint32),
        repeated(3, "entityRefs", FieldKind::Message(&ENTITY_REF)),
    ],
};
static ENTITY_REF: MessageSchema = MessageSchema {
    name: "EntityRef",
    fields: &[
        plain(1, "schemaUrl", FieldKind::Text),
        plain(2, "type", FieldKind::Text),
        repeated(3, "idKeys", FieldKind::Text),
        repeated(4, "descriptionKeys", FieldKind::Text),
    ],
};
static SCOPE_METRICS: MessageSchema = MessageSchema {
    name: "ScopeMetrics",
    fields: &[
        optional(1, "scope", FieldKind::Message(&SCOPE)),
        repeated(2, "metrics", FieldKind::Message(&METRIC)),
        plain(3, "schemaUrl", FieldKind::Text),
    ],
};
static SCOPE: MessageSchema = MessageSchema {
    name: "InstrumentationScope",
    fields: &[
        plain(1, "name", FieldKind::Text),
        plain(2, "version", FieldKind::Text),
        repeated(3, "attributes", FieldKind::Message(&KEY_VALUE)),
        plain(4, "droppedAttributesCount", FieldKind::Uint32),
    ],
};
static METRIC: MessageSchema = MessageSchema {
    name: "Metric",
    fields: &[
        plain(1, "name", FieldKind::Text),
        plain(2, "description", FieldKind::Text),
        plain(3, "unit", FieldKind::Text),
        one_of(5, "gauge", FieldKind::Message(&GAUGE)),
        one_of(7, "sum", FieldKind::Message(&SUM)),
        one_of(9, "histogram", FieldKind::Message(&HISTOGRAM)),
        one_of(10, "exponentialHistogram", FieldKind::Message(&EXPONENTIAL_HISTOGRAM)),
        one_of(11, "summary", FieldKind::Message(&SUMMARY)),
        repeated(12, "metadata", FieldKind::Message(&KEY_VALUE)),
    ],
};
static GAUGE: MessageSchema =
    MessageSchema { name: "Gauge", fields: &[repeated(1, "dataPoints", FieldKind::Message(&NUMBER_DATA_POINT))] };
static SUM: MessageSchema = MessageSchema {
    name: "Sum",
    fields: &[
        repeated(1, "dataPoints", FieldKind::Message(&NUMBER_DATA_POINT)),
        plain(2, "aggregationTemporality", FieldKind::Enum),
        plain(3, "isMonotonic", FieldKind::Bool),
    ],
};
static HISTOGRAM: MessageSchema = MessageSchema {
    name: "Histogram",
    fields: &[
        repeated(1, "dataPoints", FieldKind::Message(&HISTOGRAM_DATA_POINT)),
        plain(2, "aggregationTemporality", FieldKind::Enum),
    ],
};
static EXPONENTIAL_HISTOGRAM: MessageSchema = MessageSchema {
    name: "ExponentialHistogram",
    fields: &[
        repeated(1, "dataPoints", FieldKind::Message(&EXPONENTIAL_DATA_POINT)),
        plain(2, "aggregationTemporality", FieldKind::Enum),
    ],
};
static SUMMARY: MessageSchema =
    MessageSchema { name: "Summary", fields: &[repeated(1, "dataPoints", FieldKind::Message(&SUMMARY_DATA_POINT))] };
pub(super) static NUMBER_DATA_POINT: MessageSchema = MessageSchema {
    name: "NumberDataPoint",
    fields: &[
        plain(2, "startTimeUnixNano", FieldKind::Fixed64),
        plain(3, "timeUnixNano", FieldKind::Fixed64),
        one_of(4, "asDouble", FieldKind::Double),
        repeated(5, "exemplars", FieldKind::Message(&EXEMPLAR)),
        one_of(6, "asInt", FieldKind::Sfixed64),
        repeated(7, "attributes", FieldKind::Message(&KEY_VALUE)),
        plain(8, "flags", FieldKind::Uint32),
    ],
};
static HISTOGRAM_DATA_POINT: MessageSchema = MessageSchema {
    name: "HistogramDataPoint",
    fields: &[
        plain(2, "startTimeUnixNano", FieldKind::Fixed64),
        plain(3, "timeUnixNano", FieldKind::Fixed64),
        plain(4, "count", FieldKind::Fixed64),
        optional(5, "sum", FieldKind::Double),
        repeated(6, "bucketCounts", FieldKind::Fixed64),
        repeated(7, "explicitBounds", FieldKind::Double),
        repeated(8, "exemplars", FieldKind::Message(&EXEMPLAR)),
        repeated(9, "attributes", FieldKind::Message(&KEY_VALUE)),
        plain(10, "flags", FieldKind::Uint32),
        optional(11, "min", FieldKind::Double),
        optional(12, "max", FieldKind::Double),
    ],
};
static EXPONENTIAL_DATA_POINT: MessageSchema = MessageSchema {
    name: "ExponentialHistogramDataPoint",
    fields: &[
        repeated(1, "attributes", FieldKind::Message(&KEY_VALUE)),
        plain(2, "startTimeUnixNano", FieldKind::Fixed64),
        plain(3, "timeUnixNano", FieldKind::Fixed64),
        plain(4, "count", FieldKind::Fixed64),
        optional(5, "sum", FieldKind::Double),
        plain(6, "scale", FieldKind::Sint32),
        plain(7, "zeroCount", FieldKind::Fixed64),
        optional(8, "positive", FieldKind::Message(&BUCKETS)),
        optional(9, "negative", FieldKind::Message(&BUCKETS)),
        plain(10, "flags", FieldKind::Uint32),
        repeated(11, "exemplars", FieldKind::Message(&EXEMPLAR)),
        optional(12, "min", FieldKind::Double),
        optional(13, "max", FieldKind::Double),
        plain(14, "zeroThreshold", FieldKind::Double),
    ],
};
static BUCKETS: MessageSchema = MessageSchema {
    name: "Buckets",
    fields: &[plain(1, "offset", FieldKind::Sint32), repeated(2, "bucketCounts", FieldKind::Uint64)],
};
static SUMMARY_DATA_POINT: MessageSchema = MessageSchema {
    name: "SummaryDataPoint",
    fields: &[
        plain(2, "startTimeUnixNano", FieldKind::Fixed64),
        plain(3, "timeUnixNano", FieldKind::Fixed64),
        plain(4, "count", FieldKind::Fixed64),
        plain(5, "sum", FieldKind::Double),
        repeated(6, "quantileValues", FieldKind::Message(&VALUE_AT_QUANTILE)),
        repeated(7, "attributes", FieldKind::Message(&KEY_VALUE)),
        plain(8, "flags", FieldKind::Uint32),
    ],
};
static VALUE_AT_QUANTILE: MessageSchema = MessageSchema {
    name: "ValueAtQuantile",
    fields: &[plain(1, "quantile", FieldKind::Double), plain(2, "value", FieldKind::Double)],
};
static EXEMPLAR: MessageSchema = MessageSchema {
    name: "Exemplar",
    fields: &[
        plain(2, "timeUnixNano", FieldKind::Fixed64),
        one_of(3, "asDouble", FieldKind::Double),
        plain(4, "spanId", FieldKind::Hex(8)),
        plain(5, "traceId", FieldKind::Hex(16)),
        one_of(6, "asInt", FieldKind::Sfixed64),
        repeated(7, "filteredAttributes", FieldKind::Message(&KEY_VALUE)),
    ],
};
// key_strindex (3) is for profiles only and skipped like an unknown field (R21)
pub(super) static KEY_VALUE: MessageSchema = MessageSchema {
    name: "KeyValue",
    fields: &[plain(1, "key", FieldKind::Text), optional(2, "value", FieldKind::Message(&ANY_VALUE))],
};
static ANY_VALUE: MessageSchema = MessageSchema {
    name: "AnyValue",
    fields: &[
        one_of(1, "stringValue", FieldKind::Text),
        one_of(2, "boolValue", FieldKind::Bool),
        one_of(3, "intValue", FieldKind::Int64),
        one_of(4, "doubleValue", FieldKind::Double),
        one_of(5, "arrayValue", FieldKind::Message(&ARRAY_VALUE)),
        one_of(6, "kvlistValue", FieldKind::Message(&KEY_VALUE_LIST)),
        one_of(7, "bytesValue", FieldKind::Base64),
        one_of(8, "stringValueStrindex", FieldKind::Absent),
    ],
};
static ARRAY_VALUE: MessageSchema =
    MessageSchema { name: "ArrayValue", fields: &[repeated(1, "values", FieldKind::Message(&ANY_VALUE))] };
static KEY_VALUE_LIST: MessageSchema =
    MessageSchema { name: "KeyValueList", fields: &[repeated(1, "values", FieldKind::Message(&KEY_VALUE))] };
