//! How many different values there are: exact while they are few, an estimate then.
//!
//! Knows hashes of 64 bits that are as good as random; does not know what they are of. Two hashes that are equal by chance
//! are of no account: of a million values that is one in 37 million.
//!
//! Bounds: `limits::FOLD_DISTINCT_MAX` hashes, and as many that come twice; then 4 KiB. The estimate's standard error is
//! 1.04 / √4096, or 1.6 %.
//!
//! Source: O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (arXiv 1702.01284), algorithm 6: no
//! tables of biases, and no seam between small numbers and large ones.

use super::intervals::Intervals;
use crate::limits::FOLD_DISTINCT_MAX;

/// Bits of a hash that choose a register.
const BITS: u32 = 12;
/// Registers.
const REGISTERS: usize = 1 << BITS;
/// The rest of a hash has so many bits: a register says 0 to `RANKS` + 1.
const RANKS: usize = 64 - BITS as usize;

/// Hashes of values.
#[derive(Clone, Debug, Default)]
pub(super) struct Distinct {
    /// May be there twice.
    exact: Vec<u64>,
    /// They were too many: all of them are in the registers.
    is_estimate: bool,
    /// The longest run of zeros, and one, of those that chose a register; as long as it is exact, memory to be used again,
    /// all zero.
    registers: Option<Box<[u8; REGISTERS]>>,
}

impl Distinct {
    /// Adds a value's hash.
    pub(super) fn add(&mut self, hash: u64) {
        if self.is_estimate
            && let Some(registers) = &mut self.registers
        {
            register(registers, hash);
            return;
        }
        self.exact.push(hash);
        if self.exact.len() >= 2 * FOLD_DISTINCT_MAX {
            self.settle();
        }
    }

    /// Forgets those that are there twice; of too many makes registers.
    fn settle(&mut self) {
        self.exact.sort_unstable();
        self.exact.dedup();
        if self.exact.len() > FOLD_DISTINCT_MAX {
            self.blur();
        }
    }

    fn blur(&mut self) {
        self.is_estimate = true;
        let registers = self.registers.get_or_insert_with(|| Box::new([0; REGISTERS]));
        for hash in self.exact.drain(..) {
            register(registers, hash);
        }
    }

    /// Adds what another one has.
    pub(super) fn absorb(&mut self, other: &Distinct) {
        if other.is_estimate
            && let Some(from) = &other.registers
        {
            self.blur();
            if let Some(into) = &mut self.registers {
                for (into, from) in into.iter_mut().zip(from.iter()) {
                    *into = (*into).max(*from);
                }
            }
        }
        for hash in &other.exact {
            self.add(*hash);
        }
    }

    /// How many there are.
    pub(super) fn count(&mut self) -> u64 {
        if !self.is_estimate {
            self.settle();
        }
        let registers = self.registers.as_ref().filter(|_| self.is_estimate);
        registers.map_or(self.exact.len() as u64, |registers| estimate(registers).round() as u64)
    }

    /// Makes it empty; its memory is used again.
    pub(super) fn clear(&mut self) {
        self.exact.clear();
        if std::mem::take(&mut self.is_estimate)
            && let Some(registers) = &mut self.registers
        {
            registers.fill(0);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        8 * self.exact.capacity() + self.registers.as_ref().map_or(0, |_| REGISTERS)
    }
}

fn register(registers: &mut [u8; REGISTERS], hash: u64) {
    let place = (hash >> RANKS) as usize;
    // a one behind the last bit: no run is longer than what is left
    let rank = ((hash << BITS) | 1 << (BITS - 1)).leading_zeros() as u8 + 1;
    registers[place] = registers[place].max(rank);
}

fn estimate(registers: &[u8; REGISTERS]) -> f64 {
    let mut counts = [0u32; RANKS + 2];
    for rank in registers {
        counts[usize::from(*rank)] += 1;
    }
    let all = REGISTERS as f64;
    let mut z = all * tau(1.0 - f64::from(counts[RANKS + 1]) / all);
    for count in counts[1..=RANKS].iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += all * sigma(f64::from(counts[0]) / all);
    all * all / (2.0 * std::f64::consts::LN_2 * z)
}

/// x + Σ x^(2^k) 2^(k-1): what registers without a value say. Infinite at 1, where nothing was added.
fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut factor, mut sum) = (x, 1.0, x);
    // powers of what is below 1 - 2^-53 vanish after 64 squares
    for _ in 0..64 {
        power *= power;
        let before = sum;
        sum += power * factor;
        factor += factor;
        if sum == before {
            break;
        }
    }
    sum
}

