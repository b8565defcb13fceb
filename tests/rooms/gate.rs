//! What drops, relabels and dedupes is exchanged while points come: each point goes by the plan that holds when it comes, every
//! point is counted once, and what was remembered of the plan before is forgotten.

use crate::common::*;
use catchment::ingest::GatePlan;
use catchment::rules::{Action, Change, Dedup, DedupPlan, Failover, Pattern, PatternKind, Rule, RulePlan, Selector};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

const DELTA: i32 = 1;
const METRICS: [&str; 4] = ["a", "b", "c", "d"];
const KEYS: [&str; 3] = ["x", "y", "z"];
const REPLICAS: [&str; 2] = ["r1", "r2"];

fn is(text: &str) -> Vec<Pattern> {
    vec![Pattern { text: text.into(), kind: PatternKind::Glob, is_negated: false }]
}

fn rule(name: &str, metric: &str, key: Option<&str>, action: Action) -> Rule {
    let attributes = key.map(|key| ("k".into(), is(key))).into_iter().collect();
    let selector = Selector { metric: is(metric), attributes, ..Selector::default() };
    Rule { name: name.into(), selector, except: None, action, goes_on: false, was: None }
}

/// What a plan says of a metric, where it says anything.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Drop,
    DropKey(usize),
    Rename,
    Scale,
    Keep,
}

/// What it says of each metric, and whether replicas are elected.
#[derive(Clone, Debug)]
struct Plan {
    says: [Option<Says>; 4],
    dedups: bool,
}

fn plan_of(plan: &Plan) -> GatePlan {
    let mut rules = Vec::new();
    for (metric, says) in METRICS.iter().zip(plan.says) {
        let renamed = Change::Name { regex: "(.*)".into(), with: "renamed.$1".into() };
        let scaled = Change::Scale { by: 8.0, unit: "1".into() };
        rules.extend(says.map(|says| match says {
            Says::Drop => rule(&format!("drop-{metric}"), metric, None, Action::Drop),
            Says::DropKey(key) => rule(&format!("drop-{metric}"), metric, Some(KEYS[key]), Action::Drop),
            Says::Rename => rule(&format!("rename-{metric}"), metric, None, Action::Relabel(vec![renamed])),
            Says::Scale => rule(&format!("scale-{metric}"), metric, None, Action::Relabel(vec![renamed, scaled])),
            Says::Keep => rule(&format!("keep-{metric}"), metric, None, Action::Keep),
        }));
    }
    let dedup = Dedup {
        name: "pairs".into(),
        resource: Vec::new(),
        by: vec!["replica".into()],
        per: Vec::new(),
        failover: Failover::After(3_600 * SECOND),
    };
    let dedup = if plan.dedups { vec![dedup] } else { Vec::new() };
    GatePlan {
        rules: Arc::new(RulePlan::new(rules).expect("sound")),
        dedup: Arc::new(DedupPlan::new(dedup).expect("sound")),
        interval_ns: 10 * SECOND,
    }
}

/// All metrics of a replica: of each key a sum of 1 and a histogram of two counts.
fn sent(replica: &str, at: u64) -> ExportMetricsServiceRequest {
    let mut metrics: Vec<pb::Metric> = Vec::new();
    for name in METRICS {
        let points = KEYS.map(|key| number(&[("k", key)], START, at, int(1)));
        metrics.push(sum(name, DELTA, true, points.into()));
        let points = KEYS.map(|key| histogram_point(&[("k", key)], at, &[1, 1], &[4.0], 3.0));
        metrics.push(histogram(&format!("{name}.h"), DELTA, points.into()));
    }
    let mut request = request(metrics);
    let resource = request.resource_metrics[0].resource.as_mut().unwrap();
    resource.attributes.push(attribute("replica", replica));
    request
}

/// Totals of sums by resource, metric and attributes.
type Totals = BTreeMap<(String, String, String), f64>;

fn totals(out: &Out, all: &mut Totals) {
    for request in &out.delta {
        for resource in &request.resource_metrics {
            let who = label(&resource.resource.as_ref().unwrap().attributes);
            let one = ExportMetricsServiceRequest { resource_metrics: vec![resource.clone()] };
            for (name, key, _, _, value) in numbers(&[one]) {
                *all.entry((who.clone(), name, key)).or_default() += value;
            }
        }
    }
}

/// What one more request adds to the totals, and how many points are put aside, by why and name.
struct Model {
    totals: Totals,
    aside: BTreeMap<String, u64>,
    elected: Option<usize>,
}

