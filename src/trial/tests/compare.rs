//! What left of a run with a rule, held against what the table says.

use super::ZERO_NS;
use super::history::History;
use super::reference::{Expected, Group, Want, lowered, steps};
use super::streams::METRIC;
use crate::aggregate::number::Value;
use crate::model::Temporality;
use crate::rules::{Aggregation, InputKind, Output, OutputSpec};
use crate::trial::{Bucketed, Label, SeriesName, TrialRow, TrialValue};
use std::collections::BTreeMap;

/// See the file's head.
pub(super) fn compare(history: &History, aggregation: &Aggregation, kind: InputKind, got: &[(u64, Vec<TrialRow>)]) {
    let steps = steps(history, aggregation.interval_ns);
    // what shows a value that did not end
    let mut shown: BTreeMap<SeriesName, bool> = BTreeMap::new();
    for (place, (cut_ns, rows)) in got.iter().enumerate() {
        let mut rows: Vec<&TrialRow> = rows.iter().collect();
        if let Some(step) = steps.iter().position(|step| *step.cuts.end() == place) {
            for zone in &history.zones {
                let group = Group { history, steps: &steps, kind, zone };
                for spec in aggregation.outputs[kind as usize].iter() {
                    if matches!(spec.output, Output::TopK { .. }) {
                        let metric = spec.name.replace("{name}", METRIC);
                        let is_own = |row: &&TrialRow| {
                            row.series.metric == metric && row.series.attributes["zone"] == Label::Text(zone.clone())
                        };
                        let own: Vec<&TrialRow> = rows.iter().copied().filter(is_own).collect();
                        rows.retain(|row| !is_own(row));
                        check_top(group.top(spec, aggregation.interval_ns, step), &own);
                        continue;
                    }
                    let expected = group.expected(spec, aggregation.interval_ns, step);
                    let name = name(spec, zone);
                    let context = format!(
                        "cut {}, {name}, every {} s, window {} s",
                        (cut_ns - ZERO_NS) / 1_000_000_000,
                        aggregation.interval_ns / 1_000_000_000,
                        spec.window_ns / 1_000_000_000
                    );
                    let mut own = |view| {
                        let is_own = |row: &&&TrialRow| row.view == view && row.series == name;
                        let own: Vec<&TrialRow> = rows.iter().filter(is_own).copied().collect();
                        rows.retain(|row| !(row.view == view && row.series == name));
                        own
                    };
                    let (cumulative, delta) = (own(Temporality::Cumulative), own(Temporality::Delta));
                    let is_shown = shown.entry(name.clone()).or_default();
                    let step_from_ns = steps[step].from_ns;
                    check(&context, spec, kind, &expected, (&cumulative, &delta), step_from_ns, is_shown);
                }
            }
        }
        assert!(rows.is_empty(), "cut {}: nobody asked for {rows:#?}", (cut_ns - ZERO_NS) / 1_000_000_000);
    }
}

fn name(spec: &OutputSpec, zone: &str) -> SeriesName {
    let metric = spec.name.replace("{name}", METRIC);
    let attributes = [("zone".to_owned(), Label::Text(zone.to_owned()))].into();
    SeriesName { metric, attributes, ..SeriesName::default() }
}

fn check(
    context: &str,
    spec: &OutputSpec,
    kind: InputKind,
    expected: &Expected,
    (cumulative, delta): (&[&TrialRow], &[&TrialRow]),
    step_from_ns: u64,
    is_shown: &mut bool,
) {
    let ended = cumulative.iter().filter(|row| row.value == TrialValue::End).count();
    let values: Vec<&TrialRow> = cumulative.iter().copied().filter(|row| row.value != TrialValue::End).collect();
    let told = || format!("{context}: {expected:?}\ngot {cumulative:#?}");
    assert!(!expected.is_due || !values.is_empty(), "it is due: {}", told());
    assert!(values.is_empty() || expected.is_due || expected.may_leave, "it is not due: {}", told());
    assert!(ended == 0 || *is_shown && (expected.ends || expected.may_end), "it does not end: {}", told());
    assert!(ended > 0 || !(*is_shown && expected.ends) || !values.is_empty(), "it ends: {}", told());
    *is_shown = (*is_shown || !values.is_empty()) && ended == 0;
    for row in &values {
        assert_eq!(row.kind, spec.output.leaves_as(kind), "{}", told());
        if let Some(start_ns) = expected.start_ns.filter(|_| !matches!(expected.want, Some(Want::Buckets(_)))) {
            assert_eq!(row.start_ns, start_ns, "where it begins: {}", told());
        }
    }
    if expected.delta.is_none() && !matches!(expected.want, Some(Want::Buckets(_))) {
        let seen = |rows: &[&TrialRow]| rows.iter().map(|row| shown(row)).collect::<Vec<_>>();
        assert_eq!(seen(delta), seen(cumulative), "both views say the same: {context}");
    }
    let Some(want) = &expected.want else {
        return assert!(values.is_empty(), "nothing can be said: {}", told());
    };
    if let Want::Buckets(all) = want {
        check_buckets(&told(), all, (&values, delta), step_from_ns);
        return;
    }
    assert!(values.len() <= 1, "one row: {}", told());
    for row in values {
        if let (Want::Summary(want, _), TrialValue::Summary(got)) = (want, &row.value) {
            // a NaN is one like another
            assert_eq!(format!("{got:?}"), format!("{want:?}"), "{}", told());
            continue;
        }
        let TrialValue::Number(value) = row.value else { panic!("a number: {}", told()) };
        assert!(is_wanted(want, value), "{}", told());
    }
    let Some(added) = expected.delta else { return };
    for row in delta {
        let TrialValue::Number(value) = row.value else { panic!("a number: {context}: {row:?}") };
        if spec.output == Output::Total {
            assert!(is_wanted(want, value), "cumulative for everybody: {context}: {row:?}");
            continue;
        }
        assert!(is_wanted(&Want::Exact(added), value), "{context}: {added:?} was added, not {row:?}");
        assert_eq!(row.start_ns, step_from_ns, "{context}: {row:?}");
    }
    assert_eq!(delta.len(), cumulative.len(), "{context}: both views show it");
}

