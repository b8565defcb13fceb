//! What rules cannot do as they were meant is said while they run: outputs that leave under one identity, and what their limits
//! keep out. In the log, on the pages, and by `explain`.

use crate::binary::process::{Catchment, Folder, command, output, samples, until, wall_ns};
use crate::common::{int, number, request_of, sum};
use prost::Message as _;
use serde_json::Value;

fn start(rules: &str, flags: &[&str]) -> (Catchment, Folder) {
    let folder = Folder::new();
    let path = folder.path("fleet.yaml");
    std::fs::write(&path, rules).unwrap();
    (Catchment::start(&[&["--config", path.to_str().unwrap()], flags].concat()), folder)
}

/// A delta of 1 of each of these series: a metric, and a pod, a route.
fn send(catchment: &Catchment, series: &[(&str, &[(&str, &str)])]) {
    let now = wall_ns();
    let one = |(name, attributes): &(&str, &[(&str, &str)])| {
        sum(name, 1, true, vec![number(attributes, now - 1, now, int(1))])
    };
    let body = request_of("cart", series.iter().map(one).collect()).encode_to_vec();
    assert_eq!(catchment.http().export(&body).unwrap().status, 200);
}

/// The value of a counter of a rule.
fn counter(catchment: &Catchment, name: &str, rule: &str) -> f64 {
    let page = catchment.admin().get("/metrics");
    let name = format!("catchment_rule_{name}_total{{rule=\"{rule}\"}}");
    samples(page.text()).into_iter().find(|(series, _)| *series == name).map_or(0.0, |(_, value)| value)
}

const TWICE: &str = "\
interval: 200ms
expire: 60s
rules:
- {name: by-route, match: {metric: requests}, without: [pod], continue: true}
- {name: again, match: {metric: requests}, without: [pod]}
- {name: alone, match: {metric: others}, by: []}
";

/// Two rules that keep the name: what leaves twice is named with both that do, an example and what to do; in the log once a pair,
/// by rule in numbers, and by `explain`.
#[test]
fn what_leaves_twice_under_one_identity_is_said() {
    for shards in ["1", "2"] {
        let (mut catchment, folder) = start(TWICE, &["--shards", shards]);
        send(
            &catchment,
            &[("requests", &[("pod", "a"), ("route", "/a")]), ("requests", &[("pod", "b"), ("route", "/b")])],
        );
        let line = catchment.hear(&["two leave under one identity"]);
        for words in [
            "WARN",
            "first=\"same of by-route\"",
            "second=\"same of again\"",
            "series=",
            "example=\"requests{route=",
            "service.name=cart",
            "remedy=\"give one of them `rename`",
        ] {
            assert!(line.contains(words), "{words}: {line}");
        }
        until("both are counted", || {
            let of = |rule| counter(&catchment, "output_conflicts", rule);
            ([of("by-route"), of("again"), of("alone")] == [2.0, 2.0, 0.0]).then_some(())
        });
        let listed = until("the page has all", || {
            let listed: Value = catchment.admin().get("/rules").json();
            (listed["again"]["conflicts"][0]["count"] == 2).then_some(listed)
        });
        for rule in ["by-route", "again"] {
            let one = &listed[rule]["conflicts"][0];
            assert_eq!(one["of"], serde_json::json!(["same of by-route", "same of again"]), "{listed:#}");
            assert_eq!(listed[rule]["output_conflicts"], 2, "{listed:#}");
        }
        assert_eq!(listed["alone"]["conflicts"], serde_json::json!([]), "{listed:#}");
        let explain = |words: &[&str]| {
            let url = format!("http://{}", catchment.ports.admin.unwrap());
            let path = folder.path("fleet.yaml");
            let asked = ["explain", "--config", path.to_str().unwrap(), "--url", &url];
            let ended = output(command(&[&asked[..], words].concat()));
            assert_eq!(ended.code(), 0, "{ended:?}");
            ended.stdout
        };
        let told = explain(&["requests{route=/a}"]);
        let words = "  same of by-route, and same of again, left under one identity 2 times, as requests{route=";
        assert_eq!(told.matches(words).count(), 1, "{told}");
        let told: Value = serde_json::from_str(&explain(&["--format", "json", "requests{route=/a}"])).unwrap();
        assert_eq!(told["running"]["conflicts"].as_array().map(Vec::len), Some(1), "{told:#}");
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 0, "{ended:?}");
        let lines = ended.stderr.lines().filter(|line| line.contains("two leave under one identity"));
        let spoken = |line: &str| line.split(" series=").nth(1)?.split(' ').next()?.parse::<u64>().ok();
        assert_eq!(lines.filter_map(spoken).sum::<u64>(), 2, "each of them once: {ended:?}");
        assert!(ended.ledger().ends_with("; balanced"), "{ended:?}");
    }
}

