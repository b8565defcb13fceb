//! Every recorded request through the binary in every encoding of every protocol: what comes out is the same, whichever way
//! it went in. (That it is right is `corpus`'s.)

use crate::recorded;

use crate::binary::process::{Catchment, Folder, Grpc, Http};
use crate::otlp_json_support::judge::{differ, respell};
use catchment::otlp::json_in::read_json;
use catchment::otlp::json_out::write_json;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;

const PATH: &str = "/v1/metrics";

struct Recorded {
    name: String,
    points: u64,
    protobuf: Vec<u8>,
    json: Vec<u8>,
}

fn both_formats(recorded: recorded::Recorded) -> Recorded {
    let recorded::Recorded { name, body, is_json, points, message } = recorded;
    let (mut protobuf, mut text) = (Vec::new(), Vec::new());
    if is_json {
        read_json(&body, &mut protobuf, usize::MAX, |_| true).expect("an SDK's JSON");
    } else {
        protobuf.clone_from(&body);
    }
    write_json(&protobuf, &mut text).expect("an SDK's protobuf");
    // `serde_json` misses some doubles by their last bits, so its text is not sent, only compared
    let printed = differ(&serde_json::from_slice(&text).expect("JSON"), &respell(&message, ""), "");
    assert_eq!(printed, None, "{name}: what the official library read");
    let json = if is_json { body } else { text };
    Recorded { points, name, protobuf, json }
}

fn pack(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(bytes, 3).unwrap(),
        _ => bytes.to_vec(),
    }
}

/// A client of one protocol.
enum Client {
    Http1(Http),
    Http2(Grpc),
    Grpc(Grpc),
}

impl Client {
    /// Sends it; panics unless it is taken whole.
    fn send(&mut self, recorded: &Recorded, format: &str, coding: &str) {
        let plain = if format == "json" { &recorded.json } else { &recorded.protobuf };
        let body = pack(coding, plain);
        let content_type = if format == "json" { "application/json" } else { "application/x-protobuf" };
        let mut headers = vec![("content-type", content_type)];
        if coding != "identity" {
            headers.push(("content-encoding", coding));
        }
        let context = format!("{} as {format}, {coding}", recorded.name);
        let reply = match self {
            Client::Http1(http) => http.post_with(PATH, &headers, &body).unwrap(),
            Client::Http2(http) => http.post(PATH, &headers, &body).unwrap(),
            Client::Grpc(grpc) => {
                let headers = if coding == "identity" { &[][..] } else { &[("grpc-encoding", coding)][..] };
                let reply = grpc.export_with(headers, &body).unwrap();
                assert_eq!((reply.status, reply.body), (0, Vec::new()), "{context}: {}", reply.message);
                return;
            }
        };
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(content_type)), "{context}");
        assert_eq!(reply.body, if format == "json" { &b"{}"[..] } else { b"" }, "{context}");
    }
}

/// The last point of each series, without its times, which tell of the process.
fn series(lines: &str) -> BTreeMap<String, Value> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut all = BTreeMap::new();
    for line in lines.lines() {
        let request: Value = serde_json::from_str(line).expect("a line of JSON");
        for resource in list(&request, "resourceMetrics") {
            for scope in list(&resource, "scopeMetrics") {
                for metric in list(&scope, "metrics") {
                    let kind = ["sum", "gauge", "histogram", "exponentialHistogram", "summary"]
                        .into_iter()
                        .find(|kind| metric.get(kind).is_some())
                        .expect("a kind");
                    for mut point in list(&metric[kind], "dataPoints") {
                        let point = point.as_object_mut().expect("a point");
                        point.remove("timeUnixNano");
                        point.remove("startTimeUnixNano");
                        let of = [&resource["resource"], &scope["scope"], &metric["name"], &kind.into()];
                        let mut attributes = point.remove("attributes").unwrap_or_default();
                        if let Some(attributes) = attributes.as_array_mut() {
                            attributes.sort_by_key(Value::to_string);
                        }
                        all.insert(format!("{of:?} {attributes}"), Value::Object(point.clone()));
                    }
                }
            }
        }
    }
    all
}

/// R1, R13, R17, R26, J1 to J8: every recorded request, protobuf and JSON, plain, gzip and zstd, over HTTP/1.1, HTTP/2 and
/// gRPC, each way through a process of its own.
#[test]
fn every_encoding_of_every_recorded_request_comes_out_the_same() {
    let requests: Vec<Recorded> = recorded::recorded().into_iter().map(both_formats).collect();
    let points: u64 = requests.iter().map(|request| request.points).sum();
    let mut expected: Option<BTreeMap<String, Value>> = None;
    let mut sent = 0;
    for protocol in ["HTTP/1.1", "HTTP/2", "gRPC"] {
        for format in ["protobuf", "json"] {
            for coding in ["identity", "gzip", "zstd"] {
                if (protocol, format) == ("gRPC", "json") {
                    continue;
                }
                let folder = Folder::new();
                let file = folder.path("out.jsonl");
                let out = format!("file:{}", file.display());
                let catchment = Catchment::start(&["--shards", "1", "--interval", "1h", "--out", &out]);
                // either door takes both
                let other = catchment.ports.otlp_grpc.unwrap();
                let mut client = match protocol {
                    "HTTP/1.1" => {
                        Client::Http1(if coding == "gzip" { Http::connect(other).unwrap() } else { catchment.http() })
                    }
                    "HTTP/2" => Client::Http2(Grpc::connect(catchment.ports.otlp_http.unwrap()).unwrap()),
                    _ => Client::Grpc(catchment.grpc()),
                };
                for request in &requests {
                    client.send(request, format, coding);
                    sent += 1;
                }
                let ledger = catchment.admin().get("/ledger?verify=1").json();
                let context = format!("{protocol}, {format}, {coding}: {ledger}");
                assert_eq!((&ledger["received"], &ledger["applied"]), (&points.into(), &points.into()), "{context}");
                assert_eq!(ledger["balanced"], true, "{context}");
                let ended = catchment.terminate();
                assert_eq!(ended.code(), 0, "{ended:?}");
                assert!(ended.ledger().ends_with("balanced"), "{context}: {ended:?}");
                let got = series(&std::fs::read_to_string(&file).unwrap());
                assert!(got.len() > 20, "{context}: {} series", got.len());
                match &expected {
                    None => expected = Some(got),
                    Some(expected) => {
                        let differ = expected.iter().find(|(key, value)| got.get(*key) != Some(value));
                        assert!(differ.is_none(), "{context}: {differ:?}, {:?}", differ.map(|(key, _)| got.get(key)));
                        assert_eq!(got.len(), expected.len(), "{context}");
                    }
                }
            }
        }
    }
    println!("{} recorded requests, {sent} sent, {points} points each way", requests.len());
    assert!(requests.len() >= 56 && sent == 15 * requests.len());
}
