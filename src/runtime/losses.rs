//! Log lines about points that were lost: what the ledger counts as rejected, without effect or dropped, said while it
//! happens, and what is still in memory at the end. And about requests and connections that were not taken.
//!
//! Does not know: where the ledger's rows are. Bounds: a reason, for a destination where points left, is said at most
//! once per `WARN_EVERY_NS`, with what came since and one example (`examples`); reasons and destinations are few and
//! fixed. What is left is said at the end.

use crate::deliver::{DestinationRow, Dropped};
use crate::examples::{Cause, Examples};
use crate::ledger::{Effect, Note, Tally};
use crate::model::{Answer, Reject};
use std::collections::BTreeMap;

/// Time between two lines about one reason, ns.
const WARN_EVERY_NS: u64 = 10_000_000_000;
/// Time between two looks at the ledger, ns.
const LOOK_EVERY_NS: u64 = 1_000_000_000;

/// What is said of points that were applied and are not in what leaves as they came, and what to do.
const CHANGED: [(Cause, &str, &str); 5] = [
    (
        Cause::Without(Effect::Superseded),
        "points came without effect: they are not newer than the newest one of their series",
        "where two senders share one identity, set service.instance.id on each; points sent twice lose nothing",
    ),
    (
        Cause::Without(Effect::Baseline),
        "cumulative series began with counts from before: an output of deltas, or a total with deltas, has only what is \
         counted from now on",
        "expected once for each series that is older than this process or was silent for --expire; a destination with \
         ?temporality=cumulative gets it whole",
    ),
    (
        Cause::Without(Effect::Overlapping),
        "points of a second writer of one cumulative series are not counted",
        "set service.instance.id on each sender, or run one of them",
    ),
    (
        Cause::Overflowed,
        "points beyond a limit were added to overflow series: their totals stay true, their attributes are gone",
        "raise --series-limit, --group-limit or --memory-limit, or send fewer distinct attribute sets and metrics",
    ),
    (
        Cause::CountOverflow,
        "counts of histograms would leave 64 bits: they were left out, or their total began again",
        "fix the source: no one counts that far",
    ),
];

/// Answers to requests of which nothing was applied.
pub(super) const REFUSALS: [Answer; 5] =
    [Answer::Malformed, Answer::TooLarge, Answer::Overloaded, Answer::Unsupported, Answer::Timeout];

/// The word and the count of a cause; of requests the doors count.
fn counted(cause: Cause, tally: &Tally) -> (&'static str, u64) {
    match cause {
        Cause::Without(Effect::Baseline) => (Effect::Baseline.word(), tally.noted(Note::BaselineLost)),
        Cause::Without(effect) => (effect.word(), tally.settled(effect)),
        Cause::Rejected(reason) => (reason.word(), tally.rejected(reason)),
        Cause::Overflowed => ("overflowed", tally.noted(Note::Overflowed)),
        Cause::CountOverflow => ("count_overflow", tally.noted(Note::CountOverflow)),
        Cause::Refused(answer) => (answer.word(), 0),
    }
}

/// What was said about one reason.
#[derive(Clone, Copy, Default)]
pub(super) struct Spoken {
    total: u64,
    at_ns: Option<u64>,
}

impl Spoken {
    /// How many to speak of, if there are any and it is time.
    pub(super) fn due(&mut self, total: u64, now_ns: u64, ending: bool) -> Option<u64> {
        let new = total.saturating_sub(self.total);
        let early = self.at_ns.is_some_and(|at| now_ns.saturating_sub(at) < WARN_EVERY_NS);
        if new == 0 || (early && !ending) {
            return None;
        }
        *self = Spoken { total, at_ns: Some(now_ns) };
        Some(new)
    }

    /// There are more than were spoken of.
    pub(super) const fn owes(&self, total: u64) -> bool {
        total > self.total
    }
}

/// What was said about all of them.
#[derive(Default)]
pub(super) struct Losses {
    looked_ns: Option<u64>,
    rejected: [Spoken; Reject::COUNT],
    changed: [Spoken; CHANGED.len()],
    /// By name: a destination may come and go.
    dropped: BTreeMap<String, [Spoken; Dropped::COUNT]>,
    answered: [Spoken; REFUSALS.len()],
    refused: Spoken,
    paused: Spoken,
}

/// What the doors could not take, over all shards.
#[derive(Clone, Copy, Default)]
pub(super) struct AtDoors {
    /// Places there are.
    pub connections: usize,
    /// Requests of which nothing was applied, by answer.
    pub answered: [u64; REFUSALS.len()],
    /// Connections closed for want of one.
    pub refused: u64,
    /// Times accepting paused for want of descriptors.
    pub paused: u64,
}

