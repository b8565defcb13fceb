//! What a census counts.

use super::model::*;
use crate::rules::*;
use std::sync::Arc;

fn census(rules: &[Rule], all: &[&str]) -> RuleCensus {
    let mut census = RuleCensus::new(Arc::new(RulePlan::new(rules.to_vec()).unwrap()));
    for text in all {
        let series = series(text);
        let runs = series.runs();
        census.add(&series.seen(&runs), &runs[2]);
    }
    census
}

fn lines(census: &RuleCensus) -> Vec<String> {
    let line = |(rule, name, kind, row): (CensusRule, &str, InputKind, CensusRow)| {
        let attributes = row.attributes.iter().map(|(key, values)| format!("{key} {}→{}", values.before, values.after));
        let attributes = attributes.collect::<Vec<_>>().join(" ");
        format!("{rule:?} {name} {} {} → {} of {}: {attributes}", kind.word(), row.series, row.after(), row.groups)
    };
    census.rows().map(line).collect()
}

#[test]
fn series_groups_and_values_are_counted() {
    let mut by_route = aggregation(without(&["pod", "scope.version"]), &[Output::Same, Output::Rate]);
    by_route.changes = vec![change("status", AttributeChange::Class)];
    let kept = Aggregation { keeps_input: true, ..aggregation(by(&[]), &[Output::Rate]) };
    let rename = Change::Name { regex: "old".into(), with: "kept".into() };
    let rules = [
        rule("renames", Selector::default(), Action::Relabel(vec![rename])),
        rule("noise", selector(&[("metric", &["debug.*"])]), Action::Drop),
        rule("routes", selector(&[("metric", &["http"])]), Action::Aggregate(Box::new(by_route))),
        rule("kept", selector(&[("metric", &["kept"])]), Action::Aggregate(Box::new(kept))),
    ];
    let counted = census(
        &rules,
        &[
            "debug.x",
            "debug.x{a=1}",
            "http{route=a,status=200} s/1 @ pod=1",
            "http{route=a,status=204} s/2 @ pod=1",
            "http{route=a,status=200} s/2 @ pod=2",
            "http{route=b,status=500} s/2 @ pod=2",
            "old{a=1}",
            "kept{a=2}",
            "other{a=1}",
        ],
    );
    assert!(counted.is_whole());
    let want = [
        "Dropped(1) debug.x counter 2 → 0 of 0: ",
        "Taken(2) http counter 4 → 4 of 2: pod 2→0 scope.version 2→0 status 3→2",
        "Taken(3) kept counter 2 → 3 of 1: a 2→0",
        "Untaken other counter 1 → 1 of 0: ",
    ];
    assert_eq!(lines(&counted), want);
}

#[test]
fn what_goes_on_is_counted_with_each_rule_and_passes_once() {
    let kept =
        || Action::Aggregate(Box::new(Aggregation { keeps_input: true, ..aggregation(by(&[]), &[Output::Rate]) }));
    let rules =
        [Rule { goes_on: true, ..rule("a", Selector::default(), kept()) }, rule("b", Selector::default(), kept())];
    let counted = census(&rules, &["m{a=1}", "m{a=2}"]);
    assert_eq!(lines(&counted), ["Taken(0) m counter 2 → 3 of 1: a 2→0", "Taken(1) m counter 2 → 1 of 1: a 2→0"]);
}

#[test]
fn values_that_stay_are_counted_with_those_that_become_another() {
    let mut limited = aggregation(Grouping::All, &[Output::Same]);
    let limit = AttributeChange::Limit { values: 2, other: "other".into() };
    limited.changes = vec![change("k", limit), change("unchanged", AttributeChange::Lower)];
    let rules = [rule("l", Selector::default(), Action::Aggregate(Box::new(limited)))];
    let counted = census(&rules, &["m{k=a,unchanged=x}", "m{k=b}", "m{k=c}", "m{k=d}"]);
    assert_eq!(lines(&counted), ["Taken(0) m counter 4 → 3 of 3: k 4→3"]);
}

/// Rules that get nothing, kinds that nobody takes, and what would leave twice under one name.
#[test]
fn rules_that_get_nothing_and_names_that_clash_are_found() {
    let sums = |keys: &[&str]| {
        let mut made = aggregation(without(keys), &[Output::Same]);
        made.outputs[InputKind::Gauge as usize] = Arc::from([]);
        Action::Aggregate(Box::new(made))
    };
    let rules = [
        rule("first", selector(&[("metric", &["http"])]), sums(&["pod"])),
        rule("second", selector(&[("metric", &["http"])]), sums(&["route"])),
        rule("nothing", selector(&[("metric", &["absent"])]), Action::Drop),
        rule("all", Selector::default(), sums(&["pod", "x"])),
    ];
    let gauge = series("temperature{pod=1}").of(InputKind::Gauge);
    let texts = ["http{pod=1,route=a}", "http{pod=2,route=a}", "m{x=1}", "kept{y=1}"];
    let mut counted = census(&rules, &texts);
    let runs = gauge.runs();
    let verdict = counted.add(&gauge.seen(&runs), &runs[2]);
    assert_eq!(verdict, CensusVerdict { dropped: None, taken: None, passes: true });
    let reach: Vec<_> = counted.reach().iter().map(|of| (of.meant, of.reached, of.shadowed_by)).collect();
    assert_eq!(reach, [(2, 2, None), (2, 0, Some(0)), (0, 0, None), (5, 2, Some(0))]);
    assert_eq!(counted.reach()[3].untaken.clone().into_iter().collect::<Vec<_>>(), [(InputKind::Gauge, 1)]);
    assert_eq!(counted.conflicts().count(), 0);

    // one keeps its input, whose series is its only member; two make the same of one metric
    let kept = Aggregation { keeps_input: true, ..aggregation(without(&["pod"]), &[Output::Same]) };
    let twice = |name: &str| Rule {
        goes_on: true,
        ..rule(name, Selector::default(), Action::Aggregate(Box::new(kept.clone())))
    };
    let counted = census(&[twice("a"), twice("b")], &["http{route=a}"]);
    let of: Vec<_> = counted.conflicts().map(|conflict| (conflict.of, conflict.name, conflict.series)).collect();
    let (a, b) = (Leaver::Output(0, 0), Leaver::Output(1, 0));
    assert_eq!(of, [([Leaver::Input, a], "http".to_owned(), 1), ([a, b], "http".to_owned(), 1)]);
}
