//! What RULES 1 says of each key, line by line. Knows no reference.

use super::model::*;
use crate::identity::Set;
use crate::rules::*;
use std::sync::Arc;

/// An aggregating rule that leaves everything as it is.
fn takes(selector: Selector) -> Rule {
    rule("r", selector, Action::Aggregate(Box::new(aggregation(Grouping::All, &[Output::Same]))))
}

fn is_taken(rule: &Rule, given: &Series) -> bool {
    let (passage, linked) = ask(&mut matcher(std::slice::from_ref(rule)), given);
    assert_eq!(passage == Passage::Hidden, linked.len() == 1);
    passage == Passage::Hidden
}

#[test]
fn selectors_mean_what_they_say() {
    let check = |fields: &[(&str, &[&str])], taken: &[&str], others: &[&str]| {
        for (list, want) in [(taken, true), (others, false)] {
            for text in list {
                assert_eq!(is_taken(&takes(selector(fields)), &series(text)), want, "{fields:?} of {text}");
            }
        }
    };
    check(&[], &["a", "b{x=1} @ y=2"], &[]);
    check(&[("metric", &["*.debug.*", "jvm.buffer.*"])], &["a.debug.b", "jvm.buffer.count"], &["a.debug", "jvm.x"]);
    check(&[("metric", &["!a.*"])], &["b"], &["a.b"]);
    check(&[("metric", &["~a.(b|c)"])], &["a.b", "axc"], &["a.bc", "xa.b"]);
    // of a list one, of fields all
    check(&[("metric", &["a"]), ("unit", &["s", "ms"])], &["a"], &["b"]);
    check(&[("metric", &["a"]), ("unit", &["By"])], &[], &["a"]);
    check(
        &[("attributes.x", &["1"]), ("attributes.y", &["2"])],
        &["a{x=1,y=2}", "a{x=1} @ y=2"],
        &["a{x=1}", "a{y=2}"],
    );
    // on the point, then the scope, then the resource
    check(
        &[("attributes.x", &["1"])],
        &["a{x=1} @ x=2", "a s{x=1} @ x=2", "a @ x=1"],
        &["a{x=2} @ x=1", "a{x=2} s{x=1}"],
    );
    check(&[("resource.x", &["1"])], &["a{x=2} @ x=1"], &["a{x=1} @ x=2", "a{x=1}", "a s{x=1}"]);
    check(&[("scope.attributes.x", &["1"])], &["a s{x=1}"], &["a{x=1}", "a @ x=1", "a s{x=2}"]);
    check(
        &[("scope.name", &["otel*"]), ("scope.version", &["1.*"])],
        &["a otel.http/1.2"],
        &["a otel.http/2.0", "a x/1.2", "a"],
    );
    // what is not there satisfies `!` alone
    check(&[("attributes.x", &["*"])], &["a{x=}", "a{x=1}"], &["a", "a{x=[]}"]);
    check(&[("attributes.x", &["!1"])], &["a", "a{x=2}", "a{x=11}"], &["a{x=1}", "a @ x=1", "a{x=[]}"]);
    check(&[("attributes.x", &["!~[12]"])], &["a", "a{x=3}"], &["a{x=1}", "a{x=2}"]);
    check(&[("attributes.x", &["2", "!{1,2}"])], &["a", "a{x=2}", "a{x=3}"], &["a{x=1}"]);
    check(&[("resource.x", &["!*"])], &["a", "a{x=1}"], &["a @ x=1"]);
    // values are texts
    check(&[("attributes.x", &["5*"])], &["a{x=503}", "a{x=5xx}"], &["a{x=-5}", "a{x=true}"]);
    check(&[("attributes.x", &["true"])], &["a{x=true}"], &["a{x=1}", "a{x=false}"]);
}

#[test]
fn kinds_are_told_apart() {
    let counters = takes(selector(&[("kind", &["counter", "exponential_histogram"])]));
    for kind in InputKind::ALL {
        let want = matches!(kind, InputKind::Counter | InputKind::ExponentialHistogram);
        assert_eq!(is_taken(&counters, &series("a").of(kind)), want, "{kind:?}");
    }
}

