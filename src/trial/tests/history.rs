//! What each member gave at each base cut, from what leaves of the same streams without a rule.

use super::streams::Scenario;
use super::{SECOND_NS, ZERO_NS};
use crate::aggregate::number::Value;
use crate::model::Temporality;
use crate::rules::{Aggregation, InputKind, Stale};
use crate::trial::{Bucketed, Label, SeriesName, Summarised, TrialRow, TrialValue};
use std::collections::{BTreeMap, BTreeSet};

/// What a member gave at a base cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    /// A value of it leaves.
    pub(super) is_touched: bool,
    /// Points came, which may have changed nothing, or only its end leaves.
    pub(super) is_touched_somehow: bool,
    pub(super) is_live: bool,
    /// Of sums.
    pub(super) delta: Option<Value>,
    /// Of sums that may fall, and gauges: the merged value, and its time.
    pub(super) level: Option<(Value, u64)>,
    /// Of gauges: the smallest and the largest of the values that had an effect.
    pub(super) inside: Option<(f64, f64)>,
    /// Of summaries: the newest point, when it is from, and where that begins.
    pub(super) summary: Option<(Summarised, u64, u64)>,
    /// Of histograms: what each set of bounds added.
    pub(super) buckets: Vec<Bucketed>,
    /// Points that came.
    pub(super) points: u64,
}

/// A base cut.
#[derive(Clone, Debug)]
pub(super) struct BaseCut {
    pub(super) from_ns: u64,
    pub(super) boundary_ns: u64,
    /// By member.
    pub(super) given: BTreeMap<SeriesName, Given>,
}

/// All of it, for each value of `zone`.
pub(super) struct History {
    pub(super) cuts: Vec<BaseCut>,
    pub(super) zones: BTreeSet<String>,
    /// Members with delta input.
    pub(super) deltas: BTreeSet<SeriesName>,
    /// Somebody lives or not by what counts as a report: repeats and ends alone may, and need not.
    pub(super) is_open: bool,
}

/// The zone that a member is in.
pub(super) fn zone(series: &SeriesName) -> &str {
    match &series.attributes["zone"] {
        Label::Text(zone) => zone,
        _ => unreachable!("zones are texts"),
    }
}

/// A member as it goes along.
#[derive(Default)]
struct Member {
    /// Base cuts at which a value left.
    valued_ns: Vec<u64>,
    /// Base cuts before which anything came.
    touched_ns: Vec<u64>,
    level: Option<(Value, u64)>,
    summary: Option<(Summarised, u64, u64)>,
    has_value: bool,
    is_ended: bool,
    /// Of a delta stream that may fall: its total, and where that began.
    total: Option<(Value, u64)>,
    inside: GaugeTimes,
}

/// The newest times of a gauge: what is not newer has no effect (M17).
#[derive(Default)]
struct GaugeTimes {
    /// By core.
    cores: BTreeMap<usize, u64>,
    /// As of the cut before.
    merged_ns: u64,
}

impl GaugeTimes {
    /// The smallest and the largest value that had an effect among the points that came in a window.
    fn take_in(
        &mut self,
        scenario: &Scenario,
        series: &SeriesName,
        window: std::ops::Range<u64>,
    ) -> Option<(f64, f64)> {
        let mut said: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (arrival_ns, core, stream, point) in scenario.arrivals() {
            if stream.series != *series || !window.contains(&arrival_ns) {
                continue;
            }
            let (said, newest_ns) = (said.entry(core).or_default(), self.cores.entry(core).or_default());
            if point.time_ns > *newest_ns {
                *newest_ns = point.time_ns;
                if let TrialValue::Number(value) = point.value {
                    said.push(value.as_f64());
                }
            }
        }
        // what a core says counts if something of it is newer than all that was merged
        let before_ns = self.merged_ns;
        said.retain(|core, _| self.cores[core] > before_ns);
        self.merged_ns = said.keys().map(|core| self.cores[core]).fold(before_ns, u64::max);
        let values = || said.values().flatten().copied().filter(|value| !value.is_nan());
        values().reduce(f64::min).zip(values().reduce(f64::max))
    }
}

