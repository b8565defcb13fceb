//! Random exchanges of rules under random streams: what does not change is as without them, and of what comes in everything
//! leaves once.

use super::{SECOND_NS, Scenario, TrialRow, run_through, streams};
use crate::chance::Chance;
use crate::model::Temporality;
use crate::rules::{Action, Aggregation, Grouping, InputKind, KeyPattern, Output, OutputSpec, Rule};
use crate::trial::TrialValue;
use std::collections::BTreeMap;

const SEEDS: u64 = 40;
const KINDS: [InputKind; 5] = [
    InputKind::Counter,
    InputKind::UpDownCounter,
    InputKind::Gauge,
    InputKind::Histogram,
    InputKind::ExponentialHistogram,
];

/// Another rule each time: what it groups by, its outputs, its interval, and whether it keeps its input; called by `name`.
fn rule(kind: InputKind, name: &str, chance: &mut Chance) -> Rule {
    let (mut rule, mut aggregation) = streams::rule(kind, chance);
    let keys = [&[][..], &["pod"], &["zone"], &["pod", "zone"]][chance.place(4)];
    let keys: Vec<KeyPattern> = keys.iter().map(|key| KeyPattern { text: (*key).into(), place: None }).collect();
    aggregation.grouping = if chance.one_in(2) { Grouping::Without(keys) } else { Grouping::By(keys) };
    let outputs = &mut aggregation.outputs[kind as usize];
    // the last bit of a deviation is one of the order of members
    let outputs_of = outputs.iter().filter(|spec| spec.output != Output::Stddev);
    *outputs =
        outputs_of.map(|spec| OutputSpec { name: format!("{name}.{}", spec.name).into(), ..spec.clone() }).collect();
    aggregation.keeps_input = chance.one_in(2);
    rule.name = name.into();
    rule.action = Action::Aggregate(Box::new(aggregation));
    rule.goes_on = true;
    rule
}

/// Exchanges behind some of the cuts, of the rules that `rules` gives.
fn exchanges(
    scenario: &Scenario,
    chance: &mut Chance,
    mut rules: impl FnMut(&mut Chance) -> Vec<Rule>,
) -> BTreeMap<u64, Vec<Rule>> {
    let last = scenario.cuts.len() - 1;
    let mut all = BTreeMap::new();
    for cut_ns in &scenario.cuts[..last] {
        if chance.one_in(3) {
            all.insert(*cut_ns, rules(chance));
        }
    }
    all
}

/// A line each, in an order.
fn sorted<'a>(rows: impl Iterator<Item = &'a TrialRow>) -> String {
    let mut lines: Vec<String> = rows.map(|row| format!("{row:?}")).collect();
    lines.sort();
    lines.join("\n")
}

fn each_seed(check: impl Fn(InputKind, &mut Chance)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("RULES_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("RULES_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        for kind in KINDS {
            eprintln!("{} of RULES_SEED={seed}", kind.word());
            check(kind, &mut Chance::new(seed ^ (kind as u64) << 32 ^ 0xe8 << 48));
        }
    }
}

/// Rules around it come, go and change: one that stays as it is leaves the same rows at the same cuts, wherever it stands.
#[test]
fn an_unchanged_rule_is_as_without_the_exchange() {
    each_seed(|kind, chance| {
        let scenario = streams::scenario(kind, chance);
        let unchanged = rule(kind, "stays", chance);
        let around = |chance: &mut Chance| {
            let names = ["a", "b", "c"].into_iter().filter(|_| chance.one_in(2)).collect::<Vec<_>>();
            let mut all: Vec<Rule> = names.into_iter().map(|name| rule(kind, name, chance)).collect();
            all.insert(chance.place(all.len() + 1), unchanged.clone());
            all
        };
        let first = around(chance);
        let exchanges = exchanges(&scenario, chance, around);
        // the same cuts, the last one of the process included
        let nothing = scenario.cuts.iter().take(1).map(|cut_ns| (*cut_ns, vec![unchanged.clone()])).collect();
        let want = run_through(&scenario, vec![unchanged.clone()], &nothing);
        let got = run_through(&scenario, first, &exchanges);
        let of_rule = |rows: &[TrialRow]| sorted(rows.iter().filter(|row| row.series.metric.starts_with("stays.")));
        for ((cut_ns, want), (_, got)) in want.iter().zip(&got) {
            assert_eq!(of_rule(got), of_rule(want), "at {cut_ns}");
        }
    });
}

