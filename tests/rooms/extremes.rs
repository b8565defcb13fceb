//! The smallest and the largest value of gauges inside an interval, where a rule asks for them: against a model that keeps all
//! values, over cores, repeats, ends, and rules that come and go.

use crate::common::*;
use crate::folds::{INTERVAL, rule};
use catchment::cells::head;
use catchment::rules::{
    Aggregation, Grouping, InputKind, KeyPattern, Output, OutputSpec, Pattern, PatternKind, Rule, Selector, Stale,
};
use opentelemetry_proto::tonic::metrics::v1 as pb;
use proptest::prelude::*;
use std::sync::Arc;

const PODS: usize = 3;
/// Between two points.
const MOMENT: u64 = SECOND / 100;

/// The smallest and the largest of all pods, with these windows; members count until they end.
fn extremes(window_ns: u64, more: &[Output]) -> Aggregation {
    let all =
        [(Output::Min, "min"), (Output::Max, "max")].into_iter().chain(more.iter().cloned().map(|one| (one, "more")));
    let spec = |(output, text): (Output, &str)| OutputSpec {
        output,
        window_ns,
        name: format!("{{name}}.{text}").into(),
        text: text.into(),
    };
    let outputs: Arc<[OutputSpec]> = all.map(spec).collect();
    Aggregation {
        outputs: InputKind::ALL.map(|kind| if kind == InputKind::Gauge { outputs.clone() } else { Arc::from([]) }),
        stale: Stale::After(3_600 * SECOND),
        ..Aggregation::new(Grouping::Without(vec![KeyPattern { text: "pod".into(), place: None }]), INTERVAL)
    }
}

fn of_metric(metric: &str, rule: Rule) -> Rule {
    let metric = Pattern { text: metric.into(), kind: PatternKind::Glob, is_negated: false };
    Rule { selector: Selector { metric: vec![metric], ..Selector::default() }, ..rule }
}

#[derive(Clone, Copy, Debug)]
enum Says {
    /// Half of it; an int if that is whole.
    Value(i32),
    Nan,
    /// A value that is older than the newest, on the core of that.
    Late(i32),
    /// The newest once more, on its core.
    Again,
    NoValue,
}

/// What a pod was last told as, and what it said in the interval.
#[derive(Clone, Copy, Debug, Default)]
struct Pod {
    level: Option<f64>,
    time: u64,
    core: usize,
    inside: Option<(f64, f64)>,
}

struct Run {
    rig: Rig,
    at: u64,
    now: u64,
    pods: [Pod; PODS],
}

impl Run {
    fn new(cores: usize, rules: Vec<Rule>) -> Run {
        Run { rig: Rig::with_rules(cores, rules), at: START, now: START, pods: Default::default() }
    }

    fn put(&mut self, core: usize, pod: usize, time: u64, value: Option<pb::number_data_point::Value>) {
        let flags = u32::from(value.is_none());
        let point = pb::NumberDataPoint { flags, ..number(&[("pod", &pod.to_string())], 0, time, value) };
        self.rig.send(core, &request(vec![gauge("level", vec![point])]));
    }

    fn say(&mut self, pod: usize, core: usize, says: Says) {
        self.now += MOMENT;
        let core = core % self.rig.cores.len();
        let of = |half: i32| if half % 2 == 0 { int(i64::from(half / 2)) } else { double(f64::from(half) / 2.0) };
        let Pod { level, time, core: last, .. } = self.pods[pod];
        match says {
            Says::Late(_) | Says::Again if level.is_none() => {}
            Says::Late(half) => self.put(last, pod, time - MOMENT / 2, of(half)),
            Says::Again => {
                let value = level.filter(|level| !level.is_nan());
                if let Some(value) = value {
                    let as_sent = if value.fract() == 0.0 { int(value as i64) } else { double(value) };
                    self.put(last, pod, time, as_sent);
                }
            }
            Says::NoValue => {
                self.put(core, pod, self.now, None);
                self.pods[pod] = Pod { level: None, time: self.now, core, ..self.pods[pod] };
            }
            Says::Nan => {
                self.put(core, pod, self.now, double(f64::NAN));
                self.pods[pod] = Pod { level: Some(f64::NAN), time: self.now, core, ..self.pods[pod] };
            }
            Says::Value(half) => {
                self.put(core, pod, self.now, of(half));
                let value = f64::from(half) / 2.0;
                let (low, high) = self.pods[pod].inside.unwrap_or((value, value));
                let inside = Some((low.min(value), high.max(value)));
                self.pods[pod] = Pod { level: Some(value), time: self.now, core, inside };
            }
        }
    }

    /// Cuts; the smallest and the largest that left, and those of the model.
    fn cut(&mut self) -> [[Option<f64>; 2]; 2] {
        self.at += INTERVAL;
        self.now = self.now.max(self.at);
        let out = self.rig.cut_open(self.at);
        let left = |name: &str| {
            let all: Vec<f64> = numbers(&out.cumulative).iter().filter(|one| one.0 == name).map(|one| one.4).collect();
            assert!(all.len() <= 1, "{name}: {all:?}");
            all.first().copied().filter(|value| !value.is_nan())
        };
        let live = || self.pods.iter().filter(|pod| pod.level.is_some());
        let all = || {
            live().flat_map(|pod| [pod.level, pod.inside.map(|pair| pair.0), pod.inside.map(|pair| pair.1)]).flatten()
        };
        let values = || all().filter(|value| !value.is_nan());
        let want = [values().reduce(f64::min), values().reduce(f64::max)];
        self.pods.iter_mut().for_each(|pod| pod.inside = None);
        [[left("level.min"), left("level.max")], want]
    }

