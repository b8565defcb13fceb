//! Rules give way to others between two cuts: what the table of section 6 of the rules says survives, does, and nothing else
//! leaves but what ended, once.

use crate::common::*;
use crate::folds::*;
use catchment::chance::Chance;
use catchment::flush::{Outlet, Taken, Written};
use catchment::limits;
use catchment::model::{Flushed, Temporality, View};
use catchment::otlp::encode::{self, EncodeStep, Encoder};
use catchment::rows::Rows;
use catchment::rules::{
    Action, Aggregation, Grouping, InputKind, KeyPattern, Output, OutputSpec, Pattern, PatternKind, Rule, Selector,
};
use catchment::sync::cut::CutTimes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

fn key(text: &str) -> KeyPattern {
    KeyPattern { text: text.into(), place: None }
}

fn without(keys: &[&str]) -> Aggregation {
    Aggregation { grouping: Grouping::Without(keys.iter().map(|text| key(text)).collect()), ..pods_away() }
}

fn of_metric(metric: &str, rule: Rule) -> Rule {
    let metric = Pattern { text: metric.into(), kind: PatternKind::Glob, is_negated: false };
    Rule { selector: Selector { metric: vec![metric], ..Selector::default() }, ..rule }
}

/// `counter` of another metric.
fn other(pod: &str, time: u64, value: i64) -> opentelemetry_proto::tonic::metrics::v1::Metric {
    sum("other", 1, true, vec![number(&[("pod", pod)], 0, time, int(value))])
}

/// A rig, its clock, and what leaves.
struct Run {
    rig: Rig,
    at: u64,
}

impl Run {
    fn new(cores: usize, rules: Vec<Rule>) -> Run {
        Run { rig: Rig::with_rules(cores, rules), at: START }
    }

    /// Sends to every core in turn, cuts, and expects this in the cumulative view.
    fn cut(&mut self, metrics: Vec<opentelemetry_proto::tonic::metrics::v1::Metric>, want: &[(&str, f64)]) -> Out {
        for (core, metric) in metrics.into_iter().enumerate() {
            self.rig.send(core, &request(vec![metric]));
        }
        self.at += INTERVAL;
        let out = self.rig.cut(self.at);
        let what = format!("{} cores, cut {}", self.rig.cores.len(), (self.at - START) / INTERVAL);
        expect(&out.cumulative, want, &what);
        out
    }

    fn requests(&self, pods: &[(&str, &str, i64)]) -> Vec<opentelemetry_proto::tonic::metrics::v1::Metric> {
        pods.iter().map(|(pod, route, value)| counter(pod, route, self.at + 1, *value)).collect()
    }

    fn outputs(&self) -> usize {
        self.rig.owners.iter().map(|owner| owner.live_outputs()).sum()
    }
}

const END: f64 = f64::NAN;

/// Other attributes go: outputs end, others begin at the cut at 0; a rule beside it goes on as if nothing had happened.
#[test]
fn a_rule_that_groups_otherwise_has_other_outputs() {
    for cores in 1..=4 {
        let beside = || of_metric("other", rule("beside", pods_away()));
        let mut run = Run::new(cores, vec![of_metric("requests", rule("pods", pods_away())), beside()]);
        let points = |run: &Run, n: i64| {
            let mut all = run.requests(&[("a", "/x", 5 * n), ("b", "/y", 2 * n)]);
            all.push(other("a", run.at + 1, 10 * n));
            all
        };
        let metrics = points(&run, 1);
        run.cut(metrics, &[("requests{route=/x}", 5.0), ("requests{route=/y}", 2.0), ("other{}", 10.0)]);
        run.rig.reload(vec![of_metric("requests", rule("pods", without(&["pod", "route"]))), beside()]);
        let metrics = points(&run, 2);
        run.cut(metrics, &[("requests{route=/x}", 15.0), ("requests{route=/y}", 6.0), ("other{}", 30.0)]);
        assert!(!run.rig.rules.as_ref().unwrap().is_pending(), "all have taken it up");
        let metrics = points(&run, 1);
        let want = [("requests{route=/x}", END), ("requests{route=/y}", END), ("requests{}", 7.0), ("other{}", 40.0)];
        let out = run.cut(metrics, &want);
        for (name, attributes, start, time, value) in numbers(&out.cumulative) {
            let since = if name == "requests" && attributes.is_empty() { run.at - INTERVAL } else { START };
            // an end stands right behind the last value
            let until = if value.is_nan() { run.at - INTERVAL + limits::END_BEHIND_NS } else { run.at };
            assert_eq!((start, time), (since, until), "{name}{{{attributes}}}");
        }
        assert_eq!(run.outputs(), 4);
        let metrics = points(&run, 1);
        run.cut(metrics, &[("requests{}", 14.0), ("other{}", 50.0)]);
        assert_eq!(run.outputs(), 2, "what ended is forgotten");
    }
}

