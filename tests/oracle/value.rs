//! Values and their arithmetic, as plainly as can be.

use std::collections::BTreeMap;

/// Most buckets a side.
const BUCKETS_MAX: i64 = 160;

#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Nothing yet: adds nothing.
    #[default]
    Zero,
    Int(i64),
    Double(f64),
    Histogram(Histogram),
    Exponential(Exponential),
    /// Never added: start, count, sum, number of quantiles, quantiles and values, as bits.
    Summary(Vec<u64>),
    /// Depends on the order of additions of doubles: not compared.
    Unknown,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub buckets: Vec<u64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exponential {
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    /// Zero buckets of different widths met: only count and sum are compared.
    pub fuzzy: bool,
    /// Positive and negative; populated buckets only.
    pub sides: [BTreeMap<i64, u64>; 2],
}

/// Sums of such doubles do not depend on their order.
fn exact(v: f64) -> bool {
    v.is_finite() && v.abs() < (1u64 << 40) as f64 && (v * 1024.0).fract() == 0.0
}

/// NaN where the sum depends on the order: it is not compared.
fn add_sums(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    let (a, b) = (a?, b?);
    Some(if exact(a) && exact(b) { a + b } else { f64::NAN })
}

fn pick(a: Option<f64>, b: Option<f64>, best: fn(f64, f64) -> f64) -> Option<f64> {
    Some(best(a?, b?))
}

impl Value {
    /// Of two points of one time: whether this one wins (M17, M28).
    pub fn beats(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Summary(a), Value::Summary(b)) => a > b,
            _ => self.bits() > other.bits(),
        }
    }

    /// `start_time_unix_nano` of a summary; 0 for all else.
    pub fn summary_start(&self) -> u64 {
        if let Value::Summary(words) = self { words[0] } else { 0 }
    }

    fn bits(&self) -> u64 {
        match self {
            Value::Int(v) => *v as u64,
            Value::Double(v) => v.to_bits(),
            _ => 0,
        }
    }

    fn as_f64(&self) -> f64 {
        match self {
            Value::Int(v) => *v as f64,
            Value::Double(v) => *v,
            _ => 0.0,
        }
    }

    /// Nothing: counts leave 64 bits.
    pub fn add(&self, other: &Value) -> Option<Value> {
        use Value as V;
        Some(match (self, other) {
            (V::Unknown, _) | (_, V::Unknown) => V::Unknown,
            (V::Zero, v) | (v, V::Zero) => v.clone(),
            (V::Int(a), V::Int(b)) => match i64::try_from(i128::from(*a) + i128::from(*b)) {
                Ok(sum) => V::Int(sum),
                // promoted; where exactly depends on the order
                Err(_) => V::Unknown,
            },
            (V::Histogram(a), V::Histogram(b)) => a.add(b)?,
            (V::Exponential(a), V::Exponential(b)) => a.add(b)?,
            (a, b) => {
                let (a, b) = (a.as_f64(), b.as_f64());
                if exact(a) && exact(b) { V::Double(a + b) } else { V::Unknown }
            }
        })
    }

    /// M22: what a cumulative stream gained has no minimum and maximum.
    pub fn without_extremes(mut self) -> Value {
        match &mut self {
            Value::Histogram(h) => (h.min, h.max) = (None, None),
            Value::Exponential(e) => (e.min, e.max) = (None, None),
            _ => {}
        }
        self
    }

    /// What it has more than `older`; nothing if it cannot follow it without a reset.
    pub fn since(&self, older: &Value, monotonic: bool) -> Option<Value> {
        use Value as V;
        match (self, older) {
            (V::Int(a), V::Int(b)) => {
                if monotonic && a < b {
                    return None;
                }
                Some(i64::try_from(i128::from(*a) - i128::from(*b)).map_or(V::Unknown, V::Int))
            }
            (V::Histogram(a), V::Histogram(b)) => a.since(b),
            (V::Exponential(a), V::Exponential(b)) => a.since(b),
            (V::Int(_) | V::Double(_), V::Int(_) | V::Double(_)) => {
                let (a, b) = (self.as_f64(), older.as_f64());
                if monotonic && a < b {
                    return None;
                }
                Some(if exact(a) && exact(b) { V::Double(a - b) } else { V::Unknown })
            }
            _ => Some(V::Unknown),
        }
    }
}

impl Histogram {
    fn add(&self, other: &Histogram) -> Option<Value> {
        // a point without values says nothing about sum, minimum and maximum of others
        if other.count == 0 && self.count == 0 {
            return Some(Value::Histogram(Histogram { sum: self.sum.and(other.sum), ..self.clone() }));
        }
        if other.count == 0 {
            return Some(Value::Histogram(self.clone()));
        }
        if self.count == 0 {
            return Some(Value::Histogram(other.clone()));
        }
        let count = self.count.checked_add(other.count)?;
        Some(Value::Histogram(Histogram {
            count,
            sum: add_sums(self.sum, other.sum),
            min: pick(self.min, other.min, f64::min),
            max: pick(self.max, other.max, f64::max),
            buckets: self.buckets.iter().zip(&other.buckets).map(|(a, b)| a + b).collect(),
        }))
    }

