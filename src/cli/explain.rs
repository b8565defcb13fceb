//! `catchment explain`: what the rules of a configuration make of one series, rule by rule. Runs nothing.
//!
//! Knows flags, and how a series is written; does not know what a rule does to it (`rules`).

use super::live::Live;
use super::pages::printable;
use super::running::{self, Wanted};
use super::{gather, origin, pages, run};
use crate::config::keys::Key;
use crate::identity::attributes::key_byte;
use crate::problem::{Flaw, Problem};
use crate::rules::{
    ExplainedAnswer, ExplainedChange, ExplainedOutcome, ExplainedOutput, ExplainedRule, ExplainedSeries, Explanation,
    InputKind, MetricSeen, RulePlan,
};
use crate::trial::{Label, SeriesName, attribute_run, read_series};
use crate::wire::put_bytes;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::sync::Arc;

/// Flags of `catchment explain`.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Explain {
    #[command(flatten)]
    run: run::Options,
    /// The series: METRIC{KEY=VALUE,…} @ KEY=VALUE,…, behind the @ what its resource has
    ///
    /// Values are numbers, true or false where they look like it, else texts; in double quotes they are always texts.
    /// scope.name and scope.version behind the @ are those of its scope
    #[arg(value_name = "SERIES", value_parser = read_series)]
    series: SeriesName,
    /// Its kind; without it the one that the first of the rules takes
    #[arg(help_heading = "Series", long, value_enum)]
    kind: Option<KindFlag>,
    /// Its unit
    #[arg(help_heading = "Series", long, value_name = "UNIT", default_value = "")]
    unit: String,
    /// Ask a running instance what it knows of the series, and explain that one: the URL of its admin door
    ///
    /// What has these attributes, and perhaps more, is meant. The rules are those given here; where the instance runs
    /// others, that is said
    #[arg(help_heading = "Series", long, value_name = "URL")]
    url: Option<String>,
    /// How it is printed
    #[arg(help_heading = "Configuration", long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  catchment explain --config fleet.yaml 'http.requests{code=503} @ k8s.pod.name=web-7,service.name=cart'
  catchment explain --without k8s.pod.name 'http.requests{code=503} @ k8s.pod.name=web-7'
  catchment explain --config fleet.yaml --url http://127.0.0.1:9465 'http.requests @ k8s.pod.name=web-7'";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindFlag {
    Counter,
    #[value(name = "updowncounter")]
    UpDownCounter,
    Gauge,
    Histogram,
    #[value(name = "exponential_histogram")]
    ExponentialHistogram,
    Summary,
}

impl KindFlag {
    fn input(self) -> InputKind {
        InputKind::ALL[self as usize]
    }
}

/// What of a kind is asked for first, where nobody says which one is meant.
const BY_HABIT: [InputKind; InputKind::COUNT] = [
    InputKind::Counter,
    InputKind::Histogram,
    InputKind::ExponentialHistogram,
    InputKind::Gauge,
    InputKind::UpDownCounter,
    InputKind::Summary,
];

impl Explain {
    /// `--log-format json`
    pub(super) fn is_json(&self) -> bool {
        self.run.is_json()
    }

    /// Prints what becomes of the series; the exit code, or that standard output cannot be written.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub(super) fn explain(self, keys: &[Key]) -> Result<Result<u8, String>, Vec<Problem>> {
        let series = &self.series;
        let plan = gather::gather(self.run, keys).settle()?.rules;
        if let Some(url) = &self.url {
            let live = Live::at(url).map_err(|words| {
                vec![Problem::new("url", url.clone(), Flaw::predicate(words)).at(origin::of("url"))]
            })?;
            let asked = Asked { series, unit: &self.unit, kind: self.kind.map(KindFlag::input) };
            return Ok(
                explain_running(&live, &plan, &asked, self.format).and_then(|page| pages::write(page.as_bytes()))
            );
        }
        let of = |input| (input, explain(&plan, series, &self.unit, input));
        let (input, explanation) = match self.kind {
            Some(kind) => of(kind.input()),
            None => by_habit(of),
        };
        let page = match self.format {
            Format::Text if plan.is_empty() => "there are no rules: it passes on\n".to_owned(),
            Format::Text => {
                let another = if self.kind.is_none() { " (--kind says another)" } else { "" };
                format!("{series} as {}{another}\n{explanation}", with_article(input))
            }
            Format::Json => format!("{:#}\n", json_of(&series.to_string(), input, &explanation)),
        };
        Ok(pages::write(page.as_bytes()))
    }
}

/// Of the kind that the first of the rules takes.
fn by_habit(of: impl Fn(InputKind) -> (InputKind, Explanation)) -> (InputKind, Explanation) {
    let all = BY_HABIT.map(&of).into_iter().min_by_key(|(_, told)| first_that_takes(told));
    all.unwrap_or_else(|| of(BY_HABIT[0]))
}

/// What is asked for.
struct Asked<'a> {
    series: &'a SeriesName,
    unit: &'a str,
    kind: Option<InputKind>,
}

