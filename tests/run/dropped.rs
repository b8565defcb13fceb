//! Rules that drop, against the binary: what they drop is in the ledger by name, and nowhere else.

use crate::binary::process::{Catchment, command, output, samples, total, until, wall_ns};
use crate::common::{attribute, gauge, int, number, request_of, sum};
use prost::Message;
use serde_json::json;

const RULES: &str = "yaml:rules:
- {name: important, match: {resource: {service.name: canary}}, action: keep}
- {name: noise, match: {metric: '*.debug.*'}, action: drop}
- {name: health-checks, match: {metric: http.requests, attributes: {http.route: '~/(healthz|readyz)'}}, action: drop}
";

fn body(service: &str) -> Vec<u8> {
    let now = wall_ns();
    let count = |route: &str| number(&[("http.route", route)], now - 1, now, int(1));
    let metrics = vec![
        gauge("jvm.debug.level", vec![number(&[("k", "a")], 0, now, int(1)), number(&[("k", "b")], 0, now, int(1))]),
        sum("http.requests", 1, true, vec![count("/healthz"), count("/orders"), count("/readyz")]),
    ];
    request_of(service, metrics).encode_to_vec()
}

#[test]
fn what_rules_drop_is_in_the_ledger_by_name_and_no_partial_success() {
    for shards in ["1", "2"] {
        let catchment = Catchment::start(&["--shards", shards, "--interval", "100ms", "--config", RULES]);
        let mut clients = [catchment.http(), catchment.http(), catchment.http()];
        for round in 0..5 {
            for http in &mut clients {
                let reply = http.export(&body("shop")).expect("an answer");
                assert!(reply.status == 200 && reply.body.is_empty(), "round {round}: {reply:?}");
            }
        }
        let reply = clients[0].export(&body("canary")).expect("an answer");
        assert!(reply.status == 200 && reply.body.is_empty(), "{reply:?}");
        let mut admin = catchment.admin();
        let ledger = until("all is merged", || {
            let ledger = admin.get("/ledger").json();
            (ledger["emitted"] == 20).then_some(ledger)
        });
        assert_eq!((&ledger["received"], &ledger["applied"]), (&json!(80), &json!(20)), "{ledger}");
        assert_eq!((&ledger["rejected"], &ledger["discarded"]), (&json!({}), &json!({"rule": 60})), "{ledger}");
        assert_eq!(ledger["discarded_by_rule"], json!({"noise": 30, "health-checks": 30}), "{ledger}");
        assert_eq!(ledger["by"]["otlp_http"]["gauge"]["discarded"], 30, "{ledger}");
        let page = samples(admin.get("/metrics").text());
        for rule in ["noise", "health-checks"] {
            let name = format!("catchment_rule_points_discarded_total{{rule=\"{rule}\"}}");
            assert!(page.contains(&(name, 30.0)), "{rule}: {page:?}");
        }
        assert_eq!(total(&page, "catchment_points_discarded_total"), 60.0);
        // one series of the shop, and all five of the canary
        assert_eq!(total(&page, "catchment_series"), 6.0);
        let scraped = catchment.scraper().get("/metrics").text().to_owned();
        assert!(!scraped.lines().any(|line| line.contains("debug") && line.contains("shop")), "{scraped}");
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        let words = "received 80 = applied 20 + rejected 0 + discarded 60 (noise 30, health-checks 30); applied = ";
        assert!(ended.ledger().contains(words) && ended.ledger().ends_with("; balanced"), "{}", ended.ledger());
    }
}