    fn since(&self, older: &Histogram) -> Option<Value> {
        let buckets: Option<Vec<u64>> =
            self.buckets.iter().zip(&older.buckets).map(|(a, b)| a.checked_sub(*b)).collect();
        let (count, buckets) = (self.count.checked_sub(older.count)?, buckets?);
        let sum = if older.count == 0 { self.sum } else { add_sums(self.sum, older.sum.map(|sum| -sum)) };
        let sum = sum.map(|sum| if count == 0 { 0.0 } else { sum });
        // M22: minimum and maximum of a difference are unknown
        Some(Value::Histogram(Histogram { count, sum, min: None, max: None, buckets }))
    }
}

impl Exponential {
    /// At a lower scale.
    pub fn at(&self, scale: i32) -> Exponential {
        let by = (self.scale - scale).clamp(0, 62);
        let sides = self.sides.clone().map(|side| {
            let mut out = BTreeMap::new();
            for (index, count) in side {
                *out.entry(index >> by).or_insert(0) += count;
            }
            out
        });
        Exponential { scale: scale.min(self.scale), sides, ..self.clone() }
    }

    /// At the highest scale at which both sides fit.
    pub fn fitted(&self) -> Exponential {
        let mut out = self.clone();
        let wide = |side: &BTreeMap<i64, u64>| match (side.first_key_value(), side.last_key_value()) {
            (Some((low, _)), Some((high, _))) => high - low >= BUCKETS_MAX,
            _ => false,
        };
        while out.sides.iter().any(wide) {
            out = out.at(out.scale - 1);
        }
        // M24: the threshold may have risen, since it may lie inside a bucket now
        out.fuzzy |= out.scale < self.scale && self.zero_threshold > 0.0;
        out
    }

    fn add(&self, other: &Exponential) -> Option<Value> {
        if other.count == 0 && self.count == 0 {
            return Some(Value::Exponential(Exponential { sum: self.sum.and(other.sum), ..self.clone() }));
        }
        if other.count == 0 {
            return Some(Value::Exponential(self.clone()));
        }
        if self.count == 0 {
            return Some(Value::Exponential(other.clone()));
        }
        let count = self.count.checked_add(other.count)?;
        let thresholds = [self.zero_threshold, other.zero_threshold];
        let fuzzy = self.fuzzy || other.fuzzy || thresholds.iter().any(|threshold| *threshold > 0.0);
        if fuzzy {
            let all = Exponential { fuzzy, count, sum: add_sums(self.sum, other.sum), ..Exponential::default() };
            return Some(Value::Exponential(all));
        }
        let scale = self.scale.min(other.scale);
        let (mut out, other) = (self.at(scale), other.at(scale));
        for (into, from) in out.sides.iter_mut().zip(&other.sides) {
            for (index, count) in from {
                *into.entry(*index).or_insert(0) += count;
            }
        }
        out.count = count;
        out.zero_count += other.zero_count;
        out.sum = add_sums(out.sum, other.sum);
        out.min = pick(out.min, other.min, f64::min);
        out.max = pick(out.max, other.max, f64::max);
        Some(Value::Exponential(out.fitted()))
    }

    fn since(&self, older: &Exponential) -> Option<Value> {
        let count = self.count.checked_sub(older.count)?;
        if older.count == 0 {
            return Some(Value::Exponential(Exponential { min: None, max: None, ..self.clone() }));
        }
        if self.fuzzy || older.fuzzy || self.zero_threshold != older.zero_threshold {
            return Some(Value::Unknown);
        }
        if self.scale != older.scale && self.zero_threshold > 0.0 {
            return Some(Value::Unknown);
        }
        let scale = self.scale.min(older.scale);
        let zero_count = self.zero_count.checked_sub(older.zero_count)?;
        let (mut out, older) = (self.at(scale), older.at(scale));
        for (into, from) in out.sides.iter_mut().zip(&older.sides) {
            for (index, count) in from {
                let slot = into.get_mut(index)?;
                *slot = slot.checked_sub(*count)?;
            }
            into.retain(|_, count| *count > 0);
        }
        let sum = add_sums(self.sum, older.sum.map(|sum| -sum)).map(|sum| if count == 0 { 0.0 } else { sum });
        Some(Value::Exponential(Exponential { count, sum, min: None, max: None, zero_count, ..out }))
    }
}