/// However often what replaces the input gives way to something else, or to the input itself: each increment leaves once.
#[test]
fn every_increment_leaves_once() {
    each_seed(|kind, chance| {
        if kind == InputKind::Gauge || kind == InputKind::UpDownCounter {
            // levels have none
            return;
        }
        let scenario = streams::scenario(kind, chance);
        let replaces = |chance: &mut Chance| -> Vec<Rule> {
            if chance.one_in(4) {
                return Vec::new();
            }
            let name = ["a", "b"][chance.place(2)];
            let mut rule = rule(kind, name, chance);
            let Action::Aggregate(aggregation) = &mut rule.action else { return Vec::new() };
            aggregation.keeps_input = false;
            let spec = OutputSpec {
                output: Output::Same,
                window_ns: aggregation.interval_ns,
                name: ["{name}", "{name}.same"][chance.place(2)].into(),
                text: "same".into(),
            };
            aggregation.outputs[kind as usize] = [spec].into();
            vec![rule]
        };
        let first = replaces(chance);
        let exchanges = exchanges(&scenario, chance, replaces);
        let nothing = scenario.cuts.iter().take(1).map(|cut_ns| (*cut_ns, Vec::new())).collect();
        let sum = |cuts: &[(u64, Vec<TrialRow>)]| -> f64 {
            let rows = cuts.iter().flat_map(|(_, rows)| rows).filter(|row| row.view == Temporality::Delta);
            rows.map(|row| match &row.value {
                TrialValue::Number(value) => value.as_f64(),
                TrialValue::Buckets(buckets) => buckets.count as f64,
                TrialValue::Summary(_) | TrialValue::End => 0.0,
            })
            .sum()
        };
        let want = sum(&run_through(&scenario, Vec::new(), &nothing));
        let got = sum(&run_through(&scenario, first.clone(), &exchanges));
        assert!((got - want).abs() <= 1e-9 * want.abs(), "{got}, not {want}: {first:#?} {exchanges:#?}");
    });
}

/// Outputs of a rule that are in its list before and after leave what they leave where all outputs are in the list all the
/// time.
#[test]
fn outputs_of_both_lists_are_as_with_all_of_them() {
    each_seed(|kind, chance| {
        let scenario = streams::scenario(kind, chance);
        let all = rule(kind, "all", chance);
        let Action::Aggregate(says) = &all.action else { return };
        let mut specs = says.outputs[kind as usize].to_vec();
        // whether there is one decides how often what is computed of windows leaves again
        specs.sort_by_key(|spec| !matches!(spec.output, Output::Unique(_)));
        // what adds up ends the interval when it goes
        let adds = |spec: &&OutputSpec| matches!(spec.output.word(), "same" | "total" | "sum" | "count");
        let ends = |spec: &&OutputSpec| says.interval_ns > 10 * SECOND_NS && adds(spec);
        specs.sort_by_key(|spec| !ends(&spec));
        let least = specs.iter().filter(ends).count().max(1);
        if specs.len() <= least {
            return;
        }
        // the first ones stay, the others come and go, at any place in the list
        let stay = least + chance.place(specs.len() - least);
        let some = |chance: &mut Chance| {
            let mut made: Vec<OutputSpec> = specs[..stay].to_vec();
            for spec in &specs[stay..] {
                if chance.one_in(2) {
                    made.insert(chance.place(made.len() + 1), spec.clone());
                }
            }
            let mut outputs = says.outputs.clone();
            outputs[kind as usize] = made.into();
            let aggregation = Aggregation { outputs, ..(**says).clone() };
            vec![Rule { action: Action::Aggregate(Box::new(aggregation)), ..all.clone() }]
        };
        let first = some(chance);
        let exchanges = exchanges(&scenario, chance, some);
        let nothing = scenario.cuts.iter().take(1).map(|cut_ns| (*cut_ns, vec![all.clone()])).collect();
        let want = run_through(&scenario, vec![all.clone()], &nothing);
        let got = run_through(&scenario, first, &exchanges);
        let names: Vec<String> =
            specs[..stay].iter().map(|spec| spec.name.replace("{name}", streams::METRIC)).collect();
        let of_those = |rows: &[TrialRow]| {
            let is_one = |row: &&TrialRow| names.contains(&row.series.metric);
            sorted(rows.iter().filter(is_one))
        };
        for ((cut_ns, want), (_, got)) in want.iter().zip(&got) {
            assert_eq!(of_those(got), of_those(want), "{names:?} at {cut_ns}");
        }
    });
}

