//! What rules would make of many series: counted one by one, whatever they are read from.
//!
//! Knows series as they came in, and the sizes that the memory budget counts with; does not know where series are from, or how
//! the result is shown. Bounds: those of `rules::RuleCensus`, and `BOUNDS_MAX` metrics of which bounds are told apart.

use super::pages::printable;
use crate::flush::{GroupBytes, MEMBER_BYTES, point_bytes, series_bytes};
use crate::model::{Kind, Temporality};
use crate::rules::{
    CensusAttribute, CensusRow, CensusRule, CensusVerdict, InputKind, Leaver, MetricSeen, Output, RuleCensus, RulePlan,
};
use crate::units::show_duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Metrics of which bounds are told apart.
const BOUNDS_MAX: usize = 10_000;
/// Different bounds of one of them.
const BOUNDS_OF_ONE_MAX: usize = 16;

/// A series as it came in.
pub(super) struct SurveyedSeries<'a> {
    pub(super) metric: MetricSeen<'a>,
    pub(super) attributes: &'a [u8],
    pub(super) bounds: &'a [f64],
    pub(super) has_cumulative: bool,
    /// Cuts between its two newest points; 0: not known.
    pub(super) gap: u32,
}

/// What leaves and what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    pub(super) series: u64,
    /// An interval.
    pub(super) bytes: f64,
    pub(super) memory: u64,
}

/// A rule, and what it does with what it takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SurveyedRule {
    pub(super) name: String,
    /// The only metric, if it is one.
    pub(super) metric: Option<String>,
    pub(super) metrics: usize,
    pub(super) series: u64,
    pub(super) after: u64,
    /// Those that it folds, and groups that they become.
    pub(super) members: u64,
    pub(super) groups: u64,
    /// Attributes that groups do not have, or have with other values.
    pub(super) attributes: BTreeMap<String, CensusAttribute>,
    /// How many values the attributes have in which groups differ.
    pub(super) apart: BTreeMap<String, u64>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Surveyed {
    pub(super) metrics: usize,
    pub(super) rules: Vec<SurveyedRule>,
    pub(super) passed_on: SurveyedRule,
    pub(super) now: Load,
    pub(super) after: Load,
    /// Rules, and what is to be known of them; no rule: of all.
    pub(super) warnings: Vec<(String, String)>,
    /// Rules that mean nothing that there is.
    pub(super) unmatched: Vec<String>,
    /// All of it was counted exactly.
    pub(super) is_whole: bool,
}

/// Bounds as bits, and how many series have them.
type BoundsSeen = BTreeMap<Vec<u64>, u64>;

/// See the file's head.
pub(super) struct Survey {
    plan: Arc<RulePlan>,
    census: RuleCensus,
    now: Load,
    /// What is dropped takes no memory.
    dropped_memory: u64,
    members: u64,
    passing_bytes: f64,
    metrics: BTreeSet<Box<str>>,
    /// The metric of the last series, which is among them if there was room.
    last_metric: String,
    /// By rule, how many members have so many cuts between points.
    gaps: Vec<BTreeMap<u32, u64>>,
    /// By rule and metric.
    bounds: BTreeMap<(u32, Box<str>), BoundsSeen>,
    /// Series of one metric with the same bounds that came one behind the other, and are not among them yet.
    bounds_run: Option<BoundsRun>,
}

/// See `Survey::bounds_run`.
struct BoundsRun {
    rule: u32,
    metric: Box<str>,
    bounds: Vec<u64>,
    series: u64,
}

impl BoundsRun {
    fn is(&self, rule: u32, metric: &str, bounds: &[f64]) -> bool {
        self.rule == rule
            && *self.metric == *metric
            && bounds.iter().map(|bound| bound.to_bits()).eq(self.bounds.iter().copied())
    }
}

/// Names of metrics that are counted.
const METRICS_MAX: usize = 1_000_000;

