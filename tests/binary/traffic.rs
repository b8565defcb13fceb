//! Deterministic traffic of every kind, and what it must add up to.
//!
//! What a client sends in a round follows from (client, round) alone, so the totals of `n` rounds can be computed
//! again at the end. Values are integers or multiples of 2^-10: sums are exact in any order.

use crate::common::{
    Any, double, exponential, exponential_point, gauge, histogram, histogram_point, int, label, number, request, sum,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use std::collections::BTreeMap;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
pub const BOUNDS: [f64; 3] = [1.0, 5.0, 25.0];
/// Points of one request.
pub const POINTS: u64 = 15;
/// Attribute value of series that all clients feed.
pub const SHARED: &str = "all";
const SCALE: i32 = 3;

/// A total of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Total {
    Number(f64),
    Histogram { count: u64, sum: f64, buckets: Vec<u64> },
    Exponential { count: u64, sum: f64, zero: u64, positive: BTreeMap<i32, u64>, negative: BTreeMap<i32, u64> },
}

impl Total {
    /// Of a point that came out.
    pub fn of(point: &Any) -> Total {
        match point {
            Any::Number(p) => Total::Number(match p.value.expect("a value") {
                pb::number_data_point::Value::AsInt(v) => v as f64,
                pb::number_data_point::Value::AsDouble(v) => v,
            }),
            Any::Histogram(p) => {
                assert_eq!(p.count, p.bucket_counts.iter().sum::<u64>(), "count is the sum of the buckets: {p:?}");
                assert_eq!(p.explicit_bounds, BOUNDS);
                Total::Histogram { count: p.count, sum: p.sum.expect("a sum"), buckets: p.bucket_counts.clone() }
            }
            Any::Exponential(p) => {
                assert_eq!(p.scale, SCALE, "it all fits at this scale: {p:?}");
                let spread = |side: &Option<pb::exponential_histogram_data_point::Buckets>| {
                    let side = side.clone().unwrap_or_default();
                    let at = |(i, n): (usize, u64)| (n > 0).then_some((side.offset + i as i32, n));
                    side.bucket_counts.iter().copied().enumerate().filter_map(at).collect::<BTreeMap<_, _>>()
                };
                let (positive, negative) = (spread(&p.positive), spread(&p.negative));
                let buckets = positive.values().chain(negative.values()).sum::<u64>();
                assert_eq!(p.count, buckets + p.zero_count, "count is the sum of the buckets: {p:?}");
                Total::Exponential { count: p.count, sum: p.sum.unwrap(), zero: p.zero_count, positive, negative }
            }
            Any::Summary(_) => panic!("no summaries were sent"),
        }
    }

    pub fn add(&mut self, other: &Total) {
        match (self, other) {
            (Total::Number(a), Total::Number(b)) => *a += b,
            (Total::Histogram { count, sum, buckets }, Total::Histogram { count: n, sum: s, buckets: b }) => {
                *count += n;
                *sum += s;
                buckets.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            }
            (
                Total::Exponential { count, sum, zero, positive, negative },
                Total::Exponential { count: n, sum: s, zero: z, positive: p, negative: m },
            ) => {
                *count += n;
                *sum += s;
                *zero += z;
                p.iter().for_each(|(i, n)| *positive.entry(*i).or_default() += n);
                m.iter().for_each(|(i, n)| *negative.entry(*i).or_default() += n);
            }
            (a, b) => panic!("two kinds in one series: {a:?} and {b:?}"),
        }
    }
}

/// How a series' points add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Monotonic: deltas add up, or the newest cumulative value counts.
    Adds,
    /// Leaves cumulative whatever the destination asks for.
    Newest,
}

pub fn rule(metric: &str) -> Rule {
    if metric.starts_with("gauge") || metric.starts_with("up.down") { Rule::Newest } else { Rule::Adds }
}

pub fn start_of(point: &Any) -> u64 {
    match point {
        Any::Number(p) => p.start_time_unix_nano,
        Any::Histogram(p) => p.start_time_unix_nano,
        Any::Exponential(p) => p.start_time_unix_nano,
        Any::Summary(p) => p.start_time_unix_nano,
    }
}

pub fn time_of(point: &Any) -> u64 {
    match point {
        Any::Number(p) => p.time_unix_nano,
        Any::Histogram(p) => p.time_unix_nano,
        Any::Exponential(p) => p.time_unix_nano,
        Any::Summary(p) => p.time_unix_nano,
    }
}

/// Small numbers that look random: splitmix64.
fn draw(client: u64, round: u64, what: u64, below: u64) -> u64 {
    let mut z = (client << 40 ^ round << 8 ^ what).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}

/// What one client has added up so far.
pub struct Client {
    number: u64,
    round: u64,
    start_ns: u64,
    last_ns: u64,
    cumulative: (i64, f64, i64, [u64; 4], f64, [u64; 3]),
}

impl Client {
    /// `start_ns`: of its cumulative streams, after the process started, so that their first points count whole.
    pub fn new(number: u64, start_ns: u64) -> Client {
        Client { number, round: 0, start_ns, last_ns: start_ns, cumulative: Default::default() }
    }

