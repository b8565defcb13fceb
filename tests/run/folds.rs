//! Rules in the real binary: the fleet of the rules' specification, its totals exact at the destinations and on the scrape
//! page, with one shard and with two, over connections that come and go and pods that are replaced; `--without`.

use crate::binary::backend::{Backend, Received};
use crate::binary::process::{Catchment, Folder, Http, command, samples, until, wall_ns};
use crate::common::{Any, attributes, gauge, histogram, histogram_point, int, number, request_of, sum};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{self as pb, number_data_point::Value};
use prost::Message as _;
use std::collections::BTreeMap;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const PODS: u64 = 6;
const ROUNDS: u64 = 5;
const BOUNDS: [f64; 3] = [1.0, 2.0, 5.0];
const ROUTES: [(&str, &str); 2] = [("/u/1a2b3c4d5e", "/u/{id}"), ("/pay", "/pay")];

const FLEET: &str = r#"
defaults: { limits: { series: 50000 } }
rules:
  - name: noise
    match: { metric: ["*.debug.*", "jvm.buffer.*"] }
    except: { resource: { service.name: [canary-*] } }
    action: drop
  - name: http-by-route
    match:
      metric: http.server.request.duration
      attributes: { deployment.environment.name: "{prod,staging}" }
      kind: [histogram, exponential_histogram]
    attributes:
      - class: http.response.status_code
      - replace: { key: http.route, regex: "/[0-9a-f]{8,}", with: "/{id}" }
      - limit: { key: http.route, values: 300, other: other }
    without: [k8s.pod.*, service.instance.id, process.pid, host.name, server.address, scope.version]
    outputs: [same]
  - name: http-in-flight
    match: { metric: http.server.active_requests }
    stale: 5m
    without: [k8s.pod.*, service.instance.id]
  - name: db-pools
    match: { metric: "db.client.connection.*" }
    stale: 5m
    attributes: [ { map: { key: db.namespace, values: { "tenant_*": tenant }, other: other } } ]
    by: [service.name, db.system.name, db.namespace, state]
    outputs: { updowncounter: [same], gauge: [sum, max], histogram: [same] }
  - name: login-errors
    match: { metric: login.attempts, attributes: { result: "~(denied|locked)" } }
    by: [service.name]
    outputs: [total]
    keep_input: true
    continue: true
  - name: pods-away
    match: { metric: "*" }
    without: [k8s.pod.*, service.instance.id, process.pid]
"#;

/// A process of the service, which counts from its own start on.
struct Pod {
    number: u64,
    /// How often it was replaced.
    life: u64,
    start_ns: u64,
    /// Of this life.
    rounds: u64,
}

impl Pod {
    fn new(number: u64, life: u64) -> Pod {
        Pod { number, life, start_ns: wall_ns(), rounds: 0 }
    }