#[test]
fn what_is_excepted_is_not_taken() {
    let noise =
        |except: &[(&str, &[&str])]| Rule { except: Some(selector(except)), ..takes(selector(&[("metric", &["a*"])])) };
    let by_resource = noise(&[("resource.service.name", &["canary-*"])]);
    assert!(is_taken(&by_resource, &series("a")) && is_taken(&by_resource, &series("a @ service.name=shop")));
    assert!(!is_taken(&by_resource, &series("a @ service.name=canary-1")) && !is_taken(&by_resource, &series("b")));
    let by_attribute = noise(&[("attributes.x", &["1"]), ("metric", &["ab"])]);
    assert!(is_taken(&by_attribute, &series("ab")) && is_taken(&by_attribute, &series("a{x=1}")));
    assert!(!is_taken(&by_attribute, &series("ab{x=1}")) && !is_taken(&by_attribute, &series("ab @ x=1")));
    // an empty one excepts everything
    assert!(!is_taken(&noise(&[]), &series("a")));
}

#[test]
fn the_first_takes_it_unless_it_goes_on() {
    let name = |text: &str| selector(&[("metric", &[text])]);
    let aggregate = |keeps_input: bool| {
        let made = Aggregation { keeps_input, ..aggregation(by(&[]), &[Output::Same]) };
        Action::Aggregate(Box::new(made))
    };
    let check = |rules: &[(&str, Action, bool)], want: (Passage, &[u32])| {
        let rules: Vec<Rule> = rules
            .iter()
            .enumerate()
            .map(|(at, (metric, action, goes_on))| {
                let asks =
                    if at == 0 { selector(&[("metric", &[metric]), ("attributes.x", &["!2"])]) } else { name(metric) };
                Rule { goes_on: *goes_on, ..rule(&format!("r{at}"), asks, action.clone()) }
            })
            .collect();
        let (passage, linked) = ask(&mut matcher(&rules), &series("a{x=1}"));
        let numbers: Vec<u32> = linked.iter().map(|(rule, _)| *rule).collect();
        assert_eq!((passage, &numbers[..]), want, "{rules:#?}");
    };
    use Action::{Drop, Keep};
    use Passage::{Hidden, Passes};
    check(&[("a", aggregate(false), false), ("*", aggregate(false), false)], (Hidden, &[0]));
    check(&[("a", aggregate(false), true), ("*", aggregate(false), false)], (Hidden, &[0, 1]));
    check(&[("b", aggregate(false), false), ("*", aggregate(false), false)], (Hidden, &[1]));
    check(&[("b", aggregate(false), false)], (Passes, &[]));
    // the input goes on if all that took it say so
    check(&[("a", aggregate(true), true), ("*", aggregate(true), false)], (Passes, &[0, 1]));
    check(&[("a", aggregate(true), true), ("*", aggregate(false), false)], (Hidden, &[0, 1]));
    check(&[("a", aggregate(true), false), ("*", aggregate(false), false)], (Passes, &[0]));
    // what keeps keeps from those behind
    check(&[("a", Keep, false), ("*", aggregate(false), false)], (Passes, &[]));
    check(&[("b", Keep, false), ("*", aggregate(false), false)], (Hidden, &[1]));
    check(&[("a", aggregate(true), true), ("a", Keep, false), ("*", aggregate(false), false)], (Passes, &[0]));
    // dropped and relabelled is what came in, not what is there
    check(&[("a", Drop, false), ("*", aggregate(false), false)], (Hidden, &[1]));
    check(&[("a", Action::Relabel(vec![]), false), ("*", aggregate(false), false)], (Hidden, &[1]));
}

#[test]
fn a_kind_without_outputs_is_not_taken() {
    let mut counters = aggregation(by(&[]), &[Output::Same]);
    counters.outputs[InputKind::Gauge as usize] = [].into();
    let first = rule("r", Selector::default(), Action::Aggregate(Box::new(counters)));
    let mut matcher = matcher(&[first, takes(Selector::default())]);
    assert_eq!(ask(&mut matcher, &series("a")).1[0].0, 0);
    assert_eq!(ask(&mut matcher, &series("a").of(InputKind::Gauge)).1[0].0, 1);
}

