//! Summaries: nothing is added; of the points of an interval the newest stays, whole (M28).
//!
//! ```text
//!   1    time of the newest point, also of one without a recorded value
//!   2..  its region (`aggregate::summary`)
//! ```
//!
//! Flags: `VALUE`, `ENDED`. The time goes from bank to bank.

use super::bank::{Added, Bank};
use super::stamp::{ENDED, VALUE};
use crate::aggregate::summary::{self, REGION};
use crate::ledger::{Effect, Tally};
use std::sync::atomic::AtomicU64;

const TIME: usize = 1;

#[inline]
pub(super) fn open(bank: Bank<'_>, other: Bank<'_>) {
    bank.keep(other, &[TIME]);
}

fn region(bank: Bank<'_>) -> &[AtomicU64] {
    bank.part(bank.shape().region_in_bank(0))
}

/// Adds a point, or one without a recorded value. Of equal times the larger stays, and a value goes before none.
pub fn add(bank: Bank<'_>, time: u64, point: Option<&[u64; REGION]>, tally: &mut Tally) -> Added {
    bank.count()?;
    let (flags, before) = (bank.flags(), bank.get(TIME));
    let Some(point) = point else {
        return Ok(bank.end_newest(TIME, time, tally));
    };
    let (mut held, point) = (region(bank), point.as_slice());
    let wins_tie = flags & ENDED != 0 || flags & VALUE != 0 && summary::larger(&point, &held);
    if time < before || time == before && !wins_tie {
        return Ok(bank.without_effect(1, Effect::Superseded, tally));
    }
    summary::copy(&mut held, &point);
    bank.put(TIME, time);
    bank.put_flags(flags & !ENDED | VALUE);
    Ok(None)
}

/// The newest point of a bank.
#[derive(Clone, Copy, Debug)]
pub struct NewestSummary<'a> {
    /// Its time; if there is no value, that of the newest point this core knows.
    pub time: u64,
    /// Nothing: no point had an effect, or the newest has no value.
    pub region: Option<&'a [AtomicU64]>,
    /// The newest has no recorded value.
    pub is_ended: bool,
}

/// What the bank holds.
pub fn fold(bank: Bank<'_>) -> NewestSummary<'_> {
    NewestSummary { time: bank.get(TIME), region: bank.has(VALUE).then(|| region(bank)), is_ended: bank.has(ENDED) }
}
