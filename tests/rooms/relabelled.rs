//! What rules relabel at the doors: a series is called what they say from its birth on, as if its sender had called it so.

use crate::common::*;
use catchment::ingest::GatePlan;
use catchment::ledger::Note;
use catchment::model::Discard;
use catchment::rules::{Action, AttributeChange, Change, KeyPlace, Pattern, PatternKind, Rule, RulePlan, Selector};
use opentelemetry_proto::tonic::metrics::v1 as pb;
use std::sync::Arc;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;

fn selector(metric: &str) -> Selector {
    let pattern = Pattern { text: metric.into(), kind: PatternKind::Glob, is_negated: false };
    Selector { metric: vec![pattern], ..Selector::default() }
}

fn rule(name: &str, selector: Selector, action: Action) -> Rule {
    Rule { name: name.into(), was: None, selector, except: None, action, goes_on: false }
}

fn rename(key: &str, place: Option<KeyPlace>, to: &str) -> Change {
    Change::Attribute { key: key.into(), place, change: AttributeChange::Rename(to.into()) }
}

/// `old.…` in `ms` becomes `new.…` in `s`; routes and pods get other keys, and what is an error is dropped under its new name.
fn rules(by: f64) -> Arc<RulePlan> {
    let changes = vec![
        Change::Name { regex: "old\\.(.*)".into(), with: "new.$1".into() },
        Change::Scale { by, unit: "s".into() },
        rename("path", None, "http.route"),
        rename("pod", Some(KeyPlace::Resource), "k8s.pod.name"),
    ];
    let mut dropped = selector("new.*");
    dropped.attributes = vec![(
        "http.route".into(),
        vec![Pattern { text: "/error".into(), kind: PatternKind::Glob, is_negated: false }],
    )];
    let rules =
        vec![rule("conventions", selector("old.*"), Action::Relabel(changes)), rule("errors", dropped, Action::Drop)];
    Arc::new(RulePlan::new(rules).expect("sound rules"))
}

fn ruled(cores: usize, rules: &Arc<RulePlan>, expire_ns: u64) -> Rig {
    let mut rig = Rig::with(cores, 1_000_000, expire_ns);
    let plan = GatePlan { rules: rules.clone(), ..GatePlan::default() };
    rig.cores.iter_mut().for_each(|core| drop(core.take_up(&plan)));
    rig
}

/// Metrics of every kind, of this stem, unit and key, whose values are multiplied by `by`; `more` is added to counts.
fn all_kinds(stem: &str, unit: &str, key: &str, by: f64, at: u64, more: u64) -> Vec<pb::Metric> {
    let routes = ["/a", "/b"];
    let numbers = |value: f64| -> Vec<_> {
        routes.map(|route| number(&[(key, route)], START, at, double((value + more as f64) * by))).into()
    };
    let bounds: Vec<f64> = [1.0, 2.0, 5.0].iter().map(|bound| bound * by).collect();
    let explicit = routes.map(|route| {
        let counts = [1 + more, 2, 3, 4];
        let point = histogram_point(&[(key, route)], at, &counts, &bounds, 30.0 * by);
        let exemplar = pb::Exemplar {
            time_unix_nano: at,
            value: Some(pb::exemplar::Value::AsDouble(4.0 * by)),
            ..Default::default()
        };
        let (min, max) = (point.min.map(|min| min * by), point.max.map(|max| max * by));
        pb::HistogramDataPoint { start_time_unix_nano: START, min, max, exemplars: vec![exemplar], ..point }
    });
    // powers of two move buckets of scale 1 by two for each
    let moved = (by.log2() * 2.0) as i32;
    let exponentials = routes.map(|route| {
        let point = exponential_point(&[(key, route)], START, at, 1, moved, &[1 + more, 2]);
        pb::ExponentialHistogramDataPoint { sum: point.sum.map(|sum| sum * by), ..point }
    });
    let summaries = routes.map(|route| summary_point(&[(key, route)], START, at, 4, 9.0 * by, &[(0.5, 2.0 * by)]));
    let mut all = vec![
        sum(&format!("{stem}.delta"), DELTA, true, numbers(3.0)),
        sum(&format!("{stem}.cumulative"), CUMULATIVE, true, numbers(10.0)),
        gauge(&format!("{stem}.gauge"), numbers(7.0)),
        histogram(&format!("{stem}.histogram"), DELTA, explicit.into()),
        exponential(&format!("{stem}.exponential"), CUMULATIVE, exponentials.into()),
        summary(&format!("{stem}.summary"), summaries.into()),
    ];
    all.iter_mut().for_each(|metric| metric.unit = unit.into());
    all
}

