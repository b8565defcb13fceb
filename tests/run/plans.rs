//! What rules would do, before they do it, and what they do: the memory line of `check`, and the lists of series on the admin
//! door.

use crate::binary::process::{Catchment, Folder, command, output, until, wall_ns};
use crate::common::{gauge, histogram, histogram_point, int, number, request_of, sum};
use prost::Message as _;
use serde_json::Value;

/// The lines of a list, and its end.
fn list(catchment: &Catchment, path: &str) -> (Vec<Value>, Value) {
    let reply = catchment.admin().get(path);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    let mut lines: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.pop().expect("an end")["end"].clone();
    (lines, end)
}

/// Counters of two routes in each of `pods` pods, one delta and one cumulative, a gauge of each, and a histogram.
fn send(catchment: &Catchment, pods: u64) {
    let now = wall_ns();
    for pod in 0..pods {
        let pod_name = format!("p{pod}");
        let with = |route| [("route", route), ("pod", &*pod_name)];
        let metrics = vec![
            sum("requests", 1, true, vec![number(&with("/a"), now - 1, now, int(1))]),
            sum("requests", 2, true, vec![number(&with("/b"), now - 1, now, int(5))]),
            gauge("temperature", vec![number(&[("pod", &*pod_name)], 0, now, int(20 + pod as i64))]),
            histogram("latency", 1, vec![histogram_point(&with("/a"), now, &[1, 0, 1], &[1.0, 2.0], 3.0)]),
        ];
        let body = request_of("cart", metrics).encode_to_vec();
        assert_eq!(catchment.http().export(&body).unwrap().status, 200);
    }
}

const RULES: &str = "\
interval: 200ms
expire: 60s
rules:
- {name: by-route, match: {metric: requests}, without: [pod], initial_value: keep}
- {name: latency, match: {metric: latency}, by: [], outputs: [same, count]}
";

/// The admin door lists what came in, hidden or not, and what leaves of a rule: how many, of which members, with which value.
#[test]
fn series_and_outputs_of_a_rule_are_listed() {
    for shards in ["1", "2"] {
        let folder = Folder::new();
        let path = folder.path("fleet.yaml");
        std::fs::write(&path, RULES).unwrap();
        let catchment = Catchment::start(&["--shards", shards, "--config", path.to_str().unwrap()]);
        send(&catchment, 3);
        let outputs = until("the rule's outputs", || {
            let (lines, _) = list(&catchment, "/rules/by-route/series");
            (lines.len() == 2 && lines.iter().all(|line| line["members"] == 3)).then_some(lines)
        });
        for line in &outputs {
            let value = if line["attributes"]["route"] == "/a" { 3 } else { 15 };
            assert_eq!((&line["metric"], &line["value"]), (&"requests".into(), &value.into()), "{line}");
            assert_eq!(line["resource"]["service.name"], "cart", "{line}");
            assert_eq!((&line["kind"], line["live"].is_u64()), (&"counter".into(), true), "{line}");
        }
        let (lines, end) = list(&catchment, "/rules/by-route/series?match=route%3D/b");
        assert_eq!((lines.len(), &end["series"], &end["more"]), (1, &1.into(), &false.into()), "{lines:?}");
        let (lines, end) = list(&catchment, "/rules/by-route/series?limit=1");
        assert_eq!((lines.len(), &end["more"]), (1, &true.into()));
        let (lines, _) = list(&catchment, "/rules/latency/series");
        let of = |name: &str| lines.iter().find(|line| line["metric"] == name).unwrap_or_else(|| panic!("{lines:?}"));
        assert_eq!(of("latency")["value"]["count"], 6);
        assert_eq!((&of("latency.count")["value"], &of("latency")["value"]["sum"]), (&6.into(), &9.0.into()));

        // what came in, by its own name
        let (lines, end) = list(&catchment, "/series?metric=requests");
        let series: Vec<_> = lines.iter().filter(|line| line.get("attributes").is_some()).collect();
        assert_eq!((series.len(), &end["series"], &end["interval_s"]), (6, &6.into(), &0.2.into()), "{lines:?}");
        for one in series {
            let (input, value) = if one["attributes"]["route"] == "/a" { ("delta", 1) } else { ("cumulative", 5) };
            assert_eq!((&one["input"], &one["value"], &one["hidden"]), (&input.into(), &value.into(), &true.into()));
            assert!(one["attributes"]["pod"].is_string() && one["cuts"][0].as_u64() > Some(0), "{one}");
        }
        let (lines, _) = list(&catchment, "/series?match=pod%3Dp1&metric=!requests");
        let metrics: Vec<_> = lines.iter().filter_map(|line| line["metric"].as_str()).collect();
        assert!(metrics.len() == 2 && metrics.contains(&"temperature") && metrics.contains(&"latency"), "{lines:?}");

        for (path, status, words) in [
            ("/rules/by-rout/series", 404, "did you mean by-route?"),
            ("/rules/x/series", 404, "/rules has all there are"),
            ("/series?limit=0", 400, "limit: give 1 to "),
            ("/series?metric=~(", 400, "is no regular expression"),
            ("/series?x=1", 400, "match=KEY=PATTERN"),
            ("/series?match=%zz", 400, "is not encoded"),
        ] {
            let reply = catchment.admin().get(path);
            assert!(
                reply.status == status && reply.text().contains(words),
                "{path}: {} {}",
                reply.status,
                reply.text()
            );
        }
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
    }
}

/// What members, outputs and windows take is told where there are rules, and only there.
#[test]
fn check_says_what_rules_take() {
    let folder = Folder::new();
    let path = folder.path("fleet.yaml");
    let text = "series-limit: 1000\nrules:\n- {name: rates, match: {metric: a}, by: [x], outputs: [\"rate(5m)\", \"topk(3, y)\"]}\n";
    std::fs::write(&path, text).unwrap();
    let check = |words: &[&str]| output(command(&[&["check"], words].concat())).stdout;
    let told = check(&["--config", path.to_str().unwrap()]);
    for words in [
        "memory  a member ",
        "; an output ",
        "rates: windows of up to 30 steps ",
        ", topk ",
        "1000 members and 10000 outputs: about ",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(check(&["--without", "pod"]).contains("memory  a member "));
    assert!(!check(&[]).contains("a member"));
}
