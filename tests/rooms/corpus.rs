//! What real SDKs sent, export by export, through the aggregation: what leaves is what the official library read in it.

use crate::recorded;

use crate::common::SECOND;
use crate::oracle::check::Pair;
use crate::oracle::flat::flatten;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use std::collections::BTreeMap;

struct Export {
    name: String,
    body: Vec<u8>,
    points: u64,
    newest: u64,
}

/// The protobuf recordings of each SDK's run, in their order.
fn exports() -> BTreeMap<String, Vec<Export>> {
    let exports = recorded::recorded().into_iter().filter(|recorded| !recorded.is_json).map(|recorded| {
        let message = ExportMetricsServiceRequest::decode(&recorded.body[..]).expect("prost reads it");
        let newest = flatten(&message).iter().map(|point| point.time).max().expect("points");
        let name = recorded.name;
        (name.clone(), Export { name, body: recorded.body, points: recorded.points, newest })
    });
    recorded::runs(exports)
}

/// R20, R26, M8, M10, M17, M19, M23: each export on the next core, a cut after each; `after` is the time from the newest
/// point to the cut (an hour makes every start too old to count whole).
#[test]
fn recorded_requests_come_out_as_the_official_library_read_them() {
    let (mut files, mut points) = (0, 0);
    for (run, exports) in exports() {
        for (cores, after) in [(1, SECOND), (1, 3600 * SECOND), (3, SECOND), (3, 3600 * SECOND)] {
            let mut pair = Pair::new(cores);
            let mut before = 0;
            for (i, export) in exports.iter().enumerate() {
                let context = format!("{} on {cores} cores", export.name);
                let accepted = pair.send_bytes(i, &export.body).unwrap_or_else(|why| panic!("{context}: {why}"));
                assert!(accepted, "{context}");
                let received = pair.rig.tally.received_total();
                assert_eq!(received - before, export.points, "{context}");
                before = received;
                let out = pair.cut(export.newest + after).unwrap_or_else(|why| panic!("{context}: {why}"));
                let left: usize = out.cumulative.iter().map(|request| flatten(request).len()).sum();
                assert!(left > 0, "{context}: nothing left");
            }
            assert_eq!(pair.rig.tally.rejected_total(), 0, "{run}: SDKs send valid points");
            pair.counters().unwrap_or_else(|why| panic!("{run} on {cores} cores: {why}"));
        }
        files += exports.len();
        points += exports.iter().map(|export| export.points).sum::<u64>();
    }
    println!("{files} recorded requests of {points} points, four times each");
    assert!(files >= 48, "only {files} recorded requests");
}
