//! The rules of a plan as a table for people: what each takes, what becomes of it, and what an operator should know. A note
//! that several rules have stands under the first.
//!
//! Knows settled rules; does not know files, or what a series is.

use crate::config::Plan;
use crate::rules::{
    Action, Aggregation, Grouping, IdleWas, InputKind, Output, OutputSpec, Pattern, PatternKind, Rule, Selector,
    idle_was,
};
use crate::units::show_duration;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

/// The table, a note under each rule that has one, and how many of both there are; nothing where there are no rules.
pub(super) fn text(plan: &Plan) -> String {
    let rules = plan.rules.rules();
    if rules.is_empty() {
        return String::new();
    }
    let mut rows = vec![["rule", "matches", "groups", "outputs", "every", "fingerprint"].map(str::to_owned)];
    rows.extend(rules.iter().enumerate().map(|(index, rule)| row(rule, index > 0)));
    let widths: Vec<usize> = (0..5)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(COLUMN_CHARS))
        .collect();
    let mut out = String::from("\n");
    let mut notes = 0;
    let mut told = BTreeSet::new();
    let idle = idle_was(rules);
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(out, "{cell:width$}  ");
        }
        let _ = writeln!(out, "{}", row[5]);
        let at = index.checked_sub(1);
        let own = idle.iter().filter(|idle| Some(idle.rule) == at);
        let own = own.map(|IdleWas { why, .. }| format!("note: its `was` has no effect: {why}"));
        for line in at.into_iter().flat_map(|at| details(&rules[at])).chain(own) {
            let is_note = line.starts_with("note:");
            notes += usize::from(is_note);
            // of ten thousand rules a note is read once
            if is_note && !told.insert(line.clone()) {
                continue;
            }
            let _ = writeln!(out, "  {line}");
        }
    }
    let adds = rules.iter().any(adds_for_ever);
    if adds {
        out.push_str(
            "note: what comes in as deltas of an updowncounter adds for ever, also after its member is gone\n",
        );
        notes += 1;
    }
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let _ = writeln!(out, "{}, {}", counted(rules.len(), "rule"), counted(notes, "note"));
    out
}

/// A column is no wider; a longer text moves the others of its row.
const COLUMN_CHARS: usize = 40;

fn row(rule: &Rule, has_rules_before: bool) -> [String; 6] {
    let matches = matches(rule, has_rules_before);
    let fingerprint = format!("{:08x}", rule.fingerprint());
    let none = || "–".to_owned();
    match &rule.action {
        Action::Aggregate(aggregation) => {
            let every = show_duration(Duration::from_nanos(aggregation.interval_ns));
            [rule.name.to_string(), matches, groups(rule, aggregation), outputs(aggregation), every, fingerprint]
        }
        Action::Drop => {
            let where_to =
                if asks_for_points(rule) { "dropped when a series is new" } else { "dropped at the metric's head" };
            [rule.name.to_string(), matches, none(), where_to.to_owned(), none(), fingerprint]
        }
        Action::Keep => [rule.name.to_string(), matches, none(), "passes on unchanged".to_owned(), none(), fingerprint],
        Action::Relabel(changes) => {
            let groups = count(changes.len(), "action");
            [rule.name.to_string(), matches, groups, "relabelled one to one".to_owned(), none(), fingerprint]
        }
    }
}