/// A rule that takes the kind by turns, with other outputs each time, or none, or drops: what was there before and is not
/// forgotten yet begins anew. Each increment leaves once, in `same` or as it came; no series leaves twice at a cut, or ends
/// twice.
#[test]
fn a_kind_that_comes_back_begins_anew() {
    each_seed(|kind, chance| {
        let scenario = streams::scenario(kind, chance);
        let other = KINDS[(KINDS.iter().position(|known| *known == kind).unwrap_or(0) + 1) % KINDS.len()];
        let drops = chance.one_in(3);
        let by_turns = |chance: &mut Chance| {
            let mut made = rule(kind, "r", chance);
            if drops && chance.one_in(3) {
                made.action = Action::Drop;
                made.goes_on = false;
                return vec![made];
            }
            let Action::Aggregate(says) = &mut made.action else { return Vec::new() };
            says.keeps_input = true;
            if !drops {
                // at each base cut
                says.interval_ns = 10 * SECOND_NS;
            }
            let same = OutputSpec {
                output: Output::Same,
                window_ns: says.interval_ns,
                name: "r.{name}.same".into(),
                text: "same".into(),
            };
            if chance.one_in(3) {
                says.outputs[kind as usize] = [].into();
                says.outputs[other as usize] = [same].into();
            } else if chance.one_in(2) {
                says.keeps_input = false;
                says.outputs[kind as usize] = [same].into();
            }
            vec![made]
        };
        let first = by_turns(chance);
        let mut exchanges = exchanges(&scenario, chance, by_turns);
        // one behind the other
        for cut_ns in &scenario.cuts[2..8] {
            exchanges.insert(*cut_ns, by_turns(chance));
        }
        let got = run_through(&scenario, first.clone(), &exchanges);
        let mut ended: BTreeMap<String, bool> = BTreeMap::new();
        for (cut_ns, rows) in &got {
            let mut seen = BTreeMap::new();
            // several histograms of one name differ in their bounds
            let is_one = |row: &&TrialRow| row.series.metric.starts_with("r.") && row.kind != InputKind::Histogram;
            for row in rows.iter().filter(is_one) {
                let who = format!("{:?} {:?} {:?} {:?}", row.view, row.series, row.kind, row.scope);
                assert!(seen.insert(who.clone(), ()).is_none(), "{who} leaves twice at {cut_ns}: {exchanges:#?}");
                let is_end = matches!(row.value, TrialValue::End);
                let had_ended = ended.insert(who.clone(), is_end).unwrap_or(true);
                assert!(!(is_end && had_ended), "{who} ends twice at {cut_ns}: {exchanges:#?}");
            }
        }
        if !drops && kind != InputKind::Gauge && kind != InputKind::UpDownCounter {
            let nothing = scenario.cuts.iter().take(1).map(|cut_ns| (*cut_ns, Vec::new())).collect();
            let sum = |cuts: &[(u64, Vec<TrialRow>)]| -> f64 {
                let is_one = |row: &&TrialRow| {
                    let name = &row.series.metric;
                    row.view == Temporality::Delta && (name == streams::METRIC || name == "r.m.same")
                };
                let rows = cuts.iter().flat_map(|(_, rows)| rows).filter(is_one);
                rows.map(|row| match &row.value {
                    TrialValue::Number(value) => value.as_f64(),
                    TrialValue::Buckets(buckets) => buckets.count as f64,
                    TrialValue::Summary(_) | TrialValue::End => 0.0,
                })
                .sum()
            };
            let (got, want) = (sum(&got), sum(&run_through(&scenario, Vec::new(), &nothing)));
            assert!((got - want).abs() <= 1e-9 * want.abs(), "{got}, not {want}: {first:#?} {exchanges:#?}");
        }
    });
}

/// An output that adds up and is taken out of the list within its interval has left what it added until then.
#[test]
fn what_an_output_added_leaves_before_it_goes() {
    each_seed(|kind, chance| {
        if kind == InputKind::Gauge || kind == InputKind::UpDownCounter {
            return;
        }
        let scenario = streams::scenario(kind, chance);
        let mut with = rule(kind, "r", chance);
        let Action::Aggregate(says) = &mut with.action else { return };
        (says.interval_ns, says.keeps_input) = (30 * SECOND_NS, true);
        let spec = |name: &str, output, text: &str| OutputSpec {
            output,
            window_ns: says.interval_ns,
            name: name.into(),
            text: text.into(),
        };
        let stays = spec("r.stays", Output::CountSeries, "count_series");
        says.outputs[kind as usize] = [spec("r.same", Output::Same, "same"), stays.clone()].into();
        let mut without = with.clone();
        let Action::Aggregate(says) = &mut without.action else { return };
        says.outputs[kind as usize] = [stays].into();
        let at = 2 + chance.place(8);
        let exchanges = [(scenario.cuts[at], vec![without])].into();
        let got = run_through(&scenario, vec![with], &exchanges);
        let sum = |name: &str| -> f64 {
            let rows = got[..=at].iter().flat_map(|(_, rows)| rows);
            rows.filter(|row| row.view == Temporality::Delta && row.series.metric == name)
                .map(|row| match &row.value {
                    TrialValue::Number(value) => value.as_f64(),
                    TrialValue::Buckets(buckets) => buckets.count as f64,
                    TrialValue::Summary(_) | TrialValue::End => 0.0,
                })
                .sum()
        };
        let (left, came) = (sum("r.same"), sum(streams::METRIC));
        assert!((left - came).abs() <= 1e-9 * came.abs(), "{left}, not {came}, at cut {at}");
    });
}
