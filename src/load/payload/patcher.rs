//! What changes between two sends of a request: times, values and, with churn, identities, written over the old ones.
//!
//! Deliberately does not know requests or clocks: it is given points of one shape and two times.
//! Invariant: what is added to the total is exactly what the bytes then say.

use super::expected::MetricTotal;
use super::random::Random;
use super::run::Run;
use super::series::SeriesTotals;
use super::shape::{
    EXPONENTIAL_BASE, EXPONENTIAL_BUCKETS, EXPONENTIAL_SCALE, HISTOGRAM_BOUNDS, Layout, Shape, get_varint4, put_varint4,
};
use crate::load::bytes::{get, put};

/// Writes times and values of one run of points and adds them to the totals.
pub(crate) struct Patcher<'a> {
    pub layout: &'a Layout,
    pub shape: Shape,
    /// Times of the last send but one and of the last send.
    pub before_ns: u64,
    pub previous_ns: u64,
    pub time_ns: u64,
    pub random: &'a mut Random,
    pub total: &'a mut MetricTotal,
}

impl Patcher<'_> {
    /// A point that begins: start time, empty state.
    pub(crate) fn bear(&mut self, point: &mut [u8]) {
        if let Some(start) = self.layout.start {
            put(point, start, self.previous_ns);
        }
        put(point, self.layout.value, 0);
        if !self.shape.is_distribution() {
            return;
        }
        put(point, self.layout.count, 0);
        let buckets = self.layout.buckets;
        match self.shape {
            Shape::CumulativeHistogram => (0..self.shape.buckets()).for_each(|i| put(point, buckets + i * 8, 0)),
            Shape::CumulativeExponential => {
                // Every bucket starts from a count whose varint has its full width.
                put(point, self.layout.zero, 0);
                let mut sum = 0;
                for bucket in 0..EXPONENTIAL_BUCKETS {
                    put_varint4(&mut point[buckets + bucket * 4..], EXPONENTIAL_BASE);
                    self.total.buckets[bucket + 1] += i128::from(EXPONENTIAL_BASE);
                    sum += EXPONENTIAL_BASE as i64 * exponential_units(bucket);
                }
                let count = EXPONENTIAL_BASE * EXPONENTIAL_BUCKETS as u64;
                put(point, self.layout.count, count);
                put(point, self.layout.value, double(sum).to_bits());
                self.total.count += i128::from(count);
                self.total.units += i128::from(sum);
            }
            _ => {}
        }
    }

    /// Replaces the share of points that is due by new series.
    pub(crate) fn churn(
        &mut self,
        points: &mut [u8],
        run: &mut Run,
        share: f32,
        mut series: Option<&mut SeriesTotals>,
    ) {
        for _ in 0..due(&mut run.owed.churn, share, run.count) {
            let (chosen, point) = self.choose(points, run.count);
            // Born a moment ago and replaced before it was ever sent: what it began with was never anywhere.
            if self.shape == Shape::CumulativeExponential
                && self.layout.start.is_some_and(|start| get(point, start) == self.previous_ns)
            {
                self.account(point, -1);
            }
            self.layout.identify(point, run.next_id);
            if let Some(series) = series.as_deref_mut() {
                run.numbers[chosen] = series.birth(run.resource, run.metric, run.next_id);
            }
            run.next_id = run.next_id.wrapping_add(run.id_step);
            self.bear(point);
        }
    }

    /// Starts the share of points that is due over, as a process that is started again does: cumulative kinds only.
    pub(crate) fn reset(&mut self, points: &mut [u8], run: &mut Run, share: f32) {
        if self.shape.temporality() != Some(2) {
            return;
        }
        for _ in 0..due(&mut run.owed.resets, share, run.count) {
            let (_, point) = self.choose(points, run.count);
            self.account(point, -1);
            self.bear(point);
        }
    }

    /// All points of a run, the share that is due of them late: stamped before the last send. A late delta adds all the
    /// same; any other late point repeats what it said then, so it must change nothing.
    pub(crate) fn points_some_late(&mut self, points: &mut [u8], run: &mut Run, share: f32) {
        let stride = self.layout.stride();
        let mut late: Vec<(usize, Vec<u8>)> = Vec::new();
        for _ in 0..due(&mut run.owed.late, share, run.count) {
            let (chosen, point) = self.choose(points, run.count);
            late.push((chosen, point.to_vec()));
        }
        self.points(points, run.count);
        let time_ns = self.previous_ns - 1;
        for (chosen, old) in late {
            let point = &mut points[chosen * stride..][..stride];
            if self.shape.is_delta() {
                self.layout.start.iter().for_each(|&start| put(point, start, self.before_ns));
            } else {
                // What was born or reset since has no past to be late from.
                if self.layout.start.is_some_and(|start| get(point, start) >= time_ns) {
                    continue;
                }
                self.account(point, -1);
                point.copy_from_slice(&old);
                self.account(point, 1);
            }
            put(point, self.layout.time, time_ns);
        }
    }

    fn choose<'p>(&mut self, points: &'p mut [u8], count: u32) -> (usize, &'p mut [u8]) {
        let chosen = self.random.below(count) as usize;
        let stride = self.layout.stride();
        (chosen, &mut points[chosen * stride..][..stride])
    }

    /// Adds what a point says to the totals, or takes it away.
    fn account(&mut self, point: &[u8], sign: i128) {
        let value = get(point, self.layout.value);
        self.total.units += sign
            * match self.shape {
                Shape::DeltaSum | Shape::CumulativeSum | Shape::Gauge => i128::from(value as i64) << 10,
                _ => units(value).into(),
            };
        if self.shape.is_distribution() {
            self.total.count += sign * i128::from(get(point, self.layout.count));
        }
        for (index, bucket) in self.total.buckets.iter_mut().enumerate() {
            *bucket += sign * i128::from(self.layout.bucket(self.shape, point, index));
        }
    }

    /// All points of a run. Kinds are told apart here, once, and not in the loop.
    pub(crate) fn points(&mut self, points: &mut [u8], count: u32) {
        self.total.points += u64::from(count);
        match self.shape {
            Shape::DeltaSum => self.numbers::<true>(points, |_, draw| {
                let value = (draw >> 32 & 1023) as i64 + 1;
                (value as u64, value << 10)
            }),
            Shape::DeltaSumDouble => self.numbers::<true>(points, |_, draw| {
                let units = (draw >> 32 & 0xf_ffff) as i64;
                (double(units).to_bits(), units)
            }),
            Shape::CumulativeSum => self.numbers::<false>(points, |old, draw| {
                let step = (draw >> 32 & 1023) + 1;
                (old.wrapping_add(step), (step as i64) << 10)
            }),
            Shape::CumulativeSumDouble => self.numbers::<false>(points, |old, draw| {
                let step = (draw >> 32 & 0xf_ffff) as i64;
                (double(units(old) + step).to_bits(), step)
            }),
            Shape::Gauge => self.numbers::<false>(points, |old, draw| {
                let value = (draw >> 32 & 0xf_ffff) as i64 - 0x8_0000;
                (value as u64, (value - old as i64) << 10)
            }),
            Shape::GaugeDouble => self.numbers::<false>(points, |old, draw| {
                let value = (draw >> 32 & 0xf_ffff) as i64 - 0x8_0000;
                (double(value).to_bits(), value - units(old))
            }),
            _ => self.distributions(points),
        }
    }

    /// `next(old bits, draw)` gives the new bits and what they add to the total, in units of 2^-10.
    #[inline]
    fn numbers<const DELTA: bool>(&mut self, points: &mut [u8], next: impl Fn(u64, u64) -> (u64, i64)) {
        let (value, time) = (self.layout.value, self.layout.time);
        let start = if DELTA { self.layout.start } else { None };
        let mut sum = 0_i64;
        for point in points.chunks_exact_mut(self.layout.stride()) {
            if let Some(start) = start {
                put(point, start, self.previous_ns);
            }
            put(point, time, self.time_ns);
            let old = if DELTA { 0 } else { get(point, value) };
            let (bits, units) = next(old, self.random.next());
            put(point, value, bits);
            sum += units;
        }
        self.total.units += i128::from(sum);
    }

    fn distributions(&mut self, points: &mut [u8]) {
        let delta = self.shape.is_delta();
        for point in points.chunks_exact_mut(self.layout.stride()) {
            if let (true, Some(start)) = (delta, self.layout.start) {
                put(point, start, self.previous_ns);
            }
            put(point, self.layout.time, self.time_ns);
            let (count, sum) = match self.shape {
                Shape::DeltaHistogram | Shape::CumulativeHistogram => self.histogram(point, delta),
                Shape::DeltaExponential | Shape::CumulativeExponential => self.exponential(point, delta),
                _ => {
                    let draw = self.random.next();
                    (draw & 15, (draw >> 32 & 0xffff) as i64)
                }
            };
            let (old_count, old_sum) =
                if delta { (0, 0) } else { (get(point, self.layout.count), units(get(point, self.layout.value))) };
            put(point, self.layout.count, old_count + count);
            put(point, self.layout.value, double(old_sum + sum).to_bits());
            self.total.count += i128::from(count);
            self.total.units += i128::from(sum);
        }
    }

    /// Adds 0 to 3 to each bucket; says what was added to count and sum.
    fn histogram(&mut self, point: &mut [u8], delta: bool) -> (u64, i64) {
        let mut draw = self.random.next();
        let (mut count, mut sum) = (0, 0);
        for bucket in 0..=HISTOGRAM_BOUNDS.len() {
            let step = draw & 3;
            draw >>= 2;
            let at = self.layout.buckets + bucket * 8;
            let old = if delta { 0 } else { get(point, at) };
            put(point, at, old + step);
            count += step;
            sum += step as i64 * histogram_units(bucket);
            self.total.buckets[bucket] += i128::from(step);
        }
        (count, sum)
    }

    /// Adds 0 to 7 to each bucket and the zero bucket; says what was added to count and sum.
    fn exponential(&mut self, point: &mut [u8], delta: bool) -> (u64, i64) {
        let mut draw = self.random.next();
        let zeros = draw & 3;
        let old = if delta { 0 } else { get(point, self.layout.zero) };
        put(point, self.layout.zero, old + zeros);
        self.total.buckets[0] += i128::from(zeros);
        let (mut count, mut sum) = (zeros, 0);
        for bucket in 0..EXPONENTIAL_BUCKETS {
            draw >>= 2;
            let step = draw & 7;
            if delta {
                point[self.layout.buckets + bucket] = step as u8;
            } else {
                let at = &mut point[self.layout.buckets + bucket * 4..];
                put_varint4(at, get_varint4(at) + step);
            }
            count += step;
            sum += step as i64 * exponential_units(bucket);
            self.total.buckets[bucket + 1] += i128::from(step);
        }
        (count, sum)
    }
}

/// How many of `count` points are due, with what was owed before; never more than there are.
fn due(owed: &mut f32, share: f32, count: u32) -> u32 {
    *owed = (*owed + share * count as f32).min(count as f32);
    let due = owed.floor();
    *owed -= due;
    due as u32
}

/// A value that lies in bucket `index` of the explicit histogram, in units of 2^-10.
fn histogram_units(index: usize) -> i64 {
    HISTOGRAM_BOUNDS.get(index).map_or(12 << 10, |bound| (bound * 1024.0) as i64)
}

/// A value that lies in positive bucket `index`, in units of 2^-10.
fn exponential_units(index: usize) -> i64 {
    (((index as f64 + 0.5) / f64::from(1 << EXPONENTIAL_SCALE)).exp2() * 1024.0) as i64
}

/// Units of 2^-10 as a double; exact below 2^53 units.
fn double(units: i64) -> f64 {
    units as f64 / 1024.0
}

/// The bits of a double made by [`double`] as units again.
fn units(bits: u64) -> i64 {
    (f64::from_bits(bits) * 1024.0) as i64
}
