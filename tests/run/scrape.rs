//! The scrape page and the admin door of the real binary: right values within an interval, pages that parse while
//! load runs, each a snapshot (X20).

use crate::binary::process::{Catchment, Http, samples, total, until, wall_ns};
use crate::binary::traffic::{BOUNDS, Client, Rule, SHARED, Total, key, rule, totals};
use crate::common::each_point;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

type Page = BTreeMap<String, f64>;

fn scrape(http: &mut Http) -> Page {
    let reply = http.get("/metrics");
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"), "{reply:?}");
    samples(reply.text()).into_iter().collect()
}

/// Labels of the one sample of `name` that has `part` among them.
fn labels<'a>(page: &'a Page, name: &str, part: &str) -> Option<&'a str> {
    let open = format!("{name}{{");
    let mut found = page.keys().filter(|series| series.starts_with(&open) && series.contains(part));
    let first = found.next()?;
    assert!(found.next().is_none(), "one sample of {name} with {part}");
    Some(&first[name.len()..])
}

fn value(page: &Page, name: &str, client: &str, part: &str) -> f64 {
    let client = format!("client=\"{client}\"");
    let mut found = page.iter().filter(|(series, _)| {
        series.split('{').next() == Some(name) && series.contains(&client) && series.contains(part)
    });
    let (_, value) = found.next().unwrap_or_else(|| panic!("{name} {client} {part} in {page:#?}"));
    assert!(found.next().is_none(), "one sample of {name} {client} {part}");
    *value
}

/// A family's name on the page: unit 1.
fn page_name(metric: &str) -> String {
    let name = metric.replace('.', "_");
    match (metric, rule(metric)) {
        (_, Rule::Newest) if metric.starts_with("gauge") => format!("{name}_ratio"),
        (_, Rule::Newest) => name,
        _ if metric.starts_with("histogram") || metric.starts_with("exponential") => name,
        _ => format!("{name}_total"),
    }
}

fn shows(page: &Page, metric: &str, client: &str, want: &Total) {
    let name = page_name(metric);
    let whole = |part: &str| value(page, &format!("{name}_{part}"), client, "");
    match want {
        Total::Number(want) => assert_eq!(value(page, &name, client, ""), *want, "{metric}"),
        Total::Histogram { count, sum, buckets } => {
            assert_eq!((whole("count"), whole("sum")), (*count as f64, *sum), "{metric}");
            let mut running = 0;
            for (bound, n) in BOUNDS.iter().zip(buckets) {
                running += n;
                let le = format!("le=\"{bound:?}\"");
                assert_eq!(value(page, &format!("{name}_bucket"), client, &le), running as f64, "{metric} {le}");
            }
            assert_eq!(value(page, &format!("{name}_bucket"), client, "le=\"+Inf\""), *count as f64, "{metric}");
        }
        Total::Exponential { count, sum, .. } => {
            assert_eq!((whole("count"), whole("sum")), (*count as f64, *sum), "{metric}");
            assert_eq!(value(page, &format!("{name}_bucket"), client, "le=\"+Inf\""), *count as f64, "{metric}");
        }
    }
}