/// A limit that outputs of both fill: what finds no room while the old ones end gets its own output when they are forgotten.
#[test]
fn a_limit_counts_outputs_that_ended_no_longer() {
    for cores in 1..=4 {
        let limited = |keys: &[&str]| {
            let aggregation = Aggregation { series_limit: Some(2), ..without(keys) };
            vec![Rule { action: Action::Aggregate(Box::new(aggregation)), ..rule("pods", pods_away()) }]
        };
        let mut run = Run::new(cores, limited(&["pod"]));
        let points = |run: &Run| run.requests(&[("a", "/x", 5), ("b", "/y", 2)]);
        let metrics = points(&run);
        run.cut(metrics, &[("requests{route=/x}", 5.0), ("requests{route=/y}", 2.0)]);
        run.rig.reload(limited(&["route"]));
        let metrics = points(&run);
        run.cut(metrics, &[("requests{route=/x}", 10.0), ("requests{route=/y}", 4.0)]);
        let mut overflowed = 0.0;
        let mut outputs = 0.0;
        for cut in 0..8 {
            let metrics = points(&run);
            for (core, metric) in metrics.into_iter().enumerate() {
                run.rig.send(core, &request(vec![metric]));
            }
            run.at += INTERVAL;
            let out = run.rig.cut(run.at);
            let all = numbers(&out.delta);
            let of = |attributes: &str| -> f64 {
                all.iter()
                    .filter(|(_, own, ..)| own.starts_with(attributes))
                    .map(|point| point.4)
                    .filter(|value| !value.is_nan())
                    .sum()
            };
            let (over, own) = (of("otel.metric.overflow"), of("pod=a") + of("pod=b"));
            assert_eq!(over + own, 7.0, "{cores} cores, cut {cut}: each increment leaves once: {all:?}");
            if cut >= 5 {
                assert_eq!(over, 0.0, "{cores} cores, cut {cut}: there is room: {all:?}");
            }
            (overflowed, outputs) = (overflowed + over, outputs + own);
        }
        assert!(overflowed > 0.0 && outputs > 0.0, "{overflowed} {outputs}");
        assert_eq!(run.outputs(), 2, "the overflow ended, as nobody is in it");
    }
}

