//! Random rules and series, against the reference.

use super::model::*;
use super::reference;
use crate::rules::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Few letters, so that much meets.
const KEYS: [&str; 5] = ["a", "b", "ab", "scope.name", "otel.metric.overflow"];
const VALUES: [&str; 8] = ["", "x", "xy", "yx", "503", "true", "[]", "äx"];

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let glob = prop_oneof![
        4 => prop::sample::select(vec!["x", "xy", "*", "x*", "*x", "?", "?x*", "{x,yx}", "5*", "true", "{a,ab}*", "", "\\*", "x{,y}"]),
        1 => prop::sample::select(VALUES.to_vec()),
    ];
    let regex = prop::sample::select(vec!["x|xy", ".x", "[xy]*", "", "x.*", "(?i)XY", "^x$", "\\d+"]);
    let text = prop_oneof![
        3 => glob.prop_map(|text| (text, PatternKind::Glob)),
        1 => regex.prop_map(|text| (text, PatternKind::Regex)),
    ];
    (text, prop::bool::weighted(0.2)).prop_map(|((text, kind), is_negated)| Pattern {
        text: text.into(),
        kind,
        is_negated,
    })
}

fn any_list() -> impl Strategy<Value = Vec<Pattern>> {
    prop::collection::vec(any_pattern(), 1..4)
}

fn any_keyed() -> impl Strategy<Value = Vec<(Arc<str>, Vec<Pattern>)>> {
    let some = prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), any_list(), 1..3);
    prop_oneof![
        2 => Just(vec![]),
        1 => some.prop_map(|map| map.into_iter().map(|(key, list)| (key.into(), list)).collect::<Vec<_>>()),
    ]
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let sometimes = || prop_oneof![2 => Just(vec![]), 1 => any_list()];
    let kinds = prop::collection::vec(prop::sample::select(InputKind::ALL.to_vec()), 0..3);
    let kinds = prop_oneof![3 => Just(vec![]), 1 => kinds];
    let texts = (sometimes(), sometimes(), sometimes(), sometimes());
    (texts, kinds, any_keyed(), any_keyed(), any_keyed()).prop_map(
        |((metric, unit, scope_name, scope_version), kind, attributes, resource, scope_attributes)| Selector {
            metric,
            unit,
            kind,
            attributes,
            resource,
            scope_name,
            scope_version,
            scope_attributes,
        },
    )
}

fn any_place() -> impl Strategy<Value = Option<KeyPlace>> {
    prop::sample::select(vec![None, None, Some(KeyPlace::Point), Some(KeyPlace::Scope), Some(KeyPlace::Resource)])
}

fn any_grouping() -> impl Strategy<Value = Grouping> {
    let text = vec!["a", "b", "ab", "a*", "*", "?", "scope.name", "scope.*", "{a,scope.version}", "none"];
    let keys = move || {
        let key = (prop::sample::select(text.clone()), any_place());
        prop::collection::vec(key.prop_map(|(text, place)| KeyPattern { text: text.into(), place }), 0..4)
    };
    prop_oneof![Just(Grouping::All), keys().prop_map(Grouping::By), keys().prop_map(Grouping::Without)]
}

fn any_change() -> impl Strategy<Value = Change> {
    use AttributeChange::{Class, Copy, Default, Drop, Keep, Map, Rename, Set, Truncate, Upper};
    let key = || prop::sample::select(KEYS.to_vec()).prop_map(Arc::<str>::from);
    let value = || prop::sample::select(vec!["x", "z"]).prop_map(Arc::<str>::from);
    let does = prop_oneof![
        Just(Drop),
        prop::collection::vec(key(), 0..3).prop_map(Keep),
        value().prop_map(Set),
        value().prop_map(Default),
        key().prop_map(Rename),
        key().prop_map(Copy),
        Just(Class),
        Just(Upper),
        (0..3usize).prop_map(Truncate),
        (
            prop::collection::vec((prop::sample::select(vec!["x*", "5?3", "xy"]).prop_map(Arc::from), value()), 1..3),
            prop::option::of(value())
        )
            .prop_map(|(values, other)| Map { values, other }),
    ];
    (key(), any_place(), does).prop_map(|(key, place, change)| Change::Attribute { key, place, change })
}