impl Member {
    /// S4, in words: silent for more than two and a half times the longer of its last two gaps between touched base cuts;
    /// before it has two, as if it reported every 60 s; never longer than `--expire`.
    fn is_live(&self, touched_ns: &[u64], now_ns: u64, stale: Stale) -> bool {
        let Some(last_ns) = touched_ns.last() else { return false };
        let mut gaps = touched_ns.windows(2).map(|pair| pair[1] - pair[0]).rev();
        let longest_ns = match (stale, gaps.next(), gaps.next()) {
            (Stale::After(ns), ..) => ns,
            (Stale::Auto, Some(one), Some(other)) => one.max(other) * 5 / 2,
            (Stale::Auto, ..) => 150 * SECOND_NS,
        };
        self.has_value && !self.is_ended && now_ns - last_ns <= longest_ns.min(300 * SECOND_NS)
    }
}

/// See the file's head.
pub(super) fn of(scenario: &Scenario, raw: &[(u64, Vec<TrialRow>)], aggregation: &Aggregation) -> History {
    let mut members: BTreeMap<SeriesName, Member> = BTreeMap::new();
    for stream in &scenario.streams {
        members.entry(stream.series.clone()).or_default();
    }
    let is_delta = |stream: &&crate::trial::InputStream| stream.temporality == Temporality::Delta;
    let deltas = scenario.streams.iter().filter(is_delta).map(|stream| stream.series.clone()).collect();
    let mut history = History {
        cuts: Vec::new(),
        zones: members.keys().map(|s| zone(s).to_owned()).collect(),
        deltas,
        is_open: false,
    };
    let mut from_ns = ZERO_NS;
    for (boundary_ns, rows) in raw {
        let mut cut = BaseCut { from_ns, boundary_ns: *boundary_ns, given: BTreeMap::new() };
        for (series, member) in &mut members {
            let given = cut.given.entry(series.clone()).or_default();
            for row in rows.iter().filter(|row| row.series == *series) {
                take(row, member, given, history.deltas.contains(series));
            }
            given.points = points(scenario, series, from_ns, *boundary_ns);
            given.inside = member.inside.take_in(scenario, series, from_ns..*boundary_ns);
            given.is_touched_somehow = given.points > 0;
            if given.is_touched {
                member.valued_ns.push(*boundary_ns);
            }
            if given.is_touched_somehow {
                member.touched_ns.push(*boundary_ns);
            }
            given.level = member.level;
            given.summary = member.summary.clone();
            given.is_live = member.is_live(&member.valued_ns, *boundary_ns, aggregation.stale);
            history.is_open |= given.is_live != member.is_live(&member.touched_ns, *boundary_ns, aggregation.stale);
        }
        history.cuts.push(cut);
        from_ns = *boundary_ns;
    }
    history
}

fn points(scenario: &Scenario, series: &SeriesName, from_ns: u64, boundary_ns: u64) -> u64 {
    let streams = scenario.streams.iter().filter(|stream| stream.series == *series);
    let points = streams.flat_map(|stream| &stream.points);
    points.filter(|point| (from_ns..boundary_ns).contains(&point.arrival_ns)).count() as u64
}

fn take(row: &TrialRow, member: &mut Member, given: &mut Given, is_delta: bool) {
    given.is_touched |= row.value != TrialValue::End;
    match (row.view, &row.value) {
        (Temporality::Cumulative, TrialValue::End) => {
            // an end stands behind a value of the same cut
            (member.has_value, member.is_ended) = (true, true);
        }
        (Temporality::Cumulative, TrialValue::Number(value)) => {
            (member.has_value, member.is_ended) = (true, false);
            if row.kind == InputKind::UpDownCounter && is_delta {
                // what it added since: its total begins anew where it says so
                let before = member.total.filter(|(_, start_ns)| *start_ns == row.start_ns).map(|(total, _)| total);
                given.delta = Some(before.map_or(*value, |before| value.sub(before)));
                member.total = Some((*value, row.start_ns));
            }
            member.level = Some((*value, row.time_ns));
        }
        (Temporality::Cumulative, TrialValue::Summary(summary)) => {
            (member.has_value, member.is_ended) = (true, false);
            member.summary = Some((summary.clone(), row.time_ns, row.start_ns));
        }
        (Temporality::Cumulative, TrialValue::Buckets(_)) => (member.has_value, member.is_ended) = (true, false),
        (Temporality::Delta, TrialValue::Number(value)) if row.kind == InputKind::Counter => {
            given.delta = Some(*value);
        }
        (Temporality::Delta, TrialValue::Buckets(buckets)) => given.buckets.push((**buckets).clone()),
        _ => {}
    }
}
