//! How far what leaves of an output at a cut is, from one slice of it to the next.
//!
//! Knows the interval that the cut closed, and places of outputs; does not know what is computed (`state`).

use super::super::exact::ExactSum;
use super::super::ring::FoldStep;

/// What happened in the interval that a cut closes.
#[derive(Debug)]
pub(super) struct ClosedInterval {
    pub(super) step: FoldStep,
    pub(super) delta: ExactSum,
    pub(super) points: u64,
    pub(super) is_touched: bool,
    pub(super) is_changed: bool,
    pub(super) was_trailing: bool,
    pub(super) was_wide: bool,
    /// The window that was asked for last, and its intervals: outputs of a rule mostly share one.
    pub(super) window: Option<(usize, FoldStep)>,
}

/// How far what leaves at a cut is.
#[derive(Debug, Default)]
pub struct Departure(pub(super) Option<Departing>);

#[derive(Debug)]
pub(super) struct Departing {
    pub(super) interval: ClosedInterval,
    /// The output that comes next; behind them what is made, and regions.
    pub(super) next: usize,
}

/// Work of a slice of what leaves: about so many outputs that are computed of one interval.
pub(super) const LEAVES_AT_A_TIME: usize = 64;
/// Groups of a window that are gathered in a slice.
pub(super) const GATHERED_AT_A_TIME: usize = 2_048;