fn grouped(made: Aggregation, given: &str) -> String {
    let taken = rule("r", Selector::default(), Action::Aggregate(Box::new(made)));
    let (_, linked) = ask(&mut matcher(&[taken]), &series(given));
    linked[0].1.to_string()
}

#[test]
fn attributes_stay_where_they_were() {
    let check = |grouping: Grouping, given: &str, want: &str| {
        assert_eq!(grouped(aggregation(grouping.clone(), &[Output::Same]), given), want, "{grouping:?}");
    };
    let given = "m{a=1,k=p} s/1{b=2,k=s} @ c=3,k=r,k8s.pod.name=x,k8s.pod.uid=y";
    check(Grouping::All, given, given);
    check(without(&[]), given, given);
    check(without(&["k8s.pod.*", "a"]), given, "m{k=p} s/1{b=2,k=s} @ c=3,k=r");
    check(without(&["k"]), given, "m{a=1} s/1{b=2} @ c=3,k8s.pod.name=x,k8s.pod.uid=y");
    check(without(&["resource:k", "k8s.*"]), given, "m{a=1,k=p} s/1{b=2,k=s} @ c=3");
    check(without(&["scope.version"]), "m s/1 @ a=1", "m s @ a=1");
    check(without(&["scope.*"]), "m s/1{scope.x=1} @ a=1", "m @ a=1");
    check(by(&[]), given, "m");
    check(by(&["a", "c", "nowhere"]), given, "m{a=1} @ c=3");
    check(by(&["k"]), given, "m{k=p} {k=s} @ k=r");
    check(by(&["point:k", "k8s.pod.*"]), given, "m{k=p} @ k8s.pod.name=x,k8s.pod.uid=y");
    check(by(&["scope.name"]), given, "m s");
    check(by(&["scope.name", "scope.version", "b"]), given, "m s/1{b=2}");
    // an overflow series keeps what says so
    check(by(&["a"]), "m{otel.metric.overflow=true} @ b=1", "m{otel.metric.overflow=true}");
    check(without(&["*"]), "m{otel.metric.overflow=true} @ b=1", "m{otel.metric.overflow=true}");
}

#[test]
fn an_overflow_series_is_taken_by_metric_and_resource_alone() {
    let check = |rule: &Rule, given: &str, want: bool| assert_eq!(is_taken(rule, &series(given)), want, "{given}");
    let overflow = "m{otel.metric.overflow=true} @ env=prod";
    let by_attributes = takes(selector(&[("attributes.route", &["/a"]), ("metric", &["m"])]));
    check(&by_attributes, overflow, true);
    check(&by_attributes, "n{otel.metric.overflow=true}", false);
    check(&takes(selector(&[("attributes.env", &["prod"])])), overflow, true);
    check(&takes(selector(&[("attributes.env", &["test"])])), overflow, false);
    check(&takes(selector(&[("resource.env", &["test"])])), overflow, false);
    check(
        &Rule { except: Some(selector(&[("attributes.route", &["/a"])])), ..takes(Selector::default()) },
        overflow,
        true,
    );
    check(
        &Rule { except: Some(selector(&[("attributes.env", &["prod"])])), ..takes(Selector::default()) },
        overflow,
        false,
    );
}