/// A row without its view; a NaN is one like another.
fn shown(row: &TrialRow) -> String {
    format!("{:?} from {} to {}", row.value, row.start_ns, row.time_ns)
}

/// The rows of a group's `topk`, which both views say.
fn check_top(expected: Option<(bool, BTreeMap<String, Value>)>, rows: &[&TrialRow]) {
    for view in [Temporality::Cumulative, Temporality::Delta] {
        check_top_of(&expected, rows.iter().copied().filter(|row| row.view == view));
    }
}

fn check_top_of<'a>(expected: &Option<(bool, BTreeMap<String, Value>)>, rows: impl Iterator<Item = &'a TrialRow>) {
    let mut got = BTreeMap::new();
    for row in rows {
        if let (TrialValue::Number(value), Label::Text(pod)) = (&row.value, &row.series.attributes["pod"]) {
            assert!(got.insert(pod.clone(), *value).is_none(), "twice: {row:?}");
        }
    }
    let told = || format!("{expected:?}\ngot {got:?}");
    let Some((is_due, top)) = expected else { return assert!(got.is_empty(), "{}", told()) };
    if got.is_empty() && !is_due {
        return;
    }
    // one that added nothing may be left out
    let is_nothing = |value: &Value| value.as_f64() == 0.0;
    for pod in top.keys().chain(got.keys()) {
        let is_same = match (top.get(pod), got.get(pod)) {
            (Some(want), Some(got)) => is_wanted(&Want::Exact(*want), *got),
            (Some(value), None) | (None, Some(value)) => is_nothing(value),
            (None, None) => true,
        };
        assert!(is_same, "{pod}: {}", told());
    }
}

fn is_wanted(want: &Want, got: Value) -> bool {
    let same = |want: Value| match (want, got) {
        (Value::Int(want), Value::Int(got)) => want == got,
        (Value::Double(want), Value::Double(got)) => want == got || want.is_nan() && got.is_nan(),
        (Value::Int(want), Value::Double(got)) => got == want as f64,
        (Value::Double(want), Value::Int(got)) => want == got as f64,
    };
    match want {
        Want::Exact(want) => same(*want),
        Want::Either(one, other) => same(*one) || same(*other),
        Want::Anything => true,
        Want::Near(want) => (got.as_f64() - want).abs() <= 1e-12 * want.abs().max(1.0),
        Want::Buckets(_) | Want::Summary(..) => false,
    }
}

fn check_buckets(
    told: &str,
    all: &[(Bucketed, Bucketed, u64)],
    (values, delta): (&[&TrialRow], &[&TrialRow]),
    step_from_ns: u64,
) {
    let find = |rows: &[&TrialRow], want: &Bucketed| -> Option<(u64, Bucketed)> {
        let of = |row: &&TrialRow| match &row.value {
            TrialValue::Buckets(buckets) if buckets.bounds == want.bounds => Some((row.start_ns, (**buckets).clone())),
            _ => None,
        };
        rows.iter().find_map(of)
    };
    let mut found = 0;
    for (added, total, since_ns) in all {
        for (rows, want, from_ns) in [(values, total, *since_ns), (delta, added, step_from_ns)] {
            let Some((start_ns, got)) = find(rows, want) else {
                panic!("{want:?} is missing: {told}");
            };
            found += 1;
            assert_eq!(start_ns, from_ns, "where it begins: {told}");
            let is_same = |want: &Bucketed| {
                (got.count, got.zero_count, &got.counts, &got.negative)
                    == (want.count, want.zero_count, &want.counts, &want.negative)
                    && (want.counts.is_empty() || got.offset == want.offset)
                    && (want.negative.is_empty() || got.negative_offset == want.negative_offset)
                    && (got.sum.unwrap_or(0.0) - want.sum.unwrap_or(0.0)).abs() < 1e-9
            };
            assert!(want.count == 0 || got.bounds.is_some() || got.scale <= want.scale, "{want:?}: {told}");
            let scale = if got.bounds.is_some() { want.scale } else { got.scale.min(want.scale) };
            assert!(is_same(&lowered(want, scale)), "{want:?}: {got:?}: {told}");
        }
    }
    assert_eq!(values.len() + delta.len(), found, "no other bounds: {told}");
}
