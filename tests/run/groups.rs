//! Groups of resource, scope and metric, against the binary: by default a fleet has room, and what a limit keeps out is told.

use crate::binary::process::{Catchment, samples, total, wall_ns};
use crate::common::{gauge, int, number, request_of, sum};
use prost::Message;

/// One series of each of so many metrics, of one resource.
fn pod(pod: usize, metrics: usize) -> Vec<u8> {
    let now = wall_ns();
    let point = || vec![number(&[], now - 1, now, int(1))];
    request_of(&format!("pod-{pod}"), (0..metrics).map(|i| sum(&format!("metric.{i}"), 1, true, point())).collect())
        .encode_to_vec()
}

#[test]
fn a_thousand_pods_of_a_hundred_and_twenty_metrics_have_room_by_default() {
    let catchment = Catchment::start(&["--shards", "2", "--interval", "1h", "--expire", "2h"]);
    let mut http = catchment.http();
    for i in 0..1_000 {
        let reply = http.export(&pod(i, 120)).expect("an answer");
        assert!(reply.status == 200 && reply.body.is_empty(), "pod {i}: {reply:?}");
    }
    let page = samples(catchment.admin().get("/metrics").text());
    assert_eq!((total(&page, "catchment_groups"), total(&page, "catchment_series")), (120_000.0, 120_000.0));
    assert!(total(&page, "catchment_group_limit") >= 120_000.0);
    assert_eq!(total(&page, "catchment_points_overflowed_total"), 0.0);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("; balanced"), "{ended:?}");
}

#[test]
fn a_limit_that_was_given_holds_and_is_named() {
    let catchment = Catchment::start(&["--shards", "1", "--interval", "1h", "--expire", "2h", "--group-limit", "3"]);
    let mut http = catchment.http();
    let reply = http.export(&pod(0, 3)).expect("an answer");
    assert!(reply.status == 200 && reply.body.is_empty(), "{reply:?}");
    let now = wall_ns();
    let levels = ["a", "b"].map(|name| gauge(name, vec![number(&[], 0, now, int(1))]));
    let reply = http.export(&request_of("pod-0", levels.into()).encode_to_vec()).expect("an answer");
    let words = String::from_utf8_lossy(&reply.body);
    assert!(words.contains("2 gauge point(s): group limit reached: raise --group-limit"), "{words}");
    let page = samples(catchment.admin().get("/metrics").text());
    assert_eq!((total(&page, "catchment_groups"), total(&page, "catchment_group_limit")), (3.0, 3.0));
    let ended = catchment.terminate();
    assert_eq!(ended.losses(&["group_limit"]).0, vec![2], "{ended:?}");
    assert!(ended.ledger().ends_with("; balanced"), "{ended:?}");
}