#[test]
fn changes_do_what_they_say() {
    use AttributeChange::{
        Bucket, Class, Copy, Default, Drop, Hash, Keep, Limit, Lower, Map, Rename, Replace, Set, Truncate, Upper,
    };
    let check = |changes: &[(&str, AttributeChange)], given: &str, want: &str| {
        let changes = changes.iter().map(|(key, made)| change(key, made.clone())).collect();
        let made = Aggregation { changes, ..aggregation(Grouping::All, &[Output::Same]) };
        assert_eq!(grouped(made, given), want, "{given}");
    };
    let all = "m{k=p} s{k=s} @ k=r";
    check(&[("k", Drop)], all, "m s{k=s} @ k=r");
    check(&[("k", Drop), ("k", Drop)], all, "m s @ k=r");
    check(&[("resource:k", Drop), ("nowhere", Drop)], all, "m{k=p} s{k=s}");
    check(&[("", Keep(vec!["a".into()]))], "m{a=1,b=2} @ a=3,c=4", "m{a=1} @ a=3");
    check(&[("resource:", Keep(vec!["a".into()]))], "m{a=1,b=2} @ a=3,c=4", "m{a=1,b=2} @ a=3");
    check(&[("k", Set("x".into()))], all, "m{k=x} s{k=s} @ k=r");
    check(&[("k", Set("x".into()))], "m @ k=r", "m @ k=x");
    check(&[("k", Set("x".into())), ("resource:l", Set("y".into()))], "m", "m{k=x} @ l=y");
    check(&[("k", Default("x".into()))], "m @ k=r", "m @ k=r");
    check(&[("k", Default("x".into()))], "m", "m{k=x}");
    check(&[("k", Rename("l".into()))], "m @ k=7", "m @ l=7");
    // what would have the name of another stays
    check(&[("k", Rename("l".into()))], "m{k=1} @ l=2", "m{k=1} @ l=2");
    check(&[("k", Copy("l".into()))], "m s{k=1}", "m s{k=1,l=1}");
    check(&[("k", Copy("l".into()))], "m{k=1} @ l=2", "m{k=1} @ l=2");
    check(&[("k", Hash)], "m{k=abc}", "m{k=ba7816bf8f01cfea}");
    let digits = |with: &str| Replace { regex: "/([0-9a-f]{8,})".into(), with: with.into() };
    check(&[("k", digits("/{id}"))], "m{k=/u/1a2b3c4d5e/x}", "m{k=/u/{id}/x}");
    check(&[("k", digits("/<$1>"))], "m{k=/1a2b3c4d/5e6f7a8b}", "m{k=/<1a2b3c4d>/<5e6f7a8b>}");
    check(&[("k", digits("x"))], "m{k=/u}", "m{k=/u}");
    let map = |other: Option<&str>| Map {
        values: vec![
            ("tenant_*".into(), "tenant".into()),
            ("tenant_a".into(), "never".into()),
            ("7".into(), "seven".into()),
        ],
        other: other.map(Into::into),
    };
    check(&[("k", map(Some("other")))], "m{k=tenant_a}", "m{k=tenant}");
    check(&[("k", map(Some("other")))], "m{k=x}", "m{k=other}");
    check(&[("k", map(None))], "m{k=x}", "m{k=x}");
    check(&[("k", map(None))], "m{k=7}", "m{k=seven}");
    check(&[("k", map(Some("other")))], "m{k=[]}", "m{k=[]}");
    for (given, want) in
        [("503", "5xx"), ("100", "1xx"), ("600", "600"), ("99", "99"), ("5033", "5033"), ("5xx", "5xx"), ("-1", "-1")]
    {
        check(&[("k", Class)], &format!("m{{k={given}}}"), &format!("m{{k={want}}}"));
    }
    for (given, want) in
        [("0", "(-inf,1]"), ("1", "(-inf,1]"), ("1.5", "(1,5.5]"), ("6", "(5.5,+inf)"), ("x", "x"), ("NaN", "NaN")]
    {
        let changes = [("k", Bucket([1.0, 5.5].into()))];
        // a comma in a value is no separator here
        let made = Aggregation {
            changes: vec![change("k", changes[0].1.clone())],
            ..aggregation(Grouping::All, &[Output::Same])
        };
        assert_eq!(grouped(made, &format!("m{{k={given}}}")), format!("m{{k={want}}}"));
    }
    check(&[("k", Truncate(2))], "m{k=äöü}", "m{k=äö}");
    check(&[("k", Truncate(3))], "m{k=äöü}", "m{k=äöü}");
    check(&[("k", Lower)], "m{k=GÄ}", "m{k=gä}");
    check(&[("k", Upper)], "m{k=gä}", "m{k=GÄ}");
    check(&[("k", Limit { values: 0, other: "other".into() })], "m{k=1}", "m{k=other}");
    // in their order
    check(&[("k", Rename("l".into())), ("l", Set("x".into())), ("k", Default("y".into()))], "m{k=1}", "m{k=y,l=x}");
    // a scope's version is an attribute called so
    check(&[("scope.version", Drop)], "m s/1", "m s");
    check(&[("scope.version", Replace { regex: "[.].*".into(), with: "".into() })], "m s/1.2", "m s/1");
    for does in [Drop, Set("x".into()), Rename("k".into()), Hash] {
        check(&[("otel.metric.overflow", does)], "m{otel.metric.overflow=true}", "m{otel.metric.overflow=true}");
    }
}