    /// Its next export: cumulative if it is odd, but for what only goes up and down.
    fn export(&mut self) -> ExportMetricsServiceRequest {
        self.rounds += 1;
        let time_ns = wall_ns();
        let is_cumulative = self.number % 2 == 1;
        let temporality = if is_cumulative { CUMULATIVE } else { DELTA };
        let times = if is_cumulative { self.rounds } else { 1 };
        let point =
            |pairs: &[(&str, &str)], each: u64| number(pairs, self.start_ns, time_ns, int((each * times) as i64));
        let durations = ROUTES.iter().enumerate().flat_map(|(place, (route, _))| {
            ["200", "404", "503"].map(|status| {
                let counts: Vec<u64> = (0..4).map(|bucket| times * (bucket + place as u64)).collect();
                let pairs = [("http.route", *route), ("deployment.environment.name", "prod"), ("server.address", "a")];
                let mut point = histogram_point(&pairs, time_ns, &counts, &BOUNDS, 2.5 * times as f64);
                let status = any_value::Value::IntValue(status.parse().unwrap());
                point.attributes.push(KeyValue {
                    key: "http.response.status_code".into(),
                    value: Some(AnyValue { value: Some(status) }),
                    ..KeyValue::default()
                });
                (point.start_time_unix_nano, point.min, point.max) = (self.start_ns, None, None);
                point
            })
        });
        let level = |name: &str, pairs: &[(&str, &str)], value: u64| {
            sum(name, CUMULATIVE, false, vec![number(pairs, self.start_ns, time_ns, int(value as i64))])
        };
        let pool = [("db.system.name", "pg"), ("db.namespace", "tenant_7"), ("state", "idle"), ("pool", "x")];
        let metrics = vec![
            sum("a.debug.b", temporality, true, vec![point(&[], 1)]),
            histogram("http.server.request.duration", temporality, durations.collect()),
            level("http.server.active_requests", &[], 3 + self.number),
            level("db.client.connection.count", &pool, 2),
            gauge("db.client.connection.max", vec![number(&pool, 0, time_ns, int(10 + self.number as i64))]),
            sum(
                "login.attempts",
                temporality,
                true,
                vec![point(&[("result", "denied")], 2), point(&[("result", "ok")], 5)],
            ),
            sum("shop.orders", temporality, true, vec![point(&[("country", "NZ")], 7)]),
        ];
        let mut request = request_of("cart", metrics);
        let resource = request.resource_metrics[0].resource.as_mut().unwrap();
        let (pod, instance) = (format!("cart-{}", self.number), format!("{}-{}", self.number, self.life));
        resource.attributes.extend(attributes(&[("k8s.pod.name", &pod), ("service.instance.id", &instance)]));
        request
    }
}

fn send(http: &mut Http, pod: &mut Pod) {
    let reply = http.export(&pod.export().encode_to_vec()).unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
}

/// What a series came to, by name and attributes: the last value of the cumulative view, and Σ of the delta view.
#[derive(Debug, Default, PartialEq)]
struct Total(BTreeMap<(String, String), Vec<u64>>);

impl Total {
    /// Value, or buckets, of every series; doubles are whole here.
    fn of(received: &Received, adds: bool) -> Total {
        let mut totals = BTreeMap::new();
        for (key, points) in &received.series {
            let words = |point: &Any| match point {
                Any::Number(pb::NumberDataPoint { value: Some(Value::AsInt(value)), .. }) => vec![*value as u64],
                Any::Number(pb::NumberDataPoint { value: Some(Value::AsDouble(value)), .. }) => vec![*value as u64],
                Any::Histogram(point) => point.bucket_counts.clone(),
                other => panic!("{key:?}: {other:?}"),
            };
            let is_level = key.0.contains("active") || key.0.contains("connection") || key.0.ends_with(".total");
            let total = match points.iter().map(words).reduce(|sum, new| match adds && !is_level {
                true => sum.iter().zip(&new).map(|(sum, new)| sum + new).collect(),
                false => new,
            }) {
                Some(total) => total,
                None => continue,
            };
            totals.insert(key.clone(), total);
        }
        Total(totals)
    }
}

/// All that must leave after `rounds` exports of each pod, over all lives.
fn expected(rounds: u64) -> BTreeMap<String, Vec<u64>> {
    let all = rounds * PODS;
    let mut totals: BTreeMap<String, Vec<u64>> = [
        ("http.server.active_requests".to_owned(), vec![(0..PODS).map(|pod| 3 + pod).sum()]),
        ("db.client.connection.count db.namespace=tenant db.system.name=pg state=idle".into(), vec![2 * PODS]),
        (
            "db.client.connection.max.sum db.namespace=tenant db.system.name=pg state=idle".into(),
            vec![(0..PODS).map(|pod| 10 + pod).sum()],
        ),
        ("db.client.connection.max.max db.namespace=tenant db.system.name=pg state=idle".into(), vec![9 + PODS]),
        ("login.attempts.total".into(), vec![2 * all]),
        ("login.attempts result=denied".into(), vec![2 * all]),
        ("login.attempts result=ok".into(), vec![5 * all]),
        ("shop.orders country=NZ".into(), vec![7 * all]),
    ]
    .into();
    for (place, (_, route)) in ROUTES.iter().enumerate() {
        for class in ["2xx", "4xx", "5xx"] {
            let series = format!(
                "http.server.request.duration deployment.environment.name=prod http.response.status_code={class} http.route={route}"
            );
            totals.insert(series, (0..4).map(|bucket| all * (bucket + place as u64)).collect());
        }
    }
    totals
}

