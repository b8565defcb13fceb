//! Series that go silent for as long as they may live, and come back while they die: totals at the destinations equal
//! totals sent, to the unit, and the ledger balances at any moment.
//!
//! About 9 s; `CATCHMENT_FULL=1`: 30 s.

use crate::binary;

use crate::binary::backend::Backend;
use crate::binary::process::{Catchment, full, samples, total, until, wall_ns};
use crate::common::{Any, int, number, request, sum};
use prost::Message;
use std::time::{Duration, Instant};

const CLIENTS: usize = 4;
const SERIES: usize = 2000;
const INTERVAL: Duration = Duration::from_millis(100);
const EXPIRE: Duration = Duration::from_millis(200);

/// A point of 1 for each series; all clients feed the same ones.
fn body(names: &[String]) -> Vec<u8> {
    let now = wall_ns();
    let point = |name: &String| number(&[("path", name)], now - 1, now, int(1));
    request(vec![sum("requests", 1, true, names.iter().map(point).collect())]).encode_to_vec()
}

#[test]
fn what_comes_back_while_it_expires_is_counted_to_the_unit() {
    let (cumulative, delta) = (Backend::start(), Backend::start());
    let catchment = Catchment::start(&[
        "--shards",
        "2",
        "--interval",
        "100ms",
        "--expire",
        "200ms",
        "--out",
        &cumulative.url("temporality=cumulative"),
        "--out",
        &delta.url("temporality=delta"),
    ]);
    let names: Vec<String> = (0..SERIES).map(|i| i.to_string()).collect();
    // of about 400 ms each
    let wanted = if full() { 75 } else { 20 };
    let begun = Instant::now();
    let rounds: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS as u32)
            .map(|client| {
                let (catchment, names) = (&catchment, &names);
                scope.spawn(move || {
                    let mut http = catchment.http();
                    let mut admin = catchment.admin();
                    let (mut rounds, mut due) = (0, begun);
                    while rounds < wanted {
                        let reply = http.export(&body(names)).expect("an answer");
                        assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
                        rounds += 1;
                        let ledger = admin.get("/ledger").json();
                        assert_eq!(ledger["balanced"], true, "{ledger}");
                        // dead at the second cut behind `EXPIRE`: the return wanders over the interval before it and the one
                        // after, together with the other clients' but for some milliseconds
                        let late = Duration::from_millis(rounds * 29 % 200 + u64::from(client));
                        due += EXPIRE + INTERVAL + late;
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    }
                    rounds
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client failed")).sum()
    });
    let points = rounds * SERIES as u64;

    let mut admin = catchment.admin();
    let ledger = until("everything is emitted", || {
        let ledger = admin.get("/ledger").json();
        assert_eq!(ledger["balanced"], true, "{ledger}");
        (ledger["open"] == 0).then_some(ledger)
    });
    assert_eq!((&ledger["received"], &ledger["emitted"]), (&points.into(), &points.into()), "{ledger}");
    let verified = admin.get("/ledger?verify=1").json();
    assert_eq!(verified["open_counted_in_cells"], 0, "{verified}");
    let page = samples(admin.get("/metrics").text());
    let (expired, revived) =
        (total(&page, "catchment_series_expired_total"), total(&page, "catchment_series_revived_total"));
    assert!(expired > SERIES as f64, "series died, and came back: {expired}");

    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("; balanced"), "{ended:?}");
    delta.with(|received| {
        assert_eq!(received.series.len(), SERIES);
        for (key, got) in &received.series {
            let sum: u64 = got.iter().map(value).sum();
            assert_eq!(sum, rounds, "{key:?}: the deltas of {} points", got.len());
        }
    });
    cumulative.with(|received| {
        for (key, got) in &received.series {
            // a total that starts over after a death: the newest of each start
            let mut newest = std::collections::BTreeMap::new();
            for point in got {
                let Any::Number(n) = point else { panic!("a sum") };
                let of = newest.entry(n.start_time_unix_nano).or_insert(0);
                *of = value(point).max(*of);
            }
            assert_eq!(newest.values().sum::<u64>(), rounds, "{key:?}: the totals of {} lives", newest.len());
        }
    });
    eprintln!("{points} points, {expired} series expired, {revived} revived");
}

fn value(point: &Any) -> u64 {
    let binary::traffic::Total::Number(n) = binary::traffic::Total::of(point) else { panic!("a sum") };
    n as u64
}
