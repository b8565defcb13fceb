//! Identities under which more than one thing leaves: outputs of several rules, outputs and series that pass on. Both leave,
//! each pair is counted for its rules and told once, and what an exchange of rules ends is none of them.

use crate::common::*;
use crate::folds::{INTERVAL, pods_away, rule};
use catchment::rules::{
    Aggregation, Grouping, InputKind, KeyPattern, Output, OutputSpec, Pattern, PatternKind, Rule, Selector,
};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One output of everything, called so, without these attributes.
fn called(name: &str, output: Output, text: &str, without: &[&str]) -> Aggregation {
    let spec = || OutputSpec { output: output.clone(), window_ns: INTERVAL, name: name.into(), text: text.into() };
    let keys = without.iter().map(|key| KeyPattern { text: (*key).into(), place: None }).collect();
    Aggregation {
        outputs: InputKind::ALL.map(|_| Arc::from([spec()])),
        ..Aggregation::new(Grouping::Without(keys), INTERVAL)
    }
}

fn of_metric(metric: &str, rule: Rule) -> Rule {
    let metric = Pattern { text: metric.into(), kind: PatternKind::Glob, is_negated: false };
    Rule { selector: Selector { metric: vec![metric], ..Selector::default() }, ..rule }
}

fn goes_on(rule: Rule) -> Rule {
    Rule { goes_on: true, ..rule }
}

fn counter(name: &str, pod: &str, time: u64) -> Metric {
    sum(name, 1, true, vec![number(&[("pod", pod)], 0, time, int(1))])
}

fn plain(name: &str, time: u64) -> Metric {
    sum(name, 1, true, vec![number(&[], 0, time, int(1))])
}

/// Cuts, and what was found until then.
struct Run {
    rig: Rig,
    at: u64,
}

impl Run {
    fn new(cores: usize, rules: Vec<Rule>) -> Run {
        Run { rig: Rig::with_rules(cores, rules), at: START }
    }

    fn send(&mut self, core: usize, metrics: Vec<Metric>) {
        self.rig.send(core % self.rig.cores.len(), &request(metrics));
    }

    fn cut(&mut self) {
        self.at += INTERVAL;
        self.rig.cut_open(self.at);
    }

    /// What is told of pairs, by both.
    fn told(&self) -> BTreeMap<String, u64> {
        let rules = self.rig.rules.as_ref().expect("rules");
        let told = rules.gather_conflicts();
        told.iter().map(|one| (format!("{} + {}", one.of[0], one.of[1]), one.count)).collect()
    }

    /// What is counted of the rules, in their order.
    fn counted(&self) -> Vec<u64> {
        let rules = self.rig.rules.as_ref().expect("rules");
        let (in_force, noticed) = (rules.in_force(), rules.noticed());
        let all = 0..in_force.plan().rules().len() as u32;
        all.map(|rule| noticed[in_force.slot(rule) as usize].notes.output_conflicts).collect()
    }

    fn expect(&self, told: &[(&str, u64)], counted: &[u64], what: &str) {
        let want: BTreeMap<String, u64> = told.iter().map(|(pair, count)| (pair.to_string(), *count)).collect();
        assert_eq!((self.told(), self.counted()), (want, counted.to_vec()), "{what}");
    }
}

/// Rules that leave under names of their own, as is usual, are in nobody's way.
#[test]
fn outputs_with_names_of_their_own_are_no_conflict() {
    let mut run = Run::new(
        2,
        vec![goes_on(rule("a", called("{name}.a", Output::Same, "same", &["pod"]))), rule("b", pods_away())],
    );
    for cut in 0..3u64 {
        run.send(cut as usize, vec![counter("m", "p", run.at + 1), counter("n", "p", run.at + 1)]);
        run.cut();
    }
    run.expect(&[], &[0, 0], "names of their own");
}

/// Two rules whose outputs have one identity, wherever their folds and that identity are owned: one pair, as often as there are
/// series of it, for each of both, and once, however often they leave.
#[test]
fn outputs_of_two_rules_under_one_identity_are_told() {
    for cores in 1..=4 {
        let mut run = Run::new(
            cores,
            vec![goes_on(rule("a", pods_away())), rule("b", called("{name}", Output::Same, "same", &["pod"]))],
        );
        for cut in 0..4u64 {
            for metric in 0..10 {
                run.send(metric + cut as usize, vec![counter(&format!("m{metric}"), "p", run.at + 1)]);
            }
            run.cut();
        }
        run.expect(&[("same of a + same of b", 10)], &[10, 10], &format!("{cores} cores"));
        let told = run.rig.rules.as_ref().unwrap().conflicts();
        assert!(told[0].series.starts_with('m'), "{told:?}");
    }
}

/// Outputs of one rule may be called alike, too: metrics that a name without `{name}` makes one.
#[test]
fn outputs_of_one_rule_under_one_identity_are_told() {
    for cores in [1, 3] {
        let mut run = Run::new(cores, vec![rule("a", called("one", Output::Same, "same", &["pod"]))]);
        for metric in 0..3 {
            run.send(metric, vec![counter(&format!("m{metric}"), "p", START + 1)]);
        }
        run.cut();
        run.cut();
        // three of them are three pairs
        run.expect(&[("same of a + same of a", 3)], &[3], &format!("{cores} cores"));
    }
}

