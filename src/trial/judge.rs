//! Runs a case and compares: what left where nothing was expected, what was expected and did not leave, and what differs.
//!
//! Knows cases and rows; does not know how differences are shown, or where a plan comes from.

use crate::aggregate::number::Value;
use crate::config::Plan;
use crate::config::tree::TextPlace;
use crate::fold::Notes;
use crate::ledger::{Note, Tally};
use crate::limits::TRIAL_CUTS_MAX;
use crate::model::Temporality;
use crate::trial::case::{
    Case, Counted, ExpectedNumber, ExpectedParts, ExpectedRow, ExpectedSeries, ExpectedValue, NOTICED,
};
use crate::trial::engine::Engine;
use crate::trial::notation::{shown_number, shown_time};
use crate::trial::row::TrialRow;
use crate::trial::value::{Bucketed, SeriesName, Summarised, TrialValue};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// The file and where it begins there.
    pub file: Arc<str>,
    /// Where it begins.
    pub at: TextPlace,
    /// Nothing, if all is as it was expected.
    pub differences: Vec<Difference>,
}

/// One thing that is not as it was expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where it was expected, or where the case begins.
    pub at: TextPlace,
    /// The cut and the view, or what else it is about.
    pub place: String,
    /// The series or the counter.
    pub what: String,
    /// In words.
    pub expected: String,
    /// In words.
    pub got: String,
}

/// Runs `case` under `plan`, and from its reloads on under the rules and entries of `dedup` of those.
pub fn judge(case: &Case, plan: &Plan, reloads: &[Plan]) -> Verdict {
    let mut differences = Vec::new();
    match run(case, plan, reloads) {
        Ok((cuts, counted)) => {
            compare_rows(case, &cuts, &mut differences);
            compare_counters(case, &counted, &mut differences);
        }
        Err(words) => {
            let place = "run".to_owned();
            differences.push(Difference {
                at: case.at,
                place,
                what: String::new(),
                expected: String::new(),
                got: words,
            });
        }
    }
    Verdict { name: case.name.clone(), file: case.file.clone(), at: case.at, differences }
}

/// What left at each cut, and what was counted in the end.
type Ran = (Vec<(u64, Vec<TrialRow>)>, (Tally, Notes));

fn run(case: &Case, plan: &Plan, reloads: &[Plan]) -> Result<Ran, String> {
    let mut engine = Engine::new(plan, case.cores, case.started_ns);
    // of those that come at one time the one that stands first comes first
    let mut coming: Vec<_> =
        case.streams.iter().flat_map(|stream| stream.points.iter().map(move |p| (stream, p))).collect();
    coming.sort_by_key(|(_, point)| point.arrival_ns);
    let mut coming = coming.into_iter().peekable();
    let mut cuts = Vec::new();
    let times = cut_times(case, plan)?;
    if let Some(reload) = case.reloads.iter().find(|reload| !times.contains(&reload.cut_ns)) {
        return Err(format!("there is a reload at {}, and no cut at that time", shown_time(reload.cut_ns)));
    }
    for cut_ns in times {
        // what comes in at the time of a cut is in the next one
        while let Some((stream, point)) = coming.next_if(|(_, point)| point.arrival_ns < cut_ns) {
            engine.send(stream.core, point.arrival_ns, &stream.request(point))?;
        }
        for (_, plan) in case.reloads.iter().zip(reloads).filter(|(reload, _)| reload.cut_ns == cut_ns) {
            engine.reload(plan);
        }
        cuts.push((cut_ns, engine.cut(cut_ns, case.ends_ns == Some(cut_ns))));
    }
    match coming.next() {
        Some((stream, point)) => {
            let time = shown_time(point.arrival_ns);
            Err(format!("{} has a point at {time}, and there is no cut after it: add one to `cuts`", stream.series))
        }
        None => Ok((cuts, (engine.tally().clone(), engine.noticed()))),
    }
}

