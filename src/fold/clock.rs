//! When a rule's interval ends, and how long its last ones were (RULES 5).
//!
//! Knows the windows of base cuts; does not know what leaves. A rule's cut is the first base cut at or after each multiple
//! of its interval: one that is postponed, early or made by a clock that stepped skips none. What a window covers is the
//! sum of its base windows, which are sane whatever the wall clock does (`runtime::control`): so what a rate says times
//! what its start and time say is what was added.
//!
//! Bounds: as many lengths as the longest window has intervals, and one, at most `limits::RULE_STEPS_MAX` + 1.

use crate::limits::RULE_STEPS_MAX;

/// The intervals of one rule.
#[derive(Clone, Debug)]
pub struct RuleClock {
    interval_ns: u64,
    /// The boundary of the last base cut; nothing before the first.
    boundary_ns: Option<u64>,
    /// What the base windows since the last rule cut cover.
    open_ns: u64,
    /// How long it was when the newest base window began, and where that was.
    early_ns: u64,
    base_from_ns: Option<u64>,
    /// What the last intervals covered, the newest last.
    lengths: Vec<u64>,
    /// How many of them are kept.
    kept: usize,
    /// How many rule cuts there were.
    number: u64,
}

/// The end of a rule's interval.
#[derive(Clone, Copy, Debug)]
pub struct RuleCut<'a> {
    /// 1 for the first.
    pub number: u64,
    /// The base cut's.
    pub boundary_ns: u64,
    /// The last of the process: merges leave, evaluations do not.
    pub is_last: bool,
    interval_ns: u64,
    lengths: &'a [u64],
}

/// What a window covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Where it begins.
    pub start_ns: u64,
    /// How long it is; above 0.
    pub length_ns: u64,
}

impl RuleClock {
    /// Of a rule whose longest window has so many intervals.
    pub fn new(interval_ns: u64, steps: usize) -> RuleClock {
        let kept = steps.clamp(1, RULE_STEPS_MAX) + 1;
        let interval_ns = interval_ns.max(1);
        RuleClock {
            interval_ns,
            boundary_ns: None,
            open_ns: 0,
            early_ns: 1,
            base_from_ns: None,
            lengths: Vec::with_capacity(kept),
            kept,
            number: 0,
        }
    }

    /// How many rule cuts there were.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// To be called at each base cut, once, with its window; the rule's cut, if it is one.
    pub fn at(&mut self, from_ns: u64, boundary_ns: u64, is_last: bool) -> Option<RuleCut<'_>> {
        let before = self.boundary_ns.unwrap_or(from_ns);
        self.boundary_ns = Some(boundary_ns);
        self.base_from_ns = Some(from_ns);
        self.early_ns = self.open_ns.max(1);
        self.open_ns = self.open_ns.saturating_add(boundary_ns.saturating_sub(from_ns));
        if boundary_ns / self.interval_ns == before / self.interval_ns && !is_last {
            return None;
        }
        self.close();
        self.cut(is_last)
    }

    /// Ends the interval with the base cut that `at` was told of, though that is not the rule's: other rules come behind it.
    pub fn close(&mut self) {
        while self.lengths.len() >= self.kept {
            self.lengths.remove(0);
        }
        self.lengths.push(std::mem::take(&mut self.open_ns).max(1));
        self.number += 1;
    }

    /// The longest window has so many intervals from now on.
    pub fn keep(&mut self, steps: usize) {
        self.kept = steps.clamp(1, RULE_STEPS_MAX) + 1;
    }

    /// How many intervals the longest window has.
    pub const fn steps(&self) -> usize {
        self.kept - 1
    }

    /// The interval as far as it had come when the base window began that `at` was told of, for an output that nobody gave
    /// anything since.
    pub fn early(&self) -> Option<RuleCut<'_>> {
        // the rule's own cut is closed already
        let number = if self.open_ns == 0 { self.number } else { self.number + 1 };
        let (boundary_ns, lengths) = (self.base_from_ns?, std::slice::from_ref(&self.early_ns));
        Some(RuleCut { number, boundary_ns, is_last: true, interval_ns: self.interval_ns, lengths })
    }

    /// The rule's last cut again, as long as its base cut lasts; nothing before the first.
    pub fn cut(&self, is_last: bool) -> Option<RuleCut<'_>> {
        let (number, interval_ns, boundary_ns) = (self.number, self.interval_ns, self.boundary_ns?);
        (number > 0).then_some(RuleCut { number, boundary_ns, is_last, interval_ns, lengths: &self.lengths })
    }
}

