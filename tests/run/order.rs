//! Order at a destination that fails at random: no series goes back in time there.

use crate::binary::backend::serve;
use crate::binary::process::{Catchment, until, wall_ns};
use crate::common::{int, number, request, sum};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// Series: several requests for each shard at a cut.
const SERIES: u64 = 9_000;

#[derive(Default)]
struct Sink {
    requests: u64,
    failed: [u64; 2],
    /// Newest time of each series.
    newest: BTreeMap<String, u64>,
    /// Series that went back in time.
    back: Vec<String>,
    points: u64,
}

impl Sink {
    /// Answers one request: 500 or 503 at random, which it does not take.
    fn answer(&mut self, body: &[u8]) -> u16 {
        self.requests += 1;
        let chance = self.requests.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        for (at, status) in [500, 503].into_iter().enumerate() {
            if chance % 8 == at as u64 {
                self.failed[at] += 1;
                return status;
            }
        }
        let request = ExportMetricsServiceRequest::decode(body).unwrap();
        for metric in request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics) {
            let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
            for point in &sum.data_points {
                self.points += 1;
                let newest = self.newest.entry(format!("{:?}", point.attributes)).or_default();
                if point.time_unix_nano <= *newest {
                    self.back.push(format!("{:?}: {} after {newest}", point.attributes, point.time_unix_nano));
                }
                *newest = point.time_unix_nano;
            }
        }
        200
    }
}

/// A sink that answers 500 and 503 at random, over several connections, with one shard and with several: what it takes of a
/// series is newer than all that it took before, over retries, splits into requests, and the end of the process.
#[test]
fn e10_no_series_goes_back_in_time_at_a_sink_that_fails_at_random() {
    for shards in ["1", "3"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let out = format!("otlp-http://{}?in-flight=8&compression=none", listener.local_addr().unwrap());
        let sink = Arc::<Mutex<Sink>>::default();
        let state = sink.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = state.clone();
                std::thread::spawn(move || serve(stream, |body| state.lock().unwrap().answer(&body)));
            }
        });
        let flags = ["--shards", shards, "--interval", "200ms", "--temporality", "cumulative", "--out", &out];
        let catchment = Catchment::start(&flags);
        let client = catchment.grpc();
        until("enough has come, and failed", || {
            let now = wall_ns();
            for from in (0..SERIES).step_by(3_000) {
                let point = |n: u64| number(&[("i", &n.to_string())], now - 1, now, int(1));
                let points = (from..from + 3_000).map(point).collect();
                let body = request(vec![sum("n", 1, true, points)]).encode_to_vec();
                assert_eq!(client.export(&body).unwrap().status, 0);
            }
            let sink = sink.lock().unwrap();
            (sink.points >= 5 * SERIES && sink.failed.iter().all(|count| *count >= 4)).then_some(())
        });
        let ended = catchment.terminate();
        assert!([0, 3].contains(&ended.code()), "{ended:?}");
        let sink = sink.lock().unwrap();
        assert!(sink.back.is_empty(), "{} went back, such as {}", sink.back.len(), sink.back[0]);
    }
}
