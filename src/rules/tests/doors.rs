//! What ingest is told of streams and routes.

use super::model::*;
use crate::rules::*;
use std::sync::Arc;

/// What becomes of a route, a relabelled one with what it is called.
fn route(matcher: &mut RuleMatcher, given: &Series) -> String {
    let runs = given.runs();
    match matcher.of_route(&given.seen(&runs), &runs[2]) {
        RouteVerdict::Pass => "pass".into(),
        RouteVerdict::Discard(rule) => format!("discard {rule}"),
        RouteVerdict::Relabelled(to) => {
            let series = Series::read(given, (to.resource.bytes(), to.scope.bytes(), to.attributes), to.name, to.unit);
            format!("{series} {} x{}", to.unit, to.scale)
        }
    }
}

fn stream(matcher: &mut RuleMatcher, given: &Series) -> StreamVerdict {
    let runs = given.runs();
    matcher.of_stream(&given.seen(&runs))
}

fn named(name: &str) -> Selector {
    selector(&[("metric", &[name])])
}

fn aggregate(name: &str) -> Rule {
    rule("a", named(name), Action::Aggregate(Box::new(aggregation(by(&[]), &[Output::Same]))))
}

#[test]
fn what_is_dropped_is_known_at_the_head_where_it_can_be() {
    let asks = selector(&[("metric", &["m"]), ("attributes.x", &["1"])]);
    let drops = |selector: &Selector| rule("d", selector.clone(), Action::Drop);
    let keeps = |selector: &Selector| rule("k", selector.clone(), Action::Keep);
    let check = |rules: &[Rule], given: &str, want: (StreamVerdict, &str)| {
        let mut matcher = matcher(rules);
        let series = series(given);
        assert_eq!((stream(&mut matcher, &series), &*route(&mut matcher, &series)), want, "{given} of {rules:#?}");
    };
    use StreamVerdict::{Ask, Discard, Pass};
    check(&[], "m", (Pass, "pass"));
    check(&[aggregate("m")], "m", (Pass, "pass"));
    check(&[drops(&named("m"))], "m{x=1}", (Discard(0), "discard 0"));
    check(&[drops(&named("m"))], "n", (Pass, "pass"));
    check(&[drops(&asks)], "m{x=1}", (Ask, "discard 0"));
    check(&[drops(&asks)], "m{x=2}", (Ask, "pass"));
    check(&[drops(&asks)], "n{x=1}", (Pass, "pass"));
    let by_resource = selector(&[("resource.x", &["1"])]);
    check(&[drops(&by_resource)], "m @ x=1", (Discard(0), "discard 0"));
    // what stands above saves it, if it takes it
    check(&[keeps(&named("m")), drops(&named("*"))], "m", (Pass, "pass"));
    check(&[keeps(&named("n")), drops(&named("*"))], "m", (Discard(1), "discard 1"));
    check(&[keeps(&asks), drops(&named("m"))], "m{x=1}", (Ask, "pass"));
    check(&[keeps(&asks), drops(&named("m"))], "m{x=2}", (Ask, "discard 1"));
    check(&[aggregate("m"), drops(&named("m"))], "m", (Pass, "pass"));
    let excepts = Rule { except: Some(asks.clone()), ..drops(&named("m")) };
    check(std::slice::from_ref(&excepts), "m{x=1}", (Ask, "pass"));
    check(std::slice::from_ref(&excepts), "m{x=2}", (Ask, "discard 0"));
    let mut no_counters = aggregation(by(&[]), &[Output::Same]);
    no_counters.outputs[InputKind::Counter as usize] = [].into();
    let no_counters = rule("a", named("m"), Action::Aggregate(Box::new(no_counters)));
    check(&[no_counters, drops(&named("m"))], "m", (Discard(1), "discard 1"));
}

