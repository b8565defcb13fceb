//! Rules of a simulated run: what they say from one reload to the next, what destinations choose, and what both must come to.
//!
//! | metric | what becomes of it |
//! |---|---|
//! | `s` | its rule says the same for the whole run, wherever it stands among others: each of its outputs is known |
//! | `d`, `c` | its rule comes and goes, and groups otherwise, with other intervals, names and limits: each increment leaves once |
//! | `e` | as `d`; or some of it is dropped, which is counted, or it is relabelled |
//! | `d.all`, `c.all` | outputs of a rule that stays, keeps its input, and goes on |
//!
//! Does not know: how rules are offered, or when.

use super::clients::{CUMULATIVE_NAME, DELTA_NAME, Expected, ONES_NAME, STAYS_NAME};
use super::received::ReceivedPoints;
use crate::chance::Chance;
use crate::deliver::Destination;
use crate::ingest::GatePlan;
use crate::model::SelectionNumber;
use crate::rules::{
    Action, Aggregation, AttributeChange, Change, Grouping, InputKind, KeyPattern, Output, OutputSpec, Pattern, Rule,
    RuleChoice, RulePlan, Selection, Selections, Selector,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The metrics that clients send.
const METRICS: [&str; 4] = [STAYS_NAME, DELTA_NAME, CUMULATIVE_NAME, ONES_NAME];
/// What an output is called whose rule keeps its input.
const ALL: &str = ".all";
/// Base intervals that a rule's may have.
const INTERVALS_MAX: u64 = 4;
/// What drops.
const DROPS: &str = "drops";

/// What is chosen by a destination that loses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Everything, as rules make it.
    All,
    /// Series as they came in.
    Input,
    /// What rules make, alone.
    Outputs,
}

impl Choice {
    fn selection(self) -> Selection {
        match self {
            Choice::All => Selection::default(),
            Choice::Input => Selection { rules: RuleChoice::None, ..Selection::default() },
            Choice::Outputs => Selection { takes_input: false, ..Selection::default() },
        }
    }
}

/// Rules at a time, and what destinations choose with them.
#[derive(Clone)]
pub(super) struct RunPlan {
    pub(super) rules: Arc<RulePlan>,
    pub(super) selections: Option<Arc<Selections>>,
    choices: Vec<Choice>,
}

impl RunPlan {
    /// What of it concerns what comes in.
    pub(super) fn gate(&self, interval_ns: u64) -> GatePlan {
        GatePlan { rules: self.rules.clone(), interval_ns, ..GatePlan::default() }
    }

    /// Destinations are given what they choose.
    pub(super) fn choose<'a>(&self, destinations: impl Iterator<Item = &'a mut Destination>) {
        for (one, choice) in destinations.zip(&self.choices) {
            one.selection = choice.selection();
            let number = |selections: &Arc<Selections>| selections.number(&one.selection);
            one.selection_number = self.selections.as_ref().map_or(SelectionNumber::FIRST, number);
        }
    }
}

/// Which attributes are left.
#[derive(Clone, Copy, Debug)]
struct Kept {
    writer: bool,
    number: bool,
}

impl Kept {
    fn new(chance: &mut Chance) -> Kept {
        Kept { writer: chance.one_in(2), number: chance.one_in(2) }
    }

    /// As a rule says it, in one of two ways.
    fn grouping(self, is_by: bool) -> Grouping {
        let key = |text: &str| KeyPattern { text: text.into(), place: None };
        let keys = |wanted: bool| {
            let all = [("w", self.writer), ("i", self.number)];
            all.into_iter().filter(move |(_, is_kept)| *is_kept == wanted).map(|(text, _)| key(text)).collect()
        };
        if is_by { Grouping::By(keys(true)) } else { Grouping::Without(keys(false)) }
    }

    /// The output that a series of this key belongs to.
    fn output(self, key: &str) -> String {
        let (metric, series) = key.split_once('/').expect("a metric and its series");
        let (writer, number) = series.split_once('.').expect("a writer and a number");
        format!("{metric}/{}.{}", if self.writer { writer } else { "*" }, if self.number { number } else { "*" })
    }
}

/// See the file's head.
pub(super) struct RunRules {
    has_rules: bool,
    base_ns: u64,
    /// How `s` is grouped, and the rule for it.
    kept: Kept,
    stays: Rule,
    /// Of `d` and `c`, if there are any.
    beside: Vec<Rule>,
    /// What destinations choose at first.
    choices: Vec<Choice>,
    /// The first one chooses otherwise with other rules.
    has_other_choices: bool,
    /// How often the rules for the other metrics were renamed.
    renamed: [u32; METRICS.len()],
}