/// At the end of each interval, until everything is over.
fn cut_times(case: &Case, plan: &Plan) -> Result<Vec<u64>, String> {
    // the last one may stand within an interval
    let ended = |mut cuts: Vec<u64>| {
        if let Some(ends_ns) = case.ends_ns {
            cuts.retain(|cut_ns| *cut_ns < ends_ns);
            cuts.push(ends_ns);
        }
        cuts
    };
    if let Some(cuts) = &case.cuts {
        return Ok(ended(cuts.clone()));
    }
    let interval_ns = (plan.interval.as_nanos() as u64).max(1);
    let arrivals = case.streams.iter().flat_map(|stream| &stream.points).map(|point| point.arrival_ns + 1);
    let expected = case.expected.iter().flat_map(|series| &series.rows).map(|row| row.cut_ns);
    let last_ns = arrivals.chain(expected).chain([case.until_ns]).max().unwrap_or(0);
    let first_ns = (case.started_ns / interval_ns + 1) * interval_ns;
    let count = last_ns.saturating_sub(first_ns).div_ceil(interval_ns) + 1;
    if count > TRIAL_CUTS_MAX as u64 {
        return Err(format!("{count} cuts; {TRIAL_CUTS_MAX} are the most: give a longer interval, or `cuts`"));
    }
    Ok(ended((0..count).map(|n| first_ns + n * interval_ns).collect()))
}

fn compare_rows(case: &Case, cuts: &[(u64, Vec<TrialRow>)], into: &mut Vec<Difference>) {
    for view in [Temporality::Cumulative, Temporality::Delta] {
        // a view that a case does not speak of is not looked at; one that speaks of none means the cumulative one
        let is_spoken_of = case.expected.iter().any(|series| series.view == view);
        if !is_spoken_of && (view == Temporality::Delta || !case.expected.is_empty()) {
            continue;
        }
        for (cut_ns, rows) in cuts {
            let mut left: BTreeMap<&SeriesName, Vec<&TrialRow>> = BTreeMap::new();
            rows.iter().filter(|row| row.view == view).for_each(|row| left.entry(&row.series).or_default().push(row));
            let place = format!("cut {}, {}", shown_time(*cut_ns), word(view));
            let expected = case.expected.iter().filter(|series| series.view == view);
            let expected = expected.flat_map(|series| series.rows.iter().map(move |row| (series, row)));
            let expected: Vec<_> = expected.filter(|(_, row)| row.cut_ns == *cut_ns).collect();
            let mut missing = Vec::new();
            // first those that are as they should be, so that of two rows of one series each finds its own
            for (series, row) in expected {
                let there = left.entry(&series.series).or_default();
                match there.iter().position(|got| is_as_expected(series, row, got)) {
                    Some(at) => drop(there.remove(at)),
                    None => missing.push((series, row)),
                }
            }
            for (series, row) in missing {
                let there = left.entry(&series.series).or_default();
                let got = if there.is_empty() { "nothing".to_owned() } else { shown_row(there.remove(0), series, row) };
                let (what, expected) = (series.series.to_string(), shown_expected(series, row));
                into.push(Difference { at: row.at, place: place.clone(), what, expected, got });
            }
            for (series, rows) in left {
                let is_known = case.expected.iter().any(|expected| expected.series == *series);
                for row in rows.into_iter().filter(|_| is_known || !case.ignores_others) {
                    let (what, expected) = (series.to_string(), "nothing".to_owned());
                    let got = format!("{} from {}", shown_value(&row.value), shown_start(row.start_ns));
                    into.push(Difference { at: case.at, place: place.clone(), what, expected, got });
                }
            }
        }
        for row in case.expected.iter().filter(|series| series.view == view).flat_map(|series| &series.rows) {
            if !cuts.iter().any(|(cut_ns, _)| *cut_ns == row.cut_ns) {
                let place = format!("cut {}, {}", shown_time(row.cut_ns), word(view));
                let (expected, got) = ("a cut".to_owned(), "no cut at that time".to_owned());
                into.push(Difference { at: row.at, place, what: String::new(), expected, got });
            }
        }
    }
}