/// Rules that stay as they are leave, byte for byte, what they leave where nothing is read again: sums, what windows and tables
/// gathered, and all times, however rules beside them come, go and change, and wherever in the list they stand.
#[test]
fn rules_that_stay_leave_byte_for_byte_what_they_leave_without_a_reload() {
    let made = |intervals: u64, outputs: &[(Output, u64)]| -> Arc<[OutputSpec]> {
        let spec = |(at, (output, window)): (usize, &(Output, u64))| OutputSpec {
            output: output.clone(),
            window_ns: intervals * window * INTERVAL,
            name: format!("{{name}}.{at}").into(),
            text: at.to_string().into(),
        };
        outputs.iter().enumerate().map(spec).collect()
    };
    let staying = |metric: &str, kind: InputKind, intervals: u64, outputs: &[(Output, u64)]| {
        let mut aggregation = Aggregation { outputs: Default::default(), ..pods_away() };
        aggregation.interval_ns = intervals * INTERVAL;
        aggregation.outputs[kind as usize] = made(intervals, outputs);
        of_metric(metric, rule(&format!("{metric}-stays"), aggregation))
    };
    let pods = || vec![Arc::from("pod")];
    let of_requests = [
        (Output::Same, 1),
        (Output::Rate, 3),
        (Output::Increase, 1),
        (Output::Unique(pods()), 2),
        (Output::TopK { k: 1, keys: pods() }, 2),
    ];
    let of_levels = [(Output::Sum, 1), (Output::Avg, 3), (Output::Max, 1), (Output::Quantile(0.5), 2)];
    let of_latency = [(Output::Same, 1), (Output::Quantile(0.9), 3), (Output::Count, 1)];
    let stay = [
        staying("requests", InputKind::Counter, 1, &of_requests),
        staying("temperature", InputKind::Gauge, 3, &of_levels),
        staying("latency", InputKind::Histogram, 2, &of_latency),
    ];
    let plan = |n: usize| {
        let other = |name: &str, aggregation: Aggregation| of_metric("other", rule(name, aggregation));
        let mut rules: Vec<Rule> = match n % 4 {
            0 => vec![],
            1 => vec![other("first", pods_away()), of_metric("other", rule("never", pods_away()))],
            2 => vec![other("first", without(&["pod", "route"]))],
            _ => vec![other("second", Aggregation { interval_ns: 2 * INTERVAL, ..pods_away() })],
        };
        for (at, one) in stay.iter().enumerate() {
            rules.insert((at * n) % (rules.len() + 1), one.clone());
        }
        rules
    };
    // name and attributes, and the point
    let of_staying = |requests: &[Request]| -> Vec<(String, Vec<u8>)> {
        let point = |point: &Any| match point {
            Any::Number(point) => point.encode_to_vec(),
            Any::Histogram(point) => point.encode_to_vec(),
            Any::Exponential(point) => point.encode_to_vec(),
            Any::Summary(point) => point.encode_to_vec(),
        };
        let all = requests.iter().flat_map(each_point).filter(|(name, ..)| name != "other");
        let mut all: Vec<_> = all.map(|(name, label, of)| (format!("{name}{{{label}}}"), point(&of))).collect();
        all.sort();
        all
    };
    for cores in 1..=4 {
        let mut chance = Chance::new(cores as u64);
        let [mut reloaded, mut left_alone] = [0, 0].map(|n| Rig::with_rules(cores, plan(n)));
        let (mut at, mut points, mut outputs) = (START, 0, 0);
        for cut in 0..40 {
            for n in 0..chance.up_to(12) {
                let (pod, value) = (["a", "b", "c", "d"][chance.place(4)], chance.up_to(50) as i64);
                let time = at + n + 1;
                let counts = [chance.up_to(3), chance.up_to(3), chance.up_to(3)];
                let point = histogram_point(&[("pod", pod)], time, &counts, &[1.0, 2.0], value as f64);
                let metrics = vec![
                    counter(pod, "/x", time, value),
                    level(pod, time, value),
                    histogram("latency", 1, vec![point]),
                    other(pod, time, value),
                ];
                for rig in [&mut reloaded, &mut left_alone] {
                    rig.send(n as usize, &request(metrics.clone()));
                }
                points += 1;
            }
            if cut % 3 != 0 {
                reloaded.reload(plan(cut));
            }
            at += INTERVAL;
            let (with, without) = (reloaded.cut_open(at), left_alone.cut_open(at));
            for (with, without) in [(&with.cumulative, &without.cumulative), (&with.delta, &without.delta)] {
                let without = of_staying(without);
                assert_eq!(of_staying(with), without, "{cores} cores, cut {cut}");
                outputs += without.len();
            }
        }
        assert!(points > 100 && outputs > 400, "{points} {outputs}");
    }
}