impl RuleCut<'_> {
    /// Where the interval begins that it closes.
    pub fn from_ns(&self) -> u64 {
        self.boundary_ns.saturating_sub(self.lengths.last().copied().unwrap_or(0))
    }

    /// What the last `steps` intervals cover.
    pub fn covered(&self, steps: usize) -> Covered {
        let first = self.lengths.len().saturating_sub(steps);
        let length_ns = self.lengths[first..].iter().fold(0u64, |sum, length| sum.saturating_add(*length));
        Covered { start_ns: self.boundary_ns.saturating_sub(length_ns), length_ns: length_ns.max(1) }
    }

    /// Whether a window of `steps` intervals lies whole behind rule cut `since` (RULES S10); 0 is the rule's start. What
    /// began within an interval has a window that is whole only without that interval, unless it is long enough.
    pub fn is_whole(&self, steps: usize, since: u64) -> bool {
        let behind = self.number.saturating_sub(since);
        let steps_ns = self.interval_ns.saturating_mul(steps as u64);
        behind > steps as u64 || behind == steps as u64 && self.covered(steps).length_ns >= steps_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// Boundaries of the rule's cuts, each with where it begins, in seconds.
    fn cuts(interval: u64, windows: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut clock = RuleClock::new(interval * S, 3);
        let of = |(from, to): &(u64, u64)| {
            clock.at(from * S, to * S, false).map(|cut| (cut.from_ns() / S, cut.boundary_ns / S))
        };
        windows.iter().filter_map(of).collect()
    }

    #[test]
    fn r5_a_rule_cut_is_the_first_base_cut_at_or_after_each_multiple() {
        let steps = |ends: &[u64]| -> Vec<(u64, u64)> { ends.windows(2).map(|pair| (pair[0], pair[1])).collect() };
        assert_eq!(cuts(30, &steps(&[0, 10, 20, 30, 40, 50, 60])), [(0, 30), (30, 60)]);
        assert_eq!(cuts(30, &steps(&[0, 10, 20, 33, 40, 60])), [(0, 33), (33, 60)], "postponed");
        assert_eq!(cuts(30, &steps(&[0, 10, 29, 31, 59, 60, 61])), [(0, 31), (31, 60)], "early");
        assert_eq!(cuts(30, &steps(&[25, 30, 60])), [(25, 30), (30, 60)], "started late");
        assert_eq!(cuts(10, &steps(&[0, 10, 20])), [(0, 10), (10, 20)]);
        assert_eq!(
            cuts(30, &[(0, 10), (3_580, 3_600), (3_600, 3_610), (3_610, 3_630)]),
            [(3_570, 3_600), (3_600, 3_630)]
        );
        assert_eq!(cuts(30, &[(90, 100), (50, 60), (60, 70), (70, 90)]), [(40, 60), (60, 90)], "set back");
    }

    #[test]
    fn r5_the_last_cut_is_a_rule_cut_wherever_it_is() {
        let mut clock = RuleClock::new(30 * S, 1);
        assert!(clock.at(0, 10 * S, false).is_none());
        let cut = clock.at(10 * S, 12 * S, true).unwrap();
        assert_eq!((cut.number, cut.from_ns(), cut.boundary_ns, cut.is_last), (1, 0, 12 * S, true));
    }

    #[test]
    fn s10_a_window_is_whole_if_it_began_with_the_rule_or_later() {
        let whole = |start: u64, first: u64| {
            let mut clock = RuleClock::new(10 * S, 2);
            (0..5)
                .map(|i| {
                    let (from, to) = if i == 0 { (start, first) } else { (first + (i - 1) * 10, first + i * 10) };
                    let cut = clock.at(from * S, to * S, false).expect("each base cut is one");
                    (cut.is_whole(2, 0), cut.is_whole(2, 1), cut.covered(2).start_ns / S)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            whole(0, 10),
            [(false, false, 0), (true, false, 0), (true, true, 10), (true, true, 20), (true, true, 30)]
        );
        assert_eq!(
            whole(3, 10),
            [(false, false, 3), (false, false, 3), (true, true, 10), (true, true, 20), (true, true, 30)]
        );
    }
}
