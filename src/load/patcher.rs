//! What changes between two sends of a request: times, values and, with churn, identities, written over the old ones.
//!
//! Deliberately does not know requests or clocks: it is given points of one shape and two times.
//! Invariant: what is added to the total is exactly what the bytes then say.

use super::expected::MetricTotal;
use super::payload::Run;
use super::random::Random;
use super::shape::{EXPONENTIAL_BASE, EXPONENTIAL_BUCKETS, EXPONENTIAL_SCALE, HISTOGRAM_BOUNDS, Layout, Shape};

/// Writes times and values of one run of points and adds them to the totals.
pub(super) struct Patcher<'a> {
    pub layout: &'a Layout,
    pub shape: Shape,
    pub previous_ns: u64,
    pub time_ns: u64,
    pub random: &'a mut Random,
    pub total: &'a mut MetricTotal,
}

impl Patcher<'_> {
    /// A point that begins: start time, empty state.
    pub fn bear(&mut self, point: &mut [u8]) {
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
    pub fn churn(&mut self, points: &mut [u8], run: &mut Run, share: f32) {
        run.churn_owed += share * run.count as f32;
        while run.churn_owed >= 1.0 {
            run.churn_owed -= 1.0;
            let chosen = self.random.below(run.count) as usize;
            let point = &mut points[chosen * self.layout.stride()..][..self.layout.stride()];
            self.layout.identify(point, run.next_id);
            run.next_id = run.next_id.wrapping_add(run.id_step);
            self.bear(point);
        }
    }

    /// All points of a run. Kinds are told apart here, once, and not in the loop.
    pub fn points(&mut self, points: &mut [u8], count: u32) {
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

#[inline]
fn put(point: &mut [u8], offset: usize, bits: u64) {
    point[offset..offset + 8].copy_from_slice(&bits.to_le_bytes());
}

#[inline]
fn get(point: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(point[offset..offset + 8].try_into().expect("eight bytes"))
}

/// A varint of exactly four bytes: 2^21 to 2^28 - 1.
fn put_varint4(out: &mut [u8], value: u64) {
    assert!((EXPONENTIAL_BASE..1 << 28).contains(&value), "a bucket count left its four bytes");
    for (index, byte) in out[..4].iter_mut().enumerate() {
        *byte = (value >> (7 * index)) as u8 & 127 | if index < 3 { 128 } else { 0 };
    }
}

fn get_varint4(bytes: &[u8]) -> u64 {
    (0..4).map(|index| u64::from(bytes[index] & 127) << (7 * index)).sum()
}