#[test]
fn the_first_values_of_a_rule_stay_whoever_asks() {
    let limit = change("k", AttributeChange::Limit { values: 2, other: "other".into() });
    let made = Aggregation { changes: vec![limit], ..aggregation(by(&["k"]), &[Output::Same]) };
    let mut first = matcher(&[rule("r", Selector::default(), Action::Aggregate(Box::new(made)))]);
    let mut second = RuleMatcher::new(first.plan().clone());
    let values = |matcher: &mut RuleMatcher, given: &[&str]| -> Vec<String> {
        let all = given.iter().map(|value| ask(matcher, &series(&format!("m{{k={value}}}"))).1.remove(0).1);
        all.map(|series| series.places[0]["k"].text().unwrap()).collect()
    };
    assert_eq!(values(&mut first, &["a", "a"]), ["a", "a"]);
    assert_eq!(values(&mut second, &["b", "c", "a"]), ["b", "other", "a"]);
    assert_eq!(values(&mut first, &["c", "b", "a", "d"]), ["other", "b", "a", "other"]);
}

#[test]
fn a_value_without_groups_makes_room() {
    // on points, in scopes, on resources, of which what was made is remembered
    for place in 0..3 {
        a_value_without_groups_makes_room_in(place);
    }
}

fn a_value_without_groups_makes_room_in(place: usize) {
    let limit = change("k", AttributeChange::Limit { values: 2, other: "other".into() });
    let made = Aggregation { changes: vec![limit], ..aggregation(by(&["k"]), &[Output::Same]) };
    let mut matcher = matcher(&[rule("r", Selector::default(), Action::Aggregate(Box::new(made)))]);
    let of = |text: &str| {
        let mut series = series("m");
        series.places[place] = attributes(&format!("k={text}"));
        series
    };
    let values = |matcher: &mut RuleMatcher, texts: &[&str]| -> Vec<String> {
        let linked = texts.iter().map(|text| ask(matcher, &of(text)).1.remove(0).1);
        linked.map(|series| series.places[place]["k"].text().unwrap()).collect()
    };
    let count = |matcher: &RuleMatcher, text: &str, begins: bool| {
        let state = ahash::RandomState::new();
        let [resource, scope, run] = of(text).runs();
        let [resource, scope] = [resource, scope].map(|run| Set::new(&run, &[], "", &state));
        let identity = OutputIdentity { resource: &resource, scope: &scope, name: "m", unit: "s", attributes: &run };
        let counted = if begins { CountedGroup::Asked { before: 0 } } else { CountedGroup::Ended { last: 1 } };
        matcher.plan().count_group(0, &identity, counted);
    };
    assert_eq!(values(&mut matcher, &["a", "b", "c", "c"]), ["a", "b", "other", "other"]);
    // groups of a value that has no place are nobody's
    for (text, begins) in [("a", true), ("a", true), ("b", true), ("other", true), ("a", false), ("other", false)] {
        count(&matcher, text, begins);
    }
    assert_eq!(values(&mut matcher, &["c", "a"]), ["other", "a"], "a group of each is left");
    count(&matcher, "a", false);
    assert_eq!(
        values(&mut matcher, &["a", "c", "a", "b"]),
        ["a", "c", "other", "b"],
        "its place is there until another comes"
    );
}

