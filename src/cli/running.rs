//! What a running instance knows of a series and of what rules make of it: the second half of `catchment explain --url`.
//!
//! Knows the lists of the admin door (`live`), and identities; does not know what a rule does. What the instance does not say
//! is left out. Bounds: those of `live`; `SHOWN_MAX` series are shown.

use super::live::{Live, encoded};
use super::pages::printable;
use crate::aggregate::number::Value as Number;
use crate::identity::attributes::{Record, Records};
use crate::limits::LISTED_MAX;
use crate::rules::{
    ExplainedAnswer, ExplainedSeries, Explanation, InputKind, MetricSeen, RulePlan, ScopeParts, text_of,
};
use crate::runtime::clock;
use crate::telemetry::listing::{ListedSeries, ListingEnd, read_output};
use crate::units::show_duration;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// Series that are shown.
const SHOWN_MAX: usize = 10;

/// A series that came in, whole.
#[derive(Clone)]
pub(super) struct RunningSeries {
    pub(super) resource: Vec<u8>,
    pub(super) scope: Vec<u8>,
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) kind: InputKind,
    pub(super) listed: ListedSeries,
}

impl RunningSeries {
    /// As rules see it.
    pub(super) fn seen(&self) -> MetricSeen<'_> {
        MetricSeen {
            resource: &self.resource,
            scope: &self.scope,
            name: &self.name,
            unit: &self.unit,
            kind: self.kind.kind(),
            monotonic: self.kind == InputKind::Counter,
            held: None,
        }
    }
}

/// What the instance has that is like the series that is asked for.
pub(super) struct FoundSeries {
    /// The first few.
    pub(super) series: Vec<RunningSeries>,
    /// How many there are.
    pub(super) count: usize,
    end: ListingEnd,
}

/// What is asked for, as runs: whatever has these attributes, and perhaps more, is meant.
pub(super) struct Wanted<'a> {
    pub(super) metric: &'a MetricSeen<'a>,
    pub(super) attributes: &'a [u8],
    /// Of this kind only.
    pub(super) kind: Option<InputKind>,
}

impl Wanted<'_> {
    fn is(&self, found: &RunningSeries) -> bool {
        // as rules compare values: by their texts, as who asks for 503 may not know whether it was sent as a number
        let is_same = |known: &Record<'_>, record: &Record<'_>| {
            let (mut known_text, mut text) = (String::new(), String::new());
            let texts = (text_of(known.value(), &mut known_text), text_of(record.value(), &mut text));
            known.key() == record.key() && texts.0.is_some() && texts.0 == texts.1
        };
        let has = |run: &[u8], wanted: &[u8]| {
            Records::new(wanted)
                .all(|record| Records::new(run).any(|known| known.bytes == record.bytes || is_same(&known, &record)))
        };
        let (scope, wanted) = (ScopeParts::of(&found.scope), ScopeParts::of(self.metric.scope));
        found.name == self.metric.name
            && self.kind.is_none_or(|kind| kind == found.kind)
            && has(&found.listed.attributes, self.attributes)
            && has(&found.resource, self.metric.resource)
            && (wanted.name.is_empty() || wanted.name == scope.name)
            && (wanted.version.is_empty() || wanted.version == scope.version)
    }
}

/// A name as a glob of itself, in a query.
fn exactly(name: &str) -> String {
    let mut glob = String::new();
    for c in name.chars() {
        if matches!(c, '*' | '?' | '{' | '}' | ',' | '\\' | '[' | ']') {
            glob.push('\\');
        }
        glob.push(c);
    }
    // these say something else of what stands behind them
    if glob.starts_with(['!', '~']) { String::new() } else { encoded(&glob) }
}

/// Asks the instance for series.
///
/// # Errors
/// It does not answer.
pub(super) fn find(live: &Live, wanted: &Wanted<'_>) -> Result<FoundSeries, String> {
    let (mut series, mut count) = (Vec::new(), 0);
    let query = format!("limit={LISTED_MAX}&metric={}", exactly(wanted.metric.name));
    let end = live.series(&query, &mut |place, metric, listed| {
        let found = RunningSeries {
            resource: place.resource.to_vec(),
            scope: place.scope.to_vec(),
            name: metric.name.clone(),
            unit: metric.unit.clone(),
            kind: metric.kind,
            listed: listed.clone(),
        };
        if wanted.is(&found) {
            count += 1;
            if series.len() < SHOWN_MAX {
                series.push(found);
            }
        }
    })?;
    Ok(FoundSeries { series, count, end })
}