/// The page with what a running instance knows.
fn explain_running(live: &Live, plan: &Arc<RulePlan>, asked: &Asked<'_>, format: Format) -> Result<String, String> {
    let Asked { series, unit, kind } = asked;
    let as_kind = kind.unwrap_or(BY_HABIT[0]);
    let (resource, scope, _) = runs(series, as_kind);
    // the bytes of a record do not depend on the kind
    let attributes = attribute_run(&series.attributes, key_byte(as_kind.kind()));
    let metric = MetricSeen {
        resource: &resource,
        scope: &scope,
        name: &series.metric,
        unit,
        kind: as_kind.kind(),
        monotonic: as_kind == InputKind::Counter,
        held: None,
    };
    let wanted = Wanted { metric: &metric, attributes: &attributes, kind: *kind };
    let found = running::find(live, &wanted)?;
    let rules = running::rules(live, plan)?;
    let (input, told, whole) = match found.series.first() {
        Some(first) => {
            let whole = ExplainedSeries::of(&first.seen(), &first.listed.attributes).to_string();
            (first.kind, plan.explain(&first.seen(), &first.listed.attributes), whole)
        }
        None => {
            let of = |input| (input, explain(plan, series, unit, input));
            let (input, told) = kind.map_or_else(|| by_habit(of), of);
            (input, told, series.to_string())
        }
    };
    let outputs = running::outputs(live, &told, &rules)?;
    let conflicts = rules.conflicts(&told);
    Ok(match format {
        Format::Text => {
            let told = if plan.is_empty() { "there are no rules: it passes on\n".to_owned() } else { told.to_string() };
            let told: Vec<String> = told.lines().map(printable).collect();
            let (whole, told) = (printable(&whole), told.join("\n"));
            format!(
                "{whole} as {}\n{told}\n{}",
                with_article(input),
                running::text(&found, (&outputs, &conflicts), rules.differ.as_deref())
            )
        }
        Format::Json => {
            let mut page = json_of(&whole, input, &told);
            page["running"] = running::json_of(&found, (&outputs, &conflicts), rules.differ.as_deref());
            format!("{page:#}\n")
        }
    })
}

fn with_article(input: InputKind) -> String {
    let article = if matches!(input, InputKind::UpDownCounter | InputKind::ExponentialHistogram) { "an" } else { "a" };
    format!("{article} {}", input.word())
}

/// The place of the first rule that does anything with it.
fn first_that_takes(told: &Explanation) -> usize {
    let takes = |rule: &ExplainedRule| !matches!(rule.answer, ExplainedAnswer::No(_));
    told.rules.iter().position(takes).unwrap_or(usize::MAX)
}

fn explain(plan: &Arc<RulePlan>, series: &SeriesName, unit: &str, input: InputKind) -> Explanation {
    let (kind, monotonic) = (input.kind(), input == InputKind::Counter);
    let (resource, scope, attributes) = runs(series, input);
    let metric =
        MetricSeen { resource: &resource, scope: &scope, name: &series.metric, unit, kind, monotonic, held: None };
    plan.explain(&metric, &attributes)
}

/// A series as its resource, its scope and its attributes.
fn runs(series: &SeriesName, input: InputKind) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (mut resource, mut scope) = (series.resource.clone(), Vec::new());
    for (field, key) in [(0x0a, "scope.name"), (0x12, "scope.version")] {
        if let Some(label) = resource.remove(key) {
            let text = match label {
                Label::Text(text) => text,
                other => other.to_string(),
            };
            put_bytes(&mut scope, field, text.as_bytes());
        }
    }
    (attribute_run(&resource, 0x0a), scope, attribute_run(&series.attributes, key_byte(input.kind())))
}

fn json_of(series: &str, input: InputKind, told: &Explanation) -> Value {
    let outcome = match told.outcome {
        ExplainedOutcome::Dropped => "dropped",
        ExplainedOutcome::Passes => "passes",
        ExplainedOutcome::Hidden => "hidden",
    };
    json!({
        "series": series,
        "kind": input.word(),
        "rules": told.rules.iter().map(rule_of).collect::<Vec<_>>(),
        "ended_by": told.ended_by.as_deref(),
        "outcome": outcome,
    })
}

fn rule_of(ExplainedRule { name, answer }: &ExplainedRule) -> Value {
    let changes = |changes: &[ExplainedChange]| {
        let change = |one: &ExplainedChange| json!({ "change": one.change, "before": one.before, "after": one.after, "skipped": one.is_skipped });
        changes.iter().map(change).collect::<Vec<_>>()
    };
    match answer {
        ExplainedAnswer::No(why) => json!({ "rule": &**name, "answer": "no", "why": why.to_string() }),
        ExplainedAnswer::Drops => json!({ "rule": &**name, "answer": "drops" }),
        ExplainedAnswer::Keeps => json!({ "rule": &**name, "answer": "keeps" }),
        ExplainedAnswer::Relabels { changes: made, to } => {
            json!({ "rule": &**name, "answer": "relabels", "changes": changes(made), "to": to.to_string() })
        }
        ExplainedAnswer::Takes { changes: made, gone, group, outputs, interval_ns, keeps_input } => {
            let output = |one: &ExplainedOutput| {
                json!({
                    "output": &*one.text, "name": one.name, "kind": one.kind.word(),
                    "window_ms": one.window_ns.map(|ns| ns / 1_000_000),
                })
            };
            json!({
                "rule": &**name, "answer": "takes", "changes": changes(made), "gone": gone, "group": group.to_string(),
                "outputs": outputs.iter().map(output).collect::<Vec<_>>(), "interval_ms": interval_ns / 1_000_000,
                "keep_input": keeps_input,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_word_and_is_asked_for_once() {
        for kind in KindFlag::value_variants() {
            let word = kind.to_possible_value().map(|value| value.get_name().to_owned());
            assert_eq!(word.as_deref(), Some(kind.input().word()));
        }
        assert!(InputKind::ALL.iter().all(|input| BY_HABIT.contains(input)));
    }
}
