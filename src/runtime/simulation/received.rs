//! The other end of a simulated run: what destinations received, read by the official messages.

use super::clients::DELTA_NAME;
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
}

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
        let value = point.attributes.iter().find(|one| one.key == "series").and_then(|one| one.value.as_ref());
        let Some(any_value::Value::StringValue(series)) = value.and_then(|value| value.value.as_ref()) else {
            panic!("a point of no series: {point:?}")
        };
        let Some(Value::AsInt(value)) = point.value else { panic!("integers stay integers: {point:?}") };
        let points = self.series.entry(format!("{name}/{series}")).or_default();
        points.push((point.start_time_unix_nano, point.time_unix_nano, value));
        self.points += 1;
    }

    /// Sum of the deltas of each series.
    pub(super) fn sums(&self) -> BTreeMap<String, i64> {
        self.series.iter().map(|(key, points)| (key.clone(), points.iter().map(|point| point.2).sum())).collect()
    }

    /// The last total of each series. Those made of deltas only grow, whatever the wall clock does; those that came as
    /// totals begin again with each reset, which has a newer start.
    pub(super) fn totals(&self) -> BTreeMap<String, i64> {
        let total = |(key, points): (&String, &Vec<(u64, u64, i64)>)| {
            let resets = !key.starts_with(DELTA_NAME);
            let last = points.iter().map(|&(start, _, value)| (start * u64::from(resets), value)).max();
            (key.clone(), last.map_or(0, |(_, value)| value))
        };
        self.series.iter().map(total).collect()
    }

    /// Each point of a series begins where the one before ended or later; cumulative ones end later.
    pub(super) fn check_order(&self, are_deltas: bool) {
        for (key, points) in &self.series {
            for pair in points.windows(2) {
                let (before, after) = (pair[0], pair[1]);
                let floor = if are_deltas { after.0 } else { after.1.saturating_sub(1) };
                assert!(before.1 <= floor, "{key}: {before:?} is followed by {after:?}");
            }
        }
    }
}
