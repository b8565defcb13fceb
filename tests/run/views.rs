//! Destinations of the real binary that choose what they get: the example of the manual, raw series to one store and what
//! rules make of them to another, with a file that gets everything beside them.

use crate::binary::backend::{Backend, Received};
use crate::binary::process::{Catchment, Folder, command, samples, until, wall_ns};
use crate::common::{Any, attributes, int, number, request_of, sum};
use prost::Message as _;
use std::collections::BTreeMap;

const PODS: u64 = 3;

/// The example that stands in the manual under this heading.
fn example(heading: &str) -> String {
    let manual = include_str!("../../README.md");
    let (_, section) = manual.split_once(heading).expect("the heading is there");
    let (_, text) = section.split_once("```yaml\n").expect("it has an example");
    text.split_once("```").expect("which ends").0.to_owned()
}

/// By name and attributes, the sum of deltas.
fn sums(received: &Received) -> BTreeMap<String, i64> {
    let mut all = BTreeMap::new();
    for ((name, attributes), points) in &received.series {
        let attributes = attributes.replace("Some(AnyValue { value: Some(StringValue(\"", "").replace("\")) })", "");
        for point in points {
            let Any::Number(point) = point else { panic!("{name}: {point:?}") };
            let Some(opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt(value)) = point.value
            else {
                panic!("{name}: {point:?}")
            };
            *all.entry(format!("{name}{{{attributes}}}")).or_insert(0) += value;
        }
    }
    all
}

#[test]
fn raw_series_go_to_a_store_and_what_rules_make_of_them_to_a_vendor() {
    let text = example("### Who gets what");
    for shards in ["1", "2"] {
        let (folder, store, vendor) = (Folder::new(), Backend::start(), Backend::start());
        let lines = folder.path("all.jsonl");
        let config = text
            .replace("url: otlp-http://store.internal:4318", &format!("url: {}", store.url("temporality=delta")))
            .replace("url: otlp-https://otlp.example.com", &format!("url: {}", vendor.url("temporality=delta")))
            .replace("out:\n", &format!("out:\n  - 'file:{}'\n", lines.display()));
        let file = folder.path("fleet.yaml");
        std::fs::write(&file, config).unwrap();
        let arguments = ["run", "--config", file.to_str().unwrap(), "--shards", shards, "--interval", "200ms"];
        let catchment = Catchment::spawn(command(&arguments));
        let mut http = catchment.http();
        for pod in 0..PODS {
            let now = wall_ns();
            let route = format!("/{pod}");
            let point =
                |value: u64| number(&[("service.instance.id", &pod.to_string())], now - 1, now, int(value as i64));
            let mut request = request_of(
                "cart",
                vec![
                    sum("orders", 1, true, vec![point(1 + pod)]),
                    sum("orders.debug.x", 1, true, vec![point(10)]),
                    sum("pages", 1, true, vec![number(&[("route", &route)], now - 1, now, int(100))]),
                ],
            );
            let resource = request.resource_metrics[0].resource.as_mut().unwrap();
            resource.attributes.extend(attributes(&[("k8s.pod.name", &format!("cart-{pod}"))]));
            let reply = http.export(&request.encode_to_vec()).unwrap();
            assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
        }
        // each backend counts a series without its resource: pods of one name are one there
        let raw: BTreeMap<String, i64> = (0..PODS)
            .flat_map(|pod| {
                [
                    (format!("orders{{service.instance.id={pod}}}"), 1 + pod as i64),
                    (format!("orders.debug.x{{service.instance.id={pod}}}"), 10),
                    (format!("pages{{route=/{pod}}}"), 100),
                ]
            })
            .collect();
        let mut made: BTreeMap<String, i64> = (0..PODS).map(|pod| (format!("pages{{route=/{pod}}}"), 100)).collect();
        made.insert("orders{}".into(), (1..=PODS as i64).sum());
        store.wait("raw series", |received| sums(received) == raw);
        vendor.wait("outputs", |received| sums(received) == made);
        // the page shows what leaves for who chooses nothing
        until("a page without members", || {
            let page = samples(catchment.scraper().get("/metrics").text());
            let of = |start: &str| page.iter().filter(|(name, _)| name.starts_with(start)).count();
            (of("orders_total") == 1 && of("pages_total") == PODS as usize).then_some(())
        });
        let ledger = catchment.admin().get("/ledger").json();
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        let row = |name: &str| ledger["destinations"][name].clone();
        assert_eq!(row("store")["dropped"], serde_json::json!({}), "{ledger}");
        // members, none of the outputs; outputs, none of the members
        let points = |received: &Received| received.points;
        assert_eq!((store.with(points), store.with(sums)), (3 * PODS, raw));
        assert_eq!(vendor.with(sums), made);
        for (name, backend) in [("store", &store), ("vendor", &vendor)] {
            let all = backend.with(points);
            let words = format!("{name}: encoded {all} = delivered {all} + queued 0 + dropped 0");
            assert!(ended.ledger().contains(&words), "{words}: {}", ended.ledger());
        }
        let all = std::fs::read_to_string(&lines).unwrap();
        assert!(all.contains("orders.debug.x") && !all.contains("cart-0"), "{all}");
    }
}
