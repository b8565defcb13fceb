//! Rules at a cut: members of several cores and owners are folded into outputs, which leave in their place or beside them.
//!
//! What is computed has its own tests (`fold`), and so has who matches (`rules`); these are about the way between shards.

use crate::common::*;
use catchment::ledger::Note;
use catchment::rules::{
    Action, Aggregation, AttributeChange, Bucketing, Change, Grouping, InitialValue, InputKind, KeyPattern, Output,
    OutputSpec, Pattern, PatternKind, Rule, Selector,
};
use opentelemetry_proto::tonic::metrics::v1::{self as pb, Metric};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const INTERVAL: u64 = 10 * SECOND;

/// Pods away, over all metrics: counters and histograms as they are, gauges as sum and average.
pub(super) fn pods_away() -> Aggregation {
    let spec = |output: Output, name: &str, text: &str| OutputSpec {
        output,
        window_ns: INTERVAL,
        name: name.into(),
        text: text.into(),
    };
    let same = || Arc::from([spec(Output::Same, "{name}", "same")]);
    let gauges = [spec(Output::Sum, "{name}.sum", "sum"), spec(Output::CountSeries, "{name}.series", "count_series")];
    let outputs = InputKind::ALL.map(|kind| match kind {
        InputKind::Gauge => Arc::from(gauges.clone()),
        InputKind::Summary => Arc::from([]),
        _ => same(),
    });
    Aggregation {
        outputs,
        ..Aggregation::new(Grouping::Without(vec![KeyPattern { text: "pod".into(), place: None }]), INTERVAL)
    }
}

pub(super) fn rule(name: &str, aggregation: Aggregation) -> Rule {
    Rule {
        name: name.into(),
        was: None,
        selector: Selector::default(),
        except: None,
        action: Action::Aggregate(Box::new(aggregation)),
        goes_on: false,
    }
}

/// By metric and attributes, the values of what left.
pub(super) fn left(requests: &[Request]) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for (name, attributes, _, _, value) in numbers(requests) {
        let before = all.insert(format!("{name}{{{attributes}}}"), value);
        assert_eq!(before, None, "one point a series and cut: {name}");
    }
    all
}

pub(super) type Request = opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

pub(super) fn expect(got: &[Request], want: &[(&str, f64)], what: &str) {
    let want: BTreeMap<String, f64> = want.iter().map(|(name, value)| (name.to_string(), *value)).collect();
    let got = left(got);
    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    assert!(
        got.keys().eq(want.keys()) && got.values().zip(want.values()).all(same),
        "{what}: got {got:?}, want {want:?}"
    );
}

pub(super) fn counter(pod: &str, route: &str, time: u64, value: i64) -> Metric {
    sum("requests", 1, true, vec![number(&[("route", route), ("pod", pod)], 0, time, int(value))])
}

pub(super) fn level(pod: &str, time: u64, value: i64) -> Metric {
    gauge("temperature", vec![number(&[("pod", pod)], 0, time, int(value))])
}

/// However many shards there are, and wherever points come in: what members give is in one output, in both views, and the
/// members themselves leave no more.
#[test]
fn members_of_all_shards_are_one_output() {
    for cores in 1..=4 {
        let mut rig = Rig::with_rules(cores, vec![rule("pods-away", pods_away())]);
        let (mut total, mut at) = (BTreeMap::new(), START);
        for cut in 0..4u64 {
            let mut step = BTreeMap::new();
            for pod in 0..20usize {
                for (route, value) in [("/a", pod as i64 + 1), ("/b", 100 * cut as i64)] {
                    let request = request(vec![counter(&format!("p{pod}"), route, at + pod as u64 + 1, value)]);
                    rig.send(pod + cut as usize, &request);
                    *step.entry(route).or_insert(0.0) += value as f64;
                    *total.entry(route).or_insert(0.0) += value as f64;
                }
            }
            at += INTERVAL;
            let out = rig.cut(at);
            let names = |of: &BTreeMap<&str, f64>| -> Vec<(String, f64)> {
                of.iter().map(|(route, value)| (format!("requests{{route={route}}}"), *value)).collect()
            };
            for (requests, of) in [(&out.cumulative, &total), (&out.delta, &step)] {
                let want = names(of);
                let want: Vec<(&str, f64)> = want.iter().map(|(name, value)| (&**name, *value)).collect();
                expect(requests, &want, &format!("{cores} cores, cut {cut}"));
            }
            for (_, _, start, time, _) in numbers(&out.delta) {
                assert_eq!((start, time), (at - INTERVAL, at));
            }
            for (_, _, start, time, _) in numbers(&out.cumulative) {
                assert_eq!((start, time), (START, at));
            }
        }
        assert_eq!(rig.owners.iter().map(|owner| owner.live_outputs()).sum::<usize>(), 2);
    }
}