/// The first rules come: what they take leaves one end mark. They go: their outputs do, and what they took is there again, with
/// its own totals.
#[test]
fn rules_come_and_go() {
    for cores in 1..=4 {
        let mut run = Run::new(cores, vec![]);
        let points = |run: &Run| run.requests(&[("a", "/x", 5), ("b", "/x", 2)]);
        let metrics = points(&run);
        run.cut(metrics, &[("requests{pod=a,route=/x}", 5.0), ("requests{pod=b,route=/x}", 2.0)]);
        run.rig.reload(vec![rule("pods", pods_away())]);
        let metrics = points(&run);
        run.cut(metrics, &[("requests{pod=a,route=/x}", 10.0), ("requests{pod=b,route=/x}", 4.0)]);
        // one of the two says nothing
        let metrics = run.requests(&[("a", "/x", 5)]);
        let ends = [("requests{pod=a,route=/x}", END), ("requests{pod=b,route=/x}", END), ("requests{route=/x}", 5.0)];
        let out = run.cut(metrics, &ends);
        assert_eq!(numbers(&out.delta).len(), 3);
        let end = run.at - INTERVAL + limits::END_BEHIND_NS;
        let time_of = |value: f64| if value.is_nan() { end } else { run.at };
        for view in [&out.cumulative, &out.delta] {
            assert!(numbers(view).iter().all(|(_, _, _, time, value)| *time == time_of(*value)), "{view:?}");
        }
        let metrics = points(&run);
        run.cut(metrics, &[("requests{route=/x}", 12.0)]);
        run.rig.reload(vec![]);
        let metrics = points(&run);
        run.cut(metrics, &[("requests{route=/x}", 19.0)]);
        let metrics = run.requests(&[("a", "/x", 5)]);
        run.cut(metrics, &[("requests{route=/x}", END), ("requests{pod=a,route=/x}", 30.0)]);
        let metrics = points(&run);
        run.cut(metrics, &[("requests{pod=a,route=/x}", 35.0), ("requests{pod=b,route=/x}", 10.0)]);
        assert_eq!(run.outputs(), 0);
        // and once more: nothing is left of the first time
        run.rig.reload(vec![rule("again", pods_away())]);
        run.cut(vec![], &[]);
        let metrics = points(&run);
        run.cut(
            metrics,
            &[("requests{pod=a,route=/x}", END), ("requests{pod=b,route=/x}", END), ("requests{route=/x}", 7.0)],
        );
    }
}

/// Who is a member changes: one that joins gives what comes from then on, not what it had; one that leaves has given what it
/// gave, and is there again itself.
#[test]
fn members_join_and_leave_without_a_jump() {
    for cores in 1..=4 {
        let of = |route: &str| {
            let route = Pattern { text: route.into(), kind: PatternKind::Glob, is_negated: false };
            let selector = Selector { attributes: vec![("route".into(), vec![route])], ..Selector::default() };
            vec![Rule { selector, ..rule("pods", without(&["pod", "route"])) }]
        };
        let mut run = Run::new(cores, of("/x"));
        let cumulative = |pod: &str, route: &str, at: u64, value: i64| {
            sum("requests", 2, true, vec![number(&[("route", route), ("pod", pod)], START, at, int(value))])
        };
        let points = |run: &Run, values: [i64; 2]| {
            vec![cumulative("a", "/x", run.at + 1, values[0]), cumulative("b", "/y", run.at + 1, values[1])]
        };
        let metrics = points(&run, [100, 1_000]);
        run.cut(metrics, &[("requests{}", 0.0), ("requests{pod=b,route=/y}", 1_000.0)]);
        run.rig.reload(of("/?"));
        let metrics = points(&run, [105, 1_010]);
        run.cut(metrics, &[("requests{}", 5.0), ("requests{pod=b,route=/y}", 1_010.0)]);
        let metrics = points(&run, [106, 1_012]);
        run.cut(metrics, &[("requests{}", 8.0), ("requests{pod=b,route=/y}", END)]);
        run.rig.reload(of("/y"));
        let metrics = points(&run, [107, 1_013]);
        run.cut(metrics, &[("requests{}", 10.0)]);
        let metrics = points(&run, [207, 1_014]);
        run.cut(metrics, &[("requests{}", 11.0), ("requests{pod=a,route=/x}", 207.0)]);
    }
}

