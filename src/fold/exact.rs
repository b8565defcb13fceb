//! Sums that do not depend on the order of what is added: ints in 128 bits, doubles with what their additions lose.
//!
//! Knows numbers; does not know whose they are.
//!
//! Ints and doubles are kept apart until the sum is read (RULES S8). What is promised to the bit: ints, and doubles that
//! are multiples of 2^-10 below 2^43. Other doubles are within a unit in the last place of the exact sum where they do
//! not cancel each other out (Neumaier's compensation: Zeitschrift für Angewandte Mathematik und Mechanik 54, 1974).

use crate::aggregate::number::Value;

/// A sum of ints and doubles. All that is added is finite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ExactSum {
    /// Σ of ints, in halves: an `i128` would be aligned to 16 bytes.
    low: u64,
    high: i64,
    /// Σ of doubles.
    double: f64,
    /// What the additions of doubles lost.
    rest: f64,
    has_double: bool,
}

impl ExactSum {
    /// Σ of the ints alone.
    #[inline]
    pub const fn int(&self) -> i128 {
        (self.high as i128) << 64 | self.low as i128
    }

    #[inline]
    const fn set_int(&mut self, int: i128) {
        (self.low, self.high) = (int as u64, (int >> 64) as i64);
    }

    /// Nothing was added.
    #[inline]
    pub fn is_zero(&self) -> bool {
        self.low == 0 && self.high == 0 && !self.has_double
    }

    /// Adds a value; `false`, and nothing is added, if it is not finite (RULES S7).
    #[inline]
    pub fn add(&mut self, value: Value) -> bool {
        match value {
            Value::Int(int) => self.add_int(i128::from(int)),
            Value::Double(double) if double.is_finite() => {
                self.has_double = true;
                self.add_double(double);
            }
            Value::Double(_) => return false,
        }
        true
    }

    /// Adds an int.
    #[inline]
    pub const fn add_int(&mut self, int: i128) {
        // 2^64 values of 63 bits fit
        self.set_int(self.int().wrapping_add(int));
    }

    #[inline]
    fn add_double(&mut self, double: f64) {
        let (sum, lost) = two_sum(self.double, double);
        self.rest += lost;
        self.double = sum;
    }

    /// Adds what another one has.
    #[inline]
    pub fn absorb(&mut self, other: &ExactSum) {
        self.add_int(other.int());
        if other.has_double {
            self.has_double = true;
            self.add_double(other.double);
            self.add_double(other.rest);
        }
    }

    /// So many times as much. The product of the doubles is exact, too, but for what two words do not hold.
    pub fn times(&self, factor: u32) -> ExactSum {
        let mut out = ExactSum { has_double: self.has_double, ..ExactSum::default() };
        out.set_int(self.int().saturating_mul(i128::from(factor)));
        if self.has_double {
            let factor = f64::from(factor);
            for part in [self.double, self.rest] {
                let product = part * factor;
                out.add_double(product);
                out.add_double(part.mul_add(factor, -product));
            }
        }
        out
    }

    /// The sum as a double, rounded once but for cancellation.
    pub fn as_f64(&self) -> f64 {
        let int = self.int();
        let rounded = int as f64;
        if !self.has_double {
            return rounded;
        }
        if !self.double.is_finite() {
            return self.double;
        }
        let mut all = ExactSum { double: rounded, ..ExactSum::default() };
        all.add_double(self.double);
        all.add_double((int - rounded as i128) as f64);
        all.add_double(self.rest);
        all.double + all.rest
    }

    /// The sum: an int if only ints were added and it fits, else a double; `true` if it was ints and did not fit.
    pub fn value(&self) -> (Value, bool) {
        if self.has_double {
            return (Value::Double(self.as_f64()), false);
        }
        let int = self.int();
        i64::try_from(int).map_or((Value::Double(int as f64), true), |int| (Value::Int(int), false))
    }
}

/// The sum, and what its rounding lost.
#[inline]
pub(super) const fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let (large, small) = if a.abs() >= b.abs() { (a, b) } else { (b, a) };
    (sum, (large - sum) + small)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[Value]) -> ExactSum {
        let mut sum = ExactSum::default();
        for value in values {
            assert!(sum.add(*value));
        }
        sum
    }

    #[test]
    fn s8_ints_are_exact_in_any_order_and_become_a_double_only_where_they_do_not_fit() {
        let (a, b, c) = (Value::Int(i64::MAX), Value::Int(10), Value::Int(-20));
        for order in [[a, b, c], [c, b, a], [b, a, c]] {
            assert_eq!(sum(&order).value(), (Value::Int(9_223_372_036_854_775_797), false));
        }
        assert_eq!(sum(&[a, b]).value(), (Value::Double(9_223_372_036_854_775_808.0), true));
        assert_eq!(sum(&[a, Value::Double(0.5)]).value(), (Value::Double(9_223_372_036_854_775_808.0), false));
        assert_eq!(sum(&[Value::Int(1), Value::Double(-1.0)]).value(), (Value::Double(0.0), false));
    }

    #[test]
    fn s7_what_is_not_finite_is_left_out() {
        let mut sum = sum(&[Value::Int(3)]);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!sum.add(Value::Double(value)));
        }
        assert_eq!(sum.value(), (Value::Int(3), false));
    }

    #[test]
    fn what_doubles_lose_comes_back() {
        let many: Vec<Value> = [1e100, 1.0, -1e100, 1.0].map(Value::Double).to_vec();
        assert_eq!(sum(&many).as_f64(), 2.0);
        let mut tenths = ExactSum::default();
        for _ in 0..1_000_000 {
            tenths.add(Value::Double(0.1));
        }
        assert_eq!(tenths.as_f64(), 100_000.0, "the exact sum of what 0.1 stands for rounds to that");
    }

    proptest! {
        #[test]
        fn s8_order_and_parts_do_not_matter_for_ints_and_multiples_of_a_thousandth(
            values in prop::collection::vec((any::<bool>(), -(1i64 << 40)..1 << 40), 0..40), at in any::<prop::sample::Index>(),
            factor in 1u32..100_000,
        ) {
            let values: Vec<Value> = values.into_iter()
                .map(|(int, v)| if int { Value::Int(v) } else { Value::Double(v as f64 / 1024.0) }).collect();
            let whole = sum(&values);
            let (left, right) = values.split_at(at.index(values.len() + 1));
            let mut parts = sum(right);
            parts.absorb(&sum(left));
            prop_assert_eq!(parts.value(), whole.value());
            let exact: i128 = values.iter().map(|v| match v {
                Value::Int(int) => i128::from(*int) * 1024,
                Value::Double(double) => (double * 1024.0) as i128,
            }).sum();
            prop_assert_eq!(whole.as_f64(), exact as f64 / 1024.0);
            prop_assert_eq!(whole.times(factor).as_f64(), (exact * i128::from(factor)) as f64 / 1024.0);
        }
    }
}
