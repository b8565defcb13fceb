//! Sixteen connections, every kind in both temporalities, many intervals: totals at the destinations equal totals
//! sent, to the unit, and the ledger balances at any moment.
//!
//! About 4 s each; `CATCHMENT_FULL=1`: 10 s.

use crate::binary;
use crate::common;

use crate::binary::backend::{Backend, Key};
use crate::binary::process::{Catchment, Grpc, Http, full, samples, until, wall_ns};
use crate::binary::traffic::{Client, POINTS, Rule, SHARED, Total, arrived, key, rule, start_of, time_of, totals};
use crate::common::{each_point, int, number, request, sum};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 16;
/// Least polls of the ledger under load.
const POLLS_MIN: u64 = 20;

enum Connection {
    Grpc(Grpc),
    Http(Http),
}

impl Connection {
    fn new(catchment: &Catchment, number: usize) -> Connection {
        if number.is_multiple_of(2) { Connection::Grpc(catchment.grpc()) } else { Connection::Http(catchment.http()) }
    }

    /// Every answer but those of `Export` is wrong.
    fn export(&mut self, request: &ExportMetricsServiceRequest) -> Export {
        let bytes = request.encode_to_vec();
        match self {
            Connection::Grpc(grpc) => {
                let Ok(reply) = grpc.export(&bytes) else { return Export::Lost };
                if reply.status == 14 && reply.message.starts_with("shutting down") {
                    return Export::Refused;
                }
                assert_eq!((reply.status, reply.body.len()), (0, 0), "{reply:?}");
            }
            Connection::Http(http) => {
                let Ok(reply) = http.export(&bytes) else { return Export::Lost };
                if reply.status == 503 && String::from_utf8_lossy(&reply.body).contains("shutting down") {
                    return Export::Refused;
                }
                assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
            }
        }
        Export::Acknowledged
    }
}

enum Export {
    Acknowledged,
    /// The process ends: applied not at all.
    Refused,
    /// The connection ended without an answer: applied whole or not at all.
    Lost,
}

/// Rounds of each client: acknowledged, and sent (at most one more).
struct Sent {
    acknowledged: Vec<u64>,
    tried: Vec<u64>,
}

/// Sends from all connections until the time is over or the connections end, polling the ledger all the while.
fn load(catchment: &Catchment, duration: Duration, at_half: impl FnOnce() + Send) -> (Sent, u64) {
    let start_ns = wall_ns();
    let end = Instant::now() + duration;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|i| {
                scope.spawn(move || {
                    let mut connection = Connection::new(catchment, i);
                    let mut client = Client::new(i as u64, start_ns);
                    let mut acknowledged = 0;
                    while Instant::now() < end {
                        let request = client.next(wall_ns());
                        match connection.export(&request) {
                            Export::Acknowledged => acknowledged += 1,
                            Export::Refused => break,
                            Export::Lost => return (acknowledged, acknowledged + 1),
                        }
                    }
                    (acknowledged, acknowledged)
                })
            })
            .collect();
        let poller = scope.spawn(|| {
            let (mut admin, mut polls, mut received) = (catchment.admin(), 0, 0);
            while !over.load(SeqCst) {
                // the admin door may close when the process ends
                let Ok(reply) = admin.try_get("/ledger") else { break };
                let ledger = reply.json();
                assert_eq!(ledger["balanced"], true, "{ledger}");
                let now = ledger["received"].as_u64().unwrap();
                assert!(now >= received, "received never decreases: {ledger}");
                received = now;
                polls += 1;
            }
            polls
        });
        scope.spawn(move || {
            let (_keep, never) = std::sync::mpsc::channel::<()>();
            let _ = never.recv_timeout(duration / 2);
            at_half();
        });
        let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        over.store(true, SeqCst);
        let (acknowledged, tried) = ended.into_iter().map(|end| end.expect("a client failed")).unzip();
        (Sent { acknowledged, tried }, poller.join().unwrap())
    })
}

fn seconds() -> Duration {
    Duration::from_secs(if full() { 10 } else { 4 })
}

/// Rounds of each client that reached a destination.
fn rounds(backend: &Backend, delta: bool) -> Vec<u64> {
    backend.with(|received| {
        let of = |i: usize| {
            let Some(points) = received.series.get(&key("rounds", &i.to_string())) else { return 0 };
            let Total::Number(n) = arrived("rounds", points, delta) else { unreachable!() };
            n as u64
        };
        (0..CONNECTIONS).map(of).collect()
    })
}