/// Outputs of both lists go on; one that is gone ends, one that is new begins.
#[test]
fn outputs_of_both_lists_go_on() {
    let spec = |output: Output, name: &str| OutputSpec {
        output,
        window_ns: INTERVAL,
        name: format!("{{name}}.{name}").into(),
        text: name.into(),
    };
    let with = |outputs: Vec<OutputSpec>| {
        let outputs: Arc<[OutputSpec]> = outputs.into();
        let outputs =
            InputKind::ALL.map(|kind| if kind == InputKind::Counter { outputs.clone() } else { Arc::from([]) });
        vec![rule("pods", Aggregation { outputs, ..pods_away() })]
    };
    for cores in 1..=4 {
        let mut run = Run::new(
            cores,
            with(vec![spec(Output::Same, "same"), spec(Output::Total, "total"), spec(Output::Rate, "rate")]),
        );
        let points = |run: &Run| run.requests(&[("a", "/x", 30), ("b", "/x", 20)]);
        let metrics = points(&run);
        run.cut(
            metrics,
            &[("requests.same{route=/x}", 50.0), ("requests.total{route=/x}", 50.0), ("requests.rate{route=/x}", 5.0)],
        );
        run.rig.reload(with(vec![
            spec(Output::Rate, "rate"),
            spec(Output::Count, "count"),
            spec(Output::Same, "same"),
        ]));
        let metrics = points(&run);
        run.cut(
            metrics,
            &[
                ("requests.same{route=/x}", 100.0),
                ("requests.total{route=/x}", 100.0),
                ("requests.rate{route=/x}", 5.0),
            ],
        );
        let metrics = points(&run);
        run.cut(
            metrics,
            &[
                ("requests.same{route=/x}", 150.0),
                ("requests.total{route=/x}", END),
                ("requests.rate{route=/x}", 5.0),
                ("requests.count{route=/x}", 6.0),
            ],
        );
        let metrics = points(&run);
        run.cut(
            metrics,
            &[("requests.same{route=/x}", 200.0), ("requests.rate{route=/x}", 5.0), ("requests.count{route=/x}", 8.0)],
        );
        assert_eq!(run.outputs(), 3);
    }
}

/// Another interval: what was gathered leaves with the last cut of the old one, and totals go on.
#[test]
fn totals_go_on_in_another_interval() {
    for cores in 1..=4 {
        let every =
            |intervals: u64| vec![rule("pods", Aggregation { interval_ns: intervals * INTERVAL, ..pods_away() })];
        let mut run = Run::new(cores, every(3));
        // its cuts are at multiples since 1970: START is a third of an interval behind one
        assert_eq!(START % (3 * INTERVAL), INTERVAL);
        let points = |run: &Run| run.requests(&[("a", "/x", 3), ("b", "/x", 2)]);
        let open = |run: &mut Run, want: &[(&str, f64)]| {
            // the ledger of a rule does not balance while its interval is open
            let metrics = points(run);
            for (core, metric) in metrics.into_iter().enumerate() {
                run.rig.send(core, &request(vec![metric]));
            }
            run.at += INTERVAL;
            let out = run.rig.cut_open(run.at);
            expect(&out.cumulative, want, "of a longer interval");
            out
        };
        open(&mut run, &[]);
        open(&mut run, &[("requests{route=/x}", 10.0)]);
        run.rig.reload(every(1));
        let out = open(&mut run, &[("requests{route=/x}", 15.0)]);
        assert_eq!(numbers(&out.delta)[0].2, run.at - INTERVAL);
        open(&mut run, &[("requests{route=/x}", 20.0)]);
        run.rig.reload(every(6));
        let out = open(&mut run, &[("requests{route=/x}", 25.0)]);
        assert_eq!(numbers(&out.cumulative)[0].2, START, "where the total begins");
        let mut left = 0;
        for _ in 0..6 {
            left += open_or(&mut run, &points);
        }
        assert_eq!(left, 1);
    }
}

