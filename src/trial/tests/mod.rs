//! Random streams through the engine with a rule, against a reference that is written from the table of outputs alone.
//!
//! What each member gave at each cut is taken from the same streams through an engine without rules: that part has its own
//! judge (`tests/oracle`). What becomes of it under a rule is computed here again, slowly, from whole histories.
//!
//! A seed that fails says how to run it again: `RULES_SEED=n`; `RULES_SEEDS` is how many are run.

mod compare;
mod exchange;
mod history;
mod reference;
mod streams;

use super::{Engine, TrialRow};
use crate::chance::Chance;
use crate::config::Plan;
use crate::rules::{InputKind, Rule, RulePlan};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use streams::Scenario;

const SECOND_NS: u64 = 1_000_000_000;
/// Where the time of a scenario begins: a multiple of every interval.
const ZERO_NS: u64 = 1_999_998_000 * SECOND_NS;
/// Seeds of a plain test run, for each kind.
const SEEDS: u64 = 60;

/// What leaves of a scenario, cut by cut.
fn run(scenario: &Scenario, rules: Vec<Rule>) -> Vec<(u64, Vec<TrialRow>)> {
    run_through(scenario, rules, &BTreeMap::new())
}

/// The same, where other rules come into force behind cuts; the last cut is the last of the process where there are any.
fn run_through(
    scenario: &Scenario,
    rules: Vec<Rule>,
    exchanges: &BTreeMap<u64, Vec<Rule>>,
) -> Vec<(u64, Vec<TrialRow>)> {
    let rules = RulePlan::new(rules).expect("a rule that can be meant").into();
    let plan = Plan { rules, ..Plan::sample() };
    let plan = Plan { series_limit: 10_000, expire: std::time::Duration::from_secs(300), ..plan };
    let mut engine = Engine::new(&plan, scenario.cores, ZERO_NS);
    let mut coming = scenario.arrivals().into_iter().peekable();
    let mut cuts = Vec::new();
    for cut_ns in &scenario.cuts {
        while let Some((_, core, stream, point)) = coming.next_if(|(arrival_ns, ..)| arrival_ns < cut_ns) {
            let receipt = engine.send(core, point.arrival_ns, &stream.request(point)).expect("a request");
            assert_eq!(receipt.rejected, 0, "{receipt:?}");
        }
        if let Some(rules) = exchanges.get(cut_ns) {
            let rules = RulePlan::new(rules.clone()).expect("rules that can be meant").into();
            engine.reload(&Plan { rules, ..plan.clone() });
        }
        let is_last = !exchanges.is_empty() && scenario.cuts.last() == Some(cut_ns);
        cuts.push((*cut_ns, engine.cut(*cut_ns, is_last)));
    }
    let notes = engine.noticed();
    assert!(exchanges.is_empty() || notes.given.int() == notes.left.int(), "what was given has left: {notes:?}");
    cuts
}

/// One seed of one kind; `false` where the table leaves open who lives.
fn check(kind: InputKind, seed: u64) -> bool {
    let mut chance = Chance::new(seed ^ (kind as u64) << 32);
    let scenario = streams::scenario(kind, &mut chance);
    let (rule, aggregation) = streams::rule(kind, &mut chance);
    let history = history::of(&scenario, &run(&scenario, Vec::new()), &aggregation);
    let got = run(&scenario, vec![rule]);
    if !history.is_open {
        compare::compare(&history, &aggregation, kind, &got);
    }
    !history.is_open
}

fn check_all(kind: InputKind) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("RULES_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("RULES_SEEDS").unwrap_or(SEEDS),
    };
    let (mut ran, mut compared) = (0, 0);
    for seed in seeds {
        ran += 1;
        match catch_unwind(AssertUnwindSafe(|| check(kind, seed))) {
            Ok(is_compared) => compared += u64::from(is_compared),
            Err(panic) => {
                eprintln!("kind {}: run it again with RULES_SEED={seed}", kind.word());
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(2 * compared >= ran, "{compared} of {ran} were compared");
}

#[test]
fn counters_are_as_the_table_says() {
    check_all(InputKind::Counter);
}

#[test]
fn levels_are_as_the_table_says() {
    check_all(InputKind::UpDownCounter);
}

#[test]
fn gauges_are_as_the_table_says() {
    check_all(InputKind::Gauge);
}

#[test]
fn summaries_are_as_the_table_says() {
    check_all(InputKind::Summary);
}

#[test]
fn histograms_are_as_the_table_says() {
    check_all(InputKind::Histogram);
}

#[test]
fn exponential_histograms_are_as_the_table_says() {
    check_all(InputKind::ExponentialHistogram);
}
