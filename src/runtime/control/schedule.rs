//! When cuts are made: on the wall clock's multiples of the interval, while it behaves.
//!
//! ```text
//!   due? ─► publish ─► (late? skip) ─► all merged ─► next
//! ```
//!
//! Does not know: clocks, threads, how a shard is woken. Bounds: `limits::CUT_LATE_AFTER` for a late shard; a cut that is
//! due while the one before is being merged waits for it.

use crate::clock::Now;
use crate::limits::CUT_LATE_AFTER;
use crate::sync::cut::{CutBoard, CutTimes, Publish};
use std::time::Duration;

/// What was made of cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::runtime) struct CutCounts {
    pub published: u64,
    /// Those that had to wait for the merge before.
    pub postponed: u64,
    /// Shards that were late for one.
    pub skipped: u64,
}

/// Whom a turn of the schedule gives something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Woken {
    Nobody,
    Shards,
}

impl Woken {
    fn and(self, other: Woken) -> Woken {
        if self == Woken::Nobody { other } else { self }
    }
}

/// Longest wait while a cut is due or under way.
const LOOK: Duration = Duration::from_millis(50);

/// The cuts of a process.
pub(in crate::runtime) struct Schedule {
    interval_ns: u64,
    /// Number of the last cut, its wall time, and when it was published on the monotonic clock; before the first the
    /// start of the process.
    number: u32,
    boundary: u64,
    published: u64,
    postponed: bool,
    late_noted: u32,
    /// Wall time of the next cut.
    next: u64,
    /// Rules are exchanged with it.
    is_exchange: bool,
    counts: CutCounts,
}

impl Schedule {
    pub(in crate::runtime) fn new(started: Now, interval_ns: u64) -> Schedule {
        Schedule {
            interval_ns,
            number: 0,
            boundary: started.wall_ns,
            published: started.mono_ns,
            postponed: false,
            late_noted: 0,
            next: next_boundary(started.wall_ns, interval_ns),
            is_exchange: false,
            counts: CutCounts::default(),
        }
    }

    /// Number of the last cut; 0 before the first.
    pub(in crate::runtime) fn number(&self) -> u32 {
        self.number
    }

    /// Shards were late for the last cut: their points are in the next one.
    pub(in crate::runtime) fn was_missed(&self) -> bool {
        self.number > 0 && self.late_noted == self.number
    }

    pub(in crate::runtime) fn counts(&self) -> CutCounts {
        self.counts
    }

    /// How long nothing will be due, at most `longest`.
    pub(in crate::runtime) fn wait(&self, board: &CutBoard, now: Now, longest: Duration) -> Duration {
        let wait = longest.min(Duration::from_nanos(self.next.saturating_sub(now.wall_ns)));
        let is_waiting = self.postponed || !board.all_merged(self.number);
        if is_waiting { wait.min(LOOK) } else { wait }
    }

    /// Whether rules wait that come into force behind the next cut.
    pub(in crate::runtime) fn exchange_with_next(&mut self, is_exchange: bool) {
        self.is_exchange = is_exchange;
    }

    /// Whether `turn` would publish a cut now.
    pub(in crate::runtime) fn is_due(&self, board: &CutBoard, now: Now) -> bool {
        let is_time = now.wall_ns >= self.next
            || now.mono_ns.saturating_sub(self.published) >= self.interval_ns.saturating_mul(2);
        is_time && board.all_merged(self.number)
    }

    /// Publishes a cut that is due, and skips shards that are late for the last one.
    pub(in crate::runtime) fn turn(&mut self, board: &CutBoard, now: Now) -> Woken {
        let two = self.interval_ns.saturating_mul(2);
        if now.wall_ns.saturating_add(two) < self.next {
            // the wall clock was set back: the next cut comes within an interval all the same
            self.next = next_boundary(now.wall_ns, self.interval_ns);
        }
        // set back by less, it waits no longer than this
        if now.wall_ns >= self.next || now.mono_ns.saturating_sub(self.published) >= two {
            let woken = self.cut(board, now, false);
            return woken.and(self.skip_late(board, now));
        }
        self.skip_late(board, now)
    }

    /// Skips shards that are late for the last cut.
    pub(in crate::runtime) fn skip_late(&mut self, board: &CutBoard, now: Now) -> Woken {
        let late = self.published + CUT_LATE_AFTER.as_nanos() as u64;
        if self.number == 0 || now.mono_ns < late || board.all_closed(self.number) {
            return Woken::Nobody;
        }
        let skipped = board.skip_late(self.number);
        self.counts.skipped += skipped.shards.len() as u64;
        if !skipped.shards.is_empty() && self.late_noted != self.number {
            self.late_noted = self.number;
            tracing::warn!(shards = ?skipped.shards, cut = self.number, "shards were late for a cut; their points are in the next one");
        }
        if skipped.last { Woken::Shards } else { Woken::Nobody }
    }