/// The rules that an instance runs.
pub(super) struct RunningRules {
    /// Names of those that aggregate.
    names: BTreeSet<String>,
    /// What leaves with the identity of an output of theirs, in words, by name.
    conflicts: BTreeMap<String, Vec<String>>,
    /// What differs from the rules here; nothing if they are the same.
    pub(super) differ: Option<String>,
}

/// Asks the instance for its rules.
///
/// # Errors
/// It does not answer.
pub(super) fn rules(live: &Live, plan: &RulePlan) -> Result<RunningRules, String> {
    let running = live.json("/rules")?;
    let running = running.as_object().cloned().unwrap_or_default();
    let here: Vec<(&str, String)> =
        plan.rules().iter().map(|rule| (&*rule.name, format!("{:08x}", rule.fingerprint()))).collect();
    let mut words = Vec::new();
    let missing: Vec<&str> = here.iter().map(|(name, _)| *name).filter(|name| !running.contains_key(*name)).collect();
    let is_other = |(name, fingerprint): &&(&str, String)| {
        running.get(*name).and_then(|rule| rule["fingerprint"].as_str()).is_some_and(|other| other != fingerprint)
    };
    let other: Vec<&str> = here.iter().filter(is_other).map(|(name, _)| *name).collect();
    let more: Vec<&str> =
        running.keys().map(String::as_str).filter(|name| here.iter().all(|(known, _)| known != name)).collect();
    for (what, names) in [("does not run", missing), ("runs another", other), ("runs besides", more)] {
        if !names.is_empty() {
            words.push(format!("{what} {}", names.join(", ")));
        }
    }
    let place = |name: &str| running.get(name).and_then(|rule| rule["place"].as_u64());
    if !here.iter().filter_map(|(name, _)| place(name)).is_sorted() {
        words.push("has them in another order".to_owned());
    }
    let differ = (!words.is_empty()).then(|| format!("the instance {}", words.join("; it ")));
    let aggregates = |(_, rule): &(&String, &Value)| rule["action"] == "aggregate";
    let names = running.iter().filter(aggregates).map(|(name, _)| name.clone()).collect();
    let conflicts = running.iter().map(|(name, rule)| (name.clone(), conflicts_of(rule)));
    Ok(RunningRules { differ, names, conflicts: conflicts.collect() })
}

/// What a rule's page says of identities that others have, too, in words.
fn conflicts_of(rule: &Value) -> Vec<String> {
    let all = rule["conflicts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words = |one: &Value| {
        let (first, second, series) = (one["of"][0].as_str()?, one["of"][1].as_str()?, one["series"].as_str()?);
        let count = one["count"].as_u64()?;
        Some(format!(
            "{first}, and {second}, left under one identity {count} times, as {series}: give one of them `rename`"
        ))
    };
    all.iter().filter_map(words).collect()
}

