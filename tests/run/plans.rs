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
- {name: noise, match: {metric: noise}, action: drop}
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

/// A counter of each pod and route, as one that is planned.
const NEW_RULES: &str = "\
rules:
- {name: noise, match: {metric: temperature}, action: drop}
- {name: by-route, match: {metric: requests}, without: [pod]}
- {name: again, match: {metric: requests}, by: []}
- {name: latency, match: {metric: latency}, by: [], outputs: {counter: [same], histogram: [same, count]}}
- {name: orders, match: {metric: orders}, by: []}
- {name: rest, match: {metric: '*'}, without: [pod], outputs: {counter: [same]}}
";

fn check_plan(words: &[&str]) {
    let json = output(command(&[&["plan", "--format", "json"], words].concat()));
    assert_eq!(json.code(), 0, "{json:?}");
    let told: Value = serde_json::from_str(&json.stdout).unwrap();
    let rules: Vec<_> = told["rules"].as_array().unwrap().iter().collect();
    let of = |name: &str| *rules.iter().find(|rule| rule["rule"] == name).unwrap_or_else(|| panic!("{told:#}"));
    let numbers = |rule: &Value| ["series", "after", "members"].map(|key| rule[key].as_u64().unwrap());
    assert_eq!(numbers(of("noise")), [3, 0, 0], "{told:#}");
    assert_eq!(numbers(of("by-route")), [6, 2, 6], "{told:#}");
    assert_eq!(numbers(of("latency")), [3, 2, 3], "{told:#}");
    assert_eq!(of("by-route")["attributes"], serde_json::json!([{"key": "pod", "before": 3, "after": 0}]));
    assert_eq!((&told["series"], &told["metrics"], &told["exact"]), (&15.into(), &4.into(), &true.into()));
    assert_eq!((&told["now"]["series"], &told["after"]["series"]), (&15.into(), &7.into()), "{told:#}");
    assert_eq!(numbers(&told["passed_on"]), [3, 3, 0]);
    assert_eq!(told["unmatched"], serde_json::json!(["orders"]));
    let (now, after) = (&told["now"]["memory_bytes"], &told["after"]["memory_bytes"]);
    assert!(now.as_u64() > Some(15 * 300) && after.as_u64() > Some(0), "{told:#}");
    let text = output(command(&[&["plan"], words].concat()));
    for words in [
        "read 15 series of 4 metrics in ",
        "by-route   requests",
        "pod 3",
        "  again: gets none of the 6 series that it means: by-route takes them before it",
        "  rest: takes no updowncounters (1 metric, 3 series): no output is named for them",
        "rules that nothing matches: orders\n",
        "(estimates)",
    ] {
        assert!(text.stdout.contains(words), "{words}: {}", text.stdout);
    }
}

/// The same is counted of a running instance and of a recording of what it took in; nothing is changed.
#[test]
fn a_plan_counts_what_runs_and_what_was_recorded() {
    let folder = Folder::new();
    let (path, recorded) = (folder.path("new.yaml"), folder.path("requests.cap"));
    std::fs::write(&path, NEW_RULES).unwrap();
    let (path, recorded) = (path.to_str().unwrap(), recorded.to_str().unwrap());
    let catchment = Catchment::start(&["--shards", "2", "--interval", "200ms", "--capture", recorded]);
    send(&catchment, 3);
    let now = wall_ns();
    let levels = (0..3).map(|pod| number(&[("pod", &*format!("p{pod}"))], now - 1, now, int(1))).collect();
    let body = request_of("cart", vec![sum("in.flight", 2, false, levels)]).encode_to_vec();
    assert_eq!(catchment.http().export(&body).unwrap().status, 200);
    until("all series", || (list(&catchment, "/series").1["series"] == 15).then_some(()));
    let url = format!("http://{}", catchment.ports.admin.unwrap());
    check_plan(&["--config", path, "--live", &url]);
    assert_eq!(list(&catchment, "/series").1["series"], 15, "nothing was changed");
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    check_plan(&["--config", path, "--capture", recorded]);

    let check = |words: &[&str], code: i32, told: &str| {
        let ended = output(command(&[&["plan", "--config", path], words].concat()));
        assert!(ended.code() == code && ended.stderr.contains(told), "{words:?}: {ended:?}");
        assert!(ended.stdout.is_empty(), "{words:?}: {ended:?}");
    };
    check(&[], 2, "--live: is not given, and neither is --capture");
    check(&["--live", &url, "--capture", recorded], 2, "and --capture are both given");
    check(&["--live", "localhost:1"], 2, "is no URL of an admin door");
    check(&["--live", &url], 1, "cannot be read");
    check(&["--capture", path], 2, "this is no capture");
    check(&["--live", &url, "--interval", "x"], 2, "--interval");
}