/// An output with the identity of a series that no rule takes.
#[test]
fn what_passes_on_under_the_identity_of_an_output_is_said() {
    let rules =
        "interval: 200ms\nrules:\n- {name: pods, match: {metric: jobs, attributes: {pod: '*'}}, without: [pod]}\n";
    let (mut catchment, _folder) = start(rules, &["--shards", "2"]);
    send(&catchment, &[("jobs", &[]), ("jobs", &[("pod", "a")])]);
    let line = catchment.hear(&["two leave under one identity", "first=\"what passes on\"", "second=\"same of pods\""]);
    assert!(line.contains("example=\"jobs @ "), "{line}");
    until("it is counted", || (counter(&catchment, "output_conflicts", "pods") == 1.0).then_some(()));
    assert_eq!(catchment.terminate().code(), 0);
}

/// What a rule's limits keep out is named with the rule, the limit and what to do, when that happens first; and in numbers.
#[test]
fn what_limits_of_a_rule_keep_out_is_said() {
    let rules = "\
interval: 200ms
rules:
- {name: narrow, match: {metric: requests}, without: [pod], limits: {series: 2}}
- name: few
  match: {metric: users}
  without: [pod]
  attributes: [ { limit: { key: user, values: 3, other: other } } ]
";
    let (mut catchment, _folder) = start(rules, &["--shards", "2"]);
    let routes = ["/1", "/2", "/3", "/4", "/5"];
    let all = routes.map(|route| [("route", route), ("user", route)]);
    let series = |name, from: usize, to: usize| all[from..to].iter().map(move |one| (name, &one[..]));
    let within: Vec<(&str, &[(&str, &str)])> = series("requests", 0, 2).chain(series("users", 0, 3)).collect();
    send(&catchment, &within);
    until("they are members", || {
        let listed: Value = catchment.admin().get("/rules").json();
        ([&listed["narrow"]["members"], &listed["few"]["members"]] == [2, 3]).then_some(())
    });
    let all: Vec<(&str, &[(&str, &str)])> = series("requests", 0, 5).chain(series("users", 0, 5)).collect();
    send(&catchment, &all);
    let mut lines = vec![catchment.hear(&["WARN", "rule="]), catchment.hear(&["WARN", "rule="])];
    lines.sort();
    let about = |words: &str| lines.iter().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{lines:#?}"));
    let outputs = about("limits.series allows");
    for words in ["rule=\"narrow\"", "limit=2", "series=3", "remedy=\"raise limits.series"] {
        assert!(outputs.contains(words), "{words}: {outputs}");
    }
    let values = about("of an attribute as `limit` says");
    for words in ["rule=\"few\"", "key=\"user\"", "values=3", "series=2", "remedy=\"raise `values`"] {
        assert!(values.contains(words), "{words}: {values}");
    }
    assert_eq!(counter(&catchment, "over_series_limit", "narrow"), 3.0);
    assert_eq!(counter(&catchment, "values_limited", "few"), 2.0);
    let listed: Value = catchment.admin().get("/rules").json();
    assert_eq!((&listed["narrow"]["over_series_limit"], &listed["few"]["values_limited"]), (&3.into(), &2.into()));
    let ended = catchment.terminate();
    assert_eq!(ended.stderr.matches("limits.series allows").count(), 1, "it was said: {ended:?}");
    assert_eq!(ended.code(), 0, "{ended:?}");
}

/// On the scrape page they are one row: what adds is added, whichever shards they are on.
#[test]
fn what_leaves_twice_is_one_row_of_the_scrape_page() {
    const BOTH: &str = "- {name: pods, match: {metric: jobs, attributes: {pod: '*'}}, without: [pod]}\n";
    for shards in ["1", "2", "3"] {
        let (catchment, _folder) = start(&format!("{TWICE}{BOTH}"), &["--shards", shards]);
        let routes: Vec<String> = (0..8).map(|i| format!("/{i}")).collect();
        let of_routes: Vec<_> = routes.iter().map(|route| [("pod", "a"), ("route", route.as_str())]).collect();
        let mut series: Vec<(&str, &[(&str, &str)])> = of_routes.iter().map(|one| ("requests", &one[..])).collect();
        series.extend([("jobs", &[("pod", "a")][..]), ("jobs", &[])]);
        send(&catchment, &series);
        let rows = until("all rows", || {
            let page = catchment.scraper().get("/metrics");
            let is_one = |name: &str| name.starts_with("requests_total{") || name.starts_with("jobs_total{");
            let rows: Vec<_> = samples(page.text()).into_iter().filter(|(name, _)| is_one(name)).collect();
            let sum: f64 = rows.iter().map(|(_, value)| value).sum();
            (sum >= 18.0).then_some(rows)
        });
        assert!(rows.len() == 9 && rows.iter().all(|(_, value)| *value == 2.0), "{shards} shards: {rows:?}");
    }
}