    /// Publishes one of the last cuts of the process, or notes that it must wait.
    pub(in crate::runtime) fn cut_last(&mut self, board: &CutBoard, now: Now) -> Woken {
        self.cut(board, now, true)
    }

    /// Publishes the next cut, or notes that it must wait.
    fn cut(&mut self, board: &CutBoard, now: Now, is_last: bool) -> Woken {
        let (before, elapsed) = (self.boundary, now.mono_ns.saturating_sub(self.published));
        let is_exchange = self.is_exchange && !is_last;
        let times = CutTimes { is_last, is_exchange, ..times(before, elapsed, now, self.interval_ns) };
        let boundary = times.boundary_ns;
        match board.publish(self.number + 1, times) {
            Publish::Published => {
                self.number += 1;
                if boundary < before || times.from_ns > before {
                    tracing::warn!(
                        cut = self.number,
                        by_s = (boundary as i128 - before as i128 - elapsed as i128) / 1_000_000_000,
                        "the wall clock stepped; windows follow it, nothing is forgotten"
                    );
                }
                self.boundary = boundary;
                self.published = now.mono_ns;
                self.postponed = false;
                self.next = next_boundary(now.wall_ns, self.interval_ns);
                self.counts.published += 1;
                Woken::Shards
            }
            Publish::Postponed => {
                if !self.postponed {
                    self.postponed = true;
                    self.counts.postponed += 1;
                    tracing::warn!(
                        cut = self.number,
                        "the merge takes longer than the interval; the next cut covers more"
                    );
                }
                Woken::Nobody
            }
        }
    }
}

/// The window of the cut made `now`, `elapsed` after the one at `before`. Boundaries are multiples of the interval while
/// the wall clock behaves, and rise, also where it is set back by an interval at most; set back by more they follow it,
/// and the window is one interval. A window is never longer than what passed, in whole intervals, or two of them.
fn times(before: u64, elapsed: u64, now: Now, interval: u64) -> CutTimes {
    let (wall_ns, mono_ns) = (now.wall_ns, now.mono_ns);
    let aligned = wall_ns / interval * interval;
    if wall_ns.saturating_add(interval) < before {
        let boundary_ns = if aligned == 0 { wall_ns } else { aligned };
        return CutTimes {
            from_ns: boundary_ns.saturating_sub(interval),
            boundary_ns,
            mono_ns,
            is_last: false,
            is_exchange: false,
        };
    }
    let boundary_ns = if aligned > before { aligned } else { wall_ns }.max(before + 1);
    let longest = elapsed.div_ceil(interval).max(2).saturating_mul(interval);
    CutTimes {
        from_ns: before.max(boundary_ns.saturating_sub(longest)),
        boundary_ns,
        mono_ns,
        is_last: false,
        is_exchange: false,
    }
}