/// A rule that keeps its input: members leave as before, and the output beside them.
#[test]
fn what_is_kept_leaves_as_well() {
    let mut aggregation = Aggregation { keeps_input: true, ..pods_away() };
    let renamed = OutputSpec { name: "{name}.all".into(), ..aggregation.outputs[0][0].clone() };
    aggregation.outputs[0] = Arc::from([renamed]);
    for cores in [1, 3] {
        let mut rig = Rig::with_rules(cores, vec![rule("kept", aggregation.clone())]);
        rig.send(0, &request(vec![counter("p1", "/a", START + 1, 5)]));
        rig.send(1, &request(vec![counter("p2", "/a", START + 1, 7)]));
        let out = rig.cut(START + INTERVAL);
        let want =
            [("requests.all{route=/a}", 12.0), ("requests{pod=p1,route=/a}", 5.0), ("requests{pod=p2,route=/a}", 7.0)];
        expect(&out.cumulative, &want, "kept");
        expect(&out.delta, &want, "kept");
    }
}

/// Gauges are of those who live: who is silent for too long, or says that it ended, leaves the set; with the last one the
/// outputs end, once.
#[test]
fn gauges_are_of_the_members_that_live() {
    for cores in [1, 2] {
        let mut rig = Rig::with_rules(cores, vec![rule("pods-away", pods_away())]);
        let mut at = START;
        let cut = |rig: &mut Rig, sent: &[(&str, i64)], at: &mut u64| {
            for (core, (pod, value)) in sent.iter().enumerate() {
                rig.send(core, &request(vec![level(pod, *at + 1, *value)]));
            }
            *at += INTERVAL;
            rig.cut(*at).cumulative
        };
        let all = |sum: f64, series: f64| [("temperature.series{}", series), ("temperature.sum{}", sum)];
        for _ in 0..3 {
            expect(&cut(&mut rig, &[("a", 3), ("b", 4)], &mut at), &all(7.0, 2.0), "both");
        }
        expect(&cut(&mut rig, &[("a", 5)], &mut at), &all(9.0, 2.0), "b is silent, not yet stale");
        expect(&cut(&mut rig, &[("a", 5)], &mut at), &all(9.0, 2.0), "twice");
        expect(&cut(&mut rig, &[("a", 6)], &mut at), &all(6.0, 1.0), "b is gone");
        let end = pb::NumberDataPoint { flags: 1, ..number(&[("pod", "a")], 0, at + 1, None) };
        rig.send(0, &request(vec![gauge("temperature", vec![end])]));
        at += INTERVAL;
        expect(&rig.cut(at).cumulative, &all(f64::NAN, f64::NAN), "a ended, and with it the outputs");
        at += INTERVAL;
        expect(&rig.cut(at).cumulative, &[], "once");
        expect(&cut(&mut rig, &[("b", 8)], &mut at), &all(8.0, 1.0), "b came back");
    }
}

/// Histograms of equal bounds are one output; the regions of hidden members leave nothing behind in the batch.
#[test]
fn histograms_are_merged_bucket_by_bucket() {
    let bounds = [1.0, 2.0];
    for cores in [1, 2] {
        let mut rig = Rig::with_rules(cores, vec![rule("pods-away", pods_away())]);
        for cut in 1..4u64 {
            for pod in 0..5usize {
                let counts = [pod as u64, 1, cut];
                let name = format!("p{pod}");
                let point = histogram_point(&[("pod", &name)], START + cut, &counts, &bounds, 1.5);
                rig.send(pod, &request(vec![histogram("latency", 1, vec![point])]));
            }
            let out = rig.cut(START + cut * INTERVAL);
            for (requests, last) in [(&out.delta, 5 * cut), (&out.cumulative, 5 * (1..=cut).sum::<u64>())] {
                let cuts = if std::ptr::eq(requests, &out.delta) { 1 } else { cut };
                let points: Vec<_> = requests.iter().flat_map(each_point).collect();
                let [(name, attributes, Any::Histogram(point))] = &points[..] else { panic!("{points:?}") };
                assert_eq!((&**name, &**attributes), ("latency", ""));
                assert_eq!(
                    (point.bucket_counts.clone(), point.sum),
                    (vec![10 * cuts, 5 * cuts, last], Some(7.5 * cuts as f64))
                );
                assert_eq!(point.explicit_bounds, bounds);
            }
        }
    }
}

