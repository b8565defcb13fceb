//! One client takes all groups; what newcomers count arrives all the same (M30), and the ledger balances.

use crate::common;

use crate::binary::backend::Backend;
use crate::binary::process::{Catchment, wall_ns};
use crate::binary::traffic::Total;
use crate::common::{gauge, int, number, request_of, sum};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use prost::Message;

/// More than `--group-limit`.
const NAMES: usize = 110_000;

#[test]
fn deltas_of_newcomers_arrive_while_one_client_holds_all_groups() {
    let backend = Backend::start();
    let out = backend.url("temporality=delta");
    let catchment = Catchment::start(&["--shards", "1", "--interval", "1s", "--group-limit", "100000", "--out", &out]);
    let now = wall_ns();
    let count = |name: &str, value| sum(name, 1, true, vec![number(&[("k", "v")], now - 1, now, int(value))]);
    let mut http = catchment.http();
    let mut send = |service: &str, metrics: Vec<Metric>| {
        let reply = http.export(&request_of(service, metrics).encode_to_vec()).expect("an answer");
        assert_eq!(reply.status, 200, "{reply:?}");
        String::from_utf8_lossy(&reply.body).into_owned()
    };
    for from in (0..NAMES).step_by(11_000) {
        let names = (from..from + 11_000).map(|i| count(&format!("name.{i}"), 1)).collect();
        assert_eq!(send("attacker", names), "");
    }
    // both a name that nobody else has and one that somebody has
    assert_eq!(send("newcomer", vec![count("requests", 7), count("name.5", 9)]), "");
    // what has a state is rejected by name, and so is said
    let answer = send("newcomer", vec![gauge("level", vec![number(&[], 0, now, int(1))])]);
    assert!(answer.contains("group limit reached: raise --group-limit") && answer.contains("newcomer"), "{answer}");

    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("; balanced"), "{ended:?}");
    backend.with(|received| {
        let total = |name: &str| -> f64 {
            let of = received.series.iter().filter(|((metric, _), _)| metric == name);
            of.flat_map(|(_, points)| points).map(value).sum()
        };
        let all: f64 = received.series.values().flatten().map(value).sum();
        assert_eq!(all, (NAMES + 7 + 9) as f64, "what was counted is what arrived");
        assert_eq!(total("catchment.overflow.sum"), 10_007.0);
        assert_eq!(total("name.5"), 10.0);
    });
}

fn value(point: &common::Any) -> f64 {
    let Total::Number(n) = Total::of(point) else { panic!("a sum") };
    n
}