#[test]
fn after_one_interval_the_page_shows_right_values_of_every_kind() {
    for shards in ["1", "4"] {
        let catchment = Catchment::start(&["--shards", shards, "--interval", "200ms"]);
        let mut page = catchment.scraper();
        assert_eq!(scrape(&mut page), Page::new(), "nothing invented before the first point");
        let start = wall_ns();
        let rounds = [3u64, 2, 5];
        for (i, rounds) in rounds.iter().enumerate() {
            let mut client = Client::new(i as u64, start);
            let (mut http, grpc) = (catchment.http(), catchment.grpc());
            for round in 0..*rounds {
                let request = client.next(wall_ns()).encode_to_vec();
                if round % 2 == 0 {
                    assert_eq!(http.export(&request).unwrap().status, 200);
                } else {
                    assert_eq!(grpc.export(&request).unwrap().status, 0);
                }
            }
        }
        let mut admin = catchment.admin();
        let wait_begun = Instant::now();
        until("all points are merged", || (admin.get("/ledger").json()["open"] == 0).then_some(()));
        let now = scrape(&mut page);
        assert!(wait_begun.elapsed() < Duration::from_secs(10), "one interval, and the time to ask");
        let wanted = totals(&rounds);
        for (metric, want_key, want) in wanted.iter().map(|(k, want)| (&k.0, k, want)) {
            let clients = ["0", "1", "2", SHARED];
            let client = clients.iter().find(|client| key(metric, client) == *want_key).unwrap();
            shows(&now, metric, client, want);
        }
        // and nothing else but the target's own row
        let families: BTreeSet<&str> = now.keys().map(|series| series.split('{').next().unwrap()).collect();
        let metrics: BTreeSet<&str> = wanted.keys().map(|(metric, _)| metric.as_str()).collect();
        let known: BTreeSet<String> = metrics.iter().map(|metric| page_name(metric)).collect();
        for family in families {
            let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| family.strip_suffix(end));
            let is_known = known.contains(family) || stem.is_some_and(|stem| known.contains(stem));
            assert!(is_known || family == "target_info", "{family} came from nowhere");
        }
        assert!(labels(&now, "rounds_total", "client=\"0\"").unwrap().contains("job=\"svc\""));
        assert_eq!(catchment.terminate().code(), 0);
    }
}

/// One page after another of the same reader: counters rise, +Inf is the count, nothing goes away.
fn check_snapshot(before: &Page, page: &Page) {
    for (series, value) in page {
        let name = series.split('{').next().unwrap();
        let rises = ["_total", "_bucket", "_count"].iter().any(|end| name.ends_with(end));
        if let (true, Some(before)) = (rises, before.get(series)) {
            assert!(value >= before, "{series} fell from {before} to {value}");
        }
        if let Some(stem) = name.strip_suffix("_count") {
            let labels = &series[name.len()..];
            let inner = labels.trim_start_matches('{').trim_end_matches('}');
            let buckets: Vec<f64> = page
                .range(format!("{stem}_bucket")..)
                .take_while(|(bucket, _)| bucket.starts_with(&format!("{stem}_bucket{{")))
                .filter(|(bucket, _)| bucket.contains(inner) && bucket.contains("le=\"+Inf\""))
                .map(|(_, value)| *value)
                .collect();
            assert_eq!(buckets, [*value], "+Inf is the count of {series}");
        }
    }
    for series in before.keys() {
        assert!(page.contains_key(series), "{series} is gone, though nothing expired");
    }
}

/// What a page says of a client: rounds, and what the rounds add up to.
type Seen = (u64, u64, [f64; 3]);

fn seen(page: &Page) -> Vec<Seen> {
    let of = |client: u64| {
        let label = format!("client=\"{client}\"");
        labels(page, "rounds_total", &label)?;
        let get = |metric| value(page, &page_name(metric), &client.to_string(), "");
        Some((client, get("rounds") as u64, ["delta.int", "cumulative.double", "gauge.int"].map(get)))
    };
    (0..SENDERS).filter_map(of).collect()
}

/// A request is in one interval, whole, and a page is of one cut: the series of a client agree about its round.
fn check_rounds(seen: &[Seen]) {
    for number in 0..SENDERS {
        let wanted: BTreeMap<u64, [f64; 3]> = seen.iter().filter(|s| s.0 == number).map(|s| (s.1, s.2)).collect();
        assert!(!wanted.is_empty(), "client {number} was seen");
        let (mut client, mut delta, mut round) = (Client::new(number, 1), 0.0, 0);
        for (rounds, have) in wanted {
            let mut last = [0.0; 2];
            while round < rounds {
                round += 1;
                for (name, attributes, point) in each_point(&client.next(round + 1)) {
                    if (name.clone(), attributes) != key(&name, &number.to_string()) {
                        continue;
                    }
                    match (name.as_str(), Total::of(&point)) {
                        ("delta.int", Total::Number(n)) => delta += n,
                        ("cumulative.double", Total::Number(n)) => last[0] = n,
                        ("gauge.int", Total::Number(n)) => last[1] = n,
                        _ => {}
                    }
                }
            }
            assert_eq!(have, [delta, last[0], last[1]], "client {number} after {rounds} rounds");
        }
    }
}

