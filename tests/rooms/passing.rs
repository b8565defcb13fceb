//! Where rules are others, what leaves under one name goes on without a gap: no end has the time of a value, each stands behind
//! the last value of those before and in front of the first of those that go on, in both views.

use crate::common::*;
use crate::folds::*;
use catchment::rules::{
    Action, Aggregation, Grouping, InputKind, KeyPattern, Output, OutputSpec, Pattern, PatternKind, Rule, Selector,
};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A point that left, times in milliseconds: what keeps no more must not lose anything.
#[derive(Debug)]
struct Seen {
    start_ms: u64,
    time_ms: u64,
    is_end: bool,
}

/// By name and attributes, all points that left in a view.
type Names = BTreeMap<String, Vec<Seen>>;

fn collect(requests: &[Request], into: &mut Names) {
    for (name, attributes, point) in requests.iter().flat_map(each_point) {
        let (start, time, flags) = match point {
            Any::Number(p) => (p.start_time_unix_nano, p.time_unix_nano, p.flags),
            Any::Histogram(p) => (p.start_time_unix_nano, p.time_unix_nano, p.flags),
            Any::Exponential(p) => (p.start_time_unix_nano, p.time_unix_nano, p.flags),
            Any::Summary(p) => (p.start_time_unix_nano, p.time_unix_nano, p.flags),
        };
        assert!(start <= time, "{name}{{{attributes}}}");
        let seen = Seen { start_ms: start / 1_000_000, time_ms: time / 1_000_000, is_end: flags & 1 == 1 };
        into.entry(format!("{name}{{{attributes}}}")).or_default().push(seen);
    }
}

/// Two rules, or none, one after the other, and what is sent at each cut.
struct Case {
    what: &'static str,
    before: Vec<Rule>,
    after: Vec<Rule>,
    /// The cut behind which the others come.
    at: u64,
    /// Names that go on, with how many ends.
    goes_on: &'static [(&'static str, usize)],
}

/// One of each kind of `pod`, at a time.
fn metrics(pod: &str, time: u64, n: i64) -> Vec<Metric> {
    let attributes: Vec<(&str, &str)> = [("pod", pod)].into_iter().filter(|(_, pod)| !pod.is_empty()).collect();
    let total = |value: i64| number(&attributes, START, time, int(value));
    vec![
        sum("adds", 1, true, vec![number(&attributes, time - 1, time, int(n))]),
        sum("totals", 2, true, vec![total(10 * n)]),
        sum("levels", 2, false, vec![total(n)]),
        gauge("heat", vec![number(&attributes, 0, time, int(n))]),
        histogram("sizes", 1, vec![histogram_point(&attributes, time, &[1, 2], &[1.0], 1.5)]),
        summary("rpc", vec![summary_point(&attributes, START, time, n as u64, 1.0, &[(0.5, 1.0)])]),
    ]
}

/// Pods away: everything under its own name, gauges and summaries too.
fn away(name: &str, interval: u64) -> Rule {
    let spec = |output: Output| OutputSpec { output, window_ns: interval, name: "{name}".into(), text: "x".into() };
    let outputs = InputKind::ALL.map(|kind| {
        let output = match kind {
            InputKind::Gauge | InputKind::Summary => Output::Last,
            _ => Output::Same,
        };
        Arc::from([spec(output)])
    });
    let pod = KeyPattern { text: "pod".into(), place: None };
    rule(name, Aggregation { outputs, ..Aggregation::new(Grouping::Without(vec![pod]), interval) })
}

/// The same of series of this pod.
fn of_pod(pod: &str, rule: Rule) -> Rule {
    let pod = Pattern { text: pod.into(), kind: PatternKind::Glob, is_negated: false };
    Rule { selector: Selector { attributes: vec![("pod".into(), vec![pod])], ..Selector::default() }, ..rule }
}

fn max_for_last(rule: Rule) -> Rule {
    let Action::Aggregate(mut says) = rule.action else { panic!("it aggregates") };
    let last = says.outputs[InputKind::Gauge as usize][0].clone();
    says.outputs[InputKind::Gauge as usize] = Arc::from([OutputSpec { output: Output::Max, ..last }]);
    Rule { action: Action::Aggregate(says), ..rule }
}

const ALL: [&str; 6] = ["adds", "totals", "levels", "heat", "sizes", "rpc"];