fn any_action() -> impl Strategy<Value = Action> {
    let changes = prop::collection::vec(any_change(), 0..4);
    let kinds = prop::collection::vec(prop::bool::weighted(0.8), 6);
    let aggregates =
        (changes, any_grouping(), any::<bool>(), kinds).prop_map(|(changes, grouping, keeps_input, kinds)| {
            let keys = |keys: &[&str]| keys.iter().map(|key| Arc::from(*key)).collect();
            let top = Output::TopK { k: 3, keys: keys(&["b", "scope.name"]) };
            let outputs = [Output::Unique(keys(&["a"])), top, Output::Same, Output::Unique(keys(&["a", "ab"]))];
            let mut made = Aggregation { changes, keeps_input, ..aggregation(grouping, &outputs) };
            for (outputs, has) in made.outputs.iter_mut().zip(kinds) {
                if !has {
                    *outputs = [].into();
                }
            }
            Action::Aggregate(Box::new(made))
        });
    prop_oneof![4 => aggregates, 1 => Just(Action::Keep), 1 => Just(Action::Drop)]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    (any_selector(), prop::option::weighted(0.3, any_selector()), any_action(), any::<bool>())
        .prop_map(|(selector, except, action, goes_on)| Rule { except, goes_on, ..rule("r", selector, action) })
}

fn any_series() -> impl Strategy<Value = Series> {
    let set = || {
        let values = prop::sample::select(VALUES.to_vec()).prop_map(Value::read);
        // what is called as the scope's head is, is its head
        let keys = prop::sample::select(vec!["a", "b", "ab"]).prop_map(str::to_string);
        prop::collection::btree_map(keys, values, 0..3)
    };
    let point = prop_oneof![6 => set(), 1 => Just(attributes("otel.metric.overflow=true"))];
    let text = || prop::sample::select(vec!["", "x", "xy", "yx"]).prop_map(str::to_string);
    let kind = prop::sample::select(InputKind::ALL.to_vec());
    (text(), text(), text(), text(), kind, point, set(), set()).prop_map(
        |(name, unit, scope_name, scope_version, kind, point, scope, resource)| Series {
            name,
            unit,
            kind,
            scope_name,
            scope_version,
            places: [point, scope, resource],
        },
    )
}

/// What stands below a rule that goes on neither drops nor relabels.
fn in_order(mut rules: Vec<Rule>) -> Vec<Rule> {
    let mut goes_on = false;
    for rule in &mut rules {
        goes_on |= rule.goes_on && matches!(rule.action, Action::Aggregate(_));
        if goes_on && rule.action == Action::Drop {
            rule.action = Action::Keep;
        }
    }
    rules
}

