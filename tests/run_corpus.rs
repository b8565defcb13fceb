//! What real SDKs sent, through the binary: every recorded request, over gRPC and in every encoding of OTLP/HTTP; what
//! leaves is what the naive model makes of what the official library read. R1, R26, J1 to J7; M8, M10, M17, M19, M23.

mod binary;
mod common;
mod oracle;

use binary::process::{Catchment, Folder};
use catchment::otlp::json_in::read_json;
use catchment::otlp::json_out::write_json;
use common::SECOND;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use oracle::check::Pair;
use oracle::flat::{Body, Key, flatten};
use prost::Message;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;

/// Protobuf bodies of each SDK's run, in their order, inflated; JSON ones made protobuf.
fn recorded() -> BTreeMap<String, Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut runs: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("the corpus is there")
        .filter_map(|entry| {
            entry.expect("an entry").file_name().into_string().expect("a name").strip_suffix(".bin").map(String::from)
        })
        .collect();
    names.sort();
    for name in names {
        let sidecar = std::fs::read(folder.join(format!("{name}.json"))).expect("a sidecar");
        let sidecar: serde_json::Value = serde_json::from_slice(&sidecar).expect("JSON");
        let mut body = std::fs::read(folder.join(format!("{name}.bin"))).expect("a body");
        if sidecar["content_encoding"] == "gzip" {
            let packed = std::mem::take(&mut body);
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut body).expect("gzip");
        }
        if name.contains("http-json") {
            let text = std::mem::take(&mut body);
            read_json(&text, &mut body, usize::MAX, |_| true).expect("OTLP/JSON");
        }
        let (run, _) = name.rsplit_once('-').expect("a number");
        runs.entry(run.into()).or_default().push(body);
    }
    runs
}

/// Values by identity; times are the cut's in one and the model's in the other.
fn values<'a>(requests: impl IntoIterator<Item = &'a ExportMetricsServiceRequest>) -> BTreeMap<Key, String> {
    let points = requests.into_iter().flat_map(flatten);
    let shown = points.map(|mut point| {
        match &mut point.body {
            Body::Histogram(h) => {
                (h.start_time_unix_nano, h.time_unix_nano) = (0, 0);
                h.attributes.clear();
                h.exemplars.clear();
            }
            Body::Exponential(e) => {
                (e.start_time_unix_nano, e.time_unix_nano) = (0, 0);
                e.attributes.clear();
                e.exemplars.clear();
            }
            Body::Number(_) | Body::Summary => {}
        }
        (point.key().expect("what leaves has an identity"), format!("{:?}", point.body))
    });
    shown.collect()
}

fn json(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    write_json(body, &mut text).expect("a request");
    text
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Sends a run, ends the process, and reads what its one cut left in the file.
fn through_the_binary(way: usize, exports: &[Vec<u8>]) -> BTreeMap<Key, String> {
    let folder = Folder::new();
    let path = folder.path("out.jsonl");
    let shards = if way.is_multiple_of(2) { "1" } else { "3" };
    let out = format!("file:{}", path.display());
    let catchment = Catchment::start(&["--shards", shards, "--interval", "1h", "--out", &out]);
    let (mut http, grpc) = (catchment.http(), catchment.grpc());
    for body in exports {
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).expect("memory");
        // a line more in the head says how it is encoded
        let (head, sent) = match way {
            0 => {
                assert_eq!(grpc.export(body).expect("an answer").status, 0);
                continue;
            }
            1 => ("application/x-protobuf", body.clone()),
            2 => ("application/x-protobuf\r\ncontent-encoding: gzip", gzip(body)),
            3 => ("application/x-protobuf\r\ncontent-encoding: zstd", zstd(body)),
            4 => ("application/json", json(body)),
            5 => ("application/json\r\ncontent-encoding: gzip", gzip(&json(body))),
            _ => ("application/json\r\ncontent-encoding: zstd", zstd(&json(body))),
        };
        let reply = http.post("/v1/metrics", head, &sent).expect("an answer");
        assert_eq!(reply.status, 200, "{head}");
    }
    drop((http, grpc));
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().contains("balanced") && ended.ledger().contains("rejected 0"), "{}", ended.ledger());
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
    for (run, exports) in recorded() {
        let mut pair = Pair::new(1);
        let mut newest = 0;
        for body in &exports {
            let message = ExportMetricsServiceRequest::decode(&body[..]).expect("prost reads it");
            newest = flatten(&message).iter().map(|point| point.time).max().expect("points").max(newest);
            assert!(pair.send_bytes(0, body).expect("the model agrees"), "{run}");
        }
        let expected = values(&pair.cut(newest + SECOND).expect("the model agrees").cumulative);
        assert!(!expected.is_empty(), "{run}");
        for way in 0..7 {
            let got = through_the_binary(way, &exports);
            for (key, value) in &expected {
                assert_eq!(
                    got.get(key),
                    Some(value),
                    "{run}, way {way}: {} of {}",
                    key.group.name,
                    key.group.scope_name
                );
            }
            assert_eq!(got.len(), expected.len(), "{run}, way {way}");
            files += exports.len();
        }
        series += expected.len();
    }
    println!("{files} requests sent, in seven encodings of {}; {series} series compared each time", files / 7);
    assert!(files >= 7 * 56, "only {files} requests");
}