/// M29: the newest four exemplars over all members leave with what is merged of them.
#[test]
fn the_newest_exemplars_of_all_members_leave_with_the_output() {
    for cores in [1, 3] {
        let mut rig = Rig::with_rules(cores, vec![rule("pods-away", pods_away())]);
        for pod in 0..6usize {
            let mut metric = counter(&format!("p{pod}"), "/a", START + 1, 1);
            let Some(pb::metric::Data::Sum(sum)) = &mut metric.data else { panic!() };
            sum.data_points[0].exemplars.push(pb::Exemplar {
                time_unix_nano: START + 10 + pod as u64,
                value: Some(pb::exemplar::Value::AsInt(pod as i64)),
                ..Default::default()
            });
            rig.send(pod, &request(vec![metric]));
        }
        let out = rig.cut(START + INTERVAL);
        for requests in [&out.cumulative, &out.delta] {
            let points: Vec<_> = requests.iter().flat_map(each_point).collect();
            let [(_, _, Any::Number(point))] = &points[..] else { panic!("{points:?}") };
            let times: Vec<u64> = point.exemplars.iter().map(|exemplar| exemplar.time_unix_nano - START).collect();
            assert_eq!(times, [12, 13, 14, 15], "{cores} cores");
        }
        rig.send(0, &request(vec![counter("p1", "/a", START + INTERVAL + 1, 1)]));
        let out = rig.cut(START + 2 * INTERVAL);
        let points: Vec<_> = out.cumulative.iter().flat_map(each_point).collect();
        let [(_, _, Any::Number(point))] = &points[..] else { panic!("{points:?}") };
        assert!(point.exemplars.is_empty(), "they are of the cut before");
    }
}

/// S1: a first cumulative point without a start counts as the rule says.
#[test]
fn the_first_point_of_a_cumulative_counts_as_the_rule_says() {
    for (initial_value, want) in [(InitialValue::Auto, 5.0), (InitialValue::Keep, 105.0), (InitialValue::Drop, 5.0)] {
        let mut rig = Rig::with_rules(2, vec![rule("first", Aggregation { initial_value, ..pods_away() })]);
        for value in [100, 105] {
            let point = number(&[("pod", "p")], 0, START + value, int(value as i64));
            rig.send(0, &request(vec![sum("requests", 2, true, vec![point])]));
        }
        expect(&rig.cut(START + INTERVAL).cumulative, &[("requests{}", want)], "first");
    }
    // one whose start says that it is young
    for (initial_value, want) in [(InitialValue::Auto, 7.0), (InitialValue::Keep, 7.0), (InitialValue::Drop, 0.0)] {
        let mut rig = Rig::with_rules(1, vec![rule("first", Aggregation { initial_value, ..pods_away() })]);
        let point = number(&[("pod", "p")], START + 1, START + 2, int(7));
        rig.send(0, &request(vec![sum("requests", 2, true, vec![point])]));
        expect(&rig.cut(START + INTERVAL).cumulative, &[("requests{}", want)], "young");
    }
}

/// A lane that is used again begins with nothing of the fold before it: members of one rule go, those of another come, with
/// other buckets.
#[test]
fn a_lane_that_is_used_again_is_empty() {
    let buckets = |metric: &str, bounds: &[f64]| {
        let spec = OutputSpec {
            output: Output::Histogram(Bucketing::Explicit(bounds.into())),
            window_ns: INTERVAL,
            name: "{name}.histogram".into(),
            text: "histogram".into(),
        };
        let outputs = InputKind::ALL.map(|kind| match kind {
            InputKind::Gauge => Arc::from([spec.clone()]),
            _ => Arc::from([]),
        });
        let metric = Pattern { text: metric.into(), kind: PatternKind::Glob, is_negated: false };
        let selector = Selector { metric: vec![metric], ..Selector::default() };
        Rule { selector, ..rule(&format!("r{}", bounds.len()), Aggregation { outputs, ..pods_away() }) }
    };
    for cores in [1, 2] {
        let mut rig =
            Rig::with_rules(cores, vec![buckets("first", &[1.0, 5.0, 10.0, 20.0]), buckets("second", &[100.0])]);
        let mut at = START;
        for name in ["first", "second", "first"] {
            for pod in ["a", "b", "c"] {
                rig.send(0, &request(vec![gauge(name, vec![number(&[("pod", pod)], 0, at + 1, int(7))])]));
            }
            at += INTERVAL;
            let out = rig.cut(at);
            let points: Vec<_> = out.delta.iter().flat_map(each_point).collect();
            let [(_, _, Any::Histogram(point))] = &points[..] else { panic!("{name}: {points:?}") };
            let want = if name == "first" { vec![0, 0, 3, 0, 0] } else { vec![3, 0] };
            assert_eq!((point.count, &point.bucket_counts), (3, &want), "{name}");
            for _ in 0..70 {
                at += INTERVAL;
                rig.cut(at);
            }
            assert_eq!(rig.owners.iter().map(|owner| owner.live() + owner.live_outputs()).sum::<usize>(), 0);
        }
    }
}