/// How many points leave at a cut.
fn open_or(run: &mut Run, points: &impl Fn(&Run) -> Vec<opentelemetry_proto::tonic::metrics::v1::Metric>) -> usize {
    let metrics = points(run);
    for (core, metric) in metrics.into_iter().enumerate() {
        run.rig.send(core, &request(vec![metric]));
    }
    run.at += INTERVAL;
    numbers(&run.rig.cut_open(run.at).cumulative).len()
}

/// The input is kept, or not any more: members turn, outputs stay.
#[test]
fn input_is_kept_or_hidden() {
    let named = |keeps_input| {
        let mut aggregation = Aggregation { keeps_input, ..pods_away() };
        let renamed = OutputSpec { name: "{name}.all".into(), ..aggregation.outputs[0][0].clone() };
        aggregation.outputs[0] = Arc::from([renamed]);
        vec![rule("pods", aggregation)]
    };
    for cores in 1..=4 {
        let mut run = Run::new(cores, named(true));
        let points = |run: &Run| run.requests(&[("a", "/x", 5)]);
        let metrics = points(&run);
        run.cut(metrics, &[("requests.all{route=/x}", 5.0), ("requests{pod=a,route=/x}", 5.0)]);
        run.rig.reload(named(false));
        let metrics = points(&run);
        run.cut(metrics, &[("requests.all{route=/x}", 10.0), ("requests{pod=a,route=/x}", 10.0)]);
        let metrics = points(&run);
        run.cut(metrics, &[("requests.all{route=/x}", 15.0), ("requests{pod=a,route=/x}", END)]);
        run.rig.reload(named(true));
        let metrics = points(&run);
        run.cut(metrics, &[("requests.all{route=/x}", 20.0)]);
        let metrics = points(&run);
        run.cut(metrics, &[("requests.all{route=/x}", 25.0), ("requests{pod=a,route=/x}", 25.0)]);
    }
}

/// A rule that is called otherwise is another one, unless it says what it was.
#[test]
fn a_renamed_rule_is_another_one_unless_it_says_what_it_was() {
    for cores in 1..=4 {
        for (was, third, fourth) in [
            (None, vec![("requests{route=/x}", END), ("requests{route=/x}", 5.0)], 10.0),
            (Some("pods".into()), vec![("requests{route=/x}", 15.0)], 20.0),
        ] {
            let mut run = Run::new(cores, vec![rule("pods", pods_away())]);
            let points = |run: &Run| run.requests(&[("a", "/x", 5)]);
            let metrics = points(&run);
            run.cut(metrics, &[("requests{route=/x}", 5.0)]);
            run.rig.reload(vec![Rule { was, ..rule("away", pods_away()) }]);
            let metrics = points(&run);
            run.cut(metrics, &[("requests{route=/x}", 10.0)]);
            for metric in points(&run) {
                run.rig.send(0, &request(vec![metric]));
            }
            run.at += INTERVAL;
            let out = run.rig.cut(run.at);
            let mut got: Vec<String> = numbers(&out.cumulative).iter().map(|point| format!("{}", point.4)).collect();
            let mut want: Vec<String> = third.iter().map(|(_, value)| format!("{value}")).collect();
            got.sort();
            want.sort();
            assert_eq!(got, want);
            let metrics = points(&run);
            run.cut(metrics, &[("requests{route=/x}", fourth)]);
        }
    }
}