    /// Lines beside cells of gauges.
    fn lines(&self) -> usize {
        let (registry, mut lines) = (&self.rig.registry, 0);
        for owner in 0..registry.cores() {
            registry.trie(owner).walk(&mut Default::default(), usize::MAX, |series| {
                series.each_cell(|cell| {
                    let slab = registry.slab(cell.core as usize);
                    lines += usize::from(slab.run(cell.line, head::WORDS).and_then(head::extremes).is_some());
                });
            });
        }
        lines
    }
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        8 => (-40i32..40).prop_map(Says::Value),
        1 => Just(Says::Nan),
        1 => (-90i32..90).prop_map(Says::Late),
        1 => Just(Says::Again),
        1 => Just(Says::NoValue),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// From the first point of each series on, whichever cores it comes by. A silent interval has the levels alone.
    #[test]
    fn the_extremes_inside_an_interval_are_those_of_all_that_was_said(
        cuts in prop::collection::vec(prop::collection::vec((0..PODS, 0usize..4, says()), 0..9), 1..9),
        cores in 1usize..4,
    ) {
        let mut run = Run::new(cores, vec![rule("extremes", extremes(INTERVAL, &[]))]);
        let mut before = [None; 2];
        for (number, cut) in cuts.iter().enumerate() {
            for (pod, core, says) in cut {
                run.say(*pod, *core, *says);
            }
            let [left, want] = run.cut();
            // what is as it was may stay unsaid
            let stays = before == want;
            prop_assert!(left == want || stays && left == [None; 2], "cut {number}: {left:?}, not {want:?}");
            before = want;
        }
    }
}

/// What was inside an interval stays in the window for as long as that, and no longer.
#[test]
fn a_window_has_the_extremes_of_its_intervals() {
    for cores in [1, 3] {
        let mut run = Run::new(cores, vec![rule("extremes", extremes(3 * INTERVAL, &[]))]);
        let mut left = Vec::new();
        for cut in 0..8usize {
            if cut == 2 {
                for half in [10, -20, 60, 12] {
                    run.say(0, cut, Says::Value(half));
                }
            } else if cut < 2 {
                run.say(0, cut, Says::Value(8));
            }
            left.push(run.cut()[0]);
        }
        let pair = |low: f64, high: f64| [Some(low), Some(high)];
        let want = [[None; 2], [None; 2], pair(-10.0, 30.0), pair(-10.0, 30.0), pair(-10.0, 30.0), pair(6.0, 6.0)];
        assert_eq!(left[..6], want, "{cores} cores");
        assert_eq!(left[6..], [[None; 2]; 2], "nothing changes any more");
    }
}

/// Nobody who does not ask pays: lines are beside the cells of gauges that a rule asks of, from when it comes until it goes.
#[test]
fn lines_come_and_go_with_the_rules_that_ask() {
    for cores in [1, 2] {
        let mean = || {
            let mut aggregation = extremes(INTERVAL, &[Output::Avg]);
            let only: Arc<[OutputSpec]> = aggregation.outputs[InputKind::Gauge as usize][2..].into();
            aggregation.outputs[InputKind::Gauge as usize] = only;
            rule("extremes", aggregation)
        };
        let asks = || rule("extremes", extremes(INTERVAL, &[Output::Avg]));
        let mut run = Run::new(cores, vec![mean()]);
        let mut next = 0;
        let mut interval = |run: &mut Run| {
            next += 1;
            for half in [next * 2, -50, 70, next * 2] {
                for pod in 0..PODS {
                    run.say(pod, pod, Says::Value(half + pod as i32 * 2));
                }
            }
            run.cut()
        };
        for _ in 0..3 {
            interval(&mut run);
        }
        assert_eq!(run.lines(), 0, "nobody asks");
        // an output more of the same rule: its members are asked nothing anew
        run.rig.reload(vec![asks()]);
        let told: Vec<_> = (0..6).map(|_| interval(&mut run)).collect();
        assert!(told[3..].iter().all(|[left, want]| left == want), "some cuts later all is known: {told:?}");
        assert_eq!((told[5][0], run.lines()), ([Some(-25.0), Some(37.0)], PODS), "{told:?}");
        // a rule that asks of others, and one that asks of nothing: the lines go
        run.rig.reload(vec![of_metric("other", rule("other", extremes(INTERVAL, &[]))), mean()]);
        for _ in 0..8 {
            interval(&mut run);
        }
        assert_eq!(run.lines(), 0, "a rule asks of others");
        run.rig.reload(vec![asks()]);
        for _ in 0..5 {
            interval(&mut run);
        }
        assert_eq!(run.lines(), PODS);
        run.rig.reload(vec![]);
        for _ in 0..8 {
            interval(&mut run);
        }
        assert_eq!(run.lines(), 0, "there are no rules");
    }
}

/// A metric of which no rule asks has no lines once that is known, though rules ask of others.
#[test]
fn gauges_of_which_no_rule_asks_keep_nothing() {
    let mut run = Run::new(2, vec![of_metric("other", rule("extremes", extremes(INTERVAL, &[])))]);
    for _ in 0..8 {
        for pod in 0..PODS {
            run.say(pod, pod, Says::Value(4));
        }
        run.cut();
    }
    assert_eq!(run.lines(), 0);
}
