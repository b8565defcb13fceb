//! The end of a series (M7): when a point without a recorded value ends it.
//!
//! Knows marks and series; does not know how a point without a value is written.
//!
//! A point without a recorded value says that its source has nothing to report any more. What that does depends on the
//! kind of stream:
//! - *Gauge, summary*: the newest point wins, whole. If it has no value, the series ends. Of two points of the same time
//!   the one with a value wins, whichever core took it and whichever came first in the interval.
//! - *Cumulative*: the same, but values of the interval that are older than the mark count and leave. The mark leaves
//!   behind them, as a second point.
//! - *Delta*: values add up, whatever their times, and there may be any number of writers. So the series ends only if no
//!   point of the interval had a value, on any core. A value of a cumulative stream of the same series keeps it alive,
//!   too.
//!
//! Ties are settled within an interval only. Once a cut has ended a series, only a value of a later time revives it: cores
//! and series keep one newest time, and not whether that point had a value.
//!
//! A series that never had a value does not end. One that ended shows nothing until a value comes; then it goes on from
//! the total and the start that it had.
//!
//! The end leaves once for each destination: times, attributes and the flag, with the bounds (or quantiles) that the
//! series had and zeros in them. A receiver that spreads a histogram over several series needs these to find them all.
//! Scrapes no longer show a series that ended.

use super::interval::Interval;
use super::point::StagedPoint;
use crate::series::Series;

/// What points without a recorded value said in an interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// Time of the newest one of gauges, summaries and cumulative streams that no value of its core follows; 0: none.
    pub time: u64,
    /// There was one of a delta stream, on a core without a value.
    pub delta: bool,
    /// There was a value of a delta stream.
    pub has_delta: bool,
}

impl Mark {
    /// The newest point of a core has this time and no value.
    pub(super) fn at(&mut self, time: u64) {
        self.time = self.time.max(time);
    }

    /// There is something to decide.
    pub(super) const fn is_set(self) -> bool {
        self.time != 0 || self.delta
    }
}

/// Ends the series if the mark says so; `leaves`: with a value of this cut. The point that says so, if it ended now.
/// `end` marks the series.
#[cold]
pub(super) fn ended(
    interval: &Interval,
    series: &Series,
    mark: Mark,
    leaves: bool,
    end: impl FnOnce(&Series),
) -> Option<StagedPoint> {
    if mark.has_delta || series.newest().is_none() {
        return None;
    }
    let newer = mark.time > series.time();
    if newer {
        series.put_time(mark.time);
    }
    let says_so = newer || mark.delta && !leaves;
    if series.is_ended() || !says_so {
        return None;
    }
    end(series);
    let (time, start) = if newer && !series.has_delta() {
        (mark.time, series.start())
    } else {
        (interval.boundary_ns, interval.start_of(series))
    };
    Some(StagedPoint { time, start, has_delta: true, ended: true, ..StagedPoint::default() })
}
