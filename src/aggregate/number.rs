//! Numbers that are exact while they are integers.
//!
//! An integer sum stays an `i64` as long as it fits; when it would overflow, or meets a double, it becomes a double
//! and stays one (M31: promotion, counted by the caller).

/// An int or a double: OTLP's NumberDataPoint value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// `as_int`
    Int(i64),
    /// `as_double`
    Double(f64),
}

impl Value {
    /// From stored bits.
    #[inline]
    pub const fn from_bits(bits: u64, double: bool) -> Value {
        if double { Value::Double(f64::from_bits(bits)) } else { Value::Int(bits as i64) }
    }

    /// To be stored, with `is_double`.
    #[inline]
    pub const fn bits(self) -> u64 {
        match self {
            Value::Int(v) => v as u64,
            Value::Double(v) => v.to_bits(),
        }
    }

    /// Whether the bits are those of a double.
    #[inline]
    pub const fn is_double(self) -> bool {
        matches!(self, Value::Double(_))
    }

    /// As a double; integers past 2^53 round.
    #[inline]
    pub const fn as_f64(self) -> f64 {
        match self {
            Value::Int(v) => v as f64,
            Value::Double(v) => v,
        }
    }

    /// The sum; `true` when two ints overflowed and were promoted.
    #[inline]
    pub const fn add(self, other: Value) -> (Value, bool) {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => match a.checked_add(b) {
                Some(sum) => (Value::Int(sum), false),
                None => (Value::Double(a as f64 + b as f64), true),
            },
            _ => (Value::Double(self.as_f64() + other.as_f64()), false),
        }
    }

    /// The difference; ints that overflow are promoted.
    #[inline]
    pub const fn sub(self, other: Value) -> Value {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => match a.checked_sub(b) {
                Some(v) => Value::Int(v),
                None => Value::Double(a as f64 - b as f64),
            },
            _ => Value::Double(self.as_f64() - other.as_f64()),
        }
    }

    /// Less than, by value.
    #[inline]
    pub fn less(self, other: Value) -> bool {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => a < b,
            _ => self.as_f64() < other.as_f64(),
        }
    }

    /// Below zero.
    #[inline]
    pub fn is_negative(self) -> bool {
        match self {
            Value::Int(v) => v < 0,
            Value::Double(v) => v < 0.0,
        }
    }

    /// Neither NaN nor infinite.
    #[inline]
    pub const fn is_finite(self) -> bool {
        match self {
            Value::Int(_) => true,
            Value::Double(v) => v.is_finite(),
        }
    }
}

/// A start that is known and lies before the current one.
pub fn older(start: u64, current: u64) -> bool {
    start != 0 && start < current
}

/// A start that is known and lies after the current one, which is known too.
pub fn newer(start: u64, current: u64) -> bool {
    current != 0 && start > current
}

/// What a cumulative point contributes after `last` of the same writer, and whether that was a reset (M10). A sum that
/// is not monotonic is never reset (M18).
pub fn step(last: Value, last_start: u64, value: Value, start: u64, monotonic: bool) -> (Value, bool) {
    if monotonic && (newer(start, last_start) || value.less(last)) {
        return (value, true);
    }
    (value.sub(last), false)
}

/// Order by value; an int that equals a double stands before it, so that which of them is shown depends on nothing else.
pub fn below(a: Value, b: Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a < b,
        _ if a.as_f64() == b.as_f64() => (a.is_double(), a.bits()) < (b.is_double(), b.bits()),
        _ => a.as_f64() < b.as_f64(),
    }
}

/// The extremes of both.
#[inline]
pub fn wider(a: Option<(Value, Value)>, b: Option<(Value, Value)>) -> Option<(Value, Value)> {
    let (Some((a_low, a_high)), Some((b_low, b_high))) = (a, b) else { return a.or(b) };
    let low = if below(b_low, a_low) { b_low } else { a_low };
    let high = if below(a_high, b_high) { b_high } else { a_high };
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m31_ints_are_exact_and_promoted_on_overflow() {
        assert_eq!(Value::Int(i64::MAX - 1).add(Value::Int(1)), (Value::Int(i64::MAX), false));
        assert_eq!(Value::Int(i64::MAX).add(Value::Int(1)), (Value::Double(9_223_372_036_854_775_808.0), true));
        assert_eq!(Value::Int((1 << 53) + 1).add(Value::Int(0)).0, Value::Int((1 << 53) + 1));
        assert_eq!(Value::Int(1).add(Value::Double(0.5)), (Value::Double(1.5), false));
        let negative_zero = Value::from_bits((-0.0f64).to_bits(), true);
        assert_eq!(negative_zero.bits(), (-0.0f64).to_bits());
        assert_eq!(Value::from_bits(1, true).bits(), 1, "subnormals keep their bits");
    }
}