fn check(case: &Case, pod: &str, cores: usize) {
    let mut rig = Rig::with_rules(cores, case.before.clone());
    let (mut at, mut views) = (START, [Names::new(), Names::new()]);
    for cut in 1..=12 {
        if cut == case.at {
            rig.reload(case.after.clone());
        }
        for (core, metric) in metrics(pod, at + 2 * SECOND, cut as i64).into_iter().enumerate() {
            rig.send(core + cut as usize, &request(vec![metric]));
        }
        at += INTERVAL;
        let out = rig.cut_open(at);
        collect(&out.cumulative, &mut views[0]);
        collect(&out.delta, &mut views[1]);
    }
    for (view, names) in ["cumulative", "delta"].iter().zip(&mut views) {
        for name in ALL {
            let (goes_on, ends) =
                case.goes_on.iter().find(|(kind, _)| [name, "all"].contains(kind)).unwrap_or(&("", 0));
            if goes_on.is_empty() {
                continue;
            }
            let what = format!("{}, {cores} cores, pod {pod:?}, {view}: {name}", case.what);
            let seen = names.get_mut(&format!("{name}{{}}")).unwrap_or_else(|| panic!("{what}: nothing left"));
            // two shards hand out what is theirs in any order
            seen.sort_by_key(|seen| seen.time_ms);
            assert!(seen.windows(2).all(|pair| pair[0].time_ms < pair[1].time_ms), "{what}: {seen:?}");
            let exchange_ms = (START + case.at * INTERVAL) / 1_000_000;
            let ended: Vec<&Seen> = seen.iter().filter(|seen| seen.is_end).collect();
            assert_eq!(ended.len(), *ends, "{what}: {seen:?}");
            for end in &ended {
                // none of those before is behind it, and of those behind it none before
                assert_eq!(end.time_ms, exchange_ms + 1, "{what}: {seen:?}");
                assert!(end.start_ms <= exchange_ms, "{what}: {seen:?}");
            }
            assert!(seen.last().is_some_and(|seen| !seen.is_end), "{what}: {seen:?}");
            if *view == "delta" && ["adds", "totals", "sizes"].contains(&name) {
                let values: Vec<&Seen> = seen.iter().filter(|seen| !seen.is_end).collect();
                let follows = |pair: &[&Seen]| pair[0].time_ms <= pair[1].start_ms;
                assert!(values.windows(2).all(follows), "{what}: {seen:?}");
            }
        }
    }
}

#[test]
fn what_goes_on_under_a_name_is_newer_than_the_end() {
    let ten = || away("pods", INTERVAL);
    let thirty = |name| away(name, 3 * INTERVAL);
    let cases = [
        Case {
            what: "another name",
            before: vec![ten()],
            after: vec![away("b", INTERVAL)],
            at: 6,
            goes_on: &[("all", 1)],
        },
        Case {
            what: "of 30 s, within",
            before: vec![thirty("a")],
            after: vec![thirty("b")],
            at: 6,
            goes_on: &[("all", 1)],
        },
        Case {
            what: "from one to another, within the first one's interval",
            before: vec![of_pod("a", thirty("a")), of_pod("b", ten())],
            after: vec![of_pod("b", thirty("a")), of_pod("a", ten())],
            at: 6,
            goes_on: &[("all", 1)],
        },
        Case {
            what: "the first takes it no more",
            before: vec![of_pod("a", thirty("a")), away("b", INTERVAL)],
            after: vec![of_pod("b", thirty("a")), away("b", INTERVAL)],
            at: 6,
            goes_on: &[("all", 1)],
        },
        Case {
            what: "another output of one name",
            before: vec![ten()],
            after: vec![max_for_last(ten())],
            at: 6,
            goes_on: &[("heat", 1)],
        },
    ];
    for case in &cases {
        for cores in 1..=3 {
            check(case, "a", cores);
        }
    }
}

/// Series without the attribute that a rule takes away have the name of its outputs.
#[test]
fn a_series_with_the_name_of_an_output_and_the_output_give_way_to_one_another() {
    let ten = || vec![away("pods", INTERVAL)];
    let cases = [
        Case { what: "a rule comes", before: vec![], after: ten(), at: 6, goes_on: &[("all", 1)] },
        Case { what: "a rule goes", before: ten(), after: vec![], at: 6, goes_on: &[("all", 1)] },
    ];
    for case in &cases {
        for cores in 1..=3 {
            check(case, "", cores);
        }
    }
}