/// What is dropped at the door from now on, and is there already, is hidden.
#[test]
fn what_is_dropped_from_now_on_ends() {
    for cores in 1..=4 {
        let mut run = Run::new(cores, vec![]);
        let metrics = run.requests(&[("a", "/x", 5)]);
        run.cut(metrics, &[("requests{pod=a,route=/x}", 5.0)]);
        run.rig.reload(vec![of_metric("requests", Rule { action: Action::Drop, ..rule("noise", pods_away()) })]);
        run.cut(vec![], &[]);
        run.cut(vec![], &[("requests{pod=a,route=/x}", END)]);
        run.cut(vec![], &[]);
    }
}

/// Requests as they are handed out: encoded, as a server does it, and read later.
#[derive(Default)]
struct Encoded {
    encoder: Encoder,
    requests: Vec<(Temporality, Vec<u8>)>,
}

impl Outlet for Encoded {
    fn wants(&self, _: View) -> bool {
        true
    }

    fn take(&mut self, _: Flushed, _: &impl Rows) -> Option<Written> {
        unreachable!("it is taken in slices");
    }

    fn take_some(&mut self, flushed: Flushed, rows: &impl Rows, more: &mut impl FnMut() -> bool) -> Taken {
        let temporality = flushed.view.temporality;
        match self.encoder.encode_some(rows, temporality, more) {
            EncodeStep::More => Taken::More,
            EncodeStep::Over(None) => Taken::Whole(None),
            EncodeStep::Over(Some(encode::Request { bytes, points })) => {
                let written = Written { points, bytes: bytes.len() as u64 };
                self.requests.push((temporality, bytes));
                Taken::Whole(Some(written))
            }
        }
    }
}

impl Encoded {
    /// Σ of all that left in the view of deltas.
    fn sum(&self) -> f64 {
        let deltas = self.requests.iter().filter(|(temporality, _)| *temporality == Temporality::Delta);
        let requests: Vec<_> =
            deltas.map(|(_, bytes)| ExportMetricsServiceRequest::decode(&**bytes).expect("a request")).collect();
        numbers(&requests).iter().map(|point| point.4).filter(|value| !value.is_nan()).sum()
    }
}