impl Survey {
    pub(super) fn new(plan: &Arc<RulePlan>) -> Survey {
        Survey {
            plan: plan.clone(),
            census: RuleCensus::new(plan.clone()),
            now: Load::default(),
            dropped_memory: 0,
            members: 0,
            passing_bytes: 0.0,
            metrics: BTreeSet::new(),
            last_metric: String::new(),
            gaps: vec![BTreeMap::new(); plan.rules().len()],
            bounds: BTreeMap::new(),
            bounds_run: None,
        }
    }

    /// Series counted so far.
    pub(super) const fn series(&self) -> u64 {
        self.now.series
    }

    /// Counts a series; the same twice counts twice.
    pub(super) fn add(&mut self, series: &SurveyedSeries<'_>) {
        let SurveyedSeries { metric, attributes, bounds, has_cumulative, gap } = series;
        let temporality = if *has_cumulative { Temporality::Cumulative } else { Temporality::Delta };
        let buckets = buckets(metric.kind, bounds.len());
        let memory = series_bytes(metric.kind, temporality, buckets) as u64;
        let bytes = point_bytes(metric.kind, buckets, attributes.len()) as f64;
        self.now.series += 1;
        self.now.memory += memory;
        self.now.bytes += bytes;
        if self.last_metric != metric.name || self.metrics.is_empty() {
            metric.name.clone_into(&mut self.last_metric);
            if self.metrics.len() < METRICS_MAX && !self.metrics.contains(metric.name) {
                self.metrics.insert(metric.name.into());
            }
        }
        let CensusVerdict { dropped, taken, passes } = self.census.add(metric, attributes);
        if dropped.is_some() {
            self.dropped_memory += memory;
        }
        if passes {
            self.passing_bytes += bytes;
        }
        let Some(rule) = taken else { return };
        self.members += 1;
        if *gap > 0 {
            *self.gaps[rule as usize].entry(*gap).or_default() += 1;
        }
        if metric.kind == Kind::Histogram {
            match &mut self.bounds_run {
                Some(run) if run.is(rule, metric.name, bounds) => run.series += 1,
                _ => {
                    self.end_bounds_run();
                    let bounds = bounds.iter().map(|bound| bound.to_bits()).collect();
                    self.bounds_run = Some(BoundsRun { rule, metric: metric.name.into(), bounds, series: 1 });
                }
            }
        }
    }

    fn end_bounds_run(&mut self) {
        let Some(BoundsRun { rule, metric, bounds, series }) = self.bounds_run.take() else { return };
        let key = (rule, metric);
        if self.bounds.len() < BOUNDS_MAX || self.bounds.contains_key(&key) {
            let seen = self.bounds.entry(key).or_default();
            if seen.len() < BOUNDS_OF_ONE_MAX || seen.contains_key(&bounds) {
                *seen.entry(bounds).or_default() += series;
            }
        }
    }

    /// What came of it; `interval_s`: between the cuts that gaps count.
    pub(super) fn end(mut self, interval_s: f64, base_ns: u64) -> Surveyed {
        self.end_bounds_run();
        let mut out = Surveyed { metrics: self.metrics.len(), is_whole: self.census.is_whole(), ..Surveyed::default() };
        let mut rules: BTreeMap<u32, SurveyedRule> = BTreeMap::new();
        let (mut groups_memory, mut groups_bytes) = (0, 0.0);
        for (of, name, kind, row) in self.census.rows() {
            out.after.series += row.after();
            let into = match of {
                CensusRule::Untaken => &mut out.passed_on,
                CensusRule::Dropped(rule) | CensusRule::Taken(rule) => rules.entry(rule).or_default(),
            };
            into.metrics += 1;
            into.metric = (into.metrics == 1).then(|| printable(name));
            into.series += row.series;
            into.after += row.after();
            if let CensusRule::Taken(rule) = of {
                into.members += row.series;
                into.groups += row.groups;
                let (memory, bytes) = self.of_groups(rule, kind, name, &row, base_ns);
                groups_memory += memory;
                groups_bytes += bytes;
            }
            for (key, values) in row.apart {
                let line = into.apart.entry(printable(&key)).or_default();
                *line = (*line).max(values);
            }
            for (key, values) in row.attributes {
                let line = into.attributes.entry(printable(&key)).or_default();
                // of the metric with the most values
                if line.before < values.before {
                    *line = values;
                }
            }
        }
        out.now = self.now;
        out.after.bytes = self.passing_bytes + groups_bytes;
        out.after.memory = self.now.memory - self.dropped_memory + self.members * MEMBER_BYTES as u64 + groups_memory;
        for (rule, row) in &mut rules {
            row.name = self.plan.rules()[*rule as usize].name.to_string();
        }
        out.rules = rules.into_values().collect();
        out.warnings.extend(out.rules.iter().filter_map(stay_apart));
        self.warn(&mut out, interval_s);
        out
    }