fn compare_counters(case: &Case, (tally, noticed): &(Tally, Notes), into: &mut Vec<Difference>) {
    let mut check = |at, what: &str, expected: u64, got: u64| {
        if got != expected {
            let (place, what) = ("counters".to_owned(), what.to_owned());
            into.push(Difference { at, place, what, expected: expected.to_string(), got: got.to_string() });
        }
    };
    for expected in &case.counters {
        let (what, got) = match expected.counter {
            Counted::Received => ("received", tally.received_total()),
            Counted::Applied => ("applied", tally.applied_total()),
            Counted::Rejected => ("rejected", tally.rejected_total()),
            Counted::Discarded(why) => (why.counter(), tally.discarded(why)),
            Counted::Effect(effect) => (effect.word(), tally.settled(effect)),
            Counted::Note(note) if note == Note::IntOverflow as usize => {
                (Note::NAMES[note].0, tally.noted_at(note) + noticed.int_overflows)
            }
            Counted::Note(note) if note == Note::CountOverflow as usize => {
                (Note::NAMES[note].0, tally.noted_at(note) + noticed.count_overflows)
            }
            Counted::Note(note) => (Note::NAMES[note].0, tally.noted_at(note)),
            Counted::Noticed(place) => (NOTICED[place].0, NOTICED[place].1(noticed)),
        };
        check(expected.at, what, expected.value, got);
    }
    if !case.counters.iter().any(|expected| expected.counter == Counted::Rejected) {
        check(case.at, "rejected", 0, tally.rejected_total());
    }
}

fn is_as_expected(series: &ExpectedSeries, row: &ExpectedRow, got: &TrialRow) -> bool {
    series.kind.is_none_or(|kind| kind == got.kind)
        && series.unit.as_ref().is_none_or(|unit| *unit == got.unit)
        && series.scope.as_ref().is_none_or(|scope| *scope == got.scope)
        && row.start_ns.is_none_or(|start_ns| start_ns == got.start_ns)
        && row.time_ns.is_none_or(|time_ns| time_ns == got.time_ns)
        && match (&row.value, &got.value) {
            (ExpectedValue::End, got) => *got == TrialValue::End,
            (ExpectedValue::Number(number), TrialValue::Number(got)) => number.fits(*got),
            // a part that its kind has not is nowhere as it is expected
            (ExpectedValue::Parts(parts), _) if parts.foreign_to(got.kind).is_some() => false,
            (ExpectedValue::Parts(parts), TrialValue::Buckets(got)) => parts.fit_buckets(got),
            (ExpectedValue::Parts(parts), TrialValue::Summary(got)) => parts.fit_summary(got),
            _ => false,
        }
}

impl ExpectedNumber {
    fn fits(&self, got: Value) -> bool {
        match (self, got) {
            (ExpectedNumber::Exact(Value::Int(want)), Value::Int(got)) => *want == got,
            // the same number: a double of so many bits may be no whole one
            (ExpectedNumber::Exact(Value::Int(want)), Value::Double(got)) => {
                got.fract() == 0.0 && got.abs() < 1e30 && got as i128 == i128::from(*want)
            }
            (ExpectedNumber::Exact(Value::Double(want)), Value::Double(got)) => {
                *want == got || want.is_nan() && got.is_nan()
            }
            (ExpectedNumber::Exact(Value::Double(_)), Value::Int(_)) => false,
            (ExpectedNumber::Rounded { value, half_unit, .. }, got) => {
                (got.as_f64() - value).abs() <= half_unit * 1.000_001
            }
        }
    }
}

impl ExpectedParts {
    fn fit_buckets(&self, got: &Bucketed) -> bool {
        fn is<T: PartialEq>(want: &Option<T>, got: &T) -> bool {
            want.as_ref().is_none_or(|want| want == got)
        }
        is(&self.count, &got.count)
            && fits(&self.sum, got.sum)
            && fits(&self.min, got.min)
            && fits(&self.max, got.max)
            && (self.bounds.is_none() || self.bounds == got.bounds)
            && is(&self.counts, &got.counts)
            && is(&self.scale, &got.scale)
            && is(&self.offset, &got.offset)
            && is(&self.zero, &got.zero_count)
            && is(&self.zero_threshold, &got.zero_threshold)
            && is(&self.negative_offset, &got.negative_offset)
            && is(&self.negative, &got.negative)
    }

    fn fit_summary(&self, got: &Summarised) -> bool {
        self.count.is_none_or(|count| count == got.count)
            && fits(&self.sum, Some(got.sum))
            && self.quantiles.as_ref().is_none_or(|quantiles| *quantiles == got.quantiles)
    }
}

/// Whether a part that may be absent is as it is expected.
fn fits(want: &Option<ExpectedNumber>, got: Option<f64>) -> bool {
    want.as_ref().is_none_or(|want| got.is_some_and(|got| want.fits(Value::Double(got))))
}

fn word(view: Temporality) -> &'static str {
    match view {
        Temporality::Cumulative => "cumulative",
        Temporality::Delta => "delta",
    }
}