impl Model {
    fn send(&mut self, plan: &Plan, replica: usize) {
        let mut pairs = vec![("service.name", "svc")];
        if plan.dedups {
            // the first one that comes counts, for as long as anybody remembers it
            if *self.elected.get_or_insert(replica) != replica {
                *self.aside.entry("pairs".into()).or_default() += 2 * 4 * 3;
                return;
            }
        } else {
            pairs.push(("replica", REPLICAS[replica]));
        }
        let who = label(&attributes(&pairs));
        for (metric, says) in METRICS.iter().zip(plan.says) {
            for (n, key) in KEYS.iter().enumerate() {
                let key = label(&attributes(&[("k", key)]));
                let (name, value) = match says {
                    Some(Says::Drop) => {
                        *self.aside.entry(format!("drop-{metric}")).or_default() += 1;
                        continue;
                    }
                    Some(Says::DropKey(dropped)) if dropped == n => {
                        *self.aside.entry(format!("drop-{metric}")).or_default() += 1;
                        continue;
                    }
                    Some(Says::Rename) => (format!("renamed.{metric}"), 1.0),
                    Some(Says::Scale) => (format!("renamed.{metric}"), 8.0),
                    _ => ((*metric).to_owned(), 1.0),
                };
                *self.totals.entry((who.clone(), name, key)).or_default() += value;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send { core: usize, replica: usize },
    Exchange(Plan),
    Cut,
}

fn plans() -> impl Strategy<Value = Plan> {
    let says = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Says::Drop)),
        1 => (0..3usize).prop_map(|key| Some(Says::DropKey(key))),
        1 => Just(Some(Says::Rename)),
        1 => Just(Some(Says::Scale)),
        1 => Just(Some(Says::Keep)),
    ];
    ([says.clone(), says.clone(), says.clone(), says], prop::bool::weighted(0.3))
        .prop_map(|(says, dedups)| Plan { says, dedups })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2usize, 0..2usize).prop_map(|(core, replica)| Step::Send { core, replica }),
        2 => plans().prop_map(Step::Exchange),
        1 => Just(Step::Cut),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_point_goes_by_the_plan_of_its_time(steps in steps(), cores in 1..3usize) {
        let mut rig = Rig::with(cores, 1_000, 20 * SECOND);
        let mut plan = Plan { says: [None; 4], dedups: false };
        let mut model = Model { totals: Totals::new(), aside: BTreeMap::new(), elected: None };
        let mut seen = Totals::new();
        // each plan that was taken up, and what it counted
        let mut counted = Vec::new();
        let (mut boundary, mut sum_of_points) = (START, 0);
        for step in steps.into_iter().chain([Step::Send { core: 0, replica: 0 }, Step::Cut]) {
            match step {
                Step::Send { core, replica } => {
                    let request = sent(REPLICAS[replica], boundary + 1);
                    let before = rig.tally.applied_total();
                    rig.send_bytes(core, &request.encode_to_vec()).unwrap();
                    sum_of_points += 3 * 8;
                    if plan.dedups && model.elected.is_none() && rig.tally.applied_total() == before {
                        // it was remembered from the plan before the last
                        model.elected = Some(1 - replica);
                    }
                    model.send(&plan, replica);
                }
                Step::Exchange(next) => {
                    let gate = plan_of(&next);
                    for core in &mut rig.cores {
                        counted.push((gate.clone(), core.take_up(&gate)));
                    }
                    model.elected = model.elected.filter(|_| plan.dedups && next.dedups);
                    plan = next;
                }
                Step::Cut => {
                    boundary += 10 * SECOND;
                    totals(&rig.cut(boundary), &mut seen);
                }
            }
        }
        seen.retain(|_, value| *value != 0.0);
        prop_assert_eq!(&seen, &model.totals);
        let mut aside = BTreeMap::<String, u64>::new();
        for (gate, counts) in &counted {
            for (number, _, name) in gate.named() {
                *aside.entry(name.to_string()).or_default() += counts.read(number);
            }
        }
        aside.retain(|_, points| *points > 0);
        prop_assert_eq!(aside, model.aside);
        prop_assert_eq!(rig.tally.received_total(), sum_of_points);

        // once all has come again, and the rest has been put away, each core holds what one that knows no other plan would
        let mut fresh = Rig::with(cores, 1_000, 20 * SECOND);
        let gate = plan_of(&plan);
        fresh.cores.iter_mut().for_each(|core| drop(core.take_up(&gate)));
        let held = [&mut rig, &mut fresh].map(|rig| {
            let mut boundary = boundary;
            for _ in 0..10 {
                for core in 0..cores {
                    rig.send(core, &sent(REPLICAS[model.elected.unwrap_or(0)], boundary + 1));
                }
                boundary += 10 * SECOND;
                rig.cut(boundary);
                rig.sweep(3);
            }
            (rig.registry.live(), rig.registry.group_count(), rig.cores.iter().map(|core| core.routes()).collect::<Vec<_>>())
        });
        prop_assert_eq!(&held[0], &held[1]);
    }
}