    /// Memory and bytes an interval of the groups in a row.
    fn of_groups(&self, rule: u32, kind: InputKind, name: &str, row: &CensusRow, base_ns: u64) -> (u64, f64) {
        let Some(made) = self.plan.aggregation(rule, kind) else { return (0, 0.0) };
        let memory = GroupBytes::of(made, kind).map_or(0, |bytes| bytes.on(1)) as u64;
        let bounds = self.bounds.get(&(rule, Box::from(name))).and_then(|seen| seen.keys().next());
        let attributes = row.group_bytes / row.groups.max(1);
        let of = |output: &Output| {
            let leaves_as = output.leaves_as(kind).kind();
            point_bytes(leaves_as, buckets(leaves_as, bounds.map_or(0, Vec::len)), attributes as usize)
        };
        let each: usize = made.outputs[kind as usize].iter().map(|spec| of(&spec.output)).sum();
        let often = base_ns as f64 / made.interval_ns.max(1) as f64;
        (memory * row.groups, (each as u64 * row.groups) as f64 * often)
    }

    fn warn(&self, out: &mut Surveyed, interval_s: f64) {
        let name = |rule: u32| self.plan.rules()[rule as usize].name.to_string();
        for ((rule, metric), seen) in self.bounds.iter().filter(|(_, seen)| seen.len() > 1) {
            let each = seen.iter().map(|(bounds, series)| format!("{} bounds ({series} series)", bounds.len()));
            let each = each.collect::<Vec<_>>().join(", ");
            let metric = printable(metric);
            let words = format!("bounds differ within {metric}: {each}: `same` leaves one series of each");
            out.warnings.push((name(*rule), words));
        }
        for (rule, gaps) in (0..).zip(&self.gaps) {
            self.warn_of_gaps(out, rule, gaps, interval_s);
        }
        for (rule, reach) in (0..).zip(self.census.reach()) {
            if !reach.untaken.is_empty() {
                let kinds: Vec<String> = reach.untaken.keys().map(|kind| plural(*kind)).collect();
                let series: u64 = reach.untaken.values().sum();
                let (kinds, metrics) = (kinds.join(" and "), counted(reach.untaken_metrics.len() as u64, "metric"));
                let words =
                    format!("takes no {kinds} ({metrics}, {} series): no output is named for them", grouped(series));
                out.warnings.push((name(rule), words));
            }
            if reach.meant == 0 {
                out.unmatched.push(name(rule));
            } else if reach.reached == 0
                && let Some(before) = reach.shadowed_by
            {
                let (meant, before) = (reach.meant, name(before));
                let words = format!("gets none of the {meant} series that it means: {before} takes them before it");
                out.warnings.push((name(rule), words));
            }
        }
        for conflict in self.census.conflicts() {
            let of = |leaver: Leaver| match leaver {
                Leaver::Input => "what passes on".to_owned(),
                Leaver::Output(rule, place) => format!("{} of {}", self.output_text(rule, place), name(rule)),
            };
            let [first, second] = conflict.of;
            let series = conflict.series;
            // of an input the other has the rule's name
            let rule = [first, second].into_iter().find_map(|leaver| match leaver {
                Leaver::Output(rule, _) => Some(name(rule)),
                Leaver::Input => None,
            });
            let words = format!(
                "{series} series of {} would leave twice under one name: as {}, and as {}: give one of them `rename`",
                printable(&conflict.name),
                of(first),
                of(second)
            );
            out.warnings.push((rule.unwrap_or_default(), words));
        }
    }

