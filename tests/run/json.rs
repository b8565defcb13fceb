//! OTLP/JSON through the binary: what real and odd senders get, and what comes out.

use crate::binary;

use crate::binary::process::{Catchment, samples, total};
use serde_json::{Value, json};

fn sum(points: Value) -> Vec<u8> {
    let metric = json!({"name": "orders", "unit": "{order}",
        "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": points}});
    json!({"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeMetrics": [{"scope": {"name": "demo"}, "metrics": [metric]}]}]})
    .to_string()
    .into_bytes()
}

/// R6, R7, R11, R12, J1 to J9: applied, partly rejected, refused; the totals and the ledger are exact.
#[test]
fn json_is_applied_as_protobuf_is() {
    for shards in ["1", "3"] {
        let catchment = Catchment::start(&["--shards", shards, "--interval", "100ms"]);
        let mut http = catchment.http();
        let good = json!({"timeUnixNano": "1700000000000000000", "asInt": "5",
            "attributes": [{"key": "country", "value": {"stringValue": "de"}}]});
        let negative = json!({"timeUnixNano": "1700000000000000000", "asInt": -1});
        let mut send = |body: &[u8]| http.post("/v1/metrics", "application/json", body).unwrap();
        for _ in 0..100 {
            let reply = send(&sum(json!([good.clone()])));
            assert_eq!((reply.status, reply.text()), (200, "{}"));
        }
        let reply = send(&sum(json!([good.clone(), negative, good])));
        let answer = reply.json();
        assert_eq!((reply.status, &answer["partialSuccess"]["rejectedDataPoints"]), (200, &json!("1")), "{answer}");
        assert!(answer["partialSuccess"]["errorMessage"].as_str().unwrap().contains("1 sum point"), "{answer}");
        // refused whole: nothing of it is applied
        let reply = send(&sum(json!([{"timeUnixNano": "1", "asInt": "7"}, {"timeUnixNano": "soon"}])));
        assert_eq!((reply.status, reply.header("content-type")), (400, Some("application/json")));
        let answer: Value = serde_json::from_str(reply.text()).unwrap();
        let message = answer["message"].as_str().unwrap();
        assert_eq!(answer["code"], 3);
        assert!(message.contains("timeUnixNano") && message.contains("an integer is expected"), "{message}");
        // the same series as protobuf gives it is the same series
        let page = binary::process::until("the total on the page", || {
            let page = catchment.scraper().get("/metrics");
            let total = total(&samples(page.text()), "orders_total");
            (total == 102.0 * 5.0).then(|| page.text().to_owned())
        });
        assert!(
            page.contains(r#"orders_total{job="shop",instance="",otel_scope_name="demo",country="de"} 510"#),
            "{page}"
        );
        let ledger = catchment.admin().get("/ledger?verify=1").json();
        assert_eq!((&ledger["received"], &ledger["applied"]), (&json!(103), &json!(102)), "{ledger}");
        assert_eq!(ledger["balanced"], true, "{ledger}");
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(ended.ledger().contains("balanced"));
    }
}
