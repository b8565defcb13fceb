//! What a survey found, as a table for people and as JSON for programs.
//!
//! Knows numbers; does not know how they were counted.

use super::survey::{Load, Surveyed, SurveyedRule, counted, grouped};
use crate::runtime::show_size;
use serde_json::{Value, json as of};
use std::fmt::Write as _;

/// What was read.
pub(super) struct PlanSource {
    pub(super) series: u64,
    pub(super) seconds: f64,
    /// What else is to be known of it.
    pub(super) notes: Vec<String>,
}

/// Attributes of a rule that are shown.
const ATTRIBUTES_SHOWN: usize = 4;
/// A column is no wider; a longer text moves the others of its row.
const COLUMN_CHARS: usize = 40;

/// The table.
pub(super) fn text(surveyed: &Surveyed, source: &PlanSource) -> String {
    let mut out = format!(
        "read {} series of {} in {:.1} s\n",
        grouped(source.series),
        counted(surveyed.metrics as u64, "metric"),
        source.seconds
    );
    let head = ["rule", "metric", "series now", "after", "-%", "members", "attributes that vanish (values)"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(surveyed.rules.iter().map(|rule| row(&rule.name, rule)));
    if surveyed.passed_on.series > 0 {
        rows.push(row("passed on", &surveyed.passed_on));
    }
    let Load { series: now, bytes: bytes_now, memory: memory_now } = surveyed.now;
    let Load { series: after, bytes: bytes_after, memory: memory_after } = surveyed.after;
    let size = |bytes: f64| show_size(bytes as usize);
    rows.push([
        "total".to_owned(),
        String::new(),
        grouped(now),
        grouped(after),
        less(now, after),
        String::new(),
        format!(
            "out {} → {} an interval, memory {} → {} (estimates)",
            size(bytes_now),
            size(bytes_after),
            size(memory_now as f64),
            size(memory_after as f64)
        ),
    ]);
    let widths: Vec<usize> = (0..6)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(COLUMN_CHARS))
        .collect();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // numbers stand at the right
            let _ = if column < 2 { write!(out, "{cell:width$}  ") } else { write!(out, "{cell:>width$}  ") };
        }
        let _ = writeln!(out, "{}", row[6]);
    }
    let is_whole = surveyed.is_whole;
    if !surveyed.warnings.is_empty() || !source.notes.is_empty() || !is_whole {
        out.push_str("warnings\n");
    }
    for (rule, words) in &surveyed.warnings {
        let _ = writeln!(out, "  {rule}: {words}");
    }
    for words in &source.notes {
        let _ = writeln!(out, "  {words}");
    }
    if !is_whole {
        out.push_str("  there are more groups or values than can be told apart: of those there are at least so many\n");
    }
    if !surveyed.unmatched.is_empty() {
        let _ = writeln!(out, "rules that nothing matches: {}", surveyed.unmatched.join(", "));
    }
    out
}

fn row(name: &str, rule: &SurveyedRule) -> [String; 7] {
    let metric = match &rule.metric {
        Some(name) => name.clone(),
        None => counted(rule.metrics as u64, "metric"),
    };
    let mut attributes: Vec<_> = rule.attributes.iter().collect();
    attributes.sort_by_key(|(key, values)| (std::cmp::Reverse(values.before), key.as_str()));
    let shown = attributes.iter().take(ATTRIBUTES_SHOWN).map(|(key, values)| match values.after {
        0 => format!("{key} {}", grouped(values.before)),
        after => format!("{key} {} → {}", grouped(values.before), grouped(after)),
    });
    let mut shown = shown.collect::<Vec<_>>().join(", ");
    if attributes.len() > ATTRIBUTES_SHOWN {
        let _ = write!(shown, " and {} more", attributes.len() - ATTRIBUTES_SHOWN);
    }
    if shown.is_empty() {
        shown.push('–');
    }
    let (series, after) = (grouped(rule.series), grouped(rule.after));
    [name.to_owned(), metric, series, after, less(rule.series, rule.after), grouped(rule.members), shown]
}

