//! `catchment explain`: what the rules of a configuration make of one series, rule by rule. Runs nothing.
//!
//! Knows flags, and how a series is written; does not know what a rule does to it (`rules`).

use super::{gather, pages, run};
use crate::config::keys::Key;
use crate::identity::attributes::key_byte;
use crate::model::Kind;
use crate::problem::Problem;
use crate::rules::{
    ExplainedAnswer, ExplainedChange, ExplainedOutcome, ExplainedOutput, ExplainedRule, Explanation, InputKind,
    MetricSeen, RulePlan,
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
    /// How it is printed
    #[arg(help_heading = "Configuration", long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  catchment explain --config fleet.yaml 'http.requests{code=503} @ k8s.pod.name=web-7,service.name=cart'
  catchment explain --without k8s.pod.name 'http.requests{code=503} @ k8s.pod.name=web-7'";

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
        let of = |input| (input, explain(&plan, series, &self.unit, input));
        let (input, explanation) = match self.kind {
            Some(kind) => of(kind.input()),
            None => BY_HABIT
                .map(of)
                .into_iter()
                .min_by_key(|(_, told)| first_that_takes(told))
                .unwrap_or_else(|| of(BY_HABIT[0])),
        };
        let page = match self.format {
            Format::Text if plan.is_empty() => "there are no rules: it passes on\n".to_owned(),
            Format::Text => {
                let another = if self.kind.is_none() { " (--kind says another)" } else { "" };
                format!("{series} as {}{another}\n{explanation}", with_article(input))
            }
            Format::Json => format!("{:#}\n", json_of(series, input, &explanation)),
        };
        Ok(pages::write(page.as_bytes()))
    }
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
    let (kind, monotonic) = match input {
        InputKind::Counter => (Kind::Sum, true),
        InputKind::UpDownCounter => (Kind::Sum, false),
        InputKind::Gauge => (Kind::Gauge, false),
        InputKind::Histogram => (Kind::Histogram, false),
        InputKind::ExponentialHistogram => (Kind::ExponentialHistogram, false),
        InputKind::Summary => (Kind::Summary, false),
    };
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
    let (resource, attributes) = (attribute_run(&resource, 0x0a), attribute_run(&series.attributes, key_byte(kind)));
    let metric = MetricSeen { resource: &resource, scope: &scope, name: &series.metric, unit, kind, monotonic };
    plan.explain(&metric, &attributes)
}

fn json_of(series: &SeriesName, input: InputKind, told: &Explanation) -> Value {
    let outcome = match told.outcome {
        ExplainedOutcome::Dropped => "dropped",
        ExplainedOutcome::Passes => "passes",
        ExplainedOutcome::Hidden => "hidden",
    };
    json!({
        "series": series.to_string(),
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
