//! The output half of the ledger for one destination: `encoded = delivered + queued + on_disk + dead_lettered + Σdropped`.
//!
//! Does not know: what a batch is, how it travels, who asks.
//!
//! ```text
//!  shard 0 ─► lane 0 (encoded, entered, dropped) ─┐
//!  shard 1 ─► lane 1                              ├─► read: exit lane first, then the entry lanes ─► DestinationRow
//!  deliver ─► exit lane (left, delivered, dropped…)┘
//! ```
//!
//! Invariants:
//! 1. Each lane balances by itself whenever it can be read: an entry lane
//!    `encoded = entered - returned + dropped`, the exit lane
//!    `left = delivered + Σdropped`. A lane is published whole (sequence lock), never field by field.
//! 2. A batch is entered in its lane *before* the consumer can see it, so a read that takes the exit lane first and the
//!    entry lanes after it never finds more left than entered.
//! 3. `queued` is one gauge with two owners: producers raise it (`entered`), the consumer lowers it (`left`). Nothing else
//!    is computed from other terms. Shutdown checks it against the points counted in the queue itself.
//!
//! Progress: writing a lane is wait-free for its only writer. Threads that share one `Sender` by reference, or more than
//! `LANES` clones, share a lane and wait for each other for the length of a dozen stores. Reading repeats while a lane is
//! being written, which happens once per batch.
//!
//! Ordering: see `Lane`. Bounds: `LANES` lanes of one cache line each.
//!
//! Source: DESIGN section 5.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crossbeam::utils::{Backoff, CachePadded};

use crate::limits::SHARDS_MAX;

/// Entry lanes of one destination; clones of the sender beyond it share.
pub(super) const LANES: usize = SHARDS_MAX;

/// Why a point that was encoded will not be delivered. Each has its own counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dropped {
    /// The destination's queue had no room.
    QueueFull = 0,
    /// Partial success: the destination took the rest and rejected these (E5).
    RejectedByDestination,
    /// A status that must not be retried: 400, INVALID_ARGUMENT, a redirect … (E3, E6, T20).
    Refused,
    /// The request is over the 64 MiB that receivers take, or over what this one takes (413), and cannot be split (E9).
    TooLarge,
    /// The answer was over 4 MiB, so what became of the points is not known (E8, T19).
    ResponseTooLarge,
    /// Writing to the file or to standard output failed.
    IoError,
    /// The bytes are not a request that can be written as JSON: a bug of the encoder.
    Malformed,
    /// The destination was taken out of the settings, and had not taken them in the time it was given.
    Removed,
}

impl Dropped {
    /// Number of reasons.
    pub const COUNT: usize = 8;
    /// All reasons, by number.
    pub const ALL: [Dropped; Self::COUNT] = [
        Dropped::QueueFull,
        Dropped::RejectedByDestination,
        Dropped::Refused,
        Dropped::TooLarge,
        Dropped::ResponseTooLarge,
        Dropped::IoError,
        Dropped::Malformed,
        Dropped::Removed,
    ];

    /// The label value in metrics and in the ledger.
    pub const fn word(self) -> &'static str {
        match self {
            Dropped::QueueFull => "queue_full",
            Dropped::RejectedByDestination => "rejected_by_destination",
            Dropped::Refused => "refused_by_destination",
            Dropped::TooLarge => "request_too_large",
            Dropped::ResponseTooLarge => "response_too_large",
            Dropped::IoError => "io_error",
            Dropped::Malformed => "malformed",
            Dropped::Removed => "destination_removed",
        }
    }

    /// What the operator can do about it.
    pub const fn help(self) -> &'static str {
        match self {
            Dropped::QueueFull => "the destination was too slow or down: fix it, or raise its ?queue=",
            Dropped::RejectedByDestination => "the destination took the rest: see its message, and its limits",
            Dropped::Refused => "the destination takes no such request: check its URL, its port and --out-header",
            Dropped::TooLarge => "let the destination take requests of 2 MiB",
            Dropped::ResponseTooLarge => "the answer was over 4 MiB: is it an OTLP receiver?",
            Dropped::IoError => "make room, or check the path and its permissions",
            Dropped::Malformed => "this is a bug: report it",
            Dropped::Removed => {
                "the settings do not name the destination any more, and it was too slow to take what was queued"
            }
        }
    }
}

