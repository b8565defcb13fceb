//! One shard in turns: it receives, aggregates, switches at cuts, and merges what it owns.
//!
//! ```text
//!   events ─► doors (each request: decode, stage, commit) ─► cut due? switch ─► closed by all? merge a slice, fold ─┐
//!                                                             publish ◄─ folded by all? a slice of what rules make ◄┘
//! ```
//!
//! Does not know: threads, polls, the system's clock. Whoever calls its turns may be a shard's thread (`shard_thread`), or a
//! run that simulates several shards in one.
//!
//! Progress: a turn waits for nobody. Bounds: a turn serves each connection its share, then one slice of `limits::SLICE` of
//! merging; the next one is due within `TURN_MAX`.
//!
//! A full queue pauses nobody: what is encoded waits beside it (`deliver::Hold`) until the next merge of this shard.

use super::give_back::GiveBack;
use super::intake::ShardIntake;
use super::merge_share::MergeShare;
use super::outlet::Queues;
use super::shared::{DRAINING, LAST_CUT, ProcessState, QUITTING, RUNNING, Readings};
use crate::capture::Tap;
use crate::clock::{Clock, Now};
use crate::flush::{Directories, Owner, Work};
use crate::ingest::Ingest;
use crate::ledger::{Book, Note, Tally};
use crate::listen::{self, Doors};
use crate::model::Peer;
use crate::net::hops::Hops;
use crate::net::network::{Network, Readiness};
use crate::series::peers::Peers;
use crate::sync::cut::{Due, Switch};
use crate::telemetry::shard_stats::ShardStats;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

/// Events with tokens from here on belong to the doors.
const DOORS: usize = 1;
/// Longest time between two turns: keeps the heartbeat.
const TURN_MAX: Duration = Duration::from_millis(500);
/// Longest wait while encoded requests wait for room in a queue: the smallest queue (4 MiB) then moves 400 MB/s.
const HOLD_LOOK: Duration = Duration::from_millis(10);

/// What a shard is made of.
pub(super) struct ShardParts {
    pub number: usize,
    pub clock: &'static dyn Clock,
    pub shared: Arc<ProcessState>,
    pub ingest: Ingest,
    pub owner: Owner,
    pub outlet: Queues,
    pub capture: Option<Tap>,
    pub max_body: usize,
    pub hops: &'static Hops,
    pub connections_max: usize,
    pub sweep_after: u32,
    pub interval_ns: u64,
    pub future_ns: u64,
}

/// A shard whose doors are not open yet: connections and their sessions never leave the thread they are made on.
pub(super) struct Seed {
    parts: ShardParts,
    book: Book,
    stats: ShardStats,
}

/// Whether a shard goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    GoesOn,
    /// The process quits.
    Quits,
}

/// See the file's head.
pub(super) struct Shard<N: Network> {
    number: usize,
    clock: &'static dyn Clock,
    shared: Arc<ProcessState>,
    doors: Doors<N>,
    intake: ShardIntake,
    owner: Owner,
    outlet: Queues,
    /// What the cut being merged took out of cells: it counts when the cut is merged, for then it can be seen on the page.
    merged: Tally,
    sweep_after: u32,
    share: MergeShare,
    give_back: GiveBack,
    /// The number of the plan by which ingest asks.
    gate: u64,
    stopped: bool,
    /// There is more to do at once.
    busy: bool,
    /// Encoded requests wait for room in a queue.
    holding: bool,
}

impl Seed {
    /// The shard, and what others see of it.
    pub(super) fn new(parts: ShardParts, directories: Directories) -> (Seed, Readings) {
        let (book, row) = Book::new();
        let (stats, seen) = ShardStats::new();
        (Seed { parts, book, stats }, Readings { ledger: row, stats: seen, directories })
    }

    /// The shard's number.
    pub(super) fn number(&self) -> usize {
        self.parts.number
    }

