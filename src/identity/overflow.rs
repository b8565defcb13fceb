//! The identity of an overflow series: the attribute `otel.metric.overflow` = true, and no other.
//!
//! Knows its bytes; does not know what the limits keep out, nor where those points go.
//!
//! Source: OpenTelemetry metrics SDK specification, "Overflow attribute".

use super::attributes::key_byte;
use crate::model::Kind;

/// Its only record, behind the key of its field.
const RECORD: &[u8] = b"\x1a\x0a\x14otel.metric.overflow\x12\x02\x10\x01";

/// Its only attribute as a run with the key byte 0x0a.
pub const BARE_RUN: &[u8] = {
    const RUN: [u8; 1 + RECORD.len()] = {
        let mut run = [0x0a; 1 + RECORD.len()];
        run.split_at_mut(1).1.copy_from_slice(RECORD);
        run
    };
    &RUN
};

const fn run_of(kind: Kind) -> [u8; 1 + RECORD.len()] {
    let mut run = [key_byte(kind); 1 + RECORD.len()];
    run.split_at_mut(1).1.copy_from_slice(RECORD);
    run
}

/// The attributes of an overflow series of this kind, as a normalised run.
pub const fn run(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Histogram => const { &run_of(Kind::Histogram) },
        Kind::ExponentialHistogram => const { &run_of(Kind::ExponentialHistogram) },
        _ => const { &run_of(Kind::Sum) },
    }
}

/// Whether a normalised run is that of an overflow series, which is outside the limit: each group has one.
pub fn is_overflow(run: &[u8]) -> bool {
    run.get(1..).is_some_and(|record| record == RECORD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
    use opentelemetry_proto::tonic::metrics::v1::{
        ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
    };
    use prost::Message;

    /// The run of each kind is what a point of it with this attribute alone has, as an encoder of the protocol writes it.
    #[test]
    fn the_bytes_are_what_they_say() {
        let value = Some(AnyValue { value: Some(Value::BoolValue(true)) });
        let attributes = vec![KeyValue { key: "otel.metric.overflow".into(), value, ..Default::default() }];
        let number = NumberDataPoint { attributes: attributes.clone(), ..Default::default() }.encode_to_vec();
        let histogram = HistogramDataPoint { attributes: attributes.clone(), ..Default::default() }.encode_to_vec();
        let summary = SummaryDataPoint { attributes: attributes.clone(), ..Default::default() }.encode_to_vec();
        let exponential = ExponentialHistogramDataPoint { attributes, ..Default::default() }.encode_to_vec();
        for (kind, point) in [
            (Kind::Gauge, &number),
            (Kind::Sum, &number),
            (Kind::Histogram, &histogram),
            (Kind::ExponentialHistogram, &exponential),
            (Kind::Summary, &summary),
        ] {
            assert_eq!(run(kind), point, "{kind:?}");
            assert!(is_overflow(run(kind)), "{kind:?}");
        }
        assert!(!is_overflow(&[]) && !is_overflow(&run(Kind::Sum)[..27]));
    }
}