/// A request of one pod, whose name stands under `key`.
fn of_pod(
    key: &str,
    metrics: Vec<pb::Metric>,
) -> opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest {
    let mut request = request_of("shop", metrics);
    request.resource_metrics[0].resource.as_mut().unwrap().attributes.push(attribute(key, "pod-1"));
    request
}

/// All that left, in an order of its own.
fn seen(out: &Out) -> Vec<String> {
    let mut all = Vec::new();
    for request in out.cumulative.iter().chain(&out.delta) {
        let of = &request.resource_metrics[0];
        let metrics: Vec<_> = of.scope_metrics.iter().flat_map(|scope| &scope.metrics).collect();
        let resource = label(&of.resource.as_ref().unwrap().attributes);
        for (name, attributes, point) in each_point(request) {
            let unit = metrics.iter().find(|metric| metric.name == name).map(|metric| &metric.unit);
            all.push(format!("{resource} {name} {unit:?} {attributes} {point:?}"));
        }
    }
    all.sort();
    all
}

/// Byte for byte what a sender of the new names would have sent, over cuts, cores, silences and returns.
#[test]
fn every_kind_leaves_as_if_it_had_come_so() {
    for cores in [1, 3] {
        let by = 0.25;
        let rules = rules(by);
        let mut rig = ruled(cores, &rules, 25 * SECOND);
        let mut plain = Rig::with(cores, 1_000_000, 25 * SECOND);
        for round in 0..12u64 {
            let boundary = START + (round + 1) * 10 * SECOND;
            // silent for so long that all expire, and back again
            if !(4..9).contains(&round) {
                for core in 0..cores {
                    let at = boundary - SECOND + core as u64;
                    let more = round * 10 + core as u64;
                    rig.send(core, &of_pod("pod", all_kinds("old", "ms", "path", 1.0, at, more)));
                    plain.send(core, &of_pod("k8s.pod.name", all_kinds("new", "s", "http.route", by, at, more)));
                }
            }
            let (ruled, unruled) = (rig.cut(boundary), plain.cut(boundary));
            rig.sweep(2);
            plain.sweep(2);
            assert_eq!(seen(&ruled), seen(&unruled), "round {round} with {cores} cores");
            assert_eq!(rig.registry.live(), plain.registry.live(), "round {round}");
            assert_eq!(rig.registry.group_count(), plain.registry.group_count(), "round {round}");
        }
        assert_eq!(rig.tally.discarded_total() + rig.tally.rejected_total(), 0);
    }
}

/// A sender of old names and one of new names feed one series, and one that is dropped under its new name is.
#[test]
fn old_and_new_senders_meet() {
    let rules = rules(1_000.0);
    let mut rig = ruled(2, &rules, 300 * SECOND);
    let counts = |name: &str, key: &str, value| {
        let point = |route| number(&[(key, route)], START, START + SECOND, int(value));
        let mut metric = sum(name, DELTA, true, vec![point("/a"), point("/error")]);
        metric.unit = if name.starts_with("old") { "ms" } else { "s" }.into();
        metric
    };
    for round in 0..3 {
        rig.send(0, &of_pod("pod", vec![counts("old.x", "path", 2)]));
        rig.send(1, &of_pod("k8s.pod.name", vec![counts("new.x", "http.route", 5)]));
        let out = rig.cut(START + (round + 1) * 10 * SECOND);
        assert_eq!(values(&out.delta), [2_005.0]);
    }
    assert_eq!((rig.tally.discarded(Discard::Rule), rig.registry.live(), rig.registry.group_count()), (6, 1, 1));
    let point = out_point(&rig.cut(START + 40 * SECOND));
    assert_eq!(point, None, "nothing came");
}

fn out_point(out: &Out) -> Option<f64> {
    values(&out.delta).first().copied()
}