const SENDERS: u64 = 4;

#[test]
fn scrapes_under_load_parse_and_are_snapshots() {
    for shards in ["1", "3"] {
        let catchment = Catchment::start(&["--shards", shards, "--interval", "100ms"]);
        let over = AtomicBool::new(false);
        let (scrapes, broken) = (AtomicU64::new(0), AtomicU64::new(0));
        let all_seen = Mutex::new(Vec::new());
        let start = wall_ns();
        let end = Instant::now() + Duration::from_secs(2);
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|i| {
                    let catchment = &catchment;
                    scope.spawn(move || {
                        let (mut http, mut client) = (catchment.http(), Client::new(i, start));
                        while Instant::now() < end {
                            assert_eq!(http.export(&client.next(wall_ns()).encode_to_vec()).unwrap().status, 200);
                        }
                    })
                })
                .collect();
            for _ in 0..3 {
                scope.spawn(|| {
                    let (mut http, mut before) = (catchment.scraper(), Page::new());
                    while !over.load(SeqCst) {
                        let Ok(reply) = http.try_get("/metrics") else {
                            // two cuts went by while it was read: broken off, never half a page
                            broken.fetch_add(1, SeqCst);
                            http = catchment.scraper();
                            continue;
                        };
                        assert_eq!(reply.status, 200);
                        let page: Page = samples(reply.text()).into_iter().collect();
                        check_snapshot(&before, &page);
                        all_seen.lock().unwrap().extend(seen(&page));
                        before = page;
                        scrapes.fetch_add(1, SeqCst);
                    }
                });
            }
            scope.spawn(|| {
                let (mut admin, mut before) = (catchment.admin(), Page::new());
                // on a busy machine the first turn of a loop comes after the banner; from then on all stay ready
                until("each loop has turned", || (admin.get("/readyz").status == 200).then_some(()));
                while !over.load(SeqCst) {
                    let page: Page = samples(admin.get("/metrics").text()).into_iter().collect();
                    for (series, value) in &page {
                        let name = series.split('{').next().unwrap();
                        if ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end)) {
                            assert!(value >= before.get(series).unwrap_or(&0.0), "{series}");
                        }
                    }
                    before = page;
                    assert_eq!(admin.get("/readyz").status, 200);
                }
            });
            let ended: Vec<_> = senders.into_iter().map(|sender| sender.join()).collect();
            over.store(true, SeqCst);
            assert!(ended.into_iter().all(|end| end.is_ok()), "a sender failed");
        });
        check_rounds(&all_seen.into_inner().unwrap());
        let (scrapes, broken) = (scrapes.into_inner(), broken.into_inner());
        assert!(scrapes >= 10, "{scrapes} scrapes, {broken} broken off");
        let mut admin = catchment.admin();
        let page = samples(admin.get("/metrics").text());
        assert_eq!(total(&page, "catchment_scrapes_superseded_total"), broken as f64);
        assert!(total(&page, "catchment_scrapes_total") >= scrapes as f64);
        assert_eq!(catchment.terminate().code(), 0);
    }
}