/// Everything a destination got is what it should add up to.
fn compare(backend: &Backend, delta: bool, wanted: &BTreeMap<Key, Total>) {
    backend.with(|received| {
        let (have, want): (Vec<_>, Vec<_>) = (received.series.keys().collect(), wanted.keys().collect());
        assert_eq!(have, want, "the same series");
        for (key, want) in wanted {
            let points = &received.series[key];
            assert_eq!(&arrived(&key.0, points, delta), want, "{key:?}, delta {delta}, {} points", points.len());
            times(&key.0, points, delta);
        }
    });
}

/// Times rise; deltas follow each other without gap or overlap of their own making; cumulatives keep their start.
fn times(metric: &str, points: &[common::Any], delta: bool) {
    let mut spans: Vec<(u64, u64)> = points.iter().map(|point| (start_of(point), time_of(point))).collect();
    spans.sort_by_key(|span| span.1);
    for pair in spans.windows(2) {
        assert!(pair[0].1 < pair[1].1, "{metric}: one point per time: {pair:?}");
        if delta && rule(metric) == Rule::Adds {
            assert!(pair[1].0 >= pair[0].1, "{metric}: deltas do not overlap: {pair:?}");
        } else {
            assert_eq!(pair[0].0, pair[1].0, "{metric}: a cumulative keeps its start");
        }
    }
    for (start, time) in spans {
        assert!(start < time, "{metric}: {start} < {time}");
    }
}

fn start(shards: &str, interval: &str, cumulative: &Backend, delta: &Backend) -> Catchment {
    Catchment::start(&[
        "--shards",
        shards,
        "--interval",
        interval,
        "--out",
        &cumulative.url("temporality=cumulative&compression=gzip"),
        "--out",
        &delta.url("temporality=delta"),
    ])
}

fn totals_to_the_unit(shards: &str, interval: &str) {
    let (cumulative, delta) = (Backend::start(), Backend::start());
    let catchment = start(shards, interval, &cumulative, &delta);
    let (sent, polls) = load(&catchment, seconds(), || {});
    assert_eq!(sent.acknowledged, sent.tried, "no connection was lost");
    assert!(polls >= POLLS_MIN, "{polls} polls");
    let points = sent.acknowledged.iter().sum::<u64>() * POINTS;

    let mut admin = catchment.admin();
    let ledger = until("everything is delivered", || {
        let ledger = admin.get("/ledger").json();
        assert_eq!(ledger["balanced"], true, "{ledger}");
        let destinations = ledger["destinations"].as_object().unwrap();
        let queued = destinations.values().any(|row| row["queued"] != 0);
        // between emitted and queued rows are being encoded: the ledger has seen the end once it agrees with the receivers
        let here = |backend: &Backend, delta| {
            let told = &ledger["destinations"][&format!("otlp-http://{}/v1/metrics", backend.address)]["delivered"];
            rounds(backend, delta) == sent.acknowledged && backend.with(|received| told == received.points)
        };
        (ledger["open"] == 0 && !queued && here(&cumulative, false) && here(&delta, true)).then_some(ledger)
    });
    assert_eq!(ledger["received"], points, "{ledger}");
    assert_eq!(ledger["emitted"], points, "{ledger}");
    assert_eq!(ledger["rejected"], serde_json::json!({}), "{ledger}");
    let verified = admin.get("/ledger?verify=1").json();
    assert_eq!((&verified["open"], &verified["open_counted_in_cells"]), (&0.into(), &0.into()), "{verified}");
    let cuts = binary::process::total(&samples(admin.get("/metrics").text()), "catchment_cuts_total");
    assert!(cuts >= 10.0, "many intervals: {cuts}");

    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("; balanced"), "{ended:?}");
    let wanted = totals(&sent.acknowledged);
    compare(&cumulative, false, &wanted);
    compare(&delta, true, &wanted);
    // the end added nothing
    for backend in [&cumulative, &delta] {
        let (name, got) =
            (format!("otlp-http://{}/v1/metrics", backend.address), backend.with(|received| received.points));
        assert_eq!(ledger["destinations"][&name]["delivered"], got, "{ledger}");
    }
    eprintln!("{shards} shards: {points} points, {cuts} cuts, {polls} polls of the ledger");
}

#[test]
fn totals_at_the_destination_equal_totals_sent_with_one_shard() {
    totals_to_the_unit("1", "100ms");
}

#[test]
fn totals_at_the_destination_equal_totals_sent_with_four_shards() {
    totals_to_the_unit("4", "150ms");
}