    /// The next request: every kind, in both temporalities.
    pub fn next(&mut self, now_ns: u64) -> ExportMetricsServiceRequest {
        let time = now_ns.max(self.last_ns + 1);
        let (last, start) = (self.last_ns, self.start_ns);
        self.last_ns = time;
        let (c, r) = (self.number, self.round);
        self.round += 1;
        let draw = |what, below| draw(c, r, what, below);
        let fraction = |what| draw(what, 1 << 20) as f64 / 1024.0;
        let number_of_client = c.to_string();
        let own = [("client", &*number_of_client)];
        let shared = [("client", SHARED)];
        // never empty: an empty histogram with a sum would contradict itself
        let counts = |what| [1 + draw(what, 3), draw(what + 1, 3), draw(what + 2, 3), draw(what + 3, 3)];
        let side = |what| [draw(what, 4), draw(what + 1, 2), 1 + draw(what + 2, 4)];
        let negative = |mut p: pb::ExponentialHistogramDataPoint, buckets: &[u64], sum: f64| {
            p.count += buckets.iter().sum::<u64>();
            p.sum = Some(sum);
            p.negative =
                Some(pb::exponential_histogram_data_point::Buckets { offset: 2, bucket_counts: buckets.to_vec() });
            p
        };
        let t = &mut self.cumulative;
        t.0 += draw(1, 1000) as i64;
        t.1 += fraction(2);
        t.2 += draw(3, 1000) as i64 - 500;
        t.3.iter_mut().zip(counts(10)).for_each(|(a, b)| *a += b);
        t.4 += fraction(4);
        t.5.iter_mut().zip(side(20)).for_each(|(a, b)| *a += b);
        let t = &*t;
        let bounded = |attrs, begin, counts: &[u64], sum| {
            let mut p = histogram_point(attrs, time, counts, &BOUNDS, sum);
            p.start_time_unix_nano = begin;
            p
        };
        let offset = draw(30, 40) as i32 - 20;
        request(vec![
            sum("rounds", DELTA, true, vec![number(&own, last, time, int(1))]),
            sum(
                "delta.int",
                DELTA,
                true,
                vec![
                    number(&own, last, time, int(draw(31, 1 << 30) as i64)),
                    number(&shared, last, time, int(draw(32, 1 << 30) as i64)),
                ],
            ),
            sum(
                "delta.double",
                DELTA,
                true,
                vec![number(&own, last, time, double(fraction(33))), number(&shared, last, time, double(fraction(34)))],
            ),
            sum("cumulative.int", CUMULATIVE, true, vec![number(&own, start, time, int(t.0))]),
            sum("cumulative.double", CUMULATIVE, true, vec![number(&own, start, time, double(t.1))]),
            sum("up.down.delta", DELTA, false, vec![number(&shared, last, time, int(draw(35, 2001) as i64 - 1000))]),
            sum("up.down.cumulative", CUMULATIVE, false, vec![number(&own, start, time, int(t.2))]),
            gauge("gauge.int", vec![number(&own, 0, time, int(draw(36, 1 << 40) as i64 - (1 << 39)))]),
            gauge("gauge.double", vec![number(&own, 0, time, double(-fraction(37)))]),
            histogram("histogram.delta", DELTA, vec![bounded(&shared, last, &counts(40), fraction(44))]),
            histogram("histogram.cumulative", CUMULATIVE, vec![bounded(&own, start, &t.3, t.4)]),
            exponential(
                "exponential.delta",
                DELTA,
                vec![negative(
                    exponential_point(&shared, last, time, SCALE, offset, &side(50)),
                    &side(54),
                    fraction(58),
                )],
            ),
            exponential(
                "exponential.cumulative",
                CUMULATIVE,
                // one value in the zero bucket, always the same one
                vec![negative(exponential_point(&own, start, time, SCALE, -7, &t.5), &[], t.4)],
            ),
        ])
    }
}

/// Total of every series after so many rounds of each client: the naive model.
pub fn totals(rounds: &[u64]) -> BTreeMap<(String, String), Total> {
    let mut all: BTreeMap<(String, String), Total> = BTreeMap::new();
    for (number, rounds) in rounds.iter().enumerate() {
        let mut client = Client::new(number as u64, 1);
        for round in 0..*rounds {
            for (name, attributes, point) in crate::common::each_point(&client.next(round + 2)) {
                let total = Total::of(&point);
                let newest = name.starts_with("gauge") || name.contains("cumulative");
                match all.entry((name, attributes)) {
                    std::collections::btree_map::Entry::Occupied(mut old) if newest => drop(old.insert(total)),
                    std::collections::btree_map::Entry::Occupied(mut old) => old.get_mut().add(&total),
                    std::collections::btree_map::Entry::Vacant(new) => drop(new.insert(total)),
                }
            }
        }
    }
    all
}

/// The key of a client's series.
pub fn key(metric: &str, client: &str) -> (String, String) {
    (metric.to_string(), label(&crate::common::attributes(&[("client", client)])))
}

/// Total of one series as a destination has it, from all points it got.
pub fn arrived(metric: &str, points: &[Any], delta: bool) -> Total {
    if delta && rule(metric) == Rule::Adds {
        let mut points = points.iter();
        let mut total = Total::of(points.next().expect("a series has points"));
        points.for_each(|point| total.add(&Total::of(point)));
        return total;
    }
    // requests overtake each other on their connections: the newest is not always the last
    Total::of(points.iter().max_by_key(|point| time_of(point)).expect("a series has points"))
}