/// A rule that relabels: a sender of the old names and one of the new ones feed one series, whose name is the new one.
#[test]
fn what_rules_relabel_is_shown_as_it_is_called_then() {
    let rules = "yaml:rules:
- name: conventions
  match: {metric: 'http.old.*', unit: ms}
  action: relabel
  attributes:
  - rename: {key: path, to: http.route}
  - name: {regex: 'http[.]old[.](.*)', with: 'http.$1'}
  - scale: {by: 0.25, unit: s}
";
    let catchment = Catchment::start(&["--shards", "2", "--interval", "100ms", "--config", rules]);
    let (mut old, mut new) = (catchment.http(), catchment.http());
    let sent = |name: &str, unit: &str, key: &str, value| {
        let now = wall_ns();
        let mut metric = sum(name, 1, true, vec![number(&[(key, "/a")], now - 1, now, int(value))]);
        metric.unit = unit.into();
        request_of("shop", vec![metric]).encode_to_vec()
    };
    for _ in 0..5 {
        for (http, body) in
            [(&mut old, sent("http.old.time", "ms", "path", 4)), (&mut new, sent("http.time", "s", "http.route", 2))]
        {
            let reply = http.export(&body).expect("an answer");
            assert!(reply.status == 200 && reply.body.is_empty(), "{reply:?}");
        }
    }
    let page = until("all is on the page", || {
        let page = samples(catchment.scraper().get("/metrics").text());
        (total(&page, "http_time_seconds_total") == 15.0).then_some(page)
    });
    let of_ours: Vec<_> = page.iter().filter(|(name, _)| name.starts_with("http")).collect();
    assert!(of_ours.len() == 1 && of_ours[0].0.contains("http_route=\"/a\""), "{of_ours:?}");
    let ended = catchment.terminate();
    assert!(ended.code() == 0 && ended.ledger().ends_with("; balanced"), "{ended:?}");
}

/// Two collectors send the same: one counts, the ledger has what the other sent, and without the feature the file is refused.
#[test]
fn of_two_identical_senders_one_counts() {
    let dedup = "yaml:dedup:
- {name: scrapers, match: {resource: {service.name: shop}}, by: replica}
";
    let refused = output(command(&["run", "--config", dedup]));
    assert!(refused.code() == 2 && refused.stderr.contains("add +dedup, or leave it out"), "{refused:?}");
    for shards in ["1", "2"] {
        let all = ["--shards", shards, "--interval", "100ms", "--feature-gates=+dedup", "--config", dedup];
        let catchment = Catchment::start(&all);
        let mut clients = [catchment.http(), catchment.http()];
        for round in 1..=5 {
            for (http, replica) in clients.iter_mut().zip(["one", "two"]) {
                let now = wall_ns();
                let point = number(&[], now - 1, now, int(1));
                let mut request = request_of("shop", vec![sum("orders", 1, true, vec![point])]);
                request.resource_metrics[0].resource.as_mut().unwrap().attributes.push(attribute("replica", replica));
                let reply = http.export(&request.encode_to_vec()).expect("an answer");
                assert!(reply.status == 200 && reply.body.is_empty(), "{round}: {reply:?}");
            }
        }
        let mut admin = catchment.admin();
        let ledger = until("all is merged", || {
            let ledger = admin.get("/ledger").json();
            (ledger["emitted"] == 5).then_some(ledger)
        });
        assert_eq!((&ledger["received"], &ledger["discarded"]), (&json!(10), &json!({"dedup": 5})), "{ledger}");
        assert_eq!(ledger["discarded_by_dedup"], json!({"scrapers": 5}), "{ledger}");
        let page = samples(admin.get("/metrics").text());
        let name = "catchment_dedup_points_discarded_total{dedup=\"scrapers\"}".to_owned();
        assert!(page.contains(&(name, 5.0)), "{page:?}");
        let scraped = samples(catchment.scraper().get("/metrics").text());
        assert!(scraped.iter().all(|(name, _)| !name.contains("replica")), "{scraped:?}");
        let ended = catchment.terminate();
        let words = "received 10 = applied 5 + rejected 0 + discarded 5 (scrapers 5); ";
        assert!(ended.code() == 0 && ended.ledger().contains(words), "{ended:?}");
    }
}