    /// How an output of a rule is written, whatever the kind: places of kinds are alike where lists are.
    fn output_text(&self, rule: u32, place: u32) -> String {
        let all =
            InputKind::ALL.into_iter().filter_map(|kind| self.plan.aggregation(rule, kind).map(|made| (made, kind)));
        let found = all.map(|(made, kind)| &made.outputs[kind as usize]).find_map(|specs| specs.get(place as usize));
        found.map_or_else(String::new, |spec| spec.text.to_string())
    }

    /// Members that report less often than a rule's outputs look back.
    fn warn_of_gaps(&self, out: &mut Surveyed, rule: u32, gaps: &BTreeMap<u32, u64>, interval_s: f64) {
        let made = InputKind::ALL.into_iter().filter_map(|kind| Some((kind, self.plan.aggregation(rule, kind)?)));
        let specs = made.flat_map(|(kind, made)| made.outputs[kind as usize].iter().map(move |spec| (kind, spec)));
        let windows = specs.filter(|(kind, spec)| spec.output.has_window(*kind));
        let Some((_, shortest)) = windows.min_by_key(|(_, spec)| spec.window_ns) else { return };
        let half = gaps.values().sum::<u64>().div_ceil(2);
        let mut seen = 0;
        let median = gaps.iter().find(|(_, series)| {
            seen += **series;
            seen >= half
        });
        let Some((gap, _)) = median else { return };
        let period_s = f64::from(*gap) * interval_s;
        let window = Duration::from_nanos(shortest.window_ns);
        if period_s > window.as_secs_f64() * 1.5 {
            let (period, window) = (show_duration(Duration::from_secs_f64(period_s.round())), show_duration(window));
            let text = &shortest.text;
            let words = format!(
                "members report every {period}, {text} looks back {window}: most of what it says would be nothing, then a spike; \
                 give it a longer window"
            );
            out.warnings.push((self.plan.rules()[rule as usize].name.to_string(), words));
        }
    }
}

/// A rule that makes hardly fewer series, and what tells them apart.
fn stay_apart(rule: &SurveyedRule) -> Option<(String, String)> {
    let is_many = rule.members >= APART_MEMBERS_MIN && rule.groups > rule.members / 2;
    let mut apart: Vec<_> = rule.apart.iter().collect();
    apart.sort_by_key(|(key, values)| (std::cmp::Reverse(**values), key.as_str()));
    let named = apart.iter().take(APART_SHOWN).map(|(key, values)| format!("{key} ({} values)", grouped(**values)));
    let named = named.collect::<Vec<_>>().join(", ");
    let (members, groups) = (grouped(rule.members), grouped(rule.groups));
    let words = format!("makes {groups} groups of {members} series; what tells them apart still: {named}");
    (is_many && !apart.is_empty()).then(|| (rule.name.clone(), words))
}

/// Members of a rule of which it is told that they are hardly made fewer.
const APART_MEMBERS_MIN: u64 = 10;
/// Attributes that are named then.
const APART_SHOWN: usize = 3;

/// Buckets of an explicit histogram with so many bounds.
fn buckets(kind: Kind, bounds: usize) -> u32 {
    if kind == Kind::Histogram { bounds as u32 + 1 } else { 0 }
}

