//! How often a rule's outputs leave, and how far they look back: multiples of each other, with what fits in the words where
//! they are not.
//!
//! Knows durations; does not know which outputs a rule has.

use super::super::tree::{TextPlace, TreeNode};
use super::check::Telling;
use super::trail::Trail;
use crate::limits::{RULE_INTERVAL_MAX, RULE_RATE_WINDOW_DEFAULT, RULE_WINDOW_STEPS_MAX};
use crate::problem::Flaw;
use crate::units::{duration, show_duration};
use std::time::Duration;

/// The base interval, a rule's, and its window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Windows {
    base_ns: Option<u64>,
    interval_ns: Option<u64>,
    window_ns: Option<u64>,
}

impl Windows {
    /// Of a rule; a base interval that is wrong itself is nothing, and so is what does not fit it.
    pub(super) fn read(
        telling: &mut Telling<'_>,
        base_ns: Option<u64>,
        default_ns: Option<u64>,
        rule: &TreeNode,
        trail: &Trail<'_>,
    ) -> Windows {
        let mut windows = Windows { base_ns, interval_ns: default_ns.or(base_ns), window_ns: None };
        if let Some(node) = rule.field("interval") {
            windows.interval_ns = time(node);
            windows.check_interval(telling, node.at, &Trail::Key(trail, "interval"));
        }
        if let Some(node) = rule.field("window") {
            windows.window_ns = time(node);
            let trail = Trail::Key(trail, "window");
            windows.window_ns.into_iter().for_each(|ns| windows.check_window(telling, node.at, &trail, ns));
        }
        windows
    }

    /// Between two cuts of the rule.
    pub(super) fn interval_ns(&self) -> u64 {
        self.interval_ns.unwrap_or(1)
    }

    /// The window that the rule gives itself.
    pub(super) fn window_ns(&self) -> Option<u64> {
        self.window_ns
    }

    /// How far a rate looks back if nobody says so: the smallest multiple of the interval that is a minute or more, as far as
    /// there are steps.
    pub(super) fn of_rate_ns(&self) -> u64 {
        let steps = (RULE_RATE_WINDOW_DEFAULT.as_nanos() as u64).div_ceil(self.interval_ns());
        self.interval_ns().saturating_mul(steps.clamp(1, RULE_WINDOW_STEPS_MAX))
    }

    /// That the interval is a multiple of the base interval.
    pub(super) fn check_interval(&self, telling: &mut Telling<'_>, at: TextPlace, trail: &Trail<'_>) {
        let Some(interval) = self.interval_ns else { return };
        if interval > RULE_INTERVAL_MAX.as_nanos() as u64 {
            return telling.tell(
                at,
                trail,
                Flaw::outside(format!("give at most {}", show_duration(RULE_INTERVAL_MAX))),
            );
        }
        if let Some(base) = self.base_ns.filter(|base| !interval.is_multiple_of(*base)) {
            let fault = format!("{} is no multiple of --interval ({})", show(interval), show(base));
            telling.tell(at, trail, Flaw::new(fault).allowed(neighbours(interval, base)));
        }
    }

    /// That a window is a multiple of the interval, and not too many of them.
    pub(super) fn check_window(&self, telling: &mut Telling<'_>, at: TextPlace, trail: &Trail<'_>, window: u64) {
        let Some(interval) = self.interval_ns else { return };
        let steps = window / interval;
        if !window.is_multiple_of(interval) {
            let fault = format!("{} is no multiple of the interval ({})", show(window), show(interval));
            telling.tell(at, trail, Flaw::new(fault).allowed(neighbours(window, interval)));
        } else if steps > RULE_WINDOW_STEPS_MAX {
            let fault = format!(
                "{} is {steps} steps of {}, {RULE_WINDOW_STEPS_MAX} are the most",
                show(window),
                show(interval)
            );
            let longest = show(interval.saturating_mul(RULE_WINDOW_STEPS_MAX));
            let fits = self.interval_for(window).map_or_else(
                || format!("give at most {longest}"),
                |fits| format!("give at most {longest}, or interval: {}", show(fits)),
            );
            telling.tell(at, trail, Flaw::new(fault).allowed(fits));
        }
    }

    /// The shortest interval of which a window has few enough steps.
    fn interval_for(&self, window: u64) -> Option<u64> {
        let base = self.base_ns?;
        let most = RULE_INTERVAL_MAX.as_nanos() as u64;
        let fits = |steps: &u64| window.is_multiple_of(*steps) && (window / steps).is_multiple_of(base);
        (1..=RULE_WINDOW_STEPS_MAX).rev().find(fits).map(|steps| window / steps).filter(|interval| *interval <= most)
    }
}

/// A duration of a node, nanoseconds.
pub(super) fn time(node: &TreeNode) -> Option<u64> {
    let time = duration(node.text()?).ok()?;
    u64::try_from(time.as_nanos()).ok().filter(|ns| *ns > 0)
}

/// As durations are written.
pub(super) fn show(ns: u64) -> String {
    show_duration(Duration::from_nanos(ns))
}

/// The multiples on both sides.
fn neighbours(time: u64, of: u64) -> String {
    match time / of * of {
        0 => format!("give {}", show(of)),
        below => format!("give {} or {}", show(below), show(below.saturating_add(of))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tree::parse;
    use super::*;
    use crate::problem::Problem;

    const S: u64 = 1_000_000_000;

    fn read(base_ns: u64, text: &str) -> (Windows, Vec<String>) {
        let (file, mut problems) = ("f".into(), Vec::new());
        let mut telling = Telling { file: &file, key: "rules", problems: &mut problems };
        let rule = parse(text).unwrap();
        let windows = Windows::read(&mut telling, Some(base_ns), None, &rule, &Trail::Start);
        (windows, problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn intervals_and_windows_are_multiples_or_refused_with_what_fits() {
        let check = |base_ns, text: &str, words: &[&str]| assert_eq!(read(base_ns, text).1, words, "{text}");
        check(10 * S, "{interval: 30s, window: 5m}", &[]);
        check(10 * S, "{}", &[]);
        check(
            10 * S,
            "{interval: 15s}",
            &["f:1:12 rules: interval: 15s is no multiple of --interval (10s); give 10s or 20s"],
        );
        check(10 * S, "{interval: 5s}", &["f:1:12 rules: interval: 5s is no multiple of --interval (10s); give 10s"]);
        check(10 * S, "{interval: 2h}", &["f:1:12 rules: interval: give at most 1h"]);
        check(
            10 * S,
            "{window: 45s}",
            &["f:1:10 rules: window: 45s is no multiple of the interval (10s); give 40s or 50s"],
        );
        check(
            10 * S,
            "{window: 2h}",
            &["f:1:10 rules: window: 2h is 720 steps of 10s, 360 are the most; give at most 1h, or interval: 20s"],
        );
        // a day of hours fits, one hour more than there are intervals for does not
        check(3_600 * S, "{window: 360h}", &[]);
        check(
            3_600 * S,
            "{window: 361h}",
            &["f:1:10 rules: window: 361h is 361 steps of 1h, 360 are the most; give at most 360h"],
        );
    }

    #[test]
    fn a_rate_looks_back_a_minute_as_far_as_there_are_steps() {
        for (base_ns, want_ns) in
            [(10 * S, 60 * S), (7 * S, 63 * S), (60 * S, 60 * S), (600 * S, 600 * S), (S / 10, 36 * S)]
        {
            assert_eq!(read(base_ns, "{}").0.of_rate_ns(), want_ns, "{base_ns}");
        }
    }
}
