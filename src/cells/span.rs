//! What a bank saw of a cumulative stream, in times and starts; values stay in the bank.
//!
//! Knows no words: sums and histograms read theirs into it.

/// From the first point to the last of one writer, and the newest of any (`shape`).
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Start of the first point.
    pub first_start: u64,
    /// Time of the first point.
    pub first_time: u64,
    /// Start of the last point, or an earlier one that was newer.
    pub last_start: u64,
    /// Time of the last point.
    pub last_time: u64,
    /// Start of the newest point of any writer that has a value.
    pub newest_start: u64,
    /// Its time.
    pub newest_time: u64,
    /// There was a reset between first and last.
    pub has_reset: bool,
    /// There are first, last and gained; else there is a newest point, which stands for first and last.
    pub is_chained: bool,
    /// Points that are not settled yet.
    pub points: u64,
}

impl Span {
    /// Without a chain the newest point stands for first and last.
    #[inline]
    pub(super) const fn whole(mut self) -> Span {
        if !self.is_chained {
            (self.first_start, self.last_start) = (self.newest_start, self.newest_start);
            (self.first_time, self.last_time) = (self.newest_time, self.newest_time);
        }
        self
    }
}

/// Of a sequence that a reset ended: start and time of its first point and of its last one, whether a reset is in it all the
/// same, and its points.
pub(super) const fn before_reset(first: (u64, u64), last: (u64, u64), (has_reset, points): (bool, u64)) -> Span {
    Span {
        first_start: first.0,
        first_time: first.1,
        last_start: last.0,
        last_time: last.1,
        newest_start: last.0,
        newest_time: last.1,
        has_reset,
        is_chained: true,
        points,
    }
}