/// Keys as `expected` has them.
fn named(totals: &Total) -> BTreeMap<String, Vec<u64>> {
    let short = |attributes: &str| {
        let pairs = attributes.split(',').filter(|pair| !pair.is_empty());
        pairs.map(|pair| format!(" {pair}")).collect::<String>()
    };
    totals.0.iter().map(|((name, attributes), total)| (format!("{name}{}", short(attributes)), total.clone())).collect()
}

/// Everything that came has been through a cut.
fn wait_for_a_cut(catchment: &Catchment) {
    let mut admin = catchment.admin();
    until("a cut", || {
        let ledger = admin.get("/ledger").json();
        assert_eq!(ledger["balanced"], true, "{ledger}");
        (ledger["open"] == 0).then_some(())
    });
}

fn start(shards: &str, folder: &Folder, rules: &str, outs: [&str; 2]) -> Catchment {
    let path = folder.path("fleet.yaml");
    std::fs::write(&path, rules).unwrap();
    Catchment::start(&[
        "--config",
        path.to_str().unwrap(),
        "--shards",
        shards,
        "--pin",
        "off",
        "--interval",
        "200ms",
        "--out",
        outs[0],
        "--out",
        outs[1],
    ])
}

/// Two connections, pods of both temporalities, some of them replaced half-way: everybody sees the same exact totals.
#[test]
fn the_fleet_of_the_specification_comes_to_exact_totals() {
    for shards in ["1", "2"] {
        let (folder, cumulative, delta) = (Folder::new(), Backend::start(), Backend::start());
        let outs = [cumulative.url("temporality=cumulative"), delta.url("temporality=delta")];
        let catchment = start(shards, &folder, FLEET, [&outs[0], &outs[1]]);
        let mut connections = [catchment.http(), catchment.http()];
        let mut pods: Vec<Pod> = (0..PODS).map(|number| Pod::new(number, 0)).collect();
        for round in 0..ROUNDS {
            if round == 2 {
                // pods that are replaced begin anew; connections too
                connections = [catchment.http(), catchment.http()];
                pods.iter_mut().step_by(3).for_each(|pod| *pod = Pod::new(pod.number + PODS, pod.life + 1));
            }
            for pod in &mut pods {
                let connection = (pod.number + round) as usize % connections.len();
                send(&mut connections[connection], pod);
            }
            wait_for_a_cut(&catchment);
        }
        // levels are of those that live: of the replaced ones both lives count until they are stale
        let want: BTreeMap<_, _> = expected(ROUNDS).into_iter().filter(|(name, _)| !is_level(name)).collect();
        for (backend, adds) in [(&cumulative, false), (&delta, true)] {
            backend.wait("exact totals", |received| {
                let got = named(&Total::of(received, adds));
                want.iter().all(|(name, total)| got.get(name) == Some(total))
            });
            backend.with(|received| {
                let got = named(&Total::of(received, adds));
                let got: BTreeMap<_, _> = got.into_iter().filter(|(name, _)| !is_level(name)).collect();
                assert_eq!(got, want, "{shards} shards, nothing else leaves, and no pod");
            });
        }
        let page = samples(catchment.scraper().get("/metrics").text());
        let orders: Vec<_> = page.iter().filter(|(name, _)| name.starts_with("shop_orders_total{")).collect();
        assert!(orders.len() == 1 && orders[0].1 == (7 * ROUNDS * PODS) as f64, "one series: {orders:?}");
        assert!(!page.iter().any(|(name, _)| name.contains("k8s_pod_name") && !name.starts_with("target_info")));
        let ledger = catchment.admin().get("/ledger?verify=1").json();
        assert_eq!(ledger["balanced"], true, "{ledger}");
        assert_eq!(ledger["discarded"]["rule"], ROUNDS * PODS, "{ledger}");
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
    }
}