/// One destination's row of the ledger, in points; a snapshot that balances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DestinationRow {
    /// Points encoded for this destination.
    pub encoded: u64,
    /// Points the destination took.
    pub delivered: u64,
    /// Points in memory: waiting, in flight or between two tries.
    pub queued: u64,
    /// Points in the disk buffer (not built yet: 0).
    pub on_disk: u64,
    /// Points in the dead-letter store (not built yet: 0).
    pub dead_lettered: u64,
    /// Points lost, by `Dropped` number.
    pub dropped: [u64; Dropped::COUNT],
}

impl DestinationRow {
    /// Adds what another counted.
    pub(super) fn add(&mut self, other: &DestinationRow) {
        self.encoded += other.encoded;
        self.delivered += other.delivered;
        self.queued += other.queued;
        self.on_disk += other.on_disk;
        self.dead_lettered += other.dead_lettered;
        self.dropped.iter_mut().zip(other.dropped).for_each(|(sum, more)| *sum += more);
    }

    /// Points lost for one reason.
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.dropped[reason as usize]
    }

    /// Points lost for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// The law of the ledger.
    pub fn balances(&self) -> bool {
        self.encoded == self.delivered + self.queued + self.on_disk + self.dead_lettered + self.dropped_total()
    }
}

/// `N` counters published together.
struct Lane<const N: usize> {
    /// Even: at rest. Odd: being written.
    sequence: AtomicU64,
    counters: [AtomicU64; N],
}

impl<const N: usize> Lane<N> {
    fn new() -> Self {
        Lane { sequence: AtomicU64::new(0), counters: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    fn add(&self, changes: &[(usize, u64)]) {
        let backoff = Backoff::new();
        let mut at = self.sequence.load(Ordering::Relaxed);
        loop {
            if at.is_multiple_of(2) {
                // ORDERING: Acquire pairs with the Release store below of the writer before us, whose counters we add to.
                match self.sequence.compare_exchange_weak(at, at + 1, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(now) => at = now,
                }
            } else {
                backoff.snooze();
                at = self.sequence.load(Ordering::Relaxed);
            }
        }
        // ORDERING: Release fence: a reader that sees one of the stores below and then fences Acquire sees the odd
        // sequence too, and repeats. Without it the counters could become visible before the sequence is odd.
        fence(Ordering::Release);
        for &(counter, by) in changes {
            let value = self.counters[counter].load(Ordering::Relaxed);
            self.counters[counter].store(value + by, Ordering::Relaxed);
        }
        // ORDERING: Release publishes the counters with the even sequence; pairs with the Acquire loads above and in `read`.
        self.sequence.store(at + 2, Ordering::Release);
    }

    fn read(&self) -> [u64; N] {
        let backoff = Backoff::new();
        loop {
            // ORDERING: Acquire pairs with the writer's Release store: counters are at least as new as this sequence.
            let before = self.sequence.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let values = std::array::from_fn(|at| self.counters[at].load(Ordering::Relaxed));
                // ORDERING: Acquire fence pairs with the writer's Release fence: a torn read sees a changed sequence.
                fence(Ordering::Acquire);
                if self.sequence.load(Ordering::Relaxed) == before {
                    return values;
                }
            }
            backoff.snooze();
        }
    }
}

const ENCODED: usize = 0;
const ENTERED: usize = 1;
const FULL: usize = 2;
const RETURNED: usize = 3;
const LEFT: usize = 0;
const DELIVERED: usize = 1;
const DROPPED: usize = 2;

/// One destination's counters.
pub(super) struct Ledger {
    entry: Box<[CachePadded<Lane<4>>]>,
    exit: CachePadded<Lane<{ 2 + Dropped::COUNT }>>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Ledger {
            entry: (0..LANES).map(|_| CachePadded::new(Lane::new())).collect(),
            exit: CachePadded::new(Lane::new()),
        }
    }

