//! What came out against what should have.

use super::flat::{Body, GAUGE, Key, flatten};
use super::value::{Exponential, Value};
use super::{Leaf, Leaves, Model};
use crate::common::{Out, Rig, START};
use catchment::ledger::{Effect, Note};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use prost::Message;
use std::collections::BTreeMap;

/// The aggregation and the model side by side.
pub struct Pair {
    pub rig: Rig,
    pub model: Model,
    pub cores: usize,
}

impl Pair {
    pub fn new(cores: usize) -> Pair {
        Pair::with(cores, 1_000_000, 300_000_000_000)
    }

    pub fn with(cores: usize, series_limit: usize, expire_ns: u64) -> Pair {
        Pair {
            rig: Rig::with(cores, series_limit, expire_ns),
            model: Model::new(START, series_limit, expire_ns),
            cores,
        }
    }

    /// Sends the bytes to both; `true` if they were accepted.
    ///
    /// Both refuse or both accept. Only nesting may differ: the official library has another limit (100 levels from
    /// the root).
    pub fn send_bytes(&mut self, core: usize, body: &[u8]) -> Result<bool, String> {
        let ours = self.rig.send_bytes(core, body);
        let theirs = ExportMetricsServiceRequest::decode(body);
        match (ours, theirs) {
            (Err(_), Err(_)) => Ok(false),
            (Err(fault), Ok(_)) if fault.contains("nested deeper") => Ok(false),
            (Err(fault), Ok(_)) => Err(format!("refused ({fault}), but it is well-formed")),
            (Ok(_), Err(error)) => Err(format!("accepted, but it is malformed: {error}")),
            (Ok(receipt), Ok(message)) => {
                let want = self.model.send(core % self.cores, &message);
                let got = (receipt.points, receipt.rejected);
                if got != want {
                    return Err(format!("(points, rejected) {got:?}, not {want:?}: {:?}", receipt.message));
                }
                if receipt.message.is_some() != (receipt.rejected > 0) {
                    return Err(format!("a message without a rejection, or none: {receipt:?}"));
                }
                Ok(true)
            }
        }
    }

    pub fn send(&mut self, core: usize, request: &ExportMetricsServiceRequest) -> Result<(), String> {
        match self.send_bytes(core, &request.encode_to_vec())? {
            true => Ok(()),
            false => Err("refused".into()),
        }
    }

    /// Cuts both and compares all that leaves.
    pub fn cut(&mut self, boundary: u64) -> Result<Out, String> {
        let out = self.rig.cut(boundary);
        let want = self.model.cut(boundary);
        compare(&out.cumulative, &want.cumulative).map_err(|why| format!("cumulative view: {why}"))?;
        compare(&out.delta, &want.delta).map_err(|why| format!("delta view: {why}"))?;
        let counts = &self.model.counts;
        let tally = &self.rig.tally;
        let pairs = [
            ("live series", self.rig.registry.live() as u64, self.model.live() as u64),
            ("received", tally.received_total(), counts.received),
            ("rejected", tally.rejected_total(), counts.rejected),
            ("emitted", tally.emitted(), counts.emitted),
            ("with effect", tally.settled(Effect::WithEffect), counts.with_effect),
            ("superseded", tally.settled(Effect::Superseded), counts.superseded),
            ("baseline", tally.settled(Effect::Baseline), counts.baseline),
            ("overlapping", tally.settled(Effect::Overlapping), counts.overlapping),
            ("overflowed", tally.noted(Note::Overflowed), counts.overflowed),
            ("no recorded value", tally.noted(Note::NoRecordedValue), counts.no_value),
            ("expired", tally.noted(Note::SeriesExpired), counts.expired),
            ("exemplars", tally.noted(Note::Exemplars), counts.exemplars),
            ("exemplars dropped", tally.noted(Note::ExemplarsDropped), counts.exemplars_dropped),
        ];
        for (what, got, want) in pairs {
            if got != want {
                return Err(format!("{what}: {got}, not {want}"));
            }
        }
        Ok(out)
    }

    /// Counters of things, not of points: exact where one core takes all points of a stream.
    pub fn counters(&self) -> Result<(), String> {
        let (counts, tally) = (&self.model.counts, &self.rig.tally);
        for (what, note, want) in
            [("resets", Note::Reset, counts.resets), ("count overflows", Note::CountOverflow, counts.count_overflows)]
        {
            if tally.noted(note) != want {
                return Err(format!("{what}: {}, not {want}", tally.noted(note)));
            }
        }
        Ok(())
    }
}

/// The body of the fuzz target: the request twice (the second time its series are known), cut after each.
pub fn fuzz_request(body: &[u8]) {
    let mut pair = Pair::new(1);
    let check = |result: Result<(), String>| result.unwrap_or_else(|why| panic!("{why}"));
    for boundary in [START + 1_000_000_000, START + 2_000_000_000] {
        check(pair.send_bytes(0, body).map(drop));
        check(pair.cut(boundary).map(drop));
    }
}

fn compare(out: &[ExportMetricsServiceRequest], want: &Leaves) -> Result<(), String> {
    let mut got: BTreeMap<Key, Vec<super::flat::Point>> = BTreeMap::new();
    for point in out.iter().flat_map(flatten) {
        let key = point.key().ok_or_else(|| format!("a set with a key twice left: {point:?}"))?;
        got.entry(key).or_default().push(point);
    }
    for (key, leaves) in want {
        let Some(points) = got.remove(key) else { return Err(format!("missing: {key:?}, {leaves:?}")) };
        if points.len() != leaves.len() {
            return Err(format!("{} points of {key:?}, not {leaves:?}: {points:?}", points.len()));
        }
        for (point, leaf) in points.iter().zip(leaves) {
            compare_point(key, point, leaf)?;
        }
    }
    match got.into_iter().next() {
        Some((_, points)) => Err(format!("should not leave: {points:?}")),
        None => Ok(()),
    }
}