/// What the slices of a cut took: half of them, 99 %, 99.9 %, the longest.
fn show(what: &str, slices: &mut [Duration]) {
    slices.sort();
    let at = |part: f64| slices[((slices.len() as f64 * part) as usize).min(slices.len() - 1)];
    let over = slices.iter().filter(|slice| slice.as_micros() > 1_000).count();
    let all: Duration = slices.iter().sum();
    println!(
        "{what}: {all:?} in {} slices: half {:?}, 99 % {:?}, 99.9 % {:?}, longest {:?}, {over} over 1 ms",
        slices.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// What a shard took in when it was late for the cut of the exchange, once or more often, leaves with the cut that it makes, as
/// nothing drops it there. Then its series ends: some cuts later, or with the next exchange that leaves what is dropped as it is.
#[test]
fn what_a_late_shard_took_in_leaves_before_its_series_ends() {
    let drops = || of_metric("requests", Rule { action: Action::Drop, ..rule("noise", pods_away()) });
    for (cores, missed, reloads) in
        (1..=4).flat_map(|cores| [(cores, 1, false), (cores, 3, false), (cores, 6, false), (cores, 2, true)])
    {
        let mut run = Run::new(cores, vec![of_metric("requests", rule("pods", pods_away()))]);
        let metrics = run.requests(&[("a", "/x", 5)]);
        run.cut(metrics, &[("requests{route=/x}", 5.0)]);
        run.rig.reload(vec![drops()]);
        let metrics = run.requests(&[("a", "/x", 3)]);
        run.rig.late = Some(0);
        run.cut(metrics, &[]);
        let mut left = Vec::new();
        for cut in 1..missed + 8 {
            run.rig.late = (cut < missed).then_some(0);
            if reloads && cut == missed + 1 {
                run.rig.reload(vec![of_metric("other", rule("beside", pods_away())), drops()]);
            }
            run.at += INTERVAL;
            let out = run.rig.cut(run.at);
            left.extend(numbers(&out.delta).into_iter().map(|(name, attributes, .., value)| {
                let value = if value.is_nan() { "ends".to_owned() } else { value.to_string() };
                (cut, format!("{name}{{{attributes}}} {value}"))
            }));
        }
        left.sort();
        let end = if reloads { missed + 2 } else { 5.max(missed + 1) };
        let mut want = [
            (1, "requests{route=/x} ends"),
            (missed, "requests{pod=a,route=/x} 3"),
            (end, "requests{pod=a,route=/x} ends"),
        ]
        .map(|(cut, what)| (cut, what.to_owned()));
        want.sort();
        assert_eq!(left, want, "{cores} cores, {missed} cuts missed, reloads: {reloads}");
    }
}

/// Many rules over many series: all of them say something else, one does, none does. Totals are exact, and what does not change
/// is not asked again. `EXCHANGE=rules,series` and `--nocapture` show what it takes in a release build.
#[test]
fn many_rules_over_many_series() {
    let text = std::env::var("EXCHANGE").unwrap_or("20,2000".to_owned());
    let (rules, series) = text.split_once(',').expect("EXCHANGE=rules,series");
    let (rules, series): (usize, usize) = (rules.parse().unwrap(), series.parse().unwrap());
    let plan = |keys: &dyn Fn(usize) -> &'static [&'static str]| -> Vec<Rule> {
        let of = |at: usize| of_metric(&format!("metric.{at}"), rule(&format!("rule-{at}"), without(keys(at))));
        (0..rules).map(of).collect()
    };
    let pods = series / rules;
    let metric = |at: usize, time: u64| {
        let points = (0..pods).map(|pod| {
            let (pod, zone) = (format!("p{pod}"), format!("z{}", pod % 4));
            number(&[("pod", &pod), ("zone", &zone)], 0, time, int(1))
        });
        sum(&format!("metric.{at}"), 1, true, points.collect())
    };
    let mut rig = Rig::with_rules(1, plan(&|_| &["pod"]));
    rig.slice = Some(limits::SLICE);
    let mut at = START;
    let mut cut = |rig: &mut Rig, what: &str| {
        for of in 0..rules {
            rig.send(0, &request(vec![metric(of, at + 1)]));
        }
        at += INTERVAL;
        let is_exchange = rig.rules.as_ref().is_some_and(|rules| rules.is_pending());
        let times = CutTimes { from_ns: rig.from, boundary_ns: at, mono_ns: at, is_last: false, is_exchange };
        let mut out = Encoded::default();
        rig.cut_into(times, &mut out);
        show(what, &mut rig.slices);
        assert_eq!(out.sum(), (rules * pods) as f64, "{what}");
    };
    (0..3).for_each(|_| cut(&mut rig, "before"));
    let all = |_| &["pod", "zone"][..];
    let one = |at: usize| if at == 0 { &["pod"][..] } else { &["pod", "zone"] };
    for (what, rules) in
        [("all are others", plan(&all)), ("one is another", plan(&one)), ("none is another", plan(&one))]
    {
        let begun = std::time::Instant::now();
        rig.reload(rules);
        println!("{what}: offered in {:?}", begun.elapsed());
        cut(&mut rig, "closing");
        cut(&mut rig, what);
        cut(&mut rig, "behind it");
    }
}
