//! Truncated requests with new names, by the thousand: nothing of them stays. `CATCHMENT_FULL=1` sends all 100,000.

use crate::binary::process::{Catchment, Http, full, samples, total, wall_ns};
use crate::common::{int, number, request_of, sum};
use prost::Message;

/// Growth of resident memory allowed for, bytes: buffers of connections, pages of the allocator.
const GROWTH_MAX: f64 = 4.0 * 1024.0 * 1024.0;

/// A request with names never seen before.
fn fresh(n: u64) -> Vec<u8> {
    let (service, metric, value) = (format!("service-{n}"), format!("metric.{n}"), format!("value-{n}"));
    let now = wall_ns();
    let points = (0..4).map(|i| number(&[("key", &format!("{value}-{i}"))], now - 1, now, int(1))).collect();
    request_of(&service, vec![sum(&metric, 1, true, points)]).encode_to_vec()
}

fn page(admin: &mut Http) -> Vec<(String, f64)> {
    samples(admin.get("/metrics").text())
}

#[test]
fn truncated_requests_leave_nothing_behind() {
    for shards in ["1", "3"] {
        let catchment = Catchment::start(&["--shards", shards]);
        let (mut admin, mut http, grpc) = (catchment.admin(), catchment.http(), catchment.grpc());
        // what is well-formed is applied before, between and after
        assert_eq!(http.export(&fresh(0)).unwrap().status, 200);
        let requests: u64 = if full() { 100_000 } else { 1_000 };
        let warm_up = requests / 10;
        let mut before = Vec::new();
        for n in 1..=requests {
            let whole = fresh(n);
            // every place to cut at, in turn; the outermost length is always wrong then
            let cut = 1 + (n as usize * 7) % (whole.len() - 1);
            let reply = http.export(&whole[..cut]).unwrap_or_else(|error| panic!("request {n}: {error}"));
            assert_eq!(reply.status, 400, "request {n}, cut at {cut} of {}", whole.len());
            if n % 100 == 0 {
                let reply = grpc.export(&whole[..cut]).unwrap();
                assert_eq!(reply.status, 3, "INVALID_ARGUMENT: {reply:?}");
                assert!(!reply.message.is_empty());
            }
            if n == warm_up {
                before = page(&mut admin);
            }
        }
        let after = page(&mut admin);
        for name in [
            "catchment_series",
            "catchment_groups",
            "catchment_routes",
            "catchment_index_entries",
            "catchment_index_bytes",
            "catchment_cell_bytes",
            "catchment_series_created_total",
        ] {
            assert_eq!(total(&after, name), total(&before, name), "{name}");
        }
        assert_eq!(total(&after, "catchment_series"), 4.0);
        let memory = |page: &_| total(page, "process_resident_memory_bytes");
        let growth = memory(&after) - memory(&before);
        assert!(growth <= GROWTH_MAX, "memory grew by {growth} bytes over {} requests", requests - warm_up);
        assert_eq!(total(&after, "catchment_requests_malformed_total"), (requests + requests / 100) as f64);
        let ledger = admin.get("/ledger").json();
        for (key, want) in [("received", 4), ("applied", 4)] {
            assert_eq!(ledger[key], want, "{ledger}");
        }
        assert_eq!((&ledger["rejected"], &ledger["balanced"]), (&serde_json::json!({}), &true.into()), "{ledger}");
        // a request cut short and sent again whole is applied once: what retries cannot double
        let whole = fresh(0);
        assert_eq!(http.export(&whole[..whole.len() - 1]).unwrap().status, 400);
        assert_eq!(http.export(&whole).unwrap().status, 200);
        assert_eq!(admin.get("/ledger").json()["received"], 8);
        assert_eq!(total(&page(&mut admin), "catchment_series"), 4.0);
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        eprintln!("{shards} shards: {requests} truncated requests, memory grew by {growth} bytes");
    }
}