/// More encodings than a cell remembers: each point arrives, scaled once, whichever of them it came in, and beside a sender
/// of the new name whose points are not scaled.
#[test]
fn more_encodings_than_are_remembered_arrive_scaled_once() {
    let rules = rules(8.0);
    let mut rig = ruled(1, &rules, 300 * SECOND);
    let keys = ["path", "a", "b", "c"];
    let mut orders: Vec<Vec<(&str, &str)>> = Vec::new();
    for first in 0..4 {
        for second in (0..4).filter(|second| *second != first) {
            let rest = (0..4).filter(|at| ![first, second].contains(at));
            orders.push([first, second].into_iter().chain(rest).map(|at| (keys[at], "x")).collect());
        }
    }
    for round in 0..4 {
        for order in &orders {
            let mut old = sum("old.x", DELTA, true, vec![number(order, START, START + SECOND, int(1))]);
            old.unit = "ms".into();
            rig.send(0, &of_pod("pod", vec![old]));
            let renamed: Vec<_> =
                order.iter().map(|(k, v)| (if *k == "path" { "http.route" } else { *k }, *v)).collect();
            let mut new = sum("new.x", DELTA, true, vec![number(&renamed, START, START + SECOND, int(1))]);
            new.unit = "s".into();
            rig.send(0, &of_pod("k8s.pod.name", vec![new]));
        }
        let out = rig.cut(START + (round + 1) * 10 * SECOND);
        assert_eq!(values(&out.delta), [12.0 * 8.0 + 12.0], "round {round}");
    }
    assert_eq!(rig.registry.live(), 1);
    assert!(rig.cores[0].routes() <= 2 * 24 + 1);
}

/// A series that has the new key keeps both, and is counted when it is first seen, not with the next one.
#[test]
fn what_was_not_renamed_is_counted_at_once() {
    let rules = rules(1.0);
    let mut rig = ruled(1, &rules, 300 * SECOND);
    let both = [("path", "/a"), ("http.route", "/b")];
    let mut old = sum("old.x", DELTA, true, vec![number(&both, START, START + SECOND, int(1))]);
    old.unit = "ms".into();
    for _ in 0..2 {
        rig.send(0, &of_pod("pod", vec![old.clone()]));
        assert_eq!(rig.tally.noted(Note::RelabelSkipped), 1);
    }
}

/// What cannot be multiplied is rejected, and said so; what is refused by a limit is named as it would be called.
#[test]
fn what_cannot_be_multiplied_is_rejected() {
    let rules = rules(1e300);
    let mut rig = ruled(1, &rules, 300 * SECOND);
    let big = || sum("old.x", DELTA, true, vec![number(&[], START, START + SECOND, double(1e300))]);
    for _ in 0..2 {
        let receipt = rig.send(0, &of_pod("pod", vec![big()]));
        assert_eq!(receipt.rejected, 1, "{receipt:?}");
        assert!(receipt.message.unwrap().contains("NaN or infinite"));
    }
    assert_eq!((rig.tally.applied_total(), rig.tally.rejected_total()), (0, 2));
    let out = rig.cut(START + 10 * SECOND);
    assert_eq!((values(&out.cumulative), values(&out.delta)), (vec![], vec![]), "nothing of it leaves");
}

/// Rules go, and what they renamed has its old name again: it is the series that was there, and goes on from its total.
#[test]
fn what_has_its_old_name_again_is_the_series_that_was_there() {
    for cores in [1, 2] {
        let mut rig = Rig::with(cores, 1_000_000, 300 * SECOND);
        let plans = [Arc::default(), rules(1.0), Arc::default()];
        let mut seen = Vec::new();
        for (round, rules) in plans.into_iter().enumerate() {
            let plan = GatePlan { rules, ..GatePlan::default() };
            rig.cores.iter_mut().for_each(|core| drop(core.take_up(&plan)));
            // its streams ask again with the first points, and what was renamed is put away with the cut behind them
            for cut in 0..3 {
                let boundary = START + (3 * round as u64 + cut + 1) * 10 * SECOND;
                let mut point = sum("old.x", DELTA, true, vec![number(&[], boundary - 2, boundary - 1, int(5))]);
                point.unit = "ms".into();
                rig.send(0, &of_pod("pod", vec![point]));
                let out = rig.cut(boundary);
                seen.push(
                    numbers(&out.cumulative).into_iter().map(|(name, .., value)| (name, value)).collect::<Vec<_>>(),
                );
            }
        }
        let totals = [5.0, 10.0, 15.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0];
        let names = ["old.x", "new.x", "old.x"];
        let want: Vec<_> =
            totals.iter().enumerate().map(|(at, total)| vec![(names[at / 3].to_owned(), *total)]).collect();
        assert_eq!(seen, want, "{cores} cores");
        assert_eq!((rig.registry.live(), rig.registry.group_count()), (2, 2), "{cores} cores");
    }
}