/// What was acknowledged is delivered; a request whose answer was lost is there whole or not at all.
fn sigterm_in_the_middle(shards: &str, interval: &str) {
    let (cumulative, delta) = (Backend::start(), Backend::start());
    let catchment = start(shards, interval, &cumulative, &delta);
    let id = catchment.id();
    let (sent, polls) = load(&catchment, seconds(), || binary::process::signal(id, "TERM"));
    assert!(polls >= POLLS_MIN / 2, "{polls} polls");
    let ended = catchment.wait();
    assert_eq!(ended.code(), 0, "{ended:?}");
    let reached = rounds(&cumulative, false);
    for (i, n) in reached.iter().enumerate() {
        let (low, high) = (sent.acknowledged[i], sent.tried[i]);
        assert!((low..=high).contains(n), "client {i}: {low} acknowledged, {high} sent, {n} delivered");
    }
    assert_eq!(rounds(&delta, true), reached);
    let wanted = totals(&reached);
    compare(&cumulative, false, &wanted);
    compare(&delta, true, &wanted);
    let points = reached.iter().sum::<u64>() * POINTS;
    let line = ended.ledger();
    let input = format!(
        "received {points} = applied {points} + rejected 0 + discarded 0; applied = open 0 + emitted {points}; "
    );
    assert!(line.contains(&input) && line.ends_with("; balanced"), "{input} in {line}");
    assert!(sent.acknowledged.iter().all(|n| *n > 0), "every client had begun: {:?}", sent.acknowledged);
}

#[test]
fn sigterm_in_the_middle_loses_nothing_with_one_shard() {
    sigterm_in_the_middle("1", "150ms");
}

#[test]
fn sigterm_in_the_middle_loses_nothing_with_four_shards() {
    sigterm_in_the_middle("4", "100ms");
}

/// The same series over sixteen connections and more, until every shard has had a part of it.
fn one_series_over_all_connections(shards: usize) {
    let (cumulative, delta) = (Backend::start(), Backend::start());
    // an interval that the test does not outlive: one cut, at the end, merges the cells of all shards
    let catchment = Catchment::start(&[
        "--shards",
        &shards.to_string(),
        "--interval",
        "1h",
        "--expire",
        "2h",
        "--out",
        &cumulative.url("temporality=cumulative"),
        "--out",
        &delta.url("temporality=delta"),
    ]);
    let mut admin = catchment.admin();
    let mut connections = Vec::new();
    let (mut total, mut sent) = (0, 0u64);
    until("every shard has had a request", || {
        for _ in 0..CONNECTIONS {
            let mut connection = Connection::new(&catchment, connections.len());
            for _ in 0..5 {
                sent += 1;
                total += sent as i64;
                let now = wall_ns();
                let point = number(&[("path", "/"), ("code", "200")], now - 1, now, int(sent as i64));
                let export = connection.export(&request(vec![sum("requests", 1, true, vec![point])]));
                assert!(matches!(export, Export::Acknowledged));
            }
            connections.push(connection);
        }
        let page = samples(admin.get("/metrics").text());
        let used = page.iter().filter(|(series, n)| series.starts_with("catchment_requests_total{") && *n > 0.0);
        let used = used.count();
        (used == shards).then_some(())
    });
    let ledger = admin.get("/ledger?verify=1").json();
    assert_eq!((&ledger["open"], &ledger["open_counted_in_cells"]), (&sent.into(), &sent.into()), "{ledger}");
    assert_eq!(binary::process::total(&samples(admin.get("/metrics").text()), "catchment_series"), 1.0);
    drop(connections);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    for backend in [&cumulative, &delta] {
        backend.with(|received| {
            assert_eq!((received.requests, received.points, received.series.len()), (1, 1, 1));
            let points = received.series.values().next().unwrap();
            let common::Any::Number(point) = &points[0] else { panic!("a sum") };
            assert_eq!(point.value, int(total));
        });
    }
}

#[test]
fn one_series_over_all_connections_and_shards_is_one_series() {
    one_series_over_all_connections(1);
    one_series_over_all_connections(4);
}

/// The traffic is what it says: its own totals, by hand, for one round.
#[test]
fn the_model_of_the_traffic_is_right_about_one_round() {
    let mut client = Client::new(3, 1);
    let first = each_point(&client.next(5));
    assert_eq!(first.len() as u64, POINTS);
    let totals = totals(&[0, 0, 0, 1]);
    assert_eq!(totals.len(), first.len());
    for (name, attributes, point) in first {
        assert_eq!(totals[&(name, attributes)], Total::of(&point));
    }
    assert!(totals.contains_key(&key("delta.int", SHARED)));
}