#[test]
fn relabelling_changes_what_later_rules_see() {
    use AttributeChange::{Copy, Rename, Set};
    let name = |regex: &str, with: &str| Change::Name { regex: regex.into(), with: with.into() };
    let scale = |by: f64, unit: &str| Change::Scale { by, unit: unit.into() };
    let relabels = |selector: Selector, changes: &[Change]| rule("r", selector, Action::Relabel(changes.to_vec()));
    let check = |rules: &[Rule], given: &str, want: &str| {
        let mut matcher = matcher(rules);
        let series = series(given);
        if want != "pass" {
            assert_eq!(stream(&mut matcher, &series), StreamVerdict::Ask, "{given}");
        }
        assert_eq!(route(&mut matcher, &series), want, "{given} of {rules:#?}");
        // a matcher remembers nothing
        assert_eq!(route(&mut matcher, &series), want, "{given} again");
    };
    let all = Selector::default;
    let renames = change("http.method", Rename("http.request.method".into()));
    check(
        &[relabels(all(), std::slice::from_ref(&renames))],
        "m{http.method=GET,x=1}",
        "m{http.request.method=GET,x=1} s x1",
    );
    check(&[relabels(all(), &[renames])], "m{x=1}", "pass");
    check(&[relabels(all(), &[change("resource:k", Set("1".into()))])], "m s/1 @ a=2", "m s/1 @ a=2,k=1 s x1");
    check(&[relabels(all(), &[change("a", Copy("b".into()))])], "m @ a=2", "m @ a=2,b=2 s x1");
    check(&[relabels(all(), &[name("http\\.(.*)", "rpc.$1")])], "http.x.y{a=1}", "rpc.x.y{a=1} s x1");
    check(&[relabels(all(), &[name("http", "rpc")])], "http.x", "pass");
    check(&[relabels(all(), &[name(".*", "")])], "m", "pass");
    check(&[relabels(named("m"), &[scale(0.001, "ks")])], "m", "m ks x0.001");
    // one after the other, then what drops sees what it is called by then
    let chain = [
        relabels(named("a"), &[name("a", "b"), scale(10.0, "ds")]),
        relabels(selector(&[("metric", &["b"]), ("unit", &["ds"])]), &[name("b", "c"), scale(10.0, "cs")]),
        rule("d", selector(&[("metric", &["c"]), ("attributes.x", &["1"])]), Action::Drop),
        relabels(named("a"), &[name("a", "never")]),
    ];
    check(&chain, "a{x=2}", "c{x=2} cs x100");
    check(&chain, "b", "pass");
    check(&chain, "a{x=1}", "discard 2");
    check(&[rule("k", named("a"), Action::Keep), chain[0].clone()], "a", "pass");
    check(&[aggregate("a"), chain[0].clone()], "a", "pass");
}

#[test]
fn what_would_be_called_like_another_is_counted() {
    let renames = change("a", AttributeChange::Rename("b".into()));
    let relabels = rule("r", Selector::default(), Action::Relabel(vec![renames]));
    let mut matcher = RuleMatcher::new(Arc::new(RulePlan::new(vec![relabels]).unwrap()));
    assert_eq!(route(&mut matcher, &series("m{a=1,b=2}")), "pass");
    assert_eq!(route(&mut matcher, &series("m{a=1}")), "m{b=1} s x1");
    assert_eq!((matcher.take_skipped(), matcher.take_skipped()), (1, 0));
}

/// Two series that differ in what is set would be one, with two writers.
#[test]
fn what_a_series_has_is_not_overwritten_by_relabelling() {
    let check = |key: &str, given: &str, want: &str| {
        let sets = change(key, AttributeChange::Set("1".into()));
        let mut matcher = matcher(&[rule("r", Selector::default(), Action::Relabel(vec![sets]))]);
        let series = series(given);
        assert_eq!(route(&mut matcher, &series), want, "{key} of {given}");
        assert_eq!(matcher.take_skipped(), u64::from(want == "pass"), "{key} of {given}");
        let runs = series.runs();
        let told = matcher.plan().explain(&series.seen(&runs), &runs[2]).to_string();
        assert_eq!(told.contains("not made: the series has that attribute already"), want == "pass", "{told}");
    };
    check("a", "m{b=2}", "m{a=1,b=2} s x1");
    check("resource:a", "m{b=2}", "m{b=2} @ a=1 s x1");
    for given in ["m{a=2}", "m s{a=2}", "m @ a=2", "m{a=[]}"] {
        check("a", given, "pass");
        check("resource:a", given, "pass");
    }
    check("scope:scope.version", "m s", "m s/1 s x1");
    check("scope:scope.version", "m s/2", "pass");
    check("otel.metric.overflow", "m{otel.metric.overflow=true}", "pass");
}

/// The owner sees series as they are stored: every sender's alike.
#[test]
fn what_is_relabelled_is_taken_under_its_new_name() {
    let relabels = Change::Name { regex: "a".into(), with: "b".into() };
    let rules = [rule("r", named("a"), Action::Relabel(vec![relabels])), aggregate("b")];
    let mut matcher = matcher(&rules);
    assert_eq!(route(&mut matcher, &series("a{x=1}")), "b{x=1} s x1");
    assert_eq!(ask(&mut matcher, &series("b{x=1}")).1[0].0, 1);
    assert!(ask(&mut matcher, &series("a{x=1}")).1.is_empty());
}
