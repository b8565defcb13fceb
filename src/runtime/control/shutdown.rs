//! The end of the process: what comes after the signal.
//!
//! ```text
//!   SIGTERM ─► ready no more ─► --shutdown-delay ─► drain doors ─► last cut ─► deliver until the deadline ─► ledger ─► exit code
//! ```
//!
//! Does not know: how cuts are made or pages written. Bounds: it takes at most `--shutdown-delay` and
//! `--shutdown-timeout`, and `limits::LAST_MERGE_MAX` more where a cut was made that is not merged by then; a second signal
//! ends it at once, but for that merge.

use super::turns::{ControlTurn, Turns};
use crate::limits::{HURRY, LAST_JOIN_MAX, LAST_MERGE_MAX};
use crate::runtime::clock;
use crate::runtime::closing::Closing;
use crate::runtime::count::Count;
use crate::runtime::losses;
use crate::runtime::shared::{DRAINING, LAST_CUT, ProcessState, QUITTING};
use crate::runtime::signals;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::field::debug;

/// How it ended.
pub(in crate::runtime) struct End {
    pub code: u8,
    /// Threads are left that end with the process alone.
    pub stuck: bool,
}

/// The end, prepared at the start.
pub(super) struct Shutdown {
    pub closing: Closing,
}

impl Shutdown {
    /// Drains, cuts, delivers, tells.
    pub(super) fn end(self, mut turns: Turns, threads: Vec<JoinHandle<()>>) -> End {
        turns.end_reloads();
        let (delay, longest) = turns.shared.shutdown.get();
        let hurried = linger(&mut turns, delay);
        let mut deadline = Instant::now() + if hurried { HURRY.min(longest) } else { longest };
        let timeout = Some(longest).filter(|timeout| !timeout.is_zero()).map(debug);
        tracing::info!(timeout, "stopping: no new requests, one last cut, delivery; another signal ends the wait");
        // ORDERING: Release pairs with the shards' Acquire
        turns.shared.phase.store(DRAINING, Release);
        turns.shared.wake_all();
        // clients get half of the time to end their calls
        let drained_by = Instant::now() + if hurried { Duration::ZERO } else { longest / 2 };
        drain(&mut turns, drained_by, &mut deadline);
        // one last cut, behind the one that may be under way. Client libraries go on sending until they have read that
        // the connection ends, so each shard is told before that cut to take nothing after it
        // ORDERING: Release pairs with the shards' Acquire; before the cut is published
        turns.shared.phase.store(LAST_CUT, Release);
        cut_last(&mut turns, &mut deadline);
        let delivery = turns.destinations.take().expect("it ends once").into_delivery();
        delivery.stop(deadline);
        while !delivery.is_stopped() && Instant::now() < deadline {
            turns.poll(Duration::from_millis(5));
            if turns.signalled() {
                deadline = Instant::now();
            }
            turns.serve(clock::now());
        }
        // ORDERING: as above
        turns.shared.phase.store(QUITTING, Release);
        turns.shared.wake_all();
        // both may be stuck, and the process ends all the same
        let latest = deadline.max(Instant::now()) + LAST_JOIN_MAX;
        self.closing.begin(delivery, deadline);
        let stuck = signals::join(threads, latest);
        signals::say_stuck(&stuck, &turns.shared, clock::mono());
        let left = latest.saturating_duration_since(Instant::now());
        // a writer in its pipe is left behind, and what it has is in the ledger as queued
        let broken = self.closing.is_broken(left);
        End { code: account(&mut turns, broken || !stuck.is_empty()), stuck: !stuck.is_empty() }
    }
}

/// `--shutdown-delay`: all goes on, but `/readyz` says that it will not. Whether a second signal ended it.
fn linger(turns: &mut Turns, delay: Duration) -> bool {
    let until = Instant::now() + delay;
    let mut busy = false;
    if !delay.is_zero() {
        tracing::info!(
            ?delay,
            "stopping: not ready any more; the doors close after --shutdown-delay, or at another signal"
        );
    }
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let wait = if busy { Duration::ZERO } else { turns.wait(clock::now()).min(left) };
        match turns.turn(wait) {
            ControlTurn::Signalled => return true,
            turned => busy = turned == ControlTurn::Busy,
        }
    }
}

/// Waits for the doors of all shards. A second signal brings the deadline nearer: the user is in a hurry. What is not
/// delivered by then is told in the ledger and by the exit code.
fn drain(turns: &mut Turns, drained_by: Instant, deadline: &mut Instant) {
    let all_drained = |shared: &ProcessState| shared.drained.iter().all(|drained| drained.load(Acquire));
    while !all_drained(&turns.shared) && Instant::now() < drained_by {
        turns.poll(Duration::from_millis(20));
        if turns.signalled() {
            // what is acknowledged is still cut; delivery gets no more time than that takes
            *deadline = (*deadline).min(Instant::now() + HURRY);
            break;
        }
        turns.serve(clock::now());
        turns.cuts(clock::now());
    }
}

/// Makes the last cut, and waits until it is merged and lies in the queues, as long as there is time. A shard that was late
/// for it still has points that were acknowledged: they are in one cut more.
pub(super) fn cut_last(turns: &mut Turns, deadline: &mut Instant) {
    let mut is_cut = false;
    loop {
        // a cut that was made is merged to its end, which takes no destination: half a cut is in no ledger
        let over = Instant::now() >= *deadline;
        let merging = !turns.is_merged() && Instant::now() < *deadline + LAST_MERGE_MAX;
        if over && !merging {
            break;
        }
        let now = clock::now();
        if !is_cut || turns.was_missed() {
            is_cut |= !over && turns.is_merged() && turns.cut(now);
        } else if turns.is_merged() && !turns.shared.is_holding() {
            // what waits for room in a queue gets it as long as there is time
            break;
        }
        turns.skip_late(now);
        turns.poll(Duration::from_millis(5));
        if turns.signalled() {
            *deadline = Instant::now();
        }
        turns.serve(now);
    }
}

/// Tells what was lost, and the ledger; returns the exit code.
fn account(turns: &mut Turns, failed: bool) -> u8 {
    turns.look_at_losses(clock::mono(), true);
    let tally = turns.pages.account.tally();
    let destinations = turns.pages.account.destinations();
    losses::say_undelivered(&tally, &destinations);
    let is_balanced = turns.pages.account.tell();
    turns.pages.account.mark_told();
    if failed {
        return crate::FAILURE;
    }
    // nothing switches any more
    let mut count = Count::begin(&turns.shared);
    let counted = loop {
        if let Some(counted) = count.step(&turns.shared) {
            break counted;
        }
    };
    // points of a cut that is not merged are neither in open banks nor emitted
    if turns.is_merged() && Some(tally.open() as u64) != counted {
        let (open, counted) = (tally.open(), counted.unwrap_or_default());
        crate::log::tell(format_args!(
            "catchment: the ledger has {open} open points, the cells {counted}: please report this"
        ));
        return crate::FAILURE;
    }
    if !is_balanced {
        return crate::FAILURE;
    }
    let lost = destinations.iter().any(|(_, row)| row.dropped_total() + row.queued > 0);
    // points that the deadline kept from being merged never became output points: as undelivered as those queued
    let unmerged = !destinations.is_empty() && tally.open() > 0;
    if lost || unmerged { crate::INCOMPLETE } else { crate::SUCCESS }
}
