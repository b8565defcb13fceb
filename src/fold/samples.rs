//! Levels of members at base cuts, gathered: of one cut, of an interval, of a window.
//!
//! Knows values and their weights; does not know members, cuts or outputs. A sample counts once in a part; what comes of
//! a base cut is weighed by the length of its window, so that early and long cuts do not tilt means (RULES 5).

use super::exact::ExactSum;
use super::needs;
use crate::aggregate::number::{self, Value};

/// Some samples. What is not asked for stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Samples {
    /// Σ of the finite ones, each by its weight.
    pub(super) sum: ExactSum,
    /// Σ of their weights.
    pub(super) weight: u64,
    /// Their mean, and Σ of weighted squares of what they differ from it.
    mean: f64,
    squares: f64,
    /// The smallest and the largest, infinities too.
    pub(super) extremes: Option<Extremes>,
    /// The newest, with its time; of equal times the one of larger bits.
    pub(super) newest: Option<(u64, Value)>,
    /// The oldest, likewise.
    pub(super) oldest: Option<(u64, Value)>,
}

/// The smallest and the largest, in three words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extremes {
    bits: [u64; 2],
    is_double: [bool; 2],
    /// Some were inside an interval, and no level at its cuts: what comes behind it may differ though nothing happens then.
    pub(super) is_wide: bool,
}

impl Extremes {
    pub(super) const fn new((low, high): (Value, Value), is_wide: bool) -> Extremes {
        Extremes { bits: [low.bits(), high.bits()], is_double: [low.is_double(), high.is_double()], is_wide }
    }

    pub(super) const fn low(&self) -> Value {
        Value::from_bits(self.bits[0], self.is_double[0])
    }

    pub(super) const fn high(&self) -> Value {
        Value::from_bits(self.bits[1], self.is_double[1])
    }
}

/// Those of both.
fn wider(a: Option<Extremes>, b: Option<Extremes>) -> Option<Extremes> {
    let pair = |one: Extremes| (one.low(), one.high());
    let both = number::wider(a.map(pair), b.map(pair))?;
    let is_wide = [a, b].into_iter().flatten().any(|one| one.is_wide);
    Some(Extremes::new(both, is_wide))
}

impl Samples {
    /// Adds the level of a live member; `false` if it is not finite, which counts only for extremes (infinities) and
    /// for the newest and oldest (S7). `extremes`: those inside the interval, where they are known.
    #[inline]
    pub(super) fn add(&mut self, needs: u16, value: Value, time_ns: u64, extremes: Option<(Value, Value)>) -> bool {
        let is_finite = value.is_finite();
        if is_finite && needs & needs::MEAN != 0 {
            self.sum.add(value);
            self.weight += 1;
            if needs & needs::MOMENTS != 0 {
                let (value, before) = (value.as_f64(), self.mean);
                self.mean += (value - before) / self.weight as f64;
                self.squares += (value - before) * (value - self.mean);
            }
        }
        if needs & needs::EXTREMES != 0 {
            let is_wide = extremes.is_some_and(|(low, high)| low != value || high != value);
            for value in
                [Some(value), extremes.map(|(low, _)| low), extremes.map(|(_, high)| high)].into_iter().flatten()
            {
                if !value.as_f64().is_nan() {
                    self.extremes = wider(self.extremes, Some(Extremes::new((value, value), is_wide)));
                }
            }
        }
        if needs & needs::TIMES != 0 {
            self.newest = newer(self.newest, Some((time_ns, value)));
            self.oldest = older(self.oldest, Some((time_ns, value)));
        }
        is_finite
    }

    /// Adds what others gathered, each by `factor` times its weight.
    pub(super) fn absorb(&mut self, other: &Samples, factor: u32) {
        let weight = other.weight.saturating_mul(u64::from(factor));
        if weight > 0 {
            let (a, b) = (self.weight as f64, weight as f64);
            let apart = other.mean - self.mean;
            self.squares += other.squares * f64::from(factor) + apart * apart * (a * b / (a + b));
            self.mean = if self.weight == 0 { other.mean } else { self.mean + apart * (b / (a + b)) };
            self.weight = self.weight.saturating_add(weight);
            match factor {
                1 => self.sum.absorb(&other.sum),
                _ => self.sum.absorb(&other.sum.times(factor)),
            }
        }
        self.extremes = wider(self.extremes, other.extremes);
        self.newest = newer(self.newest, other.newest);
        self.oldest = older(self.oldest, other.oldest);
    }