    /// The shard with its doors open.
    ///
    /// # Errors
    /// The network's own.
    pub(super) fn open<N: Network>(self, listeners: Vec<N::Listener>, network: N) -> io::Result<Shard<N>> {
        let Seed { parts, book, stats } = self;
        let options = listen::Options {
            max_body: parts.max_body,
            hops: Some(parts.hops),
            connections_max: parts.connections_max,
            ..listen::Options::default()
        };
        let mut doors = Doors::new(options, listeners, network, DOORS)?;
        doors.show_to(parts.shared.registry.examples().clone());
        let nobody = Peer::default();
        let peer = (nobody, Peers::slot_of(parts.shared.registry.state().hash_one(nobody)));
        let shard = Shard {
            number: parts.number,
            clock: parts.clock,
            shared: parts.shared.clone(),
            doors,
            intake: ShardIntake {
                shared: parts.shared,
                ingest: parts.ingest,
                book,
                stats,
                capture: parts.capture,
                future_ns: parts.future_ns,
                peer,
                clock: parts.clock,
                now_ns: parts.clock.mono_ns(),
                freed: 0,
                closed: false,
            },
            owner: parts.owner,
            outlet: parts.outlet,
            merged: Tally::default(),
            sweep_after: parts.sweep_after,
            share: MergeShare::new(parts.interval_ns / 2),
            give_back: GiveBack::default(),
            gate: 0,
            stopped: false,
            busy: false,
            holding: false,
        };
        shard.beat(parts.clock.mono_ns());
        Ok(shard)
    }
}

impl<N: Network> Shard<N> {
    /// How long nothing will be due, if nothing happens.
    pub(super) fn wait(&self) -> Duration {
        if self.busy {
            return Duration::ZERO;
        }
        let longest = if self.holding { HOLD_LOOK } else { TURN_MAX };
        self.doors.next_timeout(self.clock.now()).map_or(longest, |timer| timer.min(longest))
    }

    /// Works on what happened, and on what is due.
    pub(super) fn turn(&mut self, events: impl Iterator<Item = Readiness>) -> Turned {
        let now = self.clock.now();
        let mut is_idle = !self.busy;
        for event in events {
            is_idle = false;
            // the waker's is nobody's
            if event.token >= DOORS {
                self.doors.on_event(event);
            }
        }
        if is_idle {
            self.give_back.idle(now.mono_ns);
        }
        self.intake.now_ns = now.mono_ns;
        let mut busy = self.doors.turn(&mut self.intake, now);
        if self.doors.next_timeout(now) == Some(Duration::ZERO) {
            self.doors.on_timers(&mut self.intake, now);
        }
        self.holding = self.advance_held();
        busy |= self.cuts(now);
        busy |= self.intake.ingest.tidy();
        self.end(now);
        busy |= self.give_back.turn();
        self.busy = busy;
        self.tell(now);
        // ORDERING: Acquire pairs with the control's store
        if self.shared.phase.load(Acquire) == QUITTING { Turned::Quits } else { Turned::GoesOn }
    }

    /// What takes points in: a simulated run breaks it on purpose.
    #[cfg(test)]
    pub(super) fn ingest(&mut self) -> &mut Ingest {
        &mut self.intake.ingest
    }

    /// Moves encoded requests on that wait for room in a queue; `true` when some still wait.
    fn advance_held(&mut self) -> bool {
        let holding = self.outlet.advance();
        // ORDERING: Relaxed: for the end of the process, which looks at it behind the board's Acquire
        self.shared.holding[self.number].store(holding, Relaxed);
        holding
    }