impl RunRules {
    /// Of a run of so many destinations, over a base interval.
    pub(super) fn new(destinations: usize, base_ns: u64, chance: &mut Chance) -> RunRules {
        let has_rules = !chance.one_in(4);
        let has_other_choices = has_rules && chance.one_in(2);
        let kept = Kept::new(chance);
        let aggregation = |kept: Kept, name: &str, chance: &mut Chance| {
            same(kept.grouping(chance.one_in(2)), name, (1 + chance.up_to(INTERVALS_MAX - 1)) * base_ns)
        };
        let stays = rule("stays", STAYS_NAME, Action::Aggregate(aggregation(kept, "{name}", chance)));
        let none = Kept { writer: false, number: false };
        let beside = [DELTA_NAME, CUMULATIVE_NAME].map(|metric| {
            let mut aggregation = aggregation(none, &format!("{{name}}{ALL}"), chance);
            aggregation.keeps_input = true;
            let name = format!("{metric}-all");
            Rule { goes_on: true, ..rule(&name, metric, Action::Aggregate(aggregation)) }
        });
        let beside = if chance.one_in(2) { beside.into() } else { Vec::new() };
        let choice = |chance: &mut Chance| if chance.one_in(3) { Choice::Input } else { Choice::All };
        let choices = (0..destinations).map(|_| if has_rules { choice(chance) } else { Choice::All }).collect();
        RunRules { has_rules, base_ns, kept, stays, beside, choices, has_other_choices, renamed: [0; METRICS.len()] }
    }

    /// There are rules in this run.
    pub(super) const fn has_rules(&self) -> bool {
        self.has_rules
    }

    /// What a destination chooses for the whole run; nothing if that changes.
    pub(super) fn choice(&self, destination: usize) -> Option<Choice> {
        let changes = destination + 1 == self.choices.len() || destination == 0 && self.has_other_choices;
        self.choices.get(destination).copied().filter(|_| !self.has_rules || !changes)
    }

    /// Whether a destination is given a series of this key by one rule, or by none, all the time.
    pub(super) fn stays(&self, destination: usize, key: &str) -> bool {
        !self.has_rules || self.choice(destination).is_some() && key.split('/').next() == Some(STAYS_NAME)
    }

    /// Other rules than before, but for those that stay. The last destination chooses what it likes.
    pub(super) fn next(&mut self, chance: &mut Chance) -> RunPlan {
        let mut rules = Vec::new();
        if self.has_rules {
            rules.extend(self.of_ones(chance));
            rules.extend(self.beside.iter().cloned());
            for (at, metric) in METRICS.into_iter().enumerate().skip(1) {
                rules.extend(self.of_metric(at, metric, chance));
            }
            // it makes no difference where it stands
            let place = chance.place(rules.len() + 1);
            rules.insert(place, self.stays.clone());
        }
        let mut choices = self.choices.clone();
        if self.has_rules {
            let last = choices.len() - 1;
            choices[last] = [Choice::All, Choice::Input, Choice::Outputs][chance.place(3)];
        }
        if self.has_other_choices {
            choices[0] = [Choice::All, Choice::Input][chance.place(2)];
        }
        let chosen: Vec<Selection> = choices.iter().map(|choice| choice.selection()).collect();
        RunPlan {
            rules: Arc::new(RulePlan::new(rules).expect("rules that can be meant")),
            selections: Selections::new(&chosen).expect("selections that can be meant").map(Arc::new),
            choices,
        }
    }

    /// What drops some of `e`, or gives an attribute of it another name.
    fn of_ones(&self, chance: &mut Chance) -> Vec<Rule> {
        let mut rules = Vec::new();
        if chance.one_in(3) {
            let change = AttributeChange::Rename("writer".into());
            let change = Change::Attribute { key: "w".into(), place: None, change };
            rules.push(rule("relabels", ONES_NAME, Action::Relabel(vec![change])));
        }
        if chance.one_in(2) {
            let mut drops = rule(DROPS, ONES_NAME, Action::Drop);
            if chance.one_in(2) {
                drops.selector.attributes = vec![("i".into(), vec![Pattern::read("{0,1,2}")])];
            }
            rules.push(drops);
        }
        rules
    }

    /// The rule for a metric, and what it does not take; or none.
    fn of_metric(&mut self, at: usize, metric: &str, chance: &mut Chance) -> Vec<Rule> {
        let mut rules = Vec::new();
        if chance.one_in(4) {
            return rules;
        }
        if chance.one_in(4) {
            let mut keeps = rule(&format!("{metric}-kept"), metric, Action::Keep);
            keeps.selector.attributes = vec![("w".into(), vec![Pattern::read("0")])];
            rules.push(keeps);
        }
        let interval_ns = (1 + chance.up_to(INTERVALS_MAX - 1)) * self.base_ns;
        let mut aggregation = same(Kept::new(chance).grouping(chance.one_in(2)), "{name}", interval_ns);
        aggregation.series_limit = chance.one_in(4).then(|| 1 + chance.up_to(2) as u32);
        let name = |renamed: u32| format!("{metric}-{renamed}");
        let was = chance.one_in(4).then(|| name(self.renamed[at]));
        self.renamed[at] += u32::from(was.is_some() || chance.one_in(8));
        let one = rule(&name(self.renamed[at]), metric, Action::Aggregate(aggregation));
        rules.push(Rule { was: was.map(Into::into), ..one });
        rules
    }

