//! What real SDKs sent, through the binary: what leaves is what the naive model makes of what the official library read.
//! R26; M8, M10, M17, M19, M23. (That every encoding comes out the same is `encodings`'s.)

use crate::recorded;

use crate::binary::process::{Catchment, Folder};
use crate::common::SECOND;
use crate::oracle::check::Pair;
use crate::oracle::flat::{Body, Key, flatten};
use catchment::otlp::json_in::read_json;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use std::collections::BTreeMap;

/// Bodies of each SDK's run, in their order; JSON ones made protobuf.
fn exports() -> BTreeMap<String, Vec<Vec<u8>>> {
    let bodies = recorded::recorded().into_iter().map(|recorded| {
        let mut body = recorded.body;
        if recorded.is_json {
            let text = std::mem::take(&mut body);
            read_json(&text, &mut body, usize::MAX, |_| true).expect("OTLP/JSON");
        }
        (recorded.name, body)
    });
    recorded::runs(bodies)
}

/// Values by identity; times are the cut's in one and the model's in the other.
fn values<'a>(requests: impl IntoIterator<Item = &'a ExportMetricsServiceRequest>) -> BTreeMap<Key, String> {
    let points = requests.into_iter().flat_map(flatten);
    let shown = points.map(|mut point| {
        match &mut point.body {
            Body::Histogram(h) => {
                (h.start_time_unix_nano, h.time_unix_nano) = (0, 0);
                h.attributes.clear();
            }
            Body::Exponential(e) => {
                (e.start_time_unix_nano, e.time_unix_nano) = (0, 0);
                e.attributes.clear();
            }
            Body::Number(_) => {}
            Body::Summary(s) => {
                (s.start_time_unix_nano, s.time_unix_nano) = (0, 0);
                s.attributes.clear();
            }
        }
        (point.key().expect("what leaves has an identity"), format!("{:?}", point.body))
    });
    shown.collect()
}

/// Sends a run, ends the process, and reads what its one cut left in the file.
fn through_the_binary(shards: &str, exports: &[Vec<u8>]) -> BTreeMap<Key, String> {
    let folder = Folder::new();
    let path = folder.path("out.jsonl");
    let out = format!("file:{}", path.display());
    let catchment = Catchment::start(&["--shards", shards, "--interval", "1h", "--out", &out]);
    let grpc = catchment.grpc();
    for body in exports {
        assert_eq!(grpc.export(body).expect("an answer").status, 0);
    }
    drop(grpc);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("balanced") && ended.ledger().contains("rejected 0"), "{}", ended.ledger());
    let lines = std::fs::read_to_string(path).expect("what left");
    let requests: Vec<ExportMetricsServiceRequest> = lines
        .lines()
        .map(|line| {
            let mut bytes = Vec::new();
            read_json(line.as_bytes(), &mut bytes, usize::MAX, |_| true).expect("OTLP/JSON");
            ExportMetricsServiceRequest::decode(&bytes[..]).expect("a request")
        })
        .collect();
    values(&requests)
}

#[test]
fn recorded_requests_come_out_of_the_binary_as_they_were_read() {
    let (mut files, mut series) = (0, 0);
    for (run, exports) in exports() {
        let mut pair = Pair::new(1);
        let mut newest = 0;
        for body in &exports {
            let message = ExportMetricsServiceRequest::decode(&body[..]).expect("prost reads it");
            newest = flatten(&message).iter().map(|point| point.time).max().expect("points").max(newest);
            assert!(pair.send_bytes(0, body).expect("the model agrees"), "{run}");
        }
        let expected = values(&pair.cut(newest + SECOND).expect("the model agrees").cumulative);
        assert!(!expected.is_empty(), "{run}");
        for shards in ["1", "3"] {
            let got = through_the_binary(shards, &exports);
            for (key, value) in &expected {
                assert_eq!(
                    got.get(key),
                    Some(value),
                    "{run}, {shards} shards: {} of {}",
                    key.group.name,
                    key.group.scope_name
                );
            }
            assert_eq!(got.len(), expected.len(), "{run}, {shards} shards");
            files += exports.len();
        }
        series += expected.len();
    }
    println!("{files} requests sent, each to one shard and to three; {series} series compared each time");
    assert!(files >= 2 * 56, "only {files} requests");
}
