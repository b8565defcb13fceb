//! Exponential histograms: as `explicit_histogram`, with `aggregate::exponential`'s regions, which are read, added at one
//! scale, and written.

use super::bank::{Added, Bank};
use super::cumulative_histogram::{Comes, Part, PointTimes, comes, end, left_out, region, reset};
use super::sequences::Earlier;
use super::stamp::VALUE;
use crate::aggregate::exponential::Exponential;
use crate::ledger::Tally;
use crate::model::Reject;

/// Memory that adding takes, kept from point to point.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The point that is added.
    pub point: Exponential,
    last: Exponential,
    gained: Exponential,
    step: Exponential,
}

/// Adds the scratch's point, of these times, or one without a recorded value. What a reset ends goes to `earlier`.
pub fn add(
    bank: Bank<'_>,
    times: PointTimes,
    has_value: bool,
    (scratch, earlier): (&mut Scratch, Earlier<'_>),
    tally: &mut Tally,
) -> Added {
    match bank.shape().cumulative() {
        true => bank.count()?,
        false => bank.count_delta(tally),
    }
    if !has_value {
        return Ok(end(bank, times.time, tally));
    }
    let Scratch { point, last, gained, step } = scratch;
    let mut first_words = region(bank, Part::First);
    if !bank.shape().cumulative() {
        last.load(&first_words);
        if last.absorb(point) {
            // nothing was added
            bank.take_back();
            return Err(Reject::CountOverflow);
        }
        last.store(&mut first_words);
        bank.put_flags(bank.flags() | VALUE);
        return Ok(None);
    }
    let (mut last_words, mut gained_words) = (region(bank, Part::Last), region(bank, Part::Gained));
    let mut cause = None;
    match comes(bank, times, tally) {
        Comes::WithoutEffect(cause) => return Ok(cause),
        Comes::Second => {}
        Comes::First(seconds) => {
            cause = seconds;
            point.store(&mut first_words);
            gained.clear();
            gained.store(&mut gained_words);
        }
        Comes::After { last: before, has_newer_start } => {
            last.load(&last_words);
            step.copy_from(point);
            let is_reset = has_newer_start || !step.subtract(last);
            if is_reset && reset(bank, (before, times), earlier, tally) {
                point.store(&mut first_words);
                gained.clear();
            } else {
                if is_reset {
                    step.copy_from(point);
                }
                gained.load(&gained_words);
                if gained.absorb(step) {
                    cause = left_out(tally);
                }
            }
            gained.store(&mut gained_words);
        }
    }
    point.store(&mut last_words);
    Ok(cause)
}
