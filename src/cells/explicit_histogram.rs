//! Histograms with explicit bounds: a delta's points are added; of a cumulative stream first, last and what was gained
//! (`cumulative_histogram`). Regions are `aggregate::explicit`'s.

use super::bank::{Added, Bank};
use super::cumulative_histogram::{Comes, Part, PointTimes, comes, end, left_out, region, reset};
use super::sequences::Earlier;
use super::stamp::VALUE;
use crate::aggregate::explicit;
use crate::ledger::Tally;
use crate::model::Reject;

/// Adds a point of these times, as a region, or one without a recorded value. What a reset ends goes to `earlier`.
pub fn add(bank: Bank<'_>, times: PointTimes, point: Option<&[u64]>, earlier: Earlier<'_>, tally: &mut Tally) -> Added {
    match bank.shape().cumulative() {
        true => bank.count()?,
        false => bank.count_delta(tally),
    }
    let Some(point) = point else {
        return Ok(end(bank, times.time, tally));
    };
    let mut first = region(bank, Part::First);
    if !bank.shape().cumulative() {
        if explicit::merge(&mut first, &point) {
            // nothing was added
            bank.take_back();
            return Err(Reject::CountOverflow);
        }
        bank.put_flags(bank.flags() | VALUE);
        return Ok(None);
    }
    let (mut last, mut gained) = (region(bank, Part::Last), region(bank, Part::Gained));
    let mut cause = None;
    match comes(bank, times, tally) {
        Comes::WithoutEffect(cause) => return Ok(cause),
        Comes::Second => {}
        Comes::First(seconds) => {
            cause = seconds;
            explicit::copy(&mut first, &point);
            explicit::clear(&mut gained);
        }
        Comes::After { last: before, has_newer_start } => {
            let is_left_out = if !has_newer_start && explicit::follows(&point, &last) {
                explicit::merge_difference(&mut gained, &point, &last)
            } else if reset(bank, (before, times), earlier, tally) {
                explicit::copy(&mut first, &point);
                explicit::clear(&mut gained);
                false
            } else {
                explicit::merge(&mut gained, &point)
            };
            if is_left_out {
                cause = left_out(tally);
            }
        }
    }
    explicit::copy(&mut last, &point);
    Ok(cause)
}