/// What runs is told beside what the rules here would do, and where the two differ.
#[test]
fn a_series_that_runs_is_explained_with_its_numbers() {
    let folder = Folder::new();
    let path = folder.path("fleet.yaml");
    std::fs::write(&path, RULES).unwrap();
    let catchment = Catchment::start(&["--shards", "2", "--config", path.to_str().unwrap()]);
    send(&catchment, 3);
    let is_whole = |line: &Value| line["value"] == if line["attributes"]["route"] == "/a" { 3 } else { 15 };
    until("outputs", || {
        let (lines, _) = list(&catchment, "/rules/by-route/series");
        (lines.len() == 2 && lines.iter().all(is_whole)).then_some(())
    });
    let url = format!("http://{}", catchment.ports.admin.unwrap());
    let explain = |config: &str, words: &[&str]| {
        let ended = output(command(&[&["explain", "--config", config, "--url", &url], words].concat()));
        assert_eq!(ended.code(), 0, "{ended:?}");
        ended.stdout
    };
    let asked = "requests{route=/a} @ service.name=cart";
    let told = explain(path.to_str().unwrap(), &[asked]);
    for words in [
        "by-route  yes, takes it\n",
        "running\n  3 series; what is told above is of the first\n",
        "delta input, value 1, ",
        ", hidden\n",
        "by-route → requests{route=\"/a\"} @ scope.name=lib,scope.version=1,service.name=cart: 3 members, ",
        " of them counted, value 3, ",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("the instance "), "the same rules: {told}");
    let json: Value = serde_json::from_str(&explain(path.to_str().unwrap(), &["--format", "json", asked])).unwrap();
    assert_eq!((&json["running"]["found"], &json["kind"]), (&3.into(), &"counter".into()), "{json:#}");
    assert_eq!(json["running"]["outputs"][0]["is"]["members"], 3, "{json:#}");

    // a text that looks like a number
    let now = wall_ns();
    let code = sum("codes", 1, true, vec![number(&[("code", "503")], now - 1, now, int(1))]);
    assert_eq!(catchment.http().export(&request_of("1", vec![code]).encode_to_vec()).unwrap().status, 200);
    let config = path.to_str().unwrap();
    let is_found = |asked: &str| !explain(config, &[asked]).contains("no such series has come in yet");
    until("the series", || is_found("codes").then_some(()));
    for (asked, want) in [
        ("codes{code=503} @ service.name=1", true),
        ("codes{code=\"503\"}", true),
        ("codes{code=50}", false),
        ("codes @ service.name=true", false),
    ] {
        assert_eq!(is_found(asked), want, "{asked}");
    }

    // whatever they do
    let noise = "{name: noise, match: {metric: noise}, action";
    for (rules, differs) in [
        (
            "{name: by-route, by: [x]}, {name: more, by: []}",
            "does not run more; it runs another by-route; it runs besides latency, noise",
        ),
        (
            &*format!("{noise}: drop}}, {{name: more, action: drop}}"),
            "does not run more; it runs besides by-route, latency",
        ),
        (&*format!("{noise}: keep}}"), "runs another noise; it runs besides by-route, latency"),
        (
            "{name: by-route, match: {metric: requests}, without: [pod]}, {name: noise, match: {metric: noise}, action: drop}",
            "runs besides latency; it has them in another order",
        ),
    ] {
        let told = explain(&format!("yaml:rules: [{rules}]\ninterval: 200ms"), &["absent @ a=b"]);
        let words = format!("  the instance {differs}\n");
        assert!(told.contains(&words) && told.contains("  no such series has come in yet\n"), "{words}: {told}");
    }
    let listed: Value = catchment.admin().get("/rules").json();
    let of = |rule: &str, key: &str| listed[rule][key].clone();
    assert_eq!((of("noise", "action"), of("noise", "discarded")), ("drop".into(), 0.into()), "{listed:#}");
    assert_eq!((of("by-route", "action"), of("by-route", "place")), ("aggregate".into(), 2.into()), "{listed:#}");
    assert_eq!(catchment.terminate().code(), 0);
    let ended = output(command(&["explain", "--url", &url, asked]));
    assert!(ended.code() == 1 && ended.stderr.contains("cannot be read"), "{ended:?}");
}

/// A rule that comes by a reload is listed under its name, wherever it stands, and those that stay keep theirs.
#[test]
fn rules_that_come_by_a_reload_are_listed() {
    let folder = Folder::new();
    let path = folder.path("fleet.yaml");
    std::fs::write(&path, RULES).unwrap();
    let catchment = Catchment::start(&["--shards", "2", "--config", path.to_str().unwrap()]);
    send(&catchment, 3);
    let members = |rule: &str| -> Vec<u64> {
        let reply = catchment.admin().get(&format!("/rules/{rule}/series"));
        let lines = reply.text().lines().filter(|_| reply.status == 200);
        let values = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        values.filter_map(|line| line["members"].as_u64()).collect()
    };
    until("outputs", || (members("by-route") == [3, 3]).then_some(()));
    let first = "rules:\n- {name: more, match: {metric: temperature}, by: [], outputs: {gauge: [sum]}}\n";
    std::fs::write(&path, RULES.replace("rules:\n", first)).unwrap();
    let reply = catchment.admin().post("/-/reload", "text/plain", b"").unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    until("the new rule", || (members("more") == [3]).then_some(()));
    assert_eq!(members("by-route"), [3, 3]);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
}