fn shown_start(start_ns: u64) -> String {
    if start_ns == 0 { "nowhere".to_owned() } else { shown_time(start_ns) }
}

/// What is expected of a row; what may be anything is left out.
fn shown_expected(series: &ExpectedSeries, row: &ExpectedRow) -> String {
    let mut words = vec![match &row.value {
        ExpectedValue::End => "its end".to_owned(),
        ExpectedValue::Number(number) => shown_expected_number(number),
        ExpectedValue::Parts(parts) => shown_parts(parts),
    }];
    words.extend(row.start_ns.map(|start_ns| format!("from {}", shown_start(start_ns))));
    words.extend(row.time_ns.map(|time_ns| format!("at {}", shown_time(time_ns))));
    words.extend(series.kind.map(|kind| kind.word().to_owned()));
    words.extend(series.unit.as_ref().map(|unit| format!("unit {unit:?}")));
    words.extend(series.scope.as_ref().map(|(name, version)| format!("scope {name}@{version}")));
    words.join(" ")
}

/// What left, told as what was expected of it.
fn shown_row(got: &TrialRow, series: &ExpectedSeries, row: &ExpectedRow) -> String {
    let mut words = vec![shown_value(&got.value)];
    words.extend(row.start_ns.map(|_| format!("from {}", shown_start(got.start_ns))));
    words.extend(row.time_ns.map(|_| format!("at {}", shown_time(got.time_ns))));
    words.extend(series.kind.map(|_| got.kind.word().to_owned()));
    words.extend(series.unit.as_ref().map(|_| format!("unit {:?}", got.unit)));
    words.extend(series.scope.as_ref().map(|_| format!("scope {}@{}", got.scope.0, got.scope.1)));
    words.join(" ")
}

fn shown_expected_number(number: &ExpectedNumber) -> String {
    match number {
        ExpectedNumber::Exact(value) => shown_number(*value),
        ExpectedNumber::Rounded { text, .. } => text.clone(),
    }
}

fn shown_parts(parts: &ExpectedParts) -> String {
    let number = |name: &str, value: &Option<ExpectedNumber>| {
        value.as_ref().map(|value| format!("{name} {}", shown_expected_number(value)))
    };
    let words = [
        parts.count.map(|count| format!("count {count}")),
        number("sum", &parts.sum),
        number("min", &parts.min),
        number("max", &parts.max),
        parts.bounds.as_ref().map(|bounds| format!("bounds {bounds:?}")),
        parts.scale.map(|scale| format!("scale {scale}")),
        parts.offset.map(|offset| format!("offset {offset}")),
        parts.counts.as_ref().map(|counts| format!("counts {counts:?}")),
        parts.zero.map(|zero| format!("zero {zero}")),
        parts.zero_threshold.map(|width| format!("zero_threshold {width}")),
        parts.negative_offset.map(|offset| format!("negative offset {offset}")),
        parts.negative.as_ref().map(|counts| format!("negative {counts:?}")),
        parts.quantiles.as_ref().map(|all| format!("quantiles {all:?}")),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn shown_value(value: &TrialValue) -> String {
    let exact = |value: f64| ExpectedNumber::Exact(Value::Double(value));
    match value {
        TrialValue::Number(value) => shown_number(*value),
        TrialValue::End => "its end".to_owned(),
        TrialValue::Summary(got) => shown_parts(&ExpectedParts {
            count: Some(got.count),
            sum: Some(exact(got.sum)),
            quantiles: Some(got.quantiles.clone()),
            ..ExpectedParts::default()
        }),
        TrialValue::Buckets(got) => {
            let is_explicit = got.bounds.is_some();
            let has_negative = !got.negative.is_empty();
            shown_parts(&ExpectedParts {
                count: Some(got.count),
                sum: got.sum.map(exact),
                min: got.min.map(exact),
                max: got.max.map(exact),
                bounds: got.bounds.clone(),
                counts: Some(got.counts.clone()),
                scale: (!is_explicit).then_some(got.scale),
                offset: (!is_explicit).then_some(got.offset),
                zero: (got.zero_count > 0).then_some(got.zero_count),
                zero_threshold: (got.zero_threshold > 0.0).then_some(got.zero_threshold),
                negative_offset: has_negative.then_some(got.negative_offset),
                negative: has_negative.then(|| got.negative.clone()),
                quantiles: None,
            })
        }
    }
}