    /// A batch is about to be put into the queue (invariant 2: before it can be seen there).
    pub(super) fn enter(&self, lane: usize, points: u64) {
        self.entry[lane % LANES].add(&[(ENCODED, points), (ENTERED, points)]);
    }

    /// A batch found no room.
    pub(super) fn turn_away(&self, lane: usize, points: u64) {
        self.entry[lane % LANES].add(&[(ENCODED, points), (FULL, points)]);
    }

    /// Points entered by this lane, and never pushed, are given up.
    pub(super) fn take_back(&self, lane: usize, points: u64) {
        self.entry[lane % LANES].add(&[(RETURNED, points), (FULL, points)]);
    }

    /// A batch left the queue for good: `lost` of its points for that reason, the rest delivered.
    pub(super) fn leave(&self, points: u64, lost: Option<(Dropped, u64)>) {
        let lost_points = lost.map_or(0, |(_, lost)| lost);
        assert!(lost_points <= points, "more points lost than the batch had");
        let reason = lost.map_or(Dropped::Refused, |(reason, _)| reason);
        self.exit.add(&[(LEFT, points), (DELIVERED, points - lost_points), (DROPPED + reason as usize, lost_points)]);
    }

    /// A snapshot that balances (invariants 1 to 3).
    pub(super) fn read(&self) -> DestinationRow {
        let exit = self.exit.read();
        // ORDERING: the Acquire reads of `exit` come first; each batch counted there was entered before it was pushed
        // (Release) and popped (Acquire), so the entry lanes read after it hold it.
        let mut row = DestinationRow { delivered: exit[DELIVERED], ..DestinationRow::default() };
        row.dropped.copy_from_slice(&exit[DROPPED..]);
        let mut entered = 0;
        for lane in &self.entry {
            let values = lane.read();
            row.encoded += values[ENCODED];
            entered += values[ENTERED] - values[RETURNED];
            row.dropped[Dropped::QueueFull as usize] += values[FULL];
        }
        row.queued = entered.checked_sub(exit[LEFT]).expect("points left the queue that never entered it");
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DESIGN 5: every snapshot under load balances, whoever writes meanwhile.
    #[test]
    fn snapshots_balance_under_load() {
        let ledger = Ledger::new();
        let queue = crossbeam::queue::SegQueue::new();
        const EACH: u64 = 20_000;
        std::thread::scope(|scope| {
            for lane in 0..3 {
                let (ledger, queue) = (&ledger, &queue);
                scope.spawn(move || {
                    for n in 0..EACH {
                        // lanes 0 and 1 have one writer each; the third thread shares lane 1
                        if n % 7 == 0 {
                            ledger.turn_away(lane.min(1), n);
                        } else {
                            ledger.enter(lane.min(1), n);
                            queue.push(n);
                        }
                    }
                });
            }
            scope.spawn(|| {
                let mut taken = 0;
                let expected = 3 * (0..EACH).filter(|n| n % 7 != 0).count();
                while taken < expected {
                    match queue.pop() {
                        Some(n) => {
                            ledger.leave(n, (n % 5 == 0).then_some((Dropped::RejectedByDestination, n / 2)));
                            taken += 1;
                        }
                        None => std::thread::yield_now(),
                    }
                }
            });
            for _ in 0..5_000 {
                assert!(ledger.read().balances());
            }
        });
        let row = ledger.read();
        assert!(row.balances());
        assert_eq!(row.queued, 0);
        assert_eq!(row.encoded, 3 * (0..EACH).sum::<u64>());
    }
}