#[test]
fn the_admin_door_has_its_pages_and_no_others() {
    for shards in ["1", "3"] {
        let catchment = Catchment::start(&["--shards", shards]);
        let mut admin = catchment.admin();
        let metrics = admin.get("/metrics");
        assert_eq!(metrics.status, 200);
        let page = samples(metrics.text());
        for name in [
            "catchment_points_received_total",
            "catchment_points_rejected_total",
            "catchment_requests_answered_total",
            "catchment_request_seconds_bucket",
            "catchment_loop_turns_total",
            "catchment_index_entries",
            "catchment_series_limit",
            "catchment_cuts_total",
            "catchment_build_info",
            "process_resident_memory_bytes",
        ] {
            assert!(page.iter().any(|(series, _)| series.split('{').next() == Some(name)), "{name}");
        }
        let by_shard = page.iter().filter(|(series, _)| series.starts_with("catchment_loop_turns_total{"));
        assert_eq!(by_shard.count().to_string(), shards);
        assert_eq!(admin.get("/healthz").status, 200);
        until("every loop to have turned", || (admin.get("/readyz").status == 200).then_some(()));
        let ledger = admin.get("/ledger");
        assert_eq!(ledger.header("content-type"), Some("application/json"));
        let ledger = ledger.json();
        for key in ["received", "applied", "rejected", "discarded", "open", "emitted", "destinations", "balanced", "by"]
        {
            assert!(ledger.get(key).is_some(), "{key} in {ledger}");
        }
        for path in ["/nothing", "/metrics/", "/ledger/x", "/v1/metrics"] {
            assert_eq!(admin.get(path).status, 404, "{path}");
        }
        let mut scraper = catchment.scraper();
        for path in ["/", "/ledger", "/healthz", "/nothing"] {
            assert_eq!(scraper.get(path).status, 404, "{path}");
        }
        assert_eq!(catchment.terminate().code(), 0);
    }
}

/// The loop's stalls can be read off the page: the histogram is whole and in order, agrees with the counter of turns over
/// 1 ms, holds no waiting, and answers p99.9 to a factor of two; cut, merge and encode time are told apart.
#[test]
fn the_admin_page_tells_stalls_and_what_cuts_cost() {
    let catchment = Catchment::start(&["--shards", "1", "--interval", "200ms", "--out", "stdout"]);
    let (mut admin, mut client) = (catchment.admin(), Client::new(0, wall_ns()));
    let grpc = catchment.grpc();
    // parts of the page are read one after the other while the loop turns: it has to be right now and then
    until("a page on which everything agrees", || {
        for _ in 0..20 {
            assert_eq!(grpc.export(&client.next(wall_ns()).encode_to_vec()).unwrap().status, 0);
        }
        let page = samples(admin.get("/metrics").text());
        let get = |name: &str| {
            let is_it = |series: &str| series.split('{').next() == Some(name);
            page.iter().find(|(series, _)| is_it(series)).unwrap_or_else(|| panic!("{name}")).1
        };
        let parts = ["cut", "merge", "encode"].map(|part| get(&format!("catchment_{part}_seconds_total")));
        let buckets: Vec<(f64, f64)> = page
            .iter()
            .filter_map(|(series, value)| {
                let rest = series.strip_prefix("catchment_loop_turn_seconds_bucket{")?;
                let le = rest.split("le=\"").nth(1)?.trim_end_matches("\"}");
                Some((le.replace("+Inf", "inf").parse().unwrap(), *value))
            })
            .collect();
        let (count, sum) = (get("catchment_loop_turn_seconds_count"), get("catchment_loop_turn_seconds_sum"));
        assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{buckets:?}");
        assert!(buckets.windows(2).all(|pair| pair[1].0 == 2.0 * pair[0].0 || pair[1].0.is_infinite()), "{buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)));
        // bounds a factor of two apart, with 1 ms in the middle: a percentile is known to that factor
        let up_to = |bound: f64| buckets.iter().find(|(le, _)| (le - bound).abs() < 1e-9).expect("a bucket").1;
        let long = get("catchment_loop_turns_over_1ms_total");
        let agrees = count == get("catchment_loop_turns_total")
            && count - up_to(1024e-6) <= long
            && long <= count - up_to(512e-6)
            && get("catchment_loop_turn_max_seconds") <= sum
            && sum < get("catchment_uptime_seconds")
            && parts.iter().sum::<f64>() < sum;
        (agrees && parts.iter().all(|part| *part > 0.0)).then_some(())
    });
    assert_eq!(catchment.terminate().code(), 0);
}