/// Groups that were there before a `limit` came are counted when one of their members is asked again, once, and those of which
/// none was are not; one that goes on from plan to plan counts none twice.
#[test]
fn a_limit_that_comes_later_counts_groups_that_go_on() {
    let rule_of = |changes: Vec<Change>| {
        let made = Aggregation { changes, ..aggregation(by(&["k"]), &[Output::Same]) };
        rule("r", Selector::default(), Action::Aggregate(Box::new(made)))
    };
    let limit = || change("k", AttributeChange::Limit { values: 1, other: "other".into() });
    let (bare, mut second, mut third) =
        (matcher(&[rule_of(vec![])]), matcher(&[rule_of(vec![limit()])]), matcher(&[rule_of(vec![limit()])]));
    let value = |matcher: &mut RuleMatcher, text: &str| {
        ask(matcher, &series(&format!("m{{k={text}}}"))).1.remove(0).1.places[0]["k"].text().unwrap()
    };
    let count = |of: &RuleMatcher, counted: CountedGroup| {
        let [_, _, run] = series("m{k=a}").runs();
        let nothing = Set::new(&[], &[], "", &ahash::RandomState::new());
        let identity = OutputIdentity { resource: &nothing, scope: &nothing, name: "m", unit: "s", attributes: &run };
        of.plan().count_group(0, &identity, counted);
    };
    count(&bare, CountedGroup::Asked { before: 0 });
    second.plan().take_over_limits(0, (bare.plan(), 0), 2);
    assert_eq!(value(&mut second, "a"), "a");
    for before in [1, 2, 2] {
        count(&second, CountedGroup::Asked { before });
    }
    count(&second, CountedGroup::Ended { last: 1 });
    assert_eq!(value(&mut second, "b"), "other", "a group with the value is left");
    third.plan().take_over_limits(0, (second.plan(), 0), 3);
    count(&third, CountedGroup::Asked { before: 2 });
    assert_eq!(value(&mut third, "b"), "other");
    count(&third, CountedGroup::Ended { last: 3 });
    assert_eq!((value(&mut third, "b"), value(&mut third, "a")), ("b".to_owned(), "other".to_owned()));
}

#[test]
fn unique_and_topk_see_what_grouping_takes_away() {
    let changes = vec![change("status", AttributeChange::Class)];
    let outputs = [
        Output::Unique(vec!["user".into()]),
        Output::TopK { k: 2, keys: vec!["zone".into(), "status".into()] },
        Output::Same,
        Output::Unique(vec!["user".into(), "zone".into()]),
        Output::TopK { k: 2, keys: vec!["user".into()] },
    ];
    let made = Aggregation { changes, ..aggregation(by(&[]), &outputs) };
    let mut matcher = matcher(&[rule("r", Selector::default(), Action::Aggregate(Box::new(made)))]);
    let mut asked = |text: &str| {
        let series = series(text);
        let runs = series.runs();
        let candidates = matcher.of_metric(&series.seen(&runs));
        let mut seen = None;
        let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
        matcher.of_series(&candidates, &series.seen(&runs), &runs[2], &state, &mut |fold| {
            let top: Vec<Vec<u8>> = fold.top.iter().map(|records| records.to_vec()).collect();
            seen = Some((fold.distinct.to_vec(), top));
        });
        seen.unwrap()
    };
    let (distinct, top) = asked("m{user=u,status=503} @ zone=z");
    assert_eq!((distinct.len(), top.len()), (2, 2));
    assert!(distinct.iter().all(|hash| *hash != 0) && distinct[0] != distinct[1]);
    let record = |key: &str, value: &str| {
        let [resource, ..] = series(&format!("m @ {key}={value}")).runs();
        resource
    };
    assert_eq!(top[0], [record("zone", "z"), record("status", "5xx")].concat());
    assert_eq!(top[1], record("user", "u"));
    let (others, _) = asked("m{user=u,status=200} @ zone=y");
    assert_eq!(others[0], distinct[0]);
    assert_ne!(others[1], distinct[1]);
    let (nobody, top) = asked("m");
    assert_eq!((nobody, top), (vec![0, 0], vec![vec![], vec![]]));
    assert_ne!(asked("m{user=u}").0[1], asked("m{zone=u}").0[1]);
}