fn is_level(name: &str) -> bool {
    name.contains("active") || name.contains("connection")
}

/// Levels and gauges are those of the pods that live.
#[test]
fn levels_are_the_sum_over_pods_that_live() {
    for shards in ["1", "2"] {
        let (folder, cumulative, delta) = (Folder::new(), Backend::start(), Backend::start());
        let outs = [cumulative.url("temporality=cumulative"), delta.url("temporality=delta")];
        let catchment = start(shards, &folder, FLEET, [&outs[0], &outs[1]]);
        let mut connections = [catchment.http(), catchment.http()];
        let mut pods: Vec<Pod> = (0..PODS).map(|number| Pod::new(number, 0)).collect();
        // what is computed of an interval leaves from the first whole one on
        for _ in 0..2 {
            pods.iter_mut().for_each(|pod| send(&mut connections[pod.number as usize % 2], pod));
            wait_for_a_cut(&catchment);
        }
        let want: BTreeMap<_, _> = expected(1).into_iter().filter(|(name, _)| is_level(name)).collect();
        for backend in [&cumulative, &delta] {
            backend.wait("levels", |received| {
                let got = named(&Total::of(received, false));
                want.iter().all(|(name, total)| got.get(name) == Some(total))
            });
        }
        assert_eq!(catchment.terminate().code(), 0);
    }
}

/// The rule without a file: `--without` takes attributes away, and `--gauges` says what becomes of gauges.
#[test]
fn without_on_the_command_line_is_a_rule() {
    let backend = Backend::start();
    let mut command = command(&["run", "--without", "k8s.pod.name,service.instance.id", "--interval", "200ms"]);
    command.args(["--gauges", "sum,max", "--shards", "2", "--pin", "off", "--out", &backend.url("temporality=delta")]);
    for door in ["--otlp-grpc", "--otlp-http", "--prometheus", "--admin"] {
        command.args([door, "127.0.0.1:0"]);
    }
    let catchment = Catchment::spawn(command);
    let mut http = catchment.http();
    for _ in 0..2 {
        for number in 0..4 {
            let time_ns = wall_ns();
            let orders = sum("shop.orders", DELTA, true, vec![number_of(time_ns, 5)]);
            let depth = gauge("queue.depth", vec![number_of(time_ns, 10 + number)]);
            let mut request = request_of("cart", vec![orders, depth]);
            let resource = request.resource_metrics[0].resource.as_mut().unwrap();
            let pod = number.to_string();
            resource.attributes.extend(attributes(&[("k8s.pod.name", &pod), ("service.instance.id", &pod)]));
            assert_eq!(http.export(&request.encode_to_vec()).unwrap().status, 200);
        }
        // what is computed of an interval leaves from the first whole one on
        wait_for_a_cut(&catchment);
    }
    backend.wait("totals", |received| {
        let orders = named(&Total::of(received, true));
        let levels = named(&Total::of(received, false));
        orders.get("shop.orders") == Some(&vec![40])
            && levels.get("queue.depth.sum") == Some(&vec![46])
            && levels.get("queue.depth.max") == Some(&vec![13])
    });
    backend.with(|received| assert_eq!(received.series.len(), 3, "{:?}", received.series.keys()));
    assert_eq!(catchment.terminate().code(), 0);
}

fn number_of(time_ns: u64, value: u64) -> pb::NumberDataPoint {
    number(&[], time_ns - 1, time_ns, int(value as i64))
}