/// Whether attributes of points have a part in what it matches.
fn asks_for_points(rule: &Rule) -> bool {
    let asks = |selector: &Selector| !selector.attributes.is_empty();
    asks(&rule.selector) || rule.except.as_ref().is_some_and(asks)
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn is_everything(patterns: &[Pattern]) -> bool {
    matches!(patterns, [] | [Pattern { kind: PatternKind::Glob, is_negated: false, .. }] if patterns.iter().all(|one| &*one.text == "*"))
}

/// `2 globs, 1 attribute, 1 exception`.
fn matches(rule: &Rule, has_rules_before: bool) -> String {
    let selector = &rule.selector;
    let mut parts = Vec::new();
    let (mut names, mut globs, mut expressions) = (0, 0, 0);
    if !is_everything(&selector.metric) {
        for pattern in &selector.metric {
            match pattern.kind {
                PatternKind::Regex => expressions += 1,
                PatternKind::Glob if pattern.text.contains(['*', '?', '{']) => globs += 1,
                PatternKind::Glob => names += 1,
            }
        }
    }
    let attributes = selector.attributes.len() + selector.resource.len() + selector.scope_attributes.len();
    let scopes = usize::from(!selector.scope_name.is_empty()) + usize::from(!selector.scope_version.is_empty());
    for (number, what) in [
        (names, "name"),
        (globs, "glob"),
        (expressions, "expression"),
        (attributes, "attribute"),
        (scopes, "scope pattern"),
        (selector.unit.len(), "unit"),
        (selector.kind.len(), "kind"),
    ] {
        if number > 0 {
            parts.push(count(number, what));
        }
    }
    if parts.is_empty() {
        parts.push(if has_rules_before { "everything else" } else { "everything" }.to_owned());
    }
    if let Some(except) = &rule.except {
        let lists = [&except.metric, &except.unit, &except.scope_name, &except.scope_version];
        let of_attributes = [&except.attributes, &except.resource, &except.scope_attributes];
        let exceptions = lists.iter().filter(|list| !list.is_empty()).count()
            + of_attributes.iter().map(|list| list.len()).sum::<usize>()
            + usize::from(!except.kind.is_empty());
        parts.push(count(exceptions, "exception"));
    }
    parts.join(", ")
}

/// `without 7, 3 actions, input kept`.
fn groups(rule: &Rule, aggregation: &Aggregation) -> String {
    let mut parts = vec![match &aggregation.grouping {
        Grouping::All => "over time only".to_owned(),
        Grouping::By(keys) => format!("by {}", keys.len()),
        Grouping::Without(keys) => format!("without {}", keys.len()),
    }];
    if !aggregation.changes.is_empty() {
        parts.push(count(aggregation.changes.len(), "action"));
    }
    if aggregation.keeps_input {
        parts.push("input kept".to_owned());
    }
    if rule.goes_on {
        parts.push("goes on".to_owned());
    }
    parts.join(", ")
}

/// An output as it is meant: with its window where that is not the interval.
fn output(spec: &OutputSpec, input: InputKind, interval_ns: u64) -> String {
    let word = match &spec.output {
        Output::Quantile(_) => spec.output.suffix(input),
        other => other.word().to_owned(),
    };
    let window = match spec.window_ns {
        window if window == interval_ns => String::new(),
        window => format!("({})", show_duration(Duration::from_nanos(window))),
    };
    let more = match &spec.output {
        Output::Unique(_) => " ±1.6 %",
        Output::TopK { .. } => "+other",
        _ => "",
    };
    format!("{word}{window}{more}")
}

/// What leaves for each kind that the rule takes.
fn by_kind(aggregation: &Aggregation) -> impl Iterator<Item = (InputKind, &[OutputSpec])> + Clone {
    let all = InputKind::ALL.into_iter().map(|input| (input, &*aggregation.outputs[input as usize]));
    all.filter(|(_, specs)| !specs.is_empty())
}

/// One list, if all kinds have it or a part of it.
fn one_list(aggregation: &Aggregation) -> Option<String> {
    let (input, longest) = by_kind(aggregation).max_by_key(|(_, specs)| specs.len())?;
    let is_part = |specs: &[OutputSpec]| specs.iter().all(|spec| longest.iter().any(|other| other.text == spec.text));
    by_kind(aggregation).all(|(_, specs)| is_part(specs)).then(|| list(aggregation, input, longest))
}

fn list(aggregation: &Aggregation, input: InputKind, specs: &[OutputSpec]) -> String {
    let words = specs.iter().map(|spec| output(spec, input, aggregation.interval_ns));
    words.collect::<Vec<_>>().join(" ")
}

fn outputs(aggregation: &Aggregation) -> String {
    one_list(aggregation).unwrap_or_else(|| "by kind".to_owned())
}

/// Lines under a rule.
fn details(rule: &Rule) -> Vec<String> {
    let Action::Aggregate(aggregation) = &rule.action else { return Vec::new() };
    let mut lines = Vec::new();
    if one_list(aggregation).is_none() {
        // kinds of which the same leaves stand together
        let mut lists: Vec<(String, Vec<&str>)> = Vec::new();
        for (input, specs) in by_kind(aggregation) {
            let list = list(aggregation, input, specs);
            match lists.iter_mut().find(|(other, _)| *other == list) {
                Some((_, kinds)) => kinds.push(input.word()),
                None => lists.push((list, vec![input.word()])),
            }
        }
        let lists = lists.iter().map(|(list, kinds)| format!("{}: {list}", kinds.join(", ")));
        lines.push(lists.collect::<Vec<_>>().join("; "));
    }
    let has = |input: InputKind, is: fn(&Output) -> bool| {
        aggregation.outputs[input as usize].iter().any(|spec| is(&spec.output))
    };
    let is_quantile = |output: &Output| matches!(output, Output::Quantile(_));
    let accuracy: Vec<&str> = [
        (InputKind::Gauge, "gauges: exact up to 4,096 samples, then ≤ 9.1 % over six decades"),
        (InputKind::Histogram, "explicit bounds: ± one bucket of the input"),
        (InputKind::ExponentialHistogram, "exponential: ≤ 9.1 % over six decades"),
    ]
    .into_iter()
    .filter(|(input, _)| has(*input, is_quantile))
    .map(|(_, words)| words)
    .collect();
    if !accuracy.is_empty() {
        lines.push(format!("quantiles: {}", accuracy.join("; ")));
    }
    let rebuckets = |output: &Output| matches!(output, Output::Histogram(_));
    if has(InputKind::Histogram, rebuckets) || has(InputKind::ExponentialHistogram, rebuckets) {
        lines.push("other buckets: any quantile moves by at most the width of one bucket of the input".to_owned());
    }
    let names_its_metrics = !rule.selector.metric.is_empty()
        && rule.selector.metric.iter().all(|one| one.kind == PatternKind::Glob && !one.text.contains(['*', '?', '{']));
    let takes_no_gauges = aggregation.outputs[InputKind::Gauge as usize].is_empty();
    if takes_no_gauges && rule.selector.kind.is_empty() && !names_its_metrics {
        lines.push(
            "note: gauges and summaries have no default output and pass on as they are: add outputs for them, such as \
             {gauge: [avg, max]}, or --gauges avg,max"
                .to_owned(),
        );
    }
    lines
}

/// Whether levels leave that deltas may have been added to.
fn adds_for_ever(rule: &Rule) -> bool {
    let Action::Aggregate(aggregation) = &rule.action else { return false };
    let levels = &aggregation.outputs[InputKind::UpDownCounter as usize];
    levels.iter().any(|spec| matches!(spec.output, Output::Same | Output::Sum))
}