    /// Switches or merges as the board says; `true` when there is more to merge.
    fn cuts(&mut self, now: Now) -> bool {
        let board = &self.shared.board;
        let due = board.due(self.number);
        let is_settling = matches!(due, Due::Settle(_));
        match due {
            Due::Nothing => {
                self.owner.welcome(&mut self.intake.book.tally);
                return false;
            }
            // half a request would be in the last cut, and half in none: it is brought to its end, a slice a turn
            Due::Switch(_) if self.intake.ingest.is_applying() && self.shared.phase.load(Acquire) >= LAST_CUT => {
                self.intake.closed = true;
                return true;
            }
            Due::Switch(cut) => {
                let begun = self.clock.mono_ns();
                // before the board says that the interval is closed: an owner may look at once
                self.intake.ingest.hand_over();
                match board.try_switch(self.number, cut.number) {
                    Switch::Switched { last } => {
                        // ORDERING: Acquire pairs with the control's store, which comes before the last cut
                        self.intake.closed = self.shared.phase.load(Acquire) >= LAST_CUT;
                        self.intake.ingest.switch(cut.number + 1);
                        if cut.number.is_multiple_of(self.sweep_after) {
                            self.intake.ingest.sweep(self.sweep_after);
                        }
                        if last {
                            self.shared.wake_all();
                        }
                    }
                    Switch::AlreadySkipped => {
                        self.intake.ingest.take_back();
                        self.intake.book.tally.note(Note::CutLate, 1);
                    }
                }
                if let Some(gate) = self.shared.gates.newer_than(&mut self.gate) {
                    gate.taken_up(self.number, self.intake.ingest.take_up(gate.plan()));
                    let _ = self.shared.control.wake();
                }
                self.intake.book.tally.note(Note::CutNs, self.clock.mono_ns() - begun);
                return true;
            }
            Due::Merge(cut) | Due::Settle(cut) => {
                if !self.owner.busy() {
                    // a whole interval late; at the end of the process nothing comes after it, and it may go on waiting
                    if self.shared.phase.load(Acquire) == RUNNING {
                        self.outlet.give_up();
                    }
                    self.outlet.begin(cut.number);
                    let cores = (0..board.shards()).map(|shard| board.view(shard)).collect();
                    self.owner.begin(cut.number, cut.times, cores);
                    self.share.begin(self.clock.mono_ns());
                }
                if is_settling && !self.owner.is_settling() {
                    self.owner.settle();
                }
                let begun = self.clock.mono_ns();
                let Some(slice) = self.share.slice(begun, begun - now.mono_ns) else { return true };
                let clock = self.clock;
                let more = || clock.mono_ns() - begun < slice;
                let slab = self.intake.ingest.slab_mut();
                let work = self.owner.step(slab, &mut self.merged, &mut self.outlet, more);
                let (spent, encoding) = (self.clock.mono_ns() - begun, self.outlet.take_encode_ns());
                self.share.spend(spent);
                self.intake.book.tally.note(Note::MergeNs, spent.saturating_sub(encoding));
                self.intake.book.tally.note(Note::EncodeNs, encoding);
                self.intake.book.publish();
                if work == Work::Folded {
                    if self.shared.board.fold_done(self.number, cut.number) {
                        self.shared.wake_all();
                    }
                    // the next turn sees whether all are so far
                    return true;
                }
                if work == Work::Done {
                    self.intake.book.tally.absorb(&std::mem::take(&mut self.merged));
                    self.intake.book.publish();
                    self.advance_held();
                    self.intake.stats.live(self.owner.live() as u64);
                    self.give_back.after_merge(self.shared.registry.bytes());
                    if self.shared.board.merge_done(self.number, cut.number) {
                        let _ = self.shared.control.wake();
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Follows the process into its end.
    fn end(&mut self, now: Now) {
        // ORDERING: Acquire pairs with the control's store
        if self.shared.phase.load(Acquire) == RUNNING {
            return;
        }
        if !self.stopped {
            self.stopped = true;
            self.doors.stop_accepting(&mut self.intake, now);
        }
        if self.doors.idle() && self.shared.phase.load(Acquire) == DRAINING {
            // ORDERING: Release: whoever sees it sees the requests before it in the ledger's rows
            if !self.shared.drained[self.number].swap(true, Release) {
                let _ = self.shared.control.wake();
            }
        }
    }

    /// Publishes what others look at.
    fn tell(&mut self, now: Now) {
        let spent = self.clock.mono_ns() - now.mono_ns;
        let tally = &mut self.intake.book.tally;
        tally.note(Note::Turns, 1);
        tally.note(Note::TurnsOver1Ms, u64::from(spent > 1_000_000));
        tally.note_max(Note::TurnMaxNs, spent);
        self.intake.book.publish();
        self.intake.stats.turn(spent);
        self.intake.stats.publish(self.doors.stats(), self.intake.ingest.routes() as u64);
        self.beat(now.mono_ns + spent);
    }

    /// The loop runs.
    fn beat(&self, mono_ns: u64) {
        // ORDERING: a time for the readiness page; publishes nothing
        self.shared.heartbeats[self.number].store(mono_ns.max(1), Relaxed);
    }
}