#[test]
fn equal_identities_have_equal_bytes() {
    let made =
        rule("r", Selector::default(), Action::Aggregate(Box::new(aggregation(without(&["pod"]), &[Output::Same]))));
    let mut matcher = matcher(&[made]);
    let mut identity = |turn: bool| {
        let given = series("m{a=1,b=2,c=3,pod=x} s/1{d=4,e=5} @ f=6,g=7");
        let mut runs = given.runs();
        if turn {
            // the records of the point the other way round
            let records: Vec<Vec<u8>> =
                crate::identity::attributes::Records::new(&runs[2]).map(|r| r.bytes.to_vec()).collect();
            runs[2].clear();
            records.iter().rev().for_each(|record| crate::wire::put_bytes(&mut runs[2], 0x3a, record));
        }
        let candidates = matcher.of_metric(&given.seen(&runs));
        let mut bytes = Vec::new();
        let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
        matcher.of_series(&candidates, &given.seen(&runs), &runs[2], &state, &mut |fold| {
            bytes = [&fold.identity.resource.run, &fold.identity.scope.run, fold.identity.attributes].concat();
        });
        bytes
    };
    assert_eq!(identity(false), identity(true));
}

#[test]
fn what_cannot_be_meant_is_told_with_its_place() {
    let mut broken = takes(selector(&[("metric", &["a", "{b"]), ("attributes.k", &["~("])]));
    broken.except = Some(selector(&[("resource.x", &["\\"])]));
    let Action::Aggregate(made) = &mut broken.action else { unreachable!() };
    made.grouping = without(&["ok", "{"]);
    made.changes = vec![
        change("k", AttributeChange::Class),
        change("k", AttributeChange::Replace { regex: "[".into(), with: "".into() }),
        change("k", AttributeChange::Map { values: vec![("}".into(), "x".into())], other: None }),
    ];
    let faults = RulePlan::new(vec![takes(Selector::default()), broken]).unwrap_err();
    let told: Vec<String> = faults.iter().map(RuleFault::to_string).collect();
    let places: Vec<&str> = told.iter().map(|told| told.split_once(": ").unwrap().0).collect();
    let want = [
        "rules[1].match.metric[1]",
        "rules[1].match.attributes.k[0]",
        "rules[1].except.resource.x[0]",
        "rules[1].attributes[1].replace.regex",
        "rules[1].attributes[2].map.values.}",
        "rules[1].without[1]",
    ];
    assert_eq!(places, want, "{told:#?}");
    // what is replaced is compiled as well
    let large = || change("k", AttributeChange::Replace { regex: "(?:[a-m]{200}){60}".into(), with: "".into() });
    let mut all = aggregation(Grouping::All, &[Output::Same]);
    all.changes = (0..70).map(|_| large()).collect();
    let faults = RulePlan::new(vec![rule("r", Selector::default(), Action::Aggregate(Box::new(all)))]).unwrap_err();
    assert!(faults[0].words.contains("all together may take 16 MiB compiled (one takes"), "{faults:?}");
    for (action, words) in
        [(Action::Relabel(vec![]), "put what relabels above"), (Action::Drop, "put what drops above")]
    {
        let goes_on = Rule { goes_on: true, ..takes(Selector::default()) };
        let faults = RulePlan::new(vec![goes_on, rule("n", Selector::default(), action)]).unwrap_err();
        assert!(faults[0].words.contains(words), "{faults:?}");
    }
}

