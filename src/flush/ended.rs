//! The end of a series (M7): when points without a recorded value are all that is new.
//!
//! Knows marks and series; does not know how a point without a value is written.
//!
//! Rules, by kind of stream:
//! - *Gauge, summary*: the newest point wins, whole. Has it no value, the series ends; at equal times the value wins, on
//!   whatever cores and in whatever order the two of an interval came.
//! - *Cumulative*: likewise, but values of the interval that came before the mark count and leave, and the mark behind
//!   them as a second point.
//! - Between intervals there is no such tie: an end that was cut stands, and only a value of a later time revives the
//!   series. A core and a series keep one newest time, and not of what kind of point it was.
//! - *Delta*: values add up whatever their times, from any number of writers; so the series ends only if no point of
//!   the interval, on any core, had a value. A value of a cumulative stream of the same series keeps it alive likewise.
//! - A series that never had a value does not end. One that ended stays as it is, and shows nothing, until a value
//!   comes: then it goes on from the total it had, with the start it had.
//!
//! The end leaves once for each destination: times, attributes and the flag, with the bounds (or quantiles) the series
//! had and zeros in them, so that receivers that spread a histogram over several series find them all. Scrapes show
//! ended series no more.

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
    /// A core's newest point, of this time, has no value.
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