/// (1 - x - Σ (1 - x^(2^-k))² 2^-k) / 3: what full registers say.
fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut root, mut factor, mut sum) = (x, 1.0, 1.0 - x);
    // each term is a quarter of the one before, or less
    for _ in 0..64 {
        root = root.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - root).powi(2) * factor;
        if sum == before {
            break;
        }
    }
    sum / 3.0
}

/// Of the intervals of a window.
#[derive(Clone, Debug, Default)]
pub(super) struct DistinctState {
    /// Of the interval.
    pub(super) open: Distinct,
    /// Of those before.
    ring: Intervals<Distinct>,
}

impl DistinctState {
    /// Closes the interval that rule cut `number` ends, for a window of `steps`: how many there are in it.
    pub(super) fn close(&mut self, steps: usize, number: u64) -> u64 {
        let mut closed = std::mem::take(&mut self.open);
        if steps <= 1 {
            let count = closed.count();
            closed.clear();
            self.open = closed;
            return count;
        }
        closed.count();
        closed.exact.shrink_to_fit();
        *self.ring.open(steps, number) = closed;
        let mut all = Distinct::default();
        self.ring.last(steps).for_each(|interval| all.absorb(interval));
        all.count()
    }

    pub(super) fn bytes(&self) -> usize {
        let ring: usize = self.ring.all().map(|interval| size_of::<Distinct>() + interval.bytes()).sum();
        size_of::<DistinctState>() + self.open.bytes() + ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn of(hashes: &[u64], parts: usize) -> Distinct {
        let mut all = Distinct::default();
        for part in 0..parts {
            let mut one = Distinct::default();
            hashes.iter().skip(part).step_by(parts).for_each(|hash| one.add(*hash));
            all.absorb(&one);
        }
        all
    }

    #[test]
    fn few_are_counted_and_many_are_estimated_however_they_come() {
        let mut chance = Chance::new(7);
        let mut worst = 0f64;
        for count in [0, 1, 255, 256, 257, 300, 1_000, 5_000, 20_000, 100_000] {
            let hashes: Vec<u64> = (0..count).map(|_| chance.any()).collect();
            let twice = [hashes.as_slice(), &hashes].concat();
            let estimates: Vec<u64> = [1, 3, 8].iter().map(|parts| of(&twice, *parts).count()).collect();
            assert!(estimates.iter().all(|estimate| *estimate == estimates[0]), "{count}: {estimates:?}");
            if count <= 256 {
                assert_eq!(estimates[0], count);
            } else {
                worst = worst.max((estimates[0] as f64 / count as f64 - 1.0).abs());
            }
        }
        assert!(worst < 3.0 * 0.01625, "three times the standard error: {worst}");
    }

    #[test]
    fn the_error_is_what_the_registers_allow_and_leans_to_no_side() {
        let mut chance = Chance::new(1);
        for count in [2_000u64, 10_000, 30_000] {
            let errors: Vec<f64> = (0..50)
                .map(|_| {
                    let mut all = Distinct::default();
                    (0..count).for_each(|_| all.add(chance.any()));
                    all.count() as f64 / count as f64 - 1.0
                })
                .collect();
            let mean = errors.iter().sum::<f64>() / 50.0;
            let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / 50.0).sqrt();
            assert!(mean.abs() < 0.007 && deviation < 0.022, "{count}: {mean} {deviation}");
        }
    }

    #[test]
    fn what_is_used_again_is_exact_again() {
        let mut chance = Chance::new(3);
        let mut used = Distinct::default();
        for count in [3, 2_000, 5, 3_000, 0, 200] {
            let hashes: Vec<u64> = (0..count).map(|_| chance.any()).collect();
            hashes.iter().for_each(|hash| used.add(*hash));
            let (mut joined, mut new) = (Distinct::default(), of(&hashes, 1));
            joined.absorb(&used);
            let want = new.count();
            assert!(count > 256 || want == count);
            assert_eq!((used.count(), joined.count()), (want, want), "{count}");
            used.clear();
        }
    }

    #[test]
    fn a_window_joins_its_intervals() {
        let mut state = DistinctState::default();
        let mut cut = |number, hashes: &[u64]| {
            hashes.iter().for_each(|hash| state.open.add(*hash));
            state.close(2, number)
        };
        assert_eq!([cut(1, &[1, 2]), cut(2, &[2, 3]), cut(3, &[]), cut(4, &[9, 9])], [2, 3, 2, 1]);
    }
}