/// Members die, and their outputs with them once nothing was given for `--expire`; new ones begin anew.
#[test]
fn outputs_without_members_are_forgotten() {
    for cores in [1, 3] {
        let mut rig = Rig::with_rules(cores, vec![rule("pods-away", pods_away())]);
        rig.send(0, &request(vec![counter("p1", "/a", START + 1, 5), level("p1", START + 1, 5)]));
        let mut at = START;
        let mut outputs = Vec::new();
        for _ in 0..60 {
            at += INTERVAL;
            rig.cut(at);
            outputs.push(rig.owners.iter().map(|owner| owner.live_outputs()).sum::<usize>());
        }
        assert_eq!((outputs[0], outputs[20], outputs[59]), (3, 3, 0), "{outputs:?}");
        assert_eq!(rig.owners.iter().map(|owner| owner.live()).sum::<usize>(), 0);
        rig.send(1, &request(vec![counter("p1", "/a", at + 1, 7)]));
        at += INTERVAL;
        expect(&rig.cut(at).cumulative, &[("requests{route=/a}", 7.0)], "it begins anew");
    }
}

/// The first value of a limited key keeps its name as long as there is an output with it; then another one's may have it.
#[test]
fn a_limited_value_is_free_once_its_outputs_are_forgotten() {
    for cores in [1, 3] {
        let change = AttributeChange::Limit { values: 1, other: "other".into() };
        let limit = Change::Attribute { key: "route".into(), place: None, change };
        let mut rig = Rig::with_rules(cores, vec![rule("r", Aggregation { changes: vec![limit], ..pods_away() })]);
        rig.send(0, &request(vec![counter("p1", "/a", START + 1, 5), counter("p1", "/b", START + 1, 7)]));
        let first = left(&rig.cut(START + INTERVAL).cumulative);
        assert_eq!(first.len(), 2, "{first:?}");
        assert_eq!(first.keys().filter(|name| name.contains("route=other")).count(), 1, "{first:?}");
        let mut at = START + INTERVAL;
        for _ in 0..60 {
            at += INTERVAL;
            rig.cut(at);
        }
        rig.send(1, &request(vec![counter("p1", "/c", at + 1, 3)]));
        at += INTERVAL;
        expect(&rig.cut(at).cumulative, &[("requests{route=/c}", 3.0)], "the first one is gone");
    }
}

/// Past the limit of a rule members are counted in its overflow: totals stay true.
#[test]
fn what_has_no_room_is_in_the_overflow_of_the_rule() {
    for cores in [1, 4] {
        let limited = Aggregation { series_limit: Some(2), ..pods_away() };
        let mut rig = Rig::with_rules(cores, vec![rule("limited", limited)]);
        let mut sum = 0.0;
        for route in 0..10i64 {
            rig.send(route as usize, &request(vec![counter("p", &format!("/{route}"), START + 1, route)]));
            sum += route as f64;
        }
        let out = rig.cut(START + INTERVAL);
        let left = left(&out.cumulative);
        assert_eq!((left.len(), left.values().sum::<f64>()), (3, sum), "{left:?}");
        let overflow = left.keys().filter(|name| name.contains("otel.metric.overflow")).count();
        assert_eq!((overflow, rig.tally.noted(Note::RuleOverflowed)), (1, 8));
    }
}

/// Two rules that both see a series: each has its outputs, and the series goes on only if both keep it.
#[test]
fn a_series_of_two_rules_is_in_both() {
    let named = |suffix: &str, keeps_input| {
        let mut aggregation = Aggregation { keeps_input, ..pods_away() };
        aggregation.outputs[0] =
            Arc::from([OutputSpec { name: format!("{{name}}.{suffix}").into(), ..aggregation.outputs[0][0].clone() }]);
        aggregation
    };
    for (keeps, wants_input) in [((true, true), true), ((true, false), false)] {
        let first = Rule { goes_on: true, ..rule("first", named("first", keeps.0)) };
        let second = Aggregation { grouping: Grouping::By(vec![]), ..named("second", keeps.1) };
        let metric = Pattern { text: "req*".into(), kind: PatternKind::Glob, is_negated: false };
        let selector = Selector { metric: vec![metric], ..Selector::default() };
        let mut rig = Rig::with_rules(2, vec![first, Rule { selector, ..rule("second", second) }]);
        rig.send(0, &request(vec![counter("p1", "/a", START + 1, 5)]));
        rig.send(1, &request(vec![counter("p1", "/b", START + 1, 6)]));
        let out = rig.cut(START + INTERVAL);
        let mut want =
            vec![("requests.first{route=/a}", 5.0), ("requests.first{route=/b}", 6.0), ("requests.second{}", 11.0)];
        if wants_input {
            want.extend([("requests{pod=p1,route=/a}", 5.0), ("requests{pod=p1,route=/b}", 6.0)]);
        }
        expect(&out.cumulative, &want, "two rules");
    }
}
