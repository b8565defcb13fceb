//! The other end of a simulated run: what destinations received, read by the official messages.

use super::clients::CUMULATIVE_NAME;
use crate::deliver::Received;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data};
use prost::Message as _;
use std::collections::{BTreeMap, HashSet};

/// Points of each series, in the order in which they came first.
#[derive(Debug, Default)]
pub(super) struct ReceivedPoints {
    pub(super) series: BTreeMap<String, Vec<(u64, u64, i64)>>,
    pub(super) points: u64,
    /// Requests that came again.
    pub(super) again: u64,
    /// Points that say that a series ended.
    pub(super) ends: u64,
    /// Points of what a rule had no room for.
    pub(super) overflowed: u64,
}

/// The flag of a point without a value: the series ended.
const NO_RECORDED_VALUE: u32 = 1;

impl ReceivedPoints {
    /// Reads all requests, each once; those that came twice must be among those whose answer was lost.
    pub(super) fn read(received: &Received) -> ReceivedPoints {
        let mut read = ReceivedPoints::default();
        let mut seen: HashSet<&Bytes> = HashSet::new();
        for body in &received.requests {
            if !seen.insert(body) {
                assert!(received.unanswered.contains(body), "a request came twice whose answer was not lost");
                read.again += 1;
                continue;
            }
            let request = ExportMetricsServiceRequest::decode(body.clone()).expect("what leaves is a request");
            for metric in request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics) {
                let Some(Data::Sum(sum)) = &metric.data else { panic!("only sums were sent: {metric:?}") };
                sum.data_points.iter().for_each(|point| read.take(&metric.name, point));
            }
        }
        read
    }

    fn take(&mut self, name: &str, point: &NumberDataPoint) {
        self.points += 1;
        let text = |keys: &[&str]| {
            let value =
                point.attributes.iter().find(|one| keys.contains(&&*one.key))?.value.as_ref()?.value.as_ref()?;
            let any_value::Value::StringValue(text) = value else { panic!("no other values were sent: {point:?}") };
            Some(text.as_str())
        };
        let is_overflow = point.attributes.iter().any(|one| one.key == "otel.metric.overflow");
        self.overflowed += u64::from(is_overflow);
        let series = if is_overflow {
            "overflow".to_owned()
        } else {
            format!("{}.{}", text(&["w", "writer"]).unwrap_or("*"), text(&["i"]).unwrap_or("*"))
        };
        if point.flags == NO_RECORDED_VALUE {
            assert_eq!(point.value, None, "{point:?}");
            self.ends += 1;
            return;
        }
        let Some(Value::AsInt(value)) = point.value else { panic!("integers stay integers: {point:?}") };
        let points = self.series.entry(format!("{name}/{series}")).or_default();
        points.push((point.start_time_unix_nano, point.time_unix_nano, value));
    }

    /// Sum of the deltas of each series.
    pub(super) fn sums(&self) -> BTreeMap<String, i64> {
        self.series.iter().map(|(key, points)| (key.clone(), points.iter().map(|point| point.2).sum())).collect()
    }

    /// The last total of each series. Those made of deltas only grow, whatever the wall clock does; those that came as
    /// totals begin again with each reset, which has a newer start.
    pub(super) fn totals(&self) -> BTreeMap<String, i64> {
        let total = |(key, points): (&String, &Vec<(u64, u64, i64)>)| {
            let resets = key.split('/').next() == Some(CUMULATIVE_NAME);
            let last = points.iter().map(|&(start, _, value)| (start * u64::from(resets), value)).max();
            (key.clone(), last.map_or(0, |(_, value)| value))
        };
        self.series.iter().map(total).collect()
    }

    /// Each point of these series begins where the one before ended or later; cumulative ones end later.
    pub(super) fn check_order(&self, are_deltas: bool, is_meant: impl Fn(&str) -> bool) {
        for (key, points) in self.series.iter().filter(|(key, _)| is_meant(key)) {
            for pair in points.windows(2) {
                let (before, after) = (pair[0], pair[1]);
                let floor = if are_deltas { after.0 } else { after.1.saturating_sub(1) };
                assert!(before.1 <= floor, "{key}: {before:?} is followed by {after:?}");
            }
        }
    }
}