/// Everything that is asked, of one thread that answers all.
fn check(rules: &[Rule], all: &[Series]) -> Result<(), TestCaseError> {
    let mut matcher = matcher(rules);
    let mut known: BTreeMap<u64, Option<Vec<Option<Value>>>> = BTreeMap::new();
    // each twice: what was remembered of the first time says the same
    for series in all.iter().chain(all) {
        let (passage, linked) = ask_all(&mut matcher, series);
        let (want, links) = reference::ask(rules, series);
        prop_assert_eq!((passage, linked.len()), (want, links.len()), "{}", series);
        for ((rule, identity, top, hashes), link) in linked.into_iter().zip(links) {
            prop_assert_eq!((rule, identity, top), (link.rule, link.identity, link.top), "{}", series);
            prop_assert_eq!(hashes.len(), link.distinct.len());
            // equal values have equal hashes, and others others
            for (hash, values) in hashes.into_iter().zip(link.distinct) {
                prop_assert_eq!(hash == 0, values.is_none());
                prop_assert_eq!(&*known.entry(hash).or_insert(values.clone()), &values);
                let of_values = known.iter().filter(|(_, known)| **known == values).count();
                prop_assert_eq!(of_values, 1);
            }
        }
        let runs = series.runs();
        let dropped = reference::dropped_by(rules, series);
        let want = dropped.map_or(RouteVerdict::Pass, RouteVerdict::Discard);
        prop_assert_eq!(matcher.of_route(&series.seen(&runs), &runs[2]), want);
        match matcher.of_stream(&series.seen(&runs)) {
            StreamVerdict::Ask => {}
            StreamVerdict::Pass => prop_assert_eq!(dropped, None),
            StreamVerdict::Discard(rule) => prop_assert_eq!(dropped, Some(rule)),
        }
    }
    // what people are told is what happens
    if let Some(series) = all.first() {
        let runs = series.runs();
        let told = matcher.plan().explain(&series.seen(&runs), &runs[2]);
        let takes = told.rules.iter().filter(|rule| matches!(rule.answer, ExplainedAnswer::Takes { .. })).count();
        let (passage, links) = reference::ask(rules, series);
        let want = match (reference::dropped_by(rules, series), passage) {
            (Some(_), _) => (ExplainedOutcome::Dropped, 0),
            (None, Passage::Hidden) => (ExplainedOutcome::Hidden, links.len()),
            (None, Passage::Passes) => (ExplainedOutcome::Passes, links.len()),
        };
        prop_assert_eq!((told.outcome, takes), want, "{}", told);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn rules_say_what_the_reference_says(
        rules in prop::collection::vec(any_rule(), 0..6),
        all in prop::collection::vec(any_series(), 1..12),
    ) {
        check(&in_order(rules), &all)?;
    }

}

/// Points under few resources and scopes: of most of these much is remembered when a point comes that has other keys.
fn any_points() -> impl Strategy<Value = Vec<Series>> {
    prop::collection::vec(any_series(), 4..32).prop_map(|mut all| {
        for at in 2..all.len() {
            let (scope, resource) = (all[at % 2].clone(), all[at / 2 % 2].places[2].clone());
            let one = &mut all[at];
            (one.scope_name, one.scope_version) = (scope.scope_name, scope.scope_version);
            let [_, of_scope, _] = scope.places;
            (one.places[1], one.places[2]) = (of_scope, resource);
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Changes find their keys on a point, in its scope or on its resource, each anew.
    #[test]
    fn what_is_remembered_of_a_resource_holds_for_all_of_its_points(
        changes in prop::collection::vec(any_change(), 1..6),
        grouping in any_grouping(),
        all in any_points(),
    ) {
        let made = Aggregation { changes, ..aggregation(grouping, &[Output::Unique(vec!["a".into()])]) };
        check(&[rule("r", Selector::default(), Action::Aggregate(Box::new(made)))], &all)?;
    }
}

/// What relabels, one to one.
fn any_relabelling() -> impl Strategy<Value = Vec<Change>> {
    use AttributeChange::{Copy, Rename, Set};
    let key = || prop::sample::select(KEYS.to_vec()).prop_map(Arc::<str>::from);
    let value = prop::sample::select(vec!["x", "z"]).prop_map(Arc::<str>::from);
    let does = prop_oneof![2 => value.prop_map(Set), 1 => key().prop_map(Rename), 1 => key().prop_map(Copy)];
    let change = (key(), any_place(), does);
    let change = change.prop_map(|(key, place, change)| Change::Attribute { key, place, change });
    prop::collection::vec(change, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// What a series is called, what was not made, and what people are told of it.
    #[test]
    fn relabelling_says_what_the_reference_says(
        changes in any_relabelling(),
        all in prop_oneof![prop::collection::vec(any_series(), 1..12), any_points()],
    ) {
        let mut matcher = matcher(&[rule("r", Selector::default(), Action::Relabel(changes.clone()))]);
        for series in &all {
            let (want, skipped) = reference::relabelled(&changes, series);
            let runs = series.runs();
            let got = match matcher.of_route(&series.seen(&runs), &runs[2]) {
                RouteVerdict::Relabelled(to) => {
                    Series::read(series, (to.resource.bytes(), to.scope.bytes(), to.attributes), to.name, to.unit)
                }
                verdict => {
                    prop_assert_eq!(verdict, RouteVerdict::Pass);
                    series.clone()
                }
            };
            prop_assert_eq!(&got, &want, "{} by {:?}", series, changes);
            prop_assert_eq!(matcher.take_skipped(), skipped, "{} by {:?}", series, changes);
            let told = matcher.plan().explain(&series.seen(&runs), &runs[2]);
            let ExplainedAnswer::Relabels { changes: told, .. } = &told.rules[0].answer else { panic!("{told}") };
            prop_assert_eq!(told.iter().filter(|change| change.is_skipped).count() as u64, skipped);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// So many that sets of rules take several words, and most rules mention no field of most others.
    #[test]
    fn many_rules_say_what_the_reference_says(
        rules in prop::collection::vec((any_selector(), any::<bool>()), 150..200),
        all in prop::collection::vec(any_series(), 1..4),
    ) {
        let rules: Vec<Rule> = rules
            .into_iter()
            .map(|(selector, keeps)| {
                let takes = Action::Aggregate(Box::new(aggregation(by(&["a"]), &[Output::Same])));
                Rule { goes_on: true, ..rule("r", selector, if keeps { Action::Keep } else { takes }) }
            })
            .collect();
        check(&rules, &all)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// What a fuzzer tries, from letters that meet.
    #[test]
    fn any_patterns_mean_at_once_what_each_means(
        text in "[abcä.]{0,8}",
        patterns in prop::collection::vec("[!~]{0,2}[abcä.*?{},|()+^$\\\\]{0,10}", 1..8),
    ) {
        fuzz_selectors(format!("{text}\n{}", patterns.join("\n")).as_bytes());
    }
}