/// The next multiple of the interval after `wall`.
const fn next_boundary(wall: u64, interval: u64) -> u64 {
    (wall / interval + 1) * interval
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::cut::{Due, Switch};

    const SHARDS: usize = 3;
    const INTERVAL: Duration = Duration::from_secs(10);

    /// The test does what shards would do.
    fn schedule() -> (CutBoard, Schedule) {
        (CutBoard::new(SHARDS), Schedule::new(Now { mono_ns: 1, wall_ns: 1 }, I))
    }

    /// DESIGN 4: a shard that has not switched a second after a cut is skipped, counted once, and holds nobody up; it
    /// learns of it, and switches at the next cut.
    #[test]
    fn a_shard_that_is_late_for_a_cut_is_skipped() {
        let (board, mut schedule) = schedule();
        let mut now = Now { mono_ns: 1, wall_ns: schedule.next };
        assert_eq!(schedule.turn(&board, now), Woken::Shards, "there is a cut");
        assert_eq!(schedule.turn(&board, now), Woken::Nobody);
        assert_eq!(board.published(), 1);
        for shard in [0, 2] {
            assert!(matches!(board.try_switch(shard, 1), Switch::Switched { last: false }));
        }
        now.mono_ns += CUT_LATE_AFTER.as_nanos() as u64 - 1;
        schedule.turn(&board, now);
        assert!(!board.all_closed(1), "not late yet");
        now.mono_ns += 1;
        assert_eq!(schedule.turn(&board, now), Woken::Shards, "there is something to merge");
        assert_eq!(schedule.turn(&board, now), Woken::Nobody);
        assert!(board.all_closed(1), "nobody waits for it any more");
        assert_eq!((schedule.counts().skipped, schedule.was_missed()), (1, true));
        assert!(matches!(board.try_switch(1, 1), Switch::AlreadySkipped));
        merge(&board, 1);
        now.wall_ns = schedule.next;
        schedule.turn(&board, now);
        assert_eq!(board.published(), 2);
        assert!(matches!(board.due(1), Due::Switch(cut) if cut.number == 2));
        assert!(matches!(board.try_switch(1, 2), Switch::Switched { .. }));
    }

    /// All shards merge the cut, in both halves.
    fn merge(board: &CutBoard, number: u32) {
        (0..SHARDS).for_each(|shard| {
            board.fold_done(shard, number);
        });
        (0..SHARDS).for_each(|shard| {
            board.merge_done(shard, number);
        });
    }

    /// A cut that is due while the one before is being merged waits, is counted once, and comes when that is done.
    #[test]
    fn a_cut_that_is_due_during_a_merge_is_postponed() {
        let (board, mut schedule) = schedule();
        let mut now = Now { mono_ns: 1, wall_ns: schedule.next };
        schedule.turn(&board, now);
        (0..SHARDS).for_each(|shard| {
            board.try_switch(shard, 1);
        });
        now.wall_ns = schedule.next;
        schedule.turn(&board, now);
        schedule.turn(&board, now);
        assert_eq!((schedule.number, schedule.counts().postponed), (1, 1));
        merge(&board, 1);
        schedule.turn(&board, now);
        assert_eq!((schedule.number, schedule.counts().published), (2, 2));
    }

    const I: u64 = INTERVAL.as_nanos() as u64;
    const HOUR: u64 = 3_600_000_000_000;
    const YEAR: u64 = 8_760 * HOUR;

    /// Runs for `intervals`, a look each tenth; the shards do what they should. The times of the cuts made.
    fn go(board: &CutBoard, schedule: &mut Schedule, now: &mut Now, intervals: u64) -> Vec<CutTimes> {
        let mut cuts = Vec::new();
        for _ in 0..intervals * 10 {
            now.mono_ns += I / 10;
            now.wall_ns += I / 10;
            schedule.turn(board, *now);
            let number = board.published();
            if !board.all_merged(number) {
                (0..SHARDS).for_each(|shard| {
                    board.try_switch(shard, number);
                });
                merge(board, number);
                cuts.push(board.times());
            }
        }
        cuts
    }

    /// A wall clock that steps, by anything, in either direction: cuts go on at their pace, the boundary is never
    /// further from the clock than an interval, no window is longer than two or begins behind its end, and the
    /// monotonic time of cuts knows nothing of it.
    #[test]
    fn cuts_follow_a_wall_clock_that_steps() {
        let (board, mut schedule) = schedule();
        let mut now = Now { mono_ns: 1, wall_ns: 1 };
        now.wall_ns += 50 * YEAR / I * I;
        (schedule.boundary, schedule.next) = (now.wall_ns, next_boundary(now.wall_ns, I));
        let mut last = now.mono_ns;
        let mut boundary = now.wall_ns;
        let steps = [0, I / 2, I, 3 * I / 2, 2 * I, 5 * I / 2, HOUR, YEAR];
        for step in steps.into_iter().flat_map(|step| [step as i64, -(step as i64)]) {
            now.wall_ns = now.wall_ns.strict_add_signed(step);
            let cuts = go(&board, &mut schedule, &mut now, 6);
            assert!(cuts.len() >= 5, "{step}: {cuts:?}");
            for (i, cut) in cuts.iter().enumerate() {
                assert!(cut.mono_ns - last <= 2 * I, "{step}: {cuts:?}");
                assert!(cut.from_ns < cut.boundary_ns && cut.boundary_ns - cut.from_ns <= 2 * I, "{step}: {cuts:?}");
                // what of the first cut is published late is less than an interval
                let wall = now.wall_ns - (now.mono_ns - cut.mono_ns);
                assert!(cut.boundary_ns.abs_diff(wall) <= I, "{step}: {cuts:?}");
                assert!(step.unsigned_abs() > I || cut.from_ns == boundary, "{step}: {i} follows: {cuts:?}");
                assert!(i == 0 || cut.from_ns == boundary, "{step}: {i} follows: {cuts:?}");
                assert!(i < 2 || cut.boundary_ns.is_multiple_of(I), "{step}: aligned again: {cuts:?}");
                (last, boundary) = (cut.mono_ns, cut.boundary_ns);
            }
        }
    }

    /// A cut that comes late because the merge before was slow covers all of it: that is no step.
    #[test]
    fn a_window_is_as_long_as_a_slow_merge() {
        let now = Now { mono_ns: 100 * I, wall_ns: 1_007 * I + 5 };
        let made = times(1_000 * I, 7 * I + 5, now, I);
        assert_eq!((made.from_ns, made.boundary_ns), (1_000 * I, 1_007 * I));
    }
}