    /// What a destination that lost nothing received, beside what clients sent and `dropped` of it: deltas.
    pub(super) fn check_deltas(
        &self,
        choice: Option<Choice>,
        sent: &BTreeMap<String, Expected>,
        received: &ReceivedPoints,
        dropped: i64,
    ) {
        let sums = received.sums();
        for metric in METRICS {
            let dropped = if metric == ONES_NAME { dropped } else { 0 };
            let whole = of_metric(sent, metric).map(|(_, one)| *one).fold(Expected::default(), Expected::and);
            let sum: i64 = of_metric(&sums, metric).map(|(_, sum)| *sum).sum();
            whole.check(sum + dropped, &format!("all of {metric}"));
            for (key, sum) in of_metric(&sums, metric) {
                let most: i64 = of_metric(sent, metric).filter(|(of, _)| is_in(of, key)).map(|(_, one)| one.high).sum();
                assert!(*sum <= most, "{key}: {sum} arrived, {most} were sent");
            }
        }
        self.check_known(choice, (sent, sent), &sums);
    }

    /// The same of totals: `sums` of all steps, and `totals` as series have them that came in, since their last reset.
    pub(super) fn check_totals(
        &self,
        choice: Option<Choice>,
        (sums, totals): (&BTreeMap<String, Expected>, &BTreeMap<String, Expected>),
        received: &ReceivedPoints,
    ) {
        self.check_known(choice, (sums, totals), &received.totals());
    }

    /// What is known, series by series.
    fn check_known(
        &self,
        choice: Option<Choice>,
        (sums, totals): (&BTreeMap<String, Expected>, &BTreeMap<String, Expected>),
        received: &BTreeMap<String, i64>,
    ) {
        let mut expected: BTreeMap<String, Expected> = BTreeMap::new();
        let mut add = |key: String, one: Expected| {
            let sum = expected.entry(key).or_default();
            *sum = sum.and(one);
        };
        let (is_ruled, is_raw) = (self.has_rules && choice == Some(Choice::All), choice == Some(Choice::Input));
        let is_untouched = !self.has_rules || is_raw;
        for (key, one) in sums {
            let metric = key.split('/').next().expect("a metric");
            match metric {
                STAYS_NAME if is_ruled => add(self.kept.output(key), *one),
                ONES_NAME if self.has_rules => {}
                _ if is_untouched => add(key.clone(), totals[key]),
                DELTA_NAME | CUMULATIVE_NAME if is_ruled && !self.beside.is_empty() => {
                    add(format!("{metric}{ALL}/*.*"), *one);
                }
                _ => {}
            }
        }
        let is_known = |key: &str| {
            let metric = key.split('/').next().expect("a metric");
            match metric {
                ONES_NAME => !self.has_rules,
                STAYS_NAME => is_untouched || is_ruled,
                _ if metric.ends_with(ALL) => is_untouched || is_ruled,
                _ => is_untouched,
            }
        };
        for key in received.keys().filter(|key| is_known(key)) {
            assert!(expected.contains_key(key), "{key} is nobody's");
        }
        for (key, one) in expected {
            one.check(received.get(&key).copied().unwrap_or(0), &key);
        }
    }
}

/// What several clients have sent, together.
pub(super) fn summed(all: impl Iterator<Item = BTreeMap<String, Expected>>) -> BTreeMap<String, Expected> {
    let mut together: BTreeMap<String, Expected> = BTreeMap::new();
    for (series, one) in all.flatten() {
        let sum = together.entry(series).or_default();
        *sum = sum.and(one);
    }
    together
}

/// Series of a metric.
fn of_metric<'a, T>(all: &'a BTreeMap<String, T>, metric: &str) -> impl Iterator<Item = (&'a String, &'a T)> {
    all.iter().filter(move |(key, _)| key.strip_prefix(metric).is_some_and(|rest| rest.starts_with('/')))
}

/// Whether a series may be part of what another key stands for, in one metric.
fn is_in(series: &str, key: &str) -> bool {
    let parts = |key: &str| {
        key.rsplit('/').next().and_then(|name| name.split_once('.').map(|(a, b)| [a.to_owned(), b.to_owned()]))
    };
    let (Some(series), Some(key)) = (parts(series), parts(key)) else { return true };
    series.iter().zip(&key).all(|(of, wanted)| wanted == "*" || of == wanted)
}

fn same(grouping: Grouping, name: &str, interval_ns: u64) -> Box<Aggregation> {
    let spec = OutputSpec { output: Output::Same, window_ns: interval_ns, name: name.into(), text: "same".into() };
    let mut aggregation = Aggregation::new(grouping, interval_ns);
    aggregation.outputs[InputKind::Counter as usize] = Arc::from([spec]);
    Box::new(aggregation)
}

fn rule(name: &str, metric: &str, action: Action) -> Rule {
    let selector = Selector { metric: vec![Pattern::read(metric)], ..Selector::default() };
    Rule { name: name.into(), was: None, selector, except: None, action, goes_on: false }
}