impl Losses {
    /// Whether it is time to look; if so, the next look is later.
    pub(super) fn is_time(&mut self, now_ns: u64) -> bool {
        let time = self.looked_ns.is_none_or(|at| now_ns.saturating_sub(at) >= LOOK_EVERY_NS);
        if time {
            self.looked_ns = Some(now_ns);
        }
        time
    }

    /// Says what was lost since; at the end, whatever was not said.
    pub(super) fn look(
        &mut self,
        tally: &Tally,
        examples: &Examples,
        destinations: &[(String, DestinationRow)],
        now_ns: u64,
        ending: bool,
    ) {
        for (reason, said) in Reject::ALL.into_iter().zip(&mut self.rejected) {
            let cause = Cause::Rejected(reason);
            let remedy = reason.help();
            let (reason, total) = counted(cause, tally);
            if let Some(points) = said.due(total, now_ns, ending) {
                tracing::warn!(reason, points, total, example = examples.take(cause), remedy, "points were rejected");
            }
        }
        for ((cause, what, remedy), said) in CHANGED.into_iter().zip(&mut self.changed) {
            let (effect, total) = counted(cause, tally);
            if let Some(points) = said.due(total, now_ns, ending) {
                tracing::warn!(effect, points, total, example = examples.take(cause), remedy, "{what}");
            }
        }
        self.dropped.retain(|name, _| destinations.iter().any(|(one, _)| one == name));
        for (destination, row) in destinations {
            if !self.dropped.contains_key(destination) {
                self.dropped.insert(destination.clone(), Default::default());
            }
            let Some(said) = self.dropped.get_mut(destination) else { continue };
            for (reason, said) in Dropped::ALL.into_iter().zip(said) {
                let total = row.dropped(reason);
                if let Some(points) = said.due(total, now_ns, ending) {
                    let (reason, remedy) = (reason.word(), reason.help());
                    tracing::warn!(destination, reason, points, total, remedy, "points were dropped");
                }
            }
        }
    }
}

impl Losses {
    /// Says which requests and connections were not taken since.
    pub(super) fn look_at_doors(&mut self, doors: &AtDoors, examples: &Examples, now_ns: u64, ending: bool) {
        for ((answer, total), said) in REFUSALS.into_iter().zip(doors.answered).zip(&mut self.answered) {
            // clients that are sent elsewhere when the process ends are told so, and that is all
            let is_expected = ending && answer == Answer::Overloaded;
            if let Some(requests) = said.due(total, now_ns, ending).filter(|_| !is_expected) {
                let example = examples.take(Cause::Refused(answer));
                tracing::warn!(answer = answer.word(), requests, total, example, "requests were refused");
            }
        }
        let limit = doors.connections;
        if let Some(connections) = self.refused.due(doors.refused, now_ns, ending) {
            let remedy = "raise --connections, or send more over each: HTTP/2 carries 256 calls at once";
            let total = doors.refused;
            tracing::warn!(
                connections,
                total,
                limit,
                remedy,
                "connections were refused, or closed to make room for others"
            );
        }
        if let Some(times) = self.paused.due(doors.paused, now_ns, ending) {
            let remedy =
                "raise the machine's limit (fs.file-max) or this process's (ulimit -n), or lower --connections";
            tracing::warn!(
                times,
                total = doors.paused,
                remedy,
                "no descriptors were left: connections wait, or were closed"
            );
        }
    }
}

/// Says what the process takes with it when it ends: points in memory that no destination has taken.
pub(super) fn say_undelivered(tally: &Tally, destinations: &[(String, DestinationRow)]) {
    let remedy = "raise --shutdown-timeout, or fix the destination";
    for (destination, row) in destinations.iter().filter(|(_, row)| row.queued > 0) {
        tracing::warn!(destination, points = row.queued, remedy, "points still queued at the end are lost");
    }
    if !destinations.is_empty() && tally.open() > 0 {
        let remedy = "raise --shutdown-timeout";
        tracing::warn!(points = tally.open(), remedy, "points not merged by the end are lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// At once, then after ten seconds with all that came since, and at the end whatever is left.
    #[test]
    fn each_point_is_spoken_of_once() {
        let mut said = Spoken::default();
        let steps = [(0, 0, false), (0, 5, false), (1, 7, false), (10, 9, false), (30, 9, false), (31, 10, false)];
        let spoken = steps.map(|(second, total, ending)| said.due(total, second * SECOND, ending));
        assert_eq!(spoken, [None, Some(5), None, Some(4), None, Some(1)]);
        assert_eq!(said.due(12, 32 * SECOND, false), None);
        assert_eq!(said.due(12, 32 * SECOND, true), Some(2));
        assert_eq!(said.due(12, 32 * SECOND, true), None);
    }

    #[test]
    fn the_ledger_is_looked_at_once_a_second() {
        let mut losses = Losses::default();
        let looked = [1, 2, SECOND, SECOND + 1, SECOND + 2].map(|now| losses.is_time(now));
        assert_eq!(looked, [true, false, false, true, false]);
    }
}