/// By how much fewer they are, percent; nothing if they are more.
fn less(now: u64, after: u64) -> String {
    if now == 0 || after > now {
        return "–".to_owned();
    }
    let percent = 100.0 - 100.0 * after as f64 / now as f64;
    if percent.fract() == 0.0 { format!("{percent:.0}") } else { format!("{percent:.1}") }
}

/// The same for programs.
pub(super) fn json(surveyed: &Surveyed, source: &PlanSource) -> Value {
    let load = |load: &Load| of!({ "series": load.series, "bytes": load.bytes.round(), "memory_bytes": load.memory });
    let warning = |(rule, words): &(String, String)| of!({ "rule": rule, "warning": words });
    let notes = source.notes.iter().map(|words| of!({ "rule": null, "warning": words }));
    of!({
        "series": source.series,
        "metrics": surveyed.metrics,
        "seconds": source.seconds,
        "exact": surveyed.is_whole,
        "rules": surveyed.rules.iter().map(rule_of).collect::<Vec<_>>(),
        "passed_on": rule_of(&surveyed.passed_on),
        "now": load(&surveyed.now),
        "after": load(&surveyed.after),
        "warnings": surveyed.warnings.iter().map(warning).chain(notes).collect::<Vec<_>>(),
        "unmatched": surveyed.unmatched,
    })
}

fn rule_of(rule: &SurveyedRule) -> Value {
    let attribute = |(key, values): (&String, &crate::rules::CensusAttribute)| of!({ "key": key, "before": values.before, "after": values.after });
    of!({
        "rule": rule.name, "metric": rule.metric, "metrics": rule.metrics, "series": rule.series, "after": rule.after,
        "members": rule.members, "attributes": rule.attributes.iter().map(attribute).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::CensusAttribute;
    use std::collections::BTreeMap;

    #[test]
    fn numbers_are_read_by_people() {
        for (number, words) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (412_806, "412,806"), (1_000_000, "1,000,000")]
        {
            assert_eq!(grouped(number), words);
        }
        assert_eq!(
            [(10, 5), (10, 0), (1_000, 5), (0, 0), (5, 10)].map(|(now, after)| less(now, after)),
            ["50", "100", "99.5", "–", "–"]
        );
    }

    #[test]
    fn a_table_has_a_line_for_each_rule_and_the_total() {
        let values = |before, after| CensusAttribute { before, after };
        let keys = [("a", 5, 0), ("pod", 640, 0), ("route", 4_180, 301), ("b", 2, 0), ("c", 1, 0)];
        let rule = SurveyedRule {
            name: "http".into(),
            metric: Some("m".into()),
            metrics: 1,
            series: 2_000,
            after: 20,
            members: 2_000,
            groups: 20,
            apart: BTreeMap::new(),
            attributes: keys.iter().map(|(key, before, after)| (key.to_string(), values(*before, *after))).collect(),
        };
        let surveyed = Surveyed {
            metrics: 1,
            rules: vec![rule],
            now: Load { series: 2_000, bytes: 2048.0, memory: 3 << 20 },
            after: Load { series: 20, bytes: 1024.0, memory: 4 << 20 },
            warnings: vec![("http".into(), "hm".into())],
            unmatched: vec!["orders".into()],
            is_whole: true,
            ..Surveyed::default()
        };
        let source = PlanSource { series: 2_000, seconds: 0.25, notes: vec!["torn".into()] };
        let want = "\
read 2,000 series of 1 metric in 0.2 s
rule   metric  series now  after  -%  members  attributes that vanish (values)
http   m            2,000     20  99    2,000  route 4,180 → 301, pod 640, a 5, b 2 and 1 more
total               2,000     20  99           out 2 KiB → 1 KiB an interval, memory 3 MiB → 4 MiB (estimates)
warnings
  http: hm
  torn
rules that nothing matches: orders
";
        assert_eq!(text(&surveyed, &source), want);
        assert_eq!(json(&surveyed, &source)["rules"][0]["attributes"][4]["before"], 4_180);
    }
}