fn compare_point(key: &Key, point: &super::flat::Point, leaf: &Leaf) -> Result<(), String> {
    let at = (point.temporality, point.start, point.time, point.description.as_str());
    let wanted = (leaf.temporality, leaf.start, leaf.time, leaf.description.as_str());
    if at != wanted {
        return Err(format!("{key:?}: (temporality, start, time, description) {at:?}, not {wanted:?}"));
    }
    if point.flags != u32::from(leaf.value.is_none()) {
        return Err(format!("{key:?}: flags {}, not those of {:?}", point.flags, leaf.value));
    }
    let exemplars: Option<Vec<Vec<u8>>> = point.exemplars.iter().map(|e| Some(super::flat::exemplar(e)?.2)).collect();
    if exemplars.as_ref() != Some(&leaf.exemplars) {
        return Err(format!("{key:?}: exemplars {:?}, not {:?}", point.exemplars, leaf.exemplars));
    }
    match &leaf.value {
        Some(value) => same(&point.body, value, key.group.kind).map_err(|why| format!("{why} in {key:?}")),
        None if is_empty(&point.body) => Ok(()),
        None => Err(format!("{key:?} ended, but shows {:?}", point.body)),
    }
}

/// M7: no value; what a histogram or summary needs to name its parts may stand there, with zeros.
fn is_empty(body: &Body) -> bool {
    match body {
        Body::Number(value) => value.is_none(),
        Body::Histogram(h) => {
            let buckets = if h.explicit_bounds.is_empty() { 0 } else { h.explicit_bounds.len() + 1 };
            (h.count, h.sum, h.min, h.max) == (0, None, None, None) && h.bucket_counts == vec![0; buckets]
        }
        Body::Exponential(e) => {
            let quiet = (e.count, e.sum, e.zero_count, e.scale) == (0, None, 0, 0);
            quiet && e.positive.is_none() && e.negative.is_none() && e.min.is_none() && e.max.is_none()
        }
        Body::Summary(s) => s.count == 0 && s.sum == 0.0 && s.quantile_values.iter().all(|q| q.value == 0.0),
    }
}

/// A sum that depends on the order is NaN in the model.
fn same_sum(got: Option<f64>, want: Option<f64>) -> bool {
    got == want || got.is_some() && want.is_some_and(f64::is_nan)
}

fn same(got: &Body, want: &Value, kind: u8) -> Result<(), String> {
    let fail = || Err(format!("{got:?}, not {want:?}"));
    let ok = match (got, want) {
        (_, Value::Unknown) => true,
        (Body::Number(Some(Number::AsInt(a))), Value::Int(b)) => a == b,
        // a sum that met a double stays one; the value says it all
        (Body::Number(Some(Number::AsDouble(a))), Value::Int(b)) if kind != GAUGE => *a == *b as f64,
        (Body::Number(Some(Number::AsDouble(a))), Value::Double(b)) => {
            if kind == GAUGE {
                a.to_bits() == b.to_bits()
            } else {
                a == b
            }
        }
        (Body::Number(Some(Number::AsInt(0) | Number::AsDouble(0.0))), Value::Zero) => true,
        (Body::Summary(s), Value::Summary(w)) => {
            let pairs = s.quantile_values.iter().flat_map(|q| [q.quantile.to_bits(), q.value.to_bits()]);
            let head = [s.start_time_unix_nano, s.count, s.sum.to_bits(), s.quantile_values.len() as u64];
            head.into_iter().chain(pairs).eq(w.iter().copied())
        }
        (Body::Histogram(h), Value::Zero) => h.count == 0 && h.bucket_counts.iter().all(|count| *count == 0),
        (Body::Exponential(e), Value::Zero) => e.count == 0 && e.positive.is_none() && e.negative.is_none(),
        (Body::Histogram(h), Value::Histogram(w)) => {
            let extremes = w.count == 0 || (h.min, h.max) == (w.min, w.max);
            (h.count, &h.bucket_counts) == (w.count, &w.buckets) && same_sum(h.sum, w.sum) && extremes
        }
        (Body::Exponential(e), Value::Exponential(w)) => {
            let side =
                |b: &Option<opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets>| {
                    let mut side = BTreeMap::new();
                    if let Some(b) = b {
                        for (i, count) in b.bucket_counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                            side.insert(i64::from(b.offset) + i as i64, *count);
                        }
                    }
                    side
                };
            let summed = same_sum(e.sum, w.sum);
            let e = Exponential {
                count: e.count,
                sum: None,
                min: e.min,
                max: e.max,
                scale: e.scale,
                zero_count: e.zero_count,
                zero_threshold: e.zero_threshold,
                fuzzy: false,
                sides: [side(&e.positive), side(&e.negative)],
            };
            match w {
                Exponential { count: 0, .. } => e.count == 0 && summed,
                Exponential { fuzzy: true, .. } => e.count == w.count && summed,
                _ => summed && Exponential { sum: None, ..e } == Exponential { sum: None, ..w.clone() },
            }
        }
        _ => false,
    };
    if ok { Ok(()) } else { fail() }
}
