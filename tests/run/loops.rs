//! Instances that send to each other: a chain passes, a circle is cut.

use crate::binary::backend::{Backend, Received};
use crate::binary::process::{Catchment, samples, total, until, wall_ns};
use crate::common::{Any, int, number, request, sum};
use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use prost::Message;

const POINTS: u64 = 50;

fn send(catchment: &Catchment) {
    let now = wall_ns();
    let point = |i: u64| number(&[("i", &i.to_string())], now - 1, now, int(1));
    let body = request(vec![sum("n", 1, true, (0..POINTS).map(point).collect())]).encode_to_vec();
    assert_eq!(catchment.grpc().export(&body).unwrap().status, 0);
}

/// Two that point at each other, over either protocol: what was sent to one goes to the other, and not back.
#[test]
fn what_two_instances_send_to_each_other_does_not_come_back() {
    // an address that only this test has, for who has to be known before it is there
    let id = std::process::id();
    let host = format!("127.{}.{}.{}", 64 + (id >> 16) % 64, (id >> 8) % 256, 2 + id % 250);
    for (port, to_second, to_first) in [("4317", "otlp-grpc", "otlp-http"), ("4318", "otlp-http", "otlp-grpc")] {
        let door = format!("{host}:{port}");
        let out = format!("{to_second}://{door}?temporality=delta");
        let first = Catchment::start(&["--shards", "1", "--interval", "200ms", "--out", &out]);
        let back = if to_first == "otlp-grpc" { first.ports.otlp_grpc } else { first.ports.otlp_http };
        let out = format!("{to_first}://{}?temporality=delta", back.unwrap());
        let second = Catchment::start(&["--shards", "1", "--interval", "200ms", "--otlp-grpc", &door, "--out", &out]);
        send(&first);
        let (mut one, mut two) = (first.admin(), second.admin());
        until("what comes back is refused", || {
            let ledger = two.get("/ledger").json();
            let row = ledger["destinations"].as_object().unwrap().values().next().unwrap().clone();
            (row["dropped"]["refused_by_destination"] == POINTS).then_some(())
        });
        let mut cuts = || total(&samples(one.get("/metrics").text()), "catchment_cuts_total");
        let begun = cuts();
        until("several cuts more", || (cuts() >= begun + 5.0).then_some(()));
        for admin in [&mut one, &mut two] {
            let ledger = admin.get("/ledger").json();
            assert_eq!((&ledger["received"], &ledger["balanced"]), (&POINTS.into(), &true.into()), "{ledger}");
        }
        let ended = second.terminate();
        assert_eq!(ended.code(), 3, "{ended:?}");
        assert!(ended.stderr.lines().any(|line| line.contains("WARN") && line.contains("a loop: ")), "{ended:?}");
        assert_eq!(first.terminate().code(), 0);
    }
}

#[test]
fn a_chain_passes() {
    let backend = Backend::start();
    let top = Catchment::start(&["--shards", "1", "--interval", "200ms", "--out", &backend.url("temporality=delta")]);
    let out = format!("otlp-grpc://{}?temporality=delta", top.ports.otlp_grpc.unwrap());
    let gateway = Catchment::start(&["--shards", "1", "--interval", "200ms", "--out", &out]);
    let out = format!("otlp-http://{}?temporality=delta", gateway.ports.otlp_http.unwrap());
    let edge = Catchment::start(&["--shards", "1", "--interval", "200ms", "--out", &out]);
    send(&edge);
    send(&gateway);
    // where both come in one interval they leave as one
    let sum = |point: &Any| match point {
        Any::Number(NumberDataPoint { value: Some(Value::AsInt(value)), .. }) => *value,
        _ => panic!("an integer: {point:?}"),
    };
    let all = |received: &Received| received.series.values().flatten().map(sum).sum::<i64>();
    backend.wait("all that was sent", |received| all(received) == 2 * POINTS as i64);
    for catchment in [edge, gateway, top] {
        assert_eq!(catchment.terminate().code(), 0);
    }
    assert_eq!(backend.with(all), 2 * POINTS as i64, "and no more");
}
