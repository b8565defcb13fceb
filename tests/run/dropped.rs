//! Rules that drop, against the binary: what they drop is in the ledger by name, and nowhere else.

use crate::binary::process::{Catchment, samples, total, until, wall_ns};
use crate::common::{gauge, int, number, request_of, sum};
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