    /// Their mean, if there are any.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.weight > 0).then(|| self.sum.as_f64() / self.weight as f64)
    }

    /// The variance of the population.
    pub(super) fn variance(&self) -> Option<f64> {
        (self.weight > 0).then(|| (self.squares / self.weight as f64).max(0.0))
    }

    /// Sum, weight and squares as three words.
    pub(super) fn moments(&self) -> [u64; 3] {
        [self.sum.as_f64().to_bits(), self.weight, self.squares.to_bits()]
    }

    /// Sets these; a sum of doubles is one word then.
    pub(super) fn put_moments(&mut self, [sum, weight, squares]: [u64; 3]) {
        self.sum = ExactSum::default();
        self.sum.add(Value::Double(f64::from_bits(sum)));
        self.weight = weight;
        self.squares = f64::from_bits(squares);
        self.mean = if weight == 0 { 0.0 } else { f64::from_bits(sum) / weight as f64 };
    }
}

fn newer(a: Option<(u64, Value)>, b: Option<(u64, Value)>) -> Option<(u64, Value)> {
    let (Some((a_time, a_value)), Some((b_time, b_value))) = (a, b) else { return a.or(b) };
    let is_newer = (b_time, b_value.bits(), b_value.is_double()) > (a_time, a_value.bits(), a_value.is_double());
    if is_newer { b } else { a }
}

fn older(a: Option<(u64, Value)>, b: Option<(u64, Value)>) -> Option<(u64, Value)> {
    let (Some((a_time, _)), Some((b_time, _))) = (a, b) else { return a.or(b) };
    match b_time.cmp(&a_time) {
        std::cmp::Ordering::Less => b,
        std::cmp::Ordering::Equal => newer(a, b),
        std::cmp::Ordering::Greater => a,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u16 = needs::MEAN | needs::MOMENTS | needs::EXTREMES | needs::TIMES;

    #[test]
    fn samples_are_weighed_when_they_are_absorbed() {
        let of = |values: &[i64]| {
            let mut samples = Samples::default();
            for value in values {
                assert!(samples.add(ALL, Value::Int(*value), *value as u64, None));
            }
            samples
        };
        let mut window = Samples::default();
        window.absorb(&of(&[2, 4]), 10_000);
        window.absorb(&of(&[10]), 30_000);
        // as if 2 and 4 came once and 10 three times
        assert_eq!(window.mean(), Some(36.0 / 5.0));
        assert_eq!(window.variance(), Some((5.2f64.powi(2) + 3.2f64.powi(2) + 3.0 * 2.8 * 2.8) / 5.0));
        assert_eq!(window.extremes, Some(Extremes::new((Value::Int(2), Value::Int(10)), false)));
        assert_eq!((window.oldest, window.newest), (Some((2, Value::Int(2))), Some((10, Value::Int(10)))));
    }

    #[test]
    fn s7_what_is_not_finite_counts_for_extremes_and_times_alone() {
        let mut samples = Samples::default();
        assert!(samples.add(ALL, Value::Int(7), 1, Some((Value::Int(-3), Value::Int(9)))));
        assert!(!samples.add(ALL, Value::Double(f64::INFINITY), 2, None));
        assert!(!samples.add(ALL, Value::Double(f64::NAN), 3, None));
        assert_eq!((samples.weight, samples.mean(), samples.variance()), (1, Some(7.0), Some(0.0)));
        assert_eq!(samples.extremes, Some(Extremes::new((Value::Int(-3), Value::Double(f64::INFINITY)), true)));
        assert!(samples.newest.is_some_and(|(time, value)| time == 3 && value.as_f64().is_nan()));
    }

    #[test]
    fn which_of_two_equal_ones_is_shown_does_not_depend_on_their_order() {
        let one = |value| Extremes::new((value, value), false);
        let (int, double) = (one(Value::Int(1)), one(Value::Double(1.0)));
        assert_eq!(wider(Some(int), Some(double)), wider(Some(double), Some(int)));
        let (a, b) = (Some((5, Value::Int(3))), Some((5, Value::Int(4))));
        assert_eq!(
            (newer(a, b), newer(b, a), older(a, b), older(b, a)),
            (b, b, b, b),
            "of equal times the larger bits"
        );
    }
}