/// `1 metric`, `1,204 metrics`
pub(super) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `412,806`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn plural(kind: InputKind) -> String {
    match kind {
        InputKind::Summary => "summaries".to_owned(),
        other => format!("{}s", other.word().replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Action, Aggregation, Grouping, OutputSpec, Rule, Selector};

    const SECOND: u64 = 1_000_000_000;

    /// A rule over all metrics, with these outputs of counters and histograms, each with its window in seconds.
    fn plan(outputs: &[(Output, u64)]) -> Arc<RulePlan> {
        plan_of(outputs, Grouping::By(vec![]))
    }

    fn plan_of(outputs: &[(Output, u64)], grouping: Grouping) -> Arc<RulePlan> {
        let spec = |(output, window): &(Output, u64)| OutputSpec {
            output: output.clone(),
            window_ns: window * SECOND,
            name: format!("{{name}}.{}", output.word()).into(),
            text: output.word().into(),
        };
        let outputs = InputKind::ALL.map(|kind| match kind {
            InputKind::Counter | InputKind::Histogram => outputs.iter().map(spec).collect(),
            _ => Arc::from([]),
        });
        let aggregation = Aggregation { outputs, ..Aggregation::new(grouping, 10 * SECOND) };
        let rule = Rule {
            name: "r".into(),
            was: None,
            selector: Selector::default(),
            except: None,
            action: Action::Aggregate(Box::new(aggregation)),
            goes_on: false,
        };
        Arc::new(RulePlan::new(vec![rule]).unwrap())
    }

    fn series<'a>(kind: Kind, attributes: &'a [u8], bounds: &'a [f64], gap: u32) -> SurveyedSeries<'a> {
        let metric = MetricSeen { resource: b"", scope: b"", name: "m", unit: "", kind, monotonic: true, held: None };
        SurveyedSeries { metric, attributes, bounds, has_cumulative: false, gap }
    }

    fn surveyed(outputs: &[(Output, u64)], all: &[SurveyedSeries<'_>]) -> Surveyed {
        let mut survey = Survey::new(&plan(outputs));
        all.iter().for_each(|series| survey.add(series));
        survey.end(10.0, 10 * SECOND)
    }

    #[test]
    fn a_rule_that_makes_hardly_fewer_says_what_tells_series_apart() {
        let attributes = |n: u8| [0x3a, 8, 0x0a, 1, b'k', 0x12, 3, 0x0a, 1, b'a' + n];
        let all: Vec<_> = (0..12).map(attributes).collect();
        let found = |all: &[[u8; 10]], grouping: Grouping| {
            let series: Vec<_> = all.iter().map(|run| series(Kind::Sum, run, &[], 0)).collect();
            let mut survey = Survey::new(&plan_of(&[(Output::Same, 10)], grouping));
            series.iter().for_each(|series| survey.add(series));
            survey.end(10.0, 10 * SECOND).warnings
        };
        let words = "makes 12 groups of 12 series; what tells them apart still: k (12 values)";
        assert_eq!(found(&all, Grouping::All), [("r".to_owned(), words.to_owned())]);
        assert_eq!(found(&all, Grouping::By(vec![])), []);
        assert_eq!(found(&all[..9], Grouping::All), [], "they are few");
    }

    #[test]
    fn members_that_report_less_often_than_a_window_is_long_are_warned_of() {
        let check = |window: u64, gaps: &[u32], is_warned: bool| {
            let all: Vec<_> = gaps.iter().map(|gap| series(Kind::Sum, b"", &[], *gap)).collect();
            let found = surveyed(&[(Output::Same, 10), (Output::Increase, window)], &all);
            let words: Vec<_> = found.warnings.iter().map(|(_, words)| words.as_str()).collect();
            assert_eq!(
                words.iter().any(|words| words.starts_with("members report every 1m, increase looks back")),
                is_warned,
                "{words:?}"
            );
        };
        check(10, &[6, 6, 1], true);
        check(60, &[6, 6, 1], false);
        check(10, &[1, 1, 6], false);
        check(10, &[0, 0, 0], false);
    }

    #[test]
    fn bounds_that_differ_within_a_metric_are_warned_of_and_sizes_add_up() {
        let (short, long) = ([1.0], [1.0, 2.0]);
        let of = |bounds| series(Kind::Histogram, b"", bounds, 0);
        let found = surveyed(&[(Output::Same, 10)], &[of(&short[..]), of(&short[..]), of(&long[..])]);
        let want = "bounds differ within m: 1 bounds (2 series), 2 bounds (1 series): `same` leaves one series of each";
        assert_eq!(found.warnings, [("r".to_owned(), want.to_owned())]);
        assert_eq!((found.now.series, found.after.series, found.rules[0].members), (3, 1, 3));
        // members are kept, and what they make comes to it
        assert!(found.now.memory > 0 && found.after.memory > found.now.memory, "{found:?}");
        assert!(found.after.bytes > 0.0 && found.after.bytes < found.now.bytes, "{found:?}");
    }
}