/// However large a resource and a scope are, and whatever a rule does to them: it is done once for all series of them whose
/// points make no difference to it, and folds, which have it by where it lies, are found without reading it.
#[test]
fn what_is_made_of_a_resource_is_made_once() {
    use AttributeChange::{Class, Copy, Default, Drop, Hash, Keep, Limit, Rename, Set as Sets, Upper};
    let large =
        format!("{},k={}", (0..100).map(|n| format!("a{n}=x")).collect::<Vec<_>>().join(","), "v".repeat(9_000));
    let given =
        |name: &str, point: &str| series(&format!("{name}{{{point}}} s/1{{{}}} @ {large}", large.replace("k=", "l=")));
    let runs = given("m", "").runs();
    let [resource, scope]: [Arc<[u8]>; 2] = [runs[0].clone(), runs[1].clone()].map(Into::into);
    let keeps = |key: &str| Keep(vec![key.into()]);
    let each = [
        None,
        Some(Drop),
        Some(keeps("k")),
        Some(Sets("x".into())),
        Some(Default("x".into())),
        Some(Rename("z".into())),
        Some(Copy("z".into())),
        Some(Hash),
        Some(Class),
        Some(Upper),
        Some(Limit { values: 1, other: "other".into() }),
    ];
    for does in each {
        let changes = does.clone().map(|does| ["k", "l"].map(|key| change(key, does.clone())).to_vec());
        let made =
            Aggregation { changes: changes.unwrap_or_default(), ..aggregation(without(&["a1"]), &[Output::Same]) };
        let mut matcher = matcher(&[rule("r", Selector::default(), Action::Aggregate(Box::new(made)))]);
        let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
        // a point without the key, and one that has it, by turns
        let mut seen: [Option<[Arc<Set>; 2]>; 2] = [None, None];
        for (n, turn) in (0..20).zip([0, 1].into_iter().cycle()) {
            let series = given(&format!("m{n}"), if turn == 0 { "b=1" } else { "k=1" });
            let [_, _, point] = series.runs();
            let held = Some([&resource, &scope]);
            let bare = [vec![], vec![], vec![]];
            let metric = MetricSeen { resource: &resource, scope: &scope, held, ..series.seen(&bare) };
            let candidates = matcher.of_metric(&metric);
            matcher.of_series(&candidates, &metric, &point, &state, &mut |fold| {
                let now = [fold.identity.resource.clone(), fold.identity.scope.clone()];
                let before = seen[turn].get_or_insert_with(|| now.clone());
                let is_same = now.iter().zip(before).all(|(now, before)| Arc::ptr_eq(now, before));
                assert!(is_same, "{does:?}: made again for series {n}");
            });
        }
        assert!(seen.iter().all(Option::is_some));
    }
}

/// The same of what relabels, over several rules.
#[test]
fn what_relabels_makes_a_resource_once() {
    let renames = |key: &str, to: &str| {
        rule("r", Selector::default(), Action::Relabel(vec![change(key, AttributeChange::Rename(to.into()))]))
    };
    let mut matcher = matcher(&[renames("a", "x"), renames("b", "y"), renames("none", "z")]);
    let given = series("m{c=1} s/1 @ a=1,b=2");
    let [resource, scope, _] = given.runs();
    let [resource, scope]: [Arc<[u8]>; 2] = [resource, scope].map(Into::into);
    let mut before: Option<Arc<MadeRun>> = None;
    for n in 0..3 {
        let series = series(&format!("m{n}{{c={n}}}"));
        let [_, _, point] = series.runs();
        let bare = [vec![], vec![], vec![]];
        let held = Some([&resource, &scope]);
        let metric = MetricSeen { resource: &resource, scope: &scope, held, ..series.seen(&bare) };
        let RouteVerdict::Relabelled(to) = matcher.of_route(&metric, &point) else { panic!("relabelled") };
        assert!(Arc::ptr_eq(to.scope.bytes(), &scope), "nothing is made of it");
        let before = before.get_or_insert_with(|| to.resource.clone());
        assert!(Arc::ptr_eq(before, to.resource));
        assert_eq!(Series::read(&given, (to.resource.bytes(), b"", b""), "", "").places[2], attributes("x=1,y=2"));
    }
}