/// However many share one identity: what is told grows with them, and not with their square.
#[test]
fn many_outputs_under_one_identity_cost_what_they_are() {
    let mut run = Run::new(2, vec![rule("a", called("one", Output::Same, "same", &["pod"]))]);
    run.send(0, (0..500).map(|metric| counter(&format!("m{metric}"), "p", START + 1)).collect());
    run.cut();
    run.cut();
    // each of those behind the eighth is told of eight
    let count = 7 * 8 / 2 + 492 * 8;
    run.expect(&[("same of a + same of a", count)], &[count], "500 of one identity");
}

/// Of three under one identity each pair is told. So when the first goes, the others were told of each other; and one that comes
/// back is told again.
#[test]
fn the_third_is_told_of_the_second_whether_the_first_stays_or_not() {
    for cores in [1, 2, 4] {
        let with = |name: &str| goes_on(rule(name, called("{name}", Output::Same, "same", &["pod"])));
        let mut run = Run::new(cores, vec![with("a"), with("b"), with("c")]);
        run.send(0, vec![counter("m", "p", START + 1)]);
        run.cut();
        run.cut();
        let all = [("same of a + same of b", 1), ("same of a + same of c", 1), ("same of b + same of c", 1)];
        run.expect(&all, &[2, 2, 2], "three");
        // the first goes
        run.rig.reload(vec![with("b"), with("c")]);
        for _ in 0..8 {
            run.send(0, vec![counter("m", "p", run.at + 1)]);
            run.cut();
        }
        run.expect(&all[2..], &[2, 2], "the first is gone");
        // another comes in its place
        run.rig.reload(vec![with("d"), with("b"), with("c")]);
        for _ in 0..8 {
            run.send(0, vec![counter("m", "p", run.at + 1)]);
            run.cut();
        }
        let all = [("same of b + same of c", 1), ("same of d + same of b", 1), ("same of d + same of c", 1)];
        run.expect(&all, &[2, 3, 3], "another came");
    }
}

/// An output and a series that passes on, whichever of them was there first.
#[test]
fn an_output_under_the_identity_of_a_series_that_passes_on_is_told() {
    for cores in 1..=4 {
        for passes_first in [true, false] {
            // it takes what has a pod; what has none passes on, and has the identity of its output
            let has_pod =
                ("pod".into(), vec![Pattern { text: "*".into(), kind: PatternKind::Glob, is_negated: false }]);
            let selector = Selector { attributes: vec![has_pod], ..Selector::default() };
            let of = Rule { selector, ..rule("a", called("{name}", Output::Same, "same", &["pod"])) };
            let mut run = Run::new(cores, vec![of]);
            for metric in 0..6 {
                let name = format!("m{metric}");
                let (with, without) = (counter(&name, "p", START + 1), plain(&name, START + 1));
                run.send(metric, vec![if passes_first { without } else { with }]);
            }
            run.cut();
            run.cut();
            run.expect(&[], &[0], "only one of both");
            for metric in 0..6 {
                let name = format!("m{metric}");
                let (with, without) = (counter(&name, "p", run.at + 1), plain(&name, run.at + 1));
                run.send(metric + 1, vec![if passes_first { with } else { without }]);
            }
            run.cut();
            run.cut();
            let what = format!("{cores} cores, passes first: {passes_first}");
            run.expect(&[("what passes on + same of a", 6)], &[6], &what);
        }
    }
}

/// Series that are shown again behind an exchange are asked about, and a rule that comes in the place of another one finds
/// nothing of it in its way.
#[test]
fn what_an_exchange_ends_is_no_conflict_and_what_it_shows_may_be_one() {
    for cores in [1, 3] {
        let all = || rule("a", called("{name}", Output::Same, "same", &["pod"]));
        let mut run = Run::new(cores, vec![all()]);
        let send = |run: &mut Run| {
            let at = run.at + 1;
            run.send(0, vec![counter("m", "p", at), plain("m", at)]);
            run.cut();
        };
        (0..3).for_each(|_| send(&mut run));
        run.expect(&[], &[0], "all of it is taken");
        // another rule with the same outputs
        run.rig.reload(vec![Rule { name: "b".into(), ..all() }]);
        (0..10).for_each(|_| send(&mut run));
        run.expect(&[], &[0], "one rule in the place of another");
        // what has no pod is not taken any more: it is shown again, beside the output
        let has_pod = ("pod".into(), vec![Pattern { text: "*".into(), kind: PatternKind::Glob, is_negated: false }]);
        let selector = Selector { attributes: vec![has_pod], ..Selector::default() };
        run.rig.reload(vec![Rule { name: "b".into(), selector, ..all() }]);
        (0..10).for_each(|_| send(&mut run));
        run.expect(&[("what passes on + same of b", 1)], &[1], "it is shown again");
        // and away again: what is told is of rules in force
        run.rig.reload(vec![of_metric("other", all())]);
        (0..10).for_each(|_| send(&mut run));
        run.expect(&[], &[0], "it is gone");
    }
}