impl RunningRules {
    /// What rules that take the series share with others.
    pub(super) fn conflicts(&self, told: &Explanation) -> Vec<String> {
        let takes = told.rules.iter().filter(|rule| matches!(rule.answer, ExplainedAnswer::Takes { .. }));
        let all = takes.filter_map(|rule| self.conflicts.get(&*rule.name)).flatten().cloned();
        // of two rules that take it both say it
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// An output that leaves of the series.
pub(super) struct RunningOutput {
    rule: String,
    line: Value,
    name: String,
}

/// What leaves of a series as it was explained.
///
/// # Errors
/// The instance does not answer.
pub(super) fn outputs(live: &Live, told: &Explanation, running: &RunningRules) -> Result<Vec<RunningOutput>, String> {
    let mut all = Vec::new();
    for rule in &told.rules {
        let ExplainedAnswer::Takes { group, outputs, .. } = &rule.answer else { continue };
        // one that does not run has none
        if !running.names.contains(&*rule.name) {
            continue;
        }
        for output in outputs {
            let query = format!("limit={LISTED_MAX}&metric={}", exactly(&output.name));
            for line in live.values(&format!("/rules/{}/series?{query}", rule.name))? {
                let Ok(series) = read_output(&line) else { continue };
                if series.name == output.name && is_of(group, &series) {
                    all.push(RunningOutput { rule: rule.name.to_string(), name: series.to_string(), line });
                }
            }
        }
    }
    Ok(all)
}

/// Whether a series that leaves is of this group; one of `topk` has more attributes.
fn is_of(group: &ExplainedSeries, series: &ExplainedSeries) -> bool {
    let has = |pair: &(String, String)| series.attributes.contains(pair);
    group.attributes.iter().all(has) && group.resource == series.resource && group.scope == series.scope
}

fn ago(time_ns: u64, now_ns: u64) -> String {
    // whole seconds: clocks of two machines differ by more
    format!("{} ago", show_duration(Duration::from_secs(now_ns.saturating_sub(time_ns) / 1_000_000_000)))
}

/// The lines for people.
pub(super) fn text(
    found: &FoundSeries,
    (outputs, conflicts): (&[RunningOutput], &[String]),
    differ: Option<&str>,
) -> String {
    let now_ns = clock::now().wall_ns;
    let mut out = String::from("running\n");
    if let Some(words) = differ {
        let _ = writeln!(out, "  {}", printable(words));
    }
    let _ = match found.count {
        0 => writeln!(out, "  no such series has come in yet"),
        1 => writeln!(out, "  1 series"),
        count => writeln!(out, "  {count} series; what is told above is of the first"),
    };
    let interval = found.end.interval_s;
    for one in &found.series {
        let ListedSeries { has_delta, has_cumulative, cuts, time_ns, value, is_hidden, attributes } = &one.listed;
        let mut parts = Vec::new();
        match (has_delta, has_cumulative) {
            (true, true) => parts.push("delta and cumulative input".to_owned()),
            (true, false) => parts.push("delta input".to_owned()),
            (false, true) => parts.push("cumulative input".to_owned()),
            (false, false) => {}
        }
        if let Some(value) = value {
            parts.push(format!("value {}", shown(*value)));
        }
        let seconds = |cuts: u32| show_duration(Duration::from_secs_f64((f64::from(cuts) * interval).round()));
        if cuts[0] > 0 {
            parts.push(match found.end.cut.saturating_sub(cuts[0]) {
                0 => "had points in the last interval".to_owned(),
                silent => format!("silent for {}", seconds(silent)),
            });
        }
        if cuts[1] > 0 && cuts[0] - cuts[1] > 1 {
            parts.push(format!("before that for {}", seconds(cuts[0] - cuts[1] - 1)));
        }
        if *time_ns > 0 {
            parts.push(format!("its newest point is of {}", ago(*time_ns, now_ns)));
        }
        parts.push(if *is_hidden { "hidden" } else { "leaves itself" }.to_owned());
        let name = ExplainedSeries::of(&one.seen(), attributes).to_string();
        let _ = writeln!(out, "  {}: {}", printable(&name), parts.join(", "));
    }
    if found.count > found.series.len() {
        let _ = writeln!(out, "  and {} more", found.count - found.series.len());
    }
    for RunningOutput { rule, line, name } in outputs {
        let number = |key: &str| line.get(key).and_then(Value::as_u64).unwrap_or(0);
        let value = line.get("value").cloned().unwrap_or_default();
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (members, live) = (number("members"), number("live"));
        let _ = writeln!(
            out,
            "  {rule} → {}: {members} members, {live} of them counted, value {value}, {}",
            printable(name),
            ago(number("time_ns"), now_ns)
        );
    }
    for words in conflicts {
        let _ = writeln!(out, "  {}", printable(words));
    }
    out
}

/// The same for programs.
pub(super) fn json_of(
    found: &FoundSeries,
    (outputs, conflicts): (&[RunningOutput], &[String]),
    differ: Option<&str>,
) -> Value {
    let series = |one: &RunningSeries| {
        let ListedSeries { has_delta, has_cumulative, cuts, time_ns, value, is_hidden, attributes } = &one.listed;
        json!({
            "series": ExplainedSeries::of(&one.seen(), attributes).to_string(),
            "delta": has_delta, "cumulative": has_cumulative, "cuts": cuts, "time_ns": time_ns,
            "value": value.map(shown), "hidden": is_hidden,
        })
    };
    let output = |one: &RunningOutput| json!({ "rule": one.rule, "series": one.name, "is": one.line });
    json!({
        "found": found.count,
        "series": found.series.iter().map(series).collect::<Vec<_>>(),
        "outputs": outputs.iter().map(output).collect::<Vec<_>>(),
        "cut": found.end.cut, "interval_s": found.end.interval_s,
        "differs": differ, "conflicts": conflicts,
    })
}

fn shown(value: Number) -> String {
    match value {
        Number::Int(value) => value.to_string(),
        Number::Double(value) => format!("{value}"),
    }
}
