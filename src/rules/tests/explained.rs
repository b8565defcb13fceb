//! What people are told of a series.

use super::model::*;
use crate::rules::*;
use std::sync::Arc;

fn told(rules: &[Rule], given: &Series) -> String {
    let runs = given.runs();
    let plan = Arc::new(RulePlan::new(rules.to_vec()).unwrap());
    plan.explain(&given.seen(&runs), &runs[2]).to_string()
}

fn spec(output: Output, window_s: u64) -> OutputSpec {
    let suffix = output.suffix(InputKind::Histogram);
    let name = if suffix.is_empty() { "{name}".into() } else { format!("{{name}}.{suffix}") };
    let text = if suffix.is_empty() { "same".into() } else { suffix };
    OutputSpec { output, window_ns: window_s * 1_000_000_000, name: name.into(), text: text.into() }
}

/// The first rules of a fleet.
fn fleet() -> Vec<Rule> {
    let noise = Rule {
        except: Some(selector(&[("resource.service.name", &["canary-*"])])),
        ..rule("noise", selector(&[("metric", &["*.debug.*", "jvm.buffer.*"])]), Action::Drop)
    };
    let mut by_route = aggregation(without(&["k8s.pod.*", "service.instance.id"]), &[]);
    let ids = AttributeChange::Replace { regex: "/[0-9a-f]{8,}".into(), with: "/{id}".into() };
    by_route.changes = vec![
        change("http.response.status_code", AttributeChange::Class),
        change("http.route", ids),
        change("nowhere", AttributeChange::Lower),
        change("http.route", AttributeChange::Copy("http.response.status_code".into())),
    ];
    by_route.outputs[InputKind::Histogram as usize] =
        [spec(Output::Same, 30), spec(Output::Quantile(0.99), 30), spec(Output::Rate, 60)].into();
    by_route.interval_ns = 30_000_000_000;
    let fields: [(&str, &[&str]); 2] = [
        ("metric", &["http.server.request.duration"]),
        ("attributes.deployment.environment.name", &["{prod,staging}"]),
    ];
    let by_route = rule("http-by-route", selector(&fields), Action::Aggregate(Box::new(by_route)));
    let rest = aggregation(without(&["k8s.pod.*"]), &[Output::Same]);
    vec![noise, by_route, rule("pods-away", Selector::default(), Action::Aggregate(Box::new(rest)))]
}

#[test]
fn each_step_is_told() {
    let given = series(
        "http.server.request.duration{http.route=/u/1a2b3c4d5e,http.response.status_code=503} @ \
         k8s.pod.name=web-7,deployment.environment.name=prod",
    );
    let want = r#"noise          no: metric is none of *.debug.*, jvm.buffer.*
http-by-route  yes, takes it
  class http.response.status_code     503            → 5xx
  replace http.route                  /u/1a2b3c4d5e  → /u/{id}
  lower nowhere                       is not there
  copy http.route to http.response.status_code  not made: the series has that attribute already
  goes                                k8s.pod.name
  → http.server.request.duration{http.response.status_code="5xx",http.route="/u/{id}"} @ deployment.environment.name=prod  same: histogram
  → http.server.request.duration.p99{http.response.status_code="5xx",http.route="/u/{id}"} @ deployment.environment.name=prod  p99: gauge over 30s
  → http.server.request.duration.rate{http.response.status_code="5xx",http.route="/u/{id}"} @ deployment.environment.name=prod  rate: gauge over 1m
  every 30s; the input is not passed on
rules behind http-by-route do not see it
what leaves is what the rules make of it
"#;
    let got = told(&fleet(), &given.of(InputKind::Histogram));
    assert_eq!(got, want, "{got}");
}

#[test]
fn why_not_is_told() {
    let check = |given: &Series, want: &[&str]| {
        let got = told(&fleet(), given);
        for line in want {
            assert!(got.lines().any(|told| told == *line), "{line} in\n{got}");
        }
    };
    let histogram = |text: &str| series(text).of(InputKind::Histogram);
    check(
        &series("a.debug.b"),
        &["noise  yes, drops it", "rules behind noise do not see it", "its points are dropped"],
    );
    check(&series("a.debug.b @ service.name=canary-1"), &["noise          no: its except means this series"]);
    let duration = "http.server.request.duration";
    check(
        &histogram(duration),
        &["http-by-route  no: attributes.deployment.environment.name is not there, and so not {prod,staging}"],
    );
    check(
        &histogram(&format!("{duration} @ deployment.environment.name=test")),
        &["http-by-route  no: attributes.deployment.environment.name is \"test\", not {prod,staging}"],
    );
    check(
        &series(&format!("{duration} @ deployment.environment.name=prod")),
        &["http-by-route  no: it has no output for a counter", "pods-away      yes, takes it"],
    );
    let counters = rule("c", selector(&[("kind", &["counter", "gauge"])]), Action::Keep);
    assert_eq!(
        told(std::slice::from_ref(&counters), &histogram("m")),
        "c  no: kind is \"histogram\", none of counter, gauge\nit passes on\n"
    );
    assert_eq!(told(&[counters], &series("m")), "c  yes, keeps it as it is\nit passes on\n");
}

#[test]
fn relabelling_is_told_with_what_follows() {
    let renames = vec![
        Change::Name { regex: "old[.](.*)".into(), with: "new.$1".into() },
        change("a", AttributeChange::Rename("b".into())),
        Change::Scale { by: 0.001, unit: "ks".into() },
    ];
    let rules = [
        rule("semconv", selector(&[("metric", &["old.*"])]), Action::Relabel(renames)),
        rule("old", selector(&[("metric", &["old.*"])]), Action::Drop),
        rule(
            "new",
            selector(&[("metric", &["new.*"])]),
            Action::Aggregate(Box::new(aggregation(by(&["b"]), &[Output::Same]))),
        ),
    ];
    let want = r#"semconv  yes, relabels it
  name                                old.x          → new.x
  rename a to b                       1 stays
  scale 0.001 to ks                   s              → ks
  → new.x{b="1"} @ r=1
old      no: metric is not old.*
new      yes, takes it
  goes                                r
  → new.x{b="1"}  : counter
  every 10s; the input is not passed on
what leaves is what the rules make of it
"#;
    let got = told(&rules, &series("old.x{a=1} @ r=1"));
    assert_eq!(got, want, "{got}");
}
